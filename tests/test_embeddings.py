import functools

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
    layer_norm_in_loops,
    norm_params,
    seeded,
    upstream,
)

from minibert2bert.components.dropout import dropout
from minibert2bert.components.embeddings import (
    add_rows,
    embedding,
    for_ids,
    norm_and_drop,
    word_and_position_embeddings,
)
from minibert2bert.components.layer_norm import layer_norm
from minibert2bert.inspection.gradient_check import check_gradients

B, T, H, V, P = 2, 4, 5, 7, 6
IDS = np.array([[3, 1, 1, 0], [6, 1, 3, 0]])
SETTINGS = SmallSettings(layer_norm_eps=1e-5)
POSITIONS = {
    "one row for all": np.arange(T)[None],
    "one row, repeated": np.array([[2, 2, 0, 5]]),
    "a row each": np.array([[0, 1, 2, 3], [5, 0, 0, 1]]),
}


def table(seed=0):
    return {"weight": np.random.default_rng(seed).standard_normal((V, H))}


def embedding_example():
    """Parameters and word vectors for word_and_position_embeddings."""
    rng = np.random.default_rng(0)
    params = {
        "position_embeddings": {"weight": rng.standard_normal((P, H))},
        "LayerNorm": norm_params(rng, H),
    }
    return params, rng.standard_normal((B, T, H))


def embed(position_ids, **keywords):
    return functools.partial(
        word_and_position_embeddings, position_ids=position_ids, config=SETTINGS, **keywords
    )


@pytest.mark.parametrize("shape", [(3,), (2, 4), (1, 3, 2)])
def test_each_id_gets_its_row(shape):
    params, ids = table(), np.random.default_rng(1).integers(0, V, shape)
    y, _ = embedding(params, ids)
    assert y.shape == (*shape, H)
    for index in np.ndindex(shape):
        np.testing.assert_array_equal(y[index], params["weight"][ids[index]])


@pytest.mark.parametrize("ids", [np.array([2]), np.array([1, 1, 1]), IDS, IDS[..., None]])
def test_gradients_are_those_of_finite_differences(ids):
    check_gradients(embedding, table(), ids)


@few_examples
@given(st.lists(st.integers(0, V - 1), min_size=1, max_size=12))
def test_equal_ids_add_up(ids):
    dy = np.random.default_rng(1).standard_normal((len(ids), H))
    dweight = embedding(table(), np.array(ids))[1](dy)["weight"]
    expected = np.zeros((V, H))
    for token, row in zip(ids, dy, strict=True):
        expected[token] += row
    np.testing.assert_allclose(dweight, expected, rtol=1e-12, atol=1e-14)


@few_examples
@given(st.lists(st.integers(0, V - 1), min_size=1, max_size=12))
def test_rows_are_added_to_what_the_table_holds(ids):
    rows = np.random.default_rng(1).standard_normal((len(ids), H))
    sums = table()["weight"]
    expected = sums.copy()
    np.add.at(expected, np.array(ids), rows)
    add_rows(sums, np.array(ids), rows)
    np.testing.assert_allclose(sums, expected, rtol=1e-12, atol=1e-14)


def test_the_padding_row_is_looked_up_but_gets_no_gradient():
    params, dy = table(), np.random.default_rng(1).standard_normal((B, T, H))
    y, backward = embedding(params, IDS, padding_idx=1)
    plain, plain_backward = embedding(params, IDS)
    dweight, expected = backward(dy)["weight"], plain_backward(dy)["weight"]
    assert expected[1].any()
    expected[1] = 0
    np.testing.assert_array_equal(y, plain)
    np.testing.assert_array_equal(dweight, expected)


def test_ids_that_do_not_occur_get_no_gradient():
    dweight = embedding(table(), IDS)[1](np.ones((B, T, H)))["weight"]
    np.testing.assert_array_equal(np.flatnonzero(dweight.any(axis=1)), np.unique(IDS))


def test_one_row_of_ids_sums_the_gradient_over_the_batch_and_several_do_not():
    dy = np.random.default_rng(1).standard_normal((B, T, H))
    expected = sum(dy[b] for b in range(B))[None]
    np.testing.assert_allclose(for_ids(np.arange(T)[None], dy), expected, rtol=1e-14)
    np.testing.assert_array_equal(for_ids(IDS, dy), dy)


