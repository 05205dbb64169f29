"""Correction points: where the user says "this is kidney" or "this is not", and the way back and forth between sets."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ..words import _


class CorrectionError(ValueError):
    """Points that cannot be honoured; the message names them and says why."""


@dataclass(frozen=True, order=True)
class Point:
    """A place in RAS mm, inside the kidney or outside of it."""

    ras_mm: tuple[float, float, float]
    inside: bool

    def __str__(self) -> str:
        r, a, s = self.ras_mm
        place = _("inside at R {r}, A {a}, S {s} mm") if self.inside else _("outside at R {r}, A {a}, S {s} mm")
        return place.format(r=f"{r:.1f}", a=f"{a:.1f}", s=f"{s:.1f}")


@dataclass(frozen=True)
class Points:
    """A set of correction points; every change gives a new one.

    Points are called by their number, counted from 1 in the order in which they were added.
    """

    points: tuple[Point, ...] = ()

    def __len__(self) -> int:
        return len(self.points)

    def __iter__(self):
        return iter(self.points)

    @property
    def ras_mm(self) -> np.ndarray:
        """(n, 3) float64 positions."""
        return np.array([point.ras_mm for point in self.points], float).reshape(-1, 3)

    @property
    def inside(self) -> np.ndarray:
        """(n,) bool."""
        return np.array([point.inside for point in self.points], bool)

    def add_inside(self, ras_mm) -> Points:
        """With one more point that the kidney contains."""
        return Points((*self.points, Point(_position(ras_mm), True)))

    def add_outside(self, ras_mm) -> Points:
        """With one more point that the kidney does not contain."""
        return Points((*self.points, Point(_position(ras_mm), False)))

    def move(self, number: int, ras_mm) -> Points:
        """With a point at another place, on the same side."""
        i = self._index(number)
        return Points((*self.points[:i], replace(self.points[i], ras_mm=_position(ras_mm)), *self.points[i + 1 :]))

    def remove(self, number: int) -> Points:
        """Without a point; those after it move up by one."""
        i = self._index(number)
        return Points((*self.points[:i], *self.points[i + 1 :]))

    def name(self, index: int) -> str:
        """What messages call the point at this index (from 0)."""
        return _("point {number} ({place})").format(number=index + 1, place=self.points[index])

    def _index(self, number: int) -> int:
        if not 1 <= number <= len(self.points):
            raise CorrectionError(
                _("There is no point {number}; there are {count}, counted from 1.").format(
                    number=number, count=len(self.points)
                )
            )
        return number - 1


@dataclass(frozen=True)
class History:
    """Sets of points that were, is and will be again: undo and redo as a value."""

    now: Points = Points()
    past: tuple[Points, ...] = ()
    future: tuple[Points, ...] = ()

    def change(self, points: Points) -> History:
        """After a change to `points`; what was undone is forgotten."""
        return History(points, (*self.past, self.now), ())

    def undo(self) -> History:
        """Before the last change; the same if there was none."""
        if not self.past:
            return self
        return History(self.past[-1], self.past[:-1], (self.now, *self.future))

    def redo(self) -> History:
        """After the change undone last; the same if there is none."""
        if not self.future:
            return self
        return History(self.future[0], (*self.past, self.now), self.future[1:])


def _position(ras_mm) -> tuple[float, float, float]:
    try:
        r, a, s = (float(x) for x in ras_mm)
    except (TypeError, ValueError):
        raise CorrectionError(
            _("A point is three numbers, R, A and S in mm; given is {given}.").format(given=repr(ras_mm))
        ) from None
    if not np.isfinite([r, a, s]).all():
        raise CorrectionError(_("A point needs finite coordinates; given is ({r}, {a}, {s}).").format(r=r, a=a, s=s))
    return r, a, s
