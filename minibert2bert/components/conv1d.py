"""GPT-2's linear layer, whose weight lies the other way round."""

from minibert2bert.arrays import Array, Backward, Params
from minibert2bert.components.blocks import column_sums


def conv1d(params: Params, x: Array) -> tuple[Array, Backward]:
    """Multiply each row by the weight and add the bias.

    y = x W + b
    (the layout of GPT-2's checkpoints: a weight is (inputs, outputs); the name is from there,
    for a linear layer is a convolution that sees one position)

    Args:
        params: weight (I, O) and bias (O,)
        x: (..., I)

    Returns:
        y: (..., O)
        backward: dy -> dparams, dx
    """
    weight = params["weight"]
    # One product of two matrices is faster than a stack of small ones.
    rows = x.reshape(-1, x.shape[-1])
    y = rows @ weight
    y += params["bias"]

    def backward(dy: Array) -> tuple[Params, Array]:
        drows = dy.reshape(-1, dy.shape[-1])
        dparams = {"weight": rows.T @ drows, "bias": column_sums(drows)}
        return dparams, (drows @ weight.T).reshape(x.shape)

    return y.reshape(*x.shape[:-1], -1), backward
