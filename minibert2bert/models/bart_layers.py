"""BART's decoder layer: BERT's sub-layers under other names, with one more dropout."""

from typing import Any

import numpy as np

from minibert2bert.arrays import Array, Backward, Params, zeros_like_params
from minibert2bert.components.activations import activation
from minibert2bert.components.attention import multi_head_attention
from minibert2bert.components.dropout import dropout
from minibert2bert.components.linear import linear
from minibert2bert.components.masks import Mask, Masks
from minibert2bert.components.residual import add_and_norm
from minibert2bert.models.config import BartConfig
from minibert2bert.recording import record, scope


def attention_block(
    params: Params,
    name: str,
    hidden_states: Array,
    key_value_states: Array,
    mask: Mask,
    config: BartConfig,
    rng: np.random.Generator | None = None,
    head_mask: Array | None = None,
) -> tuple[Array, Backward]:
    """Attention sub-layer: multi_head_attention, then add_and_norm, as in BERT.

    Args:
        params: of the layer; of them, for the name self_attn say, self_attn (q_proj, k_proj,
            v_proj and out_proj, each a linear (H, H)) and self_attn_layer_norm (H,)
        name: self_attn or encoder_attn
        hidden_states: (B, T, H), the queries
        key_value_states: (B, S, H), what they look at
        mask: bool, broadcasts to (B, N, T, S), True where a query may look; None hides nothing.
        config: decoder_attention_heads, attention_dropout, dropout, zero_fully_masked
        rng: source of the dropout masks; None switches dropout off.
        head_mask: (N,), a factor for the weights of each head

    Returns:
        y: (B, T, H)
        backward: dy -> dparams, dhidden_states, dkey_value_states
    """
    attn, norm = params[name], f"{name}_layer_norm"
    inward = {"query": attn["q_proj"], "key": attn["k_proj"], "value": attn["v_proj"]}
    outward = {"dense": attn["out_proj"], "LayerNorm": params[norm]}
    context, attention_backward = multi_head_attention(
        inward, hidden_states, key_value_states, mask, config, rng, head_mask
    )
    y, output_backward = add_and_norm(outward, context, hidden_states, config, rng)

    def backward(dy: Array) -> tuple[Params, Array, Array]:
        dout, dcontext, dresidual = output_backward(dy)
        din, dhidden_states, dkey_value_states = attention_backward(dcontext)
        dattn = {"q_proj": din["query"], "k_proj": din["key"], "v_proj": din["value"]}
        dparams = {name: {**dattn, "out_proj": dout["dense"]}, norm: dout["LayerNorm"]}
        return dparams, dhidden_states + dresidual, dkey_value_states

    return y, backward


def cross_attention_block(
    params: Params,
    hidden_states: Array,
    encoder_hidden_states: Array | None,
    mask: Mask,
    config: BartConfig,
    rng: np.random.Generator | None = None,
) -> tuple[Array, Backward]:
    """Attend to the encoder; without one, the sub-layer is left out: y = x.

    Args:
        params: of the layer; of them encoder_attn and encoder_attn_layer_norm
        hidden_states: (B, T, H)
        encoder_hidden_states: (B, S, H), or None
        mask: bool, broadcasts to (B, N, T, S)
        config: what attention_block reads
        rng: source of the dropout masks; None switches dropout off.

    Returns:
        y: (B, T, H)
        backward: dy -> dparams, dhidden_states, and dencoder_hidden_states if there are any
    """
    if encoder_hidden_states is None:
        return hidden_states, _left_out
    return attention_block(
        params, "encoder_attn", hidden_states, encoder_hidden_states, mask, config, rng
    )


def _left_out(dy: Array) -> tuple[Params, Array]:
    return {}, dy


