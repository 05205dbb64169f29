"""Which configurations can be trained: limits known before, probabilities learned from failures."""

import numpy as np
import pytest
from scipy.stats import norm

from training.search.feasibility import FAILED, TRAINED, Limit, probability, within
from training.search.gaussian_process import GaussianProcess
from training.search.kernel import matern_52
from training.search.transform import identity


def test_limits_are_kept_together_and_a_cost_that_is_no_number_keeps_none():
    limits = (Limit("parameters", lambda c: c["width"] ** 2, 100), Limit("s", lambda c: c["seconds"], 5))
    configurations = [{"width": w, "seconds": s} for w, s in [(10, 5), (11, 1), (2, 6), (1, float("nan"))]]
    assert within(limits, configurations).tolist() == [True, False, False, False]
    assert within((), configurations).all()


def test_the_probability_is_that_of_a_label_above_zero():
    mean, variance = np.array([0.8, -0.3]), np.array([0.2, 0.05])
    expected = 1 - norm.cdf(0, mean, np.sqrt(variance + 0.1))
    np.testing.assert_allclose(probability(mean, variance, 0.1), expected)


def test_the_probability_learned_from_labels_separates_what_fails():
    rng = np.random.default_rng(0)

    def fails(x):
        return x[:, 0] + x[:, 1] > 1.2

    x, new = rng.random((60, 2)), rng.random((400, 2))
    process = GaussianProcess.fit(x, np.where(fails(x), FAILED, TRAINED), [matern_52()], [identity], rng)
    mean, variance = process.posterior(new)
    p = probability(mean, variance, process.scale**2 * process.model.noise)
    truth = ~fails(new)
    assert np.mean((p > 0.5) == truth) > 0.93
    assert p[truth].mean() > 0.9 and p[~truth].mean() < 0.15
    # calibrated better than a constant at the share of the trained
    share = truth.mean()
    clipped = np.clip(p, 1e-6, 1 - 1e-6)
    log_score = -np.mean(np.where(truth, np.log(clipped), np.log(1 - clipped)))
    assert log_score < 0.4 * -(share * np.log(share) + (1 - share) * np.log(1 - share))


def test_far_from_any_trial_the_probability_returns_to_the_share_that_succeeded():
    x = np.vstack([np.random.default_rng(0).random((12, 1)) * 0.1, np.full((4, 1), 0.12)])
    labels = np.array([TRAINED] * 12 + [FAILED] * 4)
    process = GaussianProcess.fit(x, labels, [matern_52()], [identity], np.random.default_rng(0))
    mean, _ = process.posterior(np.array([[1e4]]))
    assert mean == pytest.approx(labels.mean())
