"""Attention weights and hidden states of every step of a search."""

from dataclasses import replace
from typing import Any

import numpy as np

from minibert2bert.arrays import Array
from minibert2bert.generation.scores import Hypothesis
from minibert2bert.generation.session import DecodingSession
from minibert2bert.models.outputs import BaseModelOutput, recorded_extras
from minibert2bert.recording import recording

Layers = tuple[Array, ...]


class RecordedSession:
    """A session that keeps what its decoder looked at.

    Attributes:
        steps: for each call hidden_states, attentions and cross_attentions, each a tuple of the
            layers' arrays, or None if it was not asked for
    """

    def __init__(self, session: DecodingSession, attentions: bool, hidden_states: bool) -> None:
        """Listen to a session.

        Args:
            session: that has not been called yet
            attentions: whether to keep the attention weights
            hidden_states: whether to keep the hidden states
        """
        self.steps: list[dict[str, Layers | None]] = []
        self._session = session
        self._flags = attentions, hidden_states

    @property
    def hidden_states(self) -> Array:
        """The last hidden states of the newest call, (R, T, H)."""
        return self._session.hidden_states

    def __call__(self, tokens: Array, parents: Array | None = None) -> Array:
        """Call the session; see DecodingSession."""
        with recording() as arrays:
            logits = self._session(tokens, parents)
        step = recorded_extras(arrays, *self._flags)
        crossed = step["cross_attentions"]
        if crossed is not None:
            step["cross_attentions"] = tuple(_of_rows(layer, len(tokens)) for layer in crossed)
        self.steps.append(step)
        return logits

    def keep_rows(self, rows: Array) -> None:
        """Keep of the newest call some rows only, or nothing of it if there are none.

        Args:
            rows: int (number of rows,), on the host
        """
        step = self.steps.pop()
        if len(rows):
            chosen = {
                name: layers and tuple(layer[np.asarray(rows, like=layer)] for layer in layers)
                for name, layers in step.items()
            }
            self.steps.append(chosen)


def with_recorded(output: Any, session: RecordedSession, read: BaseModelOutput) -> Any:
    """Add to an output what the encoder and the steps of the search have shown.

    Args:
        output: of a search
        session: that the search called
        read: what the encoder returned

    Returns:
        output: with the fields that output_attentions and output_hidden_states ask for
    """
    fields = {
        f"decoder_{name}" if name != "cross_attentions" else name: _of_steps(session.steps, name)
        for name in ("attentions", "cross_attentions", "hidden_states")
    }
    crossed = fields["cross_attentions"]
    hypotheses = output.hypotheses
    if crossed is not None and hypotheses is not None:
        hypotheses = tuple(
            replace(hypothesis, cross_attentions=_stitched(crossed, output, row, hypothesis))
            for row, hypothesis in enumerate(hypotheses)
        )
    return replace(
        output,
        encoder_attentions=read.attentions,
        encoder_hidden_states=read.hidden_states,
        hypotheses=hypotheses,
        **fields,
    )


def _of_rows(crossed: Array, rows: int) -> Array:
    """Undo that the session makes the K rows of an input further queries of its one source.

    (B, N, K * T, S) to (B * K, N, T, S)
    """
    B, N, queries, S = crossed.shape
    K = rows // B
    apart = crossed.reshape(B, N, K, queries // K, S)
    return apart.swapaxes(1, 2).reshape(rows, N, queries // K, S)


def _of_steps(steps: list[dict[str, Layers | None]], name: str) -> tuple[Layers, ...] | None:
    layers = [step[name] for step in steps]
    return tuple(step for step in layers if step is not None) or None


def _stitched(steps: tuple[Layers, ...], output: Any, row: int, hypothesis: Hypothesis) -> Array:
    """Follow one hypothesis back through the rows it was in: (L, N, length, S)."""
    beam_indices = getattr(output, "beam_indices", None)
    rows = [row] * hypothesis.length if beam_indices is None else beam_indices[row].tolist()
    # The last query of a step chose its token; only the prompt has several.
    newest = [
        np.stack([layer[rows[step], :, -1] for layer in steps[step]])
        for step in range(hypothesis.length)
    ]
    return np.stack(newest, axis=2)
