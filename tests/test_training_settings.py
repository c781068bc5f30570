"""Settings refuse what cannot be meant, and say what can."""

import dataclasses
import math

import pytest

from minibert2bert.training.settings import TrainingSettings

COUNTS = ["max_steps", "train_batch_size", "gradient_accumulation_steps", "eval_batch_size",
          "early_stopping_patience", "eval_every", "save_every", "logging_every",
          "save_total_limit"]  # fmt: skip
ABOVE_ZERO = ["learning_rate", "num_train_epochs", "adam_epsilon", "max_grad_norm"]
SHARES = ["adam_beta1", "adam_beta2", "label_smoothing_factor", "final_share"]


@pytest.mark.parametrize("name", COUNTS)
@pytest.mark.parametrize("value", [0, -1, 1.5, True, "3"])
def test_a_count_is_a_whole_number_of_at_least_one(name, value):
    with pytest.raises(ValueError, match=rf"^{name} must be a whole number of at least 1.*got"):
        TrainingSettings(**{name: value})


@pytest.mark.parametrize("name", ABOVE_ZERO)
@pytest.mark.parametrize("value", [0, -0.1, math.nan, math.inf, "1", True])
def test_a_size_is_a_number_above_zero(name, value):
    with pytest.raises(ValueError, match=f"^{name} must be a number above 0"):
        TrainingSettings(**{name: value})


@pytest.mark.parametrize("name", SHARES)
@pytest.mark.parametrize("value", [-0.1, 1, 1.5, math.nan, None])
def test_a_share_is_at_least_zero_and_below_one(name, value):
    with pytest.raises(ValueError, match=f"^{name} must be a number of at least 0 and below 1"):
        TrainingSettings(**{name: value})
    TrainingSettings(**{name: 0})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"warmup_steps": -1}, "warmup_steps must be a whole number of at least 0, got -1"),
        ({"seed": -1}, "seed must be a whole number of at least 0"),
        ({"weight_decay": -1}, "weight_decay must be a number of at least 0"),
        ({"dropout": 1}, "dropout must be True or False, got 1"),
        ({"gradient_checkpointing": None}, "gradient_checkpointing must be True or False"),
        ({"freeze": "encoder.*"}, r"freeze must be a tuple of patterns, such as \(\"encoder"),
        ({"optim": "sgd"}, "optim must be one of adamw, adam, got 'sgd'"),
        ({"lr_scheduler_type": "cosine"}, "lr_scheduler_type must be one of linear, inverse"),
        ({"optim": "adam", "weight_decay": 0.1}, 'use optim="adamw", or weight_decay=0'),
    ],
)
def test_other_values_that_cannot_be_meant_are_errors(changes, message):
    with pytest.raises(ValueError, match=message):
        TrainingSettings(**changes)


@pytest.mark.parametrize(
    "name",
    ["max_steps", "max_grad_norm", "early_stopping_patience", "eval_every", "save_every",
     "save_total_limit"],
)  # fmt: skip
def test_what_is_optional_may_be_none_and_says_so(name):
    assert getattr(TrainingSettings(**{name: None}), name) is None
    with pytest.raises(ValueError, match="or None, got -1"):
        TrainingSettings(**{name: -1})


def test_epochs_are_counted_in_steps_and_max_steps_wins():
    assert TrainingSettings(num_train_epochs=2).total_steps(10) == 20
    assert TrainingSettings(num_train_epochs=0.25).total_steps(10) == 3
    assert TrainingSettings(num_train_epochs=2, max_steps=7).total_steps(10) == 7


def test_settings_do_not_change_and_come_back_from_their_dict():
    settings = TrainingSettings(freeze=("encoder.*",), max_steps=3)
    with pytest.raises(dataclasses.FrozenInstanceError):
        settings.seed = 1
    saved = settings.to_dict()
    assert saved["freeze"] == ["encoder.*"]
    assert TrainingSettings(**{**saved, "freeze": tuple(saved["freeze"])}) == settings
