"""BertGeneration: BERT without segments, as an encoder or as a decoder with a plain head."""

from functools import partial

import numpy as np

from minibert2bert.arrays import Array, Backward, Params
from minibert2bert.components.embeddings import word_and_position_embeddings
from minibert2bert.components.lm_head import lm_head
from minibert2bert.models.bert_like import (
    Shapes,
    cached_embed_and_stack,
    embed_and_stack,
    head_shapes,
    stack_shapes,
    words_of,
)
from minibert2bert.models.causal_lm import CausalLM
from minibert2bert.models.config import BertGenerationConfig, BertLikeConfig
from minibert2bert.models.inputs import Inputs
from minibert2bert.models.transformer import Transformer


def embeddings(
    params: Params,
    inputs: Inputs,
    config: BertLikeConfig,
    rng: np.random.Generator | None = None,
) -> tuple[Array, Backward]:
    """Turn ids into vectors: word and position, without BERT's segments.

    Absolute positions are added with relative ones, too.

    Args:
        params: word_embeddings (V, H), position_embeddings (P, H) and LayerNorm (H,)
        inputs: input_ids (B, T) or inputs_embeds (B, T, H), and position_ids
        config: pad_token_id, hidden_dropout_prob, layer_norm_eps
        rng: source of the dropout mask; None switches dropout off.

    Returns:
        x: (B, T, H)
        backward: dx -> dparams (no word_embeddings if inputs_embeds were given)
    """
    words, words_backward = words_of(params, inputs, config)
    x, sum_backward = word_and_position_embeddings(params, words, inputs.position_ids, config, rng)

    def backward(dx: Array) -> Params:
        dparams, dwords = sum_backward(dx)
        return {**dparams, **words_backward(dwords)}

    return x, backward


bert_generation = partial(embed_and_stack, embeddings)
cached_bert_generation = partial(cached_embed_and_stack, embeddings)


def head(params: Params, hidden_states: Array, config: BertLikeConfig) -> tuple[Array, Backward]:
    """Score every word of the vocabulary at every position: one linear map.

    Args:
        params: of the whole decoder: lm_head, and bert, whose word embeddings a tied head uses
        hidden_states: (..., H)
        config: unused; heads of other families need one.

    Returns:
        logits: (..., V)
        backward: dlogits -> dparams, dhidden_states
    """
    words = params["bert"]["embeddings"]["word_embeddings"]["weight"]
    logits, head_backward = lm_head(params["lm_head"], words, hidden_states)

    def backward(dlogits: Array) -> tuple[Params, Array]:
        dhead, dwords, dhidden_states = head_backward(dlogits)
        dparams: Params = {"lm_head": dhead}
        if dwords is not None:
            dparams["bert"] = {"embeddings": {"word_embeddings": {"weight": dwords}}}
        return dparams, dhidden_states

    return logits, backward


class BertGenerationEncoder(Transformer):
    """The stack without a head; with is_decoder=True it is causal, and may cross-attend."""

    config_class = BertGenerationConfig
    base_prefix = "bert"
    stack = staticmethod(bert_generation)
    cached_stack = staticmethod(cached_bert_generation)

    @classmethod
    def parameter_shapes(cls, config: BertGenerationConfig) -> Shapes:
        """Name and shape of every parameter that this config asks for."""
        return stack_shapes(config)


class BertGenerationDecoder(CausalLM):
    """The stack with a language-model head: one linear map, tied to the word embeddings."""

    config_class = BertGenerationConfig
    base_prefix = "bert"
    branch = ("bert",)
    stack = staticmethod(bert_generation)
    cached_stack = staticmethod(cached_bert_generation)
    score = staticmethod(head)

    @classmethod
    def parameter_shapes(cls, config: BertGenerationConfig) -> Shapes:
        """Name and shape of every parameter that this config asks for."""
        shapes = {f"bert.{name}": shape for name, shape in stack_shapes(config).items()}
        return shapes | head_shapes("lm_head", config)
