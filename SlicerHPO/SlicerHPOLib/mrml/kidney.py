"""A kidney in the scene: its segmentation with measures and axes, and all that is needed to go on after a reload.

Everything belongs to one segmentation node and is referenced by it: the volume, what was found in it (`kidneyfound`),
the correction points (`kidneypoints`), the table of measures and the three axes as lines. All lie under the volume's
parent transform, so that they move with it.
"""

from __future__ import annotations

import numpy as np
import slicer
import vtk
from slicer.i18n import tr as _
from vtk.util import numpy_support

from ..image import Image
from ..kidney.measures import Measures
from ..kidney.points import Points
from ..kidney.segmentation import KidneySegmentation
from ..kidney.session import FoundKidney
from ..segmentation import KIDNEY, LEFT_KIDNEY, RIGHT_KIDNEY
from . import kidneyfound, kidneypoints
from .kidneyfound import Origin
from .scene import beside, show_in_slice_views
from .tables import fill_table
from .volumes import NodeError, to_world, unchecked_image_of, vtk_matrix

VOLUME, FOUND, MEASURES = "SlicerHPO.volume", kidneyfound.ROLE, "SlicerHPO.measures"  # roles of references
LINES = {  # role: name, colour, on which sides of its point the label ends; they cross and must not cover each other
    "SlicerHPO.length": (_("Length"), (1.0, 0.85, 0.2), (vtk.VTK_TEXT_LEFT, vtk.VTK_TEXT_BOTTOM)),
    "SlicerHPO.width": (_("Width"), (0.3, 0.8, 1.0), (vtk.VTK_TEXT_RIGHT, vtk.VTK_TEXT_BOTTOM)),
    "SlicerHPO.thickness": (_("Thickness"), (1.0, 0.5, 0.9), (vtk.VTK_TEXT_LEFT, vtk.VTK_TEXT_TOP)),
}
SIDES = {kidneypoints.INSIDE: True, kidneypoints.OUTSIDE: False}
SIDE = "SlicerHPO.side"  # attribute
SEGMENTS = {"": KIDNEY, "left": LEFT_KIDNEY, "right": RIGHT_KIDNEY}
_LABELMAP, _SURFACE = "Binary labelmap", "Closed surface"


def segmentation_of(volume_node: slicer.vtkMRMLNode | None) -> slicer.vtkMRMLSegmentationNode | None:
    """The newest kidney that was segmented in a volume, if any."""
    return next(reversed(segmentations_of(volume_node)), None)


def segmentations_of(volume_node: slicer.vtkMRMLNode | None) -> list[slicer.vtkMRMLSegmentationNode]:
    """All kidneys that were segmented in a volume, the oldest first."""
    nodes = slicer.util.getNodesByClass("vtkMRMLSegmentationNode")
    return [node for node in nodes if is_of(node, volume_node)]


def is_of(segmentation_node: slicer.vtkMRMLNode | None, volume_node: slicer.vtkMRMLNode | None) -> bool:
    """Whether this is a kidney that was segmented in that volume, and can be corrected."""
    if segmentation_node is None or volume_node is None or segmentation_node.GetNodeReference(FOUND) is None:
        return False
    return segmentation_node.GetNodeReference(VOLUME) is volume_node


def volume_of(segmentation_node: slicer.vtkMRMLSegmentationNode) -> slicer.vtkMRMLScalarVolumeNode:
    """The volume in which a kidney was segmented. Raises NodeError if it is gone, or this is no such segmentation."""
    if segmentation_node is None or segmentation_node.GetNodeReferenceID(FOUND) is None:
        raise NodeError(_("This segmentation has no kidney that points could correct: segment a volume first."))
    volume_node = segmentation_node.GetNodeReference(VOLUME)
    if volume_node is None or segmentation_node.GetNodeReference(FOUND) is None:
        raise NodeError(_("The volume of this segmentation was removed from the scene: load it and segment it again."))
    return volume_node


