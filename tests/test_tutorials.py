"""The tutorials run, their notebooks are theirs, and they keep the form that readers rely on."""

import contextlib
import io
import re
import socket
import time
from pathlib import Path

import pytest

from tutorials.build import NOTEBOOKS, SOURCES, is_current, main, names, read, stored
from tutorials.stubs import EXERCISES

for module in ("jupytext", "nbclient", "matplotlib"):
    pytest.importorskip(module, reason="needs pip install minibert2bert[tutorials]")

NAMES = names()
SECTIONS = ["The equation", "The package's function", "Check it", "Questions", "The fine print"]
OPENING = ["**What you'll do.**", "**What you'll learn.**", "**What you'll need.**", "| Letter |"]
ALL = 14
SECONDS = 60
BYTES = 300_000
ABSOLUTE_PATH = re.compile(r"(?<![\w.:/])(/[\w.-]+){2,}|[A-Z]:\\")
TIME_STAMP = re.compile(r"\d\d:\d\d:\d\d|\b20\d\d-\d\d-\d\d\b")


def markdown(name):
    cells = read(name).cells
    return "\n\n".join(cell.source for cell in cells if cell.cell_type == "markdown")


def outputs(name):
    return [output for cell in stored(name).cells for output in cell.get("outputs", [])]


def printed(cell):
    """What a cell of a notebook shows as text."""
    streams = [output for output in cell.outputs if output.output_type == "stream"]
    return "".join(output.text for output in streams)


def code_cells(name):
    return [cell for cell in stored(name).cells if cell.cell_type == "code"]


def refuse(*_, **__):
    raise OSError("a tutorial works offline")


@pytest.fixture
def offline(monkeypatch):
    monkeypatch.setattr(socket.socket, "connect", refuse)


@pytest.mark.usefixtures("offline")
@pytest.mark.parametrize("name", NAMES)
def test_a_tutorial_prints_in_a_minute_what_its_notebook_shows(name):
    space = {"__name__": name}
    start = time.perf_counter()
    for cell in code_cells(name):
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            exec(compile(cell.source, f"{name}.py", "exec"), space)
        if "varies" not in cell.metadata.get("tags", []):
            assert out.getvalue() == printed(cell), f"run python -m tutorials.build {name}"
    assert time.perf_counter() - start < SECONDS


@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_has_the_cells_of_its_source(name):
    assert is_current(name), f"run python -m tutorials.build {name}"


def test_every_notebook_has_a_source():
    assert sorted(path.stem for path in NOTEBOOKS.glob("*.ipynb")) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_is_small_and_was_run_to_its_end(name):
    assert (NOTEBOOKS / f"{name}.ipynb").stat().st_size < BYTES
    assert "error" not in {output.output_type for output in outputs(name)}
    counts = [cell.execution_count for cell in code_cells(name)]
    assert counts == list(range(1, len(counts) + 1))


@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_knows_no_machine_and_no_time(name):
    for output in outputs(name):
        text = output.get("text", "") + output.get("data", {}).get("text/plain", "")
        assert not ABSOLUTE_PATH.search(text), text
        assert not TIME_STAMP.search(text), text
        assert socket.gethostname() not in text
    assert set(stored(name).metadata) == {"kernelspec", "language_info"}


@pytest.mark.parametrize("name", NAMES)
def test_every_figure_says_what_it_shows(name):
    figures = [output for output in outputs(name) if "image/png" in output.get("data", {})]
    assert figures
    for figure in figures:
        assert len(figure.metadata["image/png"]["alt"]) > 60


@pytest.mark.parametrize("name", NAMES)
def test_a_tutorial_opens_and_goes_on_as_all_do(name):
    text = markdown(name)
    opening = [text.index(part) for part in OPENING]
    headings = re.findall(r"^## (.*)$", text, re.MULTILINE)
    assert opening == sorted(opening)
    assert [heading for heading in headings if heading in SECTIONS] == SECTIONS
    assert text.startswith(f"# {int(name[:2])}. ")


@pytest.mark.parametrize("name", NAMES)
def test_the_questions_have_folded_answers(name):
    text = markdown(name)
    assert text.count("<details><summary>") == text.count("</details>") >= 3


@pytest.mark.parametrize("name", NAMES)
def test_the_prose_is_calm_and_its_links_lead_somewhere(name):
    text = markdown(name)
    assert "!" not in re.sub(r"`[^`]*`", "", text)
    for link in re.findall(r"\]\((\w+)\.ipynb\)", text):
        # What comes later may not be written yet.
        assert link in NAMES or (len(NAMES) < ALL and link > name)
    for path in re.findall(r"`(tutorials/[\w/]+\.py)`", text):
        assert (SOURCES.parent / path).is_file(), path


@pytest.mark.parametrize("name", NAMES)
def test_every_exercise_of_a_tutorial_is_named_in_it(name):
    for exercise in EXERCISES.values():
        if exercise.tutorial == name:
            assert f"pytest --mine {exercise.name}" in markdown(name)


@pytest.fixture
def copied(tmp_path, monkeypatch):
    """One short tutorial in a folder of its own."""
    monkeypatch.setattr("tutorials.build.SOURCES", tmp_path)
    monkeypatch.setattr("tutorials.build.NOTEBOOKS", tmp_path / "notebooks")
    monkeypatch.setattr("tutorials.build.ROOT", tmp_path)
    source = tmp_path / "01_short.py"
    source.write_text('# %% [markdown]\n# # 1. Short\n\n# %%\nprint("one")\n', encoding="utf-8")
    return source


def run(monkeypatch, *arguments):
    monkeypatch.setattr("sys.argv", ["build", *arguments])
    return main()


def test_a_build_is_the_same_twice_and_a_check_sees_a_changed_source(copied, monkeypatch, capsys):
    notebook = Path(copied).parent / "notebooks" / "01_short.ipynb"
    assert run(monkeypatch, "--check") == 1
    assert run(monkeypatch) == 0
    first = notebook.read_bytes()
    assert b"one" in first
    assert run(monkeypatch) == 0
    assert notebook.read_bytes() == first
    assert run(monkeypatch, "--check") == 0
    copied.write_text(copied.read_text(encoding="utf-8").replace("one", "two"), encoding="utf-8")
    assert run(monkeypatch, "--check", "01_short") == 1
    assert "01_short is not current" in capsys.readouterr().out
