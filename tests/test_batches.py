"""Batches: padding, labels, and an order that the seed and the epoch decide."""

import numpy as np
import pytest

from minibert2bert.training.batches import (
    count_targets,
    dropout_seed,
    epoch_batches,
    fingerprint,
    make_batch,
    micro_batches,
    pair_lengths,
    share_of_process,
)


def lengths_of(count, seed=0):
    return np.random.default_rng(seed).integers(1, 9, (count, 2))


def test_sources_are_padded_with_pad_and_labels_with_ignore():
    batch = make_batch([([4, 5, 6], [7]), ([8], [9, 3])], pad_token_id=0)
    np.testing.assert_array_equal(batch["input_ids"], [[4, 5, 6], [8, 0, 0]])
    np.testing.assert_array_equal(batch["attention_mask"], [[1, 1, 1], [1, 0, 0]])
    np.testing.assert_array_equal(batch["labels"], [[7, -100], [9, 3]])


def test_the_mask_counts_tokens_even_if_one_is_the_pad_token():
    batch = make_batch([([0, 4], [1]), ([0], [1])], pad_token_id=0)
    np.testing.assert_array_equal(batch["attention_mask"], [[1, 1], [1, 0]])


def test_targets_are_the_labels_that_count():
    assert count_targets([([4], [5, -100, 6]), ([4], np.array([-100, 7]))]) == 3


@pytest.mark.parametrize("count", [1, 10, 103, 1234])
def test_every_pair_comes_once_in_an_epoch(count):
    batches = epoch_batches(lengths_of(count), 10, seed=1, epoch=0)
    np.testing.assert_array_equal(np.sort(np.concatenate(batches)), np.arange(count))
    sizes = sorted(map(len, batches))
    assert len(batches) == -(-count // 10)
    assert sizes[1:] == [10] * (len(batches) - 1)


def test_the_order_follows_from_seed_and_epoch_alone():
    def order(seed, epoch):
        return np.concatenate(epoch_batches(lengths_of(60), 6, seed, epoch)).tolist()

    assert order(2, 5) == order(2, 5)
    assert order(2, 5) != order(2, 6)
    assert order(2, 5) != order(3, 5)


def test_which_pairs_meet_in_a_batch_differs_between_epochs():
    first, second = (epoch_batches(np.ones((40, 2), int), 4, 0, epoch) for epoch in (0, 1))
    assert {frozenset(b.tolist()) for b in first} != {frozenset(b.tolist()) for b in second}


def test_batches_of_like_length_hold_little_padding():
    lengths = lengths_of(500, seed=3)
    batches = epoch_batches(lengths, 10, 4, 0)
    padding = sum(
        lengths[batch, 0].max() * len(batch) - lengths[batch, 0].sum() for batch in batches
    )
    assert padding / lengths[:, 0].sum() < 0.02


def test_pairs_are_sorted_by_their_labels_first():
    assert pair_lengths([([1, 2, 3], [4])]).tolist() == [[1, 3]]


@pytest.mark.parametrize("count", [1, 2, 7, 8, 9])
@pytest.mark.parametrize("pieces", [1, 3, 4])
def test_micro_batches_are_the_batch_cut_in_pieces(count, pieces):
    pairs = list(range(count))
    cut = micro_batches(pairs, pieces)
    assert [pair for piece in cut for pair in piece] == pairs
    assert len(cut) <= pieces
    assert min(map(len, cut)) > 0
    assert max(map(len, cut)) == -(-count // pieces)


@pytest.mark.parametrize("size", [1, 2, 3, 12])
def test_the_processes_share_a_batch_evenly_and_completely(size):
    shares = [share_of_process(list(range(10)), rank, size) for rank in range(size)]
    assert sorted(pair for share in shares for pair in share) == list(range(10))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_every_micro_batch_has_dropout_masks_of_its_own():
    seeds = [dropout_seed(s, t, p) for s in range(3) for t in range(5) for p in range(4)]
    assert len(set(seeds)) == len(seeds)
    assert dropout_seed(1, 2, 3) == dropout_seed(1, 2, 3)


def test_a_fingerprint_sees_every_id_and_where_a_row_ends():
    pairs = [([4, 5], [6]), ([7], [8])]
    others = [
        [([4, 5], [6]), ([7], [9])],
        [([4], [5, 6]), ([7], [8])],
        [([7], [8]), ([4, 5], [6])],
        pairs[:1],
    ]
    assert fingerprint(pairs) not in map(fingerprint, others)
    assert fingerprint(pairs) == fingerprint([(np.array(a, np.int32), tuple(b)) for a, b in pairs])
