"""What a run shows while it trains: a bar by tqdm where it is installed, lines where it is not."""

import sys
import time
from collections import deque
from typing import Any

from minibert2bert.training.events import Evaluation, Event, Saved, Started, TrainingStep, Warned

SECONDS_BETWEEN_LINES = 10.0
STEPS_IN_A_MEAN = 50


class Progress:
    """A callback of train that shows loss, tokens per second and the time left, on stderr."""

    def __init__(self) -> None:
        """Show nothing before the first step."""
        self._steps: deque[TrainingStep] = deque(maxlen=STEPS_IN_A_MEAN)
        self._began: tuple[float, int] | None = None
        self._shown = 0.0
        self._bar: Any = None
        self._total_steps: int | None = None

    def __call__(self, event: Event) -> None:
        """Show an event."""
        if isinstance(event, Started):
            self._total_steps = event.total_steps
        elif isinstance(event, TrainingStep):
            self._show_step(event)
        elif isinstance(event, Evaluation):
            dependence = (
                ""
                if event.source_dependence is None
                else (f", {event.source_dependence:+.3f} with another's source")
            )
            best = ", the best so far" if event.is_best else ""
            self._say(f"step {event.step}: held-out loss {event.eval_loss:.3f}{dependence}{best}")
        elif isinstance(event, Saved):
            self._say(f"step {event.step}: wrote {event.folder}")
        elif isinstance(event, Warned):
            self._say(f"warning: {event.message}")

    def close(self) -> None:
        """End the bar's line."""
        if self._bar is not None:
            self._bar.close()

    def _show_step(self, step: TrainingStep) -> None:
        now = time.monotonic()
        self._steps.append(step)
        if self._began is None:
            self._began = now, step.step - 1
            self._bar = make_bar(self._total_steps, step.step - 1)
        if self._bar is not None:
            self._bar.set_postfix_str(self._numbers(), refresh=False)
            self._bar.update(step.step - self._bar.n)
        elif now - self._shown > SECONDS_BETWEEN_LINES:
            self._shown = now
            of_all = "" if self._total_steps is None else f"/{self._total_steps}"
            self._say(f"step {step.step}{of_all}  {self._numbers()}{self._time_left(step, now)}")

    def _numbers(self) -> str:
        count = len(self._steps)
        loss = sum(step.loss for step in self._steps) / count
        speed = sum(step.tokens_per_second for step in self._steps) / count
        return f"loss {loss:.3f}  {speed:.0f} tokens/s"

    def _time_left(self, step: TrainingStep, now: float) -> str:
        if self._began is None or self._total_steps is None:
            return ""
        began, before = self._began
        left = (now - began) / (step.step - before) * (self._total_steps - step.step)
        minutes, seconds = divmod(round(left), 60)
        return f"  {minutes}:{seconds:02d} left"

    def _say(self, line: str) -> None:
        if self._bar is not None:
            self._bar.write(line, file=sys.stderr)
        else:
            print(line, file=sys.stderr)


def make_bar(total: int | None, initial: int) -> Any:
    """Make a bar of tqdm; None if it is not installed, or nobody looks at a terminal.

    Args:
        total: number of steps, if it is known
        initial: steps taken before
    """
    if not sys.stderr.isatty():
        return None
    try:
        from tqdm import tqdm
    except ModuleNotFoundError:
        return None
    return tqdm(total=total, initial=initial, unit="step", file=sys.stderr, dynamic_ncols=True)
