"""Where the trainings of a search are done: here, one after the other, or elsewhere, several at a time."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol

from SlicerHPOLib.job import Cancelled

from .method import Observation, Suggestion

Train = Callable[[Suggestion], float]


class Engine(Protocol):
    """Does trainings.

    Attributes:
        slots: how many may be under way.
    """

    slots: int

    def start(self, suggestion: Suggestion) -> None:
        """Begin a training, or put it off until `wait`."""

    def wait(self) -> list[Observation]:
        """Results that have come, each once; maybe none, after a second, so that a search can be cancelled."""


class InTurn:
    """In this process, one after the other."""

    slots = 1

    def __init__(self, train: Train):
        self._train = train
        self._next: Suggestion

    def start(self, suggestion: Suggestion) -> None:
        """See `Engine`."""
        self._next = suggestion

    def wait(self) -> list[Observation]:
        """See `Engine`. Raises what stops the search: `Cancelled`."""
        return [trained(self._train, self._next)]


def trained(train: Train, suggestion: Suggestion) -> Observation:
    """Do a suggestion. What it raises is a failure of the configuration, with its reason, but for `Cancelled`."""
    start, loss, reason = time.monotonic(), None, None
    try:
        loss = float(train(suggestion))
    except Cancelled:
        raise
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
    seconds = time.monotonic() - start
    return Observation(suggestion.configuration, suggestion.trial, loss, suggestion.resource, seconds, reason)
