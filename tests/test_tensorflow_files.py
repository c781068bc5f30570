"""tf_model.h5: the names, axes and numbers of PyTorch's checkpoints, and clear words if not.

Names and shapes were compared with files that transformers 4.46 and TensorFlow 2.18 wrote.
"""

import importlib.util
import re
import sys

import numpy as np
import pytest
from model_support import AS_DECODER, SIZES, assert_equal_dicts, randomised

from minibert2bert.checkpoints.tensorflow_files import read_tensorflow_tensors
from minibert2bert.models.bert import BertLMHeadModel, BertModel
from minibert2bert.models.config import BertConfig, EncoderDecoderConfig, GPT2Config, RobertaConfig
from minibert2bert.models.encoder_decoder import EncoderDecoderModel
from minibert2bert.models.gpt2 import GPT2LMHeadModel
from minibert2bert.models.roberta import RobertaForCausalLM

HAS_H5PY = importlib.util.find_spec("h5py") is not None
if HAS_H5PY:
    import h5py

pytestmark = pytest.mark.skipif(not HAS_H5PY, reason="needs h5py, of the extra convert")
KERNEL = "bert/tf_bert_model/bert/pooler/dense/kernel:0"
BIAS = "bert/tf_bert_model/bert/pooler/dense/bias:0"
BERT, ROBERTA = BertConfig(**SIZES), RobertaConfig(**SIZES)
GPT2 = GPT2Config(vocab_size=17, n_positions=16, n_embd=12, n_layer=2, n_head=2, **AS_DECODER)
MODELS = {
    "BertModel": (BertModel, BERT),
    "BertLMHeadModel": (BertLMHeadModel, BertConfig(**SIZES, **AS_DECODER)),
    "RobertaForCausalLM": (RobertaForCausalLM, RobertaConfig(**SIZES, **AS_DECODER)),
    "GPT2LMHeadModel": (GPT2LMHeadModel, GPT2),
    "bert2bert": (
        EncoderDecoderModel,
        EncoderDecoderConfig.from_encoder_decoder_configs(BERT, BERT),
    ),
    "roberta2gpt2": (
        EncoderDecoderModel,
        EncoderDecoderConfig.from_encoder_decoder_configs(ROBERTA, GPT2),
    ),
}


def parameters_of(name):
    """Random parameters under the names of a file: a model without a head keeps its base there."""
    kind, config = MODELS[name]
    rng = np.random.default_rng(0)
    parameters = randomised(kind(config, rng=rng), rng).parameters()
    return {f"bert.{n}": a for n, a in parameters.items()} if kind is BertModel else parameters


def variable(name, array, base):
    """The variable below a model that has this tensor: its path, and its numbers."""
    *scopes, leaf = name.split(".")
    path = re.sub(r"(layer|h)/(\d+)", r"\1_._\2", "/".join(scopes))
    path = path.replace("cls/predictions", "mlm___cls/predictions")
    if scopes[0] == "encoder":
        path = path.replace("encoder", f"encoder/{base}", 1)
    module = scopes[-1]
    if module.startswith(("LayerNorm", "layer_norm", "ln_")):
        leaf = {"weight": "gamma", "bias": "beta"}[leaf]
    elif module.startswith(("position_", "token_type_", "wte", "wpe")):
        leaf = "embeddings"
    elif module in ("c_attn", "q_attn", "c_proj", "c_fc"):
        array = array[None] if leaf == "bias" else array
    elif leaf == "weight" and module != "word_embeddings":
        leaf, array = "kernel", array.T
    return f"{path}/{leaf}:0", array


def write(path, variables):
    with h5py.File(path, "w") as file:
        file.attrs["keras_version"] = "2.18.0"
        for name, array in variables.items():
            file[name] = array
    return path


@pytest.mark.parametrize("model", MODELS)
def test_a_model_is_read_back_equal_to_the_last_bit(model, tmp_path):
    parameters = parameters_of(model)
    variables = {}
    for name, parameter in parameters.items():
        path, array = variable(name, parameter, model.split("2")[0])
        variables[f"{path.split('/')[0]}/tf_some_model_3/{path}"] = array
    read = read_tensorflow_tensors(write(tmp_path / "tf_model.h5", variables))
    assert_equal_dicts(read, parameters)
    assert all(array.dtype == np.float32 for array in read.values())


