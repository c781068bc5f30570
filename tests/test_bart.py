"""BART's decoder: its equations, gradients, cache and files, and transformers on the other side."""

import json
import math
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from model_support import (
    PAD,
    assert_close,
    draw_labels,
    draw_mask,
    padded_mask,
    randomised,
    set_weights,
    some,
    words,
)
from parity_support import (
    EXTRAS,
    FLOAT64,
    Reference,
    assert_equal_gradients,
    assert_equal_in_float32,
    assert_equal_outputs,
    quietly,
)
from references.recipe import recipe_weights
from support import layer_norm_in_loops, seeded

from minibert2bert.arrays import flatten, nest
from minibert2bert.checkpoints.safetensors_files import write_tensors
from minibert2bert.components.activations import ACTIVATIONS
from minibert2bert.components.loss import IGNORE
from minibert2bert.components.masks import Masks, causal_mask, padding_mask
from minibert2bert.generation.session import DecodingSession
from minibert2bert.inspection.gradient_check import check_gradients
from minibert2bert.models.bart import BartForCausalLM, decoder, embeddings, head
from minibert2bert.models.bart_layers import decoder_layer, droppable_layer, feed_forward_block
from minibert2bert.models.config import BartConfig, EncoderDecoderConfig, config_from_dict
from minibert2bert.models.encoder_decoder import EncoderDecoderModel
from minibert2bert.recording import recording

B, T, S, H, F = 3, 7, 5, 8, 12
EXACT = 1e-12
SIZES = {
    "vocab_size": 17,
    "max_position_embeddings": 16,
    "d_model": H,
    "encoder_layers": 2,
    "encoder_ffn_dim": 4,
    "encoder_attention_heads": 4,
    "decoder_layers": 2,
    "decoder_ffn_dim": F,
    "decoder_attention_heads": 2,
    "dropout": 0.0,
    "pad_token_id": PAD,
}
DROPOUTS = {"dropout": 0.2, "attention_dropout": 0.3, "activation_dropout": 0.4}
WORDS = "model.decoder.embed_tokens.weight"
POSITIONS = "model.decoder.embed_positions.weight"
GOLDEN = json.loads((Path(__file__).parent / "data" / "golden.json").read_text(encoding="utf-8"))
WITH_ENCODER = pytest.mark.parametrize("encoder", [True, False], ids=["encoder", "alone"])


def random_bart(rng, config, dtype="float64"):
    """Draw every parameter; the weights of layer norms, by their names in BART, around 1."""
    model = randomised(BartForCausalLM(config, rng, dtype), rng)
    for name, array in model.parameters().items():
        array += name.endswith(("layer_norm.weight", "layernorm_embedding.weight"))
    return model


def small_bart(seed=0, dtype="float64", **changes):
    return random_bart(np.random.default_rng(seed), BartConfig(**{**SIZES, **changes}), dtype)


def source(rng, encoder=True):
    """What the decoder reads from an encoder, some of it padding."""
    if not encoder:
        return {}
    states, mask = rng.standard_normal((B, S, H)), padded_mask(rng, B, S)
    return {"encoder_hidden_states": states, "encoder_attention_mask": mask}


def layer_case(rng, encoder, **changes):
    """Config, params and states of a layer, the encoder's states, and masks."""
    model = small_bart(**changes)
    states = rng.standard_normal((B, S, H)) if encoder else None
    masks = Masks(causal_mask(T, T), padding_mask(padded_mask(rng, B, S)), np.array([0.7, 1.4]))
    params = model.params["model"]["decoder"]["layers"]["1"]
    if not encoder:
        params = {n: part for n, part in params.items() if not n.startswith("encoder_attn")}
    return model.config, params, rng.standard_normal((B, T, H)), states, masks


def test_embeddings_are_those_of_the_equation():
    model = small_bart(scale_embedding=True)
    ids = words(np.random.default_rng(0), B, T)
    params = model.stack_params()
    x, _ = embeddings(params, model.prepare(input_ids=ids), model.config)
    word, position = (params[n]["weight"] for n in ("embed_tokens", "embed_positions"))
    row = math.sqrt(H) * word[ids[1, 3]] + position[3 + 2]
    expected = layer_norm_in_loops(params["layernorm_embedding"], row, 1e-5)
    np.testing.assert_allclose(x[1, 3], expected, rtol=EXACT)


