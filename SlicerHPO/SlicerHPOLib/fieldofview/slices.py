"""From a volume in any orientation to axial slices for the network.

A slice is the plane of constant S (RAS mm). Volumes whose axes run along R, A and S are read as they are stored;
oblique ones are resampled on true axial planes, so that a tilted acquisition gives the same answer as its untilted
twin. Only a stack of few tilted slices, most of whose true axial planes would be incomplete, is read as stored, each
slice placed at the S of its centre. Slices run from inferior to superior; in a slice the first row is anterior and the
first column is the patient's right, as radiologists look at it.

The slice is resized to the network's square input with one scale for both directions, so its proportions in mm are
kept and what is left over stays black. Work proceeds in blocks of slices: memory beyond the volume itself grows only
with the inputs returned (37 kB a slice at 96 x 96).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import permutations

import numpy as np

from ..image import Image
from ..job import Job
from ..words import _

BLOCK = 16  # slices handled at once
ALIGNED = 0.01  # largest off-axis direction cosine (0.6 degrees) of a volume that counts as aligned with R, A, S
LEAST_COVERED = 0.3  # of the largest cross-section: true axial planes that show less of an oblique volume are left out
LEAST_COMPLETE = 0.25  # of the true axial planes of an oblique volume: with fewer, it is a tilted stack of few slices,
STEEPEST = np.radians(30)  # which is read as stored, up to this tilt
LOW_PERCENTILE, HIGH_PERCENTILE = 1.0, 99.0  # of a slice: what becomes 0 and 1
DIMMEST = 0.1  # a slice is brightened at most until its range is this part of the volume's: noise stays dark


@dataclass(frozen=True)
class AxialPlanes:
    """The axial planes of a volume, not yet read.

    positions_mm: (N,) S of each plane, increasing. spacing_mm: (row, column) distance of pixels.
    shape: (rows, columns). complete: the part of the planes that cross the volume from side to side. read: (first,
    stop) -> (stop - first, rows, columns) float32, rows anterior to posterior, columns right to left.
    """

    positions_mm: np.ndarray
    spacing_mm: tuple[float, float]
    shape: tuple[int, int]
    read: Callable[[int, int], np.ndarray]
    complete: float = 1.0

    def __len__(self) -> int:
        return len(self.positions_mm)

    @property
    def side_mm(self) -> float:
        """Side of the smallest square that holds a slice."""
        return max(n * s for n, s in zip(self.shape, self.spacing_mm, strict=True))


@dataclass(frozen=True, eq=False)
class SliceInputs:
    """What the network sees of a volume.

    images: (N, size, size) float32 in [0, 1]. side_mm: side of the square in mm. positions_mm: (N,) S of each slice,
    increasing.
    tissue: (N,) bool, False where a slice shows only air.
    """

    images: np.ndarray
    side_mm: float
    positions_mm: np.ndarray
    tissue: np.ndarray


def axial_planes(image: Image) -> AxialPlanes:
    """The axial planes of `image`, inferior to superior (no voxel is read yet)."""
    directions = image.directions
    # Which voxel axis runs along R, A, S: the permutation that collects the most cosine.
    axes = max(permutations(range(3)), key=lambda p: sum(abs(directions[row, axis]) for row, axis in enumerate(p)))
    off_axis = np.abs(directions[:, list(axes)] * (1 - np.eye(3))).max()
    if off_axis <= ALIGNED:
        return _stored_planes(image, axes)
    resampled = _resampled_planes(image, axes)
    tilt = np.arccos(min(1.0, abs(directions[2, axes[2]])))
    return _stored_planes(image, axes) if resampled.complete < LEAST_COMPLETE and tilt <= STEEPEST else resampled


def _stored_planes(image: Image, axes: tuple[int, ...]) -> AxialPlanes:
    """The planes of the volume's own grid that are nearest to axial: views of its voxels, placed at their centres."""
    right, anterior, superior = axes
    voxels = image.voxels.transpose(2 - superior, 2 - anterior, 2 - right)  # (k, j, i) -> (S, A, R)
    up = [image.directions[row, axis] > 0 for row, axis in enumerate(axes)]
    voxels = voxels[:: 1 if up[2] else -1, :: -1 if up[1] else 1, :: -1 if up[0] else 1]
    middle = image.ijk_to_ras[2, :3] @ ((np.array(image.voxels.shape[::-1]) - 1) / 2) + image.ijk_to_ras[2, 3]
    step = abs(image.ijk_to_ras[2, superior])
    return AxialPlanes(
        middle + (np.arange(len(voxels)) - (len(voxels) - 1) / 2) * step,
        (float(image.spacing_mm[anterior]), float(image.spacing_mm[right])),
        voxels.shape[1:],
        lambda first, stop: voxels[first:stop].astype(np.float32),
    )


