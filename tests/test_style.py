"""The rules of the style that a syntax tree can tell."""

import ast
import re
from collections import Counter
from pathlib import Path

import pytest

import minibert2bert

PACKAGE = Path(minibert2bert.__file__).parent
SOURCES = {
    path.relative_to(PACKAGE).as_posix(): path.read_text(encoding="utf-8")
    for path in sorted(PACKAGE.rglob("*.py"))
}
TREES = {file: ast.parse(source) for file, source in SOURCES.items()}
MOST_STATEMENTS = 30
# Arguments stand one a line, so a short function may take more lines than statements.
MOST_LINES = 40
SCOPES = (ast.FunctionDef, ast.Lambda, ast.ClassDef)
COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
LOOPS = (ast.For, ast.While)


def functions_of(tree):
    return [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]


def own_nodes(function):
    """Yield the nodes of a function, but not those of the functions inside."""
    for node in ast.iter_child_nodes(function):
        if not isinstance(node, (*SCOPES, *COMPREHENSIONS)):
            yield node
            yield from own_nodes(node)


def parameters_of(function):
    return {node.arg for node in ast.walk(function.args) if isinstance(node, ast.arg)}


def assignments(nodes):
    """Count for each name how often a path assigns it; in a loop, once is already twice.

    An augmented assignment does not count: it changes the array that the name has already.
    """
    counts = Counter()
    for node in nodes:
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            counts[node.id] += 1
        elif isinstance(node, ast.If):
            counts += assignments(node.body) | assignments(node.orelse)
        elif not isinstance(node, (*SCOPES, *COMPREHENSIONS, ast.AugAssign)):
            inner = assignments(() if is_declaration(node) else ast.iter_child_nodes(node))
            counts += inner + inner if isinstance(node, LOOPS) else inner
    return counts


def is_declaration(node):
    return isinstance(node, ast.AnnAssign) and node.value is None


def changed_after(function, line):
    """The names of what the function changes in place below a line."""
    for node in own_nodes(function):
        target = node.target if isinstance(node, ast.AugAssign) else node
        element = isinstance(target, ast.Subscript) and isinstance(target.ctx, ast.Store)
        while isinstance(target, ast.Subscript):
            target = target.value
        changed = isinstance(node, ast.AugAssign) or element
        if changed and isinstance(target, ast.Name) and node.lineno > line:
            yield target.id


def names_read(inner):
    """The names that a nested function takes from outside."""
    names = [node for node in ast.walk(inner) if isinstance(node, ast.Name)]
    bound = {node.id for node in names if isinstance(node.ctx, ast.Store)}
    for node in ast.walk(inner):
        bound |= parameters_of(node) if isinstance(node, (ast.FunctionDef, ast.Lambda)) else set()
    return {node.id for node in names} - bound


def unsteady_names(tree):
    """Name what a nested function reads although the function around it assigns it again."""
    for function in functions_of(tree):
        counts = Counter(parameters_of(function)) + assignments(function.body)
        again = {name for name, count in counts.items() if count > 1}
        for inner in functions_of(function):
            if inner is not function:
                unsteady = again | (set(changed_after(function, inner.lineno)) & set(counts))
                for name in sorted(names_read(inner) & unsteady):
                    yield f"{function.name}: {name}"


def code_of(function):
    return function.body[1:] if ast.get_docstring(function) is not None else function.body


def statement_count(function):
    return sum(isinstance(n, ast.stmt) for top in code_of(function) for n in ast.walk(top))


def line_count(function, source):
    body = code_of(function)
    if not body:
        return 0
    lines = source.splitlines()[body[0].lineno - 1 : function.end_lineno]
    return sum(bool(line.strip()) and not line.strip().startswith("#") for line in lines)


def returns_backward(function):
    return function.returns is not None and "Backward" in ast.unparse(function.returns)


def signature(function):
    return f"{ast.unparse(function.args)} -> {function.returns and ast.unparse(function.returns)}"


def incomplete_docstrings(tree):
    """Name the public functions that do not tell what they return.

    A family of functions with one signature, such as the activations, tells it once, in the first.
    """
    told = set()
    for function in tree.body:
        if not isinstance(function, ast.FunctionDef) or function.name.startswith("_"):
            continue
        text = ast.get_docstring(function) or ""
        complete = "Returns:" in text or ast.unparse(function.returns) == "None"
        if returns_backward(function):
            complete = complete and re.search(r"^ *backward: ", text, re.MULTILINE) is not None
        if complete:
            told.add(signature(function))
        elif signature(function) not in told or not text:
            yield function.name


def in_package(check):
    return "\n".join(f"{file}: {found}" for file, tree in TREES.items() for found in check(tree))


def test_what_a_backward_reads_is_assigned_once():
    assert in_package(unsteady_names) == ""


