"""Implicit shapes and the tree of parts that paints a body from them.

A shape is a predicate on points with a bounding box; it has no grid, so an anatomy can be imaged at any resolution. A
`Part` gives a shape a tissue and the parts inside it. Parts are painted in order, a child only where its parent is: the
lung cannot leave the chest, and the points tested get fewer at each level, which is where the speed comes from.

Coordinates come as three separate float32 arrays (r, a, s) of one dimension, in millimetres.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

Coordinates = tuple[np.ndarray, np.ndarray, np.ndarray]

STEP_MM = 0.5  # height of one row of a loft's table


class Shape(Protocol):
    """An implicit shape: `box` (2, 3) holds it, `inside(r, a, s)` gives a mask."""

    box: np.ndarray

    def inside(self, r: np.ndarray, a: np.ndarray, s: np.ndarray) -> np.ndarray:
        """(N,) bool: which of the points (r, a, s), (N,) each, lie inside."""


class Ellipsoid(Shape):
    """Rotated (super)ellipsoid |x/rx|^p + |y/ry|^p + |z/rz|^p < 1; p = 2 is the ellipsoid, 4 is boxy.

    Args:
        center, radii: (3,) mm.
        rotation: (3, 3) whose columns are the shape's axes, or None.
        boxy: p = 4 instead of 2.
    """

    def __init__(self, center, radii, rotation: np.ndarray | None = None, *, boxy: bool = False):
        self.center = np.asarray(center, np.float32)
        radii = np.asarray(radii, np.float32)
        axes = np.eye(3, dtype=np.float32) if rotation is None else np.asarray(rotation, np.float32)
        self.matrix = (axes / radii).T  # rows: axis over radius
        self.plain = rotation is None
        self.boxy = boxy
        half = np.abs(axes) @ radii if boxy else np.sqrt((axes**2) @ radii**2)
        self.box = np.stack([self.center - half, self.center + half])

    def inside(self, r, a, s):
        r, a, s = r - self.center[0], a - self.center[1], s - self.center[2]
        total = np.zeros_like(r)
        for axis, row in enumerate(self.matrix):
            u = (r, a, s)[axis] * row[axis] if self.plain else r * row[0] + a * row[1] + s * row[2]
            u *= u
            if self.boxy:
                u *= u
            total += u
        return total < 1


class Tube(Shape):
    """Union of round cones along a polyline: bones, vessels, limbs.

    Args:
        points: (M, 3) mm; M of at least 2.
        radii: one radius or (M,) mm.
    """

    def __init__(self, points, radii):
        self.points = np.asarray(points, np.float32)
        self.radii = np.broadcast_to(np.asarray(radii, np.float32), len(self.points))
        reach = self.radii[:, None]
        self.box = np.stack([(self.points - reach).min(0), (self.points + reach).max(0)])

    def inside(self, r, a, s):
        mask = np.zeros(r.shape, bool)
        if not r.size:
            return mask
        lowest, highest = s.min(), s.max()
        for start, end, r0, r1 in zip(self.points[:-1], self.points[1:], self.radii[:-1], self.radii[1:], strict=True):
            widest = max(r0, r1)
            if min(start[2], end[2]) - widest > highest or max(start[2], end[2]) + widest < lowest:
                continue
            along = end - start
            dr, da, ds = r - start[0], a - start[1], s - start[2]
            t = (dr * along[0] + da * along[1] + ds * along[2]) / np.float32(max(along @ along, 1e-6))
            np.clip(t, 0, 1, out=t)
            dr -= t * along[0]
            da -= t * along[1]
            ds -= t * along[2]
            mask |= dr * dr + da * da + ds * ds < np.square(r0 + t * (r1 - r0))
        return mask


class Loft(Shape):
    """Stack of cross-sections along S with smooth interpolation: trunk, limbs, muscles, vertebrae, iliac wings.

    A cross-section is Fernandez Guasti's squircle u^2 + v^2 - square u^2 v^2 < 1 in the turned, scaled axes u (half
    width `wide`) and v (half depth `front` where v > 0, `back` where v < 0); `bend` moves the ends of the width by that
    many millimetres in depth.

    Args:
        sections: rows (s, r, a, wide, front, back[, square[, angle in degrees[, bend in mm]]]).
        grow: mm added to all half axes; the flat ends stay.
    """

    def __init__(self, sections: Sequence[Sequence[float]], *, grow: float = 0.0):
        rows = np.array([tuple(row) + (0.0,) * (9 - len(row)) for row in sections], np.float64)
        rows = rows[np.argsort(rows[:, 0], kind="stable")]
        heights = np.arange(rows[0, 0], rows[-1, 0] + STEP_MM, STEP_MM)
        r, a, wide, front, back, square, angle, bend = smooth_interpolation(heights, rows[:, 0], rows[:, 1:]).T
        wide, front, back = (np.maximum(half + grow, 0.3) for half in (wide, front, back))
        self.low, self.high = np.float32(rows[0, 0]), np.float32(rows[-1, 0])
        radians = np.deg2rad(angle)
        self.turned = bool(np.any(angle))
        self.bent = bool(np.any(bend))
        table = (r, a, np.cos(radians), np.sin(radians), 1 / wide, 1 / front, 1 / back, np.clip(square, 0, 1), bend)
        self.table = [np.ascontiguousarray(column, np.float32) for column in table]
        reach = np.hypot(wide, np.maximum(front, back) + np.abs(bend)) if self.turned else None
        half_r = reach if self.turned else wide
        ahead = reach if self.turned else front + np.maximum(bend, 0)
        behind = reach if self.turned else back + np.maximum(-bend, 0)
        self.box = np.array(
            [[(r - half_r).min(), (a - behind).min(), self.low], [(r + half_r).max(), (a + ahead).max(), self.high]],
            np.float32,
        )

    def inside(self, r, a, s):
        row = ((s - self.low) * np.float32(1 / STEP_MM) + np.float32(0.5)).astype(np.int32)
        np.clip(row, 0, len(self.table[0]) - 1, out=row)
        r0, a0, cos, sin, wide, front, back, square, bend = (column.take(row) for column in self.table)
        u, v = r - r0, a - a0
        if self.turned:
            u, v = u * cos + v * sin, v * cos - u * sin
        u *= wide
        u *= u
        if self.bent:
            v -= bend * np.minimum(u, 1)
        v *= np.where(v > 0, front, back)
        v *= v
        mask = u + v - square * u * v < 1
        mask &= u < 1
        mask &= v < 1
        mask &= s >= self.low
        mask &= s <= self.high
        return mask


class Formula(Shape):
    """A shape given by a function of (r, a, s) that returns the mask, inside a box (2, 3)."""

    def __init__(self, box, inside: Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]):
        self.box = np.asarray(box, np.float32)
        self.inside = inside


EVERYWHERE = np.array([[-1e6] * 3, [1e6] * 3], np.float32)


@dataclass(frozen=True, eq=False)
class Part:
    """A shape filled with a tissue label, and the parts painted inside it, in order.

    `label` None paints nothing and only groups its children.
    """

    shape: Shape
    label: int | None
    children: tuple[Part, ...] = ()


def paint(parts: Sequence[Part], r: np.ndarray, a: np.ndarray, s: np.ndarray, labels: np.ndarray) -> None:
    """Paint `parts` in order into `labels` (N,) uint8 at the points r, a, s (N,) float32."""
    _paint(parts, np.arange(len(labels)), (r, a, s), labels)


def _paint(parts, index, points: Coordinates, labels) -> None:
    if not len(index):
        return
    lowest, highest = points[2].min(), points[2].max()
    for part in parts:
        low, high = part.shape.box
        if low[2] > highest or high[2] < lowest:
            continue
        near, where = points, index
        r, a, s = points
        within = (r > low[0]) & (r < high[0]) & (a > low[1]) & (a < high[1])
        if lowest < low[2] or highest > high[2]:
            within &= (s >= low[2]) & (s <= high[2])
        chosen = np.flatnonzero(within)
        if not len(chosen):
            continue
        if len(chosen) < len(index):
            near, where = tuple(axis.take(chosen) for axis in points), index.take(chosen)
        chosen = np.flatnonzero(part.shape.inside(*near))
        if not len(chosen):
            continue
        where = where.take(chosen)
        if part.label is not None:
            labels[where] = part.label
        if part.children:
            _paint(part.children, where, tuple(axis.take(chosen) for axis in near), labels)


def smooth_interpolation(x: np.ndarray, knots: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Monotone cubic (Fritsch-Carlson) interpolation of `values` (knots, ...); linear if there are two knots."""
    values, x = np.asarray(values, np.float64), np.clip(x, knots[0], knots[-1])
    if len(knots) < 3:
        part = ((x - knots[0]) / (knots[-1] - knots[0])).reshape(-1, *[1] * (values.ndim - 1))
        return values[0] + part * (values[-1] - values[0])
    from scipy.interpolate import PchipInterpolator

    return PchipInterpolator(knots, values)(x)


