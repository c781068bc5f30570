"""What generate() refuses, what it ignores with a warning, and the words it does so with."""

import warnings

import numpy as np
import pytest
from model_support import TOP, small_pair
from parity_support import Reference

from minibert2bert.generation.config import OPTIONS, GenerationConfig
from minibert2bert.generation.generate import merged_config
from minibert2bert.generation.settings import resolve
from minibert2bert.generation.without_effect import warn_without_effect

IDS = np.array([[5, 6, 7]])
DRAW = {"do_sample": True}


class Streamer:
    """One that nobody should call."""

    def end(self):
        """Even after an error."""


OURS_ALONE = {"style", "seed", "diversity", "contrast"}
"""Options that this version of the reference does not have, or does not have here."""


def fields_of(options):
    return {name: value for name, value in options.items() if name in OPTIONS}


REFUSED = {
    "max_length": ({"max_length": 1}, "room after the prompt of 1 tokens, got 1; .*max_new_tokens"),
    "max_new_tokens": ({"max_new_tokens": 0}, "max_new_tokens .* of at least 1, got 0"),
    "greedy": ({"num_return_sequences": 2}, "at most num_beams, got 2 of 1; .* do_sample=True"),
    "returned": (
        {"num_return_sequences": 3, "num_beams": 2},
        "num_return_sequences must be at most num_beams, got 3 of 2; raise num_beams",
    ),
    "early": ({"early_stopping": "x"}, "early_stopping must be True, False or \"never\", got 'x'"),
    "cold": ({**DRAW, "temperature": 0.0}, "temperature must be a float above 0.*, got 0.0"),
    "whole": ({**DRAW, "temperature": 2}, "temperature must be a float above 0, .*got 2"),
    "top_k": ({**DRAW, "top_k": -1}, "top_k must be a whole number of at least 0, got -1"),
    "penalty": ({"repetition_penalty": 0.0}, "repetition_penalty must be a float above 0.* 0.0"),
    "whole penalty": ({"repetition_penalty": 2}, "repetition_penalty must be a float .*got 2"),
    "unknown": ({"num_beems": 4}, "no option num_beems; did you mean num_beams"),
    "bad words": ({"bad_words_ids": []}, r"bad_words_ids must be .*got \[\]"),
    "suppressed": (
        {"suppress_tokens": [3, 4], "forced_bos_token_id": 3},
        r"forced_bos_token_id \[3\] cannot be forced, because suppress_tokens forbids it; take",
    ),
    "streamer": (
        {"streamer": Streamer(), "num_beams": 2},
        "a streamer needs num_beams=1, got 2: with beams, no word is certain",
    ),
    "no tokenizer": (
        {"stop_strings": "a"},
        "stop_strings 'a' need the answers' tokenizer; pass tokenizer= to generate",
    ),
    "top_p": ({**DRAW, "top_p": -0.1}, "top_p must be a number of at least 0, got -0.1"),
    "min_p": ({**DRAW, "min_p": 1.5}, "min_p must be a number from 0 to 1, got 1.5"),
    "top_h": ({**DRAW, "top_h": 0.0}, "top_h must be a number above 0 and up to 1, got 0.0"),
    "typical_p": ({**DRAW, "typical_p": 0.0}, "typical_p must be a number above 0, got 0.0"),
}
"""What the reference refuses, too: the options, and the words of the refusal."""


