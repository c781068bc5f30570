"""RobertaTokenizer and GPT2Tokenizer beside the algorithm, and beside those of transformers."""

import copy
import importlib.util
import json
import pickle
import random
import sys
import unicodedata
from itertools import pairwise

import pytest

from minibert2bert.tokenization import AddedToken, GPT2Tokenizer, RobertaTokenizer
from minibert2bert.tokenization.byte_level_tokenizer import byte_characters

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("tokenizers") is None, reason="needs minibert2bert[hub]"
)

LINES = (
    "the a dog cat house tree woman man child walks sleeps reads sees quickly never under over "
    "der die das ein eine Hund Katze Haus Baum Frau Mann Kind geht schläft liest sieht schnell nie "
    "unter über größer schöne Straße Überraschung unbelievable it's don't we'll 3.5 1,000 2024"
)
WORDS = LINES.split()
ODD = [
    *(
        "漢字",
        "한국어",
        "हिन्दी",
        "ไทย",
        "ΩΔ",
        "ДА",
        "😀",
        "é",
        "e\u0301",
        "½",
        "٣",
        "Ⅳ",
        "①",
        "…",
        "’",
    ),
    *("'s", "'S", "'re", "'ve", "'m", "'d", "'", "--", "...", "!?", "$5", "_", "\x00", "\ufffd"),
    *("  ", "   ", "\n", "\n\n", "\t", " \n ", "\r\n", "\u00a0", "\u3000", "\u2028", "\u200b", ""),
]
SPECIAL = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
END = "<|endoftext|>"
FAMILIES = [RobertaTokenizer, GPT2Tokenizer]


def sentences(seed, number, words=WORDS, joints=(" ",)):
    rng = random.Random(seed)
    rows = [[rng.choice(words) + rng.choice(joints) for _ in range(9)] for _ in range(number)]
    return ["".join(row[: rng.randint(0, 9)]) for row in rows]


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """A folder with vocab.json and merges.txt, trained here."""
    from tokenizers import ByteLevelBPETokenizer

    trainer = ByteLevelBPETokenizer()
    trainer.train_from_iterator(
        sentences(0, 400, WORDS, ["", " "]),
        vocab_size=500,
        special_tokens=[*SPECIAL, END],
        show_progress=False,
    )
    path = tmp_path_factory.mktemp("bpe")
    trainer.save_model(str(path))
    return path


@pytest.fixture(scope="session")
def roberta(folder):
    return RobertaTokenizer.from_pretrained(folder)


@pytest.fixture(scope="session")
def gpt2(folder):
    return GPT2Tokenizer.from_pretrained(folder)


# The algorithm, written out


CONTRACTIONS = ["'s", "'t", "'re", "'ve", "'m", "'ll", "'d"]


def kind(character):
    if character in "\t\n\x0b\x0c\r \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000":
        return "space"
    return {"L": "letter", "N": "number"}.get(unicodedata.category(character)[0], "other")


def slow_words(text):
    """Cut a text where the pattern of GPT-2 does, which is read here from left to right."""
    start = 0
    while start < len(text):
        contractions = [c for c in CONTRACTIONS if text.startswith(c, start)]
        first = start + (text[start] == " ")
        if contractions:
            end = start + len(contractions[0])
        elif first < len(text) and kind(text[first]) != "space":
            end = first
            while end < len(text) and kind(text[end]) == kind(text[first]):
                end += 1
        else:
            end = start
            while end < len(text) and kind(text[end]) == "space":
                end += 1
            # The last space of several goes with the word that follows.
            end -= end < len(text) and end - start > 1
        yield text[start:end]
        start = end


def slow_characters(word):
    visible = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [number for number in range(256) if number not in visible]
    table = {n: chr(n) for n in visible} | {n: chr(256 + i) for i, n in enumerate(others)}
    return [table[number] for number in word.encode()]


def slow_tokens(word, ranks):
    tokens = slow_characters(word)
    while True:
        pairs = [pair for pair in pairwise(tokens) if pair in ranks]
        if not pairs:
            return tokens
        best, merged, index = min(pairs, key=ranks.get), [], 0
        while index < len(tokens):
            here = tuple(tokens[index : index + 2]) == best
            merged.append("".join(best) if here else tokens[index])
            index += 1 + here
        tokens = merged


def read_ranks(folder):
    lines = (folder / "merges.txt").read_text(encoding="utf-8").split("\n")[1:-1]
    return {tuple(line.split(" ")): rank for rank, line in enumerate(lines)}


