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
    weight = params["weight"]
    # One product of two matrices is faster than a stack of small ones.
    rows = x.reshape(-1, x.shape[-1])
    y = rows @ weight.T
    if "bias" in params:
        y += params["bias"]

    def backward(dy: Array) -> tuple[Params, Array]:
        drows = dy.reshape(-1, dy.shape[-1])
        dparams = {"weight": drows.T @ rows}
        if "bias" in params:
            dparams["bias"] = column_sums(drows)
        return dparams, (drows @ weight).reshape(x.shape)

    return y.reshape(*x.shape[:-1], -1), backward
