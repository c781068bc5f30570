"""minibert2bert plot: draw the curves of a training run."""

import argparse
import sys
from pathlib import Path
from typing import Any

from minibert2bert.training.log import read_log as training_log

SMOOTHING = 0.98
"""Of the exponential mean of the training loss."""


def add(commands: Any) -> None:
    """Describe the command plot."""
    parser = commands.add_parser(
        "plot",
        help="draw the curves of training runs",
        description="Draw loss, held-out loss and learning rate against the steps of runs.",
    )
    parser.add_argument("logs", nargs="+", metavar="LOG", help="log.jsonl, or a run's folder")
    parser.add_argument("--output", default="curves.png", metavar="FILE", help=".png, .svg or .pdf")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Draw the runs into one picture."""
    runs = {name: rows_of(name) for name in options.logs}
    draw(runs, options.output)
    print(options.output, file=sys.stderr)
    return 0


def rows_of(name: str) -> list[dict[str, Any]]:
    """Read the rows of a log.

    Args:
        name: the file, or the folder it is in

    Raises:
        ValueError: if it holds no step.
        OSError: if it cannot be read.
    """
    path = Path(name)
    rows = training_log(path if path.is_dir() else path.parent)
    if not any("loss" in row or "eval_loss" in row for row in rows):
        raise ValueError(f"{path} has no step with a loss; is it the log of a training run?")
    return rows


def draw(runs: dict[str, list[dict[str, Any]]], output: str) -> None:
    """Draw the held-out loss as a line with dots, the training loss thin, the learning rate below.

    Args:
        runs: rows of a log, under the run's name
        output: the picture

    Raises:
        ModuleNotFoundError: if matplotlib is not installed.
    """
    try:
        import matplotlib.figure
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "plot needs matplotlib: pip install minibert2bert[tutorials]"
        ) from error
    figure = matplotlib.figure.Figure(figsize=(7, 5), layout="constrained")
    losses, rates = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    # Lines differ by their dashes too, so that they can be told apart without colours.
    dashes = ("-", "--", ":", "-.")
    for index, (name, rows) in enumerate(runs.items()):
        style: dict[str, Any] = {"color": f"C{index}", "linestyle": dashes[index % len(dashes)]}
        label = Path(name).name if Path(name).suffix != ".jsonl" else Path(name).parent.name
        steps = [(row["step"], row["loss"]) for row in rows if "loss" in row]
        held_out = [(row["step"], row["eval_loss"]) for row in rows if "eval_loss" in row]
        if steps:
            x, y = zip(*steps, strict=True)
            thin = {"linewidth": 0.8, "alpha": 0.6 if held_out else 1.0}
            losses.plot(x, smoothed(y), label=f"{label}, training", **style, **thin)
            rate = [(row["step"], row["learning_rate"]) for row in rows if "learning_rate" in row]
            rates.plot(*zip(*rate, strict=True), **style)
        if held_out:
            x, y = zip(*held_out, strict=True)
            losses.plot(x, y, label=f"{label}, held out", marker="o", markersize=3, **style)
    losses.set_ylabel("loss, nats for each target")
    losses.legend()
    rates.set_ylabel("learning rate")
    rates.set_xlabel("step")
    figure.savefig(output, dpi=150)


def smoothed(values: Any) -> list[float]:
    """Take the exponential mean of what came so far, without a bias to its first value."""
    mean, weight, found = 0.0, 0.0, []
    for value in values:
        mean = SMOOTHING * mean + (1 - SMOOTHING) * value
        weight = SMOOTHING * weight + (1 - SMOOTHING)
        found.append(mean / weight)
    return found