@pytest.mark.parametrize(
    ("path", "name"),
    [
        (
            "bert/tf_bert_for_pre_training/bert/embeddings/word_embeddings/weight:0",
            "bert.embeddings.word_embeddings.weight",
        ),
        (
            "bert/tf_bert_model_2/bert/encoder/layer_._11/attention/self/query/bias:0",
            "bert.encoder.layer.11.attention.self.query.bias",
        ),
        (
            "mlm___cls/tf_bert_for_masked_lm/bert/embeddings/LayerNorm/beta:0",
            "bert.embeddings.LayerNorm.bias",
        ),
        (
            "mlm___cls/tf_bert_for_masked_lm/mlm___cls/predictions/transform/LayerNorm/gamma:0",
            "cls.predictions.transform.LayerNorm.weight",
        ),
        (
            "nsp___cls/tf_bert_for_pre_training/nsp___cls/seq_relationship/bias:0",
            "cls.seq_relationship.bias",
        ),
        ("lm_head/tf_roberta_for_causal_lm/lm_head/bias:0", "lm_head.bias"),
        (
            "transformer/tfgpt2lm_head_model/transformer/h_._0/ln_cross_attn/gamma:0",
            "transformer.h.0.ln_cross_attn.weight",
        ),
        (
            "decoder/tf_encoder_decoder_model/decoder/mlm___cls/predictions/bias:0",
            "decoder.cls.predictions.bias",
        ),
        (
            "encoder/tf_encoder_decoder_model/encoder/roberta/encoder/layer_._0/output/dense/bias:0",
            "encoder.encoder.layer.0.output.dense.bias",
        ),
        (
            "enc_to_dec_proj/tf_encoder_decoder_model/enc_to_dec_proj/bias:0",
            "enc_to_dec_proj.bias",
        ),
        ("model/model.shared/model.shared/embeddings:0", "model.shared.weight"),
        (
            "model/tf_bart_for_conditional_generation/model/decoder/layers.0/fc1/bias:0",
            "model.decoder.layers.0.fc1.bias",
        ),
        ("final_logits_bias/final_logits_bias:0", "final_logits_bias"),
    ],
)
def test_paths_that_transformers_wrote_become_names_of_pytorch(path, name, tmp_path):
    file = write(tmp_path / "tf_model.h5", {path: np.zeros(2, "f4")})
    assert list(read_tensorflow_tensors(file)) == [name]


def test_a_kernel_is_transposed_and_can_be_changed_in_training(tmp_path):
    kernel = np.arange(6, dtype="f4").reshape(2, 3)
    file = write(tmp_path / "tf_model.h5", {KERNEL: kernel})
    weight = read_tensorflow_tensors(file)["bert.pooler.dense.weight"]
    np.testing.assert_array_equal(weight, [[0, 3], [1, 4], [2, 5]])
    assert weight.flags.c_contiguous
    assert weight.flags.writeable


def test_the_bias_of_the_whole_vocabulary_keeps_both_axes(tmp_path):
    variables = {"final_logits_bias/final_logits_bias:0": np.zeros((1, 5), "f4")}
    read = read_tensorflow_tensors(write(tmp_path / "tf_model.h5", variables))
    assert read["final_logits_bias"].shape == (1, 5)


def test_the_names_of_a_shard_begin_without_the_model(tmp_path):
    with h5py.File(tmp_path / "tf_model-00001-of-00002.h5", "w") as file:
        file["encoder/bert/encoder/layer_._0/output/dense/bias:0"] = np.ones(2, "f4")
    read = read_tensorflow_tensors(tmp_path / "tf_model-00001-of-00002.h5")
    assert list(read) == ["encoder.encoder.layer.0.output.dense.bias"]


def test_a_variable_of_two_layers_is_read_once(tmp_path):
    twice = {BIAS: np.array([1.0, np.nan], "f4"), f"mlm___cls/{BIAS[5:]}": np.array([1.0, np.nan])}
    read = read_tensorflow_tensors(write(tmp_path / "tf_model.h5", twice))
    assert_equal_dicts(read, {"bert.pooler.dense.bias": np.array([1.0, np.nan], "f4")})


def test_two_layers_must_not_differ_about_a_variable(tmp_path):
    twice = {BIAS: np.zeros(2, "f4"), f"mlm___cls/{BIAS[5:]}": np.ones(2, "f4")}
    file = write(tmp_path / "tf_model.h5", twice)
    with pytest.raises(ValueError, match=r"two tensors bert\.pooler\.dense\.bias, one as mlm___"):
        read_tensorflow_tensors(file)


