"""The sequences of a beam search, several for each input, each with its score."""

from dataclasses import dataclass

import numpy as np

from minibert2bert.arrays import Array
from minibert2bert.device import to_numpy


@dataclass(frozen=True)
class Hypotheses:
    """K sequences for each input, best first.

    Attributes:
        ids: int64 (B, K, T), prompt included
        scores: float32 (B, K); -inf marks an empty place.
        beam_indices: int64 (B, K, steps), the row of the log-probabilities from which each
            generated token was chosen, b * K + k for beam k of input b; -1 where there is no token
    """

    ids: Array
    scores: Array
    beam_indices: Array


def keep_best(hypotheses: Hypotheses, scores: Array, k: int) -> Hypotheses:
    """Keep the k best of each input by new scores, in descending order; equals keep theirs."""
    order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    inputs = np.arange(len(order))[:, None]
    return Hypotheses(
        ids=hypotheses.ids[inputs, order],
        scores=scores[inputs, order],
        beam_indices=hypotheses.beam_indices[inputs, order],
    )


def join(first: Hypotheses, second: Hypotheses) -> Hypotheses:
    """Give each input the sequences of both, in this order."""
    return Hypotheses(
        ids=np.concatenate([first.ids, second.ids], axis=1),
        scores=np.concatenate([first.scores, second.scores], axis=1),
        beam_indices=np.concatenate([first.beam_indices, second.beam_indices], axis=1),
    )


def lengthen(hypotheses: Hypotheses, pad_token_id: int) -> Hypotheses:
    """Pad sequences that have ended to the length of those that have one token more."""
    ids, beam_indices = hypotheses.ids, hypotheses.beam_indices
    pad = np.full_like(ids[:, :, :1], pad_token_id)
    return Hypotheses(
        ids=np.concatenate([ids, pad], axis=2),
        scores=hypotheses.scores,
        beam_indices=np.concatenate([beam_indices, np.full_like(pad, -1)], axis=2),
    )


def best_continuations(running: Hypotheses, log_probs: Array, width: int) -> Hypotheses:
    """Find the best of the K * V sequences of each input that are one token longer.

    score(sequence + token) = score(sequence) + log_prob(token | sequence)

    Args:
        running: K sequences of each input
        log_probs: (B * K, V)
        width: how many to keep

    Returns:
        candidates: `width` sequences of each input, or K * V if that is less
    """
    B, K = running.scores.shape
    V = log_probs.shape[-1]
    sums = log_probs.reshape(B, K, V) + np.asarray(running.scores, like=log_probs)[:, :, None]
    scores, places = top_k(sums.reshape(B, K * V), width)
    beams, tokens = places // V, places % V
    inputs = np.arange(B)[:, None]
    rows = inputs * K + beams
    return Hypotheses(
        ids=np.concatenate([running.ids[inputs, beams], tokens[:, :, None]], axis=2),
        scores=scores,
        beam_indices=np.concatenate(
            [running.beam_indices[inputs, beams], rows[:, :, None]], axis=2
        ),
    )


def top_k(scores: Array, k: int) -> tuple[Array, Array]:
    """Find the k largest scores of each row, best first, and bring them to the host.

    Equal scores stand in the order of their places. Which of several scores equal to the k-th
    are among the k is not defined, here as in the reference.

    Args:
        scores: (B, N)
        k: at least 1; more than N is N.

    Returns:
        values: (B, k)
        places: int64 (B, k)
    """
    k = min(k, scores.shape[1])
    unsorted = np.argpartition(scores, -k, axis=-1)[:, -k:]
    values = to_numpy(np.take_along_axis(scores, unsorted, axis=-1))
    places = to_numpy(unsorted)
    order = np.lexsort((places, -values), axis=-1)
    rows = np.arange(len(order))[:, None]
    return values[rows, order], places[rows, order]
