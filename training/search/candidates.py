"""Mean and variance of a Gaussian process at all configurations of a finite space, kept up to date.

For candidates C the rows of V = L^-1 K(X, C) are kept. A new observation appends one row to L, hence one to V,

    V_new = (k(x_new, C) - l^T V) / d        with (l, d) the new row of L,

and mean and variance of all candidates follow in O(n C) instead of O(n^2 C).
"""

from __future__ import annotations

import numpy as np

from .cholesky import Rotation, rotate
from .gaussian_process import GaussianProcess

# Rows of V that lie together in memory: products with them are fast, and adding a row copies none.
BLOCK = 64


class Candidates:
    """The candidates of a process. Memory: 8 n m bytes for n observations and m candidates.

    Args:
        process: whose observations may be added, told and removed at will between calls of `posterior`.
        points: (m, d) encoded configurations.
    """

    def __init__(self, process: GaussianProcess, points: np.ndarray):
        self.process = process
        self.points = points
        self._prior = process.prior_variance(points)
        self._forget()

    def posterior(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean (m,) and variance (m,) of t(y), without noise."""
        if self._generation != self.process.factor.generation:
            self._forget()
        while self._n < self.process.factor.n:
            self._append()
        return self.process.scaled_back(self._weighted(self.process.beta), self._prior - self._explained)

    def remove(self, index: int) -> None:
        """Remove an observation of the process, and turn the rows instead of computing them again."""
        self.posterior()
        rotations = self.process.remove(index)
        for j, rotation in enumerate(rotations, start=index):
            self._rotate(j, rotation)
        self._n -= 1
        block, row = divmod(self._n, BLOCK)
        self._explained -= self._blocks[block][row] ** 2
        self._generation = self.process.factor.generation

    def _forget(self) -> None:
        self._generation = self.process.factor.generation
        self._blocks: list[np.ndarray] = []
        self._n = 0
        self._explained = np.zeros(len(self.points))

    def _append(self) -> None:
        """Rows for the next observations, up to the end of a block."""
        start = self._n
        block, row = divmod(start, BLOCK)
        stop = min(self.process.factor.n, (block + 1) * BLOCK)
        if block == len(self._blocks):
            self._blocks.append(np.empty((BLOCK, len(self.points))))
        lower, inverse = self.process.factor.lower, self.process.factor.inverse
        rest = self.process.covariance_with(self.process.x[start:stop], self.points)
        rest -= self._weighted(lower[start:stop, :start])
        new = inverse[start:stop, start:stop] @ rest
        self._blocks[block][row : row + len(new)] = new
        self._explained += np.einsum("nm,nm->m", new, new)
        self._n = stop

    def _weighted(self, weights: np.ndarray) -> np.ndarray:
        """Sums (..., m) of the rows of V with weights (..., n)."""
        total = np.zeros((*weights.shape[:-1], len(self.points)))
        for start in range(0, weights.shape[-1], BLOCK):
            part = weights[..., start : start + BLOCK]
            total += part @ self._blocks[start // BLOCK][: part.shape[-1]]
        return total

    def _rotate(self, j: int, rotation: Rotation) -> None:
        rows = [divmod(n, BLOCK) for n in (j, j + 1)]
        pair = np.stack([self._blocks[block][row] for block, row in rows])
        rotate(pair, rotation)
        for (block, row), new in zip(rows, pair, strict=True):
            self._blocks[block][row] = new
