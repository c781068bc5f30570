import dataclasses
import functools
import math

import numpy as np
import pytest
from support import (
    SmallSettings,
    assert_backward_repeats,
    assert_float32_kept,
    assert_inputs_unchanged,
    assert_layout_irrelevant,
    layer_norm_in_loops,
    linear_params,
    seeded,
    sublayer_params,
)

from minibert2bert.components.activations import gelu
from minibert2bert.components.dropout import dropout
from minibert2bert.components.feed_forward import feed_forward_block
from minibert2bert.components.layer_norm import layer_norm
from minibert2bert.components.linear import linear
from minibert2bert.inspection.gradient_check import check_gradients

SIZES = [(1, 1, 3, 2), (2, 3, 4, 6)]
SETTINGS = SmallSettings(layer_norm_eps=1e-5)
DROPPING = SmallSettings(layer_norm_eps=1e-5, hidden_dropout_prob=0.4)
plain = functools.partial(feed_forward_block, config=SETTINGS)
dropping = seeded(feed_forward_block, config=DROPPING)


def example(batch=2, length=3, hidden=4, inner=6):
    """Parameters and hidden states."""
    rng = np.random.default_rng(0)
    params = {
        "intermediate": {"dense": linear_params(rng, inner, hidden)},
        "output": sublayer_params(rng, hidden, inner),
    }
    return params, rng.standard_normal((batch, length, hidden))


def dense_in_loops(params, row):
    pairs = zip(params["weight"].tolist(), params["bias"].tolist(), strict=True)
    return [sum(w * v for w, v in zip(weights, row, strict=True)) + b for weights, b in pairs]


def gelu_of(value):
    return value * (1 + math.erf(value / math.sqrt(2))) / 2


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(("name", "act"), [("gelu", gelu_of), ("tanh", math.tanh)])
def test_each_row_follows_the_equation(size, name, act):
    params, x = example(*size)
    y, _ = feed_forward_block(params, x, dataclasses.replace(SETTINGS, hidden_act=name))
    for b, t in np.ndindex(x.shape[:2]):
        bent = [act(v) for v in dense_in_loops(params["intermediate"]["dense"], x[b, t].tolist())]
        update = dense_in_loops(params["output"]["dense"], bent)
        total = [u + v for u, v in zip(update, x[b, t].tolist(), strict=True)]
        expected = layer_norm_in_loops(params["output"]["LayerNorm"], total, 1e-5)
        np.testing.assert_allclose(y[b, t], expected, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", ["gelu", "gelu_new", "silu", "tanh"])
def test_gradients_are_those_of_finite_differences(size, name):
    settings = dataclasses.replace(SETTINGS, hidden_act=name)
    check_gradients(feed_forward_block, *example(*size), settings)


@pytest.mark.parametrize("size", SIZES)
def test_gradients_through_dropout_are_those_of_finite_differences(size):
    check_gradients(dropping, *example(*size))


def test_positions_do_not_influence_each_other():
    params, x = example()
    y, _ = plain(params, x)
    x[0, 1] += np.arange(4)
    changed, _ = plain(params, x)
    differs = np.abs(changed - y).max(axis=-1) > 1e-9
    np.testing.assert_array_equal(np.argwhere(differs), [[0, 1]])


def test_dropout_happens_once_after_the_second_dense():
    params, x = example()
    y, _ = dropping(params, x)
    bent, _ = gelu(linear(params["intermediate"]["dense"], x)[0])
    projected, _ = linear(params["output"]["dense"], bent)
    dropped, _ = dropout(projected, 0.4, np.random.default_rng(7))
    expected, _ = layer_norm(params["output"]["LayerNorm"], dropped + x, 1e-5)
    np.testing.assert_allclose(y, expected, rtol=1e-12)


def test_no_dropout_happens_without_a_generator():
    y, _ = feed_forward_block(*example(), DROPPING)
    np.testing.assert_array_equal(y, plain(*example())[0])


def test_an_unknown_activation_is_an_error():
    with pytest.raises(ValueError, match="did you mean gelu"):
        feed_forward_block(*example(), dataclasses.replace(SETTINGS, hidden_act="gellu"))


def test_inputs_are_unchanged():
    assert_inputs_unchanged(dropping, *example())


def test_backward_returns_the_same_twice():
    assert_backward_repeats(dropping, *example())


def test_memory_layout_is_irrelevant():
    assert_layout_irrelevant(dropping, *example())


@pytest.mark.parametrize("size", SIZES)
def test_float32_stays_float32(size):
    assert_float32_kept(dropping, *example(*size))
