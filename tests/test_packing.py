"""Training computes the tokens and leaves the padding out; nobody can tell but by the clock."""

from dataclasses import replace

import numpy as np
import pytest
from model_support import assert_close, largest, padded_mask, small_batch, small_pair, words

from minibert2bert.components.loss import IGNORE
from minibert2bert.models import transformer
from minibert2bert.models.packing import can_be_packed, packing_of
from minibert2bert.recording import recording

VISIBLE = np.array([[1, 1, 0, 0], [0, 1, 1, 1], [1, 0, 0, 1]], dtype=bool)
ROUNDING = 1e-12


def gradients_of(model, batch, monkeypatch, packs):
    """Loss and gradients; packs tells which stacks left their padding out."""

    def watched(*arguments):
        packs.append(can_be_packed(*arguments))
        return packs[-1]

    with monkeypatch.context() as patch:
        patch.setattr(transformer, "can_be_packed", watched)
        loss, backward = model.loss(**batch)
        return loss, backward()


def with_padding(model, batch):
    """The same while somebody looks at every position."""
    with recording():
        loss, backward = model.loss(**batch)
        return loss, backward()


def assert_same(actual, expected):
    assert_close(actual[0], expected[0], ROUNDING)
    scale = max(map(largest, expected[1].values()))
    for name, gradient in expected[1].items():
        assert_close(actual[1][name], gradient, ROUNDING, scale, name)


def test_what_is_packed_comes_back_among_zeros():
    packing, x = packing_of(VISIBLE, np.ones(1)), np.random.default_rng(0).random((3, 4, 5))
    np.testing.assert_array_equal(packing.unpack(packing.pack(x)), x * VISIBLE[..., None])


def test_the_texts_stand_one_after_the_other():
    packing, ids = packing_of(VISIBLE, np.ones(1)), np.arange(12).reshape(3, 4)
    packed = packing.pack(ids)
    assert packed.tolist() == [[0, 1, 5, 6, 7, 8, 11]]
    texts = [packed[0, span].tolist() for span in packing.spans]
    assert texts == [[0, 1], [5, 6, 7], [8, 11]]


def test_what_all_texts_share_is_repeated_for_each():
    assert packing_of(VISIBLE, np.ones(1)).pack(np.arange(4)[None]).tolist() == [
        [0, 1, 1, 2, 3, 0, 3]
    ]


@pytest.mark.parametrize("side", ["left", "right"])
def test_loss_and_gradients_are_those_with_padding(side, monkeypatch):
    rng, packs = np.random.default_rng(1), []
    mask, counted = padded_mask(rng, 3, 5, side), padded_mask(rng, 3, 4, side)
    batch = {
        "input_ids": words(rng, 3, 5),
        "attention_mask": mask,
        "decoder_input_ids": words(rng, 3, 4),
        "decoder_attention_mask": counted,
        "labels": np.where(counted == 1, words(rng, 3, 4), IGNORE),
    }
    model = small_pair()
    assert_same(gradients_of(model, batch, monkeypatch, packs), with_padding(model, batch))
    assert packs == [True, True]


def test_holes_in_a_mask_are_left_out_too(monkeypatch):
    model, packs = small_pair(), []
    batch = {**small_batch(source=4), "attention_mask": VISIBLE}
    assert_same(gradients_of(model, batch, monkeypatch, packs), with_padding(model, batch))
    assert packs == [True, True]


def test_a_label_at_padding_keeps_the_padding(monkeypatch):
    model, batch, packs = small_pair(), small_batch(), []
    batch["decoder_attention_mask"] = np.array([[1, 1, 1, 0]] * 3)
    batch["labels"] = words(np.random.default_rng(0), 3, 4)
    assert_same(gradients_of(model, batch, monkeypatch, packs), with_padding(model, batch))
    assert packs == [True, False]


def test_a_source_without_a_token_keeps_the_padding(monkeypatch):
    model, batch, packs = small_pair(), small_batch(), []
    batch["attention_mask"][1] = 0
    assert_same(gradients_of(model, batch, monkeypatch, packs), with_padding(model, batch))
    assert packs == [False, False]


def test_relative_positions_keep_the_padding(monkeypatch):
    model, packs = small_pair(both={"position_embedding_type": "relative_key"}), []
    gradients_of(model, small_batch(), monkeypatch, packs)
    assert packs == [False, False]


def test_a_recording_keeps_the_padding():
    inputs = small_pair().encoder.prepare(input_ids=[[5, 6]], attention_mask=[[1, 0]])
    assert can_be_packed(inputs, small_pair().encoder.config, inputs.visible)
    with recording():
        assert not can_be_packed(inputs, small_pair().encoder.config, inputs.visible)


def test_without_a_mask_there_is_nothing_to_leave_out():
    encoder = small_pair().encoder
    inputs = encoder.prepare(input_ids=[[5, 6]])
    assert not can_be_packed(inputs, encoder.config, np.ones((1, 2), dtype=bool))
    assert not can_be_packed(
        replace(inputs, visible=np.ones((1, 2), dtype=bool)), encoder.config, None
    )


def test_a_call_computes_the_states_of_padding():
    encoder = small_pair().encoder
    states = encoder([[5, 6, 7]], [[1, 1, 0]]).last_hidden_state
    assert np.abs(states[0, 2]).min() > 0
