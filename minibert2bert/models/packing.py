"""Leaving the padding out: the texts of a batch one after the other in a single row."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from minibert2bert.arrays import Array, Backward, Params
from minibert2bert.components.masks import Masks, Spans, causal_mask
from minibert2bert.models.inputs import Inputs
from minibert2bert.recording import is_recording


@dataclass(frozen=True)
class Packing:
    """Where the tokens of a padded batch are.

    Attributes:
        rows: int (R,), the places of the R tokens among all B * T, where the model lives
        spans: the stretch of the R tokens that is text 0, 1, ...
        shape: (B, T)
    """

    rows: Array
    spans: tuple[slice, ...]
    shape: tuple[int, int]

    def pack(self, padded: Array) -> Array:
        """Take the tokens out: (B, T, ...) or (1, T, ...) to (1, R, ...)."""
        B, T = self.shape
        if len(padded) != B:
            return padded[:, self.rows % T]
        return padded.reshape(1, B * T, *padded.shape[2:])[:, self.rows]

    def unpack(self, packed: Array) -> Array:
        """Put them back among zeros: (1, R, H) to (B, T, H)."""
        B, T = self.shape
        padded = np.zeros_like(packed, shape=(B * T, packed.shape[-1]))
        padded[self.rows] = packed[0]
        return padded.reshape(B, T, -1)


def packing_of(visible: Array, like: Array) -> Packing:
    """Find the tokens of a batch.

    Args:
        visible: bool (B, T), True for a token, on the host
        like: an array of the parameters, which decides the device
    """
    B, T = visible.shape
    ends = np.cumsum(visible.sum(axis=1)).tolist()
    spans = tuple(slice(start, end) for start, end in zip([0, *ends], ends, strict=False))
    return Packing(np.asarray(np.flatnonzero(visible), like=like), spans, (B, T))


def can_be_packed(inputs: Inputs, config: Any, counted: Array | None) -> bool:
    """Whether a stack computes the states that matter from the tokens alone.

    Not if padding counts; if a text has no token, for who looks at it sees all padding alike; if
    distances matter, which holes would change; or if somebody looks at every position.

    Args:
        inputs: with the host's masks
        config: of the stack
        counted: bool (B, T), the positions whose states matter, on the host; None is every one.
    """
    if inputs.visible is None or counted is None or (counted & ~inputs.visible).any():
        return False
    if getattr(config, "position_embedding_type", "absolute") != "absolute" or is_recording():
        return False
    masks = (inputs.visible, inputs.encoder_visible)
    return all(mask is None or mask.any(axis=1).all() for mask in masks)


def packed_stack(
    stack: Callable[..., tuple[Array, Backward]],
    params: Params,
    encoder_hidden_states: Any,
    inputs: Inputs,
    config: Any,
    rng: np.random.Generator | None = None,
    training: bool = False,
) -> tuple[Array, Backward]:
    """Run a stack on the tokens of a batch, and on none of its padding.

    Args:
        stack: a family's, as of Transformer
        params: the stack's
        encoder_hidden_states: (B, S, H), or None
        inputs: with ids (B, T), of which can_be_packed holds
        config: the family's
        rng: source of the dropout masks; None switches dropout off.
        training: whether backward will be called

    Returns:
        states: (B, T, H), 0 at the padding
        backward: as the stack's; the gradient of a padded encoder state is 0.
    """
    like = inputs.position_ids
    own = packing_of(inputs.visible, like)
    seen = None if encoder_hidden_states is None else _seen(encoder_hidden_states, inputs)
    source = None if seen is None else packing_of(seen, like)
    states = source.pack(encoder_hidden_states) if source else None
    cross = Spans(own.spans, source.spans) if source else None
    masks = Masks(_own_spans(own, config), cross, inputs.masks.head_mask)
    packed = replace(_packed(inputs, own), masks=masks)
    y, stack_backward = stack(params, states, packed, config, rng, training)

    def backward(dy: Array) -> Any:
        gradients = stack_backward(own.pack(dy))
        if source is None:
            return gradients
        dparams, dstates = gradients
        return dparams, source.unpack(dstates)

    return own.unpack(y), backward


def _seen(encoder_hidden_states: Array, inputs: Inputs) -> Array:
    everything = np.ones(encoder_hidden_states.shape[:2], dtype=bool)
    return everything if inputs.encoder_visible is None else inputs.encoder_visible


def _own_spans(packing: Packing, config: Any) -> Spans:
    spans = Spans(packing.spans, packing.spans)
    if not config.causal:
        return spans
    longest = max(span.stop - span.start for span in packing.spans)
    return spans._replace(causal=np.asarray(causal_mask(longest, longest), like=packing.rows))


def _packed(inputs: Inputs, packing: Packing) -> Inputs:
    names = ("input_ids", "inputs_embeds", "position_ids", "token_type_ids")
    given = {name: getattr(inputs, name) for name in names}
    packed: dict[str, Any] = {n: packing.pack(a) for n, a in given.items() if a is not None}
    return replace(inputs, **packed)
