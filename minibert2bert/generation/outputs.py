"""What generate() returns with return_dict_in_generate=True, under the reference's names."""

from dataclasses import dataclass

from minibert2bert.arrays import Array
from minibert2bert.models.outputs import ModelOutput


@dataclass(frozen=True)
class GenerateEncoderDecoderOutput(ModelOutput):
    """The result of greedy search.

    Attributes:
        sequences: int64 (B, T), the prompts and what was generated, padded on the right
        scores: with output_scores, for each step (B, V), the processed logits
        logits: with output_logits, for each step (B, V), the logits; float32 both
    """

    sequences: Array
    scores: tuple[Array, ...] | None = None
    logits: tuple[Array, ...] | None = None


@dataclass(frozen=True)
class GenerateBeamEncoderDecoderOutput(ModelOutput):
    """The result of beam search; R is num_return_sequences, best first for each input.

    Attributes:
        sequences: int64 (B * R, T), the prompts and what was generated, padded on the right
        sequences_scores: with output_scores, float32 (B * R,), the sum of the processed
            log-probabilities over the number of generated tokens to the power length_penalty
        scores: with output_scores, for each step (B * K, V), the processed log-probabilities
        logits: with output_logits, for each step (B * K, V), the logits; float32 both
        beam_indices: int64 (B * R, steps), for each generated token the row of `scores` it was
            chosen from; -1 after the end
    """

    sequences: Array
    sequences_scores: Array | None = None
    scores: tuple[Array, ...] | None = None
    logits: tuple[Array, ...] | None = None
    beam_indices: Array | None = None
