"""Processes that exchange by MPI: mpiexec -n 4 python -m mpi4py -m minibert2bert finetune ...

`python -m mpi4py` makes an error in one process end all of them.
"""

import sys
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from minibert2bert.arrays import Array
from minibert2bert.device import to_numpy

BUCKET = 4_000_000
"""Numbers in a message. Few large messages are faster than one for each array, and a bucket is all
the memory that they need besides."""


class MPIProcesses:
    """The processes of an MPI communicator; see parallel.Processes.

    Attributes:
        rank: the number of this process
        size: how many there are
    """

    def __init__(self, communicator: Any = None) -> None:
        """Join the processes.

        Args:
            communicator: of mpi4py; that of all processes by default

        Raises:
            ModuleNotFoundError: if mpi4py is not installed.
        """
        try:
            from mpi4py import MPI
        except ModuleNotFoundError as error:
            raise ModuleNotFoundError(
                "training in several processes needs mpi4py: pip install minibert2bert[mpi]"
            ) from error
        self._sum = MPI.SUM
        self._communicator = MPI.COMM_WORLD if communicator is None else communicator
        self.rank: int = self._communicator.Get_rank()
        self.size: int = self._communicator.Get_size()

    def sum_arrays(self, arrays: Mapping[str, Array]) -> dict[str, Array]:
        """Add the arrays of equal names over all processes, bucket by bucket.

        Args:
            arrays: the same names, shapes and dtypes on every process

        Returns:
            the sums, where the arrays were; the same to the last bit on every process
        """
        names = sorted(arrays)
        if not names:
            return {}
        flat = np.concatenate([to_numpy(arrays[name]).reshape(-1) for name in names])
        for start in range(0, flat.size, BUCKET):
            bucket = flat[start : start + BUCKET]
            # One process adds and tells the others: an all-reduce may round differently on each.
            total = np.empty_like(bucket) if self.rank == 0 else None
            self._communicator.Reduce(bucket, total, op=self._sum, root=0)
            if total is not None:
                bucket[:] = total
            self._communicator.Bcast(bucket, root=0)
        ends = np.cumsum([arrays[name].size for name in names])[:-1]
        return {
            name: np.asarray(part.reshape(arrays[name].shape), like=arrays[name])
            for name, part in zip(names, np.split(flat, ends), strict=True)
        }

    def sum_numbers(self, numbers: Sequence[float]) -> list[float]:
        """Add numbers, place by place, over all processes."""
        return [sum(places) for places in zip(*self._communicator.allgather(numbers), strict=True)]

    def broadcast(self, value: Any) -> Any:
        """Return what process 0 passes.

        Args:
            value: an array, or anything that can be pickled
        """
        return self._communicator.bcast(value if self.rank == 0 else None, root=0)

    def abort(self, error: BaseException) -> None:
        """End all processes, for this one ends because of error."""
        if self.size > 1:
            print(f"process {self.rank}: {error}", file=sys.stderr, flush=True)
            self._communicator.Abort(1)
