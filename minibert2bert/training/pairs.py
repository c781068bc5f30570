"""From examples to pairs of ids: what a tokenizer makes of sources and targets."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from minibert2bert.examples import Example
from minibert2bert.training.batches import Pair

Rows = list[list[int]]


class Tokenized(NamedTuple):
    """Examples as ids, and how many texts were too long.

    Attributes:
        pairs: a source and labels, for each reference of each example
        cut_sources: how many sources were cut
        cut_targets: how many targets were cut
    """

    pairs: list[Pair]
    cut_sources: int
    cut_targets: int


def tokenize_examples(
    examples: Sequence[Example],
    tokenizer: Any,
    target_tokenizer: Any,
    max_source_length: int,
    max_target_length: int,
) -> Tokenized:
    """Turn examples into what a model trains on.

    Args:
        examples: of which every reference makes a pair of its own
        tokenizer: of the sources
        target_tokenizer: of the targets
        max_source_length: the most ids of a source; longer ones are cut, and counted.
        max_target_length: the most labels of a target, the end token included; likewise
    """
    texts = [(example.source, target) for example in examples for target in example.references]
    sources, cut_sources = source_rows(tokenizer, [s for s, _ in texts], max_source_length)
    labels, cut_targets = label_rows(target_tokenizer, [t for _, t in texts], max_target_length)
    return Tokenized(list(zip(sources, labels, strict=True)), cut_sources, cut_targets)


def source_rows(tokenizer: Any, texts: Sequence[str], longest: int) -> tuple[Rows, int]:
    """Turn sources into ids, cut where a model can read no further.

    Args:
        tokenizer: of the sources
        texts: the sources
        longest: the most ids of a row

    Returns:
        rows: of 1 to longest ids; count: how many were cut

    Raises:
        ValueError: if a source has no tokens.
    """
    rows: Rows = tokenizer(list(texts))["input_ids"]
    if [] in rows:
        index = rows.index([])
        raise ValueError(
            f"example {index + 1} has no tokens, got the source {texts[index]!r}; leave it out"
        )
    too_long = [index for index, row in enumerate(rows) if len(row) > longest]
    for index in too_long:
        # Not a slice of the row, for a template ends it with a token of its own.
        rows[index] = tokenizer(texts[index], truncation=True, max_length=longest)["input_ids"]
    return rows, len(too_long)


def label_rows(tokenizer: Any, texts: Sequence[str], longest: int) -> tuple[Rows, int]:
    """Turn targets into labels: their ids, and the end token if the template has none.

    A start token that the template puts in front is left out: the decoder is given it, and has
    not to predict it.

    Args:
        tokenizer: of the targets
        texts: the targets
        longest: the most ids of a row; one that is cut has no end token.

    Returns:
        rows: of 1 to longest ids; count: how many were cut
    """
    start, end = start_and_end(tokenizer)
    rows: Rows = tokenizer(text_target=list(texts))["input_ids"]
    bare = [row[1:] if row[:1] == [start] else row for row in rows]
    ended = [row if row[-1:] == [end] else [*row, end] for row in bare]
    return [row[:longest] for row in ended], sum(len(row) > longest for row in ended)


def start_and_end(tokenizer: Any) -> tuple[int | None, int]:
    """Find the tokens that a text starts and ends with: <s> and </s>, or [CLS] and [SEP].

    Args:
        tokenizer: of the targets
    """
    start, end = tokenizer.bos_token_id, tokenizer.eos_token_id
    if start is None:
        start = getattr(tokenizer, "cls_token_id", None)
    return start, tokenizer.sep_token_id if end is None else end
