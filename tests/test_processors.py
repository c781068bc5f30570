"""The list of the processors: what is on it, in which order, and what each is given."""

import numpy as np
import pytest
from device_array import DeviceArray
from processor_support import ROWS, V, draw_ids, draw_scores

from minibert2bert.generation.call_arguments import NOTHING, CallArguments
from minibert2bert.generation.config import GenerationConfig
from minibert2bert.generation.processors import (
    AT_LAST,
    FOR_DRAWS,
    IN_ORDER,
    logits_processors,
    process,
)
from minibert2bert.generation.settings import resolve

rng = np.random.default_rng(0)
IDS = draw_ids(rng, 4)
SCORES = draw_scores(rng)
SOURCE = draw_ids(rng, 5)

EVERYTHING = {
    "sequence_bias": [[[int(IDS[0, -1]), 5], 2.5]],
    "encoder_repetition_penalty": 1.3,
    "repetition_penalty": 1.4,
    "no_repeat_ngram_size": 2,
    "encoder_no_repeat_ngram_size": 2,
    "bad_words_ids": [[6], [int(IDS[1, -1]), 7]],
    "min_length": 9,
    "min_new_tokens": 9,
    "forced_bos_token_id": 4,
    "forced_eos_token_id": 2,
    "remove_invalid_values": True,
    "exponential_decay_length_penalty": (1, 1.5),
    "suppress_tokens": [8],
    "begin_suppress_tokens": [9],
    "temperature": 0.7,
    "top_h": 0.9,
    "top_k": 6,
    "top_p": 0.8,
    "min_p": 0.05,
    "typical_p": 0.7,
    "epsilon_cutoff": 0.02,
    "eta_cutoff": 0.02,
    "renormalize_logits": True,
}


def allow(index, ids):
    return [0, 1 + int(ids[-1]) % 3]


def double(ids, scores):
    return scores * 2


def list_for(prompt_length=1, call=NOTHING, **options):
    config = GenerationConfig(**{"max_length": 20, "eos_token_id": 2, **options})
    return logits_processors(resolve(config, prompt_length), call)


def list_of(name, rows=slice(None)):
    """The list for one option alone, set so that it changes something for IDS."""
    if name in OF_THE_CALL:
        return list_for(call=CallArguments(**{name: OF_THE_CALL[name]}))
    options = {name: EVERYTHING[name], **TOGETHER_WITH.get(name, {})}
    if name in DRAWN:
        options = {"do_sample": True, "top_k": 0, **options}
    call = CallArguments(encoder_input_ids=SOURCE[rows])
    return list_for(options.pop("prompt_length", 1), call, **options)


OF_THE_CALL = {"prefix_allowed_tokens_fn": allow, "logits_processor": [double]}
TOGETHER_WITH = {
    "begin_suppress_tokens": {"prompt_length": IDS.shape[1]},
    "forced_eos_token_id": {"max_length": IDS.shape[1] + 1},
}
DRAWN = {name for name, *_ in FOR_DRAWS}
NAMES = [row[0] for row in (*IN_ORDER, *FOR_DRAWS, *AT_LAST)]


def ids_for(name):
    return IDS[:, :1] if name == "forced_bos_token_id" else IDS


def test_the_order_is_that_of_the_reference():
    assert NAMES == [
        "sequence_bias",
        "encoder_repetition_penalty",
        "repetition_penalty",
        "no_repeat_ngram_size",
        "encoder_no_repeat_ngram_size",
        "bad_words_ids",
        "min_length",
        "min_new_tokens",
        "prefix_allowed_tokens_fn",
        "forced_bos_token_id",
        "forced_eos_token_id",
        "remove_invalid_values",
        "exponential_decay_length_penalty",
        "suppress_tokens",
        "begin_suppress_tokens",
        "logits_processor",
        "temperature",
        "top_h",
        "top_k",
        "top_p",
        "min_p",
        "typical_p",
        "epsilon_cutoff",
        "eta_cutoff",
        "renormalize_logits",
    ]


