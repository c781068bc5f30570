import math

import numpy as np
import pytest
from chi_square import chi_square_p
from device_array import DeviceArray
from hypothesis import given, settings
from hypothesis import strategies as st
from model_support import END, PAD, ended, small_batch, small_pair
from parity_support import Reference
from table_model import TableModel

from minibert2bert.generation.call_arguments import CallArguments
from minibert2bert.generation.config import GenerationConfig
from minibert2bert.generation.sampling import draw, random_streams, sample_step
from minibert2bert.generation.search import SearchState
from minibert2bert.generation.settings import resolve
from minibert2bert.generation.stopping import stopping_criteria
from minibert2bert.generation.strategies import generate_ids

START = 2
EVERYTHING = {"output_scores": True, "output_logits": True, "return_dict_in_generate": True}
BELOW_ONE = np.nextafter(1.0, 0.0)
FILTERS = {
    "plain": {"top_k": 0},
    "temperature": {"temperature": 0.7},
    "top_k": {"top_k": 4},
    "top_p": {"top_p": 0.8, "temperature": 1.5},
    "min_p": {"min_p": 0.1},
    "top_h": {"top_h": 0.6},
    "typical_p": {"typical_p": 0.7},
    "epsilon_cutoff": {"epsilon_cutoff": 0.05},
    "eta_cutoff": {"eta_cutoff": 0.1},
    "all": {"temperature": 1.3, "top_k": 9, "top_p": 0.95, "typical_p": 0.9, "min_p": 0.02},
    "processors": {"repetition_penalty": 1.4, "no_repeat_ngram_size": 2, "min_new_tokens": 4},
}


def sample(model, seed=0, **options):
    """Draw from a table for each input; the options are those of generate()."""
    config = {"eos_token_id": END, "pad_token_id": PAD, "do_sample": True, **EVERYTHING, **options}
    prompt = np.full((len(model.tables), 1), START)
    return generate_ids(model, prompt, GenerationConfig(**config), CallArguments(seed=seed))


def test_sequences_are_drawn_with_their_probabilities():
    model, count, V = TableModel(0, batch=1, vocab=5), 20_000, 5
    options = {"max_new_tokens": 2, "eos_token_id": None, "top_k": 0}
    pairs = sample(model, num_return_sequences=count, **options).sequences[:, 1:]
    counts = np.bincount(pairs[:, 0] * V + pairs[:, 1], minlength=V * V)
    every = np.array([[START, first, second] for first in range(V) for second in range(V)])
    probs = np.exp([model.log_prob(0, ids, 1) for ids in every])
    assert math.isclose(probs.sum(), 1)
    assert chi_square_p(counts, probs) > 1e-4


def test_the_chi_square_test_sees_a_distribution_that_is_off_by_a_twentieth():
    rng, probs = np.random.default_rng(0), np.full(10, 0.1)
    right, wrong = (np.bincount(rng.choice(10, 20_000, p=p), minlength=10) for p in (
        probs, probs + np.repeat([0.005, -0.005], 5),
    ))  # fmt: skip
    assert chi_square_p(right, probs) > 1e-4 > chi_square_p(wrong, probs)


def test_a_number_draws_the_first_token_whose_cumulative_probability_exceeds_it():
    rng = np.random.default_rng(1)
    scores, uniforms = rng.normal(size=(200, 6)), rng.random(200)
    for row, token in enumerate(draw(scores, uniforms)):
        probs = np.exp(scores[row]) / np.exp(scores[row]).sum()
        assert probs[:token].sum() <= uniforms[row] < probs[: token + 1].sum()


@settings(max_examples=60, deadline=None, derandomize=True)
@given(seed=st.integers(0, 10**6), dtype=st.sampled_from(["float32", "float64"]))
def test_a_token_of_probability_zero_is_never_drawn(seed, dtype):
    rng = np.random.default_rng(seed)
    scores = (rng.normal(size=(50, 9)) * 30).astype(dtype)
    forbidden = rng.random(scores.shape) < 0.6
    forbidden[np.arange(50), rng.integers(0, 9, 50)] = False
    scores[forbidden] = -np.inf
    for uniforms in (np.zeros(50), np.full(50, BELOW_ONE), rng.random(50)):
        tokens = draw(scores, uniforms)
        assert not forbidden[np.arange(50), tokens].any()


def test_not_even_where_the_sums_of_a_device_are_not_monotone(monkeypatch):
    rng, cumsum = np.random.default_rng(2), np.cumsum

    def rough_cumsum(x, axis, dtype):
        return cumsum(x, axis=axis, dtype=dtype) + rng.normal(size=x.shape) * 1e-3

    monkeypatch.setattr(np, "cumsum", rough_cumsum)
    scores = np.full((2, 5), -np.inf)
    scores[[0, 0, 1], [1, 3, 2]] = 0
    for uniform in np.repeat([0.0, 0.499, 0.501, BELOW_ONE], 25):
        tokens = draw(scores, np.full(2, uniform))
        assert tokens[0] in (1, 3)
        assert tokens[1] == 2


