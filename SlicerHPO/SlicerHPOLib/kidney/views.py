"""Views of a kidney: the planes through it in which it is measured, and its surface seen from outside.

The planes lie along and across the kidney's length, wherever the volume's axes point, and are turned as sonographers
show them: the upper pole on the left and anterior at the top of the long-axis plane, the patient's right on the left
and anterior at the top of the transverse one. They pass through the measured axes, so that these are seen at full
length.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage as ndi

from ..image import Image
from .grid import Grid
from .measures import Measures
from .spline import Spline

MARGIN = 0.3  # of the kidney's length, shown around it
ELEVATION_DEG, AZIMUTH_DEG = 25.0, -20.0  # from which the surface is seen, away from the front
LIGHT = np.array([-0.45, 0.6, 0.66])  # direction to the light: right, up, towards the viewer
SURFACE_COLOUR = np.array([0.96, 0.70, 0.42])
BISECTIONS = 6


@dataclass(frozen=True, eq=False)
class View:
    """A rectangle in space, looked at from its front.

    Attributes:
        centre_mm: (3,) RAS. right, up: (3,) unit directions in RAS, perpendicular. size_mm: width and height.
    """

    name: str
    centre_mm: np.ndarray
    right: np.ndarray
    up: np.ndarray
    size_mm: tuple[float, float]

    @property
    def towards(self) -> np.ndarray:
        """(3,) unit direction to the viewer."""
        return np.cross(self.right, self.up)

    @property
    def extent_mm(self) -> tuple[float, float, float, float]:
        """Left, right, bottom and top edge from the centre."""
        w, h = self.size_mm
        return -w / 2, w / 2, -h / 2, h / 2

    def points(self, step_mm: float) -> np.ndarray:
        """(rows, columns, 3) RAS mm of the middles of pixels of about `step_mm`, rows from bottom to top."""
        columns, rows = (max(round(size / step_mm), 2) for size in self.size_mm)
        x, y = (((np.arange(n) + 0.5) / n - 0.5) * size for n, size in zip((columns, rows), self.size_mm, strict=True))
        return self.centre_mm + y[:, None, None] * self.up + x[:, None] * self.right

    def place(self, ras_mm: np.ndarray) -> np.ndarray:
        """(..., 3) of points (..., 3) in RAS: to the right of the centre, above it and before the plane, mm."""
        return (np.asarray(ras_mm) - self.centre_mm) @ np.stack([self.right, self.up, self.towards], 1)


def kidney_views(phi: np.ndarray, grid: Grid, measures: Measures) -> tuple[View, View, View, View]:
    """Long-axis plane, transverse plane and coronal plane, and the view of the surface, all around one kidney.

    The long-axis and the coronal plane hold the length, and have one width; the transverse plane holds width and
    thickness, and is as high as the long-axis plane and as wide as the coronal one is high.
    """
    axes = kidney_axes(measures)
    points = grid.ras_of(np.argwhere(phi > 0))
    inside = points @ axes
    reach = grid.spacing_mm.max() / 2 + MARGIN * measures.length_mm
    low, high = inside.min(axis=0) - reach, inside.max(axis=0) + reach
    (x, y, z), (width, thickness, length) = (low + high) / 2, high - low
    x_of_length, y_of_length, _ = measures.length_axis[0] @ axes
    z_of_width = measures.width_axis[0] @ axes[:, 2]
    across, through, along = axes.T
    coronal = View("Coronal", axes @ (x, y_of_length, z), -along, -across, (length, width))
    return (
        View("Long axis", axes @ (x_of_length, y, z), -along, through, (length, thickness)),
        View("Transverse", axes @ (x, y, z_of_width), -across, through, (width, thickness)),
        coronal,
        _from_outside(coronal, points),
    )


def kidney_axes(measures: Measures) -> np.ndarray:
    """(3, 3) right-handed, whose columns are the directions across the kidney (to the patient's right), through it (to
    anterior) and along its length (to superior).

    A kidney that lies across the body, or in a volume whose header does not know the body, is taken for turned by less
    than a right angle; of one that points to anterior, superior is at the top.
    """
    along = measures.length_axis[1] - measures.length_axis[0]
    along = along / np.linalg.norm(along)
    along = along * (1 if along @ (0.6, 0.4, 1) >= 0 else -1)
    top = np.array((0.0, 1, 0) if abs(along[1]) < 0.9 else (0.0, 0, 1))
    through = top - (top @ along) * along
    through = through / np.linalg.norm(through)
    return np.stack([np.cross(through, along), through, along], axis=1)


def _from_outside(front: View, points_mm: np.ndarray) -> View:
    """The square view of all points (n, 3), from a little beside and above the front."""
    from scipy.spatial.transform import Rotation

    turn = Rotation.from_rotvec(np.radians(AZIMUTH_DEG) * front.up)
    turn = turn * Rotation.from_rotvec(np.radians(-ELEVATION_DEG) * front.right)
    turned = View("Surface", front.centre_mm, turn.apply(front.right), turn.apply(front.up), front.size_mm)
    places = turned.place(points_mm)
    low, high = places.min(axis=0), places.max(axis=0)
    centre = front.centre_mm + np.stack([turned.right, turned.up, turned.towards], 1) @ ((low + high) / 2)
    side = (high - low).max() * (1 + MARGIN)
    return View(turned.name, centre, turned.right, turned.up, (side, side))


def slice_of(image: Image, view: View, step_mm: float) -> np.ndarray:
    """(rows, columns) float32 of the image in the plane of the view, linearly interpolated; NaN outside the volume."""
    last = np.array(image.shape)[:, None, None] - 1
    voxel = np.moveaxis(image.ijk_of(view.points(step_mm)), -1, 0)[::-1]
    inside = ((voxel >= -0.5) & (voxel <= last + 0.5)).all(axis=0)
    voxels = image.voxels.view(np.uint8) if image.voxels.dtype == bool else image.voxels
    values = ndi.map_coordinates(voxels, np.clip(voxel, 0, last), np.float32, order=1)
    return np.where(inside, values, np.nan)


def level_in(phi: Spline, view: View, step_mm: float) -> np.ndarray:
    """(rows, columns) of the implicit function in the plane of the view, by cubic splines."""
    points = view.points(step_mm)
    return phi(points.reshape(-1, 3).T).reshape(points.shape[:2])


@dataclass(frozen=True, eq=False)
class Relief:
    """The surface as it is seen: where each pixel's ray first meets it. NaN where it does not.

    points_mm: (rows, columns, 3) RAS. normals: (rows, columns, 3) unit vectors outwards, RAS.
    """

    points_mm: np.ndarray
    normals: np.ndarray

    @property
    def seen(self) -> np.ndarray:
        """(rows, columns) bool."""
        return np.isfinite(self.points_mm[..., 0])


def relief(phi: np.ndarray, grid: Grid, view: View, step_mm: float) -> Relief:
    """The zero level of phi, seen in parallel projection.

    Rays step by the distance to the surface that phi leaves them at least (sphere tracing, Hart 1996), and by a quarter
    of a voxel at least; where they enter, the step is bisected.
    """
    level = Spline(phi, grid)
    pixels = view.points(step_mm)
    depth = (grid.ras_of(np.argwhere(phi > 0)) - view.centre_mm) @ view.towards
    least = grid.spacing_mm.min() / 4
    start = depth.max() + 2 * grid.spacing_mm.max()
    length = start - depth.min() + 2 * grid.spacing_mm.max()
    slope = _steepest(phi, grid)

    origins = pixels.reshape(-1, 3) + start * view.towards
    way = np.zeros(len(origins))  # of each ray
    before = np.zeros(len(origins))
    entered = np.zeros(len(origins), bool)
    going = np.arange(len(origins))
    while len(going):
        value = level((origins[going] - way[going, None] * view.towards).T)
        entered[going[value > 0]] = True
        going, value = going[value <= 0], value[value <= 0]
        before[going] = way[going]
        way[going] += np.maximum(-value / slope, least)
        going = going[way[going] < length]

    low, high, origins = before[entered], way[entered], origins[entered]
    for _ in range(BISECTIONS):
        half = (low + high) / 2
        inside = level((origins - half[:, None] * view.towards).T) > 0
        low, high = np.where(inside, low, half), np.where(inside, half, high)
    at = origins - high[:, None] * view.towards
    reach = grid.spacing_mm.mean() / 4
    gradient = np.stack([level((at + d).T) - level((at - d).T) for d in np.eye(3) * reach], -1)
    normal = -gradient / np.maximum(np.linalg.norm(gradient, axis=-1, keepdims=True), 1e-9)
    points, normals = np.full((2, *pixels.shape), np.nan)
    points.reshape(-1, 3)[entered], normals.reshape(-1, 3)[entered] = at, normal
    return Relief(points, normals)


def _steepest(phi: np.ndarray, grid: Grid) -> float:
    """The largest slope of phi, but for a hundredth, near its zero level; 1 for a signed distance."""
    steps = grid.spacing_mm[::-1]
    slopes = [np.gradient(phi, h, axis=axis) for axis, h in enumerate(steps) if phi.shape[axis] > 1]
    near = np.abs(phi) < np.quantile(np.abs(phi), 0.1)
    return max(float(np.quantile(np.sqrt(sum(s[near] ** 2 for s in slopes)), 0.99)), 1.0)


def shaded(seen: Relief, view: View) -> np.ndarray:
    """(rows, columns, 3) colours in [0, 1]: the relief lit from the upper left, on white."""
    facing = seen.normals @ np.stack([view.right, view.up, view.towards], 1)
    light = LIGHT / np.linalg.norm(LIGHT)
    half = light + (0, 0, 1)
    diffuse = 0.5 + 0.5 * (facing @ light)  # wrapped around: no side is black
    shine = np.maximum(facing @ (half / np.linalg.norm(half)), 0) ** 40
    colour = SURFACE_COLOUR * (0.12 + 0.88 * diffuse[..., None] ** 1.5) + 0.18 * shine[..., None]
    colour = colour * (0.55 + 0.45 * np.clip(facing[..., 2:], 0, 1) ** 0.5)  # darker towards the rim
    return np.where(seen.seen[..., None], np.clip(colour, 0, 1), 1.0)
