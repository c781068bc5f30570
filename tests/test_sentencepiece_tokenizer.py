"""BertGenerationTokenizer on models trained here, and beside that of transformers."""

import io
import random

import numpy as np
import pytest
import sentencepiece
from hypothesis import given
from hypothesis import strategies as st

from minibert2bert.tokenization import BertGenerationTokenizer

LINES = (
    "the a dog cat house tree woman man child walks sleeps reads sees quickly never under over "
    "der die das ein eine Hund Katze Haus Baum Frau Mann Kind geht schläft liest sieht schnell nie "
    "unter über größer schöne Straße Überraschung unbelievable transformation"
)
NOUNS = ["Hund", "Katze", "Haus", "Baum", "Frau", "Mann", "Kind", "Garten", "Straße", "Tür"]
WORDS = LINES.split() + [f"{first}{second.lower()}" for first in NOUNS for second in NOUNS]
SIZE = 260
ODD = ["漢字", "😀", "QX", "Ω", "ﬁ", "\u200b", "\u00a0", "\t", "  ", "\n", "é", "e\u0301", "▁", ""]
SPECIAL = ["<s>", "</s>", "<unk>", "<pad>", "<::::>", "<s", "::>"]


def sentences(seed, number, words=WORDS):
    rng = random.Random(seed)
    return [" ".join(rng.choices(words, k=rng.randint(0, 9))) for _ in range(number)]


def train(path, **ids):
    lines = [f"{line.capitalize()}{mark}" for line in sentences(0, 400) if line for mark in ".?"]
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(lines),
        model_writer=model,
        vocab_size=SIZE,
        character_coverage=1.0,
        minloglevel=2,
        **ids,
    )
    path.write_bytes(model.getvalue())
    return path


@pytest.fixture(scope="session")
def model_file(tmp_path_factory):
    """A model with a piece for every role but sep."""
    folder = tmp_path_factory.mktemp("model")
    return train(folder / "spiece.model", pad_id=0, unk_id=1, bos_id=2, eos_id=3)


@pytest.fixture(scope="session")
def bare_file(tmp_path_factory):
    """A model without a pad piece, as SentencePiece trains by default."""
    return train(tmp_path_factory.mktemp("bare") / "spiece.model")


@pytest.fixture(scope="session")
def tok(model_file):
    return BertGenerationTokenizer(model_file)


@pytest.fixture(scope="session")
def bare(bare_file):
    return BertGenerationTokenizer(bare_file)


normal_texts = st.lists(st.sampled_from(WORDS), max_size=8).map(" ".join)
any_texts = st.lists(
    st.sampled_from([*WORDS, *ODD, *SPECIAL, " "]) | st.characters(codec="utf-8"), max_size=12
).map("".join)


# Ids


def test_pieces_of_the_model_keep_their_ids(tok):
    names = ("pad", "unk", "bos", "eos", "sep")
    assert [getattr(tok, f"{name}_token_id") for name in names] == [0, 1, 2, 3, SIZE]
    assert (tok.vocab_size, len(tok)) == (SIZE, SIZE + 1)


def test_tokens_that_the_model_lacks_get_the_next_ids_sep_first(bare):
    assert (bare.unk_token_id, bare.bos_token_id, bare.eos_token_id) == (0, 1, 2)
    assert (bare.sep_token_id, bare.pad_token_id) == (SIZE, SIZE + 1)
    assert (bare.vocab_size, len(bare)) == (SIZE, SIZE + 2)


def test_there_is_no_cls_and_no_mask(tok):
    assert (tok.cls_token_id, tok.mask_token_id) == (None, None)


def test_nothing_is_added_to_a_text(tok):
    assert tok("the dog").input_ids == tok.convert_tokens_to_ids(tok.tokenize("the dog"))
    assert tok.num_special_tokens_to_add(pair=True) == 0


def test_a_pair_is_one_text_after_the_other(tok):
    ids = tok("the dog", "sleeps").input_ids
    assert ids == tok("the dog").input_ids + tok("sleeps").input_ids


def test_a_call_returns_ids_and_mask_and_no_token_types(tok):
    assert list(tok("the dog")) == ["input_ids", "attention_mask"]


def test_an_empty_text_has_no_ids(tok):
    assert tok("").input_ids == []


def test_a_word_after_a_special_token_has_its_own_leading_space(tok):
    parts = [*tok.tokenize("the dog"), "<::::>", *tok.tokenize("sleeps")]
    assert tok.tokenize("the dog<::::>sleeps") == parts
    assert parts[parts.index("<::::>") + 1].startswith("▁")


def test_unknown_characters_next_to_each_other_are_one_token_with_their_surface(tok):
    assert tok.tokenize("漢字") == ["▁", "漢字"]
    assert tok("漢字").input_ids[1:] == [tok.unk_token_id]