def add_kidney(
    volume_node: slicer.vtkMRMLScalarVolumeNode,
    found: FoundKidney,
    ras_to_world: np.ndarray,
    origin: Origin,
    segmentation_node: slicer.vtkMRMLSegmentationNode | None = None,
) -> slicer.vtkMRMLSegmentationNode:
    """What was found in a volume as a segmentation, still empty (`show` fills it), with the nodes that belong to it.

    Args:
        ras_to_world: (4, 4) of the volume's parent transform when `found` was looked for in it.
        origin: where it comes from.
        segmentation_node: to be used; points that it has stay if they are of the same volume. None: a new one.
    """
    if segmentation_node is None:
        name = slicer.mrmlScene.GenerateUniqueName(f"{volume_node.GetName()} kidney")
        segmentation_node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", name)
    if segmentation_node.GetDisplayNode() is None:
        segmentation_node.CreateDefaultDisplayNodes()
        display = segmentation_node.GetDisplayNode()
        display.SetPreferredDisplayRepresentationName2D(_SURFACE)  # as smooth in slices as the kidney is
        display.SetOpacity2DFill(0.2)  # the image is what is looked at
        display.SetOpacity2DOutline(1.0)
        display.SetOpacity3D(0.8)
    elsewhere = segmentation_node.GetNodeReference(VOLUME) is not volume_node
    segmentation_node.SetReferenceImageGeometryParameterFromVolumeNode(volume_node)
    segmentation_node.SetNodeReferenceID(VOLUME, volume_node.GetID())
    found_node = _companion(segmentation_node, FOUND, "vtkMRMLVectorVolumeNode", "found")
    kidneyfound.store(found, found_node, ras_to_world, origin)
    for role in SIDES:
        points_node = _companion(segmentation_node, role, "vtkMRMLMarkupsFiducialNode", kidneypoints.name_of(role))
        kidneypoints.style(points_node, role)
        if elsewhere:
            points_node.RemoveAllControlPoints()
    for role, (name, colour, _sides) in LINES.items():
        _style_line(_companion(segmentation_node, role, "vtkMRMLMarkupsLineNode", name), colour)
    _companion(segmentation_node, MEASURES, "vtkMRMLTableNode", "measures")
    _put_under(segmentation_node, volume_node)
    for node in nodes_of(segmentation_node):
        if not node.GetHideFromEditors():
            beside(node, volume_node)
    return segmentation_node


def follow(segmentation_node: slicer.vtkMRMLSegmentationNode | None) -> None:
    """Takes a kidney along when its volume was put under another parent transform, or taken out of one.

    A volume that a transform was hardened on has left none behind: it, and one that was changed, is not followed.
    """
    try:
        volume_node = volume_of(segmentation_node)
        image, ras_to_world = unchecked_image_of(volume_node), to_world(volume_node)
    except NodeError:
        return
    if kidneyfound.is_in_place(segmentation_node.GetNodeReference(FOUND), image, ras_to_world):
        _put_under(segmentation_node, volume_node)


def nodes_of(segmentation_node: slicer.vtkMRMLSegmentationNode) -> list[slicer.vtkMRMLNode]:
    """The segmentation and the nodes that belong to it and are still there; not the volume."""
    roles = (FOUND, *SIDES, *LINES, MEASURES)
    nodes = (segmentation_node.GetNodeReference(role) for role in roles)
    return [segmentation_node, *(node for node in nodes if node is not None)]


def found_of(segmentation_node: slicer.vtkMRMLSegmentationNode) -> FoundKidney:
    """What was found, as it lies in the world now. Raises NodeError if the volume or what was found in it is gone, or
    the volume lies elsewhere."""
    return kidneyfound.restored(segmentation_node.GetNodeReference(FOUND), _image_in_place(segmentation_node))


def state_of(segmentation_node: slicer.vtkMRMLSegmentationNode) -> tuple:
    """What corrections rest on: where the volume lies, and what was found in it. Raises as `found_of`."""
    image, data = _image_in_place(segmentation_node), kidneyfound.data_of(segmentation_node.GetNodeReference(FOUND))
    return image.shape, image.ijk_to_ras.tobytes(), data.GetMTime()


def origin_of(segmentation_node: slicer.vtkMRMLSegmentationNode) -> Origin:
    """Where what was found comes from. Raises NodeError if the volume or what was found in it is gone."""
    volume_of(segmentation_node)
    return kidneyfound.origin_of(segmentation_node.GetNodeReference(FOUND))


def points_of(segmentation_node: slicer.vtkMRMLSegmentationNode) -> Points:
    """The points in the scene, RAS mm in the world: those inside first."""
    points = Points()
    for role, inside in SIDES.items():
        for ras in kidneypoints.positions(segmentation_node.GetNodeReference(role)):
            points = points.add_inside(ras) if inside else points.add_outside(ras)
    return points


