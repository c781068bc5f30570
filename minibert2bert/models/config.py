"""Configs: what the checkpoints' config.json says, a class a family, and the pair's."""

import difflib
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from minibert2bert.models.base_config import ModelConfig, read_config
from minibert2bert.models.bert_configs import (
    BertConfig,
    BertGenerationConfig,
    BertLikeConfig,
    RobertaConfig,
)
from minibert2bert.models.decoder_configs import BartConfig, GPT2Config

__all__ = [
    "CONFIGS",
    "BartConfig",
    "BertConfig",
    "BertGenerationConfig",
    "BertLikeConfig",
    "EncoderDecoderConfig",
    "GPT2Config",
    "ModelConfig",
    "RobertaConfig",
    "config_from_dict",
    "read_config",
]

CONFIGS: dict[str, type[ModelConfig]] = {
    config.model_type: config
    for config in (BertConfig, BertGenerationConfig, RobertaConfig, GPT2Config, BartConfig)
}


def config_from_dict(settings: dict[str, Any], **overrides: Any) -> ModelConfig:
    """Build the config of a part from its dict, choosing the class by model_type.

    Raises:
        ValueError: if the type is unknown; the message lists the known ones and the closest.
    """
    model_type = str(settings.get("model_type")).replace("_", "-")
    if model_type not in CONFIGS:
        close = difflib.get_close_matches(model_type, CONFIGS, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        raise ValueError(f"unknown model_type {model_type!r}, known are {sorted(CONFIGS)}{hint}")
    return CONFIGS[model_type].from_dict(settings, **overrides)


@dataclass
class EncoderDecoderConfig(ModelConfig):
    """Two configs, and what belongs to the pair.

    Attributes:
        encoder: config of the encoder, or its dict
        decoder: config of the decoder, or its dict
        pad_token_id: fills up shorter rows
        decoder_start_token_id: the decoder's first token
        bos_token_id: the tokenizer's first token; the start token where that is unset
        eos_token_id: ends a text
        tie_encoder_decoder: whether the encoder's parameters are the decoder's, too
        is_encoder_decoder: always True
    """

    model_type: ClassVar[str] = "encoder-decoder"

    encoder: Any = None
    decoder: Any = None
    pad_token_id: int | None = None
    decoder_start_token_id: int | None = None
    bos_token_id: int | None = None
    eos_token_id: int | list[int] | None = None
    tie_encoder_decoder: bool = False
    is_encoder_decoder: bool = True

    def __post_init__(self) -> None:
        for part in ("encoder", "decoder"):
            config = getattr(self, part)
            if isinstance(config, dict):
                setattr(self, part, config_from_dict(config))
            elif not isinstance(config, ModelConfig):
                raise ValueError(
                    f"EncoderDecoderConfig needs the {part}'s config, got {config!r}; use "
                    "EncoderDecoderConfig.from_encoder_decoder_configs(encoder, decoder)"
                )

    @classmethod
    def from_encoder_decoder_configs(
        cls, encoder: ModelConfig, decoder: ModelConfig, **settings: Any
    ) -> Self:
        """Pair two configs; the decoder's copy becomes a decoder with cross-attention."""
        decoder = decoder.replace(is_decoder=True, add_cross_attention=True)
        return cls.from_dict({"encoder": encoder, "decoder": decoder}, **settings)

    def required_id(self, name: str, of_tokenizer: str) -> int:
        """Return a token id that must be set.

        Args:
            name: of the setting
            of_tokenizer: the tokenizer's attribute that usually has it

        Raises:
            ValueError: if it is None; the message gives the line to write.
        """
        token_id = getattr(self, name)
        if token_id is None:
            raise ValueError(
                f"config.{name} must be set, got None; "
                f"write model.config.{name} = tokenizer.{of_tokenizer}"
            )
        return int(token_id)

    def to_dict(self) -> dict[str, Any]:
        """Return the contents of a config.json, with both parts' inside."""
        parts = {"encoder": self.encoder.to_dict(), "decoder": self.decoder.to_dict()}
        return {**super().to_dict(), **parts}


CONFIGS[EncoderDecoderConfig.model_type] = EncoderDecoderConfig
