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
    layer_norm_in_loops,
    norm_params,
)

from minibert2bert.components.layer_norm import layer_norm
from minibert2bert.inspection.gradient_check import check_gradients

SHAPES = [(4,), (1, 7), (3, 5), (2, 3, 6), (2, 1, 3, 4)]


def example(shape=(2, 3, 6), eps=1e-12, seed=0):
    rng = np.random.default_rng(seed)
    return norm_params(rng, shape[-1]), 2 * rng.standard_normal(shape) + 3, eps


@few_examples
@given(
    rows=st.lists(st.integers(1, 3), max_size=3),
    size=st.integers(2, 6),
    eps=st.sampled_from([1e-12, 1e-5, 0.5]),
    seed=st.integers(0, 99),
)
def test_each_row_follows_the_equation(rows, size, eps, seed):
    params, x, _ = example((*rows, size), eps, seed)
    y, _ = layer_norm(params, x, eps)
    for index in np.ndindex(*rows):
        expected = layer_norm_in_loops(params, x[index].tolist(), eps)
        # A row of two close numbers loses the digits in which they agree.
        np.testing.assert_allclose(y[index], expected, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("eps", [1e-12, 1e-5, 0.5])
def test_gradients_are_those_of_finite_differences(shape, eps):
    check_gradients(layer_norm, *example(shape, eps))


def test_rows_have_mean_zero_and_variance_one_before_scale_and_shift():
    fresh = {"weight": np.ones(6), "bias": np.zeros(6)}
    y, _ = layer_norm(fresh, example()[1], 1e-12)
    np.testing.assert_allclose(y.mean(axis=-1), 0, atol=1e-12)
    np.testing.assert_allclose(y.var(axis=-1, ddof=0), 1, rtol=1e-10)


def test_shifting_and_stretching_a_row_changes_nothing():
    params, x, eps = example()
    y, _ = layer_norm(params, x, eps)
    np.testing.assert_allclose(layer_norm(params, 5 * x - 7, eps)[0], y, rtol=1e-9, atol=1e-9)


def test_input_gradient_has_no_part_along_a_shift_or_a_stretch():
    params, x, eps = example()
    dx = layer_norm(params, x, eps)[1](np.random.default_rng(1).standard_normal(x.shape))[1]
    assert np.abs(dx).max() > 0.1
    np.testing.assert_allclose(dx.sum(axis=-1), 0, atol=1e-12)
    np.testing.assert_allclose((dx * x).sum(axis=-1), 0, atol=1e-10)


def test_a_constant_row_becomes_the_bias():
    params, _, eps = example()
    y, _ = layer_norm(params, np.full((2, 6), 1.5), eps)
    np.testing.assert_array_equal(y, np.tile(params["bias"], (2, 1)))


def test_rows_do_not_influence_each_other():
    params, x, eps = example((4, 6))
    changed = x.copy()
    changed[0] += np.arange(6)
    y, _ = layer_norm(params, x, eps)
    np.testing.assert_array_equal(layer_norm(params, changed, eps)[0][1:], y[1:])


def test_a_large_mean_does_not_spoil_float32():
    params, x, eps = example()
    far = (x + 1000).astype(np.float32)
    single = {name: array.astype(np.float32) for name, array in params.items()}
    y, _ = layer_norm(single, far, eps)
    exact, _ = layer_norm(params, far.astype(np.float64), eps)
    # The mean is off by half of the last bit of 1000, 3e-5, at most a few times.
    np.testing.assert_allclose(y, exact, atol=3e-4)


def test_inputs_are_unchanged():
    assert_inputs_unchanged(layer_norm, *example())


def test_backward_returns_the_same_twice():
    assert_backward_repeats(layer_norm, *example())


def test_memory_layout_is_irrelevant():
    assert_layout_irrelevant(layer_norm, *example())


@pytest.mark.parametrize("shape", SHAPES)
def test_float32_stays_float32(shape):
    assert_float32_kept(layer_norm, *example(shape))
