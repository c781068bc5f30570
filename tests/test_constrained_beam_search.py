from dataclasses import replace

import numpy as np
import pytest
from device_array import DeviceArray
from model_support import small_batch, small_pair
from stored_searches import assert_stored, expected, stored
from table_model import TableModel

from minibert2bert.generation.beam_search import log_softmax
from minibert2bert.generation.call_arguments import CallArguments
from minibert2bert.generation.config import GenerationConfig
from minibert2bert.generation.constrained_beam_search import (
    constrained_step,
    start_constrained,
)
from minibert2bert.generation.constraints import Progress, progress_after, words_of
from minibert2bert.generation.forced_words import forced_continuations, share_beams
from minibert2bert.generation.hypotheses import Hypotheses
from minibert2bert.generation.settings import resolve
from minibert2bert.generation.stopping import stopping_criteria
from minibert2bert.generation.strategies import generate_ids

EOS, PAD, START = 1, 0, 2
OPTIONS = {"eos_token_id": EOS, "pad_token_id": PAD, "max_length": 12, "num_beams": 4}
EVERYTHING = {"output_scores": True, "return_dict_in_generate": True}


def search(model, words, call=None, prompt=None, **options):
    config = GenerationConfig(**{**OPTIONS, **EVERYTHING, **options}, force_words_ids=words)
    prompt = np.full((len(model.tables), 1), START) if prompt is None else prompt
    return generate_ids(model, prompt, config, call or CallArguments())


def run_steps(words, *rows, prompt=(START,), state=None, **options):
    """Steps from one prompt or a state, each with the same probabilities for all beams."""
    options = {**OPTIONS, "num_beams": 2, **options}
    settings = resolve(GenerationConfig(**options, force_words_ids=words), len(prompt))
    state = state or start_constrained(np.array([prompt]), settings)
    for probs in rows:
        with np.errstate(divide="ignore"):
            log_probs = np.log(np.array([probs] * settings.num_beams, np.float32))
        state = constrained_step(state, log_probs, stopping_criteria(settings), settings)
    return state


def contains(sequence, word):
    forms = word if isinstance(word[0], list) else [word]
    return any(
        sequence[start : start + len(form)] == form
        for form in forms
        for start in range(len(sequence))
    )


@pytest.mark.parametrize(("case", "name"), stored("words"))
def test_ids_and_scores_are_those_of_version_4(case, name):
    output = assert_stored(case, name)
    steps = expected(case, name, "scores")
    if steps is not None:
        for rows, hypothesis in zip(output.beam_indices, output.hypotheses, strict=True):
            places = range(hypothesis.length)
            sums = [steps[t, rows[t], hypothesis.tokens[t]] for t in places]
            np.testing.assert_allclose(np.cumsum(hypothesis.log_probs), sums, 2e-6, 1e-5)


@pytest.mark.parametrize(
    "words", [[[5]], [[5, 3], [6]], [[[4, 6], [3, 3, 5]]], [[4], [4], [[5, 5], [6, 3]]]]
)
def test_what_has_ended_contains_all_words(words):
    answers = []
    for seed in range(6):
        model = TableModel(seed, batch=3, end_bias=4.0)
        output = search(model, words, num_beams=6, num_return_sequences=4, max_length=16)
        answers += [hypothesis.tokens.tolist() for hypothesis in output.hypotheses]
    ended = [answer[:-1] for answer in answers if answer[-1] == EOS]
    assert len(ended) > len(answers) / 3
    assert all(contains(answer, word) for answer in ended for word in words)


def test_an_end_without_the_words_is_lost_and_one_with_them_enters_the_pool():
    without = run_steps([[3]], [0.1, 0.5, 0.3, 0.1])
    assert np.isneginf(without.beams.finished.scores).all()
    both = run_steps([[3]], [0.1, 0.5, 0.3, 0.1], [0.1, 0.6, 0.2, 0.1])
    assert both.beams.finished.ids[0, 0].tolist() == [START, 3, EOS]
    assert np.exp(both.beams.finished.scores[0, 0] * 2) == pytest.approx(0.1 * 0.6, rel=1e-5)


