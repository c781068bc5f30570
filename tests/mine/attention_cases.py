"""The cases of attention: softmax, scores, heads."""

import numpy as np
from mine.check import Case
from mine.sizes import ROWS, SCALES, SETTINGS, B, D, H, N, S, T
from support import linear_params

from minibert2bert.components.attention import merge_heads, split_heads
from minibert2bert.components.linear import linear
from minibert2bert.components.masks import decoder_mask, padding_mask
from minibert2bert.components.scaled_dot_product import scaled_dot_product_attention
from minibert2bert.components.softmax import masked_softmax


def softmax_cases(rng):
    def not_summed(scores, mask, dy):
        return dy * masked_softmax(scores, mask)[0]

    def known(scores, mask, dy):
        probs, _ = masked_softmax(scores, mask)
        return {"probs": probs, "dprobs * probs * (1 - probs)": dy * probs * (1 - probs)}

    scores = rng.standard_normal((B, N, T, S))
    padding = np.ones((B, S), int)
    padding[2, -2:] = 0
    forgotten = "is dprobs * probs: take off probs times the row's sum of that"
    for mask, told in ((None, "no mask"), (padding_mask(padding), "a mask (B, 1, 1, S)")):
        yield Case(
            "masked_softmax",
            (scores, mask),
            told=f"scores (B, N, T, S) = {scores.shape}, {told}",
            factors={"S": S},
            known=known,
            mistakes={"dscores": {forgotten: not_summed}},
        )
    yield Case("masked_softmax", (800 * scores, None), told="scores of some hundreds")
    nothing = np.zeros((1, 1, 1, S), bool)
    yield Case("masked_softmax", (scores, nothing), told="a mask that hides every key")
    keywords = {"zero_fully_masked": True}
    told = "a mask that hides every key, zero_fully_masked"
    yield Case("masked_softmax", (scores, nothing), keywords, told=told)
    yield Case("hide", (scores, padding_mask(padding)), told="a mask (B, 1, 1, S)")


def heads(rng, length):
    return rng.standard_normal((B, N, length, D))


def scaled_dot_product_cases(rng):
    for keys in (S, T):
        told = f"query (B, N, T, D) = {(B, N, T, D)}, key (B, N, S, D) = {(B, N, keys, D)}"
        query, key, value = heads(rng, T), heads(rng, keys), heads(rng, keys)
        yield Case("scaled_dot_product", (query, key), told=told, factors=SCALES)
    scores = rng.standard_normal((B, N, T, S))
    value, mask = heads(rng, S), padding_mask(np.arange(S)[None] < 4)
    told = "scores (B, N, T, S), value (B, N, S, D), keys 4 and 5 hidden"
    yield Case("attend", (scores, value, mask), told=told, factors=SCALES)
    head_mask = np.array([0.3, 1.5, 0.0])
    yield Case("attend", (scores, value, None, 0.0, None, head_mask), told="with a head_mask (N,)")
    for keys, mask in ((T, decoder_mask(None, T, T)), (S, None)):
        yield Case(
            "scaled_dot_product_attention",
            (heads(rng, T), heads(rng, keys), heads(rng, keys), mask),
            told=f"query (B, N, T, D), keys (B, N, S, D), T = {T}, S = {keys}",
            factors=SCALES,
        )


def attention_cases(rng):
    def known(params, x, states, mask, settings, dy):
        projected = [
            linear(params[name], source)
            for name, source in (("query", x), ("key", states), ("value", states))
        ]
        pieces = (split_heads(y, N) for y, _ in projected)
        _, backward = scaled_dot_product_attention(*pieces, mask)
        dheads = backward(split_heads(dy, N))
        parts = [b(merge_heads(d))[1] for (_, b), d in zip(projected, dheads, strict=True)]
        names = ("the queries", "the keys", "the values")
        return {f"the part that comes by {n}": p for n, p in zip(names, parts, strict=True)}

    x = rng.standard_normal((B, T, H))
    mixed = "mixes positions and heads: cut the last axis first, then swap axes 1 and 2"
    yield Case(
        "split_heads",
        (x, N),
        told=f"x (B, T, H) = {x.shape}, N = {N}",
        mistakes={"pieces": {mixed: lambda x, heads, dy: x.reshape(B, N, T, D)}},
    )
    unswapped = "mixes positions and heads: swap axes 1 and 2 back before they are joined"
    yield Case(
        "merge_heads",
        (heads(rng, T),),
        told=f"x (B, N, T, D) = {(B, N, T, D)}",
        mistakes={"merged": {unswapped: lambda x, dy: x.reshape(B, T, H)}},
    )
    for length in (T, S):
        params = {name: linear_params(rng, H, H) for name in ("query", "key", "value")}
        states = rng.standard_normal((B, length, H))
        mask = decoder_mask(None, T, T) if length == T else None
        yield Case(
            "multi_head_attention",
            (params, x, states, mask, SETTINGS),
            told=f"hidden_states (B, T, H) = {x.shape}, key_value_states {states.shape}, N = {N}",
            factors=SCALES | ROWS,
            known=known,
        )
