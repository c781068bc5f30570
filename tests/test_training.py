"""The loop: what it reports, when it evaluates, what it keeps, and when it stops."""

import json
import warnings

import numpy as np
import pytest
from device_array import DeviceArray, to_stand_in
from model_support import END, PAD, START, assert_close, assert_equal_dicts
from training_support import (
    DROPOUT,
    FAST,
    copied_pairs,
    copies,
    of_kind,
    on_processes,
    random_pairs,
    run,
    tiny_model,
)

from minibert2bert.device import to_numpy
from minibert2bert.models.encoder_decoder import EncoderDecoderModel
from minibert2bert.training.batches import make_batch
from minibert2bert.training.evaluation import (
    by_length,
    evaluate,
    ignored_source,
    mean_loss,
    with_sources_of_neighbours,
)
from minibert2bert.training.events import (
    Evaluation,
    Saved,
    Started,
    TrainingStep,
    TrainingWarning,
    Warned,
)
from minibert2bert.training.log import read_log
from minibert2bert.training.loop import train
from minibert2bert.training.settings import TrainingSettings

quietly = pytest.mark.filterwarnings("ignore::minibert2bert.training.events.TrainingWarning")
PAIRS, EVAL_PAIRS = random_pairs(20), random_pairs(7, seed=1)


def test_a_step_reports_what_it_did():
    model, pairs = tiny_model(), PAIRS[:8]
    loss, backward = model.loss(**make_batch(pairs, PAD))
    norm = np.sqrt(sum(np.vdot(g, g) for g in backward().values()))
    first, second = run(model, pairs, {"max_steps": 2})
    assert first.loss == pytest.approx(float(loss), rel=1e-12)
    assert first.grad_norm == pytest.approx(norm, rel=1e-12)
    assert first.targets == sum(len(labels) for _, labels in pairs)
    assert (first.step, first.epoch, second.step, second.epoch) == (1, 1.0, 2, 2.0)
    assert (first.learning_rate, second.learning_rate) == (0.01, 0.005)
    assert first.tokens_per_second > 0


def test_a_run_ends_after_its_epochs_and_tells_so():
    events = []
    settings = TrainingSettings(num_train_epochs=1.5, train_batch_size=8)
    result = train(tiny_model(), PAIRS, settings, callbacks=[events.append])
    assert events.pop(0) == Started(0, 5)
    assert [event.step for event in events] == [1, 2, 3, 4, 5]
    assert (result.steps, result.epochs) == (5, 5 / 3)
    assert result.train_loss == events[-1].loss
    assert (result.best_loss, result.best_step, result.stopped_early) == (None, None, False)


def test_each_epoch_goes_through_all_pairs_in_another_order(monkeypatch):
    model, seen = tiny_model(), []
    loss = type(model).loss

    def spy(self, **inputs):
        seen.append(inputs["input_ids"][:, 0].tolist())
        return loss(self, **inputs)

    monkeypatch.setattr(type(model), "loss", spy)
    pairs = [([3 + number % 14, 3], [END]) for number in range(14)]
    run(model, pairs, {"max_steps": 4, "train_batch_size": 7})
    first, second = (sorted(seen[i] + seen[i + 1]) for i in (0, 2))
    assert first == second == list(range(3, 17))
    assert seen[:2] != seen[2:]


def test_gradients_are_shortened_to_max_grad_norm():
    """With Adam and a large epsilon a step is as long as its gradient."""
    changes = {"max_steps": 1, "optim": "adam", "adam_epsilon": 1e6, "train_batch_size": 20}
    moves = []
    for norm in (None, 1e-3):
        model = tiny_model()
        before = copies(model.parameters())
        (step,) = run(model, PAIRS, {**changes, "max_grad_norm": norm})
        after = model.parameters()
        moves.append(np.sqrt(sum(((after[n] - before[n]) ** 2).sum() for n in before)))
        assert step.grad_norm > 0.1
    assert moves[1] / moves[0] == pytest.approx(1e-3 / step.grad_norm, rel=1e-3)


