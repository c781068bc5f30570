"""The files of a tokenizer's folder: its settings, read from up to three of them, and writing."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from minibert2bert.tokenization.vocabulary import ROLES, AddedToken

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
