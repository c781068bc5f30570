"""Tensors in safetensors files: one file, or shards with an index."""

import json
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path, PureWindowsPath
from typing import Any

import numpy as np

from minibert2bert.arrays import Array
from minibert2bert.checkpoints.folders import recover, replacing

SINGLE = "model.safetensors"
INDEX = "model.safetensors.index.json"
DTYPES = {
    "F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2", "I64": "<i8", "I32": "<i4",
    "I16": "<i2", "I8": "i1", "U64": "<u8", "U32": "<u4", "U16": "<u2", "U8": "u1", "BOOL": "?",
}  # fmt: skip
CODES = {np.dtype(text): code for code, text in DTYPES.items() if code != "BF16"}
FLOATS = {"float16": "F16", "bfloat16": "BF16", "float32": "F32", "float64": "F64"}


def is_weights_file(name: str) -> bool:
    """Tell whether a file name is one that write_tensors writes."""
    return name == INDEX or re.fullmatch(r"model(-\d+-of-\d+)?\.safetensors", name) is not None


def read_tensors(folder: str | Path, dtype: str = "float32") -> dict[str, Array]:
    """Read all tensors of a folder.

    The files are mapped, not read: a tensor that is stored in the dtype asked for is a view of
    its file, whose pages are read when they are used, and changes stay in memory.

    Args:
        folder: holds model.safetensors, or model.safetensors.index.json and its shards
        dtype: what floating-point tensors become, "float32" or "float64"; "auto" leaves them as
            they are and widens only those of 16 bits, to float32.

    Returns:
        arrays by name; integers and truth values in the dtype of the file

    Raises:
        FileNotFoundError: if the folder or a file is missing.
        ValueError: if a file is truncated, corrupt or of an unknown dtype, or if the dtype asked
            for is another one.
    """
    check_dtype(dtype)
    recover(folder)
    path = Path(folder)
    # In this order, as transformers does: it saves one file and leaves an older index beside it.
    if (path / SINGLE).is_file():
        return _read_file(path / SINGLE, dtype)
    if (path / INDEX).is_file():
        return read_shards(path / INDEX, dtype, _read_file)
    found = sorted(p.name for p in path.iterdir()) if path.is_dir() else None
    content = "there is no such folder" if found is None else f"it holds {found or 'nothing'}"
    hint = ""
    if found and any(name.startswith("pytorch_model") for name in found):
        hint = "; save the model as safetensors first (save_pretrained of transformers does)"
    raise FileNotFoundError(f"{folder} must hold {SINGLE} or {INDEX}, but {content}{hint}")


def check_dtype(dtype: str) -> None:
    """Refuse what read_tensors cannot give.

    Raises:
        ValueError: if the dtype is none of the three.
    """
    if dtype not in ("float32", "float64", "auto"):
        raise ValueError(f'dtype must be "float32", "float64" or "auto", got {dtype!r}')


def read_shards(
    index: Path, dtype: str, read_file: Callable[[Path, str], dict[str, Array]]
) -> dict[str, Array]:
    """Read the tensors that an index lists, each from the file that the index says.

    Args:
        index: JSON with a weight_map from tensor to file
        dtype: what floating-point tensors become
        read_file: reads one of the files

    Raises:
        FileNotFoundError: if a file is missing.
        ValueError: if the index is broken, leads out of its folder, or lists too much.
    """
    try:
        names = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
        files = {str(name): str(file) for name, file in names.items()}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(
            f"{index} must be JSON with a weight_map from tensor to file ({error!r}); "
            "copy the file again"
        ) from None
    tensors: dict[str, Array] = {}
    for file in sorted(set(files.values())):
        # By name alone: the cache of the Hub holds links to files that lie elsewhere.
        if file in ("", ".", "..") or PureWindowsPath(file).name != file:
            raise ValueError(f"{index} names {file!r}, which is outside of its own folder")
        if not os.path.isfile(index.parent / file):
            raise FileNotFoundError(f"{index} names {file!r}, which is missing; copy it as well")
        read = read_file(index.parent / file, dtype)
        tensors |= {name: array for name, array in read.items() if files.get(name) == file}
    missing = sorted(set(files) - set(tensors))
    if missing:
        raise ValueError(
            f"{index} lists {len(missing)} tensors that its files do not hold, first {missing[0]!r}"
        )
    return tensors


def _read_file(path: Path, dtype: str) -> dict[str, Array]:
    header = _read_header(path)
    # One mapping for the file, not one a tensor: a process may hold only so many.
    raw = np.asarray(np.memmap(path, np.uint8, "c"))
    arrays: dict[str, Array] = {}
    for name, stored, shape, start in header:
        arrays[name] = convert(np.ndarray(shape, DTYPES[stored], raw, start), stored, dtype)
    return arrays


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


