import math

import numpy as np
import pytest
from processor_support import (
    V,
    best_first,
    draw_scores,
    entropy_in_loops,
    filtered_in_loops,
    softmax_in_loops,
)

from minibert2bert.generation.distributions import softmax
from minibert2bert.generation.entropy_filters import eta_cutoff, top_h, typical_p


@pytest.fixture
def scores():
    return draw_scores(np.random.default_rng(0), rows=40)


def top_h_in_loops(row, share):
    tokens = best_first(row)[:100]
    probs = softmax_in_loops([row[token] for token in tokens])
    limit, total, kept = share * entropy_in_loops(probs), 0.0, []
    for token, p in zip(tokens, probs, strict=True):
        total += entropy_in_loops([p])
        if total > limit or p == 0:
            break
        kept.append(token)
    return kept or tokens[:1]


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_top_h_keeps_the_best_up_to_a_share_of_the_entropy(scores, share):
    expected = filtered_in_loops(scores, lambda row: top_h_in_loops(row, share))
    np.testing.assert_array_equal(top_h(None, scores, share), expected)


def test_top_h_looks_at_the_best_hundred_only():
    scores = np.random.default_rng(0).normal(size=(3, 300)).astype(np.float32) * 0.1
    expected = filtered_in_loops(scores, lambda row: top_h_in_loops(row, 0.8))
    assert np.isfinite(expected).sum(axis=1).max() < 100
    np.testing.assert_array_equal(top_h(None, scores, 0.8), expected)


def test_of_equals_top_h_keeps_those_with_lower_ids():
    kept = np.isfinite(top_h(None, np.zeros((1, 8), dtype=np.float32), 0.55))
    assert kept.tolist() == [[True] * 4 + [False] * 4]


def test_top_h_keeps_nothing_of_no_probability():
    scores = np.float32([[0, -1000, -2000]])
    np.testing.assert_array_equal(top_h(None, scores, 0.5), [[0, -np.inf, -np.inf]])


@pytest.mark.parametrize("keep", [1, 3])
@pytest.mark.parametrize("mass", [0.05, 0.5, 0.9])
def test_typical_p_keeps_the_tokens_nearest_to_the_expected_surprise(scores, mass, keep):
    def keeps(row):
        probs = softmax_in_loops(row)
        expected = entropy_in_loops(probs)
        distances = [abs(-math.log(p) - expected) if p > 0 else math.inf for p in probs]
        nearest = sorted(range(V), key=distances.__getitem__)
        kept = [
            token
            for place, token in enumerate(nearest)
            if sum(probs[other] for other in nearest[:place]) < mass
        ]
        return {*kept, *nearest[:keep]}

    expected = filtered_in_loops(scores, keeps)
    assert (np.isneginf(expected) & ~np.isneginf(scores)).any()
    np.testing.assert_array_equal(typical_p(None, scores, mass, keep), expected)


def test_typical_p_keeps_no_more_than_the_mass():
    scores = np.log(np.float32([[0.75, 0.25]]))
    mass = float(softmax(scores)[0, 0])
    assert np.isfinite(typical_p(None, scores, mass, 1)).tolist() == [[True, False]]
    assert np.isfinite(typical_p(None, scores, mass + 1e-6, 1)).tolist() == [[True, True]]


def test_typical_p_may_remove_the_best():
    scores = np.log(np.float32([[0.4, *[0.01] * 60]]))
    left = typical_p(None, scores, 0.3, 1)
    assert np.isneginf(left[0, 0])
    assert np.isfinite(left[0, 1:]).all()


@pytest.mark.parametrize("keep", [1, 3])
@pytest.mark.parametrize("epsilon", [0.003, 0.1, 0.9])
def test_eta_cutoff_follows_the_entropy(scores, epsilon, keep):
    def keeps(row):
        probs = softmax_in_loops(row)
        eta = min(epsilon, math.sqrt(epsilon) * math.exp(-entropy_in_loops(probs)))
        return {*(token for token in range(V) if probs[token] >= eta), *best_first(row)[:keep]}

    expected = filtered_in_loops(scores, keeps)
    np.testing.assert_array_equal(eta_cutoff(None, scores, epsilon, keep), expected)


@pytest.mark.parametrize(("function", "rest"), [(top_h, ()), (typical_p, (2,)), (eta_cutoff, (2,))])
def test_a_row_in_which_all_is_forbidden_stays_as_it_is(function, rest):
    nothing = np.full((2, 5), -np.inf, dtype=np.float32)
    np.testing.assert_array_equal(function(None, nothing, 0.5, *rest), nothing)


def test_typical_p_may_have_to_keep_more_than_there_is():
    scores = np.random.default_rng(0).normal(size=(2, 3)).astype(np.float32)
    np.testing.assert_array_equal(typical_p(None, scores, 0.1, 9), scores)
