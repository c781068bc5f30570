"""Files of torch.save: equal to the last bit, and refused when not whole.

torch_writer.py writes the files, so that machines without torch test the reader, too.
"""

import json
import pickle
import struct
import zipfile
from collections import OrderedDict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from torch_writer import (
    SAVERS,
    V2,
    V3,
    Name,
    Storage,
    message_of_reading,
    save_legacy,
    save_zip,
    some_tensors,
    view,
    whole,
)

from minibert2bert.checkpoints.folders import FINISHED
from minibert2bert.checkpoints.safetensors_files import write_tensors
from minibert2bert.checkpoints.torch_files import read_checkpoint, read_torch_tensors

any_array = st.sampled_from(["f4", "i8", "i4", "i2", "i1", "u1", "?"]).flatmap(
    lambda dtype: arrays.arrays(dtype, arrays.array_shapes(min_dims=0, min_side=0, max_side=4))
)


@pytest.fixture(params=SAVERS)
def saved(request, tmp_path):
    """Writes a tree in one of the two formats, and reads it again."""

    def write_and_read(tree, dtype="float32"):
        request.param(tmp_path / "pytorch_model.bin", tree)
        return read_torch_tensors(tmp_path, dtype)

    return write_and_read


@settings(max_examples=50, deadline=None)
@given(
    save=st.sampled_from(SAVERS),
    tensors=st.dictionaries(st.text(min_size=1, max_size=5), any_array, min_size=1, max_size=4),
)
def test_what_is_written_is_read_bit_by_bit(tmp_path_factory, save, tensors):
    folder = tmp_path_factory.mktemp("model")
    save(folder / "pytorch_model.bin", OrderedDict((n, whole(a)) for n, a in tensors.items()))
    read = read_torch_tensors(folder)
    assert set(read) == set(tensors)
    for name, array in tensors.items():
        assert read[name].dtype == array.dtype
        assert read[name].shape == array.shape
        assert read[name].tobytes() == array.tobytes()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_floating_point_tensors_get_the_dtype_asked_for(saved, dtype):
    halves, doubles = np.float16([1.5, 65504, 6e-8]), np.float64([0.1, 1e-30])
    bfloats = view(Storage(np.uint16([0x3F80, 0xC020, 0x0001]), "BFloat16"), (3,), (1,))
    read = saved({"half": whole(halves), "double": whole(doubles), "bfloat": bfloats}, dtype)
    np.testing.assert_array_equal(read["half"], halves.astype(dtype), strict=True)
    np.testing.assert_array_equal(read["double"], doubles.astype(dtype), strict=True)
    expected = np.array([1.0, -2.5, 2.0**-133], dtype)
    np.testing.assert_array_equal(read["bfloat"], expected, strict=True)


def test_auto_keeps_the_dtype_and_widens_sixteen_bits(saved):
    dtypes = ("float16", "float32", "float64")
    read = saved({name: whole(np.ones(2, name)) for name in dtypes}, "auto")
    assert [str(array.dtype) for array in read.values()] == ["float32", "float32", "float64"]


def test_views_are_cut_from_their_storage(saved):
    storage = Storage(np.arange(12, dtype=np.int8))
    turned, row, point = view(storage, (2, 3), (1, 2), 3), view(storage, (2,), (5,)), (11, (), ())
    read = saved({"turned": turned, "row": row, "point": V2(storage, *point, False, {})})
    np.testing.assert_array_equal(read["turned"], [[3, 5, 7], [4, 6, 8]])
    np.testing.assert_array_equal(read["row"], [0, 5])
    assert read["point"] == 11
    assert read["point"].shape == ()
    assert all(array.flags.c_contiguous for array in read.values())


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_equal_views_are_one_array_and_others_are_not(saved, dtype):
    storage = Storage(np.arange(4, dtype=dtype))
    first, again, other = (view(storage, (2,), (1,), offset) for offset in (0, 0, 2))
    many = {str(number): [number] for number in range(300)}
    model = {"embeddings": first, "head": again, "other": other, "also": first}
    read = saved({"many": many, "model": model, "same": model["also"]})
    assert read["embeddings"] is read["head"]
    assert read["embeddings"] is read["also"]
    assert read["embeddings"] is not read["other"]
    np.testing.assert_array_equal(read["other"], [2, 3])