def test_vectors_given_in_place_of_ids_are_not_scaled():
    model = small_bart(scale_embedding=True)
    ids = words(np.random.default_rng(1), B, T)
    looked_up = model.parameters()[WORDS][ids] * math.sqrt(H)
    assert_close(model(inputs_embeds=looked_up).logits, model(ids).logits, EXACT)


@pytest.mark.parametrize("rate", [0.0, 0.5])
def test_the_feed_forward_is_that_of_the_equation(rate):
    changes = {"activation_function": "relu", "activation_dropout": rate}
    config, params, states, *_ = layer_case(np.random.default_rng(2), False, **changes)
    y, _ = feed_forward_block(params, states, config, np.random.default_rng(3))
    bits = np.random.default_rng(3).integers(0, 2**16, (B, T, F), dtype=np.uint16)
    kept = bits[1, 4] >= rate * 2**16
    x, fc1, fc2 = states[1, 4], params["fc1"], params["fc2"]
    widened = [max(0.0, sum(w * x) + b) for w, b in zip(fc1["weight"], fc1["bias"], strict=True)]
    dropped = widened * kept / (1 - rate)
    narrowed = [sum(w * dropped) + b for w, b in zip(fc2["weight"], fc2["bias"], strict=True)]
    expected = layer_norm_in_loops(params["final_layer_norm"], narrowed + x, 1e-5)
    np.testing.assert_allclose(y[1, 4], expected, rtol=1e-10)
    assert kept.all() == (rate == 0)


@pytest.mark.parametrize("setting", ["dropout", "attention_dropout"])
def test_attention_weights_are_dropped_at_a_rate_of_their_own(setting):
    model = small_bart(**{setting: 0.5})
    with recording() as arrays:
        model.loss([[5, 6, 7, 8]], [[6, 7, 8, 9]], rng=np.random.default_rng(0))
    seen = arrays["layers.0.attention.probs"][np.broadcast_to(causal_mask(4, 4), (1, 2, 4, 4))]
    embedded = arrays["embeddings.hidden_states"]
    assert (seen == 0).any() == (setting == "attention_dropout")
    assert (embedded == 0).any() == (setting == "dropout")


@WITH_ENCODER
@pytest.mark.parametrize("rates", [{}, DROPOUTS], ids=["plain", "dropout"])
def test_a_layer_has_the_gradient_of_finite_differences(encoder, rates):
    config, params, states, encoder_states, masks = layer_case(
        np.random.default_rng(4), encoder, **rates
    )
    function = partial(decoder_layer, masks=masks, config=config)
    function = seeded(function) if rates else function
    checks = check_gradients(function, params, states, encoder_states)
    assert len(checks) == (26 if encoder else 16) + 1 + encoder


@WITH_ENCODER
def test_a_skipped_layer_has_the_gradient_of_finite_differences(encoder):
    config, params, states, encoder_states, masks = layer_case(
        np.random.default_rng(5), encoder, decoder_layerdrop=1.0
    )
    function = seeded(partial(droppable_layer, masks=masks, config=config))
    np.testing.assert_array_equal(function(params, states, encoder_states)[0], states)
    check_gradients(function, params, states, encoder_states)


def stack_of(model, inputs):
    """The stack as a function of what it differentiates."""

    def stack(params, encoder_hidden_states):
        rng = np.random.default_rng(8)
        return decoder(params, encoder_hidden_states, inputs, model.config, rng, training=True)

    return stack


@WITH_ENCODER
@pytest.mark.parametrize("layerdrop", [0.0, 0.5])
def test_the_stack_has_the_gradient_of_finite_differences(encoder, layerdrop):
    rng = np.random.default_rng(6)
    model = small_bart(
        scale_embedding=True, decoder_layers=3, decoder_layerdrop=layerdrop, **DROPOUTS
    )
    given = source(rng, encoder)
    inputs = model.prepare(input_ids=words(rng, B, T), **given)
    params = model.stack_params()
    if not encoder:
        params = nest({n: a for n, a in flatten(params).items() if "encoder_attn" not in n})
    check_gradients(stack_of(model, inputs), params, given.get("encoder_hidden_states"))


