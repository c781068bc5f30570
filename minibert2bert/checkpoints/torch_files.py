"""Tensors in files of torch.save, read without torch and without running what stands in them.

A pickle is a program for a machine with a stack. One instruction pushes a number, another makes a
tuple of what lies on top, GLOBAL pushes any function of any module by its name, and REDUCE calls
it. So it describes every object there is, and so a stranger's file runs what it likes: the module
may be os. The machine below has only the instructions that dicts of tensors need, its GLOBAL
knows the few names of the tables, and a call makes nothing but the description of a tensor.

Python's own Unpickler is for trusted files, even with a find_class that refuses names: a few bytes
make its memo take gigabytes, and a deeply nested tuple as the key of a dict ends the process.
"""

import io
import json
import math
import pickletools
import struct
import zipfile
from collections.abc import Callable
from functools import partial
from mmap import ACCESS_READ, mmap
from pathlib import Path, PureWindowsPath
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from minibert2bert.arrays import Array
from minibert2bert.checkpoints import safetensors_files
from minibert2bert.checkpoints.folders import recover
from minibert2bert.checkpoints.names import summary
from minibert2bert.checkpoints.safetensors_files import DTYPES, _convert, read_tensors

SINGLE = "pytorch_model.bin"
INDEX = "pytorch_model.bin.index.json"
MAGIC = 0x1950A86A20F9469CFC6C
WRAPPERS = ("state_dict", "model_state_dict", "model")
# What a broken file makes the functions below raise, each in its own words.
DAMAGE = (
    ValueError, TypeError, LookupError, AttributeError, OverflowError, EOFError, RuntimeError,
    zipfile.BadZipFile, DeprecationWarning,
)  # fmt: skip
STORAGES = {
    "torch.DoubleStorage": "F64", "torch.FloatStorage": "F32", "torch.HalfStorage": "F16",
    "torch.BFloat16Storage": "BF16", "torch.LongStorage": "I64", "torch.IntStorage": "I32",
    "torch.ShortStorage": "I16", "torch.CharStorage": "I8", "torch.ByteStorage": "U8",
    "torch.BoolStorage": "BOOL", "torch.storage.UntypedStorage": "U8",
}  # fmt: skip
UNSIGNED = {"torch.uint16": "U16", "torch.uint32": "U32", "torch.uint64": "U64"}


Axes: TypeAlias = tuple[int, ...]


class RefusedError(ValueError):
    """The file holds something that is not read here."""


class Global(NamedTuple):
    """The name of a function, class or dtype; it stands for an entry of a table and no more."""

    name: str


class Storage(NamedTuple):
    """A row of numbers: its key in the file, and its dtype as safetensors calls it."""

    key: str
    dtype: str


class Tensor(NamedTuple):
    """A view of a storage; offset and strides count numbers, not bytes."""

    storage: Storage
    dtype: str
    offset: int
    size: Axes
    strides: Axes


class Machine:
    """Runs the program of a pickle.

    Attributes:
        stack: values that wait to become part of others
        marks: heights of the stack, each where a tuple, list or dict of any length begins
        memo: values that the program uses again, by number
        storages: what the program said of the file's storages, by key
    """

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[Any, Any] = {}
        self.storages: dict[str, Storage] = {}

    def run(self, program: Any) -> Any:
        """Follow a program to its end, and return the one value that is left.

        Args:
            program: a binary file, or anything else that has read, readline and tell

        Raises:
            RefusedError: at an instruction or a name that no dict of tensors needs.
            ValueError, TypeError, LookupError, AttributeError: if it makes no sense.
        """
        for opcode, argument, _ in pickletools.genops(program):
            name = opcode.name
            if name == "MARK":
                self.marks.append(len(self.stack))
            elif name in ("BINPUT", "LONG_BINPUT", "MEMOIZE"):
                self.memo[len(self.memo) if argument is None else argument] = self.stack[-1]
            elif name in ("BINGET", "LONG_BINGET"):
                self.stack.append(self.memo[argument])
            elif name in PUSHED:
                self.stack.append(PUSHED[name](argument))
            elif name in MADE:
                self._make(*MADE[name], from_mark=name in ("TUPLE", "APPENDS", "SETITEMS"))
            elif name not in ("PROTO", "FRAME", "STOP"):
                raise RefusedError(f"its pickle has an instruction {name}")
        (value,) = self.stack
        return value

    def _make(self, takes: int, make: Callable[..., Any], from_mark: bool) -> None:
        """Put what make returns in the place of the values that it takes from the stack."""
        start = (self.marks.pop() if from_mark else len(self.stack)) - takes
        if start < 0:
            raise IndexError("its pickle takes more from the stack than there is")
        made = make(*self.stack[start:])
        self.stack[start:] = [made]
        if type(made) is Storage:
            self.storages[made.key] = made


def _name(*parts: str) -> Global:
    name = ".".join(parts).replace(" ", ".")
    if name not in FUNCTIONS and name not in STORAGES and name not in UNSIGNED:
        raise RefusedError(f"its pickle names {name[:80]!r}, which no dict of tensors needs")
    return Global(name)


def _call(function: Global, arguments: tuple[Any, ...]) -> Any:
    return FUNCTIONS[function.name](*arguments)


