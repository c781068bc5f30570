"""RoBERTa: BERT's layers, with positions that skip the padding, and a head of its own."""

from functools import partial

import numpy as np

from minibert2bert.arrays import Array, Backward, Params
from minibert2bert.components.lm_head import head_transform, lm_head
from minibert2bert.models.bert_like import (
    Shapes,
    cached_embed_and_stack,
    embed_and_stack,
    head_shapes,
    pool,
    pooler_shapes,
    segment_embeddings,
    stack_shapes,
)
from minibert2bert.models.cache import KeyValueCache
from minibert2bert.models.causal_lm import CausalLM
from minibert2bert.models.config import RobertaConfig
from minibert2bert.models.inputs import Inputs
from minibert2bert.models.transformer import Transformer


def embeddings(
    params: Params,
    inputs: Inputs,
    config: RobertaConfig,
    rng: np.random.Generator | None = None,
) -> tuple[Array, Backward]:
    """Turn ids into vectors as BERT does; the padding's position learns nothing.

    Args:
        params: see segment_embeddings, like the others
        inputs: input_ids or inputs_embeds, token_type_ids and position_ids
        config: pad_token_id, and what segment_embeddings reads
        rng: source of the dropout mask; None switches dropout off.

    Returns:
        x: (B, T, H)
        backward: dx -> dparams
    """
    return segment_embeddings(params, inputs, config, rng, padding_position=config.pad_token_id)


roberta = partial(embed_and_stack, embeddings)
cached_roberta = partial(cached_embed_and_stack, embeddings)


def positions_behind_padding(
    ids: Array, pad_token_id: int, before: Array | int = 0
) -> tuple[Array, Array]:
    """Number the tokens from pad_token_id + 1; padding has position pad_token_id and no number.

    position[t] = pad + (before + how many of ids[0..t] are tokens) * (ids[t] is a token)
    (Liu et al., 2019, by the code)

    Args:
        ids: int (B, T)
        pad_token_id: of the vocabulary
        before: int (B, 1), tokens in the cache. Counting its padding too, as the reference does,
            would give other positions with a cache than without.

    Returns:
        position_ids: int64 (B, T)
        tokens: int64 (B, 1), before and the new ones together
    """
    real = ids != pad_token_id
    numbers = np.cumsum(real, axis=1) + before
    return numbers * real + pad_token_id, numbers[:, -1:]


def head(params: Params, hidden_states: Array, config: RobertaConfig) -> tuple[Array, Backward]:
    """Score every word at every position: transform, always by gelu, then multiply.

    Args:
        params: of the whole decoder: lm_head, and roberta, whose word embeddings a tied head uses
        hidden_states: (..., H)
        config: layer_norm_eps

    Returns:
        logits: (..., V)
        backward: dlogits -> dparams, dhidden_states
    """
    own = params["lm_head"]
    words = params["roberta"]["embeddings"]["word_embeddings"]["weight"]
    transformed, transform_backward = head_transform(
        own["dense"], own["layer_norm"], hidden_states, "gelu", config.layer_norm_eps
    )
    logits, head_backward = lm_head(own, words, transformed)

    def backward(dlogits: Array) -> tuple[Params, Array]:
        dhead, dwords, dtransformed = head_backward(dlogits)
        ddense, dnorm, dhidden_states = transform_backward(dtransformed)
        dparams: Params = {"lm_head": {"dense": ddense, "layer_norm": dnorm, **dhead}}
        if dwords is not None:
            dparams["roberta"] = {"embeddings": {"word_embeddings": {"weight": dwords}}}
        return dparams, dhidden_states

    return logits, backward


def roberta_positions(
    config: RobertaConfig, ids: Array | None, shape: tuple[int, int], cache: KeyValueCache | None
) -> Array:
    """Number the positions of ids, or of vectors, which are all tokens; see Transformer.positions.

    A cache is told how many tokens there are now.
    """
    pad = config.pad_token_id or 0
    before: Array | int = 0 if cache is None or cache.tokens is None else cache.tokens
    marks = np.full(shape, pad + 1) if ids is None else ids
    positions, tokens = positions_behind_padding(marks, pad, before)
    if cache is not None:
        cache.tokens = tokens
    return positions


class RobertaModel(Transformer):
    """RoBERTa without a head, and with a pooler, which nothing here trains."""

    config_class = RobertaConfig
    base_prefix = "roberta"
    stack = staticmethod(roberta)
    cached_stack = staticmethod(cached_roberta)

    @classmethod
    def parameter_shapes(cls, config: RobertaConfig) -> Shapes:
        """Name and shape of every parameter that this config asks for."""
        return stack_shapes(config) | pooler_shapes(config)

    def pool(self, hidden_states: Array) -> Array | None:
        """Summarise each text by its first position; None without a pooler."""
        return pool(self.params["pooler"], hidden_states) if "pooler" in self.params else None

    def positions(
        self, ids: Array | None, shape: tuple[int, int], cache: KeyValueCache | None = None
    ) -> Array:
        """Number the positions; see roberta_positions."""
        return roberta_positions(self.config, ids, shape, cache)


class RobertaForCausalLM(CausalLM):
    """RoBERTa with its language-model head, as a decoder."""

    config_class = RobertaConfig
    base_prefix = "roberta"
    branch = ("roberta",)
    stack = staticmethod(roberta)
    cached_stack = staticmethod(cached_roberta)
    score = staticmethod(head)

    @classmethod
    def parameter_shapes(cls, config: RobertaConfig) -> Shapes:
        """Name and shape of every parameter that this config asks for."""
        H = config.hidden_size
        return {
            **{f"roberta.{name}": shape for name, shape in stack_shapes(config).items()},
            "lm_head.dense.weight": (H, H),
            "lm_head.dense.bias": (H,),
            "lm_head.layer_norm.weight": (H,),
            "lm_head.layer_norm.bias": (H,),
            **head_shapes("lm_head", config),
        }

    def positions(
        self, ids: Array | None, shape: tuple[int, int], cache: KeyValueCache | None = None
    ) -> Array:
        """Number the positions; see roberta_positions."""
        return roberta_positions(self.config, ids, shape, cache)
