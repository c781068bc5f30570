"""The call convention, on a family of whole words with the template of BERT."""

import copy
import json
import pickle
from typing import ClassVar

import numpy as np
import pytest

from minibert2bert.tokenization import AddedToken, PretrainedTokenizer

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "one", "two", "three", "four", "five", "six"]
PAD, UNK, CLS, SEP, ONE, TWO, THREE, FOUR, FIVE, SIX = range(10)


class Words:
    """Whole words between spaces, and those cut off at added tokens."""

    size = len(WORDS)
    unknown_id = UNK

    def find(self, token):
        return WORDS.index(token) if token in WORDS else None

    def tokens(self, ids):
        return [WORDS[index] for index in ids]

    def encode(self, texts):
        return [[UNK if self.find(w) is None else self.find(w) for w in t.split()] for t in texts]

    def tokenize(self, text):
        return text.split()

    def join(self, tokens):
        return " ".join(tokens)


class WordTokenizer(PretrainedTokenizer):
    model_input_names = ("input_ids", "token_type_ids", "attention_mask")
    vocab_files_names: ClassVar = {"vocab_file": "words.txt"}

    def __init__(self, vocab_file=None, **settings):
        roles = {"unk_token": "[UNK]", "pad_token": "[PAD]", "cls_token": "[CLS]"}
        super().__init__(Words(), **{**roles, "sep_token": "[SEP]", **settings})

    def build_inputs_with_special_tokens(self, ids, pair_ids=None):
        return [CLS, *ids, SEP, *([] if pair_ids is None else [*pair_ids, SEP])]

    def save_vocabulary(self, save_directory, filename_prefix=None):
        path = save_directory / "words.txt"
        path.write_text("\n".join(WORDS))
        return (str(path),)


@pytest.fixture
def tok():
    return WordTokenizer()


# The form of an answer


def test_a_single_text_gives_flat_lists(tok):
    assert tok("one two") == {
        "input_ids": [CLS, ONE, TWO, SEP],
        "token_type_ids": [0, 0, 0, 0],
        "attention_mask": [1, 1, 1, 1],
    }


def test_a_list_of_one_text_gives_one_row(tok):
    assert tok(["one"]).input_ids == [[CLS, ONE, SEP]]


def test_an_encoding_is_read_by_item_by_attribute_and_as_keywords(tok):
    encoding = tok("one")
    assert encoding.input_ids is encoding["input_ids"]
    assert dict(**encoding) == encoding


def test_an_encoding_names_what_it_has(tok):
    with pytest.raises(AttributeError, match=r"attention_mask.*no 'labels'"):
        _ = tok("one").labels


def test_arrays_are_int64_and_have_a_batch_axis(tok):
    ids = tok("one two", return_tensors="np").input_ids
    assert ids.dtype == np.int64
    assert ids.tolist() == [[CLS, ONE, TWO, SEP]]


def test_an_empty_text_becomes_an_integer_array():
    tok = WordTokenizer()
    encoding = tok("", add_special_tokens=False, return_tensors="np")
    assert (encoding.input_ids.dtype, encoding.input_ids.shape) == (np.int64, (1, 0))


def test_other_names_can_be_asked_for_and_left_out(tok):
    encoding = tok("one", return_token_type_ids=False, return_attention_mask=False)
    assert list(encoding) == ["input_ids"]


def test_a_pair_fills_the_template_of_pairs(tok):
    encoding = tok("one", "two three")
    assert encoding.input_ids == [CLS, ONE, SEP, TWO, THREE, SEP]
    assert encoding.token_type_ids == [0, 0, 0, 1, 1, 1]


def test_a_list_of_pairs_is_two_lists(tok):
    assert tok([("one", "two"), ("three", "four")]) == tok(["one", "three"], ["two", "four"])


def test_without_special_tokens_the_template_stays_empty(tok):
    assert tok("one", "two", add_special_tokens=False).input_ids == [ONE, TWO]


def test_encode_gives_the_ids_of_a_call(tok):
    assert tok.encode("one", "two") == [CLS, ONE, SEP, TWO, SEP]


def test_the_template_counts_its_special_tokens(tok):
    assert (tok.num_special_tokens_to_add(), tok.num_special_tokens_to_add(pair=True)) == (2, 3)


def test_target_texts_become_labels_with_the_same_options(tok):
    encoding = tok(["one", "two"], text_target=["one", "two six"], padding=True)
    assert encoding.labels == [[CLS, ONE, SEP, PAD], [CLS, TWO, SIX, SEP]]
    assert encoding.input_ids == [[CLS, ONE, SEP], [CLS, TWO, SEP]]


