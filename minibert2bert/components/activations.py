"""The activations by their names in a config, each with its derivative."""

import difflib
import math
from collections.abc import Callable

import numpy as np

from minibert2bert.arrays import Array, Backward
from minibert2bert.components.blocks import blocks
from minibert2bert.components.erf import erf, normal_cdf

Activation = Callable[[Array], tuple[Array, Backward]]


def gelu(x: Array) -> tuple[Array, Backward]:
    """Weigh x by the probability that a normal variable is smaller.

    y = x * Phi(x) = x * (1 + erf(x / sqrt(2))) / 2
    (Hendrycks and Gimpel, 2016, equation 1)

    Args:
        x: any shape

    Returns:
        y: the shape of x
        backward: dy -> dx
    """
    rows = x.reshape(-1, x.shape[-1])
    phi, y = np.empty_like(rows), np.empty_like(rows)
    for block in blocks(rows):
        phi[block] = normal_cdf(rows[block])
        np.multiply(rows[block], phi[block], out=y[block])

    def backward(dy: Array) -> Array:
        drows = dy.reshape(rows.shape)
        dx = np.empty_like(rows)
        for block in blocks(rows):
            slope = np.square(rows[block])
            slope *= -0.5
            np.exp(slope, out=slope)
            slope *= rows[block]
            slope *= 1 / math.sqrt(2 * math.pi)
            slope += phi[block]
            np.multiply(slope, drows[block], out=dx[block])
        return dx.reshape(x.shape)

    return y.reshape(x.shape), backward


def gelu_new(x: Array) -> tuple[Array, Backward]:
    """Approximate gelu by a tanh, as GPT-2 does.

    y = x / 2 * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 x^3)))
    (Hendrycks and Gimpel, 2016, section 2)
    """
    return _gelu_by_tanh(x, math.sqrt(2 / math.pi), 0.044715)


def gelu_fast(x: Array) -> tuple[Array, Backward]:
    """Approximate gelu by a tanh with the constant of sqrt(2 / pi) rounded to ten digits.

    y = x / 2 * (1 + tanh(0.7978845608 x * (1 + 0.044715 x^2)))
    """
    return _gelu_by_tanh(x, 0.7978845608, 0.044715)


def _gelu_by_tanh(x: Array, scale: float, cubic: float) -> tuple[Array, Backward]:
    square = np.square(x)
    bend = np.tanh(scale * x * (1 + cubic * square))

    def backward(dy: Array) -> Array:
        dinner = scale * (1 + 3 * cubic * square)
        return dy * 0.5 * (1 + bend + x * (1 - np.square(bend)) * dinner)

    return 0.5 * x * (1 + bend), backward


def gelu_10(x: Array) -> tuple[Array, Backward]:
    """Cut gelu off at 10, for the sake of eight-bit numbers: y = clip(gelu(x), -10, 10)."""
    y, gelu_backward = gelu(x)

    def backward(dy: Array) -> Array:
        return gelu_backward(dy * (np.abs(y) <= 10))

    return np.clip(y, -10, 10), backward


def sigmoid(x: Array) -> tuple[Array, Backward]:
    """Squeeze x into (0, 1): y = 1 / (1 + exp(-x))."""
    # tanh is defined everywhere, where exp(-x) would overflow.
    y = 0.5 * (1 + np.tanh(0.5 * x))

    def backward(dy: Array) -> Array:
        return dy * y * (1 - y)

    return y, backward


def silu(x: Array) -> tuple[Array, Backward]:
    """Gate x by its own sigmoid: y = x * sigmoid(x) (Elfwing, Uchibe and Doya, 2017)."""
    return _gated(x, 1.0)


def quick_gelu(x: Array) -> tuple[Array, Backward]:
    """Approximate gelu by a sigmoid: y = x * sigmoid(1.702 x)."""
    return _gated(x, 1.702)


def _gated(x: Array, steepness: float) -> tuple[Array, Backward]:
    gate, sigmoid_backward = sigmoid(steepness * x)

    def backward(dy: Array) -> Array:
        return dy * gate + steepness * sigmoid_backward(dy * x)

    return x * gate, backward


