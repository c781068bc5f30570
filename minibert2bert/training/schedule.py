"""How the learning rate changes over the steps, as a factor of its highest value.

A step is 0 for the first, so that a warm-up begins with a factor of 0, as in transformers.
"""

import math
from collections.abc import Callable

SCHEDULES: tuple[str, ...] = ("linear", "inverse_sqrt", "constant_with_warmup", "constant")


def linear_schedule(
    step: int, warmup_steps: int, total_steps: int, final_share: float = 0.0
) -> float:
    """Rise in a line to 1, then fall in a line to final_share.

    Args:
        step: 0 for the first
        warmup_steps: steps until the top
        total_steps: steps in all
        final_share: of the learning rate, left at the end, in [0, 1]

    Returns:
        factor: of the learning rate, in [0, 1]
    """
    if step < warmup_steps:
        return step / warmup_steps
    left = (total_steps - step) / max(1, total_steps - warmup_steps)
    return final_share + (1 - final_share) * max(0.0, left)


def inverse_sqrt_schedule(step: int, warmup_steps: int) -> float:
    """Rise in a line to 1, then fall with the root of the steps.

    factor = sqrt(w / step) from step w on, w = warmup_steps
    (Vaswani et al., 2017, equation 3, up to a factor)
    Without a warm-up it is sqrt(w / (step + w)) with w = 10,000.

    Args:
        step: 0 for the first
        warmup_steps: steps until the top

    Returns:
        factor: of the learning rate, in [0, 1]
    """
    if step < warmup_steps:
        return step / warmup_steps
    timescale = warmup_steps or 10_000
    return 1 / math.sqrt((step + timescale - warmup_steps) / timescale)


def constant_schedule(step: int, warmup_steps: int = 0) -> float:
    """Rise in a line to 1, and stay there.

    Args:
        step: 0 for the first
        warmup_steps: steps until the top

    Returns:
        factor: of the learning rate, in [0, 1]
    """
    return step / warmup_steps if step < warmup_steps else 1.0


def make_schedule(
    kind: str, warmup_steps: int, total_steps: int, final_share: float = 0.0
) -> Callable[[int], float]:
    """Choose a schedule by the name that transformers gives it.

    Args:
        kind: one of SCHEDULES
        warmup_steps: steps until the top; "constant" has no warm-up.
        total_steps: steps in all, which only "linear" looks at
        final_share: of "linear"

    Returns:
        from a step, 0 for the first, to the factor of the learning rate

    Raises:
        ValueError: if the kind is unknown.
    """

    def factor(step: int) -> float:
        if kind == "linear":
            return linear_schedule(step, warmup_steps, total_steps, final_share)
        if kind == "inverse_sqrt":
            return inverse_sqrt_schedule(step, warmup_steps)
        return constant_schedule(step, warmup_steps if kind == "constant_with_warmup" else 0)

    if kind not in SCHEDULES:
        raise ValueError(f"lr_scheduler_type must be one of {', '.join(SCHEDULES)}, got {kind!r}")
    return factor
