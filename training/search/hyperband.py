"""Hyperband (Li et al. 2017; Bertrand 2019, chapter 2): many short trainings, of which the best go on.

    R     the resource of a full training, in whole units (epochs)
    eta   of the trainings on a rung, 1 / eta go on to the next, with eta times the resource
    s     a bracket: it starts at R eta^-s. s = 0 trains all to the end, the largest s dares most
    n_i   trainings on rung i of a bracket
    r_i   resource of each on rung i, counted from the start of the training

A rung is decided when all its results are known (synchronous), or as they come: those within the best 1 / eta so far
go on (asynchronous; ASHA, Li et al. 2020). Whoever asks for more than one rung has due gets trials of the next bracket.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from .feasibility import Limit
from .method import Observation, Suggestion, Trials
from .space import Configuration, Space


@dataclass(frozen=True)
class Rung:
    """trainings: n_i. resource: r_i."""

    trainings: int
    resource: int


Bracket = tuple[Rung, ...]


def brackets(resource: int, eta: int = 3, least: int = 1) -> tuple[Bracket, ...]:
    """The brackets of one round, from the most daring, s = s_max, to s = 0 (Li 2017, algorithm 1).

    Args:
        resource: R. eta: at least 2. least: no training is stopped with less.

    Raises:
        ValueError: the numbers do not fit.
    """
    if not (isinstance(resource, int) and isinstance(least, int) and resource >= least >= 1):
        raise ValueError(f"Resources from {least!r} to {resource!r}: expected whole numbers, the first at least 1.")
    if not isinstance(eta, int) or eta < 2:
        raise ValueError(f"eta is {eta!r}: it must be a whole number of at least 2.")
    steepest = 0  # s_max = floor(log_eta(R / least)), without rounding
    while least * eta ** (steepest + 1) <= resource:
        steepest += 1
    return tuple(
        tuple(
            Rung(-(-(steepest + 1) * eta**s // (s + 1)) // eta**i, round(resource / eta ** (s - i)))
            for i in range(s + 1)
        )
        for s in range(steepest, -1, -1)
    )


def cost(bracket: Bracket) -> int:
    """What a bracket spends, where a training that goes on costs what is new."""
    reached = (0, *(rung.resource for rung in bracket))
    return sum(rung.trainings * (rung.resource - before) for rung, before in zip(bracket, reached, strict=False))


class Hyperband:
    """Brackets from the most daring to the safest, over and over, with random configurations.

    Which trials are due follows from the results alone: trial numbers fill the brackets in their order.

    Args:
        space: to search. resource: R. eta, least: see `brackets`. seed: of the configurations. asynchronous: do not
            wait for a rung to be complete. limits: costs known before training; what exceeds one is never suggested.
    """

    def __init__(
        self,
        space: Space,
        resource: int,
        eta: int = 3,
        seed: int = 0,
        least: int = 1,
        asynchronous: bool = False,
        limits: Sequence[Limit] = (),
    ):
        self.trials = Trials(space, seed, limits)
        self.resource = resource
        self.eta = eta
        self.asynchronous = asynchronous
        self.round = brackets(resource, eta, least)
        self.losses: dict[tuple[int, float | None], float] = {}  # by trial and resource; infinite: it failed
        self._entered: dict[int, int] = {}  # the resource that each trial started with
        self._used_up = False
        self._oldest = 0  # the first trial of the oldest bracket that has not come to its end

    def ask(self, count: int = 1) -> list[Suggestion]:
        """See `Method`: what is due on the rungs first, then new trials."""
        suggestions: list[Suggestion] = []
        while len(suggestions) < count and (suggestion := self._going_on() or self._new()) is not None:
            self.take_up(suggestion)
            suggestions.append(suggestion)
        return suggestions

    def tell(self, observation: Observation) -> None:
        """See `Method`. A failed trial goes on to no rung."""
        observation = self.trials.tell(observation)
        self.losses[observation.trial, observation.resource] = math.inf if observation.failed else observation.loss
        self._enter(observation)

    def take_up(self, suggestion: Suggestion) -> None:
        """See `Method`."""
        self.trials.await_result(suggestion)
        self._enter(suggestion)

    def start(self, bracket: Bracket) -> int:
        """The resource at which new trials of a bracket start."""
        return bracket[0].resource

    def choose(self, resource: int) -> Configuration | None:
        """The configuration of a new trial that starts with `resource`, or of one that was stopped and goes on to it;
        None if the space is used up."""
        return self.trials.unused_at_random()

    def best(self, trials: list[int], resource: int, count: int) -> list[int]:
        """Those of a rung that go on: the `count` smallest losses, the earlier trial where two are equal."""
        return sorted(trials, key=lambda trial: (self.losses[trial, resource], trial))[:count]

    def _new(self) -> Suggestion | None:
        number = self.trials.next_number
        resource = self.start(self._bracket_of(number)[1])
        configuration = None if self._used_up else self.choose(resource)
        if configuration is None:
            self._used_up = True
            return self._going_on()  # a bracket cut short is decided with what it has
        return Suggestion(configuration, self.trials.number_of(configuration), resource)

    def _going_on(self) -> Suggestion | None:
        """The next training that is due in the oldest bracket that has one."""
        first, last = self._oldest, max(self.trials.configurations, default=-1)
        while first <= last:
            _, bracket = self._bracket_of(first)
            due, ended = self._due(range(first, first + bracket[0].trainings), bracket)
            if due:
                trial, resource = due[0]
                return Suggestion(self.trials.configurations[trial], trial, resource)
            first += bracket[0].trainings
            if ended and self._bracket_of(first - 1)[0] == self._oldest:
                self._oldest = first
        return None

    def _bracket_of(self, trial: int) -> tuple[int, Bracket]:
        """The first trial number and the rungs of the bracket that a trial is in."""
        place = trial % sum(bracket[0].trainings for bracket in self.round)
        for bracket in self.round:
            if place < bracket[0].trainings:
                return trial - place, bracket
            place -= bracket[0].trainings
        raise AssertionError("a round has a bracket for each of its trials")

    def _due(self, started: range, bracket: Bracket) -> tuple[list[tuple[int, int]], bool]:
        """Trials of a bracket that may be trained now, with the resource, highest rung first; and whether the bracket
        has come to its end."""
        complete = all(trial in self.trials.configurations for trial in started) or self._used_up
        due: list[tuple[int, int]] = []
        members: list[int] = []
        for rung, above in zip(bracket, (*bracket[1:], None), strict=True):
            members += [trial for trial in started if self._entered.get(trial) == rung.resource]
            known = [t for t in members if (t, rung.resource) in self.losses]
            due = [(t, rung.resource) for t in members if t not in known and t not in self.trials.awaited] + due
            complete &= len(known) == len(members)
            if above is None or not (complete or self.asynchronous):
                break
            count = max(len(known) // self.eta, int(complete))
            best = [t for t in self.best(known, rung.resource, count) if self.losses[t, rung.resource] < math.inf]
            # with asynchronous rungs, one that went on early stays, though better ones have come since
            members = best + [t for t in known if t not in best and self._went_on(t, above.resource)]
        return due, complete and above is None

    def _enter(self, entry: Suggestion | Observation) -> None:
        resource = entry.resource or self.resource
        self._entered[entry.trial] = min(resource, self._entered.get(entry.trial, resource))

    def _went_on(self, trial: int, resource: int) -> bool:
        awaited = self.trials.awaited.get(trial)
        return (trial, resource) in self.losses or (awaited is not None and awaited.resource == resource)
