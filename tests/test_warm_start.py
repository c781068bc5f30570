"""Warm starting: what is loaded, what is new by design, and every variant of the paper."""

import numpy as np
import pytest
from model_support import small_batch, words

from minibert2bert.checkpoints.safetensors_files import write_tensors
from minibert2bert.models.auto import AutoConfig, AutoModel, AutoModelForCausalLM
from minibert2bert.models.bert import BertLMHeadModel, BertModel
from minibert2bert.models.bert_generation import BertGenerationDecoder, BertGenerationEncoder
from minibert2bert.models.config import BertConfig, GPT2Config, RobertaConfig
from minibert2bert.models.encoder_decoder import EncoderDecoderModel
from minibert2bert.models.gpt2 import GPT2LMHeadModel
from minibert2bert.models.roberta import RobertaForCausalLM
from minibert2bert.models.warm_start import VARIANTS, warm_start

SIZES = {
    "vocab_size": 17,
    "hidden_size": 8,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 12,
    "max_position_embeddings": 16,
}
IDS = {"pad_token_id": 0, "decoder_start_token_id": 2}
CROSS = 2 * 10


@pytest.fixture(scope="session")
def folders(tmp_path_factory):
    """Folders as pretraining leaves them: a BERT with all its heads, and a RoBERTa."""
    rng = np.random.default_rng(0)
    bert, roberta = (tmp_path_factory.mktemp(name) for name in ("bert", "roberta"))
    config = BertConfig(**SIZES)
    headed = BertLMHeadModel(config, rng).parameters()
    bare = BertModel(config, rng).parameters()
    pooler = {f"bert.{name}": array for name, array in bare.items() if "pooler" in name}
    task = {"cls.seq_relationship.weight": np.zeros((2, 8), np.float32)}
    write_tensors(bert, {**headed, **pooler, **task})
    (bert / "config.json").write_text(config.to_json())
    RobertaForCausalLM(RobertaConfig(**SIZES), rng).save_pretrained(roberta)
    gpt2 = tmp_path_factory.mktemp("gpt2")
    sizes = {"vocab_size": 17, "n_embd": 8, "n_layer": 2, "n_head": 2, "n_positions": 16}
    GPT2LMHeadModel(GPT2Config(**sizes, bos_token_id=2, eos_token_id=2), rng).save_pretrained(gpt2)
    return {"bert": bert, "roberta": roberta, "gpt2": gpt2}


def test_two_berts_lack_exactly_the_cross_attention(folders):
    model = EncoderDecoderModel.from_encoder_decoder_pretrained(folders["bert"], folders["bert"])
    assert len(model.load_report.new) == CROSS
    assert all(".crossattention." in name for name in model.load_report.new)
    assert model.load_report.unexpected == []
    assert model.decoder.config.is_decoder
    assert model.decoder.config.add_cross_attention
    assert not model.encoder.config.is_decoder


def test_strict_refuses_what_the_model_has_no_place_for(folders, tmp_path):
    model = BertModel.from_pretrained(folders["bert"])
    extra = {**model.parameters(), "adapter.weight": np.zeros(3, np.float32)}
    write_tensors(tmp_path, extra)
    (tmp_path / "config.json").write_text(model.config.to_json())
    load = EncoderDecoderModel.from_encoder_decoder_pretrained
    assert load(tmp_path, folders["bert"]).load_report.unexpected == ["encoder.adapter.weight"]
    with pytest.raises(ValueError, match=r"1 \(encoder.adapter.weight\)"):
        load(tmp_path, folders["bert"], strict=True)


def test_the_report_says_that_what_is_new_must_be_trained(folders):
    model = EncoderDecoderModel.from_encoder_decoder_pretrained(folders["bert"], folders["bert"])
    assert "new: 20 (" in str(model.load_report)
    assert "train the model before you use it" in str(model.load_report)
    assert "train" not in str(BertModel.from_pretrained(folders["bert"]).load_report)


def test_a_headless_decoder_file_lacks_the_head_too(folders, tmp_path):
    BertModel.from_pretrained(folders["bert"]).save_pretrained(tmp_path)
    model = EncoderDecoderModel.from_encoder_decoder_pretrained(tmp_path, tmp_path)
    head = [name for name in model.load_report.new if ".crossattention." not in name]
    assert sorted(head) == [
        "decoder.cls.predictions.bias",
        "decoder.cls.predictions.transform.LayerNorm.bias",
        "decoder.cls.predictions.transform.LayerNorm.weight",
        "decoder.cls.predictions.transform.dense.bias",
        "decoder.cls.predictions.transform.dense.weight",
    ]


def test_parts_of_different_widths_get_a_projection(folders):
    wide = BertModel(BertConfig(**{**SIZES, "hidden_size": 12}))
    model = EncoderDecoderModel.from_encoder_decoder_pretrained(
        encoder_model=wide, decoder_pretrained_model_name_or_path=folders["bert"]
    )
    assert model.parameters()["enc_to_dec_proj.weight"].shape == (8, 12)
    assert {"enc_to_dec_proj.weight", "enc_to_dec_proj.bias"} < set(model.load_report.new)


def test_keywords_are_routed_to_the_parts_and_to_the_pair(folders):
    model = EncoderDecoderModel.from_encoder_decoder_pretrained(
        folders["bert"],
        folders["bert"],
        encoder_hidden_dropout_prob=0.3,
        decoder_hidden_dropout_prob=0.4,
        encoder_add_pooling_layer=False,
        **IDS,
    )
    assert model.encoder.config.hidden_dropout_prob == 0.3
    assert model.decoder.config.hidden_dropout_prob == 0.4
    assert model.config.decoder_start_token_id == 2
    assert not any("pooler" in name for name in model.parameters())


