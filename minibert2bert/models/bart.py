"""BART's decoder: post-norm layers, positions counted from the third row, a head without a bias."""

import math
import re
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np

from minibert2bert.arrays import Array, Backward, Params, no_backward
from minibert2bert.components.embeddings import embedding, word_and_position_embeddings
from minibert2bert.components.linear import linear
from minibert2bert.models.bart_cached import cached_layer
from minibert2bert.models.bart_layers import droppable_layer
from minibert2bert.models.cache import KeyValueCache
from minibert2bert.models.causal_lm import CausalLM
from minibert2bert.models.config import BartConfig
from minibert2bert.models.inputs import Inputs
from minibert2bert.recording import record, scope

Shapes: TypeAlias = dict[str, tuple[int, ...]]

FIRST_POSITION = 2
"""The row of position 0: the rows above it were the padding's, and have no use."""
WORDS = "model.decoder.embed_tokens.weight"
SHARED_WORDS = ("model.shared.weight", "shared.weight")
# What a file of the whole BART has besides the decoder.
OTHER_HALF = re.compile(r"^(model\.)?(encoder\.|decoder\.version$|shared\.weight$)")


def embeddings(
    params: Params,
    inputs: Inputs,
    config: BartConfig,
    rng: np.random.Generator | None = None,
) -> tuple[Array, Backward]:
    """Turn ids into vectors: word and position, without segments.

    x = dropout(layer_norm(words + position[position_ids + 2]))

    Args:
        params: embed_tokens (V, H), embed_positions (P + 2, H) and layernorm_embedding (H,)
        inputs: input_ids (B, T) or inputs_embeds (B, T, H), and position_ids
        config: dropout, and what words_of reads
        rng: source of the dropout mask; None switches dropout off.

    Returns:
        x: (B, T, H)
        backward: dx -> dparams (no embed_tokens if inputs_embeds were given)
    """
    words, words_backward = words_of(params, inputs, config)
    named = {
        "position_embeddings": params["embed_positions"],
        "LayerNorm": params["layernorm_embedding"],
    }
    rows = inputs.position_ids + FIRST_POSITION
    x, sum_backward = word_and_position_embeddings(named, words, rows, config, rng)
    with scope("embeddings"):
        record("hidden_states", x)

    def backward(dx: Array) -> Params:
        dnamed, dwords = sum_backward(dx)
        dpositions, dnorm = dnamed["position_embeddings"], dnamed["LayerNorm"]
        dparams = {"embed_positions": dpositions, "layernorm_embedding": dnorm}
        return {**dparams, **words_backward(dwords)}

    return x, backward


def words_of(
    params: Params, inputs: Inputs, config: BartConfig
) -> tuple[Array, Callable[[Array], Params]]:
    """Look the words up and scale them, unless their vectors were given.

    words = sqrt(H) * weight[ids] with scale_embedding, else weight[ids]
    (Vaswani et al., 2017, section 3.4; vectors that were given are used as they are)

    Args:
        params: embed_tokens (V, H)
        inputs: input_ids (B, T) or inputs_embeds (B, T, H)
        config: d_model, scale_embedding, pad_token_id

    Returns:
        words: (B, T, H)
        backward: dwords -> dparams, empty if the vectors were given
    """
    if inputs.input_ids is None:
        return inputs.inputs_embeds, _no_words
    words, words_backward = embedding(params["embed_tokens"], inputs.input_ids, config.pad_token_id)
    scale = math.sqrt(config.d_model) if config.scale_embedding else 1.0

    def backward(dwords: Array) -> Params:
        return {"embed_tokens": words_backward(dwords * scale)}

    return words * scale, backward


def _no_words(dwords: Array) -> Params:
    return {}


def decoder(
    params: Params,
    encoder_hidden_states: Array | None,
    inputs: Inputs,
    config: BartConfig,
    rng: np.random.Generator | None = None,
    training: bool = False,
) -> tuple[Array, Backward]:
    """Compute the hidden states: embeddings, then the layers, and nothing behind them.

    Args:
        params: embed_tokens, embed_positions, layernorm_embedding, and layers.0, layers.1, ...
        encoder_hidden_states: (B, S, H); None leaves the cross-attention out.
        inputs: ids, positions and masks
        config: decoder_layers, and what the parts read
        rng: source of the dropout masks, and of which layers are skipped; None switches both off.
        training: whether backward will be called; the layers' are kept only then.

    Returns:
        y: (B, T, H)
        backward: dy -> dparams, and dencoder_hidden_states if there are any
    """
    y, embeddings_backward = embeddings(params, inputs, config, rng)
    backwards = {}
    for index in range(config.decoder_layers):
        masks = inputs.masks.of_layer(index)
        with scope(f"layers.{index}"):
            y, layer_backward = droppable_layer(
                params["layers"][str(index)], y, encoder_hidden_states, masks, config, rng
            )
        if training:
            backwards[str(index)] = layer_backward
        # Without this, a layer's activations live on while the next one computes.
        del layer_backward
    if not training:
        return y, no_backward

    def backward(dy: Array) -> Any:
        dlayers = {}
        crosses = encoder_hidden_states is not None
        dencoder_hidden_states = np.zeros_like(encoder_hidden_states) if crosses else None
        for index in reversed(backwards):
            dlayers[index], dy, *dstates = backwards[index](dy)
            if crosses:
                # Every layer looked at the encoder's states, so their gradients add up.
                dencoder_hidden_states += dstates[0]
        dparams = {**embeddings_backward(dy), "layers": dlayers}
        return (dparams, dencoder_hidden_states) if crosses else dparams

    return y, backward


