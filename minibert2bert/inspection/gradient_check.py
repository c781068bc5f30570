"""Finite differences against any backward."""

import functools
import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from minibert2bert.arrays import Array, flatten, nest

STEP = 1e-5
TOLERANCE = 1e-6
# Below this share of the output's size, rounding hides a directional derivative.
FLOOR = 1e-4


@dataclass(frozen=True)
class GradientCheck:
    """One tensor's slope along a random direction: by the backward and by finite differences."""

    tensor: str
    analytic: float
    numerical: float
    relative_error: float

    @property
    def passed(self) -> bool:
        """Whether the two slopes agree to rounding."""
        return self.relative_error < TOLERANCE

    def __str__(self) -> str:
        """Name the tensor and print both slopes."""
        ratio = self.analytic / self.numerical if self.numerical else float("inf")
        return (
            f"{self.tensor}: backward says {self.analytic:.9g}, "
            f"finite differences say {self.numerical:.9g} (ratio {ratio:.6g}, "
            f"relative error {self.relative_error:.1e})"
        )


def check_gradients(
    function: Callable[..., Any], *arguments: Any, seed: int = 0
) -> list[GradientCheck]:
    """Check a component's backward against finite differences.

    (f(x + h d) - f(x - h d)) / 2h = <df/dx, d> for a random direction d
    (two evaluations a tensor, whatever its size)

    The upstream gradient is random too: with ones, or with fresh layer norms, wrong backwards pass.

    Args:
        function: returns output, backward; called as function(*arguments). Give it what has no
            gradient but is a float array (a head mask, say) with functools.partial.
        arguments: the float64 arrays and nested dicts of them are differentiated, in this
            order; the others are handed through.
        seed: of the directions and the upstream gradient

    Returns:
        a GradientCheck for each tensor, all passed

    Raises:
        AssertionError: if a gradient is wrong; the message names the tensors that failed.
        ValueError: if an array is not float64: finite differences need its precision.
    """
    checks = gradient_checks(function, *arguments, seed=seed)
    failed = [str(check) for check in checks if not check.passed]
    name = function_name(function)
    assert not failed, f"wrong gradient in {name}:\n  " + "\n  ".join(failed)
    return checks


def gradient_checks(
    function: Callable[..., Any], *arguments: Any, seed: int = 0
) -> list[GradientCheck]:
    """Compare every tensor's gradient with finite differences, and report instead of failing.

    Args, Returns and Raises: see check_gradients, which calls this; only gradients that do not
    fit their arguments (number, names, shapes) fail here already.
    """
    rng = np.random.default_rng(seed)
    y, backward = function(*arguments)
    dy = rng.standard_normal(np.shape(y))
    gradients = backward(dy) if np.ndim(y) else backward(float(dy))
    tensors = dict(_differentiable(function, arguments))
    names = _argument_names(function, len(arguments))
    flat_gradients = _by_tensor(gradients, arguments, tensors, names)
    size = float(np.abs(dy * y).sum())
    checks = []
    for name, (position, tensor) in tensors.items():
        direction = rng.standard_normal(tensor.shape)
        slopes = [
            float((dy * function(*_moved(arguments, name, position, step * direction))[0]).sum())
            for step in (STEP, -STEP)
        ]
        numerical = (slopes[0] - slopes[1]) / (2 * STEP)
        analytic = float((flat_gradients[name] * direction).sum())
        scale = max(abs(numerical), float(np.linalg.norm(flat_gradients[name])), FLOOR * size)
        error = abs(analytic - numerical) / scale if scale else 0.0
        checks.append(GradientCheck(name, analytic, numerical, error))
    return checks


def function_name(function: Callable[..., Any]) -> str:
    """Name a function, also behind functools.partial."""
    while isinstance(function, functools.partial):
        function = function.func
    return getattr(function, "__name__", repr(function))


def _differentiable(
    function: Callable[..., Any], arguments: tuple[Any, ...]
) -> Iterator[tuple[str, tuple[int, Array]]]:
    """Yield each float tensor's name, the position of its argument, and the tensor."""
    names = _argument_names(function, len(arguments))
    for position, (name, argument) in enumerate(zip(names, arguments, strict=True)):
        if isinstance(argument, dict):
            named = {f"{name}.{leaf}": array for leaf, array in flatten(argument).items()}
        elif _is_float(argument):
            named = {name: argument}
        else:
            continue
        for tensor, array in named.items():
            if array.dtype != np.float64:
                raise ValueError(
                    f"{tensor} must be float64 for finite differences, got {array.dtype}"
                )
            yield tensor, (position, array)


def _argument_names(function: Callable[..., Any], count: int) -> list[str]:
    parameters = inspect.signature(function).parameters.values()
    names = [p.name for p in parameters if p.kind is not p.VAR_POSITIONAL][:count]
    return names + [f"argument {position}" for position in range(len(names), count)]


def _is_float(argument: Any) -> bool:
    return isinstance(argument, np.ndarray) and np.issubdtype(argument.dtype, np.floating)


def _by_tensor(
    gradients: Any,
    arguments: tuple[Any, ...],
    tensors: dict[str, tuple[int, Array]],
    names: list[str],
) -> dict[str, Array]:
    """Name what a backward returned like the tensors it belongs to, and compare the shapes."""
    returned = gradients if isinstance(gradients, tuple) else (gradients,)
    owners = [i for i, a in enumerate(arguments) if isinstance(a, dict) or _is_float(a)]
    assert len(returned) == len(owners), (
        f"backward must return {len(owners)} gradients, one for each differentiable argument, "
        f"got {len(returned)}"
    )
    flat: dict[str, Array] = {}
    for owner, gradient in zip(owners, returned, strict=True):
        name = names[owner]
        assert isinstance(gradient, dict) or not isinstance(arguments[owner], dict), (
            f"the gradient of {name} must be a dict like {name}, got an array"
        )
        flat |= flatten({name: gradient})
    assert set(flat) == set(tensors), (
        f"backward returned no gradient for {sorted(set(tensors) - set(flat))} "
        f"and one too many for {sorted(set(flat) - set(tensors))}"
    )
    for name, (_, tensor) in tensors.items():
        assert flat[name].shape == tensor.shape, (
            f"the gradient of {name} must have its shape {tensor.shape}, got {flat[name].shape}"
        )
    return flat


def _moved(arguments: tuple[Any, ...], name: str, position: int, change: Array) -> tuple[Any, ...]:
    """Add change to the tensor called name, in a copy of the arguments."""
    moved = list(arguments)
    argument = arguments[position]
    if isinstance(argument, dict):
        leaf = name.split(".", 1)[1]
        flat = flatten(argument)
        moved[position] = nest({**flat, leaf: flat[leaf] + change})
    else:
        moved[position] = argument + change
    return tuple(moved)
