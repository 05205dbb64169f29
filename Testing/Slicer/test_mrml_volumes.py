"""Volume nodes become images, and images volume nodes, with every voxel in its place."""

import numpy as np
import pytest

OBLIQUE = np.array([[1.5, 0.2, 0.0, -40], [-0.2, 1.5, 0.3, 10], [0.0, -0.5, 2.9, -200], [0, 0, 0, 1]])


@pytest.fixture
def volumes(scene):
    from SlicerHPOLib.mrml import volumes

    return volumes


def right_angled(matrix):
    """The matrix with its directions made orthogonal, its spacings kept."""
    spacing = np.linalg.norm(matrix[:3, :3], axis=0)
    u, _, v = np.linalg.svd(matrix[:3, :3] / spacing)
    result = matrix.copy()
    result[:3, :3] = u @ v * spacing
    return result


def an_image(matrix=OBLIQUE, dtype=np.int16, shape=(5, 6, 7)):
    from SlicerHPOLib.image import Image

    return Image(np.arange(np.prod(shape)).reshape(shape).astype(dtype), right_angled(matrix), "scan")


def transform(scene, matrix, parent=None):
    from SlicerHPOLib.mrml.volumes import vtk_matrix

    node = scene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    node.SetMatrixTransformToParent(vtk_matrix(matrix))
    if parent is not None:
        node.SetAndObserveTransformNodeID(parent.GetID())
    return node


@pytest.mark.parametrize("flip", [1, -1], ids=["right-handed", "left-handed"])
@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32, np.float64])
def test_an_image_comes_back_from_its_node_as_it_was(volumes, dtype, flip):
    image = an_image(OBLIQUE * [1, 1, flip, 1], dtype)
    node = volumes.volume_node_of(image, "copy")
    back = volumes.image_of(node)
    assert back.voxels.dtype == dtype
    np.testing.assert_array_equal(back.voxels, image.voxels)
    np.testing.assert_allclose(back.ijk_to_ras, image.ijk_to_ras, atol=1e-9)
    assert back.name == node.GetName() == "copy"
    assert node.GetDisplayNode() is not None


def test_what_vtk_has_no_type_for_becomes_wider(volumes):
    from SlicerHPOLib.image import Image

    voxels = np.zeros((3, 3, 3), bool)
    voxels[1] = True
    assert volumes.image_of(volumes.volume_node_of(Image(voxels, np.eye(4)), "mask")).voxels.dtype == np.uint8
    halves = Image(np.arange(27).reshape(3, 3, 3).astype(np.float16), np.eye(4))
    assert volumes.image_of(volumes.volume_node_of(halves, "halves")).voxels.dtype == np.float32


def test_parent_transforms_count_up_to_the_world(volumes, scene):
    image = an_image()
    node = volumes.volume_node_of(image, "scan")
    turned = np.array([[0, -1, 0, 5], [1, 0, 0, 6], [0, 0, 1, 7], [0, 0, 0, 1.0]])
    moved = np.eye(4)
    moved[:3, 3] = 100, 0, -50
    inner = transform(scene, turned, parent=transform(scene, moved))
    node.SetAndObserveTransformNodeID(inner.GetID())
    np.testing.assert_allclose(volumes.image_of(node).ijk_to_ras, moved @ turned @ image.ijk_to_ras, atol=1e-9)


def test_the_voxels_are_the_nodes_own_and_cannot_be_written(volumes):
    import slicer

    node = volumes.volume_node_of(an_image(), "scan")
    voxels = volumes.image_of(node).voxels
    slicer.util.arrayFromVolume(node)[0, 0, 0] = 77
    assert voxels[0, 0, 0] == 77
    with pytest.raises(ValueError, match="read-only"):
        voxels[0, 0, 0] = 1


def test_a_volume_under_a_warp_is_refused_until_it_is_hardened(volumes, scene):
    import slicer
    import vtk

    node = volumes.volume_node_of(an_image(), "scan")
    warp = scene.AddNewNodeByClass("vtkMRMLTransformNode", "warp")
    spline = vtk.vtkThinPlateSplineTransform()
    points = vtk.vtkPoints()
    for point in ((0, 0, 0), (10, 0, 0), (0, 10, 0), (0, 0, 10)):
        points.InsertNextPoint(point)
    spline.SetSourceLandmarks(points)
    spline.SetTargetLandmarks(points)
    warp.SetAndObserveTransformToParent(spline)
    node.SetAndObserveTransformNodeID(warp.GetID())
    assert isinstance(warp, slicer.vtkMRMLTransformNode)
    with pytest.raises(volumes.NodeError, match="scan lies under the non-linear transform warp: harden"):
        volumes.image_of(node)


def test_a_sheared_volume_is_refused(volumes, scene):
    from SlicerHPOLib.image import ImageError

    node = volumes.volume_node_of(an_image(), "scan")
    shear = np.eye(4)
    shear[0, 2] = 0.3
    node.SetAndObserveTransformNodeID(transform(scene, shear).GetID())
    with pytest.raises(ImageError, match="scan: the axes of its voxels are not at right angles"):
        volumes.image_of(node)


def test_no_volume_is_refused_in_the_users_words(volumes):
    with pytest.raises(volumes.NodeError, match="No volume is chosen"):
        volumes.image_of(None)


def test_nodes_that_are_no_greyscale_volume_are_refused(volumes, scene):
    import vtk

    with pytest.raises(volumes.NodeError, match="model is no volume"):
        volumes.image_of(scene.AddNewNodeByClass("vtkMRMLModelNode", "model"))
    with pytest.raises(volumes.NodeError, match="empty has no image data"):
        volumes.image_of(scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "empty"))
    labels = scene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", "labels")
    with pytest.raises(volumes.NodeError, match="labels is a label map"):
        volumes.image_of(labels)
    colour = scene.AddNewNodeByClass("vtkMRMLVectorVolumeNode", "photo")
    data = vtk.vtkImageData()
    data.SetDimensions(4, 4, 4)
    data.AllocateScalars(vtk.VTK_UNSIGNED_CHAR, 3)
    colour.SetAndObserveImageData(data)
    with pytest.raises(volumes.NodeError, match=r"photo has 3 numbers a voxel.*Vector to Scalar"):
        volumes.image_of(colour)


def test_volumes_in_which_nothing_can_be_seen_are_refused(volumes):
    from SlicerHPOLib.image import Image, ImageError

    def refused(voxels, match):
        with pytest.raises(ImageError, match=match):
            volumes.image_of(volumes.volume_node_of(Image(voxels, np.eye(4)), "scan"))

    refused(np.arange(16.0).reshape(1, 4, 4), "at least 2 slices")
    refused(np.zeros((4, 4, 4), np.int16), "scan: constant volume")
    holes = np.arange(64.0).reshape(4, 4, 4)
    holes[1, 2, 3] = np.nan
    refused(holes, "1 are NaN")


def test_a_place_is_the_same_with_its_k_axis_reversed_and_in_no_other_way(volumes):
    shape, matrix = (5, 6, 7), right_angled(OBLIQUE)
    reversal, swap = np.diag([1.0, 1, -1, 1]), np.diag([-1.0, 1, 1, 1])
    reversal[2, 3], swap[0, 3] = shape[0] - 1, shape[2] - 1
    shift = np.eye(4)
    shift[2, 3] = 0.01
    assert volumes.same_place(shape, matrix, matrix) and volumes.same_place(shape, matrix @ reversal, matrix)
    assert not any(volumes.same_place(shape, moved, matrix) for moved in (matrix @ swap, shift @ matrix, -matrix))
