"""What the halves of all families share: a checked call around the family's own functions."""

from typing import Any

import numpy as np

from minibert2bert.arrays import Array, Backward, add_params, flatten
from minibert2bert.components.loss import cross_entropy
from minibert2bert.models.cache import KeyValueCache
from minibert2bert.models.inputs import ArrayLike, Inputs, check_labels, prepare_inputs
from minibert2bert.models.outputs import BaseModelOutput, CausalLMOutput, recorded_extras
from minibert2bert.models.pretrained import PretrainedModel
from minibert2bert.recording import recording


class Transformer(PretrainedModel):
    """A stack without a head. A family gives it forward and cached_forward."""

    def forward(
        self,
        encoder_hidden_states: Array | None,
        inputs: Inputs,
        rng: np.random.Generator | None = None,
        training: bool = False,
    ) -> tuple[Array, Backward]:
        """Compute the hidden states of checked inputs."""
        raise TypeError(f"{type(self).__name__} is a base class; use one of its families")

    def cached_forward(
        self, encoder_hidden_states: Array | None, inputs: Inputs, cache: KeyValueCache
    ) -> Array:
        """Compute the hidden states of the newest positions."""
        raise TypeError(f"{type(self).__name__} is a base class; use one of its families")

    def prepare(self, past_length: int = 0, **arguments: Any) -> Inputs:
        """Check what a user handed to the model; see prepare_inputs."""
        return prepare_inputs(self.config, self.like, past_length=past_length, **arguments)

    def run(
        self,
        past_key_values: KeyValueCache | None,
        use_cache: bool,
        output_attentions: bool,
        output_hidden_states: bool,
        encoder_hidden_states: Array | None = None,
        **arguments: Any,
    ) -> tuple[Array, dict[str, Any]]:
        """Compute the hidden states for a public call, and what else it asks for.

        Returns:
            hidden_states: (B, T, H)
            extras: the other fields of the output
        """
        cache = past_key_values
        if cache is None and use_cache and self.config.is_decoder:
            cache = KeyValueCache(self.config.num_hidden_layers)
        inputs = self.prepare(
            cache.get_seq_length() if cache else 0,
            encoder_hidden_states=encoder_hidden_states,
            **arguments,
        )
        with recording(output_attentions or output_hidden_states) as arrays:
            if cache is None:
                states, _ = self.forward(encoder_hidden_states, inputs)
            else:
                states = self.cached_forward(encoder_hidden_states, inputs, cache)
        extras = recorded_extras(arrays, output_attentions, output_hidden_states)
        return states, {"past_key_values": cache if use_cache else None, **extras}

    def __call__(
        self,
        input_ids: ArrayLike | None = None,
        attention_mask: ArrayLike | None = None,
        position_ids: ArrayLike | None = None,
        head_mask: ArrayLike | None = None,
        inputs_embeds: Array | None = None,
        encoder_hidden_states: Array | None = None,
        encoder_attention_mask: ArrayLike | None = None,
        *,
        past_key_values: KeyValueCache | None = None,
        use_cache: bool = False,
        output_attentions: bool = False,
        output_hidden_states: bool = False,
        return_dict: bool = True,
    ) -> Any:
        """Compute the hidden states of a batch; keeps nothing to differentiate.

        Args:
            input_ids: int (B, T)
            attention_mask: (B, past + T), 1 for a token, 0 for padding; None is all ones.
            position_ids: int (1, T) or (B, T); 0, 1, ... by default
            head_mask: (N,) or (L, N), a factor for the weights of each head
            inputs_embeds: (B, T, H), instead of input_ids
            encoder_hidden_states: (B, S, H), for a decoder with cross-attention
            encoder_attention_mask: (B, S)
            past_key_values: the cache of an earlier call, which this call continues
            use_cache: whether to return a cache; only a decoder does
            output_attentions: whether to return the attention weights
            output_hidden_states: whether to return the hidden states of every layer
            return_dict: False returns a tuple.

        Returns:
            a BaseModelOutput

        Raises:
            ValueError: if an input does not fit the config or another input.
        """
        states, extras = self.run(
            past_key_values,
            use_cache,
            output_attentions,
            output_hidden_states,
            input_ids=input_ids,
            attention_mask=attention_mask,
            position_ids=position_ids,
            head_mask=head_mask,
            inputs_embeds=inputs_embeds,
            encoder_hidden_states=encoder_hidden_states,
            encoder_attention_mask=encoder_attention_mask,
        )
        output = BaseModelOutput(states, **extras)
        return output if return_dict else output.to_tuple()