def test_drawn_tokens_of_a_device_are_those_of_numpy():
    rng = np.random.default_rng(3)
    scores, uniforms = rng.normal(size=(20, 6)).astype(np.float32), rng.random(20)
    tokens = draw(DeviceArray(scores), uniforms)
    assert isinstance(tokens, np.ndarray)
    np.testing.assert_array_equal(tokens, draw(scores, uniforms))


def step(scores, finished=(False, False), **options):
    config = GenerationConfig(**{"eos_token_id": END, "pad_token_id": 6, **options})
    limits = resolve(config, 1)
    state = SearchState(np.array([[START], [START]]), np.array(finished))
    return sample_step(state, scores, np.array([0.2, 0.9]), stopping_criteria(limits), limits)


def test_a_step_draws_a_token_for_each_row_and_leaves_the_state_it_was_given():
    scores = np.log(np.array([[0.1, 0.3, 0.6], [0.1, 0.3, 0.6]]))
    after = step(scores)
    assert after.ids.tolist() == [[START, 1], [START, 2]]
    assert after.finished.tolist() == [True, False]
    np.testing.assert_array_equal(step(scores).ids, after.ids)


def test_a_finished_row_gets_pad_or_goes_on_where_there_is_no_end():
    scores = np.zeros((2, 3))
    assert step(scores, [True, False]).ids.tolist() == [[START, 6], [START, 2]]
    without_end = step(scores, [True, False], eos_token_id=None)
    assert without_end.ids.tolist() == [[START, 0], [START, 2]]


@pytest.mark.parametrize("wrong", [[-np.inf] * 3, [0.0, np.nan, 0.0]])
def test_a_row_without_a_token_to_draw_is_an_error_unless_it_is_finished(wrong):
    scores = np.array([[0.0, 0.0, 0.0], wrong])
    assert step(scores, [False, True]).ids[1].tolist() == [START, 6]
    with pytest.raises(ValueError, match="row 1 has no token to draw after 1 tokens"):
        step(scores)
    with pytest.raises(ValueError, match="row 1 has no token to draw"):
        step(scores, [False, True], eos_token_id=None)


def test_every_step_uses_one_number_of_the_rows_own_stream():
    output = sample(TableModel(0), seed=5, eos_token_id=None, max_new_tokens=6)
    streams = [np.random.default_rng(np.random.SeedSequence(5, spawn_key=(i, 0))) for i in (0, 1)]
    for t, scores in enumerate(output.scores):
        tokens = draw(scores, np.array([stream.random() for stream in streams]))
        assert output.sequences[:, 1 + t].tolist() == tokens.tolist()


def test_the_same_seed_draws_the_same_and_another_one_something_else():
    options = {"max_new_tokens": 12, "eos_token_id": None}
    first, again, other = (sample(TableModel(0), s, **options).sequences for s in (3, 3, 4))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any(axis=1).all()


def test_without_a_seed_every_call_draws_anew():
    options = {"max_new_tokens": 40, "eos_token_id": None, "top_k": 0}
    first, second = (sample(TableModel(0), None, **options).sequences for _ in range(2))
    assert (first != second).any(axis=1).all()


def test_the_inputs_of_a_batch_and_their_sequences_draw_from_different_streams():
    model = TableModel(0, batch=3)
    model.tables[:] = model.tables[:1]
    options = {"max_new_tokens": 40, "eos_token_id": None, "num_return_sequences": 2}
    sequences = sample(model, seed=1, **options).sequences
    assert len(set(map(tuple, sequences.tolist()))) == 6


def test_a_batch_of_one_draws_the_same_from_a_number_and_a_list_of_one():
    number, listed = (sample(TableModel(0, batch=1), seed).sequences for seed in (9, [9]))
    np.testing.assert_array_equal(number, listed)


def test_the_first_input_of_a_batch_draws_from_one_seed_what_it_draws_alone():
    pair = sample(TableModel(0), 9).sequences[0]
    model = TableModel(0)
    model.tables = model.tables[:1]
    alone = sample(model, 9).sequences[0]
    assert ended([pair]) == ended([alone])


def test_fewer_sequences_are_the_first_of_more():
    options = {"max_new_tokens": 8, "eos_token_id": None}
    more = sample(TableModel(0), num_return_sequences=5, **options).sequences.reshape(2, 5, -1)
    fewer = sample(TableModel(0), num_return_sequences=2, **options).sequences.reshape(2, 2, -1)
    np.testing.assert_array_equal(more[:, :2], fewer)


def test_the_sequences_of_an_input_stand_together():
    model = TableModel(0, batch=3)
    model.tables[:] = 0
    model.tables[np.arange(3), :, :, np.array([3, 4, 5])] = 100
    config = GenerationConfig(do_sample=True, num_return_sequences=2, max_new_tokens=2)
    sequences = generate_ids(model, np.array([[6], [2], [0]]), config).sequences
    assert sequences[:, 0].tolist() == [6, 6, 2, 2, 0, 0]
    assert sequences[:, 1].tolist() == sequences[:, 2].tolist() == [3, 3, 4, 4, 5, 5]


