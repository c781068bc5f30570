"""BERT: as an encoder with its pooler, or as a decoder with the head of the masked words."""

from functools import partial

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
from minibert2bert.models.causal_lm import CausalLM
from minibert2bert.models.config import BertConfig
from minibert2bert.models.transformer import Transformer

bert = partial(embed_and_stack, segment_embeddings)
cached_bert = partial(cached_embed_and_stack, segment_embeddings)


def head(params: Params, hidden_states: Array, config: BertConfig) -> tuple[Array, Backward]:
    """Score every word of the vocabulary at every position: transform, then multiply.

    Args:
        params: of the whole decoder: cls.predictions, and bert, whose word embeddings a tied
            head uses
        hidden_states: (..., H)
        config: hidden_act, layer_norm_eps

    Returns:
        logits: (..., V)
        backward: dlogits -> dparams, dhidden_states
    """
    predictions = params["cls"]["predictions"]
    words = params["bert"]["embeddings"]["word_embeddings"]["weight"]
    transformed, transform_backward = head_transform(
        predictions["transform"]["dense"],
        predictions["transform"]["LayerNorm"],
        hidden_states,
        config.hidden_act,
        config.layer_norm_eps,
    )
    logits, head_backward = lm_head(predictions, words, transformed)

    def backward(dlogits: Array) -> tuple[Params, Array]:
        dhead, dwords, dtransformed = head_backward(dlogits)
        ddense, dnorm, dhidden_states = transform_backward(dtransformed)
        dtransform = {"dense": ddense, "LayerNorm": dnorm}
        dparams: Params = {"cls": {"predictions": {"transform": dtransform, **dhead}}}
        if dwords is not None:
            dparams["bert"] = {"embeddings": {"word_embeddings": {"weight": dwords}}}
        return dparams, dhidden_states

    return logits, backward


class BertModel(Transformer):
    """BERT without a head, and with a pooler, which nothing here trains."""

    config_class = BertConfig
    base_prefix = "bert"
    stack = staticmethod(bert)
    cached_stack = staticmethod(cached_bert)

    @classmethod
    def parameter_shapes(cls, config: BertConfig) -> Shapes:
        """Name and shape of every parameter that this config asks for."""
        return stack_shapes(config) | pooler_shapes(config)

    def pool(self, hidden_states: Array) -> Array | None:
        """Summarise each text by its first position; None without a pooler."""
        return pool(self.params["pooler"], hidden_states) if "pooler" in self.params else None


class BertLMHeadModel(CausalLM):
    """BERT with its language-model head, as a decoder."""

    config_class = BertConfig
    base_prefix = "bert"
    branch = ("bert",)
    stack = staticmethod(bert)
    cached_stack = staticmethod(cached_bert)
    score = staticmethod(head)

    @classmethod
    def parameter_shapes(cls, config: BertConfig) -> Shapes:
        """Name and shape of every parameter that this config asks for."""
        H = config.hidden_size
        transform = "cls.predictions.transform"
        return {
            **{f"bert.{name}": shape for name, shape in stack_shapes(config).items()},
            f"{transform}.dense.weight": (H, H),
            f"{transform}.dense.bias": (H,),
            f"{transform}.LayerNorm.weight": (H,),
            f"{transform}.LayerNorm.bias": (H,),
            **head_shapes("cls.predictions", config),
        }