def _resampled_planes(image: Image, axes: tuple[int, ...]) -> AxialPlanes:
    """True axial planes through an oblique volume: trilinear, 0 outside it, spacings as of the nearest voxel axes.

    Planes at the ends that meet only a corner of the volume are left out.
    """
    from scipy.ndimage import affine_transform

    extent = np.array(image.voxels.shape[::-1])
    faces = np.array(np.meshgrid(*[(-0.5, n - 0.5) for n in extent], indexing="ij")).reshape(3, 8)
    corners = image.ijk_to_ras[:3, :3] @ faces + image.ijk_to_ras[:3, 3:]
    size = corners.max(1) - corners.min(1)
    step = np.asarray(image.spacing_mm, float)[list(axes)]
    columns, rows, planes = (int(n) for n in np.ceil(size / step - 1e-6))
    # The first pixel is the most right, anterior and inferior; steps go one plane up, one row back, one column left.
    start = corners.mean(1) + step * np.array([columns - 1, rows - 1, 1 - planes]) / 2
    steps = np.array([[0, 0, -step[0]], [0, -step[1], 0], [step[2], 0, 0]])
    ras_to_ijk = np.linalg.inv(image.ijk_to_ras)

    def ijk_of(plane_row_column: np.ndarray) -> np.ndarray:
        return ras_to_ijk[:3, :3] @ (steps @ plane_row_column + start[:, None]) + ras_to_ijk[:3, 3:]

    sample = np.array(
        np.meshgrid(np.arange(planes), np.linspace(0, rows - 1, 24), np.linspace(0, columns - 1, 24), indexing="ij")
    )
    ijk = ijk_of(sample.reshape(3, -1))
    covered = ((ijk >= -0.5) & (ijk <= extent[:, None] - 0.5)).all(0).reshape(planes, -1).mean(1)
    kept = np.flatnonzero(covered >= LEAST_COVERED * covered.max())
    lowest, highest = int(kept[0]), int(kept[-1]) + 1

    def read(first: int, stop: int) -> np.ndarray:
        offset = ijk_of(np.array([[lowest + first], [0], [0]]))[::-1, 0]
        matrix = (ras_to_ijk[:3, :3] @ steps)[::-1]
        return affine_transform(
            image.voxels,
            matrix,
            offset,
            (stop - first, rows, columns),
            output=np.float32,
            order=1,
            mode="grid-constant",
        )

    return AxialPlanes(
        start[2] + np.arange(lowest, highest) * step[2],
        (float(step[1]), float(step[0])),
        (rows, columns),
        read,
        complete=float((covered > 0.9 * covered.max()).mean()),
    )


def resize_weights(count: int, spacing_mm: float, size: int, side_mm: float) -> np.ndarray:
    """Weights (size, count) that resize `count` pixels, centred, to `size` pixels over `side_mm`.

    Linear interpolation where the input is coarser, and a tent as wide as the output pixel (no aliasing) where it is
    finer. Output pixels whose centre lies outside the input are 0.
    """
    pixel = side_mm / size
    to = (np.arange(size) - (size - 1) / 2) * pixel
    at = (np.arange(count) - (count - 1) / 2) * spacing_mm
    weights = np.maximum(0, 1 - np.abs(to[:, None] - at[None]) / max(pixel, spacing_mm))
    inside = np.abs(to) <= count * spacing_mm / 2
    total = weights.sum(1)
    return (weights * (inside / np.where(total > 0, total, 1))[:, None]).astype(np.float32)


def scale_intensity(images: np.ndarray, inside: np.ndarray, dimmest: float = 0.0) -> np.ndarray:
    """Scale each image to [0, 1] by its own percentiles 1 and 99, robustly against coil fall-off along the body.

    Args:
        images: (N, size, size) float32. inside: (size, size) bool, the pixels that show the volume.
        dimmest: no image's range is taken as smaller than this (in intensities), so that noise is not blown up.
    """
    low, high = np.percentile(images[:, inside], (LOW_PERCENTILE, HIGH_PERCENTILE), axis=1)
    span = np.maximum(high - low, max(dimmest, 1e-20))
    scaled = (images - low[:, None, None]) / span[:, None, None]
    return np.clip(scaled, 0, 1, dtype=np.float32) * inside


def slice_inputs(image: Image, size: int = 96, job: Job = Job()) -> SliceInputs:
    """All axial slices of `image` as the network's input.

    Args:
        image: any orientation and spacing.
        size: side of the network's input in pixels.
    """
    planes = axial_planes(image)
    side = planes.side_mm
    by_row = resize_weights(planes.shape[0], planes.spacing_mm[0], size, side)
    by_column = resize_weights(planes.shape[1], planes.spacing_mm[1], size, side)
    inside = np.outer(by_row.any(1), by_column.any(1))
    images = np.empty((len(planes), size, size), np.float32)
    for first in range(0, len(planes), BLOCK):
        job.progress(first / len(planes), _("reading slices"))
        stop = min(first + BLOCK, len(planes))
        images[first:stop] = by_row @ planes.read(first, stop) @ by_column.T
    tissue = shows_tissue(images, inside)
    spans = np.subtract(*np.percentile(images[:, inside], (HIGH_PERCENTILE, LOW_PERCENTILE), axis=1))
    dimmest = DIMMEST * float(np.percentile(spans, 90))
    for first in range(0, len(planes), BLOCK):  # in place, block by block: percentiles copy what they are given
        block = slice(first, first + BLOCK)
        images[block] = scale_intensity(images[block], inside, dimmest)
    return SliceInputs(images, side, planes.positions_mm, tissue)


def shows_tissue(images: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """(N,) bool: which slices show more than air.

    A slice without tissue is far darker than the volume's bright slices, or dim and without structure (noise has no
    pixels that stand out of its median once it is averaged over a few pixels).

    Args:
        images: (N, size, size) float32, unscaled. inside: (size, size) bool, the pixels that show the volume.
    """
    from scipy.ndimage import uniform_filter

    smooth = uniform_filter(images, (0, 3, 3))[:, inside]
    floor, middle, bright = np.percentile(smooth, (2, 50, 98), axis=1)
    floor = min(float(floor.min()), float(middle.min()))  # offset of the volume's intensities
    bright, middle = bright - floor, middle - floor
    reference = np.percentile(bright, 95)
    return (bright > 0.05 * reference) & ((bright > 0.2 * reference) | (bright > 2 * middle))
