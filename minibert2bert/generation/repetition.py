"""Against saying things twice, and for or against what the source says."""

import numpy as np

from minibert2bert.arrays import Array


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
    # An encoder may know tokens that the decoder has no score for.
    counted = ids < scores.shape[-1]
    if prompt_mask is not None:
        first = (prompt_mask != 0).argmax(axis=1)[:, None]
        counted &= np.arange(ids.shape[1]) >= first
    rows, positions = np.nonzero(counted)
    place = np.asarray(rows, like=scores), np.asarray(ids[rows, positions], like=scores)
    used = scores[place]
    scores = scores.copy()
    scores[place] = np.where(used < 0, used * penalty, used / penalty)
    return scores


def encoder_repetition_penalty(
    ids: Array, scores: Array, penalty: float, encoder_input_ids: Array
) -> Array:
    """Make the tokens of the source more likely.

    s -> s / penalty if s < 0, else s * penalty; padding counts as a token of the source.
    (the repetition penalty turned round, against answers that are about something else)

    Args:
        ids: not needed
        scores: (rows, V)
        penalty: above 0; above 1 encourages, below 1 discourages.
        encoder_input_ids: (rows, S)

    Returns:
        scores: (rows, V)
    """
    return repetition_penalty(encoder_input_ids, scores, 1 / penalty)


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
    return encoder_no_repeat_ngram(ids, scores, size, ids)


def encoder_no_repeat_ngram(
    ids: Array, scores: Array, size: int, encoder_input_ids: Array
) -> Array:
    """Forbid every token that would complete an n-gram of the source.

    s[v] -> -inf if (last size - 1 tokens, v) occurs in the row of encoder_input_ids
    (Roller et al., 2021, where the context of a conversation may not be repeated)

    Args:
        ids: (rows, T), prompt included
        scores: (rows, V)
        size: n, at least 1; 1 forbids every token of the source.
        encoder_input_ids: (rows, S)

    Returns:
        scores: (rows, V)
    """
    before = size - 1
    if encoder_input_ids.shape[1] < size or ids.shape[1] < before:
        return scores
    ngrams = np.lib.stride_tricks.sliding_window_view(encoder_input_ids, size, axis=1)
    last_tokens = ids[:, None, ids.shape[1] - before :]
    completes = (ngrams[..., :-1] == last_tokens).all(axis=-1)
    rows, starts = np.nonzero(completes & (ngrams[..., -1] < scores.shape[-1]))
    forbidden = ngrams[rows, starts, -1]
    scores = scores.copy()
    scores[np.asarray(rows, like=scores), np.asarray(forbidden, like=scores)] = -np.inf
    return scores
