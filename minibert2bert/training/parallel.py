"""Several processes that train one model together, each on its share of every batch.

Each holds a model of its own; gradients are summed, so all take the same step. The loop is written
against Processes; SingleProcess is the usual case, in which there is nothing to exchange.
"""

import sys
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from minibert2bert.arrays import Array


class Processes(Protocol):
    """What the loop asks of the processes. All of them make the same calls in the same order.

    Sums must be the same to the last bit on every process, or the models drift apart.

    Attributes:
        rank: the number of this process, from 0 on; 0 writes files and calls the callbacks.
        size: how many there are
    """

    rank: int
    size: int

    def sum_arrays(self, arrays: Mapping[str, Array]) -> dict[str, Array]:
        """Add the arrays of equal names over all processes.

        Args:
            arrays: the same names, shapes and dtypes on every process

        Returns:
            the sums, where the arrays were
        """
        ...

    def sum_numbers(self, numbers: Sequence[float]) -> list[float]:
        """Add numbers, place by place, over all processes."""
        ...

    def broadcast(self, value: Any) -> Any:
        """Return what process 0 passes; what the others pass does not matter.

        Args:
            value: an array, or anything that can be pickled
        """
        ...

    def abort(self, error: BaseException) -> None:
        """Have the other processes end, too, for this one does because of error."""
        ...


class SingleProcess:
    """One process alone, which exchanges nothing."""

    rank = 0
    size = 1

    def sum_arrays(self, arrays: Mapping[str, Array]) -> dict[str, Array]:
        """Return the arrays."""
        return dict(arrays)

    def sum_numbers(self, numbers: Sequence[float]) -> list[float]:
        """Return the numbers."""
        return list(numbers)

    def broadcast(self, value: Any) -> Any:
        """Return the value."""
        return value

    def abort(self, error: BaseException) -> None:
        """Do nothing; there is nobody else."""


ALONE = SingleProcess()


def processes_of_this_run() -> Processes:
    """Find out whether this process was started as one of several: python -m mpi4py -m ...."""
    if "mpi4py" not in sys.modules:
        return ALONE
    from minibert2bert.training.mpi import MPIProcesses

    return MPIProcesses()
