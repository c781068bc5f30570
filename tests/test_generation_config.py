import json
import warnings
from pathlib import Path

import numpy as np
import pytest

from minibert2bert.generation.config import OPTIONS, GenerationConfig
from minibert2bert.generation.options import (
    CHANGES_THE_OUTPUT,
    NEEDS_ANOTHER_OPTION,
    file_options,
)
from minibert2bert.generation.settings import ids_of, resolve

DATA = Path(__file__).parent / "data"


def test_what_a_file_holds_is_written_back_whether_known_or_not(tmp_path):
    values = {
        "num_beams": 4,
        "eos_token_id": [1, 2],
        "top_k": 50,
        "_from_model_config": True,
        "transformers_version": "4.27.0.dev0",
        "of_the_future": {"a": [1]},
    }
    GenerationConfig.from_dict(values).save_pretrained(tmp_path / "new")
    written = (tmp_path / "new" / "generation_config.json").read_text(encoding="utf-8")
    assert written == json.dumps(values, indent=2, sort_keys=True) + "\n"
    assert GenerationConfig.from_pretrained(tmp_path / "new").to_dict() == values


def test_nulls_of_a_file_are_written_back_and_say_nothing():
    config = GenerationConfig.from_dict({"num_beams": None, "top_k": 7})
    assert config.to_dict() == {"num_beams": None, "top_k": 7}
    assert config.with_fallback(GenerationConfig(num_beams=4)).num_beams == 4
    assert config.updated(num_beams=2).to_dict() == {"num_beams": 2, "top_k": 7}


def test_options_that_were_not_set_are_not_written():
    assert GenerationConfig().to_dict() == {}
    assert GenerationConfig(num_beams=1).to_dict() == {"num_beams": 1}


def test_numbers_of_numpy_can_be_saved(tmp_path):
    options = {"max_length": np.int64(7), "temperature": np.float32(0.5)}
    GenerationConfig(**options).save_pretrained(tmp_path)
    read = GenerationConfig.from_pretrained(tmp_path)
    assert (read.max_length, read.temperature) == (7, 0.5)


def test_a_bias_by_tuples_of_ids_is_saved_as_pairs(tmp_path):
    GenerationConfig(sequence_bias={(3, 4): -2.0}).save_pretrained(tmp_path)
    assert GenerationConfig.from_pretrained(tmp_path).sequence_bias == [[[3, 4], -2.0]]


def test_a_folder_without_the_file_says_which_file_is_missing(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"generation_config\.json"):
        GenerationConfig.from_pretrained(tmp_path)


@pytest.mark.parametrize(("text", "message"), [("{", "must hold JSON"), ("[1]", "got list")])
def test_a_file_that_is_no_json_object_is_refused(tmp_path, text, message):
    (tmp_path / "generation_config.json").write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=message):
        GenerationConfig.from_pretrained(tmp_path)


def test_an_update_changes_what_it_names_and_leaves_the_original():
    config = GenerationConfig(num_beams=2, max_length=9)
    assert config.updated(num_beams=3) == GenerationConfig(num_beams=3, max_length=9)
    assert config == GenerationConfig(num_beams=2, max_length=9)


def test_a_config_that_was_changed_is_no_longer_marked_as_derived():
    derived = GenerationConfig.from_model_config({}, {"num_beams": 2})
    assert derived.updated().to_dict()["_from_model_config"] is True
    assert "_from_model_config" not in derived.updated(num_beams=3).to_dict()


def test_a_misspelt_option_is_refused_with_the_closest_name():
    with pytest.raises(ValueError, match="no option num_beems; did you mean num_beams"):
        GenerationConfig().updated(num_beems=4)


def test_a_name_like_no_other_is_refused_without_a_guess():
    with pytest.raises(ValueError, match=r"no option zzz$"):
        GenerationConfig().updated(zzz=1)


@pytest.mark.parametrize(
    ("option", "value"),
    [("guidance_scale", 2.0), ("assistant_model", object()), ("cache_implementation", "static")],
)
def test_a_call_cannot_use_an_option_of_the_reference_that_is_absent_here(option, value):
    with pytest.raises(ValueError, match=f"{option}=.* does not have"):
        GenerationConfig().updated(**{option: value})


