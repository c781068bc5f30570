"""Batches: padding, labels, and an order that is random but reproducible."""

import numpy as np

from minibert2bert.training.batches import make_batch, shuffled_batches


def random_pairs(count, seed=0):
    rng = np.random.default_rng(seed)
    lengths = rng.integers(1, 9, (count, 2))
    # The first id of a source tells which pair it is.
    return [([index, *[7] * (a - 1)], [5] * b) for index, (a, b) in enumerate(lengths)]


def test_sources_are_padded_with_pad_and_labels_with_ignore():
    batch = make_batch([([4, 5, 6], [7]), ([8], [9, 3])], pad_token_id=0)
    np.testing.assert_array_equal(batch["input_ids"], [[4, 5, 6], [8, 0, 0]])
    np.testing.assert_array_equal(batch["attention_mask"], [[1, 1, 1], [1, 0, 0]])
    np.testing.assert_array_equal(batch["labels"], [[7, -100], [9, 3]])


def test_the_mask_counts_tokens_even_if_one_is_the_pad_token():
    batch = make_batch([([0, 4], [1]), ([0], [1])], pad_token_id=0)
    np.testing.assert_array_equal(batch["attention_mask"], [[1, 1], [1, 0]])


def test_every_pair_comes_once_in_an_epoch():
    batches = list(shuffled_batches(random_pairs(103), 10, 0, np.random.default_rng(1)))
    seen = np.concatenate([batch["input_ids"][:, 0] for batch in batches])
    np.testing.assert_array_equal(np.sort(seen), np.arange(103))
    assert max(len(batch["input_ids"]) for batch in batches) == 10


def test_the_order_follows_from_the_seed_and_differs_between_epochs():
    def first_ids(rng):
        return [batch["input_ids"][0, 0] for batch in shuffled_batches(random_pairs(60), 6, 0, rng)]

    rng, again = np.random.default_rng(2), np.random.default_rng(2)
    first, second = first_ids(rng), first_ids(rng)
    assert first == first_ids(again)
    assert first != second


def test_batches_of_like_length_hold_little_padding():
    pairs = random_pairs(500, seed=3)
    batches = list(shuffled_batches(pairs, 10, 0, np.random.default_rng(4)))
    padding = sum((batch["labels"] == -100).sum() for batch in batches)
    assert padding / sum(batch["labels"].size for batch in batches) < 0.02
