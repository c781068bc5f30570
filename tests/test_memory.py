"""What a backward holds on to, counted in activations of B * T * H numbers."""

import gc
import tracemalloc
from types import FunctionType

import numpy as np
import pytest
from model_support import AS_DECODER, small_batch, small_config, small_decoder, small_pair

from minibert2bert.arrays import flatten
from minibert2bert.components.masks import Masks, decoder_mask, padding_mask
from minibert2bert.models.bert_layers import (
    decoder_layer,
    decoder_stack,
    encoder_layer,
    encoder_stack,
)

B, T, H, N = 2, 8, 16, 2
# With N * T = H and as many sources as targets, the weights of an attention are B * T * H too.
SIZES = {"hidden_size": H, "num_attention_heads": N, "intermediate_size": 4 * H}
DROPOUT = {"hidden_dropout_prob": 0.1, "attention_probs_dropout_prob": 0.1}

SELF_ATTENTION = 7
"""Input, scaled query, key, value, weights, context, and the normalised sum."""
CROSS_ATTENTION = 8
"""The encoder's states as well; all layers hold the same."""
FEED_FORWARD = 14
"""Input, normalised sum, and at four times the width: before the activation, phi, after it."""
DROPPED_WEIGHTS = 1
"""With dropout, the weights of each attention before and after it."""
NORM = 1 / H
"""The inverse standard deviation of each position."""


def held_arrays(thing, found=None):
    """The buffers that a function can reach through its closure, by the id of each."""
    found = {} if found is None else found
    if isinstance(thing, np.ndarray):
        while isinstance(thing.base, np.ndarray):
            thing = thing.base
        found[id(thing)] = thing
    elif type(thing) is FunctionType:
        for cell in thing.__closure__ or ():
            held_arrays(cell.cell_contents, found)
    elif isinstance(thing, dict | list | tuple):
        for item in thing.values() if isinstance(thing, dict) else thing:
            held_arrays(item, found)
    return found


def held_activations(backward, params):
    """The floats and the truth values that backward holds besides the params, over B * T * H."""
    of_params = set(held_arrays(params))
    arrays = [array for key, array in held_arrays(backward).items() if key not in of_params]
    floats = sum(array.size for array in arrays if array.dtype == np.float64)
    truths = sum(array.size for array in arrays if array.dtype == bool)
    assert floats + truths == sum(array.size for array in arrays)
    return floats / (B * T * H), truths / (B * T * H)


def layer_backward(layer, rng=None, **settings):
    config = small_config(**SIZES, **AS_DECODER, **settings)
    params = small_decoder(**SIZES, **settings).params["bert"]["encoder"]["layer"]["0"]
    states = np.random.default_rng(0).standard_normal((2, B, T, H))
    mask = np.ones((B, T))
    masks = Masks(decoder_mask(mask, T, T), padding_mask(mask))
    inputs = states[:1] if layer is encoder_layer else states
    _, backward = layer(params, *(array.copy() for array in inputs), masks, config, rng)
    return backward, params


def test_an_encoder_layer_holds_21_activations():
    floats, truths = held_activations(*layer_backward(encoder_layer))
    assert floats == SELF_ATTENTION + FEED_FORWARD + 2 * NORM
    assert truths == 0


def test_a_decoder_layer_holds_29_activations():
    floats, truths = held_activations(*layer_backward(decoder_layer))
    assert floats == SELF_ATTENTION + CROSS_ATTENTION + FEED_FORWARD + 3 * NORM
    assert truths == 0


def test_dropout_costs_a_decoder_layer_2_activations_and_5_masks_of_truth_values():
    without, _ = held_activations(*layer_backward(decoder_layer))
    rng = np.random.default_rng(0)
    floats, truths = held_activations(*layer_backward(decoder_layer, rng, **DROPOUT))
    assert floats == without + 2 * DROPPED_WEIGHTS
    assert truths == 5


def test_the_count_sees_what_a_closure_adds():
    backward, params = layer_backward(decoder_layer)
    floats, _ = held_activations(backward, params)
    more = np.zeros((2, B, T, H))

    def hoarding():
        return backward, more[0]

    assert held_activations(hoarding, params)[0] == floats + 2