def test_tensors_are_views_of_one_mapping_of_the_file_and_can_be_changed(saved, tmp_path):
    read = saved({f"x{number}": whole(np.zeros(4, np.uint8)) for number in range(3)})
    roots = set()
    for array in read.values():
        array += 1
        while isinstance(array, np.ndarray):
            array = array.base
        roots.add(id(array))
    assert len(roots) == 1
    assert not np.any(list(read_torch_tensors(tmp_path).values()))


@pytest.mark.parametrize("length", range(1, 5))
def test_a_tensor_between_the_words_of_the_memory_is_copied(saved, length):
    # The longer the name, the later the numbers begin.
    read = saved({"x" * length: whole(np.float32([1, 2])), "y": whole(np.float32([3]))})
    assert all(array.flags.aligned for array in read.values())
    np.testing.assert_array_equal(read["x" * length], [1, 2])


def test_parameters_and_dicts_with_attributes_are_read(saved):
    tree = OrderedDict(some_tensors())
    tree._metadata = OrderedDict({"": {"version": 1}})
    parameter = Name("torch._utils", "_rebuild_parameter")
    tree["parameter"] = parameter(whole(np.float32([5])), True, OrderedDict())
    read = saved(tree)
    assert set(read) == set(tree)
    np.testing.assert_array_equal(read["parameter"], np.float32([5]), strict=True)


def test_dtypes_that_have_no_storage_of_their_own_are_read(saved):
    raw = Storage(np.uint8([0, 0, 1, 2]))
    raw.kind = Name("torch.storage", "UntypedStorage")
    tensor = V3(raw, 1, (1,), (1,), False, OrderedDict(), Name("torch", "uint16"))
    np.testing.assert_array_equal(saved({"x": tensor})["x"], np.uint16([513]), strict=True)


def test_one_wrapped_dict_of_tensors_is_unwrapped(saved):
    tree = {"epoch": 3, "loss": 0.5, "optimizer": {0: [True, None]}, "state_dict": some_tensors()}
    assert set(saved(tree)) == {"weight", "bias", "ids"}


@pytest.mark.parametrize(
    ("tree", "message"),
    [
        ({"model": some_tensors(), "state_dict": some_tensors()}, "not 2, under 2 .model, state"),
        ({"epoch": 3, "weights": some_tensors()}, "not 0, under 2 .epoch, weights"),
        ({}, "not 0"),
        ([whole(np.ones(2))], "holds a list"),
        (whole(np.ones(2)), "holds a Tensor"),
        ({"x": V2(Storage(np.ones(2)), 0, (2,), (1,), False, {}, {"neg": True})}, "negative"),
        ({("x",): 1}, "key of type tuple"),
        ({"x": Name("torch", "FloatStorage")}, "not 0"),
        (Name("collections", "OrderedDict")([["x", whole(np.ones(2))]]), "Python 2"),
        ({"x": {1, 2}}, r"names .(builtins|__builtin__)\.set"),
    ],
)
def test_anything_but_one_dict_of_tensors_is_refused(saved, tree, message):
    with pytest.raises(ValueError, match=rf"pytorch_model.bin is not read: .*{message}"):
        saved(tree)


@pytest.mark.parametrize(
    ("offset", "size", "strides"),
    [(5, (1,), (1,)), (0, (6,), (1,)), (0, (2, 2), (4, 1)), (2**70, (1,), (1,)),
     (4, (2, 1), (1, 1)), (0, (2,), (2**61,))],
)  # fmt: skip
def test_a_view_beyond_its_storage_is_refused(saved, offset, size, strides):
    with pytest.raises(ValueError, match=r"pytorch_model\.bin is no .* beyond its storage"):
        saved({"x": view(Storage(np.ones(5, np.float32)), size, strides, offset)})


@pytest.mark.parametrize(
    ("offset", "size", "strides"),
    [(-1, (2,), (1,)), (1, (2,), (-1,)), (0, (-2,), (1,)), (0, (2,), ()), (0, ("2",), (1,)),
     (0.0, (2,), (1,)), (0, [2], [1]), (0, (1,), (2**70,)), (0, (1,) * 65, (1,) * 65),
     (0, (0, 2**70), (1, 1)), (0, (0, -1), (1, 1))],
)  # fmt: skip
def test_a_view_that_is_none_is_refused(saved, offset, size, strides):
    with pytest.raises(ValueError, match=r"pytorch_model\.bin is no whole file"):
        saved({"x": view(Storage(np.ones(5, np.float32)), size, strides, offset)})


