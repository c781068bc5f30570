# An exercise of tutorials/05_attention.py.
# Write what raises NotImplementedError, then run: pytest --mine scaled_dot_product
# Checksum of the untouched file: 743f4339

"""Attention of one query on many keys: compare, softmax, average."""

import math

import numpy as np

from minibert2bert.arrays import Array, Backward
from minibert2bert.components.dropout import dropout
from minibert2bert.components.masks import Mask, Spans
from minibert2bert.components.softmax import masked_softmax
from minibert2bert.recording import record


def scaled_dot_product(query: Array, key: Array) -> tuple[Array, Backward]:
    """Score how well each query fits each key.

    scores = Q K^T / sqrt(D)
    (Vaswani et al., 2017, the argument of the softmax in equation 1)

    Args:
        query: (B, N, T, D)
        key: (B, N, S, D)

    Returns:
        scores: (B, N, T, S)
        backward: dscores -> dquery, dkey
    """
    raise NotImplementedError("scaled_dot_product is not written yet")

    def backward(dscores: Array) -> tuple[Array, Array]:
        raise NotImplementedError("the backward of scaled_dot_product is not written yet")

    return ..., backward


def attend(
    scores: Array,
    value: Array,
    mask: Array | None,
    rate: float = 0.0,
    rng: np.random.Generator | None = None,
    head_mask: Array | None = None,
    zero_fully_masked: bool = False,
) -> tuple[Array, Backward]:
    """Average the values, weighted by the softmax of the scores.

    context = dropout(softmax(scores)) V
    (Vaswani et al., 2017, equation 1; after dropout the rows are not scaled back to sum 1)

    Args:
        scores: (B, N, T, S)
        value: (B, N, S, D)
        mask: bool, broadcasts to (B, N, T, S), True where a query may look; None hides nothing.
        rate: dropout probability of an attention weight, in [0, 1)
        rng: source of the dropout mask; None switches dropout off.
        head_mask: (N,), a factor for the weights of each head, applied after dropout
        zero_fully_masked: a query that sees nothing gets zeros, not the mean of all values.

    Returns:
        context: (B, N, T, D)
        backward: dcontext -> dscores, dvalue
    """
    raise NotImplementedError("attend is not written yet")

    def backward(dcontext: Array) -> tuple[Array, Array]:
        raise NotImplementedError("the backward of attend is not written yet")

    return ..., backward


def scaled_dot_product_attention(
    query: Array,
    key: Array,
    value: Array,
    mask: Mask,
    rate: float = 0.0,
    rng: np.random.Generator | None = None,
    head_mask: Array | None = None,
    zero_fully_masked: bool = False,
) -> tuple[Array, Backward]:
    """Attend with every query to the keys that the mask leaves, and mix their values.

    context = softmax(Q K^T / sqrt(D)) V
    (Vaswani et al., 2017, equation 1)

    Args:
        query: (B, N, T, D)
        key: (B, N, S, D)
        value: (B, N, S, D)
        mask: bool, broadcasts to (B, N, T, S), True where a query may look; None hides nothing;
            or the Spans of several texts in one row.
        rate: dropout probability of an attention weight, in [0, 1)
        rng: source of the dropout mask; None switches dropout off.
        head_mask: (N,), a factor for the weights of each head, applied after dropout
        zero_fully_masked: a query that sees nothing gets zeros, not the mean of all values.

    Returns:
        context: (B, N, T, D)
        backward: dcontext -> dquery, dkey, dvalue
    """
    raise NotImplementedError("scaled_dot_product_attention is not written yet")

    def backward(dcontext: Array) -> tuple[Array, Array, Array]:
        raise NotImplementedError("the backward of scaled_dot_product_attention is not written yet")

    return ..., backward


def attend_in_spans(
    query: Array,
    key: Array,
    value: Array,
    spans: Spans,
    rate: float = 0.0,
    rng: np.random.Generator | None = None,
    head_mask: Array | None = None,
) -> tuple[Array, Backward]:
    """Attend within each of several texts, which stand one after the other.

    Args:
        query: (1, N, T, D), the queries of all texts
        key: (1, N, S, D)
        value: (1, N, S, D)
        spans: where the texts are; together they cover all queries and keys.
        rate: dropout probability of an attention weight, in [0, 1)
        rng: source of the dropout mask; None switches dropout off.
        head_mask: (N,), a factor for the weights of each head, applied after dropout

    Returns:
        context: (1, N, T, D)
        backward: dcontext -> dquery, dkey, dvalue
    """
    context = np.empty_like(query)
    backwards = []
    for own, seen in zip(spans.queries, spans.keys, strict=True):
        part = query[:, :, own]
        context[:, :, own], text_backward = scaled_dot_product_attention(
            part,
            key[:, :, seen],
            value[:, :, seen],
            spans.mask(part.shape[2]),
            rate,
            rng,
            head_mask,
        )
        backwards.append(text_backward)

    def backward(dcontext: Array) -> tuple[Array, Array, Array]:
        dquery, dkey, dvalue = (np.empty_like(x) for x in (dcontext, key, value))
        for own, seen, text_backward in zip(spans.queries, spans.keys, backwards, strict=True):
            dquery[:, :, own], dkey[:, :, seen], dvalue[:, :, seen] = text_backward(
                dcontext[:, :, own]
            )
        return dquery, dkey, dvalue

    return context, backward
