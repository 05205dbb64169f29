"""Modes of variation as velocities: they move the surface as the level sets say, smoothed and kept on a lattice."""

import numpy as np
import pytest
from scipy import ndimage as ndi
from SlicerHPOLib.kidney.grid import Grid
from SlicerHPOLib.kidney.modes import LATTICE_MM, SMOOTHING_MM, Modes

SHAPE = (26, 30, 22)
SPACING_MM = np.array([2.0, 3.0, 4.0])  # i, j, k


@pytest.fixture
def grid():
    matrix = np.diag([*SPACING_MM, 1.0])
    matrix[:3, 3] = 10, -20, 30
    return Grid(matrix, SHAPE)


@pytest.fixture
def plane(grid):
    """phi of the half-space below a plane: its gradient is the same everywhere."""
    ras = grid.ras_of(np.moveaxis(np.indices(SHAPE), 0, -1))
    return (80.0 - ras[..., 2]).astype(np.float32)


def test_a_mode_moves_a_plane_by_what_its_level_sets_say(grid, plane):
    modes = Modes(np.full((1, *SHAPE), 1.5), plane, grid)
    x = np.array([[35.0], [25.0], [80.0]])  # on the plane
    # phi o (Id + B) = phi + 1.5 with grad phi = (0, 0, -1); the window falls off within the smoothing
    np.testing.assert_allclose(modes.at(x)[0, :, 0], [0, 0, -1.5], atol=0.1)


def test_values_are_those_of_a_gaussian_filter_at_the_nodes_of_the_lattice(grid, plane):
    rng = np.random.default_rng(0)
    level_sets = ndi.gaussian_filter(rng.normal(size=(2, *SHAPE)), (0, 2, 2, 2)) * 10
    modes = Modes(level_sets, plane, grid)
    spacing = SPACING_MM[::-1]
    window = np.exp(-0.5 * (plane / 30.0) ** 2)
    filtered = -ndi.gaussian_filter(level_sets * window, (0, *(SMOOTHING_MM / spacing)))
    k, j, i = np.rint(LATTICE_MM / spacing).astype(int)
    np.testing.assert_allclose(modes.values[:, 2], filtered[:, ::k, ::j, ::i], atol=1e-5)
    np.testing.assert_allclose(modes.values[:, :2], 0, atol=1e-6)


def test_the_field_of_a_mode_is_nowhere_steeper_than_its_lipschitz_bound(grid, plane):
    rng = np.random.default_rng(1)
    level_sets = ndi.gaussian_filter(rng.normal(size=(1, *SHAPE)), (0, 2, 2, 2)) * 10
    modes = Modes(level_sets, plane, grid)
    a, b = rng.uniform(grid.ras_of(np.zeros(3)), grid.ras_of(np.array(SHAPE) - 1), (2, 4000, 3))
    rise = np.linalg.norm(modes.at(a.T)[0] - modes.at(b.T)[0], axis=0)
    assert (rise <= modes.lipschitz[0] * np.linalg.norm(a - b, axis=1) + 1e-6).all()
