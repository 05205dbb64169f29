"""A volume's field of view in the scene: a table of its regions, their slabs, and the curves they were decided on.

The table of regions is the answer's home. It keeps all that is needed to decide again, so that a saved scene goes on
where it was left, and refers to the other nodes; the volume refers to it. All of them are filled anew at every change,
which takes a few milliseconds, and those that the user deleted come back.
"""

from __future__ import annotations

import numpy as np
import slicer
from slicer.i18n import tr as _

from ..fieldofview.classification import Classification
from ..fieldofview.classifier import FieldOfView
from ..fieldofview.figure import COLOURS
from ..fieldofview.regions import CLASSES, Region
from ..image import Image
from ..segmentation import Segment
from .scene import beside, unchanged_on_failure
from .slabs import corners, section, surface
from .tables import fill_table
from .volumes import NodeError, same_place, unchecked_image_of

ROLE = "SlicerHPO.FieldOfView"  # references between volume and table; the table's attribute with the answer
CLOSED_SURFACE = "Closed surface"
BOUNDARY = "boundary"  # the series and its column
_GREY = (0.3, 0.3, 0.3)
_PARTS = {
    "segmentation": "body regions",
    "curves": "class probabilities",
    "lines": "boundary lines",
    "chart": "field of view",
}
LABELS = {  # of regions, for the user
    "legs": _("legs"),
    "pelvis": _("pelvis"),
    "abdomen": _("abdomen"),
    "chest": _("chest"),
    "head": _("head"),
    "spine": _("spine"),
}
_CODES = {
    "legs": ("61685007", "Lower limb"),
    "pelvis": ("12921003", "Pelvis"),
    "abdomen": ("113345001", "Abdomen"),
    "chest": ("51185008", "Chest"),
    "head": ("69536005", "Head"),
    "spine": ("421060004", "Spine"),
}


def _segment(region: str) -> Segment:
    colour = tuple(int(COLOURS[region][first : first + 2], 16) for first in (1, 3, 5))
    context = "Segmentation category and type - DICOM master list"  # the general list has no pelvis
    return Segment(
        region, LABELS[region], colour, ("123037004", "Anatomical Structure"), _CODES[region], context=context
    )


SEGMENTS = {region: _segment(region) for region in CLASSES}


def show(volume_node: slicer.vtkMRMLScalarVolumeNode, classification: Classification) -> slicer.vtkMRMLTableNode:
    """Puts the answer for a volume into the scene, in the place of an earlier one.

    Returns:
        The table of regions, from which `parts` leads to the other nodes.

    Raises:
        NodeError: the volume has been moved since it was classified. RegionError: boundaries that cannot be.
        Nothing is changed then.
    """
    image = placed_as_classified(volume_node, classification)
    answer = classification.answer
    slabs = {region.name: surface(image, region.from_mm, region.to_mm) for region in answer.decision.regions}
    with unchanged_on_failure():
        table = _table_of(volume_node) or _new("vtkMRMLTableNode", "regions", volume_node)
        table.SetNodeReferenceID(ROLE, volume_node.GetID())
        volume_node.SetNodeReferenceID(ROLE, table.GetID())
        table.SetAttribute(ROLE, classification.to_json())
        fill_table(table, region_columns(answer))
        _fill_segmentation(_part(table, "vtkMRMLSegmentationNode", "body regions", volume_node), volume_node, slabs)
        curves = _part(table, "vtkMRMLTableNode", "class probabilities", volume_node)
        fill_table(curves, _curve_columns(answer))
        lines = _part(table, "vtkMRMLTableNode", "boundary lines", volume_node)
        fill_table(lines, _line_columns(answer))
        chart = _part(table, "vtkMRMLPlotChartNode", "field of view", volume_node)
        _draw(chart, curves, lines)
        chart.SetTitle(_("{name}: class probabilities along the body").format(name=volume_node.GetName()))
    return table


def set_boundary(volume_node: slicer.vtkMRMLScalarVolumeNode, name: str, position_mm: float | None) -> None:
    """Fixes a boundary at S and shows what is decided around it, at once.

    Args:
        position_mm: None: where it is now or, if it was not found, where it fits best.

    Raises:
        RegionError: there is no room for it between the others. NodeError: no answer, or the volume was moved.
    """
    classification = require_classification(volume_node)
    if position_mm is None:
        found = {boundary.name: boundary.position_mm for boundary in classification.answer.decision.boundaries}
        position_mm = found[name] if name in found else classification.likeliest_place(name)
    show(volume_node, classification.with_boundary(name, position_mm))


def release_boundaries(volume_node: slicer.vtkMRMLScalarVolumeNode, *names: str) -> None:
    """Has boundaries decided by the network again. Raises NodeError as `set_boundary`."""
    classification = require_classification(volume_node)
    for name in names:
        classification = classification.with_boundary(name, None)
    show(volume_node, classification)


def classification_of(volume_node: slicer.vtkMRMLScalarVolumeNode) -> Classification | None:
    """The answer for a volume that is in the scene, None if there is none. Raises RegionError if it was damaged."""
    table = _table_of(volume_node)
    text = table.GetAttribute(ROLE) if table is not None else None
    return Classification.from_json(text) if text else None


