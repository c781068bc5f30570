"""Every mistake at the door is a ValueError that says what came, what fits, and the way out."""

import re

import numpy as np
import pytest
from model_support import (
    AS_DECODER,
    SIZES,
    TOP,
    small_config,
    small_decoder,
    small_encoder,
    small_pair,
)

from minibert2bert.models.bert_generation import BertGenerationEncoder
from minibert2bert.models.config import (
    BertGenerationConfig,
    EncoderDecoderConfig,
    config_from_dict,
)
from minibert2bert.models.encoder_decoder import EncoderDecoderModel

IDS, LABELS = np.array([[3, 4, 5], [6, 7, 8]]), np.array([[4, 5], [6, 7]])
LONG = np.full((1, 17), 3)


@pytest.fixture(scope="module")
def pair():
    return small_pair()


@pytest.fixture(scope="module")
def encoder():
    return small_encoder()


@pytest.fixture(scope="module")
def decoder():
    return small_decoder()


def assert_refused(function, *parts):
    """The message has all of these parts: what came, what was expected, and what to do."""
    with pytest.raises(ValueError, match=re.escape(parts[0])) as caught:
        function()
    missing = [part for part in parts if part not in str(caught.value)]
    assert not missing, f"{missing} not in: {caught.value}"


SOURCES = {
    "negative": (np.array([[3, -1]]), ["[0, 17)", "got -1", "tokenizer"]),
    "too large": (np.array([[3, 17]]), ["[0, 17)", "got 17", "tokenizer"]),
    "floats": (np.array([[3.0, 4.0]]), ["whole numbers", "float64"]),
    "truth values": (np.array([[True, False]]), ["whole numbers", "bool"]),
    "one axis": (np.array([3, 4]), ["(batch, position)", "(2,)", "[[...]]"]),
    "three axes": (np.array([[[3, 4]]]), ["(batch, position)", "(1, 1, 2)"]),
    "no tokens": (np.zeros((1, 0), np.int64), ["at least one", "(1, 0)", "empty text"]),
    "no rows": (np.zeros((0, 3), np.int64), ["at least one", "(0, 3)"]),
    "an empty list": ([], ["at least one", "(0,)"]),
    "too long": (LONG, ["17 positions", "max_position_embeddings", "room for 16", "truncat"]),
}


@pytest.mark.parametrize(("ids", "parts"), SOURCES.values(), ids=SOURCES)
def test_bad_ids_are_refused_everywhere(pair, encoder, ids, parts):
    assert_refused(lambda: encoder(ids), *parts)
    assert_refused(lambda: pair(ids, labels=LABELS), *parts)
    assert_refused(lambda: pair.loss(ids, LABELS), *parts)
    assert_refused(lambda: pair.generate(ids), *parts)
    rows = np.full((max(1, len(ids)), 3), 3)
    assert_refused(lambda: pair(rows, decoder_input_ids=ids), *parts)


LABEL_MISTAKES = {
    "of another batch size": (np.array([[4, 5]]), ["batch size 2", "got 1"]),
    "outside the vocabulary": (np.array([[4, 17], [4, 5]]), ["labels", "[0, 17)", "got 17"]),
    "negative": (np.array([[4, -1], [4, 5]]), ["labels", "[0, 17)", "got -1"]),
    "floats": (np.array([[4.0, 5.0], [4.0, 5.0]]), ["labels", "whole numbers", "float64"]),
    "one axis": (np.array([4, 5]), ["labels", "(batch, position)", "(2,)"]),
    "all ignored": (np.full((2, 2), -100), ["-100", "nothing to predict", "keep at least one"]),
    "too long": (np.full((2, 17), 4), ["17 positions", "room for 16"]),
}


@pytest.mark.parametrize(("labels", "parts"), LABEL_MISTAKES.values(), ids=LABEL_MISTAKES)
def test_bad_labels_are_refused(pair, labels, parts):
    assert_refused(lambda: pair(IDS, labels=labels), *parts)
    assert_refused(lambda: pair.loss(IDS, labels), *parts)