class CausalLM(Transformer):
    """A stack with a language-model head. A family gives it head as well."""

    def head(self, hidden_states: Array) -> tuple[Array, Backward]:
        """Score every word at every position; only decoders can."""
        raise TypeError(f"{type(self).__name__} has no language-model head")

    def __call__(
        self,
        input_ids: ArrayLike | None = None,
        attention_mask: ArrayLike | None = None,
        position_ids: ArrayLike | None = None,
        head_mask: ArrayLike | None = None,
        inputs_embeds: Array | None = None,
        encoder_hidden_states: Array | None = None,
        encoder_attention_mask: ArrayLike | None = None,
        *,
        labels: ArrayLike | None = None,
        past_key_values: KeyValueCache | None = None,
        use_cache: bool = False,
        output_attentions: bool = False,
        output_hidden_states: bool = False,
        return_dict: bool = True,
    ) -> Any:
        """Score every word at every position; keeps nothing to differentiate.

        Args:
            input_ids: int (B, T)
            attention_mask: (B, past + T), 1 for a token, 0 for padding; None is all ones.
            position_ids: int (1, T) or (B, T); 0, 1, ... by default
            head_mask: (N,) or (L, N), a factor for the weights of each head
            inputs_embeds: (B, T, H), instead of input_ids
            encoder_hidden_states: (B, S, H), for a decoder with cross-attention
            encoder_attention_mask: (B, S)
            labels: int (B, T), the input ids again: position t is to predict the label at t + 1;
                IGNORE (-100) where nothing is to be predicted
            past_key_values: the cache of an earlier call, which this call continues
            use_cache: whether to return a cache; only a decoder does
            output_attentions: whether to return the attention weights
            output_hidden_states: whether to return the hidden states of every layer
            return_dict: False returns a tuple.

        Returns:
            a CausalLMOutput

        Raises:
            ValueError: if an input does not fit the config or another input.
        """
        states, extras = self.run(
            past_key_values,
            use_cache,
            output_attentions,
            output_hidden_states,
            input_ids=input_ids,
            attention_mask=attention_mask,
            position_ids=position_ids,
            head_mask=head_mask,
            inputs_embeds=inputs_embeds,
            encoder_hidden_states=encoder_hidden_states,
            encoder_attention_mask=encoder_attention_mask,
        )
        logits, _ = self.head(states)
        loss = None
        if labels is not None:
            checked = check_labels(labels, states.shape[0], states.shape[1], self.config.vocab_size)
            targets = np.asarray(checked[:, 1:], like=logits)
            loss, _ = cross_entropy(logits[:, :-1], targets)
        output = CausalLMOutput(loss, logits, **extras)
        return output if return_dict else output.to_tuple()

    def loss(
        self,
        input_ids: ArrayLike,
        labels: ArrayLike,
        attention_mask: ArrayLike | None = None,
        rng: np.random.Generator | None = None,
        label_smoothing: float = 0.0,
        **others: Any,
    ) -> tuple[Array, Backward]:
        """Take the loss of predicting each next token, and keep what its gradient needs.

        Args:
            input_ids: int (B, T)
            labels: int (B, T), the input ids again: position t is to predict the label at t + 1
            attention_mask: (B, T), 1 for a token, 0 for padding
            rng: source of the dropout masks; None switches dropout off.
            label_smoothing: in [0, 1), see cross_entropy
            others: further inputs of a call

        Returns:
            loss: a scalar, in nats
            backward: dloss (1 by default) -> gradients, a flat dict under the parameters' names
        """
        states_of_encoder = others.get("encoder_hidden_states")
        inputs = self.prepare(input_ids=input_ids, attention_mask=attention_mask, **others)
        states, stack_backward = self.forward(states_of_encoder, inputs, rng, training=True)
        checked = check_labels(labels, states.shape[0], states.shape[1], self.config.vocab_size)
        logits, head_backward = self.head(states[:, :-1])
        targets = np.asarray(checked[:, 1:], like=logits)
        loss, loss_backward = cross_entropy(logits, targets, label_smoothing)

        def backward(dloss: float = 1.0) -> dict[str, Array]:
            dhead, dshifted = head_backward(loss_backward(dloss))
            dstates = np.zeros_like(states)
            dstates[:, :-1] = dshifted
            dstack = stack_backward(dstates)
            if states_of_encoder is not None:
                dstack, _ = dstack
            # A tied word embedding is used by the lookup and by the head.
            return flatten(add_params(dstack, dhead))

        return loss, backward
