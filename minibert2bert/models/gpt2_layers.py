"""GPT-2's block: pre-norm, one matrix for queries, keys and values, and cross-attention."""

import math

import numpy as np

from minibert2bert.arrays import Array, Backward, Params
from minibert2bert.components.activations import activation
from minibert2bert.components.attention import merge_heads, split_heads
from minibert2bert.components.conv1d import conv1d
from minibert2bert.components.dropout import dropout
from minibert2bert.components.layer_norm import layer_norm
from minibert2bert.components.masks import Mask, Masks
from minibert2bert.components.scaled_dot_product import scaled_dot_product_attention
from minibert2bert.models.config import GPT2Config
from minibert2bert.recording import scope


def query_factor(config: GPT2Config, index: int) -> float:
    """Find what the scores of a block are multiplied by, besides the usual 1 / sqrt(D).

    scores = factor * Q K^T / sqrt(D)
    scale_attn_weights=False makes it sqrt(D), which takes the division back, and
    scale_attn_by_inverse_layer_idx=True divides it by index + 1.

    Args:
        config: scale_attn_weights, scale_attn_by_inverse_layer_idx, n_embd, n_head
        index: of the block, from 0

    Returns:
        factor: 1 in the published models
    """
    factor = 1.0 if config.scale_attn_weights else math.sqrt(config.n_embd // config.n_head)
    return factor / (index + 1) if config.scale_attn_by_inverse_layer_idx else factor


def project_to_heads(
    params: Params, states: Array, parts: int, heads: int
) -> tuple[list[Array], Backward]:
    """Project to several arrays at once, and split each into heads.

    [Q K V] = x W + b, one product for all three

    Args:
        params: a conv1d, weight (H, parts * H) and bias (parts * H,)
        states: (B, T, H)
        parts: 3 for queries, keys and values; 2 for keys and values; 1 for queries
        heads: N

    Returns:
        projected: parts arrays (B, N, T, D)
        backward: a gradient of each part -> dparams, dstates
    """
    joined, conv1d_backward = conv1d(params, states)
    width = joined.shape[-1] // parts
    columns = [joined[..., part * width : (part + 1) * width] for part in range(parts)]

    def backward(*dprojected: Array) -> tuple[Params, Array]:
        djoined = np.concatenate([merge_heads(dpart) for dpart in dprojected], axis=-1)
        dparams, dstates = conv1d_backward(djoined)
        return dparams, dstates

    return [split_heads(column, heads) for column in columns], backward


def attention_update(
    params: Params,
    query: Array,
    key: Array,
    value: Array,
    mask: Mask,
    config: GPT2Config,
    rng: np.random.Generator | None = None,
    head_mask: Array | None = None,
) -> tuple[Array, Backward]:
    """Attend in every head, put the heads side by side, project and drop.

    y = dropout(concat(head_1, ..., head_N) W + b)

    Args:
        params: of the attention; of them c_proj (H, H)
        query: (B, N, T, D), multiplied by query_factor
        key: (B, N, S, D)
        value: (B, N, S, D)
        mask: bool, broadcasts to (B, N, T, S), True where a query may look; None hides nothing.
        config: attn_pdrop, resid_pdrop, zero_fully_masked
        rng: source of the dropout masks; None switches dropout off.
        head_mask: (N,), a factor for the weights of each head

    Returns:
        y: (B, T, H)
        backward: dy -> dparams, dquery, dkey, dvalue
    """
    context, attention_backward = scaled_dot_product_attention(
        query, key, value, mask, config.attn_pdrop, rng, head_mask, config.zero_fully_masked
    )
    projected, c_proj_backward = conv1d(params["c_proj"], merge_heads(context))
    y, dropout_backward = dropout(projected, config.resid_pdrop, rng)

    def backward(dy: Array) -> tuple[Params, Array, Array, Array]:
        dc_proj, dcontext = c_proj_backward(dropout_backward(dy))
        return {"c_proj": dc_proj}, *attention_backward(split_heads(dcontext, config.n_head))

    return y, backward


def self_attention_block(
    params: Params,
    hidden_states: Array,
    mask: Mask,
    factor: float,
    config: GPT2Config,
    rng: np.random.Generator | None = None,
    head_mask: Array | None = None,
) -> tuple[Array, Backward]:
    """Self-attention sub-layer: y = x + attention(layer_norm(x)).

    (Radford et al., 2019, section 2.3: the layer norm has moved to the input of each sub-layer)

    Args:
        params: of the block; of them ln_1 (H,) and attn (c_attn (H, 3 H), c_proj (H, H))
        hidden_states: (B, T, H)
        mask: bool, broadcasts to (B, N, T, T)
        factor: query_factor of the block
        config: n_head, layer_norm_epsilon, and what attention_update reads
        rng: source of the dropout masks; None switches dropout off.
        head_mask: (N,), a factor for the weights of each head

    Returns:
        y: (B, T, H)
        backward: dy -> dparams, dhidden_states
    """
    normed, norm_backward = layer_norm(params["ln_1"], hidden_states, config.layer_norm_epsilon)
    attn = params["attn"]
    (query, key, value), heads_backward = project_to_heads(attn["c_attn"], normed, 3, config.n_head)
    update, update_backward = attention_update(
        attn, query * factor, key, value, mask, config, rng, head_mask
    )

    def backward(dy: Array) -> tuple[Params, Array]:
        dattn, dquery, dkey, dvalue = update_backward(dy)
        dc_attn, dnormed = heads_backward(dquery * factor, dkey, dvalue)
        dnorm, dhidden_states = norm_backward(dnormed)
        return {"ln_1": dnorm, "attn": {"c_attn": dc_attn, **dattn}}, dhidden_states + dy

    return hidden_states + update, backward


def cross_attention_block(
    params: Params,
    hidden_states: Array,
    encoder_hidden_states: Array | None,
    mask: Mask,
    factor: float,
    config: GPT2Config,
    rng: np.random.Generator | None = None,
    head_mask: Array | None = None,
) -> tuple[Array, Backward]:
    """Cross-attention sub-layer: y = x + attention(layer_norm(x), z); y = x without an encoder.

    The encoder's states z are used as they come, without a layer norm.

    Args:
        params: of the block; of them ln_cross_attn (H,) and crossattention (q_attn (H, H),
            c_attn (H, 2 H), c_proj (H, H))
        hidden_states: (B, T, H)
        encoder_hidden_states: z (B, S, H), or None
        mask: bool, broadcasts to (B, N, T, S)
        factor: query_factor of the block
        config: n_head, layer_norm_epsilon, and what attention_update reads
        rng: source of the dropout masks; None switches dropout off.
        head_mask: (N,), a factor for the weights of each head

    Returns:
        y: (B, T, H)
        backward: dy -> dparams, dhidden_states, dencoder_hidden_states (None without an encoder)
    """
    if encoder_hidden_states is None:
        return hidden_states, _no_encoder
    normed, norm_backward = layer_norm(
        params["ln_cross_attn"], hidden_states, config.layer_norm_epsilon
    )
    cross = params["crossattention"]
    (query,), query_backward = project_to_heads(cross["q_attn"], normed, 1, config.n_head)
    (key, value), source_backward = project_to_heads(
        cross["c_attn"], encoder_hidden_states, 2, config.n_head
    )
    update, update_backward = attention_update(
        cross, query * factor, key, value, mask, config, rng, head_mask
    )

    def backward(dy: Array) -> tuple[Params, Array, Array]:
        dcross, dquery, dkey, dvalue = update_backward(dy)
        dc_attn, dencoder_hidden_states = source_backward(dkey, dvalue)
        dq_attn, dnormed = query_backward(dquery * factor)
        dnorm, dhidden_states = norm_backward(dnormed)
        dcross = {"c_attn": dc_attn, "q_attn": dq_attn, **dcross}
        dparams = {"ln_cross_attn": dnorm, "crossattention": dcross}
        return dparams, dhidden_states + dy, dencoder_hidden_states

    return hidden_states + update, backward


def _no_encoder(dy: Array) -> tuple[Params, Array, None]:
    return {}, dy, None


def feed_forward_block(
    params: Params,
    hidden_states: Array,
    config: GPT2Config,
    rng: np.random.Generator | None = None,
) -> tuple[Array, Backward]:
    """Feed-forward sub-layer: y = x + dropout(c_proj(act(c_fc(layer_norm(x))))).

    Args:
        params: of the block; of them ln_2 (H,) and mlp (c_fc (H, F), c_proj (F, H))
        hidden_states: (B, T, H)
        config: activation_function, resid_pdrop, layer_norm_epsilon
        rng: source of the dropout mask; None switches dropout off.

    Returns:
        y: (B, T, H)
        backward: dy -> dparams, dhidden_states
    """
    normed, norm_backward = layer_norm(params["ln_2"], hidden_states, config.layer_norm_epsilon)
    widened, c_fc_backward = conv1d(params["mlp"]["c_fc"], normed)
    bent, activation_backward = activation(config.activation_function)(widened)
    narrowed, c_proj_backward = conv1d(params["mlp"]["c_proj"], bent)
    update, dropout_backward = dropout(narrowed, config.resid_pdrop, rng)

    def backward(dy: Array) -> tuple[Params, Array]:
        dc_proj, dbent = c_proj_backward(dropout_backward(dy))
        dc_fc, dnormed = c_fc_backward(activation_backward(dbent))
        dnorm, dhidden_states = norm_backward(dnormed)
        return {"ln_2": dnorm, "mlp": {"c_fc": dc_fc, "c_proj": dc_proj}}, dhidden_states + dy

    return hidden_states + update, backward


def block(
    params: Params,
    hidden_states: Array,
    encoder_hidden_states: Array | None,
    masks: Masks,
    factor: float,
    config: GPT2Config,
    rng: np.random.Generator | None = None,
) -> tuple[Array, Backward]:
    """Self-attention, cross-attention if there is an encoder, feed-forward.

    Args:
        params: ln_1, attn, ln_2, mlp, and ln_cross_attn and crossattention with an encoder
        hidden_states: (B, T, H)
        encoder_hidden_states: (B, S, H), or None
        masks: own, encoder and head_mask (N,), which both attentions use
        factor: query_factor of the block
        config: what the sub-layers read
        rng: source of the dropout masks; None switches dropout off.

    Returns:
        y: (B, T, H)
        backward: dy -> dparams, dhidden_states, dencoder_hidden_states (None without an encoder)
    """
    own, encoder, head_mask = masks
    with scope("attention"):
        attended, self_backward = self_attention_block(
            params, hidden_states, own, factor, config, rng, head_mask
        )
    with scope("crossattention"):
        crossed, cross_backward = cross_attention_block(
            params, attended, encoder_hidden_states, encoder, factor, config, rng, head_mask
        )
    y, feed_forward_backward = feed_forward_block(params, crossed, config, rng)

    def backward(dy: Array) -> tuple[Params, Array, Array | None]:
        dfeed_forward, dcrossed = feed_forward_backward(dy)
        dcross, dattended, dencoder_hidden_states = cross_backward(dcrossed)
        dself, dhidden_states = self_backward(dattended)
        return {**dself, **dcross, **dfeed_forward}, dhidden_states, dencoder_hidden_states

    return y, backward
