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
    linear_params,
)

from minibert2bert.components.conv1d import conv1d
from minibert2bert.components.linear import linear
from minibert2bert.inspection.gradient_check import check_gradients

SHAPES = [(4,), (1, 4), (5, 4), (2, 3, 4), (2, 3, 2, 4)]


def example(shape=(2, 3, 4), outputs=5, seed=0):
    rng = np.random.default_rng(seed)
    params = linear_params(rng, outputs, shape[-1])
    return {**params, "weight": params["weight"].T.copy()}, rng.standard_normal(shape)


@few_examples
@given(
    rows=st.lists(st.integers(1, 3), max_size=3),
    inputs=st.integers(1, 5),
    outputs=st.integers(1, 5),
    seed=st.integers(0, 99),
)
def test_each_output_is_a_dot_product_plus_a_bias(rows, inputs, outputs, seed):
    params, x = example((*rows, inputs), outputs, seed)
    y, _ = conv1d(params, x)
    assert y.shape == (*rows, outputs)
    for index in np.ndindex(y.shape):
        terms = [x[*index[:-1], i] * params["weight"][i, index[-1]] for i in range(inputs)]
        assert y[index] == pytest.approx(sum(terms) + params["bias"][index[-1]], abs=1e-12)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("outputs", [1, 5])
def test_gradients_are_those_of_finite_differences(shape, outputs):
    check_gradients(conv1d, *example(shape, outputs))


def test_it_is_linear_with_its_weight_transposed():
    params, x = example()
    turned = {**params, "weight": params["weight"].T}
    (y, backward), (expected, linear_backward) = conv1d(params, x), linear(turned, x)
    dparams, dx = backward(expected)
    dturned, expected_dx = linear_backward(expected)
    np.testing.assert_allclose(y, expected, rtol=1e-12)
    np.testing.assert_allclose(dx, expected_dx, rtol=1e-12)
    np.testing.assert_allclose(dparams["weight"], dturned["weight"].T, rtol=1e-12)
    np.testing.assert_allclose(dparams["bias"], dturned["bias"], rtol=1e-12)


def test_inputs_are_unchanged():
    assert_inputs_unchanged(conv1d, *example())


def test_backward_returns_the_same_twice():
    assert_backward_repeats(conv1d, *example())


def test_memory_layout_is_irrelevant():
    assert_layout_irrelevant(conv1d, *example())


@pytest.mark.parametrize("shape", SHAPES)
def test_float32_stays_float32(shape):
    assert_float32_kept(conv1d, *example(shape))
