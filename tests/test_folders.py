"""A folder that is written stays whole, whatever interrupts the writing."""

import os
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from minibert2bert.checkpoints.folders import recover, replacing


def write(folder, text, drop=lambda _: False):
    with replacing(folder, drop) as new:
        (new / "config.json").write_text(text)


def contents(folder):
    return {path.name: path.read_text() for path in folder.iterdir()}


def test_a_new_folder_appears_whole(tmp_path):
    with replacing(tmp_path / "a" / "model") as new:
        (new / "config.json").write_text("1")
        assert not (tmp_path / "a" / "model" / "config.json").exists()
    assert contents(tmp_path / "a" / "model") == {"config.json": "1"}


def test_what_else_the_old_folder_holds_is_kept(tmp_path):
    folder = tmp_path / "model"
    write(folder, "old")
    (folder / "README.md").write_text("mine")
    (folder / "notes").mkdir()
    (folder / "notes" / "a.txt").write_text("b")
    write(folder, "new")
    assert (folder / "config.json").read_text() == "new"
    assert (folder / "README.md").read_text() == "mine"
    assert (folder / "notes" / "a.txt").read_text() == "b"


def test_dropped_names_are_not_kept(tmp_path):
    folder = tmp_path / "model"
    write(folder, "old")
    (folder / "model-00002-of-00002.safetensors").write_text("stale")
    write(folder, "new", drop=lambda name: name.startswith("model-"))
    assert contents(folder) == {"config.json": "new"}


def test_an_error_while_writing_changes_nothing_and_leaves_no_rubbish(tmp_path):
    folder = tmp_path / "model"
    write(folder, "old")

    def write_half():
        with replacing(folder) as new:
            (new / "config.json").write_text("half")
            raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        write_half()
    assert contents(folder) == {"config.json": "old"}
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


class Crash(BaseException):
    """Stands for the end of the process."""


@pytest.fixture
def crash_before(audit):
    def set_step(step):
        audit["left"] = step

    yield set_step
    audit["left"] = None


@pytest.fixture(scope="module")
def audit():
    """Count what changes the file system; at the chosen step, and from then on, nothing works."""
    state = {"left": None}

    def hook(event, arguments):
        writes = event == "open" and (arguments[2] or 0) & (os.O_WRONLY | os.O_RDWR)
        changes = event in ("os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.chmod") or writes
        if state["left"] is not None and changes:
            state["left"] -= 1
            if state["left"] < 0:
                raise Crash

    sys.addaudithook(hook)
    return state


def save_two_files(folder, text):
    with replacing(folder, drop=lambda name: name in ("a", "b")) as new:
        (new / "a").write_text(text)
        (new / "config.json").write_text(text)


@pytest.mark.parametrize("step", range(24))
def test_a_crash_at_any_step_leaves_all_old_files_or_all_new_ones(tmp_path, crash_before, step):
    old = {"a": "old", "b": "old", "config.json": "old", "README.md": "mine"}
    for name, text in old.items():
        (tmp_path / name).write_text(text)
    crash_before(step)
    with suppress(Crash):
        save_two_files(tmp_path, "new")
    crash_before(None)
    recover(tmp_path)
    found = {path.name: path.read_text() for path in tmp_path.iterdir() if path.is_file()}
    assert found in (old, {"a": "new", "config.json": "new", "README.md": "mine"})


def test_the_crash_test_reaches_both_ends_of_a_save(tmp_path, crash_before):
    crash_before(0)
    with pytest.raises(Crash):
        save_two_files(tmp_path, "new")
    crash_before(24)
    save_two_files(tmp_path, "new")


def test_a_reader_may_finish_a_save_while_the_writer_does(tmp_path, monkeypatch):
    replace = os.replace

    def slow_replace(*arguments):
        monkeypatch.setattr(os, "replace", replace)
        recover(tmp_path)  # The other process is faster.
        replace(*arguments)

    monkeypatch.setattr(os, "replace", slow_replace)
    save_two_files(tmp_path, "new")
    assert contents(tmp_path) == {"a": "new", "config.json": "new"}


def test_the_current_folder_stays_the_current_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(".", "new")
    assert (Path.cwd() / "config.json").read_text() == "new"
    assert os.path.samefile(".", tmp_path)


def test_a_folder_where_a_file_belongs_is_an_error_before_anything_changes(tmp_path):
    (tmp_path / "config.json").mkdir()
    with pytest.raises(IsADirectoryError, match="a folder where a file belongs"):
        write(tmp_path, "new")
    assert [path.name for path in tmp_path.iterdir()] == ["config.json"]


def test_a_save_in_a_downloaded_folder_removes_nothing_elsewhere(tmp_path):
    (tmp_path / "mine").write_text("")
    (tmp_path / "model" / ".finished-save").mkdir(parents=True)
    (tmp_path / "model" / ".finished-save" / ".dropped.json").write_text('["../mine"]')
    recover(tmp_path / "model")
    assert (tmp_path / "mine").exists()


def test_a_new_folder_whose_writing_failed_is_gone_again(tmp_path):
    with pytest.raises(OSError, match="full"), replacing(tmp_path / "model"):
        raise OSError("full")
    assert list(tmp_path.iterdir()) == []


def test_a_file_in_the_way_is_an_error(tmp_path):
    (tmp_path / "model").write_text("")
    with pytest.raises(NotADirectoryError, match="choose another name"):
        write(tmp_path / "model", "new")


def test_a_link_to_a_folder_stays_a_link(tmp_path):
    write(tmp_path / "real", "old")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    write(tmp_path / "link", "new")
    assert (tmp_path / "link").is_symlink()
    assert contents(tmp_path / "real") == {"config.json": "new"}


def test_what_is_written_can_be_read_by_others(tmp_path):
    with replacing(tmp_path / "model") as new:
        (new / "config.json").touch(mode=0o600)
    mask = os.umask(0)
    os.umask(mask)
    assert (tmp_path / "model").stat().st_mode & 0o777 == 0o777 & ~mask
    assert (tmp_path / "model" / "config.json").stat().st_mode & 0o777 == 0o666 & ~mask


def test_config_json_is_moved_last(tmp_path, monkeypatch):
    replace, moved = os.replace, []
    monkeypatch.setattr(
        os, "replace", lambda *names: (moved.append(names[1].name), replace(*names))
    )
    with replacing(tmp_path) as new:
        for name in ("config.json", "model.safetensors", "a-much-longer-name.txt"):
            (new / name).write_text("")
    assert moved == ["a-much-longer-name.txt", "model.safetensors", "config.json"]
