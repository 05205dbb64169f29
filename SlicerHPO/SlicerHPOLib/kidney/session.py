"""The kidney that was found in a volume, and its correction by points, as often as wanted.

Needs no network: what a method found may come from another process or from a saved scene. All points are always
applied to what was found first, so that undoing, redoing or removing a point gives to the last bit what was there
before. What cannot be done raises an error and changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from ..image import Image
from ..words import _, packed, unpacked
from .corrections import Corrector
from .grid import Grid, field_of_view, to_grid
from .points import History, Points
from .segmentation import (
    KidneySegmentation,
    SegmentationError,
    border_warning,
    check_voxels,
    nothing_found,
    unseen_warning,
)

NO_POINTS = Points()
_DESCRIBED = ("method", "confidence", "least_jacobian", "note", "population")


@dataclass(frozen=True, eq=False)
class FoundKidney:
    """What a method found in a volume, before any correction.

    Attributes:
        image: what was segmented. grid: the working grid.
        method, confidence, least_jacobian, population: see `KidneySegmentation`.
        phi: (k, j, i) float32 on the grid, mm, positive inside one piece.
        note: why it may be wrong, or None.
        modes: (M, k, j, i) change of phi, mm, by one standard deviation of each of the template's modes as they were
            posed with it; None without a template.
    """

    image: Image
    grid: Grid
    method: str
    phi: np.ndarray
    confidence: float
    least_jacobian: float
    note: str | None
    modes: np.ndarray | None = None
    population: str | None = None

    @property
    def description(self) -> dict[str, Any]:
        """What is neither image nor array, as JSON values."""
        return {**{name: getattr(self, name) for name in _DESCRIBED}, "note": packed(self.note)}

    @property
    def arrays(self) -> dict[str, np.ndarray]:
        """What is neither image nor described: phi, modes and ijk_to_ras of the grid."""
        modes = {} if self.modes is None else {"modes": self.modes}
        return {"phi": self.phi, "ijk_to_ras": self.grid.ijk_to_ras, **modes}

    @classmethod
    def restored(cls, image: Image, description: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> FoundKidney:
        """From what `description` and `arrays` gave, and the image. Raises SegmentationError if they are not that."""
        described = {"population": None, **description}  # scenes that were saved before there were any lack it
        try:
            method, confidence, least_jacobian, note, population = (described[name] for name in _DESCRIBED)
            phi, matrix, modes = arrays["phi"], arrays["ijk_to_ras"], arrays.get("modes")
        except KeyError as error:
            raise SegmentationError(
                _("Of a found kidney, {error} is missing. Segment the volume again.").format(error=error)
            ) from None
        grid, numbers = Grid(np.asarray(matrix, float), phi.shape), (float(confidence), float(least_jacobian))
        return cls(image, grid, method, phi, *numbers, unpacked(note), modes, population)

    @cached_property
    def corrector(self) -> Corrector:
        """What honours points on it."""
        return Corrector(self.phi, self.grid, self.image, modes=self.modes)  # half a second, so when it is needed

    @cached_property
    def seen(self) -> np.ndarray:
        """(k, j, i) bool on the grid: the field of view."""
        return field_of_view(to_grid(self.image, self.grid))

    def corrected(self, points: Points) -> KidneySegmentation:
        """With all points honoured, in their voxels too. Raises `CorrectionError`."""
        phi, norm, least_jacobian, notes = self.phi, 0.0, self.least_jacobian, [self.note]
        if len(points):
            correction = self.corrector(points)
            phi, norm = correction.phi, correction.norm
            least_jacobian = min(least_jacobian, correction.min_jacobian)
            notes.append(correction.warning)
        notes += [border_warning(phi, self.grid, self.image), unseen_warning(phi, self.seen)]
        warnings = tuple(note for note in notes if note)
        result = KidneySegmentation(
            self.image,
            self.grid,
            self.method,
            phi,
            self.confidence,
            warnings,
            points,
            norm,
            least_jacobian,
            self.population,
        )
        check_voxels(result)
        return result


class KidneySession:
    """A found kidney and its correction points. Results are immutable.

    Args:
        found: what the points correct. points: to begin with; undoing does not go behind them.

    Raises:
        SegmentationError: the volume's own voxels show none of it.
        CorrectionError: a point cannot be honoured.
    """

    def __init__(self, found: FoundKidney, points: Points = NO_POINTS):
        self.found = found
        self._history, self._result = History(points), found.corrected(points)
        if not self._result.mask.any():
            raise nothing_found(found.method)

    @property
    def result(self) -> KidneySegmentation:
        """The answer as it is now."""
        return self._result

    @property
    def points(self) -> Points:
        """The correction points as they are now."""
        return self._history.now

    @property
    def can_undo(self) -> bool:
        """Whether there is a change to undo."""
        return bool(self._history.past)

    @property
    def can_redo(self) -> bool:
        """Whether there is an undone change to do again."""
        return bool(self._history.future)

    def change(self, points: Points) -> KidneySegmentation:
        """With another set of points. This and what follows raise `CorrectionError` for points that cannot be
        honoured; nothing has changed then."""
        return self._go(self._history.change(points))

    def add_inside(self, ras_mm) -> KidneySegmentation:
        """With a point (R, A, S) in mm that the kidney contains."""
        return self.change(self.points.add_inside(ras_mm))

    def add_outside(self, ras_mm) -> KidneySegmentation:
        """With a point that the kidney does not contain."""
        return self.change(self.points.add_outside(ras_mm))

    def move(self, number: int, ras_mm) -> KidneySegmentation:
        """With a point, counted from 1, at another place."""
        return self.change(self.points.move(number, ras_mm))

    def remove(self, number: int) -> KidneySegmentation:
        """Without a point, counted from 1."""
        return self.change(self.points.remove(number))

    def undo(self) -> KidneySegmentation:
        """Before the last change; the same if there was none."""
        return self._go(self._history.undo())

    def redo(self) -> KidneySegmentation:
        """After the change undone last; the same if there is none."""
        return self._go(self._history.redo())

    def _go(self, history: History) -> KidneySegmentation:
        if history is not self._history:
            result = self.found.corrected(history.now)
            self._history, self._result = history, result
        return self._result
