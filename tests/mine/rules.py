"""The kinds of mistakes that a wrong array betrays, from the most telling to the least.

A rule is given finite arrays of one shape that differ, and the clues; it returns the rest of a
sentence that begins with the array's name, or None.
"""

import itertools
import math

import numpy as np
from mine.closeness import CLOSE, same

LOOSE = 1e-6
"""How well an explanation must fit."""


def permutations(ndim):
    """All orders of up to four axes but the usual one."""
    return list(itertools.permutations(range(ndim)))[1:] if ndim <= 4 else []


def constant_ratio(array, expected):
    """The one number r with array = r * expected, if there is one."""
    square = float(np.vdot(expected, expected))
    if not square:
        return None
    ratio = float(np.vdot(expected, array)) / square
    return ratio if abs(ratio) > LOOSE and same(array, ratio * expected, LOOSE) else None


def ratio_name(ratio, factors):
    """Explain a ratio in words."""
    if math.isclose(ratio, -1, rel_tol=1e-5):
        return "has the wrong sign"
    sign = "has the wrong sign and " if ratio < 0 else ""
    size = abs(ratio)
    for name, value in {"2": 2.0, **factors}.items():
        if math.isclose(size, value, rel_tol=1e-5):
            return f"{sign}is {times(name, value)} too large"
        if math.isclose(size, 1 / value, rel_tol=1e-5):
            hint = ": a mean where a sum belongs?" if "number" in name else ""
            return f"{sign}is {times(name, value)} too small{hint}"
    return f"is {ratio:.6g} times what it should be, everywhere"


def times(name, value):
    return "a factor of two" if name == "2" else f"{name} = {value:.4g} times"


def zero(array, expected, clues):
    if not array.any():
        return "is zero everywhere"
    return None


def known_mistake(array, expected, clues):
    for text, wrong in clues.mistakes.items():
        if same(array, np.asarray(wrong), LOOSE) and not same(array, expected, LOOSE):
            return text
    return None


def another_array(array, expected, clues):
    for name, known in clues.known.items():
        if same(array, known, 1e-9):
            return f"is {name}"
    return None


def constant_factor(array, expected, clues):
    ratio = constant_ratio(array, expected)
    return ratio and ratio_name(ratio, clues.factors)


def swapped_axes(array, expected, clues):
    for axes in permutations(array.ndim):
        turned = array.transpose(axes)
        if same(turned, expected, LOOSE):
            return "is transposed" + (f": its axes are {axes} of the right one's" * (len(axes) > 2))
    return None


def missing_term(array, expected, clues):
    """Find the known array that is left out, added, or added with a wrong factor."""
    gap = expected - array
    for name, known in clues.known.items():
        ratio = fits(known, gap) and constant_ratio(gap, np.broadcast_to(known, gap.shape))
        if not ratio:
            continue
        if math.isclose(ratio, 1, rel_tol=1e-5):
            return f"lacks a term: add {name}"
        if math.isclose(ratio, -1, rel_tol=1e-5):
            return f"has a term too many: {name}"
        return f"has {name} in it with a wrong factor (it lacks {ratio:.4g} times that)"
    return None


def fits(known, array):
    """Whether known broadcasts to the shape of array and is more than a number."""
    try:
        return known.ndim > 0 and np.broadcast_shapes(known.shape, array.shape) == array.shape
    except ValueError:
        return False


def missing_factor(array, expected, clues):
    for name, known in clues.known.items():
        if fits(known, array):
            if same(array, expected * known, LOOSE):
                return f"is multiplied by {name} once too often"
            if same(array * known, expected, LOOSE):
                return f"lacks a factor: multiply by {name}"
    return None


def one_factor_a_row(array, expected, clues):
    """A ratio that is the same along an axis and differs along the others."""
    return along_an_axis(array, expected, factor=True)


def one_offset_a_row(array, expected, clues):
    """A difference that is the same along an axis and differs along the others."""
    return along_an_axis(array, expected, factor=False)


def along_an_axis(array, expected, factor):
    if array.ndim < 2:
        axes = [(0,)] if not factor else []
    else:
        axes = [(array.ndim - 1,), tuple(range(array.ndim - 1))]
    for axis in axes:
        if all(array.shape[a] == 1 for a in axis):
            continue
        gap = array - expected
        part = fitted(array, expected, axis) if factor else gap.mean(axis=axis, keepdims=True)
        if same(part * expected if factor else part + expected, array, LOOSE):
            first = float(part.reshape(-1)[0])
            place = "each row" if axis == (array.ndim - 1,) else "each column"
            kind = "is off by a factor of its own" if factor else "is off by one number"
            return f"{place} {kind} (the first by {first:.4g}): {ROW_HINT[factor]}"
    return None


ROW_HINT = {
    True: "a factor with one number for each is missing or too much, such as a norm",
    False: "a term with one number for each is missing or too much, such as a mean or a bias",
}


def fitted(array, expected, axis):
    square = np.square(expected).sum(axis=axis, keepdims=True)
    return (array * expected).sum(axis=axis, keepdims=True) / np.where(square, square, 1)


def right_in_part(array, expected, clues):
    """A first axis along which some slices are right."""
    if array.ndim < 2 or len(array) < 2:
        return None
    gap = np.abs(array - expected).reshape(len(array), -1).max(axis=1)
    wrong = np.flatnonzero(gap > CLOSE * np.abs(expected).max())
    if 0 < len(wrong) < len(array):
        listed = ", ".join(str(i) for i in wrong[:5]) + (", ..." if len(wrong) > 5 else "")
        zeros = " (zero there)" if not array[wrong].any() else ""
        return f"is wrong only at {listed} of the first axis{zeros}; the rest is right"
    return None


RULES = (
    zero,
    known_mistake,
    another_array,
    constant_factor,
    swapped_axes,
    missing_term,
    missing_factor,
    one_offset_a_row,
    one_factor_a_row,
    right_in_part,
)
