"""Diverse beam search: groups of beams, each of which is kept from repeating the earlier ones.

The K beams of an input are divided into G groups of K / G. A group is a beam search with a pool of
its own; in every step the groups take turns, and each token costs a group `diversity_penalty` for
every beam of an earlier group that has just chosen it (Vijayakumar et al., 2018, algorithm 1). The
pools of all groups together are the result; what two groups have found stands there twice.

Version 4 of transformers sets the rules, but for its beam_indices, which mix up the groups.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import reduce
from typing import TypeAlias

import numpy as np

from minibert2bert.arrays import Array
from minibert2bert.generation.active_model import ActiveModel, NextLogits
from minibert2bert.generation.beam_search import (
    BeamState,
    beam_output,
    best_finished,
    is_settled,
    log_softmax,
    moved_rows,
    start_beams,
)
from minibert2bert.generation.call_arguments import Criterion, Processor
from minibert2bert.generation.finishing import EMPTY, endings, enter, final_scores
from minibert2bert.generation.hamming_diversity import hamming_diversity
from minibert2bert.generation.hypotheses import (
    Hypotheses,
    best_continuations,
    join,
    keep_best,
    lengthen,
)
from minibert2bert.generation.outputs import GenerateBeamEncoderDecoderOutput, StepOutputs
from minibert2bert.generation.processors import process
from minibert2bert.generation.search_record import record_step
from minibert2bert.generation.settings import GenerationSettings

Groups: TypeAlias = tuple[BeamState, ...]
"""A state for each group; beam_indices count its own rows, b * size + k for beam k of input b."""


def start_groups(prompt_ids: Array, settings: GenerationSettings) -> Groups:
    """Begin every group like a beam search: with each prompt (B, prompt) once."""
    size = settings.num_beams // settings.num_beam_groups
    return (start_beams(prompt_ids, size),) * settings.num_beam_groups


def groups_step(
    groups: Groups,
    log_probs: Array,
    processors: Sequence[Processor],
    criteria: Sequence[Criterion],
    settings: GenerationSettings,
) -> tuple[Groups, Array]:
    """Lengthen the sequences of all groups by one token, one group after the other.

    The reference puts the charge for repeated tokens behind sequence_bias. Both are sums, so that
    here it comes first of all.

    Args:
        groups: where they stand
        log_probs: (B * K, V), row b * K + g * size + k for beam k of group g
        processors: for the rows of one group
        criteria: what ends a sequence
        settings: diversity_penalty, and those of group_step

    Returns:
        groups: one step further
        processed: (B * K, V), the log-probabilities after the processors
    """
    B, size = groups[0].running.scores.shape
    rows_of_groups = log_probs.reshape(B, len(groups), size, -1)
    chosen = np.zeros((B, 0), dtype=np.int64)
    after, processed = [], []
    for number, state in enumerate(groups):
        own = rows_of_groups[:, number].reshape(B * size, -1)
        diverse = hamming_diversity(own, chosen, settings.diversity_penalty)
        scores = process(processors, state.running.ids.reshape(B * size, -1), diverse)
        after.append(group_step(state, scores, criteria, settings, number))
        processed.append(scores.reshape(B, size, -1))
        chosen = np.concatenate([chosen, choices(state, after[-1], settings)], axis=1)
    return tuple(after), np.concatenate(processed, axis=1).reshape(log_probs.shape)


def group_step(
    state: BeamState,
    log_probs: Array,
    criteria: Sequence[Criterion],
    settings: GenerationSettings,
    number: int = 0,
) -> BeamState:
    """Lengthen the sequences of one group by one token.

    1. Of the continuations of an input, 2 * size become candidates, or (1 + E) * size with E > 1
       eos ids.
    2. Those that end enter the group's pool if they are among the first `size`.
    3. The `size` best of those that do not end go on.
    4. Where the search is over and the pool still open, these enter it as well.

    Args:
        state: where the group stands
        log_probs: (B * size, V), after the processors
        criteria: what ends a sequence
        settings: eos_token_id, pad_token_id, length_penalty, and those of is_settled
        number: of the group, for a record of the search

    Returns:
        state: one step further; the pool of an input that was done is as before.
    """
    size = state.running.scores.shape[1]
    width = size * max(2, 1 + len(settings.eos_token_id))
    candidates = best_continuations(state.running, log_probs, width)
    ends, over = endings(candidates, criteria, settings)
    may_enter = (np.arange(ends.shape[1]) < size) & ~state.done[:, None]
    pool = lengthen(state.finished, settings.pad_token_id)
    finished = enter(pool, candidates, ends & may_enter, settings)
    running = keep_best(candidates, np.where(ends, EMPTY, candidates.scores), size)
    steps = candidates.log_probs.shape[2]
    settled = is_settled(candidates.scores[:, 0], finished.scores[:, -1], steps, settings)
    cut_off = over & ~settled & ~state.done
    finished = enter(finished, running, cut_off[:, None], settings)
    after = BeamState(running, finished, state.done | settled | over)
    entered = final_scores(candidates, may_enter & (ends | cut_off[:, None]), settings)
    own = replace(settings, num_beams=size)
    record_step(candidates, ends | over[:, None], entered, after, state.done, own, number)
    return after


def choices(before: BeamState, after: BeamState, settings: GenerationSettings) -> Array:
    """List the tokens that a group has chosen: (B, size), -1 where a place is empty.

    A group that is done writes pad, and that counts: it charges the later groups for padding.
    """
    tokens = np.where(after.running.scores > EMPTY, after.running.ids[:, :, -1], -1)
    return np.where(before.done[:, None], settings.pad_token_id, tokens)


def side_by_side(groups: Sequence[Hypotheses]) -> Hypotheses:
    """Give each input the sequences of all groups, with beam_indices of all K beams."""
    in_all = []
    for number, group in enumerate(groups):
        size = group.scores.shape[1]
        inputs, beams = group.beam_indices // size, group.beam_indices % size
        rows = inputs * size * len(groups) + number * size + beams
        rows = np.where(group.beam_indices < 0, -1, rows)
        in_all.append(replace(group, beam_indices=rows))
    return reduce(join, in_all)


def group_beam_search(
    next_logits: NextLogits,
    prompt_ids: Array,
    processors: Sequence[Processor],
    criteria: Sequence[Criterion],
    settings: GenerationSettings,
) -> GenerateBeamEncoderDecoderOutput:
    """Run groups_step until every input is done, which it is when all its groups are.

    Args:
        next_logits: the model; row b * K + g * size + k is beam k of group g of input b.
        prompt_ids: int64 (B, prompt)
        processors: what changes the log-probabilities of a group, B * size rows
        criteria: what ends a sequence
        settings: num_beams, num_beam_groups, num_return_sequences, and those of groups_step and
            StepOutputs

    Returns:
        output: the best num_return_sequences of all pools of an input. The rows of scores that
            belong to a group that was done mean nothing.
    """
    model = ActiveModel(next_logits, len(prompt_ids), settings)
    steps = StepOutputs(settings)
    groups = start_groups(prompt_ids, settings)
    tokens, parents = np.repeat(prompt_ids, settings.num_beams, axis=0), None
    done = np.zeros(len(prompt_ids), dtype=bool)
    while not done.all():
        logits = model(tokens, parents, done)
        groups, log_probs = groups_step(groups, log_softmax(logits), processors, criteria, settings)
        steps.keep(log_probs, logits)
        running = side_by_side([state.running for state in groups])
        tokens, parents = running.ids[:, :, -1].reshape(-1, 1), moved_rows(running)
        done = np.all([state.done for state in groups], axis=0)
    pools = side_by_side([state.finished for state in groups])
    best = keep_best(pools, pools.scores, settings.num_return_sequences)
    return beam_output(best_finished(best, settings.num_return_sequences), steps, settings)
