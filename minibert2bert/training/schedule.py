"""How the learning rate changes over the steps."""


def linear_schedule(step: int, warmup_steps: int, total_steps: int, final: float = 0.0) -> float:
    """Rise in a line to 1, then fall in a line to final.

    Args:
        step: 0 for the first
        warmup_steps: steps until the top
        total_steps: steps in all
        final: the share of the learning rate left at the end, in [0, 1]

    Returns:
        factor: of the learning rate, in [0, 1]
    """
    if step < warmup_steps:
        return (step + 1) / warmup_steps
    done = (step - warmup_steps) / max(1, total_steps - warmup_steps)
    return final + (1 - final) * max(0.0, 1 - done)
