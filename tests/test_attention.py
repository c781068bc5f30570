import functools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import (
    SmallSettings,
    assert_backward_repeats,
    assert_float32_kept,
    assert_inputs_unchanged,
    assert_layout_irrelevant,
    few_examples,
    linear_params,
    softmax_in_loops,
    upstream,
)

from minibert2bert.components.attention import (
    attention_heads,
    merge_heads,
    multi_head_attention,
    split_heads,
)
from minibert2bert.components.masks import causal_mask, decoder_mask, padding_mask
from minibert2bert.components.relative_positions import relative_attention
from minibert2bert.components.scaled_dot_product import scaled_dot_product_attention
from minibert2bert.inspection.gradient_check import check_gradients

B, N, D, P = 2, 2, 3, 6
H = N * D
SETTINGS = SmallSettings(num_attention_heads=N)
HEAD_MASK = np.array([0.3, 1.5])
SIZES = [(1, 1), (4, 4), (3, 5), (5, 2)]
KINDS = ["absolute", "relative_key", "relative_key_query"]


def example(queries, keys, seed=0, kind="absolute"):
    """Parameters, hidden states and key-value states."""
    rng = np.random.default_rng(seed)
    params = {name: linear_params(rng, H, H) for name in ("query", "key", "value")}
    if kind != "absolute":
        params["distance_embedding"] = {"weight": rng.standard_normal((2 * P - 1, D))}
    return params, rng.standard_normal((B, queries, H)), rng.standard_normal((B, keys, H))


def last_key_padded(keys):
    padding = np.ones((B, keys), dtype=int)
    padding[1, -1] = 0
    return padding_mask(padding)


def attention(mask=None, settings=SETTINGS, **keywords):
    return functools.partial(multi_head_attention, mask=mask, config=settings, **keywords)


def attention_in_loops(params, states, source, mask, head_mask):
    """Head n reads columns n D to (n + 1) D of the projections, and writes them."""
    project = {
        name: np.einsum("bti,oi->bto", source if name != "query" else states, part["weight"])
        + part["bias"]
        for name, part in params.items()
    }
    context = np.zeros_like(states)
    for b, t, n in np.ndindex(B, states.shape[1], N):
        columns = np.s_[n * D : (n + 1) * D]
        scores = [
            sum(project["query"][b, t, columns] * k) / math.sqrt(D)
            for k in project["key"][b, :, columns]
        ]
        probs = softmax_in_loops(scores, mask[b, 0, t].tolist())
        for prob, value in zip(probs, project["value"][b, :, columns], strict=True):
            context[b, t, columns] += head_mask[n] * prob * value
    return context


@few_examples
@given(batch=st.integers(1, 3), length=st.integers(1, 4), heads=st.integers(1, 4))
def test_head_n_holds_columns_n_d_to_n_plus_1_d(batch, length, heads):
    x = np.random.default_rng(0).standard_normal((batch, length, heads * D))
    split = split_heads(x, heads)
    assert split.shape == (batch, heads, length, D)
    for n in range(heads):
        np.testing.assert_array_equal(split[:, n], x[:, :, n * D : (n + 1) * D])
    np.testing.assert_array_equal(merge_heads(split), x)


@few_examples
@given(size=st.sampled_from(SIZES), seed=st.integers(0, 99))
def test_attention_follows_the_equation(size, seed):
    params, states, source = example(*size, seed)
    mask = np.random.default_rng(seed).random((B, 1, *size)) < 0.7
    context, _ = attention(mask, head_mask=HEAD_MASK)(params, states, source)
    expected = attention_in_loops(params, states, source, mask, HEAD_MASK)
    np.testing.assert_allclose(context, expected, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("head_mask", [None, HEAD_MASK])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("queries", "keys"), [(1, 2), (4, 4), (3, 5)])
def test_gradients_are_those_of_finite_differences(queries, keys, kind, head_mask):
    settings = SmallSettings(num_attention_heads=N, position_embedding_type=kind)
    function = attention(last_key_padded(keys), settings, head_mask=head_mask)
    check_gradients(function, *example(queries, keys, kind=kind))


def test_gradients_with_fewer_keys_than_queries_are_those_of_finite_differences():
    check_gradients(attention(last_key_padded(2)), *example(5, 2))


def test_gradients_through_dropout_are_those_of_finite_differences():
    settings = SmallSettings(num_attention_heads=N, attention_probs_dropout_prob=0.4)

    def dropping(params, states, source):
        rng = np.random.default_rng(7)
        return multi_head_attention(params, states, source, causal_mask(4, 4), settings, rng)

    check_gradients(dropping, *example(4, 4))


def test_self_attention_adds_the_gradients_of_both_uses():
    def self_attention(params, states):
        context, backward = attention(causal_mask(4, 4))(params, states, states)

        def backward_of_both(dcontext):
            dparams, dhidden_states, dkey_value_states = backward(dcontext)
            return dparams, dhidden_states + dkey_value_states

        return context, backward_of_both

    check_gradients(self_attention, *example(4, 4)[:2])


def test_a_key_bias_has_no_gradient_because_it_shifts_a_whole_row():
    context, backward = attention(last_key_padded(5))(*example(3, 5))
    dparams, _, _ = backward(upstream(context))
    assert np.abs(dparams["key"]["weight"]).max() > 0.01
    np.testing.assert_allclose(dparams["key"]["bias"], 0, atol=1e-13)


