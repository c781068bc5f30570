# An exercise of tutorials/04_embeddings.py.
# Write what raises NotImplementedError, then run: pytest --mine embeddings
# Checksum of the untouched file: 1c67b3ff

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
    raise NotImplementedError("embedding is not written yet")

    def backward(dy: Array) -> Params:
        raise NotImplementedError("the backward of embedding is not written yet")

    return ..., backward


def for_ids(ids: Array, dy: Array) -> Array:
    """Sum the gradient over the batch if all its rows were looked up with the same ids.

    Args:
        ids: int (1, T) or (B, T)
        dy: (B, T, H)

    Returns:
        dy: (1, T, H) or (B, T, H)
    """
    raise NotImplementedError("for_ids is not written yet")


def add_rows(table: Array, ids: Array, rows: Array) -> None:
    """Add each row to the table's row of its id, in place; equal ids add up.

    Args:
        table: (V, H), changed
        ids: int (R,), R at least 1
        rows: (R, H)
    """
    raise NotImplementedError("add_rows is not written yet")


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
    raise NotImplementedError("word_and_position_embeddings is not written yet")

    def backward(dx: Array) -> tuple[Params, Array]:
        raise NotImplementedError("the backward of word_and_position_embeddings is not written yet")

    return ..., backward


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
