"""BertTokenizer beside the algorithm written out, and beside that of transformers."""

import copy
import importlib.util
import json
import pickle
import random
import sys
import unicodedata

import pytest

from minibert2bert.tokenization import AddedToken, BertTokenizer

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("tokenizers") is None, reason="needs minibert2bert[hub]"
)

NAMES = ("input_ids", "token_type_ids", "attention_mask")
LINES = (
    "the a dog cat house tree woman man child walks sleeps reads sees quickly never under over "
    "der die das ein eine Hund Katze Haus Baum Frau Mann Kind geht schläft liest sieht schnell nie "
    "unter über größer schöne Straße Überraschung unbelievable it's don't café naïve 3.5 1,000"
)
WORDS = LINES.split()
ODD = [
    *(
        "漢字",
        "日本語",
        "ひらがな",
        "한국어",
        "\U00020000",
        "\uf900",
        "ΩΔ",
        "ДА",
        "😀",
        "é",
        "e\u0301",
    ),
    *(
        "İ",
        "ẞ",
        "Å",
        "ﬁ",
        "½",
        "…",
        "«",
        "¿",
        "。",
        "’",
        "–",
        "_",
        "$",
        "^",
        "`",
        "+",
        "%",
        "[",
        "##s",
    ),
    *("\x00", "\ufffd", "\x07", "\x7f", "\u200b", "\u00ad", "\u202e", "\ue000"),
    *("\t", "\n", "\r", "\u00a0", "\u3000", "\u2028", "\u0085", "  ", "x" * 100, "y" * 101, ""),
]
OPTIONS = [
    {},
    {"do_lower_case": False},
    {"strip_accents": False},
    {"do_lower_case": False, "strip_accents": True},
    {"tokenize_chinese_chars": False},
]


def sentences(seed, number, words=WORDS, joints=(" ",)):
    rng = random.Random(seed)
    rows = [[rng.choice(words) + rng.choice(joints) for _ in range(9)] for _ in range(number)]
    return ["".join(row[: rng.randint(0, 9)]).strip(" ") for row in rows]


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """A folder with a vocab.txt, trained here on cased text."""
    from tokenizers import BertWordPieceTokenizer

    trainer = BertWordPieceTokenizer(lowercase=False, strip_accents=False)
    words = [*WORDS, *map(str.lower, WORDS), "漢", "e\u0301", ".", "?"]
    lines = sentences(0, 400, words, ["", " "])
    trainer.train_from_iterator(lines, vocab_size=300, show_progress=False)
    path = tmp_path_factory.mktemp("wordpiece")
    trainer.save_model(str(path))
    return path


@pytest.fixture(scope="session")
def tok(folder):
    return BertTokenizer.from_pretrained(folder)


def write_vocab(folder, *pieces):
    (folder / "vocab.txt").write_text("".join(f"{piece}\n" for piece in pieces), encoding="utf-8")
    return folder


SMALL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "un", "##a", "##able", "##aff", "foo", "bar")


@pytest.fixture
def small(tmp_path):
    """A tokenizer whose every piece is in SMALL."""
    return BertTokenizer.from_pretrained(write_vocab(tmp_path, *SMALL))


# The algorithm, written out


def is_chinese(character):
    blocks = [(0x4E00, 0x9FFF), (0x3400, 0x4DBF), (0x20000, 0x2A6DF), (0x2A700, 0x2B73F)]
    blocks += [(0x2B740, 0x2B81F), (0x2B820, 0x2CEAF), (0xF900, 0xFAFF), (0x2F800, 0x2FA1F)]
    return any(first <= ord(character) <= last for first, last in blocks)


def is_punctuation(character):
    ascii_ranges = [(33, 47), (58, 64), (91, 96), (123, 126)]
    inside = any(first <= ord(character) <= last for first, last in ascii_ranges)
    return inside or unicodedata.category(character).startswith("P")


def clean(text):
    kept = ""
    for character in text:
        category = unicodedata.category(character)
        if character in "\t\n\r" or category == "Zs":
            kept += " "
        elif character not in "\x00\ufffd" and not category.startswith("C"):
            kept += character
    return kept


