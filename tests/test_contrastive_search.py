import json
from pathlib import Path

import numpy as np
import pytest
from device_array import DeviceArray
from model_support import END, PAD, ended, set_weights, small_batch, small_pair
from references.recipe import recipe_weights
from safetensors import safe_open
from table_model import TableModel

from minibert2bert.generation.config import GenerationConfig
from minibert2bert.generation.contrastive_search import (
    ContrastiveState,
    contrastive_step,
    start,
    unit_vectors,
)
from minibert2bert.generation.settings import resolve
from minibert2bert.generation.stopping import stopping_criteria
from minibert2bert.generation.strategies import generate_ids
from minibert2bert.models.config import EncoderDecoderConfig
from minibert2bert.models.encoder_decoder import EncoderDecoderModel

START = 2
STORED = Path(__file__).parent / "data" / "v4_contrastive.safetensors"
EVERYTHING = {"output_scores": True, "output_logits": True, "return_dict_in_generate": True}
OPTIONS = [
    {"penalty_alpha": 0.6, "top_k": 4},
    {"penalty_alpha": 0.2, "top_k": 3, "no_repeat_ngram_size": 2},
    {"penalty_alpha": 1.0, "top_k": 2, "eos_token_id": [END, 3]},
    {"penalty_alpha": 0.8, "top_k": 50},
]


class HiddenModel(TableModel):
    """A table model whose hidden states are drawn at random for each input and pair of tokens."""

    def __init__(self, seed, **kwargs):
        super().__init__(seed, **kwargs)
        shape = (*self.tables.shape[:3], 4)
        self.vectors = np.random.default_rng(seed + 1).normal(size=shape)

    @property
    def hidden_states(self):
        newest = self.calls[-1][0].shape[1]
        return self.wrap(self.states(self.inputs, self.ids)[:, -newest:])

    def states(self, inputs, ids):
        before = np.concatenate([ids[:, :1], ids[:, :-1]], axis=1)
        return self.vectors[np.asarray(inputs)[:, None], before, ids]


def search(model, prompt=None, **options):
    base = {"eos_token_id": END, "pad_token_id": PAD, "penalty_alpha": 0.6, "top_k": 4}
    prompt = np.full((len(model.tables), 1), START) if prompt is None else prompt
    return generate_ids(model, prompt, GenerationConfig(**{**base, **EVERYTHING, **options}))


def written_out(model, index, alpha, k, length):
    """The answer to one input, with loops."""
    ids = [START]
    while len(ids) < length and ids[-1] != END:
        logits = model.logits([index], np.array([ids]))[0]
        probs = np.exp(logits) / np.exp(logits).sum()
        past = model.states([index], np.array([ids]))[0]
        scores = {}
        for token in np.argsort(-probs)[:k]:
            state = model.states([index], np.array([[*ids, token]]))[0, -1]
            cosines = [state @ old / np.sqrt(state @ state) / np.sqrt(old @ old) for old in past]
            scores[int(token)] = (1 - alpha) * probs[token] - alpha * max(cosines)
        ids.append(max(scores, key=scores.get))
    return ids


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(("alpha", "k"), [(0.1, 5), (0.6, 4), (0.9, 2), (1.0, 50)])
def test_the_search_is_the_formula_written_out(seed, alpha, k):
    model = HiddenModel(seed, batch=3)
    found = search(model, penalty_alpha=alpha, top_k=k, max_length=9).sequences
    expected = [written_out(model, index, alpha, k, 9) for index in range(3)]
    assert ended(found) == expected


def test_a_step_weighs_probability_against_similarity():
    settings = resolve(GenerationConfig(penalty_alpha=0.5, eos_token_id=END, pad_token_id=PAD), 1)
    state = start(np.array([[START], [START]]), np.array([[[3.0, 0.0]], [[3.0, 0.0]]]))
    tokens, probs = np.array([[5, 6], [5, END]]), np.array([[0.7, 0.3], [0.9, 0.1]])
    hidden_states = np.array([[[4.0, 0.0], [0.0, 4.0]], [[3.0, 4.0], [4.0, 3.0]]])
    # 0.35 - 0.5 and 0.15 - 0; 0.45 - 0.3 and 0.05 - 0.4
    after = contrastive_step(
        state, tokens, probs, hidden_states, stopping_criteria(settings), settings
    )
    assert after.ids.tolist() == [[START, 6], [START, 5]]
    assert after.rows.tolist() == [1, 2]
    np.testing.assert_allclose(after.directions[:, 1], [[0, 1], [0.6, 0.8]])
    assert state.ids.shape == (2, 1)
    assert state.directions.shape == (2, 1, 2)


