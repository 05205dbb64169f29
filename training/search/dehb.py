"""DEHB: differential evolution chooses what Hyperband trains (Awad, Mallik and Hutter 2021).

Symbols:
    population   of a rung: the trials of least loss trained to its resource, as rows of the encoding
    a, b, c      three different parents
    F, C         scale of the mutation a + F (b - c), and chance of a column to come from it and not from the target

The first bracket is Hyperband's. Later ones evolve each rung: its parents are the best of the rung below (on the
first rung, those of its own), the target is one of its own, and the child takes the target's place if it is not worse.
So nothing goes on any more: each child is a new training.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np

from .hyperband import Bracket, Hyperband
from .method import Observation, Suggestion
from .space import Configuration

F, C = 0.5, 0.5
TRIES = 30


class DEHB(Hyperband):
    """Differential evolution over Hyperband's rungs.

    Args: those of `Hyperband`; rungs are asynchronous, if at all, in the first bracket.
    """

    @cached_property
    def _sizes(self) -> dict[int, int]:
        """Of the populations, by resource."""
        rungs = [rung for bracket in self.round for rung in bracket]
        return {rung.resource: max(r.trainings for r in rungs if r.resource == rung.resource) for rung in rungs}

    @cached_property
    def _populations(self) -> dict[int, list[int]]:
        return {resource: [] for resource in self._sizes}

    def tell(self, observation: Observation) -> None:
        """See `Method`. The child takes its target's place if it is not worse."""
        super().tell(observation)
        if observation.resource not in self._populations:
            return
        population = self._populations[observation.resource]
        if len(population) < self._sizes[observation.resource]:
            population.append(observation.trial)
            return
        *_, slot = self._place(observation.trial)
        target = slot % len(population)
        if self._loss(observation.trial, observation.resource) <= self._loss(population[target], observation.resource):
            population[target] = observation.trial

    def _going_on(self) -> Suggestion | None:
        """Only the first bracket's trials go on."""
        due, _ = self._due(range(self.round[0][0].trainings), self.round[0])
        if not due:
            return None
        trial, resource = due[0]
        return Suggestion(self.trials.configurations[trial], trial, resource)

    def _new(self) -> Suggestion | None:
        number = self.trials.next_number
        bracket, rung, slot = self._place(number)
        configuration = self._child(bracket, rung, slot)
        if configuration is None:
            self._used_up = True
            return self._going_on()
        return Suggestion(configuration, number, bracket[rung].resource)

    def _place(self, trial: int) -> tuple[Bracket, int, int]:
        """Bracket, rung and place on the rung of a new trial."""
        first, *others = self.round
        if trial < first[0].trainings:
            return first, 0, trial
        cycle = [*others, first]
        place = (trial - first[0].trainings) % sum(rung.trainings for bracket in cycle for rung in bracket)
        for bracket in cycle:
            for n, rung in enumerate(bracket):
                if place < rung.trainings:
                    return bracket, n, place
                place -= rung.trainings
        raise AssertionError("a round has a place for each of its trials")

    def _child(self, bracket: Bracket, rung: int, slot: int) -> Configuration | None:
        """A configuration that was not tried; at random where there are no three parents yet."""
        own = self._populations[bracket[rung].resource]
        parents = own if rung == 0 else self._populations[bracket[rung - 1].resource]
        if rung:
            lower = bracket[rung - 1].resource
            parents = sorted(parents, key=lambda t: self._loss(t, lower))[: max(3, bracket[rung].trainings)]
        if len(parents) < 3 or self.trials.next_number < self.round[0][0].trainings:
            return self.trials.unused_at_random()
        space, rng = self.trials.space, self.trials.random()
        rows = space.encode([self.trials.configurations[trial] for trial in parents])
        full = len(own) == self._sizes[bracket[rung].resource]
        for _ in range(TRIES):
            a, b, c = rows[rng.choice(len(rows), 3, replace=False)]
            mutant = a + F * (b - c)
            mutant = np.where((mutant < 0) | (mutant > 1), rng.random(len(mutant)), mutant)
            target = rng.random(len(mutant))
            if full:
                (target,) = space.encode([self.trials.configurations[own[slot % len(own)]]])
            crossed = rng.random(len(mutant)) < C
            crossed[rng.integers(len(mutant))] = True
            (child,) = space.decode(np.where(crossed, mutant, target)[None])
            if space.key(child) not in self.trials.used and self.trials.allows([child])[0]:
                return child
        return self.trials.unused_at_random()

    def _loss(self, trial: int, resource: int) -> float:
        return self.losses[trial, resource]
