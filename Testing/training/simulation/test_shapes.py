"""Implicit shapes: hand-checked points, agreement with closed forms, painting order."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.simulation.shapes import Ellipsoid, Formula, Loft, Noise, Part, Septa, Tube, labyrinth, paint, rotation


def inside(shape, *points):
    r, a, s = np.array(points, np.float32).T
    return shape.inside(r, a, s).tolist()


def painted(parts, *points):
    labels = np.zeros(len(points), np.uint8)
    paint(parts, *np.array(points, np.float32).T, labels)
    return labels.tolist()


def test_an_ellipsoid_ends_at_its_radii():
    shape = Ellipsoid((10, 0, 0), (5, 2, 1))
    assert inside(shape, (14.9, 0, 0), (15.1, 0, 0), (10, 1.9, 0), (10, 0, 1.1)) == [True, False, True, False]
    np.testing.assert_allclose(shape.box, [[5, -2, -1], [15, 2, 1]])


def test_a_boxy_ellipsoid_fills_its_corners_more():
    corner = (0.75, 0.75, 0.0)
    assert inside(Ellipsoid((0, 0, 0), (1, 1, 1)), corner) == [False]
    assert inside(Ellipsoid((0, 0, 0), (1, 1, 1), boxy=True), corner) == [True]


def test_a_yaw_of_90_degrees_turns_right_to_anterior():
    np.testing.assert_allclose(rotation(yaw=90) @ [1, 0, 0], [0, 1, 0], atol=1e-12)
    turned = Ellipsoid((0, 0, 0), (5, 1, 1), rotation(yaw=90))
    assert inside(turned, (0, 4.5, 0), (4.5, 0, 0)) == [True, False]


@given(st.floats(-80, 80), st.floats(-80, 80), st.floats(-80, 80), st.integers(0, 1000))
def test_no_point_of_a_rotated_ellipsoid_lies_outside_its_box(pitch, roll, yaw, seed):
    shape = Ellipsoid((1, 2, 3), (9, 4, 2), rotation(pitch=pitch, roll=roll, yaw=yaw))
    points = np.random.default_rng(seed).uniform(-10, 10, (400, 3)).astype(np.float32) + np.float32([1, 2, 3])
    held = points[shape.inside(*points.T)]
    assert (held >= shape.box[0] - 1e-3).all()
    assert (held <= shape.box[1] + 1e-3).all()


def test_a_tube_has_round_ends_and_a_radius_that_tapers():
    tube = Tube([(0, 0, 0), (0, 0, 10)], [4, 2])
    assert inside(tube, (2.9, 0, 5), (3.1, 0, 5), (0, 0, 11.9), (0, 0, 12.1), (0, 0, -3.9)) == [
        True, False, True, False, True,
    ]  # fmt: skip


@given(st.integers(0, 1000))
def test_a_tube_of_one_radius_is_the_set_of_points_near_its_polyline(seed):
    rng = np.random.default_rng(seed)
    corners = rng.uniform(-10, 10, (4, 3))
    points = rng.uniform(-15, 15, (200, 3))
    dense = np.concatenate([np.linspace(a, b, 400) for a, b in itertools.pairwise(corners)])
    distance = np.linalg.norm(points[:, None] - dense, axis=-1).min(1)
    clear = np.abs(distance - 3) > 0.05
    mask = Tube(corners, 3.0).inside(*points.T.astype(np.float32))
    np.testing.assert_array_equal(mask[clear], (distance < 3)[clear])


def test_a_loft_follows_its_sections_and_ends_flat():
    loft = Loft([(0, 0, 0, 10, 5, 2), (20, 0, 0, 20, 5, 2)])
    assert inside(loft, (14.8, 0, 10), (15.3, 0, 10)) == [True, False]  # half way up it is 15 wide
    assert inside(loft, (0, 4.9, 5), (0, -1.9, 5), (0, -2.1, 5)) == [True, True, False]
    assert inside(loft, (0, 0, -0.1), (0, 0, 20.1)) == [False, False]


def test_a_square_section_reaches_into_the_corner():
    corner = (8.5, 8.5, 1)
    assert inside(Loft([(0, 0, 0, 10, 10, 10, 0.0), (2, 0, 0, 10, 10, 10, 0.0)]), corner) == [False]
    assert inside(Loft([(0, 0, 0, 10, 10, 10, 0.9), (2, 0, 0, 10, 10, 10, 0.9)]), corner) == [True]


def test_a_loft_grows_by_the_given_millimetres():
    rows = [(0, 0, 0, 10, 5, 2), (20, 0, 0, 10, 5, 2)]
    assert inside(Loft(rows), (11, 0, 5)) == [False]
    assert inside(Loft(rows, grow=2), (11, 0, 5), (0, 6.9, 5), (12.1, 0, 5)) == [True, True, False]


def test_a_turned_section_points_along_its_angle():
    flat = Loft([(0, 0, 0, 10, 1, 1, 0, 90), (5, 0, 0, 10, 1, 1, 0, 90)])
    assert inside(flat, (0, 9, 2), (9, 0, 2)) == [True, False]


def test_septa_lie_midway_between_two_muscles():
    axes = [[(0, -20, 0), (10, -20, 0)], [(0, 20, 0), (10, 20, 0)]]
    septa = Septa([[-50, -50, 0], [50, 50, 10]], axes, 3.0, np.random.default_rng(0))
    r = np.linspace(-40, 40, 801).astype(np.float32)
    sheet = r[septa.inside(r, np.zeros_like(r), np.full_like(r, 5))]
    assert len(sheet) > 0
    assert np.abs(sheet).max() < 12  # the middle is R = 0; the sheet winds by a few millimetres


def test_a_child_is_painted_only_inside_its_parent():
    child = Part(Ellipsoid((4, 0, 0), (4, 4, 4)), 2)
    parent = Part(Ellipsoid((0, 0, 0), (5, 5, 5)), 1, (child,))
    assert painted([parent], (-4, 0, 0), (3, 0, 0), (7, 0, 0)) == [1, 2, 0]


def test_later_parts_cover_earlier_ones_and_groups_paint_nothing():
    ball = Ellipsoid((0, 0, 0), (5, 5, 5))
    assert painted([Part(ball, 1), Part(ball, 3)], (0, 0, 0)) == [3]
    assert painted([Part(ball, None, (Part(Ellipsoid((0, 0, 0), (1, 1, 1)), 7),))], (0, 0, 0), (3, 0, 0)) == [7, 0]


def test_a_formula_holds_only_inside_its_box():
    everywhere = Formula([[0, 0, 0], [1, 1, 1]], lambda r, a, s: np.ones(r.shape, bool))
    assert painted([Part(everywhere, 5)], (0.5, 0.5, 0.5), (0.5, 0.5, 1.5), (0.5, -0.5, 0.5)) == [5, 0, 0]


def test_painting_does_not_depend_on_which_points_come_together():
    rng = np.random.default_rng(3)
    parts = [Part(Ellipsoid((0, 0, 0), (9, 7, 8)), 1, (Part(Tube([(-9, 0, -5), (9, 0, 5)], 2), 2),))]
    points = rng.uniform(-10, 10, (500, 3))
    together = painted(parts, *points)
    assert together == [painted(parts, point)[0] for point in points]


@pytest.mark.parametrize("wavelength", [20.0, 80.0])
def test_noise_has_mean_zero_and_variance_one_half(wavelength):
    points = np.random.default_rng(1).uniform(-2000, 2000, (3, 50_000)).astype(np.float32)
    values = Noise(np.random.default_rng(2), wavelength)(*points)
    assert abs(values.mean()) < 0.02
    assert values.var() == pytest.approx(0.5, abs=0.03)


def test_the_labyrinth_repeats_after_its_wavelength():
    r, a, s = np.random.default_rng(0).uniform(0, 30, (3, 100)).astype(np.float32)
    np.testing.assert_allclose(labyrinth(r + 30, a, s, 30), labyrinth(r, a, s, 30), atol=1e-4)
