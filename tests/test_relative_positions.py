import functools
import math

import numpy as np
import pytest
from support import (
    SmallSettings,
    assert_backward_repeats,
    assert_float32_kept,
    assert_inputs_unchanged,
    assert_layout_irrelevant,
    softmax_in_loops,
    upstream,
)

from minibert2bert.components.masks import causal_mask, padding_mask
from minibert2bert.components.relative_positions import (
    distance_rows,
    relative_attention,
    table_product,
)
from minibert2bert.components.scaled_dot_product import scaled_dot_product_attention
from minibert2bert.inspection.gradient_check import check_gradients
from minibert2bert.recording import recording

B, N, D, P = 2, 3, 4, 6
KINDS = ["relative_key", "relative_key_query"]
SIZES = [(1, 1), (4, 4), (6, 6), (1, 5), (2, 5)]
HEAD_MASK = np.array([1.0, 0.25, 0.5])
both_kinds = pytest.mark.parametrize("kind", KINDS)


def example(queries, keys):
    """A table, and random query, key and value."""
    rng = np.random.default_rng(0)
    states = [rng.standard_normal((B, N, size, D)) for size in (queries, keys, keys)]
    return {"weight": rng.standard_normal((2 * P - 1, D))}, *states


def last_key_padded(keys):
    padding = np.ones((B, keys), dtype=int)
    if keys > 1:
        padding[1, -1] = 0
    return padding_mask(padding)


def relative(kind, **keywords):
    return functools.partial(
        relative_attention, config=SmallSettings(position_embedding_type=kind), **keywords
    )


def attention_in_loops(kind, params, query, key, value, mask):
    """The docstring's equation, with the query standing at the last keys."""
    queries, keys = query.shape[2], key.shape[2]
    mask = np.broadcast_to(mask, (B, N, queries, keys))
    context = np.zeros_like(query)
    for b, n, t in np.ndindex(B, N, queries):
        q, position, scores = query[b, n, t], keys - queries + t, []
        for r, k in enumerate(key[b, n]):
            distance = params["weight"][position - r + P - 1]
            by_key = sum(k * distance) if kind == "relative_key_query" else 0.0
            scores.append((sum(q * k) + sum(q * distance) + by_key) / math.sqrt(D))
        probs = softmax_in_loops(scores, mask[b, n, t].tolist())
        context[b, n, t] = sum(p * v for p, v in zip(probs, value[b, n], strict=True))
    return context


@pytest.mark.parametrize(("queries", "keys"), SIZES)
def test_each_row_is_the_distance_plus_p_minus_one(queries, keys):
    rows = distance_rows(2 * P - 1, queries, keys)
    assert rows.shape == (queries, keys)
    assert rows.dtype == np.int64
    for t, r in np.ndindex(rows.shape):
        assert rows[t, r] == (keys - queries + t) - r + P - 1


def test_the_newest_queries_have_the_last_rows_of_all_queries():
    every = distance_rows(2 * P - 1, 5, 5)
    np.testing.assert_array_equal(distance_rows(2 * P - 1, 2, 5), every[-2:])


def test_the_longest_input_uses_the_first_and_the_last_row():
    rows = distance_rows(2 * P - 1, P, P)
    assert (rows.min(), rows.max()) == (0, 2 * P - 2)


def test_positions_further_apart_than_the_table_knows_are_an_error():
    with pytest.raises(ValueError, match="reach 6 tokens, got 7; shorten the input"):
        distance_rows(2 * P - 1, 1, P + 1)


