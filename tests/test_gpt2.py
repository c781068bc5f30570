"""GPT-2 as a decoder: its stack, its loss, its cache and its files."""

import numpy as np
import pytest
from device_array import to_stand_in
from gpt2_support import (
    CROSS,
    DROPOUT,
    EXACT,
    SCALES,
    SIZES,
    B,
    L,
    N,
    T,
    V,
    encoder_inputs,
    normed,
    small_gpt2,
)
from model_support import PAD, assert_close, assert_equal_dicts, padded_mask, words

from minibert2bert.arrays import flatten, nest
from minibert2bert.checkpoints.safetensors_files import write_tensors
from minibert2bert.components.loss import IGNORE
from minibert2bert.components.masks import Masks, decoder_mask
from minibert2bert.device import to_numpy
from minibert2bert.generation.session import DecodingSession
from minibert2bert.inspection.gradient_check import check_gradients
from minibert2bert.models.config import GPT2Config
from minibert2bert.models.gpt2 import GPT2LMHeadModel, GPT2Model, transformer
from minibert2bert.models.gpt2_layers import block
from minibert2bert.models.pairing import check_decoder


@pytest.mark.parametrize("rng_seed", [None, 7], ids=["no dropout", "dropout"])
@pytest.mark.parametrize("segments", [False, True], ids=["no segments", "segments"])
@pytest.mark.parametrize("encoder", [False, True], ids=["alone", "with encoder"])
def test_the_gradients_of_the_stack_are_its_slopes(encoder, segments, rng_seed):
    rng = np.random.default_rng(5)
    scale = {"scale_attn_by_inverse_layer_idx": True}
    model = small_gpt2(kind=GPT2Model, add_cross_attention=encoder, **DROPOUT, **scale)
    given = encoder_inputs(rng) if encoder else {}
    types = {"token_type_ids": words(rng, B, T)} if segments else {}
    inputs = model.prepare(
        input_ids=words(rng, B, T), attention_mask=padded_mask(rng, B, T), **given, **types
    )

    def stack(params, *states):
        dropout_rng = None if rng_seed is None else np.random.default_rng(rng_seed)
        z = states[0] if states else None
        return transformer(params, z, inputs, model.config, dropout_rng, training=True)

    check_gradients(stack, model.params, *list(given.values())[:1])


@pytest.mark.parametrize("tied", [True, False])
def test_every_gradient_of_the_loss_is_its_slope(tied):
    # A word that is the padding elsewhere learns from its lookup like any other.
    model = small_gpt2(tie_word_embeddings=tied, pad_token_id=PAD)
    labels = words(np.random.default_rng(6), B, T)
    ids = labels.copy()
    labels[0, 2], ids[0, 1] = IGNORE, PAD

    def loss(params):
        model.set_parameters(params)
        value, backward = model.loss(ids, labels)
        return value, lambda dloss: nest(backward(dloss))

    check_gradients(loss, model.params)


def test_segments_are_words():
    model, rng = small_gpt2(), np.random.default_rng(7)
    ids, types = words(rng, B, T), words(rng, B, T)
    table = model.params["transformer"]["wte"]["weight"]
    expected = model(inputs_embeds=table[ids] + table[types]).logits
    assert_close(model(ids, token_type_ids=types).logits, expected, EXACT)
    assert (model(ids).logits != expected).any()


@pytest.mark.parametrize(
    ("types", "message"), [([[0, V]], r"in \[0, 17\)"), ([[0]], r"shape \(1, 2\), got \(1, 1\)")]
)
def test_segments_that_do_not_fit_are_refused(types, message):
    with pytest.raises(ValueError, match=f"token_type_ids must .*{message}"):
        small_gpt2()([[3, 4]], token_type_ids=types)


