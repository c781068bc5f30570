"""From the name of a model to its folder: on this disk, in the hub's cache, or downloaded.

The cache is a folder models--OWNER--NAME for every model. In it, refs/main holds the commit that
main was when it was downloaded, and snapshots/COMMIT the files of that commit.
"""

import os
import re
from functools import partial
from pathlib import Path
from typing import Any

OPTIONS = ("revision", "cache_dir", "local_files_only", "token")
"""The keywords of resolve, which every from_pretrained takes."""

SETTINGS = ["*.json", "spiece.model", "vocab.txt", "merges.txt"]
WEIGHTS = {
    "safetensors": ["model.safetensors", "model-*-of-*.safetensors"],
    "torch": ["pytorch_model.bin", "pytorch_model-*-of-*.bin"],
}
NAME = re.compile(r"(?:\w[\w.-]*/)?\w[\w.-]*", re.ASCII)
REVISION = re.compile(r"\w[\w./-]*", re.ASCII)
COMMIT = re.compile(r"[0-9a-f]{40,64}")


def resolve(
    folder_or_name: str | Path,
    revision: str | None = None,
    cache_dir: str | Path | None = None,
    local_files_only: bool = False,
    token: str | bool | None = None,
) -> Path:
    """Find the folder of a model, and download it if it is nowhere on this disk.

    What is in the cache is taken as it is; the hub is not asked for anything newer.

    Args:
        folder_or_name: a folder, or a model's name on the hub: "owner/name" or "name"
        revision: branch, tag or commit of a name; None means main.
        cache_dir: the hub's cache; None takes that of huggingface_hub.
        local_files_only: whether never to download; HF_HUB_OFFLINE=1 says the same.
        token: for models that are not public; None takes that of huggingface_hub.

    Returns:
        a folder that is there

    Raises:
        FileNotFoundError: if there is no such folder, or no such model on the hub.
        ValueError: if the revision cannot be one.
        ModuleNotFoundError: if a download needs huggingface_hub, which is not installed.
    """
    if Path(folder_or_name).is_dir():
        return Path(folder_or_name)
    name, revision = str(folder_or_name), revision or "main"
    _check(name, revision)
    cache = cache_folder(cache_dir)
    found = cached_snapshot(cache, name, revision)
    offline = local_files_only or is_offline()
    if found is not None and (offline or any(has_weights(found, kind) for kind in WEIGHTS)):
        return found
    if offline:
        raise FileNotFoundError(
            f"{name} is neither a folder nor, at revision {revision}, in the cache {cache}; to "
            "download it, leave local_files_only and HF_HUB_OFFLINE away"
        )
    return _download(name, revision, cache, token)


def resolve_with(folder_or_name: str | Path, keywords: dict[str, Any]) -> Path:
    """Resolve a name by those of the keywords that are OPTIONS, and take them out."""
    given = {name: keywords.pop(name) for name in OPTIONS if name in keywords}
    return resolve(folder_or_name, **given)


def cache_folder(cache_dir: str | Path | None = None) -> Path:
    """Say where the hub's cache is, by the rules of huggingface_hub.

    Args:
        cache_dir: a folder; None reads HF_HUB_CACHE, HF_HOME and what stands for them.
    """
    settings = os.environ
    home = settings.get("XDG_CACHE_HOME") or "~/.cache"
    huggingface = settings.get("HF_HOME") or str(Path(home, "huggingface"))
    cache = settings.get("HF_HUB_CACHE") or settings.get("HUGGINGFACE_HUB_CACHE")
    folder = cache_dir or cache or Path(huggingface, "hub")
    return Path(os.path.expandvars(folder)).expanduser()


def cached_snapshot(cache: Path, name: str, revision: str) -> Path | None:
    """Find the files of a model in the cache.

    Args:
        cache: the hub's cache
        name: "owner/name" or "name"
        revision: branch, tag or commit

    Returns:
        the folder of the commit, or None; it may lack files that nobody has asked for yet.
    """
    model = cache / f"models--{name.replace('/', '--')}"
    commit = revision
    if (model / "refs" / revision).is_file():
        commit = (model / "refs" / revision).read_text(encoding="utf-8").strip()
    if not COMMIT.fullmatch(commit):
        return None
    snapshot = model / "snapshots" / commit
    return snapshot if snapshot.is_dir() else None


def has_weights(folder: Path, kind: str) -> bool:
    """Tell whether a folder holds a file of weights, or all shards of one.

    Args:
        folder: exists
        kind: "safetensors" or "torch"
    """
    single, sharded = WEIGHTS[kind]
    if (folder / single).is_file():
        return True
    # is_file is not true of a link to nothing.
    shards = [path.stem for path in folder.glob(sharded) if path.is_file()]
    return bool(shards) and shards[0].rpartition("-")[2].lstrip("0") == str(len(shards))


def allow_patterns(kind: str) -> list[str]:
    """List the files to download: settings, tokenizers, and weights of one kind.

    Args:
        kind: "safetensors" or "torch"
    """
    return SETTINGS + WEIGHTS[kind]


def is_offline() -> bool:
    """Tell whether the environment forbids downloads, by the rules of huggingface_hub."""
    setting = os.environ.get("HF_HUB_OFFLINE") or os.environ.get("TRANSFORMERS_OFFLINE") or ""
    return setting.upper() in {"1", "ON", "YES", "TRUE"}


def _check(name: str, revision: str) -> None:
    """Let nothing pass that would lead out of the cache."""
    if Path(name).exists():
        raise FileNotFoundError(f"{name} is a file; give the folder that it is in")
    if not NAME.fullmatch(name) or ".." in name or "--" in name:
        raise FileNotFoundError(
            f"there is no folder {name}, and a model on the hub would be called owner/name"
        )
    if not REVISION.fullmatch(revision) or ".." in revision:
        raise ValueError(f"revision must be a branch, a tag or a commit, got {revision!r}")


def _download(name: str, revision: str, cache: Path, token: str | bool | None) -> Path:
    try:
        from huggingface_hub import snapshot_download
    except ModuleNotFoundError:
        raise ModuleNotFoundError(
            f"{name} is neither a folder nor, with all its weights, in the cache {cache}; "
            "to download it: pip install minibert2bert[hub]"
        ) from None
    # Only the top folder of a model is read; the folders in it hold other formats.
    fetch = partial(
        snapshot_download, name, revision=revision, cache_dir=cache, token=token,
        ignore_patterns=["*/*"],
    )  # fmt: skip
    try:
        folder = Path(fetch(allow_patterns=allow_patterns("safetensors")))
        if not has_weights(folder, "safetensors"):
            folder = Path(fetch(allow_patterns=allow_patterns("torch")))
    except Exception as error:
        # Its errors come from several libraries, which cannot be named without importing them.
        raise FileNotFoundError(
            f"{name} is no folder here, and downloading it failed ({error}); check the name, the "
            "revision, the connection, and for a model that is not public the token"
        ) from error
    return folder
