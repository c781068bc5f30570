"""What every tokenizer shares: added tokens, the call, padding, decoding, and the files.

A family adds a Vocabulary, its template and its vocabulary file; see PretrainedTokenizer.
"""

import json
import os
import re
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from itertools import chain
from pathlib import Path
from typing import Any, ClassVar, Protocol, Self, TypeAlias

import numpy as np

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
    single_word: bool = False  # found only between spaces or at the ends of the text
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

    def pattern(self) -> str:
        """Return the regular expression that finds the token."""
        content = re.escape(self.content)
        return f"(?<![^ ]){content}(?![^ ])" if self.single_word else content


class TokenTable:
    """A vocabulary, the tokens added to it, and the roles of the special ones.

    Attributes:
        vocabulary: the family's own tokens
        by_id, ids: the added tokens by id, and the ids by string
        roles: the token of every role that was named; None for an empty role
        additional_special_tokens: special tokens without a role
    """

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.vocabulary = vocabulary
        self.by_id: dict[int, AddedToken] = {}
        self.ids: dict[str, int] = {}
        self.roles: dict[str, str | None] = {}
        self.additional_special_tokens: list[str] = []
        self._pattern: re.Pattern[str] | None = None

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
        self._pattern = None

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
        return [self.by_id[i].content if i in self.by_id else next(tokens) for i in ids]

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
        if self._pattern is None:
            # Of several alternatives re takes the first that fits: the longest stand first.
            tokens = sorted(self.by_id.values(), key=lambda token: -len(token.content))
            self._pattern = re.compile("|".join(token.pattern() for token in tokens) or "(?!)")
        end, left = 0, None
        for match in self._pattern.finditer(text):
            index = self.ids[match.group()]
            right = self.by_id[index]
            if plain := _strip(text[end : match.start()], left, right):
                yield plain, None
            yield right.content, index
            end, left = match.end(), right
        if plain := _strip(text[end:], left, None):
            yield plain, None


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


NO_LIMIT = int(1e30)
"""The model_max_length of a tokenizer that knows no limit, as the files write it."""

SIDES = {"right": "right", "left": "left"}
PADDING = {False: "", "do_not_pad": "", True: "longest", "longest": "longest"}
PADDING |= {"max_length": "max_length"}
TRUNCATION = {False: "", "do_not_truncate": "", True: "longest_first"}
TRUNCATION |= {name: name for name in ("longest_first", "only_first", "only_second")}
FILL = {"attention_mask": 0, "token_type_ids": 0, "special_tokens_mask": 1}


class BatchEncoding(dict[str, Any]):
    """What a tokenizer returns: a dict whose keys are attributes too, as in enc.input_ids."""

    def __getattr__(self, name: str) -> Any:
        if name in self:
            return self[name]
        raise AttributeError(f"this encoding has {sorted(self)}, no {name!r}")

    def convert_to_tensors(self, tensor_type: str | None) -> Self:
        """Turn every list into an int64 array, if tensor_type is "np".

        Raises:
            ValueError: if it is another type, or the rows of a list differ in length.
        """
        if tensor_type not in (None, "np"):
            raise ValueError(f'return_tensors="np" gives arrays, got {tensor_type!r}')
        for name, rows in self.items() if tensor_type else ():
            lengths = {len(row) for row in rows if isinstance(row, list)}
            if len(lengths) > 1:
                raise ValueError(
                    f"the rows of {name} have {min(lengths)} to {max(lengths)} entries, which make "
                    "no array; pass padding=True, or leave out return_tensors"
                )
            self[name] = np.array(rows, dtype=np.int64)
        return self


def as_rows(text: Any, text_pair: Any = None) -> list[tuple[str, ...]]:
    """Bring what a tokenizer accepts into one form: rows of one string, or of two for a pair.

    Raises:
        ValueError: if there is no row, or something else than strings in one.
    """
    if not isinstance(text, list | tuple):
        text, text_pair = [text], None if text_pair is None else [text_pair]
    if not text:
        raise ValueError("text must be a string or a list of strings, got an empty list")
    if text_pair is None:
        rows = [tuple(row) if isinstance(row, list | tuple) else (row,) for row in text]
    elif isinstance(text_pair, list | tuple) and len(text_pair) == len(text):
        rows = list(zip(text, text_pair, strict=True))
    else:
        raise ValueError(f"text_pair must be a list of {len(text)} strings, as many as text")
    for position, row in enumerate(rows):
        wrong = [type(part).__name__ for part in row if not isinstance(part, str)]
        if wrong or not 1 <= len(row) <= 2:
            got = wrong[0] if wrong else f"{len(row)} of them"
            raise ValueError(
                f"text must be strings, or pairs of strings, got {got} at position {position}"
            )
    return rows