def convert(array: Array, stored: str, dtype: str) -> Array:
    """Give a floating-point array the dtype asked for, and any array its place between words.

    Args:
        array: as it lies in the file; bfloat16 as uint16
        stored: its dtype in the file, a name of DTYPES
        dtype: "float32", "float64" or "auto"
    """
    if stored == "BF16":
        # A bfloat16 is the upper half of a float32.
        array = np.left_shift(array, 16, dtype=np.uint32, out=np.empty(array.shape, np.uint32))
        array = array.view(np.float32)
    if array.dtype.kind == "f":
        kept = np.promote_types(array.dtype, np.float32)
        array = array.astype(kept if dtype == "auto" else dtype, copy=False)
    # A header of odd length leaves its tensors between the words of the memory.
    return array if array.flags.aligned else array.copy()


def write_tensors(
    folder: str | Path,
    tensors: Mapping[str, Array],
    dtype: str | None = None,
    max_shard_size: int | None = None,
) -> None:
    """Write tensors to a folder, in place of the tensors it holds; see folders.replacing.

    Args:
        folder: made if it is not there
        tensors: arrays by name; one array under two names is written once, under the first.
        dtype: what floating-point tensors are written as: "float16", "bfloat16", "float32",
            "float64", or None for their own
        max_shard_size: the most bytes of a file; None puts all into one. A tensor that is larger
            gets a file of its own.

    Raises:
        ValueError: if a file cannot hold an array of this dtype, or the dtype asked for does not
            reach to its numbers.
    """
    if dtype not in (None, *FLOATS):
        raise ValueError(f"dtype must be one of {', '.join(FLOATS)}, got {dtype!r}")
    first_names: dict[int, str] = {}
    for name, array in tensors.items():
        first_names.setdefault(id(array), name)
    sizes = {
        name: tensors[name].size * np.dtype(DTYPES[_code(name, tensors[name], dtype)]).itemsize
        for name in sorted(first_names.values())
    }
    shards = _shards(sizes, max_shard_size)
    with replacing(folder, drop=is_weights_file) as new:
        for file, names in shards.items():
            _write_file(new / file, {name: tensors[name] for name in names}, dtype)
        if len(shards) > 1:
            files = {name: file for file, names in shards.items() for name in names}
            index = {"metadata": {"total_size": sum(sizes.values())}, "weight_map": files}
            (new / INDEX).write_text(json.dumps(index, indent=2, sort_keys=True) + "\n")


def _code(name: str, array: Array, dtype: str | None) -> str:
    """Name the dtype that a tensor is written in as the file format does."""
    if dtype is not None and array.dtype.kind == "f":
        return FLOATS[dtype]
    code = CODES.get(array.dtype.newbyteorder("<"))
    if code is None or name == "__metadata__":
        raise ValueError(
            f"{name} of dtype {array.dtype} cannot be written to a safetensors file; "
            f"writable are {', '.join(map(str, CODES))}, under any name but __metadata__"
        )
    return code


def _shards(sizes: dict[str, int], max_shard_size: int | None) -> dict[str, list[str]]:
    """Distribute the names over files, in their order."""
    shards: list[list[str]] = [[]]
    filled = 0
    for name, size in sizes.items():
        if max_shard_size is not None and shards[-1] and filled + size > max_shard_size:
            shards.append([])
            filled = 0
        shards[-1].append(name)
        filled += size
    if len(shards) == 1:
        return {SINGLE: shards[0]}
    last = len(shards)
    return {f"model-{i:05d}-of-{last:05d}.safetensors": names for i, names in enumerate(shards, 1)}


def _write_file(path: Path, tensors: dict[str, Array], dtype: str | None) -> None:
    """Write eight bytes of length, a JSON header, and the tensors, the widest numbers first.

    So each tensor lies at a multiple of its width, and can be mapped. Only one is converted at
    a time.
    """
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    codes = {name: _code(name, array, dtype) for name, array in tensors.items()}
    widths = {name: np.dtype(DTYPES[code]).itemsize for name, code in codes.items()}
    order = sorted(tensors, key=widths.__getitem__, reverse=True)
    end = 0
    for name in order:
        start, end = end, end + tensors[name].size * widths[name]
        shape = list(tensors[name].shape)
        header[name] = {"dtype": codes[name], "shape": shape, "data_offsets": [start, end]}
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for name in order:
            file.write(_stored(name, tensors[name], codes[name]).data)


def _stored(name: str, array: Array, code: str) -> Array:
    """Return the tensor in the bytes of the file."""
    try:
        with np.errstate(over="raise"):
            stored = np.ascontiguousarray(array, "<f4" if code == "BF16" else DTYPES[code])
    except FloatingPointError:
        raise ValueError(
            f"{name} has numbers up to {np.abs(array).max():.3g}, too large for {code}; "
            "write a wider dtype"
        ) from None
    return _to_bfloat16(stored) if code == "BF16" else stored


def _to_bfloat16(array: Array) -> Array:
    """Keep the upper half of each float32, rounded to the nearest, and to even between two."""
    bits = array.view(np.uint32)
    halfway = 0x7FFF + (bits >> 16 & 1)
    rounded = (bits + halfway >> 16).astype("<u2")
    # Rounding up could turn a NaN into an infinity; the bit set here keeps it a quiet NaN.
    return np.where(np.isnan(array), (bits >> 16 | 0x40).astype("<u2"), rounded)
