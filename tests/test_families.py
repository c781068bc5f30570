"""All families, alone and in pairs: golden numbers, the reference live, caches, files."""

import json
from pathlib import Path

import numpy as np
import pytest
from model_support import assert_close, ended, padded_mask, randomised, trimmed, words
from parity_support import (
    EXTRAS,
    FLOAT64,
    PAIR_FIELDS,
    Reference,
    assert_equal_gradients,
    assert_equal_in_float32,
    assert_equal_outputs,
    quietly,
)
from references.recipe import recipe_weights

from minibert2bert.arrays import nest
from minibert2bert.models.auto import AutoModel, AutoModelForCausalLM
from minibert2bert.models.bert import BertModel
from minibert2bert.models.config import (
    BartConfig,
    BertConfig,
    BertGenerationConfig,
    EncoderDecoderConfig,
    GPT2Config,
    RobertaConfig,
)
from minibert2bert.models.encoder_decoder import EncoderDecoderModel
from minibert2bert.models.families import DECODERS, ENCODERS
from minibert2bert.models.roberta import RobertaForCausalLM, positions_behind_padding

GOLDEN = json.loads((Path(__file__).parent / "data" / "golden.json").read_text())
PAD, END, START = 0, 3, 2
PAIRS = [(encoder, decoder) for encoder in sorted(ENCODERS) for decoder in sorted(DECODERS)]
BERT_LIKE = {
    "bert": BertConfig,
    "bert-generation": BertGenerationConfig,
    "roberta": RobertaConfig,
}


def draw_part(rng, family, width):
    """A config of a family; every size but the width is random."""
    heads = int(rng.choice([1, 2, 4]))
    layers, inner = int(rng.integers(1, 3)), int(rng.integers(4, 20))
    ids = {"pad_token_id": PAD, "bos_token_id": START, "eos_token_id": END}
    if family == "gpt2":
        flags = {
            name: bool(rng.integers(2))
            for name in ("scale_attn_weights", "scale_attn_by_inverse_layer_idx")
        }
        return GPT2Config(
            vocab_size=17,
            n_positions=20,
            n_embd=width,
            n_layer=layers,
            n_head=heads,
            n_inner=inner,
            resid_pdrop=0,
            embd_pdrop=0,
            attn_pdrop=0,
            **flags,
            **ids,
        )
    if family == "bart":
        return BartConfig(
            vocab_size=17,
            max_position_embeddings=20,
            d_model=width,
            decoder_layers=layers,
            decoder_ffn_dim=inner,
            encoder_layers=layers,
            decoder_attention_heads=heads,
            encoder_attention_heads=heads,
            scale_embedding=bool(rng.integers(2)),
            dropout=0,
            forced_eos_token_id=None,
            decoder_start_token_id=START,
            **ids,
        )
    return BERT_LIKE[family](
        vocab_size=17,
        hidden_size=width,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        intermediate_size=inner,
        max_position_embeddings=20,
        hidden_dropout_prob=0,
        attention_probs_dropout_prob=0,
        hidden_act=str(rng.choice(["gelu", "relu", "silu"])),
        tie_word_embeddings=bool(rng.integers(2)),
        **ids,
    )


def draw_family_pair(rng, encoder, decoder):
    width = int(rng.choice([8, 16]))
    config = EncoderDecoderConfig.from_encoder_decoder_configs(
        draw_part(rng, encoder, width),
        draw_part(rng, decoder, int(rng.choice([width, 12]))),
        pad_token_id=PAD,
        decoder_start_token_id=START,
        bos_token_id=START,
        eos_token_id=END,
    )
    return randomised(EncoderDecoderModel(config, rng=rng, dtype="float64"), rng)


def draw_batch(rng, labelled=True):
    mask = padded_mask(rng, 3, 6)
    ids = np.where(mask == 1, words(rng, 3, 6), PAD)
    batch = {"input_ids": ids, "attention_mask": mask}
    if labelled:
        counted = padded_mask(rng, 3, 4)
        batch["labels"] = np.where(counted == 1, words(rng, 3, 4), -100)
    return batch


@pytest.fixture(params=sorted(GOLDEN["b1"]))
def golden(request):
    config = EncoderDecoderConfig.from_dict(GOLDEN["b1_configs"][request.param])
    model = EncoderDecoderModel(config, dtype="float64")
    shapes = {name: array.shape for name, array in model.parameters().items()}
    model.set_parameters(nest(recipe_weights(shapes)))
    ids = np.array(GOLDEN["b1_inputs"]["input_ids"])
    mask = np.array(GOLDEN["b1_inputs"]["attention_mask"])
    ids = np.where(mask == 1, ids, config.pad_token_id)
    return model, ids, mask, GOLDEN["b1"][request.param]