def test_no_labels_and_labels_of_another_length_are_refused(pair):
    assert_refused(lambda: pair.loss(IDS), "loss needs labels", "predict")
    parts = "as long as the decoder's input, 3", "got 2"
    assert_refused(lambda: pair(IDS, decoder_input_ids=IDS, labels=LABELS), *parts)
    assert_refused(lambda: pair.loss(IDS, LABELS, decoder_input_ids=IDS), *parts)


def test_labels_of_which_none_is_predicted_are_refused(decoder):
    # Only the first label counts, and no position predicts that one.
    labels = np.array([[4, -100, -100], [5, -100, -100]])
    states = np.zeros((2, 2, 8))
    call = {"input_ids": IDS, "labels": labels, "encoder_hidden_states": states}
    assert_refused(lambda: decoder(**call), "-100", "nothing to predict")
    assert_refused(lambda: decoder.loss(**call), "-100", "nothing to predict")


@pytest.mark.parametrize("name", ["decoder_start_token_id", "pad_token_id"])
def test_an_unset_token_is_named_with_the_line_to_write(name):
    model = small_pair(**{name: None})
    parts = f"config.{name} must be set", "got None", f"model.config.{name} = tokenizer."
    assert_refused(lambda: model(IDS, labels=LABELS), *parts)
    assert_refused(lambda: model.loss(IDS, LABELS), *parts)


def test_generate_without_any_start_token_is_refused():
    unset = {"decoder_start_token_id": None, "bos_token_id": None}
    model = small_pair(both={"bos_token_id": None}, **unset)
    assert_refused(lambda: model.generate(IDS), "decoder_start_token_id", "bos_token_id", "pass")


@pytest.mark.parametrize("shape", [(3,), (2, 2), (1, 3), (2, 3, 3)])
def test_a_mask_of_another_shape_than_the_source_is_refused(pair, encoder, shape):
    mask = np.ones(shape)
    assert_refused(lambda: encoder(IDS, mask), "attention_mask", "(2, 3)", f"got {shape}")
    assert_refused(lambda: pair(IDS, mask, labels=LABELS), "(2, 3)", f"got {shape}")
    assert_refused(lambda: pair.generate(IDS, mask), "(2, 3)", f"got {shape}")


@pytest.mark.parametrize("shape", [(2,), (2, 3), (1, 2)])
def test_a_mask_of_another_shape_than_the_decoders_input_is_refused(pair, shape):
    call = {"decoder_input_ids": LABELS, "decoder_attention_mask": np.ones(shape)}
    assert_refused(lambda: pair(IDS, **call), "attention_mask", "(2, 2)", f"got {shape}")


def test_a_mask_that_leaves_out_the_cached_positions_is_refused(pair):
    cache = pair(IDS, decoder_input_ids=LABELS, use_cache=True).past_key_values
    call = {"decoder_input_ids": LABELS, "decoder_attention_mask": np.ones((2, 2))}
    assert_refused(lambda: pair(IDS, past_key_values=cache, **call), "(2, 4)", "got (2, 2)")


@pytest.mark.parametrize("shape", [(2,), (2, 3), (3, 4)])
def test_a_mask_of_another_shape_than_the_encoders_states_is_refused(decoder, shape):
    call = {"encoder_hidden_states": np.zeros((2, 4, 8)), "encoder_attention_mask": np.ones(shape)}
    parts = "encoder_attention_mask", "(2, 4)", f"got {shape}"
    assert_refused(lambda: decoder(IDS, **call), *parts)


@pytest.mark.parametrize(
    "mask", [np.ones((2, 1, 3, 3)), np.ones((2, 1, 3, 4), bool), np.ones((3, 1, 3, 3), bool)]
)
def test_a_ready_mask_must_be_bool_and_fit(encoder, mask):
    parts = "four axes must be bool", "(2, 2, 3, 3)", str(mask.shape)
    assert_refused(lambda: encoder(IDS, mask), *parts)


