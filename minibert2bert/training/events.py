"""What a training run tells about itself: to its callbacks, and at its end."""

from dataclasses import dataclass
from typing import TypeAlias


class TrainingWarning(UserWarning):
    """Something looks as if the training would not give what is hoped for."""


@dataclass(frozen=True)
class Started:
    """A run begins, or goes on.

    Attributes:
        step: the last one taken; 0 if none was
        total_steps: where the run ends, if nothing ends it earlier
    """

    step: int
    total_steps: int


@dataclass(frozen=True)
class TrainingStep:
    """An optimizer step was taken.

    Attributes:
        step: 1 for the first
        epoch: how often the pairs have been gone through
        loss: of its batch before the step, in nats for each target
        learning_rate: used by it
        grad_norm: length of all gradients as one vector, before clipping
        targets: labels that counted
        tokens_per_second: targets, and tokens of the sources, in each second of the step
    """

    step: int
    epoch: float
    loss: float
    learning_rate: float
    grad_norm: float
    targets: int
    tokens_per_second: float


@dataclass(frozen=True)
class Evaluation:
    """The held-out pairs were gone through, without dropout.

    Attributes:
        step: the last one taken
        epoch: how often the pairs have been gone through
        eval_loss: in nats for each target
        source_dependence: by how much that loss gets worse, in nats for each target, if each
            target is read with another one's source; None for a single pair
        is_best: whether no evaluation so far had as low a loss
    """

    step: int
    epoch: float
    eval_loss: float
    source_dependence: float | None
    is_best: bool


@dataclass(frozen=True)
class Saved:
    """A folder was written, and is whole.

    Attributes:
        step: the last one taken
        folder: a checkpoint, or the output folder, which holds a model
    """

    step: int
    folder: str


@dataclass(frozen=True)
class Warned:
    """Something looks wrong; the message says what, why it matters and what to do.

    Attributes:
        step: the last one taken; 0 before the first
        message: sentences for the user
    """

    step: int
    message: str


Event: TypeAlias = Started | TrainingStep | Evaluation | Saved | Warned


@dataclass(frozen=True)
class TrainingResult:
    """How a training run ended.

    Attributes:
        steps: optimizer steps taken, those before a resumption included
        epochs: how often the pairs were gone through
        train_loss: of the last step's batch; None if there was no step
        best_loss: the lowest held-out loss; None without held-out pairs
        best_step: the step it was measured after
        stopped_early: whether early_stopping_patience ended the run
    """

    steps: int
    epochs: float
    train_loss: float | None
    best_loss: float | None
    best_step: int | None
    stopped_early: bool