def _storage(reference: tuple[Any, ...]) -> Storage:
    """Read what stands in the pickle for a storage, whose numbers are elsewhere in the file."""
    kind, storage_type, key, _, _, *old_view = reference
    if kind != "storage" or any(old_view):
        raise RefusedError("its pickle refers to something that is no whole storage")
    if type(key) is not str:
        raise TypeError("the key of a storage must be a text")
    return Storage(key, STORAGES[storage_type.name])


def _tensor(storage: Storage, offset: int, size: Axes, strides: Axes, *others: Any) -> Tensor:
    """Describe a tensor; others are requires_grad, hooks, and what newer versions add."""
    if type(storage) is not Storage:
        raise TypeError("a tensor is a view of a storage and of nothing else")
    if any(count < 0 for count in (offset, *size, *strides)):
        raise ValueError("offset, size and strides of a tensor must not be negative")
    dtype = storage.dtype
    for other in others[2:]:
        if type(other) is not Global:
            raise RefusedError("a tensor is stored as the negative or the conjugate of itself")
        dtype = UNSIGNED[other.name]
    return Tensor(storage, dtype, offset, size, strides)


def _ordered_dict(*pairs: Any) -> dict[Any, Any]:
    if pairs:
        raise RefusedError("it has a dict as Python 2 wrote it")
    return {}


def _set_items(target: dict[Any, Any], *items: Any) -> dict[Any, Any]:
    for key, value in zip(items[::2], items[1::2], strict=True):
        # The hash of a nested tuple would take as many calls as it has levels.
        if type(key) not in (str, int):
            raise RefusedError(f"its pickle has a dict with a key of type {type(key).__name__}")
        target[key] = value
    return target


def _append(target: list[Any], *items: Any) -> list[Any]:
    target += items
    return target


def _tuple(*items: Any) -> tuple[Any, ...]:
    return items


def _first(value: Any, *_: Any) -> Any:
    return value


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "collections.OrderedDict": _ordered_dict,
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_tensor_v3": _tensor,
    "torch._utils._rebuild_parameter": _first,
    "torch._utils._rebuild_parameter_with_state": _first,
}
# What an instruction pushes, made from the argument that stands beside it in the program.
PUSHED: dict[str, Callable[..., Any]] = {"GLOBAL": _name} | dict.fromkeys(
    ("NONE", "BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT", "BINUNICODE",
     "SHORT_BINUNICODE"), _first,
)  # fmt: skip
# How many values an instruction takes from the stack, and what it makes of them. The last three
# also take all above the mark.
MADE: dict[str, tuple[int, Callable[..., Any]]] = {
    "NEWFALSE": (0, bool), "NEWTRUE": (0, partial(bool, True)),
    "EMPTY_TUPLE": (0, _tuple), "EMPTY_LIST": (0, list), "EMPTY_DICT": (0, dict),
    "TUPLE1": (1, _tuple), "TUPLE2": (2, _tuple), "TUPLE3": (3, _tuple),
    "APPEND": (2, _append), "SETITEM": (3, _set_items),
    "STACK_GLOBAL": (2, _name), "REDUCE": (2, _call), "BINPERSID": (1, _storage),
    # BUILD gives an object attributes, such as the _metadata of a state dict: not needed here.
    "BUILD": (2, _first),
    "TUPLE": (0, _tuple), "APPENDS": (1, _append), "SETITEMS": (1, _set_items),
}  # fmt: skip


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
    if dtype not in ("float32", "float64", "auto"):
        raise ValueError(f'dtype must be "float32", "float64" or "auto", got {dtype!r}')
    recover(folder)
    path = Path(folder)
    if (path / SINGLE).is_file():
        return _read_file(path / SINGLE, dtype)
    if (path / INDEX).is_file():
        return _read_shards(path / INDEX, dtype)
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


def _read_shards(index: Path, dtype: str) -> dict[str, Array]:
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
        # By name alone: the cache of the hub holds links to files that lie elsewhere.
        if file in ("", ".", "..") or PureWindowsPath(file).name != file:
            raise ValueError(f"{index} names {file!r}, which is outside of its own folder")
        if not (index.parent / file).is_file():
            raise FileNotFoundError(f"{index} names {file!r}, which is missing; copy it as well")
        read = _read_file(index.parent / file, dtype)
        tensors |= {name: array for name, array in read.items() if files.get(name) == file}
    missing = sorted(set(files) - set(tensors))
    if missing:
        raise ValueError(
            f"{index} lists {len(missing)} tensors that its files do not hold, first {missing[0]!r}"
        )
    return tensors


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
        return _convert(np.zeros(tensor.size, stored), tensor.dtype, dtype)
    steps = zip(tensor.size, tensor.strides, strict=True)
    last = tensor.offset + sum((count - 1) * stride for count, stride in steps)
    if (last + 1) * stored.itemsize > storage.size:
        raise ValueError("a tensor reaches beyond its storage")
    strides = [stride * stored.itemsize for stride in tensor.strides]
    # np.ndarray looks at the bounds once more; as_strided would not.
    view: Array = np.ndarray(tensor.size, stored, storage, tensor.offset * stored.itemsize, strides)
    return _convert(view if view.flags.c_contiguous else view.copy(), tensor.dtype, dtype)
