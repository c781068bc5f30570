"""What the comparisons of processors with transformers share: words, rules, and rounding."""

import numpy as np
from processor_support import V, assert_same_scores

THRESHOLDS = ("top_h", "top_p", "min_p", "typical_p", "epsilon_cutoff", "eta_cutoff")


def draw_words(rng, biases):
    """Words of one to three ids, and a bias for each."""
    words = [tuple(rng.integers(0, V, rng.integers(1, 4)).tolist()) for _ in range(8)]
    return {word: float(rng.choice(biases)) for word in words}


def spread_words(biases):
    return [[list(word), bias] for word, bias in biases.items()]


def allow(index, ids):
    """A rule that both can follow: the last id decides."""
    return [(int(ids[-1]) + index + step) % V for step in (1, 4, 5)]


def tensor(value):
    """Make a tensor of an array, and leave the rest."""
    import torch

    return torch.from_numpy(np.ascontiguousarray(value)) if isinstance(value, np.ndarray) else value


def assert_agreement(ours, theirs, message):
    """Compare row by row; where a probability is a threshold but for rounding, both sides do.

    ours: (factor of the thresholds) -> scores
    """
    agrees = np.zeros(len(theirs), dtype=bool)
    for nudge in (1.0, 1 - 1e-5, 1 + 1e-5):
        scores = ours(nudge)
        for row in np.flatnonzero(~agrees):
            agrees[row] = np.allclose(scores[row], theirs[row], 2e-6, 2e-6, equal_nan=True)
        if agrees.all():
            return
    assert_same_scores(ours(1.0), theirs, message)
