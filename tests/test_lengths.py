import numpy as np
import pytest
from processor_support import V, draw_ids, draw_scores

from minibert2bert.generation.lengths import exponential_decay, min_length, min_new_tokens


@pytest.fixture
def ids():
    return draw_ids(np.random.default_rng(0), 9)


@pytest.fixture
def scores():
    return draw_scores(np.random.default_rng(1))


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


@pytest.mark.parametrize("factor", [0.8, 1.0, 1.3])
@pytest.mark.parametrize("start", [0, 2, 5, 6, 7, 20])
def test_the_end_becomes_likelier_with_every_token_beyond_the_start(ids, scores, start, factor):
    beyond = 9 - 3 - start
    expected = scores.astype(np.float64)
    for row in range(len(scores)):
        for end in (1, 4):
            score = expected[row, end]
            if beyond > 0 and np.isfinite(score):
                expected[row, end] = score + abs(score) * (factor**beyond - 1)
    changed = exponential_decay(ids, scores, (start, factor), 3, (1, 4))
    np.testing.assert_allclose(changed, expected, rtol=1e-6)


@pytest.mark.parametrize("lowest", [-np.inf, np.finfo(np.float32).min])
def test_an_end_that_was_forbidden_stays_so(ids, scores, lowest):
    scores[:, 1] = lowest
    changed = exponential_decay(ids, scores, (0, 2.0), 1, (1,))
    np.testing.assert_array_equal(changed, scores)


def test_a_growth_beyond_all_numbers_makes_the_end_certain_and_stays_a_number(scores):
    ids = np.zeros((len(scores), 3000), dtype=np.int64)
    scores[:, 1] = -0.5
    changed = exponential_decay(ids, scores, (0, 10.0), 1, (1,))
    assert np.isfinite(changed[:, 1]).all()
    assert (changed.argmax(axis=1) == 1).all()


def test_without_an_end_in_the_vocabulary_no_end_can_become_likelier(ids, scores):
    for eos in ((), (V,)):
        assert exponential_decay(ids, scores, (0, 2.0), 1, eos) is scores
