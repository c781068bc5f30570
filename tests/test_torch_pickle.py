"""Pickles that are no dict of tensors: refused by name, and never run."""

import io
import os
import pickle
from collections import OrderedDict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from torch_writer import (
    Name,
    Pickler,
    message_of_reading,
    save_legacy,
    save_zip,
    some_tensors,
)

from minibert2bert.checkpoints.torch_files import read_torch_tensors


class Evil:
    def __init__(self, function, *arguments):
        self.function, self.arguments = function, arguments

    def __reduce__(self):
        return self.function, self.arguments


STRUCK = []


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("function", [os.system, eval, STRUCK.append])
def test_a_pickle_that_calls_anything_is_refused_and_nothing_runs(tmp_path, protocol, function):
    argument = f"open({str(tmp_path / 'struck')!r}, 'w')"
    program = pickle.dumps({"x": Evil(function, argument)}, protocol)
    path = tmp_path / "pytorch_model.bin"
    path.write_bytes(program)
    with pytest.raises(ValueError, match=r"nothing of it was run"):
        read_torch_tensors(tmp_path)
    save_zip(path, {}, program=program)
    with pytest.raises(ValueError, match=r"nothing of it was run"):
        read_torch_tensors(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["pytorch_model.bin"]
    assert not STRUCK


def test_what_is_refused_is_named(tmp_path):
    program = pickle.dumps(Evil(os.system, "true"), 2)
    save_zip(tmp_path / "pytorch_model.bin", {}, program=program)
    with pytest.raises(ValueError, match=rf"names '{os.system.__module__}\.system', which no"):
        read_torch_tensors(tmp_path)


@pytest.mark.parametrize(
    "program",
    [
        b"\x80\x02.", b"\x80\x02N", b"\x80\x02NN.", b"\x80\x02R.", b"\x80\x02NNR.", b"\x80\x02t.",
        b"\x80\x02h\x07.", b"\x80\x02Nr\xff\xff\xff\xff.", b"\x80\x02]NNs.", b"\x80\x02}(Nu.",
        b"\x80\x02ctorch\nuint16\n)R.", b"\x80\x02NQ.", b"\x80\x02)Q.", b"\x80\x04NN\x93.",
        b"\x80\x02ctorch._utils\n_rebuild_tensor\n)R.",
        b"\x80\x02ccollections\nOrderedDict\n)\x81.",
        b"\x80\x02}" + b")" + b"\x85" * 100_000 + b"Ns.", b"\x80\x02" + b"]" * 100_000 + b".",
        b"\x80\x02ctorch._utils\n_rebuild_tensor\n(NK\x00))tR.", b"\x80\x02]]R.",
        b"\x80\x02(X\x07\0\0\0storageNX\x01\0\0\x000NNtQ.", b"\x80\x02csomewhere\n\\J\n.",
        b"\x80\x02X\xff\xff\xff\xffabc.", b"\x80\x04\x8d" + b"\xff" * 6 + b"\0\0abc.",
    ],
)  # fmt: skip
def test_a_program_that_is_none_or_does_more_is_refused(tmp_path, program):
    path = tmp_path / "pytorch_model.bin"
    path.write_bytes(program)
    with pytest.raises(ValueError, match=r"pytorch_model\.bin is n"):
        read_torch_tensors(tmp_path)
    save_zip(path, {}, program=program)
    with pytest.raises(ValueError, match=r"pytorch_model\.bin is n"):
        read_torch_tensors(tmp_path)


def test_tensors_of_tensors_cannot_end_the_process(tmp_path):
    # Their hash would take as many calls as there are levels.
    start = b"\x80\x02}X\1\0\0\0xctorch._utils\n_rebuild_tensor\nq\x00(" + b"h\x00(" * 100_000
    storage = b"(X\7\0\0\0storagectorch\nFloatStorage\nX\1\0\0\x000NNtQ"
    program = start + storage + b"K\x00))tR" * 100_001 + b"s."
    save_zip(tmp_path / "pytorch_model.bin", some_tensors(), program=program)
    with pytest.raises(ValueError, match="view of a storage and of nothing else"):
        read_torch_tensors(tmp_path)


@pytest.mark.parametrize("end", [b"s.", b"\x81.", b"N0.", b"NN.", b"Q.", b"R."])
def test_a_program_that_goes_on_after_its_dict_is_refused(tmp_path, end):
    output = io.BytesIO()
    Pickler(output).dump(some_tensors())
    save_zip(tmp_path / "pytorch_model.bin", some_tensors(), program=output.getvalue()[:-1] + end)
    with pytest.raises(ValueError, match=r"pytorch_model\.bin is n"):
        read_torch_tensors(tmp_path)


def test_a_long_name_does_not_make_a_long_message(tmp_path):
    program = b"\x80\x02cos\n" + b"system" * 10_000 + b"\n."
    save_zip(tmp_path / "pytorch_model.bin", {}, program=program)
    with pytest.raises(ValueError, match=r"names 'os\.systemsystem") as caught:
        read_torch_tensors(tmp_path)
    assert len(str(caught.value)) < 1000


def test_a_list_of_storages_cannot_end_the_process(tmp_path):
    path = tmp_path / "pytorch_model.bin"
    save_legacy(path, {})
    content = path.read_bytes()
    assert content.endswith(b"\x80\x02]q\x00.")
    path.write_bytes(content[:-4] + b"])" + b"\x85" * 1_000_000 + b"a.")
    with pytest.raises(ValueError, match="must be a text"):
        read_torch_tensors(tmp_path)


def strike(*_):
    STRUCK.append(True)


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_a_damaged_pickle_is_read_or_refused_and_never_run(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("model") / "pytorch_model.bin"
    evil = {"x": Name(__name__, "strike")(1)} if data.draw(st.booleans()) else {}
    output = io.BytesIO()
    Pickler(output).dump(OrderedDict({**some_tensors(), **evil}))
    program = bytearray(output.getvalue())
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(program) - 1))
        stop = start + data.draw(st.integers(0, 3))
        program[start:stop] = data.draw(st.binary(max_size=3))
    save_zip(path, some_tensors(), program=bytes(program))
    assert "pytorch_model.bin" in message_of_reading(path)
    assert not STRUCK
