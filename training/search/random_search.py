"""Random search without replacement (Bergstra and Bengio 2012; Bertrand 2019, section 2.2)."""

from __future__ import annotations

from .method import OneByOne
from .space import Configuration


class RandomSearch(OneByOne):
    """Configurations at random, none twice; a finite space is covered in the end.

    Args:
        space: to search. seed: of the order. limits: costs known before training that are kept.
    """

    def choose(self) -> Configuration | None:
        """The next configuration, None when all were suggested."""
        return self.trials.unused_at_random()
