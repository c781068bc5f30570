"""The parameters of a fresh model."""

from typing import Any

import numpy as np

from minibert2bert.arrays import Array


def initial_parameters(
    shapes: dict[str, tuple[int, ...]], config: Any, rng: np.random.Generator, dtype: str
) -> dict[str, Array]:
    """Draw the parameters of a fresh model.

    Weights are normal with standard deviation initializer_range, biases 0, the weights of
    layer norms 1, and the padding's word is 0 (Devlin et al., 2019, appendix A.2, by the code).

    Args:
        shapes: name and shape of each
        config: initializer_range, pad_token_id
        rng: source of the weights
        dtype: "float32" or "float64"

    Returns:
        arrays under the same names
    """
    parameters = {}
    for name, shape in shapes.items():
        if len(shape) == 1:
            fill = 1 if name.endswith("weight") else 0
            parameters[name] = np.full(shape, fill, dtype=dtype)
            continue
        weight = rng.standard_normal(shape, dtype=np.dtype(dtype).type)
        weight *= config.initializer_range
        if name.endswith("word_embeddings.weight") and config.pad_token_id is not None:
            weight[config.pad_token_id] = 0
        parameters[name] = weight
    return parameters
