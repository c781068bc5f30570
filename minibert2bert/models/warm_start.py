"""Warm starting: an encoder-decoder from checkpoints that were pretrained for something else."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from minibert2bert.arrays import Array, Params, flatten, nest
from minibert2bert.checkpoints.names import summary
from minibert2bert.models.auto import AutoConfig, AutoModel, AutoModelForCausalLM
from minibert2bert.models.causal_lm import CausalLM
from minibert2bert.models.config import EncoderDecoderConfig
from minibert2bert.models.encoder_decoder import EncoderDecoderModel
from minibert2bert.models.pairing import split_keywords
from minibert2bert.models.transformer import Transformer


class Variant(NamedTuple):
    """How one of the paper's models starts.

    Attributes:
        encoder: the family of the encoder; None has no encoder at all.
        encoder_pretrained: whether it is read from a checkpoint, or drawn at random
        decoder: the family of the decoder
        decoder_pretrained: likewise
        shared: whether both are one
    """

    encoder: str | None
    encoder_pretrained: bool
    decoder: str
    decoder_pretrained: bool
    shared: bool = False


VARIANTS = {
    "rnd2rnd": Variant("bert", False, "bert", False),
    "bert2rnd": Variant("bert", True, "bert", False),
    "rnd2bert": Variant("bert", False, "bert", True),
    "bert2bert": Variant("bert", True, "bert", True),
    "bertShare": Variant("bert", True, "bert", True, shared=True),
    "robertaShare": Variant("roberta", True, "roberta", True, shared=True),
    "gpt": Variant(None, False, "gpt2", True),
    "rnd2gpt": Variant("bert", False, "gpt2", True),
    "bert2gpt": Variant("bert", True, "gpt2", True),
    "roberta2gpt": Variant("roberta", True, "gpt2", True),
}
"""The models of Rothe, Narayan and Severyn (2020), section 3, by the paper's names."""


def warm_start(
    variant: str,
    checkpoints: dict[str, str | Path],
    rng: np.random.Generator | None = None,
    cross_attention_init: str = "random",
    **settings: Any,
) -> EncoderDecoderModel | CausalLM:
    """Start one of the paper's models by its name.

    Args:
        variant: a key of VARIANTS, such as "bert2rnd"
        checkpoints: a folder for each family that the variant names; a random half takes only
            its config from there.
        rng: source of what is random; None takes a fresh one.
        cross_attention_init: "random" or "self", see from_encoder_decoder_pretrained
        settings: of the pair's config, such as decoder_start_token_id

    Returns:
        an encoder-decoder; for "gpt", which has no encoder, a decoder

    Raises:
        ValueError: if there is no such variant, or a folder is missing for it.
    """
    if variant not in VARIANTS:
        raise ValueError(f"variant must be one of {', '.join(VARIANTS)}, got {variant!r}")
    plan = VARIANTS[variant]
    missing = {plan.encoder, plan.decoder} - {None, *checkpoints}
    if missing:
        raise ValueError(f"{variant} needs a checkpoint of {sorted(map(str, missing))}")
    rng = rng if rng is not None else np.random.default_rng()
    if plan.encoder is None:
        return AutoModelForCausalLM.from_pretrained(checkpoints[plan.decoder], rng=rng)
    encoder: Any = checkpoints[plan.encoder]
    decoder: Any = checkpoints[plan.decoder]
    if not plan.encoder_pretrained:
        encoder = AutoModel.from_config(AutoConfig.from_pretrained(encoder), rng=rng)
    if not plan.decoder_pretrained:
        config = AutoConfig.from_pretrained(decoder, is_decoder=True, add_cross_attention=True)
        decoder = AutoModelForCausalLM.from_config(config, rng=rng)
    return from_encoder_decoder_pretrained(
        encoder, decoder, plan.shared, rng, cross_attention_init, **settings
    )