@pytest.mark.parametrize("cached", [False, True])
def test_hidden_states_end_with_the_last_layer_norm(cached):
    rng = np.random.default_rng(8)
    model, ids = small_gpt2(kind=GPT2Model, n_layer=3), words(rng, B, T)
    output = model(ids, output_hidden_states=True, use_cache=cached)
    params, states = model.params, output.hidden_states
    assert len(states) == 4
    embedded = params["wte"]["weight"][ids] + params["wpe"]["weight"][:T]
    assert_close(states[0], embedded, EXACT)
    masks = Masks(decoder_mask(None, T, T))
    for index in ("0", "1"):
        expected, _ = block(params["h"][index], states[int(index)], None, masks, 1, model.config)
        assert_close(states[int(index) + 1], expected, EXACT)
    last, _ = block(params["h"]["2"], states[2], None, masks, 1, model.config)
    assert_close(states[3], normed(params["ln_f"], last), EXACT)
    np.testing.assert_array_equal(states[3], output.last_hidden_state)


@pytest.mark.parametrize("is_decoder", [False, True])
def test_the_future_has_no_influence(is_decoder):
    model, ids = small_gpt2(is_decoder=is_decoder), words(np.random.default_rng(9), B, T)
    changed = np.where(np.arange(T) < 3, ids, PAD)
    before, after = model(ids).logits, model(changed).logits
    assert_close(after[:, :3], before[:, :3], EXACT)
    assert (after[:, 3:] != before[:, 3:]).any(axis=-1).all()


def test_a_head_mask_multiplies_the_weights_of_both_attentions():
    rng = np.random.default_rng(10)
    model, ids, given = small_gpt2(**CROSS), words(rng, B, T), encoder_inputs(rng)
    factors = rng.uniform(0, 1, (L, N))
    plain = model(ids, **given, output_attentions=True)
    scaled = model(ids, **given, output_attentions=True, head_mask=factors)
    by_head = factors[0][:, None, None]
    assert_close(scaled.attentions[0], plain.attentions[0] * by_head, EXACT)
    sums = scaled.cross_attentions[1].sum(axis=-1)
    assert_close(sums, np.broadcast_to(factors[1][:, None], (B, N, T)), EXACT)


def test_fresh_weights_that_add_to_the_residual_are_smaller():
    config = GPT2Config(**{**SIZES, "n_embd": 64, "n_layer": 3}, **CROSS)
    model = GPT2LMHeadModel(config, np.random.default_rng(0))
    for name, array in model.parameters().items():
        if array.ndim == 1:
            np.testing.assert_array_equal(array, float(name.endswith("weight")))
        else:
            std = 0.02 / np.sqrt(6) if name.endswith("c_proj.weight") else 0.02
            assert array.std() == pytest.approx(std, rel=0.1), name


CHUNKS = {"one by one": [1] * T, "in chunks": [2, 1, 2], "at once": [T]}


@pytest.mark.parametrize("padding", [None, "left", "right"])
@pytest.mark.parametrize("lengths", CHUNKS.values(), ids=CHUNKS)
@pytest.mark.parametrize("encoder", [False, True], ids=["alone", "with encoder"])
@pytest.mark.parametrize("scale", [SCALES[0], SCALES[3]], ids=["plain", "scaled"])
def test_cached_logits_are_those_of_the_whole_sequence(scale, encoder, lengths, padding):
    rng = np.random.default_rng(11)
    model, ids = small_gpt2(**scale, add_cross_attention=encoder), words(rng, B, T)
    given = {"head_mask": rng.uniform(0.2, 1, (L, N)), **(encoder_inputs(rng) if encoder else {})}
    mask = None if padding is None else padded_mask(rng, B, T, padding)
    whole = model(ids, mask, **given).logits
    cache, pieces = None, []
    for start, end in zip(np.cumsum([0, *lengths]), np.cumsum(lengths), strict=False):
        seen = None if mask is None else mask[:, :end]
        output = model(ids[:, start:end], seen, past_key_values=cache, use_cache=True, **given)
        cache = output.past_key_values
        pieces.append(output.logits)
    # A query that sees nothing takes the mean of all keys there are, so it depends on the chunk.
    sees = np.ones((B, T), bool) if mask is None else np.cumsum(mask, axis=1) > 0
    assert_close(np.concatenate(pieces, axis=1)[sees], whole[sees], EXACT)


