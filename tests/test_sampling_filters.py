import numpy as np
import pytest
from processor_support import V, best_first, draw_scores, filtered_in_loops, softmax_in_loops

from minibert2bert.generation.sampling_filters import (
    epsilon_cutoff,
    min_p,
    temperature,
    top_k,
    top_p,
)


@pytest.fixture
def scores():
    return draw_scores(np.random.default_rng(0), rows=40)


def at_least(keep, row, tokens):
    """The tokens, and the best `keep`."""
    return {*tokens, *best_first(row)[:keep]}


def test_temperature_divides(scores):
    np.testing.assert_array_equal(temperature(None, scores, 0.7), scores / np.float32(0.7))


def test_temperature_forgives_the_lowest_number():
    lowest = np.array([[np.finfo(np.float32).min, 1.0]], dtype=np.float32)
    np.testing.assert_array_equal(temperature(None, lowest, 0.5), [[-np.inf, 2.0]])


@pytest.mark.parametrize(
    ("count", "keep"), [(1, 1), (3, 1), (1, 2), (V, 1), (V + 9, 1), (2, V + 9)]
)
def test_top_k_keeps_the_best(scores, count, keep):
    expected = filtered_in_loops(scores, lambda row: best_first(row)[: max(count, keep)])
    np.testing.assert_array_equal(top_k(None, scores, count, keep), expected)


def test_top_k_keeps_all_that_equal_the_last():
    scores = np.float32([[1, 3, 2, 2, 0, 2]])
    kept = np.isfinite(top_k(None, scores, 2, 1))
    assert kept.tolist() == [[False, True, True, True, False, True]]


@pytest.mark.parametrize("keep", [1, 3])
@pytest.mark.parametrize("mass", [0.05, 0.5, 0.9, 0.99])
def test_top_p_keeps_the_fewest_that_have_the_mass_together(scores, mass, keep):
    def keeps(row):
        probs = softmax_in_loops(row)
        kept = []
        for token in best_first(row):
            if sum(probs[other] for other in kept) >= mass:
                break
            kept.append(token)
        return at_least(keep, row, kept)

    expected = filtered_in_loops(scores, keeps)
    np.testing.assert_array_equal(top_p(None, scores, mass, keep), expected)


def test_of_equals_top_p_removes_those_with_lower_ids_first():
    scores = np.float32([[0, 0, 0, 0], [0, 1, 0, 0]])
    assert np.isfinite(top_p(None, scores, 0.5, 1)).tolist() == [
        [False, False, True, True],
        [False, True, False, True],
    ]


def test_top_p_of_nothing_keeps_the_best(scores):
    kept = np.isfinite(top_p(None, scores, 0.0, 1))
    assert kept.sum(axis=1).tolist() == [1] * len(scores)


@pytest.mark.parametrize("keep", [1, 3])
@pytest.mark.parametrize("share", [0.02, 0.3, 1.0])
def test_min_p_keeps_what_has_a_share_of_the_best_probability(scores, share, keep):
    def keeps(row):
        probs = softmax_in_loops(row)
        probable = [token for token in range(V) if probs[token] >= share * max(probs)]
        return at_least(keep, row, probable)

    expected = filtered_in_loops(scores, keeps)
    np.testing.assert_array_equal(min_p(None, scores, share, keep), expected)


@pytest.mark.parametrize("keep", [1, 3])
@pytest.mark.parametrize("epsilon", [0.003, 0.1, 0.9])
def test_epsilon_cutoff_keeps_what_has_a_certain_probability(scores, epsilon, keep):
    def keeps(row):
        probs = softmax_in_loops(row)
        return at_least(keep, row, [token for token in range(V) if probs[token] >= epsilon])

    expected = filtered_in_loops(scores, keeps)
    np.testing.assert_array_equal(epsilon_cutoff(None, scores, epsilon, keep), expected)


FILTERS = {"top_k": (top_k, 3), "top_p": (top_p, 0.5), "min_p": (min_p, 0.5)}


@pytest.mark.parametrize("name", FILTERS)
def test_a_row_in_which_all_is_forbidden_stays_as_it_is(name):
    function, option = FILTERS[name]
    nothing = np.full((2, 5), -np.inf, dtype=np.float32)
    np.testing.assert_array_equal(function(None, nothing, option, 1), nothing)


@pytest.mark.parametrize("name", FILTERS)
def test_more_tokens_to_keep_than_there_are_keep_all(name):
    function, option = FILTERS[name]
    scores = np.random.default_rng(0).normal(size=(2, 3)).astype(np.float32)
    np.testing.assert_array_equal(function(None, scores, option, 9), scores)
