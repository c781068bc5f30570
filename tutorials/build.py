"""Make the notebooks from their sources.

    python -m tutorials.build [NAME ...]          execute the sources, write tutorials/notebooks
    python -m tutorials.build --check [NAME ...]  only tell which notebooks are not current

A notebook holds no times, no paths and no versions, so that two builds differ only if their
sources or results do.
"""

import argparse
import base64
import os
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
SOURCES = ROOT / "tutorials"
NOTEBOOKS = SOURCES / "notebooks"
LONGEST = 60
"""Seconds that a cell may take."""
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


def names() -> list[str]:
    """The tutorials in reading order: 01_linear and so on."""
    return sorted(path.stem for path in SOURCES.glob("[0-9][0-9]_*.py"))


def read(name: str) -> Any:
    """Turn a source into a notebook without outputs.

    Returns:
        notebook: as nbformat has it; its cells are numbered.
    """
    import jupytext

    notebook = jupytext.read(SOURCES / f"{name}.py")
    notebook.metadata = dict(METADATA)
    for number, cell in enumerate(notebook.cells):
        cell["id"] = f"cell-{number:02d}"
    return notebook


def execute(notebook: Any) -> Any:
    """Run all cells, and keep of the outputs what is the same in every run."""
    from nbclient import NotebookClient

    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    client = NotebookClient(notebook, timeout=LONGEST, kernel_name="python3", record_timing=False)
    client.execute(cwd=str(ROOT), env=environment)
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            if "data" in output:
                output["data"] = {kind: _as_text(d) for kind, d in sorted(output["data"].items())}
    notebook.metadata = dict(METADATA)
    return notebook


def _as_text(data: Any) -> Any:
    return base64.b64encode(data).decode() if isinstance(data, bytes) else data


def write(name: str) -> Path:
    """Build one notebook.

    Returns:
        path: where it lies
    """
    import nbformat

    NOTEBOOKS.mkdir(exist_ok=True)
    path = NOTEBOOKS / f"{name}.ipynb"
    nbformat.write(execute(read(name)), path)
    return path


def stored(name: str) -> Any:
    """Read a notebook as it was built; None if it was not."""
    import nbformat

    path = NOTEBOOKS / f"{name}.ipynb"
    return nbformat.read(path, as_version=4) if path.exists() else None


def is_current(name: str) -> bool:
    """Tell whether a notebook has the cells that its source has now."""
    notebook = stored(name)
    return notebook is not None and _cells(notebook) == _cells(read(name))


def _cells(notebook: Any) -> list[tuple[str, str]]:
    return [(cell.cell_type, cell.source) for cell in notebook.cells]


def main() -> int:
    """Build or check what the command line names."""
    parser = argparse.ArgumentParser(prog="python -m tutorials.build")
    parser.add_argument("names", nargs="*", metavar="NAME", help="such as 01_linear; default all")
    parser.add_argument("--check", action="store_true", help="write nothing")
    arguments = parser.parse_args()
    chosen = arguments.names or names()
    unknown = [name for name in chosen if name not in names()]
    if unknown:
        parser.error(f"no tutorial {', '.join(unknown)}; there are {', '.join(names())}")
    if arguments.check:
        stale = [name for name in chosen if not is_current(name)]
        print("\n".join(f"{name} is not current" for name in stale) or "all are current")
        return int(bool(stale))
    for name in chosen:
        path = write(name)
        print(f"{path.relative_to(ROOT)}: {path.stat().st_size / 1000:.0f} kB")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
