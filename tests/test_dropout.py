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
    seeded,
)

from minibert2bert.components.dropout import dropout
from minibert2bert.inspection.gradient_check import check_gradients

RATES = [0.1, 0.5, 0.9]


def example(*shape):
    return np.random.default_rng(0).standard_normal(shape)


@few_examples
@given(rate=st.floats(0.05, 0.95), seed=st.integers(0, 99))
def test_each_element_is_zero_or_scaled_up(rate, seed):
    x = example(4, 5)
    y, _ = dropout(x, rate, np.random.default_rng(seed))
    for index in np.ndindex(x.shape):
        assert y[index] == 0 or y[index] == pytest.approx(x[index] / (1 - rate), rel=1e-12)


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("shape", [(6,), (3, 4), (2, 3, 4)])
def test_gradients_are_those_of_finite_differences(rate, shape):
    check_gradients(seeded(dropout, rate=rate), example(*shape))


@pytest.mark.parametrize("rate", RATES)
def test_the_share_of_zeros_is_the_rate_and_the_mean_is_kept(rate):
    y, _ = dropout(np.ones(100_000), rate, np.random.default_rng(3))
    # Five standard deviations of a share, and of a mean, over 100,000 elements.
    deviation = (rate * (1 - rate) / 100_000) ** 0.5
    assert (y == 0).mean() == pytest.approx(rate, abs=5 * deviation)
    assert y.mean() == pytest.approx(1, abs=5 * deviation / (1 - rate))


@pytest.mark.parametrize("rate", RATES)
def test_what_was_dropped_gets_no_gradient_and_the_rest_is_scaled(rate):
    x, dy = example(50), np.random.default_rng(1).standard_normal(50)
    y, backward = dropout(x, rate, np.random.default_rng(3))
    np.testing.assert_allclose(backward(dy), np.where(y == 0, 0, dy / (1 - rate)), rtol=1e-12)


def test_equal_generators_give_equal_masks():
    first, second = (dropout(example(50), 0.5, np.random.default_rng(3))[0] for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_a_generator_gives_another_mask_each_time():
    rng = np.random.default_rng(3)
    first, second = (dropout(example(50), 0.5, rng)[0] for _ in range(2))
    assert (first != second).any()


@pytest.mark.parametrize(("rate", "rng"), [(0.5, None), (0.0, np.random.default_rng(3))])
def test_without_a_generator_or_a_rate_nothing_changes(rate, rng):
    x, dy = example(4, 5), example(4, 5)
    y, backward = dropout(x, rate, rng)
    np.testing.assert_array_equal(y, x)
    np.testing.assert_array_equal(backward(dy), dy)


def test_a_zero_rate_draws_no_numbers():
    used, fresh = np.random.default_rng(3), np.random.default_rng(3)
    dropout(example(4, 5), 0.0, used)
    assert used.random() == fresh.random()


def test_the_mask_does_not_depend_on_the_dtype():
    x = example(50)
    double, _ = dropout(x, 0.5, np.random.default_rng(3))
    single, _ = dropout(x.astype(np.float32), 0.5, np.random.default_rng(3))
    np.testing.assert_array_equal(double == 0, single == 0)


def test_inputs_are_unchanged():
    assert_inputs_unchanged(seeded(dropout, rate=0.5), example(4, 5))


def test_backward_returns_the_same_twice():
    assert_backward_repeats(seeded(dropout, rate=0.5), example(4, 5))


def test_memory_layout_is_irrelevant():
    assert_layout_irrelevant(seeded(dropout, rate=0.5), example(2, 3, 4))


@pytest.mark.parametrize("rate", [0.0, *RATES])
def test_float32_stays_float32(rate):
    assert_float32_kept(seeded(dropout, rate=rate), example(4, 5))
