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

from minibert2bert.components.linear import linear
from minibert2bert.inspection.gradient_check import check_gradients

SHAPES = [(4,), (1, 4), (5, 4), (2, 3, 4), (2, 3, 2, 4)]


def example(shape=(2, 3, 4), outputs=5, seed=0):
    rng = np.random.default_rng(seed)
    return linear_params(rng, outputs, shape[-1]), rng.standard_normal(shape)


@few_examples
@given(
    rows=st.lists(st.integers(1, 3), max_size=3),
    inputs=st.integers(1, 5),
    outputs=st.integers(1, 5),
    seed=st.integers(0, 99),
)
def test_each_output_is_a_dot_product_plus_a_bias(rows, inputs, outputs, seed):
    params, x = example((*rows, inputs), outputs, seed)
    y, _ = linear(params, x)
    assert y.shape == (*rows, outputs)
    for index in np.ndindex(y.shape):
        terms = [x[*index[:-1], i] * params["weight"][index[-1], i] for i in range(inputs)]
        assert y[index] == pytest.approx(sum(terms) + params["bias"][index[-1]], abs=1e-12)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("outputs", [1, 5])
def test_gradients_are_those_of_finite_differences(shape, outputs):
    check_gradients(linear, *example(shape, outputs))


def test_bias_gradient_sums_over_all_rows():
    params, x = example((2, 3, 4))
    dy = np.random.default_rng(1).standard_normal((2, 3, 5))
    dparams, _ = linear(params, x)[1](dy)
    np.testing.assert_allclose(dparams["bias"], dy.sum(axis=(0, 1)), rtol=1e-12)


def test_gradients_have_the_names_and_shapes_of_the_arguments():
    params, x = example((2, 3, 4))
    y, backward = linear(params, x)
    dparams, dx = backward(np.ones_like(y))
    assert dx.shape == x.shape
    assert {name: array.shape for name, array in dparams.items()} == {
        "weight": (5, 4),
        "bias": (5,),
    }


def test_the_output_may_be_changed_without_changing_the_gradient():
    y, backward = linear(*example())
    expected = backward(np.ones_like(y))[1]
    y[:] = 0
    np.testing.assert_array_equal(backward(np.ones_like(y))[1], expected)


def test_inputs_are_unchanged():
    assert_inputs_unchanged(linear, *example())


def test_backward_returns_the_same_twice():
    assert_backward_repeats(linear, *example())


def test_memory_layout_is_irrelevant():
    assert_layout_irrelevant(linear, *example())


@pytest.mark.parametrize("shape", SHAPES)
def test_float32_stays_float32(shape):
    assert_float32_kept(linear, *example(shape))


def test_a_layer_without_a_bias_has_no_gradient_for_one():
    rng = np.random.default_rng(0)
    weight, x = rng.standard_normal((3, 2)), rng.standard_normal((4, 2))
    y, backward = linear({"weight": weight}, x)
    np.testing.assert_allclose(y, x @ weight.T)
    check_gradients(linear, {"weight": weight}, x)
    assert list(backward(y)[0]) == ["weight"]
