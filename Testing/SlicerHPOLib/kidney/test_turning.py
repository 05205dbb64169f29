"""Opposite points in the wrong order on a normal of the surface: how they pass, and that they are honoured."""

from functools import cache
from itertools import permutations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation
from SlicerHPOLib.image import Image
from SlicerHPOLib.kidney.corrections import Corrector, Points, pieces
from SlicerHPOLib.kidney.flow import Kernel, Prior
from SlicerHPOLib.kidney.grid import to_native
from SlicerHPOLib.kidney.segmentation import largest_piece
from SlicerHPOLib.kidney.turning import turned

from training.kidney.clicks import bean, cubic_grid

GRID = cubic_grid(40, 4.0)
IMAGE = Image(np.zeros((80, 80, 80), np.uint8), cubic_grid(80, 2.0).ijk_to_ras)
KERNEL = Kernel(Prior(), np.zeros(3), np.eye(3))


def nodes_of(grid):
    return grid.ras_of(np.stack(np.meshgrid(*map(np.arange, grid.shape), indexing="ij"), -1))


def ball(grid, radius_mm=30.0):
    return (radius_mm - np.linalg.norm(nodes_of(grid), axis=-1)).astype(np.float32)


@cache
def corrector(seed):
    return Corrector(bean(np.random.default_rng(seed), nodes_of(GRID) * 1.3, pose=0.5).astype(np.float32), GRID, IMAGE)


def crossed(shape, rng, gap_mm, astray_mm=0.0):
    """Points with an inside point farther out than an outside one by `gap_mm` on a normal, each up to about
    `astray_mm` beside it; one or both of them on the wrong side."""
    x = shape.grid.ras_of(np.argwhere(np.abs(shape.phi) < 4))
    x = x[rng.integers(len(x))]
    value, gradient = (each[0] for each in shape.spline.value_and_gradient(x[None]))
    outwards = -gradient / np.linalg.norm(gradient)
    middle = x + (value + rng.uniform(-0.4, 0.4) * gap_mm) * outwards
    inside, outside = middle + gap_mm / 2 * np.array([[1], [-1]]) * outwards + rng.normal(0, astray_mm / 2, (2, 3))
    return Points().add_inside(inside).add_outside(outside)


