"""The model that a run starts from: two halves, each from a checkpoint or at random."""

import warnings
from typing import Any

import numpy as np

from minibert2bert.finetuning.settings import FinetuneSettings, is_random
from minibert2bert.finetuning.vocabulary import folder_of
from minibert2bert.generation.config import GenerationConfig
from minibert2bert.models.auto import AutoConfig, AutoModel, AutoModelForCausalLM
from minibert2bert.models.config import BertGenerationConfig, ModelConfig
from minibert2bert.models.encoder_decoder import EncoderDecoderModel
from minibert2bert.training.diagnosis import sizes_differ
from minibert2bert.training.events import TrainingWarning
from minibert2bert.training.pairs import start_and_end


def start_model(
    settings: FinetuneSettings, tokenizer: Any, target_tokenizer: Any
) -> EncoderDecoderModel:
    """Make the model, warm-started as far as the settings say.

    Args:
        settings: encoder, decoder, tie, cross_attention_init, lengths and sizes, and the seed of
            what is random
        tokenizer: of the sources
        target_tokenizer: of the targets; names the special ids.

    Raises:
        ValueError: if the halves do not fit each other, the tokenizers or the lengths.
    """
    rng = np.random.default_rng(settings.training.seed)
    encoder = start_half(settings, "encoder", len(tokenizer), rng)
    decoder = start_half(settings, "decoder", len(target_tokenizer), rng)
    start, end = start_and_end(target_tokenizer)
    ids = {
        "decoder_start_token_id": start,
        "eos_token_id": end,
        "pad_token_id": target_tokenizer.pad_token_id,
    }
    model = EncoderDecoderModel.from_encoder_decoder_pretrained(
        encoder,
        decoder,
        tie_encoder_decoder=settings.tie,
        rng=rng,
        cross_attention_init=settings.cross_attention_init,
        **ids,
    )
    check_lengths(settings, model)
    for side, size in (("encoder", len(tokenizer)), ("decoder", len(target_tokenizer))):
        message = sizes_differ(size, model.config, side)
        if message is not None:
            warnings.warn(message, TrainingWarning, stacklevel=2)
    # The start token stands before the max_target_length tokens of an answer.
    model.generation_config = GenerationConfig(max_length=settings.max_target_length + 1, **ids)
    return model


def start_half(
    settings: FinetuneSettings, side: str, vocab_size: int, rng: np.random.Generator
) -> Any:
    """Make one half at random, or name the folder that it is loaded from.

    Args:
        settings: encoder, decoder, sizes, lengths, new_sentencepiece
        side: "encoder" or "decoder"
        vocab_size: of its tokenizer
        rng: source of the weights

    Returns:
        a folder, or a model
    """
    part = getattr(settings, side)
    if not is_random(part):
        return part
    decodes = side == "decoder"
    config = random_config(settings, part, vocab_size)
    roles = {"is_decoder": decodes, "add_cross_attention": decodes}
    config = config.replace(**{n: v for n, v in roles.items() if n in config.field_names()})
    return (AutoModelForCausalLM if decodes else AutoModel).from_config(config, rng=rng)


def random_config(settings: FinetuneSettings, part: str, vocab_size: int) -> ModelConfig:
    """Choose the config of a random half: of the folder it names, of the other half, or the sizes.

    Args:
        settings: encoder, decoder, sizes, lengths, new_sentencepiece
        part: random or random:FOLDER
        vocab_size: of its tokenizer
    """
    folder = folder_of(part) or folder_of(settings.encoder) or folder_of(settings.decoder)
    if folder is not None:
        config = AutoConfig.from_pretrained(folder)
        return config.replace(vocab_size=vocab_size) if settings.new_sentencepiece else config
    return BertGenerationConfig(
        vocab_size=vocab_size,
        hidden_size=settings.hidden_size,
        num_hidden_layers=settings.num_hidden_layers,
        num_attention_heads=settings.num_attention_heads,
        intermediate_size=settings.intermediate_size,
        max_position_embeddings=max(settings.max_source_length, settings.max_target_length),
        pad_token_id=0,
        bos_token_id=2,
        eos_token_id=3,
    )


def check_lengths(settings: FinetuneSettings, model: EncoderDecoderModel) -> None:
    """Refuse lengths that the model has no positions for.

    Raises:
        ValueError: if there are too few.
    """
    for name, part in (("max_source_length", "encoder"), ("max_target_length", "decoder")):
        positions = getattr(model.config, part).num_positions
        if getattr(settings, name) > positions:
            raise ValueError(
                f"{name} must be at most {positions}, the positions of the {part}, got "
                f"{getattr(settings, name)}; longer texts are cut"
            )