def test_the_golden_losses_outputs_and_gradients_are_reproduced(golden):
    model, ids, mask, expected = golden
    assert len(model.parameters()) == expected["n_tensors"]
    assert sum(array.size for array in model.parameters().values()) == expected["n_params"]
    labels = np.array(GOLDEN["b1_inputs"]["labels"])
    output = model(ids, mask, labels=labels, output_attentions=True)
    assert_close(output.logits[0, 0, :4], expected["logits[0,0,:4]"], 1e-9)
    assert_close(output.decoder_attentions[0][0, 0, 2], expected["dec_attn_layer0[0,0,2,:]"], 1e-9)
    assert_close(output.cross_attentions[0][1, 1, 3], expected["cross_attn_layer0[1,1,3,:]"], 1e-9)
    loss, backward = model.loss(ids, labels, mask)
    gradients = backward()
    assert float(loss) == pytest.approx(expected["loss"], abs=1e-10)
    total = np.sqrt(sum(np.square(gradient).sum() for gradient in gradients.values()))
    assert total == pytest.approx(expected["grad_l2_total"], rel=1e-9)
    for name, of_tensor in expected["grads"].items():
        assert np.linalg.norm(gradients[name]) == pytest.approx(of_tensor["l2"], rel=1e-8)
        assert_close(gradients[name].reshape(-1)[:3], of_tensor["first3"], 1e-7)


def test_the_golden_searches_are_reproduced(golden):
    model, ids, mask, expected = golden
    greedy = model.generate(ids, mask, max_length=GOLDEN["b1_max_length"])
    assert ended(greedy, END) == expected["greedy"]
    for beam in expected["beams"]:
        options = {k: v for k, v in beam.items() if k not in ("sequences", "scores")}
        output = model.generate(
            ids,
            mask,
            max_length=GOLDEN["b1_max_length"],
            output_scores=True,
            return_dict_in_generate=True,
            **options,
        )
        assert ended(output.sequences, END) == beam["sequences"]
        np.testing.assert_allclose(output.sequences_scores, beam["scores"], rtol=5e-7)


@pytest.mark.parity
@pytest.mark.usefixtures("quiet_transformers")
@pytest.mark.parametrize(("encoder", "decoder"), PAIRS)
def test_every_pair_has_the_outputs_and_gradients_of_the_reference(encoder, decoder, rng):
    model = draw_family_pair(rng, encoder, decoder)
    reference, batch = Reference(model), draw_batch(rng)
    theirs = reference(**batch, **EXTRAS)
    assert_equal_outputs(model(**batch, **EXTRAS), theirs, PAIR_FIELDS)
    loss, backward = model.loss(**batch)
    assert_close(loss, theirs.loss.item(), FLOAT64, name="loss")
    assert_equal_gradients(backward(), reference.gradients(theirs.loss))
    assert_equal_in_float32(model, batch, "logits")


@pytest.mark.parity
@pytest.mark.usefixtures("quiet_transformers")
@pytest.mark.parametrize(("encoder", "decoder"), PAIRS)
def test_every_pair_generates_what_the_reference_does(encoder, decoder, rng):
    model = draw_family_pair(rng, encoder, decoder)
    for name, array in model.parameters().items():
        if name.endswith(("lm_head.bias", "lm_head.decoder.bias")):
            # After a pad token, the reference's RoBERTa has other positions with a cache.
            array[PAD] = -1e4
    reference = Reference(model)
    ids, mask = draw_batch(rng, labelled=False).values()
    special = {"pad_token_id": PAD, "eos_token_id": END, "decoder_start_token_id": START}
    for beams in (1, 3):
        options = {"num_beams": beams, "max_new_tokens": 8, "num_return_sequences": min(beams, 2)}
        theirs = reference.generate(ids, mask, {**options, **special})
        ours = model.generate(ids, mask, **options)
        assert trimmed(ours, END, PAD) == trimmed(theirs.numpy(), END, PAD)


@pytest.mark.parity
@pytest.mark.usefixtures("quiet_transformers")
@pytest.mark.parametrize(("encoder", "decoder"), PAIRS)
def test_folders_go_both_ways(encoder, decoder, rng, tmp_path):
    import transformers

    model = draw_family_pair(rng, encoder, decoder)
    model.save_pretrained(tmp_path / "ours", dtype="float32")
    theirs, info = quietly(
        transformers.EncoderDecoderModel.from_pretrained,
        tmp_path / "ours",
        output_loading_info=True,
    )
    assert not info["missing_keys"]
    quietly(theirs.save_pretrained, tmp_path / "theirs")
    again = EncoderDecoderModel.from_pretrained(tmp_path / "theirs")
    assert again.load_report.new == again.load_report.unexpected == []
    for name, array in model.parameters().items():
        np.testing.assert_array_equal(again.parameters()[name], array.astype(np.float32))


