"""Words that are made likelier, less likely or impossible; a word is one id or several."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from minibert2bert.arrays import Array
from minibert2bert.generation.allowed_tokens import check_in_vocabulary


@dataclass(frozen=True)
class Words:
    """Words of the same length, and what each adds to the score of its last id.

    Attributes:
        beginnings: int64 (W, length - 1), the ids before the last
        ends: int64 (W,), the last ids
        biases: float64 (W,)
    """

    beginnings: Array
    ends: Array
    biases: Array


def sequence_bias(ids: Array, scores: Array, words: Sequence[Words]) -> Array:
    """Add a bias to the last id of every word whose other ids the row ends with.

    s[v] -> s[v] + sum of the biases of the words (w_1, ..., w_n = v)
    with w_1, ..., w_(n-1) = the last n - 1 tokens of the row

    Args:
        ids: int (rows, T), prompt included
        scores: (rows, V)
        words: of `biased_words`

    Returns:
        scores: (rows, V)

    Raises:
        ValueError: an id is not in the vocabulary.
    """
    return _add_biases(ids, scores, "sequence_bias", words)


def bad_words(ids: Array, scores: Array, words: Sequence[Words]) -> Array:
    """Forbid the last id of every word whose other ids the row ends with.

    s[v] -> -inf if a word is (w_1, ..., w_n = v)
    and w_1, ..., w_(n-1) = the last n - 1 tokens of the row

    Args:
        ids: int (rows, T), prompt included
        scores: (rows, V)
        words: of `forbidden_words`

    Returns:
        scores: (rows, V)

    Raises:
        ValueError: an id is not in the vocabulary.
    """
    return _add_biases(ids, scores, "bad_words_ids", words)


def biased_words(option: Any) -> tuple[Words, ...]:
    """Sort the words of sequence_bias by length, single ids first.

    Args:
        option: {(w_1, ..., w_n): bias}, or pairs of both, of which the last counts; None for none.
    """
    if option is None:
        return ()
    pairs = option.items() if isinstance(option, Mapping) else option
    biases = {tuple(word): bias for word, bias in pairs}
    by_length: dict[int, list[tuple[int, ...]]] = {}
    for word in biases:
        by_length.setdefault(len(word), []).append(word)
    return tuple(
        Words(
            beginnings=np.array([word[:-1] for word in words], np.int64),
            ends=np.array([word[-1] for word in words], np.int64),
            biases=np.array([biases[word] for word in words], np.float64),
        )
        for _, words in sorted(by_length.items())
    )


def forbidden_words(
    option: Sequence[Sequence[int]] | None, eos_token_id: Sequence[int]
) -> tuple[Words, ...]:
    """Sort the words of bad_words_ids by length, without those that are the end itself.

    Args:
        option: the words, each a list of ids; None for none.
        eos_token_id: the ends, which only suppress_tokens forbids.
    """
    if option is None:
        return ()
    ends = {(index,) for index in eos_token_id}
    return biased_words({tuple(word): -np.inf for word in option if tuple(word) not in ends})


def _add_biases(ids: Array, scores: Array, name: str, words: Sequence[Words]) -> Array:
    tokens = np.unique(np.concatenate([group.ends for group in words]))
    # Only the columns of these tokens change; the others need no sum.
    bias = np.zeros((len(ids), len(tokens)), dtype=scores.dtype)
    for group in words:
        check_in_vocabulary(name, group.ends, scores)
        check_in_vocabulary(name, group.beginnings, scores)
        before = group.beginnings.shape[1]
        if before <= ids.shape[1]:
            last_tokens = ids[:, None, ids.shape[1] - before :]
            rows, found = np.nonzero((last_tokens == group.beginnings).all(axis=-1))
            columns = np.searchsorted(tokens, group.ends[found])
            np.add.at(bias, (rows, columns), group.biases[found].astype(scores.dtype))
    changed = np.asarray(tokens, like=scores)
    scores = scores.copy()
    scores[:, changed] += np.asarray(bias, like=scores)
    return scores
