"""What every tokenizer shares: the call, padding, decoding, and the files."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from itertools import chain
from pathlib import Path
from typing import Any, ClassVar, Self

from minibert2bert.hub import resolve_with
from minibert2bert.tokenization.batch_encoding import (
    NO_LIMIT,
    SIDES,
    BatchEncoding,
    Lengths,
    as_batch,
    as_rows,
    choose,
)
from minibert2bert.tokenization.token_table import TokenTable, as_lists
from minibert2bert.tokenization.tokenizer_files import read_folder, write_config
from minibert2bert.tokenization.vocabulary import ROLES, AddedToken, Ids, Vocabulary

OF_THE_TABLE = {
    *("special_tokens_map", "all_special_tokens", "all_special_ids", "additional_special_tokens"),
    *("added_tokens_decoder", "add_tokens", "add_special_tokens", "get_vocab"),
    *("convert_tokens_to_ids", "convert_ids_to_tokens"),
}
"""What a tokenizer answers by its TokenTable; the documentation is there."""

SAVED = ("model_max_length", "padding_side", "truncation_side", "clean_up_tokenization_spaces")
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
    odd_to_longer: ClassVar[bool] = False  # see truncate
    plain_pair_type: ClassVar[int] = 0  # token type of a second text without the template

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
            batch["labels"] = self._encode_rows(targets, lengths, add_special_tokens)["input_ids"]
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
            texts = [next(encoded) for _ in row]
            parts = lengths.cut(texts, added, self.truncation_side, self.odd_to_longer)
            ids = self.build_inputs_with_special_tokens(*parts) if template else [*chain(*parts)]
            plain = [0] * len(parts[0]) + [self.plain_pair_type] * (len(ids) - len(parts[0]))
            types = self.create_token_type_ids_from_sequences(*parts) if template else plain
            batch["input_ids"].append(ids)
            batch["token_type_ids"].append(types)
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
            folder: holds the vocabulary, and mostly tokenizer_config.json; or a name on the hub
            settings: arguments of the tokenizer; they win over those in the folder. Those of
                hub.resolve are used to find it.

        Raises:
            FileNotFoundError: if the vocabulary's file is missing; the message lists what is there.
            ValueError: if a file cannot be read.
        """
        found = resolve_with(folder, settings)
        return cls(**read_folder(found, cls.vocab_files_names, cls.__name__) | settings)

    def save_pretrained(self, save_directory: str | Path) -> tuple[str, ...]:
        """Write a folder that from_pretrained and transformers load; return the files' paths."""
        tokens = {str(index): asdict(t) for index, t in self.added_tokens_decoder.items()}
        config = {**self.settings, **self.table.roles, "added_tokens_decoder": tokens}
        config |= {name: getattr(self, name) for name in (*SAVED, "additional_special_tokens")}
        path = write_config(Path(save_directory), config, type(self).__name__)
        return (str(path), *self.save_vocabulary(save_directory))

    def save_vocabulary(
        self, save_directory: str | Path, filename_prefix: str | None = None
    ) -> tuple[str, ...]:
        """Write the vocabulary's files, named prefix-name if there is one; return their paths."""
        raise TypeError(f"{type(self).__name__} is a base class; use one of its families")
