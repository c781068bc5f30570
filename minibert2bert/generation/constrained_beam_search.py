"""Constrained beam search: beam search whose answers must contain some words.

In each step, every running sequence is also continued by the tokens that begin one of its words, or
go on with it, likely or not (Hokamp and Liu, 2017). So that these survive beside likelier ones, the
beams are shared: the candidates are sorted into banks by how much of the words they have, and the
banks take turns (after Post and Vilar, 2018, section 3).

Version 4 of transformers sets the rules, with these exceptions: scores are log-probabilities, as in
every search, and not their sums; a continuation that the processors forbid takes no beam; and see
constraints.py for alternatives that begin alike.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

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
from minibert2bert.generation.constraints import (
    check_vocabulary,
    check_words,
    progress_after,
    words_of,
)
from minibert2bert.generation.finishing import EMPTY, endings, enter, final_scores
from minibert2bert.generation.forced_words import (
    follow,
    forced_continuations,
    has_words,
    share_beams,
)
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
from minibert2bert.recording import is_recording


@dataclass(frozen=True)
class ConstrainedState:
    """Where constrained beam search stands.

    Attributes:
        beams: as in beam search, but that the running sequences take turns and are not sorted
        progress: (B, K), a constraints.Progress for each running sequence
    """

    beams: BeamState
    progress: Array


def start_constrained(prompt_ids: Array, settings: GenerationSettings) -> ConstrainedState:
    """Begin like beam search; words that stand in a prompt count.

    Args:
        prompt_ids: int64 (B, prompt)
        settings: num_beams, force_words_ids

    Returns:
        state: before the first step
    """
    words = words_of(settings.force_words_ids)
    progress = np.empty((len(prompt_ids), settings.num_beams), dtype=object)
    for index, prompt in enumerate(prompt_ids.tolist()):
        progress[index] = progress_after(prompt, words)
    return ConstrainedState(start_beams(prompt_ids, settings.num_beams), progress)


def constrained_step(
    state: ConstrainedState,
    log_probs: Array,
    criteria: Sequence[Criterion],
    settings: GenerationSettings,
) -> ConstrainedState:
    """Lengthen the running sequences by one token, a likely or a forced one.

    1. The candidates are those of beam_step. Those that end enter the pool if they are among the
       first K and have all words; without the words they are lost.
    2. The K best of those that do not end share the beams with the forced continuations.
    3. Where the search is over and the pool still open, the running sequences that have all words
       enter it as well; if these are fewer than num_return_sequences, all running ones do.

    Args:
        state: where the search stands
        log_probs: (B * K, V), after the processors
        criteria: what ends a sequence
        settings: eos_token_id, pad_token_id, force_words_ids, num_return_sequences,
            length_penalty, and those of is_settled

    Returns:
        state: one step further; the pool of an input that was done is as before.
    """
    beams, K = state.beams, settings.num_beams
    width = K * max(2, 1 + len(settings.eos_token_id))
    candidates = best_continuations(beams.running, log_probs, width)
    ends, over = endings(candidates, criteria, settings)
    enters = ends & (np.arange(ends.shape[1]) < K) & ~beams.done[:, None]
    enters &= has_words(follow(state.progress, candidates))
    pool = lengthen(beams.finished, settings.pad_token_id)
    finished = enter(pool, candidates, enters, settings)
    steps = candidates.log_probs.shape[2]
    settled = is_settled(candidates.scores[:, 0], finished.scores[:, -1], steps, settings)

    likely = keep_best(candidates, np.where(ends, EMPTY, candidates.scores), K)
    forced = forced_continuations(beams.running, state.progress, log_probs, likely)
    running = share_beams(likely, forced, state.progress, words_of(settings.force_words_ids))
    progress = follow(state.progress, running)
    late = over & ~settled & ~beams.done
    enters_late = late[:, None] & cut_off(running, progress, settings)
    finished = enter(finished, running, enters_late, settings)
    after = BeamState(running, finished, beams.done | settled | over)
    if is_recording():
        entered = [codes(candidates)[enters], codes(running)[enters_late]]
        all_ends = ends | over[:, None]
        _record(state, after, (candidates, forced), all_ends, entered, settings)
    return ConstrainedState(after, progress)


def cut_off(running: Hypotheses, progress: Array, settings: GenerationSettings) -> Array:
    """Tell which running sequences (B, K) are worth returning where they are cut off.

    Those that have all words, or if these are fewer than num_return_sequences, all that there are.
    """
    fulfilled = has_words(progress) & (running.scores > EMPTY)
    too_few = fulfilled.sum(axis=1, keepdims=True) < settings.num_return_sequences
    return fulfilled | too_few


def _record(
    before: ConstrainedState,
    after: BeamState,
    seen: tuple[Hypotheses, Hypotheses],
    ends: Array,
    entered: list[Array],
    settings: GenerationSettings,
) -> None:
    """Tell an open recording of the candidates, and behind them of what was forced besides.

    Args:
        before: the step
        after: the state after it
        seen: the candidates, and the forced continuations
        ends: bool (B, width), which candidates have ended or were cut off
        entered: codes of what competed for the pool
        settings: of record_step and final_scores
    """
    candidates, forced = seen
    again = np.isin(codes(forced), codes(candidates))
    forced = replace(forced, scores=np.where(again, EMPTY, forced.scores))
    everything = join(candidates, forced)
    all_end = ends.all(axis=1, keepdims=True)
    ends = np.concatenate([ends, np.repeat(all_end, again.shape[1], axis=1)], axis=1)
    enters = np.isin(codes(everything), np.concatenate(entered))
    scores = final_scores(everything, enters, settings)
    words = has_words(follow(before.progress, everything))
    done = before.beams.done
    record_step(everything, ends, scores, after, done, settings, has_words=words)


def codes(hypotheses: Hypotheses) -> Array:
    """Give every sequence of a step a number of its own, from its parent's row and its token."""
    return hypotheses.beam_indices[:, :, -1] << 32 | hypotheses.ids[:, :, -1]


