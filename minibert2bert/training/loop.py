"""The training loop: batch, loss, gradients, step."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from minibert2bert.arrays import Array, sum_shared
from minibert2bert.components.loss import IGNORE
from minibert2bert.models.encoder_decoder import EncoderDecoderModel
from minibert2bert.training.batches import Pair, make_batch, shuffled_batches
from minibert2bert.training.optimizer import AdamW, clip_by_global_norm
from minibert2bert.training.schedule import linear_schedule


@dataclass(frozen=True)
class TrainingStep:
    """What one step reports.

    Attributes:
        step: 1 for the first
        loss: of its batch before the step, in nats for each target
        learning_rate: used by it
        gradient_norm: before clipping
        targets: labels that counted
    """

    step: int
    loss: float
    learning_rate: float
    gradient_norm: float
    targets: int


def train(
    model: EncoderDecoderModel,
    pairs: Sequence[Pair],
    total_steps: int,
    batch_size: int = 32,
    learning_rate: float = 5e-5,
    warmup_steps: int = 0,
    final_learning_rate: float = 0.0,
    betas: tuple[float, float] = (0.9, 0.999),
    weight_decay: float = 0.01,
    max_grad_norm: float = 1.0,
    label_smoothing: float = 0.0,
    dropout: bool = True,
    seed: int = 0,
    on_step: Callable[[TrainingStep], None] | None = None,
) -> None:
    """Train a model in place.

    Args:
        model: its parameters change; its config's pad_token_id and decoder_start_token_id are used.
        pairs: sources and labels; gone through as often as total_steps asks for
        total_steps: number of updates
        batch_size: pairs in an update
        learning_rate: at the top of the schedule
        warmup_steps: of linear_schedule
        final_learning_rate: as a share of learning_rate
        betas: of AdamW
        weight_decay: of AdamW
        max_grad_norm: of clip_by_global_norm
        label_smoothing: of cross_entropy
        dropout: whether the config's dropout rates are used
        seed: of the order of the pairs and of the dropout masks
        on_step: called after each step

    Raises:
        ValueError: if there are no pairs.
        FloatingPointError: if the loss is no number any more; the message names the step.
    """
    if not pairs:
        raise ValueError("train needs at least one pair of source and labels, got none")
    order_rng, dropout_rng = (np.random.default_rng([seed, stream]) for stream in (0, 1))
    optimizer = AdamW(model.parameters(), learning_rate, betas, weight_decay=weight_decay)
    pad = model.config.required_id("pad_token_id", "pad_token_id")
    batches: Iterator[dict[str, Array]] = iter(())
    for step in range(total_steps):
        batch = next(batches, None)
        if batch is None:
            batches = shuffled_batches(pairs, batch_size, pad, order_rng)
            batch = next(batches)
        loss, backward = model.loss(
            **batch, rng=dropout_rng if dropout else None, label_smoothing=label_smoothing
        )
        if not math.isfinite(loss):
            raise FloatingPointError(
                f"the loss is {loss} at step {step + 1}; a smaller learning_rate than "
                f"{learning_rate} or more warmup_steps than {warmup_steps} may help"
            )
        summed = sum_shared(backward(), optimizer.params)
        gradients, norm = clip_by_global_norm(summed, max_grad_norm)
        factor = linear_schedule(step, warmup_steps, total_steps, final_learning_rate)
        optimizer.step(gradients, learning_rate * factor)
        if on_step is not None:
            targets = int((batch["labels"] != IGNORE).sum())
            on_step(TrainingStep(step + 1, float(loss), learning_rate * factor, norm, targets))


def mean_loss(model: EncoderDecoderModel, pairs: Sequence[Pair], batch_size: int = 64) -> float:
    """Measure the loss over pairs without training: nats for each target, dropout off.

    Args:
        model: an encoder-decoder
        pairs: sources and labels
        batch_size: pairs in a call
    """
    pad = model.config.required_id("pad_token_id", "pad_token_id")
    total, targets = 0.0, 0
    for start in range(0, len(pairs), batch_size):
        batch = make_batch(pairs[start : start + batch_size], pad)
        count = int((batch["labels"] != IGNORE).sum())
        loss = model(batch["input_ids"], batch["attention_mask"], labels=batch["labels"]).loss
        total += float(loss) * count
        targets += count
    return total / targets
