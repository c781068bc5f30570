"""What a family of tokenizers adds, and the tokens that can be added to it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Protocol, TypeAlias

Ids: TypeAlias = list[int]

ROLES = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")


class Vocabulary(Protocol):
    """What a family of tokenizers adds: its tokens, and its rule from plain text to ids."""

    @property
    def size(self) -> int:
        """The number of tokens."""

    @property
    def unknown_id(self) -> int | None:
        """The id of what it does not know, if there is one."""

    def find(self, token: str) -> int | None:
        """Look up the id of a token; None if it is not in the vocabulary."""

    def tokens(self, ids: Ids) -> list[str]:
        """Look up the tokens of ids in [0, size)."""

    def encode(self, texts: list[str]) -> list[Ids]:
        """Turn each text into ids."""

    def tokenize(self, text: str) -> list[str]:
        """Turn a text into tokens."""

    def join(self, tokens: list[str]) -> str:
        """Turn tokens into a text."""


@dataclass(frozen=True)
class AddedToken:
    """A string that is one token wherever a text has it; the fields are those of the files."""

    content: str
    single_word: bool = False  # found only as a whole word
    lstrip: bool = False  # swallows the whitespace on its left
    rstrip: bool = False  # swallows the whitespace on its right
    normalized: bool = True
    special: bool = False  # can be left out by decode

    @classmethod
    def read(cls, token: Any, special: bool = False) -> "AddedToken":
        """Make a token of a string or of an object in a file.

        Args:
            token: a string, an object of tokenizer_config.json, or an AddedToken
            special: what a string becomes

        Raises:
            ValueError: if it is none of these, or empty.
        """
        if isinstance(token, str):
            token = cls(token, special=special, normalized=not special)
        elif isinstance(token, Mapping) and isinstance(token.get("content"), str):
            names = [field.name for field in fields(cls)]
            token = cls(**{name: token[name] for name in names if name in token})
        if not isinstance(token, AddedToken) or not token.content:
            raise ValueError(f"a token must be a string of at least one character, got {token!r}")
        return token

    def pattern(self, neighbour: str) -> str:
        """Return the regular expression that finds the token.

        Args:
            neighbour: matches what may not stand beside a single word.
        """
        content = re.escape(self.content)
        return f"(?<!{neighbour}){content}(?!{neighbour})" if self.single_word else content
