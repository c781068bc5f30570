"""What an option may be: a check for each name, which says what came and what was expected."""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from numbers import Integral, Real
from typing import Any, TypeAlias

import numpy as np

Check: TypeAlias = Callable[[str, Any], None]
"""(name, value) -> None; a value that will not do is a ValueError."""


def whole_number(name: str, value: Any, smallest: int) -> None:
    """Expect a whole number of at least `smallest`, Python's or NumPy's."""
    if not (_is_whole(value) and value >= smallest):
        raise ValueError(f"{name} must be a whole number of at least {smallest}, got {value!r}")


def number(name: str, value: Any, low: float = -math.inf, high: float = math.inf) -> None:
    """Expect a finite number from low to high, both included."""
    if not (_is_number(value) and low <= value <= high):
        limits = {
            (False, False): "",
            (True, False): f" of at least {low:g}",
            (True, True): f" from {low:g} to {high:g}",
        }[low > -math.inf, high < math.inf]
        raise ValueError(f"{name} must be a number{limits}, got {value!r}")


def above_zero(name: str, value: Any, high: float = math.inf) -> None:
    """Expect a finite number above 0 and up to `high`."""
    if not (_is_number(value) and 0 < value <= high):
        limit = "" if high == math.inf else f" and up to {high:g}"
        raise ValueError(f"{name} must be a number above 0{limit}, got {value!r}")


def float_above_zero(name: str, value: Any) -> None:
    """Expect a float above 0, or 1; the reference refuses whole numbers, too."""
    if not (value == 1 or (_is_number(value) and not _is_whole(value) and value > 0)):
        # What is written here should mean the same in both.
        raise ValueError(f"{name} must be a float above 0, such as 1.2, got {value!r}")


def boolean(name: str, value: Any) -> None:
    """Expect True or False; a NumPy one or a number would pass for either by accident."""
    if not isinstance(value, bool):
        raise ValueError(f"{name} must be True or False, got {value!r}")


def one_of(name: str, value: Any, choices: Sequence[Any]) -> None:
    """Expect one of a few values; 1 does not pass for True."""
    if not any(type(value) is type(choice) and value == choice for choice in choices):
        *most, last = (f'"{c}"' if isinstance(c, str) else str(c) for c in choices)
        raise ValueError(f"{name} must be {', '.join(most)} or {last}, got {value!r}")


def ids(name: str, value: Any) -> None:
    """Expect an id, or several in a list or a tuple."""
    listed = value if isinstance(value, list | tuple) else [value]
    if not all(map(_is_whole, listed)):
        raise ValueError(f"{name} must be an id or a list of ids, got {value!r}")


def texts(name: str, value: Any) -> None:
    """Expect a text, or several; an empty one would end every answer at once."""
    listed = [value] if isinstance(value, str) else value
    is_list = isinstance(listed, list | tuple) and len(listed) > 0
    if not (is_list and all(isinstance(text, str) and text for text in listed)):
        raise ValueError(f"{name} must be a text or a list of texts, none empty, got {value!r}")


def words(name: str, value: Any) -> None:
    """Expect words, each a list of ids, and at least one of each."""
    if not _are_words(value):
        raise ValueError(
            f"{name} must be a list of words, each a list of ids, such as [[7, 8], [9]], "
            f"got {value!r}"
        )


def forced_words(name: str, value: Any) -> None:
    """Expect words, or lists of alternatives of which one is enough."""
    is_list = isinstance(value, list | tuple) and len(value) > 0
    if not (is_list and all(_is_word(word) or _are_words(word) for word in value)):
        raise ValueError(
            f"{name} must be a list of words, each a list of ids or a list of alternatives, such "
            f"as [[7, 8], [[9], [10, 11]]], got {value!r}"
        )


def list_of_ids(name: str, value: Any) -> None:
    """Expect several ids, perhaps none."""
    if not (isinstance(value, list | tuple | np.ndarray) and all(map(_is_id, value))):
        raise ValueError(f"{name} must be a list of ids, such as [0, 5], got {value!r}")


