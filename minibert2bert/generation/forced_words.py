"""Continuations that forced words ask for, and the beams that they get.

A progress is a constraints.Progress; arrays of them have the dtype object and live on the host.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from minibert2bert.arrays import Array
from minibert2bert.generation import constraints
from minibert2bert.generation.constraints import Word
from minibert2bert.generation.finishing import EMPTY
from minibert2bert.generation.hypotheses import Hypotheses, continuations, join, pick

after: Callable[..., Array] = np.frompyfunc(constraints.after, 2, 1)
is_complete: Callable[..., Array] = np.frompyfunc(constraints.is_complete, 1, 1)
bank: Callable[..., Array] = np.frompyfunc(constraints.bank, 2, 1)


def follow(progress: Array, continued: Hypotheses) -> Array:
    """Follow the progress (B, K) of running sequences to `width` that are one token longer."""
    rows, tokens = continued.beam_indices[:, :, -1], continued.ids[:, :, -1]
    return after(progress.reshape(-1)[rows], tokens)


def has_words(progress: Array) -> Array:
    """True where a sequence has all its words."""
    return is_complete(progress).astype(bool)


def forced_continuations(
    running: Hypotheses, progress: Array, log_probs: Array, likely: Hypotheses
) -> Hypotheses:
    """Continue the running sequences by all tokens that bring them closer to their words.

    Args:
        running: K of each input
        progress: (B, K), of each of them
        log_probs: (B * K, V)
        likely: continuations that are there already, and are left out here

    Returns:
        forced: as many for each input as for the one that has most, then with empty places
    """
    K, V = running.scores.shape[1], log_probs.shape[1]
    there = likely.beam_indices[:, :, -1] % K * V + likely.ids[:, :, -1]
    places = [
        [
            beam * V + token
            for beam in np.flatnonzero(running.scores[index] > EMPTY).tolist()
            for token in constraints.next_tokens(progress[index, beam])
            if beam * V + token not in there[index]
        ]
        for index in range(len(there))
    ]
    count = max(map(len, places))
    padded = np.array([row + [-1] * (count - len(row)) for row in places], dtype=np.int64)
    kept = np.maximum(padded, 0)
    forced = continuations(running, log_probs, np.zeros(kept.shape, np.float32), kept)
    sums = np.take_along_axis(running.scores, kept // V, axis=1) + forced.log_probs[:, :, -1]
    return replace(forced, scores=np.where(padded < 0, EMPTY, sums))


def share_beams(
    likely: Hypotheses, forced: Hypotheses, progress: Array, words: Sequence[Word]
) -> Hypotheses:
    """Sort the continuations of an input into banks, which take turns with its K beams.

    The order is that of 100 * bank + score, in float32. Every bank gets a beam for its first, the
    fullest bank before the others, then for its second, and so on.

    Args:
        likely: K of each input, which are kept as they are where nothing is forced
        forced: any number of each input
        progress: (B, K), of the sequences that they continue
        words: what is forced

    Returns:
        running: K of each input
    """
    everything = join(likely, forced)
    longest = constraints.longest_form(words)
    banks = bank(follow(progress, everything), longest).astype(np.float32)
    order = np.argsort(-(100 * banks + everything.scores), axis=1, kind="stable")
    places = np.arange(order.shape[1])
    begins = np.diff(np.take_along_axis(banks, order, axis=1), axis=1, prepend=-1) != 0
    turns = places - np.maximum.accumulate(np.where(begins, places, 0), axis=1)
    empty = np.take_along_axis(everything.scores, order, axis=1) == EMPTY
    turns = np.where(empty, len(places), turns)
    order = np.take_along_axis(order, np.argsort(turns, axis=1, kind="stable"), axis=1)
    is_forced = (forced.scores > EMPTY).any(axis=1, keepdims=True)
    order = np.where(is_forced, order, places)
    return pick(everything, order[:, : likely.scores.shape[1]])