def test_labels_can_be_pairs_too(tok):
    assert tok("one", text_target="two", text_pair_target="six").labels == [CLS, TWO, SEP, SIX, SEP]


def test_target_texts_alone_become_input_ids(tok):
    assert tok(text_target="one") == tok("one")


# Padding


@pytest.mark.parametrize(
    ("side", "ids", "mask"),
    [
        ("right", [CLS, ONE, SEP, PAD, PAD], [1, 1, 1, 0, 0]),
        ("left", [PAD, PAD, CLS, ONE, SEP], [0, 0, 1, 1, 1]),
    ],
)
def test_short_rows_are_filled_up_on_the_padding_side(side, ids, mask):
    encoding = WordTokenizer(padding_side=side)(["one", "one two three"], padding=True)
    assert encoding.input_ids[0] == ids
    assert encoding.attention_mask[0] == mask


def test_padding_has_token_type_zero_and_mask_zero(tok):
    encoding = tok([("one", "two"), ("one", "two six")], padding=True)
    assert encoding.token_type_ids[0] == [0, 0, 0, 1, 1, 0]
    assert encoding.attention_mask[0] == [1, 1, 1, 1, 1, 0]


def test_the_padding_side_of_a_call_wins(tok):
    encoding = tok(["one", "one two"], padding=True, padding_side="left")
    assert encoding.input_ids[0] == [PAD, CLS, ONE, SEP]


def test_padding_to_max_length_does_not_truncate(tok):
    encoding = tok(["one", "one two three four"], padding="max_length", max_length=5)
    assert [len(ids) for ids in encoding.input_ids] == [5, 6]


def test_padding_goes_to_the_models_length_if_no_other_is_given():
    encoding = WordTokenizer(model_max_length=4)("one", padding="max_length")
    assert encoding.input_ids == [CLS, ONE, SEP, PAD]


def test_padding_to_a_length_that_nobody_knows_is_a_warning(tok):
    with pytest.warns(UserWarning, match="pass max_length"):
        assert tok("one", padding="max_length").input_ids == [CLS, ONE, SEP]


def test_padded_rows_have_a_multiple_of_the_wanted_length(tok):
    encoding = tok(["one", "one two three"], padding=True, pad_to_multiple_of=4)
    assert [len(ids) for ids in encoding.input_ids] == [8, 8]


def test_padding_without_a_pad_token_says_how_to_choose_one():
    tok = WordTokenizer(pad_token=None)
    with pytest.raises(ValueError, match=r"tokenizer\.pad_token = tokenizer\.eos_token"):
        tok(["one", "one two"], padding=True)


def test_a_chosen_pad_token_pads():
    tok = WordTokenizer(pad_token=None)
    tok.pad_token = tok.sep_token
    assert tok(["one", "one two"], padding=True).input_ids[0] == [CLS, ONE, SEP, SEP]


def test_a_length_that_padding_ignores_is_a_warning(tok):
    with pytest.warns(UserWarning, match="max_length has no effect"):
        tok(["one"], padding=True, max_length=3)


def test_pad_fills_up_a_list_of_encodings(tok):
    batch = tok.pad([tok("one"), tok("one two")], return_tensors="np")
    assert batch.input_ids.tolist() == [[CLS, ONE, SEP, PAD], [CLS, ONE, TWO, SEP]]
    assert batch.attention_mask.tolist() == [[1, 1, 1, 0], [1, 1, 1, 1]]


def test_pad_makes_a_mask_where_there_is_none(tok):
    batch = tok.pad({"input_ids": [[ONE], [ONE, TWO]]})
    assert batch.attention_mask == [[1, 0], [1, 1]]


def test_pad_fills_up_a_single_row_of_an_array(tok):
    batch = tok.pad({"input_ids": np.array([ONE])}, padding="max_length", max_length=3)
    assert batch.input_ids == [ONE, PAD, PAD]


def test_pad_asks_for_input_ids(tok):
    with pytest.raises(ValueError, match=r"must have input_ids, got \['labels'\]"):
        tok.pad({"labels": [[ONE]]})


# Truncation


def test_truncation_keeps_room_for_the_template(tok):
    ids = tok("one two three four five six", truncation=True, max_length=5).input_ids
    assert ids == [CLS, ONE, TWO, THREE, SEP]


