"""Random models and inputs, here and in transformers 5; other ones every time.

A failure prints the seed of its run; PARITY_SEED=... in the environment repeats it.
"""

import numpy as np
import pytest
from model_support import (
    AS_DECODER,
    END,
    PAD,
    START,
    assert_close,
    draw_config,
    draw_inputs,
    draw_labels,
    draw_pair,
    draw_pair_inputs,
    padded_mask,
    randomised,
    some,
    trimmed,
)
from parity_support import (
    EXTRAS,
    FLOAT32,
    FLOAT64,
    PAIR_FIELDS,
    STACK_FIELDS,
    Reference,
    assert_equal_gradients,
    assert_equal_in_float32,
    assert_equal_outputs,
)

from minibert2bert.arrays import flatten
from minibert2bert.models.bert_generation import BertGenerationDecoder, BertGenerationEncoder

pytestmark = [pytest.mark.parity, pytest.mark.usefixtures("quiet_transformers")]


@pytest.mark.parametrize("case", range(25))
def test_a_pair_has_the_outputs_and_gradients_of_the_reference(case, rng):
    model = draw_pair(rng)
    inputs = draw_pair_inputs(rng, model.config)
    reference = Reference(model)
    theirs = reference(**inputs, **EXTRAS)
    assert_equal_outputs(model(**inputs, **EXTRAS), theirs, PAIR_FIELDS)
    loss, backward = model.loss(**inputs)
    assert_close(loss, theirs.loss.item(), FLOAT64, name="loss")
    assert_equal_gradients(backward(), reference.gradients(theirs.loss))
    assert_equal_in_float32(model, inputs, "logits")


@pytest.mark.parametrize("case", range(10))
def test_an_encoder_has_the_outputs_and_gradients_of_the_reference(case, rng):
    model = randomised(BertGenerationEncoder(draw_config(rng), rng, "float64"), rng)
    inputs = draw_inputs(rng, model.config, rng.integers(1, 5), rng.integers(2, 8))
    reference = Reference(model)
    theirs = reference(**inputs, **EXTRAS)
    assert_equal_outputs(model(**inputs, **EXTRAS), theirs, ["last_hidden_state", *STACK_FIELDS])
    states, backward = model.forward(None, model.prepare(**inputs), training=True)
    upstream = rng.standard_normal(states.shape)
    their_loss = (reference.tensor(upstream) * theirs.last_hidden_state).sum()
    assert_equal_gradients(flatten(backward(upstream)), reference.gradients(their_loss))
    assert_equal_in_float32(model, inputs, "last_hidden_state")


@pytest.mark.parametrize("case", range(5))
@pytest.mark.parametrize(
    "kind", [{}, {"is_decoder": True}, AS_DECODER], ids=["sees_all", "causal", "with_encoder"]
)
def test_a_decoder_has_the_outputs_and_gradients_of_the_reference(kind, case, rng):
    model = randomised(BertGenerationDecoder(draw_config(rng, **kind), rng, "float64"), rng)
    inputs = draw_decoder_inputs(rng, model.config)
    labels = draw_labels(rng, model.config, *inputs_shape(inputs))
    reference = Reference(model)
    ours, theirs = model(labels=labels, **inputs, **EXTRAS), reference(**inputs, **EXTRAS)
    crossed = ["cross_attentions"] if model.config.add_cross_attention else []
    assert_equal_outputs(ours, theirs, ["logits", *STACK_FIELDS, *crossed])
    their_loss = shifted_loss(reference, theirs.logits, labels)
    loss, backward = model.loss(labels=labels, **{"input_ids": None, **inputs})
    assert_close(loss, their_loss.item(), FLOAT64, name="loss")
    assert_close(ours.loss, their_loss.item(), FLOAT64, name="loss of the call")
    assert_equal_gradients(backward(), reference.gradients(their_loss))


def draw_decoder_inputs(rng, config):
    batch, length, source = rng.integers(1, 5), rng.integers(2, 8), rng.integers(2, 8)
    inputs = draw_inputs(rng, config, batch, length)
    if config.add_cross_attention:
        states = rng.standard_normal((batch, source, config.hidden_size))
        mask = padded_mask(rng, batch, source)
        inputs |= {"encoder_hidden_states": states, "encoder_attention_mask": mask}
    return inputs


