"""How sure the model was: the log-probabilities of what it generated."""

from dataclasses import dataclass

import numpy as np

from minibert2bert.arrays import Array
from minibert2bert.device import to_numpy
from minibert2bert.generation.length_penalty import length_divisor
from minibert2bert.generation.settings import GenerationSettings


@dataclass(frozen=True)
class Hypothesis:
    """One returned sequence, with the parts of its score.

    score = sum of log_probs / penalty, where penalty = length_divisor(length)

    Attributes:
        tokens: int64 (length,), the generated ids, the eos included and the prompt not
        log_probs: float32 (length,), of each token, after the processors
        sum: of the log_probs
        length: number of tokens
        penalty: what the sum is divided by; see length_penalty.py.
        score: the final score; the sequences_scores of beam search, to rounding
        cross_attentions: with output_attentions, (L, N, length, S): row t is what the decoder
            looked at when it chose tokens[t], followed along the beams; otherwise None
    """

    tokens: Array
    log_probs: Array
    sum: float
    length: int
    penalty: float
    score: float
    cross_attentions: Array | None = None


def hypotheses_of(
    sequences: Array, log_probs: Array, lengths: Array, settings: GenerationSettings
) -> tuple[Hypothesis, ...]:
    """Take the rows of an output apart.

    Args:
        sequences: int64 (rows, T), prompts included
        log_probs: float32 (rows, steps), on the host
        lengths: int (rows,), generated tokens of each row
        settings: prompt_length, length_penalty, length_penalty_style
    """
    found = []
    for row, length in enumerate(lengths.tolist()):
        tokens = sequences[row, settings.prompt_length :][:length]
        total = float(log_probs[row, :length].sum(dtype=np.float64))
        # A prompt to which nothing could be added is a sequence of no tokens.
        penalty = length_divisor(length, settings) if length else 1.0
        score = total / penalty if length else -np.inf
        found.append(Hypothesis(tokens, log_probs[row, :length], total, length, penalty, score))
    return tuple(found)


def log_probs_of(scores: Array, tokens: Array) -> Array:
    """Take the log-probability of one token of each row.

    log_softmax(scores)[token] = scores[token] - log(sum(exp(scores)))

    Args:
        scores: (rows, V)
        tokens: int (rows,), on the host

    Returns:
        log_probs: float32 (rows,), on the host
    """
    rows = np.arange(len(tokens))
    chosen = scores[np.asarray(rows, like=scores), np.asarray(tokens, like=scores)]
    highest = scores.max(axis=-1)
    total = np.exp(scores - highest[:, None]).sum(axis=-1)
    return to_numpy(chosen - highest - np.log(total))