def sites_of(pairs):
    """Arguments of `turned` for inside and outside places of pairs (n, 2, 3) that want to go down and up along S."""
    at = np.tile(np.reshape(pairs, (-1, 3)), (2, 1)).astype(float)
    signs = np.tile([1.0, -1.0], len(at) // 2)
    return at, signs, np.ones(len(at)), np.full(len(at), 3.0), -signs[:, None] * [0.0, 0, 1]


# Directions


def test_points_that_meet_turn_about_their_middle_by_the_shorter_way():
    at, signs, short, wanted, uphill = sites_of([[(0.5, 0, 4), (-0.5, 0, -4)]])  # the inside one passes along +R
    wanted, uphill = turned(KERNEL, at, signs, short, wanted, uphill)
    line = (at[0] - at[1]) / np.linalg.norm(at[0] - at[1])
    np.testing.assert_allclose(uphill @ line, 0, atol=1e-12)
    np.testing.assert_allclose(np.linalg.norm(uphill, axis=1), 1)
    np.testing.assert_allclose(uphill[[0, 1]], -uphill[[1, 0]])
    np.testing.assert_array_equal(uphill[:2], uphill[2:])
    assert uphill[0, 0] > 0.7
    np.testing.assert_allclose(wanted, np.sqrt(65) / 2)


def test_points_exactly_on_a_normal_pass_each_other_on_different_sides_of_it():
    _, uphill = turned(KERNEL, *sites_of([[(0, 0, 4), (0, 0, -4)]]))
    np.testing.assert_allclose(uphill[0], -uphill[1])
    np.testing.assert_allclose(np.abs(uphill[0]).max(), 1)


@pytest.mark.parametrize(
    "pair",
    [
        [(0, 0, -4), (0, 0, 4)],  # in the right order
        [(8, 0, 1), (0, 0, 0)],  # beside each other
        [(0, 0, 9), (0, 0, -9)],  # farther apart than what moves together
    ],
)
def test_points_that_are_in_no_ones_way_go_where_they_would(pair):
    at, signs, short, wanted, uphill = sites_of([pair])
    for given_, result in zip((wanted, uphill), turned(KERNEL, at, signs, short, wanted, uphill), strict=True):
        np.testing.assert_array_equal(result, given_)


def test_points_that_need_not_move_do_not_turn_unless_they_are_in_the_way():
    at, signs, short, wanted, uphill = sites_of([[(0, 0, 4), (0, 0, -4)]])
    _, still = turned(KERNEL, at, signs, -short, wanted, uphill)
    np.testing.assert_array_equal(still, uphill)
    _, one_in_the_way = turned(KERNEL, at, signs, np.array([1.0, -1, 1, -1]), wanted, uphill)
    np.testing.assert_allclose(one_in_the_way[:, 2], 0, atol=1e-12)


def test_points_turn_with_the_nearest_that_they_meet_and_nothing_is_written_into_what_is_given():
    at, signs, short, wanted, uphill = sites_of([[(0, 0, 4), (0, 0.5, -4)], [(2, 0, 8), (0, 0, -7)]])
    before = wanted.copy(), uphill.copy()
    result, _ = turned(KERNEL, at, signs, short, wanted, uphill)
    nearest = np.linalg.norm(at[[0, 1, 2, 3]] - at[[1, 0, 1, 0]], axis=1)
    np.testing.assert_allclose(result, np.tile(nearest / 2, 2))
    np.testing.assert_array_equal(wanted, before[0])
    np.testing.assert_array_equal(uphill, before[1])


@pytest.mark.parametrize("astray", [(0.1, 0.2), (0.5, 0.3), (2, 1)])
def test_directions_turn_with_the_shape_and_not_with_the_signs_of_its_axes(astray):
    at, signs, short, wanted, uphill = sites_of([[(*astray, 4), (0, 0, -4)], [(40, 3, 3), (40, 0, -3)]])
    turn = Rotation.from_rotvec([0.4, -1.1, 0.7]).as_matrix()
    kernel = Kernel(Prior(), np.zeros(3), turn @ np.diag([-1, -1, 1]))
    _, expected = turned(KERNEL, at, signs, short, wanted, uphill)
    _, result = turned(kernel, at @ turn.T, signs, short, wanted, uphill @ turn.T)
    np.testing.assert_allclose(result, expected @ turn.T, atol=1e-12)


# Corrections


@settings(max_examples=40, deadline=None, derandomize=True, database=None)
@given(st.integers(0, 2**32 - 1), st.floats(4, 12), st.floats(0, 2))
def test_points_in_the_wrong_order_on_a_normal_are_honoured(seed, gap_mm, astray_mm):
    shape, rng = corrector(seed % 4), np.random.default_rng(seed)
    points = crossed(shape, rng, gap_mm, astray_mm)
    assume(np.linalg.norm(np.diff(points.ras_mm, axis=0)) >= 4)
    result = shape(points)
    mask = largest_piece(to_native(result.phi, GRID, IMAGE).voxels > 0)
    assert (mask[tuple(np.rint(IMAGE.ijk_of(points.ras_mm)).astype(int).T[::-1])] == points.inside).all()
    assert pieces(result.phi) == 1 and result.honoured.all() and result.min_jacobian > 0


def test_two_pairs_in_the_wrong_order_are_honoured_in_whatever_order_they_are_given():
    shape = Corrector(ball(GRID), GRID, IMAGE)
    points = Points().add_inside((0, 0, 37)).add_outside((0, 0, 29)).add_inside((22, 22, 0)).add_outside((19, 19, 0))
    results = [shape(Points(order)) for order in list(permutations(points))[::7]]
    assert results[0].honoured.all() and pieces(results[0].phi) == 1 and results[0].min_jacobian > 0
    assert len({result.phi.tobytes() for result in results}) == 1
    assert results[0].norm < 12  # they pass, and do not push each other around
