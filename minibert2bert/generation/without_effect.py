"""Warn of options that a caller has written and that change nothing."""

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

from minibert2bert.generation.config import GenerationConfig
from minibert2bert.generation.settings import GenerationSettings

OF_DRAWS = (
    "temperature",
    "top_p",
    "min_p",
    "top_h",
    "typical_p",
    "epsilon_cutoff",
    "eta_cutoff",
    "seed",
)
OF_BEAMS = ("early_stopping", "length_penalty", "length_penalty_style")
OF_THE_OBJECT = ("output_scores", "output_logits", "output_attentions", "output_hidden_states")
SHARES = ("top_p", "typical_p", "epsilon_cutoff", "eta_cutoff")


def warn_without_effect(options: Mapping[str, Any], config: GenerationConfig) -> None:
    """Warn of each option of a call that changes nothing beside the others.

    What only a file holds is none of the caller's doing, and gets no warning. A value that equals
    the default asks for nothing, and gets none either.

    Args:
        options: what the call itself names
        config: all that was said, merged
    """
    for name, reason in _reasons(config).items():
        value, default = options.get(name), getattr(GenerationSettings, name, None)
        if value is not None and (default is None or value != default):
            warnings.warn(f"{name}={value!r} has no effect {reason}", stacklevel=5)


def _reasons(config: GenerationConfig) -> dict[str, str]:
    """Say of each option that has no effect why that is so."""
    beams = (config.num_beams or 1) > 1
    draws = bool(config.do_sample)
    groups = (config.num_beam_groups or 1) > 1
    contrasts = bool(config.penalty_alpha) and config.top_k not in (0, 1) and not (draws or beams)
    too_large = [name for name in SHARES if (getattr(config, name) or 0) > 1]
    # Of several reasons the last one is told.
    rules: list[tuple[Sequence[str], bool, str]] = [
        (too_large, False, "above 1, where all tokens are left to draw from"),
        (OF_DRAWS, draws, "without do_sample=True"),
        (["top_k"], draws or contrasts, "without do_sample=True or penalty_alpha"),
        (OF_BEAMS, beams, "without num_beams above 1"),
        (["diversity_penalty"], groups, "without num_beam_groups above 1"),
        (["penalty_alpha"], contrasts, "with beams, with do_sample=True or with a top_k below 2"),
        (
            OF_THE_OBJECT,
            bool(config.return_dict_in_generate),
            "without return_dict_in_generate=True",
        ),
        (["max_length"], config.max_new_tokens is None, "beside max_new_tokens"),
        (["min_length"], config.min_new_tokens is None, "beside min_new_tokens"),
    ]
    return {name: reason for names, useful, reason in rules if not useful for name in names}
