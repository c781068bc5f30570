"""What generate() does: a GenerationConfig with every question answered for one prompt length."""

import warnings
from dataclasses import dataclass, fields
from typing import Any, TypeVar

from minibert2bert.generation.checks import SAMPLING_CHECKS, check_options
from minibert2bert.generation.config import OPTIONS, GenerationConfig
from minibert2bert.generation.options import check_file_options

NEW_TOKENS_IF_UNSET = 20
NO_PAD = -1

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class GenerationSettings:
    """The options of a search; lengths count the prompt.

    Named and meant as in GenerationConfig, but the defaults are filled in, ids that may be one or
    several are tuples, and pad_token_id is -1 if neither pad nor eos is known. None is left only
    where it means that an option is off.
    """

    prompt_length: int
    max_length: int
    min_length: int = 0
    min_new_tokens: int = 0
    num_beams: int = 1
    early_stopping: bool | str = False
    length_penalty: float = 1.0
    length_penalty_style: str = "hf"
    num_return_sequences: int = 1
    num_beam_groups: int = 1
    diversity_penalty: float = 0.0
    penalty_alpha: float = 0.0
    force_words_ids: list[Any] | None = None
    do_sample: bool = False
    temperature: float = 1.0
    top_k: int = 50
    top_p: float = 1.0
    min_p: float | None = None
    top_h: float | None = None
    typical_p: float = 1.0
    epsilon_cutoff: float = 0.0
    eta_cutoff: float = 0.0
    no_repeat_ngram_size: int = 0
    repetition_penalty: float = 1.0
    encoder_repetition_penalty: float = 1.0
    encoder_no_repeat_ngram_size: int = 0
    bad_words_ids: list[list[int]] | None = None
    sequence_bias: Any = None
    suppress_tokens: list[int] | None = None
    begin_suppress_tokens: list[int] | None = None
    exponential_decay_length_penalty: tuple[int, float] | None = None
    remove_invalid_values: bool = False
    renormalize_logits: bool = False
    max_time: float | None = None
    stop_strings: str | list[str] | None = None
    pad_token_id: int = NO_PAD
    eos_token_id: tuple[int, ...] = ()
    forced_bos_token_id: tuple[int, ...] = ()
    forced_eos_token_id: tuple[int, ...] = ()
    output_scores: bool = False
    output_logits: bool = False
    output_attentions: bool = False
    output_hidden_states: bool = False
    return_dict_in_generate: bool = False


def resolve(config: GenerationConfig, prompt_length: int) -> GenerationSettings:
    """Fill in the defaults and turn numbers of new tokens into lengths.

    A shortest length beyond the longest is a warning.

    Args:
        config: what was asked for
        prompt_length: tokens the decoder is given, at least 1

    Raises:
        ValueError: the prompt leaves no room, options contradict each other, or the config asks
            for something this version does not have.
    """
    check_file_options(config.other)
    names = {field.name for field in fields(GenerationSettings)}
    given = {name: getattr(config, name) for name in names & OPTIONS}
    said: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    eos = ids_of(config.eos_token_id)
    said["prompt_length"] = prompt_length
    said["max_length"] = _max_length(config, prompt_length)
    said["min_length"] = _min_length(config, prompt_length)
    said["eos_token_id"] = eos
    said["pad_token_id"] = _or(config.pad_token_id, eos[0] if eos else NO_PAD)
    said["forced_bos_token_id"] = ids_of(config.forced_bos_token_id)
    said["forced_eos_token_id"] = ids_of(config.forced_eos_token_id)
    if not config.return_dict_in_generate:
        # They stand in the object; without it nobody would see them.
        said |= {name: False for name in names if name.startswith("output_")}
    settings = GenerationSettings(**said)
    for check in _TOGETHER:
        check(settings)
    return settings


def samples_rows(settings: GenerationSettings) -> bool:
    """Whether each sequence is drawn on its own, without beams."""
    return settings.do_sample and settings.num_beams == 1


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


def _check_room(settings: GenerationSettings) -> None:
    if settings.prompt_length >= settings.max_length:
        raise ValueError(
            f"max_length must leave room after the prompt of {settings.prompt_length} tokens, "
            f"got {settings.max_length}; raise it, or set max_new_tokens"
        )
    if settings.min_length > settings.max_length:
        warnings.warn(
            f"no sequence can reach the shortest length allowed, {settings.min_length}, "
            f"because all end at {settings.max_length} tokens",
            stacklevel=7,
        )


def _check_sequences(settings: GenerationSettings) -> None:
    count, beams = settings.num_return_sequences, settings.num_beams
    if count > beams and not samples_rows(settings):
        also = "" if beams > 1 else ", or draw them with do_sample=True"
        raise ValueError(
            f"num_return_sequences must be at most num_beams, got {count} of {beams}; "
            f"raise num_beams{also}"
        )


def _check_groups(settings: GenerationSettings) -> None:
    groups, beams = settings.num_beam_groups, settings.num_beams
    if groups == 1:
        return
    if beams % groups:
        raise ValueError(
            f"num_beams must be a multiple of num_beam_groups, got {beams} beams for {groups} "
            f"groups; set num_beams={groups * (beams // groups + 1)}"
        )
    if settings.diversity_penalty == 0:
        raise ValueError(
            "groups of beams need a diversity_penalty above 0, got 0, with which all find the "
            "same; set diversity_penalty=1.0, or num_beam_groups=1"
        )
    if settings.do_sample:
        raise ValueError(
            "groups of beams cannot be drawn; leave out do_sample, or set num_beam_groups=1"
        )


def _check_words(settings: GenerationSettings) -> None:
    if settings.force_words_ids is None:
        return
    if settings.num_beams == 1:
        raise ValueError("force_words_ids needs beams to choose from, got num_beams=1; set 4 or so")
    if settings.do_sample or settings.num_beam_groups > 1:
        raise ValueError(
            "force_words_ids goes neither with do_sample nor with num_beam_groups; leave them out"
        )


def _check_forced(settings: GenerationSettings) -> None:
    for name in ("forced_bos_token_id", "forced_eos_token_id"):
        forced = set(getattr(settings, name))
        if forced and forced <= set(settings.suppress_tokens or ()):
            raise ValueError(
                f"{name} {sorted(forced)} cannot be forced, because suppress_tokens forbids it; "
                "take it out of one of them"
            )


def _check_sampling(settings: GenerationSettings) -> None:
    if settings.do_sample:
        check_options(SAMPLING_CHECKS, settings)


_TOGETHER = (
    _check_room,
    _check_sequences,
    _check_groups,
    _check_words,
    _check_forced,
    _check_sampling,
)
"""What the options must fulfil together."""