def rotation(*, pitch: float = 0.0, roll: float = 0.0, yaw: float = 0.0) -> np.ndarray:
    """(3, 3) rotation by angles in degrees about R (pitch), then A (roll), then S (yaw), right-handed."""
    p, q, w = np.deg2rad([pitch, roll, yaw])
    about_r = np.array([[1, 0, 0], [0, np.cos(p), -np.sin(p)], [0, np.sin(p), np.cos(p)]])
    about_a = np.array([[np.cos(q), 0, np.sin(q)], [0, 1, 0], [-np.sin(q), 0, np.cos(q)]])
    about_s = np.array([[np.cos(w), -np.sin(w), 0], [np.sin(w), np.cos(w), 0], [0, 0, 1]])
    return about_s @ about_a @ about_r


def shifted(place, r: float, a: float, s: float) -> np.ndarray:
    """`place` (3,) moved by (r, a, s) mm."""
    return np.asarray(place, float) + np.array([r, a, s], float)


class Noise:
    """Smooth pseudo-random field of mean 0 and variance about 1/2: a sum of plane waves of random direction and phase.

    Args:
        rng: source of the waves.
        wavelength_mm: of the longest wave; the others are down to 0.6 of it.
        waves: number of waves; the amplitude does not grow with it.
    """

    def __init__(self, rng: np.random.Generator, wavelength_mm: float, waves: int = 3):
        directions = rng.normal(size=(waves, 3))
        directions /= np.linalg.norm(directions, axis=1, keepdims=True)
        lengths = wavelength_mm * rng.uniform(0.6, 1.0, (waves, 1))
        self.k = (2 * np.pi * directions / lengths).astype(np.float32)
        self.phase = rng.uniform(0, 2 * np.pi, waves).astype(np.float32)
        self.gain = np.float32(1 / np.sqrt(waves))

    def __call__(self, r: np.ndarray, a: np.ndarray, s: np.ndarray) -> np.ndarray:
        total = np.zeros_like(r)
        for (kr, ka, ks), phase in zip(self.k, self.phase, strict=True):
            total += np.sin(kr * r + ka * a + (ks * s + phase))
        return self.gain * total


