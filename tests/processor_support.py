"""What the tests of the processors share: ids, scores, and the slow truth in loops."""

import math

import numpy as np

V = 11
ROWS = 6


def draw_ids(rng, length, rows=ROWS, vocab=V):
    return rng.integers(0, vocab, (rows, length))


def draw_scores(rng, rows=ROWS, vocab=V, spread=2.0):
    """Scores of float32, as the searches make them; some tokens are forbidden already."""
    scores = rng.normal(size=(rows, vocab)) * spread
    scores[rng.random(scores.shape) < 0.1] = -np.inf
    scores[:, 0] = rng.normal(size=rows)
    return scores.astype(np.float32)


def softmax_in_loops(row):
    highest = max(row)
    weights = [math.exp(score - highest) for score in row]
    return [weight / sum(weights) for weight in weights]


def entropy_in_loops(probs):
    return -sum(p * math.log(p) for p in probs if p > 0)


def best_first(row):
    """The tokens of a row from the highest score to the lowest."""
    return sorted(range(len(row)), key=lambda token: -row[token])


def filtered_in_loops(scores, keeps):
    """Scores where keeps(row of scores) -> the tokens that stay, and -inf elsewhere."""
    expected = np.full_like(scores, -np.inf)
    for row, row_scores in enumerate(scores.tolist()):
        for token in keeps(row_scores):
            expected[row, token] = scores[row, token]
    return expected


def assert_same_scores(ours, theirs, message=""):
    """The same tokens are forbidden, and the scores of the others agree to float32's rounding."""
    np.testing.assert_array_equal(np.isneginf(ours), np.isneginf(theirs), err_msg=message)
    np.testing.assert_allclose(ours, theirs, rtol=2e-6, atol=2e-6, err_msg=message)
