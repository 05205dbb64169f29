"""Volumes of the scene classified one after the other in another process, while the scene may change.

Driven as `BackgroundTask` is, by a window's timer or a plain loop.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import slicer

from ..background import BackgroundTask, Status, TaskError
from ..bundle import find_bundle, read_manifest
from ..fieldofview.classification import Classification
from ..image import Image, ImageError
from ..worker import classified_slices, classify_request
from .scene import is_in_scene
from .volumes import NodeError, image_of


@dataclass(frozen=True, eq=False)
class Outcome:
    """What became of a volume. classification: None if it failed, and `error` says why. warnings: for the user."""

    volume_node: slicer.vtkMRMLScalarVolumeNode
    classification: Classification | None = None
    error: str = ""
    warnings: tuple[str, ...] = ()


class VolumesTask:
    """The volumes given, one after the other.

    A volume that leaves the scene is passed over, and what was being computed for it is thrown away.

    Args:
        show: called with each volume and its answer as soon as it is there; a ValueError of its becomes the outcome.

    Attributes:
        outcomes: of the volumes that are finished, in order.
    """

    def __init__(self, show: Callable[[slicer.vtkMRMLScalarVolumeNode, Classification], object]):
        self._show = show
        self._task = BackgroundTask()
        self._image: Image | None = None  # what is being classified
        self._state = "idle"
        self._at = 0
        self.outcomes: list[Outcome] = []

    def start(self, volume_nodes: Iterable[slicer.vtkMRMLScalarVolumeNode], model: str) -> None:
        """Begins; what was running is cancelled. Raises BundleError if there is no such model."""
        self.cancel()
        _, self._sha256 = read_manifest(find_bundle(model))
        self._model, self._volumes = model, list(volume_nodes)
        self._state, self._at, self._image, self.outcomes = "running", 0, None, []

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
        """Stops it; the outcomes so far stay. Nothing happens where nothing is running."""
        if self._state == "running":
            self._task.cancel()
            self._state = "cancelled"

    def _begin(self, volume: slicer.vtkMRMLScalarVolumeNode) -> None:
        try:
            self._image = image_of(volume)
        except (NodeError, ImageError) as error:
            self._next(Outcome(volume, error=str(error)))
        else:
            self._task.start(classify_request(self._image, model=self._model))

    def _finish(self, volume: slicer.vtkMRMLScalarVolumeNode) -> None:
        try:
            answer = self._task.answer()
            slices = classified_slices(self._image, answer)
            classification = Classification(slices, self._image.ijk_to_ras, self._model, self._sha256, {})
            self._show(volume, classification)
        except (TaskError, ValueError) as error:
            self._next(Outcome(volume, error=str(error)))
        else:
            self._next(Outcome(volume, classification, warnings=answer.warnings))

    def _next(self, outcome: Outcome | None = None) -> None:
        self._task.cancel()
        self._image = None
        self._at += 1
        if outcome is not None:
            self.outcomes.append(outcome)

    def _running(self, fraction: float, text: str) -> Status:
        count = len(self._volumes)
        if count > 1 and self._at < count:
            text = ": ".join(filter(None, (f"{self._at + 1} of {count}", self._volumes[self._at].GetName(), text)))
        return Status("running", (self._at + fraction) / count, text)
