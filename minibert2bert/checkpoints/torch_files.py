"""Tensors in files of torch.save: pytorch_model.bin, or shards with an index; no torch needed."""

import io
import math
import struct
import zipfile
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import Any

import numpy as np

from minibert2bert.arrays import Array
from minibert2bert.checkpoints import safetensors_files
from minibert2bert.checkpoints.folders import recover
from minibert2bert.checkpoints.names import summary
from minibert2bert.checkpoints.safetensors_files import (
    DTYPES,
    check_dtype,
    convert,
    read_shards,
    read_tensors,
)
from minibert2bert.checkpoints.torch_pickle import Machine, RefusedError, Tensor

SINGLE = "pytorch_model.bin"
INDEX = "pytorch_model.bin.index.json"
MAGIC = 0x1950A86A20F9469CFC6C
WRAPPERS = ("state_dict", "model_state_dict", "model")
# What a broken file makes the functions below raise, each in its own words.
DAMAGE = (
    ValueError, TypeError, LookupError, AttributeError, OverflowError, EOFError, RuntimeError,
    zipfile.BadZipFile, DeprecationWarning,
)  # fmt: skip


def read_torch_tensors(folder: str | Path, dtype: str = "float32") -> dict[str, Array]:
    """Read all tensors that torch.save wrote to a folder, and run nothing.

    The files are mapped, not read. Tensors that are the same view of the same numbers, as tied
    weights are, come back as one array under several names. Checksums are not looked at.

    Args:
        folder: holds pytorch_model.bin, or pytorch_model.bin.index.json and its shards
        dtype: what floating-point tensors become, "float32" or "float64"; "auto" leaves them as
            they are and widens only those of 16 bits, to float32.

    Returns:
        arrays by name; integers and truth values in the dtype of the file

    Raises:
        FileNotFoundError: if the folder or a file is missing.
        ValueError: if a file is truncated, corrupt, or holds anything else than tensors, or if
            the dtype asked for is another one.
    """
    check_dtype(dtype)
    recover(folder)
    path = Path(folder)
    if (path / SINGLE).is_file():
        return _read_file(path / SINGLE, dtype)
    if (path / INDEX).is_file():
        return read_shards(path / INDEX, dtype, _read_file)
    raise _missing(path, f"{SINGLE} or {INDEX}")


def read_checkpoint(folder: str | Path, dtype: str = "float32") -> dict[str, Array]:
    """Read all tensors of a folder: from safetensors files if there are any, else from torch's.

    Arguments, result and errors are those of read_tensors and read_torch_tensors.
    """
    recover(folder)
    path = Path(folder)
    safe = (safetensors_files.SINGLE, safetensors_files.INDEX)
    if any((path / name).is_file() for name in safe):
        return read_tensors(folder, dtype)
    if any((path / name).is_file() for name in (SINGLE, INDEX)):
        return read_torch_tensors(folder, dtype)
    raise _missing(path, ", ".join((*safe, SINGLE)) + f" or {INDEX}")


def _missing(folder: Path, wanted: str) -> FileNotFoundError:
    if not folder.is_dir():
        return FileNotFoundError(f"{folder} must hold {wanted}, but there is no such folder")
    found = sorted(path.name for path in folder.iterdir())
    foreign = {"tf_model.h5", "flax_model.msgpack"}.intersection(found)
    hint = f"; convert {min(foreign)} first: minibert2bert convert SRC DST" if foreign else ""
    return FileNotFoundError(f"{folder} must hold {wanted}, but it holds {summary(found)}{hint}")


def _read_file(path: Path, dtype: str) -> dict[str, Array]:
    try:
        # One mapping for the file, not one a tensor: a process may hold only so many.
        raw = np.asarray(np.memmap(path, np.uint8, "c"))
        start = raw[:7].tobytes()
        if start == b"version":
            raise EOFError("it is what Git LFS keeps in its place: git lfs pull")
        read = _read_zip if start.startswith(b"PK") else _read_legacy
        tree, storages = read(path, raw)
        return _arrays(_state_dict(tree), storages, dtype)
    except RefusedError as error:
        raise ValueError(
            f"{path} is not read: {error}; nothing of it was run. If you trust the file, load it "
            "with torch and save its state dict as safetensors"
        ) from None
    except DAMAGE as error:
        raise ValueError(
            f"{path} is no whole file of torch.save ({error!r}); copy or download it again"
        ) from None


