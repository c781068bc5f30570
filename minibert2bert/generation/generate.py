"""generate(): read a batch, let a search write an answer to each row."""

from typing import Any

import numpy as np

from minibert2bert.arrays import Array
from minibert2bert.device import to_numpy
from minibert2bert.generation.call_arguments import OF_THE_CALLER, CallArguments
from minibert2bert.generation.config import OPTIONS, GenerationConfig
from minibert2bert.generation.prompt import mask_from_padding, start_prompt, within_positions
from minibert2bert.generation.recorded_session import RecordedSession, with_recorded
from minibert2bert.generation.session import DecodingSession
from minibert2bert.generation.strategies import generate_ids
from minibert2bert.generation.streaming import ended
from minibert2bert.generation.without_effect import warn_without_effect
from minibert2bert.models.encoder_decoder import EncoderDecoderModel
from minibert2bert.models.inputs import ArrayLike, check_ids

SPECIAL_IDS = ("pad_token_id", "bos_token_id", "eos_token_id", "decoder_start_token_id")
WITHOUT = {"top_k": 0}
"""What an option is set to if None takes it back; the others have a default that does nothing."""


def generate(
    model: EncoderDecoderModel,
    input_ids: ArrayLike | None = None,
    attention_mask: ArrayLike | None = None,
    **options: Any,
) -> Any:
    """Read a batch, and write an answer to each row; see EncoderDecoderModel.generate."""
    with ended(options.get("streamer")):
        return _answer(model, input_ids, attention_mask, **options)


def _answer(
    model: EncoderDecoderModel,
    input_ids: ArrayLike | None = None,
    attention_mask: ArrayLike | None = None,
    generation_config: GenerationConfig | None = None,
    encoder_outputs: Any = None,
    inputs_embeds: Array | None = None,
    decoder_input_ids: ArrayLike | None = None,
    decoder_attention_mask: ArrayLike | None = None,
    **options: Any,
) -> Any:
    """Read a batch, and write an answer to each row."""
    said = {name: value for name, value in options.items() if value is not None}
    of_the_call = {name: said[name] for name in OF_THE_CALLER & said.keys()}
    options = {name: value for name, value in options.items() if name not in OF_THE_CALLER}
    config = merged_config(model, generation_config, options)
    if of_the_call.get("record_search"):
        config = config.updated(return_dict_in_generate=True)
    warn_without_effect(said, config)
    ids = None
    if input_ids is not None:
        ids = check_ids("input_ids", input_ids, model.config.encoder.vocab_size)
    mask = None if attention_mask is None else to_numpy(np.asarray(attention_mask))
    if mask is None and ids is not None:
        mask = mask_from_padding(ids, config)
    as_object = bool(config.return_dict_in_generate)
    flags = (
        as_object and bool(config.output_attentions),
        as_object and bool(config.output_hidden_states),
    )
    read = model.encode(encoder_outputs, flags, ids, mask, inputs_embeds)
    states, _ = model.project(read.last_hidden_state)
    if mask is not None and mask.shape != states.shape[:2]:
        raise ValueError(
            f"attention_mask must have shape {states.shape[:2]}, one number for each token, "
            f"got {mask.shape}"
        )
    prompt, prompt_mask = start_prompt(
        model, config, states.shape[0], decoder_input_ids, decoder_attention_mask
    )
    config = within_positions(config, prompt.shape[1], model.config.decoder.num_positions)
    session = DecodingSession(model.decoder, states, mask, prompt_mask)
    call = CallArguments(prompt_mask=prompt_mask, encoder_input_ids=ids, **of_the_call)
    if not any(flags):
        output = generate_ids(session, prompt, config, call)
        return output if as_object else output.sequences
    recorded = RecordedSession(session, *flags)
    return with_recorded(generate_ids(recorded, prompt, config, call), recorded, read)


def merged_config(
    model: EncoderDecoderModel, given: GenerationConfig | None, options: dict[str, Any]
) -> GenerationConfig:
    """Merge what was said: the call, a config passed to it, the model's, its config.json.

    A model with a generation_config takes only the special ids from config.json, whose other
    settings are then leftovers. None in the call takes back what the others say, as in the
    reference, where a top_k that is taken back is no 50 either.
    """
    merged = (given or GenerationConfig()).updated(**options)
    from_file = GenerationConfig.from_model_config(
        model.config.to_dict(), model.config.decoder.to_dict()
    )
    if model.generation_config is None:
        merged = merged.with_fallback(from_file)
    else:
        ids = {name: value for name, value in from_file.to_dict().items() if name in SPECIAL_IDS}
        merged = merged.with_fallback(model.generation_config).with_fallback(
            GenerationConfig.from_dict(ids)
        )
    taken_back = [name for name, value in options.items() if value is None and name in OPTIONS]
    return merged.updated(**{name: WITHOUT.get(name) for name in taken_back})
