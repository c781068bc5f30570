"""Names to folders: a local folder, then the hub's cache, then a download; no test uses the net."""

import os
import sys
from types import SimpleNamespace

import pytest

from minibert2bert.hub import allow_patterns, cache_folder, has_weights, resolve

FIRST, SECOND = "a" * 40, "0123456789" * 4
VARIABLES = (
    "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HOME", "XDG_CACHE_HOME", "HF_HUB_OFFLINE",
    "TRANSFORMERS_OFFLINE",
)  # fmt: skip


@pytest.fixture(autouse=True)
def nothing_around(monkeypatch, tmp_path):
    """No settings of this machine, no package for downloads, and an empty working folder."""
    for variable in VARIABLES:
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")


def cached(cache, name="owner/name", revision="main", commit=FIRST, files=("model.safetensors",)):
    model = cache / f"models--{name.replace('/', '--')}"
    (model / "refs" / revision).parent.mkdir(parents=True, exist_ok=True)
    (model / "refs" / revision).write_text(commit)
    snapshot = model / "snapshots" / commit
    snapshot.mkdir(parents=True, exist_ok=True)
    for file in files:
        (snapshot / file).touch()
    return snapshot


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """A package for downloads that writes the asked-for ones of its files, and keeps the calls."""
    hub = SimpleNamespace(files=["config.json", "model.safetensors"], calls=[])

    def snapshot_download(name, **options):
        hub.calls.append({"name": name, **options})
        patterns = options["allow_patterns"]
        wanted = [f for f in hub.files if f in patterns or f.endswith(".json")]
        return str(cached(tmp_path / "cache", name, files=wanted))

    hub.snapshot_download = snapshot_download
    monkeypatch.setitem(sys.modules, "huggingface_hub", hub)
    return hub


def test_a_folder_is_taken_before_a_model_of_the_same_name(tmp_path):
    cached(tmp_path / "cache")
    os.makedirs("owner/name")
    assert resolve("owner/name", cache_dir=tmp_path / "cache").samefile("owner/name")


@pytest.mark.parametrize("name", ["owner/name", "bert-base-uncased"])
def test_a_name_leads_to_the_commit_that_its_revision_was(tmp_path, name):
    first = cached(tmp_path, name)
    second = cached(tmp_path, name, "refs/pr/1", SECOND)
    assert resolve(name, cache_dir=tmp_path) == first
    assert resolve(name, "refs/pr/1", tmp_path) == second
    assert resolve(name, SECOND, tmp_path) == second


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"HF_HUB_CACHE": "/a", "HF_HOME": "/b"}, "/a"),
        ({"HUGGINGFACE_HUB_CACHE": "/a", "HF_HOME": "/b"}, "/a"),
        ({"HF_HOME": "$ROOT/b", "ROOT": "/r", "XDG_CACHE_HOME": "/x"}, "/r/b/hub"),
        ({"XDG_CACHE_HOME": "/x"}, "/x/huggingface/hub"),
        ({}, "~/.cache/huggingface/hub"),
    ],
)
def test_the_cache_is_where_huggingface_hub_has_it(monkeypatch, settings, expected):
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    assert str(cache_folder()) == os.path.expanduser(expected)
    assert str(cache_folder("/given")) == "/given"


def test_a_commit_in_the_cache_is_not_downloaded_again(tmp_path, hub):
    snapshot = cached(tmp_path)
    assert resolve("owner/name", cache_dir=tmp_path) == snapshot
    assert not hub.calls


@pytest.mark.parametrize(
    ("files", "whole"),
    [
        (["config.json"], False),
        (["model.safetensors"], True),
        (["model-00001-of-00002.safetensors", "model.safetensors.index.json"], False),
        (["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"], True),
        (["model.fp16.safetensors", "pytorch_model.bin"], False),
    ],
)
def test_weights_are_there_when_all_their_shards_are(tmp_path, files, whole):
    for file in files:
        (tmp_path / file).touch()
    assert has_weights(tmp_path, "safetensors") == whole
    (tmp_path / files[0]).unlink()
    (tmp_path / files[0]).symlink_to("nowhere")
    assert not has_weights(tmp_path, "safetensors")


def test_what_the_cache_lacks_is_downloaded(tmp_path, hub):
    cache = tmp_path / "cache"
    snapshot = cached(cache, files=["config.json", "model-00001-of-00002.safetensors"])
    assert resolve("owner/name", "main", cache, token="secret") == snapshot
    (call,) = hub.calls
    assert call["name"] == "owner/name"
    assert (call["revision"], call["cache_dir"], call["token"]) == ("main", cache, "secret")
    assert "pytorch_model.bin" not in call["allow_patterns"]
    assert call["ignore_patterns"] == ["*/*"]