def test_the_most_similar_of_all_positions_counts():
    settings = resolve(GenerationConfig(penalty_alpha=0.9), 2)
    vectors = np.array([[[0.0, 1.0], [1.0, 0.0], [-1.0, -1.0]]])
    state = start(np.array([[START, 4, 5]]), vectors)
    hidden_states = np.array([[[0.1, 1.0], [-1.0, 1.0], [-1.0, -0.9]]])
    after = contrastive_step(
        state, np.array([[7, 8, 9]]), np.full((1, 3), 0.3), hidden_states, [], settings
    )
    assert after.ids[0, -1] == 8


def test_a_masked_position_of_the_prompt_does_not_count():
    prompt, mask = np.array([[4, START, 5]]), np.array([[0, 1, 1]])
    vectors = np.array([[[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]]])
    settings = resolve(GenerationConfig(penalty_alpha=0.9), 3)
    step = [np.array([[7, 8]]), np.full((1, 2), 0.5), np.array([[[1.0, 0.0], [1.0, 2.0]]])]
    seen, masked = (
        contrastive_step(start(prompt, vectors, m), *step, [], settings) for m in (None, mask)
    )
    assert (seen.ids[0, -1], masked.ids[0, -1]) == (8, 7)


def test_a_forbidden_token_is_not_taken_even_if_it_is_the_least_similar():
    settings = resolve(GenerationConfig(penalty_alpha=1.0), 1)
    state = start(np.array([[START]]), np.array([[[1.0, 0.0]]]))
    hidden_states = np.array([[[1.0, 0.0], [-1.0, 0.0]]])
    after = contrastive_step(
        state, np.array([[7, 8]]), np.array([[1.0, 0.0]]), hidden_states, [], settings
    )
    assert after.ids[0, -1] == 7


def test_a_finished_row_gets_pad():
    settings = resolve(GenerationConfig(penalty_alpha=0.5, eos_token_id=END, pad_token_id=9), 1)
    state = ContrastiveState(
        np.array([[START]]), np.array([True]), np.ones((1, 1, 2)), np.array([0])
    )
    arrays = np.array([[7, 8]]), np.array([[0.6, 0.4]]), np.ones((1, 2, 2))
    after = contrastive_step(state, *arrays, stopping_criteria(settings), settings)
    assert after.ids.tolist() == [[START, 9]]
    assert after.finished.tolist() == [True]


def test_unit_vectors_have_length_one_and_nothing_stays_nothing():
    x = np.array([[3.0, 4.0], [0.0, 0.0], [-2.0, 0.0]])
    assert unit_vectors(x).tolist() == [[0.6, 0.8], [0.0, 0.0], [-1.0, 0.0]]


def test_without_a_penalty_or_a_choice_it_is_greedy_search():
    greedy = search(TableModel(0), penalty_alpha=None).sequences
    for options in ({"penalty_alpha": 0.0}, {"top_k": 1}, {"top_k": 0}):
        np.testing.assert_array_equal(search(TableModel(0), **options).sequences, greedy)
    assert search(HiddenModel(0)).sequences.tolist() != greedy.tolist()


def test_the_model_reads_all_candidates_of_the_inputs_that_are_not_done():
    model = HiddenModel(4, end_bias=1.0)
    output = search(model, top_k=3, max_length=12)
    lengths = sorted(len(row) - 1 for row in ended(output.sequences))
    assert lengths[0] < lengths[1] < 11
    rows = [len(tokens) for tokens, _ in model.calls]
    assert rows == [2] + [6] * lengths[0] + [3] * (lengths[1] - lengths[0])


def test_a_token_is_chosen_from_the_processed_scores_of_the_one_before():
    output = search(HiddenModel(1), min_new_tokens=5, max_length=6, top_k=7)
    assert (output.scores[0][:, END] == -np.inf).all()
    for t, logits in enumerate(output.logits):
        for row in range(2):
            expected = HiddenModel(1).logits([row], output.sequences[row : row + 1, : 1 + t])[0]
            np.testing.assert_allclose(logits[row], expected, rtol=1e-6)


