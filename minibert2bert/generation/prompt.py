"""What a search starts with: the source's mask, the decoder's first tokens, room for the rest."""

import numpy as np

from minibert2bert.arrays import Array
from minibert2bert.generation.config import GenerationConfig
from minibert2bert.models.encoder_decoder import EncoderDecoderModel
from minibert2bert.models.inputs import ArrayLike, check_ids


def mask_from_padding(ids: Array, config: GenerationConfig) -> Array | None:
    """Hide the padding of the source when nobody has said where it is.

    Args:
        ids: int (B, S)
        config: pad_token_id, eos_token_id

    Returns:
        mask: int (B, S), or None if nothing is padding, or pad is also the end token
    """
    pad, ends = config.pad_token_id, np.atleast_1d(config.eos_token_id or [])
    if pad is None or pad in ends or not (ids == pad).any():
        return None
    return (ids != pad).astype(np.int64)


def start_prompt(
    model: EncoderDecoderModel,
    config: GenerationConfig,
    batch: int,
    decoder_input_ids: ArrayLike | None,
    decoder_attention_mask: ArrayLike | None,
) -> tuple[Array, Array | None]:
    """Make what the decoder starts with: the start token, and a prompt if there is one.

    A prompt of which no row begins with the start token gets one in front.

    Returns:
        prompt: int64 (B, prompt)
        mask: int (B, prompt), or None if there is no padding
    """
    start = np.broadcast_to(np.asarray(config.start_token_id(), dtype=np.int64), (batch,))[:, None]
    if decoder_input_ids is None:
        return check_ids("decoder_start_token_id", start, model.config.decoder.vocab_size), None
    vocab_size = model.config.decoder.vocab_size
    prompt = check_ids("decoder_input_ids", decoder_input_ids, vocab_size)
    if len(prompt) != batch:
        raise ValueError(f"decoder_input_ids must have {batch} rows, got {len(prompt)}")
    mask = None if decoder_attention_mask is None else np.asarray(decoder_attention_mask)
    if mask is not None and mask.shape != prompt.shape:
        raise ValueError(
            f"decoder_attention_mask must have the prompt's shape {prompt.shape}, got {mask.shape}"
        )
    if (prompt[:, :1] != start).all():
        prompt = np.concatenate([start, prompt], axis=1)
        if mask is not None:
            mask = np.concatenate([np.ones_like(mask[:, :1]), mask], axis=1)
    return prompt, mask


def within_positions(config: GenerationConfig, prompt: int, positions: int) -> GenerationConfig:
    """Keep the lengths within the decoder's positions; the last token needs none.

    Raises:
        ValueError: if more was asked for than there are positions.
    """
    longest = positions + 1
    if config.max_length is None and config.max_new_tokens is None:
        return config.updated(max_length=min(prompt + 20, longest))
    asked = config.max_length or 0
    if config.max_new_tokens is not None:
        asked = prompt + config.max_new_tokens
    if asked > longest:
        raise ValueError(
            f"the decoder has {positions} positions, but up to {asked} tokens were asked for; "
            f"ask for max_new_tokens={longest - prompt} at most"
        )
    return config
