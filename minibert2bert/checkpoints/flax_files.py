"""Tensors in flax_model.msgpack, under the names of PyTorch's checkpoints.

MessagePack is a binary JSON: nested maps, and what it has no type for as an extension, a number and
bytes. Flax writes an array as extension 1, whose bytes are MessagePack again: shape, name of the
dtype, and the numbers. Nothing in such a file can be run.
"""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from minibert2bert.arrays import Array
from minibert2bert.checkpoints.safetensors_files import DTYPES, FLOATS, convert
from minibert2bert.checkpoints.torch_pickle import RefusedError

LEAVES = {
    "kernel": "weight", "scale": "weight", "embedding": "weight", "bias": "bias",
    "final_logits_bias": "final_logits_bias",
}  # fmt: skip
# MessagePack has no more than 4 GiB for an array, and Flax cuts what is larger than 1 GiB.
CHUNKED = "__msgpack_chunked_array__"
ARRAY, SCALAR = 1, 3
# What a broken file makes the functions below raise, each in its own words.
DAMAGE = (ValueError, TypeError, LookupError, OverflowError, MemoryError, RecursionError)


def read_flax_tensors(path: str | Path, dtype: str = "float32") -> dict[str, Array]:
    """Read all tensors of a flax_model.msgpack, or of one shard of it.

    A layer's kernel is (I, O) in Flax and (O, I) in PyTorch, so it is transposed. For GPT-2 it is
    the other way round, and a transposition again.

    Args:
        path: the file
        dtype: what the tensors become, "float32" or "float64"

    Returns:
        arrays by name

    Raises:
        FileNotFoundError: if there is no such file.
        ModuleNotFoundError: if msgpack is not installed.
        ValueError: if the file is truncated, corrupt, of an unknown dtype, or holds anything else
            than the weights of a model, or if the dtype asked for is another one.
    """
    if dtype not in ("float32", "float64"):
        raise ValueError(f'dtype must be "float32" or "float64", got {dtype!r}')
    if not Path(path).is_file():
        raise FileNotFoundError(f"there is no file {path}; a Flax model has a flax_model.msgpack")
    try:
        import msgpack
    except ModuleNotFoundError:
        raise ModuleNotFoundError(
            f"reading {path} needs msgpack: pip install minibert2bert[convert]"
        ) from None
    try:
        content = Path(path).read_bytes()
        return _named(msgpack.unpackb(content, ext_hook=partial(_extension, dtype=dtype)))
    except RefusedError as error:
        raise ValueError(
            f"{path} is not read: {error}; it must be a file that save_pretrained of "
            "transformers 4 wrote"
        ) from None
    except DAMAGE as error:
        raise ValueError(
            f"{path} is no whole file of Flax ({error}); copy or download it again"
        ) from None


def _extension(code: int, data: bytes, dtype: str) -> Array:
    """Make an array of the bytes of an extension."""
    import msgpack

    if code not in (ARRAY, SCALAR):
        raise RefusedError(f"it has an extension of type {code}, which is no array")
    shape, stored, numbers = msgpack.unpackb(data)
    if stored not in FLOATS:
        raise RefusedError(f"a tensor is of dtype {stored}; readable are {', '.join(FLOATS)}")
    array = _reshaped(np.frombuffer(numbers, DTYPES[FLOATS[stored]]), shape)
    # The bytes of the file can be read only, and a model's weights are changed in training.
    return convert(array.copy(), FLOATS[stored], dtype)


def _named(tree: Any) -> dict[str, Array]:
    """Flatten the maps, and give each tensor PyTorch's name and axes."""
    if not isinstance(tree, dict):
        raise RefusedError(f"it holds a {type(tree).__name__}, not a map of tensors")
    tensors: dict[str, Array] = {}
    for path, array in _leaves(tree, ()):
        *scopes, leaf = path
        if leaf not in LEAVES or not isinstance(array, np.ndarray):
            raise RefusedError(
                f"it holds {'.'.join(path)}, a {type(array).__name__}; known are tensors called "
                f"{', '.join(LEAVES)}"
            )
        if leaf == "kernel" and array.ndim != 2:
            raise RefusedError(f"{'.'.join(path)} has shape {array.shape}, but needs two axes")
        name = ".".join([*scopes, LEAVES[leaf]])
        if name in tensors:
            raise RefusedError(f"it has two tensors {name}, one as {'.'.join(path)}")
        tensors[name] = np.ascontiguousarray(array.T) if leaf == "kernel" else array
    if not tensors:
        raise RefusedError("it holds no tensors")
    return tensors


def _leaves(tree: dict[str, Any], path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    for name in list(tree):
        # Taken out, the array of the file is freed as soon as its transpose is made.
        value = tree.pop(name)
        if not isinstance(value, dict):
            yield (*path, name), value
        elif CHUNKED in value:
            chunks = np.concatenate(_row(value["chunks"]))
            yield (*path, name), _reshaped(chunks, _row(value["shape"]))
        else:
            yield from _leaves(value, (*path, name))


def _row(numbered: dict[str, Any]) -> list[Any]:
    """Make a list of what Flax writes in its place: {"0": first, "1": second}."""
    return [numbered[str(i)] for i in range(len(numbered))]


def _reshaped(row: Array, shape: list[int]) -> Array:
    array = row.reshape(shape)
    # NumPy takes -1 for whatever fits.
    if array.shape != tuple(shape):
        raise ValueError(f"a tensor cannot have the shape {shape}")
    return array
