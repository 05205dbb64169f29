"""What a suggestion costs: seconds of a processor, with a factor that grows and with one computed from scratch.

Both know the same observations of all 34,300 configurations of table 2.7's space, and the same parameters of the
process; scikit-learn's process, where it is installed, is the reference that people have at hand.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from SlicerHPOLib.job import Job

from .acquisition import log_expected_improvement
from .candidates import Candidates
from .gaussian_process import GaussianProcess
from .hyperparameters import Model
from .kernel import matern_52
from .spaces import table_2_7
from .transform import identity

OBSERVATIONS = (100, 300, 1000)
LOG_LENGTH = 0.5


@dataclass(frozen=True)
class Row:
    """Seconds of a processor for one suggestion after `observations`; scikit_learn: None if it is not installed."""

    observations: int
    incremental: float
    anew: float
    scikit_learn: float | None


def benchmark(seed: int = 0, job: Job = Job()) -> list[Row]:
    """Time a suggestion, the fit of the parameters not included: under a minute on one core."""
    space = table_2_7(learning_rates=7)
    points = space.encode(space.enumerate())
    rng = np.random.default_rng(seed)
    y = rng.standard_normal(len(points))
    model = Model(matern_52(), identity, np.array([0.0, math.log(1e-3), *[LOG_LENGTH] * points.shape[1]]))
    rows = []
    for part, n in enumerate(OBSERVATIONS):
        job.progress(part / len(OBSERVATIONS), f"{n} observations")
        chosen = rng.permutation(len(points))[: n + 1]
        x, losses = points[chosen], y[chosen]
        store = Candidates(GaussianProcess(model, x[:-1], losses[:-1]), points)
        store.posterior()

        def incremental(store=store, x=x, losses=losses) -> np.ndarray:
            store.process.add(x[-1:], losses[-1:])
            return _gain(*store.posterior(), store.process.best)

        def anew(x=x, losses=losses) -> np.ndarray:
            process = GaussianProcess(model, x, losses)
            return _gain(*process.posterior(points), process.best)

        seconds, gains = _timed(incremental)
        seconds_anew, gains_anew = _timed(anew)
        if not np.allclose(gains, gains_anew, atol=1e-6):
            raise ArithmeticError(f"With {n} observations, the two ways to compute the improvement differ.")
        rows.append(Row(n, seconds, seconds_anew, _seconds_of_scikit_learn(x, losses, points)))
    return rows


def describe(rows: list[Row]) -> str:
    """A table to print."""
    lines = ["one suggestion over 34,300 configurations, in seconds of a processor (times the incremental one)"]
    lines += ["observations  incremental     from scratch     scikit-learn"]
    for row in rows:
        theirs = "not installed" if row.scikit_learn is None else _beside(row.scikit_learn, row.incremental)
        lines += [
            f"{row.observations:12} {row.incremental:12.4f} {_beside(row.anew, row.incremental):>16} {theirs:>16}"
        ]
    return "\n".join(lines)


def _beside(seconds: float, reference: float) -> str:
    return f"{seconds:.3f} ({seconds / reference:.0f}x)"


def _gain(mean: np.ndarray, variance: np.ndarray, best: float) -> np.ndarray:
    return log_expected_improvement(mean, variance, best)


def _timed(action: Callable[[], np.ndarray]) -> tuple[float, np.ndarray]:
    """Seconds that all threads computed, which other work on the machine hardly changes."""
    start = time.process_time()
    result = action()
    return time.process_time() - start, result


def _seconds_of_scikit_learn(x: np.ndarray, losses: np.ndarray, points: np.ndarray) -> float | None:
    try:
        from sklearn.gaussian_process import GaussianProcessRegressor
        from sklearn.gaussian_process.kernels import Matern
    except ImportError:
        return None
    process = GaussianProcessRegressor(
        Matern(np.full(x.shape[1], math.exp(LOG_LENGTH)), nu=2.5), alpha=1e-3, optimizer=None
    )

    def ask() -> np.ndarray:
        process.fit(x, losses)
        mean, sd = process.predict(points, return_std=True)
        return _gain(mean, sd**2, float(losses.min()))

    return _timed(ask)[0]
