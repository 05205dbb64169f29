"""Correction points in the scene: two lists of markups, green ones inside the kidney and red ones outside of it."""

from __future__ import annotations

import numpy as np
import slicer

INSIDE, OUTSIDE = "SlicerHPO.inside", "SlicerHPO.outside"  # roles of references
_NODE = slicer.vtkMRMLMarkupsNode
EVENTS = (_NODE.PointModifiedEvent, _NODE.PointPositionDefinedEvent, _NODE.PointRemovedEvent)  # of points placed
_COLOURS = {INSIDE: (0.1, 0.85, 0.2), OUTSIDE: (0.95, 0.15, 0.1)}
_SEED = (1.0, 0.85, 0.2)
_DEFINED = _NODE.PositionDefined


def name_of(role: str) -> str:
    """ "inside" or "outside", by which `kidney.pointfile` knows the side of points that Slicer saves."""
    return role.rsplit(".", 1)[1]


def style(node: slicer.vtkMRMLMarkupsFiducialNode, role: str) -> None:
    """Colours and labels of the list."""
    node.SetControlPointLabelFormat(f"{name_of(role)}-%d")
    _colour(node, _COLOURS[role])


def positions(node: slicer.vtkMRMLMarkupsFiducialNode | None) -> np.ndarray:
    """(n, 3) RAS mm in the world of the points that are placed; the one that still hangs at the mouse is not."""
    found = [] if node is None else [world(node, index) for index in _placed(node)]
    return np.array(found, float).reshape(-1, 3)


def place(node: slicer.vtkMRMLMarkupsFiducialNode, ras_mm: np.ndarray) -> None:
    """Makes the placed points those (n, 3) in the world; what is there already stays untouched."""
    was_modified = node.StartModify()
    for index in reversed(_placed(node)[len(ras_mm) :]):
        node.RemoveNthControlPoint(index)
    for index, ras in zip(_placed(node), ras_mm, strict=False):
        if not np.array_equal(world(node, index), ras):
            node.SetNthControlPointPositionWorld(index, *map(float, ras))
    for ras in ras_mm[len(_placed(node)) :]:
        node.AddControlPointWorld(*map(float, ras))
    node.EndModify(was_modified)


def world(node: slicer.vtkMRMLMarkupsFiducialNode, index: int) -> np.ndarray:
    """(3,) RAS mm of a control point."""
    ras = [0.0, 0.0, 0.0]
    node.GetNthControlPointPositionWorld(index, ras)
    return np.array(ras)


def _placed(node: slicer.vtkMRMLMarkupsFiducialNode) -> list[int]:
    count = node.GetNumberOfControlPoints()
    return [index for index in range(count) if node.GetNthControlPointPositionStatus(index) == _DEFINED]


def add_seed(name: str) -> slicer.vtkMRMLMarkupsFiducialNode:
    """A list for one point, from which the classical method starts."""
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", name)
    node.SetMaximumNumberOfControlPoints(1)
    _colour(node, _SEED)
    return node


def seed_of(node: slicer.vtkMRMLMarkupsFiducialNode | None) -> tuple[float, float, float] | None:
    """Its R, A, S in mm in the world, or None if it is not placed."""
    placed = positions(node)
    return tuple(map(float, placed[0])) if len(placed) else None


def _colour(node: slicer.vtkMRMLMarkupsFiducialNode, colour: tuple[float, float, float]) -> None:
    node.CreateDefaultDisplayNodes()
    display = node.GetDisplayNode()
    display.SetColor(*colour)
    display.SetSelectedColor(*colour)
    display.SetPointLabelsVisibility(False)
    display.SetSnapMode(display.SnapModeUnconstrained)  # a click in a 3D view is no place on a surface
