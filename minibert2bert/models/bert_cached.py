"""The same layers for the newest positions only, with the keys and values kept so far."""

from minibert2bert.arrays import Array, Params
from minibert2bert.components.attention import attention_heads, merge_heads, split_heads
from minibert2bert.components.feed_forward import feed_forward_block
from minibert2bert.components.linear import linear
from minibert2bert.components.masks import Masks
from minibert2bert.components.residual import add_and_norm
from minibert2bert.models.cache import KeyValueCache, LayerCache
from minibert2bert.models.config import BertLikeConfig
from minibert2bert.recording import record, scope


def cached_stack(
    params: Params,
    hidden_states: Array,
    encoder_hidden_states: Array | None,
    masks: Masks,
    cache: KeyValueCache,
    config: BertLikeConfig,
) -> Array:
    """Run the layers for the newest positions only, with the keys and values kept so far.

    Args:
        params: layer.0, layer.1, ...
        hidden_states: (R, T, H), R a multiple of B: beams are more rows for one encoder state.
        encoder_hidden_states: (B, S, H), or None for a decoder on its own; read in the
            first call only
        masks: own (R or 1, 1, T, past + T), encoder (B, 1, 1, S) and head_mask (L, N)
        cache: extended by T positions
        config: num_layers, and what the layers read

    Returns:
        y: (R, T, H)
    """
    y = hidden_states
    for index in range(config.num_layers):
        with scope(f"layer.{index}"):
            y = _cached_layer(
                params["layer"][str(index)],
                y,
                encoder_hidden_states,
                masks.of_layer(index),
                cache.layers[index],
                config,
            )
    return y


def _cached_layer(
    params: Params,
    hidden_states: Array,
    encoder_hidden_states: Array | None,
    masks: Masks,
    cache: LayerCache,
    config: BertLikeConfig,
) -> Array:
    own, encoder, head_mask = masks
    with scope("attention"):
        attention = params["attention"]
        key, value = cache.append(*_keys_and_values(attention["self"], hidden_states, config))
        y = _cached_attention(attention, hidden_states, key, value, own, config, head_mask)
    if encoder_hidden_states is not None:
        with scope("crossattention"):
            cross = params["crossattention"]
            if cache.cross is None:
                cache.cross = _keys_and_values(cross["self"], encoder_hidden_states, config)
            # The beams of an input become further queries of its one copy of keys and values.
            queries = y.reshape(cache.cross[0].shape[0], -1, y.shape[-1])
            crossed = _cached_attention(cross, queries, *cache.cross, encoder, config, head_mask)
            y = crossed.reshape(y.shape)
    y, _ = feed_forward_block(params, y, config)
    record("hidden_states", y)
    return y


def _keys_and_values(params: Params, states: Array, config: BertLikeConfig) -> tuple[Array, Array]:
    heads = config.num_attention_heads
    key, _ = linear(params["key"], states)
    value, _ = linear(params["value"], states)
    return split_heads(key, heads), split_heads(value, heads)


def _cached_attention(
    params: Params,
    hidden_states: Array,
    key: Array,
    value: Array,
    mask: Array | None,
    config: BertLikeConfig,
    head_mask: Array | None,
) -> Array:
    projected, _ = linear(params["self"]["query"], hidden_states)
    query = split_heads(projected, config.num_attention_heads)
    context, _ = attention_heads(
        params["self"], query, key, value, mask, config, head_mask=head_mask
    )
    y, _ = add_and_norm(params["output"], merge_heads(context), hidden_states, config)
    return y
