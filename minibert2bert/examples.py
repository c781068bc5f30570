"""Texts to learn from or to be judged by: sources and their references, read from a file."""

import gzip
import json
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SHOWN = 5
JSON_SUFFIXES = {".jsonl", ".ndjson", ".json"}

Column = str | int


@dataclass(frozen=True)
class Example:
    """A text and what should be made of it.

    Attributes:
        source: what a model reads
        references: one or more texts that it should write
    """

    source: str
    references: tuple[str, ...]


def read_examples(
    path: str | Path,
    source_column: Column | None = None,
    target_columns: Sequence[Column] | None = None,
    on_bad_line: Callable[[str], None] | None = None,
) -> list[Example]:
    """Read an example a line from a file of tab-separated columns, or of JSON objects.

    Tabs separate, and nothing quotes them. A column is given by its number, from 1, or by its name;
    with a name, the first line is the header. A file .jsonl has a JSON object a line, whose keys
    are the columns, and a target may be a list of texts. Either may be gzipped, .gz. White space
    around a text is dropped, and empty lines are left out.

    Args:
        path: the file, in UTF-8
        source_column: 1, or "source" in JSON, by default
        target_columns: of the references; 2, or "target" in JSON, by default. A line may leave all
            but one of them empty.
        on_bad_line: called with what is wrong with a line, which is then left out; by default, bad
            lines are an error.

    Raises:
        ValueError: if lines lack the source or all targets, or are not JSON; the message names the
            first five and their number. If there is no example, no such column, or the file is not
            UTF-8.
        OSError: if the file cannot be read.
    """
    path = Path(path)
    lines = numbered_lines(path)
    columns: Sequence[Column]
    if (path.with_suffix("") if path.suffix == ".gz" else path).suffix in JSON_SUFFIXES:
        fields_of = json_object
        columns = [source_column or "source", *(target_columns or ["target"])]
    else:
        fields_of = numbered_columns
        asked = [1 if source_column is None else source_column, *(target_columns or [2])]
        columns = column_numbers(asked, lines, path)
    examples, bad = [], []
    for number, line in lines:
        try:
            examples.append(example_of(fields_of(line), columns))
        except ValueError as error:
            bad.append(f"line {number}: {error}")
    if on_bad_line is not None:
        for message in bad:
            on_bad_line(message)
    elif bad:
        listed = "\n".join(f"  {message}" for message in bad[:SHOWN])
        raise ValueError(
            f"{path}, lines that are not right: {len(bad)}; correct or remove them:\n{listed}"
        )
    if not examples:
        raise ValueError(f"{path} has no examples; expected a line for each, source and target")
    return examples


def numbered_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Read the lines that are not empty, with their numbers, from 1.

    Args:
        path: a file in UTF-8, gzipped if it ends in .gz

    Raises:
        ValueError: if it is not UTF-8, or not gzipped.
    """
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
        try:
            # Bytes, for decoded text has other line ends, which may stand inside of a text.
            for number, line in enumerate(file, start=1):
                text = line.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r\n")
                if text:
                    yield number, text
        except UnicodeDecodeError as error:
            raise ValueError(
                f"{path} must be UTF-8, but byte {error.start + 1} of line {number} is "
                f"0x{error.object[error.start]:02x}; if it is Windows text, convert it: "
                f"iconv -f WINDOWS-1252 -t UTF-8 {path.name} > NEW"
            ) from None
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise ValueError(f"{path} must be a whole gzip file, but: {error}") from None


def column_numbers(
    asked: Sequence[Column], lines: Iterator[tuple[int, str]], path: Path
) -> list[int]:
    """Turn names into numbers by the header, which is taken off the lines.

    Args:
        asked: names and numbers; a string of digits is a number.
        lines: of the file, with their numbers; without a name, no line is taken.
        path: for the message

    Raises:
        ValueError: if there is no column of that name, or a number is below 1.
    """
    wanted = [int(column) if str(column).isdecimal() else column for column in asked]
    names: list[str] = []
    if any(isinstance(column, str) for column in wanted):
        names = [name.strip() for name in next(lines, (1, ""))[1].split("\t")]
    for column in wanted:
        if isinstance(column, str) and column not in names:
            raise ValueError(
                f"{path} has no column {column!r} in its first line, but {', '.join(names)}; "
                "without a header, give numbers"
            )
        if isinstance(column, int) and column < 1:
            raise ValueError(f"columns are counted from 1, got {column}")
    return [names.index(c) + 1 if isinstance(c, str) else c for c in wanted]


def numbered_columns(line: str) -> dict[Column, Any]:
    """Split a line at its tabs: the columns by their numbers, from 1.

    Raises:
        ValueError: if there is no tab.
    """
    if "\t" not in line:
        raise ValueError(f"expected columns separated by tabs, got {line[:60]!r}")
    return dict(enumerate(line.split("\t"), start=1))


def json_object(line: str) -> dict[Column, Any]:
    """Read a line of JSON.

    Raises:
        ValueError: if it is no object.
    """
    try:
        value = json.loads(line)
    except json.JSONDecodeError as error:
        raise ValueError(f"expected a JSON object, but {error}") from None
    if not isinstance(value, dict):
        raise ValueError(f"expected a JSON object, got {line[:60]}")
    return value


def example_of(fields: Mapping[Column, Any], columns: Sequence[Column]) -> Example:
    """Take the source and the references from the columns of a line.

    Args:
        fields: texts by column, or lists of texts
        columns: of the source, and of one or more targets

    Raises:
        ValueError: if the source is missing or empty, or all targets are.
    """
    source, *targets = columns
    if source not in fields or not fields.keys() & set(targets):
        raise ValueError(
            f"expected columns {', '.join(map(str, columns))}, "
            f"got {', '.join(str(name)[:60] for name in fields)}"
        )
    texts = texts_of(fields, source)
    if len(texts) != 1:
        raise ValueError(f"the source, column {source}, must be one text, got {len(texts)}")
    references = [text for target in targets for text in texts_of(fields, target)]
    if not references:
        raise ValueError(f"the target, column {', '.join(map(str, targets))}, is empty")
    return Example(texts[0], tuple(references))


def texts_of(fields: Mapping[Column, Any], column: Column) -> list[str]:
    """List the texts of a column that are not empty; there are several in a JSON list only.

    Raises:
        ValueError: if one is no text.
    """
    value = fields.get(column, "")
    texts = value if isinstance(value, list) else [value]
    for text in texts:
        if not isinstance(text, str):
            raise ValueError(f"column {column} must be text, got {json.dumps(value)[:60]}")
    return [text.strip() for text in texts if text.strip()]