def boundaries_set_in(volume_node: slicer.vtkMRMLScalarVolumeNode) -> tuple[dict[str, float], bool]:
    """The boundaries that the user set, mm along S by name, and whether the volume still lies where it did then."""
    classification = classification_of(volume_node)
    if classification is None:
        return {}, True
    try:
        placed_as_classified(volume_node, classification)
    except NodeError:
        return dict(classification.fixed), False
    return dict(classification.fixed), True


def parts(volume_node: slicer.vtkMRMLScalarVolumeNode) -> dict[str, slicer.vtkMRMLNode]:
    """The nodes of a volume's answer that are in the scene: regions, segmentation, curves, lines, chart."""
    table = _table_of(volume_node)
    if table is None:
        return {}
    nodes = {name: table.GetNodeReference(f"{ROLE}.{part}") for name, part in _PARTS.items()}
    return {"regions": table, **{name: node for name, node in nodes.items() if node is not None}}


def chart_of(volume_node: slicer.vtkMRMLScalarVolumeNode) -> slicer.vtkMRMLPlotChartNode:
    """The chart of a volume's answer; one that the user deleted comes back. Raises NodeError without an answer."""
    classification = require_classification(volume_node)
    if "chart" not in parts(volume_node):
        show(volume_node, classification)
    return parts(volume_node)["chart"]


def placed_as_classified(volume_node: slicer.vtkMRMLScalarVolumeNode, classification: Classification) -> Image:
    """The volume where it lies. Raises NodeError if that is not where it lay when it was classified."""
    image = unchecked_image_of(volume_node)
    if not same_place(image.shape, image.ijk_to_ras, classification.ijk_to_ras):
        raise NodeError(
            _(
                "{name} was moved or changed after its regions were found, so they lie elsewhere: "
                "press Apply to find them again."
            ).format(name=volume_node.GetName())
        )
    return image


def require_classification(volume_node: slicer.vtkMRMLScalarVolumeNode) -> Classification:
    """As `classification_of`, but a volume without an answer is a NodeError."""
    classification = classification_of(volume_node)
    if classification is None:
        name = _("The volume") if volume_node is None else volume_node.GetName()
        raise NodeError(_("{name} has no regions yet: press Apply first.").format(name=name))
    return classification


def located(volume_node: slicer.vtkMRMLScalarVolumeNode, region: str) -> tuple[Image, Region]:
    """A volume where it lies, and where one of its regions does.

    Raises:
        NodeError: the volume was not classified, was moved since, or shows no such region.
    """
    classification = require_classification(volume_node)
    image = placed_as_classified(volume_node, classification)
    regions = {found.name: found for found in classification.answer.decision.regions}
    if region not in regions:
        raise NodeError(
            _("{name} shows no {region}; it shows {shown}.").format(
                name=volume_node.GetName(),
                region=LABELS.get(region, region),
                shown=", ".join(LABELS[name] for name in regions),
            )
        )
    return image, regions[region]


def middle_of(volume_node: slicer.vtkMRMLScalarVolumeNode, region: str) -> np.ndarray:
    """(3,) RAS mm: the middle of the axial plane half-way through a region of a volume. Raises as `located`."""
    image, found = located(volume_node, region)
    s = corners(image, found.from_mm, found.to_mm)[:, 2]
    middle = section(image, (s.min() + s.max()) / 2)
    return (middle.min(axis=0) + middle.max(axis=0)) / 2


def show_only_slabs_of(volume_node: slicer.vtkMRMLScalarVolumeNode | None, visible: bool) -> None:
    """Shows or hides the slabs of a volume; those of all others are hidden, as volumes may lie in the same place."""
    for other in slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode"):
        node = parts(other).get("segmentation")
        if node is not None and node.GetDisplayNode() is not None:
            node.GetDisplayNode().SetVisibility(visible and other is volume_node)


def boundary_label(name: str) -> str:
    """The name of a boundary, such as "abdomen/chest", as the user reads it."""
    return " / ".join(LABELS[region] for region in name.split("/"))


def tenths(mm: float) -> float:
    """To the tenth of a millimetre, and never -0."""
    return round(float(mm), 1) + 0.0


def region_columns(answer: FieldOfView) -> dict[str, list]:
    """The table of regions, from superior to inferior as in a picture of the body; mm along S."""
    regions = answer.decision.regions[::-1]
    return {
        _("region"): [LABELS[region.name] for region in regions],
        _("from (mm)"): [tenths(region.from_mm) for region in regions],
        _("to (mm)"): [tenths(region.to_mm) for region in regions],
        _("length (mm)"): [tenths(region.length_mm) for region in regions],
        _("first slice"): [region.first_slice for region in regions],
        _("last slice"): [region.last_slice for region in regions],
        _("confidence (%)"): [round(100 * region.confidence) for region in regions],
    }


