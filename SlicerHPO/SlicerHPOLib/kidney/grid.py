"""The working grid of the kidney models, and the way there and back.

Every volume is looked at on one cubic grid: 80 x 80 x 80 voxels centred on the volume, of 4 mm in the source (Bertrand
2019, section 4.4). A child's volume is small, and so is its kidney: `fitted_grid` takes voxels of 2 or 3 mm where the
volume fits. Its axes are the volume's own, in the order and direction closest to R, A, S; `upright` then exchanges them
so that the probe is above, however the volume was stored: shadows run down, and the network need not learn every
orientation. A box of voxels does not show where its probe was: it has six `orientations`. The result goes back as an
implicit function, interpolated by cubic splines, so that its surface is smooth at any resolution.

Both ways are separable (grid and volume have parallel axes): one small matrix of weights an axis.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..image import Image, ImageError, reorient, reorient_to_ras
from ..words import _

SPACING_MM, SIZE = 4.0, 80  # the source's grid
SPACINGS_MM = (2.0, 3.0, 4.0)  # of the fitted one
VISIBLE = 0.05  # from here on a voxel counts as shown: there may be noise or ringing around the field of view
LEAST_SKEWNESS = 0.1  # of the field of view along depth; a cone has 0.3 to 0.9, a box 0
LOW_PERCENTILE, HIGH_PERCENTILE = 1.0, 99.5  # of the field of view: what becomes 0 and 1


@dataclass(frozen=True, eq=False)
class Grid:
    """Points in space on which the kidney models work.

    ijk_to_ras: (4, 4) float64, voxel index (i, j, k) -> RAS mm. shape: number of voxels along k, j, i.
    """

    ijk_to_ras: np.ndarray
    shape: tuple[int, int, int]

    @property
    def spacing_mm(self) -> np.ndarray:
        """(3,) distance of voxels along i, j, k."""
        return np.linalg.norm(self.ijk_to_ras[:3, :3], axis=0)

    def zoomed(self, ratio: float, offset: Sequence[float] = (0.0, 0.0, 0.0)) -> Grid:
        """As many voxels `ratio` times as far apart, about a point `offset` (k, j, i) from the centre, in half widths
        of this grid."""
        matrix = self.ijk_to_ras.copy()
        count = np.array(self.shape[::-1])
        middle, shift = (count - 1) / 2, np.array(offset)[::-1] * count / 2
        matrix[:3, :3] *= ratio
        matrix[:3, 3] += self.ijk_to_ras[:3, :3] @ (middle * (1 - ratio) + shift)
        return Grid(matrix, self.shape)

    def voxel_of(self, ras_mm: np.ndarray) -> np.ndarray:
        """Fractional voxel (k, j, i) (..., 3) of points (..., 3) in RAS mm."""
        ijk = (np.asarray(ras_mm) - self.ijk_to_ras[:3, 3]) @ np.linalg.inv(self.ijk_to_ras[:3, :3]).T
        return ijk[..., ::-1]

    def ras_of(self, voxel: np.ndarray) -> np.ndarray:
        """RAS mm (..., 3) of fractional voxels (k, j, i) (..., 3); the inverse of `voxel_of`."""
        return np.asarray(voxel)[..., ::-1] @ self.ijk_to_ras[:3, :3].T + self.ijk_to_ras[:3, 3]


def working_grid(image: Image, spacing_mm: float = SPACING_MM, size: int = SIZE) -> Grid:
    """The cubic grid of `size`^3 voxels centred on the image, along the image's axes.

    Raises:
        ImageError: a spacing or size that is not positive.
    """
    if not (np.isfinite(spacing_mm) and spacing_mm > 0 and size >= 1):
        raise ImageError(
            _("A working grid needs a positive spacing and size; given are {given} mm and {size}.").format(
                given=spacing_mm, size=size
            )
        )
    matrix = np.eye(4)
    matrix[:3, :3] = reorient_to_ras(image).directions * spacing_mm
    matrix[:3, 3] = image.center_mm - matrix[:3, :3].sum(axis=1) * (size - 1) / 2
    return Grid(matrix, (int(size),) * 3)


def fitted_grid(image: Image, spacings_mm: Sequence[float] = SPACINGS_MM, size: int = SIZE) -> Grid:
    """The working grid with the finest of the spacings in which the whole volume fits; the coarsest where none does."""
    extent_mm = float((image.spacing_mm * image.shape[::-1]).max())
    fitting = [spacing for spacing in sorted(spacings_mm) if spacing * size >= extent_mm]
    return working_grid(image, fitting[0] if fitting else max(spacings_mm), size)


def to_grid(image: Image, grid: Grid) -> np.ndarray:
    """The image on the grid as the models' input.

    Returns:
        (k, j, i) float32: smoothed as far as the grid is coarser, scaled so that the percentiles 1 and 99.5 of the
        voxels above the lowest value (which is that of a sector's surroundings) become 0 and 1, and clipped there; 0
        outside the volume and everywhere in a constant one.

    Raises:
        ImageError: the grid's axes are not the image's, or voxels are not finite.
    """
    image, scale, offset = _along_grid(image, grid)
    weights = [
        _resizing(n, m, step, first) for n, m, step, first in zip(image.shape, grid.shape, scale, offset, strict=True)
    ]
    values = _separable(weights, image.voxels)
    seen = np.einsum("k,j,i->kji", *(w.any(axis=1) for w in weights))
    if not np.isfinite(values).all():
        raise ImageError(
            _("{name} has voxels that are not finite; replace them by numbers first.").format(
                name=image.name or _("The image")
            )
        )
    shown = values[seen]
    shown = shown[shown > shown.min()] if shown.size else shown  # outside the field of view all voxels are the lowest
    if not shown.size:
        return np.zeros_like(values)
    low, high = np.percentile(shown, (LOW_PERCENTILE, HIGH_PERCENTILE))
    if high <= low:
        low, high = values[seen].min(), shown.max()
    scaled = (values - low) / max(high - low, np.finfo(np.float32).tiny)
    return (np.clip(scaled, 0, 1) * seen).astype(np.float32)


def beam_of(volume: np.ndarray) -> tuple[int, bool] | None:
    """Along which axis of a volume (k, j, i) the beam runs, and whether towards its start; None where that is unknown.

    The probe is where the field of view is narrow: along the beam, its voxels are skewed towards the far end. In a box
    they are along no axis.
    """
    skewness = [_spread_and_skewness(volume > VISIBLE, axis)[1] for axis in range(3)]
    depth = int(np.abs(skewness).argmax())
    return None if abs(skewness[depth]) < LEAST_SKEWNESS else (depth, skewness[depth] > 0)


def upright(volume: np.ndarray, grid: Grid, beam: tuple[int, bool] | None = None) -> tuple[np.ndarray, Grid]:
    """The same voxels with axes exchanged and reversed so that the beam runs along k, from the probe down, and the
    field of view is widest along i.

    Args:
        volume: (k, j, i) on the grid, above `VISIBLE` in the field of view. beam: as of `beam_of`, by default what that
            finds; where it is unknown, the order stays.

    Returns:
        A view of the volume, and its grid, as right- or left-handed as the one given.
    """
    beam = beam or beam_of(volume)
    if beam is None:
        return volume, grid
    depth, reverse = beam
    spread = [_spread_and_skewness(volume > VISIBLE, axis)[0] for axis in range(3)]
    across = sorted((axis for axis in range(3) if axis != depth), key=lambda axis: spread[axis])
    order = (depth, *across)
    new_from_old = np.eye(3)[list(order)]
    flipped = [0] if reverse else []
    if np.linalg.det(new_from_old) * (-1) ** len(flipped) < 0:
        flipped.append(1)  # keeps the hand: no kidney becomes its mirror image
    matrix = grid.ijk_to_ras[:, [*(2 - axis for axis in reversed(order)), 3]]
    shape = tuple(grid.shape[axis] for axis in order)
    for axis in flipped:
        matrix[:, 3] += matrix[:, 2 - axis] * (shape[axis] - 1)
        matrix[:, 2 - axis] *= -1
    return np.flip(volume.transpose(order), flipped), Grid(matrix, shape)


def orientations(volume: np.ndarray, grid: Grid) -> list[tuple[np.ndarray, Grid]]:
    """The volume upright; where the beam is unknown, for each of the six directions that it may have."""
    beam = beam_of(volume)
    beams = [beam] if beam else [(axis, reverse) for axis in range(3) for reverse in (False, True)]
    return [upright(volume, grid, beam) for beam in beams]


def field_of_view(volume: np.ndarray) -> np.ndarray:
    """(k, j, i) bool: the voxels of a volume (k, j, i) that are shown, and those between two of them along an axis,
    where a shadow or a cyst is black. All of them are seen as far as the field of view is convex."""
    shown = volume > VISIBLE
    seen = shown.copy()
    for axis in range(3):
        before = np.logical_or.accumulate(shown, axis)
        after = np.flip(np.logical_or.accumulate(np.flip(shown, axis), axis), axis)
        seen |= before & after
    return seen


def _spread_and_skewness(seen: np.ndarray, axis: int) -> tuple[float, float]:
    """Standard deviation (voxels) and skewness of the positions along an axis of the voxels that are True."""
    areas = np.count_nonzero(seen, axis=tuple(other for other in range(3) if other != axis))
    total = max(areas.sum(), 1)
    at = np.arange(len(areas)) - (areas * np.arange(len(areas))).sum() / total
    spread = np.sqrt((areas * at**2).sum() / total)
    return spread, (areas * at**3).sum() / total / max(spread, 1e-6) ** 3


def to_native(phi: np.ndarray, grid: Grid, image: Image) -> Image:
    """An implicit function of the grid on the voxels of the image.

    Args:
        phi: (k, j, i) implicit function on the grid, mm, positive inside.

    Returns:
        The function at every voxel of `image` (float32), interpolated by cubic splines; beyond the grid's outermost
        voxels it is continued as a constant.

    Raises:
        ImageError: phi has not the grid's shape, or the grid's axes are not the image's.
    """
    if phi.shape != tuple(grid.shape):
        raise ImageError(
            _("An implicit function on this grid has shape {grid}, not {given}.").format(
                grid=tuple(grid.shape), given=phi.shape
            )
        )
    turned, scale, offset = _along_grid(image, grid)
    weights = []
    for n, m, step, first in zip(turned.shape, grid.shape, scale, offset, strict=True):
        at = np.clip((np.arange(n) - first) / step, 0, m - 1)
        weights.append(_interpolating(m, at))
    native = _separable(weights, phi)
    return _as_stored(Image(native, turned.ijk_to_ras, image.name), image)


def _along_grid(image: Image, grid: Grid) -> tuple[Image, np.ndarray, np.ndarray]:
    """The image with axes in the grid's order, and per axis (k, j, i): voxel of the image = offset + scale * voxel of
    the grid."""
    image = reorient(image, grid.ijk_to_ras[:3, :3] / grid.spacing_mm)
    inverse = np.linalg.inv(image.ijk_to_ras[:3, :3])
    matrix = inverse @ grid.ijk_to_ras[:3, :3]
    if np.abs(matrix - np.diag(np.diag(matrix))).max() > 1e-3 * np.abs(np.diag(matrix)).min():
        raise ImageError(_("The grid's axes are not the image's; take working_grid(image)."))
    offset = inverse @ (grid.ijk_to_ras[:3, 3] - image.ijk_to_ras[:3, 3])
    return image, np.diag(matrix)[::-1], offset[::-1]


def _resizing(count: int, size: int, step: float, first: float) -> np.ndarray:
    """Weights (size, count): linear interpolation at first + step * index, or where that is coarser a tent as wide as
    the step (no aliasing). Zero where the point lies outside the voxels."""
    at = first + step * np.arange(size)
    weights = np.maximum(0, 1 - np.abs(at[:, None] - np.arange(count)) / max(1.0, abs(step)))
    inside = (at >= -0.5) & (at <= count - 0.5)
    total = weights.sum(axis=1)
    return weights * (inside / np.where(total > 0, total, 1))[:, None]


def _interpolating(count: int, at: np.ndarray) -> np.ndarray:
    """Weights (len(at), count) of the cubic spline through `count` values, of lower degree through fewer than 4."""
    from scipy.interpolate import make_interp_spline

    if count == 1:
        return np.ones((len(at), 1))
    return make_interp_spline(np.arange(count), np.eye(count), k=min(3, count - 1))(at)


def _separable(weights: list[np.ndarray], voxels: np.ndarray) -> np.ndarray:
    """The array with one matrix of weights applied along each axis, float32."""
    w_k, w_j, w_i = (w.astype(np.float32) for w in weights)
    if voxels.shape[0] > len(w_k):  # slice by slice: a large volume is never copied whole
        rows = np.stack([w_j @ (slice_.astype(np.float32) @ w_i.T) for slice_ in voxels])
        return np.tensordot(w_k, rows, 1)
    result = np.tensordot(w_k, voxels.astype(np.float32), 1)
    return np.stack([w_j @ (slice_ @ w_i.T) for slice_ in result])


def _as_stored(turned: Image, image: Image) -> Image:
    """An image of other axes back in the order in which `image` stores the same voxels (a view)."""
    voxel = np.linalg.inv(turned.ijk_to_ras[:3, :3]) @ image.ijk_to_ras[:3, :3]  # a signed permutation
    axes = [int(np.argmax(np.abs(voxel[:, axis]))) for axis in range(3)]
    stored = turned.voxels.transpose([2 - axis for axis in reversed(axes)])
    flipped = [2 - axis for axis in range(3) if voxel[axes[axis], axis] < 0]
    return Image(np.flip(stored, flipped), image.ijk_to_ras, image.name)