def slow_words(text, do_lower_case=True, strip_accents=None, tokenize_chinese_chars=True):
    text = clean(text)
    if tokenize_chinese_chars:
        text = "".join(f" {c} " if is_chinese(c) else c for c in text)
    # Version 4 composes characters here, the library does not.
    text = text.lower() if do_lower_case else text
    if do_lower_case if strip_accents is None else strip_accents:
        decomposed = unicodedata.normalize("NFD", text)
        text = "".join(c for c in decomposed if unicodedata.category(c) != "Mn")
    return "".join(f" {c} " if is_punctuation(c) else c for c in text).split()


def slow_pieces(word, vocabulary):
    pieces, start = [], 0
    while start < len(word):
        prefix = "##" if start else ""
        ends = range(len(word), start, -1)
        end = next((end for end in ends if prefix + word[start:end] in vocabulary), None)
        if end is None or len(word) > 100:
            return ["[UNK]"]
        pieces.append(prefix + word[start:end])
        start = end
    return pieces


@pytest.mark.parametrize("options", OPTIONS)
def test_texts_are_cut_by_the_six_steps_of_the_algorithm(folder, options):
    tok = BertTokenizer.from_pretrained(folder, **options)
    vocabulary = tok.get_vocab()
    for text in sentences(1, 300, [*WORDS, *ODD], ["", " ", ".", "'"]):
        slow = [p for word in slow_words(text, **options) for p in slow_pieces(word, vocabulary)]
        assert tok.tokenize(text) == slow, text
        assert tok(text, add_special_tokens=False).input_ids == [vocabulary[p] for p in slow]


def test_the_texts_reach_every_step(tok):
    # Else the test above would not tell much.
    texts = sentences(1, 300, [*WORDS, *ODD], ["", " ", ".", "'"])
    tokens = [token for text in texts for token in tok.tokenize(text)]
    assert {"[UNK]", "漢", ".", "'"} < set(tokens)
    assert len({token for token in tokens if token.startswith("##")}) > 30
    assert tokens.count("[UNK]") < len(tokens) / 3


# Facts, one by one


def test_the_longest_prefix_comes_first(small):
    assert small.tokenize("unaffable") == ["un", "##aff", "##able"]


def test_a_word_that_cannot_be_covered_is_unknown_as_a_whole(small):
    assert small.tokenize("unaffablex foo") == ["[UNK]", "foo"]


def test_words_of_up_to_100_characters_are_cut(small):
    assert small.tokenize("un" + "a" * 98) == ["un"] + ["##a"] * 98
    assert small.tokenize("un" + "a" * 99) == ["[UNK]"]


def test_chinese_characters_are_words_of_their_own(tmp_path):
    write_vocab(tmp_path, *SMALL, "漢", "##字")
    tok = BertTokenizer.from_pretrained(tmp_path)
    assert tok.tokenize("漢字") == ["漢", "[UNK]"]
    whole = BertTokenizer.from_pretrained(tmp_path, tokenize_chinese_chars=False)
    assert whole.tokenize("漢字") == ["漢", "##字"]


def test_what_cannot_be_seen_vanishes_and_odd_spaces_are_spaces(small):
    assert small.tokenize("f\u200boo\u00a0b\x00ar\tfoo") == ["foo", "bar", "foo"]


def test_accents_go_with_upper_case_unless_asked_otherwise(tmp_path):
    write_vocab(tmp_path, *SMALL, "ü", "u", "Ü", "U")
    tokens = {
        str(options): BertTokenizer.from_pretrained(tmp_path, **options).tokenize("Ü")
        for options in OPTIONS[:4]
    }
    assert list(tokens.values()) == [["u"], ["Ü"], ["ü"], ["U"]]


def test_special_tokens_are_found_as_they_are_written_and_never_cut(small):
    assert small.tokenize("[MASK] foo [SEP]bar") == ["[MASK]", "foo", "[SEP]", "bar"]
    assert "[MASK]" not in small.tokenize("[mask]")


def test_the_template_has_cls_and_sep(small):
    encoding = small("foo bar")
    assert encoding.input_ids == [2, 9, 10, 3]
    assert encoding.token_type_ids == [0, 0, 0, 0]


def test_the_template_of_a_pair_has_type_1_after_the_first_sep(small):
    encoding = small("foo", "bar bar")
    assert encoding.input_ids == [2, 9, 3, 10, 10, 3]
    assert encoding.token_type_ids == [0, 0, 0, 1, 1, 1]


def test_a_pair_without_the_template_has_types_too(small):
    assert small("foo", "bar bar", add_special_tokens=False).token_type_ids == [0, 1, 1]


def test_a_call_returns_what_the_model_takes_in_its_order(small):
    assert tuple(small("foo")) == NAMES


