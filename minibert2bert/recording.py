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

_open: ContextVar[tuple[tuple[str, dict[str, Array]], ...]] = ContextVar(
    "open recordings", default=()
)
_scopes: ContextVar[tuple[str, ...]] = ContextVar("open scopes", default=())


@contextmanager
def recording(active: bool = True, prefix: str = "") -> Iterator[dict[str, Array]]:
    """Collect what record() is given inside the block: a dict from full dotted name to array.

    Args:
        active: False leaves the dict empty, and costs nothing.
        prefix: how the names begin that are collected
    """
    arrays: dict[str, Array] = {}
    token = _open.set((*_open.get(), (prefix, arrays)) if active else _open.get())
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


def is_recording() -> bool:
    """Whether anybody listens to what record() is given."""
    return bool(_open.get())


def record(name: str, array: Array) -> None:
    """Hand array to the open recordings, if there are any, under the open scopes and name."""
    for prefix, arrays in _open.get():
        full_name = ".".join((*_scopes.get(), name))
        if full_name.startswith(prefix):
            arrays[full_name] = array


def recorded(arrays: dict[str, Array], prefix: str, ending: str) -> tuple[Array, ...]:
    """Select the arrays whose names start and end like this, in the order of recording."""
    return tuple(
        a for name, a in arrays.items() if f".{name}".endswith(ending) and name.startswith(prefix)
    )
