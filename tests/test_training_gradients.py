"""A step's gradients: the same in one piece, in several, and on several processes."""

import math
import weakref

import numpy as np
import pytest
from model_support import START, assert_close, assert_equal_dicts
from training_support import DROPOUT, copies, on_processes, random_pairs, run, tiny_model

from minibert2bert.arrays import sum_shared
from minibert2bert.training.batches import make_batch
from minibert2bert.training.gradients import (
    add_gradients,
    check_finite,
    loss_and_gradients,
    trainable_parameters,
)
from minibert2bert.training.parallel import ALONE
from minibert2bert.training.settings import TrainingSettings

PAIRS = random_pairs(32)
# Sums of some hundred numbers, each rounded at the sixteenth digit.
ROUNDING = 1e-12


def step_of(model, pairs=PAIRS, processes=ALONE, step=0, **changes):
    settings = TrainingSettings(**{"dropout": False, **changes})
    return loss_and_gradients(model, pairs, model.parameters(), settings, step, processes)


def assert_equal_steps(actual, expected):
    assert actual[0] == pytest.approx(expected[0], rel=ROUNDING)
    assert list(actual[1]) == list(expected[1])
    scale = max(np.abs(gradient).max() for gradient in expected[1].values())
    for name, gradient in expected[1].items():
        assert_close(actual[1][name], gradient, ROUNDING, scale, name)


@pytest.mark.parametrize("tied", [False, True])
def test_a_step_in_one_piece_is_the_loss_of_its_batch(tied):
    model = tiny_model(tied=tied)
    loss, backward = model.loss(**make_batch(PAIRS, 0))
    actual = step_of(model)
    assert actual[0] == float(loss)
    assert_equal_dicts(actual[1], sum_shared(backward(), model.parameters()))


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("pieces", [2, 4, 5, 32, 50])
def test_micro_batches_give_the_step_of_the_whole_batch(pieces, tied):
    model = tiny_model(tied=tied)
    whole = step_of(model, label_smoothing_factor=0.1)
    cut = step_of(model, gradient_accumulation_steps=pieces, label_smoothing_factor=0.1)
    assert_equal_steps(cut, whole)


@pytest.mark.parametrize("size", [2, 3])
@pytest.mark.parametrize("pieces", [1, 4])
def test_processes_together_take_the_step_of_the_whole_batch(size, pieces):
    whole = step_of(tiny_model())
    shares = on_processes(
        size, lambda p: step_of(tiny_model(), processes=p, gradient_accumulation_steps=pieces)
    )
    for share in shares:
        assert_equal_steps(share, whole)


def test_a_process_without_a_pair_adds_nothing():
    whole = step_of(tiny_model(), PAIRS[:2])
    for share in on_processes(3, lambda p: step_of(tiny_model(), PAIRS[:2], p)):
        assert_equal_steps(share, whole)


def test_the_activations_of_a_micro_batch_are_gone_before_the_next_one_begins(monkeypatch):
    model = tiny_model()
    loss, earlier = type(model).loss, []

    def spy(self, **inputs):
        assert all(backward() is None for backward in earlier)
        value, backward = loss(self, **inputs)
        earlier.append(weakref.ref(backward))
        return value, backward

    monkeypatch.setattr(type(model), "loss", spy)
    step_of(model, gradient_accumulation_steps=4)
    assert len(earlier) == 4


def test_gradients_that_are_one_array_are_added_one_by_one():
    both, total = np.ones(2), {}
    add_gradients(total, {"a": both, "b": both})
    add_gradients(total, {"a": np.ones(2), "b": np.zeros(2)})
    np.testing.assert_array_equal(total["a"], [2, 2])
    np.testing.assert_array_equal(total["b"], [1, 1])


def test_the_pieces_are_weighted_by_their_targets_and_not_by_their_pairs():
    model = tiny_model()
    pairs = [([5, 6], [7] * 9), ([5, 6], [8])]
    long, short = (float(model.loss(**make_batch([pair], 0))[0]) for pair in pairs)
    loss, _ = step_of(model, pairs, gradient_accumulation_steps=2)
    assert loss == pytest.approx(0.9 * long + 0.1 * short, rel=ROUNDING)


def test_dropout_masks_follow_from_seed_and_step():
    model = tiny_model(**DROPOUT)

    def loss(**changes):
        return step_of(model, dropout=True, **changes)[0]

    assert loss(seed=1, step=2) == loss(seed=1, step=2)
    others = {loss(seed=1, step=3), loss(seed=2, step=2), step_of(model)[0]}
    assert len(others | {loss(seed=1, step=2)}) == 4


