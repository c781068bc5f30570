import math

import numpy as np
import pytest

from minibert2bert.components.erf import erf, normal_cdf, polynomial

# math.erf is itself only good to about the last bit.
REFERENCE_ERROR = np.finfo(np.float64).eps
GRIDS = {
    "everywhere": np.linspace(-7, 7, 60_001),
    "tiny": np.geomspace(1e-290, 1, 10_001),
    "around the seam": 0.5 + np.linspace(-1e-5, 1e-5, 10_001),
    "far out": np.linspace(5, 40, 10_001),
}
GRIDS32 = {
    "everywhere": np.linspace(-7, 7, 60_001),
    "tiny": np.geomspace(1e-36, 1, 10_001),
    "around the clip": 4 + np.linspace(-1e-3, 1e-3, 2_001),
    "far out": np.linspace(3, 40, 10_001),
}


def reference(x):
    return np.array([math.erf(value) for value in x.tolist()])


def relative_errors(x):
    expected = reference(x)
    nonzero = expected != 0
    return np.abs(erf(x) - expected)[nonzero] / np.abs(expected[nonzero])


@pytest.mark.parametrize("grid", GRIDS)
def test_float64_is_right_to_five_units_of_the_sixteenth_digit(grid):
    assert relative_errors(GRIDS[grid]).max() <= 5e-16 + REFERENCE_ERROR


@pytest.mark.parametrize("grid", GRIDS32)
def test_float32_is_right_to_two_last_bits(grid):
    assert relative_errors(GRIDS32[grid].astype(np.float32)).max() <= 2.5e-7


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(3,), (2, 3), (2, 1, 3), (0,)])
def test_shape_and_dtype_are_kept(dtype, shape):
    y = erf(np.full(shape, 0.7, dtype))
    assert (y.dtype, y.shape) == (dtype, shape)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_it_is_odd(dtype):
    x = GRIDS["everywhere"].astype(dtype)
    np.testing.assert_array_equal(erf(-x), -erf(x))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_it_rises(dtype):
    # Here a step of 0.01 adds at least 2e-5, far more than the errors.
    assert np.diff(erf(np.linspace(-2.5, 2.5, 501, dtype=dtype))).min() > 0


def test_it_never_falls_in_float64():
    assert np.diff(erf(np.linspace(-7, 7, 14_001))).min() >= 0


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_it_stays_between_minus_one_and_one(dtype):
    assert np.abs(erf(GRIDS["everywhere"].astype(dtype))).max() == 1


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_infinity_gives_one_zero_gives_zero_and_nan_stays(dtype):
    y = erf(np.array([np.inf, -np.inf, 0.0, np.nan], dtype))
    np.testing.assert_array_equal(y, [1, -1, 0, np.nan])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_input_is_unchanged(dtype):
    x = np.linspace(-3, 3, 7, dtype=dtype)
    x.flags.writeable = False
    before = x.copy()
    erf(x)
    np.testing.assert_array_equal(x, before)


@pytest.mark.parametrize("coefficients", [(2.0, 3.0), (1.0, -2.0, 0.5), (0.1, 0.2, 0.3, 0.4, 0.5)])
def test_a_polynomial_is_its_sum_of_powers(coefficients):
    x = np.linspace(-2, 2, 9)
    expected = [sum(c * v**power for power, c in enumerate(coefficients)) for v in x.tolist()]
    np.testing.assert_allclose(polynomial(coefficients, x), expected, rtol=1e-13, atol=1e-14)


def test_the_normal_cdf_in_float32_is_right_to_2e_7():
    x = GRIDS["everywhere"].astype(np.float32)
    expected = (1 + reference(x / np.sqrt(2))) / 2
    np.testing.assert_allclose(normal_cdf(x), expected, rtol=0, atol=2e-7)


def test_the_normal_cdf_in_float64_is_that_of_erf():
    x = GRIDS["everywhere"]
    expected = (1 + reference(x / np.sqrt(2))) / 2
    np.testing.assert_allclose(normal_cdf(x), expected, rtol=0, atol=1e-15)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_normal_cdf_is_0_and_1_far_out(dtype):
    far = normal_cdf(np.array([-1e4, -50, 50, 1e4], dtype))
    np.testing.assert_allclose(far, [0, 0, 1, 1], rtol=0, atol=1e-9)
    assert far.dtype == dtype
