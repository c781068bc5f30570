"""Beam sampling: beam search with drawn candidates.

Its step is beam_step, with drawn_continuations in the place of best_continuations.
"""

from collections.abc import Sequence

import numpy as np

from minibert2bert.arrays import Array
from minibert2bert.device import to_numpy
from minibert2bert.generation.active_model import NextLogits
from minibert2bert.generation.beam_search import beam_search
from minibert2bert.generation.call_arguments import Criterion, Processor
from minibert2bert.generation.hypotheses import (
    Hypotheses,
    continuation_scores,
    continuations,
    keep_best,
    top_k,
)
from minibert2bert.generation.outputs import GenerateBeamEncoderDecoderOutput
from minibert2bert.generation.sampling import random_streams
from minibert2bert.generation.settings import GenerationSettings

TINY = np.finfo(np.float64).tiny


def draw_without_replacement(scores: Array, uniforms: Array, count: int) -> Array:
    """Draw several places of each row, one after the other, none of them twice.

    The first is drawn from softmax(scores), and each further one from the softmax over those that
    are left. These are the places of the largest values, from the largest down, of

    scores - log(-log(uniforms))    (Kool, van Hoof and Welling, 2019, section 2.3)

    Args:
        scores: (B, N)
        uniforms: float64 (B, N), on the host, from 0 to 1, 1 excluded
        count: how many; more than N is N. A score of -inf is drawn only when no other is left.

    Returns:
        places: int64 (B, count), on the host, in the order of drawing
    """
    gumbel = -np.log(-np.log(np.maximum(uniforms, TINY)))
    return top_k(scores + np.asarray(gumbel, like=scores), count)[1]


def drawn_continuations(
    running: Hypotheses, log_probs: Array, width: int, uniforms: Array
) -> Hypotheses:
    """Draw some of the K * V sequences of each input that are one token longer.

    Each in proportion to its probability, which is exp(score), and without replacement. The ranks
    of those drawn follow their scores, and not the order of drawing.

    Args:
        running: K sequences of each input
        log_probs: (B * K, V), after the processors
        width: how many to draw
        uniforms: float64 (B, K * V), a random number for each

    Returns:
        candidates: `width` sequences of each input, best first, or K * V if that is less
    """
    sums = continuation_scores(running, log_probs)
    places = draw_without_replacement(sums, uniforms, width)
    scores = to_numpy(np.take_along_axis(sums, np.asarray(places, like=sums), axis=-1))
    return keep_best(continuations(running, log_probs, scores, places), scores, width)


def beam_sampling(
    next_logits: NextLogits,
    prompt_ids: Array,
    processors: Sequence[Processor],
    criteria: Sequence[Criterion],
    settings: GenerationSettings,
    seed: int | Sequence[int] | None = None,
) -> GenerateBeamEncoderDecoderOutput:
    """Run beam search with candidates that are drawn, from a stream for each input.

    Args:
        next_logits: the model
        prompt_ids: int64 (B, prompt)
        processors: what changes the log-probabilities before a draw
        criteria: what ends a sequence
        settings: those of beam_search
        seed: of random_streams

    Returns:
        output: of beam_search
    """
    streams = random_streams(seed, len(prompt_ids))

    def choose(running: Hypotheses, log_probs: Array, width: int) -> Hypotheses:
        places = running.scores.shape[1] * log_probs.shape[1]
        uniforms = np.stack([stream.random(places) for stream in streams])
        return drawn_continuations(running, log_probs, width, uniforms)

    return beam_search(next_logits, prompt_ids, processors, criteria, settings, choose)
