"""Surround a bare spine template with what an axial scan of the spine shows around it.

A sketch: the organs stand where they stand in an adult, in millimetres from the spinal cord. It serves scans made for
the spine, whose field of view is narrow, and no others.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy import ndimage

from training.simulation.labelmaps import LabelMapAnatomy, to_ras
from training.simulation.refine import Noise, axes_mm, dilate, draw_skin, shell, spacing_of
from training.simulation.tissues import LABEL


def spine(anatomy: LabelMapAnatomy, rng: np.random.Generator) -> LabelMapAnatomy:
    """A bare spine (vertebrae, fluid, cord) with discs, on a sketch of what an axial scan of 150 mm shows around it."""
    spacing = spacing_of(anatomy.ijk_to_ras)
    step = np.maximum(np.rint(1.0 / spacing), 1).astype(int)  # 1 mm is fine enough
    bones = anatomy.labels.copy()
    _add_discs(bones, anatomy, spacing)
    bones = bones[:: step[0], :: step[1], :: step[2]]
    affine = anatomy.ijk_to_ras @ np.diag([*step[::-1], 1.0])
    spacing = spacing_of(affine)
    s_mm, a_mm, r_mm = axes_mm(affine, bones.shape)
    canal = anatomy.landmarks.canal_mm
    cord_a, cord_r = (np.interp(s_mm, canal[:, 2], canal[:, d]) for d in (1, 0))
    margin = np.ceil([
        [0.0, 0.0],
        np.maximum([a_mm.min() - cord_a.min() + 60.0, cord_a.max() + 100.0 - a_mm.max()], 0.0) / spacing[1],
        np.maximum([r_mm.min() + 75.0, 75.0 - r_mm.max()], 0.0) / spacing[2],
    ]).astype(int)  # fmt: skip
    bones = np.pad(bones, margin)
    affine[:3, 3] = to_ras(affine, -margin[::-1, 0])
    s_mm, a_mm, r_mm = axes_mm(affine, bones.shape)
    whole = tuple(slice(0, n) for n in bones.shape)
    wobble_r, wobble_a = (2.5 * Noise.over(bones.shape, spacing, 40.0, rng)(whole) for _ in range(2))
    labels = _around_the_spine(
        s_mm, a_mm - cord_a + wobble_a, r_mm - cord_r + wobble_r, anatomy.landmarks.boundaries_mm
    )
    sheets = np.abs(Noise.over(bones.shape, spacing, 16.0, rng)(whole)) < 0.07
    labels[sheets & (labels == LABEL["muscle"])] = LABEL["fat"]
    shell(bones, "vertebra", "cortical_bone", 1.1, spacing, within=("vertebra", "disc"))
    near = dilate(np.isin(bones, (LABEL["csf"], LABEL["spinal_cord"])), 2.5, spacing)
    labels[near] = LABEL["fat"]  # epidural
    labels = np.where(bones > 0, bones, labels)
    draw_skin(labels, 2.0, spacing)
    return replace(anatomy, labels=labels, ijk_to_ras=affine)


def _add_discs(labels: np.ndarray, anatomy: LabelMapAnatomy, spacing: np.ndarray) -> None:
    """Fill the gaps of up to 16 mm between vertebral bodies (near the midline) with disc, in place."""
    s_mm, a_mm, r_mm = axes_mm(anatomy.ijk_to_ras, labels.shape)
    canal = anatomy.landmarks.canal_mm
    ahead = a_mm - np.interp(s_mm, canal[:, 2], canal[:, 1])
    body = (
        (labels == LABEL["vertebra"])
        & (ahead > 8.0)
        & (np.abs(r_mm - np.interp(s_mm, canal[:, 2], canal[:, 0])) < 26.0)
    )
    reach = int(8.0 / spacing[0])
    along = np.ones((2 * reach + 1, 1, 1), bool)
    closed = ndimage.binary_erosion(ndimage.binary_dilation(body, along), along, border_value=1)
    closed = ndimage.binary_opening(closed, np.ones((1, *np.maximum(6.0 / spacing[1:], 1).astype(int))))
    below_axis = s_mm < canal[-1, 2] - 37.0  # the PAM50 canal ends at the skull; between C1 and C2 is no disc
    labels[closed & (labels == 0) & below_axis] = LABEL["disc"]


def _around_the_spine(s: np.ndarray, a: np.ndarray, r: np.ndarray, boundaries_mm: dict[str, float]) -> np.ndarray:
    """Tissue labels around a straight spine: `a`, `r` in mm forward and right of the cord at height `s`."""
    neck, trunk = boundaries_mm["chest/head"], boundaries_mm["abdomen/chest"]
    in_neck, in_chest, in_belly = s > neck, (s <= neck) & (s > trunk), s <= trunk
    labels = np.zeros(np.broadcast_shapes(s.shape, a.shape, r.shape), np.uint8)
    side, lower = np.abs(r), np.clip((trunk - s) / 60.0, 0.0, 1.0)

    def disk(centre_r, centre_a, radius_r, radius_a):
        return ((r - centre_r) / radius_r) ** 2 + ((a - centre_a) / radius_a) ** 2 < 1

    def paint(tissue, where):
        labels[where] = LABEL[tissue]

    paint("fat", in_neck & disk(0, 8, 64, 62))
    paint("fat", ~in_neck & (a > -52 - 0.04 * side))
    # neck: muscle column, airway, oesophagus, thyroid, vessels
    paint("muscle", in_neck & disk(0, 2, 56, 50) & ((a < 24) | (side > 16)))
    paint("gland", in_neck & (s < neck + 50) & disk(0, 42, 24, 13))
    paint("muscle", in_neck & disk(-3, 32, 8, 5))
    paint("airway", in_neck & disk(0, 44, 9, 8))
    for sign in (-1, 1):
        paint("blood", in_neck & (disk(sign * 24, 32, 3.5, 3.5) | disk(sign * 32, 30, 5.5, 5)))
    # chest: lungs at both sides, ribs, mediastinum with heart below, aorta on the left, muscle behind
    paint("lung", in_chest & (a > -34) & (side > np.where(a > 8, 24, 30)))
    paint("fat", in_chest & (a > 22) & disk(-8, 62, 44, 42))
    paint("heart", in_chest & (s < (neck + 2 * trunk) / 3) & disk(-14, 84, 50, 40))
    paint("blood", in_chest & (s < (neck + 2 * trunk) / 3) & disk(-12, 86, 40, 30))
    paint("airway", in_chest & (s > (neck + trunk) / 2) & disk(4, 46, 9, 8))
    paint("bowel_wall", in_chest & disk(-4, 36, 9, 6))
    for centre_r, centre_a, radius in ((18, 64, 8), (-16, 66, 6), (2, 70, 6)):
        paint("blood", in_chest & (s >= (neck + 2 * trunk) / 3) & disk(centre_r, centre_a, radius, radius))
    # belly: liver, kidneys, psoas, great vessels, bowel
    paint("liver", in_belly & (r > 34) & (a > 0) & (lower < 1))
    paint("spleen", in_belly & (r < -48) & (a > -20) & (a < 30) & (lower < 0.7))
    for sign in (-1, 1):
        paint("kidney_cortex", in_belly & disk(sign * 56, 14, 20 * lower + 1e-3, 26 * lower + 1e-3))
        paint("kidney_medulla", in_belly & disk(sign * 56, 14, 12 * lower + 1e-3, 17 * lower + 1e-3))
        paint("muscle", in_belly & disk(sign * 30, 16, 6 + 10 * lower, 8 + 12 * lower))
    paint("bowel_wall", in_belly & (a > 76) & (r < 30))
    paint("bowel_content", in_belly & (a > 80) & (r < 26) & (np.cos(r / 6.0) * np.cos(s / 9.0) > -0.5))
    paint("blood", ~in_neck & disk(-18 + 14 * lower, 34 + 14 * lower, 11, 11))
    paint("blood", in_belly & disk(18, 46, 12, 9))
    # muscle of the back
    paint("muscle", ~in_neck & (a < -6) & (a > -42) & (side < 62 + a) & (side > 1.5))
    paint("muscle", in_chest & (a <= -34) & (a > -44))
    return labels
