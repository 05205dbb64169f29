"""How near a segmentation is to the truth: overlap, and distances of the two surfaces in mm.

A shape is an implicit function in mm, positive inside (floating-point arrays), or a mask, inside where not 0 (all
others). Its surface is a set of elements with an area: the triangles of the zero level of an implicit function (see
`measures.surface`), within the voxels; the voxel faces between inside and outside of a mask. Both are closed where the
shape meets the border of its grid. Surface measures weigh elements by their area, as Nikolov et al. (2021) do: elements
of different size count for what they cover.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage as ndi
from scipy.spatial import cKDTree
from SlicerHPOLib.kidney.measures import surface

TOLERANCE_MM = 2.0
PERCENT = 95.0


@dataclass(frozen=True)
class Score:
    """A segmentation beside the truth.

    Attributes:
        dice: 2 |A and B| / (|A| + |B|) of the voxels; 1 if both shapes are empty.
        hausdorff95_mm: 95 % of the surface of either shape is no farther than this from the other's surface: the larger
            of the two one-sided percentiles. 0 if both shapes are empty, infinite if one is.
        surface_dice: part of both surfaces that is within the tolerance of the other one (Nikolov et al. 2021). 1 if
            both shapes are empty, 0 if one is.
        components: pieces of the segmentation, voxels joined by faces.
        volume_ml: of the segmentation, voxels. volume_error_ml: the same less the truth's.
    """

    dice: float
    hausdorff95_mm: float
    surface_dice: float
    components: int
    volume_ml: float
    volume_error_ml: float


def score(prediction: np.ndarray, truth: np.ndarray, spacing_mm, tolerance_mm: float = TOLERANCE_MM) -> Score:
    """Compare two shapes on one grid.

    Args:
        prediction, truth: (k, j, i) implicit function or mask each, not necessarily of one kind.
        spacing_mm: (3,) along i, j, k, as `Image.spacing_mm`, or one number.
        tolerance_mm: of the surface Dice.

    Raises:
        ValueError: arrays that are not three-dimensional, of one shape and finite, or a spacing that is not positive.
    """
    spacing = np.broadcast_to(np.asarray(spacing_mm, float), 3)
    _check(prediction, truth, spacing)
    a, b = (shape > 0 if _implicit(shape) else shape != 0 for shape in (prediction, truth))
    count_a, count_b = int(a.sum()), int(b.sum())
    voxel_ml = float(spacing.prod()) / 1000
    dice = 2 * int((a & b).sum()) / (count_a + count_b) if count_a + count_b else 1.0
    if count_a and count_b:
        one, other = surface_of(prediction, spacing), surface_of(truth, spacing)
        there, back = one.distances_to(other), other.distances_to(one)
        hausdorff = max(percentile(there, one.areas), percentile(back, other.areas))
        within = one.areas[there <= tolerance_mm].sum() + other.areas[back <= tolerance_mm].sum()
        surface_dice = float(within / (one.areas.sum() + other.areas.sum()))
    else:
        hausdorff, surface_dice = (np.inf, 0.0) if count_a or count_b else (0.0, 1.0)
    volume = count_a * voxel_ml
    return Score(dice, hausdorff, surface_dice, int(ndi.label(a)[1]), volume, volume - count_b * voxel_ml)


@dataclass(frozen=True, eq=False)
class Surface:
    """centres: (n, 3) of its elements, mm. areas: (n,) mm2. points: (m, 3) spread over it, the centres among them."""

    centres: np.ndarray
    areas: np.ndarray
    points: np.ndarray

    def distances_to(self, other: Surface) -> np.ndarray:
        """(n,) from every element's centre to the nearest of the other surface's points, mm."""
        return cKDTree(other.points, balanced_tree=False).query(self.centres)[0]


def surface_of(shape: np.ndarray, spacing_mm: np.ndarray) -> Surface:
    """The surface of an implicit function or mask (k, j, i) that is not empty, in mm along i, j, k."""
    return _triangles(shape, spacing_mm) if _implicit(shape) else _faces(shape != 0, spacing_mm)


def _triangles(phi: np.ndarray, spacing_mm: np.ndarray) -> Surface:
    corners = surface(phi, np.diag([*spacing_mm, 1.0]))  # (n, 3, 3)
    a, b, c = np.moveaxis(corners, 1, 0)
    areas = np.linalg.norm(np.cross(b - a, c - a), axis=1) / 2
    centres = corners.mean(axis=1)
    # Triangles are up to 2 mm long: with corners and middles of edges, a point is seldom over 0.4 mm away.
    points = np.concatenate([centres, a, b, c, (a + b) / 2, (b + c) / 2, (c + a) / 2])
    return Surface(centres, areas, points)


def _faces(inside: np.ndarray, spacing_mm: np.ndarray) -> Surface:
    inside = np.pad(inside, 1).astype(np.int8)
    centres, areas = [], []
    for axis, direction in enumerate((2, 1, 0)):  # of the array (k, j, i); of the spacing (i, j, k)
        face = np.argwhere(np.diff(inside, axis=axis)).astype(float) - 1
        face[:, axis] += 0.5
        centres.append(face[:, ::-1] * spacing_mm)
        areas.append(np.full(len(face), np.delete(spacing_mm, direction).prod()))
    centres = np.concatenate(centres)
    return Surface(centres, np.concatenate(areas), centres)


def percentile(distances: np.ndarray, areas: np.ndarray, percent: float = PERCENT) -> float:
    """The least of the distances (n,) that `percent` of the area (n,) does not exceed."""
    order = np.argsort(distances)
    covered = np.cumsum(areas[order])
    # Sums of many areas are not exact: an element that completes the share to rounding completes it.
    first = np.searchsorted(covered, percent / 100 * covered[-1] * (1 - 1e-12))
    return float(distances[order[first]])


def _implicit(shape: np.ndarray) -> bool:
    return shape.dtype.kind == "f"


def _check(prediction: np.ndarray, truth: np.ndarray, spacing_mm: np.ndarray) -> None:
    if prediction.ndim != 3 or prediction.shape != truth.shape:
        raise ValueError(
            "A segmentation and the truth are two arrays (k, j, i) of one shape; "
            f"given are {prediction.shape} and {truth.shape}."
        )
    if not (np.isfinite(prediction).all() and np.isfinite(truth).all()):
        raise ValueError("An implicit function has finite values only.")
    if not (np.isfinite(spacing_mm).all() and (spacing_mm > 0).all()):
        raise ValueError(f"A spacing is positive along i, j and k; given is {spacing_mm.tolist()} mm.")
