"""Measures against analytic ellipsoids and boxes of any place, turn and spacing; refusals."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import dblquad
from scipy.spatial.transform import Rotation
from SlicerHPOLib.image import Image
from SlicerHPOLib.kidney.grid import Grid
from SlicerHPOLib.kidney.measures import MeasureError, measure, measure_mask, surface


def grid_around(radius_mm, spacing, turn, centre, flip=False):
    """An oblique grid (spacing of i, j, k in mm) that holds a ball; the middle is off the nodes."""
    counts = (np.ceil(2 * radius_mm / np.array(spacing)) + 8).astype(int)
    matrix = np.eye(4)
    matrix[:3, :3] = turn @ np.diag(spacing) @ np.diag([-1 if flip else 1, 1, 1])
    matrix[:3, 3] = centre - matrix[:3, :3] @ ((counts - 1) / 2 + 0.27)
    return Grid(matrix, tuple(counts[::-1].tolist()))


def nodes_of(grid):
    return grid.ras_of(np.stack(np.meshgrid(*map(np.arange, grid.shape), indexing="ij"), -1))


def ellipsoid(x, semi_axes, turn, centre):
    """Zero on the ellipsoid, its gradient of length 1 there."""
    u = (x - centre) @ turn / semi_axes
    r = np.linalg.norm(u, axis=-1)
    return ((1 - r) * r / np.maximum(np.linalg.norm(u / semi_axes, axis=-1), 1e-6)).astype(np.float32)


def ellipsoid_area(a, b, c):
    """Of semi-axes a, b, c, by integration over the parameters."""

    def element(v, u):
        n = np.array([b * c * np.sin(v) * np.cos(u), a * c * np.sin(v) * np.sin(u), a * b * np.cos(v)])
        return np.sin(v) * np.linalg.norm(n)

    return 8 * dblquad(element, 0, np.pi / 2, 0, np.pi / 2, epsabs=1e-3)[0]


turns = st.integers(0, 2**31).map(lambda seed: Rotation.random(random_state=seed).as_matrix())
spacings = st.tuples(*[st.floats(1, 4)] * 3)
kidneys = st.tuples(st.floats(32, 65), st.floats(18, 30), st.floats(14, 18))
places = st.tuples(*[st.floats(-200, 200)] * 3).map(np.array)


@settings(max_examples=25, deadline=None, derandomize=True, database=None)
@given(kidneys, turns, turns, spacings, places, st.booleans())
def test_an_ellipsoid_of_any_turn_and_spacing_is_measured_within_one_per_cent(axes, turn, oblique, spacing, at, flip):
    grid = grid_around(axes[0], spacing, oblique, at, flip)
    result = measure(ellipsoid(nodes_of(grid), axes, turn, at), grid)
    volume = 4 / 3 * np.pi * np.prod(axes) / 1000
    assert result.volume_ml == pytest.approx(volume, rel=0.01)
    assert result.ellipsoid_volume_ml == pytest.approx(volume, rel=0.01)
    assert result.surface_cm2 == pytest.approx(ellipsoid_area(*axes) / 100, rel=0.01)
    for measured, semi_axis in zip((result.length_mm, result.width_mm, result.thickness_mm), axes, strict=True):
        assert measured == pytest.approx(2 * semi_axis, rel=0.01)
    assert result.warning is None


@settings(max_examples=6, deadline=None, derandomize=True, database=None)
@given(kidneys, turns, turns, st.floats(1.5, 2.5), places)
def test_the_mask_of_an_ellipsoid_is_measured_to_a_voxel(axes, turn, oblique, spacing, at):
    grid = grid_around(axes[0], [spacing] * 3, oblique, at)
    mask = Image((ellipsoid(nodes_of(grid), axes, turn, at) > 0).astype(np.uint8), grid.ijk_to_ras)
    result = measure_mask(mask)
    voxels_ml = mask.voxels.sum() * spacing**3 / 1000
    assert result.volume_ml == pytest.approx(voxels_ml, rel=0.01)
    assert result.surface_cm2 == pytest.approx(ellipsoid_area(*axes) / 100, rel=0.03)
    for measured, semi_axis in zip((result.length_mm, result.width_mm, result.thickness_mm), axes, strict=True):
        assert measured == pytest.approx(2 * semi_axis, abs=spacing)


def test_axes_end_on_the_surface_and_are_perpendicular():
    turn = Rotation.from_rotvec([0.4, -0.3, 0.7]).as_matrix()
    grid = grid_around(50, (3, 4, 2), Rotation.from_rotvec([0.1, 0.5, 0]).as_matrix(), np.zeros(3))
    result = measure(ellipsoid(nodes_of(grid), (50, 28, 20), turn, (5, 0, 0)), grid)
    axes = np.stack([result.length_axis, result.width_axis, result.thickness_axis])
    ends = axes.reshape(-1, 3)
    np.testing.assert_allclose(ellipsoid(ends, (50, 28, 20), turn, (5, 0, 0)), 0, atol=0.15)
    directions = axes[:, 1] - axes[:, 0]
    directions /= np.linalg.norm(directions, axis=1)[:, None]
    np.testing.assert_allclose(directions @ directions.T, np.eye(3), atol=1e-6)
    np.testing.assert_allclose(np.abs(np.diag(directions @ turn)), 1, atol=2e-3)


def test_a_bent_shape_is_as_wide_as_its_cross_section_not_as_its_bend():
    grid = grid_around(75, (2, 2, 2), np.eye(3), np.zeros(3))
    x, y, z = np.moveaxis(nodes_of(grid), -1, 0)
    bent = np.stack([x + 20 * (z / 50) ** 2, y, z], -1)  # the poles lie 20 mm beside the middle
    result = measure(ellipsoid(bent, (15, 20, 50), np.eye(3), np.zeros(3)), grid)
    assert result.length_mm == pytest.approx(100, rel=0.01)
    assert result.width_mm == pytest.approx(40, rel=0.02)
    assert result.thickness_mm == pytest.approx(30, rel=0.05)
    assert result.ellipsoid_volume_ml == pytest.approx(result.volume_ml, rel=0.1)


def test_the_surface_is_closed_and_turns_outwards():
    grid = grid_around(12, (3, 2, 4), Rotation.from_rotvec([0.3, 0.2, 0.1]).as_matrix(), np.zeros(3))
    triangles = surface(ellipsoid(nodes_of(grid), (12, 9, 8), np.eye(3), np.zeros(3)), grid.ijk_to_ras)
    _, corner = np.unique(triangles.reshape(-1, 3).round(5), axis=0, return_inverse=True)
    corner = corner.reshape(-1, 3)
    corner = corner[(corner != np.roll(corner, 1, axis=1)).all(axis=1)]
    edges = {tuple(edge) for edge in np.concatenate([corner[:, [0, 1]], corner[:, [1, 2]], corner[:, [2, 0]]])}
    assert edges == {(b, a) for a, b in edges}  # every edge once in each direction
    assert len(np.unique(corner)) - len(edges) // 2 + len(corner) == 2  # Euler: a sphere
    normal = np.cross(triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0])
    assert ((normal * triangles.mean(axis=1)).sum(axis=1) > -1e-9).all()


def test_a_box_of_voxels_has_the_volume_of_its_voxels():
    mask = np.zeros((12, 14, 30), np.uint8)
    mask[3:9, 3:11, 4:26] = 1
    result = measure_mask(Image(mask, np.diag([1.0, 1.5, 2.0, 1])))
    assert result.volume_ml == pytest.approx(6 * 8 * 22 * 3.0 / 1000, rel=0.02)


def test_a_shape_that_touches_the_border_is_measured_with_a_warning():
    grid = grid_around(30, (2, 2, 2), np.eye(3), np.zeros(3))
    phi = ellipsoid(nodes_of(grid), (30, 20, 15), np.eye(3), np.zeros(3))
    half = phi[:, :, : phi.shape[2] // 2]
    result = measure(half, Grid(grid.ijk_to_ras, half.shape))
    assert "border" in result.warning
    assert result.volume_ml == pytest.approx(2 / 3 * np.pi * 30 * 20 * 15 / 1000, rel=0.06)
    assert "border" in measure_mask(Image((half > 0).astype(np.uint8), grid.ijk_to_ras)).warning


def test_what_is_no_single_shape_is_refused():
    grid = grid_around(30, (3, 3, 3), np.eye(3), np.zeros(3))
    phi = ellipsoid(nodes_of(grid), (30, 20, 15), np.eye(3), np.zeros(3))
    with pytest.raises(MeasureError, match="empty"):
        measure(phi - 100, grid)
    with pytest.raises(MeasureError, match="shape"):
        measure(phi[1:], grid)
    with pytest.raises(MeasureError, match="values of phi are not finite"):
        holed = phi.copy()
        holed[0, 0, 0] = np.nan
        measure(holed, grid)
    two = phi.copy()
    two[:, :, phi.shape[2] // 2] = -1
    with pytest.raises(MeasureError, match=r"2 pieces \(.*ml\)"):
        measure(two, grid)
    with pytest.raises(MeasureError, match="2 pieces"):
        measure_mask(Image((two > 0).astype(np.uint8), grid.ijk_to_ras))
    with pytest.raises(MeasureError, match="empty"):
        measure_mask(Image(np.zeros((4, 4, 4)), np.eye(4)))
