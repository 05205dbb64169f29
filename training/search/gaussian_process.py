"""The Gaussian process that predicts losses (Bertrand 2019, section 2.4.1, eq. 2.9, 2.10).

Symbols, beside those of `hyperparameters`:
    L           K = L L^T, kept with L^-1 and extended by each observation (`cholesky`)
    beta        L^-1 z
    k, V        covariances (n, m) of the observations with m points, and L^-1 k
    mean        beta^T V, scaled back to t(y)
    variance    v R(x, x) - sum of V^2 over the observations, scaled back

A pending observation is a configuration in training, whose loss is not known. Its z is the process's own mean there
given the known ones (the "liar" of Ginsbourger et al. 2010 that believes the process): the mean everywhere is then as
without it, and the variance as with it. Those z make K^-1 z vanish at the pending observations, or equally make
|L^-1 z| least, so beta is the residual of a small least-squares problem, whatever order losses come in.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .cholesky import Factor, Rotation
from .hyperparameters import Model, Transform, likeliest, standardised
from .kernel import Kernel

CHUNK = 4096


class GaussianProcess:
    """Observations of a function under a model. Means and variances are those of t(y), not of y.

    Attributes:
        model: kernel, transform and parameters. x: (n, d) encoded configurations. y: (n,) losses, NaN where pending.
        factor: of K. best: the lowest t(y), known or believed.
    """

    def __init__(self, model: Model, x: np.ndarray, y: np.ndarray):
        """Args: x: (n, d). y: (n,) finite. Raises ValueError for other shapes and for losses that are not finite."""
        self.model = model
        self.x, self.y = _checked(x, y)
        if not len(self.y):
            raise ValueError("A Gaussian process needs at least one observation.")
        self.factor = Factor(self._covariance(self.x))
        self._update()

    @classmethod
    def fit(
        cls,
        x: np.ndarray,
        y: np.ndarray,
        kernels: Sequence[Kernel],
        transforms: Sequence[Transform],
        rng: np.random.Generator,
    ) -> GaussianProcess:
        """The process of the most likely model; see `likeliest`."""
        x, y = _checked(x, y)
        return cls(likeliest(x, y, kernels, transforms, rng), x, y)

    def add(self, x: np.ndarray, y: np.ndarray | None = None) -> None:
        """Take k more observations (k, d), pending if there are no losses (k,)."""
        x, y = _checked(x, np.zeros(len(x)) if y is None else y) if y is not None else _pending(x)
        cross = self.model.variance * self.model.kernel(self.model.theta, self.x, x)
        self.factor.extend(cross, self._covariance(x))
        self.x, self.y = np.concatenate([self.x, x]), np.concatenate([self.y, y])
        self._update()

    def tell(self, index: int, loss: float) -> None:
        """A pending observation has its loss. Costs no decomposition: K does not depend on losses."""
        self.y[index] = loss
        self._update()

    def remove(self, index: int) -> list[Rotation]:
        """Forget an observation; returns the rotations of the factor's rows."""
        if len(self.y) == 1:
            raise ValueError("The only observation of a Gaussian process cannot be removed.")
        rotations = self.factor.remove(index)
        self.x, self.y = np.delete(self.x, index, axis=0), np.delete(self.y, index)
        self._update()
        return rotations

    def posterior(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean (m,) and variance (m,) of t(y), without noise, at points (m, d); any number, in chunks."""
        mean, variance = np.empty((2, len(points)))
        for start in range(0, len(points), CHUNK):
            part = slice(start, start + CHUNK)
            v = self.factor.inverse @ self.covariance_with(self.x, points[part])
            mean[part] = self.beta @ v
            variance[part] = self.prior_variance(points[part]) - np.einsum("nm,nm->m", v, v)
        return self.scaled_back(mean, variance)

    def covariance_with(self, x: np.ndarray, points: np.ndarray) -> np.ndarray:
        """Of the function at x (n, d) and points (m, d), in units of z."""
        return self.model.variance * self.model.kernel(self.model.theta, x, points)

    def prior_variance(self, points: np.ndarray) -> np.ndarray:
        """(m,) in units of z."""
        return self.model.variance * self.model.kernel.diagonal(self.model.theta, points)

    def scaled_back(self, mean: np.ndarray, variance: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """From units of z to those of t(y); rounding leaves no negative variance."""
        return self.mean + self.scale * mean, self.scale**2 * np.maximum(variance, 0)

    def _covariance(self, x: np.ndarray) -> np.ndarray:
        return self.covariance_with(x, x) + self.model.noise * np.eye(len(x))

    def _update(self) -> None:
        known = ~np.isnan(self.y)
        self.t, _ = self.model.transform(self.y[known])
        z, self.mean, self.scale = standardised(self.t)
        filled = np.zeros(len(known))
        filled[known] = z
        self.beta = self.factor.inverse @ filled
        if not known.all():
            pending = self.factor.inverse[:, ~known]
            believed, *_ = np.linalg.lstsq(pending, -self.beta, rcond=None)
            self.beta += pending @ believed
            z = np.append(z, believed)  # an improvement is one on what is under way too
        self.best = self.mean + self.scale * float(z.min())


def _checked(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    x, y = np.array(x, float), np.array(y, float)
    if x.ndim != 2 or y.shape != (len(x),):
        raise ValueError(f"Expected configurations (n, d) and losses (n,), got shapes {x.shape} and {y.shape}.")
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise ValueError("Expected finite configurations and losses, got NaN or infinity: tell a failed trial as such.")
    return x, y


def _pending(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    x, _ = _checked(x, np.zeros(len(x)))
    return x, np.full(len(x), np.nan)
