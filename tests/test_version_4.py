"""Version 4 of transformers: stored numbers of three families, and folders in both directions.

The folders need that version installed; version 5 reads neither tied halves nor relative positions.
"""

import importlib.metadata
import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
from model_support import (
    SIZES,
    TOP,
    assert_close,
    assert_equal_dicts,
    randomised,
    set_weights,
    small_batch,
    words,
)
from parity_support import EXTRAS, FLOAT64, assert_equal_gradients, assert_equal_outputs, quietly
from references.recipe import recipe_weights
from safetensors import safe_open

from minibert2bert.checkpoints.safetensors_files import read_tensors
from minibert2bert.models.bert import BertLMHeadModel, BertModel
from minibert2bert.models.config import (
    BertConfig,
    BertGenerationConfig,
    EncoderDecoderConfig,
    RobertaConfig,
)
from minibert2bert.models.encoder_decoder import EncoderDecoderModel
from minibert2bert.models.gpt2 import GPT2LMHeadModel
from minibert2bert.models.roberta import RobertaForCausalLM, RobertaModel
from minibert2bert.models.sharing import shared_names

STORED = Path(__file__).parent / "data" / "v4_families.safetensors"
STORED_CLASSES = {
    kind.__name__: kind
    for kind in (BertModel, BertLMHeadModel, RobertaModel, RobertaForCausalLM, GPT2LMHeadModel)
}
CONFIGS = {kind.model_type: kind for kind in (BertConfig, BertGenerationConfig, RobertaConfig)}
KINDS = ("relative_key", "relative_key_query")


def stored_groups():
    """The stored arrays by case, group and name, and the file's descriptions of the cases."""
    cases = {}
    with safe_open(STORED, "np") as file:
        metadata = file.metadata()
        for key in sorted(file.keys()):
            case, group, name = key.split("/", 2)
            cases.setdefault(case, {}).setdefault(group, {})[name] = file.get_tensor(key)
    return cases, json.loads(metadata["cases"]), json.loads(metadata["layouts"])


CASES, DESCRIPTIONS, LAYOUTS = stored_groups()


def stored_model(case):
    """Our model with the config and the weights of a stored case."""
    description = DESCRIPTIONS[case]
    kind = STORED_CLASSES[description["class"]]
    model = kind(kind.config_class.from_dict(description["config"]), dtype="float64")
    shapes = LAYOUTS[description["layout"]]
    assert sorted(model.parameters()) == sorted(shapes)
    set_weights(model, recipe_weights(shapes))
    return model


@pytest.mark.parametrize("case", CASES)
def test_every_stored_output_is_reproduced(case):
    output = stored_model(case)(**CASES[case]["inputs"], **EXTRAS)
    for field, expected in CASES[case]["outputs"].items():
        value = output[field]
        actual = np.stack(value) if isinstance(value, tuple) else np.asarray(value)
        assert actual.shape == expected.shape, field
        assert_close(actual, expected, FLOAT64, name=field)


@pytest.mark.parametrize("case", [case for case in CASES if "gradients" in CASES[case]])
def test_every_stored_gradient_is_reproduced(case):
    _, backward = stored_model(case).loss(**CASES[case]["inputs"])
    assert_equal_gradients(backward(), CASES[case]["gradients"])


def test_the_stored_cases_cover_classes_kinds_of_positions_and_gradients():
    assert {description["class"] for description in DESCRIPTIONS.values()} == set(STORED_CLASSES)
    found = {
        (d["class"], d["config"].get("position_embedding_type")) for d in DESCRIPTIONS.values()
    }
    assert {(name, kind) for name in ("BertModel", "RobertaModel") for kind in KINDS} <= found
    assert sum("gradients" in groups for groups in CASES.values()) == 2


def is_version_4_installed():
    if importlib.util.find_spec("transformers") is None:
        return False
    return importlib.metadata.version("transformers").startswith("4.")


def with_version_4(test):
    """Run the test only beside transformers 4."""
    test = pytest.mark.usefixtures("quiet_transformers")(test)
    test = pytest.mark.skipif(not is_version_4_installed(), reason="needs transformers 4")(test)
    return pytest.mark.parity(test)


tied_families = pytest.mark.parametrize("family", ["bert", "bert-generation", "roberta"])
relative_pairs = pytest.mark.parametrize(
    ("family", "kind"), [(family, kind) for family in CONFIGS for kind in KINDS]
)


def our_pair(family, kind="absolute", **top):
    half = CONFIGS[family](**SIZES, position_embedding_type=kind)
    config = EncoderDecoderConfig.from_encoder_decoder_configs(half, half, **TOP, **top)
    rng = np.random.default_rng(0)
    return randomised(EncoderDecoderModel(config, rng=rng, dtype="float64"), rng)


