"""The correction of kidneys in the scene by their points, step by step, with undo and redo."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import slicer

from ..kidney.points import CorrectionError, Points
from ..kidney.segmentation import KidneySegmentation
from ..kidney.session import KidneySession
from . import kidney


class KidneyCorrections:
    """The sessions of segmentation nodes. They are begun where there is none: after a reload, or when the volume was
    moved.

    All methods raise NodeError if the volume or what was found in it is gone.
    """

    def __init__(self):
        self._sessions: dict[str, tuple[tuple, KidneySession]] = {}  # by ID: what it rests on, session

    def session(self, segmentation_node: slicer.vtkMRMLSegmentationNode) -> KidneySession:
        """The session of a segmentation. Raises CorrectionError if it is new and a point cannot be honoured."""
        state = kidney.state_of(segmentation_node)
        known, session = self._sessions.get(segmentation_node.GetID(), (None, None))
        if known != state:
            session = kidney.session_of(segmentation_node)
            self.keep(segmentation_node, session)
        return session

    def keep(self, segmentation_node: slicer.vtkMRMLSegmentationNode, session: KidneySession) -> None:
        """Takes over a session that was begun elsewhere."""
        self._sessions[segmentation_node.GetID()] = kidney.state_of(segmentation_node), session

    def update(self, segmentation_node: slicer.vtkMRMLSegmentationNode, preview: bool = False) -> KidneySegmentation:
        """Makes the shape honour the points in the scene as they are now.

        Args:
            preview: not a step that can be undone, for while a point is dragged.

        Raises:
            CorrectionError: they cannot be honoured; unless in a preview, points and shape are put back as they were.
        """
        session, points = self.session(segmentation_node), kidney.points_of(segmentation_node)
        try:
            if preview:
                result = session.found.corrected(points)
            else:
                result = session.result if same(points, session.points) else session.change(points)
        except CorrectionError:
            if not preview:
                kidney.place_points(segmentation_node, session.points)
                kidney.show(segmentation_node, session.result)
            raise
        kidney.show(segmentation_node, result)
        return result

    def step(
        self,
        segmentation_node: slicer.vtkMRMLSegmentationNode,
        change: Callable[[KidneySession], KidneySegmentation],
    ) -> KidneySegmentation:
        """`KidneySession.undo` or `KidneySession.redo`, in the scene too."""
        session = self.session(segmentation_node)
        result = change(session)
        kidney.place_points(segmentation_node, session.points)
        kidney.show(segmentation_node, result)
        return result


def same(a: Points, b: Points) -> bool:
    """Whether two sets of points are the same, but for the rounding of transforms."""
    return a.inside.tolist() == b.inside.tolist() and np.allclose(a.ras_mm, b.ras_mm, rtol=0, atol=1e-6)
