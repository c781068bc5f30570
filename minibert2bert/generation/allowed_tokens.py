"""What the next token may be, whatever the words before: forbidden, forced and allowed ids."""

from collections.abc import Callable, Sequence

import numpy as np

from minibert2bert.arrays import Array


def forbid(scores: Array, token_ids: Sequence[int]) -> Array:
    """Give the tokens the score -inf in every row.

    Ids outside the vocabulary cannot be generated anyway, and are passed over.
    """
    forbidden = [index for index in token_ids if 0 <= index < scores.shape[-1]]
    if not forbidden:
        return scores
    scores = scores.copy()
    scores[:, forbidden] = -np.inf
    return scores


def suppress_tokens(ids: Array, scores: Array, token_ids: Sequence[int]) -> Array:
    """Forbid the tokens everywhere: s[v] -> -inf.

    Args:
        ids: not needed
        scores: (rows, V)
        token_ids: v

    Returns:
        scores: (rows, V)
    """
    return forbid(scores, token_ids)


def begin_suppress_tokens(ids: Array, scores: Array, token_ids: Sequence[int], begin: int) -> Array:
    """Forbid the tokens at the first place that is free: s[v] -> -inf if T = begin.

    Args:
        ids: int (rows, T)
        scores: (rows, V)
        token_ids: v
        begin: tokens of the prompt, and the one that forced_bos_token_id adds

    Returns:
        scores: (rows, V)
    """
    return forbid(scores, token_ids) if ids.shape[1] == begin else scores


def forced_bos(ids: Array, scores: Array, token_ids: Sequence[int]) -> Array:
    """Leave nothing else to follow the start token: force(token_ids) if T = 1.

    Args:
        ids: int (rows, T), prompt included
        scores: (rows, V)
        token_ids: what may follow

    Returns:
        scores: (rows, V)
    """
    return force(scores, "forced_bos_token_id", token_ids) if ids.shape[1] == 1 else scores


def forced_eos(ids: Array, scores: Array, token_ids: Sequence[int], max_length: int) -> Array:
    """Leave nothing else to stand in the last place: force(token_ids) if T = max_length - 1.

    Args:
        ids: int (rows, T), prompt included
        scores: (rows, V)
        token_ids: what may stand there
        max_length: tokens of the longest sequence, prompt included

    Returns:
        scores: (rows, V)
    """
    is_last = ids.shape[1] == max_length - 1
    return force(scores, "forced_eos_token_id", token_ids) if is_last else scores


def force(scores: Array, name: str, token_ids: Sequence[int]) -> Array:
    """Leave nothing but the tokens to choose from: s[v] -> 0 for them, -inf for all others.

    Raises:
        ValueError: an id is not in the vocabulary; nothing would be left.
    """
    check_in_vocabulary(name, token_ids, scores)
    forced = np.full_like(scores, -np.inf)
    forced[:, list(token_ids)] = 0
    return forced


def prefix_allowed(
    ids: Array,
    scores: Array,
    allowed_tokens: Callable[[int, Array], Sequence[int]],
    rows_per_input: int,
) -> Array:
    """Leave each row the tokens that a function of what it has so far allows.

    s[v] -> s[v] if v is in allowed_tokens(input, its ids), else -inf
    (De Cao et al., 2021, section 3.2, where a prefix tree of entity names decides)

    If that leaves no row of an input a token above -inf, its rows get 0 for those allowed, so that
    what was forbidden before cannot break the rule.

    Args:
        ids: int (rows, T), prompt included
        scores: (rows, V)
        allowed_tokens: (index of the input, ids (T,) of the row) -> the ids that may follow
        rows_per_input: the rows of an input stand together.

    Returns:
        scores: (rows, V)

    Raises:
        ValueError: nothing is allowed, or an id that is not in the vocabulary.
    """
    allowed = np.zeros_like(scores, dtype=bool)
    for row, so_far in enumerate(ids):
        index = row // rows_per_input
        tokens = np.fromiter(allowed_tokens(index, so_far.copy()), np.int64)
        if tokens.size == 0:
            raise ValueError(
                f"prefix_allowed_tokens_fn must allow at least one token, got none for input "
                f"{index} after {so_far.tolist()}; allow eos_token_id where nothing may follow"
            )
        check_in_vocabulary("prefix_allowed_tokens_fn", tokens, scores)
        allowed[row, np.asarray(tokens, like=allowed)] = True
    left = np.where(allowed, scores, -np.inf)
    stuck = left.reshape(len(ids) // rows_per_input, -1).max(axis=1) == -np.inf
    stuck_rows = np.repeat(stuck, rows_per_input)[:, None]
    return np.where(allowed & stuck_rows, 0, left)


def check_in_vocabulary(name: str, token_ids: Sequence[int] | Array, scores: Array) -> None:
    """Refuse ids for which there is no score: a negative one would mean another token.

    Raises:
        ValueError: names the option, the ids and the size of the vocabulary.
    """
    vocab_size = scores.shape[-1]
    ids = np.asarray(token_ids, dtype=np.int64)
    outside = np.unique(ids[(ids < 0) | (ids >= vocab_size)])
    if outside.size > 0:
        raise ValueError(
            f"{name} must keep to the vocabulary of {vocab_size} tokens, got "
            f"{outside[:5].tolist()}; take the ids from the tokenizer of this model"
        )
