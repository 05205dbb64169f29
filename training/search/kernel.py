"""Covariance functions of configurations (Bertrand 2019, section 2.4.1; Rasmussen and Williams 2006, chapter 4).

Symbols:
    x       an encoded configuration, a row of a matrix (n, d)
    l_d     length scale of column d (automatic relevance determination: one a column)
    w       the warp of a column (`transform.kumaraswamy`), the identity where none is asked for
    u       w(x) / l, warped and scaled
    s       |u - u'|^2, the squared distance that k is a function of; k(0) = 1
    theta   the logarithms of l and of the warps' shapes a, b: what is fitted

A kernel differentiates backwards: `differentiable` gives K and its pullback, which turns a matrix of weights M into the
gradient of sum_ij M_ij K_ij in theta. That is all that the marginal likelihood needs, costs one product with M
whatever the number of parameters, and sums and products of kernels compose it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from scipy.spatial.distance import cdist

from .transform import kumaraswamy, kumaraswamy_gradient

# Of the logarithms of the warps' shapes: the identity is the mean, and half of all warps bend less than a square.
WARP_SD = 0.75

Pullback = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Prior:
    """Normal distributions of the logarithms of parameters, (p,) each, and the range that is searched: mean +- 4 sd."""

    mean: np.ndarray
    sd: np.ndarray

    def log_density(self, theta: np.ndarray) -> tuple[float, np.ndarray]:
        """Value and gradient (p,)."""
        standard = (theta - self.mean) / self.sd
        return float(-0.5 * (standard**2 + np.log(2 * math.pi * self.sd**2)).sum()), -standard / self.sd

    @property
    def bounds(self) -> np.ndarray:
        """(p, 2) lowest and highest."""
        return np.stack([self.mean - 4 * self.sd, self.mean + 4 * self.sd], axis=1)

    def __add__(self, other: Prior) -> Prior:
        return Prior(np.concatenate([self.mean, other.mean]), np.concatenate([self.sd, other.sd]))


class Kernel(Protocol):
    """What the Gaussian process asks of a covariance function. theta: (p,); a: (n, d); b: (m, d)."""

    def prior(self, dimension: int) -> Prior:
        """Of theta."""

    def __call__(self, theta: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """Covariances (n, m)."""

    def diagonal(self, theta: np.ndarray, a: np.ndarray) -> np.ndarray:
        """Variances (n,) of `a`."""

    def differentiable(self, theta: np.ndarray, a: np.ndarray) -> tuple[np.ndarray, Pullback]:
        """K (n, n) of `a`, and its pullback from symmetric weights (n, n) to (p,)."""


@dataclass(frozen=True)
class Stationary:
    """A function of the scaled distance.

    Attributes:
        shape: k as a function of s. slope: dk/ds. warped: the columns that have a warp, None or empty: no column.
    """

    shape: Callable[[np.ndarray], np.ndarray]
    slope: Callable[[np.ndarray], np.ndarray]
    warped: tuple[int, ...] = ()

    def prior(self, dimension: int) -> Prior:
        """Of log l, and of log a and log b of the warps.

        Typical distances in a unit cube grow with the root of the dimension, and so do the length scales that leave
        the functions equally complicated (Hvarfner et al. 2024, who expect smoother functions than losses are).
        """
        lengths = Prior(np.full(dimension, math.log(0.5) + 0.5 * math.log(dimension)), np.ones(dimension))
        shapes = 2 * len(self.warped)
        return lengths + Prior(np.zeros(shapes), np.full(shapes, WARP_SD))

    def __call__(self, theta: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """See `Kernel`."""
        return self.shape(cdist(self._scaled(theta, a), self._scaled(theta, b), "sqeuclidean"))

    def diagonal(self, theta: np.ndarray, a: np.ndarray) -> np.ndarray:
        """See `Kernel`."""
        return np.ones(len(a))

    def differentiable(self, theta: np.ndarray, a: np.ndarray) -> tuple[np.ndarray, Pullback]:
        """See `Kernel`."""
        d = a.shape[1]
        u = self._scaled(theta, a)
        s = cdist(u, u, "sqeuclidean")

        def pullback(weights: np.ndarray) -> np.ndarray:
            p = weights * self.slope(s)
            by_u = 4 * (p.sum(1, keepdims=True) * u - p @ u)  # both u_i and u_j of s_ij, hence 4 and not 2
            gradient = np.empty_like(theta)
            gradient[:d] = -(u * by_u).sum(0)
            if self.warped:
                columns = list(self.warped)
                by_w = by_u[:, columns] / np.exp(theta[columns])
                for n, slopes in enumerate(kumaraswamy_gradient(a[:, columns], *self._shapes(theta, d))):
                    gradient[d + n * len(columns) :][: len(columns)] = (by_w * slopes).sum(0)
            return gradient

        return self.shape(s), pullback

    def _scaled(self, theta: np.ndarray, x: np.ndarray) -> np.ndarray:
        d = x.shape[1]
        if self.warped:
            x = x.copy()
            columns = list(self.warped)
            x[:, columns] = kumaraswamy(x[:, columns], *self._shapes(theta, d))
        return x / np.exp(theta[:d])

    def _shapes(self, theta: np.ndarray, dimension: int) -> tuple[np.ndarray, np.ndarray]:
        log_a, log_b = theta[dimension:].reshape(2, len(self.warped))
        return log_a, log_b


def squared_exponential(warped: tuple[int, ...] = ()) -> Stationary:
    """k = exp(-s / 2): infinitely differentiable functions."""
    return Stationary(lambda s: np.exp(-0.5 * s), lambda s: -0.5 * np.exp(-0.5 * s), warped)


def matern_52(warped: tuple[int, ...] = ()) -> Stationary:
    """k = (1 + t + t^2 / 3) exp(-t) with t = sqrt(5 s): functions that are differentiable twice."""
    return Stationary(_matern_shape, _matern_slope, warped)


def _matern_shape(s: np.ndarray) -> np.ndarray:
    t = np.sqrt(5 * s)
    return (1 + t + t * t / 3) * np.exp(-t)


def _matern_slope(s: np.ndarray) -> np.ndarray:
    # dk/dt = -t (1 + t) exp(-t) / 3 and dt/ds = 5 / (2 t): finite at 0.
    t = np.sqrt(5 * s)
    return -5 / 6 * (1 + t) * np.exp(-t)
