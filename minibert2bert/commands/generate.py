"""minibert2bert generate: turn text into text."""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

BATCH_SIZE = 32


def add(commands: Any) -> None:
    """Describe the command generate."""
    parser = commands.add_parser(
        "generate",
        help="turn text into text",
        description="Turn text into text; the demo model translates English to German.",
    )
    parser.add_argument("texts", nargs="*", metavar="TEXT", help="one or more texts")
    parser.add_argument("--input", metavar="FILE", help="read a text a line; - is stdin")
    parser.add_argument("--model", metavar="FOLDER", help="a model's folder (default: the demo)")
    parser.add_argument("--num-beams", type=positive, help="beams of the search; 1 is greedy")
    parser.add_argument("--max-new-tokens", type=positive, help="the longest answer, in tokens")
    parser.add_argument(
        "--length-penalty",
        type=float,
        help="exponent of the length that a beam's score is divided by; above 0 favours long",
    )
    parser.add_argument("--json", action="store_true", help="print a JSON object a line")
    parser.add_argument(
        "--show-scores",
        action="store_true",
        help="print the log-probability, over the length to the penalty's power, before the text",
    )
    parser.set_defaults(run=run, parser=parser)


def positive(text: str) -> int:
    """Read a whole number above 0."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, got {number}")
    return number


def run(options: argparse.Namespace) -> int:
    """Turn text into text."""
    if bool(options.texts) == bool(options.input):
        options.parser.error("give texts, or --input FILE, and not both")
    if options.length_penalty is not None and (options.num_beams or 1) == 1:
        print("--length-penalty has no effect without --num-beams above 1", file=sys.stderr)
    from minibert2bert.generation.pipeline import pipeline

    search = {
        name: getattr(options, name)
        for name in ("num_beams", "max_new_tokens", "length_penalty")
        if getattr(options, name) is not None
    }
    answerer = pipeline("text2text-generation", options.model)
    texts = options.texts or read_lines(options.input)
    for start in range(0, len(texts), BATCH_SIZE):
        for answer in answerer.answers(texts[start : start + BATCH_SIZE], **search):
            print_answer(answer, options)
    return 0


def print_answer(answer: Any, options: argparse.Namespace) -> None:
    """Print one answer in the form that was asked for."""
    if options.json:
        row: dict[str, Any] = {"source": answer.source, "text": answer.text}
        if options.show_scores:
            row["score"] = round(answer.score, 6)
        print(json.dumps(row, ensure_ascii=False))
    else:
        print(f"{answer.score:.4f}\t{answer.text}" if options.show_scores else answer.text)


def read_lines(name: str) -> list[str]:
    """Read a text a line from a file, or from stdin if name is -.

    Raises:
        ValueError: if the file is not UTF-8.
        OSError: if it cannot be read.
    """
    try:
        text = sys.stdin.read() if name == "-" else Path(name).read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{name} must be UTF-8 text, but {error}; convert it first") from None
    return text.splitlines()
