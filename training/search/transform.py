"""Monotone transforms of what a Gaussian process sees: of the losses, and of each column of the encoding.

An output transform t turns losses into something nearer to a normal distribution. Which one suits is a matter of
likelihood: the density of the losses is that of t(y) times the Jacobian of t,

    log p(y) = log p(t(y)) + sum_i log t'(y_i),

so each function below returns t(y) (n,) and the logarithm of its Jacobian, and the likelihoods compare (Snelson,
Rasmussen and Ghahramani 2004). The input warp is that of Snoek et al. 2014 with the distribution of Kumaraswamy.
"""

from __future__ import annotations

import math

import numpy as np
from scipy.special import digamma, ndtri
from scipy.stats import rankdata

# Nearer to 0 or 1 a warp and its slopes are those at this distance: there log x is finite.
EDGE = 1e-12


def identity(y: np.ndarray) -> tuple[np.ndarray, float]:
    """t(y) = y."""
    return y, 0.0


def logarithm(y: np.ndarray) -> tuple[np.ndarray, float]:
    """t(y) = log y; a Jacobian of 0 (its logarithm -inf) where a loss is not positive, so that it is not chosen."""
    if (y <= 0).any():
        return y, -math.inf
    t = np.log(y)
    return t, -float(t.sum())


def normal_scores(y: np.ndarray) -> tuple[np.ndarray, float]:
    """t(y): the quantile of a normal distribution at the rank of y, equal losses sharing their mean rank.

    Only the order of the losses counts. Its slope is the density of the losses over the normal density at t; the
    density is estimated by the distance over m neighbours in rank (Vasicek 1976), with the correction that makes the
    logarithm unbiased where the density is even. Distances are at least the smallest difference of two losses, as
    measured losses have a resolution.
    """
    t = ndtri((rankdata(y) - 0.5) / len(y))
    if y.min() == y.max():
        return t, -math.inf
    return t, float((_log_density(y) - _log_normal(t)).sum())


def half_ranks(y: np.ndarray) -> tuple[np.ndarray, float]:
    """t(y): normal scores of the losses above the median m; (y - m) / s of the others (Song et al. 2024).

    How bad the bad ones are does not count, how good the good ones are does: an improvement keeps its size. s is such
    that the good half looks like that of a standard normal distribution.
    """
    scores, middle = ndtri((rankdata(y) - 0.5) / len(y)), np.median(y)
    good = y <= middle
    bad = y[~good]
    scale = math.sqrt(((y[good] - middle) ** 2).mean())
    if not len(bad) or bad.min() == bad.max() or not scale > 1e-12 * max(1.0, abs(middle)):
        return scores, -math.inf
    slopes = math.log(len(bad) / len(y)) + _log_density(bad) - _log_normal(scores[~good])
    return np.where(good, (y - middle) / scale, scores), float(slopes.sum() - good.sum() * math.log(scale))


def _log_density(y: np.ndarray) -> np.ndarray:
    """Of the distribution that y (n,), not all equal, are draws from, at the sorted y."""
    n, ordered = len(y), np.sort(y)
    gaps = np.diff(ordered)
    m = max(1, round(math.sqrt(n) / 2))
    first, last = np.maximum(np.arange(n) - m, 0), np.minimum(np.arange(n) + m, n - 1)
    steps = last - first
    width = np.maximum(ordered[last] - ordered[first], gaps[gaps > 0].min())
    return digamma(steps) - np.log(n * width)


def _log_normal(t: np.ndarray) -> np.ndarray:
    """Density of a standard normal distribution at the sorted t."""
    return -0.5 * (np.sort(t) ** 2 + math.log(2 * math.pi))


def kumaraswamy(x: np.ndarray, log_a: np.ndarray, log_b: np.ndarray) -> np.ndarray:
    """w(x) = 1 - (1 - x^a)^b, from [0, 1] onto [0, 1].

    Args:
        x: (n, c). log_a, log_b: (c,), both 0 for the identity.
    """
    _, log_rest = _logarithms(x, log_a)
    return -np.expm1(np.exp(log_b) * log_rest)


def kumaraswamy_gradient(x: np.ndarray, log_a: np.ndarray, log_b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Derivatives (n, c) of the warp in log a and in log b."""
    a, b = np.exp(log_a), np.exp(log_b)
    log_x, log_rest = _logarithms(x, log_a)
    by_log_a = a * b * log_x * np.exp(a * log_x + (b - 1) * log_rest)
    by_log_b = -b * log_rest * np.exp(b * log_rest)
    return by_log_a, by_log_b


def _logarithms(x: np.ndarray, log_a: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """log x and log(1 - x^a), finite at the ends of [0, 1]."""
    log_x = np.log(np.clip(x, EDGE, 1 - EDGE))
    return log_x, np.log(-np.expm1(np.exp(log_a) * log_x))
