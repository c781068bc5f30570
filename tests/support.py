"""What the tests of the components share: random parameters, settings, and four promises.

Every component promises to leave its inputs alone, to have a backward that can be called again,
to keep float32, and not to care how its arrays lie in memory.
"""

import functools
import math
from dataclasses import dataclass

import numpy as np
from hypothesis import settings

from minibert2bert.arrays import flatten

few_examples = settings(max_examples=25, deadline=None, derandomize=True)


@dataclass(frozen=True)
class SmallSettings:
    num_attention_heads: int = 2
    hidden_act: str = "gelu"
    hidden_dropout_prob: float = 0.0
    attention_probs_dropout_prob: float = 0.0
    layer_norm_eps: float = 1e-12
    position_embedding_type: str = "absolute"
    zero_fully_masked: bool = False


def linear_params(rng, outputs, inputs):
    return {
        "weight": rng.standard_normal((outputs, inputs)),
        "bias": rng.standard_normal(outputs),
    }


def norm_params(rng, size):
    return {"weight": rng.standard_normal(size), "bias": rng.standard_normal(size)}


def sublayer_params(rng, outputs, inputs):
    return {"dense": linear_params(rng, outputs, inputs), "LayerNorm": norm_params(rng, outputs)}


def softmax_in_loops(scores, visible):
    """The probabilities of one row; those of a row that sees nothing are all equal."""
    weights = [math.exp(s) if seen else 0.0 for s, seen in zip(scores, visible, strict=True)]
    if not any(visible):
        weights = [1.0 for _ in scores]
    return [weight / sum(weights) for weight in weights]


def layer_norm_in_loops(params, row, eps):
    """One row, one element after the other."""
    mean = sum(row) / len(row)
    variance = sum((value - mean) ** 2 for value in row) / len(row)
    return [
        weight * (value - mean) / math.sqrt(variance + eps) + bias
        for weight, value, bias in zip(params["weight"], row, params["bias"], strict=True)
    ]


def seeded(function, **keywords):
    """The function with the same dropout mask in every call."""

    @functools.wraps(function)
    def same_mask_every_time(*arguments):
        return function(*arguments, rng=np.random.default_rng(7), **keywords)

    return same_mask_every_time


def arrays_of(tree):
    """The arrays of nested dicts and tuples, in their order."""
    if isinstance(tree, dict):
        return list(flatten(tree).values())
    if isinstance(tree, tuple):
        return [array for branch in tree for array in arrays_of(branch)]
    return [tree] if isinstance(tree, (np.ndarray, np.generic)) else []


def change_arrays(change, tree):
    """The same nested dicts and tuples, with every array changed."""
    if isinstance(tree, dict):
        return {name: change_arrays(change, branch) for name, branch in tree.items()}
    if type(tree) is tuple:
        return tuple(change_arrays(change, branch) for branch in tree)
    return change(tree) if isinstance(tree, np.ndarray) else tree


def upstream(y):
    """A random gradient of an output."""
    dy = np.random.default_rng(11).standard_normal(np.shape(y))
    return np.asarray(dy, dtype=y.dtype) if np.ndim(y) else float(dy)


def output_and_gradients(function, *arguments):
    y, backward = function(*arguments)
    return [y, *arrays_of(backward(upstream(y)))]


def assert_inputs_unchanged(function, *arguments):
    """Neither forward nor backward writes to the inputs, the output or the upstream gradient."""
    before = change_arrays(np.copy, arguments)
    for array in arrays_of(arguments):
        array.flags.writeable = False
    y, backward = function(*arguments)
    y_before, dy = np.copy(y), upstream(y)
    dy_before = np.copy(dy)
    if isinstance(y, np.ndarray):
        y.flags.writeable = dy.flags.writeable = False
    backward(dy)
    np.testing.assert_array_equal(y, y_before)
    np.testing.assert_array_equal(dy, dy_before)
    for now, then in zip(arrays_of(arguments), arrays_of(before), strict=True):
        np.testing.assert_array_equal(now, then)


def assert_backward_repeats(function, *arguments):
    """A second call returns what the first did, and does not write into its result."""
    y, backward = function(*arguments)
    first = arrays_of(backward(upstream(y)))
    copies = [np.copy(gradient) for gradient in first]
    second = arrays_of(backward(upstream(y)))
    for gradient, copy, again in zip(first, copies, second, strict=True):
        np.testing.assert_array_equal(gradient, copy)
        np.testing.assert_array_equal(again, copy)


def assert_float32_kept(function, *arguments):
    """From float32 come float32, near what float64 gives."""

    def single(array):
        return array.astype(np.float32) if array.dtype == np.float64 else array

    exact = output_and_gradients(function, *arguments)
    rounded = output_and_gradients(function, *change_arrays(single, arguments))
    for number, (single_array, double_array) in enumerate(zip(rounded, exact, strict=True)):
        assert single_array.dtype == np.float32, f"array {number} is {single_array.dtype}"
        # Sums of some tens of terms, each rounded at the seventh digit.
        scale = np.abs(double_array).max(initial=1.0)
        np.testing.assert_allclose(single_array, double_array, rtol=0, atol=2e-5 * scale)


def assert_layout_irrelevant(function, *arguments):
    """Arrays whose first axis lies closest in memory give the same numbers."""
    expected = output_and_gradients(function, *arguments)
    y, backward = function(*change_arrays(np.asfortranarray, arguments))
    dy = upstream(y)
    turned = [y, *arrays_of(backward(np.asfortranarray(dy) if np.ndim(dy) else dy))]
    for array, right in zip(turned, expected, strict=True):
        np.testing.assert_allclose(array, right, rtol=1e-10, atol=1e-12)
