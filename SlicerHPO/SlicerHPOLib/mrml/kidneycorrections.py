"""The correction of kidneys in the scene by their points, step by step, with undo and redo."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import slicer

from ..kidney.points import CorrectionError, Points
from ..kidney.segmentation import KidneySegmentation
from ..kidney.session import FoundKidney, KidneySession
from . import kidney


class KidneyCorrections:
    """The sessions of segmentation nodes. They are begun where there is none: after a reload, or when the volume was
    moved.

    All methods raise NodeError if the volume or what was found in it is gone.
    """

    def __init__(self):
        self._entries: dict[str, _Entry] = {}  # by the segmentation's ID

    def session(self, segmentation_node: slicer.vtkMRMLSegmentationNode) -> KidneySession:
        """The session of a segmentation, begun if need be with those points in the scene that can be honoured."""
        return self._entry(segmentation_node).session

    def keep(self, segmentation_node: slicer.vtkMRMLSegmentationNode, session: KidneySession) -> None:
        """Takes over a session that was begun elsewhere and is shown."""
        state = kidney.state_of(segmentation_node)
        self._entries[segmentation_node.GetID()] = _Entry(state, session, session.points)

    def update(self, segmentation_node: slicer.vtkMRMLSegmentationNode, preview: bool = False) -> KidneySegmentation:
        """Makes the shape honour the points in the scene as they are now.

        Args:
            preview: not a step that can be undone, for while a point is dragged.

        Raises:
            CorrectionError: they cannot be honoured; unless in a preview, points and shape are put back as they were.
        """
        entry, points = self._entry(segmentation_node), kidney.points_of(segmentation_node)
        try:
            if preview:
                result = entry.session.found.corrected(points)
            elif same(points, entry.session.points):
                result = entry.session.result
            else:
                result = entry.session.change(points)
        except CorrectionError:
            if not preview:
                kidney.place_points(segmentation_node, entry.session.points)
                entry.show(segmentation_node, entry.session.result)
            raise
        entry.show(segmentation_node, result)
        return result

    def step(
        self,
        segmentation_node: slicer.vtkMRMLSegmentationNode,
        change: Callable[[KidneySession], KidneySegmentation],
    ) -> KidneySegmentation:
        """`KidneySession.undo` or `KidneySession.redo`, in the scene too."""
        entry = self._entry(segmentation_node)
        result = change(entry.session)
        kidney.place_points(segmentation_node, entry.session.points)
        entry.show(segmentation_node, result)
        return result

    def _entry(self, segmentation_node: slicer.vtkMRMLSegmentationNode) -> _Entry:
        kidney.follow(segmentation_node)
        state = kidney.state_of(segmentation_node)
        entry = self._entries.get(segmentation_node.GetID())
        if entry is None or entry.state != state:
            session = _begun(kidney.found_of(segmentation_node), kidney.points_of(segmentation_node))
            entry = self._entries[segmentation_node.GetID()] = _Entry(state, session, None)
        return entry


@dataclass
class _Entry:
    """state: what the session rests on. shown: the points of the shape that is shown; None where that is not known."""

    state: tuple
    session: KidneySession
    shown: Points | None

    def show(self, segmentation_node: slicer.vtkMRMLSegmentationNode, result: KidneySegmentation) -> None:
        if self.shown is None or not same(self.shown, result.points):
            kidney.show(segmentation_node, result)
            self.shown = result.points


def _begun(found: FoundKidney, points: Points) -> KidneySession:
    """With all points, as a rule; else with those that can be honoured with the ones before them."""
    try:
        return KidneySession(found, points)
    except CorrectionError:
        honoured = Points()
    for point in points:
        more = Points((*honoured.points, point))
        try:
            found.corrected(more)
        except CorrectionError:
            continue
        honoured = more
    return KidneySession(found, honoured)


def same(a: Points, b: Points) -> bool:
    """Whether two sets of points are the same, but for the rounding of transforms."""
    return a.inside.tolist() == b.inside.tolist() and np.allclose(a.ras_mm, b.ras_mm, rtol=0, atol=1e-6)
