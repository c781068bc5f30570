"""What the BERT-like families share around their layers: embeddings below, names of tensors."""

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np

from minibert2bert.arrays import Array, Backward, Params
from minibert2bert.components.activations import tanh
from minibert2bert.components.embeddings import (
    embedding,
    for_ids,
    norm_and_drop,
    word_and_position_embeddings,
)
from minibert2bert.components.linear import linear
from minibert2bert.models.bert_cached import cached_stack
from minibert2bert.models.bert_layers import decoder_stack, encoder_stack
from minibert2bert.models.cache import KeyValueCache
from minibert2bert.models.config import BertLikeConfig
from minibert2bert.models.inputs import Inputs
from minibert2bert.recording import record, scope

Shapes: TypeAlias = dict[str, tuple[int, ...]]
Embeddings: TypeAlias = Callable[..., tuple[Array, Backward]]


def embed_and_stack(
    embeddings: Embeddings,
    params: Params,
    encoder_hidden_states: Array | None,
    inputs: Inputs,
    config: BertLikeConfig,
    rng: np.random.Generator | None = None,
    training: bool = False,
) -> tuple[Array, Backward]:
    """Compute the hidden states: a family's embeddings, then the stack.

    Args:
        embeddings: (params, inputs, config, rng) -> x, backward
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
        record("hidden_states", x)
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


def cached_embed_and_stack(
    embeddings: Embeddings,
    params: Params,
    encoder_hidden_states: Array | None,
    inputs: Inputs,
    cache: KeyValueCache,
    config: BertLikeConfig,
) -> Array:
    """Compute the hidden states of the newest positions.

    Args:
        embeddings: (params, inputs, config, rng) -> x, backward
        params: embeddings and encoder
        encoder_hidden_states: (B, S, H); None leaves the cross-attention out.
        inputs: of the newest T positions of R rows, R a multiple of B
        cache: extended by T positions
        config: what the parts read

    Returns:
        y: (R, T, H)
    """
    with scope("embeddings"):
        x, _ = embeddings(params["embeddings"], inputs, config, None)
        record("hidden_states", x)
    with scope("encoder"):
        return cached_stack(
            params["encoder"], x, encoder_hidden_states, inputs.masks, cache, config
        )


def words_of(
    params: Params, inputs: Inputs, config: BertLikeConfig
) -> tuple[Array, Callable[[Array], Params]]:
    """Look the words up, unless their vectors were given.

    Args:
        params: word_embeddings (V, H)
        inputs: input_ids (B, T) or inputs_embeds (B, T, H)
        config: pad_token_id

    Returns:
        words: (B, T, H)
        backward: dwords -> dparams, empty if the vectors were given
    """
    if inputs.input_ids is None:
        return inputs.inputs_embeds, _no_words
    words, words_backward = embedding(
        params["word_embeddings"], inputs.input_ids, config.pad_token_id
    )

    def backward(dwords: Array) -> Params:
        return {"word_embeddings": words_backward(dwords)}

    return words, backward


def _no_words(dwords: Array) -> Params:
    return {}


def segment_embeddings(
    params: Params,
    inputs: Inputs,
    config: BertLikeConfig,
    rng: np.random.Generator | None = None,
    padding_position: int | None = None,
) -> tuple[Array, Backward]:
    """Turn ids into vectors: word, segment and position.

    x = dropout(layer_norm(word[ids] + segment[token_type_ids] + position[position_ids]))
    (Devlin et al., 2019, figure 2)

    Args:
        params: word_embeddings (V, H), token_type_embeddings (2, H), position_embeddings (P, H)
            and LayerNorm (H,)
        inputs: input_ids (B, T) or inputs_embeds (B, T, H), token_type_ids and position_ids
        config: pad_token_id, hidden_dropout_prob, layer_norm_eps, and position_embedding_type:
            relative positions take the place of the absolute ones.
        rng: source of the dropout mask; None switches dropout off.
        padding_position: the position whose row learns nothing, if any

    Returns:
        x: (B, T, H)
        backward: dx -> dparams (no word_embeddings if inputs_embeds were given)
    """
    words, words_backward = words_of(params, inputs, config)
    segments, segments_backward = embedding(params["token_type_embeddings"], inputs.token_type_ids)
    if config.position_embedding_type == "absolute":
        x, sum_backward = word_and_position_embeddings(
            params, words + segments, inputs.position_ids, config, rng, padding_position
        )
    else:
        x, sum_backward = norm_and_drop(params, words + segments, config, rng)

    def backward(dx: Array) -> Params:
        dparams, dsum = sum_backward(dx)
        dsegments = segments_backward(for_ids(inputs.token_type_ids, dsum))
        return {**dparams, **words_backward(dsum), "token_type_embeddings": dsegments}

    return x, backward


def pool(params: Params, hidden_states: Array) -> Array:
    """Summarise a text by its first position: tanh(dense(h[0])).

    Args:
        params: dense (H, H)
        hidden_states: (B, T, H)

    Returns:
        pooled: (B, H)
    """
    projected, _ = linear(params["dense"], hidden_states[:, 0])
    pooled, _ = tanh(projected)
    return pooled


def stack_shapes(config: BertLikeConfig) -> Shapes:
    """Name and shape of every tensor of embeddings and layers, segments if config has them.

    Raises:
        ValueError: if cross-attention is asked for in a stack that is no decoder.
    """
    if config.add_cross_attention and not config.is_decoder:
        raise ValueError(
            "add_cross_attention=True needs is_decoder=True: only a decoder looks at an encoder"
        )
    H = config.hidden_size
    shapes: Shapes = {
        "embeddings.word_embeddings.weight": (config.vocab_size, H),
        "embeddings.position_embeddings.weight": (config.max_position_embeddings, H),
        "embeddings.LayerNorm.weight": (H,),
        "embeddings.LayerNorm.bias": (H,),
    }
    if config.num_segments:
        shapes["embeddings.token_type_embeddings.weight"] = (config.num_segments, H)
    for index in range(config.num_layers):
        for name, shape in layer_shapes(config).items():
            shapes[f"encoder.layer.{index}.{name}"] = shape
    return shapes


def pooler_shapes(config: BertLikeConfig) -> Shapes:
    """Name and shape of the pooler's tensors; none with add_pooling_layer=False."""
    H = config.hidden_size
    if not config.add_pooling_layer:
        return {}
    return {"pooler.dense.weight": (H, H), "pooler.dense.bias": (H,)}