def test_the_words_of_the_prompt_count():
    assert run_steps([[7, 3]], prompt=(START, 7, 3)).progress[0, 1] == Progress((), complete=1)
    begun = run_steps([[7, 3]], [0.1, 0.5, 0.3, 0.1], prompt=(START, 7))
    assert begun.beams.running.ids[0, :, -1].tolist() == [3, 2]


def test_an_unlikely_word_is_forced_and_takes_a_beam():
    state = run_steps([[3, 0]], [0.3, 0.05, 0.6, 0.05])
    assert state.beams.running.ids[0, :, -1].tolist() == [3, 2]
    np.testing.assert_allclose(np.exp(state.beams.running.scores), [[0.05, 0.6]], rtol=1e-6)
    assert state.progress[0, 0] == progress_after([3], words_of([[3, 0]]))
    assert state.progress[0, 1] == Progress(words_of([[3, 0]]))


def test_a_continuation_that_the_processors_forbid_takes_no_beam():
    state = run_steps([[3]], [0.3, 0.1, 0.6, 1e-40])
    forbidden = run_steps([[3]], [0.3, 0.1, 0.6, 0.0])
    assert state.beams.running.ids[0, :, -1].tolist() == [3, 2]
    assert forbidden.beams.running.ids[0, :, -1].tolist() == [2, 0]


def hypotheses(tokens, scores, parents=None):
    """Continuations of one input's beams; parents are the beams."""
    count = len(tokens)
    return Hypotheses(
        ids=np.array([tokens])[:, :, None],
        scores=np.array([scores], np.float32),
        beam_indices=np.array([parents or [0] * count])[:, :, None],
        log_probs=np.zeros((1, count, 1), np.float32),
    )


def test_the_banks_take_turns_and_the_fullest_begins():
    words = words_of([[5, 6], [7]])
    progress = np.array([[Progress(words), progress_after([5], words)]], dtype=object)
    likely = hypotheses([3, 4, 8, 9], [-1.0, -2.0, -3.0, -4.0])
    forced = hypotheses([5, 7, 6], [-9.0, -7.0, -8.0], parents=[0, 0, 1])
    # Of the banks 2 (7, and 6 after 5), 1 (5) and 0, in turns; then the second of each.
    shared = share_beams(likely, forced, progress, words)
    assert shared.ids[0, :, 0].tolist() == [7, 5, 3, 6]
    assert shared.scores[0].tolist() == [-7.0, -9.0, -1.0, -8.0]


def test_a_score_a_hundred_worse_weighs_as_much_as_a_bank():
    words = words_of([[5]])
    progress = np.full((1, 1), Progress(words), dtype=object)
    shared = [
        share_beams(
            hypotheses([3, 4], [-1.0, -2.0]), hypotheses([5], [score]), progress, words
        ).ids[0, :, 0].tolist()
        for score in (-100.0, -102.5)
    ]  # fmt: skip
    assert shared == [[5, 3], [3, 5]]


def test_an_input_without_forced_continuations_keeps_the_likely_ones():
    words = words_of([[5]])
    progress = np.array([[Progress((), complete=1), Progress(words)]], dtype=object)
    likely = hypotheses([3, 4], [-1.0, -2.0], parents=[1, 0])
    nothing = hypotheses([5], [-np.inf])
    assert share_beams(likely, nothing, progress, words).ids[0, :, 0].tolist() == [3, 4]
    # The same with something forced for it: 4, after the word, is in the fuller bank.
    forced = hypotheses([5], [-50.0], parents=[1])
    assert share_beams(likely, forced, progress, words).ids[0, :, 0].tolist() == [4, 3]


