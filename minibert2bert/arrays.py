"""The few types of the package, and the two shapes of its parameters: nested and flat.

A checkpoint names its tensors with dots, `encoder.layer.0.attention.self.query.weight`.
Components see the nested dicts (`params["layer"]["0"]`), files and optimizers the flat one.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NoReturn, TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[Any]
"""A NumPy array, or any array that answers NumPy's functions, such as CuPy's."""

Params: TypeAlias = dict[str, Any]
"""Nested dicts of arrays under the checkpoint's names."""

Backward: TypeAlias = Callable[..., Any]
"""From the gradient of an output to the gradients of what it was computed from."""


def flatten(params: Params, prefix: str = "") -> dict[str, Array]:
    """Join the nested names with dots: {"dense": {"bias": b}} becomes {"dense.bias": b}."""
    return dict(_leaves(params, prefix))


def _leaves(params: Params, prefix: str) -> Iterator[tuple[str, Array]]:
    for name, value in params.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def nest(flat: Mapping[str, Array]) -> Params:
    """Split the names at the dots: {"dense.bias": b} becomes {"dense": {"bias": b}}."""
    nested: Params = {}
    for name, array in flat.items():
        *parents, leaf = name.split(".")
        branch = nested
        for parent in parents:
            branch = branch.setdefault(parent, {})
        branch[leaf] = array
    return nested


def add_params(first: Params, second: Params) -> Params:
    """Unite two nested gradients; where both have a tensor, the result has the sum.

    This is how a weight that is used twice gets the gradient of both uses.
    """
    united = dict(first)
    for name, value in second.items():
        if name not in first:
            united[name] = value
        elif isinstance(value, dict):
            united[name] = add_params(first[name], value)
        else:
            united[name] = first[name] + value
    return united


def sum_shared(gradients: Mapping[str, Array], params: Mapping[str, Array]) -> dict[str, Array]:
    """Give an array with several names one gradient, the sum, under its first name.

    params decides what is shared: two names share when they hold the same array. A parameter
    without a gradient, such as a pooler that nothing reads, is left out.
    """
    first_names: dict[int, str] = {}
    summed: dict[str, Array] = {}
    for name, array in params.items():
        if name not in gradients:
            continue
        first = first_names.setdefault(id(array), name)
        summed[first] = summed[first] + gradients[name] if first in summed else gradients[name]
    return summed


def no_backward(*_: Any) -> NoReturn:
    """Stand in for the backward of a call that kept nothing to differentiate.

    Raises:
        RuntimeError: always, with the way to get a backward.
    """
    raise RuntimeError(
        "this call kept no activations, so it has no backward; "
        "call the stack with training=True, or model.loss(...)"
    )


def zeros_like_params(params: Params) -> Params:
    """Nested zeros with the names, shapes and dtypes of params."""
    return {
        name: zeros_like_params(value) if isinstance(value, dict) else np.zeros_like(value)
        for name, value in params.items()
    }
