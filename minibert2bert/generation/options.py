"""The generation options of transformers that this version does not have.

A checkpoint's generation_config.json may hold any of them. Each is listed with the value that
asks for nothing, so that a file is refused exactly when it asks for something we cannot do.
"""

import difflib
from collections.abc import Iterable, Mapping

CHANGES_THE_OUTPUT: dict[str, object] = {
    "assistant_early_exit": None,
    "bad_words_ids": None,
    "begin_suppress_tokens": None,
    "constraints": None,
    "do_sample": False,
    "dola_layers": None,
    "encoder_no_repeat_ngram_size": 0,
    "encoder_repetition_penalty": 1.0,
    "exponential_decay_length_penalty": None,
    "force_words_ids": None,
    "guidance_scale": 1,
    "max_time": None,
    "num_beam_groups": 1,
    "output_attentions": False,
    "output_hidden_states": False,
    "penalty_alpha": 0,
    "prompt_lookup_num_tokens": None,
    "remove_invalid_values": False,
    "renormalize_logits": False,
    "sequence_bias": None,
    "stop_strings": None,
    "suppress_tokens": None,
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
    "diversity_penalty": 0.0,
    "epsilon_cutoff": 0.0,
    "eta_cutoff": 0.0,
    "is_assistant": False,
    "low_memory": False,
    "max_cache_len": None,
    "max_matching_ngram_size": None,
    "min_p": None,
    "num_assistant_tokens": 20,
    "num_assistant_tokens_schedule": "constant",
    "prefill_chunk_size": None,
    "speculation_type": None,
    "target_lookbehind": 10,
    "temperature": 1.0,
    "top_h": None,
    "top_k": 50,
    "top_p": 1.0,
    "typical_p": 1.0,
}
"""Options that change nothing unless one of the above is set, or that change only the speed.

A file may hold any value of them, as in the reference. A caller who passes one means it.
"""

ARGUMENTS_OF_GENERATE: dict[str, object] = {
    "assistant_model": None,
    "assistant_tokenizer": None,
    "logits_processor": None,
    "negative_prompt_attention_mask": None,
    "negative_prompt_ids": None,
    "prefix_allowed_tokens_fn": None,
    "stopping_criteria": None,
    "streamer": None,
    "synced_gpus": False,
    "tokenizer": None,
}
"""Arguments of the reference's generate() that never stand in a file."""


def file_options() -> dict[str, object]:
    """The options a file of the reference may hold and this version does not have."""
    return {**CHANGES_THE_OUTPUT, **NEEDS_ANOTHER_OPTION}


def check_call_option(name: str, value: object, available: Iterable[str]) -> None:
    """Refuse an option of a call that this version does not have.

    One that asks for nothing, such as do_sample=False, passes.

    Args:
        name: what the caller wrote
        value: what the caller gave
        available: the names of the options that exist here

    Raises:
        ValueError: the reference has the option and we do not, or nobody knows it.
    """
    absent = {**file_options(), **ARGUMENTS_OF_GENERATE}
    if name not in absent:
        close = difflib.get_close_matches(name, [*available, *absent], n=1)
        hint = f"; did you mean {close[0]}" if close else ""
        raise ValueError(f"generate() has no option {name}{hint}")
    if value is not None and value != absent[name]:
        raise ValueError(_refusal(name, value))


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
    return (
        f"{name}={value!r} is an option of transformers that this version does not have; "
        f"it has greedy and beam search, so leave {name} out of the call and of the config"
    )
