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

_open: ContextVar[tuple[dict[str, Array], ...]] = ContextVar("open recordings", default=())
_scopes: ContextVar[tuple[str, ...]] = ContextVar("open scopes", default=())


@contextmanager
def recording(active: bool = True) -> Iterator[dict[str, Array]]:
    """Collect what record() is given inside the block: a dict from full dotted name to array.

    Args:
        active: False leaves the dict empty, and costs nothing.
    """
    arrays: dict[str, Array] = {}
    token = _open.set((*_open.get(), arrays) if active else _open.get())
    try:
        yield arrays
    finally:
        _open.reset(token)


@contextmanager
def scope(name: str) -> Iterator[None]:
    """Put name in front of everything recorded inside the block."""
    token = _scopes.set((*_scopes.get(), name))
    try:
        yield
    finally:
        _scopes.reset(token)


def record(name: str, array: Array) -> None:
    """Hand array to the open recordings, if there are any, under the open scopes and name."""
    for arrays in _open.get():
        arrays[".".join((*_scopes.get(), name))] = array


def recorded(arrays: dict[str, Array], prefix: str, ending: str) -> tuple[Array, ...]:
    """Select the arrays whose names start and end like this, in the order of recording."""
    return tuple(
        a for name, a in arrays.items() if f".{name}".endswith(ending) and name.startswith(prefix)
    )
