import functools
import math

import numpy as np
import pytest
from support import (
    assert_backward_repeats,
    assert_float32_kept,
    assert_inputs_unchanged,
    assert_layout_irrelevant,
    layer_norm_in_loops,
    linear_params,
    norm_params,
    upstream,
)

from minibert2bert.components.lm_head import (
    head_transform,
    lm_head,
    tied_lm_head,
    untied_lm_head,
)
from minibert2bert.inspection.gradient_check import check_gradients

V, H = 7, 4
SHAPES = [(H,), (3, H), (2, 3, H)]
transform = functools.partial(head_transform, act="gelu", eps=1e-5)


def tied(shape=(2, 3, H)):
    rng = np.random.default_rng(0)
    params = {"bias": rng.standard_normal(V)}
    return params, rng.standard_normal((V, H)), rng.standard_normal(shape)


def untied(shape=(2, 3, H)):
    rng = np.random.default_rng(0)
    return {"decoder": linear_params(rng, V, H)}, rng.standard_normal(shape)


def transformed(shape=(2, 3, H)):
    rng = np.random.default_rng(0)
    return linear_params(rng, H, H), norm_params(rng, H), rng.standard_normal(shape)


def scores_in_loops(weight, bias, states):
    logits = np.empty((*states.shape[:-1], V))
    for *row, v in np.ndindex(logits.shape):
        logits[*row, v] = sum(weight[v] * states[*row]) + bias[v]
    return logits


@pytest.mark.parametrize("shape", SHAPES)
def test_a_tied_head_multiplies_with_the_word_embeddings(shape):
    params, words, states = tied(shape)
    logits, _ = tied_lm_head(params, words, states)
    expected = scores_in_loops(words, params["bias"], states)
    np.testing.assert_allclose(logits, expected, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("shape", SHAPES)
def test_an_untied_head_multiplies_with_its_own_weight(shape):
    params, states = untied(shape)
    logits, _ = untied_lm_head(params, states)
    expected = scores_in_loops(params["decoder"]["weight"], params["decoder"]["bias"], states)
    np.testing.assert_allclose(logits, expected, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("shape", SHAPES)
def test_gradients_are_those_of_finite_differences(shape):
    check_gradients(tied_lm_head, *tied(shape))
    check_gradients(untied_lm_head, *untied(shape))


@pytest.mark.parametrize("shape", SHAPES)
def test_a_head_without_a_weight_is_tied(shape):
    check_gradients(lm_head, *tied(shape))
    np.testing.assert_array_equal(lm_head(*tied(shape))[0], tied_lm_head(*tied(shape))[0])


@pytest.mark.parametrize("shape", SHAPES)
def test_a_head_with_a_weight_leaves_the_word_embeddings_without_a_gradient(shape):
    params, states = untied(shape)
    logits, backward = lm_head(params, tied()[1], states)
    dparams, dwords, dstates = backward(upstream(logits))
    expected, expected_dstates = untied_lm_head(params, states)[1](upstream(logits))
    assert dwords is None
    np.testing.assert_array_equal(dstates, expected_dstates)
    np.testing.assert_array_equal(dparams["decoder"]["weight"], expected["decoder"]["weight"])


@pytest.mark.parametrize("shape", SHAPES)
def test_the_transform_follows_the_equation(shape):
    dense, norm, states = transformed(shape)
    y, _ = head_transform(dense, norm, states, "tanh", 1e-5)
    for row in np.ndindex(shape[:-1]):
        products = [sum(weight * states[row]) for weight in dense["weight"]]
        bent = [math.tanh(p + b) for p, b in zip(products, dense["bias"], strict=True)]
        expected = layer_norm_in_loops(norm, bent, 1e-5)
        np.testing.assert_allclose(y[row], expected, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("act", ["gelu", "tanh"])
@pytest.mark.parametrize("shape", SHAPES)
def test_gradients_of_the_transform_are_those_of_finite_differences(shape, act):
    check_gradients(functools.partial(head_transform, act=act, eps=1e-5), *transformed(shape))


@pytest.mark.parametrize(("head", "example"), [(tied_lm_head, tied), (untied_lm_head, untied)])
def test_the_bias_gets_the_sum_of_the_logits_gradients(head, example):
    logits, backward = head(*example())
    dparams = backward(upstream(logits))[0]
    dbias = dparams.get("bias", dparams.get("decoder", {}).get("bias"))
    np.testing.assert_allclose(dbias, upstream(logits).sum(axis=(0, 1)), rtol=1e-12)


HEADS = [(tied_lm_head, tied), (untied_lm_head, untied), (lm_head, tied), (transform, transformed)]
every_head = pytest.mark.parametrize(("head", "example"), HEADS)


@every_head
def test_inputs_are_unchanged(head, example):
    assert_inputs_unchanged(head, *example())


@every_head
def test_backward_returns_the_same_twice(head, example):
    assert_backward_repeats(head, *example())


@every_head
def test_memory_layout_is_irrelevant(head, example):
    assert_layout_irrelevant(head, *example())


@every_head
def test_float32_stays_float32(head, example):
    assert_float32_kept(head, *example())
