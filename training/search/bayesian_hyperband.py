"""Bayesian optimisation chooses what Hyperband trains (Bertrand 2019, chapter 2).

Symbols, beside those of `hyperband` and `time_kernel`:
    x, r    configuration and resource of a training; its loss is f(x, r)
    EI      expected improvement on the best loss, given all trainings so far, finished or not

`SourceCombination` is the source's: time is one more input of a stationary process of the losses; at the start of a
bracket, the losses at its first rung are predicted, and configurations drawn with probabilities EI / sum EI.

`BayesianHyperband` repairs what costs it: the process is of log time, and of log losses where they are likelier; its
covariance of time decays to what a training comes to, so that f(x, R) is predicted, which is what is looked for; the
configuration of largest EI is taken, with the trainings under way pending in the process; failed trials teach a second
process where training fails; and the rungs' rank correlations tell when short trainings mislead.
"""

from __future__ import annotations

import logging
from collections.abc import Hashable, Iterable
from functools import cached_property

import numpy as np

from . import acquisition
from .feasibility import Feasibility
from .fidelity import Agreement, agreements
from .hyperband import Bracket, Hyperband
from .kernel import matern_52, squared_exponential
from .maximise import maximise
from .space import Configuration
from .surrogate import Surrogate
from .time_kernel import Decaying, with_time
from .transform import identity, logarithm

LARGEST_LISTED = 100_000
LEAST_RESULTS = 6  # before these, configurations are random
SAMPLED = 2_000  # of a space that is not listed

log = logging.getLogger(__name__)


class Combination(Hyperband):
    """What both versions share: the space as rows, and results as a process takes them."""

    @property
    def shortest(self) -> int:
        """The resource of the first rung."""
        return self.round[0][0].resource

    @cached_property
    def listed(self) -> list[Configuration]:
        """All m configurations; none where they are too many."""
        space = self.trials.space
        return space.enumerate() if space.size is not None and space.size <= LARGEST_LISTED else []

    @cached_property
    def encoded(self) -> np.ndarray:
        """(m, d)."""
        return self.trials.space.encode(self.listed)

    @cached_property
    def _allowed(self) -> np.ndarray:
        """(m,) bool: which keep the limits."""
        return self.trials.allows(self.listed)

    @cached_property
    def _number(self) -> dict[Hashable, int]:
        return {self.trials.space.key(c): n for n, c in enumerate(self.listed)}

    def _among(self, keys: Iterable[Hashable]) -> np.ndarray:
        """(m,) bool: which of the listed configurations have one of the keys."""
        among = np.zeros(len(self.listed), bool)
        among[[self._number[key] for key in keys]] = True
        return among

    def rows(self, trials: list[int]) -> np.ndarray:
        """Encoded configurations (n, d)."""
        return self.trials.space.encode([self.trials.configurations[trial] for trial in trials])

    def known(self) -> list[tuple[int, int]]:
        """Trial and resource of the results, in the order told, without failures."""
        return [key for key, loss in self.losses.items() if loss < np.inf]


