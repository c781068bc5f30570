"""What holds for whole models whatever their weights, and the gradient of everything."""

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from model_support import (
    END,
    PAD,
    START,
    assert_close,
    padded_mask,
    small_batch,
    small_decoder,
    small_encoder,
    small_pair,
    words,
)

from minibert2bert.arrays import nest
from minibert2bert.components.loss import IGNORE
from minibert2bert.inspection.gradient_check import check_gradients
from minibert2bert.models.bert_generation import bert_generation
from minibert2bert.models.encoder_decoder import EncoderDecoderModel
from minibert2bert.training.evaluation import mean_loss
from minibert2bert.training.loop import train
from minibert2bert.training.settings import TrainingSettings

EXACT = 1e-12
FEW = settings(max_examples=15, deadline=None, derandomize=True)
SEEDS = st.integers(0, 10**6)
DROPOUT = {"hidden_dropout_prob": 0.3, "attention_probs_dropout_prob": 0.2}


@FEW
@given(seed=SEEDS, side=st.sampled_from(["left", "right"]))
def test_a_masked_source_token_has_no_influence(seed, side):
    rng, model = np.random.default_rng(seed), small_pair(seed)
    mask = padded_mask(rng, 3, 5, side)
    ids, others, target = words(rng, 3, 5), words(rng, 3, 5), words(rng, 3, 4)
    logits = model(ids, mask, decoder_input_ids=target).logits
    changed = model(np.where(mask == 1, ids, others), mask, decoder_input_ids=target).logits
    np.testing.assert_array_equal(changed, logits)


@FEW
@given(seed=SEEDS)
def test_a_source_token_that_is_not_masked_has_influence_everywhere(seed):
    rng, model = np.random.default_rng(seed), small_pair(seed)
    ids, target = words(rng, 1, 5), words(rng, 1, 4)
    logits = model(ids, decoder_input_ids=target).logits
    ids[0, rng.integers(5)] = END
    assert (model(ids, decoder_input_ids=target).logits != logits).any(axis=-1).all()


@FEW
@given(seed=SEEDS, moment=st.integers(1, 5))
def test_the_decoder_does_not_see_the_future(seed, moment):
    rng, model = np.random.default_rng(seed), small_pair(seed)
    source, ids = words(rng, 2, 4), words(rng, 2, 6)
    changed = ids.copy()
    changed[:, moment:] = END
    before = model(source, decoder_input_ids=ids).logits
    after = model(source, decoder_input_ids=changed).logits
    assert_close(after[:, :moment], before[:, :moment], EXACT)
    assert (after[:, moment:] != before[:, moment:]).any(axis=-1).all()


@FEW
@given(seed=SEEDS, relative=st.booleans())
def test_a_row_of_a_batch_has_the_logits_it_has_alone(seed, relative):
    kind = "relative_key_query" if relative else "absolute"
    model = small_pair(seed, both={"position_embedding_type": kind})
    batch = small_batch(seed)
    logits = model(**batch).logits
    for row in range(3):
        source = batch["attention_mask"][row].sum()
        target = (batch["labels"][row] != IGNORE).sum()
        alone = model(batch["input_ids"][[row], :source], labels=batch["labels"][[row], :target])
        assert_close(alone.logits[0], logits[row, :target], EXACT)


@FEW
@given(seed=SEEDS)
def test_the_padding_of_labels_has_no_influence_on_loss_and_gradients(seed):
    model, batch = small_pair(seed), small_batch(seed)
    longer = {**batch, "labels": np.pad(batch["labels"], ((0, 0), (0, 3)), constant_values=IGNORE)}
    (loss, backward), (longer_loss, longer_backward) = (
        model.loss(**inputs) for inputs in (batch, longer)
    )
    assert_close(longer_loss, loss, EXACT)
    expected = backward()
    for name, gradient in longer_backward().items():
        scale = max(np.abs(expected[name]).max(), 1e-3)
        assert_close(gradient, expected[name], EXACT, scale, name)


def pad_as_start(seed):
    """A model that starts with the pad token, and one whose start token has its embedding."""
    with_pad, other = small_pair(seed, decoder_start_token_id=PAD), small_pair(seed)
    table = other.decoder.params["bert"]["embeddings"]["word_embeddings"]["weight"]
    table[START] = table[PAD]
    return with_pad, other


@FEW
@given(seed=SEEDS)
def test_a_start_token_equal_to_padding_is_seen_like_any_other(seed):
    with_pad, other = pad_as_start(seed)
    batch = small_batch(seed)
    counted = batch["labels"] != IGNORE
    words_only = np.arange(17) != START
    expected, actual = other(**batch).logits, with_pad(**batch).logits
    np.testing.assert_array_equal(actual[counted][:, words_only], expected[counted][:, words_only])


