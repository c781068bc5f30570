"""One example of every component, small and random, for checking its gradient."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from minibert2bert.arrays import Array, Params, nest
from minibert2bert.components.activations import ACTIVATIONS
from minibert2bert.components.attention import multi_head_attention
from minibert2bert.components.conv1d import conv1d
from minibert2bert.components.dropout import dropout
from minibert2bert.components.embeddings import embedding, word_and_position_embeddings
from minibert2bert.components.feed_forward import feed_forward_block
from minibert2bert.components.layer_norm import layer_norm
from minibert2bert.components.linear import linear
from minibert2bert.components.lm_head import head_transform, tied_lm_head, untied_lm_head
from minibert2bert.components.loss import IGNORE, cross_entropy
from minibert2bert.components.masks import decoder_mask, padding_mask
from minibert2bert.components.relative_positions import relative_attention, table_product
from minibert2bert.components.residual import add_and_norm
from minibert2bert.components.scaled_dot_product import scaled_dot_product_attention
from minibert2bert.components.softmax import masked_softmax
from minibert2bert.models.config import BertGenerationConfig, EncoderDecoderConfig
from minibert2bert.models.encoder_decoder import EncoderDecoderModel

B, N, T, S, H, D, F, V, P = 2, 2, 4, 3, 8, 4, 10, 11, 6


@dataclass(frozen=True)
class Case:
    """A function and arguments to check it with.

    Attributes:
        name: the component's
        function: returns output, backward
        arguments: float64 arrays, nested dicts of them, and what has no gradient
    """

    name: str
    function: Callable[..., Any]
    arguments: tuple[Any, ...]


def component_cases(seed: int = 0) -> Iterator[Case]:
    """Yield a case for every component, and one for the whole model.

    Args:
        seed: of all numbers
    """
    rng = np.random.default_rng(seed)
    yield from _row_cases(rng)
    yield from _attention_cases(rng)
    yield from _block_cases(rng)
    yield from _word_cases(rng)
    yield Case("encoder_decoder", *_model_case(rng))


def _row_cases(rng: np.random.Generator) -> Iterator[Case]:
    x = rng.standard_normal((B, T, H))
    yield Case("linear", linear, (_linear(rng, F, H), x))
    yield Case(
        "conv1d",
        conv1d,
        ({"weight": rng.standard_normal((H, F)), "bias": rng.standard_normal(F)}, x),
    )
    yield Case("layer_norm", layer_norm, (_norm(rng, H), x, 1e-12))
    for name, function in ACTIVATIONS.items():
        yield Case(name, function, (3 * x,))

    def dropout_with_one_mask(x: Array) -> tuple[Array, Any]:
        return dropout(x, 0.3, np.random.default_rng(seed=1))

    yield Case("dropout", dropout_with_one_mask, (x,))


def _attention_cases(rng: np.random.Generator) -> Iterator[Case]:
    query, key, value = (rng.standard_normal((B, N, size, D)) for size in (T, T, T))
    padding = np.array([[1, 1, 1, 1], [1, 1, 1, 0]])
    mask = decoder_mask(padding, T, T)
    heads = rng.uniform(0.2, 1, N)
    yield Case("softmax", masked_softmax, (rng.standard_normal((B, N, T, T)), mask))
    attention = partial(scaled_dot_product_attention, mask=mask, head_mask=heads)
    yield Case("scaled_dot_product_attention", attention, (query, key, value))
    rows = rng.standard_normal((T, S, D))
    yield Case("table_product", table_product, (query, rows))
    table = {"weight": rng.standard_normal((2 * P - 1, D))}
    for kind in ("relative_key", "relative_key_query"):
        relative = partial(relative_attention, mask=mask, config=_config(kind))
        yield Case(kind, relative, (table, query, key, value))
    params = {name: _linear(rng, H, H) for name in ("query", "key", "value")}
    states, source = rng.standard_normal((B, T, H)), rng.standard_normal((B, S, H))
    causal = partial(multi_head_attention, mask=mask, config=_config(), head_mask=heads)
    yield Case("multi_head_attention, self", causal, (params, states, states.copy()))
    source_mask = padding_mask(np.array([[1, 1, 1], [1, 0, 0]]))
    cross = partial(multi_head_attention, mask=source_mask, config=_config())
    yield Case("multi_head_attention, cross", cross, (params, states, source))


def _block_cases(rng: np.random.Generator) -> Iterator[Case]:
    x, update = rng.standard_normal((B, T, H)), rng.standard_normal((B, T, F))
    output = {"dense": _linear(rng, H, F), "LayerNorm": _norm(rng, H)}
    yield Case("add_and_norm", partial(add_and_norm, config=_config()), (output, update, x))
    params = {"intermediate": {"dense": _linear(rng, F, H)}, "output": output}
    feed_forward = partial(feed_forward_block, config=_config())
    yield Case("feed_forward_block", feed_forward, (params, x))


def _word_cases(rng: np.random.Generator) -> Iterator[Case]:
    ids = rng.integers(1, V, (B, T))
    words = {"weight": rng.standard_normal((V, H))}
    yield Case("embedding", embedding, (words, ids))
    params = {
        "position_embeddings": {"weight": rng.standard_normal((P, H))},
        "LayerNorm": _norm(rng, H),
    }
    positions = np.arange(T)[None]
    embed = partial(word_and_position_embeddings, position_ids=positions, config=_config())
    yield Case("word_and_position_embeddings", embed, (params, rng.standard_normal((B, T, H))))
    x = rng.standard_normal((B, T, H))
    yield Case(
        "lm_head, tied", tied_lm_head, ({"bias": rng.standard_normal(V)}, words["weight"], x)
    )
    yield Case("lm_head, untied", untied_lm_head, ({"decoder": _linear(rng, V, H)}, x))
    transform = (_linear(rng, H, H), _norm(rng, H), x)
    transformed = partial(head_transform, act="gelu", eps=1e-12)
    yield Case("head_transform", transformed, transform)
    labels = np.where(rng.random((B, T)) < 0.3, IGNORE, ids)
    labels[0, 0] = 1
    logits = rng.standard_normal((B, T, V))
    yield Case("cross_entropy", cross_entropy, (logits, labels))
    smoothed = partial(cross_entropy, labels=labels, label_smoothing=0.1)
    yield Case("cross_entropy, smoothed", smoothed, (logits,))


def _model_case(rng: np.random.Generator) -> tuple[Callable[..., Any], tuple[Any, ...]]:
    """Make a whole pair of different widths a function of its parameters."""
    # Without a pad token: its row gets no lookup gradient, which finite differences would miss.
    decoder = _config().replace(
        num_hidden_layers=2, intermediate_size=F, max_position_embeddings=P, pad_token_id=None
    )
    encoder = decoder.replace(hidden_size=6)
    config = EncoderDecoderConfig.from_encoder_decoder_configs(
        encoder, decoder, pad_token_id=0, decoder_start_token_id=1
    )
    model = EncoderDecoderModel(config, rng=rng, dtype="float64")
    # Through so many layers, larger weights bend the loss more than finite differences see.
    params = {n: 0.5 * rng.standard_normal(a.shape) for n, a in model.parameters().items()}
    input_ids = rng.integers(1, V, (B, S))
    attention_mask = np.array([[1, 1, 1], [1, 1, 0]])
    labels = np.array([[2, 3, 4, 5], [6, 7, IGNORE, IGNORE]])

    def encoder_decoder(params: Params) -> tuple[Array, Callable[..., Params]]:
        model.set_parameters(params)
        loss, backward = model.loss(input_ids, labels, attention_mask)

        def nested(dloss: float) -> Params:
            return nest(backward(dloss))

        return loss, nested

    return encoder_decoder, (nest(params),)


def _linear(rng: np.random.Generator, outputs: int, inputs: int) -> Params:
    weight = rng.standard_normal((outputs, inputs))
    return {"weight": weight, "bias": rng.standard_normal(outputs)}


def _norm(rng: np.random.Generator, size: int) -> Params:
    return {"weight": rng.standard_normal(size), "bias": rng.standard_normal(size)}


def _config(position_embedding_type: str = "absolute") -> BertGenerationConfig:
    return BertGenerationConfig(
        vocab_size=V,
        hidden_size=H,
        num_attention_heads=N,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        position_embedding_type=position_embedding_type,
    )