def test_a_call_may_name_an_absent_option_with_the_value_that_asks_for_nothing():
    config = GenerationConfig(num_beams=2)
    assert config.updated(low_memory=False, guidance_scale=1, assistant_model=None) == config


def test_what_belongs_to_a_call_cannot_stand_in_a_config():
    with pytest.raises(ValueError, match=r"streamer belongs to a call of generate\(\)"):
        GenerationConfig().updated(streamer=object())


@pytest.mark.parametrize("option", sorted(CHANGES_THE_OUTPUT))
def test_a_file_that_asks_for_something_absent_cannot_be_generated_from(option):
    config = GenerationConfig.from_dict({option: "something"})
    with pytest.raises(ValueError, match=f"{option}='something'"):
        resolve(config, 1)


def test_a_file_may_hold_settings_of_sampling_that_is_off():
    values = {"do_sample": False, "temperature": 0.0, "top_p": None}
    assert resolve(GenerationConfig.from_dict(values), 1).do_sample is False


def test_the_top_level_of_a_config_wins_over_the_decoder_and_null_says_nothing():
    top = {"num_beams": 4, "eos_token_id": None, "vocab_size": 9, "do_sample": False}
    decoder = {"num_beams": 1, "eos_token_id": 3, "hidden_size": 8, "max_length": 20}
    assert GenerationConfig.from_model_config(top, decoder).to_dict() == {
        "num_beams": 4,
        "eos_token_id": 3,
        "max_length": 20,
        "do_sample": False,
        "_from_model_config": True,
    }


def test_a_config_that_asks_for_extra_outputs_returns_an_object():
    derived = GenerationConfig.from_model_config({"output_scores": True}, {})
    assert derived.return_dict_in_generate is True


def test_a_passed_config_takes_what_it_does_not_say_from_the_model():
    passed = GenerationConfig(num_beams=1)
    merged = passed.with_fallback(GenerationConfig(num_beams=4, pad_token_id=0))
    assert merged == GenerationConfig(num_beams=1, pad_token_id=0)


def test_the_decoder_starts_with_its_own_id_or_else_with_bos():
    assert GenerationConfig(decoder_start_token_id=0, bos_token_id=2).start_token_id() == 0
    assert GenerationConfig(bos_token_id=2).start_token_id() == 2
    with pytest.raises(ValueError, match="decoder_start_token_id or bos_token_id"):
        GenerationConfig().start_token_id()


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, 23),
        ({"max_length": 20}, 20),
        ({"max_new_tokens": 5}, 8),
        ({"max_length": 50, "max_new_tokens": 5}, 8),
    ],
)
def test_the_longest_length_counts_a_prompt_of_three(options, expected):
    assert resolve(GenerationConfig(**options), prompt_length=3).max_length == expected


@pytest.mark.parametrize(
    ("options", "expected"),
    [({}, 0), ({"min_length": 6}, 6), ({"min_length": 6, "min_new_tokens": 1}, 4)],
)
def test_the_shortest_length_counts_a_prompt_of_three(options, expected):
    assert resolve(GenerationConfig(**options), prompt_length=3).min_length == expected


def test_one_eos_several_or_none_become_a_tuple():
    given = [1, [1, 2], None]
    tuples = [ids_of(eos) for eos in given]
    assert tuples == [(1,), (1, 2), ()]


def test_padding_falls_back_to_the_first_eos_but_not_if_pad_is_zero():
    assert resolve(GenerationConfig(eos_token_id=[5, 6]), 1).pad_token_id == 5
    assert resolve(GenerationConfig(eos_token_id=[5, 6], pad_token_id=0), 1).pad_token_id == 0


def test_scores_are_kept_only_for_an_output_that_can_hold_them():
    options = {"output_scores": True, "output_logits": True}
    silent = resolve(GenerationConfig(**options), 1)
    spoken = resolve(GenerationConfig(**options, return_dict_in_generate=True), 1)
    assert (silent.output_scores, silent.output_logits) == (False, False)
    assert (spoken.output_scores, spoken.output_logits) == (True, True)


def test_a_prompt_that_leaves_no_room_is_refused():
    with pytest.raises(ValueError, match="prompt of 3 tokens, got 3"):
        resolve(GenerationConfig(max_length=3), prompt_length=3)


def test_more_sequences_than_beams_are_refused():
    with pytest.raises(ValueError, match="got 3 of 2; raise num_beams"):
        resolve(GenerationConfig(num_beams=2, num_return_sequences=3), 1)


