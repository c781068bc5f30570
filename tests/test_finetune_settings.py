"""The settings of finetune: one flat namespace, on the command line and in files."""

import dataclasses
import json

import pytest

from minibert2bert.commands import finetune as command
from minibert2bert.finetuning.settings import (
    FinetuneSettings,
    finetune_settings,
    is_random,
    read_settings,
)
from minibert2bert.training.settings import TrainingSettings

NEEDED = {"encoder": "a", "decoder": "b", "train": "t.tsv", "output": "out"}


def test_one_flat_dict_sets_files_models_and_training():
    settings = finetune_settings({**NEEDED, "tie": True, "learning_rate": 0.1, "freeze": ["x.*"]})
    assert settings.tie
    assert settings.training == TrainingSettings(learning_rate=0.1, freeze=("x.*",))


def test_what_is_written_down_gives_the_same_settings_again():
    settings = finetune_settings({**NEEDED, "limit": 3, "max_steps": 7, "freeze": ["x.*"]})
    assert finetune_settings(json.loads(json.dumps(settings.to_dict()))) == settings


def test_no_name_means_two_things():
    own = {field.name for field in dataclasses.fields(FinetuneSettings)}
    assert own.isdisjoint(field.name for field in dataclasses.fields(TrainingSettings))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"lerning_rate": 1}, "no setting lerning_rate; did you mean learning_rate"),
        ({"zzz": 1}, "no setting zzz; known are encoder, "),
        ({"train": ""}, "finetune needs train;"),
        ({"max_source_length": 0}, "max_source_length must be a whole number of at least 1, got 0"),
        ({"limit": 2.5}, "limit must be a whole number"),
        ({"tie": "yes"}, "tie must be true or false, got 'yes'"),
        ({"learning_rate": "fast"}, "learning_rate must be a number"),
        ({"new_sentencepiece": 100}, "new_sentencepiece makes a new vocabulary"),
    ],
)
def test_what_does_not_fit_is_refused_with_its_name(values, message):
    with pytest.raises(ValueError, match=message):
        finetune_settings({**NEEDED, **values})


def test_a_new_vocabulary_fits_two_random_halves():
    halves = {"encoder": "random", "decoder": "random:b", "new_sentencepiece": 100}
    assert finetune_settings({**NEEDED, **halves}).new_sentencepiece == 100


@pytest.mark.parametrize(
    ("part", "expected"),
    [("random", True), ("random:folder", True), ("randomly", False), ("folder", False)],
)
def test_random_is_told_from_a_folder(part, expected):
    assert is_random(part) == expected


def test_a_file_is_json_or_toml(tmp_path):
    (tmp_path / "a.json").write_text('{"tie": true, "limit": 3}', encoding="utf-8")
    (tmp_path / "a.toml").write_text("tie = true\nlimit = 3\n", encoding="utf-8")
    assert read_settings(tmp_path / "a.json") == read_settings(tmp_path / "a.toml")
    assert read_settings(tmp_path / "a.toml") == {"tie": True, "limit": 3}


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.yaml", "tie: true", r"ends in \.json or \.toml, got a\.yaml"),
        ("a.json", "{", "must hold JSON"),
        ("a.json", "[1]", "must hold names and values, got list"),
        ("a.toml", "tie = ", "must hold TOML"),
    ],
)
def test_a_file_that_is_neither_is_refused(tmp_path, name, text, message):
    (tmp_path / name).write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=message):
        read_settings(tmp_path / name)


@pytest.mark.parametrize("kind", [FinetuneSettings, TrainingSettings])
def test_every_setting_has_an_option_and_a_description(kind):
    names = {field.name for field in dataclasses.fields(kind)} - {"training"}
    assert {name for name, _ in command.options_of(kind)} == names
    described = command.described(kind)
    assert names <= described.keys()
    assert all(len(described[name]) > 5 for name in names)
