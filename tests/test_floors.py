"""What each file may import: the table of floors, read from the imports themselves."""

import ast
import graphlib
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

import minibert2bert

PACKAGE = Path(minibert2bert.__file__).parent
FLOORS = {
    "arrays": 0,
    "recording": 0,
    "hub": 0,
    "examples": 1,
    "device": 1,
    "components": 1,
    "checkpoints": 1,
    "tokenization": 1,
    "models": 2,
    "generation": 3,
    "training": 3,
    "inspection": 3,
    "evaluation": 3.5,
    "finetuning": 3.5,
    "demo": 3.5,
    "reproduce": 3.75,
    "commands": 4,
    "cli": 4,
    "__init__": 4,
    "__main__": 4,
}
# model.generate reads like a method of the model; the search itself is a floor above.
ALLOWED_UPWARDS = {("models/encoder_decoder.py", "generation")}
FILE_FORMATS = {"sentencepiece", "safetensors"}
READS_FILES = {"checkpoints", "tokenization", "finetuning", "demo"}
NEVER_AT_IMPORT = {
    "torch", "cupy", "sentencepiece", "subprocess", "socket", "multiprocessing",
}  # fmt: skip


@dataclass(frozen=True)
class Import:
    """One import of a file: `target` is a file of the package or another package's name."""

    file: str
    line: int
    target: str
    inside_function: bool

    @property
    def part(self):
        return part_of(self.file)

    @property
    def is_own(self):
        return self.target.endswith(".py")

    @property
    def where(self):
        return f"{self.file}:{self.line} imports {self.target}"


def part_of(file):
    return file.split("/")[0].removesuffix(".py")


def file_of(module):
    """The file of a module of this package; None if there is no such module."""
    path = "/".join(module.split(".")[1:])
    candidates = (f"{path}.py", f"{path}/__init__.py") if path else ("__init__.py",)
    return next((file for file in candidates if (PACKAGE / file).is_file()), None)


def targets_of(node, file):
    """What an import statement names: files of this package, or names of other packages."""
    if isinstance(node, ast.Import):
        modules = [alias.name for alias in node.names]
    else:
        assert node.level == 0, f"{file} imports relatively: write the full name"
        submodules = [f"{node.module}.{alias.name}" for alias in node.names]
        modules = [name if file_of(name) else node.module for name in submodules]
    for module in modules:
        top = module.split(".")[0]
        yield file_of(module) or module if top == "minibert2bert" else top


def imports_of(file, source):
    tree = ast.parse(source)
    in_functions = {
        node
        for function in ast.walk(tree)
        if isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef))
        for node in ast.walk(function)
    }
    for node in ast.walk(tree):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            for target in targets_of(node, file):
                yield Import(file, node.lineno, target, node in in_functions)


FILES = {
    path.relative_to(PACKAGE).as_posix(): path.read_text(encoding="utf-8")
    for path in sorted(PACKAGE.rglob("*.py"))
}
IMPORTS = [found for file, source in FILES.items() for found in imports_of(file, source)]


def goes_up(found):
    """Whether an import reaches another part that is not on a lower floor."""
    if not found.is_own or found.part == part_of(found.target):
        return False
    if found.inside_function and (found.file, part_of(found.target)) in ALLOWED_UPWARDS:
        return False
    if FLOORS[found.part] == FLOORS["cli"]:
        return False
    if FLOORS[found.part] == 0:
        return FLOORS[part_of(found.target)] > 0
    return FLOORS[part_of(found.target)] >= FLOORS[found.part]


def is_foreign(found):
    """Whether an import needs what may not be installed, or what another part is there for."""
    if found.is_own or found.target in sys.stdlib_module_names | {"numpy"}:
        return False
    if found.target in FILE_FORMATS:
        return found.part not in READS_FILES
    return not found.inside_function or found.part == "components"


def cycles(imports):
    """The files that import each other in a circle when they are loaded."""
    graph = {file: set() for file in FILES}
    for found in imports:
        if found.is_own and not found.inside_function and found.target != found.file:
            graph[found.file].add(found.target)
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        return error.args[1]
    return []


def report(judge):
    return "\n".join(found.where for found in IMPORTS if judge(found))


def judged(judge, file, source):
    return [judge(found) for found in imports_of(file, source)]


def test_every_file_has_a_floor():
    assert {part_of(file) for file in FILES} <= set(FLOORS)


