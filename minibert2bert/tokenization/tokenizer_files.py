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
    special_tokens_map.json wins over tokenizer_config.json, and tokenizer.json, or else
    added_tokens.json, has the ids.

    Args:
        folder: as transformers or save_pretrained wrote it
        names: argument to file name, of the vocabulary; a tokenizer_file stands for all others.
        reader: the class that asks, for the message

    Raises:
        FileNotFoundError: if a file of the vocabulary is missing; the message lists what is there.
        ValueError: if another file is not a JSON object.
    """
    whole = names.get("tokenizer_file")
    parts = {argument: name for argument, name in names.items() if name != whole}
    use = {"tokenizer_file": whole} if whole and (folder / whole).is_file() else parts
    missing = [name for name in use.values() if not (folder / name).is_file()]
    if missing:
        wanted = ", ".join(missing) + (f", or {whole}," if whole else "")
        raise FileNotFoundError(f"{folder} must hold {wanted} for {reader}; {describe(folder)}")
    settings = read_json(folder / CONFIG)
    if "added_tokens_decoder" not in settings:
        settings |= read_json(folder / "special_tokens_map.json")
        roles = [AddedToken.read(settings[r], special=True) for r in ROLES if settings.get(r)]
        special = {token.content: token for token in roles}
        added = {} if use is not parts else read_json(folder / "added_tokens.json")
        settings["added_tokens_decoder"] = {
            i: special.get(token, token) for token, i in added.items()
        }
    settings = {name: value for name, value in settings.items() if name not in PRIVATE}
    return settings | {argument: folder / name for argument, name in use.items()}


def describe(folder: Path) -> str:
    """Say what is in a folder, for a message about what is not."""
    if not folder.is_dir():
        return "there is no such folder"
    return f"it holds {sorted(path.name for path in folder.iterdir()) or 'nothing'}"


def read_text(path: str | Path | None, argument: str) -> str:
    """Read a text file of a vocabulary.

    Args:
        path: None means that whoever makes a tokenizer has left it out.
        argument: its name, for the message

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if there is no path, or the file is not such a text.
    """
    if path is None:
        raise ValueError(f"{argument} must be a file, got None; from_pretrained(folder) finds it")
    try:
        text = Path(path).read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} must be a text in UTF-8 ({error})") from None
    if not text or text.startswith("version https://git-lfs"):
        raise ValueError(
            f"{path} must hold a vocabulary, but it is empty or a Git LFS pointer; "
            "download the file itself"
        )
    return text


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object; {} if there is no such file.

    Raises:
        ValueError: if the file holds anything else.
    """
    return parse_json(path.read_bytes(), path) if path.is_file() else {}


def parse_json(text: str | bytes, path: str | Path) -> dict[str, Any]:
    """Turn the text of a file into a JSON object.

    Raises:
        ValueError: if it is anything else.
    """
    try:
        values = json.loads(text)
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


def write_vocabulary(
    folder: str | Path, prefix: str | None, files: Mapping[str, bytes]
) -> tuple[str, ...]:
    """Write the files of a vocabulary, named prefix-name if there is one; return their paths.

    Raises:
        ValueError: if there is no such folder.
    """
    if not Path(folder).is_dir():
        raise ValueError(f"save_directory must be an existing folder, got {folder}")
    paths = {
        name: Path(folder) / f"{prefix}-{name}" if prefix else Path(folder) / name for name in files
    }
    for name, path in paths.items():
        write_bytes(path, files[name])
    return tuple(map(str, paths.values()))


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file beside its place and move it there: no reader ever sees half of it."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        beside.write_bytes(content)
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)
