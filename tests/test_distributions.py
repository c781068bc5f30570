import math

import numpy as np
import pytest
from processor_support import draw_scores, entropy_in_loops, softmax_in_loops

from minibert2bert.generation.distributions import (
    cumulative,
    entropy_terms,
    log_softmax,
    remove_invalid_values,
    renormalize,
    softmax,
)

LARGEST = np.finfo(np.float32).max


@pytest.fixture
def scores():
    return draw_scores(np.random.default_rng(0))


def test_softmax_and_its_logarithm_are_those_of_each_row(scores):
    expected = [softmax_in_loops(row) for row in scores.tolist()]
    np.testing.assert_allclose(softmax(scores), expected, rtol=1e-6)
    logs = [[math.log(p) if p > 0 else -math.inf for p in row] for row in expected]
    np.testing.assert_allclose(log_softmax(scores), logs, rtol=1e-6, atol=1e-6)


def test_high_scores_do_not_overflow():
    scores = np.array([[1000.0, 1000.0], [LARGEST, -LARGEST]], dtype=np.float32)
    np.testing.assert_array_equal(softmax(scores), [[0.5, 0.5], [1, 0]])
    np.testing.assert_allclose(log_softmax(scores), [[-math.log(2)] * 2, [0, -np.inf]], rtol=1e-6)


def test_a_row_in_which_all_is_forbidden_stays_as_it_is():
    nothing = np.full((1, 3), -np.inf, dtype=np.float32)
    np.testing.assert_array_equal(softmax(nothing), np.zeros((1, 3)))
    np.testing.assert_array_equal(log_softmax(nothing), nothing)


def test_the_terms_of_the_entropy_add_up_to_it(scores):
    probs = softmax(scores)
    assert (probs == 0).any()
    expected = [entropy_in_loops(row) for row in probs.tolist()]
    np.testing.assert_allclose(entropy_terms(probs).sum(axis=-1), expected, rtol=1e-6)


def test_sums_of_many_small_probabilities_do_not_drift():
    probs = np.full((1, 30_000), 1 / 30_000, dtype=np.float32)
    sums = cumulative(probs)
    assert sums.dtype == np.float32
    np.testing.assert_allclose(sums[0, -1], 30_000 * float(probs[0, 0]), rtol=1e-7)


def test_renormalized_scores_are_log_probabilities(scores):
    np.testing.assert_array_equal(renormalize(None, scores), log_softmax(scores))


def test_invalid_values_become_numbers():
    scores = np.array([[np.nan, np.inf, -np.inf, 1.5]], dtype=np.float32)
    changed = remove_invalid_values(None, scores)
    np.testing.assert_array_equal(changed, np.float32([[0, LARGEST, -LARGEST, 1.5]]))
