"""Relative positions: scores that also depend on how far a key is from the query."""

import math

import numpy as np

from minibert2bert.arrays import Array, Backward, Params
from minibert2bert.components.embeddings import embedding
from minibert2bert.components.masks import Mask, Spans
from minibert2bert.components.scaled_dot_product import attend, scaled_dot_product
from minibert2bert.components.settings import Settings


def distance_rows(table_length: int, queries: int, keys: int) -> Array:
    """Find each pair's row in the table of distances: query position - key position + P - 1.

    The last query stands at the last key, so with cached keys the queries are the newest.

    Args:
        table_length: 2 P - 1
        queries: T
        keys: S, at least T

    Returns:
        rows: (T, S) int64

    Raises:
        ValueError: if two positions are further apart than the table knows.
    """
    positions = (table_length + 1) // 2
    if keys > positions:
        raise ValueError(
            f"relative positions reach {positions} tokens, got {keys}; "
            "shorten the input or load a model with a larger max_position_embeddings"
        )
    query_positions = np.arange(keys - queries, keys, dtype=np.int64)
    return query_positions[:, None] - np.arange(keys, dtype=np.int64) + positions - 1


def table_product(x: Array, table: Array) -> tuple[Array, Backward]:
    """Multiply each position's vector with that position's own rows of a table.

    y[b, n, i, j] = x[b, n, i] · table[i, j]

    Args:
        x: (B, N, I, D)
        table: (I, J, D)

    Returns:
        y: (B, N, I, J)
        backward: dy -> dx, dtable
    """
    heads = (*x.shape[:2],)

    def by_position(array: Array) -> Array:
        return array.reshape(-1, *array.shape[2:]).swapaxes(0, 1)

    def by_head(array: Array) -> Array:
        return array.swapaxes(0, 1).reshape(*heads, *array.shape[::2])

    stacked = by_position(x)  # (I, B N, D)
    y = by_head(stacked @ table.swapaxes(1, 2))

    def backward(dy: Array) -> tuple[Array, Array]:
        dstacked = by_position(dy)  # (I, B N, J)
        return by_head(dstacked @ table), dstacked.swapaxes(1, 2) @ stacked

    return y, backward


def relative_attention(
    params: Params,
    query: Array,
    key: Array,
    value: Array,
    mask: Mask,
    config: Settings,
    rng: np.random.Generator | None = None,
    head_mask: Array | None = None,
) -> tuple[Array, Backward]:
    """Attend with scores that know the distance between query and key.

    relative_key:        scores[l, r] = (q_l · k_r + q_l · R_lr) / sqrt(D)
    relative_key_query:  scores[l, r] = (q_l · k_r + q_l · R_lr + k_r · R_lr) / sqrt(D)
    with R_lr = E[l - r + P - 1]
    (Shaw, Uszkoreit and Vaswani, 2018, equation 5; Huang, Liang, Xu and Xiang, 2020, method 4)

    Args:
        params: weight E (2 P - 1, D), one row a distance, shared by the heads
        query: (B, N, T, D)
        key: (B, N, S, D)
        value: (B, N, S, D)
        mask: bool, broadcasts to (B, N, T, S), True where a query may look; None hides nothing.
        config: position_embedding_type, attention_probs_dropout_prob, zero_fully_masked
        rng: source of the dropout mask; None switches dropout off.
        head_mask: (N,), a factor for the weights of each head

    Returns:
        context: (B, N, T, D)
        backward: dcontext -> dparams, dquery, dkey, dvalue

    Raises:
        ValueError: if several texts stand in one row: their distances would be those in the row.
    """
    if isinstance(mask, Spans):
        raise ValueError("relative positions need a row for each text, got the Spans of several")
    scale = 1 / math.sqrt(query.shape[-1])
    rows = distance_rows(params["weight"].shape[0], query.shape[2], key.shape[2])
    table, table_backward = embedding(params, np.asarray(rows, like=params["weight"]))
    both = config.position_embedding_type == "relative_key_query"
    content, content_backward = scaled_dot_product(query, key)
    by_query, by_query_backward = table_product(query * scale, table)
    by_key, by_key_backward = table_product(key * scale, table.swapaxes(0, 1))
    position = by_query + by_key.swapaxes(-1, -2) if both else by_query
    context, attend_backward = attend(
        content + position,
        value,
        mask,
        config.attention_probs_dropout_prob,
        rng,
        head_mask,
        config.zero_fully_masked,
    )

    def backward(dcontext: Array) -> tuple[Params, Array, Array, Array]:
        dscores, dvalue = attend_backward(dcontext)
        dquery, dkey = content_backward(dscores)
        dquery_by_table, dtable = by_query_backward(dscores)
        dquery = dquery + dquery_by_table * scale
        if both:
            dkey_by_table, dtable_by_key = by_key_backward(dscores.swapaxes(-1, -2))
            dkey = dkey + dkey_by_table * scale
            dtable = dtable + dtable_by_key.swapaxes(0, 1)
        return table_backward(dtable), dquery, dkey, dvalue

    return context, backward