def test_texts_are_cut_and_merged_by_the_steps_of_the_algorithm(folder, gpt2):
    ranks, vocabulary = read_ranks(folder), gpt2.get_vocab()
    for text in sentences(1, 300, [*WORDS, *ODD], ["", " ", ".", "'"]):
        slow = [token for word in slow_words(text) for token in slow_tokens(word, ranks)]
        assert gpt2.tokenize(text) == slow, text
        assert gpt2(text).input_ids == [vocabulary[token] for token in slow]


def test_the_texts_are_made_of_more_than_a_hundred_merged_tokens(gpt2):
    # Else the test above would not tell much.
    texts = sentences(1, 300, [*WORDS, *ODD], ["", " ", ".", "'"])
    ids = {index for text in texts for index in gpt2(text).input_ids}
    assert len([index for index in ids if index >= len(SPECIAL) + 1 + 256]) > 100


def test_every_byte_has_a_character_of_its_own():
    characters = byte_characters()
    assert len(set(characters)) == 256
    assert not any(character.isspace() for character in characters)
    assert (characters[ord(" ")], characters[ord("\n")], characters[ord("a")]) == ("Ġ", "Ċ", "a")


# Facts, one by one


def test_a_word_differs_with_the_space_before_it(gpt2):
    assert gpt2.tokenize("the dog") == ["the", "Ġdog"]
    assert gpt2("dog").input_ids != gpt2(" dog").input_ids


@pytest.mark.parametrize("family", FAMILIES)
def test_a_prefix_space_makes_the_first_word_like_the_others(folder, family):
    tok = family.from_pretrained(folder, add_prefix_space=True)
    assert tok.tokenize("dog") == tok.tokenize(" dog") == ["Ġdog"]


def test_robertas_template_has_two_separators_between_texts(roberta):
    dog, cat = (roberta(word, add_special_tokens=False).input_ids for word in ("dog", "cat"))
    assert roberta("dog").input_ids == [0, *dog, 2]
    assert roberta("dog", "cat").input_ids == [0, *dog, 2, 2, *cat, 2]
    assert roberta.num_special_tokens_to_add(pair=True) == 4


def test_gpt2_adds_nothing(gpt2):
    dog, cat = (gpt2(word).input_ids for word in ("dog", "cat"))
    assert gpt2("dog", "cat").input_ids == dog + cat
    assert gpt2.num_special_tokens_to_add(pair=True) == 0


def test_gpt2_can_begin_each_text_with_bos(folder):
    tok = GPT2Tokenizer.from_pretrained(folder, add_bos_token=True)
    dog, bos = tok("dog", add_special_tokens=False).input_ids, tok.bos_token_id
    assert tok("dog", "dog").input_ids == [bos, *dog, bos, *dog]


def test_token_types_are_not_returned_unless_asked_for(roberta, gpt2):
    assert list(roberta("dog")) == list(gpt2("dog")) == ["input_ids", "attention_mask"]
    assert set(roberta("dog", "cat", return_token_type_ids=True).token_type_ids) == {0}


def test_robertas_special_tokens_have_their_roles(roberta):
    names = ("bos", "pad", "eos", "unk", "mask", "cls", "sep")
    assert [getattr(roberta, f"{name}_token_id") for name in names] == [0, 1, 2, 3, 4, 0, 2]


def test_gpt2_has_one_special_token_for_all_roles_and_none_to_pad(gpt2):
    end = gpt2.convert_tokens_to_ids(END)
    assert (gpt2.bos_token_id, gpt2.eos_token_id, gpt2.unk_token_id) == (end, end, end)
    assert (gpt2.pad_token_id, gpt2.cls_token, gpt2.mask_token) == (None, None, None)


def test_gpt2_pads_once_a_token_is_chosen(folder):
    tok = GPT2Tokenizer.from_pretrained(folder)
    with pytest.raises(ValueError, match=r"tokenizer\.pad_token = tokenizer\.eos_token"):
        tok(["the", "the dog"], padding=True)
    tok.pad_token = tok.eos_token
    batch = tok(["the", "the dog"], padding=True)
    assert batch.input_ids[0] == [tok("the").input_ids[0], tok.eos_token_id]
    assert batch.attention_mask[0] == [1, 0]


def test_mask_swallows_the_space_before_it(roberta):
    assert roberta.tokenize("the <mask> dog") == ["the", "<mask>", "Ġdog"]


