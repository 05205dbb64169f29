"""L and L^-1 as observations come and go, against decompositions from scratch."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training.search.cholesky import Factor, rotate


def covariance_of(points, noise=1e-4):
    """Of points (n, d) under a smooth kernel, which makes neighbours nearly dependent."""
    squares = ((points[:, None] - points[None]) ** 2).sum(-1)
    return np.exp(-squares / 0.5) + noise * np.eye(len(points))


def assert_is_factor_of(factor, covariance, tolerance=1e-8):
    expected = np.linalg.cholesky(covariance + factor.jitter * np.eye(len(covariance)))
    np.testing.assert_allclose(factor.lower, expected, atol=tolerance)
    scale = np.abs(np.linalg.inv(expected)).max()
    np.testing.assert_allclose(factor.inverse / scale, np.linalg.inv(expected) / scale, atol=tolerance)
    assert factor.log_determinant == pytest.approx(np.linalg.slogdet(expected @ expected.T)[1], abs=1e-6)


def test_one_point_added_is_the_decomposition_done_by_hand():
    factor = Factor(np.array([[4.0]]))
    factor.extend(np.array([[2.0]]), np.array([[10.0]]))
    np.testing.assert_allclose(factor.lower, [[2, 0], [1, 3]])
    np.testing.assert_allclose(factor.inverse, [[1 / 2, 0], [-1 / 6, 1 / 3]])


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.lists(st.integers(-4, 4).filter(bool), min_size=1, max_size=12))
def test_any_sequence_of_blocks_and_removals_gives_the_decomposition_of_what_is_left(seed, steps):
    rng = np.random.default_rng(seed)
    points = rng.random((3, 2))
    factor = Factor(covariance_of(points))
    for step in steps:
        if step > 0:
            n, points = len(points), np.concatenate([points, rng.random((step, 2))])
            whole = covariance_of(points)
            factor.extend(whole[:n, n:], whole[n:, n:])
        else:
            for _ in range(min(-step, len(points) - 1)):
                index = int(rng.integers(len(points)))
                points = np.delete(points, index, axis=0)
                factor.remove(index)
        assert_is_factor_of(factor, covariance_of(points))
    assert factor.jitter == 0


@pytest.mark.parametrize("index", [0, 3, 7])
def test_the_rotations_of_a_removal_turn_the_rows_of_candidates_too(index):
    rng = np.random.default_rng(index)
    points, candidates = rng.random((8, 2)), rng.random((5, 2))
    cross = np.exp(-((points[:, None] - candidates[None]) ** 2).sum(-1) / 0.5)
    factor = Factor(covariance_of(points))
    rows = factor.inverse @ cross
    for j, rotation in enumerate(factor.remove(index), start=index):
        rotate(rows[j : j + 2], rotation)
    np.testing.assert_allclose(rows[:-1], factor.inverse @ np.delete(cross, index, axis=0), atol=1e-10)


def test_a_point_seen_twice_without_noise_is_decomposed_anew_with_jitter():
    points = np.random.default_rng(0).random((6, 2))
    factor = Factor(covariance_of(points, noise=0))
    before = factor.generation
    twice = np.concatenate([points, points[:1]])
    whole = covariance_of(twice, noise=0)
    factor.extend(whole[:6, 6:], whole[6:, 6:])
    assert factor.generation == before + 1
    assert 0 < factor.jitter < 1e-6
    np.testing.assert_allclose(factor.covariance, whole, atol=1e-12)
    assert_is_factor_of(factor, whole, tolerance=1e-6)


def test_after_jitter_new_points_are_added_with_it():
    points = np.random.default_rng(1).random((6, 2))
    points[1] = points[0]
    factor = Factor(covariance_of(points[:4], noise=0))
    whole, generation = covariance_of(points, noise=0), factor.generation
    factor.extend(whole[:4, 4:], whole[4:, 4:])
    assert factor.jitter > 0 and factor.generation == generation
    np.testing.assert_allclose(factor.covariance, whole, atol=1e-12)


def test_the_generation_tells_whether_earlier_rows_stay():
    points = np.random.default_rng(2).random((6, 2))
    whole = covariance_of(points)
    factor = Factor(whole[:4, :4])
    before, rows = factor.generation, factor.lower.copy()
    factor.extend(whole[:4, 4:], whole[4:, 4:])
    assert factor.generation == before
    np.testing.assert_array_equal(factor.lower[:4, :4], rows)
    factor.remove(1)
    assert factor.generation > before


@pytest.mark.parametrize("bad", [np.array([[1.0, 2.0], [2.0, 1.0]]), np.array([[1.0, np.nan], [np.nan, 1.0]])])
def test_what_is_no_covariance_is_refused(bad):
    with pytest.raises(ValueError, match="not positive definite"):
        Factor(bad)
    factor = Factor(bad[:1, :1])
    with pytest.raises(ValueError, match="not positive definite"):
        factor.extend(bad[:1, 1:], bad[1:, 1:])


def test_only_an_observation_that_is_there_is_removed():
    with pytest.raises(IndexError, match="there are 2"):
        Factor(np.eye(2)).remove(2)
