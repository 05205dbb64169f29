"""The candidates' rows, against the posterior computed anew."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training.search.candidates import BLOCK, Candidates
from training.search.gaussian_process import GaussianProcess
from training.search.hyperparameters import Model
from training.search.kernel import matern_52
from training.search.transform import identity, normal_scores

MODEL = Model(matern_52(), normal_scores, np.log([1.2, 1e-4, 0.5, 0.9]))
POINTS = np.random.default_rng(9).random((40, 2))


def store_of(n, rng, model=MODEL):
    x = rng.random((n, 2))
    return Candidates(GaussianProcess(model, x, rng.standard_normal(n)), POINTS)


def assert_exact(store):
    np.testing.assert_allclose(store.posterior(), store.process.posterior(POINTS), atol=1e-8)


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 10**6),
    st.lists(st.sampled_from(["add", "batch", "pending", "tell", "remove", "look"]), min_size=1, max_size=15),
)
def test_after_any_history_mean_and_variance_are_those_computed_anew(seed, steps):
    rng = np.random.default_rng(seed)
    store = store_of(3, rng)
    for step in steps:
        process = store.process
        waiting = np.flatnonzero(np.isnan(process.y))
        if step in ("add", "batch"):
            k = 1 if step == "add" else 5
            process.add(rng.random((k, 2)), rng.standard_normal(k))
        elif step == "pending":
            process.add(rng.random((2, 2)))
        elif step == "tell" and len(waiting):
            process.tell(int(rng.choice(waiting)), 0.3)
        elif step == "remove" and np.isfinite(process.y).sum() > 2:
            store.remove(int(rng.integers(len(process.y))))
        else:
            assert_exact(store)
    assert_exact(store)


@pytest.mark.parametrize("n", [1, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK + 2])
def test_the_edges_of_blocks_make_no_difference(n):
    store = store_of(n, np.random.default_rng(n))
    assert_exact(store)
    store.process.add(POINTS[:3], np.arange(3.0))
    assert_exact(store)
    store.remove(n // 2)
    assert_exact(store)


def test_a_row_for_a_new_observation_leaves_the_others_untouched(monkeypatch):
    store = store_of(10, np.random.default_rng(0))
    store.posterior()
    asked = []
    covariance = GaussianProcess.covariance_with
    monkeypatch.setattr(
        GaussianProcess,
        "covariance_with",
        lambda self, x, points: asked.append((len(x), len(points))) or covariance(self, x, points),
    )
    store.process.add(POINTS[:1], np.zeros(1))
    asked.clear()
    store.posterior()
    store.posterior()
    assert asked == [(1, len(POINTS))]


def test_a_removal_computes_no_covariance(monkeypatch):
    store = store_of(10, np.random.default_rng(0))
    store.posterior()
    monkeypatch.setattr(GaussianProcess, "covariance_with", None)
    store.remove(4)
    store.posterior()


def test_a_decomposition_with_more_jitter_is_noticed():
    rng = np.random.default_rng(0)
    store = store_of(6, rng, Model(matern_52(), identity, np.log([1.0, 1e-14, 2.0, 2.0])))
    store.posterior()
    before = store.process.factor.generation
    store.process.add(store.process.x[:2] + 1e-9, np.zeros(2))
    assert store.process.factor.generation > before
    np.testing.assert_allclose(store.posterior()[1], store.process.posterior(POINTS)[1], atol=1e-6)


def test_no_candidates_are_no_trouble():
    process = GaussianProcess(MODEL, POINTS[:3], np.arange(3.0))
    mean, variance = Candidates(process, np.empty((0, 2))).posterior()
    assert mean.shape == variance.shape == (0,)
