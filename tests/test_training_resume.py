"""A run that is interrupted, in whatever way, goes on as if nothing had been."""

import errno
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from model_support import START, assert_equal_dicts
from training_support import (
    DROPOUT,
    FAST,
    copied_pairs,
    of_kind,
    on_processes,
    run,
    tiny_model,
)

from minibert2bert.models.encoder_decoder import EncoderDecoderModel
from minibert2bert.training.checkpoint import checkpoints_in, read_state
from minibert2bert.training.events import TrainingStep, TrainingWarning, Warned
from minibert2bert.training.log import read_log
from minibert2bert.training.loop import train
from minibert2bert.training.settings import TrainingSettings

pytestmark = pytest.mark.filterwarnings("ignore::minibert2bert.training.events.TrainingWarning")
PAIRS, EVAL_PAIRS = copied_pairs(20), copied_pairs(5, seed=1)
CONSTANT = {"lr_scheduler_type": "constant"}
EVERY_TWO = {"save_every": 2, "eval_every": 2}


class InterruptionError(Exception):
    pass


def interrupt_after(step):
    def callback(event):
        if isinstance(event, TrainingStep) and event.step == step:
            raise InterruptionError

    return callback


def interrupted_run(model, folder, step, **changes):
    settings = TrainingSettings(**{**FAST, **EVERY_TWO, **changes})
    with pytest.raises(InterruptionError):
        train(model, PAIRS, settings, EVAL_PAIRS, folder, callbacks=[interrupt_after(step)])


def whole_run(model, folder, resume=False, **changes):
    return run(
        model, PAIRS, {**EVERY_TWO, **changes}, eval_pairs=EVAL_PAIRS, output_dir=folder,
        resume=resume,
    )  # fmt: skip


def timeless(log):
    return [{**line, "tokens_per_second": None} for line in log]


@pytest.mark.parametrize("stop", [1, 3, 4])
@pytest.mark.parametrize("tied", [False, True])
def test_a_resumed_run_ends_with_the_same_bits_and_the_same_log(tmp_path, stop, tied):
    calm, first = (tiny_model(tied=tied, **DROPOUT) for _ in range(2))
    # From step 2 on, all of the parameters come from the checkpoint.
    second = tiny_model(seed=0 if stop < 2 else 1, tied=tied, **DROPOUT)
    whole_run(calm, tmp_path / "calm")
    interrupted_run(first, tmp_path / "cut", stop)
    whole_run(second, tmp_path / "cut", resume=True)
    assert_equal_dicts(second.parameters(), calm.parameters())
    logs = [timeless(read_log(tmp_path / name)) for name in ("calm", "cut")]
    assert logs[0] == logs[1]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs a system that can fork")
@pytest.mark.parametrize(("way", "least"), [("moments", 50), ("changes", 25)])
def test_a_run_that_is_killed_again_and_again_ends_with_the_same_files(tmp_path, rng, way, least):
    tests = Path(__file__).parent
    found = subprocess.run(
        [sys.executable, tests / "kill_runs.py", way, tmp_path, str(rng.integers(10**6))],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(tests.parent), str(tests)]),
             "OPENBLAS_NUM_THREADS": "1"},
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert found.returncode == 0, found.stderr
    assert json.loads(found.stdout)["kills"] >= least


def test_a_run_that_is_finished_takes_no_further_step(tmp_path):
    model = tiny_model()
    whole_run(model, tmp_path)
    again = tiny_model(seed=1)
    assert of_kind(whole_run(again, tmp_path, resume=True), TrainingStep) == []
    assert_equal_dicts(again.parameters(), model.parameters())


def test_to_resume_where_nothing_is_starts_from_the_beginning(tmp_path):
    events = whole_run(tiny_model(), tmp_path / "new", resume=True)
    assert len(of_kind(events, TrainingStep)) == FAST["max_steps"]


def test_a_folder_with_checkpoints_is_not_written_over(tmp_path):
    whole_run(tiny_model(), tmp_path)
    with pytest.raises(ValueError, match=r"newest being checkpoint-6; go on .* resume=True"):
        whole_run(tiny_model(), tmp_path)


