"""The generation options of transformers that this version does not have.

A checkpoint's generation_config.json may hold any of them. Each is listed with the value that
asks for nothing, so that a file is refused exactly when it asks for something we cannot do.
"""

import difflib
from collections.abc import Iterable, Mapping

from minibert2bert.generation.call_arguments import OF_THE_CALLER

CHANGES_THE_OUTPUT: dict[str, object] = {
    "assistant_early_exit": None,
    "constraints": None,
    "dola_layers": None,
    "guidance_scale": 1,
    "prompt_lookup_num_tokens": None,
    "token_healing": False,
    "use_mtp": False,
    "watermarking_config": None,
}
"""Options that act by themselves; a file that sets one cannot be generated from."""

NEEDS_ANOTHER_OPTION: dict[str, object] = {
    "assistant_confidence_threshold": 0.4,
    "assistant_ensemble_weight": None,
    "assistant_lookbehind": 10,
    "cache_config": None,
    "cache_implementation": None,
    "compile_config": None,
    "disable_compile": None,
    "is_assistant": False,
    "low_memory": False,
    "max_cache_len": None,
    "max_matching_ngram_size": None,
    "num_assistant_tokens": 20,
    "num_assistant_tokens_schedule": "constant",
    "prefill_chunk_size": None,
    "speculation_type": None,
    "target_lookbehind": 10,
}
"""Options that change nothing unless one of the above is set, or that change only the speed.

A file may hold any value of them, as in the reference. A caller who passes one means it.
"""

ARGUMENTS_OF_GENERATE: dict[str, object] = {
    "assistant_model": None,
    "assistant_tokenizer": None,
    "custom_generate": None,
    "inputs": None,
    "negative_prompt_attention_mask": None,
    "negative_prompt_ids": None,
    "synced_gpus": False,
    "trust_remote_code": None,
}
"""Arguments of the reference's generate() that never stand in a file."""

INSTEAD = {
    "constraints": "name the words that an answer must contain with force_words_ids",
    "guidance_scale": "mix the scores of two sources in a function passed as logits_processor",
    "watermarking_config": "change the scores in a function passed as logits_processor",
    "inputs": "pass the source as input_ids",
}
"""How to get there without the option; where there is no way, the option has to be left out."""


def file_options() -> dict[str, object]:
    """The options a file of the reference may hold and this version does not have."""
    return {**CHANGES_THE_OUTPUT, **NEEDS_ANOTHER_OPTION}


def check_call_option(name: str, value: object, available: Iterable[str]) -> None:
    """Refuse an option of a call that this version does not have.

    One that asks for nothing, such as low_memory=False, passes.

    Args:
        name: what the caller wrote
        value: what the caller gave
        available: the names of the options that exist here

    Raises:
        ValueError: the reference has the option and we do not, it belongs elsewhere, or nobody
            knows it.
    """
    absent = {**file_options(), **ARGUMENTS_OF_GENERATE}
    if name in absent:
        if value is not None and value != absent[name]:
            raise ValueError(_refusal(name, value))
    elif name in OF_THE_CALLER:
        raise ValueError(f"{name} belongs to a call of generate(), and cannot stand in a config")
    else:
        close = difflib.get_close_matches(name, [*available, *OF_THE_CALLER, *absent], n=1)
        hint = f"; did you mean {close[0]}" if close else ""
        raise ValueError(f"generate() has no option {name}{hint}")


def check_file_options(options: Mapping[str, object]) -> None:
    """Refuse what a file asks for and this version would have to ignore.

    Raises:
        ValueError: an option that changes the output has another value than its neutral one.
    """
    for name, nothing in CHANGES_THE_OUTPUT.items():
        value = options.get(name)
        if value is not None and value != nothing:
            raise ValueError(_refusal(name, value))


def _refusal(name: str, value: object) -> str:
    way_out = INSTEAD.get(name, f"leave {name} out of the call and of the config")
    return (
        f"{name}={value!r} is an option of transformers that this version does not have; {way_out}"
    )
