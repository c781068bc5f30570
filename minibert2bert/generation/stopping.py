"""When a sequence is finished."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeAlias

import numpy as np

from minibert2bert.arrays import Array
from minibert2bert.generation.settings import GenerationSettings

Criterion: TypeAlias = Callable[[Array], Array]
"""From ids (rows, T), the newest token last, to bool (rows,): True where a row is finished."""


def has_length(ids: Array, length: int) -> Array:
    """Finish all rows when they have `length` tokens, prompt included."""
    return np.full(len(ids), ids.shape[1] >= length)


def ends_with(ids: Array, eos_token_id: Sequence[int]) -> Array:
    """Finish a row whose newest token is one of eos_token_id."""
    return (ids[:, -1:] == np.array(eos_token_id)).any(axis=1)


def stopping_criteria(settings: GenerationSettings) -> list[Criterion]:
    """List the criteria that the settings ask for: the longest length, and eos if there is one."""
    criteria: list[Criterion] = [partial(has_length, length=settings.max_length)]
    if settings.eos_token_id:
        criteria.append(partial(ends_with, eos_token_id=settings.eos_token_id))
    return criteria


def is_finished(criteria: Sequence[Criterion], ids: Array) -> Array:
    """True where a row meets any criterion: ids (rows, T) to bool (rows,)."""
    finished = np.zeros(len(ids), dtype=bool)
    for criterion in criteria:
        finished = finished | criterion(ids)
    return finished
