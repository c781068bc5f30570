import itertools

import numpy as np
import pytest
from table_model import TableModel

from minibert2bert.generation.beam_search import (
    beam_search,
    beam_step,
    is_settled,
    log_softmax,
    moved_rows,
    start_beams,
)
from minibert2bert.generation.config import GenerationConfig
from minibert2bert.generation.hypotheses import Hypotheses, top_k
from minibert2bert.generation.search import greedy_search
from minibert2bert.generation.settings import resolve
from minibert2bert.generation.stopping import stopping_criteria
from minibert2bert.generation.strategies import generate_ids

EOS, PAD, START = 1, 0, 2
PROMPT = np.array([[START], [START]])
EVERYTHING = {"output_scores": True, "output_logits": True, "return_dict_in_generate": True}


def search(model, **options):
    options = {"eos_token_id": EOS, "pad_token_id": PAD, "num_beams": 3, **EVERYTHING, **options}
    prompt = np.full((len(model.tables), 1), START)
    return generate_ids(model, prompt, GenerationConfig(**options))


def without_padding(sequence):
    ends = np.flatnonzero(sequence == EOS)
    return sequence[: ends[0] + 1] if len(ends) else sequence


def step(prompt, rows, **options):
    """One beam step from the prompt, with the same probabilities for every beam."""
    options = {"eos_token_id": EOS, "pad_token_id": PAD, "max_length": 9, **options}
    settings = resolve(GenerationConfig(**options), prompt.shape[1])
    state = start_beams(prompt, settings.num_beams)
    log_probs = np.log(np.repeat(np.array(rows, np.float32), settings.num_beams, axis=0))
    return beam_step(state, log_probs, stopping_criteria(settings), settings)


@pytest.mark.parametrize("seed", range(8))
def test_one_beam_that_stops_at_its_first_end_is_greedy_search(seed):
    config = GenerationConfig(eos_token_id=EOS, pad_token_id=PAD, early_stopping=True)
    settings = resolve(config, 1)
    arguments = PROMPT, [], stopping_criteria(settings), settings
    beams = beam_search(TableModel(seed), *arguments).sequences
    np.testing.assert_array_equal(beams, greedy_search(TableModel(seed), *arguments).sequences)


