"""Boundaries as planes that the user drags in the views: markups planes across the volume, at right angles to S.

A plane only ever moves along S: wherever it is dragged to, its S counts, and it is put back upright over the volume.
"""

from __future__ import annotations

import slicer

from ..fieldofview.classification import Classification
from .fieldofview import ROLE, boundary_label, placed_as_classified, require_classification
from .scene import unchanged_on_failure
from .slabs import section

MOVED_MM = 0.01  # less is rounding, not a drag
_SELECTED = (1.0, 0.8, 0.2)
_ALONG_NORMAL = [False, False, True, False]  # of the handles: x, y, z, in the plane of the view


def show_planes(volume_node: slicer.vtkMRMLScalarVolumeNode) -> dict[str, slicer.vtkMRMLMarkupsPlaneNode]:
    """Puts a plane on each boundary of a volume, and removes those of boundaries that are gone.

    Returns:
        The planes by the boundaries' names.

    Raises:
        NodeError: the volume was not classified, or was moved since.
    """
    classification = require_classification(volume_node)
    image = placed_as_classified(volume_node, classification)
    positions = _positions(classification)
    planes = planes_of(volume_node)
    for name in planes.keys() - positions.keys():
        slicer.mrmlScene.RemoveNode(planes.pop(name))
    with unchanged_on_failure():
        for name, position in positions.items():
            if name not in planes:
                planes[name] = _new_plane(volume_node, name)
            corners = section(image, position)
            low, high = corners.min(axis=0), corners.max(axis=0)
            plane = planes[name]
            modified = plane.StartModify()
            plane.SetNormalWorld(0, 0, 1)
            plane.SetOriginWorld(*(low[:2] + high[:2]) / 2, position)
            plane.SetSizeWorld(*(high - low)[:2])
            plane.EndModify(modified)
    return planes


def hide_planes(volume_node: slicer.vtkMRMLScalarVolumeNode | None) -> None:
    """Removes the planes of all volumes but this one from the scene; of all, without a volume."""
    for plane in slicer.util.getNodesByClass("vtkMRMLMarkupsPlaneNode"):
        others = volume_node is None or plane.GetNodeReference(ROLE) is not volume_node
        if plane.GetAttribute(ROLE) and others:
            slicer.mrmlScene.RemoveNode(plane)


def planes_of(volume_node: slicer.vtkMRMLScalarVolumeNode) -> dict[str, slicer.vtkMRMLMarkupsPlaneNode]:
    """The planes of a volume's boundaries, by the boundaries' names."""
    planes = slicer.util.getNodesByClass("vtkMRMLMarkupsPlaneNode")
    return {plane.GetAttribute(ROLE): plane for plane in planes if plane.GetNodeReference(ROLE) is volume_node}


def dragged(volume_node: slicer.vtkMRMLScalarVolumeNode) -> dict[str, float]:
    """Boundaries whose plane is no longer where the boundary is, with the S in mm that it was dragged to.

    It is kept within the room that the other fixed boundaries leave. A plane whose point was deleted does not count.
    """
    classification = require_classification(volume_node)
    positions = _positions(classification)
    moved = {}
    for name, plane in planes_of(volume_node).items():
        s = plane.GetOriginWorld()[2]
        if name in positions and plane.GetIsPlaneValid() and abs(s - positions[name]) > MOVED_MM:
            low, high = classification.room_for(name)
            moved[name] = min(max(s, low), high)
    return moved


def _positions(classification: Classification) -> dict[str, float]:
    return {boundary.name: boundary.position_mm for boundary in classification.answer.decision.boundaries}


def _new_plane(volume_node: slicer.vtkMRMLScalarVolumeNode, name: str) -> slicer.vtkMRMLMarkupsPlaneNode:
    plane = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsPlaneNode", boundary_label(name))
    plane.SetAttribute(ROLE, name)
    plane.SetNodeReferenceID(ROLE, volume_node.GetID())
    plane.SetSaveWithScene(False)  # the table of regions has what is to be kept
    plane.SetPlaneType(plane.PlaneTypePointNormal)
    plane.SetSizeMode(plane.SizeModeAbsolute)
    plane.CreateDefaultDisplayNodes()
    display = plane.GetDisplayNode()
    display.SetSelectedColor(*_SELECTED)
    display.SetFillOpacity(0.1)
    display.SetNormalVisibility(False)
    display.SetHandlesInteractive(True)
    display.SetRotationHandleVisibility(False)
    display.SetScaleHandleVisibility(False)
    display.SetTranslationHandleComponentVisibility(_ALONG_NORMAL)
    return plane
