"""The template: the kidney's shape as an unsaturated signed distance in mm, positive inside (Bertrand 2019, 4.3).

From one shape, as in the source, or from many: their mean and its modes of variation, the principal components of their
aligned signed distances (Leventon et al. 2000; Prevost et al. 2013).

The template's frame: origin in the middle of its box; z along the longest principal axis of the kidney, to the superior
pole; x along the widest of the others, away from the hilum (lateral); y = z x x. Axes x, y, z run along i, j, k of the
arrays. A left and a right kidney are each other's mirror image in y, so the mean of many is made symmetric in y, and
serves both sides.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from scipy import ndimage

from ..files import replacing
from ..image import Image

SPACING_MM, SIZE = 3.0, 56  # of the template's box: 165 mm
BAND_MM = 15.0  # shapes are compared this near to their surfaces
ROUNDS = 3  # of alignment to the mean
SAMPLES = 3000  # points at which two shapes are compared


class TemplateError(ValueError):
    """A mask or file from which no template can be made; the message says what is expected."""


@dataclass(frozen=True, eq=False)
class Template:
    """A mean shape and its variation.

    phi: (d, h, w) float32 signed distance of the mean, mm. modes: (M, d, h, w) float32, what one standard deviation
    adds to it; M may be 0. explained: (M,) part of the shapes' variance that each mode explains. spacing_mm: of the
    cubic voxels.
    """

    phi: np.ndarray
    modes: np.ndarray
    explained: np.ndarray
    spacing_mm: float

    def __post_init__(self):
        phi, modes = np.asarray(self.phi, np.float32), np.asarray(self.modes, np.float32)
        explained = np.asarray(self.explained, np.float32)
        if phi.ndim != 3 or min(phi.shape) < 2 or modes.shape[1:] != phi.shape or explained.shape != modes.shape[:1]:
            raise TemplateError(
                "A template is phi (d, h, w), modes (M, d, h, w) and explained (M,); given are "
                f"{phi.shape}, {modes.shape} and {explained.shape}."
            )
        if not (np.isfinite(phi).all() and np.isfinite(modes).all() and self.spacing_mm > 0):
            raise TemplateError("A template needs finite distances and a positive spacing.")
        if not phi.min() < 0 < phi.max():
            raise TemplateError("A template has an inside (positive) and an outside (negative); this one has not both.")
        for name, value in (("phi", phi), ("modes", modes), ("explained", explained)):
            object.__setattr__(self, name, value)

    def shape(self, coefficients: Sequence[float]) -> np.ndarray:
        """The implicit function (d, h, w) at these coefficients of the first modes, in standard deviations."""
        c = np.asarray(coefficients, np.float32)
        if c.ndim != 1 or len(c) > len(self.modes):
            raise TemplateError(f"At most {len(self.modes)} coefficients are expected, not an array of {c.shape}.")
        return self.phi + np.tensordot(c, self.modes[: len(c)], 1)

    def with_modes(self, count: int) -> Template:
        """The template with the first `count` of its modes."""
        return replace(self, modes=self.modes[:count], explained=self.explained[:count])


def signed_distance(mask: Image) -> Image:
    """Signed distance in mm, positive inside, of a mask (inside where not 0) at its own voxels.

    The surface is placed within the voxels: near it, a Gaussian of the mask is the normal distribution function of the
    distance over the Gaussian's width (exactly so for a plane), which is inverted. Away from it, the distance is the
    Euclidean one to the surface point of the nearest voxel of the surface.

    Raises:
        TemplateError: the mask is empty or full.
    """
    from scipy.special import ndtri

    inside = mask.voxels != 0
    if inside.all() or not inside.any():
        raise TemplateError(f"{mask.name or 'The mask'} is {'full' if inside.any() else 'empty'}: it has no surface.")
    spacing = mask.spacing_mm[::-1]
    sigma = spacing.max()
    occupied = ndimage.gaussian_filter(inside.astype(np.float64), sigma / spacing, mode="nearest")
    level = sigma * ndtri(np.clip(occupied, 1e-6, 1 - 1e-6))
    # A Gaussian moves a curved surface inwards, by half its variance times the sum of the principal curvatures.
    curvature = sum(
        np.gradient(n, h, axis=a) for a, (n, h) in enumerate(zip(_normal(level, spacing), spacing, strict=True))
    )
    level = level - sigma**2 / 2 * np.clip(curvature, -1 / sigma, 1 / sigma)
    level = np.where(inside, np.maximum(level, 1e-3), np.minimum(level, -1e-3))  # the mask decides which side
    return Image(_distance(level, spacing), mask.ijk_to_ras, mask.name)


def _distance(level: np.ndarray, spacing_mm: np.ndarray) -> np.ndarray:
    """Signed distance (float32) to the zero level of a function that is the distance to first order near it."""
    inside = level > 0
    surface = np.zeros(level.shape, bool)
    for axis in range(3):
        crossing = np.diff(inside, axis=axis)
        first, second = [slice(None)] * 3, [slice(None)] * 3
        first[axis], second[axis] = slice(None, -1), slice(1, None)
        surface[tuple(first)] |= crossing
        surface[tuple(second)] |= crossing
    nearest = ndimage.distance_transform_edt(~surface, spacing_mm, return_distances=False, return_indices=True)
    nearest = tuple(nearest)
    normal = _normal(level, spacing_mm)
    scale = spacing_mm[:, None, None, None]
    # From the surface point p = q - level(q) n(q) of the nearest surface voxel q to the voxel itself.
    way = (np.indices(level.shape) - np.stack(nearest)) * scale + (level * normal)[(slice(None), *nearest)]
    far = np.linalg.norm(way, axis=0)
    near = np.abs(
        (way * normal[(slice(None), *nearest)]).sum(0)
    )  # to the tangent plane: p is not quite the foot of the distance
    return (np.where(far < 2 * spacing_mm.max(), near, far) * np.where(inside, 1, -1)).astype(np.float32)


def _normal(level: np.ndarray, spacing_mm: np.ndarray) -> np.ndarray:
    """(3, d, h, w) unit gradient along the axes of the array."""
    gradient = np.stack(np.gradient(level, *spacing_mm))
    return gradient / np.maximum(np.linalg.norm(gradient, axis=0), 1e-6)


def template_of(distance: Image, spacing_mm: float = SPACING_MM, size: int = SIZE) -> Template:
    """The template of one shape, at its own size, without modes.

    Args:
        distance: signed distance in mm (see `signed_distance`).

    Raises:
        TemplateError: the shape is larger than the template's box.
    """
    phi = _resampled(distance, _moments(distance), spacing_mm, size)
    return _checked(Template(phi, np.zeros((0, *phi.shape)), np.zeros(0), spacing_mm))


def mean_template(
    distances: Sequence[Image], modes: int = 8, spacing_mm: float = SPACING_MM, size: int = SIZE
) -> Template:
    """Mean of many shapes with its modes of variation.

    Shapes are brought to the size and place of the first by their moments; of the four rotations that keep the main
    axes, the one nearest to the mean is taken, and refined by least squares (translation, rotation, one scale). The
    mean's size is the geometric mean of theirs.

    Args:
        distances: signed distances in mm (see `signed_distance`) of at least 2 kidneys of either side. modes: how many
            are kept, fewer if there are fewer.

    Raises:
        TemplateError: fewer than 2 shapes, or the mean is larger than the template's box.
    """
    if len(distances) < 2:
        raise TemplateError(f"A mean shape needs at least 2 shapes, not {len(distances)}.")
    frames = [_moments(distance) for distance in distances]
    size_mm = np.exp(np.mean([np.log(frame.size_mm) for frame in frames]))
    frames = [replace(frame, scale=frame.size_mm / size_mm) for frame in frames]
    mean = _resampled(distances[0], frames[0], spacing_mm, size)
    for _ in range(ROUNDS):
        frames = [_aligned(d, f, mean, spacing_mm) for d, f in zip(distances, frames, strict=True)]
        shapes = np.stack([_resampled(d, f, spacing_mm, size) for d, f in zip(distances, frames, strict=True)])
        shapes = np.concatenate([shapes, shapes[:, :, ::-1]])  # the other side of the body
        mean = shapes.mean(axis=0)
    deviations = (shapes - mean).reshape(len(shapes), -1)
    return _checked(Template(redistanced(mean, spacing_mm), *_principal(deviations, mean, modes), spacing_mm))


def _principal(deviations: np.ndarray, mean: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Modes (M, d, h, w), one standard deviation each, and the part of the variance that each explains, of deviations
    (n, d h w); the variance counts near the mean's surface."""
    weighted = deviations * np.exp(-((mean.ravel() / BAND_MM) ** 2) / 2)
    variances, vectors = np.linalg.eigh(weighted.astype(np.float64) @ weighted.T)
    variances, vectors = variances[::-1], vectors[:, ::-1].T
    count = min(count, int((variances > 1e-9 * variances[0]).sum()) if variances[0] > 0 else 0)
    modes = (vectors[:count] @ deviations).reshape(count, *mean.shape) / np.sqrt(len(deviations) - 1)
    signs = [np.sign(mode.flat[np.abs(mode).argmax()]) for mode in modes]  # an eigenvector has no sign of its own
    return modes * np.reshape(signs, (-1, 1, 1, 1)), variances[:count] / max(variances.sum(), 1e-30)


