"""Hypotheses: what the log-probabilities, the sum, the length and the penalty make of a score."""

import numpy as np
import pytest
from table_model import TableModel

from minibert2bert.generation.config import GenerationConfig
from minibert2bert.generation.length_penalty import length_divisor
from minibert2bert.generation.scores import log_probs_of
from minibert2bert.generation.settings import resolve
from minibert2bert.generation.strategies import generate_ids

EOS, PAD, START = 1, 0, 2
PROMPT = np.array([[START], [START]])
PENALTIES = [("hf", 0.0), ("hf", 1.0), ("hf", 2.5), ("hf", -1.0), ("gnmt", 0.6), ("gnmt", 1.0)]


def search(seed, **options):
    options = {"eos_token_id": EOS, "pad_token_id": PAD, "max_length": 9, **options}
    config = GenerationConfig(return_dict_in_generate=True, output_scores=True, **options)
    return generate_ids(TableModel(seed), PROMPT, config)


@pytest.mark.parametrize(
    ("style", "penalty", "expected"),
    [("hf", 2.0, 16.0), ("hf", 0.0, 1.0), ("gnmt", 1.0, 1.5), ("gnmt", 0.6, 1.5**0.6)],
)
def test_four_tokens_divide_the_score_by(style, penalty, expected):
    config = GenerationConfig(length_penalty=penalty, length_penalty_style=style)
    assert length_divisor(4, resolve(config, 1)) == pytest.approx(expected, rel=1e-15)


@pytest.mark.parametrize(("style", "penalty"), PENALTIES)
@pytest.mark.parametrize("seed", range(4))
def test_the_parts_of_a_beams_score_reproduce_each_other(seed, style, penalty):
    output = search(
        seed,
        num_beams=3,
        num_return_sequences=2,
        length_penalty=penalty,
        length_penalty_style=style,
    )
    assert len(output.hypotheses) == 4
    for row, hypothesis in enumerate(output.hypotheses):
        assert len(hypothesis.log_probs) == len(hypothesis.tokens) == hypothesis.length
        assert hypothesis.sum == pytest.approx(hypothesis.log_probs.sum(dtype=float))
        base = (5 + hypothesis.length) / 6 if style == "gnmt" else hypothesis.length
        assert hypothesis.penalty == pytest.approx(base**penalty)
        assert hypothesis.score == hypothesis.sum / hypothesis.penalty
        assert hypothesis.score == pytest.approx(float(output.sequences_scores[row]), rel=1e-5)


@pytest.mark.parametrize("seed", range(4))
def test_every_log_prob_is_found_in_the_scores_along_the_beams(seed):
    output = search(seed, num_beams=3, num_return_sequences=3, no_repeat_ngram_size=2)
    for row, hypothesis in enumerate(output.hypotheses):
        for step, (token, log_prob) in enumerate(
            zip(hypothesis.tokens, hypothesis.log_probs, strict=True)
        ):
            parent = output.beam_indices[row, step]
            assert log_prob == output.scores[step][parent, token]


@pytest.mark.parametrize("seed", range(4))
def test_a_greedy_hypothesis_ends_with_its_row_and_scores_the_mean(seed):
    output = search(seed)
    for row, hypothesis in enumerate(output.hypotheses):
        written = output.sequences[row, 1:].tolist()
        length = written.index(EOS) + 1 if EOS in written else len(written)
        assert hypothesis.tokens.tolist() == written[:length]
        expected = 0.0
        for step in range(length):
            scores = output.scores[step][row].astype(float)
            expected += scores[written[step]] - np.log(np.exp(scores).sum())
        assert hypothesis.sum == pytest.approx(expected, rel=1e-6)
        assert hypothesis.score == pytest.approx(expected / length, rel=1e-6)


def test_log_probs_are_those_of_a_softmax_also_beside_forbidden_tokens():
    scores = np.random.default_rng(0).normal(size=(4, 9)).astype(np.float32) * 30
    scores[:, 3] = -np.inf
    tokens = np.array([0, 1, 2, 4])
    shifted = scores.astype(float) - scores.max(axis=1, keepdims=True)
    exact = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    actual = log_probs_of(scores, tokens)
    np.testing.assert_allclose(actual, exact[np.arange(4), tokens], rtol=1e-6, atol=4e-6)
    assert actual.dtype == np.float32


@pytest.mark.parametrize("style", ["hf", "gnmt"])
def test_a_larger_penalty_returns_longer_answers(style):
    lengths = []
    for penalty in (-3.0, 3.0):
        options = {"length_penalty": penalty, "length_penalty_style": style, "num_beams": 5}
        outputs = [search(seed, **options) for seed in range(20)]
        lengths.append(sum(h.length for output in outputs for h in output.hypotheses))
    assert lengths[0] < lengths[1]
