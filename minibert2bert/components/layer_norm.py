"""Layer normalisation."""

import numpy as np

from minibert2bert.arrays import Array, Backward, Params


def layer_norm(params: Params, x: Array, eps: float) -> tuple[Array, Backward]:
    """Give each row mean 0 and variance 1, then scale and shift its columns.

    y = weight * (x - mean) / sqrt(variance + eps) + bias
    (Ba, Kiros and Hinton, 2016, equation 4; the variance divides by H, not H - 1)

    Args:
        params: weight (H,) and bias (H,)
        x: (..., H)
        eps: added to the variance; BERT uses 1e-12.

    Returns:
        y: (..., H)
        backward: dy -> dparams, dx
    """
    weight = params["weight"]
    centered = x - x.mean(axis=-1, keepdims=True)
    inv_std = 1 / np.sqrt(np.square(centered).mean(axis=-1, keepdims=True) + eps)
    x_hat = centered * inv_std
    y = x_hat * weight + params["bias"]

    def backward(dy: Array) -> tuple[Params, Array]:
        rows = tuple(range(dy.ndim - 1))
        dparams = {"weight": (dy * x_hat).sum(axis=rows), "bias": dy.sum(axis=rows)}
        dx_hat = dy * weight
        # A row's mean and length are fixed, so dx has no part along 1 and none along x_hat.
        along_ones = dx_hat.mean(axis=-1, keepdims=True)
        along_x_hat = (dx_hat * x_hat).mean(axis=-1, keepdims=True)
        return dparams, inv_std * (dx_hat - along_ones - x_hat * along_x_hat)

    return y, backward
