"""The whole model where its parameters live: on a stand-in for a GPU, and on a GPU."""

import numpy as np
import pytest
from device_array import DeviceArray, DeviceGenerator, to_stand_in
from model_support import assert_close, assert_equal_dicts, small_batch, small_pair

from minibert2bert.components.activations import ACTIVATIONS
from minibert2bert.device import default_rng, gpu_description, to_numpy
from minibert2bert.training.optimizer import AdamW, clip_by_global_norm

DROPOUT = {"hidden_dropout_prob": 0.2, "attention_probs_dropout_prob": 0.2}
RELATIVE = {"position_embedding_type": "relative_key_query"}
KINDS = {
    "plain": {},
    "two widths": {"encoder": {"hidden_size": 12}},
    "untied": {"decoder": {"tie_word_embeddings": False}},
    "relative positions": {"both": RELATIVE},
    "no attention to nothing": {"both": {"zero_fully_masked": True}},
}
SEARCHES = {
    "greedy": {},
    "beams": {"num_beams": 3, "num_return_sequences": 2, "length_penalty": 2.0},
}

IN_CUPY = {
    *("absolute", "add", "add.reduceat", "arange", "argmax", "argpartition", "argsort", "invert"),
    *("asarray", "bitwise_and", "clip", "concatenate", "divide", "empty_like", "equal", "exp"),
    *(
        "flatnonzero",
        "full_like",
        "greater",
        "greater_equal",
        "less",
        "less_equal",
        "log",
        "logaddexp",
    ),
    *("matmul", "maximum", "multiply", "negative", "not_equal", "ones_like", "remainder", "sign"),
    *("sqrt", "square", "subtract", "take_along_axis", "tanh", "vdot", "where", "zeros_like"),
    *("ndarray.any", "ndarray.astype", "ndarray.copy", "ndarray.max", "ndarray.mean"),
    *("ndarray.reshape", "ndarray.sum", "ndarray.swapaxes", "ndarray.transpose"),
    *("ndim", "shape"),
}
"""Functions of NumPy that CuPy 14 has under the same name; ndim and shape only ask."""


def on_stand_in(model):
    model.set_parameters(to_stand_in(model.params))
    return model


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("kind", KINDS)
def test_loss_and_gradients_are_those_of_numpy_to_the_last_bit(kind, dtype):
    host, device = (small_pair(dtype=dtype, **KINDS[kind]) for _ in range(2))
    host_loss, host_backward = host.loss(**small_batch())
    device_loss, device_backward = on_stand_in(device).loss(**small_batch())
    gradients = device_backward()
    assert all(isinstance(gradient, DeviceArray) for gradient in gradients.values())
    assert device_loss.get() == host_loss
    assert_equal_dicts(to_numpy(gradients), host_backward())


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_every_activation_is_that_of_numpy_to_the_last_bit(name):
    host, device = (small_pair(both={"hidden_act": name}) for _ in range(2))
    _, host_backward = host.loss(**small_batch())
    _, device_backward = on_stand_in(device).loss(**small_batch())
    assert_equal_dicts(to_numpy(device_backward()), host_backward())


def test_the_logits_are_those_of_numpy_to_the_last_bit():
    host, device = small_pair(), on_stand_in(small_pair())
    batch = {**small_batch(), "output_attentions": True, "output_hidden_states": True}
    there, here = device(**batch), host(**batch)
    assert there.loss.get() == here.loss
    np.testing.assert_array_equal(there.logits.get(), here.logits)
    np.testing.assert_array_equal(there.cross_attentions[1].get(), here.cross_attentions[1])


@pytest.mark.parametrize("search", SEARCHES)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("kind", KINDS)
def test_the_generated_ids_are_those_of_numpy(kind, dtype, search):
    host, device = (small_pair(dtype=dtype, **KINDS[kind]) for _ in range(2))
    batch = small_batch()
    source = batch["input_ids"], batch["attention_mask"]
    here = host.generate(*source, max_length=8, **SEARCHES[search])
    there = on_stand_in(device).generate(*source, max_length=8, **SEARCHES[search])
    np.testing.assert_array_equal(there, here, strict=True)


def test_a_training_step_with_dropout_is_that_of_numpy_to_the_last_bit():
    host, device = small_pair(both=DROPOUT), on_stand_in(small_pair(both=DROPOUT))
    for model, rng in ((host, np.random.default_rng(1)), (device, DeviceGenerator(1))):
        _, backward = model.loss(**small_batch(), rng=rng, label_smoothing=0.1)
        gradients, _ = clip_by_global_norm(backward(), 1.0)
        AdamW(model.parameters(), learning_rate=0.01).step(gradients)
    assert_equal_dicts(to_numpy(device.parameters()), host.parameters())


