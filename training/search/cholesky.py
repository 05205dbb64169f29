"""The Cholesky decomposition of a covariance that grows and shrinks (Bertrand 2019, eq. 2.18, 2.19 and appendix A).

Symbols:
    K = L L^T     covariance of n observations (n, n), jitter included, and its lower triangular factor
    L^-1          kept beside L, so that nothing is solved again: L^-1 K(X, C) is a product
    B, C          covariances (n, k) between the old observations and k new ones, and (k, k) of the new ones

A new block costs O(n^2 k) instead of O((n + k)^3); removing an observation costs O(n^2).
"""

from __future__ import annotations

import numpy as np
from scipy.linalg import LinAlgError, cholesky, solve_triangular

# A pivot below this share of its variance has lost most of its digits to cancellation.
SMALLEST_PIVOT = 1e-10
LARGEST_JITTER = 1e-2

Rotation = tuple[float, float]


class Factor:
    """L and L^-1 of a covariance.

    Attributes:
        n: observations. jitter: what was added to the diagonal so far; 0 unless the covariance is near singular.
        generation: counts decompositions from scratch and removals: while it stays, rows of L are final.
    """

    def __init__(self, covariance: np.ndarray):
        self.n = 0
        self.jitter = 0.0
        self.generation = 0
        self._lower, self._inverse = np.zeros((2, 0, 0))
        self._decompose(np.array(covariance, float))

    @property
    def lower(self) -> np.ndarray:
        """L (n, n)."""
        return self._lower[: self.n, : self.n]

    @property
    def inverse(self) -> np.ndarray:
        """L^-1 (n, n)."""
        return self._inverse[: self.n, : self.n]

    @property
    def covariance(self) -> np.ndarray:
        """K (n, n) without the jitter."""
        return self.lower @ self.lower.T - self.jitter * np.eye(self.n)

    @property
    def log_determinant(self) -> float:
        """log |K|."""
        return 2 * float(np.log(np.diag(self.lower)).sum())

    def extend(self, cross: np.ndarray, block: np.ndarray) -> None:
        """Add k observations.

        Args:
            cross: B (n, k). block: C (k, k).

        Raises:
            ValueError: the covariance is not positive definite, even with jitter.
        """
        n, k = cross.shape
        solved = self.inverse @ cross
        # The factor of the Schur complement; the rest of the new rows follows from it (eq. 2.18, 2.19):
        #     | L            0 |                           | L^-1                     0    |
        #     | (L^-1 B)^T   D |,  D D^T = C - B^T K^-1 B  | -D^-1 (L^-1 B)^T L^-1    D^-1 |
        corner = _factor(block + self.jitter * np.eye(k) - solved.T @ solved, block.diagonal())
        if corner is None:
            self._decompose(np.block([[self.covariance, cross], [cross.T, block]]))
            return
        corner_inverse = _inverse(corner)
        self._reserve(n + k)
        self._lower[n : n + k, :n] = solved.T
        self._lower[n : n + k, n : n + k] = corner
        self._inverse[n : n + k, :n] = -corner_inverse @ (solved.T @ self.inverse)
        self._inverse[n : n + k, n : n + k] = corner_inverse
        self.n = n + k

    def remove(self, index: int) -> list[Rotation]:
        """Remove an observation.

        L without a row is triangular but for one entry beside the diagonal in each later row. Rotating columns j and
        j + 1 in turn makes them 0; the same rotations of the rows of L^-1 (and of L^-1 K(X, C)) keep it the inverse.

        Returns:
            the rotations (cosine, sine), for `rotate`; the last row is to be dropped afterwards.
        """
        n = self.n
        if not 0 <= index < n:
            raise IndexError(f"There is no observation {index}: there are {n}.")
        lower, inverse = self.lower.copy(), self.inverse.copy()
        lower = np.delete(lower, index, axis=0)
        rotations = []
        for j in range(index, n - 1):
            diagonal, beside = lower[j, j], lower[j, j + 1]
            length = np.hypot(diagonal, beside)
            rotations.append((diagonal / length, beside / length))
            rotate(lower[j:, j : j + 2].T, rotations[-1])
            rotate(inverse[j : j + 2], rotations[-1])
        self._store(np.tril(lower[:, :-1]), np.tril(np.delete(inverse[:-1], index, axis=1)))
        self.generation += 1
        return rotations

    def _decompose(self, covariance: np.ndarray) -> None:
        """From scratch, with as much more jitter as it takes."""
        variances, jitter = covariance.diagonal(), self.jitter
        while (lower := _factor(covariance + jitter * np.eye(len(covariance)), variances)) is None:
            jitter = max(10 * jitter, 10 * SMALLEST_PIVOT * float(variances.mean()))
            if not jitter <= LARGEST_JITTER * variances.mean():
                raise ValueError(
                    "The covariance is not positive definite: expected a symmetric matrix of finite covariances with "
                    f"positive eigenvalues, got a smallest one of {_smallest_eigenvalue(covariance)}."
                )
        self.jitter = jitter
        self._store(lower, _inverse(lower))
        self.generation += 1

    def _store(self, lower: np.ndarray, inverse: np.ndarray) -> None:
        n = len(lower)
        self.n = min(self.n, n)
        self._reserve(n)
        self._lower[:n, :n], self._inverse[:n, :n] = lower, inverse
        self.n = n

    def _reserve(self, n: int) -> None:
        """Room for n observations; doubled when it is used up, so that adding one copies seldom."""
        if n > len(self._lower):
            size = max(n, 2 * len(self._lower), 16)
            lower, inverse = np.zeros((2, size, size))
            lower[: self.n, : self.n], inverse[: self.n, : self.n] = self.lower, self.inverse
            self._lower, self._inverse = lower, inverse


def rotate(pair: np.ndarray, rotation: Rotation) -> None:
    """Rotate two rows (2, m) in place."""
    cosine, sine = rotation
    first = cosine * pair[0] + sine * pair[1]
    pair[1] = cosine * pair[1] - sine * pair[0]
    pair[0] = first


def _factor(matrix: np.ndarray, variances: np.ndarray) -> np.ndarray | None:
    """L, or None where pivots are so small that it would be inexact."""
    try:
        lower = cholesky(matrix, lower=True)
    except (LinAlgError, ValueError):
        return None
    return lower if (lower.diagonal() ** 2 >= SMALLEST_PIVOT * variances).all() else None


def _inverse(lower: np.ndarray) -> np.ndarray:
    return solve_triangular(lower, np.eye(len(lower)), lower=True)


def _smallest_eigenvalue(matrix: np.ndarray) -> str:
    return f"{np.linalg.eigvalsh(matrix)[0]:.3g}" if np.isfinite(matrix).all() else "NaN"
