"""A segmented kidney: its implicit function on the working grid, and what follows from it at the image's own voxels."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import ndimage as ndi

from ..image import Image
from ..words import _
from .grid import Grid, to_native
from .measures import Measures, measure
from .points import CorrectionError, Points

MOST_UNSEEN = 0.05  # of a kidney's volume, without a warning


class SegmentationError(ValueError):
    """No kidney was found, or something else was asked for that makes no sense; the message says what to do."""


@dataclass(frozen=True, eq=False)
class KidneySegmentation:
    """One answer.

    Attributes:
        image: what was segmented. grid: the working grid.
        method: one of `request.METHODS`.
        phi: (k, j, i) float32 on the grid, mm, positive inside; corrections included.
        confidence: from 0 to 1. Of the methods with a network, the Dice that it expects to have reached; of the
            classical one, see `implicit.confidence`.
        warnings: why the answer may be wrong, for the person who looks at it.
        points: those that are honoured.
        implausibility: length of the correction in standard deviations of the shape model; 0 without points.
        least_jacobian: the smallest determinant of the Jacobian of the local deformation and of the correction;
            positive, as they cannot fold. 1 where there is neither.
        population: "adult" or "child", whose network answered; None if there was but one, or none.
    """

    image: Image
    grid: Grid
    method: str
    phi: np.ndarray
    confidence: float
    warnings: tuple[str, ...]
    points: Points
    implausibility: float
    least_jacobian: float
    population: str | None = None

    @cached_property
    def measures(self) -> Measures:
        """Volume, length, width, thickness and surface area."""
        return measure(self.phi, self.grid)

    @cached_property
    def native(self) -> Image:
        """The implicit function at the image's own voxels."""
        return to_native(self.phi, self.grid, self.image)

    @cached_property
    def mask(self) -> np.ndarray:
        """(k, j, i) uint8 at the image's own voxels: one connected piece that honours every point in its voxel."""
        mask = np.zeros(self.image.shape, np.uint8)
        box = _box_of(self.phi, self.grid, self.image)
        voxels = self.image.voxels[box]
        if voxels.size:
            matrix = self.image.ijk_to_ras.copy()
            matrix[:3, 3] = self.image.ras_of([some.start for some in reversed(box)])
            mask[box] = largest_piece(to_native(self.phi, self.grid, Image(voxels, matrix)).voxels > 0)
        return mask


def largest_piece(inside: np.ndarray) -> np.ndarray:
    """The largest piece of a bool array (k, j, i), voxels joined along the axes; all of it if there is only one."""
    labels, count = ndi.label(inside)
    if count <= 1:
        return inside
    return labels == 1 + np.bincount(labels.ravel())[1:].argmax()


def one_piece(phi: np.ndarray, method: str) -> np.ndarray:
    """phi (k, j, i) with its largest piece alone positive. Raises SegmentationError if there is none."""
    if not np.isfinite(phi).all():
        raise SegmentationError(
            _("The {method} method found no finite result; get the model again.").format(method=method)
        )
    inside = phi > 0
    if not inside.any():
        raise nothing_found(method)
    kept = largest_piece(inside)
    return phi if kept is inside else np.where(inside & ~kept, -phi, phi)


def nothing_found(method: str) -> SegmentationError:
    """The error of a method that found no kidney."""
    return SegmentationError(
        _(
            "The {method} method found no kidney in this volume. If it shows one, try another method (the classical "
            "one starts from a seed point in the kidney)."
        ).format(method=method)
    )


def check_voxels(result: KidneySegmentation) -> None:
    """Raises CorrectionError unless every point is on its side in the mask, which is but one piece of phi > 0."""
    points = result.points
    if len(points):
        i, j, k = np.rint(result.image.ijk_of(points.ras_mm)).astype(int).T
        for index in np.flatnonzero((result.mask[k, j, i] > 0) != points.inside):
            raise CorrectionError(
                _(
                    "At the volume's own resolution, {point} would be cut off from the kidney. Move it, or place "
                    "another point between it and the kidney."
                ).format(point=points.name(index))
            )


def _extent(grid: Grid, image: Image) -> tuple[np.ndarray, np.ndarray]:
    """First and last voxel (k, j, i) of the image in fractional voxels of the grid; axes are parallel."""
    corners = grid.voxel_of(image.ras_of(np.stack([np.zeros(3), np.array(image.shape[::-1]) - 1])))
    return corners.min(axis=0), corners.max(axis=0)


def border_warning(phi: np.ndarray, grid: Grid, image: Image) -> str | None:
    """What to say if the shape phi > 0 ends, to half a node, where the volume or the grid does."""
    low, high = _extent(grid, image)
    low, high = np.maximum(low, 0), np.minimum(high, np.array(grid.shape) - 1)
    first, last = _inside_nodes(phi)
    if (first < low + 0.5).any() or (last > high - 0.5).any():
        return _("The kidney reaches the border of the volume: part of it is probably missing, and not measured.")
    return None


def unseen_warning(phi: np.ndarray, seen: np.ndarray) -> str | None:
    """What to say if more than `MOST_UNSEEN` of the shape phi > 0 lies outside of the field of view `seen` (bool)."""
    if not seen.any():  # a volume of one grey
        return None
    inside = phi > 0
    unseen = 1 - np.count_nonzero(inside & seen) / np.count_nonzero(inside)
    if unseen > MOST_UNSEEN:
        return _(
            "{percent} % of the kidney lies outside of what the probe shows: its outline there is a guess."
        ).format(percent=f"{100 * unseen:.0f}")
    return None


def _box_of(phi: np.ndarray, grid: Grid, image: Image) -> tuple[slice, slice, slice]:
    """The voxels of the image in which phi > 0 can be, none of them beyond the grid, where nothing is known."""
    first, last = _inside_nodes(phi)
    ends = np.clip([first - 2, last + 2], 0, np.array(grid.shape) - 1) + [[-0.5], [0.5]]
    ijk = image.ijk_of(grid.ras_of(ends))
    low = np.maximum(np.ceil(ijk.min(axis=0)), 0).astype(int)
    high = np.minimum(np.floor(ijk.max(axis=0)) + 1, image.shape[::-1]).astype(int)
    return tuple(slice(start, max(start, stop)) for start, stop in zip(low[::-1], high[::-1], strict=True))


def _inside_nodes(phi: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """First and last node (k, j, i) with phi > 0, of which there is at least one."""
    box = ndi.find_objects((phi > 0).view(np.int8), max_label=1)[0]
    return np.array([some.start for some in box]), np.array([some.stop - 1 for some in box])
