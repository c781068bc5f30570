import functools

import numpy as np
import pytest
from support import SmallSettings, linear_params

from minibert2bert.components.attention import attention_heads
from minibert2bert.components.linear import linear
from minibert2bert.inspection.gradient_check import (
    check_gradients,
    function_name,
    gradient_checks,
)


def example(dtype=np.float64):
    """Parameters and input of a linear layer of 4 inputs and 4 outputs."""
    rng = np.random.default_rng(0)
    params = {name: array.astype(dtype) for name, array in linear_params(rng, 4, 4).items()}
    return params, rng.standard_normal((3, 4)).astype(dtype)


def spoiled(change):
    """A linear layer whose backward returns change(dparams, dx)."""

    def layer(params, x):
        y, backward = linear(params, x)
        return y, lambda dy: change(*backward(dy))

    return layer


def product(first, second):
    """Two arguments of one shape, whose gradients could be swapped."""

    def backward(dy):
        return dy * second, dy * first

    return first * second, backward


def pair():
    rng = np.random.default_rng(0)
    return rng.standard_normal((3, 4)), rng.standard_normal((3, 4))


def test_a_right_backward_passes_with_a_check_for_each_tensor():
    checks = check_gradients(linear, *example())
    assert [check.tensor for check in checks] == ["params.weight", "params.bias", "x"]
    assert all(check.passed for check in checks)
    assert max(check.relative_error for check in checks) < 1e-8


@pytest.mark.parametrize("tensor", ["weight", "bias"])
@pytest.mark.parametrize("factor", [1.01, 0.99, -1, 0, np.nan])
def test_a_parameter_gradient_wrong_by_one_percent_fails_by_its_name(tensor, factor):
    wrong = spoiled(lambda dparams, dx: ({**dparams, tensor: dparams[tensor] * factor}, dx))
    with pytest.raises(AssertionError, match=rf"in layer:\n  params.{tensor}: backward says"):
        check_gradients(wrong, *example())


@pytest.mark.parametrize("factor", [1.01, 0.99, -1, 0, np.nan])
def test_an_input_gradient_wrong_by_one_percent_fails_by_its_name(factor):
    wrong = spoiled(lambda dparams, dx: (dparams, dx * factor))
    with pytest.raises(AssertionError, match=r"in layer:\n  x: backward says"):
        check_gradients(wrong, *example())


def test_one_wrong_element_fails():
    def first_element_off(dparams, dx):
        dx[0, 0] *= 1.01
        return dparams, dx

    with pytest.raises(AssertionError, match="x: backward says"):
        check_gradients(spoiled(first_element_off), *example())


def test_the_message_names_only_what_is_wrong():
    wrong = spoiled(lambda dparams, dx: (dparams, 2 * dx))
    with pytest.raises(AssertionError) as error:
        check_gradients(wrong, *example())
    assert "weight" not in str(error.value)
    assert "(ratio 2, relative error" in str(error.value)


def test_a_swapped_pair_of_gradients_fails():
    check_gradients(product, *pair())

    def swapped(first, second):
        y, backward = product(first, second)
        return y, lambda dy: backward(dy)[::-1]

    with pytest.raises(AssertionError, match=r"(?s)first: backward says.*second: backward says"):
        check_gradients(swapped, *pair())


def test_a_forgotten_use_of_an_argument_fails():
    def used_twice(x, second):
        y, backward = product(x, second)
        return y + x, backward

    with pytest.raises(AssertionError, match="x: backward says"):
        check_gradients(used_twice, *pair())


def test_a_missing_sum_fails_by_its_shape():
    def shifted(x, bias):
        return x + bias, lambda dy: (dy, dy)

    with pytest.raises(AssertionError, match=r"bias must have its shape \(4,\), got \(3, 4\)"):
        check_gradients(shifted, pair()[0], pair()[1][0])


def test_a_mean_in_the_place_of_a_sum_fails():
    wrong = spoiled(lambda dparams, dx: ({**dparams, "bias": dparams["bias"] / 3}, dx))
    with pytest.raises(AssertionError, match=r"params\.bias: backward says"):
        check_gradients(wrong, *example())


@pytest.mark.parametrize("shape", [(4, 3), (12,), (1, 3, 4)])
def test_a_wrong_shape_fails(shape):
    wrong = spoiled(lambda dparams, dx: (dparams, dx.reshape(shape)))
    with pytest.raises(AssertionError, match=r"gradient of x must have its shape \(3, 4\)"):
        check_gradients(wrong, *example())


def test_a_missing_key_fails_by_its_name():
    wrong = spoiled(lambda dparams, dx: ({"weight": dparams["weight"]}, dx))
    with pytest.raises(AssertionError, match=r"no gradient for \['params.bias'\]"):
        check_gradients(wrong, *example())


def test_a_key_too_many_fails_by_its_name():
    wrong = spoiled(lambda dparams, dx: ({**dparams, "scale": dx}, dx))
    with pytest.raises(AssertionError, match=r"one too many for \['params.scale'\]"):
        check_gradients(wrong, *example())


@pytest.mark.parametrize("count", [1, 3])
def test_a_gradient_too_many_or_too_few_fails(count):
    wrong = spoiled(lambda dparams, dx: (dparams, dx, dx)[:count])
    with pytest.raises(AssertionError, match=f"must return 2 gradients.*got {count}"):
        check_gradients(wrong, *example())


def test_a_bare_array_for_a_dict_of_one_parameter_fails():
    def scale(params, x):
        return params["weight"] * x, lambda dy: (dy * x, dy * params["weight"])

    weight, x = pair()
    with pytest.raises(AssertionError, match="params"):
        check_gradients(scale, {"weight": weight}, x)


