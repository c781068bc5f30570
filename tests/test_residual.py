import functools

import numpy as np
import pytest
from support import (
    SmallSettings,
    assert_backward_repeats,
    assert_float32_kept,
    assert_inputs_unchanged,
    assert_layout_irrelevant,
    layer_norm_in_loops,
    seeded,
    sublayer_params,
    upstream,
)

from minibert2bert.components.dropout import dropout
from minibert2bert.components.linear import linear
from minibert2bert.components.residual import add_and_norm
from minibert2bert.inspection.gradient_check import check_gradients

SIZES = [(1, 1, 3, 2), (2, 3, 4, 6), (2, 3, 5, 5)]
SETTINGS = SmallSettings(layer_norm_eps=1e-5)
DROPPING = SmallSettings(layer_norm_eps=1e-5, hidden_dropout_prob=0.4)
plain = functools.partial(add_and_norm, config=SETTINGS)
dropping = seeded(add_and_norm, config=DROPPING)


def example(batch=2, length=3, hidden=4, inner=6):
    """Parameters, update and residual."""
    rng = np.random.default_rng(0)
    return (
        sublayer_params(rng, hidden, inner),
        rng.standard_normal((batch, length, inner)),
        rng.standard_normal((batch, length, hidden)),
    )


@pytest.mark.parametrize("size", SIZES)
def test_each_row_follows_the_equation(size):
    params, update, residual = example(*size)
    y, _ = plain(params, update, residual)
    weight, bias = params["dense"]["weight"], params["dense"]["bias"]
    for b, t in np.ndindex(y.shape[:2]):
        row = [sum(w * update[b, t]) + shift for w, shift in zip(weight, bias, strict=True)]
        total = [a + x for a, x in zip(row, residual[b, t], strict=True)]
        expected = layer_norm_in_loops(params["LayerNorm"], total, 1e-5)
        np.testing.assert_allclose(y[b, t], expected, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("size", SIZES)
def test_gradients_are_those_of_finite_differences(size):
    check_gradients(plain, *example(*size))


@pytest.mark.parametrize("size", SIZES)
def test_gradients_through_dropout_are_those_of_finite_differences(size):
    check_gradients(dropping, *example(*size))


def test_dropout_hits_the_update_and_spares_the_residual():
    params, update, residual = example()
    y, _ = dropping(params, update, residual)
    projected, _ = linear(params["dense"], update)
    dropped, _ = dropout(projected, 0.4, np.random.default_rng(7))
    row = (dropped + residual)[1, 2]
    expected = layer_norm_in_loops(params["LayerNorm"], row, 1e-5)
    np.testing.assert_allclose(y[1, 2], expected, rtol=1e-11, atol=1e-13)


def test_no_dropout_happens_without_a_generator():
    y, _ = add_and_norm(*example(), DROPPING)
    np.testing.assert_array_equal(y, plain(*example())[0])


def test_the_residual_gets_the_gradient_of_the_sum():
    y, backward = plain(*example())
    dparams, _, dresidual = backward(upstream(y))
    np.testing.assert_allclose(dparams["dense"]["bias"], dresidual.sum(axis=(0, 1)), atol=1e-13)
    assert np.abs(dresidual).max() > 0.01


def test_inputs_are_unchanged():
    assert_inputs_unchanged(dropping, *example())


def test_backward_returns_the_same_twice():
    assert_backward_repeats(dropping, *example())


def test_memory_layout_is_irrelevant():
    assert_layout_irrelevant(dropping, *example())


@pytest.mark.parametrize("size", SIZES)
def test_float32_stays_float32(size):
    assert_float32_kept(dropping, *example(*size))
