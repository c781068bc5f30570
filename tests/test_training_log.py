"""log.jsonl: whole lines, and cut down to a step."""

import pytest

from minibert2bert.training.events import Saved, TrainingStep, Warned
from minibert2bert.training.log import Log, read_log


def step(number):
    return TrainingStep(number, number / 2, 1.5, 0.1, 2.0, 30, 400.0)


@pytest.fixture
def log(tmp_path):
    log = Log(tmp_path)
    for number in (1, 2, 3):
        log(step(number))
    return log


def test_an_event_is_a_line_as_soon_as_it_happens(log, tmp_path):
    assert read_log(tmp_path)[1] == vars(step(2))
    log(Warned(3, "look"))
    assert read_log(tmp_path)[3] == {"step": 3, "warning": "look"}


def test_a_save_has_no_line(log, tmp_path):
    log(Saved(3, "folder"))
    assert len(read_log(tmp_path)) == 3


@pytest.mark.parametrize("last", [-1, 0, 2, 9])
def test_lines_of_later_steps_are_dropped(log, tmp_path, last):
    log.keep_until(last)
    assert [line["step"] for line in read_log(tmp_path)] == [n for n in (1, 2, 3) if n <= last]


@pytest.mark.parametrize("rest", ['{"step": 3, "lo', '{"step": 3}', "{", "[]\n", "{}\n"])
def test_a_line_that_a_crash_cut_short_is_dropped(log, tmp_path, rest):
    log.path.write_text(log.path.read_text() + rest)
    assert len(read_log(tmp_path)) == 3
    log.keep_until(3)
    log(step(4))
    assert [line["step"] for line in read_log(tmp_path)] == [1, 2, 3, 4]


def test_where_there_is_no_log_nothing_is_cut(tmp_path):
    Log(tmp_path).keep_until(3)
    assert list(tmp_path.iterdir()) == []


def test_cutting_the_log_leaves_the_other_files(log, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    log.keep_until(1)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["log.jsonl", "notes.txt"]
