"""A training run as lines of JSON, one a line, that can be read while they are written."""

import json
from pathlib import Path
from typing import Any

from minibert2bert.checkpoints.folders import replacing
from minibert2bert.training.checkpoint import explained
from minibert2bert.training.events import Evaluation, Event, TrainingStep, Warned

LOG_FILE = "log.jsonl"


class Log:
    """A callback that writes log.jsonl.

    Attributes:
        path: of the file
        logging_every: steps between two lines about steps
    """

    def __init__(self, folder: str | Path, logging_every: int = 1) -> None:
        """Remember where to write.

        Args:
            folder: in which log.jsonl is, or will be
            logging_every: steps between two lines about steps
        """
        self.path = Path(folder) / LOG_FILE
        self.logging_every = logging_every

    def __call__(self, event: Event) -> None:
        """Append the line of an event, in one piece; most steps and all saves have none."""
        line = line_of(event)
        if isinstance(event, TrainingStep) and event.step % self.logging_every:
            return
        if line is not None:
            with explained(self.path.parent), self.path.open("ab") as file:
                file.write((json.dumps(line) + "\n").encode())

    def keep_until(self, step: int) -> None:
        """Drop the lines of later steps, which a run that is resumed writes again.

        A line that was cut short by a crash is dropped with them.

        Args:
            step: the last one whose lines stay; -1 drops all.
        """
        if self.path.is_file():
            lines = self.path.read_bytes().splitlines(keepends=True)
            kept = [line for line in lines if 0 <= step_of(line) <= step]
            with explained(self.path.parent), replacing(self.path.parent) as new:
                (new / LOG_FILE).write_bytes(b"".join(kept))


def line_of(event: Event) -> dict[str, Any] | None:
    """Return what the log says of an event; None if it says nothing.

    A save is not in the log: it could be finished, and the process end before it says so.

    Args:
        event: of a run
    """
    if isinstance(event, Warned):
        return {"step": event.step, "warning": event.message}
    if isinstance(event, (TrainingStep, Evaluation)):
        return dict(vars(event))
    return None


def step_of(line: bytes) -> int:
    """Return the step that a line is about; -1 if the line is not whole.

    Args:
        line: of the file, with its end
    """
    try:
        return int(json.loads(line)["step"]) if line.endswith(b"\n") else -1
    except (ValueError, TypeError, KeyError):
        return -1


def read_log(folder: str | Path) -> list[dict[str, Any]]:
    """Read a folder's log.jsonl; a last line that is just being written is left out.

    Args:
        folder: the output folder of a run
    """
    lines = (Path(folder) / LOG_FILE).read_bytes().splitlines(keepends=True)
    return [json.loads(line) for line in lines if step_of(line) >= 0]
