"""GPT-2 here and in transformers: the stored numbers of a pair, and random models live."""

import json
from pathlib import Path

import numpy as np
import pytest
from model_support import (
    PAD,
    assert_close,
    assert_equal_dicts,
    draw_inputs,
    draw_labels,
    padded_mask,
    randomised,
    set_weights,
    some,
)
from parity_support import (
    EXTRAS,
    FLOAT64,
    STACK_FIELDS,
    Reference,
    assert_equal_gradients,
    assert_equal_in_float32,
    assert_equal_outputs,
)
from references.recipe import recipe_weights

from minibert2bert.components.activations import ACTIVATIONS
from minibert2bert.models import pairing
from minibert2bert.models.bert import BertModel
from minibert2bert.models.config import EncoderDecoderConfig, GPT2Config
from minibert2bert.models.encoder_decoder import EncoderDecoderModel
from minibert2bert.models.gpt2 import GPT2LMHeadModel

GOLDEN = json.loads((Path(__file__).parent / "data" / "golden.json").read_text(encoding="utf-8"))
PRINTED = {"rtol": 1e-9, "atol": 1e-10}
"""Ten printed digits."""


@pytest.fixture
def golden_pair(monkeypatch):
    """Join two ready parts with the weights of the stored numbers."""
    monkeypatch.setitem(pairing.DECODERS, "gpt2", GPT2LMHeadModel)
    config = EncoderDecoderConfig.from_dict(GOLDEN["b1_configs"]["bert2gpt2"])
    encoder = BertModel(config.encoder, dtype="float64")
    decoder = GPT2LMHeadModel(config.decoder, dtype="float64")
    model = EncoderDecoderModel(config, encoder, decoder)
    set_weights(model, recipe_weights(model.parameter_shapes(config)))
    return model


def test_the_golden_outputs_are_reproduced(golden_pair):
    golden, inputs = GOLDEN["b1"]["bert2gpt2"], GOLDEN["b1_inputs"]
    parameters, output = golden_pair.parameters().values(), golden_pair(**inputs, **EXTRAS)
    actual = {
        "n_tensors": len(parameters),
        "n_params": sum(array.size for array in parameters),
        "logits[0,0,:4]": output.logits[0, 0, :4],
        "logits[1,3,:4]": output.logits[1, 3, :4],
        "logits_sumsq": np.square(output.logits).sum(),
        "loss": output.loss,
        "dec_attn_layer0[0,0,2,:]": output.decoder_attentions[0][0, 0, 2],
        "cross_attn_layer0[1,1,3,:]": output.cross_attentions[0][1, 1, 3],
    }
    for name, value in actual.items():
        np.testing.assert_allclose(value, golden[name], **PRINTED, err_msg=name)


def test_the_golden_gradients_are_reproduced(golden_pair):
    golden, inputs = GOLDEN["b1"]["bert2gpt2"], GOLDEN["b1_inputs"]
    gradients = golden_pair.loss(**inputs)[1]()
    total = np.sqrt(sum(np.square(gradient).sum() for gradient in gradients.values()))
    np.testing.assert_allclose(total, golden["grad_l2_total"], **PRINTED)
    for name, expected in golden["grads"].items():
        norm, first = np.linalg.norm(gradients[name]), gradients[name].ravel()[:3]
        np.testing.assert_allclose(norm, expected["l2"], **PRINTED, err_msg=name)
        np.testing.assert_allclose(first, expected["first3"], **PRINTED, err_msg=name)


def draw_gpt2(rng, **changes):
    heads = int(rng.integers(1, 5))
    config = GPT2Config(
        vocab_size=int(rng.integers(8, 20)),
        n_positions=int(rng.integers(16, 20)),
        n_embd=heads * int(rng.integers(4, 7)),
        n_head=heads,
        n_layer=int(rng.integers(1, 4)),
        n_inner=some(rng, [None, 7, 30]),
        activation_function=some(rng, list(ACTIVATIONS)),
        layer_norm_epsilon=some(rng, [1e-5, 1e-12]),
        pad_token_id=some(rng, [None, PAD]),
        tie_word_embeddings=bool(rng.integers(2)),
        scale_attn_weights=bool(rng.integers(2)),
        scale_attn_by_inverse_layer_idx=bool(rng.integers(2)),
        add_cross_attention=bool(rng.integers(2)),
    )
    return randomised(GPT2LMHeadModel(config.replace(**changes), rng, "float64"), rng)


def draw_gpt2_inputs(rng, config):
    batch, length, source = (int(n) for n in rng.integers([1, 2, 1], [5, 8, 8]))
    inputs = draw_inputs(rng, config, batch, length)
    if "position_ids" in inputs:
        # Without a mask, the reference takes a jump in the positions for the start of another text.
        inputs.setdefault("attention_mask", np.ones((batch, length), dtype=np.int64))
    if rng.random() < 0.3:
        inputs["token_type_ids"] = rng.integers(0, config.vocab_size, (batch, length))
    if config.add_cross_attention:
        inputs["encoder_hidden_states"] = rng.standard_normal((batch, source, config.n_embd))
        inputs["encoder_attention_mask"] = padded_mask(rng, batch, source)
    return inputs


