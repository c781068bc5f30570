# An exercise of tutorials/05_attention.py.
# Write what raises NotImplementedError, then run: pytest --mine softmax
# Checksum of the untouched file: 8db02a3e

"""The softmax over the keys that a mask leaves."""

import numpy as np

from minibert2bert.arrays import Array, Backward
from minibert2bert.components.blocks import row_sums


def masked_softmax(
    scores: Array, mask: Array | None, zero_fully_masked: bool = False
) -> tuple[Array, Backward]:
    """Turn each row of scores into probabilities over the keys that may be seen.

    p_j = exp(s_j + m_j) / sum_k exp(s_k + m_k), with m_j = 0 where the mask is True
    and the lowest number of the dtype where it is False
    (Bridle, 1990; adding the lowest number is what the reference does.)

    A row without any visible key has equal sums everywhere: its probabilities are 1 / S,
    and its gradient is that of an unmasked row, as in the reference. With
    zero_fully_masked they are 0 instead, as in the reference's fused attention.

    Args:
        scores: (B, N, T, S)
        mask: bool, broadcasts to (B, N, T, S), True where a query may look; None hides nothing.
        zero_fully_masked: what to do with rows that see nothing.

    Returns:
        probs: (B, N, T, S); each row sums to 1
        backward: dprobs -> dscores

    Raises:
        ValueError: if the mask has not four axes: it would broadcast in silence.
    """
    raise NotImplementedError("masked_softmax is not written yet")

    def backward(dprobs: Array) -> Array:
        raise NotImplementedError("the backward of masked_softmax is not written yet")

    return ..., backward


def hide(scores: Array, mask: Array) -> Array:
    """Add the lowest number to the scores where the mask is False, and shift each row's top to 0.

    Args:
        scores: (B, N, T, S)
        mask: bool, broadcasts to (B, N, T, S)

    Returns:
        shifted: (B, N, T, S), at most 0

    Raises:
        ValueError: if the mask has not four axes.
    """
    raise NotImplementedError("hide is not written yet")
