"""When a sequence is finished: by time, by a text, by the caller's own criteria."""

import importlib.util
from functools import partial

import numpy as np
import pytest
from parity_support import quietly
from table_model import TableModel
from test_search_parity import ReferenceModel, trimmed
from text_support import KINDS, trained_folder

from minibert2bert import AutoTokenizer
from minibert2bert.demo import DEMO_FOLDER
from minibert2bert.generation.call_arguments import CallArguments
from minibert2bert.generation.config import GenerationConfig
from minibert2bert.generation.settings import resolve
from minibert2bert.generation.stop_strings import StopStrings
from minibert2bert.generation.stopping import is_finished, stopping_criteria
from minibert2bert.generation.strategies import generate_ids

PROMPT = np.array([[2], [2]])
NEEDS_TOKENIZERS = pytest.mark.skipif(
    importlib.util.find_spec("tokenizers") is None, reason="needs minibert2bert[hub]"
)


def settings_of(**options):
    return resolve(GenerationConfig(**options), prompt_length=1)


@pytest.fixture(scope="module")
def tokenizer():
    return AutoTokenizer.from_pretrained(DEMO_FOLDER)


def ids_of(tokenizer, text):
    return np.array([tokenizer(text)["input_ids"]])


def test_time_is_looked_at_after_each_token_and_counts_from_the_start():
    now = iter([100.0, 100.5, 101.0, 101.1])
    criteria = stopping_criteria(settings_of(max_time=1.0), clock=lambda: next(now))
    answers = [is_finished(criteria, PROMPT).tolist() for _ in range(3)]
    assert answers == [[False, False], [False, False], [True, True]]


def test_the_shortest_time_still_gives_one_token():
    config = GenerationConfig(max_time=1e-9, max_new_tokens=5, eos_token_id=1)
    assert generate_ids(TableModel(0), PROMPT, config).sequences.shape == (2, 2)


def test_a_row_ends_with_the_token_that_completes_a_text(tokenizer):
    ids = ids_of(tokenizer, "Meine Schwester liest einen langen Brief.")
    criterion = StopStrings(["liest ein"], tokenizer)
    ends = [bool(criterion(ids[:, :end], None)[0]) for end in range(1, ids.shape[1] + 1)]
    first = ends.index(True)
    assert tokenizer.decode(ids[0, : first + 1]).startswith("Meine Schwester liest ein")
    assert "liest ein" not in tokenizer.decode(ids[0, :first])
    assert sum(ends) == 1


class Syllables:
    """A tokenizer whose tokens stand one after the other, without spaces."""

    tokens = ("ba", "nd", "band", "nding", "hus", "b", "andry", "it", "s", "a", "n", "d", "ban")

    def __len__(self):
        return len(self.tokens)

    def __call__(self, text, add_special_tokens):
        return {"input_ids": [0]}

    def convert_ids_to_tokens(self, ids):
        return [self.tokens[index] for index in ids]

    def convert_tokens_to_string(self, tokens):
        return "".join(tokens)


@pytest.mark.parametrize(
    ("tokens", "ends"),
    [
        ("ba nd", True),
        ("band", True),
        ("ban d", True),
        ("b a n d", True),
        ("ba nding", True),
        ("hus band", True),
        ("hus b andry", True),
        ("band it", False),
        ("ba nd s", False),
        ("ba s nd", False),
    ],
)
def test_a_text_may_begin_and_end_within_tokens_but_must_reach_the_newest(tokens, ends):
    ids = [Syllables.tokens.index(token) for token in tokens.split()]
    assert StopStrings("band", Syllables())(np.array([ids]), None).tolist() == [ends]


def test_each_row_has_its_own_end_and_any_of_the_texts_will_do(tokenizer):
    words = [tokenizer(word)["input_ids"][-1] for word in ("Brief", "Schwester", "Haus")]
    ids = np.array(words)[:, None]
    tails = [tokenizer.decode([word])[-3:] for word in words]
    assert StopStrings([tails[0], tails[2]], tokenizer)(ids, None).tolist() == [True, False, True]


def test_ids_that_the_tokenizer_lacks_are_no_text(tokenizer):
    newest = ids_of(tokenizer, "Brief")[0, -1]
    end = tokenizer.decode([newest])[-1]
    ids = np.array([[len(tokenizer), newest], [-1, newest], [newest, len(tokenizer)]])
    assert StopStrings(end, tokenizer)(ids, None).tolist() == [True, True, False]
    interrupted = np.array([[0, len(Syllables.tokens), 1]])
    assert not StopStrings("band", Syllables())(interrupted, None)[0]


