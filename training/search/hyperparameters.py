"""What a Gaussian process assumes about the losses, and how likely that is (Bertrand 2019, section 2.4.1).

Symbols:
    y       losses (n,); t(y) transformed; z = (t - m) / c with mean 0 and standard deviation 1
    v, e    variance of the function and of the noise, in units of c^2
    R       the kernel's matrix (n, n), with theta its own parameters
    K       v R + e 1
    phi     (log v, log e, theta): what is fitted, with a weak prior

The likelihood of phi is eq. 2.11; its logarithm with the Jacobian of t and c compares transforms. Either its maximum
with the prior is used, or an average over draws of phi (eq. 2.12).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.linalg import LinAlgError, cholesky
from scipy.linalg.lapack import dpotri
from scipy.optimize import minimize

from .kernel import Kernel, Prior

Transform = Callable[[np.ndarray], tuple[np.ndarray, float]]

# Standardised losses have variance 1. Noise may be anything from that of trainings to none, as of a formula: where it
# is taken as larger than it is, the best is not searched as closely as it could be. K is never near singular.
VARIANCE_AND_NOISE = Prior(np.log([1.0, 1e-5]), np.array([1.0, 3.0]))
LEAST_NOISE = 1e-6
STARTS = 3
OPTIONS = {"maxfun": 60}


@dataclass(frozen=True)
class Model:
    """kernel: of the configurations. transform: of the losses. phi: (2 + p,), see above."""

    kernel: Kernel
    transform: Transform
    phi: np.ndarray

    @property
    def variance(self) -> float:
        return math.exp(self.phi[0])

    @property
    def noise(self) -> float:
        return math.exp(self.phi[1])

    @property
    def theta(self) -> np.ndarray:
        return self.phi[2:]


def standardised(t: np.ndarray) -> tuple[np.ndarray, float, float]:
    """z, mean and standard deviation; that of constant losses is taken as 1."""
    mean, scale = float(t.mean()), float(t.std())
    scale = scale if scale > 1e-12 * max(1.0, abs(mean)) else 1.0
    return (t - mean) / scale, mean, scale


def log_marginal_likelihood(kernel: Kernel, phi: np.ndarray, x: np.ndarray, z: np.ndarray) -> tuple[float, np.ndarray]:
    """log p(z | x, phi) = -1/2 (z^T K^-1 z + log |K| + n log 2 pi) (eq. 2.11), and its gradient (2 + p,).

    Raises:
        LinAlgError: K is not positive definite.
    """
    n, (v, e) = len(z), np.exp(phi[:2])
    correlation, pullback = kernel.differentiable(phi[2:], x)
    lower = cholesky(v * correlation + e * np.eye(n), lower=True)
    inverse, _ = dpotri(lower, lower=True)
    inverse = np.tril(inverse) + np.tril(inverse, -1).T
    alpha = inverse @ z
    value = -0.5 * (z @ alpha + n * math.log(2 * math.pi)) - np.log(lower.diagonal()).sum()
    # dK moves it by sum_ij M_ij dK_ij with M = (alpha alpha^T - K^-1) / 2.
    weights = 0.5 * (np.outer(alpha, alpha) - inverse)
    gradient = np.concatenate([[v * (weights * correlation).sum(), e * weights.trace()], v * pullback(weights)])
    return float(value), gradient


def prior_of(kernel: Kernel, dimension: int) -> Prior:
    """Of phi."""
    return VARIANCE_AND_NOISE + kernel.prior(dimension)


def log_posterior(kernel: Kernel, phi: np.ndarray, x: np.ndarray, z: np.ndarray) -> tuple[float, np.ndarray]:
    """Marginal likelihood and prior; -inf where K cannot be decomposed."""
    density, slope = prior_of(kernel, x.shape[1]).log_density(phi)
    try:
        value, gradient = log_marginal_likelihood(kernel, phi, x, z)
    except LinAlgError:
        return -math.inf, np.zeros_like(phi)
    return value + density, gradient + slope


def likeliest(
    x: np.ndarray,
    y: np.ndarray,
    kernels: Sequence[Kernel],
    transforms: Sequence[Transform],
    rng: np.random.Generator,
    starts: int = STARTS,
) -> Model:
    """The most likely of all pairs of a kernel and a transform, each at its best phi (L-BFGS-B from several starts).

    A kernel with more parameters fits better than it predicts; the comparison charges it log(n) / 2 for each, as the
    Bayesian information criterion does.

    Args:
        x: (n, d) encoded configurations. y: (n,) their losses.
    """
    best, best_evidence = None, -math.inf
    for transform in transforms:
        t, log_jacobian = transform(y)
        if best is not None and log_jacobian == -math.inf:
            continue
        z, _, scale = standardised(t)
        for kernel in kernels:
            phi, value = _maximum(kernel, x, z, rng, starts)
            evidence = value + log_jacobian - len(y) * math.log(scale) - 0.5 * len(phi) * math.log(len(y))
            if best is None or evidence > best_evidence:
                best, best_evidence = Model(kernel, transform, phi), evidence
    return best


def refined(model: Model, x: np.ndarray, y: np.ndarray) -> Model:
    """The same kernel and transform with the phi that is best for other observations, found from the present one."""
    z, _, _ = standardised(model.transform(y)[0])
    phi, _ = _descended(model.kernel, x, z, model.phi)
    return replace(model, phi=phi)


def drawn(model: Model, x: np.ndarray, y: np.ndarray, count: int, rng: np.random.Generator) -> list[Model]:
    """Models whose phi are drawn from its posterior by slice sampling, for the average of eq. 2.12."""
    z, _, _ = standardised(model.transform(y)[0])

    def log_density(phi: np.ndarray) -> float:
        return log_posterior(model.kernel, phi, x, z)[0]

    chain = slice_sample(log_density, model.phi, prior_of(model.kernel, x.shape[1]).sd, count, rng)
    return [replace(model, phi=phi) for phi in chain]


def slice_sample(
    log_density: Callable[[np.ndarray], float],
    start: np.ndarray,
    widths: np.ndarray,
    count: int,
    rng: np.random.Generator,
    sweeps: int = 3,
) -> np.ndarray:
    """Draws (count, p) by univariate slice sampling with stepping out (Neal 2003, figures 3 and 5).

    Args:
        start: (p,) of positive density. widths: (p,) typical extents of the density. sweeps: over all coordinates,
            each in a random direction, between two draws that are kept.
    """
    point, height = np.array(start, float), log_density(start)
    draws = []
    for _ in range(count):
        for axis in np.concatenate([rng.permutation(len(point)) for _ in range(sweeps)]):
            level = height + math.log(rng.random())
            left = point[axis] - widths[axis] * rng.random()
            right = left + widths[axis]
            while log_density(_moved(point, axis, left)) > level:
                left -= widths[axis]
            while log_density(_moved(point, axis, right)) > level:
                right += widths[axis]
            while True:
                candidate = _moved(point, axis, rng.uniform(left, right))
                height = log_density(candidate)
                if height > level:
                    break
                if candidate[axis] < point[axis]:
                    left = candidate[axis]
                else:
                    right = candidate[axis]
            point = candidate
        draws.append(point)
    return np.array(draws)


def _moved(point: np.ndarray, axis: int, value: float) -> np.ndarray:
    moved = point.copy()
    moved[axis] = value
    return moved


def _maximum(
    kernel: Kernel, x: np.ndarray, z: np.ndarray, rng: np.random.Generator, starts: int
) -> tuple[np.ndarray, float]:
    """The best phi and its log posterior; the first start is the prior's mean, the others are near it."""
    prior = prior_of(kernel, x.shape[1])
    around = [prior.mean] + [prior.mean + prior.sd * rng.standard_normal(len(prior.mean)) for _ in range(starts - 1)]
    return max((_descended(kernel, x, z, start) for start in around), key=lambda found: found[1])


def _descended(kernel: Kernel, x: np.ndarray, z: np.ndarray, start: np.ndarray) -> tuple[np.ndarray, float]:
    """Uphill from a start: phi and its log posterior."""
    bounds = prior_of(kernel, x.shape[1]).bounds
    bounds[1, 0] = max(bounds[1, 0], math.log(LEAST_NOISE))

    def loss(phi: np.ndarray) -> tuple[float, np.ndarray]:
        value, gradient = log_posterior(kernel, phi, x, z)
        return (-value, -gradient) if math.isfinite(value) else (1e25, np.zeros_like(phi))

    result = minimize(loss, np.clip(start, *bounds.T), jac=True, bounds=bounds, options=OPTIONS)
    return result.x, -float(result.fun)
