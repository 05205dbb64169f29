"""Correction points as hard constraints on a segmented shape, by the diffeomorphic flow of `flow.py`.

Given phi (mm, positive inside) on a grid and points x_k with sides s_k = +1 inside, -1 outside, the corrected function
is phi o h with h the flow of least steps that brings every point to its margin, s_k phi(h(x_k)) >= d_k. Each point
counts twice, where it lies and at the centre of the voxel of the image that holds it, so that the label map on the
image's own voxels agrees with it. d_k is `MARGIN_MM`, or a quarter of the distance to the nearest opposite point.

**Flat places.** The flow follows the gradient of phi. It vanishes at the very middle of a shape, and wherever phi is
cut off at some distance from its surface; there a point on the wrong side heads for the nearest node on the right one.

**Discretisation.** phi o h is sampled at the grid's nodes and interpolated again by `grid.to_native`. The interpolant
differs a little from phi o h at the points; the flow is continued with demands raised by the shortfall until the
interpolant itself honours them all. That is checked on what is returned, as is that the shape is still in one piece
where its grid is coarser than its thinnest part. Should either fail, or the flow wander far, it is computed anew with
a finer kernel; and should all kernels fail, then once more with opposite points passing each other as in `turning.py`.

The result is a function of phi and the set of points alone: points are put in a fixed order, and always all of them
are applied to the first phi. Taking a point back gives to the last bit what was before it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage as ndi
from scipy.spatial import cKDTree
from scipy.stats import chi2

from ..words import _, joined, named
from .flow import Kernel, Prior, Step
from .grid import Grid
from .modes import Modes
from .points import CorrectionError, History, Point, Points
from .spline import Spline, interpolated
from .turning import turned
from .warp import Warp

if TYPE_CHECKING:
    from ..image import Image

__all__ = ["Correction", "CorrectionError", "Corrector", "History", "Point", "Points", "correct", "honoured"]

MARGIN_MM = 1.0  # between a point and the surface, measured by phi
FINER = 3  # kernels tried
FLAT = 0.25  # slope of phi (that of a distance is 1) below which it does not show the way to the surface
STEPS, ROUNDS = 100, 12  # of one flow; typical are 5 and 1
FARTHEST = 30.0  # standard deviations: a longer flow has wandered, and the other ways are tried too
UNLIKELY = 0.01  # corrections as long as this part of the shape model's are plausible


@dataclass(frozen=True, eq=False)
class Correction:
    """A corrected shape.

    Attributes:
        phi: (k, j, i) float32 on the grid, mm, positive inside.
        honoured: (n,) bool, in the order of the points: phi, interpolated, is on the right side at the point and at the
            centre of its voxel. All are, or there would have been an error.
        norm: length of the flow in standard deviations of the shape model: how implausible the correction is.
        min_jacobian: least determinant of Dh at the grid's nodes near the surface and on a lattice through the rest.
        warning: why the result should be looked at again, or None.
    """

    phi: np.ndarray
    honoured: np.ndarray
    norm: float
    min_jacobian: float
    warning: str | None


class Corrector:
    """What honours points on one shape: call it with sets of points.

    Args:
        phi: (k, j, i) implicit function on the grid, mm, positive inside, near a signed distance, of one piece.
        image: the volume on whose voxels the result will be used; without it, the grid's own.
        modes: (M, k, j, i) modes of variation of phi on the grid, mm by one standard deviation; see `modes.Modes`.
        prior: standard deviations of everything else.

    Raises:
        CorrectionError: phi is no shape on this grid.
    """

    def __init__(
        self,
        phi: np.ndarray,
        grid: Grid,
        image: Image | None = None,
        *,
        modes: np.ndarray | None = None,
        prior: Prior | None = None,
    ):
        phi = np.array(phi, np.float32, order="C")
        _check_shape(phi, grid, modes)
        self.phi, self.grid, self.image = phi, grid, image
        self.spline = Spline(phi, grid)
        inside = grid.ras_of(np.argwhere(phi > 0))
        centre = inside.mean(axis=0)
        axes = np.linalg.eigh((inside - centre).T @ (inside - centre)).eigenvectors
        velocities = None if modes is None else Modes(modes, phi, grid)
        self.kernels = []
        prior = prior or Prior()
        for _finer in range(FINER):
            self.kernels.append(Kernel(prior, centre, axes, velocities))
            prior = prior.finer()

    def __call__(self, points: Points) -> Correction:
        """Honour all points.

        Raises:
            CorrectionError: a point outside the volume, opposite points in one voxel, points that alternate more finely
                than the grid can show, or a flow that stalls: seen only where opposite points are nearer than the
                grid's spacing. The message names them.
        """
        constraints = self._constraints(points)
        wandered: list[Correction] = []
        for turning, kernel in product((False, True), self.kernels):
            try:
                correction = self._correct(kernel, turning, points, constraints)
            except _FailedError as error:
                failed = error
                continue
            if correction.norm <= FARTHEST:
                return correction
            wandered.append(correction)
        if wandered:
            return min(wandered, key=lambda correction: correction.norm)
        raise CorrectionError(_refusal(points, constraints, failed, self.grid))

    def _constraints(self, points: Points) -> _Constraints:
        ras, inside = points.ras_mm, points.inside
        self._check_inside_volume(points)
        centres, voxels = _voxels(self.image or self.grid, ras)
        side: dict[tuple, int] = {}
        for index, voxel in enumerate(map(tuple, voxels)):
            side.setdefault((*voxel, bool(inside[index])), index)
            other, opposite = index, side.get((*voxel, not inside[index]))
            if opposite is not None:
                raise CorrectionError(
                    _(
                        "A voxel cannot be both inside and outside, but {opposite} and {other} lie in the same one. "
                        "Move or remove one of them."
                    ).format(opposite=points.name(opposite), other=points.name(other))
                )
        # Each position once, in a fixed order
        unique, first = np.unique(np.column_stack([ras, inside]), axis=0, return_index=True)
        sites = np.concatenate([unique[:, :3], centres[first]])
        signs = np.tile(np.where(unique[:, 3] > 0, 1.0, -1.0), 2)
        gaps = np.linalg.norm(sites[:, None] - sites, axis=-1)
        gaps[signs[:, None] == signs] = np.inf
        demands = np.minimum(MARGIN_MM, gaps.min(axis=1, initial=np.inf) / 4)
        return _Constraints(sites, signs, demands, np.tile(first, 2))

    def _check_inside_volume(self, points: Points) -> None:
        for place, what in ((self.image, _("volume")), (self.grid, _("working grid"))):
            if place is None:
                continue
            _centres, voxels = _voxels(place, points.ras_mm)
            last = np.array(place.shape) - 1
            last = last if place is self.grid else last[::-1]
            for index in np.flatnonzero(((voxels < 0) | (voxels > last)).any(axis=1)):
                raise CorrectionError(
                    _("Outside the {what} lies {point}. Place it inside the {what}, or remove it.").format(
                        what=what, point=points.name(index)
                    )
                )

    def _correct(self, kernel: Kernel, turning: bool, points: Points, constraints: _Constraints) -> Correction:
        warp = Warp(self.phi, self.spline, self.grid, kernel)
        at, voxel = constraints.sites, self.grid.voxel_of(constraints.sites)
        demands, norm = constraints.demands, 0.0
        for _round in range(ROUNDS):
            steps, at = self._flow(kernel, turning, at, constraints.signs, demands)
            norm += sum(step.norm for step in steps)
            phi, jacobian = warp.after(steps)
            short = constraints.demands - constraints.signs * interpolated(phi, voxel)
            if (short <= 0).all():
                break
            demands = np.where(short > 0, demands + 1.5 * short + 0.1 * constraints.demands, demands)
        else:
            raise _FailedError(int(short.argmax()))
        if pieces(phi) != 1:
            raise _FailedError(None)
        return Correction(phi, honoured(phi, self.grid, points, self.image), norm, jacobian, _warning(norm, points))

    @cached_property
    def _banks(self) -> dict[float, cKDTree]:
        """By side, the nodes on it next to the surface, RAS mm."""
        sides = {sign: sign * self.phi > 0 for sign in (1.0, -1.0)}
        banks = {sign: side & ~ndi.binary_erosion(side, border_value=1) for sign, side in sides.items()}
        return {sign: cKDTree(self.grid.ras_of(np.argwhere(bank))) for sign, bank in banks.items()}

    def _way_across(self, at: np.ndarray, signs: np.ndarray) -> np.ndarray:
        """(n, 3) mm from places (n, 3) to the nearest nodes on the sides where they should be."""
        way = np.empty_like(at)
        for sign, bank in self._banks.items():
            some = signs == sign
            way[some] = bank.data[bank.query(at[some])[1]] - at[some]
        return way

    def _flow(self, kernel, turning, at, signs, demands) -> tuple[list[Step], np.ndarray]:
        """Steps until the sites at (m, 3) meet their demands, and where they are then; see `turning.py`."""
        steps: list[Step] = []
        while True:
            value, gradient = self.spline.value_and_gradient(at)
            short = demands - signs * value
            if (short <= 0).all():
                return steps, at
            if len(steps) == STEPS:
                raise _FailedError(int(short.argmax()))
            slope = np.linalg.norm(gradient, axis=1)
            lost = (slope < FLAT) & (signs * value < 0)
            slope = np.maximum(slope, FLAT)
            # In units of distance
            wanted, uphill = (short + 0.1 * demands) / slope, (signs / slope)[:, None] * gradient
            if lost.any():
                way = self._way_across(at[lost], signs[lost])
                distance = np.maximum(np.linalg.norm(way, axis=1), 1e-6)
                wanted[lost], uphill[lost] = distance + demands[lost], way / distance[:, None]
            if turning:
                wanted, uphill = turned(kernel, at, signs, short, wanted, uphill)
            steps.append(kernel.least_step(at, uphill, wanted))
            at = at + kernel.displacement(steps[-1], at.T).T


def correct(phi: np.ndarray, grid: Grid, points: Points, image: Image | None = None, **options) -> Correction:
    """phi with all points honoured; see `Corrector`, which is faster where several sets of points are tried."""
    return Corrector(phi, grid, image, **options)(points)


def honoured(phi: np.ndarray, grid: Grid, points: Points, image: Image | None = None) -> np.ndarray:
    """(n,) bool: phi (k, j, i), interpolated as by `grid.to_native`, has the right sign at each point and at the centre
    of its voxel of the image (without it, of the grid)."""
    centres, _indices = _voxels(image or grid, points.ras_mm)
    at_point = interpolated(phi, grid.voxel_of(points.ras_mm)) > 0
    at_centre = interpolated(phi, grid.voxel_of(centres)) > 0
    return (at_point == points.inside) & (at_centre == points.inside)


def pieces(phi: np.ndarray) -> int:
    """Number of connected pieces of phi > 0, nodes joined along the axes."""
    inside = phi > 0
    found = ndi.find_objects(inside.view(np.int8), max_label=1)[0]
    return 0 if found is None else ndi.label(inside[found])[1]


@dataclass(frozen=True, eq=False)
class _Constraints:
    """Sites (m, 3) RAS mm, their sides +-1 (m,), demands (m,) mm, and the indices of their points (m,)."""

    sites: np.ndarray
    signs: np.ndarray
    demands: np.ndarray
    owners: np.ndarray


class _FailedError(Exception):
    """A flow that ended short of a site (its index), or tore the shape on the grid (None)."""

    def __init__(self, site: int | None):
        super().__init__(site)
        self.site = site


def _voxels(place: Image | Grid, ras: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Centres (n, 3) RAS mm of the voxels nearest to points (n, 3), and their indices (n, 3)."""
    voxels = np.rint(place.voxel_of(ras) if isinstance(place, Grid) else place.ijk_of(ras))
    return place.ras_of(voxels), voxels


