"""The Gaussian process classifier, against scikit-learn's, integrals and itself fitted anew."""

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.optimize import approx_fprime
from scipy.stats import norm

from training.search.candidates import Candidates
from training.search.classifier import OFFSET, Classifier, laplace, likeliest, log_evidence, success
from training.search.kernel import matern_52, squared_exponential

PHI = np.log([4.0, 0.5, 0.8])


def data(n, seed=0):
    """Labels (n,) of points (n, 2), failing beyond a line that is not quite sharp."""
    rng = np.random.default_rng(seed)
    x = rng.random((n, 2))
    return x, np.where(x.sum(1) + 0.1 * rng.standard_normal(n) < 1.1, 1.0, -1.0)


@pytest.mark.parametrize("scale", [0.1, 1.0, 100.0])
def test_the_mode_is_where_the_posterior_has_no_slope(scale):
    x, y = data(30)
    covariance = scale * (matern_52()(PHI[1:], x, x) + 1)
    f, slope, curvature, _ = laplace(covariance, y)
    np.testing.assert_allclose(f, covariance @ slope, atol=1e-4 * np.sqrt(scale))
    np.testing.assert_allclose(slope, y * norm.pdf(f) / norm.cdf(y * f), rtol=1e-8)
    differences = (
        np.log(norm.cdf(y * (f + 1e-4))) - 2 * np.log(norm.cdf(y * f)) + np.log(norm.cdf(y * (f - 1e-4)))
    ) / 1e-8
    np.testing.assert_allclose(curvature, -differences, atol=1e-5)


def test_one_label_has_the_evidence_of_its_integral_nearly_and_the_mode_of_it():
    covariance, y = np.array([[2.0]]), np.array([-1.0])
    f, _, _, log_z = laplace(covariance, y)
    grid = np.linspace(-5, 5, 100_001)
    assert f.item() == pytest.approx(grid[np.argmax(norm.logcdf(-grid) + norm.logpdf(grid, 0, np.sqrt(2)))], abs=1e-3)
    assert np.exp(log_z) == pytest.approx(0.5, abs=0.05)  # Phi(-f) over a symmetric prior


@pytest.mark.parametrize("kernel", [matern_52(), squared_exponential()])
def test_the_gradient_of_the_evidence_is_its_difference_quotient(kernel):
    x, y = data(20)
    _, gradient = log_evidence(kernel, PHI, x, y)
    np.testing.assert_allclose(
        gradient, approx_fprime(PHI, lambda p: log_evidence(kernel, p, x, y)[0], 1e-6), atol=1e-4
    )


def test_probabilities_are_near_those_of_scikit_learn():
    from sklearn.gaussian_process import GaussianProcessClassifier
    from sklearn.gaussian_process.kernels import ConstantKernel, Matern

    x, y = data(60)
    points = np.random.default_rng(1).random((200, 2))
    # Theirs has a logistic likelihood, which is a probit one of about 1.7 times the scale.
    kernel = ConstantKernel(1.7**2) * (ConstantKernel(4.0) * Matern([0.5, 0.8], nu=2.5) + ConstantKernel(OFFSET))
    theirs = GaussianProcessClassifier(kernel, optimizer=None).fit(x, y).predict_proba(points)[:, 1]
    ours = success(*Classifier(matern_52(), x, y, PHI).posterior(points))
    np.testing.assert_allclose(ours, theirs, atol=0.06)


def test_the_probability_is_the_average_over_the_latent_function():
    mean, variance = 0.7, 2.3
    expected, _ = quad(lambda f: norm.cdf(f) * norm.pdf(f, mean, np.sqrt(variance)), -15, 15)
    assert success(np.array(mean), np.array(variance)) == pytest.approx(expected, abs=1e-8)


@pytest.mark.parametrize("label", [1.0, -1.0])
def test_a_label_added_has_the_moments_of_the_exact_posterior(label):
    x, y = data(12)
    classifier = Classifier(matern_52(), x, y, PHI)
    point = np.array([[0.4, 0.9]])
    (mean,), (variance,) = classifier.posterior(point)
    sd = np.sqrt(variance)
    weight = [
        quad(lambda f, k=k: f**k * norm.cdf(label * f) * norm.pdf(f, mean, sd), mean - 12 * sd, mean + 12 * sd)[0]
        for k in range(3)
    ]
    classifier.add(point, np.array([label]))
    (after,), (spread,) = classifier.posterior(point)
    assert after == pytest.approx(weight[1] / weight[0], abs=1e-6)
    assert spread == pytest.approx(weight[2] / weight[0] - (weight[1] / weight[0]) ** 2, abs=1e-6)


def test_labels_added_one_by_one_predict_as_all_at_once_nearly():
    x, y = data(60)
    points = np.random.default_rng(1).random((200, 2))
    grown = Classifier(matern_52(), x[:30], y[:30], PHI)
    grown.add(x[30:], y[30:])
    whole = Classifier(matern_52(), x, y, PHI)
    np.testing.assert_allclose(success(*grown.posterior(points)), success(*whole.posterior(points)), atol=0.05)


def test_candidates_follow_a_classifier_too():
    x, y = data(20)
    points = np.random.default_rng(1).random((30, 2))
    store = Candidates(Classifier(matern_52(), x[:10], y[:10], PHI), points)
    np.testing.assert_allclose(store.posterior(), store.process.posterior(points), atol=1e-9)
    store.process.add(x[10:], y[10:])
    np.testing.assert_allclose(store.posterior(), store.process.posterior(points), atol=1e-9)


def test_probabilities_learned_are_calibrated_and_separate_what_fails():
    x, y = data(80)
    new, truth = data(2000, seed=1)
    p = success(*Classifier(matern_52(), x, y).posterior(new))
    assert np.mean((p > 0.5) == (truth > 0)) > 0.88
    for low, high in ((0, 0.2), (0.2, 0.5), (0.5, 0.8), (0.8, 1)):
        within = (p >= low) & (p < high)
        assert np.mean(truth[within] > 0) == pytest.approx(p[within].mean(), abs=0.15)


def test_labels_that_are_all_the_same_leave_the_fit_near_its_prior():
    x, _ = data(15)
    phi = likeliest(matern_52(), x, np.ones(15))
    assert np.isfinite(phi).all()
    assert (success(*Classifier(matern_52(), x, np.ones(15), phi).posterior(x)) > 0.8).all()
