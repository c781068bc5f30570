"""What generate() returns with return_dict_in_generate=True, under the reference's names."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from minibert2bert.arrays import Array
from minibert2bert.generation.scores import Hypothesis, log_probs_of
from minibert2bert.generation.search_record import SearchRecord
from minibert2bert.generation.settings import GenerationSettings
from minibert2bert.models.outputs import ModelOutput

Layers = tuple[Array, ...]


class StepOutputs:
    """What every step leaves behind, as far as the settings ask for it."""

    def __init__(self, settings: GenerationSettings) -> None:
        """Start without steps.

        Args:
            settings: output_scores, output_logits, return_dict_in_generate
        """
        self._settings = settings
        self._scores: list[Array] = []
        self._logits: list[Array] = []
        self._log_probs: list[Array] = []

    def keep(self, scores: Array, logits: Array, tokens: Array | None = None) -> None:
        """Add a step.

        Args:
            scores: float32 (rows, V), after the processors
            logits: float32 (rows, V)
            tokens: int (rows,), what was chosen, in searches whose state has no log_probs
        """
        if self._settings.output_scores:
            self._scores.append(scores)
        if self._settings.output_logits:
            self._logits.append(logits)
        if tokens is not None and self._settings.return_dict_in_generate:
            self._log_probs.append(log_probs_of(scores, tokens))

    def log_probs(self) -> Array:
        """Return the log-probabilities of the tokens kept: float32 (rows, steps)."""
        return np.stack(self._log_probs, axis=1)

    def outputs(self) -> dict[str, Any]:
        """Name the steps as in the output of generate()."""
        return {
            "scores": tuple(self._scores) if self._settings.output_scores else None,
            "logits": tuple(self._logits) if self._settings.output_logits else None,
        }


@dataclass(frozen=True)
class GenerateEncoderDecoderOutput(ModelOutput):
    """The result of a search without beams; R is num_return_sequences, 1 unless it samples.

    Attributes:
        sequences: int64 (B * R, T), the prompts and what was generated, padded on the right
        scores: with output_scores, for each step (B * R, V), the processed logits
        logits: with output_logits, for each step (B * R, V), the logits; float32 both
        encoder_attentions: with output_attentions, for each layer (B, N, S, S)
        encoder_hidden_states: with output_hidden_states, L + 1 arrays (B, S, H)
        decoder_attentions: with output_attentions, for each step and layer (B * R, N, T, length);
            T is the prompt's length in the first step and 1 in the others.
        cross_attentions: likewise (B * R, N, T, S)
        decoder_hidden_states: with output_hidden_states, for each step L + 1 arrays (B * R, T, H)
        hypotheses: one for each row, with the parts of its score
    """

    sequences: Array
    scores: tuple[Array, ...] | None = None
    logits: tuple[Array, ...] | None = None
    encoder_attentions: Layers | None = None
    encoder_hidden_states: Layers | None = None
    decoder_attentions: tuple[Layers, ...] | None = None
    cross_attentions: tuple[Layers, ...] | None = None
    decoder_hidden_states: tuple[Layers, ...] | None = None
    hypotheses: tuple[Hypothesis, ...] | None = None


@dataclass(frozen=True)
class GenerateBeamEncoderDecoderOutput(ModelOutput):
    """The result of a search with beams; R is num_return_sequences, best first for each input.

    Attributes:
        sequences: int64 (B * R, T), the prompts and what was generated, padded on the right
        sequences_scores: with output_scores, float32 (B * R,), the sum of the processed
            log-probabilities over the length penalty
        scores: with output_scores, for each step (B * K, V), the processed log-probabilities
        logits: with output_logits, for each step (B * K, V), the logits; float32 both
        beam_indices: int64 (B * R, steps), for each generated token the row of `scores` it was
            chosen from; -1 after the end
        encoder_attentions: with output_attentions, for each layer (B, N, S, S)
        encoder_hidden_states: with output_hidden_states, L + 1 arrays (B, S, H)
        decoder_attentions: with output_attentions, for each step and layer (B * K, N, T, length)
        cross_attentions: likewise (B * K, N, T, S)
        decoder_hidden_states: with output_hidden_states, for each step L + 1 arrays (B * K, T, H)
        hypotheses: one for each row of sequences, with the parts of its score
        search: with record_search, every candidate and its fate
    """

    sequences: Array
    sequences_scores: Array | None = None
    scores: tuple[Array, ...] | None = None
    logits: tuple[Array, ...] | None = None
    beam_indices: Array | None = None
    encoder_attentions: Layers | None = None
    encoder_hidden_states: Layers | None = None
    decoder_attentions: tuple[Layers, ...] | None = None
    cross_attentions: tuple[Layers, ...] | None = None
    decoder_hidden_states: tuple[Layers, ...] | None = None
    hypotheses: tuple[Hypothesis, ...] | None = None
    search: SearchRecord | None = None