def test_the_template_stays_when_there_is_no_room_at_all(tok):
    assert tok("one two three", "five six", max_length=1).input_ids == [CLS, SEP, SEP]


def test_a_length_without_padding_truncates(tok):
    assert tok("one two three", max_length=3).input_ids == [CLS, ONE, SEP]
    assert len(tok("one two three", max_length=3, truncation=False).input_ids) == 5


def test_truncation_goes_to_the_models_length_if_no_other_is_given():
    assert WordTokenizer(model_max_length=3)("one two", truncation=True).input_ids == [
        CLS,
        ONE,
        SEP,
    ]


def test_truncation_on_the_left_keeps_the_end():
    tok = WordTokenizer(truncation_side="left")
    assert tok("one two three", max_length=4).input_ids == [CLS, TWO, THREE, SEP]


@pytest.mark.parametrize(
    ("strategy", "first", "second"),
    [
        ("longest_first", [ONE, TWO], [FIVE]),
        ("only_first", [ONE], [FIVE, SIX]),
        ("only_second", [ONE, TWO, THREE, FOUR], []),
    ],
)
def test_a_pair_is_truncated_by_the_strategy(tok, strategy, first, second):
    ids = tok("one two three four", "five six", truncation=strategy, max_length=6).input_ids
    assert ids == [CLS, *first, SEP, *second, SEP]


@pytest.mark.parametrize("lengths", [(6, 6), (6, 1), (2, 6), (5, 6), (0, 4)])
@pytest.mark.parametrize("room", range(10))
def test_longest_first_takes_one_id_at_a_time_from_the_longer(tok, lengths, room):
    texts = [" ".join(WORDS[4:][:length]) for length in lengths]
    first, second = lengths
    while first + second > room:
        first, second = (first - 1, second) if first > second else (first, second - 1)
    ids = tok(*texts, truncation=True, max_length=room + 3).input_ids
    assert [ids.index(SEP) - 1, len(ids) - ids.index(SEP) - 2] == [first, second]


def test_truncation_without_a_limit_is_a_warning_and_does_nothing(tok):
    with pytest.warns(UserWarning, match="pass max_length"):
        assert len(tok("one two three", truncation=True).input_ids) == 5


# Special and added tokens


def test_special_tokens_are_found_inside_a_text(tok):
    assert tok.tokenize("one[SEP]two [PAD]") == ["one", "[SEP]", "two", "[PAD]"]


def test_missing_special_tokens_get_the_next_ids_in_the_order_of_the_roles():
    tok = WordTokenizer(mask_token="<m>", eos_token="<e>", additional_special_tokens=["<a>"])
    assert (tok.eos_token_id, tok.mask_token_id) == (10, 11)
    assert tok.convert_tokens_to_ids("<a>") == 12
    assert (tok.vocab_size, len(tok)) == (10, 13)


def test_an_empty_role_is_none(tok):
    assert (tok.bos_token, tok.bos_token_id) == (None, None)


def test_a_role_is_assigned_by_token_or_id(tok):
    tok.bos_token = "[CLS]"
    tok.eos_token_id = SEP
    assert (tok.bos_token_id, tok.eos_token) == (CLS, "[SEP]")


def test_a_role_for_an_unknown_token_says_how_to_add_it(tok):
    with pytest.raises(ValueError, match=r"add_special_tokens\(\{'pad_token': '<p>'\}\)"):
        tok.pad_token = "<p>"


def test_added_special_tokens_tell_how_many_rows_are_new(tok):
    assert tok.add_special_tokens({"pad_token": "<p>", "bos_token": "[CLS]"}) == 1
    assert (tok.pad_token_id, tok.bos_token_id) == (10, CLS)


def test_a_role_that_does_not_exist_is_refused(tok):
    with pytest.raises(ValueError, match=r"got 'end_token'"):
        tok.add_special_tokens({"end_token": "<e>"})


def test_the_lists_of_special_tokens_cannot_be_assigned(tok):
    with pytest.raises(AttributeError, match="use add_tokens or add_special_tokens"):
        tok.all_special_tokens = ["[PAD]"]


def test_the_longest_added_token_wins(tok):
    tok.add_tokens(["<a>", "<a><b>"])
    assert tok.tokenize("one<a><b><a>two") == ["one", "<a><b>", "<a>", "two"]


def test_a_token_added_after_the_first_text_is_found(tok):
    assert tok.tokenize("one<a>") == ["one<a>"]
    tok.add_tokens(["<a>"])
    assert tok.tokenize("one<a>") == ["one", "<a>"]


