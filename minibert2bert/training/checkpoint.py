"""Save a run so that it can go on as if it had never stopped.

OUTPUT/checkpoint-STEP is a model's folder as save_pretrained writes it, with two things more: the
moments of the optimizer in optimizer/, and training_state.json. It is made under a hidden name
and renamed when all of it is on the disk, so whatever has its name is whole.
"""

import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from minibert2bert.arrays import Array
from minibert2bert.checkpoints.folders import flush, recover, replacing
from minibert2bert.checkpoints.safetensors_files import read_tensors, write_tensors
from minibert2bert.device import to_numpy
from minibert2bert.models.encoder_decoder import EncoderDecoderModel
from minibert2bert.training.optimizer import AdamW
from minibert2bert.training.parallel import Processes

STATE_FILE = "training_state.json"
OPTIMIZER_FOLDER = "optimizer"
UNFINISHED = ".unfinished-checkpoint"


@dataclass(frozen=True)
class Progress:
    """How far a run has come. The order of the data and all dropout masks follow from step.

    Attributes:
        step: optimizer steps taken
        train_loss: of the last step's batch
        best_loss: the lowest held-out loss so far
        best_step: the step it was measured after
        evaluations_without_improvement: since then
    """

    step: int = 0
    train_loss: float | None = None
    best_loss: float | None = None
    best_step: int | None = None
    evaluations_without_improvement: int = 0


def checkpoints_in(output: Path) -> list[Path]:
    """List the checkpoints of a folder, the newest last.

    Args:
        output: of a run; need not be there
    """
    found = {}
    for path in output.iterdir() if output.is_dir() else ():
        match = re.fullmatch(r"checkpoint-(\d+)", path.name)
        if match and path.is_dir():
            found[int(match[1])] = path
    return [found[step] for step in sorted(found)]


def open_output(output: Path, resume: bool, limit: int | None = None) -> Path | None:
    """Make the folder of a run ready, and find the checkpoint to go on from.

    Args:
        output: made if it is not there; what a killed process left half written is removed.
        resume: whether to go on
        limit: how many checkpoints to keep; None keeps all.

    Returns:
        the newest checkpoint; None to start from the beginning

    Raises:
        ValueError: if there are checkpoints, and nobody said to go on from them.
        OSError: if the folder cannot be made or cleaned.
    """
    found = checkpoints_in(output)
    if found and not resume:
        raise ValueError(
            f"{output} holds checkpoints of an earlier run, the newest being {found[-1].name}; "
            "go on from it with resume=True, or choose another output_dir"
        )
    with explained(output):
        output.mkdir(parents=True, exist_ok=True)
        recover(output)
        for leftover in output.glob(".unfinished-*"):
            shutil.rmtree(leftover)
        _remove_old(output, limit)
    return found[-1] if found else None


def save_checkpoint(
    output: Path,
    model: EncoderDecoderModel,
    optimizer: AdamW,
    progress: Progress,
    circumstances: dict[str, Any],
    limit: int | None = None,
) -> Path:
    """Write a checkpoint; then, and only then, remove those that are too many.

    Args:
        output: of the run
        model: whose parameters and config to save
        optimizer: whose moments to save
        progress: of the run
        circumstances: what must be the same to go on: settings, data and so on
        limit: how many checkpoints to keep; None keeps all.

    Returns:
        the folder

    Raises:
        OSError: if it could not be written; the earlier checkpoints are untouched.
    """
    with explained(output):
        folder = _write_checkpoint(output, model, optimizer, progress, circumstances)
        _remove_old(output, limit)
    return folder


def _remove_old(output: Path, limit: int | None) -> None:
    for old in checkpoints_in(output)[:-limit] if limit else ():
        # Hidden first: a folder that is half removed must not look like a checkpoint.
        os.rename(old, output / UNFINISHED)
        shutil.rmtree(output / UNFINISHED)


