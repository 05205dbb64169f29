"""A volume node and an answer for it, made up without a network: regions of equal length, from the feet up."""

import numpy as np


def a_volume(scene=None, name="scan", tilt_degrees=0.0, left_handed=False):
    """10 x 12 x 60 voxels of 4 x 4 x 5 mm whose middle is at S = 50 mm; its k axis leans from S towards A."""
    from SlicerHPOLib.image import Image
    from SlicerHPOLib.mrml.volumes import volume_node_of

    voxels = np.arange(60 * 12 * 10, dtype=np.int16).reshape(60, 12, 10)
    c, s = np.cos(np.radians(tilt_degrees)), np.sin(np.radians(tilt_degrees))
    matrix = np.array([[1, 0, 0, 0], [0, c, s, 0], [0, -s, c, 0], [0, 0, 0, 1.0]]) @ np.diag([4.0, 4.0, 5.0, 1.0])
    if left_handed:
        matrix = matrix @ np.diag([-1.0, 1, 1, 1])
    matrix[:3, 3] = np.array([0, 0, 50.0]) - matrix[:3, :3] @ ((np.array([10, 12, 60]) - 1) / 2)
    return volume_node_of(Image(voxels, matrix), name)


def slice_arrays(shown=("pelvis", "abdomen", "chest"), low=-100.0, high=200.0):
    """What the network could have read off `a_volume`: 60 slices from S = -100 to 200 mm, all with tissue."""
    from SlicerHPOLib.fieldofview.regions import CLASSES

    labels = np.repeat([CLASSES.index(name) for name in shown], 60 // len(shown))
    probabilities = np.full((60, len(CLASSES)), 0.02)
    probabilities[np.arange(60), labels] = 0.9
    positions = low + (high - low) / 60 * (0.5 + np.arange(60))
    return {"positions_mm": positions, "tissue": np.ones(60, bool), "probabilities": probabilities}


def a_classification(volume_node, shown=("pelvis", "abdomen", "chest")):
    """The answer for `a_volume`."""
    from SlicerHPOLib.fieldofview.classification import Classification, ClassifiedSlices
    from SlicerHPOLib.fieldofview.regions import DecisionModel
    from SlicerHPOLib.mrml.volumes import unchecked_image_of

    read = ClassifiedSlices(**slice_arrays(shown), model=DecisionModel(min_length_mm=20), name="scan")
    return Classification(read, unchecked_image_of(volume_node).ijk_to_ras, "mr-field-of-view", "0123", {})


class QuickTask:
    """In the place of `BackgroundTask`: after some polls pelvis, abdomen and chest, a third each, or an error.

    Attributes:
        polls: how often it says that it runs; None for ever. failure: message of the error. warnings: of the answer.
        running: those that were started and neither ended nor were cancelled.
    """

    polls, failure, warnings = 2, "", ()
    running = []  # noqa: RUF012

    def start(self, request):
        self._request, self._left, self._state = request, self.polls, "running"
        self.running.append(self)

    def poll(self):
        from SlicerHPOLib.background import Status

        if self._state == "running" and self._left == 0:
            self._end("failed" if self.failure else "done")
        elif self._left:
            self._left -= 1
        return Status(self._state, 0.5, "classifying slices")

    def answer(self):
        from dataclasses import asdict

        from SlicerHPOLib.background import TaskError
        from SlicerHPOLib.fieldofview.regions import DecisionModel
        from SlicerHPOLib.worker import Answer

        if self.failure:
            raise TaskError(self.failure)
        image = self._request.image
        corners = np.array(np.meshgrid(*[(-0.5, n - 0.5) for n in image.shape[::-1]])).reshape(3, 8).T
        s = image.ras_of(corners)[:, 2]
        arrays = slice_arrays(low=s.min(), high=s.max())
        return Answer({"decision": asdict(DecisionModel(min_length_mm=20))}, arrays, self.warnings)

    def cancel(self):
        if getattr(self, "_state", "") == "running":
            self._end("cancelled")

    def _end(self, state):
        self._state = state
        self.running.remove(self)