def test_a_mask_of_a_folder_keeps_what_the_folder_says_of_it(folder, tmp_path):
    tokens = {"4": {"content": "<mask>", "lstrip": False, "special": True}}
    for name in ("vocab.json", "merges.txt"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"added_tokens_decoder": tokens}))
    tok = RobertaTokenizer.from_pretrained(tmp_path)
    assert tok.tokenize("the <mask>") == ["the", "Ġ", "<mask>"]


def test_special_tokens_that_the_vocabulary_lacks_get_the_next_ids(tmp_path):
    write(tmp_path, ["a", "b", "Ġ", "ab"], ["a b"])
    tok = RobertaTokenizer.from_pretrained(tmp_path)
    assert (tok.bos_token_id, tok.eos_token_id, tok.unk_token_id) == (4, 5, 6)
    assert len(tok) == 9


def write(folder, tokens, merges):
    ids = {token: index for index, token in enumerate(tokens)}
    (folder / "vocab.json").write_text(json.dumps(ids))
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *merges, ""]))
    return folder


def test_a_byte_without_a_token_is_unknown(tmp_path):
    write(tmp_path, ["a", "b", "Ġ", "ab", "<unk>"], ["a b"])
    tok = RobertaTokenizer.from_pretrained(tmp_path)
    assert tok("abc ab", add_special_tokens=False).input_ids == [3, 4, 2, 3]
    assert tok.convert_tokens_to_ids("c") == 4


def test_the_merge_that_was_learned_first_comes_first(tmp_path):
    write(tmp_path, ["a", "b", "c", "ab", "bc"], ["b c", "a b"])
    assert GPT2Tokenizer.from_pretrained(tmp_path).tokenize("abc") == ["a", "bc"]


def test_the_first_line_of_merges_may_be_a_merge(tmp_path):
    write(tmp_path, ["a", "b", "ab"], [])
    (tmp_path / "merges.txt").write_text("a b")
    assert GPT2Tokenizer.from_pretrained(tmp_path).tokenize("ab") == ["ab"]


# Decoding


@pytest.mark.parametrize("family", FAMILIES)
def test_any_text_comes_back_with_all_its_spaces(folder, family):
    tok = family.from_pretrained(folder)
    for text in sentences(2, 100, [*WORDS, *ODD], ["", " ", " ."]):
        assert tok.decode(tok(text, add_special_tokens=False).input_ids) == text


def test_clean_up_happens_only_if_asked(gpt2):
    ids = gpt2("the dog , never .").input_ids
    assert gpt2.decode(ids) == "the dog , never ."
    assert gpt2.decode(ids, clean_up_tokenization_spaces=True) == "the dog, never."


def test_bytes_that_are_no_text_become_the_replacement_character(folder, gpt2):
    ids = gpt2("😀").input_ids
    assert gpt2.decode([ids[0], *gpt2("dog").input_ids]) == "\ufffddog"
    strict = GPT2Tokenizer.from_pretrained(folder, errors="ignore")
    assert strict.decode([ids[0], *gpt2("dog").input_ids]) == "dog"


def test_special_tokens_stand_in_the_text_as_they_are(roberta):
    ids = roberta("the dog<mask>").input_ids
    assert roberta.decode(ids) == "<s>the dog<mask></s>"
    assert roberta.decode(ids, skip_special_tokens=True) == "the dog"


def test_an_added_token_is_text_and_not_bytes(folder):
    # Each of its characters is the character of some byte, too.
    tok = GPT2Tokenizer.from_pretrained(folder)
    tok.add_tokens(["Übel"])
    assert tok.decode(tok("the Übel").input_ids) == "the Übel"


# Files


TEXTS = sentences(3, 100, [*WORDS, *ODD, *SPECIAL, END, "new"], ["", " ", "."])


def trained_json(folder, path, pairs, **changes):
    """Write tokenizer.json alone, as the library itself does, with changes in its entries."""
    from tokenizers import ByteLevelBPETokenizer

    trained = ByteLevelBPETokenizer(str(folder / "vocab.json"), str(folder / "merges.txt"))
    trained.save(str(path / "tokenizer.json"))
    content = json.loads((path / "tokenizer.json").read_text(encoding="utf-8"))
    merges = [m.split(" ") if isinstance(m, str) else m for m in content["model"]["merges"]]
    content["model"]["merges"] = merges if pairs else [" ".join(merge) for merge in merges]
    for name, values in changes.items():
        content[name] = {**(content[name] or {}), **values}
    (path / "tokenizer.json").write_text(json.dumps(content), encoding="utf-8")
    return path


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("pairs", [True, False])
def test_both_kinds_of_files_give_the_same_ids(folder, tmp_path, family, pairs):
    trained_json(folder, tmp_path, pairs)
    expected = family.from_pretrained(folder)(TEXTS)
    assert family.from_pretrained(tmp_path)(TEXTS) == expected


