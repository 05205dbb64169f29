"""A Gaussian process that follows a search: extended by each observation, refitted as they become more.

Its hyper-parameters depend only on how many losses are known and on the first of these, not on when it was asked or
what was pending, so a search that is resumed goes on as it would have.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence

import numpy as np

from .candidates import Candidates
from .gaussian_process import GaussianProcess
from .hyperparameters import Model, Transform, drawn, likeliest, refined
from .kernel import Kernel

# Kernel and transform are chosen at these numbers of observations; later only the parameters are refined.
CHOICES = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class Surrogate:
    """A process, or several with drawn parameters, and their predictions at fixed candidates.

    Args:
        candidates: (m, d) encoded configurations, none (0, d) if the space cannot be listed.
        kernels, transforms: to choose from. seed: of the fits. draws: how many models are drawn from the posterior
            of the parameters; 0: the most likely one only.
    """

    def __init__(
        self,
        candidates: np.ndarray,
        kernels: Sequence[Kernel],
        transforms: Sequence[Transform],
        seed: int,
        draws: int = 0,
    ):
        self.candidates = candidates
        self.kernels = kernels
        self.transforms = transforms
        self.seed = seed
        self.draws = draws
        self._fitted = self._chosen = 0
        self._choice: Model
        self._trials: list[Hashable] = []
        self._pending: list[Hashable] = []
        self._stores: list[Candidates] = []

    @property
    def processes(self) -> list[GaussianProcess]:
        return [store.process for store in self._stores]

    def update(
        self, known: Mapping[Hashable, tuple[np.ndarray, float]], pending: Mapping[Hashable, np.ndarray]
    ) -> None:
        """Follow the search.

        Args:
            known: by trial, in the order told, encoded configuration (d,) and loss; at least one.
            pending: by trial, encoded configuration (d,).
        """
        if self._fitted != refits(len(known)):
            self._refit(known)
        for trial in [t for t in self._trials if t not in known and t not in pending]:
            self._remove(trial)
        for trial in [t for t in self._pending if t in known]:
            self._tell(trial, known[trial][1])
        there = set(self._trials)
        if new := [t for t in known if t not in there]:
            x, y = zip(*(known[t] for t in new), strict=True)
            self._add(new, np.array(x), np.array(y))
        if new := [t for t in pending if t not in there]:
            self._add(new, np.array([pending[t] for t in new]))

    def posteriors(self, points: np.ndarray | None = None) -> list[tuple[np.ndarray, np.ndarray]]:
        """Mean and variance (m,) of each process at `points` (m, d), or at the candidates."""
        if points is None:
            return [store.posterior() for store in self._stores]
        return [process.posterior(points) for process in self.processes]

    def _refit(self, known: Mapping[Hashable, tuple[np.ndarray, float]]) -> None:
        self._fitted = refits(len(known))
        x, y = np.array([x for x, _ in known.values()]), np.array([y for _, y in known.values()])
        chosen = max(count for count in CHOICES if count <= len(known))
        if chosen != self._chosen:
            self._chosen = chosen
            rng = np.random.default_rng((self.seed, chosen))
            self._choice = likeliest(x[:chosen], y[:chosen], self.kernels, self.transforms, rng)
        model, n = self._choice, self._fitted
        if n > chosen:
            model = refined(model, x[:n], y[:n])
        models = [model]
        if self.draws:
            models = drawn(model, x[:n], y[:n], self.draws, np.random.default_rng((self.seed, n, 1)))
        self._stores = [Candidates(GaussianProcess(model, x, y), self.candidates) for model in models]
        self._trials, self._pending = list(known), []

    def _add(self, trials: list[Hashable], x: np.ndarray, y: np.ndarray | None = None) -> None:
        for process in self.processes:
            process.add(x, y)
        self._trials += trials
        if y is None:
            self._pending += trials

    def _tell(self, trial: Hashable, loss: float) -> None:
        for process in self.processes:
            process.tell(self._trials.index(trial), loss)
        self._pending.remove(trial)

    def _remove(self, trial: Hashable) -> None:
        for store in self._stores:
            store.remove(self._trials.index(trial))
        self._trials.remove(trial)
        if trial in self._pending:
            self._pending.remove(trial)


def refits(count: int) -> int:
    """Of how many of `count` observations the parameters are those: of all at first, later of 90 % or more."""
    fitted = 1
    while (following := fitted + max(1, fitted // 10)) <= count:
        fitted = following
    return fitted
