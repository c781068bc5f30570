import numpy as np
import pytest
from device_array import DeviceArray
from model_support import small_batch, small_pair
from stored_searches import assert_stored, expected, stored
from table_model import TableModel

from minibert2bert.device import to_numpy
from minibert2bert.generation.beam_search import BeamState, start_beams
from minibert2bert.generation.call_arguments import CallArguments
from minibert2bert.generation.config import GenerationConfig
from minibert2bert.generation.group_beam_search import (
    choices,
    group_step,
    groups_step,
    start_groups,
)
from minibert2bert.generation.hamming_diversity import hamming_diversity
from minibert2bert.generation.hypotheses import Hypotheses
from minibert2bert.generation.settings import resolve
from minibert2bert.generation.stopping import stopping_criteria
from minibert2bert.generation.strategies import generate_ids

EOS, PAD, START = 1, 0, 2
GROUPS = {"num_beams": 6, "num_beam_groups": 3, "diversity_penalty": 0.8}
OPTIONS = {"eos_token_id": EOS, "pad_token_id": PAD, "max_length": 9, **GROUPS}
EVERYTHING = {"output_scores": True, "return_dict_in_generate": True}


def search(model, call=None, **options):
    config = GenerationConfig(**{**OPTIONS, **EVERYTHING, **options})
    prompt = np.full((len(model.tables), 1), START)
    return generate_ids(model, prompt, config, call or CallArguments())


def settings_of(**options):
    return resolve(GenerationConfig(**{**OPTIONS, **options}), 1)


def one_step(probs, before=None, **options):
    """A step of one group of two beams, with the same probabilities for both."""
    settings = settings_of(num_beams=2, num_beam_groups=1, **options)
    state = before or start_beams(np.array([[START]]), 2)
    log_probs = np.log(np.array([probs, probs], np.float32))
    return group_step(state, log_probs, stopping_criteria(settings), settings)


@pytest.mark.parametrize(("case", "name"), stored("groups"))
def test_ids_and_scores_are_those_of_version_4(case, name):
    output = assert_stored(case, name)
    steps = expected(case, name, "scores")
    if steps is not None:
        for rows, hypothesis in zip(output.beam_indices, output.hypotheses, strict=True):
            places = range(hypothesis.length)
            theirs = [steps[t, rows[t], hypothesis.tokens[t]] for t in places]
            np.testing.assert_allclose(hypothesis.log_probs, theirs, rtol=2e-6, atol=2e-6)


def test_the_charge_is_the_penalty_times_the_beams_that_chose_the_token():
    log_probs = np.log(np.random.default_rng(0).dirichlet(np.ones(5), 4))
    chosen = np.array([[3, 3, 1], [0, -1, 5]])
    charged = hamming_diversity(log_probs, chosen, 0.5)
    expected = log_probs.copy()
    for row, token in ((0, 3), (0, 3), (0, 1), (1, 3), (1, 3), (1, 1), (2, 0), (3, 0)):
        expected[row, token] -= 0.5
    np.testing.assert_allclose(charged, expected, rtol=1e-12)


def test_the_first_group_is_charged_nothing_and_searches_as_if_it_were_alone():
    settings = settings_of()
    criteria = stopping_criteria(settings)
    groups = start_groups(np.full((2, 1), START), settings)
    log_probs = np.log(np.random.default_rng(1).dirichlet(np.ones(7), 12).astype(np.float32))
    after, processed = groups_step(groups, log_probs, [], criteria, settings)
    first = log_probs.reshape(2, 3, 2, 7)[:, 0].reshape(4, 7)
    alone = group_step(groups[0], first, criteria, settings)
    np.testing.assert_array_equal(after[0].running.ids, alone.running.ids)
    np.testing.assert_array_equal(after[0].running.scores, alone.running.scores)
    np.testing.assert_array_equal(processed.reshape(2, 3, 2, 7)[:, 0].reshape(4, 7), first)


