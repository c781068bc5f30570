"""The door of a model: what comes in is checked here, and made ready for the components."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from minibert2bert.arrays import Array
from minibert2bert.components.loss import IGNORE
from minibert2bert.components.masks import Masks, causal_mask, padding_mask
from minibert2bert.device import to_numpy

ArrayLike: TypeAlias = Array | Sequence[Any]


@dataclass(frozen=True)
class Inputs:
    """What a stack computes from, checked, and living where the parameters do.

    Attributes:
        input_ids: int (B, T), or None if inputs_embeds are given
        inputs_embeds: (B, T, H), or None if input_ids are given
        position_ids: int (1, T) or (B, T)
        masks: what each position may see
        token_type_ids: int (1, T) or (B, T), the segments, in families that have them
        visible: bool (B, T), False at padding, on the host; None if nothing tells
        encoder_visible: bool (B, S), likewise
    """

    input_ids: Any
    inputs_embeds: Any
    position_ids: Array
    masks: Masks
    token_type_ids: Any = None
    visible: Any = None
    encoder_visible: Any = None

    @property
    def shape(self) -> tuple[int, int]:
        """(B, T)."""
        given = self.inputs_embeds if self.input_ids is None else self.input_ids
        return given.shape[0], given.shape[1]


def prepare_inputs(
    config: Any,
    like: Array,
    positions: Callable[[Array | None, tuple[int, int]], Array],
    input_ids: ArrayLike | None = None,
    attention_mask: ArrayLike | None = None,
    position_ids: ArrayLike | None = None,
    head_mask: ArrayLike | None = None,
    inputs_embeds: Array | None = None,
    encoder_hidden_states: Array | None = None,
    encoder_attention_mask: ArrayLike | None = None,
    token_type_ids: ArrayLike | None = None,
    past_length: int = 0,
) -> Inputs:
    """Check what a user handed to a model, and make masks and positions of it.

    Args:
        config: of a family
        like: an array of the parameters; decides device and dtype.
        positions: the family's rule, from ids on the host, or None, and (B, T) to position ids
        input_ids: int (B, T)
        attention_mask: (B, past + T), or bool (B or 1, N or 1, T, past + T) used as it is
        position_ids: int (T,), (1, T) or (B, T); by the family's rule if not given
        head_mask: (N,) or (L, N)
        inputs_embeds: (B, T, H), instead of input_ids
        encoder_hidden_states: (B, S, H), for cross-attention
        encoder_attention_mask: (B, S)
        token_type_ids: int (B, T), 0 by default
        past_length: positions already in the cache

    Raises:
        ValueError: if something does not fit; the message says what came and what would fit.
    """
    if (input_ids is None) == (inputs_embeds is None):
        given = "neither" if input_ids is None else "both"
        raise ValueError(f"give either input_ids or inputs_embeds, got {given}")
    if input_ids is not None:
        ids = check_ids("input_ids", input_ids, config.vocab_size)
        batch, length = ids.shape
    else:
        ids = None
        batch, length = _check_embeds(inputs_embeds, config)
    keys = past_length + length
    if keys > config.num_positions:
        raise ValueError(
            f"the sequence has {keys} positions, but max_position_embeddings leaves room for "
            f"{config.num_positions}; truncate the input (truncation=True, "
            f"max_length={config.num_positions})"
        )
    encoder_mask = None
    if encoder_hidden_states is not None:
        encoder_mask = _check_encoder(config, batch, encoder_hidden_states, encoder_attention_mask)
    masks = Masks(
        _own_mask(config, attention_mask, batch, length, keys),
        encoder_mask,
        _check_head_mask(head_mask, config),
    )
    if position_ids is None:
        checked_positions = positions(ids, (batch, length))
    else:
        checked_positions = _check_positions(position_ids, batch, length, config)
    segments = _check_segments(token_type_ids, batch, length, config)
    return Inputs(
        None if ids is None else np.asarray(ids, like=like),
        None if inputs_embeds is None else np.asarray(inputs_embeds, dtype=like.dtype, like=like),
        np.asarray(checked_positions, like=like),
        Masks(*(None if mask is None else np.asarray(mask, like=like) for mask in masks)),
        None if segments is None else np.asarray(segments, like=like),
        _visible(attention_mask),
        None if encoder_hidden_states is None else _visible(encoder_attention_mask),
    )


def check_ids(name: str, ids: ArrayLike, vocab_size: int) -> Array:
    """Return ids as an int64 array (B, T), after looking at every one of them.

    Raises:
        ValueError: if they are no table of whole numbers in [0, vocab_size).
    """
    array = _to_host(ids)
    if array.ndim != 2 or array.size == 0 or not np.issubdtype(array.dtype, np.integer):
        raise ValueError(
            f"{name} must be whole numbers with axes (batch, position), at least one of each, "
            f"got shape {array.shape} and dtype {array.dtype}; a single text is [[...]], and an "
            "empty text needs at least one token"
        )
    outside = array[(array < 0) | (array >= vocab_size)]
    if outside.size:
        raise ValueError(
            f"{name} must be in [0, {vocab_size}), got {outside[0]}; "
            "do the tokenizer and the model belong together?"
        )
    return array.astype(np.int64)


def check_labels(labels: ArrayLike, batch: int, length: int | None, vocab_size: int) -> Array:
    """Return labels as an int64 array (B, T), after looking at every one of them.

    Args:
        labels: int (B, T)
        batch: B of the input
        length: T of the decoder's input, or None if that is made from the labels
        vocab_size: V

    Raises:
        ValueError: if their batch size or length is not that of the input, one is outside the
            vocabulary and not IGNORE, or all are IGNORE.
    """
    array = _to_host(labels)
    if array.ndim == 2 and array.size:
        check_some_count(array)
    check_ids("labels", np.where(array == IGNORE, 0, array), vocab_size)
    if len(array) != batch:
        raise ValueError(f"labels must have the input's batch size {batch}, got {len(array)}")
    if length is not None and array.shape[1] != length:
        raise ValueError(
            f"labels must be as long as the decoder's input, {length}, got {array.shape[1]}"
        )
    return array.astype(np.int64)


def check_some_count(targets: Array) -> None:
    """Refuse labels of which none is to be predicted.

    Raises:
        ValueError: if all are IGNORE.
    """
    if not (targets != IGNORE).any():
        raise ValueError(
            f"every label is {IGNORE}, so there is nothing to predict; "
            f"keep at least one label that is not {IGNORE} (the first does not count where "
            "labels are shifted)"
        )


def _to_host(array: ArrayLike) -> Array:
    return np.asarray(array) if isinstance(array, (list, tuple)) else np.asarray(to_numpy(array))


def _check_embeds(embeds: Any, config: Any) -> tuple[int, int]:
    shape = np.shape(embeds)
    if len(shape) != 3 or shape[2] != config.hidden_size or 0 in shape:
        raise ValueError(
            f"inputs_embeds must have shape (batch, position, {config.hidden_size}), got {shape}"
        )
    return shape[0], shape[1]


def _own_mask(
    config: Any,
    attention_mask: ArrayLike | None,
    batch: int,
    length: int,
    keys: int,
) -> Array | None:
    """Combine causality, in a decoder, with the padding."""
    causal = causal_mask(length, keys) if config.causal else None
    if attention_mask is None:
        return causal
    mask = _to_host(attention_mask)
    if mask.ndim == 4:
        return _check_ready_mask(mask, (batch, config.num_attention_heads, length, keys))
    if mask.shape != (batch, keys):
        raise ValueError(
            f"attention_mask must have shape {(batch, keys)}, one number for each token, "
            f"got {mask.shape}"
        )
    padding = padding_mask(mask)
    return padding if causal is None else causal & padding


def _visible(attention_mask: ArrayLike | None) -> Array | None:
    if attention_mask is None:
        return None
    mask = _to_host(attention_mask)
    return mask != 0 if mask.ndim == 2 else None


def _check_ready_mask(mask: Array, shape: tuple[int, ...]) -> Array:
    fits = all(size in (1, full) for size, full in zip(mask.shape, shape, strict=True))
    if mask.dtype != bool or not fits:
        raise ValueError(
            f"an attention_mask with four axes must be bool, True where a query may look, and "
            f"broadcast to {shape}, got {mask.dtype} {mask.shape}"
        )
    return mask


def _check_encoder(
    config: Any, batch: int, states: Array, attention_mask: ArrayLike | None
) -> Array | None:
    if not config.add_cross_attention:
        raise ValueError(
            "encoder_hidden_states were given to a model without cross-attention; "
            "build it with is_decoder=True, add_cross_attention=True"
        )
    shape = np.shape(states)
    if len(shape) == 3 and shape[0] != batch:
        raise ValueError(
            f"the decoder's input must have a row for each encoder state, {shape[0]}, got {batch}"
        )
    if len(shape) != 3 or shape[2] != config.hidden_size:
        raise ValueError(
            f"encoder_hidden_states must have shape ({batch}, source, {config.hidden_size}), "
            f"got {shape}"
        )
    if attention_mask is None:
        return None
    mask = _to_host(attention_mask)
    if mask.shape != shape[:2]:
        raise ValueError(
            f"encoder_attention_mask must have shape {shape[:2]}, one number for each encoder "
            f"state, got {mask.shape}"
        )
    return padding_mask(mask)


def _check_head_mask(head_mask: ArrayLike | None, config: Any) -> Array | None:
    if head_mask is None:
        return None
    shape = (config.num_layers, config.num_attention_heads)
    mask = _to_host(head_mask)
    if mask.shape not in (shape, shape[1:]):
        raise ValueError(
            f"head_mask must have shape {shape[1:]} (heads) or {shape} (layers, heads), "
            f"got {mask.shape}"
        )
    return np.broadcast_to(mask, shape)


def _check_positions(position_ids: ArrayLike, batch: int, length: int, config: Any) -> Array:
    positions = np.atleast_2d(_to_host(position_ids))
    if positions.shape not in ((1, length), (batch, length)):
        raise ValueError(
            f"position_ids must have shape {(1, length)} or {(batch, length)}, "
            f"got {positions.shape}"
        )
    return check_ids("position_ids", positions, config.max_position_embeddings)


def _check_segments(
    token_type_ids: ArrayLike | None, batch: int, length: int, config: Any
) -> Array | None:
    segments = config.num_segments
    if token_type_ids is None:
        return np.zeros((1, length), dtype=np.int64) if segments else None
    if not segments:
        raise ValueError(
            f"token_type_ids were given to a model of type {config.model_type}, which has no "
            "segments; leave them out"
        )
    checked = check_ids("token_type_ids", token_type_ids, segments)
    if checked.shape != (batch, length):
        raise ValueError(f"token_type_ids must have shape {(batch, length)}, got {checked.shape}")
    return checked
