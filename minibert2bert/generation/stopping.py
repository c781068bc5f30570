"""When a sequence is finished."""

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from minibert2bert.arrays import Array
from minibert2bert.generation.call_arguments import NOTHING, CallArguments, Criterion
from minibert2bert.generation.settings import GenerationSettings
from minibert2bert.generation.stop_strings import StopStrings
from minibert2bert.generation.streaming import hand_on

Clock = Callable[[], float]
"""Seconds since whenever."""


def has_length(ids: Array, scores: Any, length: int) -> Array:
    """Finish all rows when they have `length` tokens, prompt included."""
    return np.full(len(ids), ids.shape[1] >= length)


def is_late(ids: Array, scores: Any, deadline: float, clock: Clock) -> Array:
    """Finish all rows once the clock has passed the deadline.

    It is looked at after each token, so there is always one, and the last may come late.
    """
    return np.full(len(ids), clock() > deadline)


def ends_with(ids: Array, scores: Any, eos_token_id: Sequence[int]) -> Array:
    """Finish a row whose newest token is one of eos_token_id."""
    return (ids[:, -1:] == np.array(eos_token_id)).any(axis=1)


def stopping_criteria(
    settings: GenerationSettings, call: CallArguments = NOTHING, clock: Clock = time.monotonic
) -> list[Criterion]:
    """List the criteria asked for: length, time, stop strings, eos, the caller's own.

    A streamer comes first of all: a criterion that sees every token and finishes nothing.

    Args:
        settings: max_length, max_time, stop_strings, eos_token_id
        call: stopping_criteria, streamer, and the tokenizer for stop_strings
        clock: for max_time, which counts from now

    Raises:
        ValueError: stop_strings without a tokenizer, or a streamer with beams.
    """
    criteria: list[Criterion] = []
    if call.streamer is not None:
        if settings.num_beams > 1:
            raise ValueError(
                f"a streamer needs num_beams=1, got {settings.num_beams}: with beams, no word is "
                "certain before the last one"
            )
        criteria.append(partial(hand_on, streamer=call.streamer))
    criteria.append(partial(has_length, length=settings.max_length))
    if settings.max_time is not None:
        criteria.append(partial(is_late, deadline=clock() + settings.max_time, clock=clock))
    if settings.stop_strings is not None:
        criteria.append(StopStrings(settings.stop_strings, call.tokenizer))
    if settings.eos_token_id:
        criteria.append(partial(ends_with, eos_token_id=settings.eos_token_id))
    return [*criteria, *call.stopping_criteria]


def is_finished(criteria: Sequence[Criterion], ids: Array, scores: Any = None) -> Array:
    """True where a row meets any criterion: ids (rows, T) to bool (rows,).

    Raises:
        ValueError: a criterion answers neither for each row nor for all at once.
    """
    finished = np.zeros(len(ids), dtype=bool)
    for criterion in criteria:
        answer = np.asarray(criterion(ids, scores))
        if answer.dtype != bool or answer.shape not in ((), finished.shape):
            raise ValueError(
                f"a stopping criterion must return a boolean for each of the {len(ids)} rows, got "
                f"{answer.dtype} of shape {answer.shape}"
            )
        finished = finished | answer
    return finished
