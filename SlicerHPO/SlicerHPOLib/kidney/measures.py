"""Measures of a kidney: volume, surface area, and length, width and thickness as clinicians take them.

All are taken from the zero level of an implicit function phi (positive inside), made a closed surface of triangles: the
samples are refined by cubic interpolation to at most `FINE_MM`, every cell is cut into six tetrahedra (Kuhn 1960) and
each tetrahedron by the plane of its linear interpolant (Doi & Koide 1991). Neighbouring cells share their diagonals, so
the surface has no cracks. Its volume is that of the divergence theorem, sum of a . (b x c) / 6.

Length is the longest distance between two points of the surface, pole to pole. Width is the longest distance in the
cross-section perpendicular to the length where that is largest, and thickness the longest chord of this cross-section
perpendicular to the width. Of an ellipsoid they are its three axes. The ellipsoid formula takes the volume as
pi / 6 x length x width x thickness (Hricak 1983), whatever the shape.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import permutations
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage as ndi
from scipy.interpolate import make_interp_spline
from scipy.special import ndtri

from ..words import _

if TYPE_CHECKING:
    from ..image import Image
    from .grid import Grid

FINE_MM = 1.5
SECTIONS, CHORDS = 41, 101  # cross-sections tried for the width, chords tried for the thickness
SMOOTHING_VOXELS = 0.7  # of a mask: its steps, not its shape


class MeasureError(ValueError):
    """There is no single shape to measure; the message says what there is."""


@dataclass(frozen=True, eq=False)
class Measures:
    """Measures of one shape.

    length_axis, width_axis, thickness_axis: (2, 3) end points on the surface, RAS mm, for drawing.
    warning: why the measures cannot be trusted, or None.
    """

    volume_ml: float
    surface_cm2: float
    length_axis: np.ndarray
    width_axis: np.ndarray
    thickness_axis: np.ndarray
    warning: str | None

    @property
    def length_mm(self) -> float:
        """Pole to pole."""
        return _length(self.length_axis)

    @property
    def width_mm(self) -> float:
        """Across the length, where it is widest."""
        return _length(self.width_axis)

    @property
    def thickness_mm(self) -> float:
        """Across length and width."""
        return _length(self.thickness_axis)

    @property
    def ellipsoid_volume_ml(self) -> float:
        """pi / 6 x length x width x thickness."""
        return np.pi / 6 * self.length_mm * self.width_mm * self.thickness_mm / 1000


def measure(phi: np.ndarray, grid: Grid) -> Measures:
    """Measure the shape phi > 0.

    Args:
        phi: (k, j, i) implicit function on the grid, mm, positive inside, smooth (near a signed distance).

    Raises:
        MeasureError: no shape, several pieces, or values that are not finite.
    """
    phi = np.asarray(phi, np.float32)
    if phi.shape != tuple(grid.shape):
        raise MeasureError(
            _("phi has shape {given}, its grid {grid}; they must be the same.").format(
                given=phi.shape, grid=tuple(grid.shape)
            )
        )
    return _measure(phi, grid.ijk_to_ras)


def measure_mask(mask: Image) -> Measures:
    """Measure the voxels of a mask that are not 0.

    A mask knows its surface to half a voxel. It is blurred, which takes away its steps; the blurred step of a plane is
    the normal distribution of the distance to it, whose inverse gives a distance again. The surface is the level of
    that which encloses the volume of the voxels.

    Raises:
        MeasureError: no voxels, or several pieces.
    """
    given = mask.voxels != 0
    _check_one_piece(given, mask.ijk_to_ras)
    inside = np.pad(given, 3)
    blurred = ndi.gaussian_filter(inside.astype(np.float32), SMOOTHING_VOXELS)
    phi = ndtri(np.clip(blurred, 1e-4, 1 - 1e-4)) * (SMOOTHING_VOXELS * mask.spacing_mm.mean())
    matrix = mask.ijk_to_ras.copy()
    matrix[:3, 3] -= matrix[:3, :3] @ (3, 3, 3)
    volume = given.sum() * abs(np.linalg.det(matrix[:3, :3]))
    for _step in range(3):  # Newton: the derivative of the volume is the area
        triangles = surface(phi, matrix)
        phi += (volume - _volume(triangles)) / _area(triangles)
    measures = _measure(phi, matrix)
    return replace(measures, warning=_BORDER) if _touches_border(given) else measures


_BORDER = _(
    "The shape touches the border of the volume, so part of it is probably missing: it is larger than measured."
)


def _measure(phi: np.ndarray, ijk_to_ras: np.ndarray) -> Measures:
    if not np.isfinite(phi).all():
        raise MeasureError(
            _("{count} of {total} values of phi are not finite.").format(
                count=(~np.isfinite(phi)).sum(), total=phi.size
            )
        )
    inside = phi > 0
    _check_one_piece(inside, ijk_to_ras)
    triangles = surface(phi, ijk_to_ras)
    length = _diameter(triangles.reshape(-1, 3))
    width, thickness = _cross_axes(triangles, length)
    warning = _BORDER if _touches_border(inside) else None
    return Measures(_volume(triangles) / 1000, _area(triangles) / 100, length, width, thickness, warning)


def _volume(triangles: np.ndarray) -> float:
    a, b, c = np.moveaxis(triangles - triangles.mean(axis=(0, 1)), 1, 0)
    return float(np.einsum("ni,ni->", a, np.cross(b, c))) / 6


def _area(triangles: np.ndarray) -> float:
    a, b, c = np.moveaxis(triangles, 1, 0)
    return float(np.linalg.norm(np.cross(b - a, c - a), axis=1).sum()) / 2


def surface(phi: np.ndarray, ijk_to_ras: np.ndarray) -> np.ndarray:
    """The zero level of phi (k, j, i) as triangles (n, 3 corners, 3) in RAS mm that turn anticlockwise seen from
    outside. Where the shape leaves the volume it is closed within one voxel."""
    spacing = np.linalg.norm(ijk_to_ras[:3, :3], axis=0)[::-1]
    # Three voxels around the shape are enough for the spline
    pad = 3
    box = ndi.find_objects((phi > 0).view(np.int8), max_label=1)[0]
    low = np.array([max(some.start - pad, 0) for some in box])
    values = phi[tuple(slice(start, some.stop + pad) for start, some in zip(low, box, strict=True))]
    factors = np.ceil(spacing / FINE_MM).astype(int)
    for axis, factor in enumerate(factors):
        n = values.shape[axis]
        if n > 1:
            at = np.arange((n - 1) * factor + 1) / factor
            weights = make_interp_spline(np.arange(n), np.eye(n), k=min(3, n - 1))(at)
            values = np.moveaxis(np.tensordot(weights.astype(np.float32), values, (1, axis)), 0, axis)
    values = np.pad(values, 1, constant_values=-spacing.min())
    voxel = (_tetrahedra(values) - 1) / factors + low
    triangles = voxel[..., ::-1] @ ijk_to_ras[:3, :3].T + ijk_to_ras[:3, 3]
    return triangles if np.linalg.det(ijk_to_ras[:3, :3]) < 0 else triangles[:, ::-1]


def _tetrahedra(values: np.ndarray) -> np.ndarray:
    """Triangles (n, 3, 3) in voxels (k, j, i) of the zero level; right-handed in (k, j, i)."""
    inside = values > 0
    corners = np.stack(np.meshgrid([0, 1], [0, 1], [0, 1], indexing="ij"), -1).reshape(8, 3)
    last = np.array(values.shape) - 1
    shifted = (tuple(slice(c, c + n) for c, n in zip(corner, last, strict=True)) for corner in corners)
    count = sum(inside[some].view(np.int8) for some in shifted)
    cells = np.argwhere((count > 0) & (count < 8))
    steps = np.eye(3, dtype=int)[list(permutations(range(3)))]  # Kuhn: from corner 000 to 111, one axis at a time
    paths = np.concatenate([np.zeros((6, 1, 3), int), steps.cumsum(axis=1)], axis=1)
    nodes = (cells[:, None, None] + paths).reshape(-1, 4, 3)
    value = values[tuple(np.moveaxis(nodes, -1, 0))]
    crossed = (value > 0).any(axis=1) & (value <= 0).any(axis=1)
    nodes, value = nodes[crossed], value[crossed]
    order = np.argsort(-value, axis=1)  # inside first
    nodes, value = np.take_along_axis(nodes, order[..., None], 1).astype(float), np.take_along_axis(value, order, 1)
    number = (value > 0).sum(axis=1)

    triangles = []
    for count_inside, edges in _EDGES.items():
        some = number == count_inside
        p, v = nodes[some], value[some].astype(float)
        points = []
        for a, b in edges:
            t = (v[:, a] / (v[:, a] - v[:, b]))[:, None]
            points.append(p[:, a] + t * (p[:, b] - p[:, a]))
        outwards = p[:, count_inside:].mean(axis=1) - p[:, :count_inside].mean(axis=1)
        for first in range(len(points) - 2):
            corner = np.stack([points[0], points[first + 1], points[first + 2]], axis=1)
            normal = np.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0])
            wrong = (normal * outwards).sum(axis=1) < 0
            corner[wrong] = corner[wrong, ::-1]
            triangles.append(corner)
    return np.concatenate(triangles)


# By the number of corners inside (they come first): the crossed edges, in their order around the cut
_EDGES = {1: ((0, 1), (0, 2), (0, 3)), 2: ((0, 2), (0, 3), (1, 3), (1, 2)), 3: ((3, 0), (3, 1), (3, 2))}


def _diameter(points: np.ndarray) -> np.ndarray:
    """The farthest two (2, d) of points (n, d): from the direction of largest extent, the farthest point from either
    end in turn until nothing is gained."""
    centre = points.mean(axis=0)
    distance = np.linalg.norm(points - centre, axis=1)
    start = points[distance.argmax()]
    reach = np.linalg.norm(points - start, axis=1).max()
    points = points[distance >= reach - distance.max() - 1e-9]  # nearer ones are no end of a longer line
    extents = np.ptp(points @ _directions(points.shape[1]).T, axis=0)
    along = points @ _directions(points.shape[1])[extents.argmax()]
    first, second = points[along.argmin()], points[along.argmax()]
    longest = 0.0
    while (length := float(np.linalg.norm(second - first))) > longest:
        longest = length
        first = points[((points - second) ** 2).sum(1).argmax()]
        second = points[((points - first) ** 2).sum(1).argmax()]
    return np.stack([first, second])


def _directions(dimension: int, count: int = 400) -> np.ndarray:
    """(count, dimension) unit vectors spread evenly over half of the circle or sphere (Fibonacci spiral)."""
    if dimension == 2:
        angle = np.pi * np.arange(count) / count
        return np.stack([np.cos(angle), np.sin(angle)], -1)
    z = (np.arange(count) + 0.5) / count
    angle = np.pi * (3 - np.sqrt(5)) * np.arange(count)
    radius = np.sqrt(1 - z**2)
    return np.stack([radius * np.cos(angle), radius * np.sin(angle), z], -1)


def _cross_axes(triangles: np.ndarray, length: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Width and thickness (2, 3) each, of the widest of the cross-sections perpendicular to the length (2, 3)."""
    axis = length[1] - length[0]
    axis /= np.linalg.norm(axis)
    across = np.linalg.svd(axis[None])[2][1:]  # (2, 3)
    height = triangles @ axis
    lowest, highest = height.min(axis=1), height.max(axis=1)
    stations = np.linspace(*(length @ axis), SECTIONS + 2)[1:-1]
    cuts = [np.flatnonzero((lowest <= station) & (highest > station)) for station in stations]
    sections = [_section(triangles[cut], height[cut], at) for cut, at in zip(cuts, stations, strict=True)]
    pairs = [_diameter(section.reshape(-1, 3) @ across.T) if len(section) else np.zeros((2, 2)) for section in sections]
    widest = int(np.argmax([_length(pair) for pair in pairs]))
    section, (first, second) = sections[widest], pairs[widest]
    middle = stations[widest] * axis
    width = pairs[widest] @ across + middle

    u = (second - first) / np.linalg.norm(second - first)
    v = np.array([-u[1], u[0]])
    flat = section @ across.T  # (segments, 2 ends, 2)
    along, depth = flat @ u, flat @ v
    at = np.linspace(first @ u, second @ u, CHORDS + 2)[1:-1]
    crossed = (along.min(axis=1) <= at[:, None]) & (along.max(axis=1) > at[:, None])
    with np.errstate(divide="ignore", invalid="ignore"):
        t = (at[:, None] - along[:, 0]) / (along[:, 1] - along[:, 0])
        value = depth[:, 0] + t * (depth[:, 1] - depth[:, 0])
    low, high = np.where(crossed, value, np.inf).min(axis=1), np.where(crossed, value, -np.inf).max(axis=1)
    chord = int((high - low).argmax())
    ends = np.stack([at[chord] * u + low[chord] * v, at[chord] * u + high[chord] * v])
    return width, ends @ across + middle