def head_shapes(name: str, config: BertLikeConfig) -> Shapes:
    """Name and shape of a head's last tensors: a bias, and a weight if it is not tied."""
    if config.tie_word_embeddings:
        return {f"{name}.bias": (config.vocab_size,)}
    return {
        f"{name}.decoder.weight": (config.vocab_size, config.hidden_size),
        f"{name}.decoder.bias": (config.vocab_size,),
    }


def layer_shapes(config: BertLikeConfig) -> Shapes:
    """Name and shape of every tensor in one layer, cross-attention included if config adds it."""
    H, F = config.hidden_size, config.intermediate_size
    shapes = {
        **_attention_shapes("attention", H),
        "intermediate.dense.weight": (F, H),
        "intermediate.dense.bias": (F,),
        **_output_shapes("output", H, F),
    }
    if config.position_embedding_type != "absolute":
        distances = 2 * config.max_position_embeddings - 1
        head_size = H // config.num_attention_heads
        shapes["attention.self.distance_embedding.weight"] = (distances, head_size)
    if config.add_cross_attention:
        shapes.update(_attention_shapes("crossattention", H))
    return shapes


def _attention_shapes(name: str, H: int) -> Shapes:
    shapes: Shapes = {}
    for part in ("query", "key", "value"):
        shapes[f"{name}.self.{part}.weight"] = (H, H)
        shapes[f"{name}.self.{part}.bias"] = (H,)
    return shapes | _output_shapes(f"{name}.output", H, H)


def _output_shapes(name: str, H: int, inputs: int) -> Shapes:
    return {
        f"{name}.dense.weight": (H, inputs),
        f"{name}.dense.bias": (H,),
        f"{name}.LayerNorm.weight": (H,),
        f"{name}.LayerNorm.bias": (H,),
    }
