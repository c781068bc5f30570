"""Tokenizers for a run: those of its checkpoints, or one trained on its own texts."""

import io
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from minibert2bert.finetuning.settings import RANDOM, FinetuneSettings, is_random
from minibert2bert.tokenization.auto import AutoTokenizer
from minibert2bert.tokenization.sentencepiece_tokenizer import BertGenerationTokenizer

SPECIAL_IDS = {"pad_token_id": 0, "bos_token_id": 2, "eos_token_id": 3}
"""Of a new vocabulary; 1 is the unknown token."""
COVERAGE = 0.9998
"""The share of all characters that get a piece of their own, at the least."""


def load_tokenizers(settings: FinetuneSettings, texts: Iterable[str]) -> tuple[Any, Any]:
    """Find the tokenizers of sources and of targets; often they are one object.

    Args:
        settings: encoder, decoder, new_sentencepiece, max_source_length, max_target_length
        texts: what a new vocabulary is trained on

    Raises:
        ValueError: if nothing says how texts become ids.
    """
    if settings.new_sentencepiece:
        longest = max(settings.max_source_length, settings.max_target_length)
        trained = train_tokenizer(texts, settings.new_sentencepiece, longest)
        return trained, trained
    encoder = folder_of(settings.encoder) or folder_of(settings.decoder)
    decoder = folder_of(settings.decoder) or folder_of(settings.encoder)
    if encoder is None or decoder is None:
        raise ValueError(
            "two random halves have no tokenizer; train one with new_sentencepiece, or take one, "
            "with its model's config, by encoder random:FOLDER"
        )
    tokenizer = AutoTokenizer.from_pretrained(encoder)
    return tokenizer, tokenizer if decoder == encoder else AutoTokenizer.from_pretrained(decoder)


def folder_of(part: str) -> str | None:
    """The folder or name that a half names: FOLDER or random:FOLDER; None for random alone."""
    if not is_random(part):
        return part
    return part.removeprefix(f"{RANDOM}:") if ":" in part else None


def train_tokenizer(
    texts: Iterable[str], vocab_size: int, model_max_length: int
) -> BertGenerationTokenizer:
    """Learn a unigram vocabulary of pieces (Kudo, 2018) for sources and targets together.

    Args:
        texts: of both
        vocab_size: number of pieces, special tokens included
        model_max_length: of the tokenizer

    Raises:
        ValueError: if the texts are too few for so many pieces.
    """
    import sentencepiece

    model = io.BytesIO()
    try:
        # By way of memory, for a trained model remembers the paths of its files.
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(texts),
            model_writer=model,
            vocab_size=vocab_size,
            character_coverage=COVERAGE,
            unk_id=1,
            pad_id=SPECIAL_IDS["pad_token_id"],
            bos_id=SPECIAL_IDS["bos_token_id"],
            eos_id=SPECIAL_IDS["eos_token_id"],
            pad_piece="<pad>",
            control_symbols=["<::::>"],
            num_threads=1,
            minloglevel=2,
        )
    except RuntimeError as error:
        raise ValueError(
            f"no vocabulary of {vocab_size} pieces can be made of these texts: {error}"
        ) from error
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "spiece.model"
        file.write_bytes(model.getvalue())
        return BertGenerationTokenizer(file, model_max_length=model_max_length)