def test_a_small_file_cannot_fill_the_memory(saved):
    storage = Storage(np.ones(2**12, np.float32))
    with pytest.raises(ValueError, match="would take 4294967296 bytes"):
        saved({"x": view(storage, (2**30,), (0,))})
    turned = {str(step): view(storage, (2, 2**10), (1, step)) for step in range(1, 300)}
    with pytest.raises(ValueError, match="many times what the file has"):
        saved(turned)


@pytest.mark.parametrize("reference", [{"word": "module"}, {"key": 0}, {"view": ("1", 0, 2)}])
def test_a_reference_to_anything_but_a_storage_is_refused(saved, reference):
    with pytest.raises(ValueError, match=r"pytorch_model\.bin is n"):
        saved({"x": view(Storage(np.ones(5), **reference), (1,), (1,))})


@settings(max_examples=200, deadline=None)
@given(data=st.data(), save=st.sampled_from(SAVERS))
def test_a_damaged_file_is_read_or_refused_and_nothing_else(tmp_path_factory, data, save):
    path = tmp_path_factory.mktemp("model") / "pytorch_model.bin"
    save(path, some_tensors())
    whole_file = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        whole_file[data.draw(st.integers(0, len(whole_file) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(whole_file)
    assert "pytorch_model.bin" in message_of_reading(path)


@pytest.mark.parametrize("save", SAVERS)
def test_a_truncated_file_is_refused(tmp_path, save):
    path = tmp_path / "pytorch_model.bin"
    save(path, some_tensors())
    content = path.read_bytes()
    for length in [*range(0, len(content), 10), len(content) - 1]:
        path.write_bytes(content[:length])
        with pytest.raises(ValueError, match=r"pytorch_model\.bin is n.* copy or|does not begin"):
            read_torch_tensors(tmp_path)


def test_a_storage_that_breaks_off_where_no_tensor_looks_is_refused(tmp_path):
    path = tmp_path / "pytorch_model.bin"
    save_legacy(path, {"x": view(Storage(np.ones(5)), (1,), (1,))})
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ValueError, match="ends too early"):
        read_torch_tensors(tmp_path)


@pytest.mark.parametrize(
    ("others", "message"),
    [
        ({"compression": zipfile.ZIP_DEFLATED}, "compressed entries"),
        ({"constants.pkl": b""}, "TorchScript"),
        ({"byteorder": "big"}, "big-endian"),
        ({"other/data.pkl": b"N."}, "no whole file"),
    ],
)
def test_archives_that_torch_does_not_write_are_refused(tmp_path, others, message):
    save_zip(tmp_path / "pytorch_model.bin", some_tensors(), **others)
    with pytest.raises(ValueError, match=message):
        read_torch_tensors(tmp_path)


def test_numbers_of_a_big_endian_machine_are_refused(tmp_path):
    save_legacy(tmp_path / "pytorch_model.bin", some_tensors(), little_endian=False)
    with pytest.raises(ValueError, match="big-endian"):
        read_torch_tensors(tmp_path)


def test_an_entry_that_is_not_where_the_archive_says_is_refused(tmp_path):
    path = tmp_path / "pytorch_model.bin"
    save_zip(path, some_tensors())
    first, second, rest = path.read_bytes().split(b"PK\3\4", 2)[0:3]
    path.write_bytes(first + b"PK\3\4" + second + b"PK\3\3" + rest)
    with pytest.raises(ValueError, match="is not where the archive says"):
        read_torch_tensors(tmp_path)


def test_an_archive_that_claims_more_than_it_has_is_refused(tmp_path):
    path = tmp_path / "pytorch_model.bin"
    save_zip(path, some_tensors())
    content = path.read_bytes()
    entry = content.rindex(b"PK\1\2")
    size = struct.pack("<I", 2**31)
    path.write_bytes(content[: entry + 24] + size + content[entry + 28 :])
    with pytest.raises(ValueError, match="claim more bytes than the file has"):
        read_torch_tensors(tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"", "empty"), (b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
     (b"<html>", "no whole file"), (pickle.dumps({"x": 1}, 2), "does not begin with the number")],
)  # fmt: skip
def test_other_files_are_told_from_those_of_torch(tmp_path, content, message):
    (tmp_path / "pytorch_model.bin").write_bytes(content)
    with pytest.raises(ValueError, match=rf"pytorch_model\.bin is .*{message}"):
        read_torch_tensors(tmp_path)


def write_index(folder, files):
    text = json.dumps({"weight_map": files})
    (folder / "pytorch_model.bin.index.json").write_text(text)


SHARDS = {"a": "pytorch_model-00001-of-00002.bin", "b": "pytorch_model-00002-of-00002.bin"}


def write_shards(folder):
    for number, (name, file) in enumerate(SHARDS.items()):
        # Both have what the index wants of one of them only.
        both = {**{other: whole(np.float32([-1])) for other in SHARDS}, "c": whole(np.ones(1))}
        SAVERS[number](folder / file, {**both, name: whole(np.float32([number]))})


def test_shards_are_read_like_one_file_and_through_links(tmp_path):
    folder = tmp_path / "snapshot"
    folder.mkdir()
    write_shards(tmp_path)
    for file in SHARDS.values():
        (folder / file).symlink_to(tmp_path / file)
    write_index(folder, SHARDS)
    assert read_torch_tensors(folder) == {"a": [0], "b": [1]}


def test_one_file_is_read_before_an_index(tmp_path):
    write_index(tmp_path, SHARDS)
    save_zip(tmp_path / "pytorch_model.bin", {"x": whole(np.float32([1]))})
    assert read_torch_tensors(tmp_path) == {"x": [1]}


def test_a_missing_shard_and_a_missing_tensor_are_named(tmp_path):
    write_shards(tmp_path)
    write_index(tmp_path, {**SHARDS, "d": SHARDS["a"]})
    with pytest.raises(ValueError, match=r"1 tensors that .* first 'd'"):
        read_torch_tensors(tmp_path)
    (tmp_path / SHARDS["b"]).unlink()
    with pytest.raises(FileNotFoundError, match="pytorch_model-00002"):
        read_torch_tensors(tmp_path)


@pytest.mark.parametrize("file", ["../evil.bin", "/evil.bin", "a/b.bin", "..", "a\\b.bin", ""])
def test_a_shard_outside_of_the_folder_is_refused(tmp_path, file):
    write_index(tmp_path, {"x": file})
    with pytest.raises(ValueError, match="outside of its own folder"):
        read_torch_tensors(tmp_path)


@pytest.mark.parametrize("text", ["{", "[]", '{"weight_map": 3}'])
def test_a_broken_index_and_an_unknown_dtype_are_named(tmp_path, text):
    (tmp_path / "pytorch_model.bin.index.json").write_text(text)
    with pytest.raises(ValueError, match="weight_map"):
        read_torch_tensors(tmp_path)
    with pytest.raises(ValueError, match='"float32", "float64" or "auto"'):
        read_torch_tensors(tmp_path, "float16")


def test_a_checkpoint_is_read_from_safetensors_before_files_of_torch(tmp_path):
    save_zip(tmp_path / "pytorch_model.bin", {"x": whole(np.float32([1]))})
    assert read_checkpoint(tmp_path) == {"x": [1]}
    write_tensors(tmp_path, {"x": np.float32([2])})
    assert read_checkpoint(tmp_path, "float64") == {"x": [2]}
    assert read_checkpoint(tmp_path, "float64")["x"].dtype == np.float64


def test_a_save_that_a_crash_cut_short_is_finished_first(tmp_path):
    (tmp_path / FINISHED).mkdir()
    write_tensors(tmp_path / FINISHED, {"x": np.float32([2])})
    assert read_checkpoint(tmp_path) == {"x": [2]}


def test_a_folder_without_weights_is_listed(tmp_path):
    for read in (read_checkpoint, read_torch_tensors):
        with pytest.raises(FileNotFoundError, match="no such folder"):
            read(tmp_path / "nowhere")
        with pytest.raises(FileNotFoundError, match=r"pytorch_model.bin.*but it holds 0"):
            read(tmp_path)
    (tmp_path / "tf_model.h5").touch()
    message = r"model.safetensors.*1 \(tf_model.h5\); convert .* minibert2bert convert SRC DST"
    with pytest.raises(FileNotFoundError, match=message):
        read_checkpoint(tmp_path)
