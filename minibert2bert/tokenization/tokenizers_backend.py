"""What the families share whose rule from text to ids is that of the library tokenizers."""

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from minibert2bert.tokenization.token_table import TokenTable
from minibert2bert.tokenization.tokenizer_files import read_json
from minibert2bert.tokenization.vocabulary import AddedToken, Ids


def import_tokenizers() -> Any:
    """Import the library tokenizers.

    Raises:
        ModuleNotFoundError: if it is not installed.
    """
    try:
        import tokenizers
    except ModuleNotFoundError:
        raise ModuleNotFoundError(
            "the library tokenizers is not installed, and WordPiece and byte-level tokenizers "
            "need it: pip install minibert2bert[hub]"
        ) from None
    return tokenizers


class LibraryVocabulary(ABC):
    """Tokens with ids, and the library's pipeline, which cuts a text into them.

    The pipeline normalises a text, cuts it into words, and these into tokens. It knows nothing of
    special tokens, templates, padding and truncation.

    Attributes:
        ids: token to id
        size: one more than the highest id
        unknown_id: the id of what the pipeline does not know, if there is one
        pipeline: a tokenizers.Tokenizer, from connect on
        added: the tokens that were added to this vocabulary
    """

    pipeline: Any

    def __init__(self, ids: Mapping[str, int]) -> None:
        self.ids = dict(ids)
        self.by_id = {index: token for token, index in self.ids.items()}
        self.size = max(self.by_id, default=-1) + 1
        self.unknown_id: int | None = None
        self.added: Mapping[str, int] = {}

    @abstractmethod
    def make_pipeline(self, ids: dict[str, int], unknown: str | None) -> Any:
        """Make a tokenizers.Tokenizer of these ids; unknown stands for what they do not cover."""

    def connect(self, table: TokenTable) -> None:
        """Make the pipeline, now that all special tokens have their ids.

        The id of the unknown token can be one that the table has added.

        Raises:
            ValueError: if the library refuses the files.
        """
        import_tokenizers()
        unknown, ids = table.roles.get("unk_token"), self.ids
        if unknown is not None:
            self.unknown_id = table.convert_tokens_to_ids(unknown)
            ids = {**ids, unknown: self.unknown_id}
        self.added = table.ids
        try:
            self.pipeline = self.make_pipeline(ids, unknown)
        except Exception as error:
            # The library raises nothing more special, whatever is wrong.
            raise ValueError(
                f"the vocabulary is not usable ({error}); take all its files from one folder"
            ) from error
        table.neighbour = r"\w"
        if self.pipeline.normalizer is not None:
            table.normalize = self.normalize

    def normalize(self, text: str) -> str:
        """Bring a text into the form in which the pipeline looks for tokens."""
        normalized: str = self.pipeline.normalizer.normalize_str(text)
        return normalized

    def find(self, token: str) -> int | None:
        """Look up the id of a token; None if it is not in the vocabulary."""
        return self.ids.get(token)

    def tokens(self, ids: Ids) -> list[str]:
        """Look up the tokens of ids; an id that a file left out has an empty one."""
        return [self.by_id.get(index, "") for index in ids]

    def encode(self, texts: list[str]) -> list[Ids]:
        """Turn each text into ids."""
        encodings = self.pipeline.encode_batch_fast(texts, add_special_tokens=False)
        return [encoding.ids for encoding in encodings]

    def tokenize(self, text: str) -> list[str]:
        """Turn a text into tokens."""
        tokens: list[str] = self.pipeline.encode(text, add_special_tokens=False).tokens
        return tokens

    @abstractmethod
    def join(self, tokens: list[str]) -> str:
        """Turn tokens into a text."""

    def to_json(self, added: Mapping[int, AddedToken], template: Any) -> bytes:
        """Write tokenizer.json, with which the library does all that a tokenizer here does.

        Args:
            added: the added tokens by id
            template: the post-processor of the library that fills in the special tokens, or None
        """
        copy = import_tokenizers().Tokenizer.from_str(self.pipeline.to_str())
        if template is not None:
            copy.post_processor = template
        content = json.loads(copy.to_str())
        content["added_tokens"] = [{"id": i, **asdict(token)} for i, token in added.items()]
        content["model"]["vocab"] = self.ids
        return json.dumps(content, ensure_ascii=False, indent=2).encode()


def read_tokenizer_json(path: str | Path | None, model: str) -> dict[str, Any]:
    """Read tokenizer.json; {} without a path.

    Its "truncation" and "padding" are some call's of long ago, and its template and decoder are
    the family's anyway: none of them is read.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it holds another kind of model.
    """
    if path is None:
        return {}
    if not Path(path).is_file():
        raise FileNotFoundError(f"there is no file {path}")
    content = read_json(Path(path))
    found = content.get("model", {})
    if found.get("type", model) != model or not isinstance(found.get("vocab"), dict):
        raise ValueError(f"{path} must hold a {model} model, got {found.get('type')!r}")
    return content


def with_tokens_of(content: Mapping[str, Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    """Add the added tokens of a tokenizer.json to the settings of a tokenizer, which win.

    What is special in either, and has no role, becomes an additional special token.
    """
    tokens = {token["id"]: AddedToken.read(token) for token in content.get("added_tokens", ())}
    given = settings.get("added_tokens_decoder") or {}
    tokens |= {int(index): AddedToken.read(token) for index, token in given.items()}
    names = ("extra_special_tokens", "additional_special_tokens")
    special = next((settings[name] for name in names if settings.get(name)), ())
    unnamed = [token for token in tokens.values() if token.special]
    others = {name: value for name, value in settings.items() if name not in names}
    return {
        **others,
        "added_tokens_decoder": tokens,
        "additional_special_tokens": [*special, *unnamed],
    }