def test_a_control_piece_is_found_only_as_a_special_token(model_file):
    tok = BertGenerationTokenizer(model_file, eos_token="<end>")
    assert "</s>" not in tok.tokenize("dog</s>")
    assert tok.tokenize("dog<end>")[-1] == "<end>"


def test_what_normalisation_turns_into_a_special_token_gets_its_id(tok):
    # The model knows neither colon nor angle, and turns those of full width into the usual ones.
    assert tok("\uff1c::::\uff1e").input_ids[-1] == tok.sep_token_id


def test_a_text_is_cut_into_the_pieces_of_greatest_score(tok):
    piece_ids = {tok.sp_model.id_to_piece(i): i for i in range(4, SIZE)}
    for word in WORDS:
        text = f"▁{word}"
        best = [0.0]
        for end in range(1, len(text) + 1):
            starts = [s for s in range(end) if text[s:end] in piece_ids]
            scores = [best[s] + tok.sp_model.get_score(piece_ids[text[s:end]]) for s in starts]
            best.append(max(scores, default=-np.inf))
        score = sum(map(tok.sp_model.get_score, tok(word).input_ids))
        assert score == pytest.approx(best[-1], rel=1e-6)


@given(st.lists(any_texts, min_size=1, max_size=5))
def test_a_batch_has_the_rows_of_its_single_texts(tok, texts):
    assert tok(texts).input_ids == [tok(text).input_ids for text in texts]


@given(any_texts)
def test_the_ids_are_those_of_the_tokens(bare, text):
    assert bare(text).input_ids == bare.convert_tokens_to_ids(bare.tokenize(text))


@given(st.lists(any_texts, min_size=1, max_size=5), st.sampled_from(["left", "right"]))
def test_the_mask_tells_tokens_from_padding(tok, texts, side):
    batch = tok(texts, padding=True, padding_side=side, return_tensors="np")
    for text, ids, mask in zip(texts, batch.input_ids, batch.attention_mask, strict=True):
        assert ids[mask == 1].tolist() == tok(text).input_ids
        assert set(ids[mask == 0]) <= {tok.pad_token_id}


def test_all_plain_texts_go_to_sentencepiece_in_one_call(model_file):
    tok = BertGenerationTokenizer(model_file)
    vocabulary, calls = tok.table.vocabulary, []
    encode = vocabulary.encode
    vocabulary.encode = lambda texts: calls.append(texts) or encode(texts)
    tok(["the dog", "the cat</s>", "a house"])
    assert calls == [["the dog", "the cat", "a house"]]


def test_sampling_options_reach_sentencepiece(model_file):
    options = {"enable_sampling": True, "nbest_size": -1, "alpha": 0.1}
    tok = BertGenerationTokenizer(model_file, sp_model_kwargs=options)
    text = "Überraschung unbelievable"
    assert len({tuple(tok(text).input_ids) for _ in range(30)}) > 1


# Decoding


@given(normal_texts)
def test_decoding_gives_a_normalised_text_back(tok, text):
    assert tok.decode(tok(text).input_ids) == text


def test_special_tokens_are_decoded_as_they_are_joined_by_version_5(tok):
    ids = [tok.bos_token_id, *tok("the dog").input_ids, tok.eos_token_id, tok.pad_token_id]
    assert tok.decode(ids) == "<s> the dog</s><pad>"
    assert tok.decode(ids, skip_special_tokens=True) == "the dog"


def test_skipping_special_tokens_skips_the_unknown_one(tok):
    ids = tok("the Ω dog").input_ids
    assert tok.decode(ids) == "the <unk> dog"
    assert tok.decode(ids, skip_special_tokens=True) == "the  dog"


# Files


@given(text=any_texts)
def test_a_saved_tokenizer_gives_the_same_ids(bare, resaved, text):
    assert resaved(text) == bare(text)


@pytest.fixture(scope="session")
def resaved(bare, tmp_path_factory):
    folder = tmp_path_factory.mktemp("resaved")
    bare.save_pretrained(folder)
    return BertGenerationTokenizer.from_pretrained(folder)


def test_the_model_is_saved_though_its_file_has_gone(model_file, tmp_path):
    (tmp_path / "gone.model").write_bytes(model_file.read_bytes())
    tok = BertGenerationTokenizer(tmp_path / "gone.model")
    (tmp_path / "gone.model").unlink()
    paths = tok.save_vocabulary(tmp_path, filename_prefix="new")
    assert paths == (str(tmp_path / "new-spiece.model"),)
    assert (tmp_path / "new-spiece.model").read_bytes() == model_file.read_bytes()


def test_a_vocabulary_is_saved_only_to_an_existing_folder(tok, tmp_path):
    with pytest.raises(ValueError, match="existing folder"):
        tok.save_vocabulary(tmp_path / "missing")


