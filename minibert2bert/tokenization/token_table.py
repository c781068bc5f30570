"""All tokens of a tokenizer: a vocabulary, what was added to it, and the special tokens' roles."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import chain
from typing import Any

from minibert2bert.tokenization.vocabulary import ROLES, AddedToken, Ids, Vocabulary


class TokenTable:
    """A vocabulary, the tokens added to it, and the roles of the special ones.

    Attributes:
        vocabulary: the family's own tokens
        by_id, ids: the added tokens by id, and the ids by string
        roles: the token of every role that was named; None for an empty role
        additional_special_tokens: special tokens without a role
        normalize: brings a text into the form in which tokens marked as normalized are found; None
            finds all as they are written.
        neighbour: a regular expression for what may not stand beside a token for single words
    """

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.vocabulary = vocabulary
        self.by_id: dict[int, AddedToken] = {}
        self.ids: dict[str, int] = {}
        self.roles: dict[str, str | None] = {}
        self.additional_special_tokens: list[str] = []
        self.normalize: Callable[[str], str] | None = None
        self.neighbour = "[^ ]"
        self._finders: tuple[_Finder, _Finder] | None = None

    def __len__(self) -> int:
        """The number of all tokens, which is also the next free id."""
        size = self.vocabulary.size
        return size + sum(index >= size for index in self.by_id)

    @property
    def special_tokens_map(self) -> dict[str, str]:
        """The special tokens that have a role, by role."""
        return {role: token for role, token in self.roles.items() if token is not None}

    @property
    def all_special_tokens(self) -> list[str]:
        """The special tokens, each once."""
        tokens = [*self.special_tokens_map.values(), *self.additional_special_tokens]
        return list(dict.fromkeys(tokens))

    @property
    def all_special_ids(self) -> Ids:
        """The ids of all_special_tokens."""
        ids: Ids = self.convert_tokens_to_ids(self.all_special_tokens)
        return ids

    @property
    def added_tokens_decoder(self) -> dict[int, AddedToken]:
        """The tokens that are found before the vocabulary's own rule, by id."""
        return dict(sorted(self.by_id.items()))

    def get_vocab(self) -> dict[str, int]:
        """Return the id of every token."""
        indices = list(range(self.vocabulary.size))
        return dict(zip(self.vocabulary.tokens(indices), indices, strict=True)) | self.ids

    def add_tokens(self, new_tokens: Iterable[Any], special_tokens: bool = False) -> int:
        """Make strings single tokens; those not in the vocabulary get the next free ids.

        Args:
            new_tokens: strings, or AddedToken for more than the string
            special_tokens: whether decode can skip them

        Returns:
            how many ids are new: the model's embeddings need as many more rows.
        """
        size = len(self)
        for given in [new_tokens] if isinstance(new_tokens, str | AddedToken) else new_tokens:
            token = AddedToken.read(given, special_tokens)
            self._add(replace(token, special=token.special or special_tokens))
            if (token.special or special_tokens) and token.content not in self.all_special_tokens:
                self.additional_special_tokens.append(token.content)
        return len(self) - size

    def add_special_tokens(self, special_tokens_dict: Mapping[str, Any]) -> int:
        """Give roles to tokens, and add those that the vocabulary lacks.

        Args:
            special_tokens_dict: a token for each role, such as {"pad_token": "<pad>"}; None empties
                a role. "additional_special_tokens" takes a list.

        Returns:
            how many ids are new: the model's embeddings need as many more rows.

        Raises:
            ValueError: if there is no such role.
        """
        size = len(self)
        for role, given in special_tokens_dict.items():
            if role in ("additional_special_tokens", "extra_special_tokens"):
                self.add_tokens(given, special_tokens=True)
            elif role not in ROLES:
                raise ValueError(f"a special token's role must be one of {ROLES}, got {role!r}")
            elif given is None:
                self.roles[role] = None
            else:
                token = replace(AddedToken.read(given, special=True), special=True)
                self._add(token)
                self.roles[role] = token.content
        return len(self) - size

    def _add(self, token: AddedToken) -> None:
        index = self._find(token.content)
        if token.content in self.ids:
            known = self.by_id[self.ids[token.content]]
            token = replace(known, special=known.special or token.special)
        self.put(len(self) if index is None else index, token)

    def put(self, index: int, token: AddedToken) -> None:
        """Give a token an id, as a file has it."""
        self.by_id[index] = token
        self.ids[token.content] = index
        self._finders = None

    def assign(self, role: str, token: str | None) -> None:
        """Give a role to a token that exists already.

        Raises:
            ValueError: if it does not exist.
        """
        if token is not None and self._find(token) is None:
            raise ValueError(
                f"{role} must be in the vocabulary, got {token!r}; "
                f"add it with tokenizer.add_special_tokens({{{role!r}: {token!r}}})"
            )
        self.roles[role] = token

    def _find(self, token: str) -> int | None:
        return self.ids[token] if token in self.ids else self.vocabulary.find(token)

    def convert_tokens_to_ids(self, tokens: Any) -> Any:
        """Look up the id of a token, or the ids of several; unknown ones get the unknown id."""
        if not isinstance(tokens, str):
            return [self.convert_tokens_to_ids(token) for token in tokens]
        index = self._find(tokens)
        return self.vocabulary.unknown_id if index is None else index

    def convert_ids_to_tokens(self, ids: Any, skip_special_tokens: bool = False) -> Any:
        """Look up the token of an id, or the tokens of several.

        Raises:
            ValueError: if an id is not in the vocabulary.
        """
        ids = as_lists(ids)
        if not isinstance(ids, list):
            return self.convert_ids_to_tokens([ids])[0]
        skipped = set(self.all_special_ids) if skip_special_tokens else ()
        ids = [index for index in ids if index not in skipped]
        plain = [index for index in ids if index not in self.by_id]
        size = self.vocabulary.size
        if not all(type(index) is int and 0 <= index < size for index in plain):
            wrong = next(i for i in plain if type(i) is not int or not 0 <= i < size)
            hint = "; replace -100 by pad_token_id before decoding" if wrong == -100 else ""
            raise ValueError(
                f"ids must be in [0, {len(self)}), the vocabulary, got {wrong!r}{hint}"
            )
        tokens = iter(self.vocabulary.tokens(plain))
        return [self._shown(self.by_id[i]) if i in self.by_id else next(tokens) for i in ids]

    def encode(self, texts: list[str]) -> list[Ids]:
        """Turn texts into ids; all that is between added tokens in one call of the vocabulary."""
        split = [list(self._split(text)) for text in texts]
        plain = [part for parts in split for part, index in parts if index is None]
        encoded = self._plain_ids(plain)
        rows: list[Ids] = []
        for parts in split:
            ids = (next(encoded) if index is None else [index] for _, index in parts)
            rows.append(list(chain.from_iterable(ids)))
        return rows

    def _plain_ids(self, texts: list[str]) -> Iterator[Ids]:
        for text, ids in zip(texts, self.vocabulary.encode(texts), strict=True):
            # What the vocabulary does not know can become an added token by its normalisation.
            unknown = self.vocabulary.unknown_id in ids
            yield self.convert_tokens_to_ids(self.vocabulary.tokenize(text)) if unknown else ids

    def tokenize(self, text: str) -> list[str]:
        """Turn a text into tokens."""
        tokens = []
        for part, index in self._split(text):
            tokens += self.vocabulary.tokenize(part) if index is None else [part]
        return tokens

    def _split(self, text: str) -> Iterator[tuple[str, int | None]]:
        """Cut the text at the added tokens: each part, with its id if it is one of them."""
        if self._finders is None:
            self._finders = self._make_finders()
        written, normal = self._finders
        for part, index in self._cut(text, written):
            if index is not None or not normal.ids or self.normalize is None:
                yield part, index
            else:
                yield from self._cut(self.normalize(part), normal)

    def _make_finders(self) -> "tuple[_Finder, _Finder]":
        shown = {i: replace(token, content=self._shown(token)) for i, token in self.by_id.items()}
        normal = {i: t for i, t in shown.items() if t.normalized and self.normalize is not None}
        written = {i: token for i, token in shown.items() if i not in normal}
        return _Finder(written, self.neighbour), _Finder(normal, self.neighbour)

    def _shown(self, token: AddedToken) -> str:
        normalize = self.normalize if token.normalized else None
        return token.content if normalize is None else normalize(token.content)

    def _cut(self, text: str, finder: "_Finder") -> Iterator[tuple[str, int | None]]:
        end, left = 0, None
        for match in finder.pattern.finditer(text):
            index = finder.ids[match.group()]
            right = self.by_id[index]
            if plain := _strip(text[end : match.start()], left, right):
                yield plain, None
            yield match.group(), index
            end, left = match.end(), right
        if plain := _strip(text[end:], left, None):
            yield plain, None


class _Finder:
    """A regular expression that finds tokens, and their ids."""

    def __init__(self, tokens: Mapping[int, AddedToken], neighbour: str) -> None:
        self.ids = {token.content: index for index, token in tokens.items() if token.content}
        # Of several alternatives re takes the first that fits: the longest stand first.
        longest = sorted(tokens.values(), key=lambda token: -len(token.content))
        patterns = [token.pattern(neighbour) for token in longest if token.content]
        self.pattern = re.compile("|".join(patterns) or "(?!)")


def _strip(text: str, left: AddedToken | None, right: AddedToken | None) -> str:
    text = text.lstrip() if left and left.rstrip else text
    return text.rstrip() if right and right.lstrip else text


def as_lists(ids: Any) -> Any:
    """Turn arrays, and lists of arrays, into lists of Python's own numbers."""
    if hasattr(ids, "tolist"):
        return ids.tolist()
    if not isinstance(ids, list | tuple) or set(map(type, ids)) == {int}:
        return list(ids) if isinstance(ids, tuple) else ids
    return [as_lists(row) for row in ids]
