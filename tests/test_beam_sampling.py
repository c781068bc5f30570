import importlib.metadata
import importlib.util
from functools import partial

import numpy as np
import pytest
from chi_square import chi_square_p
from device_array import DeviceArray
from model_support import END, PAD, ended, small_batch, small_pair
from parity_support import Reference
from table_model import TableModel

from minibert2bert.generation.beam_sampling import draw_without_replacement, drawn_continuations
from minibert2bert.generation.beam_search import beam_step, log_softmax, start_beams
from minibert2bert.generation.call_arguments import CallArguments
from minibert2bert.generation.config import GenerationConfig
from minibert2bert.generation.hypotheses import Hypotheses, best_continuations
from minibert2bert.generation.sampling import random_streams
from minibert2bert.generation.settings import resolve
from minibert2bert.generation.stopping import stopping_criteria
from minibert2bert.generation.strategies import generate_ids

START = 2
PROBS = np.array([0.4, 0.05, 0.25, 0.2, 0.1])
DRAWS = 20_000
EVERYTHING = {"output_scores": True, "output_logits": True, "return_dict_in_generate": True}
OPTIONS = {
    "plain": {"num_beams": 3, "top_k": 0},
    "filtered": {"num_beams": 2, "top_k": 9, "temperature": 1.4},
    "long": {"num_beams": 4, "length_penalty": 2.0, "early_stopping": "never"},
    "several": {"num_beams": 3, "num_return_sequences": 3, "early_stopping": True},
}


def search(model, seed=0, **options):
    base = {"eos_token_id": END, "pad_token_id": PAD, "do_sample": True, "num_beams": 3}
    prompt = np.full((len(model.tables), 1), START)
    config = GenerationConfig(**{**base, **EVERYTHING, **options})
    return generate_ids(model, prompt, config, CallArguments(seed=seed))


def running_beams(rng, batch=2, beams=3):
    """Sequences of two tokens in the middle of a search."""
    shape = batch, beams
    return Hypotheses(
        ids=rng.integers(3, 7, (*shape, 3)),
        scores=rng.normal(-3, 1, shape).astype(np.float32),
        beam_indices=rng.integers(0, beams, (*shape, 2)),
        log_probs=rng.normal(-1, 0.1, (*shape, 2)).astype(np.float32),
    )


def test_places_are_drawn_one_after_the_other_from_what_is_left():
    rng = np.random.default_rng(0)
    scores = np.log(np.tile(PROBS, (DRAWS, 1))) + 7
    places = draw_without_replacement(scores, rng.random(scores.shape), 2)
    counts = np.bincount(places[:, 0] * 5 + places[:, 1], minlength=25)
    probs = PROBS[:, None] * PROBS / (1 - PROBS[:, None])
    np.fill_diagonal(probs, 0)
    assert np.isclose(probs.sum(), 1)
    assert chi_square_p(counts, probs.reshape(-1)) > 1e-4


def test_the_first_step_draws_each_set_of_candidates_with_its_probability():
    rng, beams = np.random.default_rng(1), 1
    running = start_beams(np.full((DRAWS, 1), START), beams).running
    log_probs = np.log(np.tile(PROBS, (DRAWS, 1))).astype(np.float32)
    drawn = drawn_continuations(running, log_probs, 2, rng.random(log_probs.shape)).ids[:, :, -1]
    ordered = PROBS[:, None] * PROBS / (1 - PROBS[:, None])
    first, second = np.triu_indices(5, 1)
    low, high = drawn.min(axis=1), drawn.max(axis=1)
    counts = np.array(
        [((low == a) & (high == b)).sum() for a, b in zip(first, second, strict=True)]
    )
    assert counts.sum() == DRAWS
    assert chi_square_p(counts, (ordered + ordered.T)[first, second]) > 1e-4


def test_a_place_is_drawn_once_and_an_impossible_one_only_when_no_other_is_left():
    rng = np.random.default_rng(2)
    scores = rng.normal(size=(200, 8)).astype(np.float32) * 20
    scores[:, [1, 4, 7]] = -np.inf
    for uniforms in (rng.random(scores.shape), np.zeros(scores.shape)):
        places = draw_without_replacement(scores, uniforms, 8)
        assert (np.sort(places, axis=1) == np.arange(8)).all()
        assert (np.sort(places[:, 5:], axis=1) == [1, 4, 7]).all()


