"""Work that is shaped for the processor: blocks that fit its cache, and sums by products."""

from collections.abc import Iterator

import numpy as np

from minibert2bert.arrays import Array

BLOCK = 65_536
"""Numbers in a block: 256 KiB of float32, so that a few of them fit the cache of one core."""


def blocks(rows: Array) -> Iterator[slice]:
    """Cut the first axis into slices of about BLOCK numbers.

    A chain of element-wise steps over one slice after the other finds its numbers in the cache,
    where step after step over the whole array would fetch them from memory each time. A GPU gets
    everything at once.

    Args:
        rows: (R, ...)

    Returns:
        slices of 0 to R, in order
    """
    width = max(1, rows.size // max(1, len(rows)))
    step = max(1, BLOCK // width if isinstance(rows, np.ndarray) else len(rows))
    for start in range(0, len(rows), step):
        yield slice(start, start + step)


def keep_freed_memory() -> None:
    """Let the C library keep what one step frees for the next one (glibc; elsewhere no effect).

    It raises its limits to the size of the largest array freed so far, up to 32 MiB. Without this,
    a small model gets all memory anew from the system in every step, page by page. The array is
    not written to, so it costs nothing.
    """
    np.empty(2**25 - 2**16, dtype=np.uint8)


keep_freed_memory()


def row_sums(x: Array) -> Array:
    """Sum over the last axis, as a product with a vector of ones, which takes a third of the time.

    Args:
        x: (..., W)

    Returns:
        sums: (..., 1)
    """
    return x @ np.ones_like(x, shape=(x.shape[-1], 1))


def column_sums(rows: Array) -> Array:
    """Sum over the rows, likewise.

    Args:
        rows: (R, W)

    Returns:
        sums: (W,)
    """
    return np.ones_like(rows, shape=len(rows)) @ rows
