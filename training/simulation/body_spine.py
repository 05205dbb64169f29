"""The spine in the reference frame: vertebrae, discs, sacrum, canal with cord and roots."""

from __future__ import annotations

import numpy as np

from training.simulation.body_frame import C7_MM, CANAL
from training.simulation.shapes import Formula, Loft, Part
from training.simulation.tissues import LABEL

# Upper edges of the vertebral bodies from S1 up to C3; a disc lies on each.
_LUMBAR = np.linspace(903, 1058, 6)
_THORACIC = 1058 + np.cumsum(np.linspace(29.5, 21.3, 12))
_CERVICAL = C7_MM + np.array([16.0, 33.0, 49.0, 65.0, 81.0])
ENDPLATES_MM = np.concatenate([_LUMBAR, _THORACIC, _CERVICAL])


def canal_a(s) -> np.ndarray:
    """A of the canal's centre at height `s` (reference mm)."""
    return np.interp(s, *CANAL.T)


def front_a(s) -> np.ndarray:
    """A of the front of the vertebral bodies at height `s` (reference mm)."""
    depth = np.interp(s, [860, 900, 960, 1060, 1200, 1340, 1380, 1450], [18, 40, 46, 42, 36, 30, 27, 24])
    return canal_a(s) + depth


def _rows(heights, wide, front, back, offset=0.0):
    """Loft rows of an ellipse that follows the canal, `offset` mm in front of it."""
    return [
        (s, 0.0, canal_a(s) + o, w, f, b)
        for s, w, f, b, o in zip(
            heights, *(np.broadcast_to(x, len(heights)) for x in (wide, front, back, offset)), strict=True
        )
    ]


def spine(rng: np.random.Generator) -> list[Part]:
    """Parts of the spine from the coccyx to the atlas, painted over whatever surrounds it."""
    heights = np.arange(890.0, 1461, 15)
    back = canal_a(heights) + np.interp(heights, [900, 1060, 1380], [9.5, 8.0, 7.0])
    depth = front_a(heights) - back
    wide = np.interp(heights, [900, 1000, 1060, 1180, 1330, 1370, 1460], [26, 24, 21, 15.5, 14.5, 13.5, 11])
    bodies = [(s, 0.0, b + d / 2, w, d / 2, d / 2, 0.5) for s, b, d, w in zip(heights, back, depth, wide, strict=True)]

    table = np.arange(780.0, 1500.0, 1.0)
    slope = np.gradient(canal_a(table), table).astype(np.float32)
    center = (0.5 * (front_a(table) + canal_a(table)) + 4).astype(np.float32)
    canal = canal_a(table).astype(np.float32)
    gap = np.interp(ENDPLATES_MM, [900, 1050, 1100, 1340, 1400], [10, 9, 5, 4.5, 5])
    level = np.clip(np.searchsorted(ENDPLATES_MM, table) - 1, 0, len(ENDPLATES_MM) - 2)
    phase = ((table - ENDPLATES_MM[level]) / np.diff(ENDPLATES_MM)[level]).astype(np.float32)
    is_disc = np.min(np.abs(table[:, None] - ENDPLATES_MM - gap / 2) - gap / 2, axis=1) < 0

    def row_of(s):
        return np.clip((s - np.float32(780)).astype(np.int32), 0, len(table) - 1)

    def along(a, s):
        """Rows of the table measured along the axis of the spine: endplates stand at right angles to it."""
        row = row_of(s)
        return row_of(s + slope.take(row) * (a - center.take(row)))

    def disc(r, a, s):
        return is_disc.take(along(a, s)) & (s > 900)

    def spinous(r, a, s):
        row = row_of(s)
        behind = canal.take(row) - a
        p = phase.take(row_of(s + 0.55 * np.clip(behind, 0, 60)))
        return (np.abs(r) < 4.0 - 0.03 * behind) & (behind > 5) & (behind < 44) & (p > 0.25) & (p < 0.8)

    def transverse(r, a, s):
        row = row_of(s)
        p = phase.take(row)
        aside = np.abs(r)
        return (np.abs(a - canal.take(row) + 0.25 * (aside - 12)) < 5.5) & (aside < 37) & (p > 0.45) & (p < 0.8)

    around = [[-45, -60, 895], [45, 110, 1440]]
    ring = np.arange(870.0, 1471, 15)
    ring_wide = np.interp(ring, [900, 1060, 1330, 1400], [21, 15.5, 14.5, 17])
    ring_back = np.interp(ring, [900, 1060, 1330, 1400], [18, 15, 14, 13])
    sac = np.arange(868.0, 1472, 12)
    sac_wide = np.interp(sac, [868, 900, 1000, 1060, 1330, 1390, 1470], [6, 11, 11, 10, 8.5, 11.5, 13])
    sac_deep = np.interp(sac, [868, 900, 1060, 1330, 1390, 1470], [4.5, 8, 8.0, 7.5, 7.5, 9])
    cord = np.arange(1046.0, 1475, 12)
    cord_wide = np.interp(cord, [1046, 1075, 1100, 1300, 1370, 1420, 1475], [1.5, 4.6, 4.4, 4.4, 6.6, 6.4, 6.5])
    cord_deep = np.interp(cord, [1046, 1075, 1300, 1370, 1475], [1.2, 4.0, 3.5, 4.0, 4.8])
    roots = [(dr, da) for dr in (-5.5, -2.8, 0, 2.8, 5.5) for da in (-3.0, -5.2)]

    def root(r, a, s):
        a = a - canal.take(row_of(s))
        squeeze = 1 + 0.3 * np.sin(s * np.float32(0.05))
        mask = np.zeros(r.shape, bool)
        for dr, da in roots:
            mask |= np.square(r - dr * squeeze) + np.square(a - da) < 1.3
        return mask

    sacrum = [
        (775, 0, 18, 6, 4, 4),
        (800, 0, 8, 10, 5, 5),
        (820, 0, 9, 22, 8, 7),
        (840, 0, 17, 36, 10, 10),
        (862, 0, 24, 45, 14, 18),
        (885, 0, 38, 54, 20, 22),
        (900, 0, 50, 54, 24, 26),
        (908, 0, 58, 44, 24, 22),
    ]
    bone, marrow = LABEL["cortical_bone"], LABEL["vertebra"]
    return [
        Part(Loft(sacrum, grow=1.2), bone, (Part(Loft(sacrum), marrow),)),
        Part(Formula(around, transverse), marrow),
        Part(Formula(around, spinous), marrow),
        Part(
            Loft(_rows(ring, ring_wide, 12, ring_back)),
            bone,
            (Part(Loft(_rows(ring, ring_wide - 1.6, 12, ring_back - 1.6)), marrow),),
        ),
        Part(
            Loft(bodies, grow=1.0), bone, (Part(Loft(bodies), marrow, (Part(Formula(around, disc), LABEL["disc"]),)),)
        ),
        Part(
            Loft(_rows(sac, sac_wide + 1.2, sac_deep + 0.8, sac_deep + np.interp(sac, [900, 1060, 1100], [5, 3, 1.5]))),
            LABEL["fat"],
            (
                Part(
                    Loft(_rows(sac, sac_wide, sac_deep, sac_deep)),
                    LABEL["csf"],
                    (
                        Part(Formula([[-12, -10, 880], [12, 90, 1060]], root), LABEL["spinal_cord"]),
                        Part(Loft(_rows(cord, cord_wide, cord_deep, cord_deep)), LABEL["spinal_cord"]),
                    ),
                ),
            ),
        ),
    ]
