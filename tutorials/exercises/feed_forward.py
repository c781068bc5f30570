# An exercise of tutorials/07_layers.py.
# Write what raises NotImplementedError, then run: pytest --mine feed_forward
# Checksum of the untouched file: ba266283

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
    raise NotImplementedError("feed_forward_block is not written yet")

    def backward(dy: Array) -> tuple[Params, Array]:
        raise NotImplementedError("the backward of feed_forward_block is not written yet")

    return ..., backward
