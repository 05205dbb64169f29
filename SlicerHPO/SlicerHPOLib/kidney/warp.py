"""An implicit function pulled back by a flow, phi o h, sampled on the grid where it matters."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from .flow import Kernel, Step
from .grid import Grid
from .spline import Spline

LATTICE_MM = 12.0  # far from the surface phi o h - phi is interpolated between nodes this far apart
CHUNK = 4096  # nodes whose arrays stay in the processor's cache


class Warp:
    """phi o h on the grid for a flow h that grows.

    The nodes within three spacings of the surface of phi o h are taken along the flow; so are those of a coarse
    lattice, which carries the change of phi to the others. The surface is followed: whatever it passes is near it.
    """

    def __init__(self, phi: np.ndarray, spline: Spline, grid: Grid, kernel: Kernel):
        self.phi, self.spline, self.grid, self.kernel = phi, spline, grid, kernel
        self.steps: list[Step] = []
        spacing = grid.spacing_mm[::-1]
        self.reach = 3 * spacing.max()
        strides = np.maximum(1, np.rint(LATTICE_MM / spacing)).astype(int)
        axes = [np.unique(np.r_[0:n:stride, n - 1]) for n, stride in zip(grid.shape, strides, strict=True)]
        lattice = np.stack(np.meshgrid(*axes, indexing="ij"))
        self.weights = [_linear(n, tuple(axis.tolist())) for n, axis in zip(grid.shape, axes, strict=True)]
        self.before = phi[tuple(lattice)]
        self.far = self._nodes(lattice.reshape(3, -1))
        self.near = self._nodes(np.zeros((3, 0)))
        self.band = np.zeros(0, np.int64)  # the nodes near the surface, as indices of the flattened grid

    def _nodes(self, voxel: np.ndarray) -> _Nodes:
        return _Nodes(self.grid.ras_of(voxel.T).T.astype(np.float32), self.kernel)

    def after(self, steps: list[Step]) -> tuple[np.ndarray, float]:
        """phi o h (k, j, i) float32 with further steps appended to h, and the least det Dh at the nodes followed."""
        self.steps = self.steps + steps
        if not self.steps:
            return self.phi.copy(), 1.0
        self.far.advance(steps)
        self.near.advance(steps)
        along_k, along_j, along_i = self.weights
        change = self.spline(self.far.x).reshape(self.before.shape) - self.before
        change = along_j @ (change @ along_i.T)
        phi = np.empty_like(self.phi)
        np.matmul(along_k, change.transpose(1, 0, 2), out=phi.transpose(1, 0, 2))
        phi += self.phi

        followed = np.zeros(phi.shape, bool)
        followed.reshape(-1)[self.band] = True
        phi.reshape(-1)[self.band] = self.spline(self.near.x)
        new = np.flatnonzero(_within(phi, self.reach) & ~followed)
        while len(new):
            nodes = self._nodes(np.stack(np.unravel_index(new, phi.shape)))
            nodes.advance(self.steps)
            phi.reshape(-1)[new] = self.spline(nodes.x)
            followed.reshape(-1)[new] = True
            self.band = np.concatenate([self.band, new])
            self.near.extend(nodes)
            new = np.flatnonzero(_dilated(followed & _within(phi, 2 / 3 * self.reach)) & ~followed)
        return phi, float(min(self.far.jacobian.min(), self.near.jacobian.min(initial=np.inf)))


class _Nodes:
    """Places that move along the flow, (3, n) float32 RAS mm, and the determinant of the flow there."""

    def __init__(self, x: np.ndarray, kernel: Kernel):
        self.x, self.kernel, self.jacobian = x, kernel, np.ones(x.shape[1], np.float32)

    def advance(self, steps: list[Step]) -> None:
        for first in range(0, self.x.shape[1], CHUNK):
            some = slice(first, first + CHUNK)
            for step in steps:
                w, factor = self.kernel.displacement_and_jacobian(step, self.x[:, some])
                self.x[:, some] += w
                self.jacobian[some] *= factor

    def extend(self, other: _Nodes) -> None:
        self.x = np.concatenate([self.x, other.x], axis=1)
        self.jacobian = np.concatenate([self.jacobian, other.jacobian])


@lru_cache(maxsize=16)
def _linear(count: int, knots: tuple[int, ...]) -> np.ndarray:
    """(count, len(knots)) float32 weights of linear interpolation between knots."""
    rows = np.arange(count)
    return np.stack([np.interp(rows, knots, e) for e in np.eye(len(knots))], -1).astype(np.float32)


def _within(phi: np.ndarray, reach: float) -> np.ndarray:
    return (phi < reach) & (phi > -reach)


def _dilated(mask: np.ndarray) -> np.ndarray:
    """With the neighbours along the axes."""
    result = mask.copy()
    for axis in range(3):
        a, b = np.moveaxis(result, axis, 0), np.moveaxis(mask, axis, 0)
        a[1:] |= b[:-1]
        a[:-1] |= b[1:]
    return result
