"""Tensors in files: equal to the last bit, and an error for whatever is not whole."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from minibert2bert.checkpoints.safetensors_files import read_tensors, write_tensors

DTYPES = [np.float32, np.float64, np.int64, np.int32, np.int8, np.uint8, np.bool_]
any_array = st.sampled_from(DTYPES).flatmap(
    lambda dtype: arrays.arrays(dtype, arrays.array_shapes(min_dims=0, min_side=0, max_side=4))
)


def some_tensors():
    rng = np.random.default_rng(0)
    return {
        "b.weight": rng.standard_normal((3, 4)).astype(np.float32),
        "a.bias": rng.standard_normal(5).astype(np.float32),
        "ids": np.arange(4),
    }


def write_raw(path, header, data=b""):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)


@settings(max_examples=50, deadline=None)
@given(tensors=st.dictionaries(st.text(min_size=1, max_size=5), any_array, min_size=1, max_size=4))
def test_what_is_written_is_read_bit_by_bit(tmp_path_factory, tensors):
    folder = tmp_path_factory.mktemp("model")
    write_tensors(folder, tensors)
    read = read_tensors(folder, "auto")
    assert set(read) == set(tensors)
    for name, array in tensors.items():
        assert read[name].dtype == array.dtype
        assert read[name].shape == array.shape
        assert read[name].tobytes() == array.tobytes()


def test_a_tensor_in_its_own_dtype_is_a_view_of_the_file_that_can_be_changed(tmp_path):
    write_tensors(tmp_path, some_tensors())
    tensor = read_tensors(tmp_path)["b.weight"]
    assert not tensor.flags.owndata
    tensor += 1
    np.testing.assert_array_equal(read_tensors(tmp_path)["b.weight"], some_tensors()["b.weight"])


def test_the_tensors_of_a_file_share_one_mapping(tmp_path):
    write_tensors(tmp_path, some_tensors())
    roots = set()
    for array in read_tensors(tmp_path).values():
        while isinstance(array, np.ndarray):
            array = array.base
        roots.add(id(array))
    assert len(roots) == 1


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_half_precision_is_widened(tmp_path, dtype):
    halves = np.array([1.5, -2.25, 65504, 6e-8], np.float16)
    write_tensors(tmp_path, {"x": halves})
    read = read_tensors(tmp_path, dtype)["x"]
    assert read.dtype == dtype
    np.testing.assert_array_equal(read, halves.astype(dtype))


def test_bfloat16_is_widened_by_its_bits(tmp_path):
    bits = np.array([0x3F80, 0xC020, 0x7F80, 0x0001, 0x7FC0], "<u2")
    header = {"x": {"dtype": "BF16", "shape": [5], "data_offsets": [0, 10]}}
    write_raw(tmp_path / "model.safetensors", header, bits.tobytes())
    expected = np.array([1.0, -2.5, np.inf, 2.0**-133, np.nan], np.float32)
    np.testing.assert_array_equal(read_tensors(tmp_path)["x"], expected)


def test_an_unaligned_tensor_is_copied(tmp_path):
    header = json.dumps({"x": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}).encode()
    text = header + b" " * (1 + (8 - len(header)) % 8)
    write_raw(tmp_path / "model.safetensors", text, np.array([1, 2], "<f4").tobytes())
    read = read_tensors(tmp_path)["x"]
    assert read.flags.aligned
    np.testing.assert_array_equal(read, [1, 2])


def test_an_array_under_two_names_is_written_once(tmp_path):
    shared = np.ones(3, np.float32)
    write_tensors(tmp_path, {"encoder.x": shared, "decoder.x": shared, "y": np.zeros(1)})
    assert set(read_tensors(tmp_path)) == {"encoder.x", "y"}


def test_shards_are_read_like_one_file(tmp_path):
    write_tensors(tmp_path, some_tensors(), max_shard_size=40)
    index = json.loads((tmp_path / "model.safetensors.index.json").read_text())
    assert set(index["weight_map"].values()) == {
        f"model-0000{number}-of-00003.safetensors" for number in (1, 2, 3)
    }
    assert index["metadata"]["total_size"] == 48 + 20 + 32
    read = read_tensors(tmp_path)
    for name, array in some_tensors().items():
        np.testing.assert_array_equal(read[name], array)


def test_arrays_in_another_order_are_written_right(tmp_path):
    array = np.arange(6, dtype=np.float32).reshape(2, 3).T
    write_tensors(tmp_path, {"x": array})
    np.testing.assert_array_equal(read_tensors(tmp_path)["x"], array)


def test_a_missing_folder_and_an_empty_one_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such folder"):
        read_tensors(tmp_path / "nowhere")
    (tmp_path / "pytorch_model.bin").write_bytes(b"")
    with pytest.raises(
        FileNotFoundError, match=r"pytorch_model.bin.*save the model as safetensors"
    ):
        read_tensors(tmp_path)


def test_an_unknown_dtype_is_refused(tmp_path):
    header = {"x": {"dtype": "F8_E4M3", "shape": [2], "data_offsets": [0, 2]}}
    write_raw(tmp_path / "model.safetensors", header, b"\0\0")
    with pytest.raises(ValueError, match="F8_E4M3"):
        read_tensors(tmp_path)
    with pytest.raises(ValueError, match=r'"float32", "float64" or "auto"'):
        read_tensors(tmp_path, "float16")


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_a_damaged_file_is_read_or_refused_and_nothing_else(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("model")
    write_tensors(folder, some_tensors())
    path = folder / "model.safetensors"
    whole = bytearray(path.read_bytes())
    header_end = 8 + int.from_bytes(whole[:8], "little")
    for _ in range(data.draw(st.integers(1, 3))):
        whole[data.draw(st.integers(0, header_end - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(whole[: data.draw(st.integers(0, len(whole)))])
    message = "model.safetensors"
    try:
        read_tensors(folder)
    except ValueError as error:
        message = str(error)
    assert "model.safetensors" in message


@pytest.mark.parametrize("file", ["../evil.safetensors", "/evil.safetensors", "a/b.safetensors"])
def test_a_shard_outside_of_the_folder_is_refused(tmp_path, file):
    index = {"weight_map": {"x": file}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(ValueError, match="outside of its own folder"):
        read_tensors(tmp_path)


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"weight_map": 3}', '{"weight_map": [1]}'])
def test_a_broken_index_is_named(tmp_path, text):
    (tmp_path / "model.safetensors.index.json").write_text(text)
    with pytest.raises(ValueError, match="weight_map"):
        read_tensors(tmp_path)


def test_a_missing_shard_and_a_missing_tensor_are_named(tmp_path):
    write_tensors(tmp_path, some_tensors(), max_shard_size=40)
    path = tmp_path / "model.safetensors.index.json"
    index = json.loads(path.read_text())
    index["weight_map"]["more"] = "model-00001-of-00003.safetensors"
    path.write_text(json.dumps(index))
    with pytest.raises(ValueError, match="'more'"):
        read_tensors(tmp_path)
    (tmp_path / "model-00002-of-00003.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match="model-00002-of-00003"):
        read_tensors(tmp_path)


def test_a_link_to_a_shard_elsewhere_is_followed(tmp_path):
    write_tensors(tmp_path / "blobs", some_tensors(), max_shard_size=40)
    (tmp_path / "snapshot").mkdir()
    for path in (tmp_path / "blobs").iterdir():
        (tmp_path / "snapshot" / path.name).symlink_to(path)
    assert set(read_tensors(tmp_path / "snapshot")) == set(some_tensors())


def test_one_file_counts_before_an_index_that_an_earlier_save_left(tmp_path):
    write_tensors(tmp_path, some_tensors(), max_shard_size=40)
    index = (tmp_path / "model.safetensors.index.json").read_text()
    write_tensors(tmp_path, {"x": np.ones(1, np.float32)})
    (tmp_path / "model.safetensors.index.json").write_text(index)
    assert set(read_tensors(tmp_path)) == {"x"}


@pytest.mark.parametrize(("first", "second"), [(None, 40), (40, None), (40, 70)])
def test_files_of_an_earlier_save_are_not_read(tmp_path, first, second):
    write_tensors(tmp_path, {**some_tensors(), "stale": np.zeros(30)}, max_shard_size=first)
    write_tensors(tmp_path, some_tensors(), max_shard_size=second)
    assert set(read_tensors(tmp_path)) == set(some_tensors())


def test_a_tensor_is_read_from_the_shard_that_the_index_names(tmp_path):
    one, nine = np.ones(4, np.float32), np.full(4, 9, np.float32)
    write_tensors(tmp_path, {"a": one, "b": nine}, max_shard_size=16)
    write_tensors(tmp_path / "other", {"a": nine, "b": nine.copy()})
    (tmp_path / "other" / "model.safetensors").replace(
        tmp_path / "model-00002-of-00002.safetensors"
    )
    np.testing.assert_array_equal(read_tensors(tmp_path)["a"], one)


def test_the_folder_that_the_arrays_are_mapped_from_can_be_written(tmp_path):
    large = np.arange(100_000, dtype=np.float32)
    write_tensors(tmp_path, {"x": large})
    mapped = read_tensors(tmp_path)["x"]
    write_tensors(tmp_path, {"x": mapped[:2]})
    np.testing.assert_array_equal(mapped, large)
    np.testing.assert_array_equal(read_tensors(tmp_path)["x"], large[:2])


@pytest.mark.parametrize(
    ("number", "bits"),
    [
        (1.0, 0x3F80),
        (-2.5, 0xC020),
        (np.inf, 0x7F80),
        (np.nan, 0x7FC0),
        (2.0**-133, 0x0001),
        (1 + 2.0**-8, 0x3F80),  # Between two: the even one.
        (1 + 3 * 2.0**-8, 0x3F82),
        (1 + 2.0**-8 + 2.0**-20, 0x3F81),
    ],
)
def test_bfloat16_is_written_rounded_to_nearest_even(tmp_path, number, bits):
    write_tensors(tmp_path, {"x": np.array(number, np.float32)}, dtype="bfloat16")
    raw = (tmp_path / "model.safetensors").read_bytes()
    assert int.from_bytes(raw[-2:], "little") == bits
    read = read_tensors(tmp_path)["x"]
    assert isinstance(read, np.ndarray)
    np.testing.assert_array_equal(read.view(np.uint32), np.uint32(bits << 16))


def test_every_nan_stays_one_in_bfloat16(tmp_path):
    nans = np.array([0x7FFFFFFF, 0x7F800001, 0xFFFFFFFF], np.uint32).view(np.float32)
    write_tensors(tmp_path, {"x": nans}, dtype="bfloat16")
    assert np.isnan(read_tensors(tmp_path)["x"]).all()


def test_auto_keeps_the_dtype_of_the_file_and_widens_halves(tmp_path):
    dtypes = {"a": np.float16, "b": np.float32, "c": np.float64, "d": np.int8}
    write_tensors(tmp_path, {name: np.ones(2, dtype) for name, dtype in dtypes.items()})
    read = read_tensors(tmp_path, "auto")
    assert {name: read[name].dtype for name in read} == {**dtypes, "a": np.float32}


def test_a_number_too_large_for_the_dtype_is_named_and_an_infinity_is_not(tmp_path):
    write_tensors(tmp_path, {"x": np.array([np.inf, 1], np.float32)}, dtype="float16")
    with pytest.raises(ValueError, match=r"x has numbers up to 1e\+05, too large for F16"):
        write_tensors(tmp_path, {"x": np.array([1e5], np.float32)}, dtype="float16")
    assert read_tensors(tmp_path)["x"][0] == np.inf


@pytest.mark.parametrize("array", [np.ones(2, complex), np.array(["a"]), np.array([None])])
def test_a_dtype_that_cannot_be_written_is_named(tmp_path, array):
    with pytest.raises(ValueError, match="x of dtype"):
        write_tensors(tmp_path, {"x": array})


def test_mixed_dtypes_lie_aligned_in_the_file(tmp_path):
    tensors = {"a": np.ones(3, np.int8), "b": np.ones(3, np.float32), "c": np.ones(3, np.float64)}
    write_tensors(tmp_path, tensors)
    assert not any(array.flags.owndata for array in read_tensors(tmp_path, "auto").values())


@pytest.mark.parametrize("file", ["", ".", "..", "C:evil", "..\\evil", "x" * 300, "x\0"])
def test_strange_names_of_shards_are_refused(tmp_path, file):
    index = {"weight_map": {"x": file}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises((ValueError, FileNotFoundError), match=r"index\.json names"):
        read_tensors(tmp_path)


@pytest.mark.parity
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("size", ["1GB", "1KB"])
def test_what_transformers_saves_is_read_equal(tmp_path, dtype, size):
    import torch
    import transformers

    sizes = {"hidden_size": 8, "num_attention_heads": 2, "intermediate_size": 16}
    config = transformers.BertGenerationConfig(
        vocab_size=13, num_hidden_layers=1, max_position_embeddings=16, is_decoder=True, **sizes
    )
    model = transformers.BertGenerationDecoder(config).to(getattr(torch, dtype))
    model.save_pretrained(tmp_path, max_shard_size=size)
    assert (len(list(tmp_path.glob("*.safetensors"))) > 1) == (size == "1KB")
    read = read_tensors(tmp_path)
    theirs = model.state_dict()
    assert set(theirs) - set(read) == {"lm_head.decoder.weight", "lm_head.decoder.bias"}
    for name, array in read.items():
        np.testing.assert_array_equal(array, theirs[name].float().numpy())


@pytest.mark.parity
def test_torch_rounds_to_the_same_bfloat16(tmp_path):
    import torch

    bits = np.random.default_rng(0).integers(0, 2**32, 10_000, dtype=np.uint32)
    numbers = bits.view(np.float32)
    write_tensors(tmp_path, {"x": numbers}, dtype="bfloat16")
    theirs = torch.from_numpy(numbers).bfloat16().float().numpy()
    np.testing.assert_array_equal(read_tensors(tmp_path)["x"], theirs)
