"""A folder that is written stays whole, whatever interrupts the writing."""

import os

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
        assert not (tmp_path / "a" / "model").exists()
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


@pytest.mark.parametrize("step", range(6))
def test_an_error_at_any_renaming_leaves_old_or_new(tmp_path, monkeypatch, step):
    folder = tmp_path / "model"
    write(folder, "old")
    (folder / "README.md").write_text("mine")
    calls = iter(range(100))

    def failing(function):
        def call(*arguments, **options):
            if next(calls) == step:
                raise OSError("crash")
            return function(*arguments, **options)

        return call

    for name in ("rename", "fsync"):
        monkeypatch.setattr(os, name, failing(getattr(os, name)))
    try:
        write(folder, "new")
        expected = "new"
    except OSError:
        expected = "old"
    assert contents(folder) == {"config.json": expected, "README.md": "mine"}


def test_a_crash_between_the_renames_is_undone_by_the_next_read(tmp_path):
    folder = tmp_path / "model"
    write(folder, "old")
    # What a power cut leaves after the first rename.
    folder.rename(tmp_path / ".model.old")
    recover(folder)
    assert contents(folder) == {"config.json": "old"}


def test_a_crash_after_the_renames_leaves_only_rubbish_that_the_next_read_removes(tmp_path):
    folder = tmp_path / "model"
    write(folder, "old")
    folder.rename(tmp_path / ".model.old")
    write_beside = tmp_path / "other"
    write(write_beside, "new")
    write_beside.rename(folder)
    recover(folder)
    assert contents(folder) == {"config.json": "new"}
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


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
