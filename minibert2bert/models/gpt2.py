"""GPT-2: a decoder with layer norms at the inputs of its sub-layers, and a tied head."""

import dataclasses
import math
from typing import Any, TypeAlias

import numpy as np

from minibert2bert.arrays import Array, Backward, Params, add_params, no_backward
from minibert2bert.components.dropout import dropout
from minibert2bert.components.embeddings import embedding, for_ids
from minibert2bert.components.layer_norm import layer_norm
from minibert2bert.components.linear import linear
from minibert2bert.models.cache import KeyValueCache
from minibert2bert.models.causal_lm import CausalLM
from minibert2bert.models.config import GPT2Config
from minibert2bert.models.gpt2_cached import cached_blocks
from minibert2bert.models.gpt2_layers import block, query_factor
from minibert2bert.models.initial import initial_parameters
from minibert2bert.models.inputs import ArrayLike, Inputs, check_ids
from minibert2bert.models.transformer import Transformer
from minibert2bert.recording import record, scope

Shapes: TypeAlias = dict[str, tuple[int, ...]]


def embeddings(
    params: Params,
    inputs: Inputs,
    config: GPT2Config,
    rng: np.random.Generator | None = None,
) -> tuple[Array, Backward]:
    """Turn ids into vectors: word and position, without a layer norm.

    x = dropout(wte[ids] + wpe[position_ids] + wte[token_type_ids])
    (Radford et al., 2018, equation 2; segments, if there are any, are words, too)

    Args:
        params: wte (V, H) and wpe (P, H)
        inputs: input_ids (B, T) or inputs_embeds (B, T, H), position_ids, and perhaps
            token_type_ids
        config: embd_pdrop
        rng: source of the dropout mask; None switches dropout off.

    Returns:
        x: (B, T, H)
        backward: dx -> dparams (no wte if nothing was looked up there)
    """
    lookups = inputs.input_ids, inputs.position_ids, inputs.token_type_ids
    total = inputs.inputs_embeds
    backwards = []
    for name, ids in zip(("wte", "wpe", "wte"), lookups, strict=True):
        if ids is not None:
            rows, rows_backward = embedding(params[name], ids)
            total = rows if total is None else total + rows
            backwards.append((name, ids, rows_backward))
    x, dropout_backward = dropout(total, config.embd_pdrop, rng)
    with scope("embeddings"):
        record("hidden_states", x)

    def backward(dx: Array) -> Params:
        dtotal = dropout_backward(dx)
        dparams: Params = {}
        for name, ids, rows_backward in backwards:
            # Words and segments are rows of one table, so their gradients add up.
            dparams = add_params(dparams, {name: rows_backward(for_ids(ids, dtotal))})
        return dparams

    return x, backward


def transformer(
    params: Params,
    encoder_hidden_states: Array | None,
    inputs: Inputs,
    config: GPT2Config,
    rng: np.random.Generator | None = None,
    training: bool = False,
) -> tuple[Array, Backward]:
    """Compute the hidden states: embeddings, blocks, and a last layer norm.

    Recorded are the embeddings, what each block passes on to the next, and the end.

    Args:
        params: wte, wpe, h.0, h.1, ..., and ln_f
        encoder_hidden_states: (B, S, H); None leaves the cross-attention out.
        inputs: ids, positions and masks
        config: n_layer, layer_norm_epsilon, and what the parts read
        rng: source of the dropout masks; None switches dropout off.
        training: whether backward will be called; the blocks' are kept only then.

    Returns:
        y: (B, T, H)
        backward: dy -> dparams, and dencoder_hidden_states if there are any
    """
    x, embeddings_backward = embeddings(params, inputs, config, rng)
    backwards = {}
    for index in range(config.n_layer):
        masks, factor = inputs.masks.of_layer(index), query_factor(config, index)
        with scope(f"h.{index}"):
            x, block_backward = block(
                params["h"][str(index)], x, encoder_hidden_states, masks, factor, config, rng
            )
            if index + 1 < config.n_layer:
                record("hidden_states", x)
        if training:
            backwards[str(index)] = block_backward
    y, norm_backward = layer_norm(params["ln_f"], x, config.layer_norm_epsilon)
    with scope("ln_f"):
        record("hidden_states", y)
    if not training:
        return y, no_backward

    def backward(dy: Array) -> Any:
        dnorm, dx = norm_backward(dy)
        dblocks = {}
        dstates = None if encoder_hidden_states is None else np.zeros_like(encoder_hidden_states)
        for index in reversed(backwards):
            dblocks[index], dx, dsource = backwards[index](dx)
            if dstates is not None:
                # Every block looked at the encoder's states, so their gradients add up.
                dstates += dsource
        dparams = {**embeddings_backward(dx), "h": dblocks, "ln_f": dnorm}
        return dparams if dstates is None else (dparams, dstates)

    return y, backward


def cached_transformer(
    params: Params,
    encoder_hidden_states: Array | None,
    inputs: Inputs,
    cache: KeyValueCache,
    config: GPT2Config,
) -> Array:
    """Compute the hidden states of the newest positions.

    Args:
        params: wte, wpe, h.0, h.1, ..., and ln_f
        encoder_hidden_states: (B, S, H); None leaves the cross-attention out.
        inputs: of the newest T positions of R rows, R a multiple of B
        cache: extended by T positions
        config: what the parts read

    Returns:
        y: (R, T, H)
    """
    x, _ = embeddings(params, inputs, config)
    x = cached_blocks(params["h"], x, encoder_hidden_states, inputs.masks, cache, config)
    y, _ = layer_norm(params["ln_f"], x, config.layer_norm_epsilon)
    with scope("ln_f"):
        record("hidden_states", y)
    return y


