"""Change the scores of the next token before one is chosen.

Greedy search hands the logits to the processors, beam search the log-probabilities. ids are on
the host, scores stay where the model made them. Each processor returns a new array.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeAlias

import numpy as np

from minibert2bert.arrays import Array
from minibert2bert.generation.settings import GenerationSettings

Processor: TypeAlias = Callable[[Array, Array], Array]
"""From ids (rows, T) and scores (rows, V) to new scores (rows, V)."""


def forbid(scores: Array, token_ids: Sequence[int]) -> Array:
    """Give the tokens the score -inf in every row.

    Ids outside the vocabulary cannot be generated anyway, and are passed over.
    """
    forbidden = [index for index in token_ids if 0 <= index < scores.shape[-1]]
    scores = scores.copy()
    scores[:, forbidden] = -np.inf
    return scores


def repetition_penalty(
    ids: Array, scores: Array, penalty: float, prompt_mask: Array | None = None
) -> Array:
    """Make the tokens that a row has used less likely.

    s -> s * penalty if s < 0, else s / penalty; once, however often a token occurs
    (Keskar et al., 2019, section 4.1, with the product for negative scores)

    Args:
        ids: (rows, T); the prompt counts as used.
        scores: (rows, V)
        penalty: above 0; above 1 discourages, below 1 encourages.
        prompt_mask: (rows, prompt); the leading positions where it is 0 do not count.

    Returns:
        scores: (rows, V)
    """
    rows = np.arange(len(ids))[:, None]
    if prompt_mask is not None:
        # A masked position counts as one more occurrence of the row's first real token.
        first = (prompt_mask != 0).argmax(axis=1)[:, None]
        ids = np.where(np.arange(ids.shape[1]) < first, ids[rows, first], ids)
    used = scores[rows, ids]
    scores = scores.copy()
    scores[rows, ids] = np.where(used < 0, used * penalty, used / penalty)
    return scores


def no_repeat_ngram(ids: Array, scores: Array, size: int) -> Array:
    """Forbid every token that would complete an n-gram the row already has.

    s[v] -> -inf if (last size - 1 tokens, v) occurs in the row (Paulus et al., 2017, section 2.5)

    Args:
        ids: (rows, T), prompt included
        scores: (rows, V)
        size: n, at least 1; 1 forbids every used token.

    Returns:
        scores: (rows, V)
    """
    length = ids.shape[1]
    if length < size:
        return scores
    ngrams = np.lib.stride_tricks.sliding_window_view(ids, size, axis=1)
    last_tokens = ids[:, None, length - size + 1 :]
    rows, starts = np.nonzero((ngrams[..., :-1] == last_tokens).all(axis=-1))
    scores = scores.copy()
    scores[rows, ngrams[rows, starts, -1]] = -np.inf
    return scores


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


def forced_tokens(ids: Array, scores: Array, length: int, token_ids: Sequence[int]) -> Array:
    """Leave nothing but the tokens to choose from, when a sequence has a certain length.

    s[v] -> 0 if v is among them, else -inf; while T = length

    Args:
        ids: int (rows, T)
        scores: (rows, V)
        length: when
        token_ids: the tokens that stay
    """
    if ids.shape[1] != length:
        return scores
    forced = np.full_like(scores, -np.inf)
    forced[:, list(token_ids)] = 0
    return forced


def logits_processors(
    settings: GenerationSettings, prompt_mask: Array | None = None
) -> list[Processor]:
    """List the processors that the settings ask for, in the reference's order.

    Args:
        settings: the options of the search
        prompt_mask: (rows, prompt), the mask of the prompts, if they are padded on the left
    """
    eos = settings.eos_token_id
    in_order: list[tuple[bool, Processor]] = [
        (
            settings.repetition_penalty != 1,
            partial(
                repetition_penalty, penalty=settings.repetition_penalty, prompt_mask=prompt_mask
            ),
        ),
        (
            settings.no_repeat_ngram_size > 0,
            partial(no_repeat_ngram, size=settings.no_repeat_ngram_size),
        ),
        (
            settings.min_length > 0 and len(eos) > 0,
            partial(min_length, length=settings.min_length, eos_token_id=eos),
        ),
        (
            settings.min_new_tokens > 0 and len(eos) > 0,
            partial(
                min_new_tokens,
                count=settings.min_new_tokens,
                prompt_length=settings.prompt_length,
                eos_token_id=eos,
            ),
        ),
        (
            len(settings.forced_bos_token_id) > 0,
            partial(forced_tokens, length=1, token_ids=settings.forced_bos_token_id),
        ),
        (
            len(settings.forced_eos_token_id) > 0,
            partial(
                forced_tokens,
                length=settings.max_length - 1,
                token_ids=settings.forced_eos_token_id,
            ),
        ),
    ]
    return [processor for wanted, processor in in_order if wanted]


def process(processors: Sequence[Processor], ids: Array, scores: Array) -> Array:
    """Apply the processors one after the other."""
    for processor in processors:
        scores = processor(ids, scores)
    return scores