def test_the_hypotheses_hold_the_log_probabilities_of_what_was_chosen():
    model = HiddenModel(2)
    output = search(model, max_length=9)
    for row, sequence in enumerate(ended(output.sequences)):
        total = model.log_prob(row, np.array(sequence), 1)
        assert output.hypotheses[row].length == len(sequence) - 1
        assert output.hypotheses[row].sum == pytest.approx(total, rel=1e-5)


def test_on_another_device_the_same_is_generated():
    host, device = search(HiddenModel(2)), search(HiddenModel(2, wrap=DeviceArray))
    np.testing.assert_array_equal(device.sequences, host.sequences)
    assert isinstance(device.scores[0], DeviceArray)


def test_a_model_without_hidden_states_is_refused():
    with pytest.raises(ValueError, match=r"must have an attribute hidden_states \(rows, T, H\)"):
        search(TableModel(0))


@pytest.mark.parametrize("options", OPTIONS)
def test_an_example_is_continued_alone_as_in_a_padded_batch(options):
    model, batch = small_pair(seed=6), small_batch(batch=4)
    ids, mask = batch["input_ids"], batch["attention_mask"]
    together = ended(model.generate(ids, mask, max_length=12, **options))
    for row, length in enumerate(mask.sum(axis=1)):
        alone = model.generate(ids[row : row + 1, :length], max_length=12, **options)
        assert ended(alone) == together[row : row + 1]


def test_attentions_and_hidden_states_are_those_of_the_chosen_tokens():
    model, batch = small_pair(seed=6), small_batch(batch=3)
    source = batch["input_ids"], batch["attention_mask"]
    flags = {"output_attentions": True, "output_hidden_states": True}
    options = {"max_length": 9, "eos_token_id": 16, **OPTIONS[0], **EVERYTHING, **flags}
    output = model.generate(*source, **options)
    whole = model(*source, decoder_input_ids=output.sequences[:, :-1], **flags)
    written = (np.cumsum(output.sequences == 16, axis=1) == 0)[:, :-1]
    assert len(output.cross_attentions) == len(output.scores) == written.shape[1]
    for t, step in enumerate(output.decoder_hidden_states):
        for layer, expected in zip(step, whole.decoder_hidden_states, strict=True):
            rows = written[:, t]
            np.testing.assert_allclose(layer[rows, 0], expected[rows, t], rtol=1e-9, atol=1e-12)
    last, expected = output.cross_attentions[-1][1], whole.cross_attentions[1]
    rows = written[:, -1]
    np.testing.assert_allclose(last[rows, :, 0], expected[rows, :, -1], rtol=1e-9)
    np.testing.assert_allclose(output.hypotheses[0].cross_attentions[1, :, 2], expected[0, :, 2])


def stored_cases():
    """Yield for each stored case its name, our model with its weights, inputs and searches."""
    with safe_open(STORED, "np") as file:
        texts = file.metadata()
        arrays = {key: file.get_tensor(key) for key in sorted(file.keys())}
    layouts = json.loads(texts["layouts"])
    for case, description in json.loads(texts["cases"]).items():
        groups = {}
        for key in arrays:
            if key.startswith(f"{case}/"):
                _, group, name = key.split("/", 2)
                groups.setdefault(group, {})[name] = arrays[key]
        yield case, description, layouts[description["layout"]], groups


CASES = {case: parts for case, *parts in stored_cases()}


@pytest.mark.parametrize("case", CASES)
def test_every_stored_search_of_version_4_is_reproduced(case):
    description, shapes, groups = CASES[case]
    config = EncoderDecoderConfig.from_dict(description["config"])
    model = EncoderDecoderModel(config, dtype="float64")
    set_weights(model, recipe_weights(shapes))
    assert len(description["generation"]) == 6
    for name, options in description["generation"].items():
        output = model.generate(**groups["inputs"], **options, **EVERYTHING)
        expected = groups["generation"]
        np.testing.assert_array_equal(output.sequences, expected[f"{name}/sequences"], name)
        pairs = zip(output.logits, output.scores, expected[f"{name}/scores"], strict=True)
        for logits, our_step, their_step in pairs:
            # Inputs that are done are asked no more. Otherwise both round float64 to float32.
            asked = np.abs(logits).max(axis=1) > 0
            np.testing.assert_allclose(our_step[asked], their_step[asked], 1e-6, 1e-6)