def test_both_and_neither_of_ids_and_embeddings_are_refused(pair, encoder):
    embeds = np.zeros((2, 3, 8))
    expected = "either input_ids or inputs_embeds"
    assert_refused(lambda: encoder(IDS, inputs_embeds=embeds), expected, "both")
    assert_refused(encoder, expected, "neither")
    assert_refused(lambda: pair(labels=LABELS), expected, "neither")
    assert_refused(lambda: pair(IDS), expected, "neither")
    assert_refused(pair.generate, expected, "neither")


@pytest.mark.parametrize("shape", [(3, 8), (2, 3, 9), (2, 0, 8)])
def test_embeddings_of_another_shape_are_refused(encoder, shape):
    embeds = np.zeros(shape)
    assert_refused(lambda: encoder(inputs_embeds=embeds), "(batch, position, 8)", str(shape))


@pytest.mark.parametrize("positions", [[[0, 1]], [0, 1], [[0, 1, 2]] * 3])
def test_positions_of_another_shape_are_refused(encoder, positions):
    shape = np.atleast_2d(positions).shape
    assert_refused(lambda: encoder(IDS, position_ids=positions), "(1, 3)", "(2, 3)", str(shape))


def test_positions_outside_the_table_are_refused(encoder):
    assert_refused(lambda: encoder(IDS, position_ids=[[0, 1, 16]]), "position_ids", "[0, 16)", "16")


def test_a_head_mask_of_another_shape_is_refused(encoder):
    assert_refused(lambda: encoder(IDS, head_mask=[1, 1, 1]), "(2,)", "(2, 2)", "got (3,)")


def test_encoder_states_for_a_model_without_cross_attention_are_refused(encoder):
    states = np.zeros((2, 4, 8))
    parts = "without cross-attention", "is_decoder=True, add_cross_attention=True"
    assert_refused(lambda: encoder(IDS, encoder_hidden_states=states), *parts)
    alone = small_decoder(add_cross_attention=False)
    assert_refused(lambda: alone(IDS, encoder_hidden_states=states), *parts)


def test_cross_attention_in_a_model_that_is_no_decoder_is_refused():
    config = {"is_decoder": False, "add_cross_attention": True}
    parts = "add_cross_attention", "is_decoder=True"
    assert_refused(lambda: BertGenerationEncoder(small_config(**config)), *parts)


@pytest.mark.parametrize("shape", [(2, 4, 9), (4, 8)])
def test_encoder_states_of_another_shape_are_refused(decoder, shape):
    states = np.zeros(shape)
    parts = "encoder_hidden_states", "(2, source, 8)", f"got {shape}"
    assert_refused(lambda: decoder(IDS, encoder_hidden_states=states), *parts)


def test_encoder_outputs_of_another_batch_are_refused(pair):
    read = pair.encoder(np.full((3, 4), 5))
    call = {"encoder_outputs": read, "decoder_input_ids": LABELS}
    assert_refused(lambda: pair(**call), "a row for each encoder state, 3", "got 2")


@pytest.mark.parametrize("is_decoder", [False, True])
def test_a_decoder_part_that_cannot_look_at_the_encoder_is_refused(encoder, is_decoder):
    part = small_decoder(is_decoder=is_decoder, add_cross_attention=False)
    parts = "is_decoder=True and add_cross_attention=True", f"is_decoder={is_decoder}"
    assert_refused(lambda: EncoderDecoderModel(encoder=encoder, decoder=part), *parts)


def test_an_encoder_part_with_a_head_is_refused(decoder):
    parts = "no language-model head", "BertGenerationDecoder", "encoder class"
    assert_refused(lambda: EncoderDecoderModel(encoder=decoder, decoder=decoder), *parts)


def test_a_decoder_part_without_a_head_is_refused(encoder):
    headless = BertGenerationEncoder(small_config(**AS_DECODER))
    parts = "must have a head", "BertGenerationEncoder"
    assert_refused(lambda: EncoderDecoderModel(encoder=encoder, decoder=headless), *parts)


def test_a_pair_needs_a_config_or_both_parts(encoder):
    assert_refused(lambda: EncoderDecoderModel(encoder=encoder), "a config, or both")


