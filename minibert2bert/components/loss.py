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
    counted = labels != IGNORE
    count = int(counted.sum())
    if count == 0:
        raise ValueError(
            f"every label is {IGNORE}, so there is nothing to predict; "
            f"keep at least one label that is not {IGNORE}"
        )
    right = np.where(counted, labels, 0).reshape(-1, 1)
    rows = logits.reshape(-1, logits.shape[-1])
    probs = rows - rows.max(axis=-1, keepdims=True)
    right_logits = np.take_along_axis(probs, right, axis=-1)
    mean_logits = probs.mean(axis=-1, keepdims=True) if label_smoothing else 0.0
    np.exp(probs, out=probs)
    sums = probs.sum(axis=-1, keepdims=True)
    probs /= sums
    target_logits = (1 - label_smoothing) * right_logits + label_smoothing * mean_logits
    losses = np.log(sums) - target_logits
    loss = (losses * counted.reshape(-1, 1)).sum() / count

    def backward(dloss: Array | float = 1.0) -> Array:
        share = (counted * (dloss / count)).astype(probs.dtype).reshape(-1, 1)
        dlogits = probs * share
        each = np.arange(dlogits.shape[0], like=right)
        dlogits[each, right[:, 0]] -= (1 - label_smoothing) * share[:, 0]
        if label_smoothing:
            dlogits -= share * (label_smoothing / dlogits.shape[-1])
        return dlogits.reshape(logits.shape)

    return loss, backward


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
    shifted = np.full_like(labels, decoder_start_token_id)
    shifted[:, 1:] = labels[:, :-1]
    return np.where(shifted == IGNORE, pad_token_id, shifted)