def test_forced_are_the_next_tokens_of_all_beams_but_what_goes_on_anyway():
    words = words_of([[5, 6], [7]])
    running = hypotheses([3, 5, 3], [-1.0, -2.0, -np.inf])
    progress = np.array([[progress_after([t], words) for t in (3, 5, 3)]], dtype=object)
    log_probs = log_softmax(np.random.default_rng(0).normal(size=(3, 9)).astype(np.float32))
    likely = hypotheses([8, 7, 6], [-1.0] * 3, parents=[1, 0, 0])
    forced = forced_continuations(running, progress, log_probs, likely)
    assert forced.ids[0].tolist() == [[3, 5], [5, 6]]
    sums = [-1.0 + log_probs[0, 5], -2.0 + log_probs[1, 6]]
    np.testing.assert_allclose(forced.scores[0], sums, rtol=1e-6)


def test_alternatives_that_begin_alike_are_both_under_way():
    words = words_of([[[5, 6, 3], [5, 7, 3]]])
    progress = np.array([[progress_after([5], words)]], dtype=object)
    forced = hypotheses([6, 7], [-8.0, -9.0])
    shared = share_beams(hypotheses([3, 4], [-1.0, -2.0]), forced, progress, words)
    # All the same bank would be 6, 3; with 7 taken for broken off, it would stay behind 3.
    assert shared.ids[0, :, 0].tolist() == [6, 3]
    three = share_beams(hypotheses([3, 4, 8], [-1.0, -2.0, -3.0]), forced, progress, words)
    assert three.ids[0, :, 0].tolist() == [6, 3, 7]


def test_what_is_cut_off_enters_the_pool_if_it_has_the_words():
    probs = [0.3, 0.05, 0.6, 0.05]
    fulfilled = run_steps([[3]], probs, max_length=2, num_return_sequences=1)
    assert fulfilled.beams.finished.ids[0, :, 1].tolist() == [3, PAD]
    assert np.isfinite(fulfilled.beams.finished.scores).tolist() == [[True, False]]
    too_few = run_steps([[3]], probs, max_length=2, num_return_sequences=2)
    assert too_few.beams.finished.ids[0, :, 1].tolist() == [2, 3]
    assert fulfilled.beams.done.tolist() == too_few.beams.done.tolist() == [True]


FIRST, SECOND = [0.1, 0.4, 0.05, 0.45], [0.08, 0.85, 0.04, 0.03]
"""With the word 3 they leave 3, end in the pool, and run on with 3, 0 and 3, 2."""


def test_a_candidate_that_has_ended_may_settle_the_pool():
    state = run_steps([[3]], FIRST, SECOND, SECOND, length_penalty=0.0)
    # Before the step, 3, 0 was likelier than 3, 0, end, the worst of the pool.
    found = np.exp(state.beams.finished.scores)
    np.testing.assert_allclose(found, [[0.45 * 0.85, 0.45 * 0.08 * 0.85]], rtol=1e-5)
    assert state.beams.done.tolist() == [True]


def test_at_the_longest_length_an_end_may_close_the_pool_before_what_is_cut_off():
    rows, options = (FIRST, SECOND, [0.5, 0.45, 0.03, 0.02]), {"max_length": 4}
    early, late = (
        run_steps([[3]], *rows, **options, early_stopping=early_stopping)
        for early_stopping in (True, False)
    )
    assert early.beams.finished.ids[0, :, 1:].tolist() == [[3, EOS, PAD], [3, 0, EOS]]
    assert late.beams.finished.ids[0, :, 1:].tolist() == [[3, EOS, PAD], [3, 0, 0]]


def test_the_pool_of_an_input_that_is_done_stays_closed():
    state = run_steps([[3]], FIRST, SECOND)
    done = replace(state, beams=replace(state.beams, done=np.array([True])))
    for longest in (4, 12):
        after = run_steps([[3]], SECOND, state=done, max_length=longest)
        scores = after.beams.finished.scores
        np.testing.assert_array_equal(scores, state.beams.finished.scores)


