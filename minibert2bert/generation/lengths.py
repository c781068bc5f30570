"""When an answer may end, and when it should."""

import math
from collections.abc import Sequence

import numpy as np

from minibert2bert.arrays import Array
from minibert2bert.generation.allowed_tokens import forbid

LARGEST_GROWTH = 60.0
"""A logarithm: with a score e^60 times its size, the end is certain, and float32 still holds it."""


def min_length(ids: Array, scores: Array, length: int, eos_token_id: Sequence[int]) -> Array:
    """Forbid the end until a row has `length` tokens.

    s[eos] -> -inf while T < length

    Args:
        ids: (rows, T), prompt included
        scores: (rows, V)
        length: fewest tokens before the eos, prompt included
        eos_token_id: the ids that end a sequence

    Returns:
        scores: (rows, V)
    """
    return forbid(scores, eos_token_id) if ids.shape[1] < length else scores


def min_new_tokens(
    ids: Array, scores: Array, count: int, prompt_length: int, eos_token_id: Sequence[int]
) -> Array:
    """Forbid the end until `count` tokens follow the prompt.

    s[eos] -> -inf while T - prompt_length < count
    """
    return min_length(ids, scores, prompt_length + count, eos_token_id)


def exponential_decay(
    ids: Array,
    scores: Array,
    decay: tuple[int, float],
    prompt_length: int,
    eos_token_id: Sequence[int],
) -> Array:
    """Make the end likelier with every token beyond a number of new ones.

    s[eos] -> s[eos] + |s[eos]| * (factor ** n - 1), with n = T - prompt_length - start, if n > 0;
    an end that was forbidden stays so.

    Args:
        ids: (rows, T), prompt included
        scores: (rows, V)
        decay: start, at least 0, and factor, above 0; below 1 the end becomes less likely.
        prompt_length: tokens of the prompt
        eos_token_id: the ids that end a sequence

    Returns:
        scores: (rows, V)
    """
    start, factor = decay
    beyond = ids.shape[1] - prompt_length - start
    ends = [index for index in eos_token_id if 0 <= index < scores.shape[-1]]
    if beyond <= 0 or not ends:
        return scores
    growth = math.exp(min(beyond * math.log(factor), LARGEST_GROWTH))
    scores = scores.copy()
    of_ends = scores[:, ends]
    # What remove_invalid_values made the lowest number was forbidden, too.
    allowed = np.isfinite(of_ends) & (of_ends > np.finfo(scores.dtype).min)
    scores[:, ends] += np.abs(np.where(allowed, of_ends, 0)) * (growth - 1)
    return scores
