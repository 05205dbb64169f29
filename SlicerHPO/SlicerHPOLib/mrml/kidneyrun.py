"""One segmentation of a kidney: from a volume node, by another process, to a segmentation node."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np
import slicer
from slicer.i18n import tr as _

from ..background import BackgroundTask, Status, TaskError
from ..bundle import find_bundle, read_manifest
from ..job import Job
from ..kidney.points import Points
from ..kidney.request import AUTO
from ..kidney.segmenter import TASK, check_request
from ..kidney.session import KidneySession
from ..worker import found_kidney, segment_request
from . import kidney, volumes
from .kidneyfound import Origin
from .scene import is_in_scene, unchanged_on_failure
from .translation import translated
from .volumes import NodeError, image_of, to_world, unchecked_image_of


def why_not(volume_node: slicer.vtkMRMLScalarVolumeNode | None, method: str, seed_point_mm, population: str) -> str:
    """Why a `KidneyRun` could not begin, for the user, or ""; looks at no voxels."""
    if why := volumes.why_not(volume_node):
        return why
    try:
        check_request(unchecked_image_of(volume_node), method, seed_point_mm, population)
    except ValueError as error:
        return translated(error)
    return ""


class KidneyRun:
    """A segmentation that has begun; call `poll` until it has ended, or `wait`, and then `finish`.

    Args:
        volume_node: under any linear transforms.
        method, population, seed_point_mm: see `KidneySegmenter.segment`; the seed point lies in the world.
        model: name of a deployed model or its folder.
        side: "left", "right", or "" where it is not known.
        segmentation_node: where the result goes; points that it has stay if they are of the same volume. None: a new
            one.

    Raises:
        NodeError, ImageError: no volume, or none that can be segmented.
        SegmentationError, BundleError: method, population, seed point or model are of no use.
    """

    def __init__(
        self,
        volume_node: slicer.vtkMRMLScalarVolumeNode,
        method: str,
        *,
        model: str = TASK,
        population: str = AUTO,
        seed_point_mm: Sequence[float] | None = None,
        side: str = "",
        segmentation_node: slicer.vtkMRMLSegmentationNode | None = None,
    ):
        if side not in kidney.SEGMENTS:
            raise NodeError(_('The side is {side}; expected is "left", "right" or "".').format(side=repr(side)))
        self.volume_node, self._image, self._side = volume_node, image_of(volume_node), side
        check_request(self._image, method, seed_point_mm, population)
        manifest, sha256 = read_manifest(find_bundle(model))
        self._origin, self._segmentation_node = Origin(manifest["name"], sha256, population), segmentation_node
        asked = {"method": method, "population": population, "seed_point_mm": seed_point_mm}
        self._task = BackgroundTask()
        self._task.start(segment_request(self._image, model=str(model), **asked))

    def poll(self) -> Status:
        """How far it is; without its volume it is cancelled."""
        if not is_in_scene(self.volume_node):
            self.cancel()
            return Status("cancelled", 0.0, _("The volume was removed: its segmentation was cancelled."))
        return self._task.poll()

    def wait(self, job: Job) -> None:
        """Until it has ended. Raises `TaskError`, or `Cancelled` by the job."""
        self._task.wait(job)

    def cancel(self) -> None:
        """Stops it; nothing happens if it has ended."""
        self._task.cancel()

    def finish(self) -> tuple[slicer.vtkMRMLSegmentationNode, KidneySession, tuple[str, ...]]:
        """Puts the answer into the scene, but for its measures.

        Returns:
            The segmentation node, what its points correct, and what the user should know about the way there.

        Raises:
            TaskError: there is no answer; the message says why.
            NodeError: the volume was removed or moved meanwhile.
            SegmentationError, CorrectionError: there is no kidney, or its points cannot be honoured. As always, the
                scene is as it was then.
        """
        try:
            answer = self._task.answer()
        except TaskError as error:
            logging.error("%s\n%s", error, error.log)
            raise
        volume_node, node = self.volume_node, self._segmentation_node
        if not is_in_scene(volume_node):
            raise NodeError(_("The volume was removed from the scene while it was segmented."))
        if not np.array_equal(unchecked_image_of(volume_node).ijk_to_ras, self._image.ijk_to_ras):
            raise NodeError(_("The volume was moved while it was segmented: segment it again."))
        node = node if is_in_scene(node) else None
        points = kidney.points_of(node) if kidney.is_of(node, volume_node) else Points()
        session = KidneySession(found_kidney(self._image, answer), points)
        with unchanged_on_failure():
            node = kidney.add_kidney(volume_node, session.found, to_world(volume_node), self._origin, node)
            kidney.show(node, session.result)
            kidney.set_side(node, self._side)
        return node, session, answer.warnings
