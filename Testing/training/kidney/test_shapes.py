"""Kidneys of the parametric family, and the template made of a few of them."""

import numpy as np
import pytest
from SlicerHPOLib.kidney.grid import Grid
from SlicerHPOLib.kidney.measures import measure

from training.kidney.shapes import kidney_shapes, shipped_template


@pytest.fixture(scope="module")
def shapes():
    return kidney_shapes(12, seed=3)


def lengths(shapes):
    """Along S, to a voxel."""
    return [(np.ptp(np.argwhere(shape.voxels > 0)[:, 0]) + 1) * shape.spacing_mm[2] for shape in shapes]


def test_the_shapes_are_kidneys_of_adults_and_children_as_signed_distances(shapes):
    found = np.array(lengths(shapes))
    assert (found > 50).all() and (found < 155).all()
    assert (found > 95).any() and (found < 85).any()
    for shape in shapes:
        near = np.abs(shape.voxels) < 6
        slope = np.linalg.norm(np.gradient(shape.voxels, *shape.spacing_mm[::-1]), axis=0)[near]
        assert np.median(slope) == pytest.approx(1, abs=0.05)
        inside = shape.ras_of(np.argwhere(shape.voxels > 0)[:, ::-1])
        assert np.ptp(inside, axis=0).argmax() == 2  # the long axis along S


def test_left_and_right_kidneys_are_among_them(shapes):
    assert {shape.name for shape in shapes} == {"kidney-left", "kidney-right"}


def test_a_shape_depends_on_the_seed_and_its_number_alone(shapes):
    fewer, others = kidney_shapes(4, seed=3), kidney_shapes(4, seed=4)
    for one, same, other in zip(shapes, fewer, others, strict=False):
        np.testing.assert_array_equal(one.voxels, same.voxels)
        np.testing.assert_array_equal(one.ijk_to_ras, same.ijk_to_ras)
        assert one.shape != other.shape or not np.array_equal(one.voxels, other.voxels)


def test_several_processes_draw_the_same_shapes(shapes):
    for one, same in zip(shapes, kidney_shapes(3, seed=3, workers=2), strict=False):
        np.testing.assert_array_equal(one.voxels, same.voxels)


def test_the_template_of_a_few_is_a_kidney_between_them_and_so_are_its_variations(shapes):
    template = shipped_template(count=8, modes=3, seed=3)
    assert template.modes.shape == (3, *template.phi.shape)
    half = (template.phi.shape[0] - 1) / 2 * template.spacing_mm
    matrix = np.diag([template.spacing_mm] * 3 + [1.0])
    matrix[:3, 3] = -half
    grid = Grid(matrix, template.phi.shape)
    mean = measure(template.phi, grid)
    assert min(lengths(shapes[:8])) < mean.length_mm < max(lengths(shapes[:8]))
    assert abs(mean.length_axis[1] - mean.length_axis[0]).argmax() == 2
    near, mirrored = np.abs(template.phi) < 3, template.phi[:, ::-1]
    np.testing.assert_allclose(template.phi[near], mirrored[near], atol=0.5)  # serves both sides
    assert (np.diff(template.explained) <= 0).all() and 0.5 < template.explained.sum() <= 1
    for mode in range(3):
        for deviations in (-2, 2):
            varied = measure(template.shape([0] * mode + [deviations]), grid)  # raises unless it is one piece
            assert 0.5 < varied.volume_ml / mean.volume_ml < 2
