from functools import partial

import numpy as np
import pytest

from minibert2bert.generation.config import GenerationConfig
from minibert2bert.generation.processors import (
    forbid,
    forced_tokens,
    logits_processors,
    min_length,
    min_new_tokens,
    no_repeat_ngram,
    process,
    repetition_penalty,
)
from minibert2bert.generation.settings import resolve
from minibert2bert.generation.stopping import ends_with, has_length, is_finished, stopping_criteria

V = 6


@pytest.fixture
def ids():
    return np.random.default_rng(0).integers(0, V, (4, 9))


@pytest.fixture
def scores():
    return np.random.default_rng(1).normal(size=(4, V)).astype(np.float32)


@pytest.mark.parametrize("penalty", [0.5, 1.7])
def test_repetition_penalty_is_its_formula_for_every_used_token(ids, scores, penalty):
    ids = ids[:, :3]
    expected = scores.copy()
    for row in range(len(ids)):
        for token in set(ids[row].tolist()):
            score = scores[row, token]
            expected[row, token] = score * penalty if score < 0 else score / penalty
    np.testing.assert_array_equal(repetition_penalty(ids, scores, penalty), expected)


def test_repetition_penalty_passes_over_the_padding_before_a_prompt(scores):
    ids = np.array([[0, 1, 2, 3], [4, 5, 0, 1], [2, 3, 4, 5], [1, 0, 2, 3]])
    mask = np.array([[0, 0, 1], [0, 1, 1], [1, 1, 1], [1, 0, 1]])
    changed = repetition_penalty(ids, scores, 1.5, mask)
    for row, first in enumerate([2, 1, 0, 0]):
        alone = repetition_penalty(ids[row : row + 1, first:], scores[row : row + 1], 1.5)
        np.testing.assert_array_equal(changed[row], alone[0])


@pytest.mark.parametrize("size", [1, 2, 3])
def test_no_repeat_ngram_forbids_what_would_complete_a_known_ngram(ids, scores, size):
    expected = scores.copy()
    for row, sequence in enumerate(ids.tolist()):
        known = {tuple(sequence[i : i + size]) for i in range(len(sequence) - size + 1)}
        for token in range(V):
            if tuple([*sequence, token][-size:]) in known:
                expected[row, token] = -np.inf
    assert np.isinf(expected).any()
    np.testing.assert_array_equal(no_repeat_ngram(ids, scores, size), expected)


def test_no_repeat_ngram_sees_an_ngram_that_overlaps_its_own_end(scores):
    changed = no_repeat_ngram(np.full((4, 3), 2), scores, 3)
    np.testing.assert_array_equal(changed, forbid(scores, (2,)))


def test_no_repeat_ngram_forbids_nothing_before_the_first_ngram_is_complete(scores):
    ids = np.zeros((4, 2), dtype=np.int64)
    np.testing.assert_array_equal(no_repeat_ngram(ids, scores, 3), scores)


@pytest.mark.parametrize(("length", "forbidden"), [(8, False), (9, False), (10, True)])
def test_min_length_forbids_every_eos_until_the_length_is_reached(ids, scores, length, forbidden):
    expected = scores.copy()
    if forbidden:
        expected[:, [1, 4]] = -np.inf
    np.testing.assert_array_equal(min_length(ids, scores, length, (1, 4)), expected)


@pytest.mark.parametrize(("count", "forbidden"), [(6, False), (7, True)])
def test_min_new_tokens_counts_from_the_end_of_the_prompt(ids, scores, count, forbidden):
    expected = scores.copy()
    if forbidden:
        expected[:, 1] = -np.inf
    np.testing.assert_array_equal(min_new_tokens(ids, scores, count, 3, (1,)), expected)


def test_an_id_outside_the_vocabulary_is_passed_over(scores):
    np.testing.assert_array_equal(forbid(scores, (-1, V, 50256)), scores)


@pytest.mark.parametrize(
    "processor",
    [
        partial(repetition_penalty, penalty=1.5),
        partial(no_repeat_ngram, size=2),
        partial(min_length, length=99, eos_token_id=(1,)),
    ],
)
def test_a_processor_changes_neither_its_arguments_nor_the_dtype(ids, scores, processor):
    before = scores.copy(), ids.copy()
    after = processor(ids, scores)
    assert after.dtype == np.float32
    assert not np.array_equal(after, scores)
    np.testing.assert_array_equal(scores, before[0])
    np.testing.assert_array_equal(ids, before[1])


def test_the_processors_stand_in_the_order_of_the_reference():
    config = GenerationConfig(
        min_new_tokens=2, no_repeat_ngram_size=2, repetition_penalty=1.5, eos_token_id=1
    )
    functions = [processor.func for processor in logits_processors(resolve(config, 1))]
    assert functions == [repetition_penalty, no_repeat_ngram, min_length, min_new_tokens]


def test_nothing_is_processed_by_default_nor_kept_from_an_end_that_does_not_exist():
    assert logits_processors(resolve(GenerationConfig(eos_token_id=1), 1)) == []
    assert logits_processors(resolve(GenerationConfig(min_new_tokens=3), 1)) == []


def test_the_processors_get_the_settings_meant_for_them(ids, scores):
    config = GenerationConfig(
        min_length=8, min_new_tokens=7, no_repeat_ngram_size=3, repetition_penalty=1.5,
        eos_token_id=1,
    )  # fmt: skip
    mask = np.array([[0, 1, 1]] * 4)
    expected = repetition_penalty(ids, scores, 1.5, mask)
    expected = forbid(no_repeat_ngram(ids, expected, 3), (1,))
    processors = logits_processors(resolve(config, prompt_length=3), mask)
    np.testing.assert_array_equal(process(processors, ids, scores), expected)


def test_a_row_is_finished_by_its_length_or_by_one_of_the_eos_ids():
    ids = np.array([[1, 0, 2], [2, 1, 0], [0, 0, 3]])
    assert has_length(ids, 3).tolist() == [True] * 3
    assert has_length(ids, 4).tolist() == [False] * 3
    assert ends_with(ids, (2, 3)).tolist() == [True, False, True]


@pytest.mark.parametrize(
    ("eos", "max_length", "finished"),
    [(2, 4, [True, False]), (None, 4, [False, False]), (None, 3, [True, True])],
)
def test_the_settings_decide_what_finishes_a_row(eos, max_length, finished):
    settings = resolve(GenerationConfig(eos_token_id=eos, max_length=max_length), 1)
    ids = np.array([[1, 0, 2], [2, 1, 0]])
    assert is_finished(stopping_criteria(settings), ids).tolist() == finished


def test_forced_tokens_are_all_that_is_left_at_their_length():
    scores = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    ids = np.zeros((2, 4), dtype=np.int64)
    forced = forced_tokens(ids, scores, 4, (0, 2))
    np.testing.assert_array_equal(forced, [[0, -np.inf, 0], [0, -np.inf, 0]])
    np.testing.assert_array_equal(forced_tokens(ids, scores, 5, (0,)), scores)