@pytest.mark.parametrize("size", [2, 3])
@quietly
def test_a_run_on_several_processes_is_that_of_one(size):
    changes = {"dropout": False, "gradient_accumulation_steps": 2, "eval_every": 2}
    alone = tiny_model()
    expected = run(alone, PAIRS, changes, eval_pairs=EVAL_PAIRS)

    def work(processes):
        # Only the first one's parameters count.
        model = tiny_model(seed=processes.rank)
        return model, run(model, PAIRS, changes, eval_pairs=EVAL_PAIRS, processes=processes)

    (model, events), *others = on_processes(size, work)
    for name, array in alone.parameters().items():
        # Six steps of Adam let rounding grow where a gradient is nearly 0.
        assert_close(model.parameters()[name], array, 1e-9, name=name)
    losses = [e.eval_loss for e in of_kind(events, Evaluation)]
    expected_losses = [e.eval_loss for e in of_kind(expected, Evaluation)]
    np.testing.assert_allclose(losses, expected_losses, rtol=1e-9)
    for other, silent in others:
        assert_equal_dicts(other.parameters(), model.parameters())
        assert silent == []


def test_an_error_on_a_process_is_told_to_the_others():
    class Told:
        rank, size, error = 0, 1, None

        def abort(self, error):
            self.error = error

    told = Told()
    with pytest.raises(ValueError, match="got none"):
        train(tiny_model(), [], TrainingSettings(), processes=told)
    assert isinstance(told.error, ValueError)


def test_the_held_out_loss_is_the_mean_over_targets_without_dropout():
    model = tiny_model(**DROPOUT)
    whole, _ = model.loss(**make_batch(EVAL_PAIRS, PAD))
    for batch_size in (1, 3, 20):
        assert mean_loss(model, EVAL_PAIRS, batch_size) == pytest.approx(float(whole), rel=1e-12)


def test_sources_are_exchanged_among_neighbours_of_like_length():
    pairs = [([1, 1, 1], [5]), ([1], [6]), ([2, 2], [7]), ([3, 3], [8])]
    ordered = by_length(pairs)
    assert [labels for _, labels in ordered] == [[6], [7], [8], [5]]
    swapped = with_sources_of_neighbours(ordered)
    assert swapped == [([2, 2], [6]), ([3, 3], [7]), ([1, 1, 1], [8]), ([1], [5])]


def test_source_dependence_is_what_the_wrong_source_costs():
    model = tiny_model()
    loss, dependence = evaluate(model, EVAL_PAIRS, 4)
    swapped = with_sources_of_neighbours(by_length(EVAL_PAIRS))
    assert dependence == pytest.approx(mean_loss(model, swapped) - loss)
    assert evaluate(model, EVAL_PAIRS[:1], 4)[1] is None


def without_cross_attention(model):
    for name, array in model.parameters().items():
        if "crossattention.output.dense" in name:
            array[...] = 0
    return model


def test_a_model_that_cannot_see_its_source_is_told_of():
    model = without_cross_attention(tiny_model())
    freeze = {"freeze": ("*crossattention*",)}
    with pytest.warns(TrainingWarning, match="the model ignores its input"):
        events = run(model, PAIRS, freeze, eval_pairs=EVAL_PAIRS)
    evaluation, warning = events[-2:]
    assert evaluation.source_dependence == pytest.approx(0, abs=1e-12)
    assert warning == Warned(6, warning.message)


def test_a_model_that_copies_depends_on_its_source():
    model = EncoderDecoderModel(tiny_model(hidden_size=16).config, rng=np.random.default_rng(0))
    pairs = [([a, b], [a, b, END]) for a in range(3, 17) for b in range(3, 17)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TrainingWarning)
        events = run(model, pairs, {"max_steps": 150, "train_batch_size": 32},
                     eval_pairs=pairs[::7])  # fmt: skip
    last = of_kind(events, Evaluation)[-1]
    assert last.source_dependence > 0.5 * last.eval_loss
    assert ignored_source(last.eval_loss, last.source_dependence) is None


@pytest.mark.parametrize(("dependence", "told"), [(0.019, True), (-0.1, True), (0.021, False)])
def test_less_than_one_percent_of_the_loss_is_told_of(dependence, told):
    assert (ignored_source(2.0, dependence) is not None) == told
    assert ignored_source(2.0, None) is None


