"""Where arrays live: NumPy on the processor, CuPy on the GPU. Only this file knows CuPy.

CuPy's arrays answer NumPy's own functions, so the components run where the parameters are.
"""

from typing import Any

import numpy as np

from minibert2bert.arrays import Array


def to_device(tree: Any, device: str) -> Any:
    """Move every array of nested dicts, lists and tuples.

    Args:
        tree: nested dicts, lists and tuples of arrays
        device: "cpu" or "cuda"

    Returns:
        the same structure; an array that is there already is not copied, and one that stands in
        several places still does.

    Raises:
        ValueError: if the device is another one.
        ModuleNotFoundError: if "cuda" is asked for and CuPy is not installed.
    """
    if device == "cpu":
        return to_numpy(tree)
    if device != "cuda":
        raise ValueError(f'device must be "cpu" or "cuda", got {device!r}')
    return _map_arrays(_cupy().asarray, tree, {})


def to_numpy(tree: Any) -> Any:
    """Bring every array of nested dicts, lists and tuples to the processor."""
    return _map_arrays(_array_to_numpy, tree, {})


def default_rng(seed: int | None, like: Array) -> Any:
    """Make a random generator whose arrays live where like does."""
    if isinstance(like, np.ndarray):
        return np.random.default_rng(seed)
    return _cupy().random.default_rng(seed)


def gpu_description() -> str:
    """Say in one line whether CuPy and a GPU are there."""
    try:
        cupy = _cupy()
        properties = cupy.cuda.runtime.getDeviceProperties(0)
    except ModuleNotFoundError as error:
        return str(error)
    except Exception as error:
        # CuPy raises errors of its own, which cannot be named without importing it.
        return f"CuPy is installed, but finds no GPU ({error})"
    return f"CuPy {cupy.__version__} on {properties['name'].decode()}"


def _array_to_numpy(array: Array) -> Array:
    # get() is how arrays of another device hand over their numbers.
    return array if isinstance(array, (np.ndarray, np.generic)) else array.get()


def _map_arrays(function: Any, tree: Any, moved: dict[int, Any]) -> Any:
    """Apply function to each array once, however often it stands in the tree."""
    if isinstance(tree, dict):
        return {name: _map_arrays(function, branch, moved) for name, branch in tree.items()}
    if isinstance(tree, (list, tuple)):
        return type(tree)(_map_arrays(function, branch, moved) for branch in tree)
    if id(tree) not in moved:
        moved[id(tree)] = function(tree)
    return moved[id(tree)]


def _cupy() -> Any:
    try:
        import cupy
    except ModuleNotFoundError:
        raise ModuleNotFoundError(
            "CuPy is not installed; for a GPU: pip install minibert2bert[cuda]"
        ) from None
    return cupy
