"""What a call of generate() can pass that no file can hold: functions, objects, a seed."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, TypeAlias

import numpy as np

from minibert2bert.arrays import Array

Processor: TypeAlias = Callable[[Array, Array], Array]
"""From ids (rows, T), on the host, and scores (rows, V) to new scores (rows, V)."""

Criterion: TypeAlias = Callable[[Array, Any], Array]
"""From ids (rows, T), the newest token last, to bool (rows,): True where a row is finished.

The second argument is what output_scores has collected so far, a tuple of arrays, or None.
"""


@dataclass(frozen=True, kw_only=True)
class CallArguments:
    """The arguments of one call, beside the options.

    Attributes:
        prompt_mask: (B, prompt), on the host, 0 where a prompt is padded on the left
        encoder_input_ids: int (B, S), on the host, the source, which some processors read; None
            if it was given as vectors.
        prefix_allowed_tokens_fn: (index of the input, its ids (T,)) -> the ids that may follow
        logits_processor: the caller's own processors, applied after the built-in ones
        stopping_criteria: the caller's own criteria
        tokenizer: of the answers, for stop_strings
        streamer: is handed every token at once; see streaming.py.
        seed: of the draws. From one number every input of the batch gets a stream of its own; with
            one for each input, each draws what it would draw alone with it. None is fresh numbers
            every time. See sampling.random_streams.
        record_search: whether beam search keeps every candidate it looked at
    """

    prompt_mask: Array | None = None
    encoder_input_ids: Array | None = None
    prefix_allowed_tokens_fn: Callable[[int, Array], Sequence[int]] | None = None
    logits_processor: Sequence[Processor] = ()
    stopping_criteria: Sequence[Criterion] = ()
    tokenizer: Any = None
    streamer: Any = None
    seed: int | Sequence[int] | None = None
    record_search: bool = False

    def repeated(self, count: int) -> "CallArguments":
        """Give every row of a search its own: count rows for each input, one after the other."""
        mask, ids = self.prompt_mask, self.encoder_input_ids
        return replace(
            self,
            prompt_mask=None if mask is None else np.repeat(mask, count, axis=0),
            encoder_input_ids=None if ids is None else np.repeat(ids, count, axis=0),
        )


NOTHING = CallArguments()
"""A call that passes nothing but options."""

OF_THE_CALLER = frozenset(field.name for field in fields(CallArguments)) - {
    "prompt_mask",
    "encoder_input_ids",
}
"""The arguments that a caller of generate() passes by these names."""
