"""How much each hyper-parameter matters: a decomposition of the variance of the predicted loss (Hutter et al. 2014).

Over the whole space, with every parameter uniform on its values (or their logarithm) and independent of the others,

    main_j   = Var(E[f | x_j]) / Var(f)          what x_j explains alone (first-order index of Sobol 1993)
    total_j  = E(Var[f | all but x_j]) / Var(f)  what is left open where x_j is not known: x_j and its interactions

The length scales of a process are not that: they tell how fast it varies, not how far, and not on how much of the
space. A conditional parameter counts as far as it is active.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from .parameter import Parameter, Value
from .space import Configuration, Space

SAMPLES = 2048  # a power of two, for the low-discrepancy points


@dataclass(frozen=True)
class Importance:
    """Shares of the variance, (p,) each, in the order of the space's parameters; from samples, so within about 0.03."""

    names: tuple[str, ...]
    main: np.ndarray
    total: np.ndarray


def importance(
    space: Space, predict: Callable[[list[Configuration]], np.ndarray], seed: int = 0, samples: int = SAMPLES
) -> Importance | None:
    """Of the parameters of a space for a function of its configurations; None if the function is constant.

    Args:
        predict: values (n,) of n configurations. samples: of the space, a power of two; p + 2 predictions each.
    """
    from scipy.stats import sobol_indices, uniform

    def at(quantiles: np.ndarray) -> np.ndarray:
        """(samples,) at quantiles (p, samples) of the parameters."""
        drawn = [
            space.completed({p.name: _at_quantile(p, u) for p, u in zip(space.parameters, column, strict=True)})
            for column in quantiles.T
        ]
        return predict(drawn)

    rng, p = np.random.default_rng(seed), len(space.parameters)
    if np.ptp(at(rng.random((p, 64)))) < 1e-9:
        return None
    if p == 1:
        return Importance(space.names, np.ones(1), np.ones(1))
    found = sobol_indices(func=at, n=samples, dists=[uniform()] * p, rng=rng)
    return Importance(space.names, found.first_order, found.total_order)


def _at_quantile(parameter: Parameter, quantile: float) -> Value:
    """The value at a quantile of the distribution that `Space.sample` draws from."""
    if parameter.size is None or getattr(parameter, "log", False):
        return parameter.decode(np.array([quantile]))
    return parameter.values[min(int(quantile * parameter.size), parameter.size - 1)]