@pytest.mark.parametrize("tied", [True, False])
def test_the_head_has_no_bias_and_the_gradient_of_finite_differences(tied):
    rng = np.random.default_rng(7)
    model, states = small_bart(tie_word_embeddings=tied), rng.standard_normal((B, T, H))
    used = WORDS if tied else "lm_head.weight"
    params = nest({used: model.parameters()[used]})
    function = partial(head, config=model.config)
    logits, _ = function(params, states)
    weight = model.parameters()[used]
    np.testing.assert_allclose(logits, np.einsum("bth,vh->btv", states, weight), rtol=1e-10)
    check_gradients(function, params, states)


def test_the_loss_has_the_gradient_of_finite_differences():
    rng = np.random.default_rng(8)
    model = small_bart()
    batch = {"input_ids": words(rng, B, T), "labels": words(rng, B, T), **source(rng)}

    def loss_of(params):
        loss, backward = BartForCausalLM.from_parameters(model.config, params).loss(**batch)
        return loss, lambda dloss: nest(backward(dloss))

    check_gradients(loss_of, model.params)


def test_the_label_of_a_position_is_for_that_position():
    rng = np.random.default_rng(9)
    model, ids, labels = small_bart(), words(rng, B, T), words(rng, B, T)
    labels[:, 2] = IGNORE
    output = model(ids, labels=labels)
    log_probs = output.logits - np.log(np.exp(output.logits).sum(axis=-1, keepdims=True))
    counted = [
        -log_probs[b, t, labels[b, t]] for b, t in np.ndindex(B, T) if labels[b, t] != IGNORE
    ]
    np.testing.assert_allclose(output.loss, np.mean(counted), rtol=EXACT)
    np.testing.assert_allclose(model.loss(ids, labels)[0], np.mean(counted), rtol=EXACT)


@pytest.mark.parametrize("tied", [True, False])
def test_looking_the_padding_up_teaches_its_row_nothing(tied):
    model = small_bart(tie_word_embeddings=tied)
    ids, labels = np.full((1, 3), PAD), np.array([[5, 6, 7]])
    row = model.loss(ids, labels)[1]()[WORDS][PAD]
    of_head = small_bart(pad_token_id=None, tie_word_embeddings=tied).loss(ids, labels)[1]()
    assert row.any() == tied
    assert not np.allclose(row, of_head[WORDS][PAD])


def test_positions_begin_in_the_third_row_of_their_table():
    model = small_bart()
    gradient = model.loss([[5, 6, 7]], [[6, 7, 8]])[1]()[POSITIONS]
    assert gradient.shape == (16 + 2, H)
    np.testing.assert_array_equal(np.flatnonzero(gradient.any(axis=1)), [2, 3, 4])


def test_as_many_positions_as_the_config_says_can_be_used():
    model, ids = small_bart(), np.full((1, 17), 5)
    assert model(ids[:, :16]).logits.shape == (1, 16, 17)
    with pytest.raises(ValueError, match=r"17 positions.* room for 16"):
        model(ids)


def test_a_position_does_not_see_the_future_or_the_padding():
    rng = np.random.default_rng(10)
    model, ids, mask = small_bart(), words(rng, B, T), np.ones((B, T), int)
    mask[:, 0] = 0
    changed = ids.copy()
    changed[:, 0], changed[:, 4:] = 5, 6
    logits, again = (model(i, mask).logits for i in (ids, changed))
    np.testing.assert_array_equal(logits[:, 1:4], again[:, 1:4])
    assert (logits[:, 4:] != again[:, 4:]).any()


def feed_in_chunks(model, ids, mask, lengths, **given):
    pieces, cache, end = [], None, 0
    for length in lengths:
        start, end = end, end + length
        seen = None if mask is None else mask[:, :end]
        output = model(ids[:, start:end], seen, past_key_values=cache, use_cache=True, **given)
        cache = output.past_key_values
        pieces.append(output.logits)
    return np.concatenate(pieces, axis=1)