def relu(x: Array) -> tuple[Array, Backward]:
    """Keep what is positive: y = max(0, x)."""

    def backward(dy: Array) -> Array:
        return dy * (x > 0)

    return np.maximum(x, 0), backward


def relu2(x: Array) -> tuple[Array, Backward]:
    """Square what is positive: y = max(0, x)^2."""
    positive = np.maximum(x, 0)

    def backward(dy: Array) -> Array:
        return dy * 2 * positive

    return np.square(positive), backward


def relu6(x: Array) -> tuple[Array, Backward]:
    """Keep what is positive, up to six: y = min(max(0, x), 6)."""

    def backward(dy: Array) -> Array:
        return dy * ((x > 0) & (x < 6))

    return np.clip(x, 0, 6), backward


def hardswish(x: Array) -> tuple[Array, Backward]:
    """Gate x by three straight lines: y = x * relu6(x + 3) / 6."""
    gate, relu6_backward = relu6(x + 3)

    def backward(dy: Array) -> Array:
        return (dy * gate + relu6_backward(dy * x)) / 6

    return x * gate / 6, backward


def leaky_relu(x: Array) -> tuple[Array, Backward]:
    """Let a hundredth of the negative through: y = x if x > 0 else 0.01 x."""
    slope = np.where(x > 0, x.dtype.type(1), x.dtype.type(0.01))

    def backward(dy: Array) -> Array:
        return dy * slope

    return x * slope, backward


def mish(x: Array) -> tuple[Array, Backward]:
    """Gate x smoothly: y = x * tanh(softplus(x)) with softplus(x) = log(1 + exp(x))."""
    gate = np.tanh(np.logaddexp(x, 0))
    slope, _ = sigmoid(x)

    def backward(dy: Array) -> Array:
        return dy * (gate + x * (1 - np.square(gate)) * slope)

    return x * gate, backward


def tanh(x: Array) -> tuple[Array, Backward]:
    """Squeeze x between -1 and 1.

    y = tanh(x)
    """
    y = np.tanh(x)

    def backward(dy: Array) -> Array:
        return dy * (1 - np.square(y))

    return y, backward


def laplace(x: Array) -> tuple[Array, Backward]:
    """Shift and squeeze the bell curve: y = (1 + erf((x - 0.707107) / (0.282095 sqrt(2)))) / 2."""
    scale = 1 / (0.282095 * math.sqrt(2))
    centered = (x - 0.707107) * scale

    def backward(dy: Array) -> Array:
        return dy * np.exp(-np.square(centered)) * (scale / math.sqrt(math.pi))

    return 0.5 * (1 + erf(centered)), backward


def linear(x: Array) -> tuple[Array, Backward]:
    """Change nothing: y = x."""

    def backward(dy: Array) -> Array:
        return dy

    return x, backward


ACTIVATIONS: dict[str, Activation] = {
    "gelu": gelu,
    "gelu_python": gelu,
    "gelu_new": gelu_new,
    "gelu_accurate": gelu_new,
    "gelu_pytorch_tanh": gelu_new,
    "gelu_python_tanh": gelu_new,
    "gelu_fast": gelu_fast,
    "quick_gelu": quick_gelu,
    "gelu_10": gelu_10,
    "relu": relu,
    "relu2": relu2,
    "relu6": relu6,
    "silu": silu,
    "swish": silu,
    "mish": mish,
    "tanh": tanh,
    "sigmoid": sigmoid,
    "linear": linear,
    "hardswish": hardswish,
    "leaky_relu": leaky_relu,
    "laplace": laplace,
}


def activation(name: str) -> Activation:
    """Find an activation by its name in the config.

    Args:
        name: a key of ACTIVATIONS

    Returns:
        function: x -> y, backward

    Raises:
        ValueError: if there is none of that name; the message names the closest ones.
    """
    if name not in ACTIVATIONS:
        close = difflib.get_close_matches(name, ACTIVATIONS, n=1)
        hint = f"did you mean {close[0]}? " if close else ""
        known = ", ".join(ACTIVATIONS)
        raise ValueError(f"unknown activation {name!r}; {hint}known are {known}")
    return ACTIVATIONS[name]