def inputs_shape(inputs):
    return inputs["input_ids" if "input_ids" in inputs else "inputs_embeds"].shape[:2]


def shifted_loss(reference, logits, labels):
    """Take the loss of the next labels in float64; the reference's own is float32."""
    rows, labels = logits[:, :-1].flatten(0, 1), reference.tensor(labels)
    return reference.torch.nn.functional.cross_entropy(rows, labels[:, 1:].flatten())


def test_the_labels_of_a_decoder_are_shifted_as_in_the_reference(rng):
    model = randomised(BertGenerationDecoder(draw_config(rng), rng, "float64"), rng)
    inputs = draw_decoder_inputs(rng, model.config)
    labels = draw_labels(rng, model.config, *inputs_shape(inputs))
    theirs = Reference(model)(labels=labels, **inputs)
    assert_close(model(labels=labels, **inputs).loss, theirs.loss.item(), FLOAT32)


@pytest.mark.parametrize("case", range(5))
def test_a_cache_is_continued_as_in_the_reference(case, rng):
    model = draw_pair(rng)
    batch = int(rng.integers(1, 5))
    inputs = draw_inputs(rng, model.config.encoder, batch, 4)
    ids = rng.integers(0, model.config.decoder.vocab_size, (batch, 6))
    mask = padded_mask(rng, batch, 6, "left")
    reference = Reference(model)
    ours = theirs = {"past_key_values": None}
    for start, end in ((0, 3), (3, 4), (4, 6)):
        step = {"decoder_input_ids": ids[:, start:end], "decoder_attention_mask": mask[:, :end]}
        call = inputs | step | {"use_cache": True}
        ours = model(**call, past_key_values=ours["past_key_values"])
        theirs = reference(**call, past_key_values=theirs["past_key_values"])
        assert_equal_outputs(ours, theirs, ["logits"])


def draw_options(rng):
    def sometimes(name, values):
        return {name: some(rng, values)} if rng.random() < 0.5 else {}

    forced = sometimes("forced_bos_token_id", [4]) | sometimes("forced_eos_token_id", [END, 6])
    beams, longest = int(rng.integers(1, 6)), int(rng.integers(3, 14))
    options = {
        "num_beams": beams,
        "pad_token_id": PAD,
        "eos_token_id": some(rng, [END, [END, 5]]),
        "decoder_start_token_id": START,
        "max_length": longest,
        **sometimes("min_length", range(longest)),
        # Not 1: where every token is forbidden, the reference goes on with forbidden ones.
        **sometimes("no_repeat_ngram_size", [0, 2, 3]),
        **forced,
        **sometimes("repetition_penalty", [0.6, 1.1, 1.8]),
        "output_scores": True,
        "return_dict_in_generate": True,
    }
    if beams > 1:
        options |= {
            # Forced tokens leave fewer sequences than beams; the reference repeats some.
            "num_return_sequences": 1 if forced else int(rng.integers(1, beams + 1)),
            "early_stopping": some(rng, [True, False, "never"]),
            "length_penalty": some(rng, [0.0, 0.7, 1.0, 2.0]),
        }
    return options


@pytest.mark.parametrize("case", range(60))
def test_the_reference_generates_the_same(case, rng):
    model, options = draw_pair(rng), draw_options(rng)
    head = model.decoder.params["lm_head"]
    head.get("decoder", head)["bias"][END] += rng.uniform(0, 2)
    batch, source = int(rng.integers(1, 5)), int(rng.integers(2, 8))
    ids = rng.integers(0, model.config.encoder.vocab_size, (batch, source))
    mask = padded_mask(rng, batch, source, some(rng, ["left", "right"]))
    ours = model.generate(ids, mask, **options)
    theirs = Reference(model).generate(ids, mask, options)
    fillers = PAD, *np.atleast_1d(options["eos_token_id"])
    assert trimmed(ours.sequences, *fillers) == trimmed(theirs.sequences, *fillers), options
    if options["num_beams"] > 1:
        # A score is a float32 difference of logits: one near 0 keeps their rounding.
        scores = theirs.sequences_scores.numpy()
        np.testing.assert_allclose(ours.sequences_scores, scores, rtol=1e-6, atol=2e-6)
