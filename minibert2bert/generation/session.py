"""From a model and texts to generated ids: encode once, then let a search ask for logits."""

from typing import Any

import numpy as np

from minibert2bert.arrays import Array
from minibert2bert.components.masks import Masks, decoder_mask, padding_mask
from minibert2bert.device import to_numpy
from minibert2bert.generation.config import GenerationConfig
from minibert2bert.generation.generate import generate_ids
from minibert2bert.models.cache import KeyValueCache
from minibert2bert.models.causal_lm import CausalLM
from minibert2bert.models.encoder_decoder import EncoderDecoderModel
from minibert2bert.models.inputs import ArrayLike, Inputs, check_ids

SPECIAL_IDS = ("pad_token_id", "bos_token_id", "eos_token_id", "decoder_start_token_id")


class DecodingSession:
    """A decoder in the middle of writing: what a search calls for the next token's logits.

    There is one copy of the encoder's states for all beams of an input, and only the newest
    positions are computed; the earlier ones are in the cache.
    """

    def __init__(
        self,
        decoder: CausalLM,
        encoder_hidden_states: Array,
        encoder_attention_mask: Array | None = None,
        prompt_mask: Array | None = None,
    ) -> None:
        """Start before the prompt.

        Args:
            decoder: with cross-attention
            encoder_hidden_states: (B, S, H), where the decoder lives
            encoder_attention_mask: (B, S), on the host; None is all ones.
            prompt_mask: (B, prompt), on the host, 0 for padding of the prompt; None is all ones.
        """
        self.decoder = decoder
        self.encoder_hidden_states = encoder_hidden_states
        self.cache = KeyValueCache(decoder.config.num_layers)
        self._own_mask = prompt_mask
        self._segments = decoder.config.num_segments > 0
        self._encoder_mask = None
        if encoder_attention_mask is not None:
            mask = padding_mask(encoder_attention_mask)
            self._encoder_mask = np.asarray(mask, like=encoder_hidden_states)

    def __call__(self, tokens: Array, parents: Array | None = None) -> Array:
        """Read the newest tokens, and score every word that might follow.

        Args:
            tokens: int (R, T), on the host; R is B times the number of beams.
            parents: int (R,), on the host: row r continues row parents[r] of the call before;
                None if each continues itself.

        Returns:
            logits: (R, V), where the decoder lives
        """
        if parents is not None:
            self.cache.reorder(parents)
        past = self.cache.get_seq_length()
        positions = self.decoder.positions(tokens, tokens.shape, self.cache)
        segments = np.zeros_like(tokens[:1]) if self._segments else None
        inputs = Inputs(
            self._on_device(tokens),
            None,
            self._on_device(positions),
            Masks(self._newest_mask(tokens, past), self._encoder_mask),
            None if segments is None else self._on_device(segments),
        )
        states = self.decoder.cached_forward(self.encoder_hidden_states, inputs, self.cache)
        # Only the last position is asked about, so only it goes through the head.
        logits, _ = self.decoder.head(states[:, -1])
        return logits

    def _newest_mask(self, tokens: Array, past: int) -> Array | None:
        """Hide the future and the prompt's padding; one newest token without padding sees all."""
        rows, length = tokens.shape
        if self._own_mask is None:
            if length == 1:
                return None
            return self._on_device(decoder_mask(None, length, past + length))
        beams = rows // len(self._own_mask)
        given = np.repeat(self._own_mask, beams, axis=0)
        written = np.ones((rows, past + length - given.shape[1]), dtype=given.dtype)
        mask = np.concatenate([given, written], axis=1)
        return self._on_device(decoder_mask(mask, length, past + length))

    def _on_device(self, array: Array) -> Array:
        return np.asarray(array, like=self.encoder_hidden_states)


def generate(
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
    """Read a batch, and write an answer to each row; see EncoderDecoderModel.generate."""
    config = merged_config(model, generation_config, options)
    ids = None
    if input_ids is not None:
        ids = check_ids("input_ids", input_ids, model.config.encoder.vocab_size)
    mask = None if attention_mask is None else to_numpy(np.asarray(attention_mask))
    if mask is None and ids is not None:
        mask = mask_from_padding(ids, config)
    read = model.encode(encoder_outputs, (False, False), ids, mask, inputs_embeds)
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
    output = generate_ids(session, prompt, config, prompt_mask)
    return output if config.return_dict_in_generate else output.sequences


def merged_config(
    model: EncoderDecoderModel, given: GenerationConfig | None, options: dict[str, Any]
) -> GenerationConfig:
    """Merge what was said: the call, a config passed to it, the model's, its config.json.

    A model with a generation_config takes only the special ids from config.json, whose other
    settings are then leftovers.
    """
    merged = (given or GenerationConfig()).updated(**options)
    from_file = GenerationConfig.from_model_config(
        model.config.to_dict(), model.config.decoder.to_dict()
    )
    if model.generation_config is None:
        return merged.with_fallback(from_file)
    ids = {name: value for name, value in from_file.to_dict().items() if name in SPECIAL_IDS}
    return merged.with_fallback(model.generation_config).with_fallback(
        GenerationConfig.from_dict(ids)
    )


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
