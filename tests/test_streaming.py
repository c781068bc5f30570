"""Answers that are handed on while they are written."""

import importlib.util
import threading
from queue import Empty

import numpy as np
import pytest
from model_support import small_pair
from table_model import TableModel
from text_support import KINDS, trained_folder

from minibert2bert import AutoTokenizer, TextIteratorStreamer, TextStreamer, pipeline
from minibert2bert.demo import DEMO_FOLDER
from minibert2bert.generation.call_arguments import CallArguments
from minibert2bert.generation.config import GenerationConfig
from minibert2bert.generation.strategies import generate_ids

TEXT = "My sister is reading a long letter."
ANSWER = "Meine Schwester liest einen langen Brief."
IDS = np.array([[5, 6, 7]])
NEEDS_TOKENIZERS = pytest.mark.skipif(
    importlib.util.find_spec("tokenizers") is None, reason="needs minibert2bert[hub]"
)


class Pieces(TextStreamer):
    """A streamer that keeps what it would print, and None at the end."""

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.pieces = []

    def on_finalized_text(self, text, stream_end=False):
        self.pieces += [text, None] if stream_end else [text]


class Calls:
    """A streamer that keeps what it is given."""

    def __init__(self):
        self.calls = []

    def put(self, value):
        self.calls.append(value.tolist())

    def end(self):
        self.calls.append("end")


class Characters:
    """A tokenizer whose ids are the code points of characters."""

    def decode(self, ids, upper=False):
        text = "".join(map(chr, ids))
        return text.upper() if upper else text


def pieces_of(text, **options):
    streamer = Pieces(Characters(), **options)
    for character in text:
        streamer.put(np.array([ord(character)]))
    streamer.end()
    return streamer.pieces


@pytest.fixture(scope="module")
def tokenizer():
    return AutoTokenizer.from_pretrained(DEMO_FOLDER)


@pytest.fixture(scope="module")
def translate():
    return pipeline("text2text-generation")


def test_letters_and_digits_are_printed_at_once_and_other_signs_with_the_next_space():
    assert pieces_of("a1 -b c") == ["a", "1", " ", "", "", "-b ", "c", "", None]


def test_an_ideograph_and_a_line_end_let_everything_out():
    assert pieces_of("-漢-\n-") == ["", "-漢", "", "-\n", "", "-", None]


def test_what_is_still_kept_back_comes_with_the_end():
    assert pieces_of("(a") == ["", "", "(a", None]
    assert pieces_of("") == ["", None]


def test_options_of_decode_reach_the_tokenizer():
    assert pieces_of("ab", upper=True) == ["A", "B", "", None]


def test_a_prompt_is_skipped_if_that_is_asked_and_in_each_answer_anew():
    streamer = Pieces(Characters(), skip_prompt=True)
    for _ in range(2):
        streamer.put(np.array([[ord("P")]]))
        streamer.put(np.array([ord("a")]))
        streamer.end()
    assert streamer.pieces == ["a", "", None] * 2


def test_several_answers_at_once_are_refused():
    with pytest.raises(ValueError, match="one answer, got 2; generate them one by one"):
        TextStreamer(Characters()).put(np.array([[1], [2]]))


def test_a_text_is_printed_with_a_line_end_after_it(translate, capsys):
    streamer = TextStreamer(translate.tokenizer, skip_prompt=True, skip_special_tokens=True)
    translate(TEXT, streamer=streamer)
    assert capsys.readouterr().out == ANSWER + "\n"


def test_the_prompt_comes_first_then_a_token_of_each_row_and_then_the_end():
    streamer = Calls()
    found = small_pair().generate(
        np.repeat(IDS, 2, axis=0), streamer=streamer, max_new_tokens=3, eos_token_id=16
    )
    assert streamer.calls == [found[:, :1].tolist(), *found[:, 1:].T.tolist(), "end"]


def test_a_streamer_changes_nothing():
    prompt = np.array([[2], [3]])
    config = GenerationConfig(max_new_tokens=6, eos_token_id=1)
    alone = generate_ids(TableModel(0), prompt, config).sequences
    call = CallArguments(streamer=Calls())
    np.testing.assert_array_equal(
        generate_ids(TableModel(0), prompt, config, call).sequences, alone
    )


def test_an_error_ends_the_stream_too():
    def fail(ids, scores):
        raise RuntimeError("in the middle")

    streamer = Calls()
    with pytest.raises(RuntimeError, match="in the middle"):
        small_pair().generate(IDS, streamer=streamer, stopping_criteria=[fail])
    assert streamer.calls[-1] == "end"
    with pytest.raises(ValueError, match="no option nonsense"):
        small_pair().generate(IDS, streamer=streamer, nonsense=1)
    assert streamer.calls[-2:] == ["end", "end"]


def test_pieces_can_be_iterated_over_while_a_thread_generates(translate):
    streamer = TextIteratorStreamer(
        translate.tokenizer, skip_prompt=True, timeout=60, skip_special_tokens=True
    )
    thread = threading.Thread(target=translate, args=(TEXT,), kwargs={"streamer": streamer})
    thread.start()
    pieces = list(streamer)
    thread.join()
    assert "".join(pieces) == ANSWER
    assert len(pieces) > 4


def test_waiting_for_a_piece_ends_with_the_timeout():
    streamer = TextIteratorStreamer(Characters(), timeout=0.01)
    with pytest.raises(Empty):
        next(streamer)


def test_an_iteration_ends_where_an_error_ended_the_answer():
    streamer = TextIteratorStreamer(Characters(), timeout=60)
    with pytest.raises(ValueError, match="no option nonsense"):
        small_pair().generate(IDS, streamer=streamer, nonsense=1)
    assert list(streamer) == [""]


@pytest.mark.parity
@NEEDS_TOKENIZERS
@pytest.mark.usefixtures("quiet_transformers")
@pytest.mark.parametrize("skip_prompt", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_pieces_are_those_of_transformers(kind, skip_prompt, tmp_path, rng):
    import torch
    import transformers

    class Theirs(transformers.TextStreamer):
        pieces = ()

        def on_finalized_text(self, text, stream_end=False):
            self.pieces = (*self.pieces, text, None) if stream_end else (*self.pieces, text)

    tokenizer = kind.from_pretrained(trained_folder(kind, tmp_path))
    streamers = Pieces(tokenizer, skip_prompt), Theirs(tokenizer, skip_prompt)
    for _ in range(20):
        ids = rng.integers(len(tokenizer), size=12)
        for streamer, tensor in zip(streamers, (np.asarray, torch.tensor), strict=True):
            streamer.put(tensor(ids[None, :2]))
            for token in ids[2:]:
                streamer.put(tensor([token]))
            streamer.end()
    assert streamers[0].pieces == list(streamers[1].pieces)
