"""Forced words: what a sequence has of them, token by token."""

import numpy as np
import pytest

from minibert2bert.generation.constraints import (
    Progress,
    after,
    bank,
    check_vocabulary,
    check_words,
    is_complete,
    longest_form,
    next_tokens,
    progress_after,
    words_of,
)


def complete(force_words_ids, tokens):
    return is_complete(progress_after(tokens, words_of(force_words_ids)))


def test_words_are_read_with_and_without_alternatives():
    assert words_of([[7, 8], [[9], (1, 2)]]) == (((7, 8),), ((9,), (1, 2)))
    assert words_of([np.array([3, 4]).tolist(), list(np.array([5]))]) == (((3, 4),), ((5,),))
    assert words_of(None) == ()


@pytest.mark.parametrize(
    ("words", "tokens", "has_all"),
    [
        ([[5, 6]], [4, 5, 6, 4], True),
        ([[5, 6]], [5, 4, 6], False),
        ([[5, 6], [7]], [7, 5, 6], True),
        ([[5, 6], [7]], [5, 6, 5, 6], False),
        ([[5], [5]], [5, 4], False),
        ([[5], [5]], [5, 4, 5], True),
        ([[[5, 6], [7]]], [7], True),
        ([[[5, 6], [5, 8]]], [5, 8], True),
        ([[[5, 6], [5, 8]]], [5, 7, 8], False),
        # The second 5 is used up by the word it breaks off.
        ([[5, 6]], [5, 5, 6], False),
        # A word that has been begun is worked at alone.
        ([[5, 6], [7]], [5, 7, 6], False),
        ([[5, 6], [5, 8]], [5, 8, 5, 6], False),
        ([[5, 6], [5, 8]], [5, 8, 5, 8, 5, 6], True),
    ],
)
def test_a_sequence_has_all_words_or_lacks_some(words, tokens, has_all):
    assert complete(words, tokens) == has_all


def test_a_word_that_is_broken_off_goes_to_the_end_of_the_line():
    words = words_of([[5, 6], [5, 8]])
    broken = progress_after([5, 7], words)
    assert broken == Progress((words[1], words[0]))
    assert next_tokens(after(broken, 5)) == [8]


def test_the_next_tokens_are_those_of_the_word_begun_or_the_first_of_all():
    words = words_of([[5, 6], [[7], [5, 8], [9, 4]]])
    start = Progress(words)
    assert next_tokens(start) == [5, 7, 9]
    assert next_tokens(after(start, 9)) == [4]
    assert next_tokens(after(start, 5)) == [6]
    assert next_tokens(progress_after([5, 6, 7], words)) == []
    assert next_tokens(Progress(words_of([[[5, 6], [5, 8], [7]]]), None)) == [5, 7]
    assert next_tokens(progress_after([5], words_of([[[5, 6], [5, 8], [7]]]))) == [6, 8]


def test_a_bank_counts_every_word_as_the_longest():
    words = words_of([[5, 6], [[7], [8, 9, 4]]])
    longest = longest_form(words)
    counts = [bank(progress_after(tokens, words), longest) for tokens in
              ([], [3], [5], [5, 6], [8], [8, 9], [8, 9, 3], [7], [7, 5], [5, 6, 7])]  # fmt: skip
    # longest * complete + longest - what is missing: 3 - 1 for 5, 3 - 2 for 8, and so on.
    assert (longest, counts) == (3, [0, 0, 2, 3, 1, 2, 0, 3, 5, 6])


def test_following_leaves_the_progress_as_it_was():
    start = Progress(words_of([[5, 6]]))
    assert after(start, 5) == after(start, 5) != start


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([[5, 1]], r"must not hold the eos_token_id 1, which ends a sequence, got \[5, 1\]"),
        ([[[5], [5, 6]]], r"may be the beginning of another, got \[5\] in \[\[5\], \[5, 6\]\]"),
        ([[[5, 6], [5, 6]]], "may be the beginning of another"),
    ],
)
def test_words_that_no_answer_can_have_are_refused(words, message):
    with pytest.raises(ValueError, match=message):
        check_words(words_of(words), [1])


def test_words_that_begin_alike_or_occur_twice_are_no_mistake():
    check_words(words_of([[5], [5, 6], [5], [[7, 8], [7, 9]]]), [1])


def test_an_id_outside_of_the_vocabulary_is_refused():
    check_vocabulary(words_of([[5], [[16], [3]]]), 17)
    with pytest.raises(ValueError, match="ids below the vocabulary's 16, got 16; encode"):
        check_vocabulary(words_of([[5], [[16], [3]]]), 16)