def labyrinth(r: np.ndarray, a: np.ndarray, s: np.ndarray, wavelength_mm: float) -> np.ndarray:
    """Schoen's gyroid, in [-1.5, 1.5]: its level sets wind like bowel loops or the folds of the cortex."""
    k = np.float32(2 * np.pi / wavelength_mm)
    r, a, s = k * r, k * a, k * s
    return np.sin(r) * np.cos(a) + np.sin(a) * np.cos(s) + np.sin(s) * np.cos(r)


class Septa(Shape):
    """Thin sheets between muscles: the border of the Voronoi diagram of the muscles' axes.

    Args:
        box: (2, 3) where the sheets are.
        axes: one polyline a muscle, rows (s, r, a), interpolated linearly along S and constant beyond its ends.
        thickness_mm: mean thickness of the sheets; they wind and thin out at random.
        rng: source of the winding.
    """

    def __init__(self, box, axes: Sequence[Sequence[Sequence[float]]], thickness_mm: float, rng: np.random.Generator):
        self.box = np.asarray(box, np.float32)
        self.thickness = np.float32(thickness_mm)
        self.noise = Noise(rng, 48)
        self.low = self.box[0, 2]
        heights = np.arange(self.box[0, 2], self.box[1, 2] + 4, 4.0)
        self.tables = []
        for axis in axes:
            knots = np.array(sorted(axis), np.float64)
            knots[:, 1:] += rng.normal(0, 2.5, 2)
            self.tables.append(
                [np.interp(heights, knots[:, 0], knots[:, column]).astype(np.float32) for column in (1, 2)]
            )

    def inside(self, r, a, s):
        row = ((s - self.low) * np.float32(0.25) + np.float32(0.5)).astype(np.int32)
        np.clip(row, 0, len(self.tables[0][0]) - 1, out=row)
        noise = self.noise(r, a, s)
        r, a = r + 4 * noise, a - 3 * noise
        first = np.full_like(r, 1e12)
        second = np.full_like(r, 1e12)
        for axis_r, axis_a in self.tables:
            distance = np.square(r - axis_r.take(row)) + np.square(a - axis_a.take(row))
            second = np.minimum(second, np.maximum(first, distance))
            first = np.minimum(first, distance)
        return np.sqrt(second) - np.sqrt(first) < self.thickness * (0.75 - 0.6 * noise)
