# An exercise of tutorials/09_loss.py.
# Write what raises NotImplementedError, then run: pytest --mine loss
# Checksum of the untouched file: bb8365f7

"""The loss: cross-entropy between logits and labels."""

import numpy as np

from minibert2bert.arrays import Array, Backward

IGNORE = -100
"""The label of a position that does not count, by the convention of the checkpoints' library."""


def cross_entropy(
    logits: Array, labels: Array, label_smoothing: float = 0.0
) -> tuple[Array, Backward]:
    """Average the surprise at the right word over the positions whose label counts.

    loss = mean over rows of -(1 - e) log p[label] - e / V * sum_v log p[v],
    p = softmax(logits), e = label_smoothing
    (Szegedy et al., 2016, section 7; e = 0 is the plain cross-entropy)

    Args:
        logits: (..., V)
        labels: int (...), each in [0, V), or IGNORE (-100) where nothing is to be predicted
        label_smoothing: e, in [0, 1)

    Returns:
        loss: a scalar, in nats
        backward: dloss -> dlogits

    Raises:
        ValueError: if no label counts: the mean of nothing is not a number.
    """
    raise NotImplementedError("cross_entropy is not written yet")

    def backward(dloss: Array | float = 1.0) -> Array:
        raise NotImplementedError("the backward of cross_entropy is not written yet")

    return ..., backward


def shift_tokens_right(labels: Array, pad_token_id: int, decoder_start_token_id: int) -> Array:
    """Make the decoder's input from its labels: start token first, the last label left out.

    input[0] = start, input[t] = labels[t - 1], and pad where the label is IGNORE

    Args:
        labels: int (B, T)
        pad_token_id: what stands in for IGNORE
        decoder_start_token_id: the first token of every row

    Returns:
        decoder_input_ids: int (B, T)
    """
    raise NotImplementedError("shift_tokens_right is not written yet")
