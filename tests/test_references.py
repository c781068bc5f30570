"""The stored numbers of transformers, see references/README.md: outputs, gradients, searches."""

import json
from pathlib import Path

import numpy as np
import pytest
from model_support import assert_close, ended, set_weights
from references.recipe import recipe_weights
from safetensors import safe_open

from minibert2bert.arrays import flatten
from minibert2bert.components.loss import shift_tokens_right
from minibert2bert.models.bert_generation import BertGenerationDecoder, BertGenerationEncoder
from minibert2bert.models.config import BertGenerationConfig, EncoderDecoderConfig
from minibert2bert.models.encoder_decoder import EncoderDecoderModel

DATA = Path(__file__).parent / "data"
GOLDEN = json.loads((DATA / "golden.json").read_text(encoding="utf-8"))
CLASSES = {
    c.__name__: c for c in (BertGenerationEncoder, BertGenerationDecoder, EncoderDecoderModel)
}
EOS = 3
RELATIVE = 1e-10
PRINTED = {"rtol": 1e-9, "atol": 1e-10}
"""Ten printed digits."""
FLOAT32 = 4 * np.finfo(np.float32).eps
"""The reference takes beam scores in float32."""
EXTRAS = {"output_attentions": True, "output_hidden_states": True}


class Case:
    """One stored model: its arrays by group, and our model with the same weights."""

    def __init__(self, filename, name):
        with safe_open(DATA / filename, "np") as file:
            metadata = file.metadata()
            self.groups = {}
            for key in sorted(file.keys()):
                case, group, array = key.split("/", 2)
                if case == name:
                    self.groups.setdefault(group, {})[array] = file.get_tensor(key)
        description = json.loads(metadata["cases"])[name]
        shapes = json.loads(metadata["layouts"])[description["layout"]]
        self.searches = description.get("generation", {})
        self.model = build(description["class"], description["config"], shapes)
        self.inputs = self.groups["inputs"]
        config = description["config"]
        if "decoder" in config and config["decoder_start_token_id"] == config["pad_token_id"]:
            self.inputs = with_reference_mask(self.inputs, config)

    def gradients(self):
        if "upstream" not in self.groups:
            return self.model.loss(**self.inputs)[1]()
        inputs = self.model.prepare(**self.inputs)
        _, backward = self.model.forward(None, inputs, training=True)
        return flatten(backward(self.groups["upstream"]["last_hidden_state"]))


def build(class_name, config, shapes):
    model_class = CLASSES[class_name]
    model = model_class(model_class.config_class.from_dict(config), dtype="float64")
    set_weights(model, recipe_weights(shapes))
    return model


def with_reference_mask(inputs, config):
    """Give the decoder's input and the mask that the reference makes of it.

    It takes a start token that is the pad token for padding, and we do not.
    """
    pad, start = config["pad_token_id"], config["decoder_start_token_id"]
    ids = shift_tokens_right(inputs["labels"], pad, start)
    return inputs | {"decoder_input_ids": ids, "decoder_attention_mask": ids != pad}


def cases_with(group):
    """The file and the name of every case that has arrays of this group."""
    cases = set()
    for filename in ("v4_relative_positions.safetensors", "v5_encoder_decoder.safetensors"):
        with safe_open(DATA / filename, "np") as file:
            parts = [key.split("/") for key in sorted(file.keys())]
        cases |= {(filename, name) for name, found, *_ in parts if found == group}
    return sorted(cases)


@pytest.mark.parametrize(("filename", "name"), cases_with("outputs"))
def test_every_stored_output_is_reproduced(filename, name):
    case = Case(filename, name)
    output = case.model(**case.inputs, **EXTRAS)
    for field, expected in case.groups["outputs"].items():
        value = output[field]
        actual = np.stack(value) if isinstance(value, tuple) else value
        assert np.shape(actual) == expected.shape, field
        assert_close(actual, expected, RELATIVE, name=field)


@pytest.mark.parametrize(("filename", "name"), cases_with("gradients"))
def test_every_stored_gradient_is_reproduced(filename, name):
    case = Case(filename, name)
    expected = case.groups["gradients"]
    gradients = case.gradients()
    assert sorted(gradients) == sorted(expected)
    scale = max(np.abs(gradient).max() for gradient in expected.values())
    for parameter, gradient in expected.items():
        # Softmax does not see a key's bias: its gradient is 0 but for rounding.
        of_key_bias = scale if parameter.endswith("key.bias") else None
        assert_close(gradients[parameter], gradient, RELATIVE, of_key_bias, parameter)


@pytest.mark.parametrize(("filename", "name"), cases_with("generation"))
def test_every_stored_search_is_reproduced(filename, name):
    case = Case(filename, name)
    source = {key: case.inputs[key] for key in ("input_ids", "attention_mask")}
    assert case.searches
    for search, settings in case.searches.items():
        output = generate(case.model, source, settings)
        expected = case.groups["generation"]
        assert ended(output.sequences, EOS) == ended(expected[f"{search}/sequences"], EOS), search
        if settings["num_beams"] > 1:
            scores = expected[f"{search}/sequences_scores"]
            np.testing.assert_allclose(output.sequences_scores, scores, FLOAT32, err_msg=search)


def generate(model, source, settings):
    return model.generate(
        **source, **settings, return_dict_in_generate=True, output_scores=settings["num_beams"] > 1
    )


@pytest.fixture(scope="module")
def golden_pair():
    config = GOLDEN["b1_configs"]["bertgen2bertgen"]
    model = EncoderDecoderModel(EncoderDecoderConfig.from_dict(config), dtype="float64")
    set_weights(model, recipe_weights(model.parameter_shapes(model.config)))
    return model


