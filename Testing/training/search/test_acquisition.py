"""Acquisition functions, against integrals and against numbers of many digits."""

import math

import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.stats import norm

from training.search.acquisition import (
    expected_improvement,
    feasible,
    log_expected_improvement,
    log_h,
    per_second,
    probability_of_improvement,
)

MEANS, DEVIATIONS = st.floats(-3, 3), st.floats(0.1, 3)


@given(MEANS, DEVIATIONS, st.floats(-3, 3))
def test_expected_improvement_is_the_integral_that_defines_it(mean, sd, best):
    expected, _ = quad(lambda loss: (best - loss) * norm.pdf(loss, mean, sd), mean - 12 * sd, best)
    assert expected_improvement(mean, sd**2, best) == pytest.approx(max(expected, 0), abs=1e-7)


@given(MEANS, DEVIATIONS, st.floats(-3, 3))
def test_probability_of_improvement_is_the_share_below_the_best(mean, sd, best):
    assert probability_of_improvement(mean, sd**2, best) == pytest.approx(norm.cdf(best, mean, sd), abs=1e-12)


@pytest.mark.parametrize("z", [5.0, 0.0, -0.5, -1.0, -1.0001, -7.5, -30.0, -299.9, -300.1, -1e4, -1e8])
def test_the_logarithm_has_all_digits_however_small_the_improvement(z):
    with mpmath.workdps(60):
        exact = mpmath.mpf(z)
        if z > -40:
            h = exact * mpmath.ncdf(exact) + mpmath.npdf(exact)
            expected = float(mpmath.log(h))
        else:  # log h by the asymptotic series of h / phi, whose next term is below 1e-17 of it
            inverse = exact**-2
            series = sum((-1) ** k * mpmath.fac2(2 * k + 1) * inverse ** (k + 1) for k in range(8 if z < -100 else 20))
            expected = float(-(exact**2) / 2 - mpmath.log(2 * mpmath.pi) / 2 + mpmath.log(series))
    assert log_h(np.array([z])).item() == pytest.approx(expected, rel=1e-11)


def test_the_logarithm_ranks_where_the_improvement_itself_is_zero():
    means = np.array([50.0, 60.0, 70.0])
    assert (expected_improvement(means, 1.0, 0.0) == 0).all()
    assert (np.diff(log_expected_improvement(means, 1.0, 0.0)) < 0).all()


def test_where_nothing_is_uncertain_the_gain_is_known():
    gain = expected_improvement(np.array([1.0, 2.0, 3.0]), np.zeros(3), 2.5)
    np.testing.assert_allclose(gain, [1.5, 0.5, 0])
    np.testing.assert_array_equal(probability_of_improvement(np.array([1.0, 2.5]), np.zeros(2), 2.5), [1, 0])


@given(MEANS, MEANS, DEVIATIONS, DEVIATIONS)
def test_a_lower_mean_and_a_larger_variance_are_never_less_promising(mean, other, sd, more):
    low, high = sorted((mean, other))
    rounding = 1e-12
    assert log_expected_improvement(low, sd**2, 0.0) >= log_expected_improvement(high, sd**2, 0.0) - rounding
    wider = log_expected_improvement(mean, (sd + more) ** 2, 0.0)
    assert wider >= log_expected_improvement(mean, sd**2, 0.0) - rounding


def test_a_gain_is_divided_by_seconds_and_multiplied_with_the_chance_of_success():
    gain = np.log([0.6, 0.6])
    np.testing.assert_allclose(np.exp(per_second(gain, np.log([2.0, 3.0]))), [0.3, 0.2])
    np.testing.assert_allclose(np.exp(feasible(gain, np.array([0.9, 1.0]))), [0.54, 0.6])


def test_what_will_probably_fail_comes_after_everything_else_and_is_still_ranked():
    gain = np.array([-300.0, 10.0, 10.0, 10.0])
    order = np.argsort(-feasible(gain, np.array([0.8, 0.6, 0.3, 0.0])))
    assert order.tolist() == [0, 1, 2, 3]
    assert feasible(gain, np.array([0.8, 0.6, 0.3, 0.0]))[3] == -math.inf
