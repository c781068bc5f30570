# An exercise of tutorials/06_multi_head_attention.py.
# Write what raises NotImplementedError, then run: pytest --mine attention
# Checksum of the untouched file: 13d84f4a

"""Multi-head attention: self, causal and cross."""

import numpy as np

from minibert2bert.arrays import Array, Backward, Params
from minibert2bert.components.linear import linear
from minibert2bert.components.masks import Mask
from minibert2bert.components.relative_positions import relative_attention
from minibert2bert.components.scaled_dot_product import scaled_dot_product_attention
from minibert2bert.components.settings import Settings


def split_heads(x: Array, heads: int) -> Array:
    """Cut each position's vector into one piece a head.

    Args:
        x: (B, T, H)
        heads: N

    Returns:
        pieces: (B, N, T, D)
    """
    raise NotImplementedError("split_heads is not written yet")


def merge_heads(x: Array) -> Array:
    """Put the heads' pieces side by side again.

    Args:
        x: (B, N, T, D)

    Returns:
        merged: (B, T, H)
    """
    raise NotImplementedError("merge_heads is not written yet")


def attention_heads(
    params: Params,
    query: Array,
    key: Array,
    value: Array,
    mask: Mask,
    config: Settings,
    rng: np.random.Generator | None = None,
    head_mask: Array | None = None,
) -> tuple[Array, Backward]:
    """Attend in every head, with relative positions if the checkpoint has a table of them.

    Args:
        params: of the attention; of them only distance_embedding (2 P - 1, D), if it is there
        query: (B, N, T, D)
        key: (B, N, S, D)
        value: (B, N, S, D)
        mask: bool, broadcasts to (B, N, T, S), True where a query may look; None hides nothing.
        config: attention_probs_dropout_prob, position_embedding_type, zero_fully_masked
        rng: source of the dropout mask; None switches dropout off.
        head_mask: (N,), a factor for the weights of each head

    Returns:
        context: (B, N, T, D)
        backward: dcontext -> dparams (empty without a table), dquery, dkey, dvalue
    """
    if "distance_embedding" not in params:
        rate = config.attention_probs_dropout_prob
        context, plain_backward = scaled_dot_product_attention(
            query, key, value, mask, rate, rng, head_mask, config.zero_fully_masked
        )

        def without_table(dcontext: Array) -> tuple[Params, Array, Array, Array]:
            return {}, *plain_backward(dcontext)

        return context, without_table
    context, relative_backward = relative_attention(
        params["distance_embedding"], query, key, value, mask, config, rng, head_mask
    )

    def backward(dcontext: Array) -> tuple[Params, Array, Array, Array]:
        dtable, dquery, dkey, dvalue = relative_backward(dcontext)
        return {"distance_embedding": dtable}, dquery, dkey, dvalue

    return context, backward


def multi_head_attention(
    params: Params,
    hidden_states: Array,
    key_value_states: Array,
    mask: Mask,
    config: Settings,
    rng: np.random.Generator | None = None,
    head_mask: Array | None = None,
) -> tuple[Array, Backward]:
    """Attend from hidden_states to key_value_states with N heads in parallel.

    head_n = attention(x W_n^Q, z W_n^K, z W_n^V), context = concat(head_1, ..., head_N)
    (Vaswani et al., 2017, section 3.2.2; the output projection W^O is in add_and_norm)

    Self-attention passes the same array twice, cross-attention the encoder's states second.

    Args:
        params: query, key and value, each a linear (H, H);
            with relative positions also distance_embedding (2 P - 1, D)
        hidden_states: (B, T, H)
        key_value_states: (B, S, H)
        mask: bool, broadcasts to (B, N, T, S), True where a query may look; None hides nothing.
        config: num_attention_heads, attention_probs_dropout_prob, position_embedding_type,
            zero_fully_masked
        rng: source of the dropout mask; None switches dropout off.
        head_mask: (N,), a factor for the weights of each head

    Returns:
        context: (B, T, H)
        backward: dcontext -> dparams, dhidden_states, dkey_value_states
    """
    raise NotImplementedError("multi_head_attention is not written yet")

    def backward(dcontext: Array) -> tuple[Params, Array, Array]:
        raise NotImplementedError("the backward of multi_head_attention is not written yet")

    return ..., backward
