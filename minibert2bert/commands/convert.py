"""minibert2bert convert: rewrite a model's folder."""

import argparse
import sys
from typing import Any


def add(commands: Any) -> None:
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
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Rewrite a model's folder."""
    from minibert2bert.models.convert import convert

    model = convert(
        options.source, options.destination, options.untie, options.force, options.dtype
    )
    print(f"{options.destination}: {type(model).__name__}", file=sys.stderr)
    if model.load_report is not None:
        print(model.load_report, file=sys.stderr)
    return 0
