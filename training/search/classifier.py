"""A Gaussian process that classifies: which configurations can be trained (Rasmussen and Williams 2006, chapter 3).

Symbols:
    y           labels (n,), 1 for trained and -1 for failed
    f           latent function, of covariance K = v R + c; the constant c stands for its unknown mean
    p(y | f)    Phi(y f), Phi the distribution function of the standard normal distribution
    f^, W       the most likely f given the labels, and -d^2 log p(y | f) / df^2 there, (n,) each
    phi         (log v, theta), fitted

Laplace's approximation at f^ is a regression with targets f^ + W^-1 d log p / df and noise W^-1, one an observation.
A further label is added to that regression by matching the moments of its posterior (Csato and Opper 2002), so the
factor grows by a row as that of the losses does, and `Candidates` keeps the predictions of a finite space.
"""

from __future__ import annotations

import math

import numpy as np
from scipy.linalg import cho_solve, cholesky
from scipy.optimize import minimize
from scipy.special import log_ndtr, ndtr

from .cholesky import Factor
from .hyperparameters import OPTIONS
from .kernel import Kernel, Prior

VARIANCE = Prior(np.log([4.0]), np.array([1.0]))
OFFSET = 1.0
# A label of an observation that is as good as certain has hardly any curvature, and noise without limit.
LEAST_CURVATURE = 1e-8


