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
    probs = scores - scores.max(axis=-1, keepdims=True) if mask is None else hide(scores, mask)
    np.exp(probs, out=probs)
    probs /= row_sums(probs)
    if zero_fully_masked and mask is not None:
        probs *= mask.any(axis=-1, keepdims=True)

    def backward(dprobs: Array) -> Array:
        products = dprobs * probs
        # The probabilities of a row sum to 1: what one gains, the others lose.
        dscores = np.subtract(dprobs, row_sums(products), out=products)
        dscores *= probs
        return dscores

    return probs, backward


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
    if mask.ndim != 4:
        raise ValueError(
            f"mask must have axes (batch, head, query, key), got shape {mask.shape}; "
            "make one with components.masks"
        )
    lowest = np.finfo(scores.dtype).min
    shifted = scores + ~mask * lowest
    shifted -= shifted.max(axis=-1, keepdims=True)
    return shifted
