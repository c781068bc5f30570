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
    softmax_in_loops,
)

from minibert2bert.components.softmax import hide, masked_softmax
from minibert2bert.inspection.gradient_check import check_gradients

B, N, T, S = 2, 3, 4, 5
MASK_SHAPES = [(B, N, T, S), (B, 1, 1, S), (1, 1, T, S), (1, 1, 1, S)]


def example(mask_shape=(B, 1, 1, S), seed=0):
    """Random scores, and a mask that hides at least one key and leaves at least one."""
    rng = np.random.default_rng(seed)
    mask = rng.random(mask_shape) < 0.6
    mask[..., seed % S], mask[..., (seed + 1) % S] = True, False
    return 3 * rng.standard_normal((B, N, T, S)), mask


def with_a_blind_row():
    scores, mask = example((B, N, T, S))
    mask[1, 2, 3] = False
    return scores, mask


@few_examples
@given(mask_shape=st.sampled_from(MASK_SHAPES), seed=st.integers(0, 99))
def test_each_row_follows_the_equation(mask_shape, seed):
    scores, mask = example(mask_shape, seed)
    probs, _ = masked_softmax(scores, mask)
    everywhere = np.broadcast_to(mask, scores.shape)
    for row in np.ndindex(B, N, T):
        expected = softmax_in_loops(scores[row].tolist(), everywhere[row].tolist())
        np.testing.assert_allclose(probs[row], expected, rtol=1e-12)


@pytest.mark.parametrize("mask_shape", MASK_SHAPES)
def test_gradients_are_those_of_finite_differences(mask_shape):
    check_gradients(masked_softmax, *example(mask_shape))


def test_gradients_without_a_mask_are_those_of_finite_differences():
    check_gradients(masked_softmax, example()[0], None)


def test_gradients_with_zeroed_rows_are_those_of_finite_differences():
    check_gradients(masked_softmax, *with_a_blind_row(), True)


def test_no_mask_is_a_mask_that_hides_nothing():
    scores, _ = example()
    probs, _ = masked_softmax(scores, None)
    everything = np.ones((1, 1, 1, S), dtype=bool)
    np.testing.assert_array_equal(probs, masked_softmax(scores, everything)[0])


@pytest.mark.parametrize("masked", [False, True])
def test_rows_sum_to_one_and_their_gradients_to_zero(masked):
    scores, mask = example()
    probs, backward = masked_softmax(scores, mask if masked else None)
    dscores = backward(np.random.default_rng(1).standard_normal(probs.shape))
    assert np.abs(dscores).max() > 0.01
    np.testing.assert_allclose(probs.sum(axis=-1), 1, rtol=1e-14)
    np.testing.assert_allclose(dscores.sum(axis=-1), 0, atol=1e-14)


@few_examples
@given(mask_shape=st.sampled_from(MASK_SHAPES), seed=st.integers(0, 99))
def test_a_masked_key_has_no_influence_and_no_gradient(mask_shape, seed):
    scores, mask = example(mask_shape, seed)
    hidden = np.broadcast_to(~mask, scores.shape)
    dprobs = np.random.default_rng(1).standard_normal(scores.shape)
    probs, backward = masked_softmax(scores, mask)
    others, others_backward = masked_softmax(np.where(hidden, 100 + 5 * scores, scores), mask)
    dscores = backward(dprobs)
    assert not probs[hidden].any()
    assert not dscores[hidden].any()
    np.testing.assert_array_equal(others, probs)
    np.testing.assert_array_equal(others_backward(np.where(hidden, 9, dprobs)), dscores)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("keys", [1, 3, 7])
def test_a_fully_masked_row_is_exactly_uniform(dtype, keys):
    scores = np.random.default_rng(0).standard_normal((1, 1, 2, keys)).astype(dtype)
    probs, _ = masked_softmax(scores, np.zeros((1, 1, 1, keys), dtype=bool))
    np.testing.assert_array_equal(probs, np.full_like(scores, dtype(1) / dtype(keys)))


def test_a_fully_masked_row_passes_on_the_gradient_of_a_uniform_row():
    scores, mask = with_a_blind_row()
    dprobs = np.random.default_rng(1).standard_normal(scores.shape)
    dscores = masked_softmax(scores, mask)[1](dprobs)[1, 2, 3]
    expected = [(d - sum(dprobs[1, 2, 3]) / S) / S for d in dprobs[1, 2, 3]]
    np.testing.assert_allclose(dscores, expected, rtol=1e-12)


def test_a_fully_masked_row_is_zero_on_request_and_gets_no_gradient():
    scores, mask = with_a_blind_row()
    probs, backward = masked_softmax(scores, mask, zero_fully_masked=True)
    dscores = backward(np.ones_like(probs) + scores)
    np.testing.assert_array_equal(probs[1, 2, 3], np.zeros(S))
    np.testing.assert_array_equal(dscores[1, 2, 3], np.zeros(S))


def test_zeroing_fully_masked_rows_leaves_the_others_alone():
    scores, mask = with_a_blind_row()
    seeing = mask.any(axis=-1)
    probs, _ = masked_softmax(scores, mask, zero_fully_masked=True)
    np.testing.assert_array_equal(probs[seeing], masked_softmax(scores, mask)[0][seeing])


@pytest.mark.parametrize("masked", [False, True])
def test_large_scores_do_not_overflow(masked):
    scores = np.array([[[[1e4, -1e4, 0.0, 1e4]]]], dtype=np.float32)
    probs, _ = masked_softmax(scores, np.ones((1, 1, 1, 4), dtype=bool) if masked else None)
    np.testing.assert_array_equal(probs[0, 0, 0], [0.5, 0, 0, 0.5])


@pytest.mark.parametrize("shape", [(2, 7), (7,), (2, 3, 7)])
def test_a_mask_without_four_axes_is_an_error(shape):
    scores = np.zeros((2, 1, 2, 7))
    with pytest.raises(ValueError, match=r"\(batch, head, query, key\), got shape \([237, ]+\)"):
        masked_softmax(scores, np.ones(shape, dtype=bool))


def test_hiding_shifts_the_top_of_each_row_to_zero_and_hidden_keys_to_the_bottom():
    scores, mask = example((B, N, T, S))
    shifted = hide(scores, mask)
    np.testing.assert_array_equal(shifted.max(axis=-1), 0)
    assert shifted[~mask].max() < -1e300
    kept = np.where(mask, scores, -np.inf)
    expected = (kept - kept.max(axis=-1, keepdims=True))[mask]
    np.testing.assert_allclose(shifted[mask], expected, atol=1e-14)


def test_inputs_are_unchanged():
    assert_inputs_unchanged(masked_softmax, *with_a_blind_row())
    assert_inputs_unchanged(masked_softmax, example()[0], None)


def test_backward_returns_the_same_twice():
    assert_backward_repeats(masked_softmax, *with_a_blind_row())


def test_memory_layout_is_irrelevant():
    assert_layout_irrelevant(masked_softmax, *with_a_blind_row())


@pytest.mark.parametrize("zero_fully_masked", [False, True])
def test_float32_stays_float32(zero_fully_masked):
    assert_float32_kept(masked_softmax, *with_a_blind_row(), zero_fully_masked)
    assert_float32_kept(masked_softmax, example()[0], None, zero_fully_masked)
