"""Which configurations can be trained: limits known before, probabilities learned from failures."""

import numpy as np
import pytest

from training.search.feasibility import Feasibility, Limit, within
from training.search.kernel import matern_52

GRID = np.stack(np.meshgrid(np.linspace(0, 1, 12), np.linspace(0, 1, 12)), -1).reshape(-1, 2)


def trained(x):
    return x.sum(-1) < 1.2


def told(count, seed=0):
    rows = np.random.default_rng(seed).permutation(GRID)[:count]
    return {n: (row, bool(trained(row))) for n, row in enumerate(rows)}


def test_limits_are_kept_together_and_a_cost_that_is_no_number_keeps_none():
    limits = (Limit("parameters", lambda c: c["width"] ** 2, 100), Limit("s", lambda c: c["seconds"], 5))
    configurations = [{"width": w, "seconds": s} for w, s in [(10, 5), (11, 1), (2, 6), (1, float("nan"))]]
    assert within(limits, configurations).tolist() == [True, False, False, False]
    assert within((), configurations).all()


def test_nothing_is_doubted_before_a_trial_fails():
    feasibility = Feasibility(GRID, matern_52())
    feasibility.update({n: (row, True) for n, row in enumerate(GRID[:9])})
    np.testing.assert_array_equal(feasibility.probability(), np.ones(len(GRID)))
    np.testing.assert_array_equal(feasibility.probability(GRID[:2]), np.ones(2))


def test_the_border_of_what_can_be_trained_is_learned():
    feasibility = Feasibility(GRID, matern_52())
    feasibility.update(told(60))
    p = feasibility.probability()
    assert np.mean((p > 0.5) == trained(GRID)) > 0.93
    np.testing.assert_allclose(feasibility.probability(GRID), p, atol=1e-8)


@pytest.mark.parametrize("count", [23, 47])
def test_what_is_learned_does_not_depend_on_when_it_was_asked_for(count):
    step_by_step, at_once = Feasibility(GRID, matern_52()), Feasibility(GRID, matern_52())
    everything = told(count)
    for n in range(4, count + 1):
        step_by_step.update(dict(list(everything.items())[:n]))
    at_once.update(everything)
    np.testing.assert_allclose(step_by_step.probability(), at_once.probability(), atol=1e-8)


def test_a_single_failure_is_avoided_near_by_and_not_far_away():
    feasibility = Feasibility(GRID, matern_52())
    corner = np.array([1.0, 1.0])
    rows = [row for row, good in told(12).values() if good][:7]
    feasibility.update({n: (row, True) for n, row in enumerate(rows)} | {7: (corner, False)})
    near, far = feasibility.probability(np.array([[0.97, 0.97], [0.1, 0.1]]))
    assert near < 0.6 < 0.8 < far
