"""Words that a sequence must contain, and how far it has come with them.

The rules are those of version 4 of transformers. Words may come in any order. A sequence works at
one word at a time; a token that breaks it off is used up and begins no other word, so that 5 5 6
does not contain the word 5 6. Here, all alternatives of a word that begin alike are known to be
under way; there, all but the first of them are taken for broken off.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import reduce
from numbers import Integral
from typing import Any, TypeAlias

Word: TypeAlias = tuple[tuple[int, ...], ...]
"""The forms of a word, of which one is enough, each its ids."""


@dataclass(frozen=True)
class Progress:
    """Which words a sequence has, and which it lacks.

    Attributes:
        pending: the words not begun, in the order in which they are tried
        begun: the word that the last tokens begin; None if they begin none.
        tokens: these tokens
        complete: how many words it has
    """

    pending: tuple[Word, ...]
    begun: Word | None = None
    tokens: tuple[int, ...] = ()
    complete: int = 0


def words_of(force_words_ids: Sequence[Any] | None) -> tuple[Word, ...]:
    """Give every word its forms: [[7, 8], [[9], [1, 2]]] is (((7, 8),), ((9,), (1, 2)))."""
    nested = [[word] if isinstance(word[0], Integral) else word for word in force_words_ids or ()]
    return tuple(tuple(tuple(map(int, form)) for form in word) for word in nested)


def progress_after(tokens: Sequence[int], words: tuple[Word, ...]) -> Progress:
    """Tell how far a whole sequence has come with some words."""
    return reduce(after, tokens, Progress(words))


def next_tokens(progress: Progress) -> list[int]:
    """List the tokens that continue the word begun, or if there is none begin one, each once."""
    words = progress.pending if progress.begun is None else (progress.begun,)
    place = len(progress.tokens)
    found = [form[place] for word in words for form in continued(word, progress.tokens)]
    return list(dict.fromkeys(found))


def after(progress: Progress, token: int) -> Progress:
    """Follow a sequence by one token."""
    begun, tokens, pending = progress.begun, (*progress.tokens, token), progress.pending
    if begun is not None and not continued(begun, tokens):
        return replace(progress, pending=(*pending, begun), begun=None, tokens=())
    if begun is None:
        places = [place for place, word in enumerate(pending) if continued(word, tokens)]
        if not places:
            return progress
        begun, pending = pending[places[0]], pending[: places[0]] + pending[places[0] + 1 :]
    if tokens in begun:
        return Progress(pending, complete=progress.complete + 1)
    return Progress(pending, begun, tokens, progress.complete)


def continued(word: Word, tokens: tuple[int, ...]) -> list[tuple[int, ...]]:
    """List the forms of a word that begin with the tokens."""
    return [form for form in word if form[: len(tokens)] == tokens]


def is_complete(progress: Progress) -> bool:
    """Whether the sequence has all words."""
    return progress.begun is None and not progress.pending


def bank(progress: Progress, longest: int) -> int:
    """Count the tokens of words that a sequence has, every word for as many as the longest.

    longest * complete words + longest - tokens that the word begun lacks

    Args:
        progress: of the sequence
        longest: number of tokens of the longest form of all words
    """
    count = longest * progress.complete
    if progress.begun is not None:
        count += longest - (longest_form([progress.begun]) - len(progress.tokens))
    return count


def longest_form(words: Sequence[Word]) -> int:
    """Count the tokens of the longest form of some words."""
    return max(len(form) for word in words for form in word)


def check_words(words: Sequence[Word], eos_token_id: Sequence[int]) -> None:
    """Check the forms of the words against the end and against each other.

    Raises:
        ValueError: a word has an end token in it, or a form that is the beginning of another.
    """
    for word in words:
        for form in word:
            ends = sorted({*form} & {*eos_token_id})
            if ends:
                raise ValueError(
                    f"force_words_ids must not hold the eos_token_id {ends[0]}, which ends a "
                    f"sequence, got {list(form)}; encode words without special tokens"
                )
            if len(continued(word, form)) > 1:
                raise ValueError(
                    "no alternative in force_words_ids may be the beginning of another, got "
                    f"{list(form)} in {[list(other) for other in word]}; leave the longer one out"
                )


def check_vocabulary(words: Sequence[Word], vocab_size: int) -> None:
    """Check that the model can say the words.

    Raises:
        ValueError: an id is not below vocab_size.
    """
    largest = max(token for word in words for form in word for token in form)
    if largest >= vocab_size:
        raise ValueError(
            f"force_words_ids must hold ids below the vocabulary's {vocab_size}, got {largest}; "
            "encode the words with the tokenizer of the answers"
        )