@dataclass(frozen=True, eq=False)
class _Frame:
    """Where a shape lies: template point x -> RAS mm is centre + scale axes x. size_mm: cube root of its volume."""

    centre: np.ndarray
    axes: np.ndarray  # (3, 3) columns x, y, z
    size_mm: float
    scale: float = 1.0

    def ras_of(self, points_mm: np.ndarray) -> np.ndarray:
        return points_mm @ (self.scale * self.axes.T) + self.centre


def _moments(distance: Image) -> _Frame:
    """Centre and principal axes of a shape. z points to superior, to anterior where it lies flat; x to where the shape
    is convex: its poles lie on the other side, to which they bend and the hilum opens."""
    inside = np.argwhere(distance.voxels > 0)[:, ::-1]
    points = distance.ras_of(inside)
    centre = points.mean(axis=0)
    axes = np.linalg.eigh(np.cov((points - centre).T, bias=True) + 1e-9 * np.eye(3))[1]
    x, z = axes[:, 1], axes[:, 2]
    z = z * (1 if z @ (0, 1e-3, 1) >= 0 else -1)
    x = x * (1 if ((points - centre) @ x) @ ((points - centre) @ z) ** 2 <= 0 else -1)
    volume = len(points) * abs(np.linalg.det(distance.ijk_to_ras[:3, :3]))
    return _Frame(centre, np.stack([x, np.cross(z, x), z], 1), float(np.cbrt(volume)))