@pytest.mark.parametrize("position_ids", POSITIONS.values(), ids=POSITIONS)
def test_words_and_positions_follow_the_equation(position_ids):
    params, words = embedding_example()
    x, _ = embed(position_ids)(params, words)
    every_row = np.broadcast_to(position_ids, (B, T))
    for b, t in np.ndindex(B, T):
        row = words[b, t] + params["position_embeddings"]["weight"][every_row[b, t]]
        expected = layer_norm_in_loops(params["LayerNorm"], row.tolist(), 1e-5)
        np.testing.assert_allclose(x[b, t], expected, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("position_ids", POSITIONS.values(), ids=POSITIONS)
def test_gradients_of_words_and_positions_are_those_of_finite_differences(position_ids):
    check_gradients(embed(position_ids), *embedding_example())


@pytest.mark.parametrize("position_ids", POSITIONS.values(), ids=POSITIONS)
def test_gradients_through_dropout_are_those_of_finite_differences(position_ids):
    function = seeded(
        word_and_position_embeddings,
        position_ids=position_ids,
        config=SmallSettings(hidden_dropout_prob=0.4),
    )
    check_gradients(function, *embedding_example())


def test_shared_position_ids_are_as_good_as_repeated_ones():
    shared = POSITIONS["one row for all"]
    x, backward = embed(shared)(*embedding_example())
    repeated, repeated_backward = embed(np.repeat(shared, B, axis=0))(*embedding_example())
    dweight = backward(upstream(x))[0]["position_embeddings"]["weight"]
    expected = repeated_backward(upstream(x))[0]["position_embeddings"]["weight"]
    np.testing.assert_array_equal(x, repeated)
    np.testing.assert_allclose(dweight, expected, rtol=1e-12, atol=1e-14)


def test_the_padding_position_gets_no_gradient():
    ids = POSITIONS["a row each"]
    x, backward = embed(ids, padding_position=0)(*embedding_example())
    plain, plain_backward = embed(ids)(*embedding_example())
    dweight = backward(upstream(x))[0]["position_embeddings"]["weight"]
    expected = plain_backward(upstream(x))[0]["position_embeddings"]["weight"]
    assert expected[0].any()
    expected[0] = 0
    np.testing.assert_array_equal(x, plain)
    np.testing.assert_array_equal(dweight, expected)


def test_norm_and_drop_normalises_first_and_drops_second():
    params, x = embedding_example()
    settings = SmallSettings(hidden_dropout_prob=0.4, layer_norm_eps=1e-5)
    y, _ = norm_and_drop(params, x, settings, np.random.default_rng(7))
    normed, _ = layer_norm(params["LayerNorm"], x, 1e-5)
    np.testing.assert_array_equal(y, dropout(normed, 0.4, np.random.default_rng(7))[0])


def test_gradients_of_norm_and_drop_are_those_of_finite_differences():
    settings = SmallSettings(hidden_dropout_prob=0.4)
    params, x = embedding_example()
    check_gradients(seeded(norm_and_drop, config=settings), {"LayerNorm": params["LayerNorm"]}, x)


def test_no_dropout_happens_without_a_generator():
    dropping = SmallSettings(hidden_dropout_prob=0.4, layer_norm_eps=1e-5)
    x, _ = embed(IDS % P)(*embedding_example())
    again, _ = word_and_position_embeddings(*embedding_example(), IDS % P, dropping)
    np.testing.assert_array_equal(again, x)


@pytest.mark.parametrize("position_ids", POSITIONS.values(), ids=POSITIONS)
def test_inputs_are_unchanged(position_ids):
    assert_inputs_unchanged(embed(position_ids.copy()), *embedding_example())
    assert_inputs_unchanged(embedding, table(), IDS.copy(), 1)


@pytest.mark.parametrize("position_ids", POSITIONS.values(), ids=POSITIONS)
def test_backward_returns_the_same_twice(position_ids):
    assert_backward_repeats(embed(position_ids), *embedding_example())
    assert_backward_repeats(embedding, table(), IDS, 1)


@pytest.mark.parametrize("position_ids", POSITIONS.values(), ids=POSITIONS)
def test_memory_layout_is_irrelevant(position_ids):
    assert_layout_irrelevant(embed(position_ids), *embedding_example())
    assert_layout_irrelevant(embedding, table(), IDS, 1)


@pytest.mark.parametrize("position_ids", POSITIONS.values(), ids=POSITIONS)
def test_float32_stays_float32(position_ids):
    assert_float32_kept(embed(position_ids), *embedding_example())
    assert_float32_kept(embedding, table(), IDS, 1)
