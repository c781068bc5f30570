"""The results of all variants: a table to read, and a picture of their held-out losses."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

PAPER: Mapping[str, tuple[float, float, float]] = {
    "bertShare": (16.3, 77.2, 63.5),
    "bert2bert": (15.6, 77.0, 63.2),
    "bert2rnd": (15.9, 76.9, 63.1),
    "rnd2bert": (15.2, 76.5, 61.8),
    "rnd2rnd": (14.6, 76.3, 61.7),
}
"""Exact match, BLEU and SARI in percent (Rothe, Narayan and Severyn, 2020, table 3)."""
SHOWN = (2, 4, 5)
"""Which fifths of the run have a column for their held-out loss."""
DASHES = ("-", "--", "-.", ":", (0, (1, 3)))
MARKERS = "osD^v"


def table(results: Sequence[Mapping[str, Any]], copied: Mapping[str, float]) -> str:
    """Write the results in Markdown, beside copying the sources and beside the paper.

    Args:
        results: of variants, as run_variant returns them, of one recipe
        copied: scores of the sources
    """
    steps = shown_steps([step for step, _ in results[0]["held_out"]])
    head = ["variant", "seed", "parameters", "initialised"]
    head += [f"loss at {step}" for step in steps]
    head += ["exact", "BLEU", "SARI", "paper's exact", "BLEU", "SARI"]
    rows = [head, ["---", *["---:"] * (len(head) - 1)]]
    rows += [row_of(result, steps) for result in results]
    gaps = [""] * (len(steps) + 3)
    rows.append(["copying the source", *gaps, *scores_of(copied), "", "", ""])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def row_of(result: Mapping[str, Any], steps: Sequence[int]) -> list[str]:
    """Write the line of a variant.

    Args:
        result: as run_variant returns it
        steps: those that have a column
    """
    losses = dict(result["held_out"])
    share = result["initialised"] / result["parameters"]
    return [
        result["variant"],
        str(result["seed"]),
        f"{result['parameters'] / 1e6:.1f} M",
        f"{share:.0%}",
        *(f"{losses[step]:.2f}" for step in steps),
        *scores_of(result["scores"]),
        *(f"{value:.1f}" for value in PAPER[result["variant"]]),
    ]


def shown_steps(steps: Sequence[int]) -> list[int]:
    """Choose the evaluations that have a column: at two and four fifths, and the last.

    Args:
        steps: of all evaluations, increasing
    """
    return sorted({steps[min(fifth, len(steps)) - 1] for fifth in SHOWN} | {steps[-1]})


def scores_of(scores: Mapping[str, float]) -> list[str]:
    """Write exact match, BLEU and SARI with a decimal."""
    return [f"{scores[name]:.1f}" for name in ("exact", "bleu", "sari")]


def draw(results: Sequence[Mapping[str, Any]], output: str | Path) -> None:
    """Draw the held-out loss of each variant against the steps.

    Args:
        results: of variants, as run_variant returns them
        output: the picture

    Raises:
        ModuleNotFoundError: if matplotlib is not installed.
    """
    try:
        import matplotlib.figure
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "the picture needs matplotlib: pip install minibert2bert[tutorials]"
        ) from error
    figure = matplotlib.figure.Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.subplots()
    for index, result in enumerate(results):
        x, y = zip(*result["held_out"], strict=True)
        axes.plot(
            x,
            y,
            label=f"{result['variant']}, seed {result['seed']}",
            # Dashes and marks, so that the lines can be told apart without colours.
            linestyle=DASHES[index % len(DASHES)],
            marker=MARKERS[index % len(MARKERS)],
            color=f"C{index}",
        )
    axes.set_xlabel("step")
    axes.set_ylabel("held-out loss, nats for each target")
    axes.set_ylim(bottom=0)
    axes.legend()
    figure.savefig(output, dpi=150)
