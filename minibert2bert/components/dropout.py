"""Dropout."""

import numpy as np

from minibert2bert.arrays import Array, Backward


def dropout(
    x: Array, rate: float, rng: np.random.Generator | None = None
) -> tuple[Array, Backward]:
    """Set each element to zero with probability rate, and scale up the others.

    y = x * kept / (1 - rate), so that the mean of y over the masks is x
    (Srivastava et al., 2014, section 4, scaled while training rather than while testing)

    Args:
        x: any shape
        rate: the probability of a zero, in [0, 1)
        rng: source of the mask; None switches dropout off, as when a model is used.

    Returns:
        y: the shape of x
        backward: dy -> dx
    """
    if rng is None or rate == 0:
        return x, _unchanged
    scale = 1 / (1 - rate)
    # Sixteen random bits cost half of a float, and meet the rate to the fifth digit.
    kept = rng.integers(0, 2**16, x.shape, dtype=np.uint16) >= round(rate * 2**16)

    def backward(dy: Array) -> Array:
        dx = dy * kept
        dx *= scale
        return dx

    # The function is linear, so it is its own derivative.
    return backward(x), backward


def _unchanged(dy: Array) -> Array:
    return dy
