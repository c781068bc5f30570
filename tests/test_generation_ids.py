"""Where generate gets the special ids from: one documented order, and an error with the way out."""

import numpy as np
import pytest
from model_support import START, small_pair

from minibert2bert.generation.config import GenerationConfig
from minibert2bert.generation.generate import merged_config
from minibert2bert.generation.pipeline import ids_of_tokenizer

IDS = np.array([[5, 6, 7]])


@pytest.mark.parametrize("name", ["decoder_start_token_id", "eos_token_id", "pad_token_id"])
def test_ids_are_taken_from_the_first_place_that_has_them(name):
    model = small_pair(decoder={"pad_token_id": 9, "bos_token_id": 9, "eos_token_id": 9})
    model.generation_config = GenerationConfig(**{name: 11})
    setattr(model.config, name, 10)
    assert getattr(merged_config(model, None, {name: 12}), name) == 12
    assert getattr(merged_config(model, None, {}), name) == 11
    model.generation_config = GenerationConfig()
    assert getattr(merged_config(model, None, {}), name) == 10
    setattr(model.config, name, None)
    if name != "decoder_start_token_id":
        assert getattr(merged_config(model, None, {}), name) == 9


def test_an_id_set_on_the_config_later_reaches_generate():
    model = small_pair()
    model.generation_config = GenerationConfig(num_beams=2)
    assert model.generate(IDS, max_new_tokens=2)[0, 0] == START
    model.config.decoder_start_token_id = 7
    assert model.generate(IDS, max_new_tokens=2)[0, 0] == 7


def test_generation_settings_of_a_config_are_used_only_without_a_file_of_their_own():
    model = small_pair()
    model.config.other["max_length"] = 4
    assert model.generate(IDS, eos_token_id=16).shape[1] <= 4
    model.generation_config = GenerationConfig(min_length=6, max_length=8)
    assert model.generate(IDS).shape[1] >= 6


def test_the_tokenizer_fills_what_nobody_else_has_said():
    class Tokenizer:
        pad_token_id, bos_token_id, eos_token_id = 0, None, None
        cls_token_id, sep_token_id = 4, 5

    ids = ids_of_tokenizer(Tokenizer())
    assert (ids.pad_token_id, ids.decoder_start_token_id, ids.eos_token_id) == (0, 4, 5)
