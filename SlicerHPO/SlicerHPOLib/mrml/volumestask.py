"""Volumes of the scene classified one after the other in another process, while the scene may change.

Driven as `BackgroundTask` is, by a window's timer or a plain loop.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import slicer
from slicer.i18n import tr as _

from .. import __version__
from ..background import BackgroundTask, Status, TaskError, wait_for
from ..batch import check_fixed
from ..bundle import find_bundle, read_manifest
from ..fieldofview.classification import Classification
from ..image import Image, ImageError
from ..job import Job
from ..results import Result
from ..worker import classified_slices, classify_request
from .fieldofview import boundaries_set_in
from .scene import is_in_scene
from .translation import translated
from .volumes import NodeError, image_of


class VolumesTask:
    """The volumes given, one after the other.

    A volume that leaves the scene is passed over, and what was being computed for it is thrown away.

    Args:
        show: called with each volume and its answer as soon as it is there; a ValueError that it raises counts as the
            volume's.

    Attributes:
        results: of the volumes that are finished, in order; those that could not be classified say why.
        result_nodes: the volumes that these are about.
        warnings: what the user should know about the way there.
    """

    def __init__(self, show: Callable[[slicer.vtkMRMLScalarVolumeNode, Classification], object]):
        self._show = show
        self._task = BackgroundTask()
        self._image: Image | None = None  # what is being classified
        self._state = "idle"
        self._at = 0
        self.results: list[Result] = []
        self.result_nodes: list[slicer.vtkMRMLScalarVolumeNode] = []
        self.warnings: tuple[str, ...] = ()

    def start(
        self,
        volume_nodes: Iterable[slicer.vtkMRMLScalarVolumeNode],
        model: str,
        fixed: Mapping[str, float] | None = None,
    ) -> None:
        """Begins; what was running is cancelled.

        Args:
            model: a model's name or folder.
            fixed: boundaries that are known, mm along S, for every volume. None: those stay that the user set in a
                volume, if it still lies where it did.

        Raises:
            BundleError: there is no such model. BatchError: there is no such boundary.
        """
        self.cancel()
        self._fixed = None if fixed is None else check_fixed(fixed)
        manifest, self._sha256 = read_manifest(find_bundle(model))
        self._model, self._name, self._volumes = model, manifest["name"], list(volume_nodes)
        self._state, self._at, self._image = "running", 0, None
        self.results, self.result_nodes, self.warnings = [], [], ()

    def poll(self) -> Status:
        """How far it is. In it, finished volumes are handed to `show`, and the next begins."""
        if self._state == "running" and self._at == len(self._volumes):
            self._state = "done"
        if self._state != "running":
            return Status(self._state, float(self._state == "done"))
        volume = self._volumes[self._at]
        if not is_in_scene(volume):
            self._next()
        elif self._image is None:
            self._begin(volume)
        else:
            status = self._task.poll()
            if status.state == "running":
                return self._running(status.fraction, status.text)
            self._finish(volume)
        return self._running(0.0, "")

    def cancel(self) -> None:
        """Stops it; the results so far stay. Nothing happens where nothing is running."""
        if self._state == "running":
            self._task.cancel()
            self._state = "cancelled"

    def wait(self, job: Job = Job()) -> list[Result]:
        """The results when all are there. Raises `Cancelled` by the job."""
        wait_for(self, job)
        return self.results

    def _begin(self, volume: slicer.vtkMRMLScalarVolumeNode) -> None:
        try:
            self._image = image_of(volume)
        except (NodeError, ImageError) as error:
            self._next(self._failure(volume, error))
        else:
            self._task.start(classify_request(self._image, model=self._model))

    def _finish(self, volume: slicer.vtkMRMLScalarVolumeNode) -> None:
        try:
            answer = self._task.answer()
            slices = classified_slices(self._image, answer)
            fixed, note = self._boundaries(volume)
            classification = Classification(slices, self._image.ijk_to_ras, self._name, self._sha256, fixed)
            self._show(volume, classification)
        except (TaskError, ValueError) as error:
            self._next(self._failure(volume, error))
        else:
            self.warnings = tuple(dict.fromkeys((*self.warnings, *answer.warnings, *note)))
            self._next(classification.result(volume.GetName()))

    def _boundaries(self, volume: slicer.vtkMRMLScalarVolumeNode) -> tuple[dict[str, float], tuple[str, ...]]:
        """What is fixed in this volume, and what the user should know about that."""
        if self._fixed is not None:
            return self._fixed, ()
        fixed, in_place = boundaries_set_in(volume)
        if in_place or not fixed:
            return fixed, ()
        note = _("{name} was moved after you had set boundaries in it: the network has decided them again.")
        return {}, (note.format(name=volume.GetName()),)

    def _next(self, result: Result | None = None) -> None:
        self._task.cancel()
        self._image = None
        if result is not None:
            self.results.append(result)
            self.result_nodes.append(self._volumes[self._at])
        self._at += 1

    def _failure(self, volume: slicer.vtkMRMLScalarVolumeNode, error: Exception) -> Result:
        software = f"SlicerHPO {__version__}"
        return Result(
            volume.GetName(),
            None,
            None,
            0,
            "",
            self._model,
            self._sha256,
            software,
            dict(self._fixed or {}),
            error=str(error),
        )

    def _running(self, fraction: float, text: str) -> Status:
        count = len(self._volumes)
        if count > 1 and self._at < count:
            number = _("{number} of {count}").format(number=self._at + 1, count=count)
            text = ": ".join(filter(None, (number, self._volumes[self._at].GetName(), translated(text))))
        return Status("running", (self._at + fraction) / count, text)