def test_only_the_newest_checkpoints_are_kept(tmp_path):
    changes = {"save_total_limit": 2, "save_every": 1}
    interrupted_run(tiny_model(), tmp_path, 5, **changes)
    assert [folder.name for folder in checkpoints_in(tmp_path)] == ["checkpoint-3", "checkpoint-4"]
    whole_run(tiny_model(), tmp_path, resume=True, **changes)
    assert [folder.name for folder in checkpoints_in(tmp_path)] == ["checkpoint-5", "checkpoint-6"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"learning_rate": 0.02}, "learning_rate was 0.01 and is 0.02"),
        ({"seed": 1, "optim": "adam"}, "optim was 'adamw' and is 'adam'; seed was 0 and is 1"),
        ({"freeze": ("encoder.*",)}, "freeze was"),
        ({"max_steps": 7}, "linear schedule was for 6 steps in all and is for 7"),
        ({"gradient_accumulation_steps": 2}, "gradient_accumulation_steps was 1 and is 2"),
        ({"eval_every": 3}, "eval_every was 2 and is 3"),
    ],
)
def test_other_settings_are_an_error_that_names_the_difference(tmp_path, changes, message):
    interrupted_run(tiny_model(), tmp_path, 3)
    with pytest.raises(ValueError, match=message):
        whole_run(tiny_model(), tmp_path, resume=True, **changes)


def test_checkpoints_that_a_kill_left_over_are_removed_when_the_run_goes_on(tmp_path):
    whole_run(tiny_model(), tmp_path)
    assert len(checkpoints_in(tmp_path)) == 3
    whole_run(tiny_model(), tmp_path, resume=True, save_total_limit=1)
    assert [folder.name for folder in checkpoints_in(tmp_path)] == ["checkpoint-6"]


def test_the_newest_checkpoint_is_the_one_of_the_latest_step(tmp_path):
    for name in ("checkpoint-9", "checkpoint-10", "checkpoint-x", "checkpoint-11.bak"):
        (tmp_path / name).mkdir()
    (tmp_path / "checkpoint-12").touch()
    assert [f.name for f in checkpoints_in(tmp_path)] == ["checkpoint-9", "checkpoint-10"]


def test_what_looked_wrong_at_the_start_is_not_said_again(tmp_path):
    pairs = [(source, [START, *labels]) for source, labels in PAIRS]
    run(tiny_model(), pairs, {**CONSTANT, "max_steps": 2}, output_dir=tmp_path)
    events = run(tiny_model(), pairs, CONSTANT, output_dir=tmp_path, resume=True)
    assert of_kind(events, Warned) == []
    assert sum("warning" in line for line in read_log(tmp_path)) == 1


def test_what_changes_no_step_may_be_changed(tmp_path):
    interrupted_run(tiny_model(), tmp_path, 3, **CONSTANT)
    changes = {"logging_every": 2, "save_every": 3, "save_total_limit": 1, "max_steps": 8,
               "early_stopping_patience": 9}  # fmt: skip
    events = whole_run(tiny_model(), tmp_path, resume=True, **CONSTANT, **changes)
    assert [event.step for event in of_kind(events, TrainingStep)] == [3, 4, 5, 6, 7, 8]


def test_other_pairs_are_an_error(tmp_path):
    interrupted_run(tiny_model(), tmp_path, 3)
    with pytest.raises(ValueError, match="the pairs are others"):
        run(tiny_model(), PAIRS[1:], EVERY_TWO, eval_pairs=EVAL_PAIRS, output_dir=tmp_path,
            resume=True)  # fmt: skip
    with pytest.raises(ValueError, match="the eval_pairs are others"):
        run(tiny_model(), PAIRS, EVERY_TWO, output_dir=tmp_path, resume=True)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (lambda: tiny_model(dtype="float32"), r"is float32 .* holds float64"),
        (lambda: tiny_model(intermediate_size=16), r"\(16, 8\), but .* holds float64 \(12, 8\)"),
        (lambda: tiny_model(num_hidden_layers=2), "layer.1.* has none"),
    ],
)
def test_another_model_is_an_error(tmp_path, model, message):
    interrupted_run(tiny_model(), tmp_path, 3)
    with pytest.raises(ValueError, match=message):
        whole_run(model(), tmp_path, resume=True)


@pytest.mark.parametrize("name", ["training_state.json", "model.safetensors", "optimizer"])
def test_a_checkpoint_with_a_missing_file_is_an_error_that_tells_the_way_out(tmp_path, name):
    interrupted_run(tiny_model(), tmp_path, 3)
    path = tmp_path / "checkpoint-2" / name
    path.rename(tmp_path / "elsewhere")
    with pytest.raises(ValueError, match=r"no whole checkpoint .*; remove it to go on"):
        whole_run(tiny_model(), tmp_path, resume=True)