def test_truncation_keeps_both_ends_of_the_template(small):
    ids = small("foo foo foo foo", truncation=True, max_length=5).input_ids
    assert ids == [2, 9, 9, 9, 3]


def test_of_two_texts_the_one_that_was_longer_keeps_more(small):
    ids = small("foo " * 5, "bar " * 6, truncation=True, max_length=8).input_ids
    assert (ids.count(9), ids.count(10)) == (2, 3)
    ids = small("foo " * 6, "bar " * 5, truncation=True, max_length=8).input_ids
    assert (ids.count(9), ids.count(10)) == (3, 2)


def test_padding_has_the_pad_token_and_type_0(small):
    encoding = small(["foo", "foo bar"], ["bar", "bar"], padding=True)
    assert encoding.input_ids[0] == [2, 9, 3, 10, 3, 0]
    assert encoding.token_type_ids[0] == [0, 0, 0, 1, 1, 0]
    assert encoding.attention_mask[0] == [1, 1, 1, 1, 1, 0]


def test_there_is_no_bos_and_no_eos(small):
    assert (small.bos_token_id, small.eos_token_id) == (None, None)
    assert (small.cls_token_id, small.sep_token_id) == (2, 3)


def test_half_a_character_is_refused_with_its_place(small):
    with pytest.raises(ValueError, match=r"position 1: .*surrogates not allowed"):
        small(["foo", "bar\ud800"])


# Decoding


PUNCTUATED = (*SMALL, *".?!,':()", "it", "s", "don", "t", "test")


@pytest.fixture
def punctuated(tmp_path):
    return BertTokenizer.from_pretrained(write_vocab(tmp_path, *PUNCTUATED))


@pytest.mark.parametrize(
    ("clean_up", "text"),
    [
        (True, "it's test : don't ( foo ), unable? foo."),
        (False, "it ' s test : don ' t ( foo ), unable? foo."),
    ],
)
def test_decoding_cleans_up_apostrophes_only_if_asked(punctuated, clean_up, text):
    ids = punctuated("It's test: don't (foo), unable? Foo.", add_special_tokens=False).input_ids
    assert punctuated.decode(ids, clean_up_tokenization_spaces=clean_up) == text


def test_decoding_cleans_up_unless_the_folder_says_otherwise(punctuated, tmp_path):
    ids = punctuated("it's", add_special_tokens=False).input_ids
    assert punctuated.decode(ids) == "it's"
    (tmp_path / "tokenizer_config.json").write_text('{"clean_up_tokenization_spaces": false}')
    assert BertTokenizer.from_pretrained(tmp_path).decode(ids) == "it ' s"


def test_special_tokens_are_skipped_wherever_they_are(small):
    ids = small("foo [MASK] bar [PAD]").input_ids
    assert small.decode(ids) == "[CLS] foo [MASK] bar [PAD] [SEP]"
    assert small.decode(ids, skip_special_tokens=True) == "foo bar"


def test_a_continuation_in_the_first_place_keeps_its_mark(small):
    assert small.decode([7, 7]) == "##ableable"


# Special and added tokens


def test_special_tokens_that_the_vocabulary_lacks_get_the_next_ids(tmp_path):
    tok = BertTokenizer.from_pretrained(write_vocab(tmp_path, "foo", "[PAD]", "[SEP]"))
    assert (tok.unk_token_id, tok.cls_token_id, tok.mask_token_id) == (3, 4, 5)
    assert tok("foo x").input_ids == [4, 0, 3, 2]
    assert tok.convert_tokens_to_ids("x") == 3


def test_a_saved_vocabulary_has_no_special_token_that_it_lacked(tmp_path):
    tok = BertTokenizer.from_pretrained(write_vocab(tmp_path, "foo", "bar"), bos_token="<s>")
    tok.save_pretrained(tmp_path / "saved")
    loaded = BertTokenizer.from_pretrained(tmp_path / "saved")
    assert (loaded.vocab_size, loaded.get_vocab()) == (2, tok.get_vocab())
    assert loaded("foo x") == tok("foo x")


def test_more_special_tokens_can_be_given(folder):
    tok = BertTokenizer.from_pretrained(folder, additional_special_tokens=["<x>"])
    ids = tok("der <x> die").input_ids
    assert tok.decode(ids) == "[CLS] der <x> die [SEP]"
    assert tok.decode(ids, skip_special_tokens=True) == "der die"