CONFIG_MISTAKES = {
    "activation": ({"hidden_act": "gelo"}, ["'gelo'", "did you mean gelu?", "known are"]),
    "heads": ({"hidden_size": 9}, ["multiple of num_attention_heads", "9", "2"]),
    "pad beyond the words": ({"pad_token_id": 17}, ["pad_token_id", "17"]),
    "negative pad": ({"pad_token_id": -1}, ["pad_token_id", "17", "got -1"]),
    "positions": ({"position_embedding_type": "rotary"}, ["'rotary'", "absolute", "relative_key"]),
}


@pytest.mark.parametrize(("change", "parts"), CONFIG_MISTAKES.values(), ids=CONFIG_MISTAKES)
def test_a_config_that_cannot_be_built_is_refused(change, parts):
    assert_refused(lambda: BertGenerationConfig(**{**SIZES, **change}), *parts)


def test_an_unknown_setting_is_refused_with_the_closest_name():
    build = BertGenerationConfig.from_dict
    assert_refused(lambda: build({}, hiden_size=8), "'hiden_size'", "did you mean hidden_size?")


def test_an_unknown_model_type_is_refused_with_the_known_ones():
    parts = "'bert-generatoin'", "known are", "did you mean 'bert-generation'?"
    assert_refused(lambda: config_from_dict({"model_type": "bert-generatoin"}), *parts)
    assert_refused(lambda: config_from_dict({}), "None", "known are")


@pytest.mark.parametrize("part", ["encoder", "decoder"])
def test_a_pair_of_which_a_config_is_missing_is_refused(part):
    configs = {"encoder": small_config(), "decoder": small_config(**AS_DECODER), part: None}
    build = EncoderDecoderConfig
    assert_refused(lambda: build(**configs, **TOP), f"the {part}'s config", "got None", "use ")


GENERATE_MISTAKES = {
    "more tokens than positions": ({"max_length": 18}, ["16 positions", "18", "max_new_tokens=16"]),
    "more new ones": ({"max_new_tokens": 17}, ["16 positions", "18", "max_new_tokens=16"]),
    "unknown": ({"num_beans": 3}, ["no option num_beans", "did you mean num_beams"]),
    "not here": ({"token_healing": True}, ["token_healing=True", "does not have", "leave"]),
    "no beam": ({"num_beams": 0}, ["num_beams", "at least 1", "got 0"]),
    "more than the beams": ({"num_return_sequences": 2}, ["at most num_beams", "2 of 1", "raise"]),
    "no room": ({"max_length": 1}, ["leave room after the prompt", "got 1", "max_new_tokens"]),
    "prompt": ({"decoder_input_ids": [[2]]}, ["decoder_input_ids", "2 rows", "got 1"]),
    "prompt mask": (
        {"decoder_input_ids": [[2], [2]], "decoder_attention_mask": [[1, 1], [1, 1]]},
        ["decoder_attention_mask", "(2, 1)", "got (2, 2)"],
    ),
    "start": ({"decoder_start_token_id": 17}, ["decoder_start_token_id", "[0, 17)", "got 17"]),
}


@pytest.mark.parametrize(("options", "parts"), GENERATE_MISTAKES.values(), ids=GENERATE_MISTAKES)
def test_an_impossible_search_is_refused(pair, options, parts):
    assert_refused(lambda: pair.generate(IDS, **options), *parts)


def test_a_sequence_that_outgrows_the_positions_in_a_cache_is_refused(pair):
    cache = pair(IDS[:1], decoder_input_ids=LONG[:, :16], use_cache=True).past_key_values
    call = {"decoder_input_ids": [[3]], "past_key_values": cache}
    assert_refused(lambda: pair(IDS[:1], **call), "17 positions", "room for 16")


def test_parameters_of_another_shape_are_refused(encoder):
    wrong = {"embeddings": encoder.params["embeddings"]}
    assert_refused(lambda: encoder.set_parameters(wrong), "do not fit the config", "expected shape")
