"""From the room to the reference body: every person is one reference anatomy, scaled, bent and wobbled.

The reference frame is that of an adult of 1.74 m: S = 0 near the ankle, soles at -78 mm, vertex at 1658 mm, R = 0 the
midline, A = 80 mm the middle of the trunk. Heights of the reference landmarks follow BodyParts3D (DBCLS).
"""

from __future__ import annotations

import numpy as np

from training.simulation.body_traits import Traits
from training.simulation.shapes import Noise, smooth_interpolation

SOLE_MM, VERTEX_MM = -78.0, 1658.0
ISCHIUM_MM, CREST_MM, DOME_MM, C7_MM = 752.0, 957.0, 1180.0, 1363.0
MIDDLE_A_MM = 80.0  # reference A that is A = 0 in the room

# Sagittal course of the spinal canal: (S, A) in the reference frame.
CANAL = np.array(
    [
        (800, 6), (820, 9), (840, 16), (860, 25), (880, 36), (900, 46), (940, 57), (980, 67), (1020, 68), (1060, 61),
        (1100, 49), (1140, 38), (1180, 30), (1220, 27), (1260, 31), (1300, 38), (1340, 52), (1380, 65), (1420, 70),
        (1460, 73), (1475, 73),
    ],
    float,
)  # fmt: skip
STEP_MM = 2.0


class Frame:
    """Maps room positions (RAS mm) to the reference frame and back.

    Lengths along S are scaled piecewise (a child has a large head and short legs), R and A by a width that depends on
    S; the axis of the body is bent with the spine; the legs are spread; last a smooth wobble makes left and right, and
    one body and the next, differ.
    """

    def __init__(self, traits: Traits, rng: np.random.Generator):
        scale = traits.height_mm / (VERTEX_MM - SOLE_MM)
        childhood = np.clip((0.8 - scale) / 0.3, 0, 1) if traits.child else 0.0
        head = scale ** (1 - 0.75 * childhood) if traits.child else 0.35 * scale + 0.65 * rng.normal(0.95, 0.03)
        knots = np.array([SOLE_MM - 60, SOLE_MM, ISCHIUM_MM, CREST_MM, DOME_MM, C7_MM, 1420, VERTEX_MM, 2100])
        legs = rng.normal(1, 0.025) * (1 - 0.1 * childhood)
        trunk = rng.normal(1, 0.02, 3)
        stretch = np.array([1, legs, *trunk, 0.5 * (1 + head / scale), head / scale, 1]) * scale
        # The head keeps its size; the rest takes what is left of the height.
        lengths = np.diff(knots)
        body = slice(1, 6)
        left = traits.height_mm - lengths[6] * stretch[6]
        stretch[body] *= left / (lengths[body] @ stretch[body])
        self.s_reference = knots
        self.s_room = np.concatenate([[0.0], np.cumsum(lengths * stretch)])
        self.s_room -= self.s_room[1]  # soles at 0

        heights = np.arange(knots[0], knots[-1] + STEP_MM, STEP_MM)
        girth = scale**0.9 * traits.girth
        places = [SOLE_MM, 400, 740, 1340, 1430, VERTEX_MM]
        wide = smooth_interpolation(heights, places, [scale, girth, girth, girth, head, head])
        deep = smooth_interpolation(
            heights, places, [scale, girth, girth, girth * rng.normal(1, 0.04), head, head * rng.normal(1, 0.02)]
        )
        mean = smooth_interpolation(heights, [740, 900, 1200, 1340, 1430], [40, 48, 40, 50, 62])
        bend = (traits.kyphosis - 1) * (np.interp(heights, *CANAL.T) - mean) * 0.8
        bend *= np.interp(heights, [700, 850, 1330, 1430], [0, 1, 1, 0])
        bend += np.interp(heights, [1300, 1480], [0, traits.head_forward_mm])
        phase = rng.uniform(0, 2 * np.pi)
        side = traits.scoliosis_mm * np.sin(2 * np.pi * heights / 380 + phase)
        side *= np.interp(heights, [700, 900, 1350, 1450], [0, 1, 1, 0.3])
        ankle = -26 + 62 * traits.legs_apart
        spread = ankle * np.interp(heights, [0, 700], [1, 0])
        self._heights = heights
        self._tables = [np.ascontiguousarray(x, np.float32) for x in (1 / wide, 1 / deep, side, bend, spread)]
        room = np.arange(self.s_room[0], self.s_room[-1] + 1, 1.0)
        self._s_table = np.interp(room, self.s_room, knots).astype(np.float32)
        self._s_low = np.float32(self.s_room[0])
        self._noise = [[Noise(rng, wave * scale, 3) for _ in range(3)] for wave in (110, 38)]
        self._amplitude = np.float32([2.4, 0.5]) * np.float32(scale)

    def to_reference(self, points_mm: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Reference coordinates (r, a, s), each (N,) float32, of room positions (N, 3)."""
        r, a, s = (np.ascontiguousarray(points_mm[:, axis], np.float32) for axis in range(3))
        moved = [x.copy() for x in (r, a, s)]
        for noises, amplitude in zip(self._noise, self._amplitude, strict=True):
            for x, noise in zip(moved, noises, strict=True):
                x += amplitude * noise(r, a, s)
        r, a, s = moved
        place = s - self._s_low
        low = place.astype(np.int32)
        np.clip(low, 0, len(self._s_table) - 2, out=low)
        place -= low
        start = self._s_table.take(low)
        s = start + place * (self._s_table.take(low + 1) - start)
        row = ((s - np.float32(self._heights[0])) * np.float32(1 / STEP_MM) + np.float32(0.5)).astype(np.int32)
        np.clip(row, 0, len(self._heights) - 1, out=row)
        narrow, shallow, side, bend, spread = (table.take(row) for table in self._tables)
        r *= narrow
        r -= side
        r = np.copysign(np.maximum(np.abs(r) - spread, 0), r)
        a *= shallow
        a += np.float32(MIDDLE_A_MM)
        a -= bend
        return r, a, s

    def to_room(self, reference_mm) -> np.ndarray:
        """Room positions (N, 3) of reference positions (N, 3): the inverse of `to_reference` to 0.2 mm."""
        wanted = np.atleast_2d(np.asarray(reference_mm, np.float64))
        r, a, s = wanted.T
        narrow, shallow, side, bend, spread = (np.interp(s, self._heights, table) for table in self._tables)
        plain = np.stack(
            [
                (r + np.sign(r) * spread + side) / narrow,
                (a + bend - MIDDLE_A_MM) / shallow,
                np.interp(s, self.s_reference, self.s_room),
            ],
            1,
        )
        room = plain
        for _ in range(12):
            at = [room[:, axis].astype(np.float32) for axis in range(3)]
            wobble = np.stack(
                [sum(k * n[axis](*at) for n, k in zip(self._noise, self._amplitude, strict=True)) for axis in range(3)],
                1,
            )
            room = plain - wobble
        return room
