"""Contrastive search: of the few most probable tokens, the one that repeats the least.

It needs one more look ahead than other searches: a token's hidden state is known only after the
model has read it. So the model reads all candidates, and goes on from the one that was chosen.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from minibert2bert.arrays import Array
from minibert2bert.device import to_numpy
from minibert2bert.generation.active_model import ActiveModel, NextLogits
from minibert2bert.generation.call_arguments import Criterion, Processor
from minibert2bert.generation.distributions import softmax
from minibert2bert.generation.hypotheses import top_k
from minibert2bert.generation.outputs import GenerateEncoderDecoderOutput, StepOutputs
from minibert2bert.generation.processors import process
from minibert2bert.generation.search import SearchState, is_writing, token_output, with_tokens
from minibert2bert.generation.settings import GenerationSettings


@dataclass(frozen=True)
class ContrastiveState:
    """Where contrastive search stands.

    Attributes:
        ids: int64 (B, T), the prompts and the tokens chosen so far
        finished: bool (B,)
        directions: (B, T, H), the decoder's last hidden states, each divided by its length
        rows: int64 (B,), the row of the model's last call that each input goes on from
    """

    ids: Array
    finished: Array
    directions: Array
    rows: Array


def start(
    prompt_ids: Array, hidden_states: Array, prompt_mask: Array | None = None
) -> ContrastiveState:
    """Begin after the model has read the prompts.

    Args:
        prompt_ids: int64 (B, prompt)
        hidden_states: (B, prompt, H)
        prompt_mask: (B, prompt), on the host, 0 for padding of the prompt; None is all ones.
    """
    directions = unit_vectors(hidden_states)
    rows = np.arange(len(prompt_ids))
    if prompt_mask is not None:
        # A masked position repeats the row's first visible one, which changes no maximum.
        visible = prompt_mask != 0
        places = np.where(visible, np.arange(visible.shape[1]), visible.argmax(axis=1)[:, None])
        on_device = np.asarray(rows[:, None], like=directions), np.asarray(places, like=directions)
        directions = directions[on_device]
    return ContrastiveState(prompt_ids, np.zeros(len(rows), dtype=bool), directions, rows)


def contrastive_step(
    state: ContrastiveState,
    tokens: Array,
    probs: Array,
    hidden_states: Array,
    criteria: Sequence[Criterion],
    settings: GenerationSettings,
) -> ContrastiveState:
    """Append to every row the best of k candidates; finished rows get pad.

    score(v) = (1 - alpha) * p(v) - alpha * max_j cos(h_v, h_j)
    (Su et al., 2022, equation 5), where j runs over the positions so far. A forbidden token, of
    probability 0, is never the best.

    Args:
        state: where the search stands
        tokens: int64 (B, k), on the host, the candidates
        probs: (B, k), on the host
        hidden_states: (B, k, H), of the candidates
        criteria: what finishes a row
        settings: penalty_alpha, eos_token_id, pad_token_id

    Returns:
        state: the same, one token longer; rows counts the candidates, k for each input.
    """
    alpha = settings.penalty_alpha
    directions = unit_vectors(hidden_states)
    cosines = directions @ state.directions.swapaxes(1, 2)
    scores = (1 - alpha) * probs - alpha * to_numpy(cosines.max(axis=-1))
    best = np.where(probs > 0, scores, -np.inf).argmax(axis=-1)
    inputs = np.arange(len(best))
    before = SearchState(state.ids, state.finished)
    after = with_tokens(before, tokens[inputs, best], criteria, settings)
    on_device = np.asarray(inputs, like=directions), np.asarray(best, like=directions)
    newest = directions[on_device][:, None]
    return ContrastiveState(
        ids=after.ids,
        finished=after.finished,
        directions=np.concatenate([state.directions, newest], axis=1),
        rows=inputs * tokens.shape[1] + best,
    )


def contrastive_search(
    next_logits: NextLogits,
    prompt_ids: Array,
    processors: Sequence[Processor],
    criteria: Sequence[Criterion],
    settings: GenerationSettings,
    prompt_mask: Array | None = None,
) -> GenerateEncoderDecoderOutput:
    """Run contrastive_step until every row is finished.

    Args:
        next_logits: the model, with the attribute hidden_states (rows, T, H): the decoder's last
            ones, of the newest call
        prompt_ids: int64 (B, prompt)
        processors: what changes the scores before the candidates are chosen
        criteria: what finishes a row
        settings: top_k, which is k, and those of contrastive_step and StepOutputs
        prompt_mask: of start

    Returns:
        output: sequences (B, T), where T is the length of the longest
    """
    model = ActiveModel(next_logits, len(prompt_ids), settings)
    steps = StepOutputs(settings)
    logits = model(prompt_ids, None, np.zeros(len(prompt_ids), dtype=bool))
    state = start(prompt_ids, model.hidden_states, prompt_mask)
    lengths = np.zeros(len(prompt_ids), dtype=np.int64)
    while not state.finished.all():
        scores = process(processors, state.ids, logits)
        probs, tokens = top_k(softmax(scores), settings.top_k)
        parents = np.repeat(state.rows, tokens.shape[1])
        next_step_logits = model(tokens.reshape(-1, 1), parents, state.finished)
        hidden_states = model.hidden_states[:, -1].reshape(*tokens.shape, -1)
        lengths = lengths + is_writing(state.finished, settings)
        state = contrastive_step(state, tokens, probs, hidden_states, criteria, settings)
        forget_others(next_logits, state)
        steps.keep(scores, logits, state.ids[:, -1])
        logits = next_step_logits[np.asarray(state.rows, like=next_step_logits)]
    return token_output(state.ids, lengths, steps, settings)


def forget_others(next_logits: NextLogits, state: ContrastiveState) -> None:
    """Tell a model that keeps what it has read which candidates are part of the answer.

    After the last step it is none: what is read then chooses a token, and nothing follows it.

    Args:
        next_logits: perhaps with a method keep_rows(rows), as RecordedSession has
        state: after a step
    """
    keep_rows = getattr(next_logits, "keep_rows", None)
    if keep_rows is not None:
        keep_rows(state.rows[:0] if state.finished.all() else state.rows)


def unit_vectors(x: Array) -> Array:
    """Divide vectors by their lengths, x / |x|: (..., H); those of 0 stay so."""
    length = np.sqrt(np.square(x).sum(axis=-1, keepdims=True))
    return x / np.where(length == 0, 1, length)
