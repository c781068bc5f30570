# An exercise of tutorials/03_layer_norm.py.
# Write what raises NotImplementedError, then run: pytest --mine layer_norm
# Checksum of the untouched file: cd9af361

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
    raise NotImplementedError("layer_norm is not written yet")

    def backward(dy: Array) -> tuple[Params, Array]:
        raise NotImplementedError("the backward of layer_norm is not written yet")

    return ..., backward
