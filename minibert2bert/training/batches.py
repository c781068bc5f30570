"""Rows of ids made into padded batches, in an order that the seed and the epoch decide."""

import zlib
from collections.abc import Sequence

import numpy as np

from minibert2bert.arrays import Array
from minibert2bert.components.loss import IGNORE

Pair = tuple[Sequence[int], Sequence[int]]
"""The ids of a source, and the labels of its target: its ids and the end token."""

ORDER, DROPOUT = 0, 1
"""Which stream of random numbers the seed starts."""
BATCHES_IN_A_POOL = 50


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


def count_targets(pairs: Sequence[Pair]) -> int:
    """Count the labels that the loss is the mean over.

    Args:
        pairs: sources and labels
    """
    return sum(int((np.asarray(labels) != IGNORE).sum()) for _, labels in pairs)


def epoch_batches(lengths: Array, batch_size: int, seed: int, epoch: int) -> list[Array]:
    """Say which pairs make the batches of an epoch, from nothing but the arguments.

    So a run that was interrupted goes on in the middle of an epoch without remembering how it got
    there. Pairs are sorted by length within pools of 50 batches: little of a batch is padding, and
    the batches still differ from epoch to epoch.

    Args:
        lengths: int (pairs, any number of keys), sorted by the first key first
        batch_size: B; what is left over at the end is one smaller batch.
        seed: of the order
        epoch: 0 for the first

    Returns:
        indices: ceil(pairs / B) arrays of at most B indices
    """
    rng = np.random.default_rng([seed, ORDER, epoch])
    order = rng.permutation(len(lengths))
    pool_size = BATCHES_IN_A_POOL * batch_size
    pools = [order[i : i + pool_size] for i in range(0, len(order), pool_size)]
    by_length = [pool[np.lexsort(lengths[pool].T[::-1])] for pool in pools]
    batches = [p[i : i + batch_size] for p in by_length for i in range(0, len(p), batch_size)]
    return [batches[index] for index in rng.permutation(len(batches))]


def pair_lengths(pairs: Sequence[Pair]) -> Array:
    """Measure what epoch_batches sorts by.

    Args:
        pairs: sources and labels

    Returns:
        lengths: int (pairs, 2), first of the labels, then of the source
    """
    return np.array([(len(labels), len(source)) for source, labels in pairs], dtype=np.int64)


def share_of_process(pairs: Sequence[Pair], rank: int, size: int) -> list[Pair]:
    """Deal the pairs of a batch out like cards, so that the processes have as much to do.

    Args:
        pairs: a batch
        rank: of this process
        size: number of processes
    """
    return list(pairs[rank::size])


def micro_batches(pairs: Sequence[Pair], count: int) -> list[Sequence[Pair]]:
    """Cut pairs into at most count pieces, of equal length but for the last, and none empty.

    Args:
        pairs: the share of a process
        count: gradient_accumulation_steps
    """
    length = max(1, -(-len(pairs) // count))
    return [pairs[start : start + length] for start in range(0, len(pairs), length)]


def dropout_seed(seed: int, step: int, piece: int) -> int:
    """Derive the seed of the dropout masks of a micro-batch.

    It follows from the step alone, so that resuming needs no generator's history.

    Args:
        seed: of the run
        step: 0 for the first
        piece: number of the micro-batch among those of all processes
    """
    return int(np.random.SeedSequence([seed, DROPOUT, step, piece]).generate_state(1, np.uint64)[0])


def fingerprint(pairs: Sequence[Pair]) -> int:
    """Tell one list of pairs from another by a number of 32 bits.

    Args:
        pairs: sources and labels
    """
    checksum = 0
    for pair in pairs:
        for ids in pair:
            checksum = zlib.crc32(len(ids).to_bytes(8, "little"), checksum)
            checksum = zlib.crc32(np.asarray(ids, np.int64).tobytes(), checksum)
    return checksum
