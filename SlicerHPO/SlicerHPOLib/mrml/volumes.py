"""Volume nodes and images: the same voxels in the same place, RAS mm, with the parent transform counted."""

from __future__ import annotations

from itertools import product

import numpy as np
import slicer
import vtk
from slicer.i18n import tr as _
from vtk.util import numpy_support

from ..image import Image, require_volume

VOLUME_EVENTS = (  # after which it has other voxels, or lies elsewhere
    slicer.vtkMRMLVolumeNode.ImageDataModifiedEvent,
    slicer.vtkMRMLTransformableNode.TransformModifiedEvent,
)
_MOVED_MM = 1e-3


class NodeError(ValueError):
    """A node that the work cannot be done with; the message says what is expected and what to do."""


def image_volumes() -> list[slicer.vtkMRMLScalarVolumeNode]:
    """The scene's image volumes; no label maps, colour volumes or hidden ones."""
    nodes = slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")  # label maps and colour volumes are such, too
    return [n for n in nodes if n.GetClassName() == "vtkMRMLScalarVolumeNode" and not n.GetHideFromEditors()]


def why_not(volume_node: slicer.vtkMRMLScalarVolumeNode | None) -> str:
    """Why nothing can be found in a volume, as far as that shows without looking at its voxels; "" if it can."""
    try:
        image = unchecked_image_of(volume_node)
    except NodeError as error:
        return str(error)
    if min(image.shape) > 1:
        return ""
    return _("{name} is a single slice; at least 2 are needed.").format(name=volume_node.GetName())


def image_of(volume_node: slicer.vtkMRMLScalarVolumeNode) -> Image:
    """The volume as it lies in the scene's world.

    Args:
        volume_node: a volume of one number a voxel, maybe under linear transforms.

    Returns:
        Image: its voxels (k, j, i) are the node's own memory and read-only; ijk_to_ras (RAS mm) contains the parent
        transforms.

    Raises:
        NodeError: no node, no image data, a colour volume or label map, a transform that is not linear.
        ImageError: fewer than 2 slices, NaN, all voxels equal, or axes that are not at right angles.
    """
    image = unchecked_image_of(volume_node)
    require_volume(image, image.name)
    return image


def unchecked_image_of(volume_node: slicer.vtkMRMLScalarVolumeNode) -> Image:
    """As `image_of`, but no voxel is looked at: for what only asks where the volume lies. Raises NodeError alone."""
    if volume_node is None:
        raise NodeError(_("No volume is chosen: load a volume and choose it as input."))
    name = volume_node.GetName()
    if not volume_node.IsA("vtkMRMLScalarVolumeNode"):
        raise NodeError(_("{name} is no volume: choose an image volume as input.").format(name=name))
    if volume_node.IsA("vtkMRMLLabelMapVolumeNode"):
        raise NodeError(
            _("{name} is a label map, whose voxels are labels: choose the image it was drawn on.").format(name=name)
        )
    data = volume_node.GetImageData()
    if data is None or data.GetPointData().GetScalars() is None:
        raise NodeError(_("{name} has no image data: load the volume again.").format(name=name))
    if data.GetNumberOfScalarComponents() != 1:
        raise NodeError(
            _(
                "{name} has {count} numbers a voxel (a colour or vector volume); choose a greyscale volume, or convert "
                "it with the module Vector to Scalar Volume."
            ).format(name=name, count=data.GetNumberOfScalarComponents())
        )
    voxels = numpy_support.vtk_to_numpy(data.GetPointData().GetScalars()).reshape(data.GetDimensions()[::-1])
    voxels.flags.writeable = False
    return Image(voxels, to_world(volume_node) @ _ijk_to_ras(volume_node), name)


def volume_node_of(image: Image, name: str) -> slicer.vtkMRMLScalarVolumeNode:
    """A new volume node in the scene with a copy of the image's voxels, where the image lies.

    Voxels that VTK has no type for become the nearest wider one: bool uint8, float16 float32.
    """
    wider = {np.dtype(bool): np.uint8, np.dtype(np.float16): np.float32}
    voxels = np.ascontiguousarray(image.voxels, wider.get(image.voxels.dtype, image.voxels.dtype))
    data = vtk.vtkImageData()
    data.SetDimensions(*voxels.shape[::-1])
    data.GetPointData().SetScalars(numpy_support.numpy_to_vtk(voxels.ravel(), deep=True))
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", name)
    node.SetAndObserveImageData(data)
    node.SetIJKToRASMatrix(vtk_matrix(image.ijk_to_ras))
    node.CreateDefaultDisplayNodes()
    return node


def to_world(node: slicer.vtkMRMLTransformableNode) -> np.ndarray:
    """(4, 4) from the node's own RAS to the world's. Raises NodeError if a transform in between is not linear."""
    transform = node.GetParentTransformNode()
    if transform is None:
        return np.eye(4)
    if not transform.IsTransformToWorldLinear():
        raise NodeError(
            _(
                "{name} lies under the non-linear transform {transform}: harden the transform on the volume first "
                "(right-click it in the module Data)."
            ).format(name=node.GetName(), transform=transform.GetName())
        )
    matrix = vtk.vtkMatrix4x4()
    transform.GetMatrixTransformToWorld(matrix)
    return _array(matrix)


def same_place(shape: tuple[int, int, int], a: np.ndarray, b: np.ndarray) -> bool:
    """Whether the voxels of a volume lie in the same places by two ijk-to-RAS matrices (4, 4).

    Their k axes may be opposite: Slicer reverses that of a left-handed volume when it reads the file.

    Args:
        shape: of the volume, (k, j, i).
    """
    corners = np.array(list(product(*[(0, count - 1) for count in shape[::-1]], [1])))
    reversal = np.diag([1.0, 1, -1, 1])
    reversal[2, 3] = shape[0] - 1
    return any(np.abs((a - there) @ corners.T).max() <= _MOVED_MM for there in (b, b @ reversal))


def vtk_matrix(matrix: np.ndarray) -> vtk.vtkMatrix4x4:
    """A (4, 4) array as VTK's matrix."""
    result = vtk.vtkMatrix4x4()
    result.DeepCopy(np.asarray(matrix, float).ravel())
    return result


def _array(matrix: vtk.vtkMatrix4x4) -> np.ndarray:
    return np.array([[matrix.GetElement(row, column) for column in range(4)] for row in range(4)])


def _ijk_to_ras(volume_node: slicer.vtkMRMLVolumeNode) -> np.ndarray:
    matrix = vtk.vtkMatrix4x4()
    volume_node.GetIJKToRASMatrix(matrix)
    return _array(matrix)
