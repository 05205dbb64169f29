"""Refine label maps into anatomy as MR shows it: what a map merges is divided, what it leaves out is filled in.

Label maps say "bone", "soft tissue", "fat left over"; an MR image shows cortex and marrow, muscle between septa, grey
and white matter. The shapes of the map are kept; within them, tissues follow depth from the surface and smooth random
fields. All of this is synthetic detail for domain randomisation, not a claim about the subject.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from scipy import ndimage

from training.simulation.labelmaps import LabelMapAnatomy, to_ras
from training.simulation.tissues import LABEL

THIN = {LABEL[name]: 1.35 for name in ("blood", "csf", "spinal_cord", "cartilage", "disc", "airway", "muscle")}
Window = tuple[slice, slice, slice]


@dataclass(frozen=True, eq=False)
class Noise:
    """A smooth random field of unit variance over a grid: white noise on coarse nodes under a Gaussian."""

    nodes: np.ndarray
    step: np.ndarray  # voxels between nodes, (3,) in k, j, i

    @classmethod
    def over(cls, shape, spacing_mm, scale_mm: float, rng: np.random.Generator) -> Noise:
        """Field with features of about `scale_mm` over `shape` voxels of `spacing_mm` (both k, j, i)."""
        step = scale_mm / np.asarray(spacing_mm, float)
        return cls(rng.standard_normal(np.ceil(shape / step).astype(int) + 8).astype(np.float32), step)

    def __call__(self, window: Window) -> np.ndarray:
        """Values (k, j, i) float32 in a window of the grid."""
        field = self.nodes
        for axis, part in enumerate(window):
            position = np.arange(part.start, part.stop) / self.step[axis] + 3
            low, high = int(position[0]) - 3, int(position[-1]) + 5
            weights = np.exp(-0.5 * ((position[:, None] - np.arange(low, high)) / 0.65) ** 2)
            weights /= np.linalg.norm(weights, axis=1, keepdims=True)  # unit variance everywhere
            nodes = np.take(field, np.arange(low, high), axis=axis, mode="clip")
            field = np.moveaxis(np.tensordot(weights.astype(np.float32), nodes, (1, axis)), 0, axis)
        return field


def body(anatomy: LabelMapAnatomy, rng: np.random.Generator) -> LabelMapAnatomy:
    """A whole body of coarse voxels and incomplete muscles, at twice its resolution and with its organs divided.

    Memory: one byte a fine voxel, and blocks; the 3 mm BodyParts3D map peaks below 1.5 GB.
    """
    coarse = anatomy.labels.copy()
    _fill_muscle(coarse, anatomy)
    coarse[coarse == LABEL["skin"]] = LABEL["fat"]  # a new skin is drawn on the fine grid
    affine = anatomy.ijk_to_ras @ np.diag([0.5, 0.5, 0.5, 1.0])
    affine[:3, 3] = to_ras(anatomy.ijk_to_ras, np.full(3, -0.25))
    fine = upsample(coarse)
    spacing = spacing_of(affine)
    _divide_organs(fine, affine, rng)
    septa = Noise.over(fine.shape, spacing, 16.0, rng)
    for window in blocks(fine):
        part = fine[window]
        part[(part == LABEL["muscle"]) & (np.abs(septa(window)) < 0.045)] = LABEL["fat"]
    result = fine.copy()
    for window, inner in blocks(fine, halo=4):
        part = fine[window].copy()
        shell(part, "marrow", "cortical_bone", 2.3, spacing)
        shell(part, "vertebra", "cortical_bone", 1.6, spacing, within=("vertebra", "disc"))
        draw_skin(part, 2.0, spacing)
        result[window][inner] = part[inner]
    return replace(anatomy, labels=result, ijk_to_ras=affine)


def without_arms(anatomy: LabelMapAnatomy) -> LabelMapAnatomy:
    """The BodyParts3D body with both arms cut off at the shoulder: arms that lie outside of the field of view."""
    labels = anatomy.labels.copy()
    coarse = labels[::4, ::4, ::4] > 0
    s_mm, _, r_mm = axes_mm(anatomy.ijk_to_ras, labels.shape)
    s_mm, r_mm = s_mm[::4], r_mm[:, :, ::4]
    lateral = np.interp(s_mm, (1060.0, 1150.0, 1230.0, 1330.0), (152.0, 152.0, 160.0, 192.0))
    cut = coarse & ~((np.abs(r_mm) > lateral) & (s_mm > 1060.0))
    pieces, count = ndimage.label(cut)
    if count == 0:
        return anatomy
    trunk = pieces == 1 + np.argmax(np.bincount(pieces.ravel())[1:])
    trunk = ndimage.binary_dilation(trunk, np.ones((3, 3, 3))) & (cut | ~coarse)
    for k in range(labels.shape[0]):
        keep = trunk[k // 4].repeat(4, axis=0).repeat(4, axis=1)[: labels.shape[1], : labels.shape[2]]
        labels[k][~keep] = 0
    return replace(anatomy, labels=labels)


def head(anatomy: LabelMapAnatomy, rng: np.random.Generator) -> LabelMapAnatomy:
    """A head with its soft tissue (one label, "organ") divided: fat under the skin and in the orbits, muscle below."""
    labels = anatomy.labels.copy()
    spacing = spacing_of(anatomy.ijk_to_ras)
    pieces, _ = ndimage.label(labels > 0)
    labels[pieces != 1 + np.argmax(np.bincount(pieces.ravel())[1:])] = 0  # stray voxels in the air
    whole = tuple(slice(0, n) for n in labels.shape)
    soft = labels == LABEL["organ"]
    # Outer air: large enough for a ball of 8 mm and open to the border; sinuses and the airway are inside. There is
    # room for the ball around the head, not below it: the neck goes on.
    m = int(np.ceil(10.0 / spacing.min()))
    air = np.pad(labels == 0, ((0, m), (m, m), (m, m)), constant_values=True)
    pieces, _ = ndimage.label(dilate(~dilate(~air, 8.0, spacing), 8.0, spacing))
    outside = pieces == pieces[-1, 0, 0]
    depth = ndimage.distance_transform_edt(~outside, spacing)[:-m, m:-m, m:-m].astype(np.float32)

    subcutaneous = rng.uniform(6.0, 10.0) * (1 + 0.25 * Noise.over(labels.shape, spacing, 30.0, rng)(whole))
    sheets, lumps = (Noise.over(labels.shape, spacing, scale, rng)(whole) for scale in (13.0, 22.0))
    fat = (depth < subcutaneous) | (np.abs(sheets) < 0.10) | (lumps > 1.6)
    orbit = np.isin(labels, [LABEL["eye"]])
    if orbit.any():
        fat |= ndimage.distance_transform_edt(~orbit, spacing) < 20.0
    labels[soft] = np.where(fat[soft], LABEL["fat"], LABEL["muscle"])
    return replace(anatomy, labels=labels)


def knee(anatomy: LabelMapAnatomy, rng: np.random.Generator) -> LabelMapAnatomy:
    """A knee atlas without envelope: cortical bone around marrow, fat between the structures and under a new skin."""
    spacing = spacing_of(anatomy.ijk_to_ras)
    margin = np.ceil(40.0 / spacing).astype(int) * (0, 1, 1)  # the limb goes on above and below
    labels = np.pad(anatomy.labels, np.stack([margin, margin], axis=1))
    affine = anatomy.ijk_to_ras.copy()
    affine[:3, 3] = to_ras(affine, -margin[::-1])
    shell(labels, "marrow", "cortical_bone", 1.6, spacing)
    envelope(labels, closing_mm=25.0, fat_mm=rng.uniform(5.0, 9.0), spacing=spacing)
    return replace(anatomy, labels=labels, ijk_to_ras=affine)


def envelope(labels: np.ndarray, closing_mm: float, fat_mm: float, spacing: np.ndarray) -> None:
    """Wrap structures without a body around them, in place: fat inside their closing and `fat_mm` beyond it, then skin.

    The array must have room for ``closing_mm`` around the structures.
    """
    outside = ~dilate(labels > 0, closing_mm, spacing)
    inside = ndimage.distance_transform_edt(~outside, spacing) > max(closing_mm - fat_mm, 0.0)
    labels[inside & (labels == 0)] = LABEL["fat"]
    draw_skin(labels, 2.0, spacing)


def shell(labels: np.ndarray, core: str, rind: str, thickness_mm: float, spacing, within: tuple[str, ...] = ()) -> None:
    """Turn the outer `thickness_mm` of tissue `core` into `rind`, in place; depth counts in `within` (or core)."""
    mask = labels == LABEL[core]
    if mask.any():
        solid = np.isin(labels, [LABEL[name] for name in within]) if within else mask
        labels[mask & (ndimage.distance_transform_edt(solid, spacing) <= thickness_mm)] = LABEL[rind]


def draw_skin(labels: np.ndarray, thickness_mm: float, spacing: np.ndarray) -> None:
    """Turn the fat and muscle that lie within `thickness_mm` of the air into skin, in place."""
    if (labels == 0).any():
        near = ndimage.distance_transform_edt(labels > 0, spacing) <= thickness_mm
        labels[near & np.isin(labels, (LABEL["fat"], LABEL["muscle"]))] = LABEL["skin"]


def upsample(labels: np.ndarray, slices: int = 32) -> np.ndarray:
    """Labels (k, j, i) at twice the resolution: one-hot classes smoothed, interpolated and compared, in blocks along k.

    Fine voxel f lies at coarse index (f - 0.5) / 2. Thin tissues count a little more, so that smoothing keeps them.
    """
    fine = np.zeros(tuple(2 * n for n in labels.shape), np.uint8)
    for (k, j, i), _ in blocks(labels, slices, halo=0, margin=3):
        low, high = max(k.start - 3, 0), min(k.stop + 3, labels.shape[0])
        block = labels[low:high, j, i]
        best = np.zeros((2 * (k.stop - k.start), 2 * block.shape[1], 2 * block.shape[2]), np.float32)
        winner = np.zeros(best.shape, np.uint8)
        for label in np.unique(block):
            score = ndimage.gaussian_filter((block == label).astype(np.float32), 0.6, truncate=3.0, mode="nearest")
            for axis in range(3):
                score = _double(score, axis)
            score = score[2 * (k.start - low) :][: best.shape[0]] * THIN.get(int(label), 1.0)
            better = score > best
            best[better], winner[better] = score[better], label
        fine[2 * k.start : 2 * k.stop, 2 * j.start : 2 * j.stop, 2 * i.start : 2 * i.stop] = winner
    return fine


def blocks(labels: np.ndarray, slices: int = 64, halo: int | None = None, margin: int = 4) -> Iterator:
    """Windows over the body in blocks of `slices`, tight in plane; with `halo`: (window with halo, inner part)."""
    for start in range(0, labels.shape[0], slices):
        stop = min(start + slices, labels.shape[0])
        low, high = max(start - (halo or 0), 0), min(stop + (halo or 0), labels.shape[0])
        flat = labels[low:high].any(axis=0)
        if not flat.any():
            continue
        plane = []
        for axis in (1, 0):
            filled = np.flatnonzero(flat.any(axis=axis))
            plane.append(
                slice(max(int(filled[0]) - margin, 0), min(int(filled[-1]) + 1 + margin, flat.shape[1 - axis]))
            )
        window = (slice(low, high), *plane)
        yield window if halo is None else (window, (slice(start - low, stop - low), slice(None), slice(None)))


def _fill_muscle(labels: np.ndarray, anatomy: LabelMapAnatomy) -> None:
    """Fill the fat between neighbouring muscles and bones with muscle, in place.

    Gaps of 18 mm everywhere, wider ones behind the spine and around hip and thigh, where whole muscles are missing;
    the fat of the body's cavities, of the orbits and under the skin stays.
    """
    spacing = spacing_of(anatomy.ijk_to_ras)
    frame = np.isin(labels, [LABEL[name] for name in ("muscle", "marrow", "vertebra", "disc", "cartilage")])
    filled = _close(frame, 9.0, spacing)
    s_mm, a_mm, r_mm = axes_mm(anatomy.ijk_to_ras, labels.shape)
    wide = np.zeros(labels.shape, bool)
    if len(canal := anatomy.landmarks.canal_mm):
        behind = a_mm < np.interp(s_mm, canal[:, 2], canal[:, 1])
        wide |= behind & (s_mm > canal[0, 2]) & (s_mm < canal[-1, 2])
    bounds = anatomy.landmarks.boundaries_mm
    if {"legs/pelvis", "pelvis/abdomen"} <= set(bounds):
        thigh = (s_mm > bounds["legs/pelvis"] - 250.0) & (s_mm < bounds["legs/pelvis"])
        thigh = thigh & (np.abs(r_mm) > 25.0)  # the skin folds between the thighs are no muscle
        wide |= thigh | ((np.abs(r_mm) > 62.0) & (s_mm >= bounds["legs/pelvis"]) & (s_mm < bounds["pelvis/abdomen"]))
    filled |= _close(frame, 24.0, spacing) & wide
    eyes = labels == LABEL["eye"]
    if eyes.any():
        filled &= ~dilate(eyes, 20.0, spacing)
    deep = ndimage.distance_transform_edt(labels > 0, spacing) > 5.0
    labels[(labels == LABEL["fat"]) & deep & filled] = LABEL["muscle"]


def _divide_organs(labels: np.ndarray, affine: np.ndarray, rng: np.random.Generator) -> None:
    """Divide brain, heart, kidneys, bowel and lungs of a body into the tissues that MR tells apart, in place."""
    spacing = spacing_of(affine)

    def organ(name: str, scale_mm: float, count: int = 1):
        """Window, mask, depth from the surface (mm) and smooth fields of an organ; None if the map has none."""
        found = ndimage.find_objects((labels == LABEL[name]).view(np.uint8))
        if not found:
            return None
        window = tuple(slice(max(s.start - 1, 0), s.stop + 1) for s in found[0])
        mask = labels[window] == LABEL[name]
        depth = ndimage.distance_transform_edt(mask, spacing).astype(np.float32)
        local = tuple(slice(0, n) for n in mask.shape)
        return (
            labels[window],
            mask,
            depth,
            [Noise.over(mask.shape, spacing, scale_mm, rng)(local) for _ in range(count)],
        )

    def paint(part, mask, **rules):
        for name, where in rules.items():
            part[mask & where] = LABEL[name]

    if found := organ("brain", 13.0):
        part, mask, depth, (fold,) = found
        # Sulci: zero sheets of the field, as deep as 17 mm; the cortex follows surface and sulci, 3.5 mm thick.
        ribbon = np.where(depth < 17.0, np.minimum(depth - 2.0, np.abs(fold) * 8.0), depth)
        paint(part, mask, white_matter=depth > 0, grey_matter=ribbon < 4.2, csf=(depth < 2.0) | (ribbon < 0.7))
    if found := organ("heart", 25.0):
        part, mask, depth, (wave,) = found
        k, j, i = np.nonzero(mask)
        plane = sum(
            n * (axis - centre.mean()) * mm
            for n, axis, centre, mm in zip(
                (0.3, 0.6, 0.75), np.indices(mask.shape, np.float32), (k, j, i), spacing, strict=True
            )
        )
        chamber = (depth > 9.0 + wave) & (np.abs(plane - 12.0) > 4.0)
        paint(part, mask, blood=chamber | ((plane > 16.0) & (depth > 4.0)))
    if found := organ("kidney_cortex", 9.0):
        part, mask, depth, (pyramids,) = found
        paint(part, mask, kidney_medulla=(depth > 6.0) & (pyramids > -0.5), fat=depth > 14.5)
    if found := organ("bowel_wall", 26.0, 3):
        part, mask, depth, (fold, gas, content) = found
        lumen = (depth > 2.6) & (np.abs(fold) > 0.10)
        ahead = np.linspace(-1.0, 1.0, mask.shape[1], dtype=np.float32)[:, None]  # supine: gas rises to the front
        paint(part, mask, bowel_content=lumen, bowel_gas=lumen & (gas + 0.8 * ahead > 1.3) & (content < 1.0))
    for name, scale_mm, width in (("lung", 16.0, 0.13), ("liver", 24.0, 0.13)):
        if found := organ(name, scale_mm, 2):
            part, mask, depth, (first, second) = found
            paint(part, mask, blood=(first**2 + second**2 < width**2) & (depth > 4.0))  # two zero sheets meet in a tube


def _close(mask: np.ndarray, radius_mm: float, spacing: np.ndarray) -> np.ndarray:
    """Morphological closing with a ball."""
    return ndimage.distance_transform_edt(dilate(mask, radius_mm, spacing), spacing) > radius_mm


def dilate(mask: np.ndarray, radius_mm: float, spacing: np.ndarray) -> np.ndarray:
    """Dilation with a ball."""
    return ndimage.distance_transform_edt(~mask, spacing) <= radius_mm if mask.any() else mask.copy()


def _double(values: np.ndarray, axis: int) -> np.ndarray:
    """Linear interpolation to twice the samples along an axis: a quarter of a voxel to either side of each."""
    values = np.moveaxis(values, axis, 0)
    before, after = np.concatenate([values[:1], values[:-1]]), np.concatenate([values[1:], values[-1:]])
    doubled = np.stack([0.75 * values + 0.25 * before, 0.75 * values + 0.25 * after], axis=1)
    return np.moveaxis(doubled.reshape(-1, *values.shape[1:]), 0, axis)


def spacing_of(ijk_to_ras: np.ndarray) -> np.ndarray:
    """Voxel spacing (3,) mm in k, j, i."""
    return np.linalg.norm(ijk_to_ras[:3, :3], axis=0)[::-1]


def axes_mm(ijk_to_ras: np.ndarray, shape) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """S, A, R in mm along k, j, i of a map with axes along R, A, S; shapes (K, 1, 1), (J, 1), (I,)."""
    start, step = ijk_to_ras[:3, 3], np.diag(ijk_to_ras)[:3]
    r, a, s = (start[d] + step[d] * np.arange(shape[2 - d]) for d in range(3))
    return s[:, None, None], a[None, :, None], r[None, None, :]
