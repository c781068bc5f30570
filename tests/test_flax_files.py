"""flax_model.msgpack: the names, axes and numbers of PyTorch's checkpoints, and clear words if not.

Names and shapes were compared with files that transformers 4.46 and Flax 0.10 wrote.
"""

import importlib.util
import sys

import numpy as np
import pytest
from model_support import AS_DECODER, SIZES, assert_equal_dicts, randomised

from minibert2bert.arrays import nest
from minibert2bert.checkpoints.flax_files import read_flax_tensors
from minibert2bert.models.bart import BartForCausalLM
from minibert2bert.models.bert import BertLMHeadModel, BertModel
from minibert2bert.models.config import (
    BartConfig,
    BertConfig,
    EncoderDecoderConfig,
    GPT2Config,
    RobertaConfig,
)
from minibert2bert.models.encoder_decoder import EncoderDecoderModel
from minibert2bert.models.gpt2 import GPT2LMHeadModel
from minibert2bert.models.roberta import RobertaForCausalLM

HAS_MSGPACK = importlib.util.find_spec("msgpack") is not None
if HAS_MSGPACK:
    import msgpack

pytestmark = pytest.mark.skipif(not HAS_MSGPACK, reason="needs msgpack, of the extra convert")
BERT, ROBERTA = BertConfig(**SIZES), RobertaConfig(**SIZES)
GPT2 = GPT2Config(vocab_size=17, n_positions=16, n_embd=12, n_layer=2, n_head=2, **AS_DECODER)
BART = BartConfig(
    vocab_size=17,
    d_model=8,
    decoder_layers=2,
    decoder_attention_heads=2,
    decoder_ffn_dim=12,
    max_position_embeddings=16,
)
MODELS = {
    "BertModel": (BertModel, BERT),
    "BertLMHeadModel": (BertLMHeadModel, BertConfig(**SIZES, **AS_DECODER)),
    "RobertaForCausalLM": (RobertaForCausalLM, RobertaConfig(**SIZES, **AS_DECODER)),
    "GPT2LMHeadModel": (GPT2LMHeadModel, GPT2),
    "BartForCausalLM": (BartForCausalLM, BART),
    "bert2bert": (
        EncoderDecoderModel,
        EncoderDecoderConfig.from_encoder_decoder_configs(BERT, BERT),
    ),
    "roberta2gpt2": (
        EncoderDecoderModel,
        EncoderDecoderConfig.from_encoder_decoder_configs(ROBERTA, GPT2),
    ),
}


def renamed(name, array):
    """What a tensor is called in Flax, and its numbers there."""
    module, leaf = name.rsplit(".", 1)
    last = module.split(".")[-1]
    if leaf == "bias":
        return name, array
    if last.startswith("ln_") or last.lower().endswith(("norm", "layernorm_embedding")):
        return f"{module}.scale", array
    if last.endswith("_embeddings") or last in ("wte", "wpe", "embed_tokens", "embed_positions"):
        return f"{module}.embedding", array
    return f"{module}.kernel", array.T


def extension(array, code=1, dtype=None):
    """An array as Flax writes it, under the name of its dtype or another one."""
    fields = (array.shape, dtype or array.dtype.name, array.tobytes())
    return msgpack.ExtType(code, msgpack.packb(fields))


def write(path, tree):
    path.write_bytes(msgpack.packb(tree, default=extension))
    return path


def one(leaf, value):
    """A tree with one leaf."""
    return {"pooler": {"dense": {leaf: value}}}


@pytest.mark.parametrize("model", MODELS)
def test_a_model_is_read_back_equal_to_the_last_bit(model, tmp_path):
    kind, config = MODELS[model]
    rng = np.random.default_rng(0)
    parameters = randomised(kind(config, rng=rng), rng).parameters()
    tree = nest(dict(renamed(name, array) for name, array in parameters.items()))
    read = read_flax_tensors(write(tmp_path / "flax_model.msgpack", tree))
    assert_equal_dicts(read, parameters)
    assert all(array.dtype == np.float32 for array in read.values())