def _section(triangles: np.ndarray, height: np.ndarray, station: float) -> np.ndarray:
    """Segments (n, 2, 3) in which triangles (n, 3, 3) with corners at heights (n, 3) meet the plane at `station`, which
    has corners of each on both sides."""
    above = height > station
    lone = np.where(above.sum(axis=1) == 1, above.argmax(axis=1), (~above).argmax(axis=1))  # alone on its side
    rows, ends = np.arange(len(lone)), []
    for other in (1, 2):
        b = (lone + other) % 3
        t = ((station - height[rows, lone]) / (height[rows, b] - height[rows, lone]))[:, None]
        ends.append(triangles[rows, lone] + t * (triangles[rows, b] - triangles[rows, lone]))
    return np.stack(ends, axis=1)


def _length(pair: np.ndarray) -> float:
    return float(np.linalg.norm(pair[1] - pair[0]))


def _touches_border(inside: np.ndarray) -> bool:
    return any(np.take(inside, (0, -1), axis).any() for axis in range(3))


def _check_one_piece(inside: np.ndarray, ijk_to_ras: np.ndarray) -> None:
    labels, count = ndi.label(inside)
    if count == 0:
        raise MeasureError(_("The shape is empty: there is nothing to measure."))
    if count > 1:
        ml = np.sort(np.bincount(labels.flat)[1:])[::-1] * abs(np.linalg.det(ijk_to_ras[:3, :3])) / 1000
        sizes = ", ".join(f"{volume:.2g}" for volume in ml[:4]) + (", ..." if count > 4 else "")
        raise MeasureError(
            _("The shape has {count} pieces ({sizes} ml); measures are of one. Keep one of them.").format(
                count=count, sizes=sizes
            )
        )
