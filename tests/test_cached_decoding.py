"""Decoding with kept keys and values gives what decoding from the start gives."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from model_support import (
    END,
    PAD,
    START,
    assert_close,
    ended,
    padded_mask,
    small_decoder,
    small_pair,
    words,
)

from minibert2bert.generation.beam_search import beam_search
from minibert2bert.generation.config import GenerationConfig
from minibert2bert.generation.search import greedy_search
from minibert2bert.generation.session import DecodingSession
from minibert2bert.generation.settings import resolve
from minibert2bert.generation.stopping import stopping_criteria

EXACT = 1e-12
FEW = settings(max_examples=15, deadline=None, derandomize=True)
B, S, T = 3, 5, 7
POSITIONS = ["absolute", "relative_key", "relative_key_query"]
KINDS = {
    **{kind: {"both": {"position_embedding_type": kind}} for kind in POSITIONS},
    "two widths": {"encoder": {"hidden_size": 12, "num_attention_heads": 3}},
    "untied": {"decoder": {"tie_word_embeddings": False}},
    "no attention to nothing": {"both": {"zero_fully_masked": True}},
}
CHUNKS = {"one by one": [1] * T, "in chunks": [3, 1, 2, 1], "at once": [T]}
SEARCHES = {
    "greedy": {},
    "beams": {"num_beams": 3, "num_return_sequences": 2},
    "long beams": {"num_beams": 4, "length_penalty": 2.0, "early_stopping": "never"},
}


def source(rng, batch=B):
    mask = padded_mask(rng, batch, S)
    return np.where(mask == 1, words(rng, batch, S), PAD), mask


def logits_in_chunks(model, ids, mask, lengths, **encoder_inputs):
    """Feed the decoder piece by piece, and join the logits of all positions."""
    pieces, cache, end = [], None, 0
    for length in lengths:
        start, end = end, end + length
        output = model(
            **encoder_inputs,
            decoder_input_ids=ids[:, start:end],
            decoder_attention_mask=None if mask is None else mask[:, :end],
            past_key_values=cache,
            use_cache=True,
        )
        cache = output.past_key_values
        pieces.append(output.logits)
    assert cache.get_seq_length() == ids.shape[1]
    return np.concatenate(pieces, axis=1)


@pytest.mark.parametrize("padding", [None, "left", "right"])
@pytest.mark.parametrize("lengths", CHUNKS.values(), ids=CHUNKS)
@pytest.mark.parametrize("kind", KINDS)
def test_cached_logits_are_those_of_the_whole_sequence(kind, lengths, padding):
    rng = np.random.default_rng(0)
    model, ids = small_pair(**KINDS[kind]), words(rng, B, T)
    mask = None if padding is None else padded_mask(rng, B, T, padding)
    input_ids, attention_mask = source(rng)
    inputs = {"input_ids": input_ids, "attention_mask": attention_mask}
    whole = model(**inputs, decoder_input_ids=ids, decoder_attention_mask=mask).logits
    pieces = logits_in_chunks(model, ids, mask, lengths, **inputs)
    # A query that sees nothing takes the mean of all keys there are, so it depends on the chunk.
    sees = np.ones((B, T), bool) if mask is None else np.cumsum(mask, axis=1) > 0
    assert_close(pieces[sees], whole[sees], EXACT)


@pytest.mark.parametrize("kind", ["absolute", "two widths"])
def test_a_cache_is_filled_from_the_encoders_earlier_output(kind):
    rng = np.random.default_rng(1)
    model, ids = small_pair(**KINDS[kind]), words(rng, B, T)
    input_ids, attention_mask = source(rng)
    read = model.encoder(input_ids, attention_mask)
    whole = model(input_ids, attention_mask, decoder_input_ids=ids).logits
    inputs = {"encoder_outputs": read, "attention_mask": attention_mask}
    assert_close(logits_in_chunks(model, ids, None, [2, 5], **inputs), whole, EXACT)


@pytest.mark.parametrize("kind", POSITIONS)
def test_a_decoder_without_an_encoder_keeps_its_keys_and_values_too(kind):
    model = small_decoder(position_embedding_type=kind, add_cross_attention=False)
    ids = words(np.random.default_rng(2), B, T)
    first = model(ids[:, :4], use_cache=True)
    last = model(ids[:, 4:], past_key_values=first.past_key_values, use_cache=True)
    joined = np.concatenate([first.logits, last.logits], axis=1)
    assert_close(joined, model(ids).logits, EXACT)


def test_the_positions_of_a_continued_sequence_can_be_given():
    model = small_decoder(add_cross_attention=False)
    ids, positions = words(np.random.default_rng(3), B, T), np.array([[4, 1, 0, 6, 2, 9, 3]])
    first = model(ids[:, :4], position_ids=positions[:, :4], use_cache=True)
    cache = first.past_key_values
    last = model(ids[:, 4:], position_ids=positions[:, 4:], past_key_values=cache)
    whole = model(ids, position_ids=positions)
    assert_close(last.logits, whole.logits[:, 4:], EXACT)


def session_of(model, input_ids, attention_mask, prompt_mask=None):
    states, _ = model.project(model.encoder(input_ids, attention_mask).last_hidden_state)
    return DecodingSession(model.decoder, states, attention_mask, prompt_mask)


@pytest.mark.parametrize("prompt_padding", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_beams_that_change_places_have_the_logits_of_their_own_past(kind, prompt_padding):
    rng, K, prompt = np.random.default_rng(4), 3, 2
    model, (input_ids, attention_mask) = small_pair(**KINDS[kind]), source(rng)
    prompt_mask = padded_mask(rng, B, prompt, "left") if prompt_padding else None
    session = session_of(model, input_ids, attention_mask, prompt_mask)
    ids = np.repeat(words(rng, B, prompt), K, axis=0)
    logits = session(ids, None)
    for _ in range(6):
        assert_close(logits, last_logits(model, ids, input_ids, attention_mask, prompt_mask), EXACT)
        # A beam continues any beam of its own input.
        parents = (np.arange(B)[:, None] * K + rng.integers(0, K, (B, K))).reshape(-1)
        newest = words(rng, B * K, 1)
        ids = np.concatenate([ids[parents], newest], axis=1)
        logits = session(newest, parents)


def last_logits(model, ids, input_ids, attention_mask, prompt_mask):
    """Compute the logits after each row from the start, with one copy of the source a beam."""
    beams = len(ids) // len(input_ids)
    mask = np.ones_like(ids)
    if prompt_mask is not None:
        mask[:, : prompt_mask.shape[1]] = np.repeat(prompt_mask, beams, axis=0)
    output = model(
        np.repeat(input_ids, beams, axis=0),
        np.repeat(attention_mask, beams, axis=0),
        decoder_input_ids=ids,
        decoder_attention_mask=mask,
    )
    return output.logits[:, -1]


def test_without_parents_every_row_continues_itself():
    rng = np.random.default_rng(5)
    model, (input_ids, attention_mask) = small_pair(), source(rng)
    ids = words(rng, B, 3)
    session = session_of(model, input_ids, attention_mask)
    session(ids[:, :2])
    expected = last_logits(model, ids, input_ids, attention_mask, None)
    assert_close(session(ids[:, 2:]), expected, EXACT)


@FEW
@given(seed=st.integers(0, 10**6), length=st.integers(2, 12), batch=st.integers(1, 4))
def test_beam_search_with_one_beam_is_greedy_search(seed, length, batch):
    rng = np.random.default_rng(seed)
    model, inputs = small_pair(seed), source(rng, batch)
    # With the first end in the pool, a search for the best sum of one beam would go on.
    options = GenerationConfig(
        max_length=length, early_stopping=True, eos_token_id=END, pad_token_id=PAD
    )
    limits, prompt = resolve(options, 1), np.full((batch, 1), START)
    beams, greedy = (
        search(session_of(model, *inputs), prompt, [], stopping_criteria(limits), limits)
        for search in (beam_search, greedy_search)
    )
    np.testing.assert_array_equal(beams.sequences, greedy.sequences)


@FEW
@given(seed=st.integers(0, 10**6), batch=st.integers(2, 4), name=st.sampled_from(list(SEARCHES)))
def test_a_row_of_a_batch_is_generated_as_alone(seed, batch, name):
    rng = np.random.default_rng(seed)
    model, (ids, mask) = small_pair(seed), source(rng, batch)
    together = ended(model.generate(ids, mask, max_length=10, **SEARCHES[name]))
    count = len(together) // batch
    for row, length in enumerate(mask.sum(axis=1)):
        alone = model.generate(ids[row : row + 1, :length], max_length=10, **SEARCHES[name])
        assert ended(alone) == together[row * count : (row + 1) * count]


@FEW
@given(seed=st.integers(0, 10**6), name=st.sampled_from(list(SEARCHES)))
def test_the_score_of_a_sequence_is_that_of_its_uncached_logits(seed, name):
    rng = np.random.default_rng(seed)
    model, (ids, mask) = small_pair(seed), source(rng)
    options = {"length_penalty": 1.0, "num_beams": 2, **SEARCHES[name], "early_stopping": False}
    output = model.generate(
        ids, mask, max_length=8, output_scores=True, return_dict_in_generate=True, **options
    )
    rows = np.repeat(np.arange(B), options.get("num_return_sequences", 1))
    sequences = ended(output.sequences)
    for row, sequence, score in zip(rows, sequences, output.sequences_scores, strict=True):
        log_prob = log_probability(model, ids[row], mask[row], sequence)
        expected = log_prob / (len(sequence) - 1) ** options["length_penalty"]
        np.testing.assert_allclose(score, expected, rtol=1e-5)


def log_probability(model, ids, mask, sequence):
    """Sum the log-probabilities of all tokens after the first, by one call without a cache."""
    logits = model(ids[None], mask[None], decoder_input_ids=[sequence[:-1]]).logits[0]
    log_probs = logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))
    return log_probs[np.arange(len(sequence) - 1), sequence[1:]].sum()


def test_generate_finds_the_padding_of_the_source_itself():
    model, (ids, mask) = small_pair(), source(np.random.default_rng(6))
    with_mask, without = model.generate(ids, mask), model.generate(ids)
    np.testing.assert_array_equal(without, with_mask)
    assert (model.generate(ids, np.ones_like(mask)) != with_mask).any()


@pytest.mark.parametrize("kind", POSITIONS)
def test_a_cache_grows_with_the_sequence(kind):
    length = 36
    model = small_pair(both={"position_embedding_type": kind, "max_position_embeddings": length})
    rng = np.random.default_rng(7)
    ids, sequence = words(rng, 1, S), words(rng, 1, length)
    whole = model(ids, decoder_input_ids=sequence).logits
    pieces = logits_in_chunks(model, sequence, None, [1] * length, input_ids=ids)
    assert_close(pieces, whole, EXACT)
