"""Transforms of losses and inputs: values by hand, Jacobians by numbers, which of them a likelihood chooses."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import norm

from training.search.hyperparameters import likeliest
from training.search.kernel import matern_52
from training.search.transform import (
    half_ranks,
    identity,
    kumaraswamy,
    kumaraswamy_gradient,
    logarithm,
    normal_scores,
)

LOSSES = arrays(float, st.integers(2, 40), elements=st.floats(0.01, 100, allow_subnormal=False))


def test_the_logarithm_has_the_jacobian_of_its_slopes():
    t, log_jacobian = logarithm(np.array([0.5, 2.0, 4.0]))
    np.testing.assert_allclose(t, np.log([0.5, 2.0, 4.0]))
    assert log_jacobian == pytest.approx(np.log([2.0, 0.5, 0.25]).sum())


@pytest.mark.parametrize("bad", [0.0, -1.0])
def test_the_logarithm_is_impossible_where_a_loss_is_not_positive(bad):
    assert logarithm(np.array([1.0, bad]))[1] == -np.inf


def test_normal_scores_are_quantiles_of_ranks_and_equal_losses_share_theirs():
    t, _ = normal_scores(np.array([5.0, 1.0, 100.0]))
    np.testing.assert_allclose(t, norm.ppf([0.5, 1 / 6, 5 / 6]), atol=1e-12)
    t, _ = normal_scores(np.array([1.0, 2.0, 2.0, 3.0]))
    np.testing.assert_allclose(t, norm.ppf([1 / 8, 4 / 8, 4 / 8, 7 / 8]), atol=1e-12)


def test_losses_that_are_all_equal_have_no_normal_scores():
    assert normal_scores(np.ones(3))[1] == -np.inf


def test_half_ranks_keep_the_distances_of_the_good_and_the_order_of_the_bad():
    y = np.array([4.0, 1.0, 100.0, 3.0, 1e9])  # the median 4; s = sqrt((9 + 1 + 0) / 3)
    t, _ = half_ranks(y)
    np.testing.assert_allclose(t[[1, 3, 0]], np.array([-3, -1, 0]) / np.sqrt(10 / 3))
    np.testing.assert_allclose(t[[2, 4]], norm.ppf([0.7, 0.9]))
    assert half_ranks(np.array([1.0, 1.0, 1.0, 5.0]))[1] == -np.inf


@given(LOSSES)
def test_every_transform_keeps_the_order(y):
    for transform in (identity, logarithm, half_ranks, normal_scores):
        t, _ = transform(y)
        order = np.argsort(y)
        assert (np.diff(t[order]) >= 0).all()


@pytest.mark.parametrize("transform", [half_ranks, normal_scores])
@given(y=LOSSES, factor=st.floats(0.1, 10))
def test_the_jacobian_of_ranks_follows_the_unit_of_the_losses(transform, y, factor):
    y = y.round(2)  # with a resolution, as measured losses have
    jacobian, scaled = transform(y)[1], transform(factor * y)[1]
    if np.isfinite(jacobian):
        assert scaled == pytest.approx(jacobian - len(y) * np.log(factor), abs=1e-6 * len(y))


@pytest.mark.parametrize(("n", "tolerance"), [(20, 0.12), (200, 0.05)])
def test_the_density_behind_normal_scores_is_that_of_the_losses(n, tolerance):
    # log p(y) = log N(t(y)) + log Jacobian: on average over samples, minus the entropy of the losses' distribution.
    found = []
    for seed in range(200):
        y = np.exp(np.random.default_rng(seed).standard_normal(n))
        t, log_jacobian = normal_scores(y)
        found.append((norm.logpdf(t).sum() + log_jacobian) / n)
    entropy = 0.5 * np.log(2 * np.pi * np.e)  # of a log-normal distribution with mean 0 and standard deviation 1
    assert np.mean(found) == pytest.approx(-entropy, abs=tolerance)


def test_the_density_behind_half_ranks_is_that_of_the_losses():
    # z is normal, and y(z) has the slope 3 for the good and exp(z) for the bad: log p(y) = log N(z) - log y'(z).
    found, exact = [], []
    for seed in range(200):
        z = np.random.default_rng(seed).standard_normal(200)
        t, log_jacobian = half_ranks(np.where(z < 0, 3 * z, np.expm1(z)))
        found.append((norm.logpdf(t).sum() + log_jacobian) / 200)
        exact.append((norm.logpdf(z) - np.where(z < 0, np.log(3), z)).mean())
    assert np.mean(found) == pytest.approx(np.mean(exact), abs=0.03)


def draws(seed, n=60):
    rng = np.random.default_rng(seed)
    x = rng.random((n, 2))
    squares = ((x[:, None] - x[None]) ** 2).sum(-1)
    return x, np.linalg.cholesky(np.exp(-squares / 0.18) + 1e-4 * np.eye(n)) @ rng.standard_normal(n)


@pytest.mark.parametrize(
    ("distort", "expected"),
    [
        (lambda f: f, identity),
        (lambda f: np.exp(2 * f), logarithm),
        (lambda f: np.sign(f) * np.abs(f) ** 5, normal_scores),
    ],
)
def test_the_likelihood_finds_the_transform_that_the_losses_were_made_with(distort, expected):
    chosen = []
    for seed in range(5):
        x, f = draws(seed)
        y = distort(f)
        model = likeliest(x, y, [matern_52()], [identity, logarithm, normal_scores], np.random.default_rng(0), starts=1)
        chosen.append(model.transform)
    assert chosen.count(expected) >= 4


def test_a_warp_of_shape_one_is_the_identity_and_others_keep_the_ends():
    x = np.linspace(0, 1, 11)[:, None]
    np.testing.assert_allclose(kumaraswamy(x, np.zeros(1), np.zeros(1)), x, atol=1e-11)
    bent = kumaraswamy(x, np.log([2.0]), np.log([3.0]))
    np.testing.assert_allclose(bent, 1 - (1 - x**2) ** 3, atol=1e-11)
    assert bent[0] == pytest.approx(0, abs=1e-12) and bent[-1] == pytest.approx(1)


@given(st.floats(0, 1), st.floats(-2, 2), st.floats(-2, 2))
def test_the_slopes_of_a_warp_are_its_differences(x, log_a, log_b):
    at, a, b, h = np.array([[x]]), np.array([log_a]), np.array([log_b]), 1e-6
    by_a, by_b = kumaraswamy_gradient(at, a, b)
    assert by_a.item() == pytest.approx(
        ((kumaraswamy(at, a + h, b) - kumaraswamy(at, a - h, b)) / (2 * h)).item(), abs=1e-6
    )
    assert by_b.item() == pytest.approx(
        ((kumaraswamy(at, a, b + h) - kumaraswamy(at, a, b - h)) / (2 * h)).item(), abs=1e-6
    )


@given(st.floats(-2, 2), st.floats(-2, 2))
def test_a_warp_rises(log_a, log_b):
    x = np.linspace(0, 1, 50)[:, None]
    assert (np.diff(kumaraswamy(x, np.array([log_a]), np.array([log_b])), axis=0) >= 0).all()