def as_batch(encoded: Any) -> tuple[dict[str, Any], bool]:
    """Bring what pad accepts into one form: lists of rows, and whether it was a single row.

    Raises:
        ValueError: if input_ids are missing.
    """
    if not isinstance(encoded, Mapping):
        names = encoded[0] if encoded else {}
        encoded = {name: [row[name] for row in encoded] for name in names}
    batch = {name: as_lists(rows) for name, rows in encoded.items()}
    if "input_ids" not in batch:
        raise ValueError(f"an encoding to pad must have input_ids, got {list(batch)}")
    single = not any(isinstance(row, list) for row in batch["input_ids"])
    return {name: [rows] if single else rows for name, rows in batch.items()}, single


def choose(name: str, value: Any, choices: Mapping[Any, str]) -> str:
    """Look up an option among its allowed values.

    Raises:
        ValueError: if it is not one of them.
    """
    try:
        return choices[value]
    except (KeyError, TypeError):
        raise ValueError(f"{name} must be one of {list(choices)}, got {value!r}") from None


def truncate(row: Sequence[Ids], room: int, strategy: str, side: str) -> list[Ids]:
    """Shorten a text, or a pair of texts, until both together have at most room ids.

    Args:
        row: the ids of one text, or of two
        room: how many ids may stay; below 0 counts as 0.
        strategy: "longest_first" takes single ids from the longer text, of equals from the second;
            "only_first" and "only_second" take from one, and no more than it has.
        side: where ids are taken away, "right" or "left"
    """
    room, first, second = max(room, 0), len(row[0]), len(row[1]) if len(row) == 2 else 0
    if strategy == "only_first":
        keep = [max(room - second, 0), second]
    elif strategy == "only_second":
        keep = [first, max(room - first, 0)]
    else:
        keep_second = min(second, max(room // 2, room - first))
        keep = [room - keep_second, keep_second]
    if side == "right":
        return [ids[:count] for ids, count in zip(row, keep, strict=False)]
    return [ids[max(len(ids) - count, 0) :] for ids, count in zip(row, keep, strict=False)]


@dataclass(frozen=True)
class Lengths:
    """How long rows may be and shall become, as one call asks for it.

    Attributes:
        padding: "", "longest" or "max_length"
        truncation: "", "longest_first", "only_first" or "only_second"
        max_length: in ids, special tokens included; None if nothing depends on it
        multiple: padded rows get a multiple of this length, if it is given.
        side: where rows are filled up, "right" or "left"
    """

    padding: str
    truncation: str
    max_length: int | None
    multiple: int | None
    side: str

    @classmethod
    def choose(
        cls,
        padding: Any,
        truncation: Any,
        max_length: int | None,
        multiple: int | None,
        side: str,
        limit: int,
    ) -> "Lengths":
        """Check the options of a call; limit is the tokenizer's model_max_length.

        Raises:
            ValueError: if an option has no such value, or two exclude each other.
        """
        if truncation is None:
            truncation = max_length is not None and padding is False
        padding = choose("padding", padding, PADDING)
        truncation = choose("truncation", truncation, TRUNCATION)
        if max_length is None and (truncation or padding == "max_length"):
            max_length = limit if limit < NO_LIMIT else None
            if max_length is None:
                warnings.warn(
                    "neither max_length nor the tokenizer's model_max_length sets a limit, so "
                    "nothing is truncated, or padded to it; pass max_length",
                    stacklevel=3,
                )
                truncation = ""
        side = choose("padding_side", side, SIDES)
        return cls(padding, truncation, max_length, multiple, side)._checked()

    def _checked(self) -> Self:
        for name, value in (("max_length", self.max_length), ("pad_to_multiple_of", self.multiple)):
            if value is not None and (not isinstance(value, int | np.integer) or value < 1):
                raise ValueError(f"{name} must be a whole number of at least 1, got {value!r}")
        if self.padding and self.truncation and (self.max_length or 0) % (self.multiple or 1):
            raise ValueError(
                f"rows cannot end at max_length={self.max_length} and have a multiple of "
                f"pad_to_multiple_of={self.multiple} ids; make one a multiple of the other"
            )
        if self.padding == "longest" and self.max_length is not None and not self.truncation:
            warnings.warn(
                "padding=True pads to the longest row and max_length has no effect; pass padding="
                '"max_length" to pad to it, truncation=True to cut there',
                stacklevel=4,
            )
        return self

    def cut(self, row: Sequence[Ids], reserved: int, side: str) -> list[Ids]:
        """Shorten a text, or a pair, so that with reserved special tokens it fits max_length."""
        if not self.truncation or self.max_length is None:
            return list(row)
        return truncate(row, self.max_length - reserved, self.truncation, side)

    def fill(self, batch: Mapping[str, list[Ids]], pad_id: int | None) -> dict[str, list[Ids]]:
        """Lengthen the rows of a batch to the same length.

        Raises:
            ValueError: if there is nothing to fill them with.
        """
        if not self.padding:
            return dict(batch)
        if pad_id is None:
            raise ValueError(
                "padding needs a pad token and this tokenizer has none; choose one, such as "
                "tokenizer.pad_token = tokenizer.eos_token"
            )
        length = self.max_length or 0
        if self.padding == "longest":
            length = max(map(len, batch["input_ids"]), default=0)
        length = -(-length // (self.multiple or 1)) * (self.multiple or 1)
        filled = dict(batch)
        for name, value in {"input_ids": pad_id, **FILL}.items():
            fills = [(row, [value] * (length - len(row))) for row in batch.get(name, ())]
            if fills:
                filled[name] = [r + f if self.side == "right" else f + r for r, f in fills]
        return filled


CONFIG = "tokenizer_config.json"
PRIVATE = (
    "name_or_path",
    "tokenizer_file",
    "special_tokens_map_file",
    "tokenizer_class",
    "backend",
)
"""Entries that tell how a folder was made or read once, not how the tokenizer works."""


def read_folder(folder: Path, names: Mapping[str, str], reader: str) -> dict[str, Any]:
    """Gather the arguments of a tokenizer from its folder.

    A tokenizer_config.json with added_tokens_decoder says everything. Older folders spread it:
    special_tokens_map.json wins over tokenizer_config.json, and added_tokens.json has the ids.

    Args:
        folder: as transformers or save_pretrained wrote it
        names: argument to file name, of the vocabulary
        reader: the class that asks, for the message

    Raises:
        FileNotFoundError: if a file of the vocabulary is missing; the message lists what is there.
        ValueError: if another file is not a JSON object.
    """
    missing = [name for name in names.values() if not (folder / name).is_file()]
    if missing:
        found = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else None
        content = "there is no such folder" if found is None else f"it holds {found or 'nothing'}"
        raise FileNotFoundError(f"{folder} must hold {', '.join(missing)} for {reader}; {content}")
    settings = read_json(folder / CONFIG)
    if "added_tokens_decoder" not in settings:
        settings |= read_json(folder / "special_tokens_map.json")
        roles = [AddedToken.read(settings[r], special=True) for r in ROLES if settings.get(r)]
        special = {token.content: token for token in roles}
        added = read_json(folder / "added_tokens.json")
        settings["added_tokens_decoder"] = {
            i: special.get(token, token) for token, i in added.items()
        }
    settings = {name: value for name, value in settings.items() if name not in PRIVATE}
    return settings | {argument: folder / name for argument, name in names.items()}


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object; {} if there is no such file.

    Raises:
        ValueError: if the file holds anything else.
    """
    if not path.is_file():
        return {}
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not readable as JSON ({error}); copy the file again") from None
    if not isinstance(values, dict):
        raise ValueError(f"{path} must hold a JSON object, got {type(values).__name__}")
    return values


def write_config(folder: Path, values: dict[str, Any], tokenizer_class: str) -> Path:
    """Write tokenizer_config.json, and make the folder unless it exists; return the file's path.

    Raises:
        ValueError: if the folder is a file.
    """
    if folder.is_file():
        raise ValueError(f"{folder} must be a folder to save to, but it is a file")
    folder.mkdir(parents=True, exist_ok=True)
    values = {**values, "tokenizer_class": tokenizer_class}
    text = json.dumps(values, indent=2, sort_keys=True, ensure_ascii=False)
    write_bytes(folder / CONFIG, f"{text}\n".encode())
    return folder / CONFIG


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file beside its place and move it there: no reader ever sees half of it."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        beside.write_bytes(content)
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)


OF_THE_TABLE = {
    *("special_tokens_map", "all_special_tokens", "all_special_ids", "additional_special_tokens"),
    *("added_tokens_decoder", "add_tokens", "add_special_tokens", "get_vocab"),
    *("convert_tokens_to_ids", "convert_ids_to_tokens"),
}
"""What a tokenizer answers by its TokenTable; the documentation is there."""

SAVED = (
    *("model_max_length", "padding_side", "truncation_side", "clean_up_tokenization_spaces"),
    "additional_special_tokens",
)
SPACED = (" .", " ?", " !", " ,", " ' ", " n't", " 'm", " 's", " 've", " 're")


class PretrainedTokenizer:
    """Text to ids and back, with the calls, the files and the numbers of transformers.

    A family adds its vocabulary, its template, and save_vocabulary.

    Attributes:
        pad_token, pad_token_id, and so on for all of ROLES: None where the role is empty. Assigning
            gives the role to another token of the vocabulary.
        OF_THE_TABLE: the special tokens, how to add some, and tokens to ids and back
        table: the TokenTable that answers these
        model_max_length: how many ids the model takes; NO_LIMIT if unknown
        padding_side, truncation_side: "right" or "left"
        clean_up_tokenization_spaces: whether decode removes the spaces before punctuation
        settings: what else save_pretrained writes
    """

    vocab_files_names: ClassVar[dict[str, str]] = {}
    model_input_names: ClassVar[tuple[str, ...]] = ("input_ids", "attention_mask")

    def __init__(
        self,
        vocabulary: Vocabulary,
        added_tokens_decoder: Mapping[Any, Any] | None = None,
        additional_special_tokens: Iterable[Any] | None = None,
        model_max_length: int | None = None,
        padding_side: str = "right",
        truncation_side: str = "right",
        clean_up_tokenization_spaces: bool = False,
        **settings: Any,
    ) -> None:
        """Add special tokens to a vocabulary; all but the first are entries of its config file."""
        self.model_max_length = NO_LIMIT if model_max_length is None else model_max_length
        self.padding_side = choose("padding_side", padding_side, SIDES)
        self.truncation_side = choose("truncation_side", truncation_side, SIDES)
        self.clean_up_tokenization_spaces = clean_up_tokenization_spaces
        self.table = TokenTable(vocabulary)
        for index, token in (added_tokens_decoder or {}).items():
            self.table.put(int(index), AddedToken.read(token))
        extra = settings.pop("extra_special_tokens", None) or additional_special_tokens or ()
        roles = {role: settings.pop(role) for role in ROLES if role in settings}
        self.table.add_special_tokens({**roles, "additional_special_tokens": extra})
        self.settings = settings

    def __getattr__(self, name: str) -> Any:
        table = self.__dict__.get("table")
        role = name.removesuffix("_id")
        if table is None or (role not in ROLES and name not in OF_THE_TABLE):
            raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")
        if name in OF_THE_TABLE:
            return getattr(table, name)
        token = table.roles.get(role)
        return token if token is None or name == role else table.convert_tokens_to_ids(token)

    def __setattr__(self, name: str, value: Any) -> None:
        role = name.removesuffix("_id")
        if name in OF_THE_TABLE:
            raise AttributeError(f"{name} cannot be assigned; use add_tokens or add_special_tokens")
        if role not in ROLES:
            super().__setattr__(name, value)
            return
        token = value if value is None or name == role else self.convert_ids_to_tokens(value)
        self.table.assign(role, token)

    def __len__(self) -> int:
        return len(self.table)

    @property
    def vocab_size(self) -> int:
        """The number of tokens without the added ones; len(tokenizer) counts all."""
        return self.table.vocabulary.size

    def build_inputs_with_special_tokens(self, ids: Ids, pair_ids: Ids | None = None) -> Ids:
        """Fill in the family's template; this one is the texts one after the other."""
        return ids + (pair_ids or [])

    def create_token_type_ids_from_sequences(self, ids: Ids, pair_ids: Ids | None = None) -> Ids:
        """Mark the first text and its special tokens with 0, the rest with 1."""
        first = len(self.build_inputs_with_special_tokens(ids))
        whole = len(self.build_inputs_with_special_tokens(ids, pair_ids))
        return [0] * first + [1] * (whole - first)

    def num_special_tokens_to_add(self, pair: bool = False) -> int:
        """Count what the template adds to a text, or to a pair."""
        return len(self.build_inputs_with_special_tokens([], [] if pair else None))

    def __call__(
        self,
        text: Any = None,
        text_pair: Any = None,
        text_target: Any = None,
        text_pair_target: Any = None,
        *,
        add_special_tokens: bool = True,
        padding: bool | str = False,
        truncation: bool | str | None = None,
        max_length: int | None = None,
        pad_to_multiple_of: int | None = None,
        padding_side: str | None = None,
        return_tensors: str | None = None,
        return_token_type_ids: bool | None = None,
        return_attention_mask: bool | None = None,
    ) -> BatchEncoding:
        """Turn a text, or a list of texts, into what a model takes.

        Args:
            text: a string, a list of strings, or a list of pairs of strings
            text_pair: the second texts of pairs, as many as text has
            text_target: texts that become labels, padded with pad_token_id; without text they
                become input_ids.
            text_pair_target: their second texts
            add_special_tokens: whether to fill in the family's template
            padding: False; True or "longest", to the longest row; or "max_length"
            truncation: False; True or "longest_first"; "only_first"; "only_second"; None means True
                if max_length is given and padding is not, else False.
            max_length: in ids, special tokens included; None stands for model_max_length.
            pad_to_multiple_of: padded rows get a multiple of this length.
            padding_side: "right" or "left"; None stands for the tokenizer's own.
            return_tensors: "np" for int64 arrays (B, T), None for lists
            return_token_type_ids: None leaves it to the family.
            return_attention_mask: None leaves it to the family.

        Returns:
            input_ids, and as asked attention_mask (1 a token, 0 padding), token_type_ids, labels: a
            row for each text; a flat list for a single string, unless it becomes an array.

        Raises:
            ValueError: if a text is no string, an option has no such value, there is no pad token
                to pad with, or the rows of an array would differ in length.
        """
        if text is None:
            text, text_pair, text_target = text_target, text_pair_target, None
        side, limit = padding_side or self.padding_side, self.model_max_length
        lengths = Lengths.choose(padding, truncation, max_length, pad_to_multiple_of, side, limit)
        batch = self._encode_rows(as_rows(text, text_pair), lengths, add_special_tokens)
        wanted = {"token_type_ids": return_token_type_ids, "attention_mask": return_attention_mask}
        for name, asked in wanted.items():
            if not (name in self.model_input_names if asked is None else asked):
                del batch[name]
        if text_target is not None:
            targets = as_rows(text_target, text_pair_target)
            labels = self._encode_rows(targets, lengths, add_special_tokens)
            batch["labels"] = labels["input_ids"]
        single = isinstance(text, str) and return_tensors is None
        encoding = {name: ids[0] for name, ids in batch.items()} if single else batch
        return BatchEncoding(encoding).convert_to_tensors(return_tensors)

    def _encode_rows(
        self, rows: list[tuple[str, ...]], lengths: Lengths, template: bool
    ) -> dict[str, list[Ids]]:
        encoded = iter(self.table.encode([text for row in rows for text in row]))
        batch: dict[str, list[Ids]] = {"input_ids": [], "token_type_ids": []}
        for row in rows:
            added = self.num_special_tokens_to_add(len(row) == 2) if template else 0
            parts = lengths.cut([next(encoded) for _ in row], added, self.truncation_side)
            ids = self.build_inputs_with_special_tokens(*parts) if template else [*chain(*parts)]
            types = self.create_token_type_ids_from_sequences(*parts) if template else []
            batch["input_ids"].append(ids)
            batch["token_type_ids"].append(types or [0] * len(ids))
        batch["attention_mask"] = [[1] * len(ids) for ids in batch["input_ids"]]
        return lengths.fill(batch, self.pad_token_id)

    def encode(self, text: Any, text_pair: Any = None, **options: Any) -> Any:
        """Return the input_ids of a call with the same options."""
        return self(text, text_pair, **options)["input_ids"]

    def tokenize(self, text: str) -> list[str]:
        """Turn a text into tokens, without those of the template."""
        if not isinstance(text, str):
            raise ValueError(f"text must be a string, got {type(text).__name__}")
        return self.table.tokenize(text)

    def pad(
        self,
        encoded_inputs: Mapping[str, Any] | Sequence[Mapping[str, Any]],
        padding: bool | str = True,
        max_length: int | None = None,
        pad_to_multiple_of: int | None = None,
        padding_side: str | None = None,
        return_attention_mask: bool | None = None,
        return_tensors: str | None = None,
    ) -> BatchEncoding:
        """Fill up what is encoded already, with the options of a call; labels stay as they are.

        encoded_inputs is an encoding of one row or of several, or a list of encodings of one row;
        return_attention_mask makes a mask where there is none.

        Raises:
            ValueError: if input_ids are missing, and as in a call.
        """
        batch, single = as_batch(encoded_inputs)
        asked = return_attention_mask
        if "attention_mask" in self.model_input_names if asked is None else asked:
            batch.setdefault("attention_mask", [[1] * len(ids) for ids in batch["input_ids"]])
        side, limit = padding_side or self.padding_side, self.model_max_length
        lengths = Lengths.choose(padding, False, max_length, pad_to_multiple_of, side, limit)
        batch = lengths.fill(batch, self.pad_token_id)
        encoding = {name: rows[0] for name, rows in batch.items()} if single else batch
        return BatchEncoding(encoding).convert_to_tensors(return_tensors)

    def decode(
        self,
        token_ids: Any,
        skip_special_tokens: bool = False,
        clean_up_tokenization_spaces: bool | None = None,
    ) -> Any:
        """Turn ids into text.

        Args:
            token_ids: an id, a row of ids, or rows of ids; lists or arrays
            skip_special_tokens: whether to leave out all_special_tokens, the unknown one among them
            clean_up_tokenization_spaces: None stands for the tokenizer's own setting.

        Returns:
            a string, or a list of strings for rows

        Raises:
            ValueError: if an id is not in the vocabulary.
        """
        clean_up = clean_up_tokenization_spaces
        ids = as_lists(token_ids)
        if isinstance(ids, list) and any(isinstance(row, list) for row in ids):
            return [self.decode(row, skip_special_tokens, clean_up) for row in ids]
        ids = ids if isinstance(ids, list) else [ids]
        text = self.convert_tokens_to_string(self.convert_ids_to_tokens(ids, skip_special_tokens))
        if self.clean_up_tokenization_spaces if clean_up is None else clean_up:
            for spaced in SPACED:
                text = text.replace(spaced, spaced.strip())
        return text

    def batch_decode(self, sequences: Any, *arguments: Any, **options: Any) -> list[str]:
        """Turn rows of ids into texts, with the options of decode."""
        texts = self.decode(sequences, *arguments, **options)
        return [texts] if isinstance(texts, str) else texts

    def convert_tokens_to_string(self, tokens: list[str]) -> str:
        """Turn tokens into text."""
        return self.table.vocabulary.join(tokens)

    @classmethod
    def from_pretrained(cls, folder: str | Path, **settings: Any) -> Self:
        """Read a tokenizer's folder, as transformers or save_pretrained wrote it.

        Args:
            folder: holds the vocabulary, and mostly tokenizer_config.json
            settings: arguments of the tokenizer; they win over those in the folder.

        Raises:
            FileNotFoundError: if the vocabulary's file is missing; the message lists what is there.
            ValueError: if a file cannot be read.
        """
        return cls(**read_folder(Path(folder), cls.vocab_files_names, cls.__name__) | settings)

    def save_pretrained(self, save_directory: str | Path) -> tuple[str, ...]:
        """Write a folder that from_pretrained and transformers load; return the files' paths."""
        tokens = {str(index): asdict(t) for index, t in self.added_tokens_decoder.items()}
        config = {**self.settings, **self.table.roles, "added_tokens_decoder": tokens}
        config |= {name: getattr(self, name) for name in SAVED}
        path = write_config(Path(save_directory), config, type(self).__name__)
        return (str(path), *self.save_vocabulary(save_directory))

    def save_vocabulary(
        self, save_directory: str | Path, filename_prefix: str | None = None
    ) -> tuple[str, ...]:
        """Write the vocabulary's files, named prefix-name if there is one; return their paths."""
        raise TypeError(f"{type(self).__name__} is a base class; use one of its families")
