"""Each warning is provoked, and stays silent where nothing is wrong."""

import numpy as np
import pytest
from model_support import END, PAD, START, small_pair

from minibert2bert.training.diagnosis import (
    check_pairs,
    diagnose,
    mostly_ignored,
    padding_in_labels,
    rehearse,
    sizes_differ,
    start_token_in_labels,
)

CONFIG = small_pair().config
CLEAN = [[5, 6, END], [7, END], [START, 8, END]]


def test_clean_labels_are_not_spoken_of():
    assert diagnose([([4], labels) for labels in CLEAN], CONFIG) == []


def test_every_mistake_gets_its_message():
    labels = [START, 5, *[-100] * 20, PAD]
    assert len(diagnose([([4], labels)], CONFIG)) == 3


def test_the_start_token_in_most_labels_is_told_of():
    message = start_token_in_labels([[START, 5], [START, 6], [7]], START)
    assert message.startswith("the labels of 2 of 3 pairs begin with decoder_start_token_id 2. ")
    assert "drop the first label" in message


@pytest.mark.parametrize("labels", [CLEAN, [[START, 5], [6]], [[5, START], [6, START]], [[], []]])
def test_a_start_token_now_and_then_is_none(labels):
    assert start_token_in_labels(labels, START) is None


def test_padding_that_counts_is_told_of():
    message = padding_in_labels([[5, END, PAD, PAD], [5, 6, 7, END], [5, 6, END, PAD]], PAD, END)
    assert message.startswith("the labels of 2 of 3 pairs end with pad_token_id 0. ")
    assert "replace it by -100" in message


def test_an_end_token_that_is_the_pad_token_is_padding_from_the_second_on():
    assert padding_in_labels([[5, PAD], [6, 7, PAD]], PAD, PAD) is None
    assert padding_in_labels([[5, PAD], [6, 7, PAD]], PAD, [END, PAD]) is None
    assert padding_in_labels([[5, PAD, PAD]], PAD, PAD) is not None


@pytest.mark.parametrize("labels", [CLEAN, [[5, PAD, 6, END]], [[5, END, -100, -100]], [[PAD]]])
def test_labels_without_padding_that_counts_are_not_spoken_of(labels):
    assert padding_in_labels(labels, PAD, END) is None


def test_many_ignored_labels_are_told_of():
    message = mostly_ignored(np.array([[5, END, *[-100] * 8], [6, *[-100] * 9]]))
    assert message.startswith("85% of 20 labels are -100 and do not count. ")
    assert "cut the labels" in message


def test_up_to_80_percent_of_ignored_labels_are_not_spoken_of():
    assert mostly_ignored([[5, -100, -100, -100, -100]]) is None
    assert mostly_ignored(CLEAN) is None
    assert mostly_ignored([[]]) is None


@pytest.mark.parametrize("side", ["encoder", "decoder"])
def test_a_tokenizer_and_an_embedding_of_different_sizes_are_told_of(side):
    larger, smaller = sizes_differ(18, CONFIG, side), sizes_differ(16, CONFIG, side)
    assert larger.startswith(f"the tokenizer has 18 tokens, the {side} embeddings for 17. Ids from")
    assert "another model's" in smaller
    assert f"resize_token_embeddings(len(tokenizer), side='{side}')" in larger
    assert sizes_differ(17, CONFIG, side) is None


def test_the_sizes_compared_are_those_of_the_side():
    config = small_pair(decoder={"vocab_size": 20}).config
    assert sizes_differ(20, config, "decoder") is None
    assert sizes_differ(20, config, "encoder") is not None


def test_pairs_that_hold_something_pass():
    check_pairs([([4], [5]), (np.array([4]), np.array([-100, 5]))])
    with pytest.raises(ValueError, match="pair 1 is of no use"):
        check_pairs([([4], [5]), ([4], [-100])])


@pytest.mark.parametrize("bad", [([4] * 17, [5]), ([4], [5] * 17), ([17], [5]), ([4], [17])])
def test_the_rehearsal_finds_the_pair_that_the_model_would_refuse(bad):
    good = [([4, 16], [5, 16]), ([4] * 16, [5] * 16)]
    rehearse(small_pair(), good)
    with pytest.raises(ValueError, match="17"):
        rehearse(small_pair(), [*good, bad, *good])
