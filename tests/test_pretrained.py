"""Models from folders and back: names, shapes, reports, and transformers on the other side."""

import json

import numpy as np
import pytest
from model_support import small_batch, small_decoder, small_encoder, small_pair

from minibert2bert.checkpoints.safetensors_files import write_tensors
from minibert2bert.generation.config import GenerationConfig
from minibert2bert.models.bert_generation import BertGenerationDecoder, BertGenerationEncoder
from minibert2bert.models.encoder_decoder import EncoderDecoderModel

PAIRS = [
    {},
    {"decoder": {"hidden_size": 12}},
    {"decoder": {"tie_word_embeddings": False}},
]


def logits(model):
    batch = small_batch()
    return model(batch["input_ids"], batch["attention_mask"], labels=batch["labels"]).logits


@pytest.mark.parametrize("changes", PAIRS)
@pytest.mark.parametrize("max_shard_size", [None, 2000])
def test_a_saved_pair_comes_back_bit_by_bit(tmp_path, changes, max_shard_size):
    model = small_pair(**changes)
    model.generation_config = GenerationConfig(num_beams=3, max_length=9)
    model.save_pretrained(tmp_path, max_shard_size=max_shard_size)
    again = EncoderDecoderModel.from_pretrained(tmp_path, dtype="float64")
    assert again.config == model.config.replace(other=again.config.other)
    assert again.generation_config == model.generation_config
    assert again.load_report.new == []
    for name, array in model.parameters().items():
        np.testing.assert_array_equal(again.parameters()[name], array)


@pytest.mark.parametrize("part", [small_encoder, small_decoder])
def test_a_part_comes_back_and_reads_the_other_kinds_file(tmp_path, part):
    model = part()
    model.save_pretrained(tmp_path)
    for kind in (BertGenerationEncoder, BertGenerationDecoder):
        again = kind.from_pretrained(tmp_path, dtype="float64")
        words = "embeddings.word_embeddings.weight"
        mine, yours = (
            next(a for n, a in m.parameters().items() if n.endswith(words)) for m in (model, again)
        )
        np.testing.assert_array_equal(mine, yours)


def test_the_report_tells_what_is_new_and_what_was_unexpected(tmp_path):
    small_encoder().save_pretrained(tmp_path)
    decoder = BertGenerationDecoder.from_pretrained(
        tmp_path, is_decoder=True, add_cross_attention=True, rng=np.random.default_rng(0)
    )
    new = decoder.load_report.new
    assert len(new) == 2 * 10 + 1
    assert all("crossattention" in name or name == "lm_head.bias" for name in new)
    small_decoder().save_pretrained(tmp_path)
    encoder = BertGenerationEncoder.from_pretrained(
        tmp_path, is_decoder=False, add_cross_attention=False
    )
    # The head is a part that an encoder does not have; cross-attention is in the way.
    assert len(encoder.load_report.unexpected) == 20
    with pytest.raises(ValueError, match="has no place for: 20"):
        BertGenerationEncoder.from_pretrained(
            tmp_path, is_decoder=False, add_cross_attention=False, strict=True
        )


def test_half_precision_files_are_half_the_size_and_close(tmp_path):
    model = small_pair(dtype="float32")
    model.save_pretrained(tmp_path, dtype="float16")
    again = EncoderDecoderModel.from_pretrained(tmp_path)
    assert again.like.dtype == np.float32
    np.testing.assert_allclose(logits(again), logits(model), atol=0.02)


def test_saving_over_the_folder_the_model_was_loaded_from_works(tmp_path):
    small_pair(dtype="float32").save_pretrained(tmp_path / "model")
    model = EncoderDecoderModel.from_pretrained(tmp_path / "model")
    before = logits(model)
    model.save_pretrained(tmp_path / "model", max_shard_size=2000)
    np.testing.assert_array_equal(logits(model), before)
    again = EncoderDecoderModel.from_pretrained(tmp_path / "model")
    np.testing.assert_array_equal(logits(again), before)


def test_a_failed_save_leaves_the_old_model(tmp_path, monkeypatch):
    model = small_pair(dtype="float32")
    model.save_pretrained(tmp_path / "model")

    def full_disk(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(EncoderDecoderModel, "write_settings", full_disk)
    with pytest.raises(OSError, match="No space left"):
        small_pair(seed=1).save_pretrained(tmp_path / "model")
    again = EncoderDecoderModel.from_pretrained(tmp_path / "model")
    np.testing.assert_array_equal(logits(again), logits(model))
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_unknown_keys_of_a_config_are_kept(tmp_path):
    small_encoder().save_pretrained(tmp_path)
    path = tmp_path / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "directionality": "bidi"}))
    model = BertGenerationEncoder.from_pretrained(tmp_path)
    assert model.config.directionality == "bidi"
    model.save_pretrained(tmp_path)
    assert json.loads(path.read_text())["directionality"] == "bidi"


def test_a_config_of_another_type_names_both(tmp_path):
    small_encoder().save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r"'encoder-decoder'.*'bert-generation'"):
        EncoderDecoderModel.from_pretrained(tmp_path)


def test_a_config_that_does_not_fit_the_tensors_names_them(tmp_path):
    small_encoder().save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r"word_embeddings.weight is \(17, 8\) in the file"):
        BertGenerationEncoder.from_pretrained(tmp_path, vocab_size=18)


def test_a_misspelt_setting_names_the_closest(tmp_path):
    small_encoder().save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="did you mean hidden_size"):
        BertGenerationEncoder.from_pretrained(tmp_path, hiden_size=18)


@pytest.mark.parametrize("text", ["{", "3"])
def test_a_config_that_is_no_json_object_is_named(tmp_path, text):
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(ValueError, match="JSON"):
        BertGenerationEncoder.from_pretrained(tmp_path)


def test_a_folder_without_config_says_what_it_holds(tmp_path):
    write_tensors(tmp_path, {"x": np.zeros(1)})
    with pytest.raises(FileNotFoundError, match=r"config.json; it holds \['model.safetensors'\]"):
        BertGenerationEncoder.from_pretrained(tmp_path)


@pytest.mark.parity
@pytest.mark.parametrize("changes", PAIRS)
def test_transformers_reads_our_folder_and_we_read_its(tmp_path, changes):
    import torch
    import transformers

    model = small_pair(dtype="float32", **changes)
    model.save_pretrained(tmp_path / "ours")
    theirs, info = transformers.EncoderDecoderModel.from_pretrained(
        tmp_path / "ours", output_loading_info=True
    )
    assert not info["missing_keys"]
    batch = {name: torch.tensor(array) for name, array in small_batch().items()}
    # Made here and without a cache, so that version 4 is causal, too.
    shifted = torch.tensor(model.prepare_decoder_input_ids_from_labels(small_batch()["labels"]))
    mask = shifted != model.config.pad_token_id
    del batch["labels"]
    with torch.no_grad():
        reference = theirs.eval()(
            **batch, decoder_input_ids=shifted, decoder_attention_mask=mask, use_cache=False
        ).logits.numpy()
    np.testing.assert_allclose(logits(model), reference, atol=2e-6)
    theirs.save_pretrained(tmp_path / "theirs")
    again = EncoderDecoderModel.from_pretrained(tmp_path / "theirs")
    assert again.load_report.new == again.load_report.unexpected == []
    np.testing.assert_array_equal(logits(again), logits(model))