def place_points(segmentation_node: slicer.vtkMRMLSegmentationNode, points: Points) -> None:
    """Makes the points in the scene these, where they are not yet."""
    for role, inside in SIDES.items():
        if (node := segmentation_node.GetNodeReference(role)) is not None:
            kidneypoints.place(node, points.ras_mm[points.inside == inside])


def show(segmentation_node: slicer.vtkMRMLSegmentationNode, result: KidneySegmentation) -> None:
    """Puts the shape into the segmentation, on the volume's own voxels, and into its closed surface."""
    segmentation = segmentation_node.GetSegmentation()
    if segmentation.GetSegment(KIDNEY.identifier) is None:
        shape = slicer.vtkSegment()
        shape.AddRepresentation(_LABELMAP, slicer.vtkOrientedImageData())
        segmentation.AddSegment(shape, KIDNEY.identifier)
        segmentation.SetSourceRepresentationName(_LABELMAP)
        set_side(segmentation_node, side_of(segmentation_node))
    local = np.linalg.inv(to_world(segmentation_node)) @ result.image.ijk_to_ras
    labelmap = _labelmap(Image(result.mask, local))
    logic = slicer.vtkSlicerSegmentationsModuleLogic
    logic.SetBinaryLabelmapToSegment(
        labelmap, segmentation_node, KIDNEY.identifier, logic.MODE_REPLACE, labelmap.GetExtent()
    )
    segmentation_node.CreateClosedSurfaceRepresentation()  # of segments that have none yet


def set_side(segmentation_node: slicer.vtkMRMLSegmentationNode, side: str) -> None:
    """Name, colour and terminology of the shape. side: "left", "right", or "" where it is not known."""
    segment = SEGMENTS[side]
    segmentation_node.SetAttribute(SIDE, side)
    shape = segmentation_node.GetSegmentation().GetSegment(segment.identifier)
    if shape is None:  # the user deleted it; `show` brings it back
        return
    shape.SetName(segment.name)
    shape.SetColor(*(part / 255 for part in segment.colour))
    shape.SetTag(shape.GetTerminologyEntryTagName(), segment.terminology)


def side_of(segmentation_node: slicer.vtkMRMLSegmentationNode) -> str:
    """ "left", "right", or "" where it is not known."""
    return segmentation_node.GetAttribute(SIDE) or ""


def show_measures(segmentation_node: slicer.vtkMRMLSegmentationNode, result: KidneySegmentation) -> None:
    """Puts the measures into the table and the axes into the lines, those of them that are still in the scene."""
    measures = result.measures
    if (table_node := segmentation_node.GetNodeReference(MEASURES)) is not None:
        _fill(table_node, result)
    for (role, (name, _colour, sides)), axis in zip(LINES.items(), _axes(measures), strict=True):
        if (line_node := segmentation_node.GetNodeReference(role)) is not None:
            _justify(line_node, *sides)
            _draw(line_node, axis, name)


def show_in_views(segmentation_node: slicer.vtkMRMLSegmentationNode, result: KidneySegmentation) -> None:
    """All slice views show the volume and go through the middle of the kidney; the first 3D view looks at it."""
    show_in_slice_views(volume_of(segmentation_node))
    segmentation_node.GetDisplayNode().SetVisibility(True)
    r, a, s = map(float, result.grid.ras_of(np.argwhere(result.phi > 0).mean(axis=0)))
    slicer.vtkMRMLSliceNode.JumpAllSlices(slicer.mrmlScene, r, a, s, slicer.vtkMRMLSliceNode.CenteredJumpSlice)
    if (widget := slicer.app.layoutManager().threeDWidget(0)) is not None:
        widget.threeDView().resetFocalPoint()


def _axes(measures: Measures) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return measures.length_axis, measures.width_axis, measures.thickness_axis


def _put_under(segmentation_node: slicer.vtkMRMLSegmentationNode, volume_node: slicer.vtkMRMLScalarVolumeNode) -> None:
    """Puts all of a kidney under the parent transform of its volume."""
    transform_id = volume_node.GetTransformNodeID()
    for node in nodes_of(segmentation_node):
        if node.IsA("vtkMRMLTransformableNode") and node.GetTransformNodeID() != transform_id:
            node.SetAndObserveTransformNodeID(transform_id)


