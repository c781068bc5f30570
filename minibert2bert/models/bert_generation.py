"""BertGeneration: BERT without segments, as an encoder or as a decoder with a plain head."""

from typing import Any

import numpy as np

from minibert2bert.arrays import Array, Backward, Params
from minibert2bert.components.embeddings import embedding, word_and_position_embeddings
from minibert2bert.components.lm_head import tied_lm_head, untied_lm_head
from minibert2bert.models.bert_cached import cached_stack
from minibert2bert.models.bert_layers import Shapes, decoder_stack, encoder_stack, layer_shapes
from minibert2bert.models.cache import KeyValueCache
from minibert2bert.models.config import BertGenerationConfig
from minibert2bert.models.inputs import Inputs
from minibert2bert.models.transformer import CausalLM, Transformer
from minibert2bert.recording import record, scope


def embeddings(
    params: Params,
    inputs: Inputs,
    config: BertGenerationConfig,
    rng: np.random.Generator | None = None,
) -> tuple[Array, Backward]:
    """Turn ids into vectors: word and position, without BERT's segments.

    Args:
        params: word_embeddings (V, H), position_embeddings (P, H) and LayerNorm (H,)
        inputs: input_ids (B, T) or inputs_embeds (B, T, H), and position_ids
        config: pad_token_id, hidden_dropout_prob, layer_norm_eps
        rng: source of the dropout mask; None switches dropout off.

    Returns:
        x: (B, T, H)
        backward: dx -> dparams (no word_embeddings if inputs_embeds were given)
    """
    words: Any = inputs.inputs_embeds
    words_backward: Backward | None = None
    if inputs.input_ids is not None:
        words, words_backward = embedding(
            params["word_embeddings"], inputs.input_ids, config.pad_token_id
        )
    x, sum_backward = word_and_position_embeddings(params, words, inputs.position_ids, config, rng)
    record("hidden_states", x)

    def backward(dx: Array) -> Params:
        dparams, dwords = sum_backward(dx)
        if words_backward is not None:
            dparams["word_embeddings"] = words_backward(dwords)
        return dparams

    return x, backward


def bert_generation(
    params: Params,
    encoder_hidden_states: Array | None,
    inputs: Inputs,
    config: BertGenerationConfig,
    rng: np.random.Generator | None = None,
    training: bool = False,
) -> tuple[Array, Backward]:
    """Compute the hidden states: embeddings, then the stack.

    Args:
        params: embeddings, and encoder (the stack is called so in a decoder, too)
        encoder_hidden_states: (B, S, H); None leaves the cross-attention out.
        inputs: ids, positions and masks
        config: what the parts read
        rng: source of the dropout masks; None switches dropout off.
        training: whether backward will be called

    Returns:
        y: (B, T, H)
        backward: dy -> dparams, and dencoder_hidden_states if there are any
    """
    with scope("embeddings"):
        x, embeddings_backward = embeddings(params["embeddings"], inputs, config, rng)
    stack_backward: Backward
    with scope("encoder"):
        if encoder_hidden_states is None:
            y, stack_backward = encoder_stack(
                params["encoder"], x, inputs.masks, config, rng, training
            )
        else:
            y, stack_backward = decoder_stack(
                params["encoder"], x, encoder_hidden_states, inputs.masks, config, rng, training
            )

    def backward(dy: Array) -> Any:
        dstack, dx, *dencoder_hidden_states = stack_backward(dy)
        dparams = {"embeddings": embeddings_backward(dx), "encoder": dstack}
        return (dparams, *dencoder_hidden_states) if dencoder_hidden_states else dparams

    return y, backward


def head(
    params: Params, hidden_states: Array, config: BertGenerationConfig
) -> tuple[Array, Backward]:
    """Score every word of the vocabulary at every position.

    Args:
        params: of the whole decoder: bert, of which a tied head uses the word embeddings,
            and lm_head
        hidden_states: (..., H)
        config: tie_word_embeddings

    Returns:
        logits: (..., V)
        backward: dlogits -> dparams, dhidden_states
    """
    if not config.tie_word_embeddings:
        logits, untied_backward = untied_lm_head(params["lm_head"], hidden_states)

        def backward_untied(dlogits: Array) -> tuple[Params, Array]:
            dhead, dhidden_states = untied_backward(dlogits)
            return {"lm_head": dhead}, dhidden_states

        return logits, backward_untied
    words = params["bert"]["embeddings"]["word_embeddings"]["weight"]
    logits, tied_backward = tied_lm_head(params["lm_head"], words, hidden_states)

    def backward(dlogits: Array) -> tuple[Params, Array]:
        dhead, dwords, dhidden_states = tied_backward(dlogits)
        dbert = {"embeddings": {"word_embeddings": {"weight": dwords}}}
        return {"bert": dbert, "lm_head": dhead}, dhidden_states

    return logits, backward


