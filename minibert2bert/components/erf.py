"""The error function, which NumPy lacks and BERT's gelu needs."""

import math

import numpy as np

from minibert2bert.arrays import Array

# Coefficients for the lowest power first.
# |x| <= 1/2: erf(x) = x P(x^2) / Q(x^2)
SMALL_P = (
    3.20937758913846947e03, 3.77485237685302021e02, 1.13864154151050156e02,
    3.16112374387056560e00, 1.85777706184603153e-1,
)  # fmt: skip
SMALL_Q = (
    2.84423683343917062e03, 1.28261652607737228e03, 2.44024637934444173e02,
    2.36012909523441209e01, 1.0,
)  # fmt: skip
# |x| > 1/2: erf(x) = 1 - exp(-x^2) P(x) / Q(x)
LARGE_P = (
    1.23033935479799725e03, 2.05107837782607147e03, 1.71204761263407058e03,
    8.81952221241769090e02, 2.98635138197400131e02, 6.61191906371416295e01,
    8.88314979438837594e00, 5.64188496988670089e-1, 2.15311535474403846e-8,
)  # fmt: skip
LARGE_Q = (
    1.23033935480374942e03, 3.43936767414372164e03, 4.36261909014324716e03,
    3.29079923573345963e03, 1.62138957456669019e03, 5.37181101862009858e02,
    1.17693950891312499e02, 1.57449261107098347e01, 1.0,
)  # fmt: skip
# float32: Phi(x) = 1 / (1 + exp(-x P(x^2))), fitted for |x| <= 5.5
LOGIT_P = (
    1.59576855, 0.07266835317, -6.613387894e-05, -1.105127284e-04, 7.942176257e-06,
    -2.671155968e-07, 3.61582983e-09,
)  # fmt: skip
# float32: erf(x) = tanh(x P(x^2)) for |x| <= 4
ATANH_P = (
    1.128379247, 0.1027698644, -1.952888091e-4, -6.148376144e-4, 8.459629852e-5,
    -4.794541642e-6, 2.75694545e-8, 5.421858563e-9,
)  # fmt: skip


def erf(x: Array) -> Array:
    """Integrate the bell curve.

    erf(x) = 2 / sqrt(pi) * integral from 0 to x of exp(-t^2) dt

    float64 by the rational functions of Cody (Mathematics of Computation 23, 1969, tables
    I and II); float32 by tanh of an odd polynomial, fitted to atanh(erf(x)) so that the largest
    error of the result relative to erf is least. The relative errors are at most
    5e-16 and 2.2e-7.

    Args:
        x: any shape of at least one axis

    Returns:
        y: the shape and dtype of x
    """
    if x.dtype == np.float64:
        return _erf_float64(x)
    # Beyond 4, erf is 1 to the last bit of a float32.
    clipped = np.clip(x, -4, 4)
    y = polynomial(ATANH_P, np.square(clipped))
    y *= clipped
    return np.tanh(y, out=y)


def normal_cdf(x: Array) -> Array:
    """Find the probability that a normal variable is smaller: Phi(x) = (1 + erf(x / sqrt(2))) / 2.

    float64 by erf; float32 by the logistic function of an odd polynomial, fitted so that the
    largest error of x Phi(x) is least. Its error is at most 2e-7.

    Args:
        x: any shape of at least one axis

    Returns:
        y: the shape and dtype of x
    """
    if x.dtype == np.float64:
        y = erf(x * math.sqrt(0.5))
        y += 1
        y *= 0.5
        return y
    # Beyond 6.5, Phi is 0 or 1 to the tenth digit, and exp does not overflow.
    clipped = np.clip(x, -6.5, 6.5)
    y = polynomial(LOGIT_P, np.square(clipped))
    y *= np.negative(clipped, out=clipped)
    np.exp(y, out=y)
    y += 1
    return np.divide(1, y, out=y)


def _erf_float64(x: Array) -> Array:
    # Each formula is evaluated where it holds; clipping keeps the other half from overflowing.
    small = np.clip(x, -0.5, 0.5)
    square = np.square(small)
    near = small * polynomial(SMALL_P, square) / polynomial(SMALL_Q, square)
    # Beyond 6, erf is 1 to the last bit of a float64.
    large = np.clip(np.abs(x), 0.5, 6)
    rest = np.exp(-np.square(large)) * polynomial(LARGE_P, large) / polynomial(LARGE_Q, large)
    return np.where(np.abs(x) <= 0.5, near, np.sign(x) * (1 - rest))


def polynomial(coefficients: tuple[float, ...], x: Array) -> Array:
    """Evaluate c_0 + c_1 x + c_2 x^2 + ... by Horner's rule.

    Args:
        coefficients: c_0, c_1, ..., at least two
        x: any shape

    Returns:
        y: the shape and dtype of x
    """
    *lower, highest = coefficients
    y = x * highest
    for coefficient in reversed(lower[1:]):
        y += coefficient
        y *= x
    y += lower[0]
    return y
