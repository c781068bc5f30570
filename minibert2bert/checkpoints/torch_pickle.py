"""What torch.save says of its tensors, read from a pickle without running what stands in it.

A pickle is a program for a machine with a stack. One instruction pushes a number, another makes a
tuple of what lies on top, GLOBAL pushes any function of any module by its name, and REDUCE calls
it. So it describes every object there is, and so a stranger's file runs what it likes: the module
may be os. The machine below has only the instructions that dicts of tensors need, its GLOBAL
knows the few names of the tables, and a call makes nothing but the description of a tensor.

Python's own Unpickler is for trusted files, even with a find_class that refuses names: a few bytes
make its memo take gigabytes, and a deeply nested tuple as the key of a dict ends the process.
"""

import pickletools
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple, TypeAlias

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