def cached_bert_generation(
    params: Params,
    encoder_hidden_states: Array | None,
    inputs: Inputs,
    cache: KeyValueCache,
    config: BertGenerationConfig,
) -> Array:
    """Compute the hidden states of the newest positions; the cached step of this family.

    Args:
        params: embeddings and encoder
        encoder_hidden_states: (B, S, H); None leaves the cross-attention out.
        inputs: of the newest T positions of R rows, R a multiple of B
        cache: extended by T positions
        config: what the parts read

    Returns:
        y: (R, T, H)
    """
    with scope("embeddings"):
        x, _ = embeddings(params["embeddings"], inputs, config)
    with scope("encoder"):
        return cached_stack(
            params["encoder"], x, encoder_hidden_states, inputs.masks, cache, config
        )


class BertGenerationEncoder(Transformer):
    """The stack without a head; with is_decoder=True it is causal, and may cross-attend."""

    config_class = BertGenerationConfig
    base_prefix = "bert"
    config: BertGenerationConfig

    @classmethod
    def parameter_shapes(cls, config: BertGenerationConfig) -> Shapes:
        """Name and shape of every parameter that this config asks for."""
        H = config.hidden_size
        shapes: Shapes = {
            "embeddings.word_embeddings.weight": (config.vocab_size, H),
            "embeddings.position_embeddings.weight": (config.max_position_embeddings, H),
            "embeddings.LayerNorm.weight": (H,),
            "embeddings.LayerNorm.bias": (H,),
        }
        for index in range(config.num_hidden_layers):
            for name, shape in layer_shapes(config).items():
                shapes[f"encoder.layer.{index}.{name}"] = shape
        return shapes

    def forward(
        self,
        encoder_hidden_states: Array | None,
        inputs: Inputs,
        rng: np.random.Generator | None = None,
        training: bool = False,
    ) -> tuple[Array, Backward]:
        """Compute the hidden states of checked inputs; see bert_generation."""
        return bert_generation(
            self.params, encoder_hidden_states, inputs, self.config, rng, training
        )

    def cached_forward(
        self, encoder_hidden_states: Array | None, inputs: Inputs, cache: KeyValueCache
    ) -> Array:
        """Compute the newest positions of checked inputs; see cached_bert_generation."""
        return cached_bert_generation(
            self.params, encoder_hidden_states, inputs, cache, self.config
        )


class BertGenerationDecoder(CausalLM):
    """The stack with a language-model head: one linear map, tied to the word embeddings."""

    config_class = BertGenerationConfig
    base_prefix = "bert"
    config: BertGenerationConfig

    @classmethod
    def parameter_shapes(cls, config: BertGenerationConfig) -> Shapes:
        """Name and shape of every parameter that this config asks for."""
        stack = BertGenerationEncoder.parameter_shapes(config)
        shapes: Shapes = {f"bert.{name}": shape for name, shape in stack.items()}
        if config.tie_word_embeddings:
            return {**shapes, "lm_head.bias": (config.vocab_size,)}
        shapes["lm_head.decoder.weight"] = (config.vocab_size, config.hidden_size)
        shapes["lm_head.decoder.bias"] = (config.vocab_size,)
        return shapes

    def forward(
        self,
        encoder_hidden_states: Array | None,
        inputs: Inputs,
        rng: np.random.Generator | None = None,
        training: bool = False,
    ) -> tuple[Array, Backward]:
        """Compute the hidden states of checked inputs; see bert_generation."""
        states, stack_backward = bert_generation(
            self.params["bert"], encoder_hidden_states, inputs, self.config, rng, training
        )

        def backward(dstates: Array) -> Any:
            gradients = stack_backward(dstates)
            if encoder_hidden_states is None:
                return {"bert": gradients}
            dbert, dencoder_hidden_states = gradients
            return {"bert": dbert}, dencoder_hidden_states

        return states, backward

    def cached_forward(
        self, encoder_hidden_states: Array | None, inputs: Inputs, cache: KeyValueCache
    ) -> Array:
        """Compute the newest positions of checked inputs; see cached_bert_generation."""
        return cached_bert_generation(
            self.params["bert"], encoder_hidden_states, inputs, cache, self.config
        )

    def head(self, hidden_states: Array) -> tuple[Array, Backward]:
        """Score every word; see head."""
        return head(self.params, hidden_states, self.config)
