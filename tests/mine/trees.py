"""Walk through whatever a function returned, and compare it part by part with the right thing."""

import inspect
import re
from dataclasses import dataclass, fields, is_dataclass, replace

import numpy as np
from mine.arrays import difference


@dataclass(frozen=True)
class Finding:
    """The name of an array and what is wrong with it; no lines if it is right."""

    name: str
    lines: tuple[str, ...] = ()


def return_names(function):
    """Read from a docstring how outputs and gradients are called.

    Returns:
        outputs: list of names
        gradients: list of names
    """
    text = (inspect.getdoc(function) or "").partition("Returns:")[2].partition("Raises:")[0]
    outputs = [name for name in re.findall(r"^ +(\w+): ", text, re.MULTILINE) if name != "backward"]
    found = re.search(r"backward: \w+ -> (.*)", text)
    gradients = re.sub(r"\([^)]*\)", "", found.group(1)) if found else "dx"
    return outputs or ["y"], [name.strip() for name in gradients.split(",")]


def compare(mine, expected, names, clues):
    """Compare nested dicts, tuples and arrays.

    Args:
        mine: anything
        expected: what it should be
        names: of the parts of a tuple, or the one name of something else
        clues: see arrays.Clues; mistakes are under the names of the arrays.

    Returns:
        findings: one for each array of expected, right or wrong
    """
    if is_dataclass(expected):
        return compare_fields(mine, expected, clues)
    if isinstance(expected, dict):
        return compare_dicts(mine, expected, names[0], clues)
    if isinstance(expected, tuple):
        return compare_tuples(mine, expected, names, clues)
    name = names[0]
    if expected is None:
        return [Finding(name, () if mine is None else (f"is {kind_of(mine)}, expected None",))]
    others = {n: a for n, a in clues.known.items() if n != name}
    own = replace(clues, known=others, mistakes=clues.mistakes.get(name, {}))
    return [Finding(name, tuple(difference(mine, expected, own)))]


def compare_fields(mine, expected, clues):
    if type(mine).__name__ != type(expected).__name__:
        line = f"is {kind_of(mine)}, expected a {type(expected).__name__}"
        return [Finding(type(expected).__name__, (line,))]
    names = [part.name for part in fields(expected)]
    pairs = [(getattr(mine, n, None), getattr(expected, n), n) for n in names]
    return [found for a, b, name in pairs for found in compare(a, b, [name], clues)]


def compare_dicts(mine, expected, name, clues):
    if not isinstance(mine, dict):
        line = f"is {kind_of(mine)}, expected a dict with {listed(expected)}"
        return [Finding(name, (line,))]
    findings = []
    for key, value in expected.items():
        part = f"{name}.{key}" if name else str(key)
        if key in mine:
            findings += compare(mine[key], value, [part], clues)
        else:
            findings.append(Finding(part, (f"is missing; there is {listed(mine) or 'nothing'}",)))
    extra = [key for key in mine if key not in expected]
    if extra:
        findings.append(Finding(name, (f"has names too many: {listed(extra)}",)))
    return findings


def compare_tuples(mine, expected, names, clues):
    if not isinstance(mine, (tuple, list)) or len(mine) != len(expected):
        came = f"{len(mine)} values" if isinstance(mine, (tuple, list)) else kind_of(mine)
        line = f"returns {came}, expected {len(expected)} values: {', '.join(names)}"
        return [Finding("backward", (line,))]
    own = replace(clues, known={**clues.known, **named_arrays(names, expected)})
    parts = zip(mine, expected, names, strict=True)
    return [found for value, right, name in parts for found in compare(value, right, [name], own)]


def kind_of(value):
    if value is None:
        return "None"
    if isinstance(value, np.ndarray):
        return f"an array {value.shape}"
    if isinstance(value, tuple):
        return f"{len(value)} values"
    return f"a {type(value).__name__}"


def listed(names):
    return ", ".join(repr(name) for name in names)


def leaves(value, name):
    """Yield every array inside nested dicts and tuples with a name; skip all else."""
    if isinstance(value, dict):
        for key, part in value.items():
            yield from leaves(part, f"{name}.{key}")
    elif isinstance(value, tuple):
        for number, part in enumerate(value):
            yield from leaves(part, f"{name}[{number}]")
    elif isinstance(value, (np.ndarray, np.generic)):
        yield name, np.asarray(value)


def named_arrays(names, values):
    """The float arrays among values, and in the dicts among them, by name."""
    arrays = [
        leaf for name, value in zip(names, values, strict=False) for leaf in leaves(value, name)
    ]
    return {name: array for name, array in arrays if array.ndim and array.dtype.kind == "f"}
