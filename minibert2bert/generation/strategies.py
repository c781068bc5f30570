"""The door of the searches: check what was asked, then run the one that was asked for."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from minibert2bert.arrays import Array
from minibert2bert.generation.active_model import NextLogits
from minibert2bert.generation.beam_sampling import beam_sampling
from minibert2bert.generation.beam_search import beam_search
from minibert2bert.generation.call_arguments import NOTHING, CallArguments
from minibert2bert.generation.config import GenerationConfig
from minibert2bert.generation.constrained_beam_search import constrained_beam_search
from minibert2bert.generation.contrastive_search import contrastive_search
from minibert2bert.generation.group_beam_search import group_beam_search
from minibert2bert.generation.processors import logits_processors
from minibert2bert.generation.sampling import sampling
from minibert2bert.generation.search import greedy_search
from minibert2bert.generation.search_record import search_record
from minibert2bert.generation.settings import GenerationSettings, resolve
from minibert2bert.generation.stopping import stopping_criteria
from minibert2bert.recording import recording


def generate_ids(
    next_logits: NextLogits,
    prompt_ids: Array,
    config: GenerationConfig,
    call: CallArguments = NOTHING,
) -> Any:
    """Continue the prompts by the strategy that the options ask for.

    Args:
        next_logits: the model, see active_model.NextLogits. It is called with the B prompts, or
            with each of them several times, one after the other.
        prompt_ids: (B, prompt), on the host; what the decoder starts with
        config: the options, already merged
        call: what else the caller passed; its arrays have a row for each prompt. prompt_mask is
            for the processors: the model must mask by itself.

    Returns:
        output: an object of outputs.py; sequences int64 (B * num_return_sequences, T)

    Raises:
        ValueError: prompts that are no matrix of ids, or options that contradict each other.
    """
    if prompt_ids.ndim != 2 or prompt_ids.size == 0 or prompt_ids.dtype.kind not in "iu":
        raise ValueError(
            f"prompt_ids must be whole numbers of shape (batch, length), at least one of each, "
            f"got {prompt_ids.dtype} of shape {prompt_ids.shape}"
        )
    settings = resolve(config, prompt_ids.shape[1])
    if call.record_search and settings.num_beams == 1:
        raise ValueError(
            "record_search needs beams, because a search without them looks at one continuation "
            "at a time; set num_beams above 1"
        )
    rows = max(settings.num_beams, settings.num_return_sequences)
    # A group of beams has processors of its own, for its own rows.
    processors = logits_processors(settings, call.repeated(rows // settings.num_beam_groups))
    criteria = stopping_criteria(settings, call)
    search = strategy(settings, call)
    if call.streamer is not None:
        call.streamer.put(np.repeat(prompt_ids, rows, axis=0))
    with recording(call.record_search, prefix="search.") as arrays:
        output = search(next_logits, prompt_ids.astype(np.int64), processors, criteria, settings)
    return replace(output, search=search_record(arrays)) if call.record_search else output


def strategy(settings: GenerationSettings, call: CallArguments = NOTHING) -> Callable[..., Any]:
    """Choose the search: the first line of the table that the settings ask for.

    Args:
        settings: of the options that stand in the table
        call: seed, prompt_mask

    Returns:
        search: (next_logits, prompt_ids, processors, criteria, settings) -> output
    """
    beams = settings.num_beams > 1
    contrasts = settings.penalty_alpha > 0 and settings.top_k > 1
    table: list[tuple[bool, Callable[..., Any]]] = [
        (settings.force_words_ids is not None, constrained_beam_search),
        (settings.num_beam_groups > 1, group_beam_search),
        (beams and settings.do_sample, partial(beam_sampling, seed=call.seed)),
        (beams, beam_search),
        (settings.do_sample, partial(sampling, seed=call.seed)),
        (contrasts, partial(contrastive_search, prompt_mask=call.prompt_mask)),
        (True, greedy_search),
    ]
    return next(search for wanted, search in table if wanted)
