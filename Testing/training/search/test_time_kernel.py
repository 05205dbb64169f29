import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.optimize import check_grad
from scipy.stats import gamma

from training.search.gaussian_process import GaussianProcess
from training.search.kernel import matern_52, squared_exponential
from training.search.time_kernel import Decaying, with_time
from training.search.transform import identity

DECAYING = Decaying(matern_52(), 1 / 27)
RESOURCES = np.array([1, 3, 9, 27])


def points(rng, n, d=2):
    return with_time(rng.random((n, d)), rng.choice(RESOURCES, n), 27, 1)


def test_log_time_goes_from_the_shortest_training_to_the_full_one():
    rows = with_time(np.zeros((4, 2)), RESOURCES, 27, 1)
    np.testing.assert_allclose(rows, np.column_stack([np.zeros((4, 2)), [0, 1 / 3, 2 / 3, 1]]))
    assert with_time(np.zeros((1, 2)), 5, 5, 5)[0, -1] == 1  # there is one rung only


def test_a_mixture_of_exponential_decays_has_this_covariance():
    theta = np.array([0.1, -0.2, np.log(1.5), np.log(0.7), np.log(0.2)])
    a, b = with_time(np.full((1, 2), 0.3), 3, 27, 1), with_time(np.full((1, 2), 0.3), 9, 27, 1)
    both = 3 / 27 + 9 / 27
    mixture, _ = quad(lambda rate: np.exp(-rate * both) * gamma.pdf(rate, 0.7, scale=1 / 0.2), 0, np.inf)
    assert DECAYING(theta, a, b).item() == pytest.approx(1 + 1.5 * mixture, rel=1e-6)


@given(st.integers(0, 2**31))
def test_covariances_are_symmetric_positive_and_have_their_diagonal(seed):
    rng = np.random.default_rng(seed)
    a, theta = points(rng, 12), rng.normal(0, 1, 5)
    covariance = DECAYING(theta, a, a)
    np.testing.assert_allclose(covariance, covariance.T, rtol=1e-12)
    np.testing.assert_allclose(covariance.diagonal(), DECAYING.diagonal(theta, a))
    assert np.linalg.eigvalsh(covariance)[0] > -1e-10
    np.testing.assert_allclose(DECAYING.differentiable(theta, a)[0], covariance, rtol=1e-12)


@given(st.integers(0, 2**31))
def test_the_gradient_is_that_of_finite_differences(seed):
    rng = np.random.default_rng(seed)
    a, theta = points(rng, 8), rng.normal(0, 0.7, 5)
    weights = rng.normal(size=(8, 8))
    weights = weights + weights.T
    error = check_grad(
        lambda t: (weights * DECAYING(t, a, a)).sum(), lambda t: DECAYING.differentiable(t, a)[1](weights), theta
    )
    assert error < 1e-4 * max(1, np.abs(DECAYING.differentiable(theta, a)[1](weights)).max())


def test_the_end_of_a_short_training_is_predicted_better_than_by_a_stationary_covariance_of_time():
    rng = np.random.default_rng(0)
    configurations = rng.random((25, 2))
    ends = np.sin(3 * configurations[:, 0]) + configurations[:, 1]

    def losses(r):
        return ends + 0.8 * np.exp(-0.25 * r)

    # the last five are trained for 9 of 27, the others to the end
    known = [with_time(configurations, r, 27, 1) for r in (1, 3, 9)] + [with_time(configurations[:20], 27, 27, 1)]
    y = np.concatenate([losses(1), losses(3), losses(9), losses(27)[:20]])
    asked = with_time(configurations[20:], 27, 27, 1)
    errors = []
    for kernel, linear in ((DECAYING, False), (squared_exponential(), True)):
        x = np.concatenate(known)
        query = asked.copy()
        if linear:  # time as the source takes it
            x[:, -1], query[:, -1] = 27.0 ** (x[:, -1] - 1), 1
        process = GaussianProcess.fit(x, y, [kernel], [identity], np.random.default_rng(1))
        errors.append(np.abs(process.posterior(query)[0] - losses(27)[20:]).mean())
    assert errors[0] < 0.1 and errors[0] < errors[1]
