"""Slabs of straight, oblique and left-handed volumes: all of the region, and no more voxels than that takes."""

from itertools import pairwise

import numpy as np
import pytest

STRAIGHT = np.diag([2.0, 3.0, 4.0, 1.0])
SIZE = (5, 7, 10)  # i, j, k


def turned(degrees):
    """A volume of `SIZE` whose k axis leans from S towards A."""
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return np.array([[1, 0, 0, 0], [0, c, s, 0], [0, -s, c, 0], [0, 0, 0, 1.0]]) @ STRAIGHT


VOLUMES = {
    "straight": STRAIGHT,
    "left-handed": STRAIGHT @ np.diag([-1.0, 1, 1, 1]),
    "feet first": STRAIGHT @ np.diag([1, 1, -1.0, 1]),
    "coronal": STRAIGHT[[0, 2, 1, 3]],
    "oblique": turned(25),
    "oblique and left-handed": turned(-40) @ np.diag([-1.0, 1, 1, 1]),
}


@pytest.fixture(params=VOLUMES)
def image(request, scene):
    from SlicerHPOLib.image import Image

    voxels = np.arange(np.prod(SIZE), dtype=np.float32).reshape(SIZE[::-1])
    return Image(voxels, VOLUMES[request.param], request.param)


@pytest.fixture
def slabs(scene):
    from SlicerHPOLib.mrml import slabs

    return slabs


def s_range(image):
    """Lowest and highest S of the outer faces."""
    faces = np.array(np.meshgrid(*[(-0.5, n - 0.5) for n in image.shape[::-1]])).reshape(3, 8).T
    return image.ras_of(faces)[:, 2].min(), image.ras_of(faces)[:, 2].max()


def volume_and_edges(surface):
    import vtk

    mass = vtk.vtkMassProperties()
    mass.SetInputData(surface)
    edges = vtk.vtkFeatureEdges()
    edges.SetInputData(surface)
    edges.FeatureEdgesOff()
    edges.Update()
    return mass.GetVolume(), edges.GetOutput().GetNumberOfCells()


def test_the_slab_of_the_whole_range_is_the_whole_box(image, slabs):
    low, high = s_range(image)
    surface = slabs.surface(image, low - 1, high + 1)
    volume, holes = volume_and_edges(surface)
    assert volume == pytest.approx(np.prod(SIZE) * 24.0)
    assert holes == 0
    assert surface.GetNumberOfPoints() == 8


def test_slabs_that_meet_make_up_the_whole(image, slabs):
    low, high = s_range(image)
    cuts = [low, low + 0.2 * (high - low), low + 0.55 * (high - low), high]
    parts = [slabs.surface(image, a, b) for a, b in pairwise(cuts)]
    assert sum(volume_and_edges(part)[0] for part in parts) == pytest.approx(np.prod(SIZE) * 24.0)
    for part, (a, b) in zip(parts, pairwise(cuts), strict=True):
        assert volume_and_edges(part)[1] == 0
        assert part.GetBounds()[4:] == pytest.approx((a, b))


def test_the_surface_looks_outwards(image, slabs):
    low, high = s_range(image)
    surface = slabs.surface(image, low, (low + high) / 2)
    points = np.array([surface.GetPoint(i) for i in range(surface.GetNumberOfPoints())])
    for index in range(surface.GetNumberOfCells()):
        a, b, c = (points[surface.GetCell(index).GetPointId(n)] for n in range(3))
        assert np.cross(b - a, c - a) @ (a - points.mean(axis=0)) > 0


def test_the_crop_holds_every_voxel_of_the_region_and_no_plane_beyond(image, slabs):
    low, high = s_range(image)
    from_mm, to_mm = low + 0.31 * (high - low), low + 0.62 * (high - low)
    part = slabs.cropped(image, from_mm, to_mm)
    k, j, i = np.indices(image.shape)
    s = image.ras_of(np.stack([i, j, k], axis=-1))[..., 2]
    within = image.voxels[(s >= from_mm) & (s <= to_mm)]
    assert np.isin(within, part.voxels).all()
    # Each outer plane of voxels of the box reaches into the region.
    half = np.abs(image.ijk_to_ras[2, :3]).sum() / 2
    k, j, i = np.indices(part.shape)
    s = part.ras_of(np.stack([i, j, k], axis=-1))[..., 2]
    touches = (s + half > from_mm) & (s - half < to_mm)
    for axis in range(3):
        assert touches.take(0, axis).any()
        assert touches.take(-1, axis).any()
    # Every voxel is where it was.
    first = np.rint(image.ijk_of(part.ras_of([0, 0, 0]))).astype(int)
    np.testing.assert_allclose(image.ras_of(first), part.ras_of([0, 0, 0]), atol=1e-9)
    assert part.voxels[0, 0, 0] == image.voxels[tuple(first[::-1])]


def test_a_straight_volume_is_cropped_to_whole_slices(scene, slabs):
    from SlicerHPOLib.image import Image

    image = Image(np.zeros((10, 7, 5)), STRAIGHT)  # slices of 4 mm around 0, 4, 8, ...
    assert slabs.cropped(image, 6.0, 14.0).shape == (2, 7, 5)  # exactly the slices at 8 and 12
    assert slabs.cropped(image, 5.9, 14.1).shape == (4, 7, 5)
    assert slabs.cropped(image, 7.0, 7.5).shape == (1, 7, 5)


def test_between_positions_outside_of_the_volume_there_is_nothing(image, slabs):
    from SlicerHPOLib.mrml.volumes import NodeError

    _, high = s_range(image)
    with pytest.raises(NodeError, match="The volume has nothing between"):
        slabs.corners(image, high + 1, high + 9)


def test_a_cropped_volume_node_stays_under_its_transform_and_looks_the_same(scene, slabs):
    from SlicerHPOLib.image import Image
    from SlicerHPOLib.mrml.volumes import image_of, volume_node_of, vtk_matrix

    voxels = np.arange(np.prod(SIZE), dtype=np.int16).reshape(SIZE[::-1])
    node = volume_node_of(Image(voxels, STRAIGHT), "scan")
    node.GetDisplayNode().SetAutoWindowLevel(False)
    node.GetDisplayNode().SetWindowLevel(123, 45)
    moved = scene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    matrix = turned(10) @ np.linalg.inv(STRAIGHT)
    matrix[:3, 3] = 5, 6, 700
    moved.SetMatrixTransformToParent(vtk_matrix(matrix))
    node.SetAndObserveTransformNodeID(moved.GetID())
    part = slabs.crop_volume(node, 710.0, 720.0, "scan chest")
    assert part.GetName() == "scan chest"
    assert part.GetParentTransformNode() is moved
    assert part.GetDisplayNode().GetWindow() == 123
    assert not part.GetDisplayNode().GetAutoWindowLevel()
    expected = slabs.cropped(image_of(node), 710.0, 720.0)
    assert expected.shape[0] < SIZE[2]
    np.testing.assert_array_equal(image_of(part).voxels, expected.voxels)
    np.testing.assert_allclose(image_of(part).ijk_to_ras, expected.ijk_to_ras, atol=1e-9)