def cached_decoder(
    params: Params,
    encoder_hidden_states: Array | None,
    inputs: Inputs,
    cache: KeyValueCache,
    config: BartConfig,
) -> Array:
    """Compute the hidden states of the newest positions.

    Args:
        params: as of decoder
        encoder_hidden_states: (B, S, H); None leaves the cross-attention out.
        inputs: of the newest T positions of R rows, R a multiple of B
        cache: extended by T positions
        config: decoder_layers, and what the parts read

    Returns:
        y: (R, T, H)
    """
    y, _ = embeddings(params, inputs, config)
    for index in range(config.decoder_layers):
        layer, masks = params["layers"][str(index)], inputs.masks.of_layer(index)
        with scope(f"layers.{index}"):
            y = cached_layer(layer, y, encoder_hidden_states, masks, cache.layers[index], config)
    return y


def head(params: Params, hidden_states: Array, config: BartConfig) -> tuple[Array, Backward]:
    """Score every word of the vocabulary at every position: logits = h E^T, without a bias.

    Args:
        params: of the whole decoder: lm_head.weight (V, H) of an untied head, else
            model.decoder.embed_tokens.weight (V, H)
        hidden_states: (..., H)
        config: unused; heads of other families need one.

    Returns:
        logits: (..., V)
        backward: dlogits -> dparams, dhidden_states
    """
    tied = "lm_head" not in params
    weight = (params["model"]["decoder"]["embed_tokens"] if tied else params["lm_head"])["weight"]
    logits, linear_backward = linear({"weight": weight}, hidden_states)

    def backward(dlogits: Array) -> tuple[Params, Array]:
        dweight, dhidden_states = linear_backward(dlogits)
        dtied = {"model": {"decoder": {"embed_tokens": dweight}}}
        return dtied if tied else {"lm_head": dweight}, dhidden_states

    return logits, backward


def decoder_shapes(config: BartConfig) -> Shapes:
    """Name and shape of every tensor of the embeddings and layers."""
    H = config.d_model
    shapes = {
        "embed_tokens.weight": (config.vocab_size, H),
        "embed_positions.weight": (config.max_position_embeddings + FIRST_POSITION, H),
        "layernorm_embedding.weight": (H,),
        "layernorm_embedding.bias": (H,),
    }
    for index in range(config.decoder_layers):
        for name, shape in layer_shapes(config).items():
            shapes[f"layers.{index}.{name}"] = shape
    return shapes


def layer_shapes(config: BartConfig) -> Shapes:
    """Name and shape of every tensor in one layer; cross-attention is always among them."""
    H, F = config.d_model, config.decoder_ffn_dim
    linears = {"fc1": (F, H), "fc2": (H, F)}
    for attn in ("self_attn", "encoder_attn"):
        linears |= {f"{attn}.{part}_proj": (H, H) for part in ("q", "k", "v", "out")}
    norms = ("self_attn_layer_norm", "encoder_attn_layer_norm", "final_layer_norm")
    shapes: Shapes = {f"{name}.{kind}": (H,) for name in norms for kind in ("weight", "bias")}
    for name, shape in linears.items():
        shapes[f"{name}.weight"], shapes[f"{name}.bias"] = shape, shape[:1]
    return shapes


class BartForCausalLM(CausalLM):
    """BART's decoder with its language-model head; position t predicts the label at t."""

    config_class = BartConfig
    base_prefix = "model"
    branch = ("model", "decoder")
    stack = staticmethod(decoder)
    cached_stack = staticmethod(cached_decoder)
    score = staticmethod(head)
    shifts_labels = False

    @classmethod
    def parameter_shapes(cls, config: BartConfig) -> Shapes:
        """Name and shape of every parameter that this config asks for."""
        shapes = {f"model.decoder.{name}": shape for name, shape in decoder_shapes(config).items()}
        if not config.tie_word_embeddings:
            shapes["lm_head.weight"] = (config.vocab_size, config.d_model)
        return shapes

    @classmethod
    def initial_parameters(
        cls, shapes: Shapes, config: BartConfig, rng: np.random.Generator, dtype: str
    ) -> dict[str, Array]:
        """Draw as everywhere, with standard deviation init_std; the padding's word is 0."""
        parameters = super().initial_parameters(shapes, config, rng, dtype)
        if WORDS in parameters and config.pad_token_id is not None:
            parameters[WORDS][config.pad_token_id] = 0
        return parameters

    @classmethod
    def fit_names(
        cls, tensors: dict[str, Array], expected: Shapes, config: BartConfig
    ) -> dict[str, Array]:
        """Give the tensors the names that the model expects; see PretrainedModel.

        A file of the whole BART holds the words once, for both halves. Its encoder is left out,
        and so is the bias of its head as long as that is 0.
        """
        fitted = super().fit_names(tensors, expected, config)
        for name in SHARED_WORDS:
            if name in fitted:
                fitted.setdefault(WORDS, fitted[name])
        bias = fitted.get("final_logits_bias")
        if bias is not None and not bias.any():
            del fitted["final_logits_bias"]
        return {name: array for name, array in fitted.items() if not OTHER_HALF.search(name)}
