"""The process that follows a search: exact at any time, refitted now and then, the same however it was asked."""

import numpy as np
import pytest

from training.search.gaussian_process import GaussianProcess
from training.search.kernel import matern_52
from training.search.surrogate import Surrogate, refits
from training.search.transform import identity, logarithm

POINTS = np.random.default_rng(5).random((25, 2))


def made(**options):
    return Surrogate(POINTS, (matern_52(),), (identity, logarithm), seed=0, **options)


def known(count):
    return {n: (POINTS[n], float(np.exp(np.sin(4 * POINTS[n]).sum()))) for n in range(count)}


def test_parameters_are_those_of_at_least_nine_tenths_of_the_observations():
    fitted = [refits(count) for count in range(1, 2001)]
    assert fitted[:19] == list(range(1, 20))
    assert all(0.9 * count <= m <= count for count, m in enumerate(fitted, start=1))
    assert fitted == sorted(fitted)
    assert len({m for m in fitted if 100 <= m <= 1000}) < 30


@pytest.mark.parametrize("count", [5, 21, 24])
def test_predictions_are_those_of_a_process_of_the_same_model_made_at_once(count):
    surrogate = made()
    for n in range(2, count + 1):
        surrogate.update(known(n), {n: POINTS[n], n + 1: POINTS[-1]} if n + 1 < 25 else {})
    ((mean, variance),) = surrogate.posteriors()
    (process,) = surrogate.processes
    x, y = (np.array(column) for column in zip(*known(count).values(), strict=True))
    anew = GaussianProcess(process.model, x, y)
    anew.add(process.x[np.isnan(process.y)])
    np.testing.assert_allclose((mean, variance), anew.posterior(POINTS), atol=1e-8)
    ((mean, _),) = surrogate.posteriors(POINTS[:3])
    np.testing.assert_allclose(mean, anew.posterior(POINTS[:3])[0], atol=1e-8)


def test_a_process_that_was_asked_at_every_step_is_that_of_one_asked_once():
    often, once = made(), made()
    for n in range(1, 24):
        often.update(known(n), {})
    once.update(known(23), {})
    np.testing.assert_allclose(often.posteriors(), once.posteriors(), atol=1e-8)


def test_what_is_neither_known_nor_pending_any_more_is_forgotten():
    surrogate = made()
    surrogate.update(known(6), {7: POINTS[7], 8: POINTS[8]})
    surrogate.update(known(6), {8: POINTS[8]})
    (process,) = surrogate.processes
    np.testing.assert_array_equal(process.x, POINTS[[0, 1, 2, 3, 4, 5, 8]])
    np.testing.assert_array_equal(np.isnan(process.y), [False] * 6 + [True])


def test_between_refits_an_observation_costs_no_decomposition():
    surrogate = made()
    surrogate.update(known(20), {})
    (before,) = surrogate.processes
    generation = before.factor.generation
    surrogate.update(known(21), {})
    assert surrogate.processes[0] is before
    assert before.factor.generation == generation and before.factor.n == 21
    surrogate.update(known(22), {})
    assert surrogate.processes[0] is not before


def test_as_many_models_are_drawn_as_asked_for_and_they_differ():
    surrogate = made(draws=3)
    surrogate.update(known(12), {})
    means = [mean for mean, _ in surrogate.posteriors()]
    assert len(means) == 3
    assert not np.allclose(means[0], means[1])