@FEW
@given(seed=SEEDS)
def test_a_start_token_equal_to_padding_shows_nothing_of_the_future(seed):
    model, batch = small_pair(seed, decoder_start_token_id=PAD), small_batch(seed)
    changed = {**batch, "labels": np.where(batch["labels"] == IGNORE, IGNORE, END)}
    first, first_changed = (model(**inputs).logits[:, 0] for inputs in (batch, changed))
    assert_close(first_changed, first, EXACT)
    attentions = model(**batch, output_attentions=True).decoder_attentions
    for probs in attentions:
        np.testing.assert_array_equal(probs[:, :, 0, 0], 1)


def test_a_label_equal_to_padding_is_a_word_like_any_other():
    model, labels = small_pair(), [[4, PAD, 5, 6]]
    probs = model([[4, 5]], labels=labels, output_attentions=True).decoder_attentions[0]
    assert (probs[0, :, 3, :] > 0).all()


@FEW
@given(seed=SEEDS, tied=st.booleans())
def test_loss_is_the_loss_of_a_call_with_labels(seed, tied):
    model, batch = small_pair(seed, decoder={"tie_word_embeddings": tied}), small_batch(seed)
    assert_close(model.loss(**batch)[0], model(**batch).loss, EXACT)


def test_labels_alone_are_the_decoders_input_moved_right_and_its_mask():
    model, labels = small_pair(), np.array([[5, 6, 7], [8, IGNORE, IGNORE]])
    source = [[3, 4], [5, 6]]
    ids, mask = [[START, 5, 6], [START, 8, PAD]], [[1, 1, 1], [1, 1, 0]]
    expected = model(source, decoder_input_ids=ids, decoder_attention_mask=mask, labels=labels)
    actual = model(source, labels=labels)
    np.testing.assert_array_equal(actual.logits, expected.logits)
    assert actual.loss == expected.loss


def test_a_tuple_has_what_the_named_fields_have():
    model, batch = small_pair(), small_batch()
    named, unnamed = model(**batch), model(**batch, return_dict=False)
    assert named.keys() == ["loss", "logits", "encoder_last_hidden_state"]
    for field, value in zip(named.keys(), unnamed, strict=True):
        np.testing.assert_array_equal(value, named[field])


def test_a_second_call_of_backward_returns_the_same_times_its_argument():
    _, backward = small_pair().loss(**small_batch())
    first, second = backward(), backward(2.0)
    for name, gradient in first.items():
        np.testing.assert_array_equal(second[name], 2 * gradient, err_msg=name)


def test_a_call_with_float32_weights_stays_in_float32():
    model, batch = small_pair(dtype="float32"), small_batch()
    loss, backward = model.loss(**batch)
    assert {gradient.dtype for gradient in backward().values()} == {np.dtype(np.float32)}
    assert loss.dtype == model(**batch).logits.dtype == np.float32


def loss_of_params(model, batch, rng_seed=None):
    """The loss as a function of the parameters, for check_gradients."""

    def loss(params):
        model.set_parameters(params)
        rng = None if rng_seed is None else np.random.default_rng(rng_seed)
        value, backward = model.loss(**batch, rng=rng, label_smoothing=0.1)
        return value, lambda dloss: nest(backward(dloss))

    return loss


KINDS = {
    "equal widths": {},
    "two widths": {"encoder": {"hidden_size": 12, "num_attention_heads": 3}},
    "untied": {"decoder": {"tie_word_embeddings": False}},
    "given positions": {},
    "relative_key": {"both": {"position_embedding_type": "relative_key"}},
    "relative_key_query": {"both": {"position_embedding_type": "relative_key_query"}},
}
POSITIONS = {
    "position_ids": np.arange(15).reshape(3, 5) % 7,
    "decoder_position_ids": np.arange(12).reshape(3, 4) % 5,
}


@pytest.mark.parametrize("rng_seed", [None, 7], ids=["no dropout", "dropout"])
@pytest.mark.parametrize("kind", KINDS)
def test_every_gradient_of_a_pair_is_its_slope(kind, rng_seed):
    changes = KINDS[kind]
    # The word of the padding gets no gradient from its lookup, so here there is no padding.
    both = {"pad_token_id": None, **DROPOUT, **changes.get("both", {})}
    model = small_pair(**{**changes, "both": both})
    batch = small_batch() | (POSITIONS if kind == "given positions" else {})
    checks = check_gradients(loss_of_params(model, batch, rng_seed), model.params)
    assert {check.tensor.split(".", 1)[1] for check in checks} == set(model.parameters())


