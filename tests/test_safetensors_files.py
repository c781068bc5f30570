"""Tensors in files: equal to the last bit, and an error for whatever is not whole."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from minibert2bert.checkpoints.safetensors_files import read_tensors, write_tensors

DTYPES = [np.float32, np.int64, np.int32, np.uint8, np.bool_]
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
    read = read_tensors(folder)
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
    with pytest.raises(ValueError, match=r'"float32" or "float64"'):
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