def test_an_input_leaves_when_all_its_sequences_have_ended():
    model = TableModel(0, end_bias=1.0)
    output = sample(model, num_return_sequences=3, max_new_tokens=15)
    ends = (output.sequences == END).argmax(axis=1).reshape(2, 3).max(axis=1)
    assert ends[0] != ends[1]
    rows = [len(tokens) for tokens, _ in model.calls]
    assert rows == [6] * min(ends) + [3] * (max(ends) - min(ends))


@pytest.mark.parametrize("seed", [-1, 1.5, True, "7", [1, -2], [0, 2.0]])
def test_a_seed_that_is_no_whole_number_of_at_least_zero_is_refused(seed):
    with pytest.raises(ValueError, match="seed must be"):
        random_streams(seed, 2)


def test_another_number_of_seeds_than_inputs_is_refused():
    with pytest.raises(ValueError, match="one for each of the 3 inputs, got 2"):
        random_streams([1, 2], 3)


def test_seeds_may_be_numbers_of_numpy():
    expected = [stream.random() for stream in random_streams([4, 5], 2)]
    assert [s.random() for s in random_streams(np.array([4, 5]), 2)] == expected
    assert random_streams(np.int64(4), 1)[0].random() == expected[0]


@pytest.mark.parametrize("name", FILTERS)
def test_an_example_is_sampled_alone_as_in_a_padded_batch(name):
    model, batch = small_pair(seed=6, both={"initializer_range": 1.0}), small_batch(batch=4)
    options = {"do_sample": True, "max_length": 10, "num_return_sequences": 2, **FILTERS[name]}
    ids, mask = batch["input_ids"], batch["attention_mask"]
    together = ended(model.generate(ids, mask, seed=[3, 1, 4, 1], **options))
    for row, seed in enumerate([3, 1, 4, 1]):
        length = mask[row].sum()
        alone = model.generate(ids[row : row + 1, :length], seed=seed, **options)
        assert ended(alone) == together[2 * row : 2 * row + 2]


def test_attentions_and_hidden_states_have_a_row_for_each_sequence():
    model, batch, prompt = small_pair(seed=6), small_batch(batch=3), np.full((3, 2), START)
    source = batch["input_ids"], batch["attention_mask"]
    flags = {"output_attentions": True, "output_hidden_states": True}
    options = {"do_sample": True, "num_return_sequences": 2, "max_length": 7, "eos_token_id": 16}
    output = model.generate(
        *source, decoder_input_ids=prompt, seed=0, **options, **flags, **EVERYTHING
    )
    rows = [np.repeat(array, 2, axis=0) for array in source]
    whole = model(*rows, decoder_input_ids=output.sequences[:, :-1], **flags)
    np.testing.assert_allclose(
        output.cross_attentions[0][1], whole.cross_attentions[1][:, :, :2], rtol=1e-9
    )
    written = (np.cumsum(output.sequences == 16, axis=1) == 0)[:, 3]
    for name in ("cross_attentions", "decoder_hidden_states"):
        last = output[name][2][-1][written]
        expected = np.take(whole[name][-1][written], [3], axis=-2)
        np.testing.assert_allclose(last, expected, rtol=1e-9)


def with_numbers_of(monkeypatch, streams):
    """Let torch.multinomial draw with the random numbers that we draw with."""
    import torch

    def multinomial(probs, num_samples):
        assert num_samples == 1
        sums = np.cumsum(probs.numpy().astype(np.float64), axis=1)
        rows = zip(sums, streams, strict=True)
        tokens = [np.searchsorted(s / s[-1], stream.random(), "right") for s, stream in rows]
        return torch.tensor(np.array(tokens)[:, None])

    monkeypatch.setattr(torch, "multinomial", multinomial)


@pytest.mark.parity
@pytest.mark.parametrize("name", FILTERS)
def test_with_the_same_numbers_the_reference_draws_the_same(name, monkeypatch):
    seed = int(np.random.SeedSequence().generate_state(1)[0])
    ours, batch = small_pair(seed), small_batch(seed, batch=4)
    source = batch["input_ids"], batch["attention_mask"]
    options = {"do_sample": True, "max_length": 10, "num_return_sequences": 2, **EVERYTHING}
    options |= FILTERS[name]
    output = ours.generate(*source, seed=seed, **options)
    with_numbers_of(monkeypatch, random_streams(seed, 4, 2))
    ids = {"pad_token_id": PAD, "eos_token_id": END, "decoder_start_token_id": START}
    theirs = Reference(ours).generate(*source, {**options, **ids})
    assert output.sequences.tolist() == theirs.sequences.tolist(), f"seed {seed}"
    for our_step, their_step, logits in zip(
        output.scores, theirs.scores, output.logits, strict=True
    ):
        asked = np.abs(logits).max(axis=1) > 0
        # Both round float64 logits to float32, which the processors then change.
        np.testing.assert_allclose(our_step[asked], their_step[asked], 1e-5, 1e-6)