@pytest.mark.parametrize("rate", DROPOUT)
@pytest.mark.parametrize("part", ["encoder", "decoder"])
def test_every_dropout_follows_the_seed(part, rate):
    model, batch = small_pair(**{part: {rate: 0.3}}), small_batch()
    losses = [model.loss(**batch, rng=np.random.default_rng(seed))[0] for seed in (1, 1, 2)]
    assert losses[0] == losses[1] != losses[2]
    assert_close(model.loss(**batch)[0], small_pair().loss(**batch)[0], EXACT)


@pytest.mark.parametrize("rng_seed", [None, 3])
def test_the_gradient_of_an_encoder_is_its_slope(rng_seed):
    model = small_encoder(pad_token_id=None, **DROPOUT)
    rng = np.random.default_rng(0)
    mask = padded_mask(rng, 3, 5, "left")
    inputs = model.prepare(input_ids=words(rng, 3, 5), attention_mask=mask)

    def encoder(params):
        dropout_rng = None if rng_seed is None else np.random.default_rng(rng_seed)
        return bert_generation(params, None, inputs, model.config, dropout_rng, training=True)

    check_gradients(encoder, model.params)


@pytest.mark.parametrize("rng_seed", [None, 3])
def test_the_gradient_of_a_decoder_reaches_the_encoders_states(rng_seed):
    model, rng = small_decoder(pad_token_id=None, **DROPOUT), np.random.default_rng(0)
    states = rng.standard_normal((3, 5, 8))
    inputs = model.prepare(
        input_ids=words(rng, 3, 4),
        encoder_hidden_states=states,
        encoder_attention_mask=padded_mask(rng, 3, 5),
    )

    def decoder(params, encoder_hidden_states):
        dropout_rng = None if rng_seed is None else np.random.default_rng(rng_seed)
        return bert_generation(
            params, encoder_hidden_states, inputs, model.config, dropout_rng, training=True
        )

    check_gradients(decoder, model.params["bert"], states)


def test_a_padding_row_learns_from_the_head_but_not_from_the_lookup():
    model = small_pair()
    ids = np.array([[PAD, 4, 5]])
    gradients = model.loss(ids, [[4, 5]], decoder_input_ids=[[PAD, 4]])[1]()
    untied = small_pair(decoder={"tie_word_embeddings": False})
    without_head = untied.loss(ids, [[4, 5]], decoder_input_ids=[[PAD, 4]])[1]()
    decoder_words = "decoder.bert.embeddings.word_embeddings.weight"
    assert not gradients["encoder.embeddings.word_embeddings.weight"][PAD].any()
    assert not without_head[decoder_words][PAD].any()
    assert gradients[decoder_words][PAD].any()


def test_training_learns_a_batch_by_heart_in_seconds():
    model = EncoderDecoderModel(small_pair().config, rng=np.random.default_rng(0))
    rng = np.random.default_rng(1)
    pairs = [(words(rng, 5).tolist(), [*words(rng, n).tolist(), END]) for n in (2, 3, 4, 5)]
    steps, begin = [], time.process_time()
    settings = TrainingSettings(max_steps=300, train_batch_size=4, learning_rate=0.01)
    train(model, pairs, settings, callbacks=[steps.append])
    assert time.process_time() - begin < 5
    assert steps[1].loss > 2
    assert mean_loss(model, pairs) < 0.05
    for source, labels in pairs:
        assert model.generate([source]).tolist() == [[START, *labels]]


def test_a_decoder_alone_takes_the_loss_of_the_next_label():
    model, ids = small_decoder(add_cross_attention=False), words(np.random.default_rng(0), 2, 5)
    logits = model(ids).logits[:, :-1]
    log_probs = logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))
    expected = -np.take_along_axis(log_probs, ids[:, 1:, None], axis=-1).mean()
    assert_close(model(ids, labels=ids).loss, expected, EXACT)
    assert_close(model.loss(ids, ids)[0], expected, EXACT)


def test_every_gradient_of_a_decoder_alone_is_its_slope():
    model = small_decoder(add_cross_attention=False, pad_token_id=None)
    ids = words(np.random.default_rng(0), 2, 5)
    batch = {"input_ids": ids, "labels": ids}
    check_gradients(loss_of_params(model, batch), model.params)


def test_a_ready_mask_is_used_as_it_is():
    model, ids = small_encoder(), words(np.random.default_rng(0), 2, 4)
    diagonal = np.eye(4, dtype=bool)[None, None]
    output = model(ids, diagonal, output_attentions=True)
    for probs in output.attentions:
        np.testing.assert_array_equal(probs, np.broadcast_to(np.eye(4), (2, 2, 4, 4)))
