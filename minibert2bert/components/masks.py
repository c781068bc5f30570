"""Masks: which query may look at which key. True where it may."""

from typing import Any, NamedTuple, TypeAlias

import numpy as np

from minibert2bert.arrays import Array
from minibert2bert.components.loss import IGNORE


class Spans(NamedTuple):
    """What texts that stand one after the other in a single row may see: only their own.

    It takes the place of a mask where the padding between the texts was left out.

    Attributes:
        queries: the stretch of the T queries that is text 0, 1, ...
        keys: the stretch of the S keys that it looks at
        causal: bool (1, 1, L, L) as long as the longest text, or None where it may see its future
    """

    queries: tuple[slice, ...]
    keys: tuple[slice, ...]
    causal: Array | None = None

    def mask(self, length: int) -> Array | None:
        """Return the mask inside a text of so many queries, and as many keys if it is causal."""
        return None if self.causal is None else self.causal[:, :, :length, :length]


Mask: TypeAlias = Array | Spans | None
"""Which query may look at which key: a bool array that broadcasts to (B, N, T, S), True where it
may; the Spans of several texts; or None, which hides nothing."""


class Masks(NamedTuple):
    """What the attentions of a stack may see.

    Attributes:
        own: a Mask for self-attention; as an array it broadcasts to (B, N, T, T).
        encoder: a Mask for cross-attention; as an array it broadcasts to (B, N, T, S).
        head_mask: (L, N), a factor for the weights of each layer's heads; None is all ones.
    """

    own: Any = None
    encoder: Any = None
    head_mask: Array | None = None

    def of_layer(self, index: int) -> "Masks":
        """Return the masks of one layer: head_mask (N,) instead of (L, N)."""
        if self.head_mask is None:
            return self
        return self._replace(head_mask=self.head_mask[index])


def padding_mask(attention_mask: Array) -> Array:
    """Hide the padding from every query.

    mask[b, 0, 0, s] = attention_mask[b, s] != 0

    Args:
        attention_mask: (B, S), 1 for a token, 0 for padding

    Returns:
        mask: bool (B, 1, 1, S)
    """
    return attention_mask[:, None, None, :] != 0


def causal_mask(queries: int, keys: int) -> Array:
    """Hide the future: a position sees itself and what came before.

    mask[0, 0, t, s] = s <= t + keys - queries, so that the last query sees every key
    (Vaswani et al., 2017, section 3.2.3)

    Args:
        queries: T, the newest positions
        keys: S, all positions so far; S - T of them are cached.

    Returns:
        mask: bool (1, 1, T, S)
    """
    return np.tri(queries, keys, keys - queries, dtype=bool)[None, None]


def decoder_mask(attention_mask: Array | None, queries: int, keys: int) -> Array:
    """Hide the future and the padding.

    Args:
        attention_mask: (B, S), 1 for a token, 0 for padding; None if there is no padding.
        queries: T
        keys: S

    Returns:
        mask: bool (B, 1, T, S), or (1, 1, T, S) without padding
    """
    causal = causal_mask(queries, keys)
    return causal if attention_mask is None else causal & padding_mask(attention_mask)


def mask_from_labels(labels: Array) -> Array:
    """Find the padding of a decoder's input, which is its labels moved right by one.

    Position 0 holds the start token and is always seen. The labels tell padding from tokens
    where the ids cannot: the start token may be the pad token.

    Args:
        labels: int (B, T), IGNORE (-100) where nothing is to be predicted

    Returns:
        attention_mask: bool (B, T)
    """
    mask = np.ones_like(labels, dtype=bool)
    mask[:, 1:] = labels[:, :-1] != IGNORE
    return mask