def test_a_special_token_that_is_added_again_stays_special(tok):
    tok.add_tokens(["[PAD]"])
    assert tok.added_tokens_decoder[PAD] == AddedToken("[PAD]", normalized=False, special=True)


def test_an_added_token_can_swallow_the_spaces_around_it():
    # The words of this vocabulary do not show their spaces, so the parts are looked at.
    tok = WordTokenizer()
    tok.table.vocabulary.tokenize = lambda text: [text]
    tok.add_tokens([AddedToken("<l>", lstrip=True), AddedToken("<r>", rstrip=True)])
    assert tok.tokenize("one  <l> two <r>  three") == ["one", "<l>", " two ", "<r>", "three"]


def test_a_token_for_single_words_is_not_found_inside_a_word(tok):
    tok.add_tokens([AddedToken("one", single_word=True), AddedToken("!", single_word=True)])
    assert tok.tokenize("one! one !") == ["one!", "one", "!"]


def test_decode_skips_special_tokens_but_not_other_added_ones(tok):
    tok.add_tokens(["<plain>"])
    tok.add_tokens(["<special>"], special_tokens=True)
    ids = tok("one <plain> <special>").input_ids
    assert tok.decode(ids) == "[CLS] one <plain> <special> [SEP]"
    assert tok.decode(ids, skip_special_tokens=True) == "one <plain>"


def test_an_empty_added_token_is_refused(tok):
    with pytest.raises(ValueError, match="at least one character"):
        tok.add_tokens([""])


# Ids to text


def test_unknown_tokens_get_the_unknown_id(tok):
    assert tok.convert_tokens_to_ids(["one", "seven"]) == [ONE, UNK]


def test_ids_and_tokens_are_converted_singly_too(tok):
    assert tok.convert_ids_to_tokens(ONE) == "one"
    assert tok.convert_tokens_to_ids("one") == ONE


def test_the_vocabulary_holds_base_and_added_tokens(tok):
    tok.add_tokens(["<a>"])
    assert tok.get_vocab() == {token: index for index, token in enumerate([*WORDS, "<a>"])}


@pytest.mark.parametrize("kind", [list, tuple, np.array])
def test_rows_of_any_kind_are_decoded(tok, kind):
    rows = kind([kind([ONE, TWO]), kind([THREE, FOUR])])
    assert tok.decode(rows) == tok.batch_decode(rows) == ["one two", "three four"]


def test_a_single_row_decodes_to_a_string_and_as_a_batch_to_a_list(tok):
    assert tok.decode(np.int64(ONE)) == tok.decode([ONE]) == "one"
    assert tok.batch_decode([ONE]) == ["one"]


def test_clean_up_removes_the_spaces_before_punctuation(tok):
    tok.add_tokens([".", "n't"])
    ids = tok("one n't .", add_special_tokens=False).input_ids
    assert tok.decode(ids) == "one n't ."
    assert tok.decode(ids, clean_up_tokenization_spaces=True) == "onen't."


def test_the_ignored_label_is_refused_with_its_remedy(tok):
    with pytest.raises(ValueError, match=r"got -100; replace -100 by pad_token_id"):
        tok.decode(np.array([ONE, -100]))


@pytest.mark.parametrize("wrong", [10, -1, 4.5, "one"])
def test_ids_outside_the_vocabulary_are_named_with_its_size(tok, wrong):
    with pytest.raises(ValueError, match=rf"in \[0, 10\), the vocabulary, got {wrong!r}"):
        tok.decode([ONE, wrong])


# Errors at the door


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "got NoneType at position 0"),
        (b"one", "got bytes at position 0"),
        (["one", 2], "got int at position 1"),
        ([["one", "two", "three"]], "got 3 of them at position 0"),
        ([], "got an empty list"),
    ],
)
def test_what_is_no_text_is_named_by_type_and_position(tok, text, message):
    with pytest.raises(ValueError, match=message):
        tok(text)


def test_second_texts_must_be_as_many_as_first_ones(tok):
    with pytest.raises(ValueError, match="a list of 2 strings"):
        tok(["one", "two"], ["three"])


def test_tokenize_takes_one_text(tok):
    with pytest.raises(ValueError, match="must be a string, got list"):
        tok.tokenize(["one"])


@pytest.mark.parametrize("kind", ["pt", "tf"])
def test_other_tensors_point_to_numpy(tok, kind):
    with pytest.raises(ValueError, match=rf'return_tensors="np" gives arrays, got \'{kind}\''):
        tok("one", return_tensors=kind)