def _points(spacing_mm: float, size: int) -> np.ndarray:
    """(size, size, size, 3) template points (x, y, z) of the voxels."""
    axis = (np.arange(size) - (size - 1) / 2) * spacing_mm
    return np.stack(np.meshgrid(axis, axis, axis, indexing="ij")[::-1], -1)


def _distance_at(distance: Image, ras_mm: np.ndarray) -> np.ndarray:
    """A signed distance at points (..., 3); beyond its voxels it grows on as the way to the nearest of them."""
    ijk = distance.ijk_of(ras_mm)
    nearest = np.clip(ijk, 0, np.array(distance.shape[::-1]) - 1)
    way = np.linalg.norm((ijk - nearest) * distance.spacing_mm, axis=-1)
    return ndimage.map_coordinates(distance.voxels, np.moveaxis(nearest, -1, 0)[::-1], order=1) - way


def _resampled(distance: Image, frame: _Frame, spacing_mm: float, size: int) -> np.ndarray:
    """The signed distance of the shape in the template's frame and scale, (size, size, size)."""
    return _distance_at(distance, frame.ras_of(_points(spacing_mm, size))) / frame.scale


def _aligned(distance: Image, frame: _Frame, mean: np.ndarray, spacing_mm: float) -> _Frame:
    """The frame in which the shape is nearest to the mean: best of four half turns, then least squares over the seven
    parameters of a similarity, near the mean's surface."""
    from scipy.optimize import least_squares
    from scipy.spatial.transform import Rotation

    near = np.flatnonzero(np.abs(mean) < BAND_MM)
    near = near[:: max(1, len(near) // SAMPLES)]
    points, target = _points(spacing_mm, len(mean)).reshape(-1, 3)[near], mean.flat[near]

    def moved(start: _Frame, by: np.ndarray) -> _Frame:
        turn = Rotation.from_rotvec(by[3:6]).as_matrix()
        return replace(
            start, centre=start.centre + by[:3] * 10, axes=start.axes @ turn, scale=start.scale * np.exp(by[6])
        )

    def difference(start: _Frame, by: np.ndarray) -> np.ndarray:
        new = moved(start, by)
        return _distance_at(distance, new.ras_of(points)) / new.scale - target

    turns = [np.diag(signs) for signs in ((1, 1, 1), (1, -1, -1), (-1, 1, -1), (-1, -1, 1))]
    starts = [replace(frame, axes=frame.axes @ turn) for turn in turns]
    best = min(starts, key=lambda start: (difference(start, np.zeros(7)) ** 2).sum())
    found = least_squares(lambda by: difference(best, by), np.zeros(7), diff_step=1e-3, max_nfev=8)
    return moved(best, found.x)


def redistanced(level: np.ndarray, spacing_mm: float) -> np.ndarray:
    """A function near to a signed distance (a mean of such) made one again, with the same surface."""
    slope = np.linalg.norm(np.gradient(level, spacing_mm), axis=0)
    return _distance(level / np.maximum(slope, 0.1), np.full(3, spacing_mm))


def _checked(template: Template) -> Template:
    border = max(np.moveaxis(template.phi, axis, 0)[end].max() for axis in range(3) for end in (0, -1))
    if border > 0:
        box = (np.array(template.phi.shape) - 1) * template.spacing_mm
        raise TemplateError(f"The shape does not fit into the template's box of {box.max():g} mm.")
    return template


def save_template(template: Template, path: str | Path) -> Path:
    """Write a template as .safetensors (named arrays, no code), whole or not at all."""
    from safetensors.numpy import save

    path = Path(path)
    if path.suffix != ".safetensors":
        raise TemplateError(f"{path}: a template is written as .safetensors.")
    arrays = {
        "phi": template.phi,
        "modes": template.modes.astype(np.float16),  # mm: half precision is a hundredth of one at most
        "explained": template.explained,
        "spacing_mm": np.array([template.spacing_mm]),
    }
    with replacing(path) as temporary:
        temporary.write_bytes(save({name: np.ascontiguousarray(array) for name, array in arrays.items()}))
    return path


def load_template(path: str | Path) -> Template:
    """Read what `save_template` wrote.

    Raises:
        TemplateError: there is no such file, or it is no template.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    path = Path(path)
    try:
        arrays = load(path.read_bytes())
        return Template(arrays["phi"], arrays["modes"], arrays["explained"], float(arrays["spacing_mm"][0]))
    except OSError as error:
        raise TemplateError(f"{path}: cannot be read: {error.strerror or error}.") from None
    except (SafetensorError, KeyError, IndexError) as error:
        raise TemplateError(f"{path}: is not a template as this library writes it ({error}).") from None