def test_nothing_is_on_the_list_by_default():
    assert list_for() == []


@pytest.mark.parametrize("off", [{"top_k": 0}, {"top_k": 0, "epsilon_cutoff": 1.0, "top_p": 1.5}])
def test_draws_from_all_tokens_need_no_filter(off):
    assert list_for(do_sample=True, **off) == []


def test_draws_are_from_the_best_50_by_default():
    (processor,) = list_for(do_sample=True)
    scores = rng.normal(size=(2, 60)).astype(np.float32)
    assert np.isfinite(processor(IDS[:2], scores)).sum(axis=1).tolist() == [50, 50]


def test_filters_wait_for_do_sample():
    options = {name: EVERYTHING[name] for name, *_ in FOR_DRAWS}
    assert list_for(**options) == []
    assert len(list_for(do_sample=True, **options)) == len(FOR_DRAWS)


@pytest.mark.parametrize("name", NAMES)
def test_each_option_changes_the_scores(name):
    after = process(list_of(name), ids_for(name), SCORES)
    assert after.shape == SCORES.shape
    assert not np.array_equal(after, SCORES)


@pytest.mark.parametrize("name", NAMES)
def test_a_processor_changes_neither_its_arguments_nor_the_dtype(name):
    ids, scores = ids_for(name).copy(), SCORES.copy()
    for processor in list_of(name):
        assert processor(ids, scores).dtype == np.float32
    np.testing.assert_array_equal(ids, ids_for(name))
    np.testing.assert_array_equal(scores, SCORES)


@pytest.mark.parametrize("name", NAMES)
def test_scores_of_a_device_are_processed_there(name):
    there = process(list_of(name), ids_for(name), DeviceArray(SCORES.copy()))
    expected = process(list_of(name), ids_for(name), SCORES)
    np.testing.assert_array_equal(there.get(), expected)


@pytest.mark.parametrize("name", NAMES)
def test_a_row_among_others_is_processed_as_if_it_were_alone(name):
    together = process(list_of(name), ids_for(name), SCORES)
    for row in range(ROWS):
        one = slice(row, row + 1)
        alone = process(list_of(name, one), ids_for(name)[one], SCORES[one])
        np.testing.assert_array_equal(together[one], alone)


def test_a_processor_that_has_nothing_to_do_hands_the_scores_on():
    processors = list_for(min_length=2, no_repeat_ngram_size=9, forced_bos_token_id=1)
    assert len(processors) == 3
    assert process(processors, IDS, SCORES) is SCORES


def test_the_processors_work_one_after_the_other():
    both = list_for(repetition_penalty=1.5, suppress_tokens=[3])
    one, other = list_for(repetition_penalty=1.5), list_for(suppress_tokens=[3])
    expected = process(other, IDS, process(one, IDS, SCORES))
    np.testing.assert_array_equal(process(both, IDS, SCORES), expected)


def test_the_padding_of_a_prompt_does_not_count_as_used():
    mask = np.arange(IDS.shape[1]) >= np.arange(ROWS)[:, None] % IDS.shape[1]
    call = CallArguments(prompt_mask=mask.astype(np.int64))
    changed = process(list_for(4, call, repetition_penalty=1.5), IDS, SCORES)
    for row in range(ROWS):
        alone = IDS[row : row + 1, row % IDS.shape[1] :]
        expected = process(list_for(repetition_penalty=1.5), alone, SCORES[row : row + 1])
        np.testing.assert_array_equal(changed[row], expected[0])


@pytest.mark.parametrize(
    ("prompt_length", "forced", "begin"), [(1, None, 1), (1, 4, 2), (3, None, 3), (3, 4, 3)]
)
def test_the_first_free_place_follows_the_prompt_and_a_forced_token(prompt_length, forced, begin):
    options = {"begin_suppress_tokens": [5], "forced_bos_token_id": forced}
    processors = list_for(prompt_length, **options)
    is_forbidden = [
        bool(np.isneginf(process(processors, IDS[:, :length], np.zeros_like(SCORES))[0, 5]))
        for length in range(2, 5)
    ]
    assert is_forbidden == [length == begin for length in range(2, 5)]