def _refusal(points: Points, constraints: _Constraints, failed: _FailedError, grid: Grid) -> str:
    gaps = np.linalg.norm(constraints.sites[:, None] - constraints.sites, axis=-1)
    gaps[constraints.signs[:, None] == constraints.signs] = np.inf
    if failed.site is None:  # torn between the closest opposite points
        site, other = np.unravel_index(gaps.argmin(), gaps.shape)
        what = _("The surface would be torn at the resolution of the working grid")
    else:
        site, other = failed.site, int(gaps[failed.site].argmin())
        point = points.name(constraints.owners[site])
        what = _("With the others, {point} cannot be honoured").format(point=point)
    pair = ""
    if np.isfinite(gaps[site, other]):
        first, second = (points.name(constraints.owners[index]) for index in (site, other))
        pair = _("Closest on opposite sides are {first} and {second}, {gap} mm apart.").format(
            first=first, second=second, gap=f"{gaps[site, other]:.1f}"
        )
        if gaps[site, other] < (spacing := grid.spacing_mm.max()):
            limit = _("A working grid of {spacing} mm may be too coarse for a surface between them.")
            pair = joined(" ", [pair, limit.format(spacing=f"{spacing:.1f}")])
    what = named(what, _("no smooth deformation of one piece was found."))
    return joined(" ", [what, pair, _("Move or remove one of the points.")])


