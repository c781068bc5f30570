import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import few_examples

from minibert2bert.arrays import (
    add_params,
    flatten,
    nest,
    no_backward,
    sum_shared,
    zeros_like_params,
)

leaves = st.builds(np.ones, st.just(1))
names = st.text("abc01", min_size=1, max_size=3)
trees = st.recursive(
    st.dictionaries(names, leaves, min_size=1, max_size=3),
    lambda branches: st.dictionaries(names, leaves | branches, min_size=1, max_size=3),
    max_leaves=8,
)


def test_flatten_joins_the_names_with_dots():
    bias, weight = np.zeros(1), np.ones(2)
    flat = flatten({"layer": {"0": {"dense": {"bias": bias}}}, "weight": weight})
    assert list(flat) == ["layer.0.dense.bias", "weight"]
    assert flat["layer.0.dense.bias"] is bias
    assert flat["weight"] is weight


def test_flatten_puts_a_prefix_in_front():
    assert list(flatten({"dense": {"bias": np.zeros(1)}}, "encoder.")) == ["encoder.dense.bias"]


def test_nest_splits_the_names_at_the_dots():
    weight, bias = np.zeros(1), np.ones(2)
    nested = nest({"dense.weight": weight, "dense.bias": bias, "scale": weight})
    assert nested == {"dense": {"weight": weight, "bias": bias}, "scale": weight}
    assert nested["dense"]["bias"] is bias


@few_examples
@given(trees)
def test_nesting_undoes_flattening(tree):
    assert nest(flatten(tree)) == tree


@few_examples
@given(trees)
def test_flattening_again_keeps_the_arrays_and_their_order(tree):
    flat = flatten(tree)
    again = flatten(nest(flat))
    assert sorted(again) == sorted(flat)
    assert all(again[name] is array for name, array in flat.items())


def test_adding_sums_what_both_have_and_keeps_what_one_has():
    first = {"both": {"w": np.ones(2), "own": np.zeros(1)}, "first": np.full(1, 3.0)}
    second = {"both": {"w": np.full(2, 4.0)}, "second": {"w": np.full(1, 5.0)}}
    united = flatten(add_params(first, second))
    assert {name: array.tolist() for name, array in united.items()} == {
        "both.w": [5, 5],
        "both.own": [0],
        "first": [3],
        "second.w": [5],
    }


def test_adding_changes_neither_side():
    first, second = {"a": {"w": np.ones(2)}}, {"a": {"w": np.ones(2), "new": np.ones(1)}}
    add_params(first, second)
    assert list(flatten(first)) == ["a.w"]
    np.testing.assert_array_equal([first["a"]["w"], second["a"]["w"]], np.ones((2, 2)))


def test_an_array_with_two_names_gets_the_sum_under_its_first_name():
    shared, other = np.zeros(2), np.zeros(2)
    params = {"encoder.w": shared, "b": other, "decoder.w": shared}
    gradients = {"decoder.w": np.full(2, 1.0), "encoder.w": np.full(2, 2.0), "b": np.full(2, 4.0)}
    summed = sum_shared(gradients, params)
    assert {name: array.tolist() for name, array in summed.items()} == {
        "encoder.w": [3, 3],
        "b": [4, 4],
    }


def test_equal_arrays_that_are_not_the_same_are_not_shared():
    params = {"a": np.zeros(2), "b": np.zeros(2)}
    gradients = {"a": np.full(2, 1.0), "b": np.full(2, 2.0)}
    summed = sum_shared(gradients, params)
    assert {name: array.tolist() for name, array in summed.items()} == {"a": [1, 1], "b": [2, 2]}


def test_summing_leaves_out_what_has_no_gradient():
    shared = np.zeros(2)
    params = {"pooler": np.zeros(2), "a": shared, "b": shared}
    assert list(sum_shared({"b": np.ones(2)}, params)) == ["b"]


def test_summing_changes_no_gradient():
    shared = np.zeros(2)
    gradients = {"a": np.ones(2), "b": np.ones(2)}
    sum_shared(gradients, {"a": shared, "b": shared})
    np.testing.assert_array_equal([gradients["a"], gradients["b"]], np.ones((2, 2)))


def test_a_call_that_kept_nothing_says_how_to_get_a_backward():
    with pytest.raises(RuntimeError, match=r"kept no activations.*training=True"):
        no_backward(np.ones(2))


def test_zeros_have_the_names_shapes_and_dtypes_of_the_parameters():
    params = {"dense": {"w": np.ones((2, 3), np.float32), "b": np.ones(3)}}
    zeros = flatten(zeros_like_params(params))
    assert list(zeros) == ["dense.w", "dense.b"]
    assert [(z.shape, z.dtype) for z in zeros.values()] == [((2, 3), np.float32), ((3,), float)]
    assert not any(z.any() for z in zeros.values())
    assert params["dense"]["w"].all()