def test_truncation_and_padding_in_tokenizer_json_are_ignored(folder, roberta, tmp_path):
    truncation = {"max_length": 3, "strategy": "LongestFirst", "stride": 0, "direction": "Right"}
    padding = {"strategy": {"Fixed": 128}, "direction": "Right", "pad_to_multiple_of": None}
    padding |= {"pad_id": 1, "pad_type_id": 0, "pad_token": "<pad>"}
    trained_json(folder, tmp_path, True, truncation=truncation, padding=padding)
    assert RobertaTokenizer.from_pretrained(tmp_path)(TEXTS) == roberta(TEXTS)


def test_a_prefix_space_in_tokenizer_json_counts_unless_an_argument_is_given(folder, tmp_path):
    trained_json(folder, tmp_path, True, pre_tokenizer={"add_prefix_space": True})
    assert GPT2Tokenizer.from_pretrained(tmp_path).tokenize("dog") == ["Ġdog"]
    without = GPT2Tokenizer.from_pretrained(tmp_path, add_prefix_space=False)
    assert without.tokenize("dog") != ["Ġdog"]


@pytest.fixture(params=FAMILIES)
def changed(request, folder):
    """A tokenizer with nothing as it is by default."""
    tok = request.param.from_pretrained(
        folder, add_prefix_space=True, errors="ignore", model_max_length=12, padding_side="left"
    )
    tok.add_tokens([AddedToken("new", lstrip=True)])
    tok.add_special_tokens({"pad_token": "<p>", "additional_special_tokens": ["<x>"]})
    return tok


@pytest.mark.parametrize("left", ["vocab.json", "tokenizer.json"])
def test_a_saved_tokenizer_is_whole_with_either_kind_of_file(changed, tmp_path, left):
    changed.save_pretrained(tmp_path)
    for name in {"vocab.json", "tokenizer.json"} - {left}:
        (tmp_path / name).unlink()
    loaded = type(changed).from_pretrained(tmp_path)
    assert loaded(TEXTS, padding=True) == changed(TEXTS, padding=True)
    assert loaded.added_tokens_decoder == changed.added_tokens_decoder
    assert loaded.special_tokens_map == changed.special_tokens_map
    assert (loaded.model_max_length, loaded.settings["errors"]) == (12, "ignore")


def test_the_library_alone_gives_the_same_ids_from_a_saved_folder(changed, tmp_path):
    from tokenizers import Tokenizer

    changed.save_pretrained(tmp_path)
    library = Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    for text, second in zip(TEXTS, TEXTS[::-1], strict=True):
        assert library.encode(text, second).ids == changed(text, second).input_ids


def test_gpt2s_beginning_is_saved_too(folder, tmp_path):
    from tokenizers import Tokenizer

    tok = GPT2Tokenizer.from_pretrained(folder, add_bos_token=True)
    tok.save_pretrained(tmp_path)
    library = Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    ids = tok("the", "dog").input_ids
    assert GPT2Tokenizer.from_pretrained(tmp_path)("the", "dog").input_ids == ids
    assert library.encode("the", "dog").ids == ids


def test_saving_returns_the_paths_of_all_files(roberta, tmp_path):
    paths = roberta.save_pretrained(tmp_path / "new")
    assert sorted(paths) == sorted(str(path) for path in (tmp_path / "new").iterdir())
    names = [f"{tmp_path}/x-{name}" for name in ("vocab.json", "merges.txt", "tokenizer.json")]
    assert list(roberta.save_vocabulary(tmp_path, "x")) == names


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda tok: pickle.loads(pickle.dumps(tok))])
def test_a_tokenizer_can_be_copied_and_sent_to_another_process(roberta, duplicate):
    twin = duplicate(roberta)
    twin.add_tokens(["Übel"])
    assert twin("der Hund") == roberta("der Hund")
    assert twin.decode(twin("Übel").input_ids) == "<s>Übel</s>"
    assert twin("Übel") != roberta("Übel")