def feed_forward_block(
    params: Params,
    hidden_states: Array,
    config: BartConfig,
    rng: np.random.Generator | None = None,
) -> tuple[Array, Backward]:
    """Widen each position, bend it, drop, and bring it back.

    y = layer_norm(dropout(fc2(activation_dropout(act(fc1(x))))) + x)
    (Vaswani et al., 2017, equation 2, with gelu for the relu: Lewis et al., 2020, section 2.1)

    Args:
        params: of the layer; of them fc1 (F, H), fc2 (H, F) and final_layer_norm (H,)
        hidden_states: (B, T, H)
        config: activation_function, activation_dropout, dropout
        rng: source of the dropout masks; None switches dropout off.

    Returns:
        y: (B, T, H)
        backward: dy -> dparams, dhidden_states
    """
    outward = {"dense": params["fc2"], "LayerNorm": params["final_layer_norm"]}
    widened, fc1_backward = linear(params["fc1"], hidden_states)
    bent, activation_backward = activation(config.activation_function)(widened)
    dropped, dropout_backward = dropout(bent, config.activation_dropout, rng)
    y, output_backward = add_and_norm(outward, dropped, hidden_states, config, rng)

    def backward(dy: Array) -> tuple[Params, Array]:
        dout, ddropped, dresidual = output_backward(dy)
        dfc1, dhidden_states = fc1_backward(activation_backward(dropout_backward(ddropped)))
        dparams = {"fc1": dfc1, "fc2": dout["dense"], "final_layer_norm": dout["LayerNorm"]}
        return dparams, dhidden_states + dresidual

    return y, backward


def decoder_layer(
    params: Params,
    hidden_states: Array,
    encoder_hidden_states: Array | None,
    masks: Masks,
    config: BartConfig,
    rng: np.random.Generator | None = None,
) -> tuple[Array, Backward]:
    """Self-attention, cross-attention if there is an encoder, feed-forward.

    Args:
        params: self_attn, encoder_attn, fc1, fc2, and the layer norms behind them
        hidden_states: (B, T, H)
        encoder_hidden_states: (B, S, H), or None
        masks: own, encoder, and head_mask (N,), which is for self-attention alone: the reference
            has an argument of its own for the other, and by default it is left as it is.
        config: what the sub-layers read
        rng: source of the dropout masks; None switches dropout off.

    Returns:
        y: (B, T, H)
        backward: dy -> dparams, dhidden_states, and dencoder_hidden_states if there are any
    """
    own, encoder, head_mask = masks
    with scope("attention"):
        attended, self_backward = attention_block(
            params, "self_attn", hidden_states, hidden_states, own, config, rng, head_mask
        )
    with scope("crossattention"):
        crossed, cross_backward = cross_attention_block(
            params, attended, encoder_hidden_states, encoder, config, rng
        )
    y, feed_forward_backward = feed_forward_block(params, crossed, config, rng)
    record("hidden_states", y)

    def backward(dy: Array) -> tuple[Any, ...]:
        dfeed_forward, dcrossed = feed_forward_backward(dy)
        dcross, dattended, *dencoder_hidden_states = cross_backward(dcrossed)
        dself, dhidden_states, dkey_value_states = self_backward(dattended)
        dparams = {**dself, **dcross, **dfeed_forward}
        return dparams, dhidden_states + dkey_value_states, *dencoder_hidden_states

    return y, backward


def droppable_layer(
    params: Params,
    hidden_states: Array,
    encoder_hidden_states: Array | None,
    masks: Masks,
    config: BartConfig,
    rng: np.random.Generator | None = None,
) -> tuple[Array, Backward]:
    """Run a layer or, in training, skip it with the probability decoder_layerdrop.

    y = decoder_layer(x), or y = x; a layer that runs is not scaled up for those that do not
    (Fan, Grave and Joulin, 2020, section 3)

    Args:
        params: see decoder_layer, like the others
        hidden_states: (B, T, H)
        encoder_hidden_states: (B, S, H), or None
        masks: own, encoder and head_mask (N,)
        config: decoder_layerdrop, and what decoder_layer reads
        rng: source of the choice and of the dropout masks; None runs every layer.

    Returns:
        y: (B, T, H)
        backward: as of decoder_layer; the parameters of a skipped layer have zeros.
    """
    rate = config.decoder_layerdrop
    if rng is None or rate == 0 or float(rng.random((), dtype=np.float32)) >= rate:
        return decoder_layer(params, hidden_states, encoder_hidden_states, masks, config, rng)
    crosses = encoder_hidden_states is not None
    parts = {n: part for n, part in params.items() if crosses or not n.startswith("encoder_attn")}

    def backward(dy: Array) -> tuple[Any, ...]:
        dstates = [np.zeros_like(encoder_hidden_states)] if crosses else []
        return zeros_like_params(parts), dy, *dstates

    return hidden_states, backward
