"""Configurations that cannot be trained: known before, by their cost, or learned from trials that failed.

A trial fails for memory, time, a crash or a loss that is not a number. The probability that a configuration can be
trained is that of a Gaussian process classifier, extended by each label and fitted anew as they become more.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from .candidates import Candidates
from .classifier import Classifier, likeliest, success
from .kernel import Kernel
from .space import Configuration
from .surrogate import CHOICES, refits


@dataclass(frozen=True)
class Limit:
    """A cost that is known without training, and the most it may be.

    Attributes:
        name: for messages, with its unit ("parameters", "memory in MiB"). cost: of a configuration. most: allowed.
    """

    name: str
    cost: Callable[[Configuration], float]
    most: float


def within(limits: Sequence[Limit], configurations: Iterable[Configuration]) -> np.ndarray:
    """(n,) bool: which configurations keep all limits; a cost that is NaN keeps none."""
    return np.array([all(limit.cost(c) <= limit.most for limit in limits) for c in configurations], bool)


class Feasibility:
    """The probability that configurations can be trained, given which could. It is 1 until a trial fails.

    Args:
        candidates: (m, d) encoded configurations, none (0, d) if the space cannot be listed. kernel: of them.
    """

    def __init__(self, candidates: np.ndarray, kernel: Kernel):
        self.candidates = candidates
        self.kernel = kernel
        self._store: Candidates | None = None
        self._trials: list[Hashable] = []
        self._fitted = self._chosen = 0

    def update(self, told: Mapping[Hashable, tuple[np.ndarray, bool]]) -> None:
        """Follow the search: by trial, in the order told, encoded configuration (d,) and whether it was trained."""
        if all(trained for _, trained in told.values()):
            return
        x = np.array([row for row, _ in told.values()])
        y = np.where([trained for _, trained in told.values()], 1.0, -1.0)
        if self._fitted != refits(len(told)):
            self._fitted = refits(len(told))
            chosen = max(count for count in CHOICES if count <= len(told))
            if chosen != self._chosen:
                self._chosen, self._phi = chosen, likeliest(self.kernel, x[:chosen], y[:chosen])
            classifier = Classifier(self.kernel, x[: self._fitted], y[: self._fitted], self._phi)
            self._store = Candidates(classifier, self.candidates)
            self._trials = list(told)[: self._fitted]
        new = len(self._trials)
        self._store.process.add(x[new:], y[new:])
        self._trials = list(told)

    def probability(self, points: np.ndarray | None = None) -> np.ndarray:
        """(m,) at points (m, d), or at the candidates."""
        if self._store is None:
            return np.ones(len(self.candidates if points is None else points))
        posterior = self._store.posterior() if points is None else self._store.process.posterior(points)
        return success(*posterior)