def constrained_beam_search(
    next_logits: NextLogits,
    prompt_ids: Array,
    processors: Sequence[Processor],
    criteria: Sequence[Criterion],
    settings: GenerationSettings,
) -> GenerateBeamEncoderDecoderOutput:
    """Run constrained_step until every input is done.

    Args:
        next_logits: the model; row b * K + k is beam k of input b.
        prompt_ids: int64 (B, prompt)
        processors: what changes the log-probabilities before a step
        criteria: what ends a sequence
        settings: num_beams, num_return_sequences, force_words_ids, and those of constrained_step
            and StepOutputs

    Returns:
        output: the best num_return_sequences of each pool. Whatever has an end has all words; what
            was cut off at the longest length may lack some, which takes more beams or more room.

    Raises:
        ValueError: words that no answer can have
    """
    model = ActiveModel(next_logits, len(prompt_ids), settings)
    steps = StepOutputs(settings)
    words = words_of(settings.force_words_ids)
    check_words(words, settings.eos_token_id)
    state = start_constrained(prompt_ids, settings)
    tokens, parents = np.repeat(prompt_ids, settings.num_beams, axis=0), None
    while not state.beams.done.all():
        logits = model(tokens, parents, state.beams.done)
        check_vocabulary(words, logits.shape[1])
        ids = state.beams.running.ids.reshape(len(tokens), -1)
        log_probs = process(processors, ids, log_softmax(logits))
        steps.keep(log_probs, logits)
        state = constrained_step(state, log_probs, criteria, settings)
        running = state.beams.running
        tokens, parents = running.ids[:, :, -1].reshape(-1, 1), moved_rows(running)
    best = best_finished(state.beams.finished, settings.num_return_sequences)
    return beam_output(best, steps, settings)