def test_padding_has_no_influence_and_gets_no_gradient():
    params, states, source = example(3, 5)
    function = attention(last_key_padded(5))
    context, backward = function(params, states, source)
    dparams, dstates, dsource = backward(upstream(context))
    source[1, -1] = 9
    again, again_backward = function(params, states, source)
    dparams_again, dstates_again, _ = again_backward(upstream(context))
    assert not dsource[1, -1].any()
    np.testing.assert_array_equal(again, context)
    np.testing.assert_array_equal(dstates_again, dstates)
    np.testing.assert_array_equal(dparams_again["key"]["weight"], dparams["key"]["weight"])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("position", range(3))
def test_the_future_has_no_influence_under_a_causal_mask(position, kind):
    params, states, _ = example(4, 4, kind=kind)
    settings = SmallSettings(num_attention_heads=N, position_embedding_type=kind)
    function = attention(decoder_mask(None, 4, 4), settings)
    context, backward = function(params, states, states)
    dcontext = upstream(context)
    dcontext[:, position + 1 :] = 0
    _, dhidden_states, dkey_value_states = backward(dcontext)
    assert not (dhidden_states + dkey_value_states)[:, position + 1 :].any()
    changed = states.copy()
    changed[:, position + 1 :] += 5
    upto, _ = function(params, changed, changed)
    np.testing.assert_allclose(upto[:, : position + 1], context[:, : position + 1], rtol=1e-12)


def test_a_head_mask_of_zero_silences_the_columns_of_its_head():
    arguments = example(3, 5)
    context, _ = attention()(*arguments)
    masked, backward = attention(head_mask=np.array([0.0, 1.0]))(*arguments)
    dvalue = backward(upstream(masked))[0]["value"]
    assert not masked[..., :D].any()
    assert not dvalue["weight"][:D].any()
    assert not dvalue["bias"][:D].any()
    np.testing.assert_allclose(masked[..., D:], context[..., D:], rtol=1e-13)


@pytest.mark.parametrize("zero_fully_masked", [False, True])
def test_a_query_that_sees_nothing_follows_the_setting(zero_fully_masked):
    settings = SmallSettings(num_attention_heads=N, zero_fully_masked=zero_fully_masked)
    params, states, source = example(3, 5)
    context, _ = attention(np.zeros((1, 1, 1, 5), bool), settings)(params, states, source)
    values = source @ params["value"]["weight"].T + params["value"]["bias"]
    mean = np.repeat(values.mean(axis=1, keepdims=True), 3, axis=1)
    expected = np.zeros_like(mean) if zero_fully_masked else mean
    np.testing.assert_allclose(context, expected, rtol=1e-11, atol=1e-14)


def test_batch_rows_do_not_influence_each_other():
    params, states, source = example(3, 5)
    context, _ = attention()(params, states, source)
    states[1], source[1] = 3, -3
    np.testing.assert_allclose(attention()(params, states, source)[0][0], context[0], rtol=1e-13)


def test_heads_without_a_table_are_plain_attention_with_no_parameters():
    states = [split_heads(array, N) for array in example(4, 4)[1:]]
    mask, params = causal_mask(4, 4), {"query": "unused"}
    context, backward = attention_heads(params, *states, states[1], mask, SETTINGS)
    plain, plain_backward = scaled_dot_product_attention(*states, states[1], mask)
    dparams, *gradients = backward(upstream(context))
    assert dparams == {}
    np.testing.assert_array_equal(context, plain)
    np.testing.assert_array_equal(gradients, plain_backward(upstream(context)))


@pytest.mark.parametrize("kind", KINDS[1:])
def test_heads_with_a_table_are_relative_attention(kind):
    settings = SmallSettings(num_attention_heads=N, position_embedding_type=kind)
    params, states, source = example(4, 4, kind=kind)
    heads = [split_heads(array, N) for array in (states, source, source)]
    context, backward = attention_heads(params, *heads, None, settings)
    table = params["distance_embedding"]
    relative, relative_backward = relative_attention(table, *heads, None, settings)
    dtable = relative_backward(upstream(context))[0]["weight"]
    np.testing.assert_array_equal(context, relative)
    dparams = backward(upstream(context))[0]
    np.testing.assert_array_equal(dparams["distance_embedding"]["weight"], dtable)


@pytest.mark.parametrize("kind", KINDS)
def test_parameter_gradients_have_the_names_of_the_parameters(kind):
    settings = SmallSettings(num_attention_heads=N, position_embedding_type=kind)
    arguments = example(4, 4, kind=kind)
    context, backward = attention(None, settings)(*arguments)
    assert backward(context)[0].keys() == arguments[0].keys()


def test_inputs_are_unchanged():
    assert_inputs_unchanged(attention(last_key_padded(5)), *example(3, 5))


def test_backward_returns_the_same_twice():
    assert_backward_repeats(attention(last_key_padded(5)), *example(3, 5))


def test_memory_layout_is_irrelevant():
    assert_layout_irrelevant(attention(last_key_padded(5)), *example(3, 5))


@pytest.mark.parametrize("kind", KINDS)
def test_float32_stays_float32(kind):
    settings = SmallSettings(
        num_attention_heads=N, position_embedding_type=kind, attention_probs_dropout_prob=0.3
    )

    def dropping(params, states, source, head_mask):
        mask, rng = last_key_padded(4), np.random.default_rng(7)
        return multi_head_attention(params, states, source, mask, settings, rng, head_mask)

    assert_float32_kept(dropping, *example(4, 4, kind=kind), HEAD_MASK)
