# An exercise of tutorials/12_decoding.py.
# Write what raises NotImplementedError, then run: pytest --mine search
# Checksum of the untouched file: 4bec6443

"""Searches that write one token a row and step, and the plainest of them: greedy search."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias

import numpy as np

from minibert2bert.arrays import Array
from minibert2bert.device import to_numpy
from minibert2bert.generation.active_model import ActiveModel, NextLogits
from minibert2bert.generation.call_arguments import Criterion, Processor
from minibert2bert.generation.outputs import GenerateEncoderDecoderOutput, StepOutputs
from minibert2bert.generation.processors import process
from minibert2bert.generation.scores import hypotheses_of
from minibert2bert.generation.settings import GenerationSettings
from minibert2bert.generation.stopping import is_finished


@dataclass(frozen=True)
class SearchState:
    """Where a search without beams stands.

    Attributes:
        ids: int64 (rows, T), the prompts and the tokens chosen so far
        finished: bool (rows,)
    """

    ids: Array
    finished: Array


Step: TypeAlias = Callable[[SearchState, Array], SearchState]
"""From a state and the scores (rows, V) of the next token to the state one token further."""


def greedy_step(
    state: SearchState, scores: Array, criteria: Sequence[Criterion], settings: GenerationSettings
) -> SearchState:
    """Append the token with the highest score to every row; finished rows get pad.

    Of equal scores the one with the lowest id is taken.

    Args:
        state: where the search stands
        scores: (rows, V), of the next token
        criteria: what finishes a row
        settings: eos_token_id, pad_token_id

    Returns:
        state: the same, one token longer
    """
    raise NotImplementedError("greedy_step is not written yet")


def greedy_search(
    next_logits: NextLogits,
    prompt_ids: Array,
    processors: Sequence[Processor],
    criteria: Sequence[Criterion],
    settings: GenerationSettings,
) -> GenerateEncoderDecoderOutput:
    """Take the best next token until every row is finished.

    Args:
        next_logits: the model
        prompt_ids: int64 (B, prompt)
        processors: what changes the scores before a token is chosen
        criteria: what finishes a row
        settings: those of greedy_step, and of StepOutputs

    Returns:
        output: sequences (B, T), where T is the length of the longest
    """
    step = partial(greedy_step, criteria=criteria, settings=settings)
    return run_steps(next_logits, prompt_ids, processors, step, settings)


def with_tokens(
    state: SearchState, tokens: Array, criteria: Sequence[Criterion], settings: GenerationSettings
) -> SearchState:
    """Append to every row the token chosen for it, or pad, and see which rows that finishes.

    Args:
        state: where the search stands
        tokens: int (rows,), on the host
        criteria: what finishes a row
        settings: eos_token_id, pad_token_id
    """
    raise NotImplementedError("with_tokens is not written yet")


def is_writing(finished: Array, settings: GenerationSettings) -> Array:
    """Tell which rows take the token chosen for them, bool (rows,); the others get pad.

    Without any eos id all do: what something else has finished goes on, as in the reference.
    """
    raise NotImplementedError("is_writing is not written yet")


def run_steps(
    next_logits: NextLogits,
    prompt_ids: Array,
    processors: Sequence[Processor],
    step: Step,
    settings: GenerationSettings,
) -> GenerateEncoderDecoderOutput:
    """Repeat a step until every row is finished.

    Args:
        next_logits: the model; row b * R + r is sequence r of input b.
        prompt_ids: int64 (B, prompt)
        processors: what changes the scores before a step
        step: what appends a token to every row
        settings: num_return_sequences, which is R, and those of StepOutputs

    Returns:
        output: sequences (B * R, T), where T is the length of the longest
    """
    B = len(prompt_ids)
    model = ActiveModel(next_logits, B, settings)
    steps = StepOutputs(settings)
    ids = np.repeat(prompt_ids, settings.num_return_sequences, axis=0)
    state = SearchState(ids, np.zeros(len(ids), dtype=bool))
    lengths = np.zeros(len(ids), dtype=np.int64)
    tokens = ids
    while not state.finished.all():
        done = np.all(state.finished.reshape(B, -1), axis=1)
        logits = model(tokens, None, done)
        scores = process(processors, state.ids, logits)
        lengths = lengths + is_writing(state.finished, settings)
        state = step(state, scores)
        tokens = state.ids[:, -1:]
        steps.keep(scores, logits, tokens[:, 0])
    return token_output(state.ids, lengths, steps, settings)


def token_output(
    sequences: Array, lengths: Array, steps: StepOutputs, settings: GenerationSettings
) -> GenerateEncoderDecoderOutput:
    """Make the output of a search that chooses one token a row and step.

    Args:
        sequences: int64 (rows, T), prompts included
        lengths: int (rows,), tokens that each row has written; the rest is padding.
        steps: what the steps have left behind
        settings: prompt_length, return_dict_in_generate, and the length penalty's
    """
    hypotheses = None
    if settings.return_dict_in_generate:
        hypotheses = hypotheses_of(sequences, steps.log_probs(), lengths, settings)
    return GenerateEncoderDecoderOutput(
        sequences=sequences, hypotheses=hypotheses, **steps.outputs()
    )
