"""What all configs can do, and how a config.json is read."""

import dataclasses
import difflib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Self

from minibert2bert.checkpoints.folders import recover


@dataclass
class ModelConfig:
    """What all configs can do: come from a dict or a folder, and go back there.

    Attributes:
        other: keys of the file that this package does not use; kept, readable as attributes
            and written back
    """

    model_type: ClassVar[str]
    also_reads: ClassVar[tuple[str, ...]] = ()
    other: dict[str, Any] = field(default_factory=dict, kw_only=True, repr=False)

    @property
    def num_segments(self) -> int:
        """The number of kinds of segments; 0 in families that do not tell them apart."""
        return 0

    @classmethod
    def field_names(cls) -> list[str]:
        """List the settings that this package knows."""
        return [f.name for f in dataclasses.fields(cls) if f.name != "other"]

    @classmethod
    def from_dict(cls, settings: dict[str, Any], **overrides: Any) -> Self:
        """Build a config from the contents of a config.json.

        Args:
            settings: the file's keys and values
            overrides: fields to use instead of the file's

        Raises:
            ValueError: if an override is no field of this config; the message names the closest.
        """
        names = cls.field_names()
        for name in overrides:
            if name not in names:
                close = difflib.get_close_matches(name, names, n=1)
                hint = f"; did you mean {close[0]}?" if close else ""
                raise ValueError(f"{cls.__name__} has no setting {name!r}{hint}")
        known = {name: settings[name] for name in names if name in settings}
        unknown = {k: v for k, v in settings.items() if k not in (*names, "model_type")}
        return cls(**{**known, **overrides}, other=unknown)

    @classmethod
    def from_pretrained(cls, folder: str | Path, **overrides: Any) -> Self:
        """Read a folder's config.json.

        Raises:
            FileNotFoundError: if there is none.
            ValueError: if it is not JSON, or belongs to another model type.
        """
        settings = read_config(folder)
        found = settings.get("model_type", cls.model_type).replace("_", "-")
        if found not in (cls.model_type, *cls.also_reads):
            raise ValueError(
                f"{cls.__name__} reads model_type {cls.model_type!r}, but "
                f"{Path(folder) / 'config.json'} says {found!r}; use the class of that type"
            )
        return cls.from_dict(settings, **overrides)

    def to_dict(self) -> dict[str, Any]:
        """Return the contents of a config.json; what has its default is written too."""
        fields = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        del fields["other"]
        for name, default in (("zero_fully_masked", False), ("add_pooling_layer", True)):
            if fields.get(name) == default:
                del fields[name]
        return {**self.other, "model_type": self.model_type, **fields}

    def to_json(self) -> str:
        """Return the text of a config.json."""
        return json.dumps(self.to_dict(), indent=2, sort_keys=True) + "\n"

    def replace(self, **changes: Any) -> Self:
        """Return a copy with some fields changed."""
        return dataclasses.replace(self, **changes)

    def __getattr__(self, name: str) -> Any:
        other = self.__dict__.get("other", {})
        if name in other:
            return other[name]
        raise AttributeError(f"{type(self).__name__} has no setting {name!r}")


def check_heads(hidden_size: int, heads: int) -> None:
    """Refuse a width that the heads cannot share evenly.

    Raises:
        ValueError: if the heads do not divide the hidden size.
    """
    if hidden_size % heads:
        raise ValueError(
            f"hidden_size must be a multiple of num_attention_heads, got {hidden_size} and {heads}"
        )


def check_pad(pad_token_id: int | None, vocab_size: int) -> None:
    """Refuse a pad token outside of the vocabulary.

    Raises:
        ValueError: if it is.
    """
    if pad_token_id is not None and not 0 <= pad_token_id < vocab_size:
        raise ValueError(f"pad_token_id must be below vocab_size {vocab_size}, got {pad_token_id}")


def read_config(folder: str | Path) -> dict[str, Any]:
    """Read a folder's config.json as a dict.

    Raises:
        FileNotFoundError: if there is none; the message lists what is there.
        ValueError: if it is not a JSON object.
    """
    recover(folder)
    path = Path(folder) / "config.json"
    if not path.is_file():
        found = sorted(p.name for p in path.parent.iterdir()) if path.parent.is_dir() else None
        content = "there is no such folder" if found is None else f"it holds {found or 'nothing'}"
        raise FileNotFoundError(f"{folder} must be a model's folder with config.json; {content}")
    try:
        settings = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not readable as JSON ({error}); copy the file again") from None
    if not isinstance(settings, dict):
        raise ValueError(f"{path} must hold a JSON object, got {type(settings).__name__}")
    return settings
