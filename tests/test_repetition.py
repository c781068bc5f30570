import numpy as np
import pytest
from processor_support import V, draw_ids, draw_scores

from minibert2bert.generation.repetition import (
    encoder_no_repeat_ngram,
    encoder_repetition_penalty,
    no_repeat_ngram,
    repetition_penalty,
)


@pytest.fixture
def ids():
    return draw_ids(np.random.default_rng(0), 9, vocab=5)


@pytest.fixture
def source():
    return draw_ids(np.random.default_rng(1), 7, vocab=5)


@pytest.fixture
def scores():
    return draw_scores(np.random.default_rng(2))


def completions(row, source, size):
    """The tokens v for which (last size - 1 tokens of the row, v) occurs in the source."""
    known = {tuple(source[start : start + size]) for start in range(len(source) - size + 1)}
    return [v for v in range(V) if (*row[len(row) - size + 1 :], v) in known]


def forbidden(scores, tokens_of_rows):
    expected = scores.copy()
    for row, tokens in enumerate(tokens_of_rows):
        expected[row, tokens] = -np.inf
    return expected


@pytest.mark.parametrize("penalty", [0.5, 1.7])
def test_repetition_penalty_is_its_formula_for_every_used_token(ids, scores, penalty):
    expected = scores.copy()
    for row in range(len(ids)):
        for token in set(ids[row].tolist()):
            score = scores[row, token]
            expected[row, token] = score * penalty if score < 0 else score / penalty
    np.testing.assert_array_equal(repetition_penalty(ids, scores, penalty), expected)


def test_repetition_penalty_passes_over_the_padding_before_a_prompt(scores):
    ids = np.array([[0, 1, 2, 3], [4, 5, 0, V], [2, 3, 4, 5], [1, 0, 2, 3]])
    mask = np.array([[0, 0, 1], [0, 1, 1], [1, 1, 1], [1, 0, 1]])
    changed = repetition_penalty(ids, scores[:4], 1.5, mask)
    for row, first in enumerate([2, 1, 0, 0]):
        alone = repetition_penalty(ids[row : row + 1, first:], scores[row : row + 1], 1.5)
        np.testing.assert_array_equal(changed[row], alone[0])


@pytest.mark.parametrize("penalty", [0.5, 1.7])
def test_encoder_repetition_penalty_is_its_formula_for_the_tokens_of_the_source(
    ids, source, scores, penalty
):
    expected = scores.copy()
    for row in range(len(source)):
        for token in set(source[row].tolist()):
            score = scores[row, token]
            expected[row, token] = score / penalty if score < 0 else score * penalty
    changed = encoder_repetition_penalty(ids, scores, penalty, source)
    # 1 / penalty is rounded once more than the formula.
    np.testing.assert_allclose(changed, expected, rtol=1e-6)


@pytest.mark.parametrize("size", [1, 2, 3])
def test_no_repeat_ngram_forbids_what_would_complete_a_known_ngram(ids, scores, size):
    tokens = [completions(row, row, size) for row in ids.tolist()]
    assert any(tokens)
    np.testing.assert_array_equal(no_repeat_ngram(ids, scores, size), forbidden(scores, tokens))


def test_no_repeat_ngram_sees_an_ngram_that_overlaps_its_own_end(scores):
    changed = no_repeat_ngram(np.full((len(scores), 3), 2), scores, 3)
    np.testing.assert_array_equal(changed, forbidden(scores, [[2]] * len(scores)))


def test_no_repeat_ngram_forbids_nothing_before_the_first_ngram_is_complete(scores):
    ids = np.zeros((len(scores), 2), dtype=np.int64)
    np.testing.assert_array_equal(no_repeat_ngram(ids, scores, 3), scores)


@pytest.mark.parametrize("size", [1, 2, 3])
def test_encoder_no_repeat_ngram_forbids_what_would_complete_an_ngram_of_the_source(
    ids, source, scores, size
):
    pairs = zip(ids.tolist(), source.tolist(), strict=True)
    tokens = [completions(row, of_source, size) for row, of_source in pairs]
    assert any(tokens)
    changed = encoder_no_repeat_ngram(ids, scores, size, source)
    np.testing.assert_array_equal(changed, forbidden(scores, tokens))


@pytest.mark.parametrize(("length", "source_length"), [(1, 7), (9, 2)])
def test_short_answers_and_short_sources_complete_no_ngram(scores, length, source_length):
    ids, source = (np.full((len(scores), columns), 2) for columns in (length, source_length))
    changed = encoder_no_repeat_ngram(ids, scores, 3, source)
    np.testing.assert_array_equal(changed, scores)


def test_tokens_of_the_source_that_the_decoder_does_not_know_are_passed_over(ids, scores):
    source = np.array([[3, V], [V + 5, 4]] * 3)
    known = np.array([[3, 3], [4, 4]] * 3)
    for function, option in ((encoder_repetition_penalty, 1.5), (encoder_no_repeat_ngram, 1)):
        changed = function(ids, scores, option, source)
        np.testing.assert_array_equal(changed, function(ids, scores, option, known))
