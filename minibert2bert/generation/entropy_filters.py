"""Filters that ask how much surprise is to be expected, which is the entropy.

p is softmax(scores), and entropies are in nats.
"""

import math

import numpy as np

from minibert2bert.arrays import Array
from minibert2bert.generation.distributions import (
    cumulative,
    entropy_terms,
    log_softmax,
    softmax,
)
from minibert2bert.generation.sampling_filters import without, worse_than_best

TOP_H_TOKENS = 100
"""top_h looks at so many tokens, the best, as the reference does."""


def top_h(ids: Array, scores: Array, share: float) -> Array:
    """Keep the most probable tokens as long as they hold no more than a share of the entropy.

    s[v] -> -inf unless v is best, or -sum p[u] log p[u] <= share * H, over u as probable as v or
    more; p is the distribution over the 100 best tokens, and H its entropy.
    (Baghaei Potraghloo et al., 2025, with the entropy added up over p itself); of equal tokens,
    those with lower ids come first.

    Args:
        ids: not needed
        scores: (rows, V)
        share: above 0, up to 1

    Returns:
        scores: (rows, V)
    """
    start = max(scores.shape[-1] - TOP_H_TOKENS, 0)
    best = np.sort(np.partition(scores, start, axis=-1)[:, start:], axis=-1)[:, ::-1]
    probs = softmax(best)
    terms = entropy_terms(probs)
    within = cumulative(terms) <= share * terms.sum(axis=-1, keepdims=True)
    kept = np.maximum((within & (probs > 0)).sum(axis=-1, keepdims=True), 1)
    last = np.take_along_axis(best, kept - 1, axis=-1)
    better, equal = scores > last, scores == last
    of_equals = kept - better.sum(axis=-1, keepdims=True)
    return without(scores, ~(better | (equal & (np.cumsum(equal, axis=-1) <= of_equals))))


def typical_p(ids: Array, scores: Array, mass: float, min_tokens_to_keep: int) -> Array:
    """Keep the tokens whose surprise is nearest to the expected one.

    s[v] -> -inf unless |-log p[v] - H| is among the smallest that have the probability `mass`
    together, with H = -sum p log p; equals of the last are kept (Meister et al., 2023)

    Args:
        ids: not needed
        scores: (rows, V)
        mass: above 0, below 1
        min_tokens_to_keep: at least 1

    Returns:
        scores: (rows, V)
    """
    probs = softmax(scores)
    expected = entropy_terms(probs).sum(axis=-1, keepdims=True)
    distances = np.abs(-log_softmax(scores) - expected)
    order = np.argsort(distances, axis=-1)
    masses = cumulative(np.take_along_axis(probs, order, axis=-1))
    last = np.minimum((masses < mass).sum(axis=-1, keepdims=True), scores.shape[-1] - 1)
    farthest = np.take_along_axis(distances, np.take_along_axis(order, last, axis=-1), axis=-1)
    removed = distances > farthest
    rows = np.arange(len(scores), like=order)
    for _ in range(min_tokens_to_keep):
        nearest = np.argmin(distances, axis=-1)
        removed[rows, nearest] = False
        distances[rows, nearest] = np.inf
    return without(scores, removed)


def eta_cutoff(ids: Array, scores: Array, epsilon: float, min_tokens_to_keep: int) -> Array:
    """Keep the tokens above a probability that is lower where the model is less sure.

    s[v] -> -inf if p[v] < eta, with eta = min(epsilon, sqrt(epsilon) * exp(-H)), H = -sum p log p
    (Hewitt, Manning and Liang, 2022, eta-sampling)

    Args:
        ids: not needed
        scores: (rows, V)
        epsilon: above 0, below 1
        min_tokens_to_keep: at least 1; of tokens that equal the last of them, all are kept.

    Returns:
        scores: (rows, V)
    """
    probs = softmax(scores)
    entropy = entropy_terms(probs).sum(axis=-1, keepdims=True)
    improbable = probs < np.minimum(epsilon, math.sqrt(epsilon) * np.exp(-entropy))
    return without(scores, improbable & worse_than_best(scores, min_tokens_to_keep))
