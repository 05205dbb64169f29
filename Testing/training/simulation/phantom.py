"""A small anatomy for tests: a liver ellipsoid and a spinal canal in a cylinder of muscle, in known places."""

import numpy as np

from training.simulation.anatomy import Landmarks
from training.simulation.tissues import LABEL


class Phantom:
    """A cylinder of muscle 300 x 200 mm along S from -900 to 900, canal behind, liver on the right, brain on top."""

    name = "phantom"
    box_mm = np.array([[-150.0, -100.0, -900.0], [150.0, 100.0, 900.0]])
    landmarks = Landmarks(
        {"legs/pelvis": -100.0, "pelvis/abdomen": 100.0, "abdomen/chest": 300.0, "chest/head": 500.0},
        {"liver": (60.0, 0.0, 240.0), "brain": (0.0, 0.0, 800.0), "knee_left": (-60.0, 0.0, -500.0)},
        np.column_stack([np.zeros(50), np.full(50, -70.0), np.linspace(-50, 700, 50)]),
    )

    def labels_at(self, points_mm: np.ndarray) -> np.ndarray:
        r, a, s = np.moveaxis(np.asarray(points_mm), -1, 0)
        labels = np.zeros(r.shape, np.uint8)
        labels[(r**2 / 150**2 + a**2 / 100**2 < 1) & (np.abs(s) < 900)] = LABEL["muscle"]
        labels[((r - 60) ** 2 + a**2 + (s - 240) ** 2) < 60**2] = LABEL["liver"]
        labels[(r**2 + a**2 + (s - 800) ** 2) < 70**2] = LABEL["brain"]
        labels[(r**2 + (a + 70) ** 2 < 10**2) & (np.abs(s - 325) < 375)] = LABEL["csf"]
        return labels
