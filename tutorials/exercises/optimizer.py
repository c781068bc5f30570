# An exercise of tutorials/11_training.py.
# Write what raises NotImplementedError, then run: pytest --mine optimizer
# Checksum of the untouched file: 07263223

"""AdamW and Adam: from a flat dict of gradients to better parameters."""

import math
from collections.abc import Mapping

import numpy as np

from minibert2bert.arrays import Array, sum_shared
from minibert2bert.components.blocks import blocks
from minibert2bert.training.settings import TrainingSettings

MEAN, SQUARE = "exp_avg", "exp_avg_sq"


class AdamW:
    """Adam with weight decay that does not go through the moments.

    m = b1 m + (1 - b1) g,  v = b2 v + (1 - b2) g^2,  m' = m / (1 - b1^t),  v' = v / (1 - b2^t)
    p = p - lr * (m' / (sqrt(v') + eps) + decay * p)
    (Kingma and Ba, 2015, algorithm 1; Loshchilov and Hutter, 2019, algorithm 2)

    Biases and the weights of layer norms, which have one axis, are not decayed.

    Attributes:
        params: the flat dict of arrays, changed in place by step
        steps: t, the number of steps taken
    """

    def __init__(
        self,
        params: dict[str, Array],
        learning_rate: float = 5e-5,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.01,
    ) -> None:
        """Start with moments of zero.

        Args:
            params: flat dict of arrays; two names of one array get one step.
            learning_rate: lr
            betas: b1 and b2, each in [0, 1)
            eps: added to the root of the second moment
            weight_decay: the share of a weight lost in a step of learning rate 1
        """
        self.params = params
        self.learning_rate = learning_rate
        self.betas = betas
        self.eps = eps
        self.weight_decay = weight_decay
        self.steps = 0
        self._moments: dict[str, tuple[Array, Array]] = {}

    def step(self, gradients: Mapping[str, Array], learning_rate: float | None = None) -> None:
        """Move every parameter that has a gradient.

        Args:
            gradients: under the names of the parameters; those without one stay.
            learning_rate: for this step only, as a schedule sets it
        """
        self.steps += 1
        rate = self.learning_rate if learning_rate is None else learning_rate
        for name, gradient in sum_shared(gradients, self.params).items():
            self._move(name, gradient, rate)

    def state(self) -> dict[str, Array]:
        """Return the moments, by the names that torch has for them and those of the parameters.

        Returns:
            exp_avg.NAME and exp_avg_sq.NAME of every parameter that has been moved: the arrays
            themselves, which the next step changes
        """
        means = {f"{MEAN}.{name}": mean for name, (mean, _) in self._moments.items()}
        squares = {f"{SQUARE}.{name}": square for name, (_, square) in self._moments.items()}
        return {**means, **squares}

    def load_state(self, state: Mapping[str, Array], steps: int) -> None:
        """Go on from the moments of an earlier run.

        Args:
            state: what state() returned; the arrays are copied.
            steps: t, the number of steps taken

        Raises:
            ValueError: if the moments are not those of these parameters.
        """
        names = [name.removeprefix(f"{MEAN}.") for name in state if name.startswith(f"{MEAN}.")]
        moments = {}
        for name in names:
            pair = state[f"{MEAN}.{name}"], state[f"{SQUARE}.{name}"]
            if name not in self.params or {m.shape for m in pair} != {self.params[name].shape}:
                raise ValueError(
                    f"the moments of {name} fit no parameter to be moved; "
                    "they belong to another model, or to one with other frozen parameters"
                )
            mean, square = (_copied(moment, self.params[name]) for moment in pair)
            moments[name] = mean, square
        self._moments, self.steps = moments, steps

    def _move(self, name: str, gradient: Array, rate: float) -> None:
        parameter = self.params[name]
        if name not in self._moments:
            self._moments[name] = np.zeros_like(parameter), np.zeros_like(parameter)
        mean, square = self._moments[name]
        for block in blocks(parameter):
            self._move_block(parameter[block], gradient[block], mean[block], square[block], rate)

    def _move_block(
        self, parameter: Array, gradient: Array, mean: Array, square: Array, rate: float
    ) -> None:
        raise NotImplementedError("AdamW._move_block is not written yet")


class Adam(AdamW):
    """Adam as its authors have it: AdamW without the decay.

    (Kingma and Ba, 2015, algorithm 1)
    """

    def __init__(
        self,
        params: dict[str, Array],
        learning_rate: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
    ) -> None:
        """Start with moments of zero; see AdamW."""
        super().__init__(params, learning_rate, betas, eps, weight_decay=0.0)


def _copied(array: Array, like: Array) -> Array:
    copy = np.zeros_like(like)
    copy[...] = np.asarray(array, like=like)
    return copy


def make_optimizer(settings: TrainingSettings, params: dict[str, Array]) -> AdamW:
    """Build the optimizer that the settings name.

    Args:
        settings: optim, learning_rate, adam_beta1, adam_beta2, adam_epsilon, weight_decay
        params: flat dict of the arrays to move

    Returns:
        an AdamW or an Adam
    """
    betas = settings.adam_beta1, settings.adam_beta2
    if settings.optim == "adam":
        return Adam(params, settings.learning_rate, betas, settings.adam_epsilon)
    return AdamW(
        params, settings.learning_rate, betas, settings.adam_epsilon, settings.weight_decay
    )


def clip_by_global_norm(
    gradients: Mapping[str, Array], max_norm: float
) -> tuple[dict[str, Array], float]:
    """Shorten all gradients together, if they are longer than max_norm as one vector.

    g = g * min(1, max_norm / |g|)
    (Pascanu, Mikolov and Bengio, 2013, algorithm 1)

    Args:
        gradients: flat dict
        max_norm: the greatest length allowed

    Returns:
        gradients: of at most that length; unchanged if they have none, being no numbers
        norm: the length before
    """
    raise NotImplementedError("clip_by_global_norm is not written yet")