@pytest.mark.parametrize("answer", [True, [True, True], np.array([True, True])])
def test_a_criterion_may_answer_for_all_rows_or_for_each(answer):
    assert is_finished([lambda ids, scores: answer], PROMPT).tolist() == [True, True]


@pytest.mark.parametrize("answer", [np.ones((2, 1), dtype=bool), [True], [1.0, 0.0], None])
def test_an_answer_of_another_form_is_refused(answer):
    with pytest.raises(ValueError, match="a boolean for each of the 2 rows, got"):
        is_finished([lambda ids, scores: answer], PROMPT)


def stop_row_0_after_two(ids, scores):
    return np.array([ids.shape[1] > 2, ids.shape[1] > 4])


def test_without_an_eos_a_row_that_is_finished_goes_on_until_all_are():
    call = CallArguments(stopping_criteria=[stop_row_0_after_two])
    alone = generate_ids(TableModel(3), PROMPT, GenerationConfig(max_length=5)).sequences
    found = generate_ids(TableModel(3), PROMPT, GenerationConfig(max_length=9), call).sequences
    np.testing.assert_array_equal(found, alone)


def test_with_an_eos_a_row_that_is_finished_is_padded():
    call = CallArguments(stopping_criteria=[stop_row_0_after_two])
    config = GenerationConfig(max_length=9, eos_token_id=99, pad_token_id=0)
    found = generate_ids(TableModel(3), PROMPT, config, call).sequences
    assert found[0, 3:].tolist() == [0, 0]
    assert found.shape == (2, 5)


def test_beams_that_meet_a_criterion_have_ended():
    call = CallArguments(stopping_criteria=[lambda ids, scores: ids[:, -1] == 1])
    config = GenerationConfig(max_length=30, num_beams=3, num_return_sequences=3, pad_token_id=0)
    found = generate_ids(TableModel(5, end_bias=2.0), PROMPT, config, call).sequences
    last = [[token for token in row if token != 0][-1] for row in found.tolist()]
    assert found.shape[1] < 30
    assert set(last) == {1}


@pytest.mark.parity
@NEEDS_TOKENIZERS
@pytest.mark.usefixtures("quiet_transformers")
@pytest.mark.parametrize("kind", KINDS)
def test_stop_strings_end_the_same_rows_as_in_transformers(kind, tmp_path, rng):
    import torch
    import transformers
    from transformers.generation.stopping_criteria import StopStringCriteria

    folder = trained_folder(kind, tmp_path)
    ours = kind.from_pretrained(folder)
    theirs = quietly(getattr(transformers, kind.__name__).from_pretrained, folder)
    ends = 0
    for _ in range(12):
        rows = rng.integers(len(ours), size=(30, 8))
        text = ours.decode(rows[rng.integers(30)])
        cuts = np.sort(rng.integers(len(text) + 1, size=(2, 2)), axis=1)
        stops = [text[a : a + 9] for a, b in cuts if a < b] or ["e"]
        expected = quietly(StopStringCriteria, theirs, stops)
        criterion = StopStrings(stops, ours)
        for length in range(1, 9):
            found = criterion(rows[:, :length], None)
            wanted = expected(torch.tensor(rows[:, :length]), None).numpy()
            np.testing.assert_array_equal(found, wanted, str(stops))
            ends += found.sum()
    assert ends > 0


def ends_in(ids, scores, last):
    """A criterion for both: the newest token is one of `last`."""
    return (ids[:, -1:] == last).any(1)


@pytest.mark.parity
@pytest.mark.usefixtures("quiet_transformers")
@pytest.mark.parametrize("beams", [1, 3])
@pytest.mark.parametrize("eos", [None, 1])
def test_criteria_of_the_caller_end_searches_as_in_transformers(beams, eos, rng):
    options = {"num_beams": beams, "eos_token_id": eos, "max_length": 12, "pad_token_id": 0}
    options |= {"decoder_start_token_id": 2, "early_stopping": beams > 1}
    for _ in range(5):
        model = ReferenceModel(rng, 1.0, ends=[1])
        prompt = np.full((len(model.source), 1), 2)
        last = rng.choice(17, size=5, replace=False)
        theirs = {**options, "stopping_criteria": [partial(ends_in, last=model.tensor(last))]}
        expected = quietly(model.generate, prompt, np.ones_like(prompt), theirs)
        call = CallArguments(stopping_criteria=[partial(ends_in, last=last)])
        found = generate_ids(model, prompt, GenerationConfig(**options), call).sequences
        assert trimmed(found, 1, options) == trimmed(expected, 1, options)
