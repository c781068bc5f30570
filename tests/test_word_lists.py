import numpy as np
import pytest
from processor_support import V, draw_ids, draw_scores

from minibert2bert.generation.word_lists import (
    bad_words,
    biased_words,
    forbidden_words,
    sequence_bias,
)

BIASES = {(3,): 1.5, (1, 3): -2.0, (2, 1, 4): 0.5, (0, 3): 4.0, (2, 3): -0.25, (1, 3, 3): -1.0}


@pytest.fixture
def ids():
    return draw_ids(np.random.default_rng(0), 4, rows=40, vocab=4)


@pytest.fixture
def scores():
    return draw_scores(np.random.default_rng(1), rows=40)


def ends_with(row, beginning):
    return row[len(row) - len(beginning) :] == list(beginning)


def test_sequence_bias_adds_up_the_biases_of_the_words_that_a_token_would_complete(ids, scores):
    expected = scores.astype(np.float64)
    matches = 0
    for row, so_far in enumerate(ids.tolist()):
        for (*beginning, end), bias in BIASES.items():
            if ends_with(so_far, beginning):
                expected[row, end] += bias
                matches += len(beginning) > 1
    assert matches > 1
    changed = sequence_bias(ids, scores, biased_words(BIASES))
    np.testing.assert_allclose(changed, expected, rtol=1e-6, atol=1e-6)


def test_pairs_mean_the_same_as_a_dict_and_the_last_of_equal_words_counts(ids, scores):
    pairs = [[[3], 9.0], *([list(word), bias] for word, bias in BIASES.items())]
    changed = sequence_bias(ids, scores, biased_words(pairs))
    np.testing.assert_array_equal(changed, sequence_bias(ids, scores, biased_words(BIASES)))


def test_bad_words_forbid_the_token_that_would_complete_them(ids, scores):
    expected = scores.copy()
    for row, so_far in enumerate(ids.tolist()):
        for *beginning, end in BIASES:
            if ends_with(so_far, beginning):
                expected[row, end] = -np.inf
    changed = bad_words(ids, scores, forbidden_words([list(word) for word in BIASES], (1,)))
    np.testing.assert_array_equal(changed, expected)


def test_a_word_longer_than_the_answer_is_not_yet_completed(scores):
    ids = np.full((len(scores), 1), 2)
    changed = bad_words(ids, scores, forbidden_words([[2, 2, 5], [2, 6]], ()))
    expected = scores.copy()
    expected[:, 6] = -np.inf
    np.testing.assert_array_equal(changed, expected)


def test_an_end_is_no_bad_word_but_may_end_one(ids, scores):
    words = forbidden_words([[1], [2], [5], [3, 1]], (1, 2))
    expected = scores.copy()
    expected[:, 5] = -np.inf
    expected[ids[:, -1] == 3, 1] = -np.inf
    np.testing.assert_array_equal(bad_words(ids, scores, words), expected)


def test_no_words_are_no_words():
    assert biased_words(None) == ()
    assert forbidden_words(None, (1,)) == ()
    assert forbidden_words([[1]], (1,)) == ()


@pytest.mark.parametrize("word", [(V,), (3, V + 2), (V, 3), (3, -1)])
@pytest.mark.parametrize(
    ("name", "function", "words_of"),
    [
        ("sequence_bias", sequence_bias, lambda word: biased_words({(2,): 1.0, word: 1.0})),
        ("bad_words_ids", bad_words, lambda word: forbidden_words([[2], list(word)], ())),
    ],
)
def test_ids_outside_the_vocabulary_are_refused(name, function, words_of, word):
    outside = [index for index in word if not 0 <= index < V]
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match=rf"{name} must keep to .* of 11 tokens, got \{outside}"):
        function(draw_ids(rng, 3), draw_scores(rng), words_of(word))