def test_only_functions_that_cupy_has_are_called():
    DeviceArray.called.clear()
    for kind in KINDS.values():
        step_and_search(on_stand_in(small_pair(**kind)), DeviceGenerator(0))
    for name in ACTIVATIONS:
        on_stand_in(small_pair(both={"hidden_act": name})).loss(**small_batch())[1]()
    print("NumPy's functions in use:", *sorted(DeviceArray.called))
    assert DeviceArray.called - IN_CUPY == set()


def step_and_search(model, rng):
    batch = small_batch()
    _, backward = model.loss(**batch, rng=rng, label_smoothing=0.1)
    gradients, _ = clip_by_global_norm(backward(), 1.0)
    AdamW(model.parameters()).step(gradients)
    model(**batch, output_attentions=True)
    for options in SEARCHES.values():
        model.generate(batch["input_ids"], batch["attention_mask"], max_length=8, **options)


def test_the_stand_in_does_not_become_a_numpy_array():
    with pytest.raises(TypeError, match="does not become a NumPy array"):
        np.asarray(DeviceArray([1.0, 2.0]))


@pytest.mark.parametrize(
    "meet",
    [
        lambda device, host: device + host,
        lambda device, host: np.where(device > 1, host, 0),
        lambda device, host: np.concatenate([device, host]),
        lambda device, host: device[host],
        lambda device, host: device.__setitem__(slice(None), host),
        lambda device, host: device.__iadd__(host),
    ],
)
def test_the_stand_in_does_not_meet_a_numpy_array(meet):
    with pytest.raises(TypeError, match=r"NumPy array of shape \(2,\) meets"):
        meet(DeviceArray([1.0, 2.0]), np.array([0, 1]))


NEEDS_GPU = pytest.mark.skipif(gpu_description().startswith("CuPy is"), reason="needs a GPU")
ROUNDING = {"float64": 1e-10, "float32": 1e-4}
"""Sums are taken in another order."""


@pytest.mark.gpu
@NEEDS_GPU
@pytest.mark.parametrize("dtype", ROUNDING)
@pytest.mark.parametrize("kind", KINDS)
def test_loss_and_gradients_on_a_gpu_are_those_of_numpy(kind, dtype):
    host, device = (small_pair(dtype=dtype, **KINDS[kind]) for _ in range(2))
    host_loss, host_backward = host.loss(**small_batch())
    device_loss, device_backward = device.to("cuda").loss(**small_batch())
    assert_close(float(device_loss), host_loss, ROUNDING[dtype])
    expected, actual = host_backward(), to_numpy(device_backward())
    scale = max(np.abs(gradient).max() for gradient in expected.values())
    for name, gradient in expected.items():
        assert actual[name].dtype == gradient.dtype
        assert_close(actual[name], gradient, ROUNDING[dtype], scale, name)


@pytest.mark.gpu
@NEEDS_GPU
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_every_activation_on_a_gpu_is_that_of_numpy(name):
    host, device = (small_pair(both={"hidden_act": name}) for _ in range(2))
    expected = host.loss(**small_batch())[1]()
    actual = to_numpy(device.to("cuda").loss(**small_batch())[1]())
    scale = max(np.abs(gradient).max() for gradient in expected.values())
    for parameter, gradient in expected.items():
        assert_close(actual[parameter], gradient, ROUNDING["float64"], scale, parameter)


@pytest.mark.gpu
@NEEDS_GPU
@pytest.mark.parametrize("search", SEARCHES)
@pytest.mark.parametrize("kind", KINDS)
def test_the_ids_generated_on_a_gpu_are_those_of_numpy(kind, search):
    host, device = (small_pair(**KINDS[kind]) for _ in range(2))
    batch = small_batch()
    source = batch["input_ids"], batch["attention_mask"]
    here = host.generate(*source, max_length=8, **SEARCHES[search])
    there = device.to("cuda").generate(*source, max_length=8, **SEARCHES[search])
    np.testing.assert_array_equal(there, here, strict=True)


@pytest.mark.gpu
@NEEDS_GPU
def test_a_model_trains_on_a_gpu():
    model = small_pair(both=DROPOUT, dtype="float32").to("cuda")
    before = float(model(**small_batch()).loss)
    optimizer = AdamW(model.parameters(), learning_rate=0.01)
    rng = default_rng(0, like=model.like)
    for _ in range(20):
        optimizer.step(model.loss(**small_batch(), rng=rng)[1]())
    assert float(model(**small_batch()).loss) < before