def from_encoder_decoder_pretrained(
    encoder: str | Path | Transformer | None = None,
    decoder: str | Path | CausalLM | None = None,
    tie_encoder_decoder: bool = False,
    rng: np.random.Generator | None = None,
    cross_attention_init: str = "random",
    strict: bool = False,
    **keywords: Any,
) -> EncoderDecoderModel:
    """Join two checkpoints; see EncoderDecoderModel.from_encoder_decoder_pretrained."""
    if cross_attention_init not in ("random", "self"):
        raise ValueError(
            f'cross_attention_init must be "random" or "self", got {cross_attention_init!r}'
        )
    rng = rng if rng is not None else np.random.default_rng()
    others, for_decoder = split_keywords(keywords)
    start = "encoder_"
    for_encoder = {k.removeprefix(start): v for k, v in others.items() if k.startswith(start)}
    settings = {k: v for k, v in others.items() if not k.startswith(start)}
    if "start_token_id" in for_decoder:
        settings["decoder_start_token_id"] = for_decoder.pop("start_token_id")
    read = _load_part("encoder", encoder, for_encoder, rng)
    write = _load_part("decoder", decoder, for_decoder, rng)
    config = EncoderDecoderConfig.from_encoder_decoder_configs(
        read.config, write.config, tie_encoder_decoder=tie_encoder_decoder, **settings
    )
    model = EncoderDecoderModel(config, encoder=read, decoder=write, rng=rng)
    report = model.load_report
    if strict and report is not None and report.unexpected:
        raise ValueError(
            f"the checkpoints hold tensors that the model has no place for: "
            f"{summary(report.unexpected)}; leave them out with strict=False"
        )
    if cross_attention_init == "self":
        model.set_parameters(with_copied_cross_attention(model.params))
    return model


def _load_part(side: str, given: Any, keywords: dict[str, Any], rng: np.random.Generator) -> Any:
    """Load one half, unless it is a model already.

    Args:
        side: "encoder" or "decoder"
        given: a folder, a model, or None if the keywords have one
        keywords: model, config, or fields of the config
        rng: source of what the checkpoint lacks

    Raises:
        ValueError: if there is neither a folder nor a model.
    """
    ready = keywords.pop("model", None) or (None if isinstance(given, (str, Path)) else given)
    if ready is not None:
        return ready
    if given is None:
        raise ValueError(f"give the {side}'s folder, or a ready model as {side}_model; got neither")
    decodes = side == "decoder"
    config = keywords.pop("config", None) or AutoConfig.from_pretrained(given, **keywords)
    roles = {"is_decoder": decodes, "add_cross_attention": decodes}
    config = config.replace(**{n: v for n, v in roles.items() if n in config.field_names()})
    kind = AutoModelForCausalLM if decodes else AutoModel
    return kind.class_of(config.model_type).from_pretrained(given, config=config, rng=rng)


def with_copied_cross_attention(params: Params) -> Params:
    """Start each cross-attention as a copy of its layer's self-attention.

    Fresh cross-attention has to be learnt from nothing; a copy looks at the encoder's states as
    the decoder looks at its own.

    Args:
        params: nested, of an encoder-decoder

    Returns:
        params: with new arrays for the cross-attention
    """
    flat = flatten(params)
    copies = {name: _self_attention_for(name, flat) for name in flat if "cross" in name}
    return nest({**flat, **{name: array for name, array in copies.items() if array is not None}})


def _self_attention_for(name: str, flat: dict[str, Array]) -> Array | None:
    """Return what a cross-attention's tensor corresponds to in self-attention."""
    if "ln_cross_attn" in name:
        return flat[name.replace("ln_cross_attn", "ln_1")].copy()
    if ".q_attn." in name or ".c_attn." in name:
        # GPT-2 keeps query, key and value side by side.
        fused = flat[
            name.replace("crossattention.q_attn", "attn.c_attn").replace(
                "crossattention.c_attn", "attn.c_attn"
            )
        ]
        width = fused.shape[-1] // 3
        part = slice(None, width) if ".q_attn." in name else slice(width, None)
        return np.ascontiguousarray(fused[..., part])
    for own in (".attention.", ".attn."):
        twin = name.replace(".crossattention.", own)
        if twin in flat:
            return flat[twin].copy()
    return None