def test_cross_attention_can_start_as_a_copy_of_self_attention(folders):
    model = EncoderDecoderModel.from_encoder_decoder_pretrained(
        folders["bert"], folders["bert"], cross_attention_init="self"
    )
    parameters = model.parameters()
    copied = [name for name in parameters if ".crossattention." in name]
    assert len(copied) == CROSS
    for name in copied:
        own = parameters[name.replace(".crossattention.", ".attention.")]
        np.testing.assert_array_equal(parameters[name], own)
        assert parameters[name] is not own


def test_bert_files_start_bert_generation_by_the_documented_recipe(folders):
    encoder = BertGenerationEncoder.from_pretrained(folders["bert"], bos_token_id=5, eos_token_id=6)
    decoder = BertGenerationDecoder.from_pretrained(
        folders["bert"], add_cross_attention=True, is_decoder=True, bos_token_id=5, eos_token_id=6
    )
    model = EncoderDecoderModel(encoder=encoder, decoder=decoder)
    new = [name for name in model.load_report.new if ".crossattention." not in name]
    assert new == ["decoder.lm_head.bias"]
    assert any("token_type_embeddings" in name for name in model.load_report.unexpected)
    assert encoder.config.eos_token_id == 6


@pytest.mark.parametrize("variant", [name for name in VARIANTS if name != "gpt"])
def test_every_variant_of_the_paper_starts_and_learns(folders, variant):
    model = warm_start(variant, folders, rng=np.random.default_rng(1), **IDS)
    plan = VARIANTS[variant]
    source = AutoModel.from_pretrained(folders[plan.encoder]).parameters()
    same = np.array_equal(
        model.encoder.parameters()["embeddings.word_embeddings.weight"],
        source["embeddings.word_embeddings.weight"],
    )
    assert same == plan.encoder_pretrained
    assert model.config.tie_encoder_decoder == plan.shared
    distinct = {id(array): array.size for array in model.parameters().values()}
    total = sum(array.size for array in model.parameters().values())
    assert (sum(distinct.values()) < total) == plan.shared
    _, backward = model.loss(**small_batch())
    assert any("crossattention" in name for name in backward())


def test_the_variant_without_an_encoder_is_a_decoder_alone(folders):
    model = warm_start("gpt", folders)
    assert isinstance(model, GPT2LMHeadModel)
    assert model.load_report.new == []
    assert not any("crossattention" in name for name in model.parameters())


@pytest.mark.parametrize("part", ["q_attn", "c_attn"])
def test_gpt2_cross_attention_can_start_as_a_copy_too(folders, part):
    model = EncoderDecoderModel.from_encoder_decoder_pretrained(
        folders["bert"], folders["gpt2"], cross_attention_init="self"
    )
    parameters = model.parameters()
    fused = parameters["decoder.transformer.h.1.attn.c_attn.weight"]
    copied = parameters[f"decoder.transformer.h.1.crossattention.{part}.weight"]
    columns = slice(None, 8) if part == "q_attn" else slice(8, None)
    np.testing.assert_array_equal(copied, fused[:, columns])


def test_an_unknown_variant_and_a_missing_checkpoint_are_named(folders):
    with pytest.raises(ValueError, match="rnd2rnd, bert2rnd"):
        warm_start("bert2bart", folders)
    with pytest.raises(ValueError, match=r"needs a checkpoint of \['roberta'\]"):
        warm_start("robertaShare", {"bert": folders["bert"]})


def test_a_missing_part_is_named(folders):
    with pytest.raises(ValueError, match="give the decoder's folder, or a ready model"):
        EncoderDecoderModel.from_encoder_decoder_pretrained(folders["bert"])


def test_the_auto_classes_choose_by_model_type(folders):
    assert isinstance(AutoConfig.from_pretrained(folders["roberta"]), RobertaConfig)
    assert isinstance(AutoModel.from_pretrained(folders["bert"]), BertModel)
    assert isinstance(AutoModelForCausalLM.from_pretrained(folders["bert"]), BertLMHeadModel)


def test_an_unknown_model_type_lists_the_known_ones_and_the_closest(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "robreta"}')
    with pytest.raises(ValueError, match=r"'bert'.*did you mean 'roberta'"):
        AutoConfig.from_pretrained(tmp_path)


@pytest.mark.parametrize("side", ["encoder", "decoder", "both"])
def test_resizing_keeps_the_rows_there_are(folders, side):
    model = EncoderDecoderModel.from_encoder_decoder_pretrained(
        folders["bert"], folders["bert"], **IDS
    )
    before = {name: array.copy() for name, array in model.parameters().items()}
    model.resize_token_embeddings(20, side=side)
    for name, array in model.parameters().items():
        kept = array[: len(before[name])]
        np.testing.assert_array_equal(kept, before[name])
        mine = side == "both" or name.startswith(side)
        grows = "word_embeddings" in name or name.endswith("predictions.bias")
        assert len(array) == (20 if mine and grows else len(before[name]))
    if side != "encoder":
        labels = np.full((2, 3), 19)
        assert model(words(np.random.default_rng(0), 2, 4), labels=labels).logits.shape[-1] == 20


def test_resizing_down_drops_the_last_rows_and_tied_halves_go_together(folders):
    model = warm_start("bertShare", folders, **IDS)
    with pytest.raises(ValueError, match='side="both"'):
        model.resize_token_embeddings(9, side="encoder")
    model.resize_token_embeddings(9)
    assert model.config.encoder.vocab_size == model.config.decoder.vocab_size == 9
    embeddings = "embeddings.word_embeddings.weight"
    parameters = model.parameters()
    assert parameters[f"encoder.{embeddings}"] is parameters[f"decoder.bert.{embeddings}"]
    assert parameters["decoder.cls.predictions.bias"].shape == (9,)
