"""What many volumes show, as one table in the scene: a row a volume, which leads to the volume.

A row refers to the node of its volume, or, until that is loaded, knows the file that it is in.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence

import slicer
from slicer.i18n import tr as _

from ..image import read_image
from ..results import Result
from ..words import named, packed, unpacked
from .fieldofview import LABELS, tenths
from .scene import is_in_scene, unchanged_on_failure
from .tables import fill_table
from .translation import translated
from .volumes import NodeError, volume_node_of

ROLE = "SlicerHPO.FieldOfView"  # singleton tag of the table, its attribute with the rows, reference of a row


def show_results(
    results: Sequence[Result], volume_nodes: Sequence[slicer.vtkMRMLScalarVolumeNode] = ()
) -> slicer.vtkMRMLTableNode:
    """Puts the table into the scene, in the place of an earlier one.

    Args:
        volume_nodes: those that the results are about, in the same order; none if they are about files.
    """
    table = _table()
    if table is None:
        with unchanged_on_failure():
            table = slicer.vtkMRMLTableNode()
            table.SetSingletonTag(ROLE)
            table.SetName(_("Fields of view"))
            table = slicer.mrmlScene.AddNode(table)
    fill_table(table, result_columns(results))
    before, rows = _rows(table), [[r.path, r.series, r.frame, packed(r.error)] for r in results]
    for index in range(max(len(before), len(rows))):
        if index < len(volume_nodes) and is_in_scene(volume_nodes[index]):
            table.SetNodeReferenceID(_role(index), volume_nodes[index].GetID())
        elif volume_nodes or before[index : index + 1] != rows[index : index + 1]:
            table.RemoveNodeReferenceIDs(_role(index))
    table.SetAttribute(ROLE, json.dumps(rows))
    return table


def volume_of_row(index: int) -> slicer.vtkMRMLScalarVolumeNode:
    """The volume of a row of the table; one that is not in the scene is read from its file into it.

    Raises:
        NodeError: there is no such row, the volume could not be classified (why), or it was removed from the scene.
        ImageError: its file cannot be read any more.
    """
    table = _table()
    rows = _rows(table) if table is not None else []
    if not 0 <= index < len(rows):
        raise NodeError(_("The table of results has no row {row}.").format(row=index + 1))
    path, series, frame, error = rows[index]
    if error:
        raise NodeError(named(_name(path, series), unpacked(error)))
    node = table.GetNodeReference(_role(index))
    if node is None:
        if not os.path.exists(path):
            raise NodeError(
                _("{name} is no longer in the scene, or its file was moved: load it again.").format(
                    name=_name(path, series)
                )
            )
        with unchanged_on_failure():  # as it was read when it was classified, DICOM series and frame included
            node = volume_node_of(read_image(path, series=series, frame=frame), _name(path, series))
        table.SetNodeReferenceID(_role(index), node.GetID())
    return node


def result_columns(results: Sequence[Result]) -> dict[str, list]:
    """The table of many volumes; mm along S, regions from superior to inferior."""
    return {
        _("volume"): [_name(result.path, result.series) for result in results],
        _("shows"): [", ".join(LABELS[region.name] for region in result.regions[::-1]) for result in results],
        _("from (mm)"): [f"{tenths(result.regions[0].from_mm)}" if result.regions else "" for result in results],
        _("to (mm)"): [f"{tenths(result.regions[-1].to_mm)}" if result.regions else "" for result in results],
        _("least confidence (%)"): [
            f"{100 * min(region.confidence for region in result.regions):.0f}" if result.regions else ""
            for result in results
        ],
        _("error"): [translated(result.error) for result in results],
    }


def _table() -> slicer.vtkMRMLTableNode | None:
    return slicer.mrmlScene.GetSingletonNode(ROLE, "vtkMRMLTableNode")


def _rows(table: slicer.vtkMRMLTableNode) -> list[list]:
    """Path, series, frame and error, packed, of each row."""
    return json.loads(table.GetAttribute(ROLE) or "[]")


def _role(index: int) -> str:
    return f"{ROLE}.row{index}"


def _name(path: str, series: str | None) -> str:
    name = os.path.basename(os.path.normpath(path))
    return _("{name}, series {series}").format(name=name, series=series) if series else name
