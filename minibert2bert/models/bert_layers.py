"""The layers that BERT, RoBERTa and BertGeneration share: post-norm, self- and cross-attention."""

import numpy as np

from minibert2bert.arrays import Array, Backward, Params, no_backward
from minibert2bert.components.attention import multi_head_attention
from minibert2bert.components.feed_forward import feed_forward_block
from minibert2bert.components.masks import Mask, Masks
from minibert2bert.components.residual import add_and_norm
from minibert2bert.models.config import BertLikeConfig
from minibert2bert.recording import record, scope


def attention_block(
    params: Params,
    hidden_states: Array,
    key_value_states: Array,
    mask: Mask,
    config: BertLikeConfig,
    rng: np.random.Generator | None = None,
    head_mask: Array | None = None,
) -> tuple[Array, Backward]:
    """Attention sub-layer: multi_head_attention, then add_and_norm.

    Args:
        params: self (query, key, value) and output (dense, LayerNorm)
        hidden_states: (B, T, H), the queries
        key_value_states: (B, S, H), what they look at
        mask: bool, broadcasts to (B, N, T, S), True where a query may look; None hides nothing.
        config: what multi_head_attention and add_and_norm read
        rng: source of the dropout masks; None switches dropout off.
        head_mask: (N,), a factor for the weights of each head

    Returns:
        y: (B, T, H)
        backward: dy -> dparams, dhidden_states, dkey_value_states
    """
    context, attention_backward = multi_head_attention(
        params["self"], hidden_states, key_value_states, mask, config, rng, head_mask
    )
    y, output_backward = add_and_norm(params["output"], context, hidden_states, config, rng)

    def backward(dy: Array) -> tuple[Params, Array, Array]:
        doutput, dcontext, dresidual = output_backward(dy)
        dself, dhidden_states, dkey_value_states = attention_backward(dcontext)
        dparams = {"self": dself, "output": doutput}
        return dparams, dhidden_states + dresidual, dkey_value_states

    return y, backward


def encoder_layer(
    params: Params,
    hidden_states: Array,
    masks: Masks,
    config: BertLikeConfig,
    rng: np.random.Generator | None = None,
) -> tuple[Array, Backward]:
    """Self-attention, then feed-forward.

    Args:
        params: attention, intermediate and output
        hidden_states: (B, T, H)
        masks: own and head_mask (N,); a causal own mask makes this a decoder without an encoder.
        config: what the sub-layers read
        rng: source of the dropout masks; None switches dropout off.

    Returns:
        y: (B, T, H)
        backward: dy -> dparams, dhidden_states
    """
    with scope("attention"):
        attended, attention_backward = attention_block(
            params["attention"],
            hidden_states,
            hidden_states,
            masks.own,
            config,
            rng,
            masks.head_mask,
        )
    y, feed_forward_backward = feed_forward_block(params, attended, config, rng)
    record("hidden_states", y)

    def backward(dy: Array) -> tuple[Params, Array]:
        dfeed_forward, dattended = feed_forward_backward(dy)
        dattention, dhidden_states, dkey_value_states = attention_backward(dattended)
        dparams = {"attention": dattention, **dfeed_forward}
        return dparams, dhidden_states + dkey_value_states

    return y, backward