@pytest.mark.parametrize("uniform", [0.0, 0.5, np.nextafter(1.0, 0.0)])
def test_equal_numbers_draw_the_best(uniform):
    rng = np.random.default_rng(3)
    running, log_probs = running_beams(rng), log_softmax(rng.normal(size=(6, 7)))
    drawn = drawn_continuations(running, log_probs, 6, np.full((2, 21), uniform))
    best = best_continuations(running, log_probs, 6)
    for name, array in vars(best).items():
        np.testing.assert_array_equal(getattr(drawn, name), array)


def test_candidates_are_ranked_by_their_sums_and_not_as_they_were_drawn():
    rng = np.random.default_rng(4)
    running, log_probs = running_beams(rng), log_softmax(rng.normal(size=(6, 7)))
    uniforms = rng.random((2, 21))
    drawn = drawn_continuations(running, log_probs, 6, uniforms)
    rows, tokens = drawn.beam_indices[:, :, -1], drawn.ids[:, :, -1]
    sums = running.scores.reshape(-1)[rows] + log_probs[rows, tokens]
    np.testing.assert_allclose(drawn.scores, sums, rtol=1e-6)
    assert (np.diff(drawn.scores) <= 0).all()
    best = best_continuations(running, log_probs, 6)
    assert (drawn.scores.sum(axis=1) < best.scores.sum(axis=1)).all()


def test_the_step_is_that_of_beam_search_with_drawn_candidates():
    settings = resolve(GenerationConfig(num_beams=1, eos_token_id=END, do_sample=True), 1)
    state = start_beams(np.array([[START]]), 1)
    log_probs = np.log(np.array([[0.5, 0.3, 0.2]], dtype=np.float32))
    # The end and the token 2 have the large numbers, and are drawn; 0 would be the best.
    choose = partial(drawn_continuations, uniforms=np.array([[0.01, 0.9, 0.99]]))
    after = beam_step(state, log_probs, stopping_criteria(settings), settings, choose)
    assert after.finished.ids[0, 0].tolist() == [START, END]
    assert after.running.ids[0, 0].tolist() == [START, 2]
    assert after.running.scores[0, 0] == pytest.approx(np.log(0.2))
    assert state.running.ids.tolist() == [[[START]]]


def test_an_end_is_finished_only_among_the_best_of_those_drawn():
    settings = resolve(GenerationConfig(num_beams=1, eos_token_id=END, do_sample=True), 1)
    log_probs = np.log(np.array([[0.5, 0.2, 0.3]], dtype=np.float32))
    # The end is drawn first, and yet ranks behind the token 2.
    choose = partial(drawn_continuations, uniforms=np.array([[0.01, 0.999, 0.9]]))
    state = start_beams(np.array([[START]]), 1)
    after = beam_step(state, log_probs, stopping_criteria(settings), settings, choose)
    assert np.isneginf(after.finished.scores).all()
    assert after.running.ids[0, 0].tolist() == [START, 2]


def test_every_input_draws_from_a_stream_of_its_own():
    beams, V = 3, 7
    output = search(TableModel(0), seed=8, num_beams=beams, max_new_tokens=1, top_k=0)
    running = start_beams(np.array([[START], [START]]), beams).running
    streams = [np.random.default_rng(np.random.SeedSequence(8, spawn_key=(i, 0))) for i in (0, 1)]
    uniforms = np.stack([stream.random(beams * V) for stream in streams])
    drawn = drawn_continuations(running, output.scores[0], 2 * beams, uniforms)
    assert output.sequences[:, 1].tolist() == drawn.ids[:, 0, 1].tolist()


def test_the_same_seed_draws_the_same_and_another_one_something_else():
    options = {"max_new_tokens": 12, "eos_token_id": None, "temperature": 9.0}
    first, again, other = (search(TableModel(0), s, **options).sequences for s in (3, 3, 4))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any(axis=1).all()