def test_special_tokens_can_be_given_as_keywords(tmp_path):
    write_vocab(tmp_path, "<pad>", "</s>", "<s>", "[UNK]", "foo")
    tok = BertTokenizer.from_pretrained(
        tmp_path, pad_token="<pad>", eos_token="</s>", bos_token="<s>"
    )
    assert (tok.pad_token_id, tok.eos_token_id, tok.bos_token_id) == (0, 1, 2)
    assert tok(["foo</s>", "foo foo</s>"], add_special_tokens=False, padding=True).input_ids == [
        [4, 1, 0],
        [4, 4, 1],
    ]


def test_added_tokens_are_found_in_their_normal_form_but_special_ones_as_written(small):
    small.add_tokens(["Übel"])
    small.add_tokens(["<New>"], special_tokens=True)
    assert small.tokenize("foo UBEL <New> <new>")[:3] == ["foo", "ubel", "<New>"]
    assert small("übel <new>").input_ids[1:3] == [11, 1]
    assert small.decode([9, 11]) == "foo ubel"


def test_a_token_for_single_words_may_stand_beside_punctuation(small):
    small.add_tokens([AddedToken("new", single_word=True)])
    assert small.tokenize("new,new anew")[:3] == ["new", "[UNK]", "new"]
    assert small("anew").input_ids == [2, 1, 3]


def test_an_unknown_token_must_exist(folder):
    with pytest.raises(ValueError, match="unk_token stands for words"):
        BertTokenizer.from_pretrained(folder, unk_token=None)


# Files


def trained_json(folder, path, **changes):
    """Write tokenizer.json alone, as the library itself does, with changes in its entries."""
    from tokenizers import BertWordPieceTokenizer

    BertWordPieceTokenizer(str(folder / "vocab.txt")).save(str(path / "tokenizer.json"))
    content = json.loads((path / "tokenizer.json").read_text(encoding="utf-8"))
    for name, values in changes.items():
        content[name] = {**(content[name] or {}), **values}
    (path / "tokenizer.json").write_text(json.dumps(content), encoding="utf-8")
    return path


TEXTS = sentences(2, 100, [*WORDS, *ODD, "[MASK]", "[SEP]", "[UNK]", "new"], ["", " ", "."])


def test_both_kinds_of_files_give_the_same_ids(folder, tok, tmp_path):
    other = BertTokenizer.from_pretrained(trained_json(folder, tmp_path))
    assert other(TEXTS) == tok(TEXTS)
    assert other.added_tokens_decoder == tok.added_tokens_decoder


def test_truncation_and_padding_in_tokenizer_json_are_ignored(folder, tok, tmp_path):
    truncation = {"max_length": 3, "strategy": "LongestFirst", "stride": 0, "direction": "Right"}
    padding = {"strategy": {"Fixed": 128}, "direction": "Right", "pad_to_multiple_of": None}
    padding |= {"pad_id": 0, "pad_type_id": 0, "pad_token": "[PAD]"}
    trained_json(folder, tmp_path, truncation=truncation, padding=padding)
    assert BertTokenizer.from_pretrained(tmp_path)(TEXTS) == tok(TEXTS)


def test_the_normaliser_in_tokenizer_json_counts_unless_arguments_are_given(folder, tmp_path):
    trained_json(folder, tmp_path, normalizer={"lowercase": False})
    cased = BertTokenizer.from_pretrained(tmp_path)
    assert cased("Hund") != cased("hund")
    assert BertTokenizer.from_pretrained(tmp_path, do_lower_case=True)("Hund") == cased("hund")


def test_the_model_in_tokenizer_json_says_how_long_words_may_be(folder, tmp_path):
    trained_json(folder, tmp_path, model={"max_input_chars_per_word": 2})
    assert BertTokenizer.from_pretrained(tmp_path).tokenize("die") == ["[UNK]"]


def test_added_tokens_of_tokenizer_json_are_added_and_special_ones_skipped(folder, tmp_path):
    trained_json(folder, tmp_path)
    content = json.loads((tmp_path / "tokenizer.json").read_text(encoding="utf-8"))
    size = len(content["model"]["vocab"])
    for index, (name, special) in enumerate([("new", False), ("<x>", True)]):
        content["added_tokens"].append({"id": size + index, "content": name, "special": special})
    (tmp_path / "tokenizer.json").write_text(json.dumps(content), encoding="utf-8")
    tok = BertTokenizer.from_pretrained(tmp_path)
    ids = tok("new<x>", add_special_tokens=False).input_ids
    assert ids == [size, size + 1]
    assert tok.decode(ids, skip_special_tokens=True) == "new"


