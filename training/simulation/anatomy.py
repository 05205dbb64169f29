"""What a simulated scan images: an anatomy tells the tissue at any point in space and knows where its regions are.

The regions are those of Bertrand's thesis (2019, section 2.6) with boundaries that a radiologist can point at:

====================  =============================================
boundary              position along S (going up, the region above)
====================  =============================================
legs/pelvis           lower edge of the ischia (hip bones)
pelvis/abdomen        top of the iliac crests
abdomen/chest         top of the liver (dome of the right diaphragm)
chest/head            lower edge of the vertebra C7: the neck belongs to the head
====================  =============================================

All positions are RAS millimetres, growing to the patient's Right, Anterior and Superior side: the liver lies at
positive R, the apex of the heart at negative R.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from SlicerHPOLib.fieldofview.regions import BODY

BOUNDARIES = tuple(f"{below}/{above}" for below, above in itertools.pairwise(BODY))


@dataclass(frozen=True, eq=False)
class Landmarks:
    """Where the regions, the targets of a scan and the spinal canal of an anatomy are.

    Args:
        boundaries_mm: S of the region boundaries ("legs/pelvis", ...) that lie within the anatomy or at an end of it.
            They name one unbroken run of regions: an anatomy that shows chest and pelvis shows the abdomen too.
        sites_mm: centres (R, A, S) of what a scan is aimed at, such as "brain", "liver" or "knee_left".
        canal_mm: (M, 3) centre line of the spinal canal, inferior to superior; (0, 3) if there is none.
        only: the region of an anatomy without any boundary, such as a head cut above C7.

    Raises:
        ValueError: an unknown, missing or misordered boundary, or an array of the wrong shape.
    """

    boundaries_mm: dict[str, float]
    sites_mm: dict[str, tuple[float, float, float]] = field(default_factory=dict)
    canal_mm: np.ndarray = field(default_factory=lambda: np.zeros((0, 3)))
    only: str | None = None

    def __post_init__(self):
        unknown = sorted(set(self.boundaries_mm) - set(BOUNDARIES))
        if unknown:
            raise ValueError(f"unknown region boundaries {unknown}; expected some of {list(BOUNDARIES)}")
        if not self.boundaries_mm and self.only not in BODY:
            raise ValueError(f"an anatomy without boundaries must be one region of {BODY}, not {self.only!r}")
        present = [BOUNDARIES.index(name) for name in self._ordered()]
        if present != list(range(min(present, default=0), max(present, default=-1) + 1)):
            raise ValueError(f"the boundaries {self._ordered()} skip a region; name every boundary in between")
        heights = [self.boundaries_mm[name] for name in self._ordered()]
        if any(low >= high for low, high in itertools.pairwise(heights)):
            raise ValueError(f"the boundaries {self.boundaries_mm} are not in inferior-to-superior order along S")
        if np.ndim(self.canal_mm) != 2 or np.shape(self.canal_mm)[1] != 3:
            raise ValueError(f"canal_mm has shape {np.shape(self.canal_mm)}; expected (points, 3)")

    def _ordered(self) -> list[str]:
        return [name for name in BOUNDARIES if name in self.boundaries_mm]

    def region_at(self, s_mm: float) -> str:
        """Name of the body region at height `s_mm`; a boundary itself belongs to the region above it."""
        names = self._ordered()
        if not names:
            return self.only
        region = names[0].split("/")[0]
        for name in names:
            if s_mm >= self.boundaries_mm[name]:
                region = name.split("/")[1]
        return region


class Anatomy(Protocol):
    """Anything that can be imaged.

    Attributes:
        name: short name for titles and logs.
        landmarks: regions, targets and canal.
        box_mm: (2, 3) lowest and highest (R, A, S) corner of the box that holds the body.
    """

    name: str
    landmarks: Landmarks
    box_mm: np.ndarray

    def labels_at(self, points_mm: np.ndarray) -> np.ndarray:
        """Tissue labels (uint8, (...)) at `points_mm` (float32, (..., 3), RAS mm); 0 (air) outside the body."""
        ...
