"""The door of generation: check what was asked, then run the search that was asked for."""

import numpy as np

from minibert2bert.arrays import Array
from minibert2bert.generation.beam_search import beam_search
from minibert2bert.generation.config import GenerationConfig
from minibert2bert.generation.outputs import (
    GenerateBeamEncoderDecoderOutput,
    GenerateEncoderDecoderOutput,
)
from minibert2bert.generation.processors import logits_processors
from minibert2bert.generation.search import NextLogits, greedy_search
from minibert2bert.generation.settings import resolve
from minibert2bert.generation.stopping import stopping_criteria


def generate_ids(
    next_logits: NextLogits,
    prompt_ids: Array,
    config: GenerationConfig,
    prompt_mask: Array | None = None,
) -> GenerateEncoderDecoderOutput | GenerateBeamEncoderDecoderOutput:
    """Continue the prompts by greedy search, or by beam search if num_beams is above 1.

    Args:
        next_logits: the model, see `search.NextLogits`. It is called with the B prompts, or with
            each of them num_beams times, one after the other.
        prompt_ids: (B, prompt), on the host; what the decoder starts with
        config: the options, already merged
        prompt_mask: (B, prompt), 0 where a prompt is padded on the left; None if none is. Only
            repetition_penalty reads it: the model must mask by itself.

    Returns:
        output: sequences int64, (B, T), or (B * num_return_sequences, T) by beam search

    Raises:
        ValueError: prompts that are no matrix of ids, or options that contradict each other.
    """
    if prompt_ids.ndim != 2 or prompt_ids.size == 0 or prompt_ids.dtype.kind not in "iu":
        raise ValueError(
            f"prompt_ids must be whole numbers of shape (batch, length), at least one of each, "
            f"got {prompt_ids.dtype} of shape {prompt_ids.shape}"
        )
    settings = resolve(config, prompt_ids.shape[1])
    if prompt_mask is not None:
        prompt_mask = np.repeat(prompt_mask, settings.num_beams, axis=0)
    processors = logits_processors(settings, prompt_mask)
    search = greedy_search if settings.num_beams == 1 else beam_search
    return search(
        next_logits, prompt_ids.astype(np.int64), processors, stopping_criteria(settings), settings
    )
