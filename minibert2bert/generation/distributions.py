"""Scores as a distribution over the vocabulary.

A row in which every token is forbidden, all of it -inf, has none: it stays as it is, and all of its
probabilities are 0.
"""

import numpy as np

from minibert2bert.arrays import Array


def softmax(scores: Array) -> Array:
    """Make probabilities, p_v = exp(s_v) / sum_u exp(s_u): (..., V) to (..., V)."""
    exponentials = np.exp(_shifted(scores))
    total = exponentials.sum(axis=-1, keepdims=True)
    return exponentials / np.where(total == 0, 1, total)


def log_softmax(scores: Array) -> Array:
    """Make log-probabilities, log p_v = s_v - log(sum_u exp(s_u)): (..., V) to (..., V)."""
    shifted = _shifted(scores)
    total = np.exp(shifted).sum(axis=-1, keepdims=True)
    return shifted - np.log(np.where(total == 0, 1, total))


def entropy_terms(probs: Array) -> Array:
    """Give each token its part of the entropy, -p_v log p_v in nats; 0 where p_v is 0."""
    return -probs * np.log(np.where(probs > 0, probs, 1))


def cumulative(probs: Array) -> Array:
    """Sum up along the last axis, in float64, because 30,000 roundings add up, too."""
    return np.cumsum(probs, axis=-1, dtype=np.float64).astype(probs.dtype)


def renormalize(ids: Array, scores: Array) -> Array:
    """Make log-probabilities of what the processors have left: log_softmax(scores).

    Args:
        ids: not needed
        scores: (rows, V)

    Returns:
        scores: (rows, V)
    """
    return log_softmax(scores)


def remove_invalid_values(ids: Array, scores: Array) -> Array:
    """Make numbers of what is none, so that a model that overflows can go on.

    nan -> 0, inf -> the largest number of the dtype, -inf -> the smallest

    Args:
        ids: not needed
        scores: (rows, V)

    Returns:
        scores: (rows, V)
    """
    return np.nan_to_num(scores)


def _shifted(scores: Array) -> Array:
    """Make the highest score of a row 0, so that no exponential overflows."""
    highest = scores.max(axis=-1, keepdims=True)
    with np.errstate(over="ignore"):
        # From the lowest to the highest number, as remove_invalid_values makes them, is infinite.
        return scores - np.where(highest == -np.inf, 0, highest)