@pytest.mark.parametrize(
    ("flax", "pytorch"),
    [
        ("embeddings.word_embeddings.embedding", "embeddings.word_embeddings.weight"),
        ("cls.predictions.transform.LayerNorm.scale", "cls.predictions.transform.LayerNorm.weight"),
        (
            "encoder.encoder.layer.11.output.dense.bias",
            "encoder.encoder.layer.11.output.dense.bias",
        ),
        ("decoder.lm_head.layer_norm.scale", "decoder.lm_head.layer_norm.weight"),
        ("transformer.h.0.ln_cross_attn.scale", "transformer.h.0.ln_cross_attn.weight"),
        ("model.decoder.layers.0.fc1.bias", "model.decoder.layers.0.fc1.bias"),
        ("final_logits_bias", "final_logits_bias"),
    ],
)
def test_names_that_transformers_wrote_become_names_of_pytorch(flax, pytorch, tmp_path):
    file = write(tmp_path / "flax_model.msgpack", nest({flax: np.zeros((1, 2), "f4")}))
    assert_equal_dicts(read_flax_tensors(file), {pytorch: np.zeros((1, 2), "f4")})


def test_a_kernel_is_transposed_and_all_can_be_changed_in_training(tmp_path):
    tree = {"dense": {"kernel": np.arange(6, dtype="f4").reshape(2, 3), "bias": np.zeros(3, "f4")}}
    read = read_flax_tensors(write(tmp_path / "flax_model.msgpack", tree))
    np.testing.assert_array_equal(read["dense.weight"], [[0, 3], [1, 4], [2, 5]])
    assert all(array.flags.writeable for array in read.values())
    assert all(array.flags.c_contiguous for array in read.values())


