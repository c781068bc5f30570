"""A vocabulary cut to the pieces of a task: the kept words are read and written as before."""

import numpy as np
import pytest
from tiny_bert import CONFIG, PIECES, SPECIAL

from minibert2bert import BertModel, BertTokenizer
from minibert2bert.models.auto import AutoModelForCausalLM
from minibert2bert.reproduce.vocabulary_cut import cut_model, cut_tokenizer, pieces_to_keep

pytest.importorskip("tokenizers")


@pytest.fixture
def tokenizer(tmp_path):
    (tmp_path / "vocab.txt").write_text("\n".join(PIECES), encoding="utf-8")
    return BertTokenizer(tmp_path / "vocab.txt")


def ids_of(tokenizer, *pieces):
    return [tokenizer.convert_tokens_to_ids(piece) for piece in pieces]


def test_special_tokens_and_frequent_pieces_are_kept(tokenizer):
    kept = pieces_to_keep(tokenizer, ["red red cat", "red"], 3)
    assert set(kept) >= {*ids_of(tokenizer, *SPECIAL, "red")}
    assert not {*kept} & {*ids_of(tokenizer, "cat", "house", "unused", "##x")}
    assert kept == sorted(kept)


def test_a_word_that_lost_its_piece_is_spelt(tokenizer):
    kept = pieces_to_keep(tokenizer, ["red red red house cat"], 2)
    cut = cut_tokenizer(tokenizer, kept)
    assert cut.tokenize("red house") == ["red", "h", "##o", "##u", "##s", "##e"]
    assert cut.tokenize("zebra") == ["[UNK]"]


def test_a_cut_tokenizer_numbers_the_kept_pieces_in_their_order(tokenizer):
    kept = [*range(2), *range(3, 9), 20]
    cut = cut_tokenizer(tokenizer, kept)
    assert cut.get_vocab() == {PIECES[old]: new for new, old in enumerate(kept)}


def test_a_cut_tokenizer_has_the_settings_of_the_whole_one(tmp_path, tokenizer):
    cased = BertTokenizer(tmp_path / "vocab.txt", do_lower_case=False, model_max_length=9)
    cut = cut_tokenizer(cased, range(len(PIECES)))
    assert cut.tokenize("RED red") == ["[UNK]", "red"]
    assert cut.model_max_length == 9
    assert cut.special_tokens_map == cased.special_tokens_map


def test_the_states_of_kept_words_are_the_same():
    model = BertModel(CONFIG, np.random.default_rng(1))
    kept = [0, 1, 3, 4, 6, 8]
    cut = cut_model(model, kept)
    ids = np.array([[2, 4, 5, 3]])
    np.testing.assert_array_equal(
        cut(ids).last_hidden_state, model(np.array(kept)[ids]).last_hidden_state
    )
    assert cut.config.vocab_size == 6


def test_the_logits_of_kept_words_are_the_same():
    config = CONFIG.replace(is_decoder=True)
    decoder = AutoModelForCausalLM.from_config(config, rng=np.random.default_rng(2))
    bias = decoder.params["cls"]["predictions"]["bias"]
    bias[...] = np.random.default_rng(3).normal(size=bias.shape)
    kept = [0, 5, 7, 8, 11]
    ids = np.array([[1, 4, 2]])
    logits = cut_model(decoder, kept)(ids).logits
    expected = decoder(np.array(kept)[ids]).logits[..., kept]
    np.testing.assert_allclose(logits, expected, atol=1e-6)


def test_the_ids_in_a_config_move_with_their_words():
    model = BertModel(CONFIG.replace(pad_token_id=7), np.random.default_rng(0))
    assert cut_model(model, [1, 5, 7, 9]).config.pad_token_id == 2


def test_the_whole_model_is_untouched_by_the_cut():
    model = BertModel(CONFIG, np.random.default_rng(0))
    before = {name: array.copy() for name, array in model.parameters().items()}
    for array in cut_model(model, [0, 1, 2]).parameters().values():
        if array.shape[0] == 3:
            array[...] = 7
    assert model.config.vocab_size == len(PIECES)
    for name, array in model.parameters().items():
        np.testing.assert_array_equal(array, before[name])