class Classifier:
    """Labels of encoded configurations, and the probability of a label of 1 elsewhere.

    Args:
        kernel: of the configurations. x: (n, d). y: (n,) of 1 and -1. phi: (1 + p,); None: the likeliest.

    Attributes, as those of `GaussianProcess`: x, factor, beta, from which `Candidates` predicts f.
    """

    def __init__(self, kernel: Kernel, x: np.ndarray, y: np.ndarray, phi: np.ndarray | None = None):
        self.kernel = kernel
        self.x = np.array(x, float)
        self.phi = likeliest(kernel, self.x, y) if phi is None else phi
        covariance = self.covariance_with(self.x, self.x)
        f, slope, curvature, _ = laplace(covariance, np.asarray(y, float))
        self.factor = Factor(covariance + np.diag(1 / curvature))
        self._targets = f + slope / curvature
        self.beta = self.factor.inverse @ self._targets

    def add(self, x: np.ndarray, y: np.ndarray) -> None:
        """Take k more labels (k,) at (k, d), one after the other."""
        for point, label in zip(x[:, None], y, strict=True):
            (mean,), (variance,) = self.posterior(point)
            spread = math.sqrt(1 + variance)
            z = label * mean / spread
            ratio = math.exp(-0.5 * z * z - log_ndtr(z)) / math.sqrt(2 * math.pi)
            # The label's own Gaussian: its product with the prior has the moments of Phi(y f) times the prior.
            curvature = max(ratio * (z + ratio) / (1 + variance), LEAST_CURVATURE)
            noise = 1 / curvature - variance
            target = mean + label * ratio / (spread * curvature)
            self.factor.extend(self.covariance_with(self.x, point), self.covariance_with(point, point) + noise)
            self.x = np.concatenate([self.x, point])
            self._targets = np.append(self._targets, target)
            self.beta = self.factor.inverse @ self._targets

    def posterior(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean and variance (m,) of f at points (m, d)."""
        v = self.factor.inverse @ self.covariance_with(self.x, points)
        return self.scaled_back(self.beta @ v, self.prior_variance(points) - np.einsum("nm,nm->m", v, v))

    def covariance_with(self, x: np.ndarray, points: np.ndarray) -> np.ndarray:
        """Of f at x (n, d) and points (m, d)."""
        return math.exp(self.phi[0]) * self.kernel(self.phi[1:], x, points) + OFFSET

    def prior_variance(self, points: np.ndarray) -> np.ndarray:
        """Of f, (m,)."""
        return math.exp(self.phi[0]) * self.kernel.diagonal(self.phi[1:], points) + OFFSET

    def scaled_back(self, mean: np.ndarray, variance: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """f has no other unit; rounding leaves no negative variance."""
        return mean, np.maximum(variance, 0)


def success(mean: np.ndarray, variance: np.ndarray) -> np.ndarray:
    """P(y = 1) (m,) from mean and variance of f: the average of Phi(f)."""
    return ndtr(mean / np.sqrt(1 + variance))


def laplace(covariance: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    """f^, the slope d log p / df and W there, (n,) each, and the logarithm of the approximate evidence.

    Newton's method in the form that is stable for any covariance (Rasmussen and Williams 2006, algorithm 3.1), with
    steps halved where one goes too far.
    """
    n = len(y)
    f, weights = np.zeros(n), np.zeros(n)
    height = log_ndtr(y * f).sum()
    for _ in range(50):
        slope, curvature, _ = _derivatives(y, f)
        root = np.sqrt(curvature)
        lower = cholesky(np.eye(n) + root[:, None] * covariance * root, lower=True)
        b = curvature * f + slope
        step = b - root * cho_solve((lower, True), root * (covariance @ b)) - weights
        before, share = height, 1.0
        while True:
            new = weights + share * step
            height = log_ndtr(y * (covariance @ new)).sum() - 0.5 * new @ covariance @ new
            if height >= before - 1e-9 or share < 1e-4:
                break
            share /= 2
        weights, f = new, covariance @ new
        if abs(height - before) < 1e-9:
            break
    slope, curvature, _ = _derivatives(y, f)
    root = np.sqrt(curvature)
    lower = cholesky(np.eye(n) + root[:, None] * covariance * root, lower=True)
    return f, slope, curvature, float(height - np.log(lower.diagonal()).sum())


def log_evidence(kernel: Kernel, phi: np.ndarray, x: np.ndarray, y: np.ndarray) -> tuple[float, np.ndarray]:
    """Laplace's approximation of log p(y | x, phi), and its gradient (1 + p,) (algorithm 5.1)."""
    n, v = len(y), math.exp(phi[0])
    correlation, pullback = kernel.differentiable(phi[1:], x)
    covariance = v * correlation + OFFSET
    f, slope, curvature, value = laplace(covariance, y)
    root = np.sqrt(curvature)
    lower = cholesky(np.eye(n) + root[:, None] * covariance * root, lower=True)
    r = root[:, None] * cho_solve((lower, True), np.diag(root))  # (K + W^-1)^-1
    # K moves the evidence directly, and by moving f^, at which W is taken.
    variance = (covariance - covariance @ r @ covariance).diagonal()
    by_f = 0.5 * variance * _derivatives(y, f)[2]
    moved = np.outer(by_f - r @ (covariance @ by_f), slope)
    weights = 0.5 * (np.outer(slope, slope) - r + moved + moved.T)
    return value, np.concatenate([[v * (weights * correlation).sum()], v * pullback(weights)])


def likeliest(kernel: Kernel, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """phi of highest evidence and prior, by L-BFGS-B from the prior's mean."""
    prior = VARIANCE + kernel.prior(x.shape[1])

    def loss(phi: np.ndarray) -> tuple[float, np.ndarray]:
        value, gradient = log_evidence(kernel, phi, x, y)
        density, slope = prior.log_density(phi)
        return -value - density, -gradient - slope

    return minimize(loss, prior.mean, jac=True, bounds=prior.bounds, options=OPTIONS).x


def _derivatives(y: np.ndarray, f: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """First, minus second and third derivative of log Phi(y f) in f, (n,) each."""
    t = y * f
    ratio = np.exp(-0.5 * t * t - log_ndtr(t)) / math.sqrt(2 * math.pi)
    curvature = np.maximum(ratio * (ratio + t), LEAST_CURVATURE)
    return y * ratio, curvature, y * (ratio * (ratio + t) * (2 * ratio + t) - ratio)
