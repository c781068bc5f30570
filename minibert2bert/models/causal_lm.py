"""What the decoders of all families share: a head, and the loss of what it predicts."""

from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np

from minibert2bert.arrays import Array, Backward, Params, add_params, flatten
from minibert2bert.components.loss import IGNORE, cross_entropy
from minibert2bert.models.cache import KeyValueCache
from minibert2bert.models.inputs import (
    ArrayLike,
    check_labels,
    check_some_count,
)
from minibert2bert.models.outputs import CausalLMOutput
from minibert2bert.models.transformer import Transformer


class CausalLM(Transformer):
    """A stack with a language-model head.

    Attributes:
        score: the family's function of params, hidden_states and config, which returns logits
            and their backward
        shifts_labels: whether position t is to predict the label at t + 1
    """

    score: ClassVar[Callable[..., tuple[Array, Backward]]]
    shifts_labels: ClassVar[bool] = True

    def head(self, hidden_states: Array) -> tuple[Array, Backward]:
        """Score every word at every position.

        Returns:
            logits: (..., V)
            backward: dlogits -> dparams, dhidden_states
        """
        return self.score(self.params, hidden_states, self.config)

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
        token_type_ids: ArrayLike | None = None,
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
            labels: int (B, T), the input ids again: position t is to predict the label at t + 1
                (in BART's decoder: at t); IGNORE (-100) where nothing is to be predicted
            token_type_ids: int (B, T), in families that tell segments apart; 0 by default
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
            token_type_ids=token_type_ids,
        )
        logits, _ = self.head(states)
        loss = None
        if labels is not None:
            loss, _ = cross_entropy(
                logits, np.asarray(self.targets(labels, states.shape[:2]), like=logits)
            )
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
            labels: int (B, T), as in a call
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
        targets = self.targets(labels, inputs.shape)
        states, stack_backward = self.forward(
            states_of_encoder, inputs, rng, training=True, counted=targets != IGNORE
        )
        loss, states_backward = self.loss_of_states(states, targets, label_smoothing)

        def backward(dloss: float = 1.0) -> dict[str, Array]:
            dhead, dstates = states_backward(dloss)
            dstack = stack_backward(dstates)
            if states_of_encoder is not None:
                dstack, _ = dstack
            # A tied word embedding is used by the lookup and by the head.
            return flatten(add_params(dstack, dhead))

        return loss, backward

    def targets(self, labels: ArrayLike, shape: tuple[int, ...]) -> Array:
        """Check labels, and move them to where they are to be predicted.

        Args:
            labels: int (B, T)
            shape: (B, T) of the inputs

        Returns:
            targets: int64 (B, T), on the host
        """
        batch, length = shape
        targets = check_labels(labels, batch, length, self.config.vocab_size)
        if self.shifts_labels:
            targets = np.concatenate([targets[:, 1:], np.full((batch, 1), IGNORE)], axis=1)
            check_some_count(targets)
        return targets

    def loss_of_states(
        self, states: Array, targets: Array, label_smoothing: float
    ) -> tuple[Array, Backward]:
        """Head and cross-entropy, only at the positions whose target counts.

        Args:
            states: (B, T, H)
            targets: int (B, T), on the host
            label_smoothing: in [0, 1), see cross_entropy

        Returns:
            loss: a scalar, in nats
            backward: dloss -> dparams, dstates
        """
        shape = states.shape
        on_host = np.flatnonzero(targets != IGNORE)
        right = np.asarray(targets.reshape(-1)[on_host], like=states)
        counted = np.asarray(on_host, like=states)
        logits, head_backward = self.head(states.reshape(-1, shape[-1])[counted])
        loss, cross_entropy_backward = cross_entropy(logits, right, label_smoothing)

        def backward(dloss: float) -> tuple[Params, Array]:
            dhead, dcounted = head_backward(cross_entropy_backward(dloss))
            dstates = np.zeros_like(dcounted, shape=shape)
            dstates.reshape(-1, shape[-1])[counted] = dcounted
            return dhead, dstates

        return loss, backward
