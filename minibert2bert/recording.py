"""Look inside a computation without changing it.

`record(name, array)` does nothing unless somebody has opened a recording around the call:

    with recording() as arrays:
        model(input_ids)
    arrays["encoder.encoder.layer.0.attention.self.probs"]
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from minibert2bert.arrays import Array

_arrays: ContextVar[dict[str, Array] | None] = ContextVar("recorded arrays", default=None)
_scopes: ContextVar[tuple[str, ...]] = ContextVar("open scopes", default=())


@contextmanager
def recording() -> Iterator[dict[str, Array]]:
    """Collect what record() is given inside the block: a dict from full dotted name to array."""
    arrays: dict[str, Array] = {}
    token = _arrays.set(arrays)
    try:
        yield arrays
    finally:
        _arrays.reset(token)


@contextmanager
def scope(name: str) -> Iterator[None]:
    """Put name in front of everything recorded inside the block."""
    token = _scopes.set((*_scopes.get(), name))
    try:
        yield
    finally:
        _scopes.reset(token)


def record(name: str, array: Array) -> None:
    """Hand array to the open recording, if there is one, under the open scopes and name."""
    arrays = _arrays.get()
    if arrays is not None:
        arrays[".".join((*_scopes.get(), name))] = array