def shifted_loss(reference, logits, labels):
    """Take the loss of the next labels in float64; the reference's own is float32."""
    rows, labels = logits[:, :-1].flatten(0, 1), reference.tensor(labels)
    return reference.torch.nn.functional.cross_entropy(rows, labels[:, 1:].flatten())


@pytest.mark.parity
@pytest.mark.usefixtures("quiet_transformers")
@pytest.mark.parametrize("case", range(12))
def test_outputs_and_gradients_are_those_of_the_reference(case, rng):
    model = draw_gpt2(rng)
    inputs = draw_gpt2_inputs(rng, model.config)
    shape = inputs["input_ids" if "input_ids" in inputs else "inputs_embeds"].shape[:2]
    labels = draw_labels(rng, model.config, *shape)
    reference = Reference(model)
    ours, theirs = model(labels=labels, **inputs, **EXTRAS), reference(**inputs, **EXTRAS)
    crossed = ["cross_attentions"] if model.config.add_cross_attention else []
    assert_equal_outputs(ours, theirs, ["logits", *STACK_FIELDS, *crossed])
    their_loss = shifted_loss(reference, theirs.logits, labels)
    loss, backward = model.loss(labels=labels, **{"input_ids": None, **inputs})
    assert_close(loss, their_loss.item(), FLOAT64, name="loss")
    assert_close(ours.loss, their_loss.item(), FLOAT64, name="loss of the call")
    assert_equal_gradients(backward(), reference.gradients(their_loss))


@pytest.mark.parity
@pytest.mark.usefixtures("quiet_transformers")
@pytest.mark.parametrize("case", range(4))
def test_reordered_and_upcast_attention_is_the_same_mathematics(case, rng):
    model = draw_gpt2(rng, reorder_and_upcast_attn=True)
    # The reference casts up to float32, and refuses to compute so in float64.
    assert_equal_in_float32(model, draw_gpt2_inputs(rng, model.config), "logits")


@pytest.mark.parity
@pytest.mark.usefixtures("quiet_transformers")
@pytest.mark.parametrize("case", range(6))
def test_a_cache_is_continued_as_in_the_reference(case, rng):
    model = draw_gpt2(rng)
    config, batch = model.config, 3
    ids, mask = rng.integers(0, config.vocab_size, (batch, 6)), padded_mask(rng, batch, 6, "left")
    given, fields = {}, ["logits", *STACK_FIELDS]
    if config.add_cross_attention:
        given["encoder_hidden_states"] = rng.standard_normal((batch, 4, config.n_embd))
        given["encoder_attention_mask"] = padded_mask(rng, batch, 4)
        fields.append("cross_attentions")
    reference, ours, theirs = Reference(model), {"past_key_values": None}, None
    for start, end in ((0, 3), (3, 4), (4, 6)):
        step = {"input_ids": ids[:, start:end], "attention_mask": mask[:, :end], "use_cache": True}
        past = None if theirs is None else theirs.past_key_values
        theirs = reference(**given, **step, **EXTRAS, past_key_values=past)
        ours = model(**given, **step, **EXTRAS, past_key_values=ours["past_key_values"])
        assert_equal_outputs(ours, theirs, fields)


@pytest.mark.parity
@pytest.mark.usefixtures("quiet_transformers")
@pytest.mark.parametrize("case", range(2))
@pytest.mark.parametrize("tied", [True, False])
def test_transformers_reads_our_folder_and_we_read_its(tmp_path, tied, case, rng):
    import torch
    import transformers

    model = draw_gpt2(rng, tie_word_embeddings=tied, add_cross_attention=True)
    model.save_pretrained(tmp_path / "ours")
    theirs, info = transformers.GPT2LMHeadModel.from_pretrained(
        tmp_path / "ours", output_loading_info=True, dtype=torch.float64
    )
    assert not any(info.values())
    inputs = {"encoder_hidden_states": rng.standard_normal((2, 4, model.config.n_embd))}
    inputs["input_ids"] = rng.integers(0, model.config.vocab_size, (2, 5))
    logits = theirs(**{name: torch.tensor(array) for name, array in inputs.items()}).logits
    assert_close(model(**inputs).logits, logits.detach().numpy(), FLOAT64)
    theirs.save_pretrained(tmp_path / "theirs")
    again = GPT2LMHeadModel.from_pretrained(tmp_path / "theirs", dtype="float64")
    assert again.load_report.new == again.load_report.unexpected == []
    assert_equal_dicts(again.parameters(), model.parameters())
