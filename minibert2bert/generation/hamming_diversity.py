"""The term of group beam search that keeps its groups apart."""

import numpy as np

from minibert2bert.arrays import Array


def hamming_diversity(log_probs: Array, chosen: Array, penalty: float) -> Array:
    """Charge a group for every token that earlier groups of the same input have just chosen.

    s[v] -> s[v] - penalty * (number of beams of earlier groups whose newest token is v)
    (Vijayakumar et al., 2018, section 4, Hamming diversity)

    Args:
        log_probs: (B * size, V), of one group of `size` beams for each input
        chosen: int64 (B, beams), on the host, the newest tokens of the earlier groups; what is
            below 0 or not below V counts for nothing.
        penalty: above 0

    Returns:
        log_probs: (B * size, V)
    """
    B, V = len(chosen), log_probs.shape[1]
    inputs, beams = np.nonzero((chosen >= 0) & (chosen < V))
    places, counts = np.unique(inputs * V + chosen[inputs, beams], return_counts=True)
    charge = np.zeros_like(log_probs, shape=B * V)
    prices = (penalty * counts).astype(log_probs.dtype)
    charge[np.asarray(places, like=log_probs)] = np.asarray(prices, like=log_probs)
    return (log_probs.reshape(B, -1, V) - charge.reshape(B, 1, V)).reshape(-1, V)
