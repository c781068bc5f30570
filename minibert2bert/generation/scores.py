"""How sure the model was: the log-probabilities of what it generated."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from minibert2bert.arrays import Array
from minibert2bert.device import to_numpy


def sequence_scores(output: Any, eos_token_id: int | Sequence[int] | None) -> Array:
    """Return the score of each generated sequence.

    Beam search has them already. A greedy answer's is the mean of its tokens' log-probabilities,
    the end token included: what beam search computes with a length penalty of 1.

    Args:
        output: of generate, with output_scores and return_dict_in_generate
        eos_token_id: what ends a sequence

    Returns:
        scores: (rows,), on the host
    """
    of_beams = getattr(output, "sequences_scores", None)
    if of_beams is not None:
        return to_numpy(of_beams)
    scores = np.stack([to_numpy(step).astype(np.float64) for step in output.scores], axis=1)
    log_probs = scores - np.logaddexp.reduce(scores, axis=-1, keepdims=True)
    tokens = output.sequences[:, -scores.shape[1] :]
    chosen = np.take_along_axis(log_probs, tokens[..., None], axis=-1)[..., 0]
    ended = np.isin(tokens, [] if eos_token_id is None else eos_token_id)
    # A row counts up to and with its first end token.
    counted: Array = np.cumsum(ended, axis=1) - ended == 0
    return np.where(counted, chosen, 0).sum(axis=1) / counted.sum(axis=1)
