"""minibert2bert evaluate: have a model answer, and compare its answers with references."""

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from minibert2bert.commands.generate import positive
from minibert2bert.evaluation.metrics import METRICS, check_metrics

DEMO = "demo"
SEARCH = ("num_beams", "length_penalty", "max_new_tokens")


def add(commands: Any) -> None:
    """Describe the command evaluate."""
    parser = commands.add_parser(
        "evaluate",
        help="compare a model's answers with references",
        description=(
            "Answer the sources of a file and compare the answers with its targets. Prints a table "
            "to stderr; to stdout, one line of JSON with the numbers and all they depend on."
        ),
    )
    parser.add_argument("model", metavar="MODEL", help="a model's folder, or demo")
    parser.add_argument(
        "--data", required=True, metavar="FILE", help="an example a line: .tsv or .jsonl, or .gz"
    )
    parser.add_argument("--source-column", metavar="COLUMN", help="number or name (default: 1)")
    parser.add_argument(
        "--target-column",
        nargs="+",
        metavar="COLUMN",
        help="numbers or names, several for several references (default: 2)",
    )
    parser.add_argument(
        "--skip-bad-lines", action="store_true", help="leave out lines that lack a text"
    )
    parser.add_argument("--limit", type=positive, metavar="N", help="the first N examples only")
    parser.add_argument(
        "--metrics",
        nargs="+",
        choices=list(METRICS),
        default=list(METRICS),
        metavar="METRIC",
        help=f"of {', '.join(METRICS)} (default: all)",
    )
    parser.add_argument("--lowercase", action="store_true", help="compare without regard to case")
    parser.add_argument("--num-beams", type=positive, help="beams of the search; 1 is greedy")
    parser.add_argument("--length-penalty", type=float, help="above 0 favours long answers")
    parser.add_argument("--max-new-tokens", type=positive, help="the longest answer, in tokens")
    parser.add_argument("--batch-size", type=positive, default=32, help="default: 32")
    parser.add_argument("--output", metavar="FILE", help="write the answers, one a line")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Answer, compare, print."""
    from minibert2bert import __version__
    from minibert2bert.evaluation.evaluate import evaluate
    from minibert2bert.examples import read_examples
    from minibert2bert.generation.pipeline import pipeline

    # What can fail at once comes before what takes long.
    check_metrics(options.metrics)
    check_output(options.output)
    skipped: list[str] = []
    examples = read_examples(
        options.data,
        options.source_column,
        options.target_column,
        skipped.append if options.skip_bad_lines else None,
    )
    parts = pipeline("text2text-generation", None if options.model == DEMO else options.model)
    report = evaluate(
        parts.model,
        parts.tokenizer,
        examples[: options.limit],
        options.metrics,
        batch_size=options.batch_size,
        lowercase=options.lowercase,
        on_progress=print_progress if sys.stderr.isatty() else None,
        **{name: getattr(options, name) for name in SEARCH if getattr(options, name) is not None},
    )
    if options.output:
        write_lines(options.output, report.answers)
    print(report, file=sys.stderr)
    names = {"model": Path(options.model).resolve().name, "data": Path(options.data).name}
    print(report.to_json(minibert2bert=__version__, **names, skipped_lines=len(skipped)))
    return 0


def check_output(name: str | None) -> None:
    """Refuse a file that could not be written after hours of work.

    Raises:
        ValueError: if it is a folder, or in a folder that is not there.
    """
    if name and (Path(name).is_dir() or not Path(name).absolute().parent.is_dir()):
        raise ValueError(f"--output must be a file in a folder that is there, got {name}")


def print_progress(done: int, total: int) -> None:
    """Say on a single line how far it is."""
    print(f"\r{done} of {total} answered", end="\n" if done == total else "", file=sys.stderr)


def write_lines(name: str, texts: Iterable[str]) -> None:
    """Write a text a line; the file is there whole or not at all."""
    from minibert2bert.checkpoints.folders import replacing

    path = Path(name).absolute()
    with replacing(path.parent) as folder:
        lines = [" ".join(text.splitlines()) + "\n" for text in texts]
        (folder / path.name).write_text("".join(lines), encoding="utf-8")