@WITH_ENCODER
@pytest.mark.parametrize("padding", [None, "left", "right"])
@pytest.mark.parametrize("lengths", [[1] * T, [3, 1, 2, 1], [T]], ids=["steps", "chunks", "once"])
@pytest.mark.parametrize("zeros", [False, True])
def test_cached_logits_are_those_of_the_whole_sequence(encoder, padding, lengths, zeros):
    rng = np.random.default_rng(11)
    model = small_bart(scale_embedding=True, zero_fully_masked=zeros, **DROPOUTS)
    ids, given = words(rng, B, T), source(rng, encoder)
    mask = None if padding is None else padded_mask(rng, B, T, padding)
    whole = model(ids, mask, **given).logits
    pieces = feed_in_chunks(model, ids, mask, lengths, **given)
    # A query that sees nothing takes the mean of all keys there are, which depends on the chunk,
    # or zeros, which do not.
    sees = np.ones((B, T), bool) if mask is None or zeros else np.cumsum(mask, axis=1) > 0
    assert_close(pieces[sees], whole[sees], EXACT)


def test_beams_are_further_queries_of_one_copy_of_the_encoder():
    rng, K = np.random.default_rng(12), 4
    model, given = small_bart(), source(rng)
    session = DecodingSession(model, *given.values())
    ids, newest = words(rng, B * K, 3), words(rng, B * K, 1)
    session(ids)
    # A beam continues any beam of its own input.
    parents = (np.arange(B)[:, None] * K + rng.integers(0, K, (B, K))).reshape(-1)
    logits = session(newest, parents)
    assert session.cache.layers[0].cross[0].shape == (B, 2, S, H // 2)
    sequence = np.concatenate([ids[parents], newest], axis=1)
    repeated = {name: np.repeat(array, K, axis=0) for name, array in given.items()}
    assert_close(logits, model(sequence, **repeated).logits[:, -1], EXACT)


def test_a_cached_call_returns_the_attentions_and_states_of_a_plain_one():
    rng = np.random.default_rng(13)
    model, ids, given = small_bart(), words(rng, B, T), source(rng)
    call = {**given, **EXTRAS, "head_mask": [[0.5, 2.0], [0.0, 1.0]]}
    plain, cached = (model(ids, use_cache=use, **call) for use in (False, True))
    for field, count in (("hidden_states", 3), ("attentions", 2), ("cross_attentions", 2)):
        assert len(plain[field]) == count
        for array, expected in zip(cached[field], plain[field], strict=True):
            assert_close(array, expected, EXACT, name=field)


def layers_that_ran(rate, seeds, **changes):
    """For each seed, which of the layers of a model have a gradient."""
    model = small_bart(decoder_layerdrop=rate, decoder_layers=3, **changes)
    ran = []
    for seed in seeds:
        _, backward = model.loss([[5, 6]], [[6, 7]], rng=np.random.default_rng(seed))
        gradients = backward()
        name = "model.decoder.layers.{}.fc1.weight"
        ran.append([bool(gradients[name.format(index)].any()) for index in range(3)])
    return np.array(ran)


def test_each_layer_is_skipped_with_the_probability_of_the_config():
    ran = layers_that_ran(0.3, range(200))
    # Three standard deviations of the mean of 200 coins.
    np.testing.assert_allclose(ran.mean(axis=0), 0.7, atol=3 * math.sqrt(0.3 * 0.7 / 200))
    assert len({tuple(row) for row in ran.tolist()}) == 2**3


def test_no_layer_is_skipped_without_layerdrop_or_outside_of_training():
    assert layers_that_ran(0.0, range(5)).all()
    with_drop, without = small_bart(decoder_layerdrop=0.9), small_bart()
    np.testing.assert_array_equal(with_drop([[5, 6]]).logits, without([[5, 6]]).logits)


@WITH_ENCODER
def test_a_model_with_skipped_layers_is_that_of_the_others(encoder):
    rng = np.random.default_rng(14)
    given, ids, labels = source(rng, encoder), words(rng, B, T), words(rng, B, T)
    model = small_bart(decoder_layerdrop=0.5, decoder_layers=3)
    # This seed skips the first two layers.
    skipped = np.random.default_rng(11).random(3, dtype=np.float32) < 0.5
    np.testing.assert_array_equal(skipped, [True, True, False])
    loss, backward = model.loss(ids, labels, rng=np.random.default_rng(11), **given)
    layers = model.params["model"]["decoder"]["layers"]
    others = {**model.params["model"]["decoder"], "layers": {"0": layers["2"]}}
    smaller = BartForCausalLM.from_parameters(
        model.config.replace(decoder_layers=1), {"model": {"decoder": others}}
    )
    expected, expected_backward = smaller.loss(ids, labels, **given)
    assert loss == expected
    gradients, small = backward(), expected_backward()
    assert sorted(gradients) == sorted(
        name for name in model.parameters() if encoder or "encoder_attn" not in name
    )
    for name, gradient in gradients.items():
        of_kept = small.get(name.replace("layers.2", "layers.0"))
        if "layers.0" in name or "layers.1" in name:
            assert gradient.shape == model.parameters()[name].shape
            assert not gradient.any()
        else:
            np.testing.assert_array_equal(gradient, of_kept)


def test_a_fresh_model_has_the_spread_of_its_config_and_no_padding():
    rng = np.random.default_rng(15)
    config = BartConfig(**{**SIZES, "d_model": 64, "vocab_size": 99, "init_std": 0.5})
    parameters = BartForCausalLM(config, rng).parameters()
    assert not parameters[WORDS][PAD].any()
    for name, array in parameters.items():
        if array.ndim == 1:
            assert (array == name.endswith("weight")).all()
        else:
            kept = array if name != WORDS else np.delete(array, PAD, axis=0)
            np.testing.assert_allclose(kept.std(), 0.5, rtol=0.1, err_msg=name)
    config = config.replace(pad_token_id=None)
    assert BartForCausalLM(config, rng).parameters()[WORDS].any(axis=1).all()


def test_the_head_mask_is_for_the_decoders_heads_and_for_self_attention():
    model = small_bart(vocab_size=13, pad_token_id=1, scale_embedding=True)
    set_weights(model, recipe_weights({n: a.shape for n, a in model.parameters().items()}))
    states = np.sin(np.arange(64.0)).reshape(2, 4, 8)
    mask = [[1.0, 0.0], [0.5, 2.0]]
    logits = model([[5, 6, 7], [10, 11, 1]], encoder_hidden_states=states, head_mask=mask).logits
    # What transformers 4.46.3 says; version 5 has no head_mask.
    expected = [
        [1.405601199770, 1.876619813597, -1.452114017576, 1.389256828853],
        [1.975600067597, 1.442769616977, -1.009034338391, 1.022884587068],
    ]
    np.testing.assert_allclose([logits[0, 2, :4], logits[1, 1, :4]], expected, rtol=1e-11)
    with pytest.raises(ValueError, match=r"head_mask must have shape \(2,\)"):
        model([[5]], head_mask=[1, 1, 1, 1])


def test_a_config_is_a_decoders_whatever_the_file_says():
    settings = {**SIZES, "model_type": "bart", "is_decoder": False, "is_encoder_decoder": True}
    config = config_from_dict({**settings, "add_cross_attention": False, "num_labels": 3})
    assert config.is_decoder
    assert config.add_cross_attention
    assert not config.is_encoder_decoder
    assert config.to_dict()["num_labels"] == 3
    assert (config.num_attention_heads, config.num_hidden_layers) == (2, 2)


def test_a_config_whose_heads_do_not_share_the_width_is_refused():
    with pytest.raises(ValueError, match="multiple of num_attention_heads, got 8 and 3"):
        BartConfig(**{**SIZES, "decoder_attention_heads": 3})


def whole_bart(model, prefix, **changes):
    """The tensors of a file with both halves, which share the words."""
    tensors = {name.removeprefix("model."): array for name, array in model.parameters().items()}
    shared = tensors.pop("decoder.embed_tokens.weight")
    encoder = {"encoder.embed_positions.weight": np.ones((18, H)), "shared.weight": shared}
    head_bias = {"final_logits_bias": np.zeros((1, 17))}
    return {**{prefix + n: a for n, a in (tensors | encoder).items()}, **head_bias, **changes}


@pytest.mark.parametrize("prefix", ["model.", ""])
def test_the_words_of_a_whole_bart_are_those_it_shares(tmp_path, prefix):
    model = small_bart()
    model.save_pretrained(tmp_path)
    write_tensors(tmp_path, whole_bart(model, prefix))
    again = BartForCausalLM.from_pretrained(tmp_path, dtype="float64", strict=True)
    assert again.load_report.new == again.load_report.unexpected == []
    for name, array in model.parameters().items():
        np.testing.assert_array_equal(again.parameters()[name], array, err_msg=name)


def test_the_decoders_own_words_win_over_shared_ones(tmp_path):
    model = small_bart()
    model.save_pretrained(tmp_path)
    own = model.parameters()[WORDS] + 1
    write_tensors(tmp_path, whole_bart(model, "model.", **{WORDS: own}))
    again = BartForCausalLM.from_pretrained(tmp_path, dtype="float64")
    np.testing.assert_array_equal(again.parameters()[WORDS], own)


def test_a_bias_that_is_not_zero_is_reported(tmp_path):
    model = small_bart()
    model.save_pretrained(tmp_path)
    write_tensors(tmp_path, whole_bart(model, "model.", final_logits_bias=np.ones((1, 17))))
    report = BartForCausalLM.from_pretrained(tmp_path).load_report
    assert report.unexpected == ["final_logits_bias"]


def test_the_golden_numbers_of_a_pair_are_reproduced():
    golden = GOLDEN["b1"]["bert2bart"]
    config = EncoderDecoderConfig.from_dict(GOLDEN["b1_configs"]["bert2bart"])
    model = EncoderDecoderModel(config, dtype="float64")
    set_weights(model, recipe_weights(model.parameter_shapes(config)))
    output, (loss, backward) = model(**GOLDEN["b1_inputs"]), model.loss(**GOLDEN["b1_inputs"])
    gradients = backward()
    names = "loss", "logits_sum", "logits_sumsq", "grad_l2_total"
    total = math.sqrt(sum(np.square(gradient).sum() for gradient in gradients.values()))
    actual = loss, output.logits.sum(), np.square(output.logits).sum(), total
    np.testing.assert_allclose(actual, [golden[name] for name in names], rtol=1e-9)
    for name, expected in golden["grads"].items():
        found = [np.linalg.norm(gradients[name]), *gradients[name].ravel()[:3]]
        printed = [expected["l2"], *expected["first3"]]
        np.testing.assert_allclose(found, printed, rtol=1e-9, atol=1e-10, err_msg=name)


def parity(test):
    """Mark a test that compares with transformers."""
    return pytest.mark.parity(pytest.mark.usefixtures("quiet_transformers")(test))


def draw_bart(rng):
    """A model of random sizes, with any activation, with or without scaled words."""
    heads = int(rng.integers(1, 5))
    sizes = {
        "vocab_size": int(rng.integers(8, 20)),
        "d_model": heads * int(rng.integers(4, 7)),
        "decoder_layers": int(rng.integers(1, 4)),
        "decoder_attention_heads": heads,
        "encoder_attention_heads": 1,
        "decoder_ffn_dim": int(rng.integers(4, 25)),
        "activation_function": some(rng, list(ACTIVATIONS)),
        "max_position_embeddings": int(rng.integers(12, 20)),
        "scale_embedding": bool(rng.integers(2)),
        "pad_token_id": some(rng, [None, PAD, 1, 5]),
        "tie_word_embeddings": bool(rng.integers(2)),
    }
    return random_bart(rng, BartConfig(**sizes))


def draw_bart_inputs(rng, config, batch, length):
    """Ids or vectors, perhaps a mask, perhaps an encoder's states with or without a mask."""
    inputs = {"attention_mask": draw_mask(rng, batch, length)}
    if rng.random() < 0.7:
        inputs["input_ids"] = rng.integers(0, config.vocab_size, (batch, length))
    else:
        inputs["inputs_embeds"] = rng.standard_normal((batch, length, config.d_model))
    if rng.random() < 0.7:
        inputs["encoder_hidden_states"] = rng.standard_normal((batch, S, config.d_model))
        inputs["encoder_attention_mask"] = draw_mask(rng, batch, S)
    return {name: value for name, value in inputs.items() if value is not None}


@parity
@pytest.mark.parametrize("case", range(12))
def test_outputs_and_gradients_are_those_of_the_reference(case, rng):
    model, (batch, length) = draw_bart(rng), rng.integers(2, 8, 2)
    inputs = draw_bart_inputs(rng, model.config, batch, length)
    labels = draw_labels(rng, model.config, batch, length)
    reference = Reference(model)
    ours, theirs = (m(labels=labels, **inputs, **EXTRAS) for m in (model, reference))
    crossed = ["cross_attentions"] if "encoder_hidden_states" in inputs else []
    fields = ["loss", "logits", "hidden_states", "attentions", *crossed]
    assert_equal_outputs(ours, theirs, fields)
    loss, backward = model.loss(labels=labels, **{"input_ids": None, **inputs})
    assert_close(loss, theirs.loss.item(), FLOAT64, name="loss")
    assert_equal_gradients(backward(), reference.gradients(theirs.loss))
    assert_equal_in_float32(model, inputs, "logits")


@parity
@pytest.mark.parametrize("case", range(4))
def test_a_cache_is_continued_as_in_the_reference(case, rng):
    model = draw_bart(rng)
    reference, width, cross = Reference(model), model.config.d_model, case % 2
    states = {"encoder_hidden_states": rng.standard_normal((B, S, width))} if cross else {}
    ids = rng.integers(0, model.config.vocab_size, (B, 6))
    mask = padded_mask(rng, B, 6, "left")
    ours = theirs = {"past_key_values": None}
    for start, end in ((0, 3), (3, 4), (4, 6)):
        step = {"input_ids": ids[:, start:end], "attention_mask": mask[:, :end]}
        call = {**step, **states, "use_cache": True}
        ours = model(**call, past_key_values=ours["past_key_values"])
        theirs = reference(**call, past_key_values=theirs["past_key_values"])
        assert_equal_outputs(ours, theirs, ["logits"])


@parity
@pytest.mark.parametrize("tied", [True, False])
def test_transformers_reads_our_folder_and_we_read_its(tmp_path, rng, tied):
    import torch
    import transformers

    model = small_bart(dtype="float32", tie_word_embeddings=tied)
    ids = words(rng, B, T)
    model.save_pretrained(tmp_path / "ours")
    theirs, info = quietly(
        transformers.BartForCausalLM.from_pretrained, tmp_path / "ours", output_loading_info=True
    )
    assert not info["missing_keys"]
    assert not info["unexpected_keys"]
    logits = model(ids).logits
    reference = theirs.eval()(torch.tensor(ids)).logits.detach().numpy()
    np.testing.assert_allclose(logits, reference, atol=2e-6)
    theirs.save_pretrained(tmp_path / "theirs")
    again = BartForCausalLM.from_pretrained(tmp_path / "theirs", strict=True)
    assert again.load_report.new == []
    np.testing.assert_array_equal(again(ids).logits, logits)


@parity
@pytest.mark.parametrize("kind", ["BartForConditionalGeneration", "BartModel"])
def test_the_decoder_of_a_whole_bart_of_transformers_is_loaded(tmp_path, rng, kind):
    import torch
    import transformers

    theirs = getattr(transformers, kind)(transformers.BartConfig(**SIZES)).double().eval()
    theirs.save_pretrained(tmp_path)
    model = BartForCausalLM.from_pretrained(tmp_path, dtype="float64", strict=True)
    assert model.load_report.new == model.load_report.unexpected == []
    ids, states = words(rng, B, T), rng.standard_normal((B, S, H))
    output = model(ids, encoder_hidden_states=states, output_hidden_states=True)
    whole = theirs.get_decoder()(torch.tensor(ids), encoder_hidden_states=torch.tensor(states))
    assert_close(output.hidden_states[-1], whole[0].detach().numpy(), FLOAT64)
    assert_close(model.parameters()[WORDS], theirs.get_input_embeddings().weight.detach(), EXACT)