def test_a_checkpoint_of_another_format_is_an_error(tmp_path):
    interrupted_run(tiny_model(), tmp_path, 3)
    path = tmp_path / "checkpoint-2" / "training_state.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "format": 99}))
    with pytest.raises(ValueError, match="has format 99, and this version reads 1"):
        whole_run(tiny_model(), tmp_path, resume=True)


def test_the_model_in_a_checkpoint_is_exact(tmp_path):
    model = tiny_model()
    whole_run(model, tmp_path)
    again = EncoderDecoderModel.from_pretrained(tmp_path / "checkpoint-6", dtype="float64")
    assert_equal_dicts(again.parameters(), model.parameters())


def test_several_processes_resume_from_what_the_first_one_reads(tmp_path):
    def work(folder, **arguments):
        def on_one(processes):
            model = tiny_model(seed=processes.rank, **DROPOUT)
            run(model, PAIRS, EVERY_TWO, eval_pairs=EVAL_PAIRS, output_dir=folder,
                processes=processes, **arguments)  # fmt: skip
            return model.parameters()

        return on_processes(2, on_one)

    calm, other = work(tmp_path / "calm")
    assert_equal_dicts(calm, other)
    shutil.rmtree(tmp_path / "calm" / "checkpoint-6")
    for resumed in work(tmp_path / "calm", resume=True):
        assert_equal_dicts(resumed, calm)


def test_another_number_of_processes_is_a_warning(tmp_path):
    interrupted_run(tiny_model(), tmp_path, 3)
    state = tmp_path / "checkpoint-2" / "training_state.json"
    state.write_text(json.dumps({**json.loads(state.read_text()), "processes": 4}))
    with pytest.warns(TrainingWarning, match="with 1 processes instead of 4"):
        events = whole_run(tiny_model(), tmp_path, resume=True)
    assert events[0] == Warned(2, of_kind(events, Warned)[0].message)


@pytest.fixture(scope="module")
def audit():
    """Let the disk be full from the chosen write on, for what is opened inside of a folder."""
    state = {"left": None, "folder": ""}

    def hook(event, arguments):
        if state["left"] is None or event not in ("open", "os.mkdir"):
            return
        writes = event == "os.mkdir" or (arguments[2] or 0) & (os.O_WRONLY | os.O_RDWR)
        if writes and str(arguments[0]).startswith(state["folder"]):
            state["left"] -= 1
            if state["left"] < 0:
                raise OSError(errno.ENOSPC, "No space left on device")

    sys.addaudithook(hook)
    return state


@pytest.fixture
def full_disk_after(audit, tmp_path):
    def begin(writes):
        audit.update(left=writes, folder=str(tmp_path))

    yield begin
    audit["left"] = None


@pytest.mark.parametrize("writes", [0, 1, 3, 6, 9, 12, 15])
def test_a_full_disk_leaves_the_last_checkpoint_and_says_so(tmp_path, full_disk_after, writes):
    calm, model = tiny_model(), tiny_model()
    whole_run(calm, tmp_path / "calm")
    folder = tmp_path / "full"

    def fill(event):
        if isinstance(event, TrainingStep) and event.step == 4:
            full_disk_after(writes)

    settings = TrainingSettings(**FAST, **EVERY_TWO, save_total_limit=1)
    with pytest.raises(OSError, match=r"No space left.*checkpoint-2; make room") as caught:
        train(model, PAIRS, settings, EVAL_PAIRS, folder, callbacks=[fill])
    full_disk_after(10**9)
    assert caught.value.errno == errno.ENOSPC
    assert read_state(folder / "checkpoint-2")["progress"]["step"] == 2
    assert [f.name for f in checkpoints_in(folder)] == ["checkpoint-2"]
    whole_run(model, folder, resume=True)
    assert_equal_dicts(model.parameters(), calm.parameters())


def test_numbers_of_the_progress_survive_the_file(tmp_path):
    whole_run(tiny_model(), tmp_path)
    progress = read_state(tmp_path / "checkpoint-6")["progress"]
    evaluations = [line for line in read_log(tmp_path) if "eval_loss" in line]
    best = min(evaluations, key=lambda line: line["eval_loss"])
    assert progress["best_loss"] == best["eval_loss"]
    assert progress["best_step"] == best["step"]
    assert np.isfinite(progress["train_loss"])