def test_the_model_in_tokenizer_json_says_what_marks_a_continuation(tmp_path):
    model = {"type": "WordPiece", "vocab": {"[UNK]": 0, "un": 1, "@@able": 2}}
    content = {"model": {**model, "continuing_subword_prefix": "@@"}}
    (tmp_path / "tokenizer.json").write_text(json.dumps(content))
    tok = BertTokenizer.from_pretrained(tmp_path)
    assert tok.tokenize("unable") == ["un", "@@able"]
    assert tok.decode([1, 2]) == "unable"


def test_a_config_wins_over_tokenizer_json(folder, tmp_path):
    trained_json(folder, tmp_path)
    mask = {"content": "[MASK]", "lstrip": True, "special": True}
    tokens = {"added_tokens_decoder": {"4": mask}, "do_lower_case": False}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(tokens))
    tok = BertTokenizer.from_pretrained(tmp_path)
    assert tok.added_tokens_decoder[4].lstrip
    assert tok.settings["do_lower_case"] is False


def test_a_line_of_vocab_txt_ends_only_at_its_newline(tmp_path):
    (tmp_path / "vocab.txt").write_bytes("[UNK]\r\na\u2028b\n c \n\nd".encode())
    tok = BertTokenizer.from_pretrained(tmp_path)
    assert tok.convert_ids_to_tokens([0, 1, 2, 3, 4]) == ["[UNK]", "a\u2028b", " c ", "", "d"]


def test_of_two_equal_lines_the_second_counts_and_no_id_moves(tmp_path):
    tok = BertTokenizer.from_pretrained(write_vocab(tmp_path, "[UNK]", "a", "b", "a"))
    assert tok.convert_tokens_to_ids(["a", "b", "[SEP]"]) == [3, 2, 4]
    tok.save_vocabulary(tmp_path)
    assert BertTokenizer.from_pretrained(tmp_path)("a b") == tok("a b")


@pytest.fixture
def changed(folder):
    """A tokenizer with nothing as it is by default."""
    tok = BertTokenizer.from_pretrained(
        folder, do_lower_case=False, strip_accents=True, tokenize_chinese_chars=False,
        clean_up_tokenization_spaces=False, model_max_length=12, eos_token="<e>",
    )  # fmt: skip
    tok.add_tokens([AddedToken("new", lstrip=True)])
    tok.add_special_tokens({"additional_special_tokens": ["<x>"]})
    return tok


@pytest.mark.parametrize("left", ["vocab.txt", "tokenizer.json"])
def test_a_saved_tokenizer_is_whole_with_either_file(changed, tmp_path, left):
    changed.save_pretrained(tmp_path)
    for name in {"vocab.txt", "tokenizer.json"} - {left}:
        (tmp_path / name).unlink()
    loaded = BertTokenizer.from_pretrained(tmp_path)
    assert loaded(TEXTS) == changed(TEXTS)
    assert loaded.added_tokens_decoder == changed.added_tokens_decoder
    assert loaded.special_tokens_map == changed.special_tokens_map
    assert (loaded.model_max_length, loaded.clean_up_tokenization_spaces) == (12, False)


def test_the_library_alone_gives_the_same_ids_from_a_saved_folder(changed, tmp_path):
    from tokenizers import Tokenizer

    changed.save_pretrained(tmp_path)
    library = Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    for text, second in zip(TEXTS, TEXTS[::-1], strict=True):
        ours, pair = library.encode(text, second), changed(text, second)
        assert (ours.ids, ours.type_ids) == (pair.input_ids, pair.token_type_ids)


def test_saving_returns_the_paths_of_all_files(small, tmp_path):
    paths = small.save_pretrained(tmp_path / "new")
    assert sorted(paths) == sorted(str(path) for path in (tmp_path / "new").iterdir())
    assert small.save_vocabulary(tmp_path, "x")[0] == str(tmp_path / "x-vocab.txt")


def test_a_vocabulary_is_saved_only_to_an_existing_folder(small, tmp_path):
    with pytest.raises(ValueError, match="existing folder"):
        small.save_vocabulary(tmp_path / "missing")


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda tok: pickle.loads(pickle.dumps(tok))])
def test_a_tokenizer_can_be_copied_and_sent_to_another_process(folder, duplicate):
    tok = BertTokenizer.from_pretrained(folder)
    twin = duplicate(tok)
    twin.add_tokens(["new"])
    assert twin("der Hund") == tok("der Hund")
    assert twin("new") != tok("new")


