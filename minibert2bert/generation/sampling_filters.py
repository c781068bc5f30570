"""What is left to draw from: a temperature, and filters that give unlikely tokens the score -inf.

A filter leaves at least `min_tokens_to_keep` tokens. p is softmax(scores).
"""

import numpy as np

from minibert2bert.arrays import Array
from minibert2bert.generation.distributions import cumulative, softmax


def temperature(ids: Array, scores: Array, divisor: float) -> Array:
    """Sharpen the distribution (divisor below 1), or flatten it (above 1).

    s -> s / T (Hinton, Vinyals and Dean, 2015, equation 1)

    Args:
        ids: not needed
        scores: (rows, V)
        divisor: T, above 0

    Returns:
        scores: (rows, V)
    """
    with np.errstate(over="ignore"):
        # What remove_invalid_values made the lowest number may become -inf again.
        return scores / divisor


def top_k(ids: Array, scores: Array, count: int, min_tokens_to_keep: int) -> Array:
    """Keep the `count` tokens with the highest scores, and those that equal the last of them.

    s[v] -> -inf if s[v] < the count-th largest score (Fan, Lewis and Dauphin, 2018, section 5.4)

    Args:
        ids: not needed
        scores: (rows, V)
        count: k, at least 1; above V, all are kept.
        min_tokens_to_keep: at least 1

    Returns:
        scores: (rows, V)
    """
    return without(scores, worse_than_best(scores, max(count, min_tokens_to_keep)))


def top_p(ids: Array, scores: Array, mass: float, min_tokens_to_keep: int) -> Array:
    """Keep the fewest tokens that have the probability `mass` together.

    s[v] -> -inf if the sum of p over v and all tokens less probable is <= 1 - mass
    (Holtzman et al., 2020, equation 2); of equal tokens, those with lower ids go first.

    Args:
        ids: not needed
        scores: (rows, V)
        mass: p, from 0 to 1
        min_tokens_to_keep: at least 1

    Returns:
        scores: (rows, V)
    """
    # Values can be sorted ten times as fast as indices.
    ascending = np.sort(scores, axis=-1)
    removed = (cumulative(softmax(ascending)) <= 1 - mass).sum(axis=-1, keepdims=True)
    removed = np.minimum(removed, max(scores.shape[-1] - min_tokens_to_keep, 0))
    lowest_kept = np.take_along_axis(ascending, removed, axis=-1)
    lower = scores < lowest_kept
    of_equals = removed - lower.sum(axis=-1, keepdims=True)
    if (of_equals > 0).any():
        equal = scores == lowest_kept
        lower |= equal & (np.cumsum(equal, axis=-1) <= of_equals)
    return without(scores, lower)


def min_p(ids: Array, scores: Array, share: float, min_tokens_to_keep: int) -> Array:
    """Keep the tokens that have at least a share of the best one's probability.

    s[v] -> -inf if p[v] < share * max p (Nguyen et al., 2025)

    Args:
        ids: not needed
        scores: (rows, V)
        share: from 0 to 1
        min_tokens_to_keep: at least 1; of tokens that equal the last of them, all are kept.

    Returns:
        scores: (rows, V)
    """
    probs = softmax(scores)
    improbable = probs < share * probs.max(axis=-1, keepdims=True)
    return without(scores, improbable & worse_than_best(scores, min_tokens_to_keep))


def epsilon_cutoff(ids: Array, scores: Array, epsilon: float, min_tokens_to_keep: int) -> Array:
    """Keep the tokens that have at least a certain probability.

    s[v] -> -inf if p[v] < epsilon (Hewitt, Manning and Liang, 2022, epsilon-sampling)

    Args:
        ids: not needed
        scores: (rows, V)
        epsilon: above 0, below 1
        min_tokens_to_keep: at least 1; of tokens that equal the last of them, all are kept.

    Returns:
        scores: (rows, V)
    """
    improbable = softmax(scores) < epsilon
    return without(scores, improbable & worse_than_best(scores, min_tokens_to_keep))


def without(scores: Array, removed: Array) -> Array:
    """Give the tokens the score -inf where `removed`, bool (rows, V), is True."""
    return np.where(removed, -np.inf, scores)


def worse_than_best(scores: Array, count: int) -> Array:
    """Mark the tokens with a lower score than the count-th: (rows, V) to bool (rows, V)."""
    place = max(scores.shape[-1] - count, 0)
    return scores < np.partition(scores, place, axis=-1)[:, place, None]
