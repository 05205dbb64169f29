"""How promising a configuration is, from the mean and variance of its loss (Bertrand 2019, section 2.4.2).

Symbols, all losses being minimised:
    best    the lowest loss observed
    z       (best - mean) / sd
    phi     density of the standard normal distribution, Phi its distribution function
    h(z)    z Phi(z) + phi(z)

The logarithm of the expected improvement is what is maximised: far from the best, h(z) is 0 in floating point, but
its logarithm still ranks the configurations.
"""

from __future__ import annotations

import math

import numpy as np
from scipy.special import erfcx, ndtr

LOG_SQRT_2_PI = 0.5 * math.log(2 * math.pi)
# Beyond this, 1 - |z| Phi / phi loses its digits, and its series 1 / z^2 - 3 / z^4 + 15 / z^6 has them.
FAR = -300.0
# The least probability of success that is risked for a gain, and the logarithm that a lack of it costs, each.
CAUTION, LAST = 0.8, 1e6


def probability_of_improvement(mean: np.ndarray, variance: np.ndarray, best: float) -> np.ndarray:
    """P(loss < best) = Phi(z), elementwise; 0 or 1 where the variance is 0."""
    return ndtr(_standardised(mean, variance, best))


def expected_improvement(mean: np.ndarray, variance: np.ndarray, best: float) -> np.ndarray:
    """E[max(best - loss, 0)] = sd h(z) (eq. 2.13 to 2.16), elementwise; never negative."""
    return np.exp(log_expected_improvement(mean, variance, best))


def log_expected_improvement(mean: np.ndarray, variance: np.ndarray, best: float) -> np.ndarray:
    """log(sd h(z)), exact where h(z) underflows (cf. Ament et al. 2023); -inf where nothing can be gained."""
    mean, sd = np.asarray(mean, float), np.sqrt(variance)
    certain = sd == 0
    z = _standardised(mean, variance, best)
    with np.errstate(divide="ignore"):
        gained = np.log(np.maximum(best - mean, 0))
        return np.where(certain, gained, np.log(np.where(certain, 1, sd)) + log_h(np.where(certain, 0, z)))


def log_h(z: np.ndarray) -> np.ndarray:
    """log(z Phi(z) + phi(z)), elementwise, to full precision for any z."""
    z = np.asarray(z, float)
    result = np.empty_like(z)
    near, far = z > -1, z < FAR
    between = ~near & ~far
    result[near] = np.log(z[near] * ndtr(z[near]) + np.exp(-0.5 * z[near] ** 2 - LOG_SQRT_2_PI))
    # h(z) = phi(z) (1 - |z| Phi(z) / phi(z)), and Phi(z) / phi(z) = sqrt(pi / 2) erfcx(|z| / sqrt(2)).
    x = -z[between]
    ratio = math.sqrt(math.pi / 2) * erfcx(x / math.sqrt(2))
    result[between] = -0.5 * x**2 - LOG_SQRT_2_PI + np.log1p(-x * ratio)
    x = -z[far]
    result[far] = -0.5 * x**2 - LOG_SQRT_2_PI - 2 * np.log(x) + np.log1p(-3 / x**2 + 15 / x**4)
    return result


def per_second(log_gain: np.ndarray, log_seconds: np.ndarray) -> np.ndarray:
    """Log of the expected improvement per second (Snoek et al. 2012), elementwise.

    Args:
        log_gain: log expected improvement. log_seconds: predicted log of the time a training takes.
    """
    return log_gain - log_seconds


def feasible(log_gain: np.ndarray, probability: np.ndarray) -> np.ndarray:
    """Log of the expected improvement when a failed training gains nothing (Gelbart et al. 2014), elementwise.

    Beyond the border of what can be trained the losses are extrapolated and the gains large and never disproved, so
    the weight alone would let the search fail again and again once it has found the best that can be trained. What is
    less probable than `CAUTION` comes after everything else, the more probable first.
    """
    with np.errstate(divide="ignore"):
        return log_gain + np.log(probability) - LAST * np.maximum(CAUTION - probability, 0)


def _standardised(mean: np.ndarray, variance: np.ndarray, best: float) -> np.ndarray:
    gain, sd = best - np.asarray(mean, float), np.sqrt(variance)
    certain = np.where(gain > 0, np.inf, -np.inf)
    return np.where(sd > 0, gain / np.where(sd > 0, sd, 1), certain)