def _read_zip(path: Path, raw: Array) -> tuple[Any, dict[str, Array]]:
    """Read the format since torch 1.6: an archive of data.pkl and a file for every storage."""
    with zipfile.ZipFile(path) as archive:
        entries = {entry.filename: entry for entry in archive.infolist()}
    (root,) = (name.removesuffix("data.pkl") for name in entries if name.endswith("/data.pkl"))
    if f"{root}constants.pkl" in entries:
        raise RefusedError("it is a TorchScript archive, a program and not only its weights")
    if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries.values()):
        raise RefusedError("it has compressed entries, which torch.save does not write")
    if sum(entry.file_size for entry in entries.values()) > raw.size:
        raise RefusedError("its entries claim more bytes than the file has")
    content = {name.removeprefix(root): _entry(raw, entry) for name, entry in entries.items()}
    if content.get("byteorder", np.zeros(0)).tobytes() not in (b"", b"little"):
        raise RefusedError("its numbers are those of a big-endian machine")
    machine = Machine()
    tree = machine.run(io.BytesIO(content["data.pkl"].tobytes()))
    return tree, {key: content[f"data/{key}"] for key in machine.storages}


def _entry(raw: Array, entry: zipfile.ZipInfo) -> Array:
    # An entry begins with a header of its own, then its name and other fields, then the data.
    header = _cut(raw, entry.header_offset, 30).tobytes()
    signature, *lengths = struct.unpack("<4s22x2H", header)
    if signature != b"PK\3\4":
        raise ValueError(f"{entry.filename} is not where the archive says")
    return _cut(raw, entry.header_offset + 30 + sum(lengths), entry.file_size)


def _read_legacy(path: Path, raw: Array) -> tuple[Any, dict[str, Array]]:
    """Read the format before torch 1.6: five pickles, then length and numbers of every storage."""
    machine = Machine()
    # Unlike a file, a mapping does not make room for more bytes than it has.
    with path.open("rb") as file, mmap(file.fileno(), 0, access=ACCESS_READ) as program:
        if Machine().run(program) != MAGIC:
            raise RefusedError("it does not begin with the number that torch.save writes")
        _, system = Machine().run(program), Machine().run(program)
        tree, keys = machine.run(program), Machine().run(program)
        position = program.tell()
    if system["little_endian"] is not True:
        raise RefusedError("its numbers are those of a big-endian machine")
    storages = {}
    for key in keys:
        if type(key) is not str:
            raise TypeError("the key of a storage must be a text")
        itemsize = np.dtype(DTYPES[machine.storages[key].dtype]).itemsize
        size = itemsize * int.from_bytes(_cut(raw, position, 8).tobytes(), "little")
        storages[key] = _cut(raw, position + 8, size)
        position += 8 + size
    return tree, storages


def _cut(raw: Array, start: int, size: int) -> Array:
    if not 0 <= start <= start + size <= raw.size:
        raise EOFError("it ends too early")
    return raw[start : start + size]


def _state_dict(tree: Any) -> dict[str, Tensor]:
    """Find the one dict of tensors: the whole, or what stands under a name that is usual for it."""
    if type(tree) is not dict:
        raise RefusedError(f"it holds a {type(tree).__name__}, not a dict of tensors")
    candidates: list[Any] = [tree, *(tree[name] for name in WRAPPERS if name in tree)]
    found: list[dict[str, Tensor]] = [c for c in candidates if _is_state_dict(c)]
    if len(found) != 1:
        names = summary([str(name) for name in tree])
        raise RefusedError(f"it must hold one dict of tensors, not {len(found)}, under {names}")
    return found[0]


def _is_state_dict(tree: Any) -> bool:
    if type(tree) is not dict or not tree:
        return False
    return all(type(name) is str and type(tensor) is Tensor for name, tensor in tree.items())


def _arrays(tensors: dict[str, Tensor], storages: dict[str, Array], dtype: str) -> dict[str, Array]:
    """Make an array of every distinct tensor: equal descriptions are one tensor with two names."""
    distinct = dict.fromkeys(tensors.values())
    total = sum(math.prod(t.size) * np.dtype(DTYPES[t.dtype]).itemsize for t in distinct)
    # Views may overlap, but a small file must not fill the memory with copies of itself.
    if total > 4 * sum(storage.size for storage in storages.values()) + 2**20:
        raise RefusedError(f"its tensors would take {total} bytes, many times what the file has")
    arrays = {tensor: _array(tensor, storages[tensor.storage.key], dtype) for tensor in distinct}
    return {name: arrays[tensor] for name, tensor in tensors.items()}


def _array(tensor: Tensor, storage: Array, dtype: str) -> Array:
    stored = np.dtype(DTYPES[tensor.dtype])
    if 0 in tensor.size:
        return convert(np.zeros(tensor.size, stored), tensor.dtype, dtype)
    steps = zip(tensor.size, tensor.strides, strict=True)
    last = tensor.offset + sum((count - 1) * stride for count, stride in steps)
    if (last + 1) * stored.itemsize > storage.size:
        raise ValueError("a tensor reaches beyond its storage")
    strides = [stride * stored.itemsize for stride in tensor.strides]
    # np.ndarray looks at the bounds once more; as_strided would not.
    view: Array = np.ndarray(tensor.size, stored, storage, tensor.offset * stored.itemsize, strides)
    return convert(view if view.flags.c_contiguous else view.copy(), tensor.dtype, dtype)
