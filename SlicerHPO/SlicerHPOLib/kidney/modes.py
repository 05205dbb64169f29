"""Modes of variation of a template's level sets as velocities, for the kernel of the corrections."""

from __future__ import annotations

import numpy as np
from scipy import ndimage as ndi

from .grid import Grid

LATTICE_MM, SMOOTHING_MM, WINDOW_MM = 8.0, 6.0, 30.0


class Modes:
    """Velocities B_m that move the surface as level-set modes psi_m do: phi o (Id + B_m) = phi + psi_m to first order.

    Of all such fields B_m = psi_m grad phi / |grad phi|^2 is normal to the level sets. It is faded out away from the
    surface and smoothed, as grad phi has edges at the middle of the shape, and kept on a lattice of about 8 mm, linear
    in between.

    Args:
        level_sets: (M, k, j, i) change of phi in mm by one standard deviation of each mode, on phi's grid (pulled back
            to it by the same transformation as the template).
        phi: (k, j, i) mm, positive inside.
    """

    def __init__(self, level_sets: np.ndarray, phi: np.ndarray, grid: Grid):
        spacing = grid.spacing_mm[::-1]
        to_voxel = np.linalg.inv(grid.ijk_to_ras)[[2, 1, 0]]
        gradient = np.einsum("vkji,vr->rkji", np.stack(np.gradient(phi.astype(np.float32))), to_voxel[:, :3])
        normal = gradient / np.maximum((gradient**2).sum(0), 0.25) * np.exp(-0.5 * (phi / WINDOW_MM) ** 2)
        strides = np.maximum(1, np.rint(LATTICE_MM / spacing)).astype(int)
        smoothing = [
            ndi.gaussian_filter1d(np.eye(n, dtype=np.float32), sigma, axis=0)[::stride]
            for n, sigma, stride in zip(phi.shape, SMOOTHING_MM / spacing, strides, strict=True)
        ]
        self.values = np.stack([_along_axes(smoothing, psi * normal) for psi in level_sets])  # (M, 3, k, j, i)
        self.matrix = to_voxel[:, :3] / strides[:, None]
        self.offset = to_voxel[:, 3] / strides
        # Of a trilinear field, whose derivatives are means of differences between neighbours
        slopes = [(np.diff(self.values, axis=axis) ** 2).sum(1) for axis in (2, 3, 4)]
        scale = np.linalg.norm(self.matrix, axis=1)
        squares = [s.max(axis=(1, 2, 3), initial=0) * f**2 for s, f in zip(slopes, scale, strict=True)]
        self.lipschitz = np.sqrt(np.sum(squares, axis=0))

    def at(self, x: np.ndarray) -> np.ndarray:
        """(M, 3, n) at x (3, n), RAS mm."""
        flat = self.values.reshape(-1, *self.values.shape[2:])
        return self._interpolate(flat, x)[0].reshape(*self.values.shape[:2], -1)

    def combined(self, coefficients: np.ndarray, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """sum_m coefficients_m B_m (3, n) and its derivative (3, 3, n) at x (3, n), in the precision of x."""
        field, slopes = self._interpolate(np.tensordot(coefficients.astype(np.float32), self.values, 1), x)
        return field.astype(x.dtype), slopes.astype(x.dtype)

    def _interpolate(self, values: np.ndarray, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Trilinear: (c, n) of values (c, k, j, i), and the derivatives (c, 3, n) along R, A, S; one axis at a time."""
        counts = np.array(values.shape[1:])[:, None]
        free = self.matrix.astype(x.dtype) @ x + self.offset.astype(x.dtype)[:, None]
        voxel = np.clip(free, 0, (counts - 1).astype(x.dtype))
        base = np.minimum(voxel.astype(np.intp), np.maximum(counts - 2, 0))
        t = voxel - base.astype(x.dtype)
        steps = np.array([counts[1, 0] * counts[2, 0], counts[2, 0], 1]) * (counts[:, 0] > 1)
        first, flat = steps @ base, values.reshape(len(values), -1)

        def between(axis: int, at: np.ndarray) -> tuple[np.ndarray, ...]:
            """Value and derivatives along this axis and those after it, from the voxels `at` (n,) on."""
            if axis == 3:
                return (np.take(flat, at, axis=1),)
            low, high = between(axis + 1, at), between(axis + 1, at + steps[axis])
            value, *later = (a + t[axis] * (b - a) for a, b in zip(low, high, strict=True))
            return value, high[0] - low[0], *later

        result, *slopes = between(0, first)
        slopes = np.stack(slopes, 1) * (free == voxel)
        return result, np.einsum("cvn,vr->crn", slopes, self.matrix.astype(x.dtype))


def _along_axes(weights: list[np.ndarray], field: np.ndarray) -> np.ndarray:
    """(3, a, b, c) float32: a field (3, k, j, i) with the matrices (a, k), (b, j), (c, i) applied along its axes."""
    w_k, w_j, w_i = weights
    return (w_k @ (w_j @ (field.astype(np.float32) @ w_i.T)).reshape(3, field.shape[1], -1)).reshape(
        3, len(w_k), len(w_j), len(w_i)
    )
