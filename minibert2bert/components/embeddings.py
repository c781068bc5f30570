"""Embeddings: rows of a table, looked up by id."""

import numpy as np

from minibert2bert.arrays import Array, Backward, Params
from minibert2bert.components.dropout import dropout
from minibert2bert.components.layer_norm import layer_norm
from minibert2bert.components.settings import Settings


def embedding(params: Params, ids: Array, padding_idx: int | None = None) -> tuple[Array, Backward]:
    """Look up a row of the table for each id.

    y[i] = weight[ids[i]]

    Args:
        params: weight (V, H)
        ids: int (...), each in [0, V)
        padding_idx: the id whose row learns nothing from being looked up, if any

    Returns:
        y: (..., H)
        backward: dy -> dparams
    """
    weight = params["weight"]

    def backward(dy: Array) -> Params:
        dweight = np.zeros_like(weight)
        add_rows(dweight, ids.reshape(-1), dy.reshape(-1, dy.shape[-1]))
        if padding_idx is not None:
            dweight[padding_idx] = 0
        return {"weight": dweight}

    return weight[ids], backward


def for_ids(ids: Array, dy: Array) -> Array:
    """Sum the gradient over the batch if all its rows were looked up with the same ids.

    Args:
        ids: int (1, T) or (B, T)
        dy: (B, T, H)

    Returns:
        dy: (1, T, H) or (B, T, H)
    """
    return dy.sum(axis=0, keepdims=True) if len(ids) == 1 else dy


def add_rows(table: Array, ids: Array, rows: Array) -> None:
    """Add each row to the table's row of its id, in place; equal ids add up.

    Args:
        table: (V, H), changed
        ids: int (R,), R at least 1
        rows: (R, H)
    """
    # Sorting brings equal ids together, and a run is summed at once: faster than np.add.at.
    order = np.argsort(ids, kind="stable")
    ids = ids[order]
    first = np.concatenate([ids[:1] == ids[:1], ids[1:] != ids[:-1]])
    starts = np.flatnonzero(first)
    table[ids[starts]] += np.add.reduceat(rows[order], starts, axis=0)


def word_and_position_embeddings(
    params: Params,
    words: Array,
    position_ids: Array,
    config: Settings,
    rng: np.random.Generator | None = None,
    padding_position: int | None = None,
) -> tuple[Array, Backward]:
    """Add to each word's vector that of its position, normalise, and drop.

    x = dropout(layer_norm(words + position[position_ids]))
    (Devlin et al., 2019, figure 2, without the segments)

    Args:
        params: position_embeddings (P, H) and LayerNorm (H,)
        words: (B, T, H), looked up with embedding, or anything else in their place
        position_ids: int (1, T) or (B, T), each in [0, P)
        config: hidden_dropout_prob, layer_norm_eps
        rng: source of the dropout mask; None switches dropout off.
        padding_position: the position whose row learns nothing, if any

    Returns:
        x: (B, T, H)
        backward: dx -> dparams, dwords
    """
    positions, positions_backward = embedding(
        params["position_embeddings"], position_ids, padding_position
    )
    x, norm_backward = norm_and_drop(params, words + positions, config, rng)

    def backward(dx: Array) -> tuple[Params, Array]:
        dparams, dsum = norm_backward(dx)
        dpositions = positions_backward(for_ids(position_ids, dsum))
        return {"position_embeddings": dpositions, **dparams}, dsum

    return x, backward


def norm_and_drop(
    params: Params, x: Array, config: Settings, rng: np.random.Generator | None = None
) -> tuple[Array, Backward]:
    """End the embeddings: dropout(layer_norm(x)).

    Args:
        params: LayerNorm (H,)
        x: (B, T, H)
        config: hidden_dropout_prob, layer_norm_eps
        rng: source of the dropout mask; None switches dropout off.

    Returns:
        y: (B, T, H)
        backward: dy -> dparams, dx
    """
    normed, norm_backward = layer_norm(params["LayerNorm"], x, config.layer_norm_eps)
    y, dropout_backward = dropout(normed, config.hidden_dropout_prob, rng)

    def backward(dy: Array) -> tuple[Params, Array]:
        dnorm, dx = norm_backward(dropout_backward(dy))
        return {"LayerNorm": dnorm}, dx

    return y, backward
