"""Greedy search: take the best next token until every row is finished."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from minibert2bert.arrays import Array
from minibert2bert.device import to_numpy
from minibert2bert.generation.outputs import GenerateEncoderDecoderOutput
from minibert2bert.generation.processors import Processor, process
from minibert2bert.generation.settings import GenerationSettings
from minibert2bert.generation.stopping import Criterion, is_finished

NextLogits: TypeAlias = Callable[[Array, Array | None], Array]
"""The model, as a search sees it: next_logits(tokens, parents) -> logits.

tokens: int64 (rows, T), on the host; all of the prompt in the first call, then the newest token
parents: None, or int64 (rows,), on the host: row r continues row parents[r] of the call before
logits: (rows, V), of the token after the last one, wherever the model lives
"""


@dataclass(frozen=True)
class GreedyState:
    """Where greedy search stands.

    Attributes:
        ids: int64 (B, T), the prompts and the tokens chosen so far
        finished: bool (B,)
    """

    ids: Array
    finished: Array


def greedy_step(
    state: GreedyState, scores: Array, criteria: Sequence[Criterion], settings: GenerationSettings
) -> GreedyState:
    """Append the token with the highest score to every row; finished rows get pad.

    Of equal scores the one with the lowest id is taken.

    Args:
        state: where the search stands
        scores: (B, V), of the next token
        criteria: what finishes a row
        settings: eos_token_id, pad_token_id

    Returns:
        state: the same, one token longer
    """
    tokens = to_numpy(np.argmax(scores, axis=-1))
    if settings.eos_token_id:
        tokens = np.where(state.finished, settings.pad_token_id, tokens)
    ids = np.concatenate([state.ids, tokens[:, None]], axis=1)
    return GreedyState(ids, state.finished | is_finished(criteria, ids))


def greedy_search(
    next_logits: NextLogits,
    prompt_ids: Array,
    processors: Sequence[Processor],
    criteria: Sequence[Criterion],
    settings: GenerationSettings,
) -> GenerateEncoderDecoderOutput:
    """Run greedy_step until every row is finished.

    Args:
        next_logits: the model
        prompt_ids: int64 (B, prompt)
        processors: what changes the scores before a token is chosen
        criteria: what finishes a row
        settings: pad_token_id, output_scores, output_logits, and those of greedy_step

    Returns:
        output: sequences (B, T), where T is the length of the longest
    """
    state = GreedyState(prompt_ids, np.zeros(len(prompt_ids), dtype=bool))
    tokens = prompt_ids
    all_scores: list[Array] = []
    all_logits: list[Array] = []
    while not state.finished.all():
        logits = call_model(next_logits, tokens)
        scores = process(processors, state.ids, logits)
        state = greedy_step(state, scores, criteria, settings)
        tokens = state.ids[:, -1:]
        if settings.output_scores:
            all_scores.append(scores)
        if settings.output_logits:
            all_logits.append(logits)
    return GenerateEncoderDecoderOutput(
        sequences=state.ids,
        scores=tuple(all_scores) if settings.output_scores else None,
        logits=tuple(all_logits) if settings.output_logits else None,
    )


def call_model(next_logits: NextLogits, tokens: Array, parents: Array | None = None) -> Array:
    """Ask the model for the next token's logits, in float32 whatever its dtype.

    The reference searches in float32 too, so a float64 model chooses the same tokens here and
    there.

    Returns:
        logits: float32 (rows, V)

    Raises:
        ValueError: the model gave another number of rows, or the logits of more than one token.
    """
    logits = next_logits(tokens, parents)
    if logits.ndim != 2 or logits.shape[0] != len(tokens):
        raise ValueError(
            f"next_logits must return the last token's logits, ({len(tokens)}, V), "
            f"got shape {logits.shape}"
        )
    return logits.astype(np.float32)