def test_sampling_options_are_saved(model_file, tmp_path):
    options = {"enable_sampling": True, "nbest_size": -1, "alpha": 0.1}
    BertGenerationTokenizer(model_file, sp_model_kwargs=options).save_pretrained(tmp_path)
    assert BertGenerationTokenizer.from_pretrained(tmp_path).sp_model_kwargs == options


def test_a_folder_with_the_model_alone_is_enough(model_file, tok):
    assert BertGenerationTokenizer.from_pretrained(model_file.parent)("the dog") == tok("the dog")


def test_a_failed_write_leaves_the_old_file(tok, model_file, tmp_path, monkeypatch):
    tok.save_pretrained(tmp_path)

    def interrupted(source, target):
        raise OSError("disk full")

    monkeypatch.setattr("os.replace", interrupted)
    with pytest.raises(OSError, match="disk full"):
        tok.save_vocabulary(tmp_path)
    assert (tmp_path / "spiece.model").read_bytes() == model_file.read_bytes()
    assert len(list(tmp_path.iterdir())) == 2


def test_a_folder_without_a_model_is_named_with_what_it_holds(tmp_path):
    (tmp_path / "vocab.txt").write_text("the")
    with pytest.raises(FileNotFoundError, match=rf"{tmp_path.name} .*spiece\.model.*vocab\.txt"):
        BertGenerationTokenizer.from_pretrained(tmp_path)


def test_a_folder_that_does_not_exist_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        BertGenerationTokenizer.from_pretrained(tmp_path / "missing")


def test_a_pointer_in_place_of_the_model_is_recognised(tmp_path):
    (tmp_path / "spiece.model").write_text("version https://git-lfs.github.com/spec/v1")
    with pytest.raises(ValueError, match=r"its 42 bytes are not one; .* Git LFS pointer"):
        BertGenerationTokenizer.from_pretrained(tmp_path)


# Beside transformers


ODD_TEXTS = sentences(7, 200, [*WORDS, *ODD, *SPECIAL, ".", ",", "!"])
CALLS = [
    {"padding": True},
    {"padding": "longest", "padding_side": "left", "pad_to_multiple_of": 8},
    {"padding": "max_length", "truncation": True, "max_length": 7},
    {"truncation": "only_first", "max_length": 3},
    {"max_length": 5},
]


@pytest.fixture(params=["model_file", "bare_file"])
def both(request):
    """Ours and that of transformers, on the same model."""
    from transformers import BertGenerationTokenizer as Reference

    file = request.getfixturevalue(request.param)
    return BertGenerationTokenizer(file), Reference(str(file))


@pytest.mark.parity
def test_special_tokens_equal_those_of_transformers(both):
    ours, reference = both
    assert ours.all_special_tokens == reference.all_special_tokens
    assert ours.all_special_ids == reference.all_special_ids
    assert ours.get_vocab() == reference.get_vocab()


@pytest.mark.parity
def test_tokens_and_texts_equal_those_of_transformers(both):
    ours, reference = both
    for text in ODD_TEXTS:
        ids = ours(text).input_ids
        assert ids == reference(text)["input_ids"]
        assert ours.tokenize(text) == reference.tokenize(text)
        assert ours.decode(ids) == reference.decode(ids)
        assert ours.decode(ids, True) == reference.decode(ids, skip_special_tokens=True)


@pytest.mark.parity
@pytest.mark.parametrize("options", CALLS)
def test_batches_equal_those_of_transformers(both, options):
    ours, reference = both
    pairs = ODD_TEXTS[::-1]
    assert ours(ODD_TEXTS, **options) == dict(reference(ODD_TEXTS, **options))
    assert ours(ODD_TEXTS, pairs, **options) == dict(reference(ODD_TEXTS, pairs, **options))


@pytest.mark.parity
def test_labels_and_arrays_equal_those_of_transformers(both):
    options = {"text_target": ODD_TEXTS[::-1], "padding": True, "return_tensors": "np"}
    ours, reference = (tokenizer(ODD_TEXTS, **options) for tokenizer in both)
    assert set(ours) == set(reference)
    for name in ours:
        np.testing.assert_array_equal(ours[name], reference[name])


@pytest.mark.parity
def test_folders_go_to_transformers_and_come_back(both, tmp_path):
    ours, reference = both
    new = {"additional_special_tokens": ["[new]"]}
    ours.add_special_tokens(new)
    reference.add_special_tokens({"extra_special_tokens": ["[new]"]})
    ours.save_pretrained(tmp_path / "ours")
    reference.save_pretrained(tmp_path / "reference")
    texts = [f"{text}[new]" for text in ODD_TEXTS]
    expected = reference(texts)["input_ids"]
    assert type(reference).from_pretrained(tmp_path / "ours")(texts)["input_ids"] == expected
    assert (
        BertGenerationTokenizer.from_pretrained(tmp_path / "reference")(texts).input_ids == expected
    )
