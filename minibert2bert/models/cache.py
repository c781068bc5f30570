"""Keys and values kept while decoding, so that each token is projected once."""

import numpy as np

from minibert2bert.arrays import Array


class LayerCache:
    """The keys and values of one layer.

    Attributes:
        cross: keys and values (B, N, S, D) of the encoder's states; None before the first call
    """

    def __init__(self) -> None:
        self.cross: tuple[Array, Array] | None = None
        self._length = 0
        self._kept: tuple[Array, Array] | None = None

    @property
    def length(self) -> int:
        """The number of positions kept."""
        return self._length

    def append(self, key: Array, value: Array) -> tuple[Array, Array]:
        """Keep the newest positions, and return all.

        Args:
            key: (R, N, T, D)
            value: (R, N, T, D)

        Returns:
            key: (R, N, length, D), a view of what is kept
            value: (R, N, length, D)
        """
        start, end = self._length, self._length + key.shape[2]
        if self._kept is None:
            self._kept = _room(key, end), _room(value, end)
        elif end > self._kept[0].shape[2]:
            # Doubling the room makes the copies cost less than two writes a position.
            longer = _room(key, 2 * end), _room(value, 2 * end)
            for new, old in zip(longer, self._kept, strict=True):
                new[:, :, :start] = old[:, :, :start]
            self._kept = longer
        for kept, newest in zip(self._kept, (key, value), strict=True):
            kept[:, :, start:end] = newest
        self._length = end
        return self._kept[0][:, :, :end], self._kept[1][:, :, :end]

    def reorder(self, parents: Array) -> None:
        """Let row r continue what row parents[r] has seen; the encoder's part does not move."""
        if self._kept is None:
            return
        rows = np.asarray(parents, like=self._kept[0])
        if len(rows) != len(self._kept[0]):
            self._kept = self._kept[0][rows], self._kept[1][rows]
            return
        for kept in self._kept:
            kept[:, :, : self._length] = kept[rows, :, : self._length]

    def keep_inputs(self, inputs: Array) -> None:
        """Keep the encoder's keys and values of some inputs only.

        Args:
            inputs: int (B',), on the host
        """
        if self.cross is not None:
            rows = np.asarray(inputs, like=self.cross[0])
            self.cross = self.cross[0][rows], self.cross[1][rows]


class KeyValueCache:
    """The keys and values of all layers of a decoder.

    Attributes:
        layers: a LayerCache each
        tokens: int (R,), how many of the positions kept are not padding, on the host; counted
            by families whose positions depend on it, None in the others
    """

    def __init__(self, layers: int) -> None:
        self.layers = [LayerCache() for _ in range(layers)]
        self.tokens: Array | None = None

    def get_seq_length(self) -> int:
        """Return the number of positions kept."""
        return self.layers[0].length

    def reorder(self, parents: Array) -> None:
        """Let row r continue what row parents[r] has seen, in every layer.

        Args:
            parents: int (R,), on the host
        """
        if self.tokens is not None:
            self.tokens = self.tokens[parents]
        for layer in self.layers:
            layer.reorder(parents)


def _room(like: Array, length: int) -> Array:
    return np.zeros_like(like, shape=(*like.shape[:2], max(length, 16), like.shape[3]))
