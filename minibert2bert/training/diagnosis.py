"""Warnings about data that would train without an error, and to no use.

Each function looks for one mistake and returns a message, or None if all is well. A message says
what was seen, why it is bad, and the way out.
"""

from collections.abc import Sequence
from itertools import chain

import numpy as np

from minibert2bert.components.loss import IGNORE
from minibert2bert.models.config import EncoderDecoderConfig
from minibert2bert.models.encoder_decoder import EncoderDecoderModel
from minibert2bert.training.batches import Pair, make_batch

Rows = Sequence[Sequence[int]]
"""The labels of several pairs: lists of ids, or the rows of an array."""

MOST_IGNORED = 0.8


def diagnose(pairs: Sequence[Pair], config: EncoderDecoderConfig) -> list[str]:
    """Look at some pairs for all mistakes that can be seen in labels.

    Args:
        pairs: those of the first step
        config: decoder_start_token_id, pad_token_id, eos_token_id

    Returns:
        messages: one for each mistake
    """
    labels = [row for _, row in pairs]
    found = (
        start_token_in_labels(labels, config.decoder_start_token_id),
        padding_in_labels(labels, config.pad_token_id, config.eos_token_id),
        mostly_ignored(labels),
    )
    return [message for message in found if message is not None]


def start_token_in_labels(labels: Rows, decoder_start_token_id: int | None) -> str | None:
    """Tell if most labels begin with the token that the decoder is given as its first.

    Args:
        labels: of some pairs
        decoder_start_token_id: of the config

    Returns:
        message: None if all is well
    """
    starts = sum(int(row[0]) == decoder_start_token_id for row in labels if len(row))
    if starts <= len(labels) / 2:
        return None
    return (
        f"the labels of {starts} of {len(labels)} pairs begin with decoder_start_token_id "
        f"{decoder_start_token_id}. The decoder is given this token before the labels, so it "
        "learns to write it a second time, and generated text begins with it; drop the first "
        "label of each pair, or tokenize the targets with add_special_tokens=False and append "
        "the end token"
    )


def padding_in_labels(
    labels: Rows, pad_token_id: int | None, eos_token_id: int | list[int] | None = None
) -> str | None:
    """Tell if labels end with padding that counts.

    Args:
        labels: of some pairs
        pad_token_id: of the config
        eos_token_id: of the config; one such token at the end is no padding.

    Returns:
        message: None if all is well
    """
    ends = eos_token_id if isinstance(eos_token_id, list) else [eos_token_id]
    tail = 2 if pad_token_id in ends else 1
    padded = sum(
        len(row) > tail and all(int(label) == pad_token_id for label in row[-tail:])
        for row in labels
    )
    if not padded:
        return None
    return (
        f"the labels of {padded} of {len(labels)} pairs end with pad_token_id {pad_token_id}. "
        "Padding counts in the loss like a word, so the model is rewarded for writing it and the "
        f"loss looks better than it is; leave the padding out, or replace it by {IGNORE}"
    )


def mostly_ignored(labels: Rows) -> str | None:
    """Tell if more than 80 percent of the labels do not count.

    Args:
        labels: of some pairs

    Returns:
        message: None if all is well
    """
    flat = np.fromiter(chain.from_iterable(labels), dtype=np.int64)
    share = float((flat == IGNORE).mean()) if flat.size else 0.0
    if share <= MOST_IGNORED:
        return None
    return (
        f"{share:.0%} of {flat.size} labels are {IGNORE} and do not count. Most of the decoder's "
        "work is done for nothing, and the few others may not be the ones that were meant; look "
        f"at what is replaced by {IGNORE}, and cut the labels after the last one that counts"
    )


def sizes_differ(tokenizer_size: int, config: EncoderDecoderConfig, side: str) -> str | None:
    """Tell if a tokenizer and an embedding do not have the same number of words.

    Args:
        tokenizer_size: len(tokenizer)
        config: of the pair
        side: "encoder" or "decoder", whose tokenizer it is

    Returns:
        message: None if all is well
    """
    vocab_size = int(getattr(config, side).vocab_size)
    if tokenizer_size == vocab_size:
        return None
    if tokenizer_size > vocab_size:
        why = "Ids from there on have no embedding and are an error when they come"
    else:
        why = (
            "Some embeddings are never used, or, worse, the tokenizer is another model's and "
            "every id means another word"
        )
    return (
        f"the tokenizer has {tokenizer_size} tokens, the {side} embeddings for {vocab_size}. "
        f"{why}; load tokenizer and {side} from the same folder, or, after adding tokens, call "
        f"model.resize_token_embeddings(len(tokenizer), side={side!r})"
    )


def check_pairs(pairs: Sequence[Pair]) -> None:
    """Refuse pairs that have nothing to read or nothing to predict.

    Args:
        pairs: sources and labels

    Raises:
        ValueError: if there are none, or one is empty; the message names the first.
    """
    if not len(pairs):
        raise ValueError("train needs at least one pair of source and labels, got none")
    for number, (source, labels) in enumerate(pairs):
        if not len(source) or all(label == IGNORE for label in labels):
            what = "source is empty" if not len(source) else "labels hold nothing to predict"
            raise ValueError(f"pair {number} is of no use: its {what}; leave it out")


def rehearse(model: EncoderDecoderModel, pairs: Sequence[Pair]) -> None:
    """Have the model read the pairs that it is most likely to refuse, before the long run.

    Those are the ones with the longest rows and with the greatest ids.

    Args:
        model: an encoder-decoder
        pairs: sources and labels

    Raises:
        ValueError: if a pair is too long or holds an id that the model does not know.
    """
    keys = (_source_length, _labels_length, _greatest_source_id, _greatest_label)
    pad = model.config.required_id("pad_token_id", "pad_token_id")
    for pair in {id(pair): pair for pair in (max(pairs, key=key) for key in keys)}.values():
        batch = make_batch([pair], pad)
        model(batch["input_ids"], batch["attention_mask"], labels=batch["labels"])


def _source_length(pair: Pair) -> int:
    return len(pair[0])


def _labels_length(pair: Pair) -> int:
    return len(pair[1])


def _greatest_source_id(pair: Pair) -> int:
    return int(max(pair[0]))


def _greatest_label(pair: Pair) -> int:
    return int(max(pair[1]))
