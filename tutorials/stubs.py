"""Make the exercises: files of the package without the bodies that a reader is to write.

    python -m tutorials.stubs [NAME ...]

An exercise has the package's own imports, signatures and docstrings, so the two cannot drift
apart. A file in which anything was changed is never written over; delete it to start again.
"""

import argparse
import ast
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "tutorials" / "exercises"
HEADER = """\
# An exercise of tutorials/{tutorial}.py.
# Write what raises NotImplementedError, then run: pytest --mine {name}
# Checksum of the untouched file: {checksum}

"""


@dataclass(frozen=True)
class Exercise:
    """A file of the package and what of it is to be written.

    Attributes:
        module: the full name of the file's module
        functions: their names; a method's as Class.method
        tutorial: where it is explained
    """

    module: str
    functions: tuple[str, ...]
    tutorial: str

    @property
    def name(self) -> str:
        """The file's name: what follows `pytest --mine`."""
        return self.module.rsplit(".", 1)[1]

    def source(self) -> Path:
        """Find the package's own file without importing it."""
        return ROOT.joinpath(*self.module.split(".")).with_suffix(".py")


def _component(name: str, functions: str, tutorial: str) -> Exercise:
    return Exercise(f"minibert2bert.components.{name}", tuple(functions.split()), tutorial)


ALL = (
    _component("linear", "linear", "01_linear"),
    _component("activations", "gelu sigmoid relu tanh", "02_activations"),
    _component("layer_norm", "layer_norm", "03_layer_norm"),
    _component(
        "embeddings", "embedding add_rows for_ids word_and_position_embeddings", "04_embeddings"
    ),
    _component("softmax", "masked_softmax hide", "05_attention"),
    _component(
        "scaled_dot_product",
        "scaled_dot_product attend scaled_dot_product_attention",
        "05_attention",
    ),
    _component(
        "attention", "split_heads merge_heads multi_head_attention", "06_multi_head_attention"
    ),
    _component("feed_forward", "feed_forward_block", "07_layers"),
    _component("lm_head", "tied_lm_head untied_lm_head head_transform", "08_decoder"),
    _component("loss", "cross_entropy shift_tokens_right", "09_loss"),
    Exercise(
        "minibert2bert.training.optimizer",
        ("AdamW._move_block", "clip_by_global_norm"),
        "11_training",
    ),
    Exercise(
        "minibert2bert.generation.search",
        ("greedy_step", "with_tokens", "is_writing"),
        "12_decoding",
    ),
    Exercise(
        "minibert2bert.generation.beam_search",
        ("start_beams", "sort_out", "is_settled", "log_softmax"),
        "12_decoding",
    ),
)
EXERCISES = {exercise.name: exercise for exercise in ALL}


def stub(exercise: Exercise) -> str:
    """Take the bodies out of the package's file.

    Returns:
        text: of the exercise, its header included
    """
    source = exercise.source().read_text(encoding="utf-8")
    lines = source.splitlines()
    named = dict(_functions(ast.parse(source)))
    # From the last to the first, so that the line numbers above stay right.
    for name in sorted(exercise.functions, key=lambda name: named[name].lineno, reverse=True):
        function = named[name]
        docstring = ast.get_docstring(function) is not None
        first = function.body[0]
        start = (first.end_lineno or 0) if docstring else _code_start(function, lines)
        lines[start : function.end_lineno] = _blank_body(name, function, lines)
    body = "\n".join(lines) + "\n"
    names = {"tutorial": exercise.tutorial, "name": exercise.name}
    return HEADER.format(checksum=checksum(body), **names) + body


def is_untouched(text: str) -> bool:
    """Tell whether text is an exercise as some state of the package made it."""
    head, _, body = text.partition("\n\n")
    return head.endswith(f" {checksum(body)}")


def checksum(body: str) -> str:
    """Eight digits that change with the text."""
    return f"{zlib.crc32(body.encode()):08x}"


def _functions(tree: ast.Module) -> Iterator[tuple[str, ast.FunctionDef]]:
    for node in tree.body:
        if isinstance(node, ast.FunctionDef):
            yield node.name, node
        elif isinstance(node, ast.ClassDef):
            for part in node.body:
                if isinstance(part, ast.FunctionDef):
                    yield f"{node.name}.{part.name}", part


def _code_start(function: ast.FunctionDef, lines: list[str]) -> int:
    """The number of lines before the body, comments above its first statement included."""
    start = function.body[0].lineno - 1
    while lines[start - 1].strip().startswith("#"):
        start -= 1
    return start


def _blank_body(name: str, function: ast.FunctionDef, lines: list[str]) -> list[str]:
    """What stands in the place of a body; a backward keeps its signature."""
    indent = " " * function.body[0].col_offset
    backwards = [
        node
        for node in function.body
        if isinstance(node, ast.FunctionDef) and node.name == "backward"
    ]
    if not backwards:
        return [f'{indent}raise NotImplementedError("{name} is not written yet")']
    backward = backwards[0]
    return [
        f'{indent}raise NotImplementedError("{name} is not written yet")',
        "",
        *lines[backward.lineno - 1 : _code_start(backward, lines)],
        f'{indent}    raise NotImplementedError("the backward of {name} is not written yet")',
        "",
        f"{indent}return ..., backward",
    ]


def update(exercise: Exercise, folder: Path = FOLDER) -> str:
    """Write an exercise, unless somebody has worked on it.

    Returns:
        what was done: written, current or kept
    """
    path = folder / f"{exercise.name}.py"
    text = stub(exercise)
    if path.exists():
        old = path.read_text(encoding="utf-8")
        if old == text:
            return "current"
        if not is_untouched(old):
            return "kept, for there is work in it"
    folder.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return "written"


def main() -> None:
    """Bring the exercises up to date with the package."""
    parser = argparse.ArgumentParser(prog="python -m tutorials.stubs", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="all by default")
    names = parser.parse_args().names or list(EXERCISES)
    unknown = [name for name in names if name not in EXERCISES]
    if unknown:
        parser.error(f"no exercise {', '.join(unknown)}; there are {', '.join(EXERCISES)}")
    for name in names:
        print(f"{name}: {update(EXERCISES[name])}")


if __name__ == "__main__":
    main()