def test_rows_of_different_length_make_no_array(tok):
    with pytest.raises(ValueError, match=r"rows of input_ids have 3 to 4 .* padding=True"):
        tok(["one", "one two"], return_tensors="np")


@pytest.mark.parametrize(
    "option",
    [
        {"padding": "shortest"},
        {"truncation": "first"},
        {"padding_side": "up"},
        {"max_length": 0},
        {"pad_to_multiple_of": 2.5},
        {"padding": True, "truncation": True, "max_length": 6, "pad_to_multiple_of": 4},
    ],
)
def test_an_option_without_meaning_is_named(tok, option):
    with pytest.raises(ValueError, match=list(option)[-1]):
        tok("one", **option)


# Files


def test_a_saved_tokenizer_loads_with_all_it_had(tmp_path):
    tok = WordTokenizer(eos_token="<e>", cls_token=None, model_max_length=7, padding_side="left")
    tok.add_tokens([AddedToken("<l>", lstrip=True)])
    tok.add_special_tokens({"additional_special_tokens": ["<x>"]})
    tok.save_pretrained(tmp_path)
    loaded = WordTokenizer.from_pretrained(tmp_path)
    assert loaded.added_tokens_decoder == tok.added_tokens_decoder
    assert loaded.special_tokens_map == tok.special_tokens_map
    assert loaded.all_special_ids == tok.all_special_ids
    assert (loaded.model_max_length, loaded.padding_side) == (7, "left")


def test_saving_gives_the_paths_and_leaves_nothing_else(tok, tmp_path):
    paths = tok.save_pretrained(tmp_path / "new")
    assert sorted(paths) == sorted(str(path) for path in (tmp_path / "new").iterdir())


def test_a_file_in_the_place_of_the_folder_is_refused(tok, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="it is a file"):
        tok.save_pretrained(tmp_path / "file")


def test_arguments_win_over_the_folder(tok, tmp_path):
    tok.save_pretrained(tmp_path)
    assert WordTokenizer.from_pretrained(tmp_path, pad_token="[SEP]").pad_token_id == SEP


def write_folder(folder, **files):
    (folder / "words.txt").write_text("")
    for name, values in files.items():
        (folder / f"{name}.json").write_text(json.dumps(values))
    return folder


def test_older_folders_spread_the_special_tokens_over_three_files(tmp_path):
    mask = {"content": "<m>", "lstrip": True}
    write_folder(
        tmp_path,
        tokenizer_config={"model_max_length": 9, "eos_token": "<a>"},
        special_tokens_map={"eos_token": "<b>", "mask_token": mask},
        added_tokens={"<m>": 10, "<word>": 11, "<b>": 12},
    )
    tok = WordTokenizer.from_pretrained(tmp_path)
    assert (tok.model_max_length, tok.eos_token_id, tok.mask_token_id) == (9, 12, 10)
    assert [tok.added_tokens_decoder[index] for index in (10, 11, 12)] == [
        AddedToken("<m>", lstrip=True, special=True),
        AddedToken("<word>"),
        AddedToken("<b>", special=True, normalized=False),
    ]


def test_a_config_with_added_tokens_says_everything(tmp_path):
    config = {"added_tokens_decoder": {"10": {"content": "<e>"}}, "eos_token": "<e>"}
    write_folder(tmp_path, tokenizer_config=config, special_tokens_map={"eos_token": "<other>"})
    assert WordTokenizer.from_pretrained(tmp_path).eos_token_id == 10


def test_a_broken_file_is_named(tmp_path):
    write_folder(tmp_path)
    (tmp_path / "tokenizer_config.json").write_text("{")
    with pytest.raises(ValueError, match=r"tokenizer_config\.json is not readable as JSON"):
        WordTokenizer.from_pretrained(tmp_path)


def test_a_missing_vocabulary_is_named_with_what_is_there(tmp_path):
    (tmp_path / "vocab.txt").write_text("")
    with pytest.raises(FileNotFoundError, match=r"words\.txt for WordTokenizer.*'vocab\.txt'"):
        WordTokenizer.from_pretrained(tmp_path)


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda tok: pickle.loads(pickle.dumps(tok))])
def test_a_tokenizer_can_be_copied_and_sent_to_another_process(tok, duplicate):
    twin = duplicate(tok)
    twin.add_tokens(["<a>"])
    assert twin("one").input_ids == tok("one").input_ids
    assert (len(twin), len(tok)) == (11, 10)
