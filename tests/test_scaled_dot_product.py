import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import (
    assert_backward_repeats,
    assert_float32_kept,
    assert_inputs_unchanged,
    assert_layout_irrelevant,
    few_examples,
    seeded,
    softmax_in_loops,
    upstream,
)

from minibert2bert.components.masks import Spans, causal_mask, padding_mask
from minibert2bert.components.scaled_dot_product import (
    attend,
    scaled_dot_product,
    scaled_dot_product_attention,
)
from minibert2bert.inspection.gradient_check import check_gradients
from minibert2bert.recording import recording

B, N, D = 2, 3, 4
SIZES = [(1, 1), (4, 4), (3, 5), (5, 2)]
HEAD_MASK = np.array([1.0, 0.0, 0.5])


def heads(queries, keys, seed=0):
    """Random query, key and value."""
    rng = np.random.default_rng(seed)
    return tuple(rng.standard_normal((B, N, size, D)) for size in (queries, keys, keys))


def last_keys_padded(keys):
    padding = np.ones((B, keys), dtype=int)
    padding[1, -1] = 0
    return padding_mask(padding)


def attention_in_loops(query, key, value, mask, head_mask):
    """softmax(Q K^T / sqrt(D)) V for one query after the other."""
    mask = np.broadcast_to(mask, (*query.shape[:3], key.shape[2]))
    context = np.zeros_like(query)
    for b, n, t in np.ndindex(query.shape[:3]):
        products = [sum(query[b, n, t] * k) / math.sqrt(D) for k in key[b, n]]
        probs = softmax_in_loops(products, mask[b, n, t].tolist())
        for prob, row in zip(probs, value[b, n], strict=True):
            context[b, n, t] += head_mask[n] * prob * row
    return context


@pytest.mark.parametrize(("queries", "keys"), SIZES)
def test_scores_are_dot_products_over_the_root_of_the_size(queries, keys):
    query, key, _ = heads(queries, keys)
    scores, _ = scaled_dot_product(query, key)
    expected = np.einsum("bntd,bnsd->bnts", query, key) / math.sqrt(D)
    np.testing.assert_allclose(scores, expected, rtol=1e-12, atol=1e-14)