def golden_inputs():
    inputs = {name: np.array(values) for name, values in GOLDEN["b1_inputs"].items()}
    assert (inputs["input_ids"][inputs["attention_mask"] == 0] == 0).all()
    return inputs


def test_the_golden_pair_has_the_printed_number_of_parameters(golden_pair):
    golden = GOLDEN["b1"]["bertgen2bertgen"]
    parameters = golden_pair.parameters().values()
    assert len(parameters) == golden["n_tensors"]
    assert sum(array.size for array in parameters) == golden["n_params"]


def test_the_golden_outputs_are_reproduced(golden_pair):
    golden = GOLDEN["b1"]["bertgen2bertgen"]
    output = golden_pair(**golden_inputs(), **EXTRAS)
    actual = {
        "enc[0,0,:3]": output.encoder_last_hidden_state[0, 0, :3],
        "enc[1,2,:3]": output.encoder_last_hidden_state[1, 2, :3],
        "logits[0,0,:4]": output.logits[0, 0, :4],
        "logits[1,3,:4]": output.logits[1, 3, :4],
        "logits_sum": output.logits.sum(),
        "logits_sumsq": np.square(output.logits).sum(),
        "loss": output.loss,
        "dec_attn_layer0[0,0,2,:]": output.decoder_attentions[0][0, 0, 2],
        "cross_attn_layer0[1,1,3,:]": output.cross_attentions[0][1, 1, 3],
    }
    for name, value in actual.items():
        np.testing.assert_allclose(value, golden[name], **PRINTED, err_msg=name)


def test_the_golden_gradients_are_reproduced(golden_pair):
    golden = GOLDEN["b1"]["bertgen2bertgen"]
    gradients = golden_pair.loss(**golden_inputs())[1]()
    total = np.sqrt(sum(np.square(gradient).sum() for gradient in gradients.values()))
    np.testing.assert_allclose(total, golden["grad_l2_total"], **PRINTED)
    for name, expected in golden["grads"].items():
        norm, first = np.linalg.norm(gradients[name]), gradients[name].ravel()[:3]
        np.testing.assert_allclose(norm, expected["l2"], **PRINTED, err_msg=name)
        np.testing.assert_allclose(first, expected["first3"], **PRINTED, err_msg=name)


def test_the_golden_greedy_sequences_are_reproduced(golden_pair):
    source = {name: golden_inputs()[name] for name in ("input_ids", "attention_mask")}
    settings = {"num_beams": 1, "max_length": GOLDEN["b1_max_length"]}
    output = generate(golden_pair, source, settings)
    assert ended(output.sequences, EOS) == GOLDEN["b1"]["bertgen2bertgen"]["greedy"]


@pytest.mark.parametrize("golden", GOLDEN["b1"]["bertgen2bertgen"]["beams"])
def test_the_golden_beams_are_reproduced(golden_pair, golden):
    source = {name: golden_inputs()[name] for name in ("input_ids", "attention_mask")}
    settings = {k: v for k, v in golden.items() if k not in ("sequences", "scores")}
    output = generate(golden_pair, source, settings | {"max_length": GOLDEN["b1_max_length"]})
    assert ended(output.sequences, EOS) == golden["sequences"]
    np.testing.assert_allclose(output.sequences_scores, golden["scores"], FLOAT32)


def golden_b2_model(model_class, **changes):
    config = BertGenerationConfig.from_dict(GOLDEN["b2"]["config"], **changes)
    model = model_class(config, dtype="float64")
    set_weights(model, recipe_weights(model.parameter_shapes(config)))
    return model


B2_INPUTS = {name: GOLDEN["b2"][name] for name in ("input_ids", "attention_mask")}


@pytest.mark.parametrize("kind", GOLDEN["b2"]["encoder"])
def test_the_golden_encoders_with_relative_positions_are_reproduced(kind):
    golden = GOLDEN["b2"]["encoder"][kind]
    model = golden_b2_model(BertGenerationEncoder, position_embedding_type=kind)
    states = model(**B2_INPUTS).last_hidden_state
    masked = model(**B2_INPUTS, head_mask=GOLDEN["b2"]["head_mask"]).last_hidden_state
    unpadded = states[np.array(B2_INPUTS["attention_mask"]) == 1]
    assert len(model.parameters()) == golden["n_tensors"]
    np.testing.assert_allclose(states[0, 0, :3], golden["out[0,0,:3]"], **PRINTED)
    np.testing.assert_allclose(states[1, 2, :3], golden["out[1,2,:3]"], **PRINTED)
    np.testing.assert_allclose(unpadded.sum(), golden["sum_unpadded"], **PRINTED)
    np.testing.assert_allclose(masked[0, 0, :3], golden["head_mask_out[0,0,:3]"], **PRINTED)


def test_the_golden_decoder_with_relative_positions_is_reproduced():
    golden = GOLDEN["b2"]["decoder"]
    kind = golden["position_embedding_type"]
    as_decoder = {"is_decoder": True, "add_cross_attention": True}
    model = golden_b2_model(BertGenerationDecoder, position_embedding_type=kind, **as_decoder)
    states = np.sin(np.arange(48.0)).reshape(2, 3, 8)
    logits = model(**B2_INPUTS, encoder_hidden_states=states).logits
    np.testing.assert_allclose(logits[0, 0, :4], golden["logits[0,0,:4]"], **PRINTED)
    np.testing.assert_allclose(logits[0, 4, :4], golden["logits[0,4,:4]"], **PRINTED)
