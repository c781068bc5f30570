"""Pairing an encoder with a decoder: which classes, which checks, what stands between them."""

from collections.abc import Iterable
from typing import Any, Self

import numpy as np

from minibert2bert.arrays import Array, Backward, Params, nest
from minibert2bert.checkpoints.names import LoadReport
from minibert2bert.components.linear import linear
from minibert2bert.models.causal_lm import CausalLM
from minibert2bert.models.config import EncoderDecoderConfig
from minibert2bert.models.families import DECODERS, ENCODERS
from minibert2bert.models.initial import initial_parameters
from minibert2bert.models.pretrained import PretrainedModel
from minibert2bert.models.sharing import shared_names, tie
from minibert2bert.models.transformer import Transformer

PROJECTION = "enc_to_dec_proj"


class EncoderDecoderPair(PretrainedModel):
    """What an encoder-decoder is made of.

    Attributes:
        config: an EncoderDecoderConfig
        encoder: the encoder as a model of its own; shares its parameters with this one
        decoder: the decoder, likewise
        params: encoder, decoder and, where their widths differ, enc_to_dec_proj
        generation_config: a GenerationConfig, if the folder has one or somebody has set one
    """

    config_class = EncoderDecoderConfig
    config: EncoderDecoderConfig
    encoder: Transformer
    decoder: CausalLM
    generation_config: Any

    def __init__(
        self,
        config: EncoderDecoderConfig | None = None,
        encoder: Transformer | None = None,
        decoder: CausalLM | None = None,
        rng: np.random.Generator | None = None,
        dtype: str = "float32",
    ) -> None:
        """Make a fresh model from a config, or join two ready parts.

        Args:
            config: of the pair; taken from the parts if it is not given
            encoder: a model without a head
            decoder: a model with a head and cross-attention
            rng: source of the weights of what is fresh; None takes a fresh one.
            dtype: "float32" or "float64", of what is fresh

        Raises:
            ValueError: if there is neither a config nor both parts, or they do not fit.
        """
        if config is None:
            if encoder is None or decoder is None:
                raise ValueError("give a config, or both an encoder and a decoder")
            check_decoder(decoder)
            config = EncoderDecoderConfig.from_encoder_decoder_configs(
                encoder.config, decoder.config
            )
        rng = rng if rng is not None else np.random.default_rng()
        self.config = config
        self.load_report = joined_report(encoder, decoder, projection_shapes(config))
        self.generation_config: Any = None
        self.encoder = encoder or ENCODERS[config.encoder.model_type](config.encoder, rng, dtype)
        self.decoder = decoder or DECODERS[config.decoder.model_type](config.decoder, rng, dtype)
        check_encoder(self.encoder)
        check_decoder(self.decoder)
        shapes = projection_shapes(config)
        fresh = initial_parameters(shapes, config.decoder, rng, dtype)
        parts = {"encoder": self.encoder.params, "decoder": self.decoder.params}
        self.set_parameters(tie({**parts, **nest(fresh)}, config))

    @classmethod
    def parameter_shapes(cls, config: EncoderDecoderConfig) -> dict[str, tuple[int, ...]]:
        """Name and shape of every parameter that this config asks for."""
        encoder = ENCODERS[config.encoder.model_type].parameter_shapes(config.encoder)
        decoder = DECODERS[config.decoder.model_type].parameter_shapes(config.decoder)
        return {
            **{f"encoder.{name}": shape for name, shape in encoder.items()},
            **{f"decoder.{name}": shape for name, shape in decoder.items()},
            **projection_shapes(config),
        }

    @classmethod
    def from_parameters(cls, config: EncoderDecoderConfig, params: Params) -> Self:
        """Make a pair of given arrays, without drawing any; see PretrainedModel."""
        encoder = ENCODERS[config.encoder.model_type].from_parameters(
            config.encoder, params["encoder"]
        )
        decoder = DECODERS[config.decoder.model_type].from_parameters(
            config.decoder, params["decoder"]
        )
        model = cls.__new__(cls)
        model.config, model.encoder, model.decoder = config, encoder, decoder
        model.load_report = model.generation_config = None
        model.set_parameters(tie(params, config))
        return model

    @classmethod
    def initial_parameters(
        cls,
        shapes: dict[str, tuple[int, ...]],
        config: EncoderDecoderConfig,
        rng: np.random.Generator,
        dtype: str,
    ) -> dict[str, Array]:
        """Draw each part's parameters as its own config says; the projection's as the decoder's."""
        parts: dict[str, tuple[type[PretrainedModel], Any]] = {
            "encoder": (ENCODERS[config.encoder.model_type], config.encoder),
            "decoder": (DECODERS[config.decoder.model_type], config.decoder),
            # The projection is not a part of either; it starts as the decoder's weights do.
            PROJECTION: (PretrainedModel, config.decoder),
        }
        parameters: dict[str, Array] = {}
        for part, (kind, of_part) in parts.items():
            start = f"{part}."
            own = {n.removeprefix(start): s for n, s in shapes.items() if n.startswith(start)}
            fresh = kind.initial_parameters(own, of_part, rng, dtype)
            parameters |= {f"{start}{name}": array for name, array in fresh.items()}
        return parameters

    def set_parameters(self, params: Params) -> None:
        """Use these arrays from now on, in the pair and in its parts; see PretrainedModel."""
        super().set_parameters(params)
        self.encoder.set_parameters(params["encoder"])
        self.decoder.set_parameters(params["decoder"])

    @classmethod
    def fit_names(
        cls, tensors: dict[str, Array], expected: dict[str, tuple[int, ...]], config: Any
    ) -> dict[str, Array]:
        """Give the tensors the names that the model expects; see PretrainedModel.

        The file of a tied model holds what is shared once, usually under the decoder's names.
        """
        fitted = super().fit_names(tensors, expected, config)
        for name, twin in shared_names(config).items():
            if name not in fitted and twin in fitted:
                fitted[name] = fitted[twin]
            elif name in fitted:
                fitted.setdefault(twin, fitted[name])
        return fitted

    def stored_parameters(self, parameters: dict[str, Array]) -> dict[str, Array]:
        """Return what is written to the files: what is shared once, under the decoder's names."""
        shared = shared_names(self.config)
        kept = {name: array for name, array in parameters.items() if name not in shared}
        return super().stored_parameters(kept)

    def resize_token_embeddings(
        self, vocab_size: int, rng: np.random.Generator | None = None, side: str = "both"
    ) -> None:
        """Change the number of words of one half, or of both; see PretrainedModel.

        Args:
            vocab_size: the new number
            rng: source of the new rows
            side: "encoder", "decoder" or "both"

        Raises:
            ValueError: if the side is another, or only one of two tied halves.
        """
        sides = {"encoder": ("encoder",), "decoder": ("decoder",), "both": ("encoder", "decoder")}
        if side not in sides:
            raise ValueError(f'side must be "encoder", "decoder" or "both", got {side!r}')
        if self.config.tie_encoder_decoder and side != "both":
            raise ValueError(f'the halves are tied, so resize them with side="both", got {side!r}')
        rng = rng if rng is not None else np.random.default_rng()
        for name in sides[side]:
            part = getattr(self, name)
            part.resize_token_embeddings(vocab_size, rng)
            setattr(self.config, name, part.config)
        parts = {"encoder": self.encoder.params, "decoder": self.decoder.params}
        self.set_parameters(tie({**self.params, **parts}, self.config))

    def project(self, states: Array) -> tuple[Array, Backward]:
        """Bring the encoder's states to the decoder's width, if that is another.

        Args:
            states: (B, S, H of the encoder)

        Returns:
            projected: (B, S, H of the decoder)
            backward: dprojected -> dparams ({} without a projection), dstates
        """
        if PROJECTION not in self.params:
            return states, _no_projection
        projected, linear_backward = linear(self.params[PROJECTION], states)

        def backward(dprojected: Array) -> tuple[Params, Array]:
            dparams, dstates = linear_backward(dprojected)
            return {PROJECTION: dparams}, dstates

        return projected, backward