@pytest.mark.parametrize("length_penalty", [-1.0, 0.0, 1.0, 2.5])
@pytest.mark.parametrize("seed", range(4))
def test_a_score_is_the_sum_of_log_probabilities_over_a_power_of_the_length(seed, length_penalty):
    model = TableModel(seed)
    output = search(model, length_penalty=length_penalty, num_return_sequences=3)
    for row, sequence in enumerate(map(without_padding, output.sequences)):
        total = model.log_prob(row // 3, sequence, 1)
        expected = total / (len(sequence) - 1) ** length_penalty
        np.testing.assert_allclose(output.sequences_scores[row], expected, rtol=1e-5)


@pytest.mark.parametrize("seed", range(4))
def test_beam_indices_lead_to_the_log_probability_of_each_token(seed):
    output = search(TableModel(seed), num_return_sequences=3, length_penalty=0.0)
    for row, indices in enumerate(output.beam_indices):
        chosen = [
            output.scores[t][indices[t], output.sequences[row, 1 + t]]
            for t in range((indices >= 0).sum())
        ]
        np.testing.assert_allclose(sum(chosen), output.sequences_scores[row], rtol=1e-6)


@pytest.mark.parametrize("length_penalty", [-0.5, 1.0, 2.0])
def test_a_beam_as_wide_as_all_sequences_finds_the_best_ones_in_order(length_penalty):
    V, new_tokens = 3, 4
    model = TableModel(5, batch=1, vocab=V)
    found = search(
        model, num_beams=V**new_tokens, num_return_sequences=6, max_new_tokens=new_tokens,
        length_penalty=length_penalty,
    )  # fmt: skip
    every = {
        tuple(without_padding(np.array([START, *tokens])))
        for tokens in itertools.product(range(V), repeat=new_tokens)
    }
    ranked = sorted(
        every, key=lambda ids: -model.log_prob(0, ids, 1) / (len(ids) - 1) ** length_penalty
    )
    assert [tuple(without_padding(ids)) for ids in found.sequences] == ranked[:6]


@pytest.mark.parametrize("early_stopping", [True, False, "never"])
def test_an_input_is_searched_as_if_it_were_alone(early_stopping):
    options = {"early_stopping": early_stopping, "num_return_sequences": 2}
    together = search(TableModel(3, batch=3, end_bias=1.0), **options)
    for index in range(3):
        model = TableModel(3, batch=3, end_bias=1.0)
        model.tables = model.tables[index : index + 1]
        alone = search(model, **options)
        rows = slice(2 * index, 2 * index + 2)
        width = alone.sequences.shape[1]
        np.testing.assert_array_equal(together.sequences[rows, :width], alone.sequences)
        assert (together.sequences[rows, width:] == PAD).all()
        np.testing.assert_array_equal(together.sequences_scores[rows], alone.sequences_scores)


def test_only_the_first_beam_counts_at_the_start():
    state = step(PROMPT[:1], [[0.5, 0.05, 0.3, 0.15]], num_beams=3)
    assert state.running.ids[0, :, 1].tolist() == [0, 2, 3]
    assert state.running.beam_indices[0, :, 0].tolist() == [0, 0, 0]
    np.testing.assert_allclose(np.exp(state.running.scores[0]), [0.5, 0.3, 0.15], rtol=1e-6)


def test_an_end_among_the_best_k_enters_the_pool_and_a_later_one_is_dropped():
    second = step(PROMPT[:1], [[0.4, 0.3, 0.2, 0.1]], num_beams=2)
    third = step(PROMPT[:1], [[0.4, 0.2, 0.3, 0.1]], num_beams=2)
    assert np.isfinite(second.finished.scores).tolist() == [[True, False]]
    assert second.finished.ids[0, 0].tolist() == [START, EOS]
    assert np.isfinite(third.finished.scores).tolist() == [[False, False]]
    assert second.running.ids[0, :, 1].tolist() == third.running.ids[0, :, 1].tolist() == [0, 2]


def test_with_several_eos_ids_there_are_candidates_enough_to_go_on():
    rows = [[0.04, 0.4, 0.03, 0.3, 0.2, 0.03]]
    state = step(PROMPT[:1], rows, num_beams=2, eos_token_id=[1, 3, 4])
    assert state.finished.ids[0, :, 1].tolist() == [1, 3]
    assert state.running.ids[0, :, 1].tolist()[0] == 0
    assert np.isfinite(state.running.scores).all()


def test_at_the_longest_length_every_sequence_ends():
    state = step(PROMPT[:1], [[0.4, 0.1, 0.3, 0.2]], num_beams=2, max_length=2)
    assert state.finished.ids[0, :, 1].tolist() == [0, 2]
    assert state.done.tolist() == [True]


def test_the_pool_of_an_input_that_is_done_stays_closed():
    settings = resolve(GenerationConfig(num_beams=1, eos_token_id=EOS, early_stopping=True), 1)
    criteria = stopping_criteria(settings)
    first = beam_step(start_beams(PROMPT, 1), np.log([[0.25, 0.4, 0.35], [0.6, 0.1, 0.3]]),
                      criteria, settings)  # fmt: skip
    second = beam_step(first, np.log([[0.01, 0.98, 0.01]] * 2), criteria, settings)
    assert first.done.tolist() == [True, False]
    assert second.finished.scores[0] == first.finished.scores[0] == pytest.approx(np.log(0.4))
    assert second.finished.scores[1] == pytest.approx(np.log(0.6 * 0.98) / 2)


def test_a_step_leaves_the_state_it_was_given():
    settings = resolve(GenerationConfig(num_beams=2, eos_token_id=EOS), 1)
    state = start_beams(PROMPT, 2)
    log_probs = log_softmax(np.random.default_rng(0).normal(size=(4, 7)))
    first = beam_step(state, log_probs, stopping_criteria(settings), settings)
    again = beam_step(state, log_probs, stopping_criteria(settings), settings)
    np.testing.assert_array_equal(first.running.ids, again.running.ids)
    np.testing.assert_array_equal(first.finished.scores, again.finished.scores)
    assert state.running.ids.shape == (2, 2, 1)


@pytest.mark.parametrize(
    ("early_stopping", "length_penalty", "length"),
    [(False, 1.0, 3), (False, -1.0, 3), ("never", 2.0, 8), ("never", 0.0, 3), ("never", -1.0, 3)],
)
def test_the_pool_is_settled_when_the_best_running_sequence_cannot_enter(
    early_stopping, length_penalty, length
):
    config = GenerationConfig(
        early_stopping=early_stopping, length_penalty=length_penalty, max_length=10
    )
    settings = resolve(config, prompt_length=2)
    best = np.full(3, -4.0, np.float32)
    limit = -4.0 / length**length_penalty
    worst = np.array([limit + 0.01, limit - 0.01, -np.inf], np.float32)
    assert is_settled(best, worst, 3, settings).tolist() == [True, False, False]


def test_early_stopping_settles_a_full_pool_whatever_runs():
    settings = resolve(GenerationConfig(early_stopping=True), 1)
    best, worst = np.array([-0.1, -0.1, -np.inf]), np.array([-9.0, -np.inf, -np.inf])
    assert is_settled(best, worst, 3, settings).tolist() == [True, False, True]


@pytest.mark.parametrize("pad", [0, 5])
def test_shorter_sequences_are_filled_with_pad_even_if_it_is_zero(pad):
    output = search(TableModel(1, end_bias=2.0), pad_token_id=pad, num_return_sequences=3)
    lengths = [1 + (indices >= 0).sum() for indices in output.beam_indices]
    assert min(lengths) < max(lengths) == output.sequences.shape[1]
    for length, sequence in zip(lengths, output.sequences, strict=True):
        assert (sequence[length:] == pad).all()


def test_fewer_sequences_are_the_first_of_more():
    more = search(TableModel(1), num_return_sequences=3)
    fewer = search(TableModel(1), num_return_sequences=1)
    np.testing.assert_array_equal(fewer.sequences_scores, more.sequences_scores[::3])
    width = fewer.sequences.shape[1]
    np.testing.assert_array_equal(fewer.sequences, more.sequences[::3, :width])


def test_the_model_gets_the_prompt_once_and_then_one_token_for_each_row_of_an_open_input():
    model = TableModel(0)
    output = search(model, num_beams=3)
    asked = [np.abs(logits).any(axis=1).sum() for logits in output.logits]
    assert [tokens.shape for tokens, _ in model.calls] == [(rows, 1) for rows in asked]
    assert {*asked} == {3, 6}
    assert model.calls[0][1] is None


@pytest.mark.parametrize(("rows", "moved"), [([0, 1, 2], None), ([0, 0, 1], [0, 0, 1])])
def test_the_model_hears_of_parents_only_if_a_row_moved(rows, moved):
    indices = np.array(rows).reshape(1, 3, 1)
    parents = moved_rows(
        Hypotheses(np.zeros((1, 3, 2)), np.zeros((1, 3)), indices, np.zeros((1, 3, 2)))
    )
    assert (parents if parents is None else parents.tolist()) == moved


def test_where_every_token_is_forbidden_the_prompt_comes_back_alone():
    output = search(TableModel(0, vocab=3), no_repeat_ngram_size=1, eos_token_id=None)
    assert output.sequences.tolist() == [[START], [START]]
    assert output.sequences_scores.tolist() == [-np.inf, -np.inf]
    assert output.beam_indices.shape == (2, 0)


def test_scores_are_float32_log_probabilities_and_logits_are_raw():
    output = search(TableModel(0, vocab=7), num_beams=2, min_length=20)
    expected = log_softmax(output.logits[3])
    expected[:, EOS] = -np.inf
    np.testing.assert_array_equal(output.scores[3], expected)
    kinds = {array.dtype for array in (*output.scores, *output.logits, output.sequences_scores)}
    assert kinds == {np.dtype(np.float32)}


def test_what_was_not_asked_for_is_none():
    output = search(TableModel(0), return_dict_in_generate=False)
    assert output.scores is output.logits is output.sequences_scores is None
    assert output.beam_indices.shape[0] == output.sequences.shape[0] == 2


def test_log_softmax_is_its_formula_and_survives_large_logits():
    x = np.random.default_rng(0).normal(size=(3, 5))
    expected = np.log(np.exp(x) / np.exp(x).sum(axis=1, keepdims=True))
    np.testing.assert_allclose(log_softmax(x + 1e4), expected, rtol=1e-9)


@pytest.mark.parametrize("k", [1, 3, 8, 12])
def test_top_k_sorts_the_largest_and_equals_by_place(k):
    scores = np.random.default_rng(0).integers(0, 3, (4, 8)).astype(np.float32)
    values, places = top_k(scores, k)
    for row in range(4):
        assert values[row].tolist() == sorted(scores[row].tolist(), reverse=True)[:k]
        assert values[row].tolist() == scores[row, places[row]].tolist()
        pairs = list(zip(-values[row], places[row], strict=True))
        assert pairs == sorted(set(pairs))
