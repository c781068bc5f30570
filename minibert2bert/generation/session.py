"""From a model and texts to generated ids: encode once, then let a search ask for logits."""

import numpy as np

from minibert2bert.arrays import Array
from minibert2bert.components.masks import Masks, decoder_mask, padding_mask
from minibert2bert.models.cache import KeyValueCache
from minibert2bert.models.causal_lm import CausalLM
from minibert2bert.models.inputs import Inputs

SPECIAL_IDS = ("pad_token_id", "bos_token_id", "eos_token_id", "decoder_start_token_id")


class DecodingSession:
    """A decoder in the middle of writing: what a search calls for the next token's logits.

    There is one copy of the encoder's states for all beams of an input, and only the newest
    positions are computed; the earlier ones are in the cache.

    Attributes:
        hidden_states: (R, T, H), the decoder's last ones of the newest call
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
        self.hidden_states: Array = encoder_hidden_states[:, :0]
        self._rows = 0
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
                None if each continues itself. R may change, and inputs may leave; see
                active_model.NextLogits.

        Returns:
            logits: (R, V), where the decoder lives
        """
        if parents is not None:
            self._continue(parents)
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
        self._rows = len(tokens)
        self.hidden_states = self.decoder.cached_forward(
            self.encoder_hidden_states, inputs, self.cache
        )
        # Only the last position is asked about, so only it goes through the head.
        logits, _ = self.decoder.head(self.hidden_states[:, -1])
        return logits

    def _continue(self, parents: Array) -> None:
        """Let the rows go on from others, and let the inputs go of which no row does."""
        self.cache.reorder(parents)
        batch = len(self.encoder_hidden_states)
        inputs = np.unique(parents // (self._rows // batch))
        if len(inputs) == batch:
            return
        for layer in self.cache.layers:
            layer.keep_inputs(inputs)
        on_device = self._on_device(inputs)
        self.encoder_hidden_states = self.encoder_hidden_states[on_device]
        if self._encoder_mask is not None:
            self._encoder_mask = self._encoder_mask[on_device]
        if self._own_mask is not None:
            self._own_mask = self._own_mask[inputs]

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
