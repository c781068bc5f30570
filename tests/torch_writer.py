"""Files as torch.save writes them, in both of its formats, without torch."""

import io
import pickle
import struct
import zipfile
from collections import OrderedDict

import numpy as np

from minibert2bert.checkpoints.torch_files import read_torch_tensors

TYPES = {
    "f8": "Double", "f4": "Float", "f2": "Half", "i8": "Long", "i4": "Int", "i2": "Short",
    "i1": "Char", "u1": "Byte", "b1": "Bool",
}  # fmt: skip


class Name:
    """Stands for a function or class that need not exist here; a call of it is written down."""

    def __init__(self, module, name):
        self.module, self.name = module, name

    def __call__(self, *arguments):
        call = Name(self.module, self.name)
        call.function, call.arguments = self, arguments
        return call


V2 = Name("torch._utils", "_rebuild_tensor_v2")
V3 = Name("torch._utils", "_rebuild_tensor_v3")


class Storage:
    def __init__(self, numbers, kind=None, **reference):
        self.numbers, self.reference = np.asarray(numbers), reference
        self.kind = Name("torch", f"{kind or TYPES[self.numbers.dtype.str[1:]]}Storage")


class Pickler(pickle._Pickler):
    """Writes names without looking for what they name, and storages as references."""

    def __init__(self, file, protocol=2):
        super().__init__(file, protocol)
        self.storages = {}

    def reducer_override(self, thing):
        if not isinstance(thing, Name):
            return NotImplemented
        return (thing.function, thing.arguments) if hasattr(thing, "function") else thing.name

    def save_global(self, thing, name=None):
        module = thing.module if isinstance(thing, Name) else thing.__module__
        self.write(b"c" + f"{module}\n{name or thing.__name__}\n".encode())

    def persistent_id(self, thing):
        if not isinstance(thing, Storage):
            return None
        key = next((k for k, s in self.storages.items() if s is thing), str(len(self.storages)))
        self.storages[key] = thing
        parts = {"word": "storage", "kind": thing.kind, "key": key, "device": "cpu", "length": 1}
        return tuple({**parts, **thing.reference}.values())


def save_zip(path, tree, compression=zipfile.ZIP_STORED, **others):
    program = io.BytesIO()
    pickler = Pickler(program)
    pickler.dump(tree)
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("model/data.pkl", others.pop("program", program.getvalue()))
        for name, content in {"byteorder": "little", **others}.items():
            archive.writestr(f"model/{name}", content)
        for key, storage in pickler.storages.items():
            archive.writestr(f"model/data/{key}", storage.numbers.tobytes())


def save_legacy(path, tree, little_endian=True):
    with path.open("wb") as file:
        for part in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": little_endian}):
            pickle.dump(part, file, 2)
        pickler = Pickler(file)
        pickler.dump(tree)
        pickle.dump(sorted(pickler.storages), file, 2)
        for _, storage in sorted(pickler.storages.items()):
            file.write(struct.pack("<q", storage.numbers.size) + storage.numbers.tobytes())


def view(storage, size, strides, offset=0):
    return V2(storage, offset, size, strides, False, OrderedDict())


def whole(array):
    steps = np.zeros(array.shape, array.dtype).strides
    return view(Storage(array.ravel()), array.shape, tuple(s // array.itemsize for s in steps))


def some_tensors():
    weight = np.arange(6, dtype=np.float32).reshape(2, 3)
    return {"weight": whole(weight), "bias": whole(np.float32([7, 8])), "ids": whole(np.arange(3))}


SAVERS = [save_zip, save_legacy]


def message_of_reading(path):
    """What the error says, if there is one; a damaged number may go unnoticed."""
    try:
        read_torch_tensors(path.parent)
    except ValueError as error:
        return str(error)
    return path.name
