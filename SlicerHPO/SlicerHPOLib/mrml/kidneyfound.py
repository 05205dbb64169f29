"""What a method found in a volume, stored in the scene: a hidden vector volume on the working grid.

Component 0 is phi, the others are the posed modes of the template; the rest is an attribute. It is saved with the scene
and lies in the volume's own space, so that it moves with it.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

import numpy as np
import slicer
import vtk
from slicer.i18n import tr as _
from vtk.util import numpy_support

from ..image import Image
from ..kidney.request import AUTO
from ..kidney.session import FoundKidney
from .volumes import NodeError, same_place, to_world, vtk_matrix

ROLE = "SlicerHPO.found"  # by which a segmentation refers to the node
ATTRIBUTE = "SlicerHPO.found"
PLACE = "SlicerHPO.place"  # attribute: size of the volume, and where it lies in the node's own space


@dataclass(frozen=True)
class Origin:
    """model, model_sha256: of what found a kidney. population: that was asked for, see `KidneySegmenter.segment`."""

    model: str = ""
    model_sha256: str = ""
    population: str = AUTO


def store(found: FoundKidney, node: slicer.vtkMRMLVectorVolumeNode, ras_to_world: np.ndarray, origin: Origin) -> None:
    """Fills a node.

    Args:
        ras_to_world: (4, 4) of the parent transform under which the node will lie.
    """
    components = [found.phi, *([] if found.modes is None else found.modes)]
    values = np.ascontiguousarray(np.stack(components, -1), np.float32)  # (k, j, i, component)
    data = vtk.vtkImageData()
    data.SetDimensions(*found.phi.shape[::-1])
    data.GetPointData().SetScalars(numpy_support.numpy_to_vtk(values.reshape(-1, values.shape[-1]), deep=True))
    node.SetAndObserveImageData(data)
    node.SetIJKToRASMatrix(vtk_matrix(np.linalg.inv(ras_to_world) @ found.grid.ijk_to_ras))
    node.SetHideFromEditors(True)
    node.SetAttribute(ATTRIBUTE, json.dumps(found.description))
    place = np.linalg.inv(ras_to_world) @ found.image.ijk_to_ras
    node.SetAttribute(PLACE, json.dumps({"shape": found.image.shape, "ijk_to_ras": place.tolist()}))
    for name, value in asdict(origin).items():
        node.SetAttribute(f"SlicerHPO.{name}", value)


def origin_of(node: slicer.vtkMRMLVectorVolumeNode) -> Origin:
    """Where what was stored comes from; scenes that were saved before there were populations lack that one."""
    values = {name: node.GetAttribute(f"SlicerHPO.{name}") for name in asdict(Origin())}
    return Origin(**{name: value for name, value in values.items() if value})


def is_in_place(node: slicer.vtkMRMLVectorVolumeNode, image: Image, ras_to_world: np.ndarray) -> bool:
    """Whether a volume has the size, and the place in a parent transform's space, that it had when this was found.

    Args:
        image: of the volume, in the world. ras_to_world: (4, 4) of the parent transform.
    """
    place = json.loads(node.GetAttribute(PLACE) or "null")
    if place is None:  # of a scene that was saved before there were any
        return True
    here = np.linalg.inv(ras_to_world) @ image.ijk_to_ras
    return image.shape == tuple(place["shape"]) and same_place(image.shape, here, np.array(place["ijk_to_ras"]))


def data_of(node: slicer.vtkMRMLVectorVolumeNode) -> vtk.vtkImageData:
    """The values of a node. Raises NodeError if there are none, as where a file of a saved scene is missing."""
    data = node.GetImageData()
    if data is None or data.GetPointData().GetScalars() is None:
        raise _damaged(node)
    return data


def restored(node: slicer.vtkMRMLVectorVolumeNode, image: Image) -> FoundKidney:
    """What was stored, as it lies in the world now, with the image of its volume. Raises NodeError if it is damaged."""
    data = data_of(node)
    try:
        description = json.loads(node.GetAttribute(ATTRIBUTE))
    except (TypeError, ValueError):
        raise _damaged(node) from None
    values = numpy_support.vtk_to_numpy(data.GetPointData().GetScalars()).reshape(*data.GetDimensions()[::-1], -1)
    phi, *modes = np.moveaxis(values.astype(np.float32), -1, 0)
    arrays = {"phi": np.ascontiguousarray(phi), "ijk_to_ras": to_world(node) @ _ijk_to_ras(node)}
    if modes:
        arrays["modes"] = np.ascontiguousarray(modes)
    return FoundKidney.restored(image, description, arrays)


def remove_orphans() -> None:
    """Removes the nodes that no segmentation refers to any more: they are hidden, so that the user cannot."""
    nodes = slicer.util.getNodesByClass("vtkMRMLVectorVolumeNode")
    segmentations = slicer.util.getNodesByClass("vtkMRMLSegmentationNode")
    for node in [node for node in nodes if node.GetAttribute(ATTRIBUTE)]:
        if not any(other.GetNodeReferenceID(ROLE) == node.GetID() for other in segmentations):
            slicer.mrmlScene.RemoveNode(node)


def _damaged(node: slicer.vtkMRMLVectorVolumeNode) -> NodeError:
    return NodeError(_("{name} is damaged: segment the volume again.").format(name=node.GetName()))


def _ijk_to_ras(node: slicer.vtkMRMLVolumeNode) -> np.ndarray:
    matrix = vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(matrix)
    return np.array([[matrix.GetElement(row, column) for column in range(4)] for row in range(4)])