def test_a_dict_for_an_array_fails():
    wrong = spoiled(lambda dparams, dx: (dparams, {"x": dx}))
    with pytest.raises(AssertionError, match=r"no gradient for \['x'\]"):
        check_gradients(wrong, *example())


def test_float32_is_refused_by_the_name_of_the_tensor():
    with pytest.raises(ValueError, match=r"params.weight must be float64 .* got float32"):
        check_gradients(linear, *example(np.float32))


def test_one_float32_array_among_others_is_refused():
    params, x = example()
    with pytest.raises(ValueError, match=r"^x must be float64 .* got float32"):
        check_gradients(linear, params, x.astype(np.float32))


def test_integers_masks_and_numbers_are_handed_through():
    def pick(x, ids, mask, factor):
        y = factor * x[ids] * mask[:, None]

        def backward(dy):
            dx = np.zeros_like(x)
            np.add.at(dx, ids, factor * dy * mask[:, None])
            return dx

        return y, backward

    arguments = (pair()[0], np.array([2, 0, 2]), np.array([True, True, False]), 0.7)
    assert [check.tensor for check in check_gradients(pick, *arguments)] == ["x"]


def test_what_is_bound_beforehand_is_not_differentiated():
    first, second = pair()

    def half(first, second):
        return first * second, lambda dy: dy * second

    checks = check_gradients(functools.partial(half, second=second), first)
    assert [check.tensor for check in checks] == ["first"]


def test_nested_parameters_are_named_with_dots():
    def nested(params, x):
        y, backward = linear(params["output"]["dense"], x)

        def nested_backward(dy):
            dparams, dx = backward(dy)
            return {"output": {"dense": dparams}}, dx

        return y, nested_backward

    checks = check_gradients(nested, {"output": {"dense": example()[0]}}, example()[1])
    assert checks[0].tensor == "params.output.dense.weight"


def test_a_dict_without_parameters_has_nothing_to_check():
    query = np.random.default_rng(0).standard_normal((1, 2, 3, 4))
    checks = check_gradients(attention_heads, {}, query, query + 1, query, None, SmallSettings())
    assert [check.tensor for check in checks] == ["query", "key", "value"]


def test_a_scalar_output_gets_a_scalar_upstream_gradient():
    def half_square(x):
        return 0.5 * np.square(x).sum(), lambda dloss: dloss * x

    check_gradients(half_square, pair()[0])
    with pytest.raises(AssertionError, match="x: backward says"):
        check_gradients(lambda x: (half_square(x)[0], lambda dloss: x), pair()[0])


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_a_gradient_of_zero_passes_where_the_output_does_not_change(value):
    def constant(x):
        return np.full(3, value), lambda dy: np.zeros_like(x)

    check_gradients(constant, pair()[0])


def test_a_gradient_fails_where_the_output_does_not_change():
    def constant(x):
        return np.ones(3), lambda dy: np.full_like(x, 1e-3)

    with pytest.raises(AssertionError, match="x: backward says"):
        check_gradients(constant, pair()[0])


@pytest.mark.parametrize("unit", [1e-12, 1e12])
def test_the_error_is_relative_to_the_size_of_the_gradient(unit):
    def scaled(x, percent_off=0.0):
        return unit * x**2, lambda dy: (1 + percent_off / 100) * dy * 2 * unit * x

    check_gradients(scaled, pair()[0])
    with pytest.raises(AssertionError, match="x: backward says"):
        check_gradients(functools.partial(scaled, percent_off=1), pair()[0])


def test_a_gradient_of_zero_passes_where_rounding_is_all_that_changes_the_output():
    def shifted(shift):
        x = 1e3 * pair()[0] + shift
        return x - x.mean(axis=-1, keepdims=True), lambda dy: np.zeros_like(shift)

    check_gradients(shifted, np.random.default_rng(1).standard_normal((3, 1)))


def test_each_parameter_is_moved_from_where_it_is():
    def squared(params):
        return params["weight"] ** 2, lambda dy: {"weight": 2 * dy * params["weight"]}

    check_gradients(squared, {"weight": pair()[0]})


def test_the_seed_chooses_directions_and_upstream_gradient():
    first, again, other = (check_gradients(linear, *example(), seed=s) for s in (0, 0, 1))
    assert [check.numerical for check in first] == [check.numerical for check in again]
    assert all(a.numerical != b.numerical for a, b in zip(first, other, strict=True))


def test_the_arguments_are_unchanged():
    params, x = example()
    check_gradients(linear, params, x)
    same_params, same_x = example()
    np.testing.assert_array_equal(x, same_x)
    np.testing.assert_array_equal(params["weight"], same_params["weight"])
    np.testing.assert_array_equal(params["bias"], same_params["bias"])


def test_arguments_without_a_name_are_numbered():
    def total(*terms):
        return sum(terms), lambda dy: (dy, 2 * dy)

    with pytest.raises(AssertionError, match=r"in total:\n  argument 1: backward says"):
        check_gradients(total, *pair())


def test_the_report_tells_wrong_gradients_instead_of_failing():
    wrong = spoiled(lambda dparams, dx: (dparams, 2 * dx))
    checks = gradient_checks(wrong, *example())
    assert [check.passed for check in checks] == [True, True, False]
    assert checks[2].analytic == pytest.approx(2 * checks[2].numerical, rel=1e-6)


def test_a_function_is_named_also_behind_partials():
    twice = functools.partial(functools.partial(linear, x=1), {})
    assert function_name(twice) == "linear"