@pytest.mark.parametrize("seed", range(4))
def test_under_a_large_penalty_no_group_takes_a_token_that_another_has_just_taken(seed):
    settings = settings_of(diversity_penalty=100.0, eos_token_id=None)
    groups = start_groups(np.full((2, 1), START), settings)
    rng = np.random.default_rng(seed)
    for _ in range(3):
        log_probs = np.log(rng.dirichlet(np.ones(17), 12).astype(np.float32))
        groups, _ = groups_step(groups, log_probs, [], stopping_criteria(settings), settings)
        for index in range(2):
            taken = [set(group.running.ids[index, :, -1].tolist()) for group in groups]
            assert sum(map(len, taken)) == len(set.union(*taken))


def test_a_group_that_is_done_charges_the_later_ones_for_padding():
    running = Hypotheses(np.array([[[4], [5]], [[4], [5]]]), np.array([[-1, -np.inf]] * 2),
                         np.zeros((2, 2, 1), int), np.zeros((2, 2, 1)))  # fmt: skip
    before = BeamState(running, running, np.array([False, True]))
    found = choices(before, before, settings_of(pad_token_id=6))
    assert found.tolist() == [[4, -1], [6, 6]]


def test_groups_that_end_at_once_find_the_same_and_both_are_returned():
    model = TableModel(0, batch=1, end_bias=20.0)
    output = search(model, num_return_sequences=3, num_beams=3)
    assert output.sequences.tolist() == [[START, EOS]] * 3
    assert output.beam_indices[:, 0].tolist() == [0, 1, 2]
    assert len(model.calls) == 1


def test_a_candidate_that_has_ended_may_settle_the_pool():
    first = one_step([0.1, 0.5, 0.05, 0.35])
    settled = one_step([0.1, 0.85, 0.01, 0.04], first, length_penalty=0.0)
    # exp of the scores: ended 0.5 and 0.35 * 0.85; the best candidate, 0.2975, has ended itself.
    np.testing.assert_allclose(np.exp(settled.finished.scores), [[0.5, 0.2975]], rtol=1e-5)
    assert settled.done.tolist() == [True]
    open_still = one_step([0.55, 0.4, 0.01, 0.04], first, length_penalty=0.0)
    assert np.isfinite(open_still.finished.scores).all()
    assert open_still.done.tolist() == [False]


def test_at_the_longest_length_an_end_may_close_the_pool_before_what_is_cut_off():
    first = one_step([0.1, 0.5, 0.05, 0.35], max_length=3)
    probs = [0.55, 0.4, 0.01, 0.04]
    early, late = (one_step(probs, first, max_length=3, early_stopping=e) for e in (True, False))
    assert early.finished.ids[0, :, 1:].tolist() == [[EOS, PAD], [3, EOS]]
    assert late.finished.ids[0, :, 1:].tolist() == [[EOS, PAD], [3, 0]]
    assert early.done.tolist() == late.done.tolist() == [True]


def test_the_pool_of_a_group_that_is_done_stays_closed():
    first = one_step([0.1, 0.5, 0.05, 0.35])
    done = BeamState(first.running, first.finished, np.array([True]))
    after = one_step([0.01, 0.97, 0.01, 0.01], done)
    np.testing.assert_array_equal(after.finished.scores, first.finished.scores)


def test_several_end_ids_leave_every_group_candidates_to_go_on():
    after = one_step([0.04, 0.4, 0.03, 0.3, 0.2, 0.03], eos_token_id=[1, 3, 4])
    assert after.finished.ids[0, :, 1].tolist() == [1, 3]
    assert after.running.ids[0, :, 1].tolist()[0] == 0
    assert np.isfinite(after.running.scores).all()