@pytest.mark.parametrize(("options", "message"), REFUSED.values(), ids=REFUSED)
def test_what_the_reference_refuses_is_refused_with_the_way_out(options, message):
    with pytest.raises(ValueError, match=message):
        small_pair().generate(IDS, **options)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("max_length", True),
        ("min_length", -1),
        ("min_new_tokens", 1.5),
        ("num_beams", 0),
        ("early_stopping", 1),
        ("no_repeat_ngram_size", -1),
        ("num_beam_groups", 0),
        ("diversity_penalty", -0.5),
        ("penalty_alpha", 1.1),
        ("length_penalty", "long"),
        ("length_penalty", float("nan")),
        ("length_penalty_style", "google"),
        ("do_sample", 1),
        ("output_scores", "yes"),
        ("use_cache", "no"),
        ("max_time", 0),
        ("max_time", -1.0),
        ("stop_strings", ""),
        ("stop_strings", []),
        ("stop_strings", ["a", ""]),
        ("stop_strings", 7),
        ("eos_token_id", "</s>"),
        ("eos_token_id", [1, 2.0]),
        ("forced_bos_token_id", True),
        ("encoder_repetition_penalty", 2),
        ("force_words_ids", []),
        ("force_words_ids", [3]),
        ("force_words_ids", [[[3], []]]),
    ],
)
def test_a_value_out_of_range_is_refused_with_its_name(option, value):
    with pytest.raises(ValueError, match=f"^{option} must be .*got "):
        GenerationConfig().updated(**{option: value})


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("temperature", np.float32(0.5)),
        ("max_length", np.int64(9)),
        ("repetition_penalty", 1),
        ("length_penalty", -1),
        ("early_stopping", "never"),
        ("eos_token_id", (1, np.int32(2))),
        ("stop_strings", ("a", "b")),
        ("bad_words_ids", [[3, 4], [5]]),
    ],
)
def test_numbers_of_numpy_and_the_forms_of_a_file_pass(option, value):
    resolve(GenerationConfig(do_sample=True, **{option: value}), 1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_beams": 4, "num_beam_groups": 3}, "got 4 beams for 3 groups; set num_beams=6"),
        ({"num_beams": 4, "num_beam_groups": 2}, "diversity_penalty above 0, got 0"),
        (
            {"num_beams": 2, "num_beam_groups": 2, "diversity_penalty": 0.5, **DRAW},
            "groups of beams cannot be drawn; leave out do_sample",
        ),
        ({"force_words_ids": [[3]]}, "force_words_ids needs beams .*got num_beams=1"),
        ({"force_words_ids": [[3]], "num_beams": 2, **DRAW}, "neither with do_sample nor"),
        (
            {"forced_eos_token_id": [3, 4], "suppress_tokens": [5, 4, 3]},
            r"forced_eos_token_id \[3, 4\] cannot be forced",
        ),
    ],
)
def test_options_that_contradict_each_other_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        resolve(GenerationConfig(**options), 1)


def test_of_several_forced_ids_some_may_be_suppressed():
    resolve(GenerationConfig(forced_eos_token_id=[3, 4], suppress_tokens=[4]), 1)


@pytest.mark.parametrize(
    ("option", "way_out"),
    [
        ("constraints", "force_words_ids"),
        ("guidance_scale", "logits_processor"),
        ("watermarking_config", "logits_processor"),
        ("prompt_lookup_num_tokens", "leave prompt_lookup_num_tokens out of the call"),
        ("inputs", "input_ids"),
    ],
)
def test_an_option_that_is_absent_names_the_way_to_go_instead(option, way_out):
    with pytest.raises(ValueError, match=f"{option}=2 is an option of transformers.*{way_out}"):
        small_pair().generate(IDS, **{option: 2})


IGNORED = {
    "temperature": ({"temperature": 0.0}, "temperature=0.0 has no effect without do_sample=True"),
    "top_k": ({"top_k": -1}, "top_k=-1 has no effect without do_sample=True or penalty_alpha"),
    "top_k of beams": ({"top_k": 3, "num_beams": 2}, "top_k=3 has no effect"),
    "seed": ({"seed": 3}, "seed=3 has no effect without do_sample=True"),
    "seeds": ({"seed": np.array([3])}, r"seed=array\(\[3\]\) has no effect without"),
    "length": ({"length_penalty": 2.0}, "length_penalty=2.0 has no effect without num_beams above"),
    "early": ({"early_stopping": True}, "early_stopping=True has no effect without num_beams"),
    "style": ({"length_penalty_style": "gnmt"}, "length_penalty_style='gnmt' has no effect"),
    "diversity": (
        {"diversity_penalty": 1.0, "num_beams": 2},
        "diversity_penalty=1.0 has no effect without num_beam_groups above 1",
    ),
    "contrast": ({"penalty_alpha": 0.5, "num_beams": 2}, "penalty_alpha=0.5 has no effect with"),
    "scores": ({"output_scores": True}, "output_scores=True has no effect without return_dict_in"),
    "longest": (
        {"max_length": 9, "max_new_tokens": 3},
        "max_length=9 has no effect beside max_new_tokens",
    ),
    "shortest": (
        {"min_length": 2, "min_new_tokens": 3},
        "min_length=2 has no effect beside min_new_tokens",
    ),
    "share": ({"top_p": 1.5, **DRAW, "seed": 3}, "top_p=1.5 has no effect above 1, where all"),
}
"""What a call may say in vain, the ignored option first, and the words of the warning."""


