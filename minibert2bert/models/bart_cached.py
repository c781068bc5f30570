"""BART's layers for the newest positions only, with the keys and values kept so far."""

from minibert2bert.arrays import Array, Params
from minibert2bert.components.attention import merge_heads, split_heads
from minibert2bert.components.linear import linear
from minibert2bert.components.masks import Masks
from minibert2bert.components.residual import add_and_norm
from minibert2bert.components.scaled_dot_product import scaled_dot_product_attention
from minibert2bert.models.bart_layers import feed_forward_block
from minibert2bert.models.cache import LayerCache
from minibert2bert.models.config import BartConfig
from minibert2bert.recording import record, scope


def cached_layer(
    params: Params,
    hidden_states: Array,
    encoder_hidden_states: Array | None,
    masks: Masks,
    cache: LayerCache,
    config: BartConfig,
) -> Array:
    """Run a layer for the newest positions only, with the keys and values kept so far.

    Args:
        params: as of decoder_layer
        hidden_states: (R, T, H), R a multiple of B: beams are more rows for one encoder state.
        encoder_hidden_states: (B, S, H), or None; read in the first call only
        masks: own (R or 1, 1, T, past + T), encoder (B, 1, 1, S) and head_mask (N,)
        cache: extended by T positions
        config: what the sub-layers read

    Returns:
        y: (R, T, H)
    """
    own, encoder, head_mask = masks
    with scope("attention"):
        kept = cache.append(*_keys_and_values(params["self_attn"], hidden_states, config))
        y = _cached_attention(params, "self_attn", hidden_states, kept, own, config, head_mask)
    if encoder_hidden_states is not None:
        if cache.cross is None:
            cache.cross = _keys_and_values(params["encoder_attn"], encoder_hidden_states, config)
        # The beams of an input become further queries of its one copy of keys and values.
        queries = y.reshape(cache.cross[0].shape[0], -1, y.shape[-1])
        with scope("crossattention"):
            crossed = _cached_attention(
                params, "encoder_attn", queries, cache.cross, encoder, config
            )
        y = crossed.reshape(y.shape)
    y, _ = feed_forward_block(params, y, config)
    record("hidden_states", y)
    return y


def _keys_and_values(attn: Params, states: Array, config: BartConfig) -> tuple[Array, Array]:
    heads = config.decoder_attention_heads
    key, _ = linear(attn["k_proj"], states)
    value, _ = linear(attn["v_proj"], states)
    return split_heads(key, heads), split_heads(value, heads)


def _cached_attention(
    params: Params,
    name: str,
    hidden_states: Array,
    keys_and_values: tuple[Array, Array],
    mask: Array | None,
    config: BartConfig,
    head_mask: Array | None = None,
) -> Array:
    attn = params[name]
    projected, _ = linear(attn["q_proj"], hidden_states)
    context, _ = scaled_dot_product_attention(
        split_heads(projected, config.decoder_attention_heads),
        *keys_and_values,
        mask,
        head_mask=head_mask,
        zero_fully_masked=config.zero_fully_masked,
    )
    outward = {"dense": attn["out_proj"], "LayerNorm": params[f"{name}_layer_norm"]}
    y, _ = add_and_norm(outward, merge_heads(context), hidden_states, config)
    return y
