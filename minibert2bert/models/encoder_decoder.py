"""EncoderDecoderModel: an encoder reads, a decoder looks at what was read and writes."""

from pathlib import Path
from typing import Any

import numpy as np

from minibert2bert.arrays import Array, Backward, add_params, flatten
from minibert2bert.components.loss import IGNORE, cross_entropy, shift_tokens_right
from minibert2bert.components.masks import mask_from_labels
from minibert2bert.models.cache import KeyValueCache
from minibert2bert.models.inputs import ArrayLike, check_labels
from minibert2bert.models.outputs import BaseModelOutput, Seq2SeqLMOutput
from minibert2bert.models.pairing import EncoderDecoderPair, split_keywords
from minibert2bert.recording import scope


class EncoderDecoderModel(EncoderDecoderPair):
    """A sequence-to-sequence model made of an encoder and a decoder with cross-attention."""

    def __call__(
        self,
        input_ids: ArrayLike | None = None,
        attention_mask: ArrayLike | None = None,
        decoder_input_ids: ArrayLike | None = None,
        decoder_attention_mask: ArrayLike | None = None,
        encoder_outputs: Any = None,
        past_key_values: KeyValueCache | None = None,
        inputs_embeds: Array | None = None,
        decoder_inputs_embeds: Array | None = None,
        labels: ArrayLike | None = None,
        use_cache: bool = False,
        output_attentions: bool = False,
        output_hidden_states: bool = False,
        return_dict: bool = True,
        **others: Any,
    ) -> Any:
        """Read a batch and score every word at every position of the decoder's input.

        Args:
            input_ids: int (B, S)
            attention_mask: (B, S), 1 for a token, 0 for padding; None is all ones.
            decoder_input_ids: int (B, T); made from the labels if they are given alone
            decoder_attention_mask: (B, past + T); made from the labels' padding likewise
            encoder_outputs: what the encoder returned earlier, instead of input_ids
            past_key_values: the cache of an earlier call, which this call continues
            inputs_embeds: (B, S, H), instead of input_ids
            decoder_inputs_embeds: (B, T, H), instead of decoder_input_ids
            labels: int (B, T), what the decoder is to predict at each position (nothing is
                shifted here); IGNORE (-100) where it does not count
            use_cache: whether to return a cache
            output_attentions: whether to return the attention weights
            output_hidden_states: whether to return the hidden states of every layer
            return_dict: False returns a tuple.
            others: position_ids, head_mask for the encoder; decoder_position_ids,
                decoder_head_mask for the decoder

        Returns:
            a Seq2SeqLMOutput

        Raises:
            ValueError: if an input does not fit the config or another input.
        """
        flags = (output_attentions, output_hidden_states)
        encoder_others, decoder_others = split_keywords(others)
        read = self.encode(
            encoder_outputs, flags, input_ids, attention_mask, inputs_embeds, **encoder_others
        )
        projected, _ = self.project(read.last_hidden_state)
        if decoder_input_ids is None and decoder_inputs_embeds is None and labels is not None:
            decoder_input_ids, decoder_attention_mask = self.inputs_from_labels(
                labels, decoder_attention_mask, len(projected)
            )
        with scope("decoder"):
            states, extras = self.decoder.run(
                past_key_values,
                use_cache,
                *flags,
                encoder_hidden_states=projected,
                encoder_attention_mask=attention_mask,
                input_ids=decoder_input_ids,
                attention_mask=decoder_attention_mask,
                inputs_embeds=decoder_inputs_embeds,
                **decoder_others,
            )
        logits, _ = self.decoder.head(states)
        loss = None
        if labels is not None:
            checked = self._checked_labels(labels, states.shape[:2])
            loss, _ = cross_entropy(logits, np.asarray(checked, like=logits))
        output = Seq2SeqLMOutput(
            loss,
            logits,
            past_key_values=extras["past_key_values"],
            decoder_hidden_states=extras["hidden_states"],
            decoder_attentions=extras["attentions"],
            cross_attentions=extras["cross_attentions"],
            encoder_last_hidden_state=read.last_hidden_state,
            encoder_hidden_states=read.hidden_states,
            encoder_attentions=read.attentions,
        )
        return output if return_dict else output.to_tuple()

    def loss(
        self,
        input_ids: ArrayLike | None = None,
        labels: ArrayLike | None = None,
        attention_mask: ArrayLike | None = None,
        decoder_input_ids: ArrayLike | None = None,
        decoder_attention_mask: ArrayLike | None = None,
        inputs_embeds: Array | None = None,
        decoder_inputs_embeds: Array | None = None,
        rng: np.random.Generator | None = None,
        label_smoothing: float = 0.0,
        **others: Any,
    ) -> tuple[Array, Backward]:
        """Take the loss, and keep what its gradient needs.

        Args:
            input_ids: int (B, S)
            labels: int (B, T), what the decoder is to predict at each position
            attention_mask: like the other inputs, as in a call of the model
            decoder_input_ids: as in a call of the model
            decoder_attention_mask: as in a call of the model
            inputs_embeds: as in a call of the model
            decoder_inputs_embeds: as in a call of the model
            rng: source of the dropout masks; None switches dropout off.
            label_smoothing: in [0, 1), see cross_entropy
            others: as in a call of the model

        Returns:
            loss: a scalar, in nats, the mean over the labels that count
            backward: dloss (1 by default) -> gradients, a flat dict under the parameters' names

        Raises:
            ValueError: if an input does not fit the config or another input.
        """
        if labels is None:
            raise ValueError("loss needs labels, what the decoder is to predict at each position")
        encoder_others, decoder_others = split_keywords(others)
        source = self.encoder.prepare(
            input_ids=input_ids,
            attention_mask=attention_mask,
            inputs_embeds=inputs_embeds,
            **encoder_others,
        )
        with scope("encoder"):
            # The decoder looks at the source's tokens only.
            read, encoder_backward = self.encoder.forward(
                None, source, rng, training=True, counted=source.visible
            )
        projected, project_backward = self.project(read)
        if decoder_input_ids is None and decoder_inputs_embeds is None:
            decoder_input_ids, decoder_attention_mask = self.inputs_from_labels(
                labels, decoder_attention_mask, len(projected)
            )
        target = self.decoder.prepare(
            input_ids=decoder_input_ids,
            attention_mask=decoder_attention_mask,
            inputs_embeds=decoder_inputs_embeds,
            encoder_hidden_states=projected,
            encoder_attention_mask=attention_mask,
            **decoder_others,
        )
        checked = self._checked_labels(labels, target.shape)
        with scope("decoder"):
            states, decoder_backward = self.decoder.forward(
                projected, target, rng, training=True, counted=checked != IGNORE
            )
        loss, loss_backward = self.decoder.loss_of_states(states, checked, label_smoothing)

        def backward(dloss: float = 1.0) -> dict[str, Array]:
            dhead, dstates = loss_backward(dloss)
            dstack, dprojected = decoder_backward(dstates)
            dprojection, dread = project_backward(dprojected)
            dencoder = encoder_backward(dread)
            # A tied word embedding is used by the lookup and by the head.
            ddecoder = add_params(dstack, dhead)
            return flatten({"encoder": dencoder, "decoder": ddecoder, **dprojection})

        return loss, backward

    @staticmethod
    def from_encoder_decoder_pretrained(
        encoder_pretrained_model_name_or_path: Any = None,
        decoder_pretrained_model_name_or_path: Any = None,
        tie_encoder_decoder: bool = False,
        rng: np.random.Generator | None = None,
        cross_attention_init: str = "random",
        strict: bool = False,
        **keywords: Any,
    ) -> "EncoderDecoderModel":
        """Join two pretrained checkpoints into a warm-started model.

        Args:
            encoder_pretrained_model_name_or_path: the encoder's folder
            decoder_pretrained_model_name_or_path: the decoder's folder
            tie_encoder_decoder: whether the encoder's parameters are the decoder's, too
            rng: source of what the checkpoints lack: cross-attention, projection, perhaps parts
                of the head; None takes a fresh one.
            cross_attention_init: "random", or "self" to copy each layer's self-attention
            strict: whether a tensor that the model has no place for is an error
            keywords: encoder_model, decoder_model: ready parts; encoder_config, decoder_config;
                with encoder_ or decoder_ in front, fields of a part's config; all others, and
                decoder_start_token_id, are fields of the pair's config.

        Returns:
            a model; its load_report says what is new and must be trained before use.

        Raises:
            ValueError: if a part is missing, or the two do not fit.
        """
        from minibert2bert.models.warm_start import from_encoder_decoder_pretrained

        return from_encoder_decoder_pretrained(
            encoder_pretrained_model_name_or_path,
            decoder_pretrained_model_name_or_path,
            tie_encoder_decoder,
            rng,
            cross_attention_init,
            strict,
            **keywords,
        )

    def generate(
        self,
        input_ids: ArrayLike | None = None,
        attention_mask: ArrayLike | None = None,
        **options: Any,
    ) -> Any:
        """Read a batch, and write num_return_sequences answers to each row.

        Args:
            input_ids: int (B, S)
            attention_mask: (B, S), 1 for a token, 0 for padding; made from the pad token if it
                is not given.
            options: the fields of a GenerationConfig, where None takes back what the model's own
                config says, and the arguments that stand in no file:

                - generation_config: a whole config; what it leaves open, the model's own says.
                - encoder_outputs, inputs_embeds: instead of input_ids
                - decoder_input_ids, decoder_attention_mask: a prompt for the decoder, int (B, P)
                - logits_processor: functions (ids (R, T), scores (R, V)) -> scores
                - prefix_allowed_tokens_fn: (row of the batch, its ids (T,)) -> ids that may follow
                - stopping_criteria: functions (ids (R, T), scores) -> bool (R,), finished or not
                - tokenizer: of the answers, for stop_strings
                - streamer: is handed each token at once, see TextStreamer; not with num_beams > 1
                - seed: of the draws, one number for the batch, or one for each row, which then
                  draws what it would draw alone; without it, other draws every time
                - record_search: keep all candidates of a beam search, in the object's search

        Returns:
            ids: int64 (B * num_return_sequences, T), the answers to a row one after the other, or
                an object with return_dict_in_generate

        Raises:
            ValueError: if an option is unknown or out of range, options contradict each other, or
                an input does not fit.
        """
        from minibert2bert.generation.generate import generate

        return generate(self, input_ids, attention_mask, **options)

    def encode(
        self,
        encoder_outputs: Any,
        flags: tuple[bool, bool],
        input_ids: ArrayLike | None,
        attention_mask: ArrayLike | None,
        inputs_embeds: Array | None,
        **others: Any,
    ) -> BaseModelOutput:
        """Run the encoder, or take what it returned earlier."""
        if isinstance(encoder_outputs, BaseModelOutput):
            return encoder_outputs
        if encoder_outputs is not None:
            return BaseModelOutput(encoder_outputs[0])
        with scope("encoder"):
            states, extras = self.encoder.run(
                None,
                False,
                *flags,
                input_ids=input_ids,
                attention_mask=attention_mask,
                inputs_embeds=inputs_embeds,
                **others,
            )
        return BaseModelOutput(states, **extras)

    def inputs_from_labels(
        self,
        labels: ArrayLike,
        attention_mask: ArrayLike | None = None,
        batch: int | None = None,
    ) -> tuple[Array, ArrayLike]:
        """Make the decoder's input and its mask from the labels; see shift_tokens_right.

        Raises:
            ValueError: if the config lacks decoder_start_token_id or pad_token_id.
        """
        start = self.config.required_id("decoder_start_token_id", "bos_token_id")
        pad = self.config.required_id("pad_token_id", "pad_token_id")
        array = check_labels(labels, batch or len(labels), None, self.config.decoder.vocab_size)
        ids = shift_tokens_right(array, pad, start)
        return ids, mask_from_labels(array) if attention_mask is None else attention_mask

    def prepare_decoder_input_ids_from_labels(self, labels: ArrayLike) -> Array:
        """Shift the labels right, as a call with labels does."""
        return self.inputs_from_labels(labels)[0]

    def _checked_labels(self, labels: ArrayLike, shape: tuple[int, ...]) -> Array:
        batch, length = shape
        return check_labels(labels, batch, length, self.config.decoder.vocab_size)

    def read_settings(self, folder: Path) -> None:
        """Read generation_config.json, if there is one."""
        from minibert2bert.generation.config import CONFIG_FILE, GenerationConfig

        if (folder / CONFIG_FILE).is_file():
            self.generation_config = GenerationConfig.from_pretrained(folder)

    def write_settings(self, folder: Path, dtype: str) -> None:
        """Write the files beside the parameters: config.json and generation_config.json."""
        super().write_settings(folder, dtype)
        if self.generation_config is not None:
            self.generation_config.save_pretrained(folder)
