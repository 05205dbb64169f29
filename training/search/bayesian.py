"""Bayesian optimisation (Bertrand 2019, section 2.4): train where the expected improvement is largest.

The losses told so far are a Gaussian process; trials in training are pending in it, so that several can be asked for
at once and differ. Failed trials teach a second process where training fails, and the expected improvement is weighted
with the probability that it does not. All configurations of a finite space are candidates, none twice.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.special import logsumexp

from . import acquisition
from .feasibility import Feasibility, Limit, within
from .hyperparameters import Transform
from .kernel import Kernel, matern_52
from .maximise import maximise
from .method import OneByOne
from .space import Configuration, Space
from .surrogate import Surrogate
from .transform import half_ranks, identity, logarithm

# A larger space is searched locally instead of listed: the store grows by 8 bytes a candidate and observation.
LARGEST_LISTED = 100_000
# Local search starts from so many of the best configurations, beside random ones.
BEST = 5


class Bayesian(OneByOne):
    """A search by expected improvement.

    Args:
        space: to search. seed: of the initial design, the fits and the local search.
        initial: how many configurations are spread over the space before the process decides, or these themselves;
            None: one more than there are parameters, which is what a plane through their losses takes.
        limits: costs known before training; what exceeds one is never suggested.
        per_second: whether expected improvement is divided by the training time that is predicted from those told.
        draws: models drawn from the posterior of the process's parameters and averaged (eq. 2.12); 0: the likeliest.
        kernels, transforms: of the configurations and of the losses, from which the likelihood chooses; None: Matern
            5/2 with and without warps.
        learn_failures: whether failed trials steer the search away from their like; else they are left out.

    Raises:
        ValueError: no configuration keeps the limits.
    """

    def __init__(
        self,
        space: Space,
        seed: int = 0,
        *,
        initial: int | Sequence[Configuration] | None = None,
        limits: Sequence[Limit] = (),
        per_second: bool = False,
        draws: int = 0,
        kernels: Sequence[Kernel] | None = None,
        transforms: Sequence[Transform] = (identity, logarithm, half_ranks),
        learn_failures: bool = True,
    ):
        super().__init__(space, seed, limits)
        self.space = space
        self.limits = limits
        self.per_second = per_second
        self._learn_failures = learn_failures
        self._listed = space.enumerate() if space.size is not None and space.size <= LARGEST_LISTED else None
        if self._listed is not None:
            self._number = {space.key(c): n for n, c in enumerate(self._listed)}
            self._allowed = within(limits, self._listed)
            if not self._allowed.any():
                raise ValueError(f"No configuration keeps {', '.join(limit.name for limit in limits)}: nothing to try.")
        initial = 1 + len(space.parameters) if initial is None else initial
        self._initial = self._spread(initial) if isinstance(initial, int) else list(initial)
        candidates = np.empty((0, space.dimension)) if self._listed is None else space.encode(self._listed)
        if kernels is None:
            warped = tuple(np.flatnonzero(space.ordered))
            kernels = (matern_52(), matern_52(warped)) if warped else (matern_52(),)
        self._encoded: dict[int, np.ndarray] = {}
        self._losses = Surrogate(candidates, kernels, transforms, seed, draws)
        self._feasibility = Feasibility(candidates, matern_52())
        self._seconds = Surrogate(candidates, (matern_52(),), (logarithm,), seed)

    def choose(self) -> Configuration | None:
        """The next configuration; None when all that keep the limits were suggested."""
        if self._listed is not None and not self._open().any():
            return None
        for configuration in self._initial[len(self.trials.configurations) :]:
            if self.space.key(configuration) not in self.trials.used:
                return configuration
        if not any(not observation.failed for observation in self.trials.observed):
            return self._at_random()
        self._follow()
        if self._listed is not None:
            still = np.flatnonzero(self._open())
            return self._listed[still[np.argmax(self._gain()[still])]]
        rng = self.trials.random()
        best = sorted((o for o in self.trials.observed if not o.failed), key=lambda o: o.loss)[:BEST]
        return maximise(self._score, self.space, [o.configuration for o in best] + self._drawn(rng, 1), rng)

    def _follow(self) -> None:
        """The surrogates take what was told."""
        observed, rows = self.trials.observed, self._rows()
        known = {o.trial: (rows[o.trial], o.loss) for o in observed if not o.failed}
        self._losses.update(known, {trial: rows[trial] for trial in self.trials.awaited})
        if self._learn_failures:
            self._feasibility.update({o.trial: (rows[o.trial], not o.failed) for o in observed})
        timed = {o.trial: (rows[o.trial], o.cost_s) for o in observed if o.cost_s and not o.failed}
        if self.per_second and timed:
            self._seconds.update(timed, {})

    def _rows(self) -> dict[int, np.ndarray]:
        """Encoded configurations (d,) of all trials."""
        new = {t: c for t, c in self.trials.configurations.items() if t not in self._encoded}
        self._encoded |= zip(new, self.space.encode(list(new.values())), strict=True)
        return self._encoded

    def _gain(self, points: np.ndarray | None = None) -> np.ndarray:
        """Log of the (weighted) expected improvement at points (m, d) or at all candidates."""
        gains = [
            acquisition.log_expected_improvement(mean, variance, process.best)
            for process, (mean, variance) in zip(self._losses.processes, self._losses.posteriors(points), strict=True)
        ]
        gain = logsumexp(gains, axis=0)
        gain = acquisition.feasible(gain, self._feasibility.probability(points))
        for mean, _ in self._seconds.posteriors(points):
            gain = acquisition.per_second(gain, mean)
        return gain

    def _score(self, configurations: list[Configuration]) -> np.ndarray:
        """Of any configurations; -inf for what is used or exceeds a limit."""
        allowed = within(self.limits, configurations)
        allowed &= [self.space.key(c) not in self.trials.used for c in configurations]
        return np.where(allowed, self._gain(self.space.encode(configurations)), -np.inf)

    def _open(self) -> np.ndarray:
        """(m,) bool: which listed configurations may still be suggested."""
        still = self._allowed.copy()
        still[[self._number[key] for key in self.trials.used]] = False
        return still

    def _at_random(self) -> Configuration:
        rng = self.trials.random()
        if self._listed is not None:
            return self._listed[rng.choice(np.flatnonzero(self._open()))]
        return self._drawn(rng, 1)[0]

    def _spread(self, count: int) -> list[Configuration]:
        """Up to `count` different allowed configurations that cover the space: Latin hypercubes (McKay et al. 1979)."""
        rng = np.random.default_rng((self.trials.seed, 0))
        chosen: dict = {}
        for _ in range(10):
            strata = rng.permuted(np.tile(np.arange(count), (self.space.dimension, 1)), axis=1).T
            drawn = self.space.decode((strata + rng.random(strata.shape)) / count)
            kept = within(self.limits, drawn)
            chosen |= {self.space.key(c): c for c, good in zip(drawn, kept, strict=True) if good}
        return list(chosen.values())[:count]

    def _drawn(self, rng: np.random.Generator, count: int) -> list[Configuration]:
        """Configurations that keep the limits."""
        for _ in range(100):
            drawn = self.space.sample(rng, 100 * count)
            kept = [c for c, good in zip(drawn, within(self.limits, drawn), strict=True) if good]
            if len(kept) >= count:
                return kept[:count]
        raise ValueError(
            f"Hardly any configuration keeps {', '.join(limit.name for limit in self.limits)}: narrow the space."
        )
