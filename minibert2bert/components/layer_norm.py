"""Layer normalisation."""

import numpy as np

from minibert2bert.arrays import Array, Backward, Params
from minibert2bert.components.blocks import column_sums, row_sums


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
    weight, shape = params["weight"], x.shape
    H = shape[-1]
    rows = x.reshape(-1, H)
    x_hat = rows - row_sums(rows) / H
    inv_std = 1 / np.sqrt(row_sums(np.square(x_hat)) / H + eps)
    x_hat *= inv_std
    y = x_hat * weight
    y += params["bias"]

    def backward(dy: Array) -> tuple[Params, Array]:
        drows = dy.reshape(-1, H)
        products = drows * x_hat
        dparams = {"weight": column_sums(products), "bias": column_sums(drows)}
        # A row's mean and length are fixed, so dx has no part along 1 and none along x_hat.
        along_ones = drows @ weight[:, None] / H
        along_x_hat = products @ weight[:, None] / H
        dx = drows * weight
        dx -= along_ones
        dx -= np.multiply(x_hat, along_x_hat, out=products)
        dx *= inv_std
        return dparams, dx.reshape(shape)

    return y.reshape(shape), backward
