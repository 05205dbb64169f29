"""Cubic splines through an implicit function: at many places, at few with the gradient, and as `grid.to_native`."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage as ndi
from scipy.interpolate import make_interp_spline

if TYPE_CHECKING:
    from .grid import Grid


class Spline:
    """The cubic B-spline through the values on a grid, less the distance to the grid beyond its outermost nodes."""

    def __init__(self, values: np.ndarray, grid: Grid):
        self.coefficients = ndi.spline_filter(values, 3, output=np.float32, mode="mirror")
        self.grid = grid
        matrix = np.linalg.inv(grid.ijk_to_ras)[[2, 1, 0]]
        self.matrix, self.offset = matrix[:, :3], matrix[:, 3]
        self.inverse = np.linalg.inv(self.matrix)
        self.last = np.array(values.shape) - 1

    def _voxel(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Voxel (k, j, i) (3, n) next to x (3, n) within the grid, and the way from there to x (3, n), mm."""
        free = self.matrix.astype(x.dtype) @ x + self.offset[:, None].astype(x.dtype)
        voxel = np.clip(free, 0, self.last[:, None].astype(x.dtype))
        return voxel, self.inverse.astype(x.dtype) @ (free - voxel)

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """(n,) float32 at x (3, n) RAS mm."""
        voxel, beyond = self._voxel(x)
        values = ndi.map_coordinates(self.coefficients, voxel, np.float32, order=3, mode="mirror", prefilter=False)
        return values - np.linalg.norm(beyond, axis=0)

    def value_and_gradient(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(n,) and (n, 3) mm per mm along R, A, S; for few points x (n, 3)."""
        voxel, beyond = self._voxel(x.T)
        voxel, distance = voxel.T, np.linalg.norm(beyond, axis=0)
        base = np.minimum(np.floor(voxel), np.maximum(self.last - 1, 0))
        t = (voxel - base)[..., None]
        u = 1 - t
        b = np.concatenate([u**3, 3 * t**3 - 6 * t**2 + 4, 3 * u**3 - 6 * u**2 + 4, t**3], -1) / 6
        db = np.concatenate([-(u**2), 3 * t**2 - 4 * t, 4 * u - 3 * u**2, t**2], -1) / 2
        index = np.abs(base[..., None].astype(int) + np.arange(-1, 3))  # mirrored at both ends
        index = self.last[:, None] - np.abs(self.last[:, None] - index)
        k, j, i = index[:, 0, :, None, None], index[:, 1, None, :, None], index[:, 2, None, None, :]
        patch = self.coefficients[k, j, i].astype(float)
        rows = np.einsum("nkji,ni->nkj", patch, b[:, 2])
        planes = np.einsum("nkj,nj->nk", rows, b[:, 1])
        value = (planes * b[:, 0]).sum(1)
        by_k = (planes * db[:, 0]).sum(1)
        by_j = np.einsum("nkj,nk,nj->n", rows, b[:, 0], db[:, 1])
        by_i = np.einsum("nkji,nk,nj,ni->n", patch, b[:, 0], b[:, 1], db[:, 2])
        gradient = np.stack([by_k, by_j, by_i], -1) @ self.matrix
        outwards = beyond / np.maximum(distance, 1e-9)
        return value - distance, gradient - outwards.T


def interpolated(phi: np.ndarray, voxel: np.ndarray) -> np.ndarray:
    """(n,) values at fractional voxels (k, j, i) (n, 3), by the interpolation of `grid.to_native`."""
    weights = [_cardinal(n)(np.clip(at, 0, n - 1)) for n, at in zip(phi.shape, voxel.T, strict=True)]
    values = np.empty(len(voxel))
    for site, (w_k, w_j, w_i) in enumerate(zip(*weights, strict=True)):
        some_k, some_j, some_i = (_support(w) for w in (w_k, w_j, w_i))
        values[site] = phi[some_k, some_j, some_i] @ w_i[some_i] @ w_j[some_j] @ w_k[some_k]
    return values


def _support(weights: np.ndarray) -> slice:
    """Where weights matter: a cardinal spline falls by the factor 0.27 from node to node."""
    first, *_, last = np.flatnonzero(np.abs(weights) > 1e-8 * np.abs(weights).max()).tolist() * 2
    return slice(first, last + 1)


@lru_cache(maxsize=16)
def _cardinal(count: int):
    return make_interp_spline(np.arange(count), np.eye(count), k=min(3, count - 1))
