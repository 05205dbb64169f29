"""Kernels: values against scikit-learn's, gradients against finite differences."""

import numpy as np
import pytest
from scipy.optimize import approx_fprime
from sklearn.gaussian_process.kernels import RBF, Matern

from training.search.kernel import Prior, matern_52, squared_exponential
from training.search.transform import kumaraswamy

KERNELS = [
    pytest.param(make(warped), id=f"{make.__name__}{warped}")
    for make in (squared_exponential, matern_52)
    for warped in ((), (0, 2))
]


def points(n, seed=0):
    x = np.random.default_rng(seed).random((n, 3))
    x[0], x[1] = 0.0, 1.0  # the ends of the range, where warps are steep
    return x


def some_theta(kernel, seed=0):
    return 0.5 * np.random.default_rng(seed).standard_normal(len(kernel.prior(3).mean)) - 0.5


@pytest.mark.parametrize(
    ("make", "theirs"), [(squared_exponential, RBF), (matern_52, lambda lengths: Matern(lengths, nu=2.5))]
)
def test_kernels_are_those_of_scikit_learn(make, theirs):
    lengths = np.array([0.3, 1.0, 4.0])
    expected = theirs(lengths)(points(6), points(4, seed=1))
    np.testing.assert_allclose(make()(np.log(lengths), points(6), points(4, seed=1)), expected, rtol=1e-12)


def test_one_length_scale_from_another_the_squared_exponential_has_fallen_to_its_known_value():
    value = squared_exponential()(np.log([2.0]), np.array([[0.0]]), np.array([[2.0]]))
    np.testing.assert_allclose(value, [[np.exp(-0.5)]])


@pytest.mark.parametrize("make", [squared_exponential, matern_52])
def test_a_warp_is_that_of_the_columns_it_is_for(make):
    theta, shapes = np.log([0.5, 0.7, 0.9]), np.array([[0.3, -0.4], [0.2, 0.6]])
    x = points(5)
    warped = x.copy()
    warped[:, [0, 2]] = kumaraswamy(x[:, [0, 2]], *shapes)
    ours = make((0, 2))(np.concatenate([theta, shapes.ravel()]), x, x)
    np.testing.assert_allclose(ours, make()(theta, warped, warped), rtol=1e-12)


@pytest.mark.parametrize("kernel", KERNELS)
def test_the_differentiable_matrix_is_the_matrix(kernel):
    theta, x = some_theta(kernel), points(5)
    matrix, _ = kernel.differentiable(theta, x)
    np.testing.assert_allclose(matrix, kernel(theta, x, x), rtol=1e-12)
    np.testing.assert_allclose(matrix.diagonal(), kernel.diagonal(theta, x), rtol=1e-12)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("seed", range(3))
def test_the_pullback_is_the_gradient_of_any_weighted_sum(kernel, seed):
    theta, x = some_theta(kernel, seed), points(6, seed)
    weights = np.random.default_rng(seed).standard_normal((6, 6))
    weights += weights.T
    _, pullback = kernel.differentiable(theta, x)
    expected = approx_fprime(theta, lambda t: (weights * kernel(t, x, x)).sum(), 1e-7)
    np.testing.assert_allclose(pullback(weights), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kernel", KERNELS)
def test_a_point_seen_twice_has_covariance_one_and_a_finite_gradient(kernel):
    theta, x = some_theta(kernel), np.full((2, 3), 0.25)
    matrix, pullback = kernel.differentiable(theta, x)
    np.testing.assert_array_equal(matrix, np.ones((2, 2)))
    np.testing.assert_array_equal(pullback(np.ones((2, 2))), np.zeros(len(theta)))


@pytest.mark.parametrize("kernel", KERNELS)
def test_covariances_are_positive_definite(kernel):
    x = np.random.default_rng(3).random((30, 3))
    assert np.linalg.eigvalsh(kernel(some_theta(kernel), x, x))[0] > -1e-12


def test_a_prior_has_the_density_of_normal_distributions_and_its_gradient():
    from scipy.stats import norm

    prior = Prior(np.array([0.5]), np.array([2.0])) + Prior(np.array([-1.0]), np.array([0.3]))
    at = np.array([1.0, -0.7])
    value, gradient = prior.log_density(at)
    assert value == pytest.approx(norm.logpdf(at, [0.5, -1.0], [2.0, 0.3]).sum())
    np.testing.assert_allclose(gradient, approx_fprime(at, lambda t: prior.log_density(t)[0], 1e-7), rtol=1e-5)
    np.testing.assert_allclose(prior.bounds, [[-7.5, 8.5], [-2.2, 0.2]])
