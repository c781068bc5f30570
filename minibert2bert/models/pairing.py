"""Pairing an encoder with a decoder: which classes, which checks, what stands between them."""

from typing import Any

from minibert2bert.models.bert_generation import BertGenerationDecoder, BertGenerationEncoder
from minibert2bert.models.config import EncoderDecoderConfig
from minibert2bert.models.pretrained import PretrainedModel
from minibert2bert.models.transformer import CausalLM, Transformer

ENCODERS: dict[str, type[Transformer]] = {"bert-generation": BertGenerationEncoder}
DECODERS: dict[str, type[CausalLM]] = {"bert-generation": BertGenerationDecoder}
PROJECTION = "enc_to_dec_proj"


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
