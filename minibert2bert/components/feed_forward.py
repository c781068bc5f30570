"""The feed-forward sub-layer."""

import numpy as np

from minibert2bert.arrays import Array, Backward, Params
from minibert2bert.components.activations import activation
from minibert2bert.components.linear import linear
from minibert2bert.components.residual import add_and_norm
from minibert2bert.components.settings import Settings


def feed_forward_block(
    params: Params,
    hidden_states: Array,
    config: Settings,
    rng: np.random.Generator | None = None,
) -> tuple[Array, Backward]:
    """Widen each position, bend it, and bring it back.

    y = layer_norm(dropout(dense_2(act(dense_1(x)))) + x)
    (Vaswani et al., 2017, equation 2, with BERT's gelu for the relu)

    Args:
        params: intermediate.dense (F, H), output.dense (H, F) and output.LayerNorm (H,)
        hidden_states: (B, T, H)
        config: hidden_act, hidden_dropout_prob, layer_norm_eps
        rng: source of the dropout mask; None switches dropout off.

    Returns:
        y: (B, T, H)
        backward: dy -> dparams, dhidden_states
    """
    widened, dense_backward = linear(params["intermediate"]["dense"], hidden_states)
    bent, activation_backward = activation(config.hidden_act)(widened)
    y, output_backward = add_and_norm(params["output"], bent, hidden_states, config, rng)

    def backward(dy: Array) -> tuple[Params, Array]:
        doutput, dbent, dresidual = output_backward(dy)
        ddense, dhidden_states = dense_backward(activation_backward(dbent))
        dparams = {"intermediate": {"dense": ddense}, "output": doutput}
        return dparams, dhidden_states + dresidual

    return y, backward