def biased_words(name: str, value: Any) -> None:
    """Expect words and what is added to their scores, in a dict or in pairs."""
    pairs = value.items() if isinstance(value, Mapping) else value
    is_list = isinstance(value, Mapping | list | tuple) and len(value) > 0
    if not (is_list and all(map(_is_biased_word, pairs))):
        raise ValueError(
            f"{name} must be a dict from words, tuples of ids, to floats, such as "
            f"{{(7, 8): -10.0}}, or a list of such pairs, [[[7, 8], -10.0]], got {value!r}"
        )


def decay(name: str, value: Any) -> None:
    """Expect a number of tokens and a factor above 0."""
    is_pair = isinstance(value, list | tuple) and len(value) == 2
    if not (is_pair and _is_id(value[0]) and _is_number(value[1]) and value[1] > 0):
        raise ValueError(
            f"{name} must be a number of new tokens and a factor above 0, such as (10, 1.05), "
            f"got {value!r}"
        )


def _is_whole(value: Any) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)


def _is_id(value: Any) -> bool:
    return _is_whole(value) and value >= 0


def _is_word(value: Any) -> bool:
    return isinstance(value, list | tuple) and len(value) > 0 and all(map(_is_id, value))


def _are_words(value: Any) -> bool:
    return isinstance(value, list | tuple) and len(value) > 0 and all(map(_is_word, value))


def _is_biased_word(value: Any) -> bool:
    if not (isinstance(value, list | tuple) and len(value) == 2 and _is_word(value[0])):
        return False
    # The reference refuses whole numbers, too; -inf forbids the word.
    return isinstance(value[1], float) and value[1] < math.inf


CHECKS: Mapping[str, Check] = {
    "max_length": partial(whole_number, smallest=1),
    "max_new_tokens": partial(whole_number, smallest=1),
    "min_length": partial(whole_number, smallest=0),
    "min_new_tokens": partial(whole_number, smallest=0),
    "num_beams": partial(whole_number, smallest=1),
    "early_stopping": partial(one_of, choices=(True, False, "never")),
    "length_penalty": number,
    "length_penalty_style": partial(one_of, choices=("hf", "gnmt")),
    "num_return_sequences": partial(whole_number, smallest=1),
    "num_beam_groups": partial(whole_number, smallest=1),
    "diversity_penalty": partial(number, low=0),
    "penalty_alpha": partial(number, low=0, high=1),
    "force_words_ids": forced_words,
    "do_sample": boolean,
    "no_repeat_ngram_size": partial(whole_number, smallest=0),
    "encoder_no_repeat_ngram_size": partial(whole_number, smallest=0),
    "repetition_penalty": float_above_zero,
    "encoder_repetition_penalty": float_above_zero,
    "bad_words_ids": words,
    "sequence_bias": biased_words,
    "suppress_tokens": list_of_ids,
    "begin_suppress_tokens": list_of_ids,
    "exponential_decay_length_penalty": decay,
    "remove_invalid_values": boolean,
    "renormalize_logits": boolean,
    "max_time": above_zero,
    "stop_strings": texts,
    "pad_token_id": ids,
    "bos_token_id": ids,
    "eos_token_id": ids,
    "forced_bos_token_id": ids,
    "forced_eos_token_id": ids,
    "decoder_start_token_id": ids,
    "output_scores": boolean,
    "output_logits": boolean,
    "output_attentions": boolean,
    "output_hidden_states": boolean,
    "return_dict_in_generate": boolean,
    "use_cache": boolean,
}
"""The checks of options that always count; None, which says nothing, is not checked."""

SAMPLING_CHECKS: Mapping[str, Check] = {
    "temperature": float_above_zero,
    "top_k": partial(whole_number, smallest=0),
    "top_p": partial(number, low=0),
    "min_p": partial(number, low=0, high=1),
    "top_h": partial(above_zero, high=1),
    "typical_p": above_zero,
    "epsilon_cutoff": partial(number, low=0),
    "eta_cutoff": partial(number, low=0),
}
"""The checks of options that count only with do_sample: many a file has temperature 0.0 without.

A top_p, typical_p, epsilon_cutoff or eta_cutoff of 1 or more means all tokens, as in the reference.
"""


def check_options(checks: Mapping[str, Check], options: Any) -> None:
    """Check the fields of a GenerationConfig or GenerationSettings that are set.

    Raises:
        ValueError: one is not what it may be.
    """
    for name, check in checks.items():
        value = getattr(options, name)
        if value is not None:
            check(name, value)
