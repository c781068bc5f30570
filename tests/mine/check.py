"""Run a learner's function beside the package's, and never stumble over what it does."""

import importlib.util
import inspect
import traceback
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from mine.arrays import Clues
from mine.trees import Finding, compare, kind_of, leaves, named_arrays, return_names
from support import change_arrays, upstream


@dataclass(frozen=True)
class Case:
    """One call of a function.

    Attributes:
        function: its name in the file; a method's as Class.method
        arguments: as they are handed over
        keywords: likewise
        told: what the numbers are, for the report
        factors: numbers by the names that explain a constant ratio
        known: (arguments, dy) -> arrays that a wrong gradient may be or lack, by name
        mistakes: by tensor, the sentence and (arguments, dy) -> the wrong array
        call: (module, *arguments) -> result, where it is not a call of the function
        output: how its result is called, if no docstring says
    """

    function: str
    arguments: tuple
    keywords: dict = field(default_factory=dict)
    told: str = ""
    factors: dict = field(default_factory=dict)
    known: Callable | None = None
    mistakes: dict = field(default_factory=dict)
    call: Callable | None = None
    output: str = ""

    def run(self, module, arguments):
        """Call the function of a module."""
        if self.call:
            return self.call(module, *arguments)
        return attribute(module, self.function)(*arguments, **self.keywords)


@dataclass(frozen=True)
class Verdict:
    """What became of one function.

    Attributes:
        function: its name
        state: right, wrong or unwritten
        findings: array by array, of the first case that went wrong
        told: that case
    """

    function: str
    state: str
    findings: tuple[Finding, ...] = ()
    told: str = ""


HINTS = {
    "could not be broadcast": "; does a sum or mean lack keepdims=True?",
    "matmul: Input operand": "; is one of the two to be transposed?",
}
"""What mostly is behind an error of NumPy's."""


class CompareError(Exception):
    """A mistake that leaves nothing to compare."""


class UnwrittenError(CompareError):
    """A body that still raises NotImplementedError."""


def load(path, name):
    """Import a file under a name of its own, beside the package's.

    Raises:
        CompareError: if it cannot be imported; one line says why, and where.
    """
    spec = importlib.util.spec_from_file_location(f"mine_{name}", path)
    module = importlib.util.module_from_spec(spec)
    attempt(path, lambda: spec.loader.exec_module(module))
    return module


def attempt(path, call):
    """Call, and turn whatever is raised into one line about the learner's file."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            return call()
    except NotImplementedError as error:
        raise UnwrittenError(str(error) or f"not written yet{place(path, error)}") from None
    except SyntaxError as error:
        raise CompareError(
            f"{error.msg}, line {error.lineno}: {(error.text or '').strip()}"
        ) from None
    except (Exception, SystemExit) as error:
        message = " ".join(str(error).split())[:200]
        raise CompareError(
            f"raises {type(error).__name__}: {message}{place(path, error)}"
        ) from None


def place(path, error):
    """The last line of the learner's file that an error went through."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if f.filename == str(path)]
    return f", line {frames[-1].lineno}: {frames[-1].line}" if frames else ""


def attribute(module, name):
    """Find a function or Class.method; None if it is not there."""
    for part in name.split("."):
        module = getattr(module, part, None)
    return module


def judge(path, mine, reference, name, cases):
    """Run the cases of one function.

    Args:
        path: the learner's file
        mine: its module
        reference: the package's module
        name: the function's
        cases: all Case of this function

    Returns:
        verdict: of several wrong cases on the first
    """
    case = None
    try:
        check_signature(mine, reference, name)
        for case in cases:
            findings = tuple(examine(path, mine, reference, case))
            if any(finding.lines for finding in findings):
                return Verdict(name, "wrong", findings, case.told)
    except UnwrittenError as trouble:
        return Verdict(name, "unwritten", (Finding("", (str(trouble),)),))
    except CompareError as trouble:
        return Verdict(name, "wrong", (Finding("", (str(trouble),)),), case.told if case else "")
    return Verdict(name, "right")


def check_signature(mine, reference, name):
    function = attribute(mine, name)
    if not callable(function):
        raise CompareError(f"is not in the file; its name must be {name}")
    parameters = list(inspect.signature(function).parameters)
    expected = list(inspect.signature(attribute(reference, name)).parameters)
    if parameters != expected:
        raise CompareError(f"takes ({', '.join(parameters)}), expected ({', '.join(expected)})")


