"""By how much the length of a sequence divides its score."""

from minibert2bert.generation.settings import GenerationSettings


def length_divisor(length: int, settings: GenerationSettings) -> float:
    """Return what the sum of the log-probabilities is divided by, for the final score.

    length_penalty_style "hf": length ^ length_penalty, the rule of transformers;
    "gnmt": ((5 + length) / 6) ^ length_penalty (Wu et al., 2016, equation 14)

    Args:
        length: generated tokens, the eos included; at least 1
        settings: length_penalty, length_penalty_style

    Returns:
        divisor: 1 for a length_penalty of 0; larger for longer sequences if it is above 0
    """
    base = (5 + length) / 6 if settings.length_penalty_style == "gnmt" else float(length)
    return float(base**settings.length_penalty)