@pytest.mark.parametrize(("options", "message"), IGNORED.values(), ids=IGNORED)
def test_what_has_no_effect_is_ignored_with_a_warning(options, message):
    model = small_pair()
    with pytest.warns(UserWarning, match=message) as told:
        found = model.generate(IDS, **options)
    assert len(told) == 1
    _, *others = options
    plain = model.generate(IDS, **{name: options[name] for name in others})
    np.testing.assert_array_equal(found, plain)


def test_a_shortest_length_beyond_the_longest_is_a_warning():
    with pytest.warns(UserWarning, match="no sequence can reach the shortest length allowed, 12"):
        assert small_pair().generate(IDS, min_length=12, max_length=9).shape == (1, 9)


@pytest.mark.parametrize("options", [{"top_k": 3}, {"min_length": 12, "max_length": 9}])
def test_a_warning_points_at_the_call(options):
    with pytest.warns(UserWarning, match=r"no effect|no sequence") as told:
        small_pair().generate(IDS, **options)
    assert told[0].filename == __file__


@pytest.mark.parametrize(
    "options",
    [
        {"temperature": 1.0, "top_k": 50, "top_p": 1.0, "length_penalty": 1.0},
        {"early_stopping": False, "diversity_penalty": 0.0, "output_scores": False},
        {"penalty_alpha": 0.6, "top_k": 4},
        {**DRAW, "temperature": 0.7, "top_k": 3, "top_p": 0.9, "seed": 3},
        {"num_beams": 2, "length_penalty": 2.0, "early_stopping": True},
        {"num_beams": 2, "num_beam_groups": 2, "diversity_penalty": 1.0},
        {"output_scores": True, "return_dict_in_generate": True},
        {"temperature": None, "top_p": None, "stopping_criteria": None, "logits_processor": None},
    ],
)
def test_what_has_its_effect_or_equals_the_default_is_no_warning(options):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_without_effect(options, GenerationConfig(**fields_of(options)))


def test_what_only_a_file_says_in_vain_is_no_warning():
    model = small_pair()
    model.generation_config = GenerationConfig(temperature=0.0, length_penalty=2.0, top_p=0.9)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.generate(IDS, max_new_tokens=3)


def test_none_in_a_call_takes_back_what_the_model_says():
    model = small_pair()
    model.generation_config = GenerationConfig(min_length=6, top_k=3, num_beams=4)
    merged = merged_config(model, None, {"min_length": None, "top_k": None, "num_beams": None})
    settings = resolve(merged, 1)
    assert (settings.min_length, settings.top_k, settings.num_beams) == (0, 0, 1)


@pytest.mark.parity
@pytest.mark.usefixtures("quiet_transformers")
@pytest.mark.parametrize("case", sorted(REFUSED))
def test_the_reference_refuses_the_same(case):
    options, _ = REFUSED[case]
    with pytest.raises(ValueError, match=r"\S"):
        Reference(small_pair()).generate(
            IDS, np.ones_like(IDS), {**TOP, "max_length": 9, **options}
        )


@pytest.mark.parity
@pytest.mark.usefixtures("quiet_transformers")
@pytest.mark.parametrize("case", sorted(set(IGNORED) - OURS_ALONE))
def test_the_reference_ignores_the_same(case):
    options = {name: value for name, value in IGNORED[case][0].items() if name != "seed"}
    Reference(small_pair()).generate(IDS, np.ones_like(IDS), {**TOP, "max_length": 9, **options})
