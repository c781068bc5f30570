"""What is wrong with an array: the sentences that a learner reads."""

import itertools
from dataclasses import dataclass, field

import numpy as np
from mine.closeness import CLOSE, NOTHING, same
from mine.rules import RULES, permutations


@dataclass(frozen=True)
class Clues:
    """What a wrong array may have to do with.

    Attributes:
        factors: numbers by the names under which a constant ratio would be explained
        known: arrays by name, such as the inputs, that may be missing, added or confused
        mistakes: wrong arrays by the sentence that tells how one comes to them
        close: the share of the largest element by which mine may be off
    """

    factors: dict = field(default_factory=dict)
    known: dict = field(default_factory=dict)
    mistakes: dict = field(default_factory=dict)
    close: float = CLOSE


def difference(mine, expected, clues=None):
    """Say what is wrong with an array, most telling first.

    Args:
        mine: anything at all
        expected: an array or a number
        clues: see Clues

    Returns:
        lines: none if mine is right; else what is wrong, and where the difference is largest
    """
    clues = clues or Clues()
    expected = np.asarray(expected)
    array, trouble = as_array(mine)
    if trouble:
        return [trouble]
    if array.shape != expected.shape:
        return [shape_trouble(array, expected, clues)]
    if expected.dtype.kind in "biu":
        return different_integers(array, expected, clues)
    if not np.isfinite(array).all() and np.isfinite(expected).all():
        return [not_finite(array)]
    array, expected = array.astype(np.float64), expected.astype(np.float64)
    finite = np.isfinite(expected)
    if not np.array_equal(array[~finite], expected[~finite]):
        return ["is not infinite where it should be", *first_different(array, expected, ~finite)]
    array, expected = np.where(finite, array, 0), np.where(finite, expected, 0)
    if same(array, expected, clues.close):
        return []
    reason = next(filter(None, (rule(array, expected, clues) for rule in RULES)), None)
    return [*([reason] if reason else []), largest(array, expected)]


def as_array(mine):
    """Read what a learner's function returned; the second is what is wrong with it."""
    if mine is None:
        return None, "is None; is a return missing, or a value in it?"
    if mine is Ellipsis:
        return None, "is still the ... of the exercise; put the array in its place"
    if callable(mine):
        return None, f"is a function ({getattr(mine, '__name__', 'without a name')}), not an array"
    if isinstance(mine, (list, tuple, dict, set, str, bytes)):
        return None, f"is a {type(mine).__name__}, expected an array"
    try:
        array = np.asarray(mine)
    except Exception as error:
        return None, f"is a {type(mine).__name__} that is no array ({type(error).__name__})"
    if array.dtype.kind not in "biuf":
        return None, f"has the type {array.dtype}, expected numbers"
    return array, None


def shape_trouble(array, expected, clues):
    """Explain a wrong shape."""
    reasons = (
        reason for rule in SHAPE_RULES for reason in [rule(array, expected, clues)] if reason
    )
    return f"has shape {array.shape}, expected {expected.shape}" + next(reasons, "")


def shape_of_another(array, expected, clues):
    for name, known in clues.known.items():
        if same(array, known):
            return f": it is {name}"
    return None


def shape_transposed(array, expected, clues):
    for axes in permutations(array.ndim):
        if array.ndim == expected.ndim and same(array.transpose(axes), expected):
            return ": it is transposed" + (f", axes {axes}" if array.ndim > 2 else "")
    return None


def shape_not_summed(array, expected, clues):
    extra = tuple(range(array.ndim - expected.ndim))
    if extra and same(array.sum(axis=extra), expected):
        which = "the last" if expected.ndim == 1 else f"the last {expected.ndim}"
        return f": the sum over the batch is missing, over all axes but {which}"
    return None


def shape_summed_too_far(array, expected, clues):
    for count in range(1, expected.ndim + 1):
        for axes in itertools.combinations(range(expected.ndim), count):
            if same(array, expected.sum(axis=axes)):
                return f": it is summed over axis {', '.join(map(str, axes))}, which must stay"
    return None


def shape_not_folded_back(array, expected, clues):
    if array.size != expected.size:
        return None
    if same(array.reshape(expected.shape), expected):
        return ": the numbers are right; reshape them"
    return ": is it transposed?" if array.T.shape == expected.shape else None


SHAPE_RULES = (
    shape_of_another,
    shape_transposed,
    shape_not_summed,
    shape_summed_too_far,
    shape_not_folded_back,
)


def not_finite(array):
    """Where the first number is that is none."""
    bad = ~np.isfinite(array)
    first = index_text(np.argwhere(bad)[0])
    return f"{int(bad.sum())} of {array.size} are NaN or infinite, the first at {first}"


def first_different(array, expected, where):
    """The first element that differs, among those where something holds."""
    index = np.argwhere(where & (array != expected))[0]
    mine, right = array[tuple(index)], expected[tuple(index)]
    return [f"first at {index_text(index)}: yours {mine:.6g}, expected {right:.6g}"]


def different_integers(array, expected, clues):
    """Compare ids or booleans exactly."""
    wrong = np.atleast_1d(array != expected)
    if not wrong.any():
        return []
    reasons = [text for text, wrong in clues.mistakes.items() if np.array_equal(array, wrong)]
    first = np.argwhere(wrong)[0]
    mine, right = np.atleast_1d(array)[tuple(first)], np.atleast_1d(expected)[tuple(first)]
    return [
        *reasons[:1],
        f"{int(wrong.sum())} of {wrong.size} are wrong, "
        f"the first at {index_text(first)}: yours {mine}, expected {right}",
    ]


def index_text(index):
    return f"[{', '.join(str(int(i)) for i in index)}]"


def largest(array, expected):
    """The element with the largest difference, both numbers and their ratio."""
    if not expected.ndim:
        return f"yours {array:.6g}, expected {expected:.6g}{ratio_text(array, expected)}"
    gap = np.abs(array - expected)
    index = np.unravel_index(int(gap.argmax()), gap.shape)
    wrong = int((gap > CLOSE * np.abs(expected).max() + NOTHING).sum())
    count = "all" if wrong == gap.size else f"{wrong} of {gap.size}"
    return (
        f"{count} wrong; most at {index_text(index)}: yours {array[index]:.6g}, "
        f"expected {expected[index]:.6g}{ratio_text(array[index], expected[index])}"
    )


def ratio_text(mine, expected):
    return f", ratio {mine / expected:.4g}" if expected else ""
