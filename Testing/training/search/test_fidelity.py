import numpy as np
import pytest
from scipy.stats import kendalltau

from training.search.fidelity import Agreement, agreements


def losses(*rungs):
    """By trial and resource 1, 3, 9, ...; NaN where a trial did not get there."""
    resources = [3**k for k in range(len(rungs))]
    told = {(t, r): v for r, rung in zip(resources, rungs, strict=True) for t, v in enumerate(rung) if v == v}
    return told, resources


def test_rungs_that_order_trials_alike_agree_and_those_that_cross_do_not():
    end = np.arange(8.0)
    found = agreements(*losses(end + 1, end[::-1] + 0.5, end[::-1]))
    assert [(a.lower, a.upper, a.pairs, round(a.tau, 9)) for a in found] == [(1, 3, 8, -1.0), (3, 9, 8, 1.0)]
    assert [a.misleads for a in found] == [True, False]


def test_only_trials_that_reached_both_rungs_count():
    rng = np.random.default_rng(0)
    lower, upper = rng.random((2, 20))
    upper[12:] = np.nan
    (found,) = agreements(*losses(lower, upper))
    assert found.pairs == 12 and found.tau == pytest.approx(kendalltau(lower[:12], upper[:12]).statistic)
    assert not agreements(*losses(lower, np.where(np.arange(20) > 0, np.nan, 1.0)))


def test_equal_losses_say_nothing():
    (found,) = agreements(*losses(np.ones(9), np.arange(9.0)))
    assert found.tau == 0 and not found.misleads


def test_the_error_is_the_spread_of_tau_between_random_orders():
    rng = np.random.default_rng(0)
    taus = [kendalltau(rng.random(9), rng.random(9)).statistic for _ in range(2000)]
    assert Agreement(1, 3, 9, 0.0).error == pytest.approx(np.std(taus), rel=0.05)


@pytest.mark.parametrize(
    ("pairs", "tau", "misleads"),
    [(40, -0.4, True), (40, 0.3, False), (8, -0.2, False), (5, -1.0, True), (4, -1.0, False)],
)
def test_little_evidence_against_a_rung_is_not_enough(pairs, tau, misleads):
    assert Agreement(1, 3, pairs, tau).misleads == misleads