def test_without_a_seed_every_call_draws_anew():
    options = {"max_new_tokens": 40, "eos_token_id": None, "temperature": 9.0}
    first, second = (search(TableModel(0), None, **options).sequences for _ in range(2))
    assert (first != second).any(axis=1).all()


def test_a_score_is_the_sum_of_the_log_probabilities_of_what_was_drawn():
    model = TableModel(5)
    output = search(model, num_return_sequences=3, top_k=0, length_penalty=0.5)
    for row, sequence in enumerate(ended(output.sequences)):
        total = model.log_prob(row // 3, np.array(sequence), 1)
        expected = total / (len(sequence) - 1) ** 0.5
        np.testing.assert_allclose(output.sequences_scores[row], expected, rtol=1e-5)


def test_on_another_device_the_same_is_drawn():
    host, device = search(TableModel(2)), search(TableModel(2, wrap=DeviceArray))
    np.testing.assert_array_equal(device.sequences, host.sequences)
    np.testing.assert_array_equal(device.sequences_scores, host.sequences_scores)


@pytest.mark.parametrize("name", OPTIONS)
def test_an_example_is_sampled_alone_as_in_a_padded_batch(name):
    model, batch = small_pair(seed=6), small_batch(batch=4)
    options = {"do_sample": True, "max_length": 10, **OPTIONS[name]}
    count = options.get("num_return_sequences", 1)
    ids, mask = batch["input_ids"], batch["attention_mask"]
    together = ended(model.generate(ids, mask, seed=[3, 1, 4, 1], **options))
    for row, seed in enumerate([3, 1, 4, 1]):
        length = mask[row].sum()
        alone = model.generate(ids[row : row + 1, :length], seed=seed, **options)
        assert ended(alone) == together[count * row : count * (row + 1)]


def sorts_what_it_draws():
    """Releases of version 5 before 5.24 ranked the candidates in the order of drawing."""
    if importlib.util.find_spec("transformers") is None:
        return False
    major, minor = map(int, importlib.metadata.version("transformers").split(".")[:2])
    return major == 5 and minor >= 24


def with_numbers_of(monkeypatch, streams):
    """Let torch.multinomial draw with the random numbers that we draw with."""
    import torch

    def multinomial(probs, num_samples):
        uniforms = np.stack([stream.random(probs.shape[1]) for stream in streams])
        with np.errstate(divide="ignore"):
            keys = np.log(probs.numpy()) - np.log(-np.log(uniforms))
        return torch.tensor(np.argsort(-keys, axis=1, kind="stable")[:, :num_samples].copy())

    monkeypatch.setattr(torch, "multinomial", multinomial)


@pytest.mark.parity
@pytest.mark.skipif(not sorts_what_it_draws(), reason="needs transformers 5.24 or newer")
@pytest.mark.parametrize("name", OPTIONS)
def test_with_the_same_numbers_the_reference_draws_the_same(name, monkeypatch):
    seed = int(np.random.SeedSequence().generate_state(1)[0])
    ours, batch = small_pair(seed), small_batch(seed, batch=4)
    source = batch["input_ids"], batch["attention_mask"]
    options = {"do_sample": True, "max_length": 10, **EVERYTHING, **OPTIONS[name]}
    output = ours.generate(*source, seed=seed, **options)
    with_numbers_of(monkeypatch, random_streams(seed, 4))
    ids = {"pad_token_id": PAD, "eos_token_id": END, "decoder_start_token_id": START}
    theirs = Reference(ours).generate(*source, {**options, **ids})
    assert ended(output.sequences) == ended(theirs.sequences), f"seed {seed}"
    # float32 sums of ten terms
    np.testing.assert_allclose(output.sequences_scores, theirs.sequences_scores, 1e-5)
    for our_step, their_step, logits in zip(
        output.scores, theirs.scores, output.logits, strict=True
    ):
        asked = np.abs(logits).max(axis=1) > 0
        np.testing.assert_allclose(our_step[asked], their_step[asked], 1e-5, 1e-6)