@pytest.mark.parametrize("stored", ["float16", "float32", "float64"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_tensors_become_the_dtype_asked_for(stored, dtype, tmp_path):
    bias = np.array([0.1, -3.0], stored)
    file = write(tmp_path / "flax_model.msgpack", one("bias", bias))
    assert_equal_dicts(read_flax_tensors(file, dtype), {"pooler.dense.bias": bias.astype(dtype)})


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_bfloat16_is_widened(dtype, tmp_path):
    # Sign, eight bits of exponent, seven of fraction.
    bits = np.array([0x3F80, 0xC040, 0x3E20, 0x7F80], "<u2")
    tree = one("bias", extension(bits, dtype="bfloat16"))
    read = read_flax_tensors(write(tmp_path / "flax_model.msgpack", tree), dtype)
    assert_equal_dicts(read, {"pooler.dense.bias": np.array([1, -3, 0.15625, np.inf], dtype)})


def test_the_pieces_of_a_large_tensor_are_put_together(tmp_path):
    kernel = np.arange(22, dtype="f4").reshape(2, 11)
    pieces = {str(i): kernel.reshape(-1)[2 * i : 2 * i + 2] for i in range(11)}
    pieces = dict(sorted(pieces.items()))
    assert list(pieces)[2] == "10"
    chunked = {"__msgpack_chunked_array__": True, "shape": {"0": 2, "1": 11}, "chunks": pieces}
    read = read_flax_tensors(write(tmp_path / "flax_model.msgpack", one("kernel", chunked)))
    assert_equal_dicts(read, {"pooler.dense.weight": kernel.T})


def test_a_scalar_of_numpy_is_a_tensor_without_axes(tmp_path):
    scale = extension(np.array(2, "f4"), code=3)
    read = read_flax_tensors(write(tmp_path / "flax_model.msgpack", one("scale", scale)))
    assert_equal_dicts(read, {"pooler.dense.weight": np.array(2, "f4")})


@pytest.mark.parametrize("part", np.linspace(0, 0.999, 40))
def test_a_truncated_file_is_refused(part, tmp_path):
    tree = {"kernel": np.zeros((4, 4), "f4"), "bias": np.zeros(4, "f4")}
    file = write(tmp_path / "flax_model.msgpack", tree)
    content = file.read_bytes()
    file.write_bytes(content[: int(part * len(content))])
    with pytest.raises(ValueError, match=r"flax_model\.msgpack is no whole file of Flax .* again"):
        read_flax_tensors(file)


@pytest.mark.parametrize(
    "fields",
    [
        ([3], "float32", bytes(8)),
        ([2], "float32", bytes(7)),
        ([-1], "float32", bytes(8)),
        ([2], "float32", "text"),
        ([2], "float32"),
        ("ab", "float32", bytes(8)),
        7,
    ],
)
def test_an_array_whose_parts_do_not_fit_is_refused(fields, tmp_path):
    tree = one("bias", msgpack.ExtType(1, msgpack.packb(fields)))
    file = write(tmp_path / "flax_model.msgpack", tree)
    with pytest.raises(ValueError, match=r"flax_model\.msgpack is no whole file of Flax"):
        read_flax_tensors(file)


@pytest.mark.parametrize(
    "change",
    [{"chunks": {"0": 1}}, {"chunks": {}}, {"shape": {"0": 5}}, {"shape": {"1": 4}}, {"shape": 4}],
)
def test_pieces_that_do_not_fit_are_refused(change, tmp_path):
    chunked = {"__msgpack_chunked_array__": True, "shape": {"0": 4}}
    tree = one("bias", {**chunked, "chunks": {"0": np.zeros(4, "f4")}, **change})
    file = write(tmp_path / "flax_model.msgpack", tree)
    with pytest.raises(ValueError, match=r"flax_model\.msgpack is no whole file of Flax"):
        read_flax_tensors(file)


@pytest.mark.parametrize(
    ("leaf", "make", "message"),
    [
        ("bias", lambda: np.zeros(2, "i8"), r"a tensor is of dtype int64; readable are float16, "),
        ("bias", lambda: 0.5, r"it holds pooler\.dense\.bias, a float; known are tensors called"),
        ("bias", lambda: [0.5], r"it holds pooler\.dense\.bias, a list; known are tensors called"),
        ("gamma", lambda: np.zeros(2), r"it holds pooler\.dense\.gamma, a ndarray; .* kernel, sc"),
        (
            "kernel",
            lambda: np.zeros(2),
            r"pooler\.dense\.kernel has shape \(2,\), but needs two axes",
        ),
        ("bias", lambda: msgpack.ExtType(2, b"\x92\x00\x01"), r"an extension of type 2, which is"),
    ],
)
def test_what_is_no_weight_is_named(leaf, make, message, tmp_path):
    file = write(tmp_path / "flax_model.msgpack", one(leaf, make()))
    with pytest.raises(ValueError, match=rf"flax_model\.msgpack is not read: .*{message}"):
        read_flax_tensors(file)


def test_two_tensors_must_not_get_one_name(tmp_path):
    tree = {"dense": {"kernel": np.zeros((2, 2)), "scale": np.zeros(2)}}
    file = write(tmp_path / "flax_model.msgpack", tree)
    with pytest.raises(ValueError, match=r"two tensors dense\.weight, one as dense\.scale"):
        read_flax_tensors(file)


@pytest.mark.parametrize(
    ("tree", "message"),
    [
        ([1, 2], "it holds a list, not a map of tensors"),
        ({}, "it holds no tensors"),
        ({"bert": {}}, "it holds no tensors"),
    ],
)
def test_a_file_without_tensors_is_refused(tree, message, tmp_path):
    with pytest.raises(ValueError, match=rf"flax_model\.msgpack is not read: {message}"):
        read_flax_tensors(write(tmp_path / "flax_model.msgpack", tree))


@pytest.mark.parametrize(
    "content",
    [
        b"some text, and no more than that\n" * 100,
        b"\x81\x01\x01",
        b"\x81\xa1a" * 100_000 + b"\x80",
        b"\x91" * 100_000,
    ],
    ids=["another format", "a number as a name", "deep maps", "deep lists"],
)
def test_a_file_of_another_kind_is_refused_in_a_few_words(content, tmp_path):
    (tmp_path / "flax_model.msgpack").write_bytes(content)
    with pytest.raises(ValueError, match=r"is no whole file of Flax .* again$") as caught:
        read_flax_tensors(tmp_path / "flax_model.msgpack")
    assert len(str(caught.value)) < 100 + len(str(tmp_path)) + 100


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no file .*elsewhere; a Flax model has a flax_"):
        read_flax_tensors(tmp_path / "elsewhere")


def test_a_missing_library_is_named_with_its_command(tmp_path, monkeypatch):
    file = write(tmp_path / "flax_model.msgpack", one("bias", np.zeros(2, "f4")))
    monkeypatch.setitem(sys.modules, "msgpack", None)
    with pytest.raises(ModuleNotFoundError, match=r"msgpack: pip install minibert2bert\[convert\]"):
        read_flax_tensors(file)


def test_another_dtype_cannot_be_asked_for(tmp_path):
    with pytest.raises(ValueError, match='dtype must be "float32" or "float64", got \'float16\''):
        read_flax_tensors(tmp_path, "float16")
