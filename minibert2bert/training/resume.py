"""Whether a run may go on with these settings and data: the same result, or an error."""

from collections.abc import Sequence
from typing import Any

from minibert2bert.training.batches import Pair, fingerprint
from minibert2bert.training.settings import TrainingSettings

FORMAT = 1
MAY_CHANGE = {"logging_every", "save_every", "save_total_limit", "early_stopping_patience"}
"""What changes no number of a step, but only what is written and when the run ends."""
LENGTH = {"num_train_epochs", "max_steps"}
"""These may change, too, unless the learning rate depends on the number of steps."""


def circumstances(
    settings: TrainingSettings,
    pairs: Sequence[Pair],
    eval_pairs: Sequence[Pair] | None,
    total_steps: int,
    processes: int,
) -> dict[str, Any]:
    """Describe what the course of a run depends on.

    Args:
        settings: all of them
        pairs: trained on
        eval_pairs: held out
        total_steps: of the run
        processes: their number

    Returns:
        what a JSON file can hold
    """
    data = {"pairs": [len(pairs), fingerprint(pairs)]}
    if eval_pairs is not None:
        data["eval_pairs"] = [len(eval_pairs), fingerprint(eval_pairs)]
    return {
        "format": FORMAT,
        "settings": settings.to_dict(),
        "data": data,
        "total_steps": total_steps,
        "processes": processes,
    }


def check_same(saved: dict[str, Any], now: dict[str, Any]) -> None:
    """Refuse to go on if the result would be another one.

    Args:
        saved: circumstances of the run that stopped
        now: those of the run that is to go on

    Raises:
        ValueError: if they differ in what matters; the message names each difference.
    """
    if saved.get("format") != FORMAT:
        raise ValueError(
            f"the checkpoint has format {saved.get('format')}, and this version reads {FORMAT}; "
            "go on with the version that wrote it"
        )
    before, after = saved["settings"], now["settings"]
    names = sorted((before.keys() | after.keys()) - MAY_CHANGE - LENGTH)
    changes = [
        f"{name} was {before.get(name)!r} and is {after.get(name)!r}"
        for name in names
        if before.get(name) != after.get(name)
    ]
    if after["lr_scheduler_type"] == "linear" and saved["total_steps"] != now["total_steps"]:
        changes.append(
            f"the linear schedule was for {saved['total_steps']} steps in all and is for "
            f"{now['total_steps']}"
        )
    changes += [
        f"the {what} are others"
        for what in ("pairs", "eval_pairs")
        if saved["data"].get(what) != now["data"].get(what)
    ]
    if changes:
        raise ValueError(
            f"the run cannot go on as it was: {'; '.join(changes)}. Use what it began with, or "
            "start a new run in another output_dir from the checkpoint's model"
        )


def other_processes(saved: dict[str, Any], now: dict[str, Any]) -> str | None:
    """Tell if the number of processes has changed, which is allowed.

    Args:
        saved: circumstances of the run that stopped
        now: those of the run that goes on

    Returns:
        message: None if it has not
    """
    if saved["processes"] == now["processes"]:
        return None
    return (
        f"the run goes on with {now['processes']} processes instead of {saved['processes']}. The "
        "pairs of each step stay the same, but sums are rounded in another order and dropout "
        "masks are others, so the numbers are not those of an undisturbed run to the last bit; "
        "use the same number if they must be"
    )
