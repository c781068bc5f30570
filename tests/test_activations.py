import math

import numpy as np
import pytest
from support import (
    assert_backward_repeats,
    assert_float32_kept,
    assert_inputs_unchanged,
    assert_layout_irrelevant,
)

from minibert2bert.components.activations import ACTIVATIONS, activation, gelu, gelu_new
from minibert2bert.inspection.gradient_check import check_gradients


def exact_gelu(x):
    return x * 0.5 * (1 + math.erf(x / math.sqrt(2)))


def gelu_by_tanh(x):
    return 0.5 * x * (1 + math.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def fast_gelu(x):
    return 0.5 * x * (1 + math.tanh(x * 0.7978845608 * (1 + 0.044715 * x * x)))


def logistic(x):
    return 1 / (1 + math.exp(-x))


def swish(x):
    return x * logistic(x)


def clipped(x, low, high):
    return min(max(x, low), high)


def mish(x):
    return x * math.tanh(math.log1p(math.exp(x)))


def laplace(x):
    return 0.5 * (1 + math.erf((x - 0.707107) / (0.282095 * math.sqrt(2))))


FORMULAS = {
    "gelu": exact_gelu,
    "gelu_python": exact_gelu,
    "gelu_new": gelu_by_tanh,
    "gelu_accurate": gelu_by_tanh,
    "gelu_pytorch_tanh": gelu_by_tanh,
    "gelu_python_tanh": gelu_by_tanh,
    "gelu_fast": fast_gelu,
    "quick_gelu": lambda x: x * logistic(1.702 * x),
    "gelu_10": lambda x: clipped(exact_gelu(x), -10, 10),
    "relu": lambda x: max(0.0, x),
    "relu2": lambda x: max(0.0, x) ** 2,
    "relu6": lambda x: clipped(x, 0, 6),
    "silu": swish,
    "swish": swish,
    "mish": mish,
    "tanh": math.tanh,
    "sigmoid": logistic,
    "linear": lambda x: x,
    "hardswish": lambda x: x * clipped(x + 3, 0, 6) / 6,
    "leaky_relu": lambda x: x if x > 0 else 0.01 * x,
    "laplace": laplace,
}
# Where a formula changes: there is no slope to compare with.
KINKS = np.array([-3, 0, 3, 6, 10])
every_activation = pytest.mark.parametrize("name", sorted(ACTIVATIONS))


def away_from_kinks(shape):
    """Numbers of every piece, none within a hundredth of a kink."""
    x = np.random.default_rng(0).uniform(-8, 14, shape)
    near = np.abs(x[..., None] - KINKS).min(axis=-1) < 0.01
    return np.where(near, x + 0.05, x)


def test_every_name_has_a_formula_here():
    assert set(FORMULAS) == set(ACTIVATIONS)


@every_activation
def test_each_element_follows_the_formula(name):
    x = np.concatenate([np.linspace(-20, 20, 2001), KINKS])
    y, _ = activation(name)(x)
    expected = [FORMULAS[name](value) for value in x.tolist()]
    # 1 + erf(x), and the like, cancel to the last bit of 1, which x then multiplies.
    np.testing.assert_allclose(y, expected, rtol=1e-13, atol=1e-14)


@every_activation
@pytest.mark.parametrize("shape", [(200,), (5, 7), (2, 3, 4)])
def test_gradients_are_those_of_finite_differences(name, shape):
    check_gradients(activation(name), away_from_kinks(shape))


@pytest.mark.parametrize(("name", "slope"), [("relu", 0), ("relu6", 0), ("leaky_relu", 0.01)])
def test_the_slope_at_zero_is_the_left_one(name, slope):
    y, backward = activation(name)(np.zeros(2))
    np.testing.assert_array_equal(backward(np.ones_like(y)), [slope, slope])


@every_activation
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_large_numbers_neither_overflow_nor_lose_their_slope(name, dtype):
    x = np.array([-1e4, -100, 100, 1e4], dtype)
    y, backward = activation(name)(x)
    step = x * 2.0**-7
    rise = (activation(name)(x + step)[0] - activation(name)(x - step)[0]) / (2 * step)
    assert np.isfinite(y).all()
    np.testing.assert_allclose(backward(np.ones_like(x)), rise, rtol=1e-3, atol=1e-6)


def test_gelu_and_gelu_new_differ_by_up_to_0_000473():
    x = np.linspace(-10, 10, 200_001)
    assert np.abs(gelu(x)[0] - gelu_new(x)[0]).max() == pytest.approx(4.73e-4, abs=5e-7)


@pytest.mark.parametrize(
    ("wrong", "meant"), [("gellu", "gelu"), ("gelu_nwe", "gelu_new"), ("hard_swish", "hardswish")]
)
def test_an_unknown_name_is_an_error_that_names_the_closest(wrong, meant):
    with pytest.raises(ValueError, match=rf"{wrong}.*did you mean {meant}\?"):
        activation(wrong)


def test_a_name_like_no_other_is_an_error_that_lists_the_known_ones():
    with pytest.raises(ValueError, match=r"unknown activation 'zzz'; known are gelu, .*laplace"):
        activation("zzz")


@every_activation
def test_inputs_are_unchanged(name):
    assert_inputs_unchanged(activation(name), away_from_kinks((3, 4)))


@every_activation
def test_backward_returns_the_same_twice(name):
    assert_backward_repeats(activation(name), away_from_kinks((3, 4)))


@every_activation
def test_memory_layout_is_irrelevant(name):
    assert_layout_irrelevant(activation(name), away_from_kinks((2, 3, 4)))


@every_activation
def test_float32_stays_float32(name):
    assert_float32_kept(activation(name), away_from_kinks((3, 4)))
