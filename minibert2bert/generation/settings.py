"""What generate() does: a GenerationConfig with every question answered for one prompt length."""

import warnings
from dataclasses import dataclass
from typing import TypeVar

from minibert2bert.generation.config import GenerationConfig
from minibert2bert.generation.options import check_file_options

NEW_TOKENS_IF_UNSET = 20
NO_PAD = -1

T = TypeVar("T")


@dataclass(frozen=True)
class GenerationSettings:
    """The options of a search; lengths count the prompt.

    Named and meant as in GenerationConfig, but nothing is None, eos_token_id is a tuple, and
    pad_token_id is -1 if neither pad nor eos is known.
    """

    prompt_length: int
    max_length: int
    min_length: int
    min_new_tokens: int
    num_beams: int
    early_stopping: bool | str
    length_penalty: float
    num_return_sequences: int
    no_repeat_ngram_size: int
    repetition_penalty: float
    pad_token_id: int
    eos_token_id: tuple[int, ...]
    forced_bos_token_id: tuple[int, ...]
    forced_eos_token_id: tuple[int, ...]
    output_scores: bool
    output_logits: bool


def resolve(config: GenerationConfig, prompt_length: int) -> GenerationSettings:
    """Fill in the defaults and turn numbers of new tokens into lengths.

    Warns if the shortest length allowed is more than the longest.

    Args:
        config: what was asked for
        prompt_length: tokens the decoder is given, at least 1

    Raises:
        ValueError: the prompt leaves no room, more sequences are to be returned than there are
            beams, or the config asks for something this version does not have.
    """
    check_file_options(config.other)
    eos = ids_of(config.eos_token_id)
    outputs = bool(config.return_dict_in_generate)
    settings = GenerationSettings(
        prompt_length=prompt_length,
        max_length=_max_length(config, prompt_length),
        min_length=_min_length(config, prompt_length),
        min_new_tokens=_or(config.min_new_tokens, 0),
        num_beams=_or(config.num_beams, 1),
        early_stopping=config.early_stopping or False,
        length_penalty=_or(config.length_penalty, 1.0),
        num_return_sequences=_or(config.num_return_sequences, 1),
        no_repeat_ngram_size=_or(config.no_repeat_ngram_size, 0),
        repetition_penalty=_or(config.repetition_penalty, 1.0),
        pad_token_id=_or(config.pad_token_id, eos[0] if eos else NO_PAD),
        eos_token_id=eos,
        forced_bos_token_id=ids_of(config.forced_bos_token_id),
        forced_eos_token_id=ids_of(config.forced_eos_token_id),
        output_scores=outputs and bool(config.output_scores),
        output_logits=outputs and bool(config.output_logits),
    )
    _check(settings)
    return settings


def ids_of(given: int | list[int] | None) -> tuple[int, ...]:
    """Make a tuple of none, one or several ids."""
    if given is None:
        return ()
    return tuple(given) if isinstance(given, list | tuple) else (given,)


def _or(value: T | None, default: T) -> T:
    return default if value is None else value


def _max_length(config: GenerationConfig, prompt_length: int) -> int:
    if config.max_new_tokens is not None:
        return prompt_length + config.max_new_tokens
    return _or(config.max_length, prompt_length + NEW_TOKENS_IF_UNSET)


def _min_length(config: GenerationConfig, prompt_length: int) -> int:
    if config.min_new_tokens is not None:
        return prompt_length + config.min_new_tokens
    return _or(config.min_length, 0)


def _check(settings: GenerationSettings) -> None:
    if settings.prompt_length >= settings.max_length:
        raise ValueError(
            f"max_length must leave room after the prompt of {settings.prompt_length} tokens, "
            f"got {settings.max_length}; raise it, or set max_new_tokens"
        )
    if settings.num_return_sequences > settings.num_beams:
        raise ValueError(
            f"num_return_sequences must be at most num_beams, got "
            f"{settings.num_return_sequences} of {settings.num_beams}; raise num_beams"
        )
    if settings.min_length > settings.max_length:
        warnings.warn(
            f"no sequence can reach the shortest length allowed, {settings.min_length}, "
            f"because all end at {settings.max_length} tokens",
            stacklevel=4,
        )
