"""What every search method is: something to ask for configurations and to tell their losses.

A method is asked for suggestions, each with a trial number; whoever trains tells an observation with that number. The
losses are minimised. A trial may be suggested again with a larger resource: it was paused, and goes on.

Choices are a function of the seed, the trial's number and what was told, not of how often the method was asked. So a
search is resumed by telling a new method all that was observed: `tell` takes trials of an earlier process too, and
`take_up` one that was suggested then and has no result yet.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

import numpy as np

from .feasibility import Limit, within

if TYPE_CHECKING:
    from .space import Configuration, Space

LARGEST = float(np.finfo(np.float32).max)  # of a loss; its square is a number, too


@dataclass(frozen=True)
class Suggestion:
    """Train `configuration` until `resource`, say epochs in all (None: to the end), and tell it under `trial`."""

    configuration: Configuration
    trial: int
    resource: float | None = None


@dataclass(frozen=True)
class Observation:
    """What came of a suggestion.

    configuration, trial, resource: of the suggestion. loss: to be minimised; None: the trial failed, which is also
    what a loss means that is not finite in single precision. cost_s: seconds that the training took. reason: why it
    failed.
    """

    configuration: Configuration
    trial: int
    loss: float | None
    resource: float | None = None
    cost_s: float | None = None
    reason: str | None = None

    def __post_init__(self):
        if self.loss is not None and not abs(self.loss) <= LARGEST:  # NaN is not
            object.__setattr__(self, "reason", self.reason or f"the loss is {self.loss}")
            object.__setattr__(self, "loss", None)

    @property
    def failed(self) -> bool:
        """True if the configuration could not be trained."""
        return self.loss is None


class Method(Protocol):
    """A search. The same seed and the same observations give the same suggestions."""

    def ask(self, count: int = 1) -> list[Suggestion]:
        """Up to `count` trials to train, at the same time if wished. Fewer come where results are awaited that decide
        what goes on; none at all, with nothing awaited, means that the space is used up or the search done."""

    def tell(self, observation: Observation) -> None:
        """Take a result. Raises ValueError if the trial already has one at this resource."""

    def take_up(self, suggestion: Suggestion) -> None:
        """Take a suggestion of an earlier process as made and awaited."""


class Trials:
    """The books of a method: which trials are awaited, what was observed, which configurations are used.

    Args:
        space: to search. seed: of all random numbers. limits: costs known before training; what exceeds one is never
            drawn.

    Attributes:
        awaited: suggestions without a result by trial. observed: all observations in the order told. used: keys of
            the configurations that were suggested.
    """

    def __init__(self, space: Space, seed: int, limits: Sequence[Limit] = ()):
        self.space = space
        self.seed = seed
        self.limits = tuple(limits)
        self.awaited: dict[int, Suggestion] = {}
        self.observed: list[Observation] = []
        self.configurations: dict[int, Configuration] = {}
        self.used: dict[Hashable, int] = {}
        self._results: set[tuple[int, float | None]] = set()
        self._next = 0

    @property
    def next_number(self) -> int:
        """The lowest trial number that is not taken."""
        while self._next in self.configurations:
            self._next += 1
        return self._next

    def number_of(self, configuration: Configuration) -> int:
        """The trial of a configuration, a new one if there is none."""
        return self.used.get(self.space.key(configuration), self.next_number)

    def allows(self, configurations: Sequence[Configuration]) -> np.ndarray:
        """(n,) bool: which configurations keep the limits."""
        return within(self.limits, configurations)

    def suggest(self, configuration: Configuration, resource: float | None = None) -> Suggestion:
        """A new trial of `configuration`."""
        return self.await_result(Suggestion(configuration, self.next_number, resource))

    def await_result(self, suggestion: Suggestion) -> Suggestion:
        """Expect a result of a suggestion, new, going on or taken up.

        Raises:
            ValueError: a result of the trial is awaited already or known, or the trial is of another configuration.
        """
        if suggestion.trial in self.awaited:
            raise ValueError(f"Trial {suggestion.trial} is awaited already.")
        self._enter(suggestion)
        self.awaited[suggestion.trial] = suggestion
        return suggestion

    def tell(self, observation: Observation) -> Observation:
        """Enter a result; returns it with the configuration of its trial.

        Raises:
            ValueError: the trial has a result at this resource, or is of another configuration.
        """
        self._enter(observation)
        self._results.add((observation.trial, observation.resource))
        self.awaited.pop(observation.trial, None)
        observation = replace(observation, configuration=self.configurations[observation.trial])
        self.observed.append(observation)
        return observation

    def _enter(self, entry: Suggestion | Observation) -> None:
        key = self.space.key(entry.configuration)
        known = self.configurations.get(entry.trial)
        if known is not None and self.space.key(known) != key:
            raise ValueError(
                f"Trial {entry.trial} is of {known}, not of {entry.configuration}: pass on what was suggested."
            )
        if (entry.trial, entry.resource) in self._results:
            raise ValueError(f"Trial {entry.trial} has a result at resource {entry.resource} already: tell it once.")
        self.configurations[entry.trial] = entry.configuration
        self.used[key] = entry.trial

    def random(self, trial: int | None = None) -> np.random.Generator:
        """The random numbers for choosing a trial, the next one by default."""
        return np.random.default_rng((self.seed, self.next_number if trial is None else trial))

    def unused_at_random(self) -> Configuration | None:
        """A configuration that keeps the limits and was not suggested yet; None if the space is used up.

        Raises:
            ValueError: no configuration keeps the limits.
        """
        rng = self.random()
        for _ in range(100):  # rarely more than a few, until most of the space is used
            (drawn,) = self.space.sample(rng, 1)
            if self.space.key(drawn) not in self.used and self.allows([drawn])[0]:
                return drawn
        if self.space.size is None:
            raise ValueError(
                "100 random configurations in a row were known or exceeded a limit: narrow the space or declare it "
                "finite."
            )
        left = [c for c in self.space.enumerate() if self.space.key(c) not in self.used]
        left = [c for c, allowed in zip(left, self.allows(left), strict=True) if allowed]
        if not left and not self.used:
            names = ", ".join(limit.name for limit in self.limits)
            raise ValueError(f"No configuration keeps {names}: nothing to try.")
        return left[rng.integers(len(left))] if left else None


class OneByOne:
    """A method whose trials are trained to the end; what it says is which configuration is next."""

    def __init__(self, space: Space, seed: int = 0, limits: Sequence[Limit] = ()):
        self.trials = Trials(space, seed, limits)

    def choose(self) -> Configuration | None:
        """The next configuration, None at the end."""
        raise NotImplementedError

    def ask(self, count: int = 1) -> list[Suggestion]:
        """See `Method`."""
        suggestions = []
        while len(suggestions) < count and (configuration := self.choose()) is not None:
            suggestions.append(self.trials.suggest(configuration))
        return suggestions

    def tell(self, observation: Observation) -> None:
        """See `Method`."""
        self.trials.tell(observation)

    def take_up(self, suggestion: Suggestion) -> None:
        """See `Method`."""
        self.trials.await_result(suggestion)