@pytest.mark.parametrize("seed", range(3))
def test_beam_indices_lead_to_the_log_probability_of_each_token(seed):
    output = search(TableModel(seed), num_return_sequences=6)
    for row, hypothesis in enumerate(output.hypotheses):
        places = output.beam_indices[row, : hypothesis.length]
        assert ((places // 6 == row // 6) & (places >= 0)).all()
        chosen = [output.scores[t][places[t], hypothesis.tokens[t]] for t in range(len(places))]
        np.testing.assert_array_equal(hypothesis.log_probs, np.array(chosen))
        assert output.sequences_scores[row] == pytest.approx(hypothesis.score, rel=1e-5)


@pytest.mark.parametrize("early_stopping", [True, False, "never"])
def test_an_input_is_searched_as_if_it_were_alone(early_stopping):
    options = {**GROUPS, "early_stopping": early_stopping, "num_return_sequences": 6}
    options |= {"max_length": 10, **EVERYTHING}
    model, batch = small_pair(), small_batch()
    model.parameters()["decoder.lm_head.bias"][1] += 2.0
    together = model.generate(batch["input_ids"], batch["attention_mask"], **options)
    for index in range(3):
        counted = batch["attention_mask"][index].sum()
        alone = model.generate(batch["input_ids"][index : index + 1, :counted], **options)
        rows, width = slice(6 * index, 6 * index + 6), alone.sequences.shape[1]
        np.testing.assert_array_equal(together.sequences[rows, :width], alone.sequences)
        np.testing.assert_allclose(
            together.sequences_scores[rows], alone.sequences_scores, rtol=1e-5
        )


def test_the_model_is_asked_once_a_step_and_the_processors_once_a_group():
    model, seen = TableModel(0), []

    def watch(ids, scores):
        seen.append((len(ids), scores.shape))
        return scores

    output = search(model, CallArguments(logits_processor=[watch]))
    assert len(model.calls) == len(output.scores)
    assert seen == [(4, (4, 7))] * 3 * len(output.scores)


def test_processors_with_something_for_every_row_get_the_rows_of_a_group():
    ids = np.array([[3, 4], [5, 6]])
    allowed = CallArguments(prefix_allowed_tokens_fn=lambda index, _: [EOS, *ids[index]])
    output = search(TableModel(0), allowed, num_return_sequences=6)
    for row, hypothesis in enumerate(output.hypotheses):
        assert set(hypothesis.tokens.tolist()) <= {EOS, *ids[row // 6].tolist()}


@pytest.mark.parametrize("seed", range(3))
def test_the_record_leads_from_every_returned_sequence_to_its_start(seed):
    output = search(TableModel(seed), CallArguments(record_search=True), num_return_sequences=6)
    steps = [c for c in output.search.candidates if c.fate == "kept"]
    kept = {(c.step, c.input, c.group, c.beam): c for c in steps}
    for row, hypothesis in enumerate(output.hypotheses):
        paths = []
        for last in output.search.of(row // 6, "finished"):
            path = [last]
            while path[0].step > 0:
                path.insert(0, kept[path[0].step - 1, last.input, last.group, path[0].parent])
            paths.append((last.final_score, [c.token for c in path]))
        assert (output.sequences_scores[row], hypothesis.tokens.tolist()) in paths


@pytest.mark.parametrize("seed", range(3))
def test_on_another_device_the_same_is_generated(seed):
    host = search(TableModel(seed), num_return_sequences=4)
    there = search(TableModel(seed, wrap=DeviceArray), num_return_sequences=4)
    np.testing.assert_array_equal(there.sequences, host.sequences)
    np.testing.assert_array_equal(there.sequences_scores, host.sequences_scores)
    assert isinstance(there.scores[0], DeviceArray)
    np.testing.assert_array_equal(to_numpy(there.scores[1]), host.scores[1])


def test_a_step_leaves_the_state_it_was_given():
    first = one_step([0.1, 0.5, 0.05, 0.35])
    again, once_more = (one_step([0.55, 0.4, 0.01, 0.04], first) for _ in range(2))
    np.testing.assert_array_equal(again.finished.scores, once_more.finished.scores)
    np.testing.assert_array_equal(again.running.ids, once_more.running.ids)
