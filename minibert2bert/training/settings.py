"""What a training run is told: the names of transformers, and values that were looked at."""

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

from minibert2bert.training.schedule import SCHEDULES

OPTIMIZERS: tuple[str, ...] = ("adamw", "adam")

WHOLE_NUMBERS = {
    "warmup_steps": 0,
    "seed": 0,
    "max_steps": 1,
    "train_batch_size": 1,
    "gradient_accumulation_steps": 1,
    "eval_batch_size": 1,
    "early_stopping_patience": 1,
    "eval_every": 1,
    "save_every": 1,
    "logging_every": 1,
    "save_total_limit": 1,
}
"""The least that each may be."""
ABOVE_ZERO, NOT_NEGATIVE, SHARE = "above 0", "of at least 0", "of at least 0 and below 1"
NUMBERS = {
    "learning_rate": ABOVE_ZERO,
    "num_train_epochs": ABOVE_ZERO,
    "adam_epsilon": ABOVE_ZERO,
    "max_grad_norm": ABOVE_ZERO,
    "weight_decay": NOT_NEGATIVE,
    "final_share": SHARE,
    "adam_beta1": SHARE,
    "adam_beta2": SHARE,
    "label_smoothing_factor": SHARE,
}
TRUTHS = ("dropout", "gradient_checkpointing")
OPTIONAL = ("max_steps", "max_grad_norm", "early_stopping_patience", "eval_every", "save_every",
            "save_total_limit")  # fmt: skip


@dataclass(frozen=True)
class TrainingSettings:
    """What a training run is told, besides the model and the pairs.

    Attributes:
        learning_rate: at the top of the schedule
        num_train_epochs: how often the pairs are gone through; need not be a whole number
        max_steps: the number of optimizer steps, instead of num_train_epochs
        train_batch_size: pairs in an optimizer step, over all micro-batches and processes
        gradient_accumulation_steps: micro-batches that each process makes of its share of a
            step; the result is the same but for rounding, with a part of the memory.
        eval_batch_size: pairs in a call when the held-out loss is measured
        warmup_steps: steps until the learning rate is at its top
        lr_scheduler_type: "linear", "inverse_sqrt", "constant_with_warmup" or "constant"
        final_share: of the learning rate, left at the end of the linear schedule
        optim: "adamw" or "adam"
        adam_beta1: decay of the mean of the gradients
        adam_beta2: decay of the mean of their squares
        adam_epsilon: added to the root of the latter
        weight_decay: the share of a weight that "adamw" takes in a step of learning rate 1
        max_grad_norm: longer gradients are shortened to it; None leaves all as they are.
        label_smoothing_factor: of cross_entropy
        dropout: whether the rates in the model's config are used
        seed: of the order of the pairs and of the dropout masks
        freeze: patterns of parameters that stay as they are, such as "encoder.*"
        gradient_checkpointing: whether the backward computes activations again, to save memory
        early_stopping_patience: evaluations without a lower loss, after which to stop
        eval_every: steps between evaluations; None is once an epoch.
        save_every: steps between checkpoints; None is once an epoch.
        logging_every: steps between two lines of the log
        save_total_limit: how many checkpoints to keep, the newest ones; None keeps all.
    """

    learning_rate: float = 5e-5
    num_train_epochs: float = 3.0
    max_steps: int | None = None
    train_batch_size: int = 32
    gradient_accumulation_steps: int = 1
    eval_batch_size: int = 32
    warmup_steps: int = 0
    lr_scheduler_type: str = "linear"
    final_share: float = 0.0
    optim: str = "adamw"
    adam_beta1: float = 0.9
    adam_beta2: float = 0.999
    adam_epsilon: float = 1e-8
    weight_decay: float = 0.0
    max_grad_norm: float | None = 1.0
    label_smoothing_factor: float = 0.0
    dropout: bool = True
    seed: int = 0
    freeze: tuple[str, ...] = ()
    gradient_checkpointing: bool = False
    early_stopping_patience: int | None = None
    eval_every: int | None = None
    save_every: int | None = None
    logging_every: int = 1
    save_total_limit: int | None = None

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if value is not None or field.name not in OPTIONAL:
                check_value(field.name, value)
        if self.optim == "adam" and self.weight_decay:
            raise ValueError(
                f'optim "adam" has no weight decay, got weight_decay={self.weight_decay}; '
                'use optim="adamw", or weight_decay=0'
            )

    def total_steps(self, steps_per_epoch: int) -> int:
        """Count the optimizer steps of the whole run.

        Args:
            steps_per_epoch: batches that the pairs make
        """
        if self.max_steps is not None:
            return self.max_steps
        return math.ceil(self.num_train_epochs * steps_per_epoch)

    def to_dict(self) -> dict[str, Any]:
        """Return what a JSON file can hold of the settings: all of them."""
        return {**dataclasses.asdict(self), "freeze": list(self.freeze)}


def check_value(name: str, value: Any) -> None:
    """Refuse a value that a setting cannot have.

    Args:
        name: of the setting
        value: what it is to be

    Raises:
        ValueError: if it is of the wrong type or out of range; the message says what fits.
    """
    if name in WHOLE_NUMBERS:
        least = WHOLE_NUMBERS[name]
        fits = is_number(value, int) and value >= least
        wanted = f"a whole number of at least {least}"
    elif name in NUMBERS:
        kind = NUMBERS[name]
        fits = is_number(value, (int, float)) and math.isfinite(value) and value >= 0
        fits = (
            fits and not (kind == ABOVE_ZERO and value == 0) and not (kind == SHARE and value >= 1)
        )
        wanted = f"a number {kind}"
    elif name in TRUTHS:
        fits, wanted = isinstance(value, bool), "True or False"
    elif name == "freeze":
        fits = isinstance(value, tuple) and all(isinstance(pattern, str) for pattern in value)
        wanted = 'a tuple of patterns, such as ("encoder.*",)'
    else:
        choices = OPTIMIZERS if name == "optim" else SCHEDULES
        fits, wanted = value in choices, f"one of {', '.join(choices)}"
    if not fits:
        optional = " or None" if name in OPTIONAL else ""
        raise ValueError(f"{name} must be {wanted}{optional}, got {value!r}")


def is_number(value: Any, kind: type | tuple[type, ...]) -> bool:
    """Tell whether a value is a number of this kind; True and False are none."""
    return isinstance(value, kind) and not isinstance(value, bool)
