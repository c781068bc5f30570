# An exercise of tutorials/12_decoding.py.
# Write what raises NotImplementedError, then run: pytest --mine beam_search
# Checksum of the untouched file: 4b5351bd

"""Beam search: keep the K best sequences of each input instead of one.

Each input has K running sequences and a pool of at most K finished ones. A running sequence is
scored by the sum of its log-probabilities, a finished one by its final score,

    sum of log-probabilities / (number of generated tokens, eos included) ** length_penalty
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from minibert2bert.arrays import Array
from minibert2bert.generation.active_model import ActiveModel, NextLogits
from minibert2bert.generation.call_arguments import Criterion, Processor
from minibert2bert.generation.hypotheses import (
    Hypotheses,
    best_continuations,
    join,
    keep_best,
    lengthen,
)
from minibert2bert.generation.length_penalty import length_divisor
from minibert2bert.generation.outputs import GenerateBeamEncoderDecoderOutput, StepOutputs
from minibert2bert.generation.processors import process
from minibert2bert.generation.scores import hypotheses_of
from minibert2bert.generation.search_record import record_step
from minibert2bert.generation.settings import GenerationSettings
from minibert2bert.generation.stopping import is_finished

EMPTY = np.float32(-np.inf)

Choose: TypeAlias = Callable[[Hypotheses, Array, int], Hypotheses]
"""From K running sequences, log_probs (B * K, V) and a number to so many candidates."""


@dataclass(frozen=True)
class BeamState:
    """Where beam search stands.

    Attributes:
        running: the K sequences that go on, scored by their sums
        finished: the pool of the K best that have ended, with their final scores
        done: bool (B,); the pool of such an input is closed.
    """

    running: Hypotheses
    finished: Hypotheses
    done: Array


def start_beams(prompt_ids: Array, num_beams: int) -> BeamState:
    """Begin with each prompt once, in the first of K places; the others are empty.

    Were they not, all K would choose the same tokens.
    """
    raise NotImplementedError("start_beams is not written yet")


def beam_step(
    state: BeamState,
    log_probs: Array,
    criteria: Sequence[Criterion],
    settings: GenerationSettings,
    choose: Choose = best_continuations,
) -> BeamState:
    """Lengthen the running sequences by one token, and move those that end into the pool.

    Of the K * V continuations of an input, 2 * K become candidates; with E > 1 eos ids,
    (1 + E) * K, so that K are left to go on even if all others end. See sort_out for the rest.

    Args:
        state: where the search stands
        log_probs: (B * K, V), after the processors
        criteria: what ends a sequence
        settings: eos_token_id, and those of sort_out
        choose: (running, log_probs, width) -> candidates, the best `width` by default

    Returns:
        state: one step further
    """
    width = state.running.scores.shape[1] * max(2, 1 + len(settings.eos_token_id))
    return sort_out(state, choose(state.running, log_probs, width), criteria, settings)


def sort_out(
    state: BeamState,
    candidates: Hypotheses,
    criteria: Sequence[Criterion],
    settings: GenerationSettings,
) -> BeamState:
    """Decide what becomes of the candidates.

    1. Those that end enter the pool if they are among the first K, and the pool keeps its K best.
       The pool of an input that is done stays as it is.
    2. The K best of those that do not end go on.

    Args:
        state: before the step
        candidates: `width` of each input, in the order of their ranks
        criteria: what ends a sequence
        settings: pad_token_id, length_penalty, and those of is_settled

    Returns:
        state: after it
    """
    raise NotImplementedError("sort_out is not written yet")


def is_settled(
    best_running: Array, worst_finished: Array, steps: int, settings: GenerationSettings
) -> Array:
    """Tell for which inputs no running sequence is expected to enter the pool any more.

    worst_finished >= best_running / length ** length_penalty, where length is the present one,
    or with early_stopping="never" the one that favours the running sequence most; with
    early_stopping=True, as soon as the pool is full.
    An empty place scores -inf: a pool that is not full stays open, and an input that has no
    running sequence left is settled.

    Args:
        best_running: (B,), a sum of log-probabilities
        worst_finished: (B,), the K-th final score
        steps: tokens generated so far
        settings: early_stopping, length_penalty, max_length, prompt_length

    Returns:
        settled: bool (B,)
    """
    raise NotImplementedError("is_settled is not written yet")


def beam_search(
    next_logits: NextLogits,
    prompt_ids: Array,
    processors: Sequence[Processor],
    criteria: Sequence[Criterion],
    settings: GenerationSettings,
    choose: Choose = best_continuations,
) -> GenerateBeamEncoderDecoderOutput:
    """Run beam_step until every input is done.

    Args:
        next_logits: the model; row b * K + k is beam k of input b.
        prompt_ids: int64 (B, prompt)
        processors: what changes the log-probabilities before a step
        criteria: what ends a sequence
        settings: num_beams, num_return_sequences, and those of beam_step and StepOutputs
        choose: of beam_step

    Returns:
        output: the best num_return_sequences of each pool. Where nothing could be finished, as
            when the processors forbid every token, the prompt with the score -inf.
    """
    model = ActiveModel(next_logits, len(prompt_ids), settings)
    steps = StepOutputs(settings)
    state = start_beams(prompt_ids, settings.num_beams)
    tokens, parents = np.repeat(prompt_ids, settings.num_beams, axis=0), None
    while not state.done.all():
        logits = model(tokens, parents, state.done)
        ids = state.running.ids.reshape(len(tokens), -1)
        log_probs = process(processors, ids, log_softmax(logits))
        steps.keep(log_probs, logits)
        state = beam_step(state, log_probs, criteria, settings, choose)
        tokens = state.running.ids[:, :, -1].reshape(-1, 1)
        parents = moved_rows(state.running)
    return beam_output(
        best_finished(state.finished, settings.num_return_sequences), steps, settings
    )


def beam_output(
    best: Hypotheses, steps: StepOutputs, settings: GenerationSettings
) -> GenerateBeamEncoderDecoderOutput:
    """Lay the returned hypotheses of all inputs out in rows.

    Args:
        best: num_return_sequences of each input
        steps: what the steps have left behind
        settings: output_scores, prompt_length, and the length penalty's
    """
    rows = best.scores.size
    beam_indices = best.beam_indices.reshape(rows, -1)
    sequences = best.ids.reshape(rows, -1)
    lengths = (beam_indices >= 0).sum(axis=1)
    return GenerateBeamEncoderDecoderOutput(
        sequences=sequences,
        sequences_scores=best.scores.reshape(rows) if settings.output_scores else None,
        beam_indices=beam_indices,
        hypotheses=hypotheses_of(sequences, best.log_probs.reshape(rows, -1), lengths, settings),
        **steps.outputs(),
    )


def log_softmax(logits: Array) -> Array:
    """log(exp(x) / sum(exp(x))) of each row, as (x - max) - log(sum(exp(x - max)))."""
    raise NotImplementedError("log_softmax is not written yet")


def moved_rows(running: Hypotheses) -> Array | None:
    """The row of the last call that each running sequence continues; None if all stayed."""
    parents = running.beam_indices[:, :, -1].reshape(-1)
    return None if np.array_equal(parents, np.arange(len(parents))) else parents


def best_finished(pool: Hypotheses, count: int) -> Hypotheses:
    """Take the first `count` of each input, without the padding that all of them have."""
    beam_indices = pool.beam_indices[:, :count]
    steps = int((beam_indices >= 0).sum(axis=2).max())
    prompt_length = pool.ids.shape[2] - beam_indices.shape[2]
    return Hypotheses(
        ids=pool.ids[:, :count, : prompt_length + steps],
        scores=pool.scores[:, :count],
        beam_indices=beam_indices[:, :, :steps],
        log_probs=pool.log_probs[:, :count, :steps],
    )
