import functools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import (
    assert_backward_repeats,
    assert_float32_kept,
    assert_inputs_unchanged,
    assert_layout_irrelevant,
    few_examples,
)

from minibert2bert.components.loss import IGNORE, cross_entropy, shift_tokens_right
from minibert2bert.inspection.gradient_check import check_gradients

V = 5
SHAPES = [(3,), (2, 4), (2, 3, 2)]
SMOOTHINGS = [0.0, 0.1, 0.9]


def example(shape=(2, 4), ignored=2, seed=0):
    """Random logits, and labels of which some, but not all, do not count."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, V, shape)
    labels.reshape(-1)[:ignored] = IGNORE
    return 2 * rng.standard_normal((*shape, V)), labels


def loss_in_loops(logits, labels, smoothing):
    losses = []
    for index in np.ndindex(labels.shape):
        if labels[index] == IGNORE:
            continue
        total = sum(math.exp(logit) for logit in logits[index])
        log_probs = [logit - math.log(total) for logit in logits[index]]
        right = log_probs[labels[index]]
        losses.append(-(1 - smoothing) * right - smoothing / V * sum(log_probs))
    return sum(losses) / len(losses)


@few_examples
@given(
    shape=st.sampled_from(SHAPES),
    smoothing=st.sampled_from(SMOOTHINGS),
    ignored=st.integers(0, 2),
    seed=st.integers(0, 99),
)
def test_the_loss_follows_the_equation(shape, smoothing, ignored, seed):
    logits, labels = example(shape, ignored, seed)
    loss, _ = cross_entropy(logits, labels, smoothing)
    assert loss == pytest.approx(loss_in_loops(logits, labels, smoothing), rel=1e-12)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("smoothing", SMOOTHINGS)
def test_gradients_are_those_of_finite_differences(shape, smoothing):
    check_gradients(cross_entropy, *example(shape), smoothing)


@pytest.mark.parametrize("smoothing", SMOOTHINGS)
def test_an_ignored_row_has_no_influence_and_no_gradient(smoothing):
    logits, labels = example()
    loss, backward = cross_entropy(logits, labels, smoothing)
    changed = np.where((labels == IGNORE)[..., None], 50.0, logits)
    again, again_backward = cross_entropy(changed, labels, smoothing)
    assert again == loss
    assert not backward(1.0)[labels == IGNORE].any()
    assert backward(1.0)[labels != IGNORE].all()
    np.testing.assert_array_equal(again_backward(1.0), backward(1.0))


def test_the_mean_is_over_the_labels_that_count():
    logits, labels = example(ignored=2)
    counted = labels != IGNORE
    loss, backward = cross_entropy(logits, labels)
    alone, alone_backward = cross_entropy(logits[counted], labels[counted])
    assert loss == pytest.approx(alone, rel=1e-14)
    np.testing.assert_allclose(backward(1.0)[counted], alone_backward(1.0), rtol=1e-13)


@pytest.mark.parametrize("smoothing", SMOOTHINGS)
def test_the_gradient_of_each_row_sums_to_zero(smoothing):
    dlogits = cross_entropy(*example(), smoothing)[1](1.0)
    np.testing.assert_allclose(dlogits.sum(axis=-1), 0, atol=1e-15)


def test_the_gradient_is_the_probability_minus_the_right_answer():
    logits, labels = example((1,), ignored=0)
    probs = np.exp(logits[0]) / np.exp(logits[0]).sum()
    expected = [p - (v == labels[0]) for v, p in enumerate(probs)]
    np.testing.assert_allclose(cross_entropy(logits, labels)[1](1.0)[0], expected, rtol=1e-12)


def test_the_gradient_scales_with_that_of_the_loss():
    _, backward = cross_entropy(*example())
    np.testing.assert_allclose(backward(-3.0), -3 * backward(1.0), rtol=1e-14)
    np.testing.assert_array_equal(backward(), backward(1.0))


def test_equal_logits_cost_the_logarithm_of_the_vocabulary():
    loss, _ = cross_entropy(np.full((3, V), 7.0), np.array([0, 1, IGNORE]), 0.3)
    assert loss == pytest.approx(math.log(V), rel=1e-14)


def test_large_logits_do_not_overflow():
    logits = np.array([[1e4, -1e4, 0.0]], dtype=np.float32)
    loss, backward = cross_entropy(logits, np.array([1]))
    assert loss == 2e4
    np.testing.assert_array_equal(backward(1.0), [[1, -1, 0]])


def test_labels_that_are_all_ignored_are_an_error():
    with pytest.raises(ValueError, match=r"every label is -100.*keep at least one label"):
        cross_entropy(np.zeros((2, 3, V)), np.full((2, 3), IGNORE))


def test_the_decoder_reads_the_start_token_and_then_the_labels_one_step_late():
    labels = np.array([[5, 6, 1], [7, 1, IGNORE]])
    inputs = shift_tokens_right(labels, pad_token_id=0, decoder_start_token_id=2)
    np.testing.assert_array_equal(inputs, [[2, 5, 6], [2, 7, 1]])
    assert inputs.dtype == labels.dtype


def test_ignored_labels_become_padding_wherever_they_are():
    labels = np.array([[IGNORE, 6, IGNORE, IGNORE]])
    inputs = shift_tokens_right(labels, pad_token_id=0, decoder_start_token_id=2)
    np.testing.assert_array_equal(inputs, [[2, 0, 6, 0]])


@few_examples
@given(st.lists(st.lists(st.integers(0, 9), min_size=3, max_size=3), min_size=1, max_size=3))
def test_shifting_keeps_every_label_but_the_last(rows):
    labels = np.array(rows)
    inputs = shift_tokens_right(labels, pad_token_id=0, decoder_start_token_id=2)
    np.testing.assert_array_equal(inputs[:, 1:], labels[:, :-1])
    np.testing.assert_array_equal(labels, rows)


smoothed = functools.partial(cross_entropy, label_smoothing=0.1)
both_losses = pytest.mark.parametrize("loss", [cross_entropy, smoothed], ids=["plain", "smoothed"])


@both_losses
def test_inputs_are_unchanged(loss):
    assert_inputs_unchanged(loss, *example((2, 3, 2)))


@both_losses
def test_backward_returns_the_same_twice(loss):
    assert_backward_repeats(loss, *example((2, 3, 2)))


@both_losses
@pytest.mark.parametrize("shape", SHAPES)
def test_memory_layout_is_irrelevant(loss, shape):
    assert_layout_irrelevant(loss, *example(shape))


@both_losses
@pytest.mark.parametrize("shape", SHAPES)
def test_float32_stays_float32(loss, shape):
    assert_float32_kept(loss, *example(shape))
