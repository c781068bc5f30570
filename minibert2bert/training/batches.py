"""Rows of ids made into padded batches."""

from collections.abc import Iterator, Sequence

import numpy as np

from minibert2bert.arrays import Array
from minibert2bert.components.loss import IGNORE

Pair = tuple[Sequence[int], Sequence[int]]
"""The ids of a source, and the labels of its target: its ids and the end token."""


def pad_rows(rows: Sequence[Sequence[int]], filler: int) -> Array:
    """Fill the shorter rows up on the right.

    Args:
        rows: B rows of ids
        filler: what to fill up with

    Returns:
        ids: int64 (B, longest)
    """
    padded = np.full((len(rows), max(map(len, rows))), filler, dtype=np.int64)
    for index, row in enumerate(rows):
        padded[index, : len(row)] = row
    return padded


def make_batch(pairs: Sequence[Pair], pad_token_id: int) -> dict[str, Array]:
    """Pad the sources with pad_token_id and the labels with IGNORE.

    Args:
        pairs: B sources and labels
        pad_token_id: what the tokenizer fills up with

    Returns:
        input_ids (B, S), attention_mask (B, S) and labels (B, T), as model.loss takes them
    """
    sources, labels = zip(*pairs, strict=True)
    lengths = np.array([len(source) for source in sources])
    input_ids = pad_rows(sources, pad_token_id)
    return {
        "input_ids": input_ids,
        "attention_mask": (np.arange(input_ids.shape[1]) < lengths[:, None]).astype(np.int64),
        "labels": pad_rows(labels, IGNORE),
    }


def shuffled_batches(
    pairs: Sequence[Pair], batch_size: int, pad_token_id: int, rng: np.random.Generator
) -> Iterator[dict[str, Array]]:
    """Go once through the pairs in a random order, batches being of like length.

    Pairs are sorted by length within pools of 50 batches, so that little of a batch is padding
    and the batches still differ from epoch to epoch.

    Args:
        pairs: sources and labels
        batch_size: B; what is left over at the end is a smaller batch.
        pad_token_id: what the tokenizer fills up with
        rng: source of the order

    Yields:
        batches, see make_batch
    """
    lengths = np.array([(len(labels), len(source)) for source, labels in pairs])
    order = rng.permutation(len(pairs))
    pools = [order[i : i + 50 * batch_size] for i in range(0, len(order), 50 * batch_size)]
    by_length = [pool[np.lexsort(lengths[pool].T[::-1])] for pool in pools]
    groups = [p[i : i + batch_size] for p in by_length for i in range(0, len(p), batch_size)]
    for index in rng.permutation(len(groups)):
        yield make_batch([pairs[i] for i in groups[index]], pad_token_id)