@pytest.mark.parametrize(("rows", "columns"), SIZES)
def test_a_table_product_is_a_dot_product_for_each_pair_of_positions(rows, columns):
    rng = np.random.default_rng(0)
    x, table = rng.standard_normal((B, N, rows, D)), rng.standard_normal((rows, columns, D))
    y, _ = table_product(x, table)
    expected = np.einsum("bnid,ijd->bnij", x, table)
    np.testing.assert_allclose(y, expected, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize(("rows", "columns"), SIZES)
def test_gradients_of_a_table_product_are_those_of_finite_differences(rows, columns):
    rng = np.random.default_rng(0)
    x, table = rng.standard_normal((B, N, rows, D)), rng.standard_normal((rows, columns, D))
    check_gradients(table_product, x, table)


@both_kinds
@pytest.mark.parametrize(("queries", "keys"), SIZES)
def test_attention_follows_the_equation(kind, queries, keys):
    arguments, mask = example(queries, keys), last_key_padded(keys)
    context, _ = relative(kind, mask=mask)(*arguments)
    expected = attention_in_loops(kind, *arguments, mask)
    np.testing.assert_allclose(context, expected, rtol=1e-12, atol=1e-14)


@both_kinds
@pytest.mark.parametrize(("queries", "keys"), SIZES)
def test_gradients_are_those_of_finite_differences(kind, queries, keys):
    attention = relative(kind, mask=last_key_padded(keys), head_mask=HEAD_MASK)
    check_gradients(attention, *example(queries, keys))


@both_kinds
def test_gradients_through_dropout_are_those_of_finite_differences(kind):
    settings = SmallSettings(position_embedding_type=kind, attention_probs_dropout_prob=0.4)

    def attention(params, query, key, value):
        rng = np.random.default_rng(7)
        return relative_attention(params, query, key, value, causal_mask(4, 4), settings, rng)

    check_gradients(attention, *example(4, 4))


@both_kinds
def test_a_table_of_zeros_gives_plain_attention(kind):
    params, query, key, value = example(4, 4)
    params["weight"][:] = 0
    context, _ = relative(kind, mask=causal_mask(4, 4))(params, query, key, value)
    plain, _ = scaled_dot_product_attention(query, key, value, causal_mask(4, 4))
    np.testing.assert_allclose(context, plain, rtol=1e-13)


@both_kinds
def test_a_cached_step_gives_the_last_row_of_the_whole(kind):
    params, query, key, value = example(5, 5)
    whole, _ = relative(kind, mask=causal_mask(5, 5))(params, query, key, value)
    step, _ = relative(kind, mask=None)(params, query[:, :, -1:], key, value)
    np.testing.assert_allclose(step, whole[:, :, -1:], rtol=1e-12)


@both_kinds
def test_distances_that_do_not_occur_get_no_gradient(kind):
    arguments = example(3, 3)
    context, backward = relative(kind, mask=None)(*arguments)
    dweight = backward(upstream(context))[0]["weight"]
    used = np.zeros(2 * P - 1, dtype=bool)
    used[distance_rows(2 * P - 1, 3, 3)] = True
    assert used.sum() == 5
    np.testing.assert_array_equal(dweight.any(axis=1), used)


@both_kinds
def test_a_masked_key_has_no_influence_and_no_gradient(kind):
    params, query, key, value = example(4, 4)
    attention = relative(kind, mask=last_key_padded(4))
    context, backward = attention(params, query, key, value)
    _, _, dkey, dvalue = backward(upstream(context))
    key[1, :, -1], value[1, :, -1] = 50, -100
    np.testing.assert_array_equal(attention(params, query, key, value)[0], context)
    assert not dkey[1, :, -1].any()
    assert not dvalue[1, :, -1].any()


@both_kinds
def test_the_future_has_no_influence_under_a_causal_mask(kind):
    params, query, key, value = example(4, 4)
    attention = relative(kind, mask=causal_mask(4, 4))
    context, _ = attention(params, query, key, value)
    key[:, :, 2:], value[:, :, 2:] = 50, -100
    changed, _ = attention(params, query, key, value)
    np.testing.assert_allclose(changed[:, :, :2], context[:, :, :2], rtol=1e-13)


@both_kinds
def test_a_head_mask_scales_each_head(kind):
    arguments = example(4, 4)
    context, _ = relative(kind, mask=None)(*arguments)
    masked, _ = relative(kind, mask=None, head_mask=HEAD_MASK)(*arguments)
    np.testing.assert_allclose(masked, context * HEAD_MASK[:, None, None], rtol=1e-12)


@pytest.mark.parametrize("zero_fully_masked", [False, True])
def test_a_query_that_sees_nothing_follows_the_setting(zero_fully_masked):
    settings = SmallSettings(
        position_embedding_type="relative_key", zero_fully_masked=zero_fully_masked
    )
    params, query, key, value = example(4, 4)
    blind = np.zeros((1, 1, 1, 4), dtype=bool)
    context, _ = relative_attention(params, query, key, value, blind, settings)
    mean = np.repeat(value.mean(axis=2, keepdims=True), 4, axis=2)
    expected = np.zeros_like(mean) if zero_fully_masked else mean
    np.testing.assert_allclose(context, expected, rtol=1e-12)


@both_kinds
def test_the_recorded_weights_are_those_that_average_the_values(kind):
    arguments = example(4, 4)
    with recording() as arrays:
        context, _ = relative(kind, mask=None, head_mask=HEAD_MASK)(*arguments)
    np.testing.assert_allclose(arrays["probs"] @ arguments[-1], context, rtol=1e-12, atol=1e-14)


@both_kinds
def test_inputs_are_unchanged(kind):
    assert_inputs_unchanged(relative(kind, mask=last_key_padded(4)), *example(4, 4))


@both_kinds
def test_backward_returns_the_same_twice(kind):
    assert_backward_repeats(relative(kind, mask=last_key_padded(4)), *example(4, 4))


@both_kinds
def test_memory_layout_is_irrelevant(kind):
    assert_layout_irrelevant(relative(kind, mask=last_key_padded(4)), *example(4, 4))


@both_kinds
def test_float32_stays_float32(kind):
    single = HEAD_MASK.astype(np.float32)
    assert_float32_kept(relative(kind, mask=last_key_padded(5), head_mask=single), *example(2, 5))
