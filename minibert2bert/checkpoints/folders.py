"""Write the files of a folder so that a crash leaves the old ones or the new ones, never a mix.

New files are made in a hidden folder inside of the one they are for. Renaming it to .finished-save
decides: before, the old files count; after, the new ones do, and whoever next reads or saves moves
into place what is still in there. The folder itself stays where it is, so it may be the current
one, or a mounted one, and its other files are never touched.
"""

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

FINISHED = ".finished-save"
DROPPED = ".dropped.json"


@contextmanager
def replacing(folder: str | Path, drop: Callable[[str], bool] = lambda _: False) -> Iterator[Path]:
    """Give an empty folder to write files to; they get into folder when the block ends well.

    What else the folder holds is kept. If the block raises, nothing has changed. A process that
    is killed may leave a hidden .unfinished-save folder, which nobody reads.

    Args:
        folder: what to write; made if it is not there
        drop: which names of old files not to keep

    Raises:
        NotADirectoryError: if there is a file of that name.
        IsADirectoryError: if there is a folder where a new file belongs.
    """
    target = Path(folder).resolve()
    if target.exists() and not target.is_dir():
        raise NotADirectoryError(f"{target} must be a folder, but is a file; choose another name")
    fresh = not target.exists()
    target.mkdir(parents=True, exist_ok=True)
    recover(target)
    new = Path(tempfile.mkdtemp(prefix=".unfinished-save-", dir=target))
    try:
        yield new
        _finish(new, target, drop)
        os.rename(new, target / FINISHED)
    except BaseException:
        shutil.rmtree(new, ignore_errors=True)
        if fresh:
            with suppress(OSError):
                target.rmdir()
        raise
    flush(target)
    recover(target)


def recover(folder: str | Path) -> None:
    """Move the files of a finished save into place; without one, do nothing.

    Every reader of a folder calls this first, for a crash may have come in between. It may be
    cut short and repeated, and several processes may do it at once.
    """
    target = Path(folder)
    finished = target / FINISHED
    if not finished.is_dir():
        return
    for name in _dropped(finished):
        (target / name).unlink(missing_ok=True)
    names = sorted(path.name for path in finished.iterdir() if path.name != DROPPED)
    # Other programs do not recover; for them a new config.json says that the rest is there.
    for name in sorted(names, key="config.json".__eq__):
        with suppress(FileNotFoundError):  # Another reader has moved it.
            os.replace(finished / name, target / name)
    flush(target)
    shutil.rmtree(finished, ignore_errors=True)


def _finish(new: Path, target: Path, drop: Callable[[str], bool]) -> None:
    """Bring the new files into the state that recover relies on, down to the disk."""
    names = {path.name for path in new.iterdir()}
    for name in names:
        if (target / name).is_dir():
            raise IsADirectoryError(f"{target / name} is a folder where a file belongs; move it")
    old = [path.name for path in target.iterdir() if not path.is_dir()]
    dropped = new / DROPPED
    dropped.write_text(json.dumps([name for name in old if drop(name) and name not in names]))
    for path in new.iterdir():
        # A library may have made its file private; one made here has the usual permissions.
        path.chmod(dropped.stat().st_mode)
        flush(path)
    flush(new)


def _dropped(finished: Path) -> list[str]:
    try:
        names = json.loads((finished / DROPPED).read_text())
    except FileNotFoundError:
        # The last thing a recovery does is to remove it, and a crash may have come after that.
        return []
    # A downloaded folder must not have a say about files elsewhere.
    return [name for name in names if os.path.basename(name) == name]


def flush(path: Path) -> None:
    """Have the file system write a file, or the names in a folder, down to the disk."""
    if path.is_dir() and os.name == "nt":
        return  # Windows does this by itself, and opens no folders.
    descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
