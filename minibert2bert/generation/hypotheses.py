"""The sequences of a beam search, several for each input, each with its score."""

from dataclasses import dataclass, replace

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
        log_probs: float32 (B, K, steps), of each generated token; 0 where there is no token
    """

    ids: Array
    scores: Array
    beam_indices: Array
    log_probs: Array


def keep_best(hypotheses: Hypotheses, scores: Array, k: int) -> Hypotheses:
    """Keep the k best of each input by new scores, in descending order; equals keep theirs."""
    order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    return pick(replace(hypotheses, scores=scores), order)


def pick(hypotheses: Hypotheses, places: Array) -> Hypotheses:
    """Take the sequences at some places (B, k) of each input, in this order."""
    inputs = np.arange(len(places))[:, None]
    return Hypotheses(
        ids=hypotheses.ids[inputs, places],
        scores=hypotheses.scores[inputs, places],
        beam_indices=hypotheses.beam_indices[inputs, places],
        log_probs=hypotheses.log_probs[inputs, places],
    )


def join(first: Hypotheses, second: Hypotheses) -> Hypotheses:
    """Give each input the sequences of both, in this order."""
    return Hypotheses(
        ids=np.concatenate([first.ids, second.ids], axis=1),
        scores=np.concatenate([first.scores, second.scores], axis=1),
        beam_indices=np.concatenate([first.beam_indices, second.beam_indices], axis=1),
        log_probs=np.concatenate([first.log_probs, second.log_probs], axis=1),
    )


def lengthen(hypotheses: Hypotheses, pad_token_id: int) -> Hypotheses:
    """Pad sequences that have ended to the length of those that have one token more."""
    ids, beam_indices, log_probs = hypotheses.ids, hypotheses.beam_indices, hypotheses.log_probs
    pad = np.full_like(ids[:, :, :1], pad_token_id)
    return Hypotheses(
        ids=np.concatenate([ids, pad], axis=2),
        scores=hypotheses.scores,
        beam_indices=np.concatenate([beam_indices, np.full_like(pad, -1)], axis=2),
        log_probs=np.concatenate([log_probs, np.zeros_like(log_probs, shape=pad.shape)], axis=2),
    )


def best_continuations(running: Hypotheses, log_probs: Array, width: int) -> Hypotheses:
    """Find the best of the K * V sequences of each input that are one token longer.

    Args:
        running: K sequences of each input
        log_probs: (B * K, V)
        width: how many to keep

    Returns:
        candidates: `width` sequences of each input, or K * V if that is less
    """
    scores, places = top_k(continuation_scores(running, log_probs), width)
    return continuations(running, log_probs, scores, places)


def continuation_scores(running: Hypotheses, log_probs: Array) -> Array:
    """Score all sequences that are one token longer.

    score(sequence + token) = score(sequence) + log_prob(token | sequence)

    Args:
        running: K sequences of each input
        log_probs: (B * K, V)

    Returns:
        scores: (B, K * V); token v after sequence k is at place k * V + v.
    """
    B, K = running.scores.shape
    scores = np.asarray(running.scores, like=log_probs)[:, :, None]
    return (log_probs.reshape(B, K, -1) + scores).reshape(B, -1)


def continuations(
    running: Hypotheses, log_probs: Array, scores: Array, places: Array
) -> Hypotheses:
    """Lengthen running sequences by the tokens at some places of continuation_scores.

    Args:
        running: K sequences of each input
        log_probs: (B * K, V)
        scores: (B, width), on the host, of what is at the places
        places: int64 (B, width), on the host

    Returns:
        candidates: `width` sequences of each input, in this order
    """
    K, V = running.scores.shape[1], log_probs.shape[1]
    beams, tokens = places // V, places % V
    inputs = np.arange(len(places))[:, None]
    rows = inputs * K + beams
    on_device = np.asarray(rows, like=log_probs), np.asarray(tokens, like=log_probs)
    return Hypotheses(
        ids=_append(running.ids[inputs, beams], tokens),
        scores=scores,
        beam_indices=_append(running.beam_indices[inputs, beams], rows),
        log_probs=_append(running.log_probs[inputs, beams], to_numpy(log_probs[on_device])),
    )


def _append(histories: Array, newest: Array) -> Array:
    return np.concatenate([histories, newest[:, :, None]], axis=2)


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
