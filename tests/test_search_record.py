"""The record of a beam search: its fates are those of the search itself."""

import numpy as np
import pytest
from table_model import TableModel

from minibert2bert.generation.call_arguments import CallArguments
from minibert2bert.generation.config import GenerationConfig
from minibert2bert.generation.strategies import generate_ids

EOS, PAD, START, K = 1, 0, 2, 3
PROMPT = np.array([[START], [START]])


def search(seed, record=True, **options):
    options = {"num_beams": K, "eos_token_id": EOS, "pad_token_id": PAD, "max_length": 8, **options}
    config = GenerationConfig(return_dict_in_generate=True, output_scores=True, **options)
    return generate_ids(TableModel(seed), PROMPT, config, CallArguments(record_search=record))


def path_of(search_record, candidate):
    """The tokens of a candidate, followed back through the beams that were kept."""
    tokens = [candidate.token]
    while candidate.step > 0:
        (candidate,) = (
            c
            for c in search_record.of(candidate.input, "kept")
            if c.step == candidate.step - 1 and c.beam == candidate.parent
        )
        tokens.insert(0, candidate.token)
    return tokens


@pytest.mark.parametrize("seed", range(5))
def test_every_returned_sequence_is_a_finished_candidate_whose_path_is_the_sequence(seed):
    output = search(seed, num_return_sequences=K)
    for row, hypothesis in enumerate(output.hypotheses):
        finished = output.search.of(row // K, "finished")
        (last,) = (c for c in finished if path_of(output.search, c) == hypothesis.tokens.tolist())
        assert last.final_score == output.sequences_scores[row]
        assert last.log_prob == hypothesis.log_probs[-1]


@pytest.mark.parametrize("seed", range(5))
def test_a_score_is_the_parents_score_and_the_tokens_log_prob(seed):
    record = search(seed).search
    kept = {(c.step, c.input, c.beam): c for c in record.candidates if c.fate == "kept"}
    for candidate in record.candidates:
        assert candidate.step > 0 or candidate.parent == 0
        before = (
            kept[candidate.step - 1, candidate.input, candidate.parent].score
            if (candidate.step)
            else 0.0
        )
        assert candidate.score == pytest.approx(before + candidate.log_prob, abs=2e-6)


@pytest.mark.parametrize("seed", range(5))
def test_each_step_of_an_input_ranks_twice_the_beams_and_keeps_the_beams(seed):
    record = search(seed).search
    steps = {(c.input, c.step) for c in record.candidates}
    for index, step in steps:
        here = [c for c in record.of(index) if c.step == step]
        scores = [c.score for c in here]
        assert [c.rank for c in here] == list(range(2 * K))
        assert scores == sorted(scores, reverse=True)
        kept = [c.beam for c in here if c.fate == "kept"]
        ended = sum(c.token == EOS or step == 6 for c in here)
        assert kept == list(range(min(K, 2 * K - ended)))


def test_the_reasons_for_dropping_are_told_apart():
    record = [c for seed in range(30) for c in search(seed).search.candidates]
    reasons = {c.reason for c in record if c.fate == "dropped"}
    assert len(reasons) == 3
    late = [c for c in record if c.reason == "it ended, but too many candidates were better"]
    assert late
    assert all(c.rank >= K and c.final_score is None for c in late)
    crowded = [c for c in record if c.reason == "it ended, but the pool is full of better ones"]
    assert all(c.rank < K for c in crowded)


def test_a_record_changes_nothing_and_is_kept_only_if_asked_for():
    recorded, plain = search(3), search(3, record=False)
    np.testing.assert_array_equal(recorded.sequences, plain.sequences)
    np.testing.assert_array_equal(recorded.sequences_scores, plain.sequences_scores)
    assert plain.search is None


def test_a_search_without_beams_has_no_tree_and_says_so():
    with pytest.raises(ValueError, match="set num_beams above 1"):
        search(0, num_beams=1)
