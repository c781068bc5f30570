"""AdamW and Adam against the formula in plain Python, and against torch."""

import math

import numpy as np
import pytest

from minibert2bert.training.optimizer import Adam, AdamW, clip_by_global_norm, make_optimizer
from minibert2bert.training.settings import TrainingSettings


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


@pytest.mark.parity
def test_ten_steps_of_adam_equal_torch():
    import torch

    rng = np.random.default_rng(1)
    params = random_params(rng)
    tensors = {name: torch.tensor(array.copy()) for name, array in params.items()}
    reference = torch.optim.Adam(tensors.values(), lr=0.01, betas=(0.8, 0.95), eps=1e-6)
    optimizer = Adam(params, learning_rate=0.01, betas=(0.8, 0.95), eps=1e-6)
    for _ in range(10):
        gradients = random_params(rng)
        for name, tensor in tensors.items():
            tensor.grad = torch.tensor(gradients[name])
        reference.step()
        optimizer.step(gradients)
    for name, tensor in tensors.items():
        np.testing.assert_allclose(params[name], tensor.numpy(), rtol=1e-12, atol=1e-14)


def test_adam_does_not_decay_what_adamw_does():
    rng = np.random.default_rng(5)
    params, gradients = random_params(rng), random_params(rng)
    plain, decayed = ({n: a.copy() for n, a in params.items()} for _ in range(2))
    Adam(plain, learning_rate=0.1).step(gradients)
    AdamW(decayed, learning_rate=0.1, weight_decay=0.2).step(gradients)
    expected = plain["weight"] - 0.1 * 0.2 * params["weight"]
    np.testing.assert_allclose(decayed["weight"], expected, rtol=1e-12)
    np.testing.assert_array_equal(decayed["bias"], plain["bias"])


def test_the_settings_make_the_optimizer():
    betas = {"adam_beta1": 0.8, "adam_beta2": 0.9, "adam_epsilon": 1e-3, "learning_rate": 0.1}
    made = make_optimizer(TrainingSettings(**betas, weight_decay=0.2), {})
    assert (type(made), made.weight_decay) == (AdamW, 0.2)
    adam = make_optimizer(TrainingSettings(**betas, optim="adam"), {})
    assert (type(adam), adam.weight_decay) == (Adam, 0.0)
    for optimizer in (made, adam):
        assert (optimizer.betas, optimizer.eps, optimizer.learning_rate) == ((0.8, 0.9), 1e-3, 0.1)


def test_an_optimizer_with_a_loaded_state_goes_on_as_the_first_would():
    rng = np.random.default_rng(6)
    params, gradients = random_params(rng), [random_params(rng) for _ in range(3)]
    first = AdamW(params)
    first.step(gradients[0])
    second = AdamW({name: array.copy() for name, array in params.items()})
    second.load_state(first.state(), first.steps)
    for optimizer in (first, second):
        optimizer.step(gradients[1])
        optimizer.step(gradients[2])
    for name, array in params.items():
        np.testing.assert_array_equal(second.params[name], array)


def test_the_state_has_the_names_of_torch():
    optimizer = AdamW(random_params(np.random.default_rng(7)), betas=(0.9, 0.99))
    optimizer.step({"weight": np.full((3, 2), 2.0)})
    state = optimizer.state()
    assert sorted(state) == ["exp_avg.weight", "exp_avg_sq.weight"]
    np.testing.assert_allclose(state["exp_avg.weight"], 0.2)
    np.testing.assert_allclose(state["exp_avg_sq.weight"], 0.04)


def test_a_state_of_another_model_is_an_error_that_names_the_parameter():
    optimizer = AdamW(random_params(np.random.default_rng(8)))
    for name, shape in (("other", (3, 2)), ("weight", (2, 2))):
        state = {f"{kind}.{name}": np.zeros(shape) for kind in ("exp_avg", "exp_avg_sq")}
        with pytest.raises(ValueError, match=f"moments of {name} fit no parameter"):
            optimizer.load_state(state, 1)


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


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_clipping_leaves_what_has_no_length_alone(bad):
    clipped, norm = clip_by_global_norm({"a": np.array([1.0, bad]), "b": np.array([2.0])}, 1.0)
    assert not math.isfinite(norm)
    np.testing.assert_array_equal(clipped["b"], [2.0])


def test_clipping_leaves_short_gradients_alone():
    clipped, _ = clip_by_global_norm({"a": np.array([0.3])}, 1.0)
    np.testing.assert_array_equal(clipped["a"], [0.3])
