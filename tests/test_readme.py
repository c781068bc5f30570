"""What the README shows is what happens."""

import contextlib
import io
import re
import textwrap
from pathlib import Path

import minibert2bert
from minibert2bert.cli import main

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(python)?\n(.*?)```", README, flags=re.DOTALL)


def printed(function):
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        function()
    return out.getvalue()


def test_the_first_command_prints_what_is_shown():
    shell = [block for language, block in BLOCKS if not language]
    text = re.search(r'generate "(.*)"', shell[0]).group(1)
    assert printed(lambda: main(["generate", text])) == shell[1]


def test_the_python_example_runs():
    code = next(block for language, block in BLOCKS if language and "import" in block)
    out = printed(lambda: exec(compile(code, "README.md", "exec"), {}))
    assert re.fullmatch(r"loss \d\.\d{3}\n\(192, 192\)\n", out)


def test_the_component_shown_is_the_packages_own():
    shown = next(block for language, block in BLOCKS if language and "def layer_norm" in block)
    source = (ROOT / "minibert2bert" / "components" / "layer_norm.py").read_text()
    body = source[source.index("def layer_norm") :]
    lines = body[body.index('"""\n    weight') + 4 :]
    assert textwrap.dedent(shown.split("\n", 1)[1]) == textwrap.dedent(
        re.sub(r"\(dy: Array\) -> tuple\[Params, Array\]", "(dy)", lines)
    )


def test_every_file_named_in_the_table_exists():
    package = ROOT / "minibert2bert"
    for row in re.findall(r"^\| (`.*?) \|", README, flags=re.MULTILINE):
        folder = ""
        for name in re.findall(r"`([a-z_/]+\.py)`", row):
            folder = name.rsplit("/", 1)[0] if "/" in name else folder
            assert (package / folder / name.rsplit("/", 1)[-1]).is_file(), name


def test_every_public_name_exists_and_is_listed_in_order():
    names = minibert2bert.__all__
    assert all(hasattr(minibert2bert, name) for name in names)
    assert names == sorted(names)