def test_no_function_has_more_than_thirty_statements():
    def long_functions(tree):
        counts = ((f.name, statement_count(f)) for f in functions_of(tree))
        return [f"{name} has {count}" for name, count in counts if count > MOST_STATEMENTS]

    assert in_package(long_functions) == ""


@pytest.mark.parametrize("file", SOURCES)
def test_no_function_has_more_than_forty_lines(file):
    counts = [(f.name, line_count(f, SOURCES[file])) for f in functions_of(TREES[file])]
    assert [f"{name}: {count}" for name, count in counts if count > MOST_LINES] == []


@pytest.mark.parametrize("file", SOURCES)
def test_nothing_is_left_for_later_and_no_check_is_silenced(file):
    left = re.compile(r"\b(TODO|FIXME|XXX)\b|# *(noqa|type: *ignore)")
    assert [line for line in SOURCES[file].splitlines() if left.search(line)] == []


def test_einsum_is_only_in_the_tests():
    def sums(tree):
        return [f"line {n.lineno}" for n in ast.walk(tree) if getattr(n, "attr", "") == "einsum"]

    assert in_package(sums) == ""
    assert "import einsum" not in "".join(SOURCES.values())


def test_every_component_tells_what_it_and_its_backward_return():
    trees = {file: tree for file, tree in TREES.items() if file.startswith("components/")}
    assert len(trees) > 10
    found = [f"{file}: {name}" for file, t in trees.items() for name in incomplete_docstrings(t)]
    assert "\n".join(found) == ""


def with_backward(*lines):
    body = "".join(f"    {line}\n" for line in lines)
    inner = "    def backward(dy):\n        return dy * x\n"
    return ast.parse(f"def f(a):\n{body}{inner}    return x, backward\n")


UNSTEADY = [
    ("x = a", "x = x + 1"),
    ("for x in a:", "    pass"),
    ("for i in a:", "    x = i"),
    ("while a:", "    x = a"),
    ("x, y = a", "y, x = a"),
    ("x = a", "if a:", "    x = 1"),
]
STEADY = [
    ("x = a",),
    ("x: int", "if a:", "    x = 1", "else:", "    x = 2"),
    ("x = a", "x += 1"),
    ("y = a", "y = y + 1", "x = y"),
    ("x = {}", "for i in a:", "    x[i] = i"),
    ("x = [x for x in a]",),
    ("x = a", "def g(x):", "    x = 1", "    return x"),
]


@pytest.mark.parametrize("lines", UNSTEADY)
def test_the_check_sees_a_second_assignment(lines):
    assert list(unsteady_names(with_backward(*lines))) == ["f: x"]


@pytest.mark.parametrize("lines", STEADY)
def test_the_check_lets_a_single_assignment_pass(lines):
    assert list(unsteady_names(with_backward(*lines))) == []


@pytest.mark.parametrize("last", ["x = 1", "x += 1", "x[0] += 1"])
def test_the_check_sees_a_change_after_the_backward(last):
    source = f"def f(x):\n    def backward(dy):\n        return dy * x\n    {last}\n"
    assert list(unsteady_names(ast.parse(source))) == ["f: x"]


def test_the_check_sees_a_parameter_that_is_assigned_and_a_backward_inside_a_branch():
    source = "def f(x):\n    x = 1\n    if x:\n        def backward(dy):\n            return x\n"
    assert list(unsteady_names(ast.parse(source))) == ["f: x"]


def test_the_checks_count_code_and_not_docstrings_or_comments():
    source = (
        'def f(x):\n    """One.\n\n    Two.\n    """\n    # Why.\n    y = g(\n        x\n    )\n'
    )
    function = ast.parse(source).body[0]
    assert (statement_count(function), line_count(function, source)) == (1, 3)


@pytest.mark.parametrize(
    ("docstring", "returns", "complete"),
    [
        ("Do.", "Array", False),
        ("Do.\n\n    Returns:\n        y", "Array", True),
        ("Do.\n\n    Returns:\n        y", "tuple[Array, Backward]", False),
        ("Do.\n\n    Returns:\n        backward: dy -> dx", "tuple[Array, Backward]", True),
        ("Do.", "None", True),
    ],
)
def test_the_check_sees_what_a_docstring_leaves_out(docstring, returns, complete):
    source = f'def f(x: Array) -> {returns}:\n    """{docstring}\n    """\n'
    assert list(incomplete_docstrings(ast.parse(source))) == ([] if complete else ["f"])


def test_a_family_of_functions_tells_its_returns_once():
    told = 'def f(x: Array) -> Array:\n    """Do.\n\n    Returns:\n        y\n    """\n'
    same = 'def g(x: Array) -> Array:\n    """Do."""\n'
    other = 'def h(z: Array) -> Array:\n    """Do."""\n'
    assert list(incomplete_docstrings(ast.parse(told + same + other))) == ["h"]
