"""minibert2bert reproduce: an experiment of the paper in small."""

import argparse
import json
import sys
import warnings
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from minibert2bert.commands.generate import positive
from minibert2bert.models.warm_start import VARIANTS

DEFAULT = [name for name, plan in VARIANTS.items() if plan.encoder == plan.decoder == "bert"]
RESULTS_FILE, PICTURE = "results.json", "curves.png"


def add(commands: Any) -> None:
    """Describe the command reproduce."""
    parser = commands.add_parser(
        "reproduce",
        help="repeat an experiment of the paper in small",
        description=(
            "Train the paper's variants from one BERT on WikiSplit, with the same steps and the "
            "same order of the pairs, and compare them. Prints a table in Markdown, and writes "
            f"{RESULTS_FILE} and {PICTURE}. Started again, it goes on where it stopped."
        ),
    )
    parser.add_argument("task", choices=["wikisplit"], help="wikisplit: sentence splitting")
    parser.add_argument("--bert", required=True, metavar="FOLDER", help="a BERT, or its hub name")
    parser.add_argument(
        "--data",
        required=True,
        metavar="FOLDER",
        help="tune.tsv, validation.tsv and test.tsv of WikiSplit, plain or .gz",
    )
    parser.add_argument("--output", required=True, metavar="FOLDER", help="what to write")
    parser.add_argument(
        "--variants",
        nargs="+",
        choices=DEFAULT,
        default=DEFAULT,
        metavar="VARIANT",
        help=f"of {', '.join(DEFAULT)} (default: all)",
    )
    parser.add_argument("--seeds", nargs="+", type=int, default=[0], metavar="N", help="default: 0")
    parser.add_argument("--steps", type=positive, default=500, help="default: 500")
    parser.add_argument("--batch-size", type=positive, default=16, help="default: 16")
    parser.add_argument("--learning-rate", type=float, default=5e-4, help="default: 0.0005")
    parser.add_argument(
        "--cross-attention-init",
        choices=["self", "random"],
        default="self",
        help="self copies each layer's self-attention; random wants --learning-rate 2e-4",
    )
    parser.add_argument("--held-out", type=positive, default=200, help="pairs (default: 200)")
    parser.add_argument("--test", type=positive, default=500, help="pairs (default: 500)")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Prepare, train, measure, report."""
    from minibert2bert.checkpoints.folders import replacing
    from minibert2bert.evaluation.metrics import check_metrics
    from minibert2bert.reproduce.report import draw, table
    from minibert2bert.reproduce.variants import METRICS, score
    from minibert2bert.reproduce.wikisplit import Recipe, prepare

    # What can fail at once comes before what takes long.
    check_metrics(METRICS)
    given = vars(options)
    recipe = Recipe(**{f.name: given[f.name] for f in fields(Recipe) if f.name in given})
    prepare(recipe)
    copied = score(recipe)
    try:
        results = run_all(recipe, options.variants, options.seeds)
    except FloatingPointError as error:
        print(f"minibert2bert: {error}", file=sys.stderr)
        return 1
    output = Path(recipe.output)
    with replacing(output) as new:
        found = {"recipe": recipe.numbers, "copy": copied, "variants": results}
        (new / RESULTS_FILE).write_text(json.dumps(found) + "\n", encoding="utf-8")
    print(table(results, copied))
    try:
        draw(results, output / PICTURE)
    except ModuleNotFoundError as error:
        # Not worth losing the table for: the numbers of the picture are in the file.
        print(f"minibert2bert: no {PICTURE}: {error}", file=sys.stderr)
    return 0


def run_all(recipe: Any, variants: Sequence[str], seeds: Sequence[int]) -> list[dict[str, Any]]:
    """Run each variant with each seed, and show how far it is.

    Args:
        recipe: prepared
        variants: names
        seeds: of random weights and of the order of the pairs

    Returns:
        results: as run_variant returns them
    """
    from minibert2bert.finetuning.progress import Progress
    from minibert2bert.reproduce.variants import run_variant
    from minibert2bert.training.events import TrainingWarning

    results = []
    for seed in seeds:
        for variant in variants:
            print(f"{variant}, seed {seed}", file=sys.stderr)
            progress = Progress()
            with warnings.catch_warnings():
                # The progress shows them already.
                warnings.simplefilter("ignore", TrainingWarning)
                try:
                    results.append(run_variant(recipe, variant, seed, [progress]))
                finally:
                    progress.close()
    return results