@pytest.mark.parametrize("early_stopping", [True, False, "never"])
def test_an_input_is_searched_as_if_it_were_alone(early_stopping):
    options = {"num_beams": 4, "early_stopping": early_stopping, "num_return_sequences": 4}
    options |= {"max_length": 10, "force_words_ids": [[7, 8], [[9], [10, 5]]], **EVERYTHING}
    model, batch = small_pair(), small_batch()
    model.parameters()["decoder.lm_head.bias"][1] += 2.0
    together = model.generate(batch["input_ids"], batch["attention_mask"], **options)
    for index in range(3):
        counted = batch["attention_mask"][index].sum()
        alone = model.generate(batch["input_ids"][index : index + 1, :counted], **options)
        rows, width = slice(4 * index, 4 * index + 4), alone.sequences.shape[1]
        np.testing.assert_array_equal(together.sequences[rows, :width], alone.sequences)
        np.testing.assert_allclose(
            together.sequences_scores[rows], alone.sequences_scores, rtol=1e-5
        )


@pytest.mark.parametrize("seed", range(3))
def test_beam_indices_lead_to_the_log_probability_of_each_token(seed):
    output = search(TableModel(seed, end_bias=1.0), [[5, 3], [6]], num_return_sequences=4)
    for row, hypothesis in enumerate(output.hypotheses):
        places = output.beam_indices[row, : hypothesis.length]
        assert (places // 4 == row // 4).all()
        chosen = [output.scores[t][places[t], hypothesis.tokens[t]] for t in range(len(places))]
        np.testing.assert_array_equal(hypothesis.log_probs, np.array(chosen))
        assert output.sequences_scores[row] == pytest.approx(hypothesis.score, rel=1e-5)


@pytest.mark.parametrize("seed", range(4))
def test_the_record_leads_from_every_returned_sequence_to_its_start(seed):
    model, call = TableModel(seed, end_bias=1.0), CallArguments(record_search=True)
    output = search(model, [[5, 3], [6]], call, num_return_sequences=4, max_length=8)
    steps = [c for c in output.search.candidates if c.fate == "kept"]
    kept = {(c.step, c.input, c.beam): c for c in steps}
    for row, hypothesis in enumerate(output.hypotheses):
        paths = []
        for last in output.search.of(row // 4, "finished"):
            path = [last]
            while path[0].step > 0:
                path.insert(0, kept[path[0].step - 1, last.input, path[0].parent])
            paths.append((last.final_score, [c.token for c in path]))
        assert paths.count((output.sequences_scores[row], hypothesis.tokens.tolist())) == 1


def test_the_record_tells_which_candidates_ended_without_their_words():
    output = search(TableModel(0, end_bias=3.0), [[5, 3]], CallArguments(record_search=True))
    first = [c for c in output.search.candidates if c.step == 0 and c.token == EOS]
    assert {c.reason for c in first} == {"it ended, but without all of its forced words"}


@pytest.mark.parametrize("seed", range(3))
def test_on_another_device_the_same_is_generated(seed):
    words = [[5, 3], [[6], [4, 4]]]
    host = search(TableModel(seed, end_bias=1.0), words)
    there = search(TableModel(seed, end_bias=1.0, wrap=DeviceArray), words)
    np.testing.assert_array_equal(there.sequences, host.sequences)
    np.testing.assert_array_equal(there.sequences_scores, host.sequences_scores)
    assert isinstance(there.scores[0], DeviceArray)


@pytest.mark.parametrize(
    ("words", "message"), [([[EOS]], "eos_token_id 1"), ([[7]], "below the vocabulary's 7, got 7")]
)
def test_words_that_no_answer_can_have_are_refused(words, message):
    with pytest.raises(ValueError, match=message):
        search(TableModel(0), words)