def _image_in_place(segmentation_node: slicer.vtkMRMLSegmentationNode) -> Image:
    """Of the volume in which a kidney was found. Raises NodeError if it is gone, or not where it was to the kidney."""
    volume_node, found_node = volume_of(segmentation_node), segmentation_node.GetNodeReference(FOUND)
    image = unchecked_image_of(volume_node)
    if not kidneyfound.is_in_place(found_node, image, to_world(found_node)):
        name = volume_node.GetName()
        raise NodeError(_("{name} was moved or changed after it was segmented: segment it again.").format(name=name))
    return image


def _companion(segmentation_node, role: str, class_name: str, what: str) -> slicer.vtkMRMLNode:
    """The node that belongs to the segmentation in this role; added if it is not there."""
    node = segmentation_node.GetNodeReference(role)
    if node is None:
        name = slicer.mrmlScene.GenerateUniqueName(f"{segmentation_node.GetName()} {what}")
        node = slicer.mrmlScene.AddNewNodeByClass(class_name, name)
        segmentation_node.SetNodeReferenceID(role, node.GetID())
    return node


def _labelmap(mask: Image) -> slicer.vtkOrientedImageData:
    """The box of the mask (k, j, i) that is not 0, in its place."""
    found = [np.flatnonzero(mask.voxels.any(axis=tuple({0, 1, 2} - {axis}))) for axis in range(3)]
    low, high = np.array([ends[0] for ends in found]), np.array([ends[-1] for ends in found])
    box = mask.voxels[tuple(slice(first, last + 1) for first, last in zip(low, high, strict=True))]
    labelmap = slicer.vtkOrientedImageData()
    labelmap.SetExtent(*np.column_stack([low, high])[::-1].ravel().tolist())
    labelmap.GetPointData().SetScalars(numpy_support.numpy_to_vtk(np.ascontiguousarray(box).ravel(), deep=True))
    labelmap.SetImageToWorldMatrix(vtk_matrix(mask.ijk_to_ras))
    return labelmap


def _fill(table_node: slicer.vtkMRMLTableNode, result: KidneySegmentation) -> None:
    m = result.measures
    rows = [
        (_("Length"), m.length_mm, "mm"),
        (_("Width"), m.width_mm, "mm"),
        (_("Thickness"), m.thickness_mm, "mm"),
        (_("Volume"), m.volume_ml, "ml"),
        (_("Ellipsoid volume"), m.ellipsoid_volume_ml, "ml"),
        (_("Surface"), m.surface_cm2, "cm²"),
        (_("Confidence"), 100 * result.confidence, "%"),
    ]
    names, values, units = zip(*rows, strict=True)
    fill_table(table_node, {_("Measure"): names, _("Value"): np.round(values, 1), _("Unit"): units})


def _draw(line_node: slicer.vtkMRMLMarkupsLineNode, axis: np.ndarray, name: str) -> None:
    was_modified = line_node.StartModify()
    while line_node.GetNumberOfControlPoints() < 2:
        line_node.AddControlPointWorld(0, 0, 0)
    for index, end in enumerate(axis):
        line_node.SetNthControlPointPositionWorld(index, *map(float, end))
    line_node.SetNthControlPointLabel(0, "")
    line_node.SetNthControlPointLabel(1, f"{name} {np.linalg.norm(axis[1] - axis[0]):.1f} mm")
    line_node.EndModify(was_modified)


def _justify(line_node: slicer.vtkMRMLMarkupsLineNode, horizontal: int, vertical: int) -> None:
    """Puts the label beside its point; a saved scene forgets it."""
    line_node.CreateDefaultDisplayNodes()  # if the user deleted it
    text = line_node.GetDisplayNode().GetTextProperty()
    text.SetJustification(horizontal)
    text.SetVerticalJustification(vertical)


def _style_line(line_node: slicer.vtkMRMLMarkupsLineNode, colour: tuple[float, float, float]) -> None:
    line_node.CreateDefaultDisplayNodes()
    line_node.SetLocked(True)
    display = line_node.GetDisplayNode()
    display.SetColor(*colour)
    display.SetSelectedColor(*colour)
    display.SetPointLabelsVisibility(True)
    display.SetPropertiesLabelVisibility(False)  # the three would cover each other in the middle
    display.SetOccludedVisibility(True)
