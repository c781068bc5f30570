"""What the halves of all families share: a checked call around the family's own functions."""

from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar

import numpy as np

from minibert2bert.arrays import Array, Backward, Params
from minibert2bert.models.cache import KeyValueCache
from minibert2bert.models.inputs import (
    ArrayLike,
    Inputs,
    prepare_inputs,
)
from minibert2bert.models.outputs import BaseModelOutput, recorded_extras
from minibert2bert.models.packing import can_be_packed, packed_stack
from minibert2bert.models.pretrained import PretrainedModel
from minibert2bert.recording import recording


class Transformer(PretrainedModel):
    """A stack without a head.

    Attributes:
        stack: the family's function of params, encoder_hidden_states, inputs, config, rng and
            training, which returns hidden states and their backward
        cached_stack: its function of params, encoder_hidden_states, inputs, cache and config,
            which returns the hidden states of the newest positions
        branch: the names under which the stack's parameters are
    """

    stack: ClassVar[Callable[..., tuple[Array, Backward]]]
    cached_stack: ClassVar[Callable[..., Array]]
    branch: ClassVar[tuple[str, ...]] = ()

    def forward(
        self,
        encoder_hidden_states: Array | None,
        inputs: Inputs,
        rng: np.random.Generator | None = None,
        training: bool = False,
        counted: Array | None = None,
    ) -> tuple[Array, Backward]:
        """Compute the hidden states of checked inputs.

        Args:
            encoder_hidden_states: (B, S, H), or None
            inputs: of this model
            rng: source of the dropout masks; None switches dropout off.
            training: whether backward will be called
            counted: bool (B, T), on the host, the positions whose states matter; if they are all
                tokens, the padding is left out and its states are 0. None is every position.

        Returns:
            states: (B, T, H)
            backward: dstates -> dparams, and dencoder_hidden_states if there are any
        """
        packs = can_be_packed(inputs, self.config, counted)
        stack = partial(packed_stack, self.stack) if packs else self.stack
        states, stack_backward = stack(
            self.stack_params(), encoder_hidden_states, inputs, self.config, rng, training
        )

        def backward(dstates: Array) -> Any:
            gradients = stack_backward(dstates)
            dparams, *others = gradients if isinstance(gradients, tuple) else (gradients,)
            for name in reversed(self.branch):
                dparams = {name: dparams}
            return (dparams, *others) if others else dparams

        return states, backward

    def cached_forward(
        self, encoder_hidden_states: Array | None, inputs: Inputs, cache: KeyValueCache
    ) -> Array:
        """Compute the hidden states of the newest positions of checked inputs."""
        return self.cached_stack(
            self.stack_params(), encoder_hidden_states, inputs, cache, self.config
        )

    def stack_params(self) -> Params:
        """Return the stack's branch of the parameters."""
        params = self.params
        for name in self.branch:
            params = params[name]
        return params

    def positions(
        self, ids: Array | None, shape: tuple[int, int], cache: KeyValueCache | None = None
    ) -> Array:
        """Count the positions: 0, 1, ..., or on from where the cache ends.

        Args:
            ids: int (B, T), on the host; None if vectors were given in their place
            shape: (B, T)
            cache: what came before, if anything

        Returns:
            position_ids: int64 (1, T), or (B, T) in a family where they depend on the ids
        """
        past = cache.get_seq_length() if cache else 0
        return np.arange(past, past + shape[1], dtype=np.int64)[None]

    def pool(self, hidden_states: Array) -> Array | None:
        """Summarise each text, in families that have a pooler.

        Args:
            hidden_states: (B, T, H)

        Returns:
            pooled: (B, H), or None
        """
        return None

    def prepare(self, cache: KeyValueCache | None = None, **arguments: Any) -> Inputs:
        """Check what a user handed to the model; see prepare_inputs."""
        past = cache.get_seq_length() if cache else 0
        positions = partial(self.positions, cache=cache)
        return prepare_inputs(self.config, self.like, positions, past_length=past, **arguments)

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
        if cache is None and use_cache and self.config.causal:
            cache = KeyValueCache(self.config.num_layers)
        inputs = self.prepare(cache, encoder_hidden_states=encoder_hidden_states, **arguments)
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
        token_type_ids: ArrayLike | None = None,
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
            token_type_ids: int (B, T), in families that tell segments apart; 0 by default
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
            token_type_ids=token_type_ids,
        )
        output = BaseModelOutput(states, self.pool(states), **extras)
        return output if return_dict else output.to_tuple()