def examine(path, mine, reference, case):
    """Compare the output; if it is right the gradients; if they are right the manners.

    Returns:
        findings: one an array, right or wrong
    """
    outputs, gradients = return_names(attribute(reference, case.function))
    outputs = [case.output] if case.output else outputs
    parameters = list(inspect.signature(attribute(reference, case.function)).parameters)
    clues = clues_of(case, parameters, [*outputs, *parameters])
    expected_arguments, arguments = copied(case.arguments), copied(case.arguments)
    expected = case.run(reference, expected_arguments)
    result = attempt(path, lambda: case.run(mine, arguments))
    if expected is None:
        return compare(arguments[0], expected_arguments[0], parameters[:1], clues)
    if not isinstance(expected, tuple) or not callable(expected[-1]):
        found = compare(result, expected, outputs, clues)
        return found if wrong(found) else found + unchanged(arguments, case.arguments, parameters)
    y, backward = unpack(result, outputs[0])
    found = compare(y, expected[0], outputs[:1], clues)
    found += unchanged(arguments, case.arguments, parameters)
    if wrong(found):
        return found
    dy = upstream(expected[0])
    given = np.copy(dy) if np.ndim(dy) else dy
    try:
        first = attempt(path, lambda: backward(given))
    except UnwrittenError as error:
        raise UnwrittenError(f"{outputs[0]} is right; {error}") from None
    clues = clues_of(case, parameters, gradients, dy)
    found += compare(first, expected[1](dy), gradients, clues)
    if wrong(found):
        return found
    found += unchanged((*arguments, given), (*case.arguments, dy), [*parameters, "dy"])
    return found + again(path, backward, dy, first) + single_precision(path, mine, case, gradients)


def wrong(findings):
    return any(finding.lines for finding in findings)


def copied(arguments):
    return change_arrays(np.copy, arguments)


def unpack(result, name):
    """Take an output and a backward from whatever a function returned."""
    if not isinstance(result, tuple) or len(result) != 2:
        raise CompareError(f"returns {kind_of(result)}, expected two: {name}, backward")
    if callable(result[0]) and not callable(result[1]):
        raise CompareError(f"returns backward first; the order is {name}, backward")
    if not callable(result[1]):
        raise CompareError(
            f"returns {kind_of(result[1])} as its second value, expected backward itself"
        )
    return result


def clues_of(case, parameters, names, dy=None):
    """Collect the arrays that a wrong answer may be, lack, or have too much of.

    Args:
        case: the call
        parameters: names of its arguments
        names: of what is compared
        dy: the upstream gradient, if gradients are
    """
    known = named_arrays(parameters, case.arguments)
    if dy is not None:
        known |= named_arrays(["the upstream gradient"], [dy])
        known |= case.known(*case.arguments, dy) if case.known else {}
    mistakes = {
        tensor: {text: make(*case.arguments, dy) for text, make in texts.items()}
        for tensor, texts in case.mistakes.items()
        if tensor.split(".")[0] in names
    }
    return Clues(case.factors, known, mistakes)


def unchanged(now, before, names):
    """Name the first argument that was written to."""
    for name, given, original in zip(names, now, before, strict=False):
        pairs = zip(leaves(given, name), leaves(original, name), strict=True)
        if any(not np.array_equal(a, b) for (_, a), (_, b) in pairs):
            return [Finding(name, ("is changed in place; inputs stay as they were",))]
    return []


def again(path, backward, dy, first):
    """A second call of backward returns the same numbers."""
    copies = [np.copy(array) for _, array in leaves(first, "")]
    second = attempt(path, lambda: backward(np.copy(dy) if np.ndim(dy) else dy))
    for copy, (name, array) in zip(copies, leaves(second, "backward"), strict=False):
        if not np.array_equal(copy, array):
            return [Finding(name, ("is another at a second call of backward",))]
    return []


def single_precision(path, mine, case, names):
    """From float32 comes float32."""

    def single(array):
        return array.astype(np.float32) if array.dtype == np.float64 else np.copy(array)

    arguments = change_arrays(single, case.arguments)
    y, backward = attempt(path, lambda: case.run(mine, arguments))
    gradients = attempt(path, lambda: backward(upstream(y)))
    values = (y, *gradients) if isinstance(gradients, tuple) else (y, gradients)
    for name, value in zip(["the output", *names], values, strict=False):
        for part, array in leaves(value, name):
            if array.dtype == np.float64 and array.ndim:
                line = "is float64 although the inputs are float32: is there a float64 among them?"
                return [Finding(part, (line,))]
    return []
