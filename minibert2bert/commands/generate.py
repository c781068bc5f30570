"""minibert2bert generate: turn text into text."""

import argparse
import json
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

BATCH_SIZE = 32
SEARCH = {
    "max_new_tokens": "the longest answer, in tokens",
    "num_beams": "beams of the search; 1 is greedy",
    "length_penalty": "exponent of the length that a beam's score is divided by; above 0 favours "
    "long answers",
    "num_return_sequences": "answers to each text: up to --num-beams, or with --do-sample any",
    "no_repeat_ngram_size": "n-grams of this length occur only once in an answer; 0 for any",
    "repetition_penalty": "above 1.0 makes words less likely that an answer has already",
    "temperature": "above 0; below 1.0 the likelier words are drawn more often, with --do-sample",
    "top_k": "draw from the k likeliest words only (default: 50); 0 for all",
    "top_p": "draw from the likeliest words that have this probability together, from 0 to 1",
    "seed": "of the draws: the same number, the same answers",
}
"""The options of generate() that the command has, and what they do."""
WHOLE = ("max_new_tokens", "num_beams", "num_return_sequences")
WHOLE_OR_NONE = ("no_repeat_ngram_size", "top_k", "seed")


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
    for name, description in SEARCH.items():
        kind = positive if name in WHOLE else int if name in WHOLE_OR_NONE else float
        parser.add_argument(flag(name), type=kind, metavar="N", help=description)
    parser.add_argument(
        "--do-sample", action="store_true", default=None, help="draw each word instead of the best"
    )
    parser.add_argument(
        "--stream", action="store_true", help="print the words as they come; without beams"
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


def flag(name: str) -> str:
    """Write an option's name as on the command line."""
    return "--" + name.replace("_", "-")


def run(options: argparse.Namespace) -> int:
    """Turn text into text."""
    check_together(options)
    from minibert2bert.generation.pipeline import pipeline

    search = {
        name: getattr(options, name)
        for name in (*SEARCH, "do_sample")
        if getattr(options, name) is not None
    }
    answerer = pipeline("text2text-generation", options.model)
    texts = options.texts or read_lines(options.input)
    with warnings_on_a_line():
        if options.stream:
            stream(answerer, texts, search)
            return 0
        for start in range(0, len(texts), BATCH_SIZE):
            for answer in answerer.answers(texts[start : start + BATCH_SIZE], **search):
                print_answer(answer, options)
    return 0


def check_together(options: argparse.Namespace) -> None:
    """Exit with 2 where options exclude each other."""
    if bool(options.texts) == bool(options.input):
        options.parser.error("give texts, or --input FILE, and not both")
    one_only = ("num_beams", "num_return_sequences")
    hindrances = [flag(name) + " above 1" for name in one_only if (getattr(options, name) or 1) > 1]
    hindrances += [flag(name) for name in ("json", "show_scores") if getattr(options, name)]
    if options.stream and hindrances:
        options.parser.error(
            f"--stream prints words before the answer is known; leave out {hindrances[0]}"
        )


def stream(answerer: Any, texts: list[str], search: dict[str, Any]) -> None:
    """Answer one text after the other, and print each word as soon as it is certain."""
    from minibert2bert.generation.streaming import TextStreamer

    for text in texts:
        streamer = TextStreamer(answerer.target_tokenizer, skip_special_tokens=True)
        answerer.answers([text], streamer=streamer, **search)


@contextmanager
def warnings_on_a_line() -> Iterator[None]:
    """Print warnings to stderr, each once and on a line, without the place in the source."""

    def show(message: Warning | str, *_: Any) -> None:
        print(f"minibert2bert: {message}", file=sys.stderr)

    with warnings.catch_warnings():
        warnings.simplefilter("once", UserWarning)
        warnings.showwarning = cast(Any, show)
        yield


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
