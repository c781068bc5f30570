"""How sequences end where version 4 of transformers has set the rules: groups and forced words.

They differ from those of beam_search in two places. The best candidate, ended or not, decides
whether a pool is settled. And at the longest length an end token comes first: only if it does not
settle the pool, the sequences that are cut off there enter as well.
"""

from collections.abc import Sequence

import numpy as np

from minibert2bert.arrays import Array
from minibert2bert.generation.call_arguments import Criterion
from minibert2bert.generation.hypotheses import Hypotheses, join, keep_best
from minibert2bert.generation.length_penalty import length_divisor
from minibert2bert.generation.settings import GenerationSettings
from minibert2bert.generation.stopping import is_finished

EMPTY = np.float32(-np.inf)


def endings(
    candidates: Hypotheses, criteria: Sequence[Criterion], settings: GenerationSettings
) -> tuple[Array, Array]:
    """Tell which candidates have ended, and for which inputs the search is over.

    It is over where every candidate meets a criterion, as all do at the longest length. There,
    only those with an end token have ended; the others are cut off.

    Args:
        candidates: `width` of each input
        criteria: what ends a sequence
        settings: eos_token_id

    Returns:
        ends: bool (B, width)
        over: bool (B,)
    """
    B, width, length = candidates.ids.shape
    ends = is_finished(criteria, candidates.ids.reshape(B * width, length)).reshape(B, width)
    over: Array = np.all(ends, axis=1)
    with_eos = np.isin(candidates.ids[:, :, -1], settings.eos_token_id)
    return np.where(over[:, None], with_eos, ends), over


def final_scores(hypotheses: Hypotheses, enters: Array, settings: GenerationSettings) -> Array:
    """Divide the sums of those that enter a pool by their length penalty; -inf for the others.

    Args:
        hypotheses: with sums of log-probabilities
        enters: bool, broadcasts to (B, number of hypotheses)
        settings: length_penalty, length_penalty_style
    """
    divisor = length_divisor(hypotheses.log_probs.shape[2], settings)
    return np.where(enters, hypotheses.scores / divisor, EMPTY)


def enter(
    pool: Hypotheses, hypotheses: Hypotheses, enters: Array, settings: GenerationSettings
) -> Hypotheses:
    """Let sequences compete for the places of the pool, with their final scores.

    Args:
        pool: with final scores
        hypotheses: equally long, with sums of log-probabilities
        enters: bool, which of them compete; broadcasts to (B, number of hypotheses).
        settings: those of final_scores

    Returns:
        pool: the best of both, as many as before; of equal ones those that came first
    """
    scores = np.concatenate([pool.scores, final_scores(hypotheses, enters, settings)], axis=1)
    return keep_best(join(pool, hypotheses), scores, pool.scores.shape[1])
