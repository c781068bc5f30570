"""Cut a vocabulary to the pieces that a task uses, in the tokenizer and in the model alike."""

import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from minibert2bert.arrays import nest
from minibert2bert.models.pretrained import PretrainedModel
from minibert2bert.tokenization.wordpiece_tokenizer import BertTokenizer

Model = TypeVar("Model", bound=PretrainedModel)

SPECIAL_IDS = ("pad_token_id", "bos_token_id", "eos_token_id", "sep_token_id")
"""What a config may say of the vocabulary, besides its size."""


def pieces_to_keep(tokenizer: BertTokenizer, texts: Sequence[str], least: int) -> list[int]:
    """Choose the pieces that texts use often, and those that can spell the others.

    Kept are the special tokens, the pieces that occur at least so many times, and the pieces of a
    single character for every character that occurs at all. So a word that has lost its piece
    is written in shorter ones, and is not unknown.

    Args:
        tokenizer: with the whole vocabulary
        texts: of the task
        least: how often a piece must occur to be kept

    Returns:
        ids: increasing
    """
    rows = tokenizer(list(texts), add_special_tokens=False)["input_ids"]
    counts = Counter(index for row in rows for index in row)
    often = {index for index, count in counts.items() if count >= least}
    vocabulary: Any = tokenizer.table.vocabulary
    seen = {c for index in counts for c in tokenizer.convert_ids_to_tokens(index)}
    spelling = {
        tokenizer.get_vocab().get(start + c) for c in seen for start in ("", vocabulary.prefix)
    }
    return sorted(({*often, *spelling} - {None}) | {*tokenizer.all_special_ids})


def cut_tokenizer(tokenizer: BertTokenizer, kept: Sequence[int]) -> BertTokenizer:
    """Make a tokenizer of some of the pieces of another; the kept one i gets the id i.

    Args:
        tokenizer: with the whole vocabulary
        kept: ids, with those of all special tokens, each once
    """
    vocabulary: Any = tokenizer.table.vocabulary
    options = vocabulary.options
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "vocab.txt"
        pieces = tokenizer.convert_ids_to_tokens(list(kept))
        file.write_text("".join(f"{piece}\n" for piece in pieces), encoding="utf-8")
        return BertTokenizer(
            file,
            do_lower_case=options["lowercase"],
            tokenize_chinese_chars=options["handle_chinese_chars"],
            strip_accents=options["strip_accents"],
            clean_up_tokenization_spaces=tokenizer.clean_up_tokenization_spaces,
            model_max_length=tokenizer.model_max_length,
            **tokenizer.table.roles,
        )


def cut_model(model: Model, kept: Sequence[int]) -> Model:
    """Make a model that knows some of the words of another; word kept[i] becomes word i.

    What has a row or an entry for each word, the embeddings and a head, keeps those of kept. So the
    states of the same words are the same, and so are their logits.

    Args:
        model: an encoder, or a decoder with a head
        kept: ids, with those that the config names, each once
    """
    rows = list(kept)
    ids = {name: getattr(model.config, name, None) for name in SPECIAL_IDS}
    moved = {name: rows.index(old) for name, old in ids.items() if old is not None}
    config = model.config.replace(vocab_size=len(rows), **moved)
    old = model.parameters()
    arrays = {
        name: np.ascontiguousarray(old[name] if shape == old[name].shape else old[name][rows])
        for name, shape in model.parameter_shapes(config).items()
    }
    return type(model).from_parameters(config, nest(arrays))
