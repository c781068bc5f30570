"""What a model call returns: named fields, which can also be read like a tuple."""

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from minibert2bert.arrays import Array
from minibert2bert.recording import recorded


@dataclass(frozen=True)
class ModelOutput:
    """Fields by name or, leaving out those that are None, by position."""

    def to_tuple(self) -> tuple[Any, ...]:
        """Return the fields that are not None, in order."""
        values = (getattr(self, f.name) for f in dataclasses.fields(self))
        return tuple(value for value in values if value is not None)

    def keys(self) -> list[str]:
        """Return the names of the fields that are not None, in order."""
        fields = dataclasses.fields(self)
        return [f.name for f in fields if getattr(self, f.name) is not None]

    def __getitem__(self, key: int | slice | str) -> Any:
        if isinstance(key, str):
            return getattr(self, key)
        return self.to_tuple()[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self.keys())

    def __len__(self) -> int:
        return len(self.keys())


@dataclass(frozen=True)
class BaseModelOutput(ModelOutput):
    """What an encoder, or a decoder without its head, returns.

    Attributes:
        last_hidden_state: (B, T, H)
        pooler_output: (B, H), if the family has a pooler
        past_key_values: the cache, if asked for
        hidden_states: L + 1 arrays (B, T, H), the embeddings first, if asked for
        attentions: L arrays (B, N, T, T), if asked for
        cross_attentions: L arrays (B, N, T, S), if asked for and there is an encoder
    """

    last_hidden_state: Array
    pooler_output: Array | None = None
    past_key_values: Any = None
    hidden_states: tuple[Array, ...] | None = None
    attentions: tuple[Array, ...] | None = None
    cross_attentions: tuple[Array, ...] | None = None


@dataclass(frozen=True)
class CausalLMOutput(ModelOutput):
    """What a decoder with its head returns.

    Attributes:
        loss: a scalar, if labels were given
        logits: (B, T, V)
        past_key_values: the cache, if asked for
        hidden_states: L + 1 arrays (B, T, H), the embeddings first, if asked for
        attentions: L arrays (B, N, T, T), if asked for
        cross_attentions: L arrays (B, N, T, S), if asked for and there is an encoder
    """

    loss: Array | None
    logits: Array
    past_key_values: Any = None
    hidden_states: tuple[Array, ...] | None = None
    attentions: tuple[Array, ...] | None = None
    cross_attentions: tuple[Array, ...] | None = None


@dataclass(frozen=True)
class Seq2SeqLMOutput(ModelOutput):
    """What an encoder-decoder returns.

    Attributes:
        loss: a scalar, if labels were given
        logits: (B, T, V)
        past_key_values: the decoder's cache, if asked for
        decoder_hidden_states: L + 1 arrays (B, T, H), the embeddings first, if asked for
        decoder_attentions: L arrays (B, N, T, T), if asked for
        cross_attentions: L arrays (B, N, T, S), if asked for
        encoder_last_hidden_state: (B, S, H of the encoder)
        encoder_hidden_states: L + 1 arrays (B, S, H of the encoder), if asked for
        encoder_attentions: L arrays (B, N, S, S), if asked for
    """

    loss: Array | None
    logits: Array
    past_key_values: Any = None
    decoder_hidden_states: tuple[Array, ...] | None = None
    decoder_attentions: tuple[Array, ...] | None = None
    cross_attentions: tuple[Array, ...] | None = None
    encoder_last_hidden_state: Array | None = None
    encoder_hidden_states: tuple[Array, ...] | None = None
    encoder_attentions: tuple[Array, ...] | None = None


def recorded_extras(
    arrays: dict[str, Array], attentions: bool, hidden_states: bool, part: str = ""
) -> dict[str, tuple[Array, ...] | None]:
    """Sort what a recording collected into the fields of an output.

    Args:
        arrays: of the recording
        attentions: whether attention weights were asked for
        hidden_states: whether hidden states were asked for
        part: "encoder." or "decoder." of a pair

    Returns:
        hidden_states, attentions and cross_attentions; None what was not asked for or is not there
    """
    endings = {
        "hidden_states": ".hidden_states" if hidden_states else None,
        "attentions": ".attention.probs" if attentions else None,
        "cross_attentions": ".crossattention.probs" if attentions else None,
    }
    return {
        name: (recorded(arrays, part, ending) or None) if ending else None
        for name, ending in endings.items()
    }
