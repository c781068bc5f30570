"""The end of every BERT sub-layer: project, drop, add what came in, normalise."""

import numpy as np

from minibert2bert.arrays import Array, Backward, Params
from minibert2bert.components.dropout import dropout
from minibert2bert.components.layer_norm import layer_norm
from minibert2bert.components.linear import linear
from minibert2bert.components.settings import Settings


def add_and_norm(
    params: Params,
    update: Array,
    residual: Array,
    config: Settings,
    rng: np.random.Generator | None = None,
) -> tuple[Array, Backward]:
    """End a sub-layer.

    y = layer_norm(dropout(dense(update)) + residual)
    (Vaswani et al., 2017, sections 3.1 and 5.4; BERT normalises after the sum)

    Args:
        params: dense (H, I) and LayerNorm (H,)
        update: (B, T, I), what the sub-layer computed
        residual: (B, T, H), what entered it
        config: hidden_dropout_prob, layer_norm_eps
        rng: source of the dropout mask; None switches dropout off.

    Returns:
        y: (B, T, H)
        backward: dy -> dparams, dupdate, dresidual
    """
    projected, dense_backward = linear(params["dense"], update)
    dropped, dropout_backward = dropout(projected, config.hidden_dropout_prob, rng)
    y, norm_backward = layer_norm(params["LayerNorm"], dropped + residual, config.layer_norm_eps)

    def backward(dy: Array) -> tuple[Params, Array, Array]:
        dnorm, dsum = norm_backward(dy)
        ddense, dupdate = dense_backward(dropout_backward(dsum))
        return {"dense": ddense, "LayerNorm": dnorm}, dupdate, dsum

    return y, backward
