"""Rows of ids: what a tokenizer accepts and returns, and how rows are cut and filled up."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from minibert2bert.tokenization.token_table import as_lists
from minibert2bert.tokenization.vocabulary import Ids

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
        ValueError: if there is no row, or something else than strings in one, or half a character.
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
        try:
            "".join(row).encode()
        except UnicodeEncodeError as error:
            raise ValueError(
                f"text must have only whole characters, but at position {position}: {error}; "
                'text.encode(errors="ignore").decode() leaves it out'
            ) from None
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


def truncate(
    row: Sequence[Ids], room: int, strategy: str, side: str, odd_to_longer: bool = False
) -> list[Ids]:
    """Shorten a text, or a pair of texts, until both together have at most room ids.

    Args:
        row: the ids of one text, or of two
        room: how many ids may stay; below 0 counts as 0.
        strategy: "longest_first" takes single ids from the longer text, of equals from the second;
            "only_first" and "only_second" take from one, and no more than it has.
        side: where ids are taken away, "right" or "left"
        odd_to_longer: of equals, take from the text that was shorter instead.
    """
    room, first, second = max(room, 0), len(row[0]), len(row[1]) if len(row) == 2 else 0
    if strategy == "only_first":
        keep = [max(room - second, 0), second]
    elif strategy == "only_second":
        keep = [first, max(room - first, 0)]
    elif odd_to_longer and second >= first:
        keep_first = min(first, room // 2)
        keep = [keep_first, room - keep_first]
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

    def cut(
        self, row: Sequence[Ids], reserved: int, side: str, odd_to_longer: bool = False
    ) -> list[Ids]:
        """Shorten a text, or a pair, so that with reserved special tokens it fits max_length."""
        if not self.truncation or self.max_length is None:
            return list(row)
        room = self.max_length - reserved
        return truncate(row, room, self.truncation, side, odd_to_longer)

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
