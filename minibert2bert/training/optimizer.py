"""AdamW, as a function of a flat dict of gradients."""

import math
from collections.abc import Mapping

import numpy as np

from minibert2bert.arrays import Array, sum_shared


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

    def _move(self, name: str, gradient: Array, rate: float) -> None:
        parameter = self.params[name]
        if name not in self._moments:
            self._moments[name] = np.zeros_like(parameter), np.zeros_like(parameter)
        mean, square = self._moments[name]
        beta1, beta2 = self.betas
        mean *= beta1
        mean += (1 - beta1) * gradient
        square *= beta2
        square += (1 - beta2) * np.square(gradient)
        root = np.sqrt(square)
        root /= math.sqrt(1 - beta2**self.steps)
        root += self.eps
        update = mean / root
        update *= rate / (1 - beta1**self.steps)
        if parameter.ndim > 1:
            parameter *= 1 - rate * self.weight_decay
        parameter -= update


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
        gradients: of at most that length; norm: the length before
    """
    norm = math.sqrt(sum(float(np.vdot(g, g)) for g in gradients.values()))
    if norm <= max_norm:
        return dict(gradients), norm
    return {name: g * (max_norm / norm) for name, g in gradients.items()}, norm