def test_without_the_library_the_command_that_installs_it_is_named(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install minibert2bert\[hub\]"):
        GPT2Tokenizer.from_pretrained(folder)


def test_both_files_are_needed(folder, tmp_path):
    (tmp_path / "vocab.json").write_bytes((folder / "vocab.json").read_bytes())
    with pytest.raises(FileNotFoundError, match=r"merges\.txt, or tokenizer\.json, .*vocab\.json"):
        GPT2Tokenizer.from_pretrained(tmp_path)


@pytest.mark.parametrize(
    ("merge", "message"),
    [("a x", "`x` out of vocabulary.*from one folder"), ("ab", "of two tokens, got 'ab'")],
)
def test_merges_that_do_not_fit_are_named(tmp_path, merge, message):
    write(tmp_path, ["a", "b", "ab"], [merge])
    with pytest.raises(ValueError, match=message):
        RobertaTokenizer.from_pretrained(tmp_path)


def test_a_vocabulary_that_is_no_object_is_refused(tmp_path):
    write(tmp_path, ["a"], [])
    (tmp_path / "vocab.json").write_text("[]")
    with pytest.raises(ValueError, match=r"vocab\.json must hold a JSON object, got list"):
        RobertaTokenizer.from_pretrained(tmp_path)


# Beside transformers


CALLS = [
    {},
    {"add_special_tokens": False},
    {"return_token_type_ids": True},
    {"padding": True},
    {"padding": "longest", "padding_side": "left", "pad_to_multiple_of": 8},
    {"padding": "max_length", "truncation": True, "max_length": 9},
    {"truncation": True, "max_length": 8},
]


@pytest.fixture(params=[(name, space) for name in ("Roberta", "GPT2") for space in (False, True)])
def both(request, folder):
    """Ours and that of transformers, with the same added tokens."""
    import transformers

    name, space = request.param
    reference = getattr(transformers, f"{name}Tokenizer")
    options = {"pad_token": "<pad>", "add_prefix_space": space}
    if name == "Roberta":
        # Version 5 lets <mask> swallow spaces only if it is told to.
        options["mask_token"] = transformers.AddedToken("<mask>", lstrip=True, special=True)
    reference = reference.from_pretrained(folder, **options)
    ours = {"Roberta": RobertaTokenizer, "GPT2": GPT2Tokenizer}[name]
    ours = ours.from_pretrained(folder, pad_token="<pad>", add_prefix_space=space)
    for tokenizer in (ours, reference):
        tokenizer.add_tokens(["new", "neu"])
    return ours, reference


@pytest.mark.parity
@pytest.mark.parametrize("options", CALLS)
def test_batches_equal_those_of_transformers(both, options):
    ours, reference = both
    pairs = [text or "the" for text in TEXTS[::-1]]
    assert ours(TEXTS, **options) == dict(reference(TEXTS, **options))
    assert ours(TEXTS, pairs, **options) == dict(reference(TEXTS, pairs, **options))


@pytest.mark.parity
@pytest.mark.parametrize("skip", [False, True])
def test_decoding_equals_that_of_transformers(both, skip):
    ours, reference = both
    for ids in reference(TEXTS)["input_ids"]:
        assert ours.decode(ids, skip) == reference.decode(ids, skip_special_tokens=skip)


@pytest.mark.parity
def test_tokens_and_special_ids_equal_those_of_transformers(both):
    ours, reference = both
    assert ours.get_vocab() == reference.get_vocab()
    assert set(ours.all_special_ids) == set(reference.all_special_ids)
    for text in TEXTS:
        # Version 5 shows the spaces that a token has swallowed.
        tokens = [t.strip() if "<mask>" in t else t for t in reference.tokenize(text)]
        assert ours.tokenize(text) == tokens


@pytest.mark.parity
def test_folders_go_to_transformers_and_come_back(both, tmp_path):
    ours, reference = both
    ours.save_pretrained(tmp_path / "ours")
    reference.save_pretrained(tmp_path / "reference")
    expected = dict(reference(TEXTS, TEXTS[::-1], padding=True))
    theirs = type(reference).from_pretrained(tmp_path / "ours")
    assert dict(theirs(TEXTS, TEXTS[::-1], padding=True)) == expected
    back = type(ours).from_pretrained(tmp_path / "reference")
    assert back(TEXTS, TEXTS[::-1], padding=True) == expected
