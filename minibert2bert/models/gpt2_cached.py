"""GPT-2's blocks for the newest positions only, with the keys and values kept so far."""

from minibert2bert.arrays import Array, Params
from minibert2bert.components.layer_norm import layer_norm
from minibert2bert.components.masks import Masks
from minibert2bert.models.cache import KeyValueCache, LayerCache
from minibert2bert.models.config import GPT2Config
from minibert2bert.models.gpt2_layers import (
    attention_update,
    feed_forward_block,
    project_to_heads,
    query_factor,
)
from minibert2bert.recording import record, scope


def cached_blocks(
    params: Params,
    hidden_states: Array,
    encoder_hidden_states: Array | None,
    masks: Masks,
    cache: KeyValueCache,
    config: GPT2Config,
) -> Array:
    """Run the blocks for the newest positions only, with the keys and values kept so far.

    Args:
        params: 0, 1, ..., a block each
        hidden_states: (R, T, H), R a multiple of B: beams are more rows for one encoder state.
        encoder_hidden_states: (B, S, H), or None for a decoder on its own; read in the
            first call only
        masks: own (R or 1, 1, T, past + T), encoder (B, 1, 1, S) and head_mask (L, N)
        cache: extended by T positions
        config: n_layer, and what the blocks read

    Returns:
        y: (R, T, H)
    """
    y = hidden_states
    for index in range(config.n_layer):
        with scope(f"h.{index}"):
            y = _cached_block(
                params[str(index)],
                y,
                encoder_hidden_states,
                masks.of_layer(index),
                cache.layers[index],
                query_factor(config, index),
                config,
            )
            if index + 1 < config.n_layer:
                record("hidden_states", y)
    return y


def _cached_block(
    params: Params,
    hidden_states: Array,
    encoder_hidden_states: Array | None,
    masks: Masks,
    cache: LayerCache,
    factor: float,
    config: GPT2Config,
) -> Array:
    own, encoder, head_mask = masks
    with scope("attention"):
        y = _attend_to_past(params, hidden_states, cache, own, factor, config, head_mask)
    if encoder_hidden_states is not None:
        if cache.cross is None:
            c_attn = params["crossattention"]["c_attn"]
            kept, _ = project_to_heads(c_attn, encoder_hidden_states, 2, config.n_head)
            cache.cross = kept[0], kept[1]
        # The beams of an input become further queries of its one copy of keys and values.
        queries = y.reshape(cache.cross[0].shape[0], -1, y.shape[-1])
        with scope("crossattention"):
            crossed = _attend_to_encoder(
                params, queries, cache.cross, encoder, factor, config, head_mask
            )
        y = crossed.reshape(y.shape)
    y, _ = feed_forward_block(params, y, config)
    return y


def _attend_to_past(
    params: Params,
    hidden_states: Array,
    cache: LayerCache,
    mask: Array | None,
    factor: float,
    config: GPT2Config,
    head_mask: Array | None,
) -> Array:
    attn = params["attn"]
    normed, _ = layer_norm(params["ln_1"], hidden_states, config.layer_norm_epsilon)
    (query, *newest), _ = project_to_heads(attn["c_attn"], normed, 3, config.n_head)
    key, value = cache.append(*newest)
    update, _ = attention_update(
        attn, query * factor, key, value, mask, config, head_mask=head_mask
    )
    return hidden_states + update


def _attend_to_encoder(
    params: Params,
    hidden_states: Array,
    keys_and_values: tuple[Array, Array],
    mask: Array | None,
    factor: float,
    config: GPT2Config,
    head_mask: Array | None,
) -> Array:
    cross = params["crossattention"]
    normed, _ = layer_norm(params["ln_cross_attn"], hidden_states, config.layer_norm_epsilon)
    (query,), _ = project_to_heads(cross["q_attn"], normed, 1, config.n_head)
    update, _ = attention_update(
        cross, query * factor, *keys_and_values, mask, config, head_mask=head_mask
    )
    return hidden_states + update