def their_pair(family, kind="absolute", **top):
    """A pair of transformers with random weights, layer norms and biases included."""
    import torch
    import transformers

    half_class = getattr(transformers, CONFIGS[family].__name__)
    halves = [half_class(**SIZES, position_embedding_type=kind) for _ in range(2)]
    config = transformers.EncoderDecoderConfig.from_encoder_decoder_configs(*halves, **TOP, **top)
    model = quietly(transformers.EncoderDecoderModel, config).double().eval()
    rng = np.random.default_rng(0)
    for parameter in model.parameters():
        parameter.data.copy_(torch.from_numpy(rng.normal(0.1, 0.4, tuple(parameter.shape))))
    return model


def loaded_by_transformers(folder):
    import torch
    import transformers

    load = transformers.EncoderDecoderModel.from_pretrained
    model, report = quietly(load, folder, torch_dtype=torch.float64, output_loading_info=True)
    return model.eval(), report


def assert_shared(parameters, config):
    """Every parameter of the encoder but its pooler's is the decoder's own."""
    shared = shared_names(config)
    of_encoder = {name for name in parameters if name.startswith("encoder.")}
    assert set(shared) == {name for name in of_encoder if ".pooler." not in name}
    assert all(parameters[name] is parameters[twin] for name, twin in shared.items())


def assert_equal_models(ours, theirs):
    """Compare what they compute without a cache: with one, a BertGeneration decoder of version
    4.46 sees the future.
    """
    import torch

    inputs = {name: small_batch()[name] for name in ("input_ids", "attention_mask")}
    inputs["decoder_input_ids"] = words(np.random.default_rng(1), 3, 4)
    tensors = {name: torch.from_numpy(array) for name, array in inputs.items()}
    with torch.no_grad():
        expected = quietly(theirs, **tensors, use_cache=False)
    assert_equal_outputs(ours(**inputs), expected, ["encoder_last_hidden_state", "logits"])


@with_version_4
@tied_families
def test_a_tied_folder_of_version_4_fills_both_halves(family, tmp_path):
    theirs = their_pair(family, tie_encoder_decoder=True)
    quietly(theirs.save_pretrained, tmp_path)
    in_file = [name for name in read_tensors(tmp_path) if name.startswith("encoder.")]
    assert all(name.startswith("encoder.pooler.") for name in in_file)
    ours = EncoderDecoderModel.from_pretrained(tmp_path, dtype="float64")
    assert ours.load_report.new == []
    assert_shared(ours.parameters(), ours.config)
    assert_equal_models(ours, theirs)


@with_version_4
@tied_families
def test_a_tied_folder_of_this_package_is_tied_in_version_4(family, tmp_path):
    ours = our_pair(family, tie_encoder_decoder=True)
    ours.save_pretrained(tmp_path)
    theirs, report = loaded_by_transformers(tmp_path)
    assert (report["missing_keys"], report["unexpected_keys"]) == ([], [])
    assert_shared(dict(theirs.named_parameters(remove_duplicate=False)), ours.config)
    assert_equal_models(ours, theirs)


@with_version_4
@relative_pairs
def test_relative_positions_of_version_4_are_read(family, kind, tmp_path):
    theirs = their_pair(family, kind)
    quietly(theirs.save_pretrained, tmp_path)
    ours = EncoderDecoderModel.from_pretrained(tmp_path, dtype="float64")
    assert (ours.load_report.new, ours.load_report.unexpected) == ([], [])
    assert_equal_models(ours, theirs)


@with_version_4
@relative_pairs
def test_relative_positions_of_this_package_are_read_by_version_4(family, kind, tmp_path):
    ours = our_pair(family, kind)
    ours.save_pretrained(tmp_path)
    theirs, report = loaded_by_transformers(tmp_path)
    assert (report["missing_keys"], report["unexpected_keys"]) == ([], [])
    assert_equal_models(ours, theirs)


@with_version_4
@tied_families
def test_tied_relative_positions_are_exchanged_both_ways(family, tmp_path):
    theirs = their_pair(family, KINDS[1], tie_encoder_decoder=True)
    quietly(theirs.save_pretrained, tmp_path / "theirs")
    ours = EncoderDecoderModel.from_pretrained(tmp_path / "theirs", dtype="float64")
    assert_equal_models(ours, theirs)
    ours.save_pretrained(tmp_path / "ours")
    assert_equal_dicts(read_tensors(tmp_path / "ours"), read_tensors(tmp_path / "theirs"))
    again, _ = loaded_by_transformers(tmp_path / "ours")
    assert_equal_models(ours, again)
