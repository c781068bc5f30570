"""A stand-in for the arrays of a GPU: NumPy inside, and CuPy's manners outside."""

from typing import ClassVar

import numpy as np

UPLOADS = (np.asarray, np.arange)
"""With like= these make an array of the device out of numbers of the host."""


class DeviceArray(np.lib.mixins.NDArrayOperatorsMixin):
    """An array that answers NumPy's functions, and lives where NumPy cannot reach it.

    It refuses to become a NumPy array, and to meet one that has axes: in a function, as an
    operand, as an index or as a value to store. Results are those of NumPy to the last bit.

    called: the names of all functions and methods used so far
    """

    called: ClassVar[set[str]] = set()

    def __init__(self, host):
        self._host = np.asarray(host)

    def get(self):
        """Hand the numbers over to the host, which is the only way there."""
        return self._host.copy()

    def __array__(self, *_, **__):
        raise TypeError("an array of the device does not become a NumPy array; use get()")

    def __array_ufunc__(self, ufunc, method, *inputs, **kwargs):
        name = ufunc.__name__ if method == "__call__" else f"{ufunc.__name__}.{method}"
        return run(name, getattr(ufunc, method), inputs, kwargs)

    def __array_function__(self, function, types, args, kwargs):
        if function in UPLOADS and not any(isinstance(arg, DeviceArray) for arg in args):
            DeviceArray.called.add(function.__name__)
            return DeviceArray(function(*args, **kwargs).copy())
        return run(function.__name__, function, args, kwargs)

    def __getitem__(self, index):
        return wrap(self._host[unwrap(index)])

    def __setitem__(self, index, value):
        self._host[unwrap(index)] = unwrap(value)

    def __len__(self):
        return len(self._host)

    def __int__(self):
        return int(self._host)

    def __float__(self):
        return float(self._host)

    def __bool__(self):
        return bool(self._host)

    shape = property(lambda self: self._host.shape)
    dtype = property(lambda self: self._host.dtype)
    ndim = property(lambda self: self._host.ndim)
    size = property(lambda self: self._host.size)
    T = property(lambda self: DeviceArray(self._host.T))


def _method(name):
    def method(self, *args, **kwargs):
        return run(f"ndarray.{name}", getattr(self._host, name), args, kwargs)

    return method


# What the package uses of an array, and no more: another name is an AttributeError.
for _name in ("any", "astype", "copy", "max", "mean", "reshape", "sum", "swapaxes", "transpose"):
    setattr(DeviceArray, _name, _method(_name))


class DeviceGenerator:
    """A random generator of the device; its numbers are those of NumPy's with the same seed."""

    def __init__(self, seed):
        self._rng = np.random.default_rng(seed)

    def integers(self, low, high, size, dtype):
        return DeviceArray(self._rng.integers(low, high, size, dtype))

    def random(self, size, dtype):
        return DeviceArray(self._rng.random(size, dtype))


def run(name, function, args, kwargs):
    """Call a function of NumPy on what the arrays have inside."""
    DeviceArray.called.add(name)
    out = kwargs.get("out")
    result = function(*unwrap(args), **unwrap(kwargs))
    if out is not None:
        return out[0] if isinstance(out, tuple) else out
    return wrap(result)


def wrap(result):
    return DeviceArray(result) if isinstance(result, (np.ndarray, np.generic)) else result


def unwrap(value):
    """Take the NumPy arrays out of the device's, also inside tuples, lists and dicts."""
    if isinstance(value, DeviceArray):
        return value._host
    if isinstance(value, np.ndarray) and value.ndim > 0:
        raise TypeError(f"a NumPy array of shape {value.shape} meets an array of the device")
    if isinstance(value, (tuple, list)):
        return type(value)(unwrap(item) for item in value)
    if isinstance(value, dict):
        return {name: unwrap(item) for name, item in value.items()}
    return value


def to_stand_in(tree):
    """Move every array of nested dicts to the stand-in's device."""
    if isinstance(tree, dict):
        return {name: to_stand_in(branch) for name, branch in tree.items()}
    return DeviceArray(tree.copy())
