"""The model as a search asks it: only about the inputs that are not done."""

from collections.abc import Callable
from typing import TypeAlias

import numpy as np

from minibert2bert.arrays import Array
from minibert2bert.generation.settings import GenerationSettings

NextLogits: TypeAlias = Callable[[Array, Array | None], Array]
"""The model itself: next_logits(tokens, parents) -> logits.

tokens: int64 (rows, T), on the host; all of the prompt in the first call, then the newest token
parents: None, or int64 (rows,), on the host: row r continues row parents[r] of the call before.
    There may be fewer rows than before, or more: inputs that are done leave, and an input may
    get more rows. The rows of an input stand together, and all inputs have the same number.
logits: (rows, V), of the token after the last one, wherever the model lives
"""


class ActiveModel:
    """A model that computes nothing for inputs that are done.

    A search numbers the rows of all inputs from the first step to the last; here they are
    translated into those that the model still has.
    """

    def __init__(self, next_logits: NextLogits, batch: int, settings: GenerationSettings) -> None:
        """Start with all inputs.

        Args:
            next_logits: the model
            batch: B
            settings: output_attentions, output_hidden_states and eos_token_id. With one of the
                former nobody leaves, because every step is to have all rows; nor without an eos,
                where rows that something else has finished go on writing, as in the reference.
        """
        self._next_logits = next_logits
        self._batch = batch
        all_rows = settings.output_attentions or settings.output_hidden_states
        self._all_stay = all_rows or not settings.eos_token_id
        self._rows = np.arange(0)
        self._count = 0

    def __call__(self, tokens: Array, parents: Array | None, done: Array) -> Array:
        """Ask for the next token's logits, in float32 whatever the model's dtype.

        The reference searches in float32 too, so a float64 model chooses the same tokens here
        and there.

        Args:
            tokens: int64 (rows, T), rows a multiple of B
            parents: int64 (rows,), which row of the call before each continues; None if each
                continues itself
            done: bool (B,), the inputs that need no answer; once done, always done.

        Returns:
            logits: float32 (rows, V), zeros for inputs that are done
        """
        self._count = len(tokens)
        active = ~np.repeat(done, self._count // self._batch)
        if self._all_stay or active.all():
            self._rows = np.arange(self._count)
            return self._ask(tokens, parents)
        rows = np.flatnonzero(active)
        former = np.searchsorted(self._rows, rows if parents is None else parents[rows])
        stayed = np.array_equal(former, np.arange(len(self._rows)))
        kept = self._ask(tokens[rows], None if stayed else former)
        self._rows = rows
        return self._of_all_rows(kept)

    @property
    def hidden_states(self) -> Array:
        """The last hidden states of the newest call, (rows, T, H), zeros for inputs that are done.

        Raises:
            ValueError: the model does not tell its hidden states.
        """
        states = getattr(self._next_logits, "hidden_states", None)
        if states is None:
            raise ValueError(
                "contrastive search compares hidden states, so next_logits must have an attribute "
                "hidden_states (rows, T, H); leave out penalty_alpha where there are none"
            )
        return self._of_all_rows(states)

    def _of_all_rows(self, kept: Array) -> Array:
        if len(self._rows) == self._count:
            return kept
        spread = np.zeros_like(kept, shape=(self._count, *kept.shape[1:]))
        spread[np.asarray(self._rows, like=kept)] = kept
        return spread

    def _ask(self, tokens: Array, parents: Array | None) -> Array:
        logits = self._next_logits(tokens, parents)
        if logits.ndim != 2 or logits.shape[0] != len(tokens):
            raise ValueError(
                f"next_logits must return the last token's logits, ({len(tokens)}, V), "
                f"got shape {logits.shape}"
            )
        return logits.astype(np.float32)