def decoder_layer(
    params: Params,
    hidden_states: Array,
    encoder_hidden_states: Array,
    masks: Masks,
    config: BertLikeConfig,
    rng: np.random.Generator | None = None,
) -> tuple[Array, Backward]:
    """Self-attention, cross-attention, feed-forward.

    Args:
        params: attention, crossattention, intermediate and output
        hidden_states: (B, T, H)
        encoder_hidden_states: (B, S, H)
        masks: own, encoder and head_mask (N,), which both attentions use
        config: what the sub-layers read
        rng: source of the dropout masks; None switches dropout off.

    Returns:
        y: (B, T, H)
        backward: dy -> dparams, dhidden_states, dencoder_hidden_states
    """
    own, encoder, head_mask = masks
    with scope("attention"):
        attended, self_backward = attention_block(
            params["attention"], hidden_states, hidden_states, own, config, rng, head_mask
        )
    with scope("crossattention"):
        crossed, cross_backward = attention_block(
            params["crossattention"],
            attended,
            encoder_hidden_states,
            encoder,
            config,
            rng,
            head_mask,
        )
    y, feed_forward_backward = feed_forward_block(params, crossed, config, rng)
    record("hidden_states", y)

    def backward(dy: Array) -> tuple[Params, Array, Array]:
        dfeed_forward, dcrossed = feed_forward_backward(dy)
        dcross, dattended, dencoder_hidden_states = cross_backward(dcrossed)
        dself, dhidden_states, dkey_value_states = self_backward(dattended)
        dparams = {"attention": dself, "crossattention": dcross, **dfeed_forward}
        return dparams, dhidden_states + dkey_value_states, dencoder_hidden_states

    return y, backward


def encoder_stack(
    params: Params,
    hidden_states: Array,
    masks: Masks,
    config: BertLikeConfig,
    rng: np.random.Generator | None = None,
    training: bool = False,
) -> tuple[Array, Backward]:
    """Run the layers one after the other, and keep their backwards only for training.

    Args:
        params: layer.0, layer.1, ...
        hidden_states: (B, T, H)
        masks: own and head_mask (L, N)
        config: num_layers, and what the layers read
        rng: source of the dropout masks; None switches dropout off.
        training: whether backward will be called

    Returns:
        y: (B, T, H)
        backward: dy -> dparams, dhidden_states
    """
    y = hidden_states
    backwards = {}
    for index in range(config.num_layers):
        with scope(f"layer.{index}"):
            y, layer_backward = encoder_layer(
                params["layer"][str(index)], y, masks.of_layer(index), config, rng
            )
        if training:
            backwards[str(index)] = layer_backward
        # Without this, a layer's activations live on while the next one computes.
        del layer_backward
    if not training:
        return y, no_backward

    def backward(dy: Array) -> tuple[Params, Array]:
        dlayers = {}
        for index in reversed(backwards):
            dlayers[index], dy = backwards[index](dy)
        return {"layer": dlayers}, dy

    return y, backward


def decoder_stack(
    params: Params,
    hidden_states: Array,
    encoder_hidden_states: Array,
    masks: Masks,
    config: BertLikeConfig,
    rng: np.random.Generator | None = None,
    training: bool = False,
) -> tuple[Array, Backward]:
    """Run the layers one after the other; each of them looks at the same encoder states.

    Args:
        params: layer.0, layer.1, ...
        hidden_states: (B, T, H)
        encoder_hidden_states: (B, S, H)
        masks: own, encoder and head_mask (L, N)
        config: num_layers, and what the layers read
        rng: source of the dropout masks; None switches dropout off.
        training: whether backward will be called

    Returns:
        y: (B, T, H)
        backward: dy -> dparams, dhidden_states, dencoder_hidden_states
    """
    y = hidden_states
    backwards = {}
    for index in range(config.num_layers):
        with scope(f"layer.{index}"):
            y, layer_backward = decoder_layer(
                params["layer"][str(index)],
                y,
                encoder_hidden_states,
                masks.of_layer(index),
                config,
                rng,
            )
        if training:
            backwards[str(index)] = layer_backward
        # Without this, a layer's activations live on while the next one computes.
        del layer_backward
    if not training:
        return y, no_backward

    def backward(dy: Array) -> tuple[Params, Array, Array]:
        dlayers = {}
        dencoder_hidden_states = np.zeros_like(encoder_hidden_states)
        for index in reversed(backwards):
            dlayers[index], dy, dstates = backwards[index](dy)
            # Every layer looked at the encoder's states, so their gradients add up.
            dencoder_hidden_states += dstates
        return {"layer": dlayers}, dy, dencoder_hidden_states

    return y, backward