@pytest.mark.parity
@pytest.mark.usefixtures("quiet_transformers")
@pytest.mark.parametrize("family", ["bert", "roberta"])
def test_segments_and_pooler_are_those_of_the_reference(family, rng):
    model = randomised(ENCODERS[family](draw_part(rng, family, 8), rng, "float64"), rng)
    inputs = draw_batch(rng, labelled=False)
    inputs["token_type_ids"] = rng.integers(0, 2, (3, 6))
    theirs = Reference(model)(**inputs, **EXTRAS)
    fields = ["last_hidden_state", "pooler_output", "hidden_states", "attentions"]
    assert_equal_outputs(model(**inputs, **EXTRAS), theirs, fields)


@pytest.mark.parametrize("family", sorted(DECODERS))
def test_a_cache_changes_nothing(family, rng):
    model = draw_family_pair(rng, "bert", family)
    batch = draw_batch(rng, labelled=False)
    target = words(rng, 3, 6)
    whole = model(**batch, decoder_input_ids=target).logits
    cache, pieces = None, []
    for start, end in ((0, 3), (3, 4), (4, 6)):
        output = model(
            **batch, decoder_input_ids=target[:, start:end], use_cache=True, past_key_values=cache
        )
        cache = output.past_key_values
        pieces.append(output.logits)
    np.testing.assert_allclose(np.concatenate(pieces, axis=1), whole, atol=1e-12)


def test_roberta_has_the_same_positions_with_a_cache_as_without(rng):
    config = draw_part(rng, "roberta", 8).replace(is_decoder=True)
    model = randomised(RobertaForCausalLM(config, rng, "float64"), rng)
    ids = np.array([[PAD, 5, PAD, 6, 7], [5, 6, 7, 8, 9]])
    whole = model(ids).logits
    first = model(ids[:, :2], use_cache=True)
    rest = model(ids[:, 2:], past_key_values=first.past_key_values)
    pieces = np.concatenate([first.logits, rest.logits], axis=1)
    np.testing.assert_allclose(pieces, whole, atol=1e-12)


def test_roberta_numbers_the_tokens_behind_the_padding():
    positions, tokens = positions_behind_padding(np.array([[12, 31, 13, 1], [1, 5, 1, 6]]), 1)
    np.testing.assert_array_equal(positions, [[2, 3, 4, 1], [1, 2, 1, 3]])
    np.testing.assert_array_equal(tokens, [[3], [2]])


def test_roberta_refuses_more_tokens_than_positions_behind_the_padding(rng):
    model = ENCODERS["roberta"](draw_part(rng, "roberta", 8), rng)
    assert model(words(rng, 1, 19)).last_hidden_state.shape == (1, 19, 8)
    with pytest.raises(ValueError, match="leaves room for 19"):
        model(words(rng, 1, 20))


def test_segments_are_refused_by_a_family_without_them(rng):
    model = ENCODERS["bert-generation"](draw_part(rng, "bert-generation", 8), rng)
    with pytest.raises(ValueError, match="which has no segments"):
        model(words(rng, 1, 3), token_type_ids=[[0, 0, 1]])


@pytest.mark.parametrize("family", sorted(DECODERS))
def test_fresh_parameters_follow_the_family(family, rng):
    config = draw_part(rng, family, 16)
    model = AutoModelForCausalLM.from_config(config, rng=rng)
    for name, array in model.parameters().items():
        norm = "norm" in name.lower() or ".ln_" in name
        if array.ndim == 1:
            assert (array == (1 if norm and name.endswith("weight") else 0)).all()
        else:
            assert 0.2 < array.std() / 0.02 < 1.5


def test_the_pooler_can_be_left_out(rng):
    config = draw_part(rng, "bert", 8).replace(add_pooling_layer=False)
    model = BertModel(config, rng)
    assert model(words(rng, 1, 3)).pooler_output is None
    assert not any("pooler" in name for name in model.parameters())


@pytest.mark.parametrize("family", sorted(ENCODERS))
def test_a_part_is_saved_and_loaded_by_the_auto_class(family, rng, tmp_path):
    model = AutoModel.from_config(draw_part(rng, family, 8), rng=rng)
    model.save_pretrained(tmp_path)
    again = AutoModel.from_pretrained(tmp_path)
    assert type(again) is type(model)
    for name, array in model.parameters().items():
        np.testing.assert_array_equal(again.parameters()[name], array)
