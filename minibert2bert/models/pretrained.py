"""What all models share: they hold a config and nested parameters, and come from a folder."""

from typing import Any, ClassVar, Self

import numpy as np

from minibert2bert.arrays import Array, Params, flatten, nest
from minibert2bert.device import to_device


class PretrainedModel:
    """The base of the models.

    Attributes:
        config: the settings
        params: nested dicts of arrays under the checkpoint's names
        load_report: what from_pretrained found in the files; None for a fresh model
    """

    config_class: ClassVar[type[Any]]

    def __init__(
        self, config: Any, rng: np.random.Generator | None = None, dtype: str = "float32"
    ) -> None:
        """Make a model with freshly initialised parameters.

        Args:
            config: the settings
            rng: source of the weights; None takes a fresh one.
            dtype: "float32" or "float64"

        Raises:
            ValueError: if the config asks for something that cannot be built.
        """
        shapes = self.parameter_shapes(config)
        rng = rng if rng is not None else np.random.default_rng()
        self.config = config
        self.params: Params = nest(initial_parameters(shapes, config, rng, dtype))
        self.load_report: Any = None

    @classmethod
    def parameter_shapes(cls, config: Any) -> dict[str, tuple[int, ...]]:
        """Name and shape of every parameter that this config asks for."""
        raise TypeError(f"{cls.__name__} is a base class; use one of its families")

    @property
    def like(self) -> Array:
        """Some parameter: where it lives, and in which precision, the model computes."""
        tree = self.params
        while isinstance(tree, dict):
            tree = next(iter(tree.values()))
        return tree

    def parameters(self) -> dict[str, Array]:
        """Return the flat dict of arrays, shared with the model."""
        return flatten(self.params)

    def to(self, device: str) -> Self:
        """Move the parameters to "cpu" or "cuda", and return the model."""
        self.params = to_device(self.params, device)
        return self


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
