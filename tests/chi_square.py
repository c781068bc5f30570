"""Whether counts are those of a distribution."""

import math

import numpy as np


def chi_square_p(counts, probs):
    """The probability of counts at least this far from their expectation.

    All cells of an expectation below 5 count as one. The distribution of chi-square by its cube
    root (Wilson and Hilferty, 1931), which is good to two digits.
    """
    expected = probs * counts.sum()
    rare = expected < 5
    if rare.any():
        counts = np.append(counts[~rare], counts[rare].sum())
        expected = np.append(expected[~rare], expected[rare].sum())
    statistic = (np.square(counts - expected) / np.maximum(expected, 1e-9)).sum()
    k = len(counts) - 1
    z = ((statistic / k) ** (1 / 3) - 1 + 2 / (9 * k)) / math.sqrt(2 / (9 * k))
    return math.erfc(z / math.sqrt(2)) / 2