@pytest.mark.parametrize("stored", ["<f2", "<f4", "<f8", ">f4"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_tensors_become_the_dtype_asked_for(stored, dtype, tmp_path):
    file = write(tmp_path / "tf_model.h5", {BIAS: np.array([0.1, -3.0], stored)})
    read = read_tensorflow_tensors(file, dtype)["bert.pooler.dense.bias"]
    assert read.dtype == np.dtype(dtype)
    np.testing.assert_array_equal(read, np.array([0.1, -3.0], stored).astype(dtype))


@pytest.mark.parametrize("part", np.linspace(0, 0.999, 40))
def test_a_truncated_file_is_refused(part, tmp_path):
    file = write(tmp_path / "tf_model.h5", {KERNEL: np.zeros((4, 4), "f4"), BIAS: np.zeros(4)})
    content = file.read_bytes()
    file.write_bytes(content[: int(part * len(content))])
    with pytest.raises(ValueError, match=r"tf_model\.h5 is no whole HDF5 file .* again"):
        read_tensorflow_tensors(file)


@pytest.mark.parametrize(
    ("path", "values", "message"),
    [
        (BIAS, np.zeros(2, "i8"), r"bias:0 is of dtype int64; readable are float16 to float64"),
        (BIAS, [b"text", b"more"], r"bias:0 is of dtype \w+; readable are"),
        (KERNEL, np.zeros((2, 2, 2)), r"kernel:0 has shape \(2, 2, 2\), and is no linear layer's"),
        ("layers/dense/vars/0", np.zeros(2), r"it holds layers/dense/vars/0, which is no weight"),
        (BIAS[:-2], np.zeros(2), r"it holds bert/\S+dense/bias, which is no weight"),
        ("bert/m/Adam/m/moment:0", np.zeros(2), r"it holds bert/m/Adam/m/moment:0, which is no"),
    ],
)
def test_what_is_no_weight_is_named(path, values, message, tmp_path):
    file = write(tmp_path / "tf_model.h5", {path: values})
    with pytest.raises(ValueError, match=message):
        read_tensorflow_tensors(file)


def test_an_empty_dataset_is_refused(tmp_path):
    file = write(tmp_path / "tf_model.h5", {BIAS: h5py.Empty("f4")})
    with pytest.raises(ValueError, match=r"tf_model\.h5 is no"):
        read_tensorflow_tensors(file)


def test_a_file_without_tensors_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"tf_model\.h5 is not read: it holds no tensors"):
        read_tensorflow_tensors(write(tmp_path / "tf_model.h5", {}))


def test_links_to_other_files_are_not_followed(tmp_path):
    write(tmp_path / "private.h5", {"secret": np.ones(2, "f4")})
    file = write(tmp_path / "tf_model.h5", {BIAS: np.zeros(2, "f4")})
    with h5py.File(file, "a") as group:
        group[KERNEL] = h5py.ExternalLink("private.h5", "/secret")
    assert list(read_tensorflow_tensors(file)) == ["bert.pooler.dense.bias"]


def test_numbers_of_other_files_are_refused(tmp_path):
    (tmp_path / "private").write_bytes(bytes(8))
    file = write(tmp_path / "tf_model.h5", {})
    with h5py.File(file, "a") as group:
        group.create_dataset(BIAS, (2,), "f4", external=[(tmp_path / "private", 0, 8)])
    with pytest.raises(ValueError, match=r"bias:0 is compressed, or not in this file"):
        read_tensorflow_tensors(file)


@pytest.mark.parametrize(
    "settings",
    [{"shape": 1 << 38}, {"data": np.zeros(1 << 20, "f4"), "compression": "gzip"}],
    ids=["nothing stored", "compressed"],
)
def test_a_small_file_cannot_claim_a_large_tensor(settings, tmp_path):
    file = write(tmp_path / "tf_model.h5", {})
    with h5py.File(file, "a") as group:
        group.create_dataset(BIAS, dtype="f4", **settings)
    assert file.stat().st_size < 1 << 16
    with pytest.raises(ValueError, match=r"bias:0 is compressed, or not in this file"):
        read_tensorflow_tensors(file)


def test_a_file_of_another_kind_is_refused(tmp_path):
    (tmp_path / "tf_model.h5").write_text("version https://git-lfs.github.com/spec/v1\n")
    with pytest.raises(ValueError, match=r"is no whole HDF5 file .*; copy or download it again"):
        read_tensorflow_tensors(tmp_path / "tf_model.h5")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no file .*elsewhere\.h5; a TensorFlow model has"):
        read_tensorflow_tensors(tmp_path / "elsewhere.h5")


def test_a_missing_library_is_named_with_its_command(tmp_path, monkeypatch):
    file = write(tmp_path / "tf_model.h5", {BIAS: np.zeros(2, "f4")})
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(ModuleNotFoundError, match=r"h5py: pip install minibert2bert\[convert\]"):
        read_tensorflow_tensors(file)


def test_another_dtype_cannot_be_asked_for(tmp_path):
    with pytest.raises(ValueError, match='dtype must be "float32" or "float64", got \'float16\''):
        read_tensorflow_tensors(tmp_path, "float16")
