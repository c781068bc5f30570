"""The weights of every stored reference, from a formula: so no file has to hold them."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray


def recipe_weights(shapes: Mapping[str, Sequence[int]]) -> dict[str, NDArray[np.float64]]:
    """Fill tensor number k in the order of the names, element t in C order, from one sine.

    s = sin(0.7 t + 0.013 t^2 + 0.31 k + 0.5)
    value = 1 + 0.2 s for the scale of a layer norm, 0.35 s for everything else

    The scales are the tensors with one axis whose name ends in "weight".

    Args:
        shapes: the shape of every tensor of the saved file; a tied tensor occurs once.

    Returns:
        the float64 tensors, in the order of the sorted names.
    """
    return {name: _tensor(k, name, shapes[name]) for k, name in enumerate(sorted(shapes))}


def _tensor(k: int, name: str, shape: Sequence[int]) -> NDArray[np.float64]:
    t = np.arange(np.prod(shape, dtype=np.int64), dtype=np.float64)
    s = np.sin(0.7 * t + 0.013 * t * t + 0.31 * k + 0.5).reshape(shape)
    is_scale = len(shape) == 1 and name.endswith("weight")
    return 1 + 0.2 * s if is_scale else 0.35 * s
