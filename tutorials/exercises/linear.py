# An exercise of tutorials/01_linear.py.
# Write what raises NotImplementedError, then run: pytest --mine linear
# Checksum of the untouched file: 4694b09a

"""The linear layer: one matrix product and a bias."""

from minibert2bert.arrays import Array, Backward, Params
from minibert2bert.components.blocks import column_sums


def linear(params: Params, x: Array) -> tuple[Array, Backward]:
    """Multiply each row by the weight and add the bias.

    y = x W^T + b
    (the layout of the checkpoints: a weight is (outputs, inputs))

    Args:
        params: weight (O, I) and, if the layer has one, bias (O,)
        x: (..., I)

    Returns:
        y: (..., O)
        backward: dy -> dparams, dx
    """
    raise NotImplementedError("linear is not written yet")

    def backward(dy: Array) -> tuple[Params, Array]:
        raise NotImplementedError("the backward of linear is not written yet")

    return ..., backward