def _warning(norm: float, points: Points) -> str | None:
    """The least norm of n random constraints of the model is at most a chi variable of n degrees of freedom."""
    usual = float(np.sqrt(chi2.isf(UNLIKELY, max(len(points), 1))))
    if norm <= usual:
        return None
    warning = (
        _(
            "The points change the shape by {norm} standard deviations of the shape model; more than {usual} is "
            "unusual for {count} point. Check that every point is on its right side."
        )
        if len(points) == 1
        else _(
            "The points change the shape by {norm} standard deviations of the shape model; more than {usual} is "
            "unusual for {count} points. Check that every point is on its right side."
        )
    )
    return warning.format(norm=f"{norm:.1f}", usual=f"{usual:.1f}", count=len(points))


def _check_shape(phi: np.ndarray, grid: Grid, modes: np.ndarray | None) -> None:
    if phi.shape != tuple(grid.shape):
        raise CorrectionError(
            _("phi has shape {given}, its grid {grid}; they must be the same.").format(
                given=phi.shape, grid=tuple(grid.shape)
            )
        )
    if not np.isfinite(phi).all():
        raise CorrectionError(
            _("{count} of {total} values of phi are not finite.").format(
                count=(~np.isfinite(phi)).sum(), total=phi.size
            )
        )
    if phi.max() < 2 * MARGIN_MM or phi.min() > -2 * MARGIN_MM:
        raise CorrectionError(
            _(
                "phi reaches from {least} to {most} mm; a shape has an inside (positive) and an outside (negative), "
                "each at least {margin} mm deep."
            ).format(least=f"{phi.min():.1f}", most=f"{phi.max():.1f}", margin=f"{2 * MARGIN_MM:g}")
        )
    if (found := pieces(phi)) != 1:
        raise CorrectionError(
            _("The shape has {found} pieces; points correct a shape of one piece. Keep the largest.").format(
                found=found
            )
        )
    if modes is not None and (np.ndim(modes) != 4 or np.shape(modes)[1:] != phi.shape):
        raise CorrectionError(
            _("Modes have shape {given}; expected (M, {shape}).").format(
                given=np.shape(modes), shape=", ".join(map(str, phi.shape))
            )
        )
