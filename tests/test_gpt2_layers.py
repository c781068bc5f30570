"""GPT-2's block: its equation, its scale, its dropouts and its gradients."""

import numpy as np
import pytest
from gpt2_support import (
    CROSS,
    DROPOUT,
    EXACT,
    SCALES,
    B,
    H,
    L,
    N,
    S,
    T,
    encoder_inputs,
    normed,
    small_gpt2,
)
from model_support import assert_close, padded_mask, words

from minibert2bert.components.activations import gelu_new
from minibert2bert.components.masks import Masks, decoder_mask, padding_mask
from minibert2bert.inspection.gradient_check import check_gradients
from minibert2bert.models.gpt2_layers import block


def block_masks(rng):
    own = decoder_mask(padded_mask(rng, B, T), T, T)
    return Masks(own, padding_mask(padded_mask(rng, B, S)), rng.uniform(0.2, 1, N))


def columns(params, x, parts):
    return np.split(x @ params["weight"] + params["bias"], parts, axis=-1)


def probs_of(query, key, scale, mask, head_mask):
    query, key = (x.reshape(*x.shape[:2], N, H // N) for x in (query, key))
    weights = np.exp(scale * np.einsum("btnd,bsnd->bnts", query, key)) * mask
    return weights / weights.sum(axis=-1, keepdims=True) * head_mask[:, None, None]


def update_of(params, query, key, value, *how):
    value = value.reshape(*value.shape[:2], N, H // N)
    context = np.einsum("bnts,bsnd->btnd", probs_of(query, key, *how), value)
    return columns(params["c_proj"], context.reshape(query.shape), 1)[0]


def test_a_block_adds_three_updates_to_what_enters_it():
    rng, factor = np.random.default_rng(1), 0.7
    model, (own, encoder, heads) = small_gpt2(**CROSS), block_masks(rng)
    params = model.params["transformer"]["h"]["1"]
    x, z = rng.standard_normal((B, T, H)), rng.standard_normal((B, S, H))
    y, _ = block(params, x, z, Masks(own, encoder, heads), factor, model.config)
    attn, cross, mlp = params["attn"], params["crossattention"], params["mlp"]
    scale = factor / np.sqrt(H // N)
    x = x + update_of(
        attn, *columns(attn["c_attn"], normed(params["ln_1"], x), 3), scale, own, heads
    )
    (query,) = columns(cross["q_attn"], normed(params["ln_cross_attn"], x), 1)
    x = x + update_of(cross, query, *columns(cross["c_attn"], z, 2), scale, encoder, heads)
    (widened,) = columns(mlp["c_fc"], normed(params["ln_2"], x), 1)
    assert_close(y, x + columns(mlp["c_proj"], gelu_new(widened)[0], 1)[0], EXACT)


@pytest.mark.parametrize("scale", SCALES)
def test_the_scale_of_the_scores_is_that_of_the_config(scale):
    model = small_gpt2(**scale)
    ids = words(np.random.default_rng(2), 1, T)
    output = model(ids, output_attentions=True, output_hidden_states=True)
    for index, probs in enumerate(output.attentions):
        params, x = model.params["transformer"]["h"][str(index)], output.hidden_states[index]
        query, key, _ = columns(params["attn"]["c_attn"], normed(params["ln_1"], x), 3)
        divisor = 1 if scale.get("scale_attn_weights") is False else np.sqrt(H // N)
        if scale.get("scale_attn_by_inverse_layer_idx"):
            divisor *= index + 1
        assert_close(probs, probs_of(query, key, 1 / divisor, np.tri(T), np.ones(N)), EXACT)


@pytest.mark.parametrize("rng_seed", [None, 7], ids=["no dropout", "dropout"])
def test_the_gradients_of_a_block_are_its_slopes(rng_seed):
    rng = np.random.default_rng(3)
    model, masks = small_gpt2(**CROSS, **DROPOUT), block_masks(rng)

    def with_encoder(params, x, z):
        dropout_rng = None if rng_seed is None else np.random.default_rng(rng_seed)
        return block(params, x, z, masks, 0.7, model.config, dropout_rng)

    x, z = rng.standard_normal((B, T, H)), rng.standard_normal((B, S, H))
    check_gradients(with_encoder, model.params["transformer"]["h"]["0"], x, z)


def test_the_gradients_of_a_block_without_an_encoder_are_its_slopes():
    rng = np.random.default_rng(4)
    model, masks = small_gpt2(), block_masks(rng)

    def without_encoder(params, x):
        y, backward = block(params, x, None, masks, 0.7, model.config)
        return y, lambda dy: backward(dy)[:2]

    params, x = model.params["transformer"]["h"]["0"], rng.standard_normal((B, T, H))
    check_gradients(without_encoder, params, x)
    assert block(params, x, None, masks, 0.7, model.config)[1](x)[2] is None


class MaskShapes:
    """A generator that drops nothing, and remembers the shapes of the masks it was asked for."""

    def __init__(self):
        self.asked = []

    def integers(self, low, high, shape, dtype):
        self.asked.append(shape)
        return np.full(shape, high - 1, dtype)


@pytest.mark.parametrize(
    ("rate", "shapes"),
    [
        ("embd_pdrop", [(B, T, H)]),
        ("attn_pdrop", [(B, N, T, T), (B, N, T, S)] * L),
        ("resid_pdrop", [(B, T, H)] * 3 * L),
    ],
)
def test_each_rate_belongs_to_its_dropouts(rate, shapes):
    rng, spy = np.random.default_rng(5), MaskShapes()
    model, ids = small_gpt2(**CROSS, **{rate: 0.5}), words(rng, B, T)
    model.loss(ids, ids, rng=spy, **encoder_inputs(rng))
    assert spy.asked == shapes


@pytest.mark.parametrize("zero", [False, True])
def test_a_query_that_sees_nothing_gets_zeros_or_the_mean(zero):
    model = small_gpt2(zero_fully_masked=zero)
    probs = model([[4, 5, 6]], [[0, 1, 1]], output_attentions=True).attentions[0]
    assert_close(probs[0, :, 0], np.full((N, 3), 0 if zero else 1 / 3), EXACT, scale=1)