def test_beams_that_change_places_have_the_logits_of_their_own_past():
    rng, K = np.random.default_rng(12), 3
    model, given = small_gpt2(**CROSS), encoder_inputs(rng)
    session = DecodingSession(model, *given.values())
    repeated = {name: np.repeat(array, K, axis=0) for name, array in given.items()}
    ids = np.repeat(words(rng, B, 2), K, axis=0)
    logits = session(ids)
    for _ in range(4):
        assert_close(logits, model(ids, **repeated).logits[:, -1], EXACT)
        parents = (np.arange(B)[:, None] * K + rng.integers(0, K, (B, K))).reshape(-1)
        newest = words(rng, B * K, 1)
        ids = np.concatenate([ids[parents], newest], axis=1)
        logits = session(newest, parents)


def test_loss_and_gradients_on_a_device_are_those_of_numpy():
    host, device = (small_gpt2(**CROSS) for _ in range(2))
    device.set_parameters(to_stand_in(device.params))
    rng = np.random.default_rng(13)
    ids, given = words(rng, B, T), encoder_inputs(rng)
    there = {**given, "encoder_hidden_states": to_stand_in(given["encoder_hidden_states"])}
    loss, backward = device.loss(ids, ids, **there)
    expected, host_backward = host.loss(ids, ids, **given)
    assert loss.get() == expected
    assert_equal_dicts(to_numpy(backward()), host_backward())


@pytest.mark.parametrize("prefix", ["", "transformer."])
@pytest.mark.parametrize("kind", [GPT2Model, GPT2LMHeadModel])
def test_files_are_read_with_and_without_prefix_and_their_masks_left_out(tmp_path, kind, prefix):
    model = small_gpt2(kind=GPT2Model)
    tensors = {f"{prefix}{name}": array for name, array in model.parameters().items()}
    for index in range(L):
        tensors[f"{prefix}h.{index}.attn.bias"] = np.ones((1, 1, 16, 16))
        tensors[f"{prefix}h.{index}.attn.masked_bias"] = np.array(-1e4)
    write_tensors(tmp_path, tensors)
    (tmp_path / "config.json").write_text(model.config.to_json())
    again = kind.from_pretrained(tmp_path, dtype="float64")
    assert again.load_report.new == again.load_report.unexpected == []
    assert_equal_dicts(flatten(again.stack_params()), model.parameters())


@pytest.mark.parametrize("changes", [{}, {"tie_word_embeddings": False, "n_inner": 5, **CROSS}])
def test_a_saved_model_comes_back_bit_by_bit(tmp_path, changes):
    model = small_gpt2(**changes)
    model.save_pretrained(tmp_path)
    again = GPT2LMHeadModel.from_pretrained(tmp_path, dtype="float64")
    assert again.config == model.config.replace(other=again.config.other)
    assert again.load_report.new == again.load_report.unexpected == []
    assert_equal_dicts(again.parameters(), model.parameters())


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"n_head": 3}, "multiple"),
        ({"activation_function": "gelu_mew"}, "did you mean gelu_new"),
        ({"pad_token_id": V}, "below vocab_size 17"),
    ],
)
def test_a_config_that_cannot_be_built_is_refused(setting, message):
    with pytest.raises(ValueError, match=message):
        GPT2Config(**{**SIZES, **setting})


def test_a_published_config_needs_only_cross_attention_to_be_paired():
    settings = {"model_type": "gpt2", "n_ctx": 1024, **SIZES}
    with pytest.raises(ValueError, match="add_cross_attention=False"):
        check_decoder(GPT2LMHeadModel(GPT2Config.from_dict(settings)))
    check_decoder(GPT2LMHeadModel(GPT2Config.from_dict(settings, **CROSS)))


@pytest.mark.parametrize(("n_inner", "width"), [(None, 32), (5, 5)])
def test_the_feed_forward_is_as_wide_as_the_config_says(n_inner, width):
    mlp = small_gpt2(kind=GPT2Model, n_inner=n_inner).params["h"]["0"]["mlp"]
    assert mlp["c_fc"]["weight"].shape == mlp["c_proj"]["weight"].shape[::-1] == (8, width)