def test_without_the_library_the_command_that_installs_it_is_named(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install minibert2bert\[hub\]"):
        BertTokenizer.from_pretrained(folder)


def test_a_folder_without_a_vocabulary_is_named_with_what_it_holds(tmp_path):
    (tmp_path / "spiece.model").write_text("")
    with pytest.raises(FileNotFoundError, match=r"vocab\.txt, or tokenizer\.json, .*spiece\.model"):
        BertTokenizer.from_pretrained(tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS pointer"),
        (b"", "is empty"),
        (b"\xff\xfe", "text in UTF-8"),
    ],
)
def test_what_is_no_vocabulary_is_refused(tmp_path, content, message):
    (tmp_path / "vocab.txt").write_bytes(content)
    with pytest.raises(ValueError, match=message):
        BertTokenizer.from_pretrained(tmp_path)


def test_a_tokenizer_needs_a_file():
    with pytest.raises(ValueError, match=r"vocab_file must be a file.*from_pretrained"):
        BertTokenizer()


def test_a_tokenizer_json_of_another_family_is_refused(tmp_path):
    model = {"type": "BPE", "vocab": {"a": 0}, "merges": []}
    (tmp_path / "tokenizer.json").write_text(json.dumps({"model": model}))
    with pytest.raises(ValueError, match="must hold a WordPiece model, got 'BPE'"):
        BertTokenizer.from_pretrained(tmp_path)


# Beside transformers


CALLS = [
    {},
    {"add_special_tokens": False},
    {"padding": True},
    {"padding": "longest", "padding_side": "left", "pad_to_multiple_of": 8},
    {"padding": "max_length", "truncation": True, "max_length": 9},
    {"truncation": "only_first", "max_length": 60},
    {"truncation": True, "max_length": 8},
]


@pytest.fixture(params=OPTIONS, ids=str)
def both(request, folder):
    """Ours and that of transformers, with the same added tokens."""
    from transformers import BertTokenizer as Reference

    ours = BertTokenizer.from_pretrained(folder, **request.param)
    reference = Reference.from_pretrained(folder, **request.param)
    for tokenizer in (ours, reference):
        tokenizer.add_tokens(["new", "Über"])
        tokenizer.add_special_tokens({"bos_token": "<s>"})
    return ours, reference


@pytest.mark.parity
@pytest.mark.parametrize("options", CALLS)
def test_batches_equal_those_of_transformers(both, options):
    ours, reference = both
    assert ours(TEXTS, **options) == dict(reference(TEXTS, **options))
    if options.get("truncation") != "only_first":
        pairs = TEXTS[::-1]
        assert ours(TEXTS, pairs, **options) == dict(reference(TEXTS, pairs, **options))


@pytest.mark.parity
@pytest.mark.parametrize("skip", [False, True])
@pytest.mark.parametrize("clean_up", [False, True])
def test_decoding_equals_that_of_transformers(both, skip, clean_up):
    ours, reference = both
    options = {"skip_special_tokens": skip, "clean_up_tokenization_spaces": clean_up}
    for ids in reference(TEXTS)["input_ids"]:
        assert ours.decode(ids, **options) == reference.decode(ids, **options)


@pytest.mark.parity
def test_tokens_and_special_ids_equal_those_of_transformers(both):
    ours, reference = both
    assert ours.get_vocab() == reference.get_vocab()
    assert set(ours.all_special_ids) == set(reference.all_special_ids)
    assert [ours.tokenize(text) for text in TEXTS] == [reference.tokenize(text) for text in TEXTS]


@pytest.mark.parity
def test_folders_go_to_transformers_and_come_back(both, tmp_path):
    ours, reference = both
    ours.save_pretrained(tmp_path / "ours")
    reference.save_pretrained(tmp_path / "reference")
    expected = dict(reference(TEXTS, TEXTS[::-1], padding=True))
    theirs = type(reference).from_pretrained(tmp_path / "ours")
    assert dict(theirs(TEXTS, TEXTS[::-1], padding=True)) == expected
    back = BertTokenizer.from_pretrained(tmp_path / "reference")
    assert back(TEXTS, TEXTS[::-1], padding=True) == expected
