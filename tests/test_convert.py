"""minibert2bert convert: other formats in, safetensors out, tied halves apart."""

import importlib.util
import json
import shutil

import numpy as np
import pytest
from model_support import small_batch, small_pair

from minibert2bert.arrays import nest
from minibert2bert.checkpoints.safetensors_files import read_tensors
from minibert2bert.cli import main
from minibert2bert.models.config import BertConfig, EncoderDecoderConfig
from minibert2bert.models.encoder_decoder import EncoderDecoderModel


def loss_of(folder):
    return float(EncoderDecoderModel.from_pretrained(folder).loss(**small_batch())[0])


@pytest.fixture
def tied(tmp_path):
    small_pair(dtype="float32", tie_encoder_decoder=True).save_pretrained(tmp_path / "tied")
    (tmp_path / "tied" / "spiece.model").write_bytes(b"a vocabulary")
    return tmp_path / "tied"


def test_a_converted_folder_holds_the_same_model_and_the_other_files(tied, tmp_path):
    assert main(["convert", str(tied), str(tmp_path / "new")]) == 0
    assert loss_of(tmp_path / "new") == loss_of(tied)
    assert (tmp_path / "new" / "spiece.model").read_bytes() == b"a vocabulary"


def test_untied_halves_are_both_written_and_stand_alone(tied, tmp_path):
    assert main(["convert", str(tied), str(tmp_path / "new"), "--untie"]) == 0
    model = EncoderDecoderModel.from_pretrained(tmp_path / "new")
    assert not model.config.tie_encoder_decoder
    assert any(name.startswith("encoder.") for name in read_tensors(tmp_path / "new"))
    assert len({id(array) for array in model.parameters().values()}) == len(model.parameters())
    assert loss_of(tmp_path / "new") == loss_of(tied)


def test_a_folder_that_is_there_is_not_written_over_without_force(tied, tmp_path, capsys):
    shutil.copytree(tied, tmp_path / "new")
    assert main(["convert", str(tied), str(tmp_path / "new"), "--dtype", "float16"]) == 1
    assert "--force" in capsys.readouterr().err
    assert main(["convert", str(tied), str(tmp_path / "new"), "--force", "--dtype", "float16"]) == 0
    assert b'"F16"' in (tmp_path / "new" / "model.safetensors").read_bytes()
    assert b'"F16"' not in (tied / "model.safetensors").read_bytes()


def test_only_a_tied_model_can_be_untied(tmp_path, capsys):
    small_pair().save_pretrained(tmp_path / "pair")
    assert main(["convert", str(tmp_path / "pair"), str(tmp_path / "new"), "--untie"]) == 1
    assert "tie_encoder_decoder" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


def write_flax(folder, parameters):
    from test_flax_files import renamed, write

    tree = nest(dict(renamed(name, array) for name, array in parameters.items()))
    write(folder / "flax_model.msgpack", tree)


def write_flax_shards(folder, parameters):
    from test_flax_files import renamed, write

    files = {}
    for number, (name, array) in enumerate(parameters.items()):
        file = f"flax_model-{number:05d}-of-{len(parameters):05d}.msgpack"
        flax_name, values = renamed(name, array)
        write(folder / file, nest({flax_name: values}))
        files[flax_name] = file
    (folder / "flax_model.msgpack.index.json").write_text(json.dumps({"weight_map": files}))


def write_tensorflow(folder, parameters):
    from test_tensorflow_files import variable, write

    named = (variable(name, array, "bert") for name, array in parameters.items())
    write(
        folder / "tf_model.h5",
        {f"{path.split('/')[0]}/tf_some_model_3/{path}": array for path, array in named},
    )


@pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("h5py", "msgpack")),
    reason="needs the extra convert",
)
@pytest.mark.parametrize("write", [write_flax, write_flax_shards, write_tensorflow])
def test_a_folder_of_another_framework_becomes_safetensors(tmp_path, write):
    config = BertConfig(vocab_size=17, hidden_size=8, num_hidden_layers=2, num_attention_heads=2,
                        intermediate_size=12, max_position_embeddings=16)  # fmt: skip
    pair = EncoderDecoderConfig.from_encoder_decoder_configs(config, config)
    parameters = EncoderDecoderModel(pair, rng=np.random.default_rng(0)).parameters()
    source = tmp_path / "source"
    source.mkdir()
    (source / "config.json").write_text(pair.to_json())
    write(source, parameters)
    assert main(["convert", str(source), str(tmp_path / "new")]) == 0
    assert not list((tmp_path / "new").glob("*_model*"))
    again = EncoderDecoderModel.from_pretrained(tmp_path / "new")
    for name, array in parameters.items():
        np.testing.assert_array_equal(again.parameters()[name], array)


def test_a_shard_of_another_framework_outside_of_the_folder_is_refused(tmp_path, capsys):
    small_pair().save_pretrained(tmp_path / "a")
    (tmp_path / "a" / "model.safetensors").unlink()
    index = {"weight_map": {"x": "../evil.h5"}}
    (tmp_path / "a" / "tf_model.h5.index.json").write_text(json.dumps(index))
    assert main(["convert", str(tmp_path / "a"), str(tmp_path / "new")]) == 1
    assert "outside of its own folder" in capsys.readouterr().err


@pytest.mark.parity
@pytest.mark.usefixtures("quiet_transformers")
def test_transformers_reads_an_untied_folder_right(tied, tmp_path):
    import torch
    import transformers
    from parity_support import quietly

    main(["convert", str(tied), str(tmp_path / "new"), "--untie"])
    reference = quietly(transformers.EncoderDecoderModel.from_pretrained, tmp_path / "new").eval()
    batch = small_batch()
    tensors = {name: torch.tensor(array) for name, array in batch.items()}
    labels = tensors.pop("labels")
    theirs = quietly(reference, **tensors, labels=labels).loss.item()
    assert loss_of(tied) == pytest.approx(theirs, rel=1e-5)


@pytest.mark.parity
@pytest.mark.usefixtures("quiet_transformers")
def test_a_torch_file_becomes_safetensors(tied, tmp_path):
    import torch

    weights = read_tensors(tied)
    tensors = {name: torch.tensor(np.array(array)) for name, array in weights.items()}
    torch.save(tensors, tied / "pytorch_model.bin")
    before = loss_of(tied)
    (tied / "model.safetensors").unlink()
    assert main(["convert", str(tied), str(tmp_path / "new")]) == 0
    assert not (tmp_path / "new" / "pytorch_model.bin").exists()
    assert loss_of(tmp_path / "new") == before