def peak_activations(layers, call):
    """The memory that a call needs at its worst moment, in activations."""
    model = small_pair(both={**SIZES, "num_hidden_layers": layers})
    batch = without_padding(small_batch(batch=8, source=16, target=16))
    gc.collect()
    tracemalloc.start()
    try:
        call(model, batch)
        return tracemalloc.get_traced_memory()[1] / (8 * 16 * H * 8)
    finally:
        tracemalloc.stop()


def test_padding_takes_no_memory_in_training():
    model, held = small_pair(both=SIZES), []
    for length in (4, 8):
        mask = np.broadcast_to(np.arange(length) < 4, (B, length))
        ids, labels = np.where(mask, 5, 0), np.where(mask, 5, -100)
        _, backward = model.loss(ids, labels, mask, decoder_attention_mask=mask)
        floats = [a.size for a in held_arrays(backward).values() if a.dtype == np.float64]
        held.append(sum(floats))
    assert held[1] == held[0]


def without_padding(batch):
    """Every position a token: what is padding takes no memory in training."""
    full = {name: np.where(array > 0, array, 3) for name, array in batch.items()}
    return {**full, "attention_mask": np.ones_like(batch["attention_mask"])}


def test_inference_needs_no_more_memory_for_more_layers():
    shallow, deep = (peak_activations(layers, use) for layers in (3, 7))
    assert deep - shallow < 1


def use(model, batch):
    model(**batch)


def test_training_needs_memory_for_every_layer():
    shallow, deep = (peak_activations(layers, train) for layers in (3, 7))
    assert deep - shallow > 4 * (21 + 29)


def train(model, batch):
    model.loss(**batch)


def live_closures():
    """How many functions exist that were made inside a function of the package."""
    gc.collect()
    return sum(
        type(thing) is FunctionType
        and str(thing.__module__).startswith("minibert2bert.")
        and "<locals>" in thing.__qualname__
        # Dataclasses make their special methods so, too.
        and not thing.__name__.startswith("__")
        for thing in gc.get_objects()
    )


def test_a_call_keeps_nothing_to_differentiate():
    model, batch = small_pair(), small_batch()
    before = live_closures()
    output = model(**batch, output_hidden_states=True, use_cache=True)
    assert live_closures() == before
    assert output.loss > 0


def test_a_loss_keeps_its_backward_until_that_is_dropped():
    model, batch = small_pair(), small_batch()
    before = live_closures()
    _, backward = model.loss(**batch)
    assert live_closures() > before
    del backward
    assert live_closures() == before


def test_generate_keeps_nothing_to_differentiate_from_step_to_step(monkeypatch):
    model, batch = small_pair(), small_batch()
    head, counts, before = model.decoder.head, [], live_closures()

    def counting_head(states):
        counts.append(live_closures() - before)
        return head(states)

    monkeypatch.setattr(model.decoder, "head", counting_head)
    model.generate(batch["input_ids"], batch["attention_mask"], max_length=6, eos_token_id=None)
    assert counts == [0] * 5
    assert live_closures() == before


@pytest.mark.parametrize("stack", [encoder_stack, decoder_stack])
def test_a_stack_that_kept_nothing_says_how_to_get_a_backward(stack):
    params = small_decoder().params["bert"]["encoder"]
    states = np.ones((1, 2, 8))
    inputs = (states,) if stack is encoder_stack else (states, states)
    y, backward = stack(params, *inputs, Masks(), small_config(**AS_DECODER))
    with pytest.raises(RuntimeError, match=r"training=True, or model\.loss"):
        backward(np.ones_like(y))
    assert not held_arrays(backward)


def test_the_gradients_do_not_hold_the_activations():
    model, batch = small_pair(), small_batch()
    gradients = model.loss(**batch)[1]()
    sizes = {name: array.size for name, array in flatten(model.params).items()}
    for name, gradient in gradients.items():
        assert sum(array.size for array in held_arrays(gradient).values()) == sizes[name], name
