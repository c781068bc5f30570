"""The command line: parse, call the library, print.

Results go to stdout, everything else to stderr. Exit code 2: the command was wrong; 1: it failed.
"""

import argparse
import json
import os
import platform
import sys
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from minibert2bert import __version__

BATCH_SIZE = 32


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: what follows the program's name; those of the process by default

    Returns:
        the exit code
    """
    options = build_parser().parse_args(arguments)
    try:
        code: int = options.run(options)
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader of a pipe has seen enough; without this Python complains while it shuts down.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        return 130
    except (ValueError, OSError, ModuleNotFoundError, MemoryError) as error:
        print(f"minibert2bert: {str(error) or type(error).__name__}", file=sys.stderr)
        return 1
    return code


def build_parser() -> argparse.ArgumentParser:
    """Describe the commands and their options."""
    parser = argparse.ArgumentParser(
        prog="minibert2bert",
        description="BERT-warm-started encoder-decoder models in NumPy.",
    )
    parser.add_argument("--version", action="version", version=f"minibert2bert {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    add_generate(commands)
    add_convert(commands)
    gradcheck = commands.add_parser(
        "gradcheck", help="check every gradient against finite differences"
    )
    gradcheck.add_argument("--seed", type=int, default=0, help="of all numbers (default: 0)")
    gradcheck.set_defaults(run=run_gradcheck)
    env = commands.add_parser("env", help="print versions, BLAS, threads and GPU")
    env.set_defaults(run=run_env)
    return parser


def add_generate(commands: Any) -> None:
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
    parser.set_defaults(run=run_generate, parser=parser)


def add_convert(commands: Any) -> None:
    """Describe the command convert."""
    parser = commands.add_parser(
        "convert",
        help="rewrite a model's folder",
        description="Rewrite a model's folder with safetensors, from whatever format it is in.",
    )
    parser.add_argument("source", metavar="SRC", help="the folder to read")
    parser.add_argument("destination", metavar="DST", help="the folder to write")
    parser.add_argument(
        "--untie",
        action="store_true",
        help="write both halves of a model whose encoder and decoder are tied",
    )
    parser.add_argument("--force", action="store_true", help="write over a folder that is there")
    parser.add_argument(
        "--dtype", choices=("float16", "float32", "float64"), help="of the tensors written"
    )
    parser.set_defaults(run=run_convert)


def positive(text: str) -> int:
    """Read a whole number above 0."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, got {number}")
    return number


def run_generate(options: argparse.Namespace) -> int:
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


def run_convert(options: argparse.Namespace) -> int:
    """Rewrite a model's folder."""
    from minibert2bert.models.convert import convert

    model = convert(
        options.source, options.destination, options.untie, options.force, options.dtype
    )
    print(f"{options.destination}: {type(model).__name__}", file=sys.stderr)
    if model.load_report is not None:
        print(model.load_report, file=sys.stderr)
    return 0


def run_gradcheck(options: argparse.Namespace) -> int:
    """Check every component and the whole model, and print a line for each tensor."""
    from minibert2bert.inspection.component_cases import component_cases
    from minibert2bert.inspection.gradient_check import gradient_checks

    checked = failed = 0
    print(f"{'component':<30} {'tensor':<72} {'relative error':>14}  verdict")
    for case in component_cases(options.seed):
        for check in gradient_checks(case.function, *case.arguments, seed=options.seed):
            verdict = "ok" if check.passed else "WRONG"
            error = f"{check.relative_error:.1e}"
            print(f"{case.name:<30} {check.tensor:<72} {error:>14}  {verdict}")
            checked += 1
            failed += not check.passed
    print(f"{checked} gradients checked, {failed} wrong")
    return 1 if failed else 0


def run_env(_: argparse.Namespace) -> int:
    """Print what a report of a problem should contain."""
    import numpy as np

    from minibert2bert.device import gpu_description

    blas = np.show_config(mode="dicts")["Build Dependencies"]["blas"]
    variables = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    limits = [f"{name}={os.environ[name]}" for name in variables if name in os.environ]
    lines = {
        "minibert2bert": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
    }
    for package in ("numpy", "sentencepiece", "safetensors"):
        lines[package] = metadata.version(package)
    lines["blas"] = f"{blas['name']} {blas['version']}"
    lines["threads"] = f"{os.cpu_count()} processors, {', '.join(limits) or 'no limit set'}"
    lines["gpu"] = gpu_description()
    for name, value in lines.items():
        print(f"{name:<14} {value}")
    return 0