def test_a_shortest_length_beyond_the_longest_warns():
    with pytest.warns(UserWarning, match="no sequence can reach"):
        resolve(GenerationConfig(min_length=9, max_length=8), 1)


def test_the_two_tables_of_absent_options_do_not_overlap_with_each_other_or_ours():
    tables = [set(CHANGES_THE_OUTPUT), set(NEEDS_ANOTHER_OPTION), set(OPTIONS)]
    assert len(set.union(*tables)) == sum(len(table) for table in tables)


LIKE_THE_STORED_FILE = {
    "num_beams": 4,
    "length_penalty": 2.0,
    "early_stopping": True,
    "min_length": 56,
    "max_length": 142,
    "no_repeat_ngram_size": 3,
    "pad_token_id": 0,
    "bos_token_id": 2,
    "eos_token_id": [1, 3],
    "decoder_start_token_id": 2,
}


def test_a_file_of_version_4_with_all_keys_is_written_back_equal_and_means_the_same(tmp_path):
    stored = json.loads((DATA / "v4_generation_config.json").read_text(encoding="utf-8"))
    config = GenerationConfig.from_dict(stored)
    config.save_pretrained(tmp_path)
    written = json.loads((tmp_path / "generation_config.json").read_text(encoding="utf-8"))
    assert written == stored
    assert resolve(config, 1) == resolve(GenerationConfig(**LIKE_THE_STORED_FILE), 1)


@pytest.mark.parity
def test_a_file_of_the_reference_with_all_keys_is_written_back_equal_and_means_the_same(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from transformers import GenerationConfig as Reference

    reference = Reference(**LIKE_THE_STORED_FILE)
    values = json.loads(reference.to_json_string(use_diff=False))
    config = GenerationConfig.from_dict(values)
    config.save_pretrained(tmp_path)
    assert GenerationConfig.from_pretrained(tmp_path).to_dict() == values
    assert Reference.from_pretrained(tmp_path).to_dict() == reference.to_dict()
    assert resolve(config, 1) == resolve(GenerationConfig(**LIKE_THE_STORED_FILE), 1)


@pytest.mark.parity
def test_the_reference_reads_a_file_with_an_option_of_ours(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from transformers import GenerationConfig as Reference

    GenerationConfig(num_beams=4, length_penalty_style="gnmt").save_pretrained(tmp_path)
    assert Reference.from_pretrained(tmp_path).num_beams == 4
    Reference.from_pretrained(tmp_path).save_pretrained(tmp_path)
    assert GenerationConfig.from_pretrained(tmp_path).length_penalty_style == "gnmt"


@pytest.mark.parity
def test_every_option_of_the_reference_is_known_with_its_default():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from transformers import GenerationConfig as Reference

    reference = Reference()
    names = {name for name in reference.to_dict() if not name.startswith(("_", "transformers"))}
    special = {"continuous_batching_config"}
    assert names - special <= OPTIONS | file_options().keys()
    defaults = reference._get_default_generation_params()
    assert {n: v for n, v in file_options().items() if n in defaults} == {
        n: v for n, v in defaults.items() if n not in OPTIONS
    }
    assert resolve(GenerationConfig(**{n: defaults[n] for n in OPTIONS & defaults.keys()}), 1) == (
        resolve(GenerationConfig(max_length=20), 1)
    )


@pytest.mark.parity
@pytest.mark.parametrize("seed", range(20))
def test_options_are_collected_from_a_model_config_as_in_the_reference(seed):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from transformers import GenerationConfig as Reference

    rng = np.random.default_rng(seed)
    choices = {
        "num_beams": [None, 1, 4],
        "max_length": [None, 20, 142],
        "length_penalty": [None, 1.0, 2.0],
        "early_stopping": [None, False, True],
        "eos_token_id": [None, 0, 1],
        "do_sample": [None, False],
        "output_scores": [None, False, True],
        "use_cache": [None, True, False],
        "hidden_size": [None, 16],
    }

    def draw():
        return {name: values[rng.integers(len(values))] for name, values in choices.items()}

    top, decoder = draw(), draw()
    reference = Reference.from_model_config({**top, "decoder": decoder}).to_diff_dict()
    del reference["transformers_version"]
    assert GenerationConfig.from_model_config(top, decoder).to_dict() == reference
