"""Multinomial sampling: draw the next token instead of taking the best.

Every returned sequence has a stream of random numbers of its own, and uses one number a step.
"""

import secrets
from collections.abc import Sequence
from numbers import Integral

import numpy as np

from minibert2bert.arrays import Array
from minibert2bert.device import to_numpy
from minibert2bert.generation.active_model import NextLogits
from minibert2bert.generation.call_arguments import Criterion, Processor
from minibert2bert.generation.distributions import softmax
from minibert2bert.generation.outputs import GenerateEncoderDecoderOutput
from minibert2bert.generation.search import SearchState, is_writing, run_steps, with_tokens
from minibert2bert.generation.settings import GenerationSettings


def draw(scores: Array, uniforms: Array) -> Array:
    """Draw a token for each row by inversion of its cumulative distribution.

    p = softmax(scores); the token is the first v with p_0 + ... + p_v > uniform
    (Devroye, 1986, section III.2.1)

    Args:
        scores: (rows, V)
        uniforms: float64 (rows,), on the host, from 0 to 1, 1 excluded

    Returns:
        tokens: int64 (rows,), on the host, none of probability 0; -1 where no token has any
    """
    probs = softmax(scores)
    # A device may sum in an order of its own, in which even an impossible token adds a rounding
    # error; so the impossible ones are at 0, which is never above the threshold.
    reached = np.where(probs > 0, np.cumsum(probs, axis=-1, dtype=np.float64), 0)
    total = reached.max(axis=-1)
    threshold = np.asarray(uniforms, like=scores) * total
    tokens = np.argmax(reached > threshold[:, None], axis=-1)
    return to_numpy(np.where(total > 0, tokens, -1))


def sample_step(
    state: SearchState,
    scores: Array,
    uniforms: Array,
    criteria: Sequence[Criterion],
    settings: GenerationSettings,
) -> SearchState:
    """Append a token drawn from softmax(scores) to every row; finished rows get pad.

    Args:
        state: where the search stands
        scores: (rows, V), of the next token
        uniforms: float64 (rows,), a random number for each row
        criteria: what finishes a row
        settings: eos_token_id, pad_token_id

    Returns:
        state: the same, one token longer

    Raises:
        ValueError: a row has no token to draw, because all scores are -inf, or some are no number.
    """
    tokens = draw(scores, uniforms)
    stuck = np.flatnonzero((tokens < 0) & is_writing(state.finished, settings))
    if len(stuck):
        raise ValueError(
            f"row {stuck[0]} has no token to draw after {state.ids.shape[1]} tokens: its scores "
            "are all -inf, or hold nan or inf; forbid fewer tokens, or set "
            "remove_invalid_values=True"
        )
    return with_tokens(state, tokens, criteria, settings)


def sampling(
    next_logits: NextLogits,
    prompt_ids: Array,
    processors: Sequence[Processor],
    criteria: Sequence[Criterion],
    settings: GenerationSettings,
    seed: int | Sequence[int] | None = None,
) -> GenerateEncoderDecoderOutput:
    """Run sample_step until every row is finished.

    Args:
        next_logits: the model
        prompt_ids: int64 (B, prompt)
        processors: what changes the scores before a draw
        criteria: what finishes a row
        settings: num_return_sequences, which is R, and those of sample_step and StepOutputs
        seed: of random_streams

    Returns:
        output: sequences (B * R, T), the R of an input one after the other
    """
    streams = random_streams(seed, len(prompt_ids), settings.num_return_sequences)

    def step(state: SearchState, scores: Array) -> SearchState:
        uniforms = np.array([stream.random() for stream in streams])
        return sample_step(state, scores, uniforms, criteria, settings)

    return run_steps(next_logits, prompt_ids, processors, step, settings)


def random_streams(
    seed: int | Sequence[int] | None, batch: int, count: int = 1
) -> list[np.random.Generator]:
    """Give each sequence random numbers that depend on nothing but its seed and its place.

    Sequence r of input i draws from SeedSequence(seed, spawn_key=(i, r)). With a seed for each
    input it is SeedSequence(seed[i], spawn_key=(0, r)): what the input would draw alone.

    Args:
        seed: at least 0; one for the batch, one for each input, or None for fresh numbers
        batch: B
        count: R, sequences of each input

    Returns:
        streams: B * R, those of an input one after the other

    Raises:
        ValueError: a seed that is no whole number of at least 0, or another number of them than B.
    """
    if isinstance(seed, Sequence | np.ndarray):
        if len(seed) != batch:
            raise ValueError(
                f"seed must be one number, or one for each of the {batch} inputs, got {len(seed)}"
            )
        places = [(_checked(number), 0) for number in seed]
    else:
        entropy = secrets.randbits(128) if seed is None else _checked(seed)
        places = [(entropy, index) for index in range(batch)]
    return [
        np.random.default_rng(np.random.SeedSequence(number, spawn_key=(index, row)))
        for number, index in places
        for row in range(count)
    ]


def _checked(seed: object) -> int:
    if not isinstance(seed, Integral) or isinstance(seed, bool) or seed < 0:
        raise ValueError(f"seed must be a whole number of at least 0, got {seed!r}")
    return int(seed)