def test_no_import_goes_up():
    assert report(goes_up) == ""


def test_the_exception_for_generate_is_still_used():
    used = {(found.file, part_of(found.target)) for found in IMPORTS if found.inside_function}
    assert used >= ALLOWED_UPWARDS


def test_components_need_only_the_ground_floor_each_other_and_numpy():
    own = [found for found in IMPORTS if found.part == "components" and found.is_own]
    parts = {part_of(found.target) for found in own}
    assert len(own) > 20
    assert parts == {"arrays", "recording", "components"}


def test_no_files_import_each_other_in_a_circle():
    assert cycles(IMPORTS) == []


def test_the_gradient_check_needs_only_the_ground_floor():
    own = {f.target for f in IMPORTS if f.file == "inspection/gradient_check.py" and f.is_own}
    assert own == {"arrays.py"}


def test_what_may_not_be_installed_is_imported_inside_functions_only():
    assert report(is_foreign) == ""


def test_only_device_knows_cupy():
    assert {found.file for found in IMPORTS if found.target == "cupy"} == {"device.py"}


UPWARDS = [
    ("arrays.py", "from minibert2bert.components.linear import linear"),
    ("device.py", "from minibert2bert.components.linear import linear"),
    ("components/linear.py", "from minibert2bert.device import to_device"),
    ("components/linear.py", "import minibert2bert.models.config"),
    ("models/config.py", "def f():\n    from minibert2bert.training import loop"),
    ("models/encoder_decoder.py", "from minibert2bert.generation.generate import generate"),
    ("models/config.py", "def f():\n    from minibert2bert.generation.generate import generate"),
    ("training/loop.py", "from minibert2bert.generation.config import GenerationConfig"),
    ("training/loop.py", "from minibert2bert import cli"),
    ("models/config.py", "from minibert2bert import __version__"),
    ("demo/train.py", "import minibert2bert.cli"),
]
DOWNWARDS = [
    ("recording.py", "from minibert2bert.arrays import Array"),
    ("components/linear.py", "from minibert2bert import arrays"),
    ("components/attention.py", "from minibert2bert.components.linear import linear"),
    ("models/encoder_decoder.py", "def f():\n    from minibert2bert.generation import session"),
    ("demo/train.py", "from minibert2bert.training.loop import train"),
    ("cli.py", "from minibert2bert import __version__"),
    ("__main__.py", "from minibert2bert.cli import main"),
    ("__init__.py", "from minibert2bert.demo import DEMO_FOLDER"),
    ("arrays.py", "import numpy"),
]


@pytest.mark.parametrize(("file", "source"), UPWARDS)
def test_the_check_sees_an_upward_import(file, source):
    assert judged(goes_up, file, source) == [True]


@pytest.mark.parametrize(("file", "source"), DOWNWARDS)
def test_the_check_lets_a_downward_import_pass(file, source):
    assert judged(goes_up, file, source) == [False]


@pytest.mark.parametrize(
    ("file", "source", "foreign"),
    [
        ("device.py", "import cupy", True),
        ("device.py", "def f():\n    import cupy", False),
        ("cli.py", "try:\n    import tqdm\nexcept ImportError:\n    pass", True),
        ("components/linear.py", "def f():\n    import torch.nn", True),
        ("models/config.py", "def f():\n    import safetensors.numpy", True),
        ("tokenization/auto.py", "from sentencepiece import SentencePieceProcessor", False),
        ("tokenization/auto.py", "import tokenizers", True),
        ("models/config.py", "import json, math", False),
    ],
)
def test_the_check_sees_what_may_not_be_installed(file, source, foreign):
    assert any(judged(is_foreign, file, source)) == foreign


def test_the_check_sees_a_circle():
    here, there = "components/linear.py", "components/erf.py"
    circle = [Import(here, 1, there, False), Import(there, 1, here, False)]
    assert set(cycles(circle)) == {here, there}


@pytest.mark.parametrize("module", ["minibert2bert.components.attention", "minibert2bert"])
def test_importing_loads_nothing_heavy_and_opens_no_doors(module):
    code = f"import numpy, sys; before = set(sys.modules); import {module}\n"
    code += f"print(*sorted({NEVER_AT_IMPORT} & (set(sys.modules) - before)))"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=PACKAGE.parent)
    assert done.stdout.split() == []