@few_examples
@given(size=st.sampled_from(SIZES), seed=st.integers(0, 99))
def test_attention_follows_the_equation(size, seed):
    query, key, value = heads(*size, seed)
    mask = np.random.default_rng(seed).random((B, 1, *size)) < 0.6
    context, _ = scaled_dot_product_attention(query, key, value, mask, head_mask=HEAD_MASK)
    expected = attention_in_loops(query, key, value, mask, HEAD_MASK)
    np.testing.assert_allclose(context, expected, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize(("queries", "keys"), SIZES)
def test_gradients_of_the_scores_are_those_of_finite_differences(queries, keys):
    check_gradients(scaled_dot_product, *heads(queries, keys)[:2])


@pytest.mark.parametrize("with_head_mask", [False, True])
@pytest.mark.parametrize(("queries", "keys"), SIZES[1:])
def test_gradients_of_the_attention_are_those_of_finite_differences(queries, keys, with_head_mask):
    def attention(query, key, value):
        head_mask = HEAD_MASK if with_head_mask else None
        mask = last_keys_padded(keys)
        return scaled_dot_product_attention(query, key, value, mask, head_mask=head_mask)

    check_gradients(attention, *heads(queries, keys))


def test_gradients_through_dropout_are_those_of_finite_differences():
    attention = seeded(
        scaled_dot_product_attention, mask=last_keys_padded(5), rate=0.4, head_mask=HEAD_MASK
    )
    check_gradients(attention, *heads(4, 5))


def test_gradients_of_averaging_are_those_of_finite_differences():
    scores = np.random.default_rng(0).standard_normal((B, N, 3, 5))
    check_gradients(seeded(attend, mask=last_keys_padded(5), rate=0.4), scores, heads(3, 5)[2])


def test_a_masked_key_has_no_influence_and_no_gradient():
    query, key, value = heads(4, 5)
    mask = last_keys_padded(5)
    context, backward = scaled_dot_product_attention(query, key, value, mask)
    dquery, dkey, dvalue = backward(upstream(context))
    key[1, :, -1], value[1, :, -1] = 100, -100
    again, again_backward = scaled_dot_product_attention(query, key, value, mask)
    np.testing.assert_array_equal(again, context)
    np.testing.assert_array_equal(again_backward(upstream(context))[0], dquery)
    assert not dkey[1, :, -1].any()
    assert not dvalue[1, :, -1].any()


@pytest.mark.parametrize("position", range(4))
def test_the_future_has_no_influence_under_a_causal_mask(position):
    query, key, value = heads(4, 4)
    context, _ = scaled_dot_product_attention(query, key, value, causal_mask(4, 4))
    query[:, :, position + 1 :] = 7
    key[:, :, position + 1 :], value[:, :, position + 1 :] = 100, -100
    changed, _ = scaled_dot_product_attention(query, key, value, causal_mask(4, 4))
    upto = np.s_[:, :, : position + 1]
    np.testing.assert_allclose(changed[upto], context[upto], rtol=1e-13)


@pytest.mark.parametrize("position", range(3))
def test_the_future_gets_no_gradient_under_a_causal_mask(position):
    context, backward = scaled_dot_product_attention(*heads(4, 4), causal_mask(4, 4))
    dcontext = upstream(context)
    dcontext[:, :, position + 1 :] = 0
    for gradient in backward(dcontext):
        assert not gradient[:, :, position + 1 :].any()
        assert gradient[:, :, position].any() or position == 0


def test_a_query_that_sees_nothing_gets_the_mean_of_all_values():
    query, key, value = heads(3, 5)
    context, _ = scaled_dot_product_attention(query, key, value, np.zeros((1, 1, 1, 5), bool))
    mean = value.mean(axis=2, keepdims=True)
    np.testing.assert_allclose(context, np.repeat(mean, 3, axis=2), rtol=1e-12)


def test_averaging_under_a_mask_that_hides_all_gives_the_mean_unless_zeros_are_wanted():
    value = heads(3, 5)[2]
    blind = np.zeros((1, 1, 1, 5), bool)
    context, _ = attend(np.zeros((B, N, 3, 5)), value, blind)
    zeros, _ = attend(np.zeros((B, N, 3, 5)), value, blind, zero_fully_masked=True)
    np.testing.assert_allclose(context[:, :, 0], value.mean(axis=2), rtol=1e-12)
    assert not zeros.any()


def test_a_query_that_sees_nothing_gets_zeros_on_request_and_gives_no_gradient():
    mask = np.zeros((1, 1, 1, 5), bool)
    context, backward = scaled_dot_product_attention(*heads(3, 5), mask, zero_fully_masked=True)
    assert not context.any()
    assert not any(gradient.any() for gradient in backward(upstream(context)))


def test_a_head_mask_scales_each_head_and_its_gradients():
    query, key, value = heads(3, 5)
    context, backward = scaled_dot_product_attention(query, key, value, None)
    masked, masked_backward = scaled_dot_product_attention(
        query, key, value, None, head_mask=HEAD_MASK
    )
    factors = HEAD_MASK[:, None, None]
    np.testing.assert_allclose(masked, context * factors, rtol=1e-12)
    gradients = zip(backward(context), masked_backward(context), strict=True)
    for gradient, masked_gradient in gradients:
        np.testing.assert_allclose(masked_gradient, gradient * factors, rtol=1e-11, atol=1e-14)


def test_dropout_sets_weights_to_zero_without_scaling_the_row_back_to_one():
    query, key, value = heads(4, 5)
    with recording() as plain:
        scaled_dot_product_attention(query, key, value, None)
    with recording() as dropped:
        seeded(scaled_dot_product_attention, mask=None, rate=0.5)(query, key, value)
    kept = dropped["probs"] != 0
    assert 0 < kept.sum() < kept.size
    np.testing.assert_allclose(dropped["probs"], kept * plain["probs"] * 2, rtol=1e-12)


def test_the_recorded_weights_are_those_that_average_the_values():
    query, key, value = heads(4, 5)
    with recording() as arrays:
        context, _ = seeded(scaled_dot_product_attention, mask=None, rate=0.3, head_mask=HEAD_MASK)(
            query, key, value
        )
    np.testing.assert_allclose(arrays["probs"] @ value, context, rtol=1e-12, atol=1e-14)


def test_no_dropout_happens_without_a_generator():
    arguments = heads(4, 5)
    context, _ = scaled_dot_product_attention(*arguments, None, rate=0.5)
    np.testing.assert_array_equal(context, scaled_dot_product_attention(*arguments, None)[0])


def everything(query, key, value, head_mask=HEAD_MASK):
    mask = last_keys_padded(key.shape[2])
    return scaled_dot_product_attention(
        query, key, value, mask, 0.4, np.random.default_rng(7), head_mask
    )


def test_inputs_are_unchanged():
    assert_inputs_unchanged(everything, *heads(4, 5), HEAD_MASK.copy())


def test_backward_returns_the_same_twice():
    assert_backward_repeats(everything, *heads(4, 5))


def test_memory_layout_is_irrelevant():
    assert_layout_irrelevant(everything, *heads(4, 5))


def test_float32_stays_float32():
    assert_float32_kept(everything, *heads(4, 5), HEAD_MASK)


SPANS = Spans((slice(0, 2), slice(2, 3), slice(3, 5)), (slice(0, 1), slice(1, 4), slice(4, 6)))


def packed_example(keys=6):
    rng = np.random.default_rng(0)
    return [rng.standard_normal((1, 2, length, 3)) for length in (5, keys, keys)]


def mask_of(spans, queries, keys):
    """The same as an array: True where query and key are of one text, and the key is no future."""
    mask = np.zeros((1, 1, queries, keys), dtype=bool)
    for own, seen in zip(spans.queries, spans.keys, strict=True):
        block = mask[:, :, own, seen]
        block[...] = True if spans.causal is None else np.tri(*block.shape[2:], dtype=bool)
    return mask


CAUSAL = Spans(SPANS.queries, SPANS.queries, np.tri(2, 2, dtype=bool)[None, None])


@pytest.mark.parametrize(("spans", "keys"), [(SPANS, 6), (CAUSAL, 5)])
def test_each_text_of_a_row_sees_only_itself(spans, keys):
    arrays = packed_example(keys)
    y, backward = scaled_dot_product_attention(*arrays, spans)
    expected, its_backward = scaled_dot_product_attention(*arrays, mask_of(spans, 5, keys))
    np.testing.assert_allclose(y, expected, rtol=1e-12)
    for gradient, right in zip(backward(upstream(y)), its_backward(upstream(y)), strict=True):
        np.testing.assert_allclose(gradient, right, rtol=1e-10, atol=1e-13)


def test_gradients_of_several_texts_are_those_of_finite_differences():
    attention = seeded(scaled_dot_product_attention, rate=0.3, head_mask=np.array([0.5, 2.0]))
    check_gradients(attention, *packed_example(), SPANS)


def test_several_texts_keep_the_promises_of_a_component():
    arguments = (*packed_example(), SPANS)
    assert_inputs_unchanged(scaled_dot_product_attention, *arguments)
    assert_backward_repeats(scaled_dot_product_attention, *arguments)
    assert_float32_kept(scaled_dot_product_attention, *arguments)
    assert_layout_irrelevant(scaled_dot_product_attention, *arguments)