@quietly
def test_evaluations_come_when_they_are_due_and_at_the_end():
    def steps(every):
        events = run(tiny_model(), PAIRS, {"eval_every": every, "max_steps": 7},
                     eval_pairs=EVAL_PAIRS)  # fmt: skip
        return [event.step for event in of_kind(events, Evaluation)]

    assert steps(2) == [2, 4, 6, 7]
    assert steps(None) == [3, 6, 7]  # Three batches are an epoch.


@quietly
def test_the_output_folder_holds_the_best_model(tmp_path):
    """Trained on other pairs at a high rate, the held-out loss soon rises."""
    model, states = tiny_model(), {}

    def remember(event):
        if isinstance(event, TrainingStep):
            states[event.step] = copies(model.parameters())

    changes = {**FAST, "learning_rate": 0.1, "max_steps": 12, "eval_every": 1}
    settings = TrainingSettings(**changes)
    result = train(model, PAIRS, settings, EVAL_PAIRS, tmp_path, callbacks=[remember])
    assert 1 <= result.best_step < 12
    saved = EncoderDecoderModel.from_pretrained(tmp_path, dtype="float64")
    assert_equal_dicts(saved.parameters(), states[result.best_step])
    assert result.best_loss == pytest.approx(mean_loss(saved, EVAL_PAIRS), rel=1e-12)


def test_without_held_out_pairs_the_output_folder_holds_the_last_model(tmp_path):
    model = tiny_model()
    events = run(model, PAIRS, output_dir=tmp_path)
    saved = EncoderDecoderModel.from_pretrained(tmp_path, dtype="float64")
    assert_equal_dicts(saved.parameters(), model.parameters())
    folders = [event.folder for event in of_kind(events, Saved)]
    assert folders == [str(tmp_path / n) for n in ("checkpoint-3", "checkpoint-6")] + [
        str(tmp_path)
    ]


@quietly
@pytest.mark.parametrize("patience", [1, 3])
def test_patience_ends_a_run_that_gets_no_better(patience):
    events = []
    settings = TrainingSettings(**{**FAST, "learning_rate": 0.5, "max_steps": 50}, eval_every=1,
                                early_stopping_patience=patience)  # fmt: skip
    result = train(tiny_model(), PAIRS, settings, EVAL_PAIRS, callbacks=[events.append])
    best = [event.is_best for event in of_kind(events, Evaluation)]
    assert best[-patience - 1 :] == [True] + [False] * patience
    assert result.stopped_early
    assert result.steps == result.best_step + patience < 50


def test_a_held_out_loss_that_is_no_number_stops_the_run(monkeypatch):
    monkeypatch.setattr("minibert2bert.training.run.evaluate", lambda *_: (np.inf, 0.0))
    with pytest.raises(FloatingPointError, match="the held-out loss is inf at step 3"):
        run(tiny_model(), PAIRS, eval_pairs=EVAL_PAIRS)


def test_the_error_names_the_last_good_checkpoint(tmp_path, monkeypatch):
    model = tiny_model()
    loss, calls = type(model).loss, []

    def spoilt(self, **inputs):
        calls.append(1)
        value, backward = loss(self, **inputs)
        return (np.nan if len(calls) == 5 else value), backward

    monkeypatch.setattr(type(model), "loss", spoilt)
    with pytest.raises(FloatingPointError, match=r"at step 5; the last good .*checkpoint-4\. "):
        run(model, PAIRS, {"save_every": 2}, output_dir=tmp_path)


def test_what_looks_wrong_at_the_start_is_said_once():
    pairs = [(source, [START, *labels]) for source, labels in PAIRS]
    with pytest.warns(TrainingWarning, match="begin with decoder_start_token_id") as caught:
        events = run(tiny_model(), pairs)
    assert len(caught) == len(of_kind(events, Warned)) == 1
    assert caught[0].filename == __file__.replace("test_training.py", "training_support.py")
    assert events[0].step == 0