@pytest.mark.parametrize(
    ("beams", "eos", "kept"), [(1, 2, 1), (1, [1, 2], 1), (3, 2, 2), (3, [1, 2], 3), (3, None, 2)]
)
def test_beams_keep_a_token_more_than_there_are_ends(beams, eos, kept):
    options = {"do_sample": True, "top_k": 1, "num_beams": beams, "eos_token_id": eos}
    scores = rng.normal(size=(beams, V)).astype(np.float32)
    left = process(list_for(**options), IDS[:beams], scores)
    assert np.isfinite(left).sum(axis=1).tolist() == [kept] * beams


@pytest.mark.parametrize(
    ("options", "rows"),
    [({"num_beams": 3}, 3), ({"do_sample": True, "top_k": 0, "num_return_sequences": 2}, 2),
     ({"num_beams": 6, "num_beam_groups": 2, "diversity_penalty": 1.0}, 3)],
)  # fmt: skip
def test_a_rule_is_asked_with_the_number_of_the_input(options, rows):
    asked = []

    def rule(index, ids):
        asked.append(index)
        return [0]

    (processor,) = list_for(call=CallArguments(prefix_allowed_tokens_fn=rule), **options)
    processor(IDS, SCORES)
    assert asked == [row // rows for row in range(ROWS)]


def test_ids_may_stand_in_arrays():
    (processor,) = list_for(suppress_tokens=np.array([3, 4]))
    assert np.isneginf(processor(IDS, SCORES)[:, 3:5]).all()


@pytest.mark.parametrize(
    "options", [{"encoder_repetition_penalty": 1.5}, {"encoder_no_repeat_ngram_size": 2}]
)
def test_a_source_without_ids_leaves_out_what_would_read_them_and_says_so(options):
    (name,) = options
    with pytest.warns(UserWarning, match=f"{name} has no effect without the ids of the source"):
        assert list_for(**options) == []


def test_the_callers_own_come_after_the_built_in_ones_and_before_the_draw():
    seen = []

    def own(ids, scores):
        seen.append(scores)
        return scores

    options = {"suppress_tokens": [3], "do_sample": True, "top_k": 2}
    processors = list_for(call=CallArguments(logits_processor=[own]), **options)
    left = process(processors, IDS, SCORES)
    np.testing.assert_array_equal(seen[0], process(list_for(suppress_tokens=[3]), IDS, SCORES))
    assert (np.isfinite(left).sum(axis=1) <= 2).all()


def test_the_callers_own_may_change_what_they_are_given():
    def own(ids, scores):
        ids[:], scores[:] = 0, 0
        return scores.astype(np.float64)

    (processor,) = list_for(call=CallArguments(logits_processor=[own, double]))
    ids, scores = IDS.copy(), SCORES.copy()
    after = processor(ids, scores)
    assert after.dtype == np.float32
    np.testing.assert_array_equal(after, np.zeros_like(SCORES))
    np.testing.assert_array_equal(ids, IDS)
    np.testing.assert_array_equal(scores, SCORES)


@pytest.mark.parametrize(
    ("result", "got"), [(None, "got None"), (SCORES[0], r"got \(11,\)"), (1.5, "got 1.5")]
)
def test_one_of_the_callers_own_that_returns_no_scores_is_named(result, got):
    (processor,) = list_for(call=CallArguments(logits_processor=[lambda ids, scores: result]))
    with pytest.raises(ValueError, match=rf"shape \(6, 11\), {got}; end it with return scores"):
        processor(IDS, SCORES)


def test_a_single_function_of_the_callers_must_stand_in_a_list():
    (processor,) = list_for(call=CallArguments(logits_processor=double))
    with pytest.raises(ValueError, match=r"must be a list of functions, got .*double"):
        processor(IDS, SCORES)
