import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import few_examples

from minibert2bert.components.loss import IGNORE, shift_tokens_right
from minibert2bert.components.masks import (
    Masks,
    causal_mask,
    decoder_mask,
    mask_from_labels,
    padding_mask,
)

PADDING = np.array([[1, 1, 1, 0, 0], [0, 1, 1, 1, 1], [1, 1, 1, 1, 1]])


@pytest.mark.parametrize("dtype", [bool, np.int64, np.float32])
def test_a_padding_mask_is_true_for_every_token_that_is_not_padding(dtype):
    mask = padding_mask(PADDING.astype(dtype))
    assert (mask.shape, mask.dtype) == ((3, 1, 1, 5), bool)
    for b, s in np.ndindex(PADDING.shape):
        assert mask[b, 0, 0, s] == (PADDING[b, s] == 1)


def test_any_number_but_zero_keeps_a_token():
    np.testing.assert_array_equal(
        padding_mask(np.array([[0.0, 0.5, -1.0, 2.0]]))[0, 0, 0], [False, True, True, True]
    )


@few_examples
@given(queries=st.integers(1, 6), cached=st.integers(0, 5))
def test_a_causal_mask_shows_itself_and_the_past(queries, cached):
    keys = queries + cached
    mask = causal_mask(queries, keys)
    assert (mask.shape, mask.dtype) == ((1, 1, queries, keys), bool)
    for t, s in np.ndindex(queries, keys):
        assert mask[0, 0, t, s] == (s <= t + keys - queries)


@few_examples
@given(queries=st.integers(1, 6), cached=st.integers(0, 5))
def test_a_cached_step_has_the_last_rows_of_the_whole_causal_mask(queries, cached):
    keys = queries + cached
    whole = causal_mask(keys, keys)
    np.testing.assert_array_equal(causal_mask(queries, keys), whole[:, :, -queries:])


@pytest.mark.parametrize("queries", [1, 2, 5])
def test_a_decoder_mask_hides_the_future_and_the_padding(queries):
    mask = decoder_mask(PADDING, queries, 5)
    assert mask.shape == (3, 1, queries, 5)
    for b, t, s in np.ndindex(3, queries, 5):
        assert mask[b, 0, t, s] == (s <= t + 5 - queries and PADDING[b, s] == 1)


def test_a_decoder_mask_without_padding_is_causal():
    np.testing.assert_array_equal(decoder_mask(None, 2, 5), causal_mask(2, 5))


def test_a_mask_from_labels_hides_what_follows_a_label_that_does_not_count():
    labels = np.array([[5, 6, 1, IGNORE], [5, IGNORE, 7, 1], [IGNORE, 5, 1, IGNORE]])
    expected = [[1, 1, 1, 1], [1, 1, 0, 1], [1, 0, 1, 1]]
    mask = mask_from_labels(labels)
    assert mask.dtype == bool
    np.testing.assert_array_equal(mask, np.array(expected, dtype=bool))


def test_a_mask_from_labels_sees_the_start_even_if_it_is_the_pad_token():
    labels = np.array([[5, 1, IGNORE, IGNORE]])
    inputs = shift_tokens_right(labels, pad_token_id=0, decoder_start_token_id=0)
    np.testing.assert_array_equal(inputs, [[0, 5, 1, 0]])
    np.testing.assert_array_equal(mask_from_labels(labels), [[True, True, True, False]])


def test_labels_are_unchanged():
    labels = np.array([[5, 1, IGNORE]])
    labels.flags.writeable = False
    mask_from_labels(labels)
    np.testing.assert_array_equal(labels, [[5, 1, IGNORE]])


def test_each_layer_gets_its_own_head_mask_and_the_same_other_masks():
    head_mask = np.arange(6.0).reshape(3, 2)
    masks = Masks(own=causal_mask(2, 2), encoder=padding_mask(PADDING), head_mask=head_mask)
    layer = masks.of_layer(1)
    np.testing.assert_array_equal(layer.head_mask, [2, 3])
    assert layer.own is masks.own
    assert layer.encoder is masks.encoder


def test_without_a_head_mask_every_layer_has_the_same_masks():
    masks = Masks(own=causal_mask(2, 2))
    assert masks.of_layer(1) is masks
