"""The loss of a step and its gradients, from micro-batches and from several processes."""

import math
from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from minibert2bert.arrays import Array, sum_shared
from minibert2bert.device import default_rng
from minibert2bert.models.encoder_decoder import EncoderDecoderModel
from minibert2bert.training.batches import (
    Pair,
    count_targets,
    dropout_seed,
    make_batch,
    micro_batches,
    share_of_process,
)
from minibert2bert.training.parallel import Processes
from minibert2bert.training.settings import TrainingSettings


def loss_and_gradients(
    model: EncoderDecoderModel,
    pairs: Sequence[Pair],
    params: dict[str, Array],
    settings: TrainingSettings,
    step: int,
    processes: Processes,
) -> tuple[float, dict[str, Array]]:
    """Take the mean loss over all targets of a step, and its gradients.

    loss = sum over micro-batches of n_i / n * loss_i, where n_i of the step's n targets are in
    micro-batch i: the same as in one piece, whatever the pieces and the processes.

    Args:
        model: an encoder-decoder
        pairs: those of the step, the same on every process
        params: the flat dict of arrays to differentiate for; others are left out.
        settings: gradient_accumulation_steps, label_smoothing_factor, dropout, seed,
            gradient_checkpointing
        step: 0 for the first
        processes: among which the pairs are dealt out

    Returns:
        loss: in nats for each target; gradients: under the first name of each array
    """
    targets = count_targets(pairs)
    share = share_of_process(pairs, processes.rank, processes.size)
    pieces = micro_batches(share, settings.gradient_accumulation_steps)
    first_piece = processes.rank * settings.gradient_accumulation_steps
    loss, gradients = 0.0, dict[str, Array]()
    # The last batch of an epoch may have no pair for this process: then its gradients are 0.
    for number, piece in enumerate(pieces or [pairs[:1]]):
        weight = count_targets(piece) / targets if pieces else 0.0
        keywords = loss_keywords(model, settings, step, first_piece + number)
        piece_loss, piece_gradients = weighted_loss(model, piece, weight, params, keywords)
        loss += piece_loss
        add_gradients(gradients, piece_gradients)
    return processes.sum_numbers([loss])[0], processes.sum_arrays(gradients)


def weighted_loss(
    model: EncoderDecoderModel,
    pairs: Sequence[Pair],
    weight: float,
    params: dict[str, Array],
    keywords: dict[str, Any],
) -> tuple[float, dict[str, Array]]:
    """Take the loss of a micro-batch times its weight, and the gradients of that.

    Args:
        model: an encoder-decoder
        pairs: the micro-batch
        weight: its share of the step's targets
        params: the flat dict of arrays to differentiate for
        keywords: of model.loss

    Returns:
        loss: a number; gradients: under the first name of each array
    """
    pad = model.config.required_id("pad_token_id", "pad_token_id")
    loss, backward = model.loss(**{**make_batch(pairs, pad), **keywords})
    return float(loss) * weight, sum_shared(backward(weight), params)


def loss_keywords(
    model: EncoderDecoderModel, settings: TrainingSettings, step: int, piece: int
) -> dict[str, Any]:
    """Say how model.loss is to compute.

    Args:
        model: decides where the dropout masks are made
        settings: label_smoothing_factor, dropout, seed, gradient_checkpointing
        step: 0 for the first
        piece: number of the micro-batch among those of all processes

    Returns:
        keywords of model.loss
    """
    keywords: dict[str, Any] = {"label_smoothing": settings.label_smoothing_factor}
    if settings.dropout:
        keywords["rng"] = default_rng(dropout_seed(settings.seed, step, piece), model.like)
    if settings.gradient_checkpointing:
        keywords["recompute"] = True
    return keywords


def add_gradients(total: dict[str, Array], gradients: dict[str, Array]) -> None:
    """Add gradients to a total, which starts as an empty dict.

    Args:
        total: changed; its arrays are not, for a backward may give one array two names.
        gradients: emptied on the way, so that a third set of arrays never exists
    """
    for name in list(gradients):
        gradient = gradients.pop(name)
        total[name] = total[name] + gradient if name in total else gradient


def trainable_parameters(parameters: dict[str, Array], freeze: Sequence[str]) -> dict[str, Array]:
    """Leave out the parameters that are to stay as they are.

    Args:
        parameters: flat dict of arrays
        freeze: patterns as in file names, such as "encoder.*"; an array with several names is
            frozen under all of them if a pattern matches one.

    Returns:
        parameters: those that no pattern matches

    Raises:
        ValueError: if a pattern matches nothing, or if nothing is left.
    """
    frozen: set[int] = set()
    for pattern in freeze:
        matched = {id(array) for name, array in parameters.items() if fnmatchcase(name, pattern)}
        if not matched:
            raise ValueError(
                f"freeze pattern {pattern!r} matches no parameter; "
                f"the names are like {next(iter(parameters))!r}"
            )
        frozen |= matched
    left = {name: array for name, array in parameters.items() if id(array) not in frozen}
    if not left:
        raise ValueError(f"freeze {tuple(freeze)} leaves nothing to train; freeze less")
    return left


def check_finite(
    numbers: dict[str, float], step: int, settings: TrainingSettings, checkpoint: Path | None
) -> None:
    """Stop a run that has left the numbers.

    Args:
        numbers: by what they are
        step: 1 for the first
        settings: learning_rate, warmup_steps, max_grad_norm
        checkpoint: the last good one

    Raises:
        FloatingPointError: if one is infinite or no number.
    """
    for what, number in numbers.items():
        if not math.isfinite(number):
            saved = f"the last good checkpoint is {checkpoint}" if checkpoint else "none was saved"
            if step == 1:
                cause = "This is the first step, so the parameters that it began with are at fault"
            else:
                cause = (
                    "Mostly the steps have become too large; try a smaller learning_rate than "
                    f"{settings.learning_rate:g}, more warmup_steps than {settings.warmup_steps}, "
                    f"or a smaller max_grad_norm than {settings.max_grad_norm}"
                )
            raise FloatingPointError(f"the {what} is {number} at step {step}; {saved}. {cause}")