class BayesianHyperband(Combination):
    """Hyperband whose configurations have the largest expected improvement of the loss of a full training.

    Args: those of `Hyperband`.
    """

    @cached_property
    def _losses(self) -> Surrogate:
        kernels = (matern_52(), Decaying(matern_52(), self.shortest / self.resource))
        finished = self._with_time(self.encoded, self.resource)
        return Surrogate(finished, kernels, (identity, logarithm), self.trials.seed)

    @cached_property
    def _feasibility(self) -> Feasibility:
        return Feasibility(self.encoded, matern_52())

    @cached_property
    def _logged(self) -> set[Agreement]:
        return set()

    def choose(self, resource: int) -> Configuration | None:
        """See above; at random on the first rung, which costs about a full training and shows how losses are spread."""
        if self.trials.next_number < self.round[0][0].trainings or len(self.known()) < LEAST_RESULTS:
            return self.trials.unused_at_random()
        self._follow()
        if not self.listed:
            known = sorted(self.known(), key=lambda key: (-key[1], self.losses[key]))[:5]
            starts = [self.trials.configurations[trial] for trial, _ in known]
            closed = set(self._closed(resource))
            return maximise(lambda c: self._score(c, closed), self.trials.space, starts, self.trials.random())
        used, closed = self._among(self.trials.used), self._among(self._closed(resource)) | ~self._allowed
        if closed.all():
            return None
        ((mean, variance),), feasible = self._losses.posteriors(), self._feasibility.probability()
        gain = acquisition.log_expected_improvement(mean, variance, mean[used].min())
        return self.listed[int(np.argmax(np.where(closed, -np.inf, acquisition.feasible(gain, feasible))))]

    def _closed(self, resource: int) -> Iterable[Hashable]:
        """Keys of the configurations that cannot be chosen: all that were suggested, but where full trainings start,
        trials that were stopped may go on instead."""
        if resource < self.resource:
            return self.trials.used
        stopped = {t for t in self._entered if t not in self.trials.awaited and (t, resource) not in self.losses}
        stopped -= {t for (t, _), loss in self.losses.items() if loss == np.inf}
        return [key for key, trial in self.trials.used.items() if trial not in stopped]

    def start(self, bracket: Bracket) -> int:
        """The first rung that can be trusted: in the worst case, full trainings only."""
        for agreement in self.agreements():
            if agreement not in self._logged:
                self._logged.add(agreement)
                log.info(agreement)
        return max(bracket[0].resource, self.trusted())

    def trusted(self) -> int:
        """The resource above all rungs that mislead."""
        return max((agreement.upper for agreement in self.agreements() if agreement.misleads), default=self.shortest)

    def agreements(self) -> list[Agreement]:
        """Rank correlations of each rung with the next."""
        return agreements({key: self.losses[key] for key in self.known()}, [rung.resource for rung in self.round[0]])

    def _score(self, configurations: list[Configuration], closed: set[Hashable]) -> np.ndarray:
        """Log expected improvement of any configurations; -inf for those that cannot be chosen."""
        encoded = self.trials.space.encode(configurations)
        ((mean, variance),) = self._losses.posteriors(self._with_time(encoded, self.resource))
        tried = self._with_time(self.rows(sorted({trial for trial, _ in self.known()})), self.resource)
        ((mean_tried, _),) = self._losses.posteriors(tried)
        gain = acquisition.log_expected_improvement(mean, variance, mean_tried.min())
        free = [self.trials.space.key(c) not in closed for c in configurations]
        free &= self.trials.allows(configurations)
        return np.where(free, acquisition.feasible(gain, self._feasibility.probability(encoded)), -np.inf)

    def _follow(self) -> None:
        """The surrogates take what was told, and what is awaited as pending."""
        known, awaited, trusted = self.known(), list(self.trials.awaited.values()), self.trusted()
        if sum(resource >= trusted for _, resource in known) >= LEAST_RESULTS:
            known = [(trial, resource) for trial, resource in known if resource >= trusted]
        x = self._with_time(self.rows([t for t, _ in known]), [r for _, r in known])
        pending = self._with_time(self.rows([s.trial for s in awaited]), [s.resource for s in awaited])
        self._losses.update(
            {key: (row, self.losses[key]) for key, row in zip(known, x, strict=True)},
            {(s.trial, s.resource): row for s, row in zip(awaited, pending, strict=True)},
        )
        told = dict.fromkeys((trial, loss < np.inf) for (trial, _), loss in self.losses.items())
        labelled = zip(self.rows([trial for trial, _ in told]), (trained for _, trained in told), strict=True)
        self._feasibility.update(dict(zip(told, labelled, strict=True)))

    def _with_time(self, encoded: np.ndarray, resources) -> np.ndarray:
        return with_time(encoded, resources, self.resource, self.shortest)


class SourceCombination(Combination):
    """Bertrand 2019: time as an input, prediction at the first rung, configurations drawn by normalised EI.

    Args: those of `Hyperband`.
    """

    _chances: tuple[int, list[Configuration], np.ndarray] = (-1, [], np.empty(0))  # of a bracket, by its first trial

    @cached_property
    def _losses(self) -> Surrogate:
        none = np.empty((0, self.trials.space.dimension + 1))
        return Surrogate(none, (squared_exponential(),), (identity,), self.trials.seed)

    def choose(self, resource: int) -> Configuration | None:
        """One of those drawn when the bracket began; at random until there are results."""
        trial = self.trials.next_number
        first, _ = self._bracket_of(trial)
        if first != self._chances[0]:
            self._chances = (first, *self._expected(first, resource))
        _, configurations, chances = self._chances
        used = self.trials.used
        chances = np.where([self.trials.space.key(c) in used for c in configurations], 0.0, chances)
        if not chances.sum() > 0:
            return self.trials.unused_at_random()
        return configurations[self.trials.random(trial).choice(len(chances), p=chances / chances.sum())]

    def _expected(self, first: int, resource: int) -> tuple[list[Configuration], np.ndarray]:
        """Configurations and their EI (m,) at the first rung, from the results of the brackets before."""
        known = [(trial, r) for trial, r in self.known() if trial < first]
        if len(known) < LEAST_RESULTS:
            return [], np.empty(0)
        x = self._with_time(self.rows([t for t, _ in known]), [r for _, r in known])
        self._losses.update({key: (row, self.losses[key]) for key, row in zip(known, x, strict=True)}, {})
        configurations = self.listed or self.trials.space.sample(self.trials.random(first), SAMPLED)
        encoded = self.encoded if self.listed else self.trials.space.encode(configurations)
        ((mean, variance),) = self._losses.posteriors(self._with_time(encoded, resource))
        best = min(self.losses[key] for key in known)
        allowed = self._allowed if self.listed else self.trials.allows(configurations)
        log_gain = np.where(allowed, acquisition.log_expected_improvement(mean, variance, best), -np.inf)
        return configurations, np.exp(log_gain - log_gain.max(where=allowed, initial=-700))

    def _with_time(self, encoded: np.ndarray, resources) -> np.ndarray:
        shares = np.broadcast_to(np.asarray(resources, float) / self.resource, len(encoded))
        return np.column_stack([encoded, shares])