def test_each_micro_batch_and_process_has_masks_of_its_own(monkeypatch):
    seen = []
    model = tiny_model(**DROPOUT)
    loss = type(model).loss

    def spy(self, **inputs):
        seen.append(inputs["rng"].bit_generator.state["state"]["state"])
        return loss(self, **inputs)

    monkeypatch.setattr(type(model), "loss", spy)
    on_processes(
        2,
        lambda p: step_of(
            tiny_model(**DROPOUT), processes=p, dropout=True, gradient_accumulation_steps=2
        ),
    )
    assert len(set(seen)) == len(seen) == 4


def test_label_smoothing_passes_through():
    model = tiny_model()
    expected, _ = model.loss(**make_batch(PAIRS, 0), label_smoothing=0.3)
    assert step_of(model, label_smoothing_factor=0.3)[0] == float(expected)
    assert step_of(model)[0] != float(expected)


@pytest.mark.parametrize("on", [False, True])
def test_gradient_checkpointing_is_asked_of_the_model_only_if_it_is_on(monkeypatch, on):
    model = tiny_model()
    loss, asked = type(model).loss, []

    def spy(self, **inputs):
        asked.append(inputs.pop("recompute", None))
        return loss(self, **inputs)

    monkeypatch.setattr(type(model), "loss", spy)
    step_of(model, gradient_checkpointing=on)
    assert asked == [True if on else None]


def test_frozen_parameters_stay_and_have_no_gradient():
    model = tiny_model()
    before = copies(model.parameters())
    run(model, PAIRS, {"freeze": ("encoder.*", "*.bias")})
    changed = {n for n, array in model.parameters().items() if (array != before[n]).any()}
    frozen = {n for n in before if n.startswith("encoder.") or n.endswith(".bias")}
    assert changed == set(before) - frozen


def test_an_array_is_frozen_under_all_its_names():
    model = tiny_model(tied=True)
    left = trainable_parameters(model.parameters(), ("encoder.*",))
    assert all("crossattention" in n or "lm_head" in n for n in left)
    assert left


def test_a_pattern_that_matches_nothing_is_an_error_and_so_is_one_that_matches_all():
    parameters = tiny_model().parameters()
    with pytest.raises(ValueError, match=r"'encoder\.layer\.9\.\*' matches no parameter"):
        trainable_parameters(parameters, ("encoder.layer.9.*",))
    with pytest.raises(ValueError, match="leaves nothing to train"):
        trainable_parameters(parameters, ("*",))


def test_a_loss_that_is_no_number_names_step_checkpoint_and_cause():
    settings = TrainingSettings(learning_rate=0.5, warmup_steps=3)
    with pytest.raises(FloatingPointError) as caught:
        check_finite({"loss": math.nan}, 7, settings, "out/checkpoint-5")
    text = str(caught.value)
    assert text.startswith("the loss is nan at step 7; the last good checkpoint is out/checkpoint")
    assert "smaller learning_rate than 0.5, more warmup_steps than 3" in text
    with pytest.raises(FloatingPointError, match="parameters that it began with are at fault"):
        check_finite({"length of the gradients": math.inf}, 1, settings, None)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.filterwarnings("ignore:invalid value")
def test_a_bad_step_is_not_taken(monkeypatch, bad):
    model, kept = tiny_model(), {}
    loss, calls = type(model).loss, []

    def spoilt(self, **inputs):
        calls.append(1)
        value, backward = loss(self, **inputs)
        kept.update(copies(self.parameters()))
        return (value * bad, backward) if len(calls) == 3 else (value, backward)

    monkeypatch.setattr(type(model), "loss", spoilt)
    with pytest.raises(FloatingPointError, match=f"the loss is {bad} at step 3; none was saved"):
        run(model, PAIRS)
    assert_equal_dicts(model.parameters(), kept)


def test_a_bad_gradient_is_no_step_either(monkeypatch):
    model = tiny_model()
    loss = type(model).loss

    def spoilt(self, **inputs):
        value, backward = loss(self, **inputs)

        def bad_backward(dloss):
            gradients = backward(dloss)
            next(iter(gradients.values()))[0] = np.inf
            return gradients

        return value, bad_backward

    before = copies(model.parameters())
    monkeypatch.setattr(type(model), "loss", spoilt)
    with pytest.raises(FloatingPointError, match="length of the gradients is inf at step 1"):
        run(model, PAIRS)
    assert_equal_dicts(model.parameters(), before)


def test_a_source_and_labels_that_only_start_and_end_are_trained_on():
    loss, _ = step_of(tiny_model(), [([START], [1])])
    assert loss > 0
