"""When two arrays count as the same."""

import numpy as np

CLOSE = 1e-7
"""Two float64 formulas for one thing differ by some 1e-14, and a wrong one by far more."""
NOTHING = 1e-11
"""Below this a number is a zero with rounding: the gradient of a key's bias, for example."""


def same(a, b, close=CLOSE):
    """Equal to rounding, measured by the largest element of b."""
    if a.shape != b.shape:
        return False
    if a.size == 0:
        return True
    return bool(np.abs(a - b).max() <= close * float(np.abs(b).max()) + NOTHING)
