"""The Gaussian process, against scikit-learn's and against itself fitted anew."""

import numpy as np
import pytest
from scipy.optimize import approx_fprime
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, Matern, WhiteKernel

from training.search.gaussian_process import GaussianProcess
from training.search.hyperparameters import (
    Model,
    drawn,
    likeliest,
    log_marginal_likelihood,
    log_posterior,
    refined,
    slice_sample,
    standardised,
)
from training.search.kernel import matern_52, squared_exponential
from training.search.transform import identity, logarithm

PHI = np.log([1.5, 1e-3, 0.4, 0.7, 1.1])


def data(n, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.random((n, 3))
    return x, 3 + np.sin(5 * x[:, 0]) + x[:, 1] ** 2 + 0.01 * rng.standard_normal(n)


def theirs(make, x, z):
    """scikit-learn's process with the parameters PHI, not fitted."""
    variance, noise, *lengths = np.exp(PHI)
    kernel = ConstantKernel(variance) * make(lengths) + WhiteKernel(noise)
    return GaussianProcessRegressor(kernel, alpha=0, optimizer=None).fit(x, z)


PAIRS = [(squared_exponential(), RBF), (matern_52(), lambda lengths: Matern(lengths, nu=2.5))]


@pytest.mark.parametrize(("kernel", "make"), PAIRS)
def test_the_marginal_likelihood_is_that_of_scikit_learn(kernel, make):
    x, y = data(25)
    z, _, _ = standardised(y)
    value, gradient = log_marginal_likelihood(kernel, PHI, x, z)
    oracle = theirs(make, x, z)
    expected, by_theirs = oracle.log_marginal_likelihood(oracle.kernel_.theta, eval_gradient=True)
    assert value == pytest.approx(expected, rel=1e-10)
    # theirs are in the order variance, lengths, noise
    np.testing.assert_allclose(gradient, by_theirs[[0, 4, 1, 2, 3]], rtol=1e-7)


@pytest.mark.parametrize("kernel", [squared_exponential((0, 2)), matern_52((0, 2))])
def test_the_gradient_of_the_posterior_is_its_difference_quotient(kernel):
    x, y = data(12)
    z, _, _ = standardised(y)
    phi = np.concatenate([PHI, [0.2, -0.3, 0.4, 0.1]])
    _, gradient = log_posterior(kernel, phi, x, z)
    expected = approx_fprime(phi, lambda p: log_posterior(kernel, p, x, z)[0], 1e-6)
    np.testing.assert_allclose(gradient, expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(("kernel", "make"), PAIRS)
def test_mean_and_variance_are_those_of_scikit_learn_however_the_observations_came(kernel, make):
    x, y = data(30)
    points = np.random.default_rng(1).random((50, 3))
    process = GaussianProcess(Model(kernel, identity, PHI), x[:10], y[:10])
    process.add(x[10:11], y[10:11])
    process.add(x[11:], y[11:])
    mean, variance = process.posterior(points)
    z, centre, scale = standardised(y)
    oracle = theirs(make, x, z)
    expected, sd = oracle.predict(points, return_std=True)
    np.testing.assert_allclose(mean, centre + scale * expected, atol=1e-8)
    noise = np.exp(PHI[1])  # theirs is of an observation, ours of the function
    np.testing.assert_allclose(variance, scale**2 * (sd**2 - noise), atol=1e-8)


def test_an_observation_removed_was_never_there():
    x, y = data(20)
    model = Model(matern_52(), identity, PHI)
    process = GaussianProcess(model, x, y)
    process.remove(7)
    process.remove(0)
    kept = [n for n in range(20) if n not in (0, 7)]
    expected = GaussianProcess(model, x[kept], y[kept]).posterior(x)
    np.testing.assert_allclose(process.posterior(x), expected, atol=1e-10)


def test_many_points_in_chunks_are_predicted_as_one_by_one():
    x, y = data(8)
    process = GaussianProcess(Model(matern_52(), identity, PHI), x, y)
    points = np.random.default_rng(2).random((10_000, 3))
    mean, variance = process.posterior(points)
    few = [0, 4095, 4096, 9999]
    for n in few:
        np.testing.assert_allclose(process.posterior(points[n : n + 1]), [[mean[n]], [variance[n]]], atol=1e-12)


def test_a_pending_observation_leaves_the_mean_and_lowers_the_variance():
    x, y = data(20)
    model = Model(matern_52(), identity, PHI)
    process = GaussianProcess(model, x[:15], y[:15])
    mean, variance = process.posterior(x)
    process.add(x[15:18])
    mean_after, variance_after = process.posterior(x)
    np.testing.assert_allclose(mean_after, mean, atol=1e-9)
    assert (variance_after <= variance + 1e-12).all()
    assert (variance_after[15:18] < 0.1 * variance[15:18]).all()


def test_losses_told_in_any_order_between_pending_ones_give_the_process_of_all():
    x, y = data(12)
    model = Model(matern_52(), identity, PHI)
    process = GaussianProcess(model, x[:6], y[:6])
    process.add(x[6:9])
    process.add(x[9:], y[9:])
    known = [*range(6), *range(9, 12)]
    mean_without, _ = GaussianProcess(model, x[known], y[known]).posterior(x)
    np.testing.assert_allclose(process.posterior(x)[0], mean_without, atol=1e-9)
    for n in (8, 6, 7):
        process.tell(n, y[n])
    whole = GaussianProcess(model, x, y)
    order = [*range(9), *range(9, 12)]
    np.testing.assert_allclose(process.posterior(x), whole.posterior(x[order]), atol=1e-9)


def test_means_are_in_units_of_the_transformed_losses():
    x, y = data(15)
    raw = GaussianProcess(Model(matern_52(), identity, PHI), x, np.log(y)).posterior(x)
    logged = GaussianProcess(Model(matern_52(), logarithm, PHI), x, y).posterior(x)
    np.testing.assert_allclose(logged, raw, rtol=1e-12)


@pytest.mark.parametrize("value", [0.0, 5.0, 1e9])
def test_constant_losses_are_predicted_as_that_constant(value):
    x, _ = data(10)
    process = GaussianProcess.fit(x, np.full(10, value), [matern_52()], [identity], np.random.default_rng(0))
    mean, variance = process.posterior(x)
    np.testing.assert_allclose(mean, value)
    assert np.isfinite(variance).all()


def test_the_same_configuration_twice_is_no_trouble():
    x, y = data(10)
    process = GaussianProcess(Model(matern_52(), identity, PHI), np.repeat(x, 2, axis=0), np.repeat(y, 2))
    process.add(x, y + 0.001)
    assert np.isfinite(process.posterior(x)).all()


def test_fitting_finds_what_is_at_least_as_likely_as_what_scikit_learn_finds():
    x, y = data(60)
    y = y + x[:, 2] ** 2  # every column matters, so that no length scale is without end
    z, _, _ = standardised(y)
    model = likeliest(x, y, [matern_52()], [identity], np.random.default_rng(0))
    kernel = ConstantKernel(1.0) * Matern(np.ones(3), (0.01, 1e3), nu=2.5) + WhiteKernel(1e-3, (1e-6, 1e1))
    oracle = GaussianProcessRegressor(kernel, alpha=0, n_restarts_optimizer=1, random_state=0).fit(x, z)
    theirs = oracle.kernel_.theta[[0, 4, 1, 2, 3]]
    assert log_posterior(model.kernel, model.phi, x, z)[0] > log_posterior(model.kernel, theirs, x, z)[0] - 1e-3


def test_fitting_tells_the_column_that_matters_not():
    x, y = data(60)
    model = likeliest(x, y, [matern_52()], [identity], np.random.default_rng(0))
    assert model.theta[2] > max(model.theta[:2]) + 1
    assert model.noise < 0.01


def test_a_warp_is_chosen_where_the_function_changes_at_one_end_only_and_else_not():
    x = np.random.default_rng(0).random((40, 1))
    kernels = [matern_52(), matern_52((0,))]
    bent = likeliest(x, np.sin(9 * x[:, 0] ** 6), kernels, [identity], np.random.default_rng(0))
    even = likeliest(x, np.sin(9 * x[:, 0]), kernels, [identity], np.random.default_rng(0))
    assert bent.kernel is kernels[1] and even.kernel is kernels[0]


def test_refining_on_more_observations_does_not_lower_the_posterior():
    x, y = data(50)
    model = likeliest(x[:20], y[:20], [matern_52()], [identity], np.random.default_rng(0))
    z, _, _ = standardised(y)
    better = refined(model, x, y)
    assert log_posterior(model.kernel, better.phi, x, z)[0] > log_posterior(model.kernel, model.phi, x, z)[0]


def test_slice_sampling_draws_from_the_density():
    def log_density(p):
        return -0.5 * (p[0] ** 2 / 0.25 + (p[1] - 2 * p[0] - 1) ** 2)

    found = slice_sample(log_density, np.zeros(2), np.ones(2), 3000, np.random.default_rng(0))
    np.testing.assert_allclose(found.mean(0), [0, 1], atol=0.12)
    np.testing.assert_allclose(np.cov(found.T), [[0.25, 0.5], [0.5, 2.0]], atol=0.2)


def test_models_drawn_surround_the_likeliest():
    x, y = data(30)
    model = likeliest(x, y, [matern_52()], [identity], np.random.default_rng(0))
    models = drawn(model, x, y, 20, np.random.default_rng(0))
    phis = np.array([m.phi for m in models])
    z, _, _ = standardised(y)
    top = log_posterior(model.kernel, model.phi, x, z)[0]
    assert all(log_posterior(model.kernel, phi, x, z)[0] <= top + 1e-3 for phi in phis)
    assert (phis.std(0) > 0.05).all()
    assert (np.abs(phis.mean(0) - model.phi) < 3 * phis.std(0) + 0.5).all()


@pytest.mark.parametrize(
    ("x", "y", "complaint"),
    [
        (np.zeros((2, 3)), np.zeros(3), r"shapes \(2, 3\) and \(3,\)"),
        (np.zeros(3), np.zeros(3), "configurations"),
        (np.zeros((2, 3)), np.array([0, np.nan]), "NaN"),
        (np.full((2, 3), np.inf), np.zeros(2), "finite"),
        (np.zeros((0, 3)), np.zeros(0), "at least one"),
    ],
)
def test_observations_that_make_no_sense_are_refused(x, y, complaint):
    with pytest.raises(ValueError, match=complaint):
        GaussianProcess(Model(matern_52(), identity, PHI), x, y)


def test_the_last_observation_stays():
    process = GaussianProcess(Model(matern_52(), identity, PHI), np.zeros((1, 3)), np.zeros(1))
    with pytest.raises(ValueError, match="only observation"):
        process.remove(0)