def test_files_of_torch_are_downloaded_where_there_are_no_safetensors(tmp_path, hub):
    hub.files = ["config.json", "pytorch_model.bin"]
    snapshot = resolve("owner/name", cache_dir=tmp_path / "cache")
    assert {path.name for path in snapshot.iterdir()} == set(hub.files)
    assert len(hub.calls) == 2


@pytest.mark.parametrize("setting", ["HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", None])
def test_offline_nothing_is_downloaded(tmp_path, monkeypatch, hub, setting):
    if setting is not None:
        monkeypatch.setenv(setting, "true")
    options = {"cache_dir": tmp_path, "local_files_only": setting is None}
    with pytest.raises(FileNotFoundError, match=rf"owner/name.*revision main.*{tmp_path}.*OFFLINE"):
        resolve("owner/name", **options)
    snapshot = cached(tmp_path, files=["spiece.model"])
    assert resolve("owner/name", **options) == snapshot
    assert not hub.calls


def test_the_missing_package_is_named(tmp_path):
    with pytest.raises(ModuleNotFoundError, match=r"pip install minibert2bert\[hub\]"):
        resolve("owner/name", cache_dir=tmp_path)


def test_a_failed_download_says_what_to_check(tmp_path, hub):
    def fail(*_, **__):
        raise ConnectionError("404 Client Error")

    hub.snapshot_download = fail
    with pytest.raises(FileNotFoundError, match=r"owner/name.*404 Client Error.*connection"):
        resolve("owner/name", cache_dir=tmp_path)


@pytest.mark.parametrize(
    "name",
    ["../nowhere", "owner/../../x", "a/b/c", "/etc/nowhere", "a--b", "a..b", ".hidden", "a\\..\\b",
     "~", "owner/", "a b", "name\n"],
)  # fmt: skip
def test_what_is_neither_a_folder_nor_a_name_is_refused(tmp_path, hub, name):
    cache = tmp_path / "cache"
    with pytest.raises(FileNotFoundError, match="would be called owner/name"):
        resolve(name, cache_dir=cache)
    assert not hub.calls


@pytest.mark.parametrize("revision", ["../../x", "/etc", "a/../b", ".", "a b"])
def test_a_revision_leads_nowhere_else(tmp_path, hub, revision):
    with pytest.raises(ValueError, match="revision must be a branch"):
        resolve("owner/name", revision, tmp_path)
    assert not hub.calls


def test_a_cache_that_was_tampered_with_leads_nowhere_else(tmp_path):
    cached(tmp_path)
    (tmp_path / "models--owner--name" / "refs" / "main").write_text("../../..")
    with pytest.raises(FileNotFoundError, match="neither a folder"):
        resolve("owner/name", cache_dir=tmp_path, local_files_only=True)


def test_a_commit_whose_files_are_gone_is_not_found(tmp_path):
    snapshot = cached(tmp_path, files=[])
    snapshot.rmdir()
    with pytest.raises(FileNotFoundError, match="neither a folder"):
        resolve("owner/name", cache_dir=tmp_path, local_files_only=True)


def test_a_file_is_no_folder(tmp_path):
    (tmp_path / "model.safetensors").touch()
    with pytest.raises(FileNotFoundError, match="is a file; give the folder"):
        resolve(tmp_path / "model.safetensors")


@pytest.mark.parity
def test_huggingface_hub_finds_the_same_and_filters_as_meant(tmp_path, monkeypatch):
    monkeypatch.delitem(sys.modules, "huggingface_hub")
    from huggingface_hub import snapshot_download
    from huggingface_hub.utils import filter_repo_objects

    cached(tmp_path, files=["config.json", *allow_patterns("safetensors")[-2:]])
    theirs = snapshot_download("owner/name", cache_dir=tmp_path, local_files_only=True)
    assert str(resolve("owner/name", cache_dir=tmp_path)) == theirs
    files = ["config.json", "onnx/config.json", "model.safetensors", "model.fp16.safetensors",
             "model-00001-of-00002.safetensors", "pytorch_model.bin", "spiece.model"]  # fmt: skip
    options = {"allow_patterns": allow_patterns("safetensors"), "ignore_patterns": ["*/*"]}
    kept = list(filter_repo_objects(files, **options))
    assert kept == [files[0], files[2], files[4], files[6]]