def head(params: Params, hidden_states: Array, config: GPT2Config) -> tuple[Array, Backward]:
    """Score every word of the vocabulary at every position: logits = h E^T, without a bias.

    Args:
        params: of the whole decoder: lm_head.weight (V, H) of an untied head, else
            transformer.wte.weight (V, H)
        hidden_states: (..., H)
        config: unused; heads of other families need one.

    Returns:
        logits: (..., V)
        backward: dlogits -> dparams, dhidden_states
    """
    untied = "lm_head" in params
    weight = (params["lm_head"] if untied else params["transformer"]["wte"])["weight"]
    logits, linear_backward = linear({"weight": weight}, hidden_states)

    def backward(dlogits: Array) -> tuple[Params, Array]:
        dweight, dhidden_states = linear_backward(dlogits)
        dtied = {"transformer": {"wte": dweight}}
        return {"lm_head": dweight} if untied else dtied, dhidden_states

    return logits, backward


def transformer_shapes(config: GPT2Config) -> Shapes:
    """Name and shape of every tensor of embeddings, blocks and the last layer norm."""
    H = config.n_embd
    shapes = {
        "wte.weight": (config.vocab_size, H),
        "wpe.weight": (config.n_positions, H),
        "ln_f.weight": (H,),
        "ln_f.bias": (H,),
    }
    for index in range(config.n_layer):
        for name, shape in block_shapes(config).items():
            shapes[f"h.{index}.{name}"] = shape
    return shapes


def block_shapes(config: GPT2Config) -> Shapes:
    """Name and shape of every tensor in one block, cross-attention included if config adds it."""
    H, F = config.n_embd, config.intermediate_size
    norms = ["ln_1", "ln_2"]
    conv1ds = {
        "attn.c_attn": (H, 3 * H),
        "attn.c_proj": (H, H),
        "mlp.c_fc": (H, F),
        "mlp.c_proj": (F, H),
    }
    if config.add_cross_attention:
        norms.append("ln_cross_attn")
        conv1ds["crossattention.c_attn"] = (H, 2 * H)
        conv1ds["crossattention.q_attn"] = (H, H)
        conv1ds["crossattention.c_proj"] = (H, H)
    shapes: Shapes = {f"{name}.{kind}": (H,) for name in norms for kind in ("weight", "bias")}
    for name, shape in conv1ds.items():
        shapes[f"{name}.weight"], shapes[f"{name}.bias"] = shape, shape[1:]
    return shapes


def initial_gpt2_parameters(
    shapes: Shapes, config: GPT2Config, rng: np.random.Generator, dtype: str
) -> dict[str, Array]:
    """Draw as everywhere, but what is added to the residual stream smaller the deeper the stack.

    The standard deviation of every c_proj is initializer_range / sqrt(2 n_layer)
    (Radford et al., 2019, section 2.3; it is 2 n_layer also where cross-attention adds a third
    sub-layer to a block, as in the reference)

    Args and Returns: see initial_parameters
    """
    parameters = initial_parameters(shapes, config, rng, dtype)
    for name in parameters:
        if name.endswith("c_proj.weight"):
            parameters[name] /= math.sqrt(2 * config.n_layer)
    return parameters


def prepare_with_segments(
    model: Transformer,
    cache: KeyValueCache | None = None,
    token_type_ids: ArrayLike | None = None,
    **arguments: Any,
) -> Inputs:
    """Check what a user handed to a model; segments are ids of words, and none by default.

    Args:
        model: a GPT-2
        cache: what came before, if anything
        token_type_ids: int (B, T), each in [0, V)
        arguments: the others, see prepare_inputs

    Raises:
        ValueError: if an input does not fit the config or another input.
    """
    inputs = Transformer.prepare(model, cache, **arguments)
    if token_type_ids is None:
        return inputs
    given = inputs.inputs_embeds if inputs.input_ids is None else inputs.input_ids
    segments = check_ids("token_type_ids", token_type_ids, model.config.vocab_size)
    if segments.shape != given.shape[:2]:
        raise ValueError(
            f"token_type_ids must have shape {tuple(given.shape[:2])}, got {segments.shape}"
        )
    return dataclasses.replace(inputs, token_type_ids=np.asarray(segments, like=model.like))


class GPT2Model(Transformer):
    """GPT-2 without a head."""

    config_class = GPT2Config
    base_prefix = "transformer"
    stack = staticmethod(transformer)
    cached_stack = staticmethod(cached_transformer)
    initial_parameters = staticmethod(initial_gpt2_parameters)
    prepare = prepare_with_segments

    @classmethod
    def parameter_shapes(cls, config: GPT2Config) -> Shapes:
        """Name and shape of every parameter that this config asks for."""
        return transformer_shapes(config)


class GPT2LMHeadModel(CausalLM):
    """GPT-2 with its language-model head."""

    config_class = GPT2Config
    base_prefix = "transformer"
    branch = ("transformer",)
    stack = staticmethod(transformer)
    cached_stack = staticmethod(cached_transformer)
    score = staticmethod(head)
    initial_parameters = staticmethod(initial_gpt2_parameters)
    prepare = prepare_with_segments

    @classmethod
    def parameter_shapes(cls, config: GPT2Config) -> Shapes:
        """Name and shape of every parameter that this config asks for."""
        shapes = {f"transformer.{n}": shape for n, shape in transformer_shapes(config).items()}
        if not config.tie_word_embeddings:
            shapes["lm_head.weight"] = (config.vocab_size, config.n_embd)
        return shapes
