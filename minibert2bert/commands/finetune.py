"""minibert2bert finetune: train a model on files of texts."""

import argparse
import dataclasses
import re
import sys
import typing
import warnings
from collections.abc import Iterator
from typing import Any

from minibert2bert.finetuning.settings import FinetuneSettings, finetune_settings, read_settings
from minibert2bert.training.settings import TrainingSettings


def add(commands: Any) -> None:
    """Describe the command finetune: an option for each field of the settings."""
    parser = commands.add_parser(
        "finetune",
        help="train a model on files of texts",
        description=(
            "Train an encoder-decoder, warm-started or random, on pairs of texts. Every option may "
            "also stand in a file, under its name with _ for -; what the command line says wins."
        ),
        argument_default=argparse.SUPPRESS,
        allow_abbrev=False,
    )
    parser.add_argument("--config", metavar="FILE", help="settings in .json or .toml")
    parser.add_argument(
        "--resume", action="store_true", help="go on with the run in the output folder"
    )
    for kind in (FinetuneSettings, TrainingSettings):
        group = parser.add_argument_group(kind.__name__)
        helps = described(kind)
        for name, form in options_of(kind):
            group.add_argument(f"--{name.replace('_', '-')}", dest=name, help=helps[name], **form)
    parser.set_defaults(run=run)


def options_of(kind: type) -> Iterator[tuple[str, dict[str, Any]]]:
    """Derive the options from the fields of a dataclass: name, and arguments of add_argument."""
    types = typing.get_type_hints(kind)
    for field in dataclasses.fields(kind):
        accepted = set(typing.get_args(types[field.name])) - {type(None)} or {types[field.name]}
        if bool in accepted:
            yield field.name, {"action": argparse.BooleanOptionalAction}
        elif accepted & {str, int, float}:
            form = next(form for form in (float, int, str) if form in accepted)
            yield field.name, {"type": form, "metavar": form.__name__.upper()}
        elif field.name == "freeze":
            yield field.name, {"nargs": "+", "metavar": "PATTERN"}


def described(kind: type) -> dict[str, str]:
    """Read what a class's docstring says of its attributes: a text for each name."""
    attributes = (kind.__doc__ or "").split("Attributes:")[1]
    found = re.findall(r"^ {8}(\w+): (.*(?:\n {12}.*)*)", attributes, re.MULTILINE)
    return {name: " ".join(text.split()).replace("%", "%%") for name, text in found}


def run(options: argparse.Namespace) -> int:
    """Train."""
    from minibert2bert.finetuning.finetune import finetune
    from minibert2bert.finetuning.progress import Progress
    from minibert2bert.training.events import TrainingWarning
    from minibert2bert.training.parallel import processes_of_this_run

    given = dict(vars(options))
    config, resume = given.pop("config", None), given.pop("resume", False)
    given.pop("run")
    settings = finetune_settings({**(read_settings(config) if config else {}), **given})
    processes = processes_of_this_run()
    progress = Progress()
    with warnings.catch_warnings():
        # The progress shows them already.
        warnings.simplefilter("ignore", TrainingWarning)
        try:
            result = finetune(settings, resume, [progress], processes)
        except FloatingPointError as error:
            print(f"minibert2bert: {error}", file=sys.stderr)
            return 1
        finally:
            progress.close()
    if processes.rank == 0:
        best = (
            ""
            if result.best_loss is None
            else (f", best held-out loss {result.best_loss:.3f} after step {result.best_step}")
        )
        print(f"{settings.output}: {result.steps} steps{best}", file=sys.stderr)
    return 0
