"""Change the scores of the next token before one is chosen: what is done, and in which order.

Greedy search hands the logits to the processors, beam search the log-probabilities. ids are on
the host, scores stay where the model made them. Each processor returns a new array, or the one it
was given if there is nothing to change.
"""

import warnings
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from minibert2bert.arrays import Array
from minibert2bert.generation import (
    allowed_tokens,
    distributions,
    entropy_filters,
    lengths,
    repetition,
    sampling_filters,
    word_lists,
)
from minibert2bert.generation.call_arguments import NOTHING, CallArguments, Processor
from minibert2bert.generation.settings import GenerationSettings

Row: TypeAlias = tuple[str, Callable[[Any], bool], Callable[..., Array], tuple[str, ...]]
"""(option, condition, function, others): if condition(option), function(ids, scores, option,
*others), each name standing for its value; a flag, which is True, is no argument. The condition
bool means: not None, False, 0 or empty.
"""


def is_not_empty(value: Sequence[int] | None) -> bool:
    """The condition of ids, which may stand in an array."""
    return value is not None and len(value) > 0


def is_not_one(value: float) -> bool:
    """The condition of factors."""
    return value != 1


def is_below_one(value: float) -> bool:
    """The condition of masses; the whole mass is no limit."""
    return value < 1


def is_between(value: float) -> bool:
    """The condition of least probabilities: 0 forbids nothing, and 1 or more is passed over."""
    return 0 < value < 1


def callers_own(ids: Array, scores: Array, functions: Sequence[Processor]) -> Array:
    """Apply the functions that a caller has passed, to copies, which they may change.

    Raises:
        ValueError: they are no list, or one returns no scores of the same shape.
    """
    if not isinstance(functions, Sequence):
        raise ValueError(
            f"logits_processor must be a list of functions, got {functions!r}; put it into a list"
        )
    for function in functions:
        changed = function(ids.copy(), scores.copy())
        if getattr(changed, "shape", None) != scores.shape:
            raise ValueError(
                f"a function of logits_processor must return an array of shape {scores.shape}, got "
                f"{getattr(changed, 'shape', changed)}; end it with return scores"
            )
        scores = changed.astype(scores.dtype)
    return scores


SOURCE = ("encoder_input_ids",)
FIRST_AND_END = ("prompt_length", "eos_token_id")
TO_KEEP = ("min_tokens_to_keep",)

IN_ORDER: tuple[Row, ...] = (
    ("sequence_bias", bool, word_lists.sequence_bias, ()),
    # Here the reference charges a group of beams for the choices of earlier groups. The charge is
    # added, like the bias above, and group_beam_search adds it before the first of all.
    ("encoder_repetition_penalty", is_not_one, repetition.encoder_repetition_penalty, SOURCE),
    ("repetition_penalty", is_not_one, repetition.repetition_penalty, ("prompt_mask",)),
    ("no_repeat_ngram_size", bool, repetition.no_repeat_ngram, ()),
    ("encoder_no_repeat_ngram_size", bool, repetition.encoder_no_repeat_ngram, SOURCE),
    ("bad_words_ids", bool, word_lists.bad_words, ()),
    ("min_length", bool, lengths.min_length, ("eos_token_id",)),
    ("min_new_tokens", bool, lengths.min_new_tokens, FIRST_AND_END),
    ("prefix_allowed_tokens_fn", bool, allowed_tokens.prefix_allowed, ("rows_per_input",)),
    ("forced_bos_token_id", bool, allowed_tokens.forced_bos, ()),
    ("forced_eos_token_id", bool, allowed_tokens.forced_eos, ("max_length",)),
    ("remove_invalid_values", bool, distributions.remove_invalid_values, ()),
    ("exponential_decay_length_penalty", bool, lengths.exponential_decay, FIRST_AND_END),
    ("suppress_tokens", is_not_empty, allowed_tokens.suppress_tokens, ()),
    ("begin_suppress_tokens", is_not_empty, allowed_tokens.begin_suppress_tokens, ("begin",)),
    ("logits_processor", bool, callers_own, ()),
)
"""The processors of every search, in the order of the reference.

The reference lets an object of the caller's take the place of a built-in one of the same class.
Here they are functions, which have no class to compare: the caller's own all come last.
"""

FOR_DRAWS: tuple[Row, ...] = (
    ("temperature", is_not_one, sampling_filters.temperature, ()),
    ("top_h", bool, entropy_filters.top_h, ()),
    ("top_k", bool, sampling_filters.top_k, TO_KEEP),
    ("top_p", is_below_one, sampling_filters.top_p, TO_KEEP),
    ("min_p", bool, sampling_filters.min_p, TO_KEEP),
    ("typical_p", is_below_one, entropy_filters.typical_p, TO_KEEP),
    ("epsilon_cutoff", is_between, sampling_filters.epsilon_cutoff, TO_KEEP),
    ("eta_cutoff", is_between, entropy_filters.eta_cutoff, TO_KEEP),
)
"""What follows with do_sample."""

AT_LAST: tuple[Row, ...] = (("renormalize_logits", bool, distributions.renormalize, ()),)


def logits_processors(
    settings: GenerationSettings, call: CallArguments = NOTHING
) -> list[Processor]:
    """List the processors that the settings and the call ask for, in the order of the tables.

    Args:
        settings: the options of the search
        call: whose arrays have a row for each row of the search
    """
    values = _values(settings, call)
    table = (*IN_ORDER, *(FOR_DRAWS if settings.do_sample else ()), *AT_LAST)
    return [
        _with_values(function, [values[n] for n in (option, *others) if values[n] is not True])
        for option, condition, function, others in table
        if condition(values[option])
    ]


def process(processors: Sequence[Processor], ids: Array, scores: Array) -> Array:
    """Apply the processors one after the other."""
    for processor in processors:
        scores = processor(ids, scores)
    return scores


def _with_values(function: Callable[..., Array], values: Sequence[Any]) -> Processor:
    def processor(ids: Array, scores: Array) -> Array:
        return function(ids, scores, *values)

    return processor


def _values(settings: GenerationSettings, call: CallArguments) -> dict[str, Any]:
    """Find the values for all names of the tables: options, arguments, and what follows of them."""
    eos, beams = settings.eos_token_id, settings.num_beams
    rows = max(beams, settings.num_return_sequences)
    forced_start = settings.prompt_length == 1 and len(settings.forced_bos_token_id) > 0
    return {
        **vars(settings),
        **vars(call),
        **_without_source(settings, call),
        "sequence_bias": word_lists.biased_words(settings.sequence_bias),
        "bad_words_ids": word_lists.forbidden_words(settings.bad_words_ids, eos),
        "rows_per_input": rows // settings.num_beam_groups,
        "begin": settings.prompt_length + forced_start,
        # A beam that ends leaves the search: one token at least must go on.
        "min_tokens_to_keep": 1 if beams == 1 else max(len(eos), 1) + 1,
    }


def _without_source(settings: GenerationSettings, call: CallArguments) -> dict[str, Any]:
    """Switch off, and say so, what reads the ids of a source that was given as vectors."""
    nothing = {"encoder_repetition_penalty": 1.0, "encoder_no_repeat_ngram_size": 0}
    if call.encoder_input_ids is not None:
        return {}
    for name, value in nothing.items():
        if getattr(settings, name) != value:
            warnings.warn(
                f"{name} has no effect without the ids of the source; pass input_ids beside "
                "encoder_outputs, or leave it out",
                stacklevel=5,
            )
    return nothing