def _curve_columns(answer: FieldOfView) -> dict[str, np.ndarray]:
    """What the regions were decided on, a row a slice; 0 where a slice shows only air."""
    shown = np.where(answer.tissue[:, None], answer.decision.smoothed, 0.0)
    return {"S (mm)": answer.positions_mm, **{name: shown[:, index] for index, name in enumerate(CLASSES)}}


def _line_columns(answer: FieldOfView) -> dict[str, np.ndarray]:
    """One line that goes up and down at each boundary and along the axis in between."""
    positions = [boundary.position_mm for boundary in answer.decision.boundaries]
    return {"S (mm)": np.repeat(positions, 3).astype(float), BOUNDARY: np.tile([0.0, 1.0, 0.0], len(positions))}


def _draw(chart: slicer.vtkMRMLPlotChartNode, curves: slicer.vtkMRMLTableNode, lines: slicer.vtkMRMLTableNode) -> None:
    if chart.GetNumberOfPlotSeriesNodes() == 0:
        for name in (*CLASSES, BOUNDARY):
            chart.AddAndObservePlotSeriesNodeID(_new_series(name).GetID())
        chart.SetXAxisTitle(_("S (mm), inferior to superior"))
        chart.SetYAxisTitle(_("probability"))
        chart.SetYAxisRangeAuto(False)
        chart.SetYAxisRange(0.0, 1.0)
    for index in range(chart.GetNumberOfPlotSeriesNodes()):
        series = chart.GetNthPlotSeriesNode(index)
        series.SetAndObserveTableNodeID((lines if series.GetYColumnName() == BOUNDARY else curves).GetID())


def _new_series(name: str) -> slicer.vtkMRMLPlotSeriesNode:
    """A curve over S in the colour of its region, or the dashed line of the boundaries."""
    series = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLPlotSeriesNode", LABELS.get(name, _("boundary")))
    series.SetHideFromEditors(True)
    series.SetXColumnName("S (mm)")
    series.SetYColumnName(name)
    series.SetPlotType(series.PlotTypeScatter)
    series.SetMarkerStyle(series.MarkerStyleNone)
    series.SetLineStyle(series.LineStyleDash if name == BOUNDARY else series.LineStyleSolid)
    series.SetLineWidth(1 if name == BOUNDARY else 2)
    series.SetColor(*(_GREY if name == BOUNDARY else _rgb(name)))
    return series


def _fill_segmentation(
    node: slicer.vtkMRMLSegmentationNode, volume_node: slicer.vtkMRMLScalarVolumeNode, slabs: dict
) -> None:
    """Makes the segments those of `slabs`: surfaces in the world by region. What stays keeps its visibility."""
    segmentation = node.GetSegmentation()
    if node.GetDisplayNode() is None:
        segmentation.SetSourceRepresentationName(CLOSED_SURFACE)
        node.SetReferenceImageGeometryParameterFromVolumeNode(volume_node)
        node.CreateDefaultDisplayNodes()
        display = node.GetDisplayNode()
        display.SetPreferredDisplayRepresentationName2D(CLOSED_SURFACE)
        display.SetPreferredDisplayRepresentationName3D(CLOSED_SURFACE)
        display.SetOpacity2DFill(0.2)  # the image is what is looked at
        display.SetOpacity2DOutline(1.0)
        display.SetOpacity3D(0.35)
    for region in [segmentation.GetNthSegmentID(n) for n in range(segmentation.GetNumberOfSegments())]:
        if region not in slabs:
            segmentation.RemoveSegment(region)
    for region, slab in slabs.items():
        if (segment := segmentation.GetSegment(region)) is None:
            segment = slicer.vtkSegment()
            segment.SetName(SEGMENTS[region].name)
            segment.SetColor(*_rgb(region))
            segment.SetTag(segment.GetTerminologyEntryTagName(), SEGMENTS[region].terminology)
            segment.AddRepresentation(CLOSED_SURFACE, slab)
            segmentation.AddSegment(segment, region)
        else:
            segment.GetRepresentation(CLOSED_SURFACE).DeepCopy(slab)


def _rgb(region: str) -> tuple[float, float, float]:
    red, green, blue = SEGMENTS[region].colour
    return red / 255, green / 255, blue / 255


def _table_of(volume_node: slicer.vtkMRMLScalarVolumeNode | None) -> slicer.vtkMRMLTableNode | None:
    table = None if volume_node is None else volume_node.GetNodeReference(ROLE)
    if table is None or table.GetNodeReference(ROLE) is not volume_node:  # a clone refers to its original's
        return None
    return table


def _part(table, class_name: str, what: str, volume_node) -> slicer.vtkMRMLNode:
    """The node that the table of regions refers to by this word; made if it is not there."""
    node = table.GetNodeReference(f"{ROLE}.{what}")
    if node is None:
        node = _new(class_name, what, volume_node)
        table.SetNodeReferenceID(f"{ROLE}.{what}", node.GetID())
    return node


def _new(class_name: str, what: str, volume_node) -> slicer.vtkMRMLNode:
    node = slicer.mrmlScene.AddNewNodeByClass(class_name, f"{volume_node.GetName()} {what}")
    beside(node, volume_node)
    return node
