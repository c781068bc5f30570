import numpy as np
import pytest
from processor_support import ROWS, V, draw_ids, draw_scores

from minibert2bert.generation.allowed_tokens import (
    begin_suppress_tokens,
    forbid,
    forced_bos,
    forced_eos,
    prefix_allowed,
    suppress_tokens,
)


@pytest.fixture
def ids():
    return draw_ids(np.random.default_rng(0), 4)


@pytest.fixture
def scores():
    return draw_scores(np.random.default_rng(1))


def allow_even(index, ids):
    return range(0, V, 2)


def without(scores, tokens):
    expected = scores.copy()
    expected[:, tokens] = -np.inf
    return expected


def only(scores, tokens):
    expected = np.full_like(scores, -np.inf)
    expected[:, tokens] = 0
    return expected


def test_an_id_outside_the_vocabulary_is_passed_over(scores):
    np.testing.assert_array_equal(forbid(scores, (-1, V, 50256)), scores)
    np.testing.assert_array_equal(forbid(scores, (3, V)), without(scores, [3]))


def test_suppressed_tokens_are_forbidden_at_every_length(ids, scores):
    for length in (1, 4):
        changed = suppress_tokens(ids[:, :length], scores, [2, 5])
        np.testing.assert_array_equal(changed, without(scores, [2, 5]))


@pytest.mark.parametrize(("begin", "tokens"), [(3, []), (4, [2, 5]), (5, [])])
def test_tokens_suppressed_at_the_beginning_are_forbidden_there_only(ids, scores, begin, tokens):
    changed = begin_suppress_tokens(ids, scores, [2, 5], begin)
    np.testing.assert_array_equal(changed, without(scores, tokens))


def test_a_forced_bos_is_all_that_may_follow_the_start_token(ids, scores):
    np.testing.assert_array_equal(forced_bos(ids[:, :1], scores, (3,)), only(scores, [3]))
    np.testing.assert_array_equal(forced_bos(ids[:, :2], scores, (3,)), scores)


@pytest.mark.parametrize(("max_length", "forced"), [(4, False), (5, True), (6, False)])
def test_a_forced_eos_is_all_that_may_stand_in_the_last_place(ids, scores, max_length, forced):
    expected = only(scores, [0, 2]) if forced else scores
    np.testing.assert_array_equal(forced_eos(ids, scores, (0, 2), max_length), expected)


@pytest.mark.parametrize("token", [-1, V])
def test_a_forced_token_must_be_in_the_vocabulary(ids, scores, token):
    with pytest.raises(ValueError, match=rf"forced_bos_token_id must keep .* got \[{token}\]"):
        forced_bos(ids[:, :1], scores, (token,))
    with pytest.raises(ValueError, match=rf"forced_eos_token_id must keep .* got \[{token}\]"):
        forced_eos(ids, scores, (2, token), 5)


def test_each_row_keeps_what_the_rule_allows_after_its_own_ids(ids, scores):
    def rule(index, so_far):
        return {index, int(so_far[-1]), int(so_far[0])}

    expected = np.full_like(scores, -np.inf)
    for row in range(ROWS):
        for token in rule(row // 3, ids[row]):
            expected[row, token] = scores[row, token]
    np.testing.assert_array_equal(prefix_allowed(ids, scores, rule, 3), expected)


def test_an_input_of_which_nothing_is_left_gets_what_the_rule_allows(ids, scores):
    scores[:3, ::2] = -np.inf
    scores[3:5, ::2] = -np.inf
    scores[5, 0] = 1.0
    changed = prefix_allowed(ids, scores, allow_even, 3)
    np.testing.assert_array_equal(changed[:3], only(scores[:3], range(0, V, 2)))
    np.testing.assert_array_equal(changed[3:], without(scores[3:], range(1, V, 2)))


def test_a_rule_may_change_the_ids_it_is_given(ids, scores):
    before = ids.copy()

    def rule(index, so_far):
        so_far[:] = 0
        return [1]

    prefix_allowed(ids, scores, rule, 2)
    np.testing.assert_array_equal(ids, before)


def test_a_rule_that_allows_nothing_is_an_error_that_names_the_input(ids, scores):
    def rule(index, so_far):
        return [1, 2] if index < 2 else []

    so_far = ids[4].tolist()
    with pytest.raises(ValueError, match="got none for input 2 after") as error:
        prefix_allowed(ids, scores, rule, 2)
    assert f"{so_far}; allow eos_token_id" in str(error.value)


@pytest.mark.parametrize("token", [-1, V])
def test_a_rule_must_keep_to_the_vocabulary(ids, scores, token):
    with pytest.raises(ValueError, match=rf"prefix_allowed_tokens_fn must .* 11 .* \[{token}\]"):
        prefix_allowed(ids, scores, lambda index, so_far: [2, token], 1)
