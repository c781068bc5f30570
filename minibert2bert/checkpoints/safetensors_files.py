"""Tensors in safetensors files: one file, or shards with an index."""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from minibert2bert.arrays import Array
from minibert2bert.checkpoints.folders import recover

SINGLE = "model.safetensors"
INDEX = "model.safetensors.index.json"
DTYPES = {
    "F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2", "I64": "<i8", "I32": "<i4",
    "I16": "<i2", "I8": "i1", "U64": "<u8", "U32": "<u4", "U16": "<u2", "U8": "u1", "BOOL": "?",
}  # fmt: skip


def is_weights_file(name: str) -> bool:
    """Tell whether a file name is one that write_tensors writes."""
    return name == INDEX or re.fullmatch(r"model(-\d+-of-\d+)?\.safetensors", name) is not None


def read_tensors(folder: str | Path, dtype: str = "float32") -> dict[str, Array]:
    """Read all tensors of a folder.

    The files are mapped, not read: a tensor that is stored in the dtype asked for is a view of
    its file, whose pages are read when they are used, and changes stay in memory.

    Args:
        folder: holds model.safetensors, or model.safetensors.index.json and its shards
        dtype: what floating-point tensors become, "float32" or "float64"

    Returns:
        arrays by name; integers and truth values in the dtype of the file

    Raises:
        FileNotFoundError: if the folder or a file is missing.
        ValueError: if a file is truncated, corrupt or of an unknown dtype, or if the dtype asked
            for is another one.
    """
    if dtype not in ("float32", "float64"):
        raise ValueError(f'dtype must be "float32" or "float64", got {dtype!r}')
    recover(folder)
    path = Path(folder)
    if (path / INDEX).is_file():
        return _read_shards(path, dtype)
    if (path / SINGLE).is_file():
        return dict(_read_file(path / SINGLE, dtype))
    found = sorted(p.name for p in path.iterdir()) if path.is_dir() else None
    content = "there is no such folder" if found is None else f"it holds {found or 'nothing'}"
    hint = ""
    if found and any(name.startswith("pytorch_model") for name in found):
        hint = "; save the model as safetensors first (save_pretrained of transformers does)"
    raise FileNotFoundError(f"{folder} must hold {SINGLE} or {INDEX}, but {content}{hint}")


def _read_shards(folder: Path, dtype: str) -> dict[str, Array]:
    path = folder / INDEX
    try:
        names = json.loads(path.read_text(encoding="utf-8"))["weight_map"]
        files = {str(name): str(file) for name, file in names.items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f"{path} must be JSON with a weight_map from tensor to file ({error!r}); "
            "copy the file again"
        ) from None
    tensors: dict[str, Array] = {}
    for file in sorted(set(files.values())):
        if (folder / file).resolve().parent != folder.resolve():
            raise ValueError(f"{path} names {file!r}, which is outside of its own folder")
        if not (folder / file).is_file():
            raise FileNotFoundError(f"{path} names {file!r}, which is missing; copy it as well")
        tensors.update(_read_file(folder / file, dtype))
    missing = sorted(set(files) - set(tensors))
    if missing:
        raise ValueError(
            f"{path} lists {len(missing)} tensors that its files do not hold, first {missing[0]!r}"
        )
    return tensors


def _read_file(path: Path, dtype: str) -> Iterator[tuple[str, Array]]:
    for name, stored, shape, start in _read_header(path):
        raw = np.memmap(path, DTYPES[stored], "c", start, shape) if 0 not in shape else None
        array = np.zeros(shape, DTYPES[stored]) if raw is None else np.asarray(raw)
        yield name, _convert(array, stored, dtype)


def _read_header(path: Path) -> list[tuple[str, str, tuple[int, ...], int]]:
    """List name, dtype, shape and first byte of every tensor, after the library's own checks."""
    from safetensors import SafetensorError, safe_open

    try:
        # The library looks at lengths, offsets, overlaps and shapes.
        with safe_open(path, framework="numpy"):
            pass
    except SafetensorError as error:
        raise ValueError(
            f"{path} is no whole safetensors file ({error}); copy or download it again"
        ) from None
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        header: dict[str, Any] = json.loads(file.read(length))
    header.pop("__metadata__", None)
    unknown = sorted({entry["dtype"] for entry in header.values()} - set(DTYPES))
    if unknown:
        raise ValueError(
            f"{path} holds tensors of dtype {unknown[0]}; readable are {', '.join(DTYPES)}"
        )
    return [
        (name, entry["dtype"], tuple(entry["shape"]), 8 + length + entry["data_offsets"][0])
        for name, entry in header.items()
    ]


def _convert(array: Array, stored: str, dtype: str) -> Array:
    if stored == "BF16":
        # A bfloat16 is the upper half of a float32.
        array = (array.astype(np.uint32) << 16).view(np.float32)
    if array.dtype.kind == "f":
        array = array.astype(dtype, copy=False)
    # A header of odd length leaves its tensors between the words of the memory.
    return array if array.flags.aligned else array.copy()


def write_tensors(
    folder: str | Path,
    tensors: Mapping[str, Array],
    dtype: str | None = None,
    max_shard_size: int | None = None,
) -> None:
    """Write tensors to a folder that nobody reads yet; see folders.replacing.

    Args:
        folder: exists
        tensors: arrays by name; one array under two names is written once, under the first.
        dtype: what floating-point tensors are written as: "float16", "float32", "float64", or
            None for their own
        max_shard_size: the most bytes of a file; None puts all into one.

    Raises:
        ValueError: if the dtype is another one.
    """
    if dtype not in (None, "float16", "float32", "float64"):
        raise ValueError(f'dtype must be "float16", "float32" or "float64", got {dtype!r}')
    first_names: dict[int, str] = {}
    for name, array in tensors.items():
        first_names.setdefault(id(array), name)
    stored = {name: _stored(tensors[name], dtype) for name in sorted(first_names.values())}
    shards = _shards(stored, max_shard_size)
    if len(shards) == 1:
        _write_file(Path(folder) / SINGLE, shards[0])
        return
    files: dict[str, str] = {}
    for number, shard in enumerate(shards, start=1):
        file = f"model-{number:05d}-of-{len(shards):05d}.safetensors"
        _write_file(Path(folder) / file, shard)
        files |= dict.fromkeys(shard, file)
    total = sum(array.nbytes for array in stored.values())
    index = {"metadata": {"total_size": total}, "weight_map": files}
    (Path(folder) / INDEX).write_text(json.dumps(index, indent=2, sort_keys=True) + "\n")


def _stored(array: Array, dtype: str | None) -> Array:
    if array.dtype.kind == "f" and dtype is not None:
        array = array.astype(dtype, copy=False)
    return np.ascontiguousarray(array).reshape(array.shape)


def _shards(stored: dict[str, Array], max_shard_size: int | None) -> list[dict[str, Array]]:
    shards: list[dict[str, Array]] = [{}]
    size = 0
    for name, array in stored.items():
        if max_shard_size is not None and shards[-1] and size + array.nbytes > max_shard_size:
            shards.append({})
            size = 0
        shards[-1][name] = array
        size += array.nbytes
    return shards


def _write_file(path: Path, shard: dict[str, Array]) -> None:
    from safetensors.numpy import save_file

    save_file(shard, path, metadata={"format": "pt"})
