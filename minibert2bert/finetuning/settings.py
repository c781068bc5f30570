"""What the command finetune is told, on the command line and in a file."""

import dataclasses
import difflib
import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from minibert2bert.training.settings import TrainingSettings

RANDOM = "random"
WHOLE_NUMBERS = (
    "max_source_length",
    "max_target_length",
    "new_sentencepiece",
    "hidden_size",
    "num_hidden_layers",
    "num_attention_heads",
    "intermediate_size",
    "limit",
)


@dataclass(frozen=True)
class FinetuneSettings:
    """Models, files and lengths; how to train is in `training`.

    Attributes:
        encoder: a folder or a name on the hub; random for random weights of the decoder's
            config, random:FOLDER for those of another config
        decoder: likewise, with the encoder's config; if both are random, the sizes below are
            those of each half.
        train: file of the examples to train on: .tsv or .jsonl, or .gz
        output: the folder to write
        eval: file of the held-out examples
        source_column: number, from 1, or name of the sources' column; 1, or source in .jsonl
        target_column: likewise of the targets; 2, or target in .jsonl
        tie: whether the encoder's parameters are the decoder's, too
        cross_attention_init: random, or self to copy each layer's self-attention
        max_source_length: the most tokens of a source; longer ones are cut, and counted.
        max_target_length: the most tokens of a target, the end token included; likewise
        limit: train on the first so many examples only
        new_sentencepiece: train a vocabulary of so many pieces on the training texts; for models
            that are random on both sides
        hidden_size: of a random model
        num_hidden_layers: of each half of a random model
        num_attention_heads: of a random model
        intermediate_size: of a random model
        training: how to train
    """

    encoder: str
    decoder: str
    train: str
    output: str
    eval: str | None = None
    source_column: str | None = None
    target_column: str | None = None
    tie: bool = False
    cross_attention_init: str = "random"
    max_source_length: int = 128
    max_target_length: int = 128
    limit: int | None = None
    new_sentencepiece: int | None = None
    hidden_size: int = 256
    num_hidden_layers: int = 4
    num_attention_heads: int = 4
    intermediate_size: int = 1024
    training: TrainingSettings = field(default_factory=TrainingSettings)

    def __post_init__(self) -> None:
        for name in WHOLE_NUMBERS:
            value = getattr(self, name)
            whole = isinstance(value, int) and not isinstance(value, bool)
            if value is not None and not (whole and value >= 1):
                raise ValueError(f"{name} must be a whole number of at least 1, got {value!r}")
        if not isinstance(self.tie, bool):
            raise ValueError(f"tie must be true or false, got {self.tie!r}")
        if self.new_sentencepiece and not (is_random(self.encoder) and is_random(self.decoder)):
            raise ValueError(
                "new_sentencepiece makes a new vocabulary, which the embeddings of a pretrained "
                f"model do not know; got encoder {self.encoder} and decoder {self.decoder}: "
                "make both random, or keep their tokenizer"
            )

    def to_dict(self) -> dict[str, Any]:
        """Return all settings in one flat dict, as a file holds them."""
        own = {name: getattr(self, name) for name in OWN_NAMES}
        return {**own, **self.training.to_dict()}


TRAINING_NAMES = tuple(field.name for field in fields(TrainingSettings))
OWN_NAMES = tuple(field.name for field in fields(FinetuneSettings) if field.name != "training")
NEEDED = tuple(
    field.name
    for field in fields(FinetuneSettings)
    if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
)


def is_random(part: str) -> bool:
    """Whether half of a model starts with random weights: "random" or "random:FOLDER"."""
    return part.split(":")[0] == RANDOM


def finetune_settings(values: Mapping[str, Any]) -> FinetuneSettings:
    """Make settings of a flat dict.

    Args:
        values: fields of FinetuneSettings and of TrainingSettings

    Raises:
        ValueError: if a name is unknown or a needed one is missing, or a value does not fit.
    """
    known = (*OWN_NAMES, *TRAINING_NAMES)
    for name in values:
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {close[0]}" if close else f"known are {', '.join(known)}"
            raise ValueError(f"there is no setting {name}; {hint}")
    missing = [name for name in NEEDED if not values.get(name)]
    if missing:
        raise ValueError(f"finetune needs {', '.join(missing)}; give it as an option or in a file")
    training = {name: value for name, value in values.items() if name in TRAINING_NAMES}
    if "freeze" in training:
        training["freeze"] = tuple(training["freeze"])
    own = {name: value for name, value in values.items() if name in OWN_NAMES}
    return FinetuneSettings(**own, training=TrainingSettings(**training))


def read_settings(path: str | Path) -> dict[str, Any]:
    """Read a flat dict of settings from a file .json or .toml.

    Raises:
        ValueError: if the file is neither, or holds something else.
        OSError: if it cannot be read.
    """
    path = Path(path)
    readers = {".json": json.loads, ".toml": tomllib.loads}
    if path.suffix not in readers:
        raise ValueError(f"a file of settings ends in .json or .toml, got {path.name}")
    try:
        values = readers[path.suffix](path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} must hold {path.suffix[1:].upper()}: {error}") from error
    if not isinstance(values, dict):
        raise ValueError(f"{path} must hold names and values, got {type(values).__name__}")
    return values