@pytest.mark.parametrize(
    ("pair", "message"),
    [
        (([], [4]), "pair 20 is of no use: its source is empty"),
        (([4], []), "pair 20 is of no use: its labels hold nothing to predict"),
        (([4], [-100, -100]), "labels hold nothing to predict; leave it out"),
        (([99], [4]), "99"),
        (([4], [99]), "99"),
        (([4] * 17, [4]), "17"),
        (([4], [4] * 17), "17"),
    ],
)
def test_a_pair_that_the_model_cannot_take_is_an_error_before_the_first_step(pair, message):
    events = []
    for arguments in ({"pairs": [*PAIRS, pair]}, {"pairs": PAIRS, "eval_pairs": [*PAIRS, pair]}):
        with pytest.raises(ValueError, match=message):
            train(tiny_model(), settings=TrainingSettings(), callbacks=[events.append], **arguments)
    assert events == []


def test_a_model_without_the_ids_it_needs_is_an_error():
    model = tiny_model()
    model.config.pad_token_id = None
    with pytest.raises(ValueError, match=r"write model\.config\.pad_token_id"):
        train(model, PAIRS, TrainingSettings())


@quietly
def test_a_run_on_a_device_is_that_of_the_processor_to_the_last_bit(tmp_path):
    here, there = tiny_model(dtype="float32"), tiny_model(dtype="float32")
    there.set_parameters(to_stand_in(there.params))
    changes = {"dropout": False, "gradient_accumulation_steps": 2, "weight_decay": 0.1}
    for name, model in (("here", here), ("there", there)):
        run(model, PAIRS, changes, eval_pairs=EVAL_PAIRS, output_dir=tmp_path / name)
    assert isinstance(there.like, DeviceArray)
    assert_equal_dicts(to_numpy(there.parameters()), here.parameters())
    (tmp_path / "there" / "checkpoint-6").rename(tmp_path / "gone")
    again = tiny_model(dtype="float32", seed=1)
    again.set_parameters(to_stand_in(again.params))
    run(again, PAIRS, changes, eval_pairs=EVAL_PAIRS, output_dir=tmp_path / "there", resume=True)
    assert_equal_dicts(to_numpy(again.parameters()), here.parameters())


@quietly
def test_the_log_has_a_line_for_each_step_and_evaluation(tmp_path):
    events = run(tiny_model(), PAIRS, output_dir=tmp_path, eval_pairs=EVAL_PAIRS)
    lines = read_log(tmp_path)
    steps = [line for line in lines if "loss" in line]
    assert [line["loss"] for line in steps] == [e.loss for e in of_kind(events, TrainingStep)]
    assert set(steps[0]) == {
        "step", "epoch", "loss", "learning_rate", "grad_norm", "targets", "tokens_per_second",
    }  # fmt: skip
    evaluations = [line for line in lines if "eval_loss" in line]
    assert evaluations == [vars(event) for event in of_kind(events, Evaluation)]
    warned = [line for line in lines if "warning" in line]
    assert [line["warning"] for line in warned] == [e.message for e in of_kind(events, Warned)]


def test_the_log_may_leave_steps_out(tmp_path):
    run(tiny_model(), PAIRS, {"logging_every": 4, "max_steps": 9}, output_dir=tmp_path)
    assert [line["step"] for line in read_log(tmp_path)] == [4, 8]


def test_a_new_run_begins_a_new_log_and_writes_whole_lines(tmp_path):
    (tmp_path / "log.jsonl").write_text('{"step": 1, "loss": 1.0}\n{"step": 2, "lo')
    run(tiny_model(), PAIRS, {"max_steps": 2}, output_dir=tmp_path)
    text = (tmp_path / "log.jsonl").read_text()
    assert [json.loads(line)["step"] for line in text.splitlines()] == [1, 2]
    assert text.endswith("\n")


def test_nothing_is_written_without_an_output_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run(tiny_model(), PAIRS)
    assert list(tmp_path.iterdir()) == []


@quietly
def test_training_to_copy_makes_the_held_out_loss_fall():
    model, pairs = tiny_model(), copied_pairs(60)
    events = run(model, pairs, {"max_steps": 60, "eval_every": 20}, eval_pairs=pairs[:20])
    losses = [event.eval_loss for event in of_kind(events, Evaluation)]
    assert losses == sorted(losses, reverse=True)
