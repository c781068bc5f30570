"""The code examples of the documentation of BertGeneration and EncoderDecoderModel.

Only the import and return_tensors differ, and names of the hub stand for small folders made here.
"""

import importlib.util

import numpy as np
import pytest

import minibert2bert
from minibert2bert import (
    AutoTokenizer,
    BertConfig,
    BertGenerationConfig,
    BertGenerationDecoder,
    BertGenerationEncoder,
    BertGenerationTokenizer,
    BertLMHeadModel,
    BertModel,
    BertTokenizer,
    EncoderDecoderConfig,
    EncoderDecoderModel,
    GPT2Config,
    GPT2LMHeadModel,
)
from minibert2bert.demo import DEMO_FOLDER

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("tokenizers") is None, reason="needs the extra hub"
)
WORDS = ["the", "house", "is", "wonderful", "studies", "show", "that", "owning", "a", "dog", "."]
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
SIZES = {
    "hidden_size": 8,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 12,
    "max_position_embeddings": 32,
}


@pytest.fixture(scope="module")
def bert_folder(tmp_path_factory):
    """Stand for google-bert/bert-base-uncased."""
    folder = tmp_path_factory.mktemp("bert")
    vocabulary = [*SPECIAL, *WORDS]
    (folder / "vocab.txt").write_text("\n".join(vocabulary) + "\n")
    BertLMHeadModel(BertConfig(vocab_size=len(vocabulary), **SIZES)).save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="module")
def bert_generation_folder(tmp_path_factory):
    """Stand for google/bert_for_seq_generation_L-24_bbc_encoder."""
    folder = tmp_path_factory.mktemp("bert-generation")
    tokenizer = BertGenerationTokenizer.from_pretrained(DEMO_FOLDER)
    tokenizer.save_pretrained(folder)
    config = BertGenerationConfig(vocab_size=len(tokenizer), **SIZES)
    BertGenerationEncoder(config).save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="module")
def gpt2_folder(tmp_path_factory):
    """Stand for openai-community/gpt2."""
    folder = tmp_path_factory.mktemp("gpt2")
    config = GPT2Config(vocab_size=16, n_embd=8, n_layer=2, n_head=2, n_positions=32,
                        bos_token_id=15, eos_token_id=15)  # fmt: skip
    GPT2LMHeadModel(config).save_pretrained(folder)
    return str(folder)


def test_bert_generation_from_two_bert_checkpoints(bert_folder):
    # use BERT's cls token as BOS token and sep token as EOS token
    encoder = BertGenerationEncoder.from_pretrained(bert_folder, bos_token_id=2, eos_token_id=3)
    decoder = BertGenerationDecoder.from_pretrained(
        bert_folder, add_cross_attention=True, is_decoder=True, bos_token_id=2, eos_token_id=3
    )
    bert2bert = EncoderDecoderModel(encoder=encoder, decoder=decoder)

    tokenizer = BertTokenizer.from_pretrained(bert_folder)
    input_ids = tokenizer(
        "the house is wonderful", add_special_tokens=False, return_tensors="np"
    ).input_ids
    labels = tokenizer("studies show that", return_tensors="np").input_ids

    loss, backward = bert2bert.loss(input_ids=input_ids, decoder_input_ids=labels, labels=labels)
    gradients = backward()
    assert np.isfinite(loss)
    assert any("crossattention" in name for name in gradients)


def test_bert_generation_encoder_and_decoder(bert_generation_folder):
    tokenizer = AutoTokenizer.from_pretrained(bert_generation_folder)
    model = BertGenerationEncoder.from_pretrained(bert_generation_folder)
    inputs = tokenizer("Hello, my dog is cute", return_tensors="np")
    outputs = model(**inputs)
    assert outputs.last_hidden_state.shape == (1, inputs.input_ids.shape[1], 8)

    config = BertGenerationConfig.from_pretrained(bert_generation_folder)
    config.is_decoder = True
    decoder = BertGenerationDecoder.from_pretrained(bert_generation_folder, config=config)
    inputs = tokenizer("Hello, my dog is cute", return_token_type_ids=False, return_tensors="np")
    logits = decoder(**inputs).logits
    assert logits.shape[-1] == len(tokenizer)


def test_encoder_decoder_from_configs():
    config_encoder, config_decoder = BertConfig(), BertConfig()
    config = EncoderDecoderConfig.from_encoder_decoder_configs(config_encoder, config_decoder)
    assert config.decoder.is_decoder
    assert config.decoder.add_cross_attention
    small = BertConfig(vocab_size=9, **SIZES)
    model = EncoderDecoderModel(
        config=EncoderDecoderConfig.from_encoder_decoder_configs(small, small)
    )
    assert type(model.encoder) is BertModel
    assert type(model.decoder) is BertLMHeadModel


def test_encoder_decoder_from_pretrained_parts_trained_and_saved(bert_folder, tmp_path):
    tokenizer = BertTokenizer.from_pretrained(bert_folder)
    model = EncoderDecoderModel.from_encoder_decoder_pretrained(bert_folder, bert_folder)

    model.config.decoder_start_token_id = tokenizer.cls_token_id
    model.config.pad_token_id = tokenizer.pad_token_id
    model.config.vocab_size = model.config.decoder.vocab_size

    input_ids = tokenizer("the house is wonderful .", return_tensors="np").input_ids
    labels = tokenizer("studies show that owning a dog .", return_tensors="np").input_ids
    loss, _ = model.loss(input_ids=input_ids, labels=labels)
    assert float(model(input_ids=input_ids, labels=labels).loss) == pytest.approx(float(loss))

    model.save_pretrained(tmp_path / "bert2bert")
    model = EncoderDecoderModel.from_pretrained(str(tmp_path / "bert2bert"))
    generated = model.generate(input_ids, max_new_tokens=4)
    assert generated[0, 0] == tokenizer.cls_token_id
    assert isinstance(tokenizer.batch_decode(generated, skip_special_tokens=True)[0], str)


def test_encoder_decoder_of_two_families(bert_folder, gpt2_folder):
    model = EncoderDecoderModel.from_encoder_decoder_pretrained(bert_folder, gpt2_folder)
    model.config.decoder_start_token_id = model.config.decoder.bos_token_id
    model.config.pad_token_id = model.config.decoder.eos_token_id
    tokenizer = BertTokenizer.from_pretrained(bert_folder)
    input_ids = tokenizer("the house is wonderful", return_tensors="np").input_ids
    assert model.generate(input_ids, max_new_tokens=3).shape[0] == 1
    _, backward = model.loss(input_ids, labels=input_ids)
    assert any("ln_cross_attn" in name for name in backward())


def test_the_pipeline_of_the_documentation(bert_folder, tmp_path):
    model = EncoderDecoderModel.from_encoder_decoder_pretrained(bert_folder, bert_folder)
    model.save_pretrained(tmp_path)
    BertTokenizer.from_pretrained(bert_folder).save_pretrained(tmp_path)
    translate = minibert2bert.pipeline("text2text-generation", model=str(tmp_path))
    answer = translate("the house is wonderful", max_new_tokens=3)
    assert list(answer[0]) == ["generated_text"]