def _no_projection(dstates: Array) -> tuple[Params, Array]:
    return {}, dstates


def joined_report(
    encoder: PretrainedModel | None, decoder: PretrainedModel | None, projection: Iterable[str]
) -> LoadReport | None:
    """Unite what loading the two parts reported; None if neither was loaded."""
    parts = {"encoder": encoder, "decoder": decoder}
    reports = {name: part.load_report for name, part in parts.items() if part is not None}
    found = {name: report for name, report in reports.items() if report is not None}
    if not found:
        return None

    def united(kind: str) -> list[str]:
        return [f"{part}.{name}" for part, r in found.items() for name in getattr(r, kind)]

    return LoadReport(united("loaded"), united("new") + list(projection), united("unexpected"))


def projection_shapes(config: EncoderDecoderConfig) -> dict[str, tuple[int, ...]]:
    """Name and shape of the projection between parts of different widths, if they differ."""
    read, write = config.encoder.hidden_size, config.decoder.hidden_size
    if read == write:
        return {}
    return {f"{PROJECTION}.weight": (write, read), f"{PROJECTION}.bias": (write,)}


def check_encoder(encoder: PretrainedModel) -> None:
    """Refuse a part that cannot read.

    Raises:
        ValueError: if it has a language-model head.
    """
    if isinstance(encoder, CausalLM):
        raise ValueError(
            f"the encoder must have no language-model head, got {type(encoder).__name__}; "
            "load it with the family's encoder class"
        )


def check_decoder(decoder: PretrainedModel) -> None:
    """Refuse a part that would ignore the encoder, or see the future.

    Raises:
        ValueError: if it was not built as a decoder with cross-attention.
    """
    config = decoder.config
    if not (isinstance(decoder, CausalLM) and config.is_decoder and config.add_cross_attention):
        raise ValueError(
            "the decoder must have a head, is_decoder=True and add_cross_attention=True, got "
            f"{type(decoder).__name__} with is_decoder={config.is_decoder} and "
            f"add_cross_attention={config.add_cross_attention}; without them the encoder would "
            "have no influence and the future would be visible"
        )


def split_keywords(keywords: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Route keywords that start with decoder_ to the decoder, the others to the encoder."""
    start = "decoder_"
    to_decoder = {k.removeprefix(start): v for k, v in keywords.items() if k.startswith(start)}
    return {k: v for k, v in keywords.items() if not k.startswith(start)}, to_decoder
