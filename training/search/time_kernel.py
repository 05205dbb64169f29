"""Covariance of learning curves: configurations and training time (Bertrand 2019, chapter 2; Swersky et al. 2014).

Symbols:
    x, r          an encoded configuration, and the share of the full training that it had, in (0, 1]
    c             covariance of configurations (`kernel.Stationary`)
    w             variance of what training still changes, in units of that of what is left at the end
    alpha, beta   shape and scale of the decay; beta in full trainings

A loss is what it comes to in the end and a part that decays. A mixture of exponential decays exp(-lambda r), their
rates from a gamma distribution, has the covariance beta^alpha / (r + r' + beta)^alpha, and so

    k((x, r), (x', r')) = c(x, x') (1 + w beta^alpha / (r + r' + beta)^alpha).

However long a training, its curve goes to c, not back to the prior as with a stationary covariance of time: short
trainings say something of the end. Points are rows (n, d + 1), the last column log r on a scale from 0, at the
shortest training, to 1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from .kernel import Prior, Pullback, Stationary


@dataclass(frozen=True)
class Decaying:
    """The covariance above. theta: that of c, then log w, log alpha, log beta.

    Attributes:
        configurations: c. shortest: r of the shortest training.
    """

    configurations: Stationary
    shortest: float

    def prior(self, dimension: int) -> Prior:
        """Of theta. Curves change as much as they differ in the end, and most of it in the first tenth."""
        return self.configurations.prior(dimension - 1) + Prior(np.array([0.0, 0.0, math.log(0.1)]), np.ones(3))

    def __call__(self, theta: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """Covariances (n, m)."""
        both = self._share(a)[:, None] + self._share(b)
        return self.configurations(theta[:-3], a[:, :-1], b[:, :-1]) * (1 + math.exp(theta[-3]) * _decay(theta, both))

    def diagonal(self, theta: np.ndarray, a: np.ndarray) -> np.ndarray:
        """Variances (n,)."""
        return 1 + math.exp(theta[-3]) * _decay(theta, 2 * self._share(a))

    def differentiable(self, theta: np.ndarray, a: np.ndarray) -> tuple[np.ndarray, Pullback]:
        """K (n, n) and its pullback; see `kernel.Kernel`."""
        share = self._share(a)
        both = share[:, None] + share
        w, alpha, beta = np.exp(theta[-3:])
        decay = _decay(theta, both)
        c, pull_back_c = self.configurations.differentiable(theta[:-3], a[:, :-1])

        def pullback(weights: np.ndarray) -> np.ndarray:
            of_decay = w * weights * c * decay
            by_time = [
                of_decay.sum(),
                alpha * (of_decay * np.log(beta / (both + beta))).sum(),
                alpha * (of_decay * (both / (both + beta))).sum(),
            ]
            return np.concatenate([pull_back_c(weights * (1 + w * decay)), by_time])

        return c * (1 + w * decay), pullback

    def _share(self, a: np.ndarray) -> np.ndarray:
        return self.shortest ** (1 - a[:, -1])


def _decay(theta: np.ndarray, both: np.ndarray) -> np.ndarray:
    alpha, beta = np.exp(theta[-2:])
    return (beta / (both + beta)) ** alpha


def with_time(encoded: np.ndarray, resources: np.ndarray | float, full: float, shortest: float) -> np.ndarray:
    """Rows (n, d + 1) of configurations (n, d) trained with `resources`, log time from 0 to 1.

    Args:
        full: R. shortest: the least resource, at which time is 0; everything is 1 where it is R.
    """
    log_time = np.log(np.asarray(resources, float) / shortest)
    span = math.log(full / shortest)
    return np.column_stack([encoded, np.broadcast_to(log_time / span if span else 1.0, len(encoded))])
