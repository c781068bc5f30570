"""Write a folder so that a crash leaves the old one.

The new folder is made beside the old one and takes its place by renaming. At every moment the
folder is whole, or its predecessor stands beside it as .NAME.old, and the next read or write puts
that back.
"""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(folder: str | Path, drop: Callable[[str], bool] = lambda _: False) -> Iterator[Path]:
    """Give an empty folder to write to; it replaces the old one when the block ends well.

    What else the old folder holds is kept. If the block raises, nothing has changed.

    Args:
        folder: what to write; made if it is not there
        drop: which names of the old folder not to keep

    Raises:
        NotADirectoryError: if there is a file of that name.
    """
    target = Path(folder).resolve()
    if target.exists() and not target.is_dir():
        raise NotADirectoryError(f"{target} must be a folder, but is a file; choose another name")
    recover(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    new = Path(tempfile.mkdtemp(prefix=f".{target.name}.new-", dir=target.parent))
    try:
        yield new
        _open_to_readers(new)
        if target.is_dir():
            _keep_others(target, new, drop)
        _flush(new)
        _swap(new, target)
    except BaseException:
        shutil.rmtree(new, ignore_errors=True)
        raise


def recover(folder: str | Path) -> None:
    """Finish what a crash interrupted between the two renames of replacing."""
    target = Path(folder).resolve()
    old = _old_name(target)
    if not old.is_dir():
        return
    if target.exists():
        # The new folder is in place; only the removal of the old one was cut short.
        shutil.rmtree(old)
    else:
        os.rename(old, target)


def _swap(new: Path, target: Path) -> None:
    if not target.exists():
        os.rename(new, target)
        return
    old = _old_name(target)
    os.rename(target, old)
    try:
        os.rename(new, target)
    except BaseException:
        os.rename(old, target)
        raise
    shutil.rmtree(old)


def _old_name(target: Path) -> Path:
    return target.with_name(f".{target.name}.old")


def _keep_others(target: Path, new: Path, drop: Callable[[str], bool]) -> None:
    for path in target.iterdir():
        if drop(path.name) or (new / path.name).exists():
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.copytree(path, new / path.name, symlinks=True, copy_function=_link)
        else:
            _link(str(path), str(new / path.name))


def _link(source: str, destination: str) -> None:
    """Give a file a second name, which takes no room; copy it where that is not possible."""
    try:
        os.link(source, destination, follow_symlinks=False)
    except OSError:
        shutil.copy2(source, destination, follow_symlinks=False)


def _flush(folder: Path) -> None:
    """Have the file system write everything down before a name points to it."""
    for path in folder.iterdir():
        if path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())


def _open_to_readers(folder: Path) -> None:
    """Give the folder and what was written to it the usual permissions: it was made private."""
    mask = os.umask(0)
    os.umask(mask)
    folder.chmod(0o777 & ~mask)
    for path in folder.iterdir():
        if path.is_file() and not path.is_symlink():
            path.chmod(0o666 & ~mask)
