"""Choose the class by the model_type of a config."""

from pathlib import Path
from typing import Any, ClassVar

from minibert2bert.hub import resolve_with
from minibert2bert.models.config import ModelConfig, config_from_dict, read_config
from minibert2bert.models.encoder_decoder import EncoderDecoderModel
from minibert2bert.models.families import DECODERS, ENCODERS
from minibert2bert.models.pretrained import PretrainedModel


class AutoConfig:
    """A config of whatever type a folder says."""

    @staticmethod
    def from_pretrained(folder: str | Path, **overrides: Any) -> ModelConfig:
        """Read a folder's config.json.

        Args:
            folder: with a config.json, or a model's name on the hub
            overrides: fields to use instead of the file's, and options of hub.resolve

        Raises:
            FileNotFoundError: if there is none.
            ValueError: if its model_type is unknown; the message lists the known ones.
        """
        found = resolve_with(folder, overrides)
        return config_from_dict(read_config(found), **overrides)


class _AutoModel:
    """What the three kinds of choosing share: a table from model_type to class."""

    classes: ClassVar[dict[str, Any]]

    @classmethod
    def from_pretrained(cls, folder: str | Path, **options: Any) -> Any:
        """Load a folder with the class that its config.json asks for.

        Args:
            folder: with a config.json and the parameters, or a model's name on the hub
            options: those of PretrainedModel.from_pretrained

        Raises:
            FileNotFoundError: if the folder or one of its files is missing.
            ValueError: if there is no class of this kind for the model_type.
        """
        found = resolve_with(folder, options)
        model_type = AutoConfig.from_pretrained(found).model_type
        return cls.class_of(model_type).from_pretrained(found, **options)

    @classmethod
    def from_config(cls, config: ModelConfig, **options: Any) -> Any:
        """Make a fresh model of the class that belongs to a config."""
        return cls.class_of(config.model_type)(config, **options)

    @classmethod
    def class_of(cls, model_type: str) -> type[PretrainedModel]:
        """Find the class for a model_type.

        Raises:
            ValueError: if there is none.
        """
        if model_type not in cls.classes:
            raise ValueError(
                f"{cls.__name__} has no class for model_type {model_type!r}; it has "
                f"{sorted(cls.classes)}"
            )
        return cls.classes[model_type]


class AutoModel(_AutoModel):
    """A stack without a head, or an encoder-decoder."""

    classes: ClassVar = {**ENCODERS, "encoder-decoder": EncoderDecoderModel}


class AutoModelForCausalLM(_AutoModel):
    """A decoder with its head."""

    classes: ClassVar = dict(DECODERS)


class AutoModelForSeq2SeqLM(_AutoModel):
    """An encoder-decoder."""

    classes: ClassVar = {"encoder-decoder": EncoderDecoderModel}
