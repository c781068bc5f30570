"""AdamW against its formula in plain Python, and against torch."""

import math

import numpy as np
import pytest

from minibert2bert.training.optimizer import AdamW, clip_by_global_norm
from minibert2bert.training.schedule import linear_schedule


def random_params(rng):
    return {"weight": rng.standard_normal((3, 2)), "bias": rng.standard_normal(3)}


def test_a_step_is_the_formula_element_by_element():
    rng = np.random.default_rng(0)
    params = random_params(rng)
    before = {name: array.copy() for name, array in params.items()}
    gradients = [random_params(rng) for _ in range(3)]
    optimizer = AdamW(params, learning_rate=0.1, betas=(0.8, 0.9), eps=1e-3, weight_decay=0.2)
    for gradient in gradients:
        optimizer.step(gradient)
    for name, decay in (("weight", 0.2), ("bias", 0.0)):
        for index in np.ndindex(params[name].shape):
            p, m, v = before[name][index], 0.0, 0.0
            for t, gradient in enumerate(gradients, start=1):
                g = gradient[name][index]
                m = 0.8 * m + 0.2 * g
                v = 0.9 * v + 0.1 * g * g
                root = math.sqrt(v / (1 - 0.9**t)) + 1e-3
                p -= 0.1 * (m / (1 - 0.8**t) / root + decay * p)
            assert params[name][index] == pytest.approx(p, rel=1e-12)


@pytest.mark.parity
def test_ten_steps_equal_torch():
    import torch

    rng = np.random.default_rng(1)
    params = random_params(rng)
    tensors = {name: torch.tensor(array.copy()) for name, array in params.items()}
    groups = [
        {"params": [tensors["weight"]], "weight_decay": 0.05},
        {"params": [tensors["bias"]], "weight_decay": 0.0},
    ]
    reference = torch.optim.AdamW(groups, lr=0.01)
    optimizer = AdamW(params, learning_rate=0.01, weight_decay=0.05)
    for _ in range(10):
        gradients = random_params(rng)
        for name, tensor in tensors.items():
            tensor.grad = torch.tensor(gradients[name])
        reference.step()
        optimizer.step(gradients)
    for name, tensor in tensors.items():
        np.testing.assert_allclose(params[name], tensor.numpy(), rtol=1e-12, atol=1e-14)


def test_parameters_change_in_place_so_that_the_model_sees_it():
    params = random_params(np.random.default_rng(2))
    weight, before = params["weight"], params["weight"].copy()
    AdamW(params).step({"weight": np.ones((3, 2))})
    assert params["weight"] is weight
    assert (weight != before).all()


def test_a_parameter_without_a_gradient_stays():
    params = random_params(np.random.default_rng(3))
    before = params["bias"].copy()
    AdamW(params).step({"weight": np.ones((3, 2))})
    np.testing.assert_array_equal(params["bias"], before)


def test_an_array_with_two_names_takes_one_step_with_the_sum_of_its_gradients():
    rng = np.random.default_rng(4)
    weight = rng.standard_normal((3, 2))
    first, second = rng.standard_normal((2, 3, 2))
    once, shared = {"a": weight.copy()}, {"a": weight, "b": weight}
    AdamW(once).step({"a": first + second})
    AdamW(shared).step({"a": first, "b": second})
    np.testing.assert_array_equal(shared["b"], once["a"])


def test_float32_parameters_stay_float32():
    params = {"weight": np.ones((2, 2), np.float32)}
    AdamW(params, learning_rate=0.1).step({"weight": np.ones((2, 2), np.float32)})
    assert params["weight"].dtype == np.float32


def test_clipping_shortens_the_gradients_as_one_vector():
    gradients = {"a": np.array([3.0, 0.0]), "b": np.array([[4.0]])}
    clipped, norm = clip_by_global_norm(gradients, 1.0)
    assert norm == 5.0
    np.testing.assert_allclose(clipped["a"], [0.6, 0.0])
    np.testing.assert_allclose(clipped["b"], [[0.8]])


def test_clipping_leaves_short_gradients_alone():
    clipped, _ = clip_by_global_norm({"a": np.array([0.3])}, 1.0)
    np.testing.assert_array_equal(clipped["a"], [0.3])


def test_the_schedule_rises_to_one_and_falls_to_the_final_share():
    factors = [linear_schedule(step, 4, 12, final=0.2) for step in range(13)]
    np.testing.assert_allclose(factors[:5], [0.25, 0.5, 0.75, 1.0, 1.0])
    np.testing.assert_allclose(np.diff(factors[4:]), -0.1)
    assert factors[12] == pytest.approx(0.2)
