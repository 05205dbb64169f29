"""Grid search: every configuration of a finite space, in the order of the space (Bertrand 2019, section 2.2)."""

from __future__ import annotations

from .method import OneByOne
from .space import Configuration, Space


class GridSearch(OneByOne):
    """All configurations, the last parameter changing fastest.

    Raises:
        ValueError: the space is infinite.
    """

    def __init__(self, space: Space, seed: int = 0):
        if space.size is None:
            raise ValueError("A grid needs a finite space: replace continuous parameters by ordinal ones.")
        super().__init__(space, seed)
        self._left = iter(space.enumerate())

    def choose(self) -> Configuration | None:
        """The next configuration, None when all were suggested."""
        return next((c for c in self._left if self.trials.space.key(c) not in self.trials.used), None)
