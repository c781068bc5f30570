"""minibert2bert convert: other formats in, safetensors out, tied halves apart."""

import shutil

import numpy as np
import pytest
from model_support import small_batch, small_pair

from minibert2bert.checkpoints.safetensors_files import read_tensors
from minibert2bert.cli import main
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
