"""The options that are lists: of ids, of words, of words with a bias, and the pair of the decay."""

import math
import re

import numpy as np
import pytest
from parity_support import quietly

from minibert2bert.generation.config import GenerationConfig

GOOD = [
    ("bad_words_ids", [[5], [7, 8]]),
    ("bad_words_ids", ((5,), (np.int64(7), 8))),
    ("sequence_bias", {(7, 8): -10.0, (5,): -math.inf}),
    ("sequence_bias", [[[7, 8], -10.0], [[5], 1.5]]),
    ("suppress_tokens", []),
    ("suppress_tokens", np.array([3, 4])),
    ("begin_suppress_tokens", (3, 4)),
    ("exponential_decay_length_penalty", (10, 1.05)),
    ("exponential_decay_length_penalty", [0, 2]),
]

BAD_FOR_BOTH = [
    ("bad_words_ids", []),
    ("bad_words_ids", [5]),
    ("bad_words_ids", [[-1]]),
    ("bad_words_ids", [[1.5]]),
    ("bad_words_ids", "no"),
    ("sequence_bias", {}),
    ("sequence_bias", []),
    ("sequence_bias", {5: 1.0}),
    ("sequence_bias", {(): 1.0}),
    ("sequence_bias", {(-1,): 1.0}),
    ("sequence_bias", {(5,): 1}),
    ("sequence_bias", [[[5], 1]]),
    ("sequence_bias", [[5, 1.0]]),
]

BAD_HERE = [
    ("bad_words_ids", [[5], []]),
    ("sequence_bias", {(5,): math.nan}),
    ("sequence_bias", {(5,): math.inf}),
    ("sequence_bias", [[[5]]]),
    ("suppress_tokens", 5),
    ("suppress_tokens", [1.5]),
    ("suppress_tokens", [-1]),
    ("begin_suppress_tokens", ["a"]),
    ("exponential_decay_length_penalty", 1.05),
    ("exponential_decay_length_penalty", (10,)),
    ("exponential_decay_length_penalty", (-1, 1.05)),
    ("exponential_decay_length_penalty", (1.5, 1.05)),
    ("exponential_decay_length_penalty", (10, 0.0)),
    ("exponential_decay_length_penalty", (10, math.nan)),
]


@pytest.mark.parametrize(("name", "value"), GOOD)
def test_what_the_option_may_be_is_taken_as_it_is(name, value):
    assert getattr(GenerationConfig(**{name: value}), name) is value


@pytest.mark.parametrize(("name", "value"), BAD_FOR_BOTH + BAD_HERE)
def test_what_it_may_not_be_is_refused_with_an_example_of_what_it_may(name, value):
    message = rf"^{name} must be a .*such as .*got {re.escape(repr(value))}"
    with pytest.raises(ValueError, match=message):
        GenerationConfig(**{name: value})


@pytest.mark.parity
@pytest.mark.usefixtures("quiet_transformers")
@pytest.mark.parametrize(("name", "value"), BAD_FOR_BOTH)
def test_the_reference_refuses_the_same(name, value):
    from transformers.generation import logits_process

    processor = {
        "bad_words_ids": logits_process.NoBadWordsLogitsProcessor,
        "sequence_bias": logits_process.SequenceBiasLogitsProcessor,
    }[name]
    with pytest.raises((ValueError, TypeError)):
        quietly(processor, value)
