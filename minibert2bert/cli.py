"""The command line: parse, call the library, print.

Results go to stdout, everything else to stderr. Exit code 2: the command was wrong; 1: it failed.
"""

import argparse
import os
import sys
from collections.abc import Sequence

from minibert2bert import __version__
from minibert2bert.commands import (
    convert,
    env,
    evaluate,
    finetune,
    generate,
    gradcheck,
    plot,
    reproduce,
)

COMMANDS = (generate, finetune, plot, evaluate, reproduce, convert, gradcheck, env)


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
    for command in COMMANDS:
        command.add(commands)
    return parser