def _write_checkpoint(
    output: Path,
    model: EncoderDecoderModel,
    optimizer: AdamW,
    progress: Progress,
    circumstances: dict[str, Any],
) -> Path:
    folder, staging = output / f"checkpoint-{progress.step}", output / UNFINISHED
    state = {**circumstances, "progress": asdict(progress), "optimizer_steps": optimizer.steps}
    try:
        model.save_pretrained(staging)
        write_tensors(staging / OPTIMIZER_FOLDER, to_numpy(optimizer.state()))
        with replacing(staging) as new:
            (new / STATE_FILE).write_text(json.dumps(state, indent=2) + "\n", encoding="utf-8")
        os.rename(staging, folder)
    except BaseException:
        shutil.rmtree(staging, ignore_errors=True)
        raise
    flush(output)
    return folder


def read_state(folder: Path) -> dict[str, Any]:
    """Read the part of a checkpoint that is no array.

    Args:
        folder: a checkpoint

    Returns:
        what save_checkpoint was given as circumstances, with progress and optimizer_steps

    Raises:
        ValueError: if the file is missing or broken.
    """
    try:
        state: dict[str, Any] = json.loads((folder / STATE_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(
            f"{folder} is no whole checkpoint ({error}); remove it to go on from an earlier one"
        ) from None
    return state


def load_arrays(folder: Path, model: EncoderDecoderModel, optimizer: AdamW, steps: int) -> None:
    """Copy the arrays of a checkpoint into a model and an optimizer.

    Args:
        folder: a checkpoint
        model: of the same config and dtype; its arrays stay the same objects.
        optimizer: of this model
        steps: that the optimizer had taken

    Raises:
        ValueError: if a parameter is missing, or has another shape or dtype.
    """
    tensors, moments = (_read(part) for part in (folder, folder / OPTIMIZER_FOLDER))
    parameters = model.parameters()
    # What has several names is stored under one of them.
    stored = {id(array) for name, array in parameters.items() if name in tensors}
    for name, array in parameters.items():
        tensor = tensors.get(name)
        if tensor is None and id(array) in stored:
            continue
        if tensor is None or (tensor.shape, tensor.dtype) != (array.shape, array.dtype):
            found = "has none" if tensor is None else f"holds {tensor.dtype} {tensor.shape}"
            raise ValueError(
                f"the model's {name} is {array.dtype} {tuple(array.shape)}, but {folder} {found}; "
                "go on with a model of the same config and dtype as before"
            )
        array[...] = np.asarray(tensor, like=array)
    optimizer.load_state(moments, steps)


def _read(folder: Path) -> dict[str, Array]:
    try:
        return read_tensors(folder, "auto")
    except FileNotFoundError as error:
        raise ValueError(
            f"{folder} is no whole checkpoint ({error}); remove it to go on from an earlier one"
        ) from None


def copy_from_first(model: EncoderDecoderModel, optimizer: AdamW, processes: Processes) -> None:
    """Give all processes the arrays of process 0, so that they start from the same.

    Args:
        model: whose parameters are overwritten
        optimizer: whose moments are overwritten
        processes: among which to broadcast
    """
    if processes.size == 1:
        return
    for array in model.parameters().values():
        array[...] = processes.broadcast(array)
    state = optimizer.state()
    names, steps = processes.broadcast((list(state), optimizer.steps))
    optimizer.load_state({name: processes.broadcast(state.get(name)) for name in names}, steps)


@contextmanager
def explained(output: Path) -> Iterator[None]:
    """Say what a failed write means for the run.

    Args:
        output: of the run

    Raises:
        OSError: in place of another one, with its number.
    """
    try:
        yield
    except OSError as error:
        found = checkpoints_in(output)
        good = f"the last good checkpoint is {found[-1]}" if found else "there is no checkpoint"
        raise OSError(
            error.errno,
            f"{output} could not be written ({error.strerror or error}); {good}; make room or "
            "repair the disk, then go on with resume=True",
        ) from error
