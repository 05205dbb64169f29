"""Whether short trainings tell which long ones are best: the rank correlation of rungs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from scipy.stats import kendalltau

# A rung misleads if its rank correlation with the next is less than this with 95 %, from so many pairs on.
TOO_LITTLE, LEAST_PAIRS = 0.1, 5


@dataclass(frozen=True)
class Agreement:
    """How well a rung predicts the next: Kendall's tau of the losses of the trials (`pairs`) that reached both.

    They are the better ones of the lower rung, so tau is less than it would be over all.
    """

    lower: int
    upper: int
    pairs: int
    tau: float

    @property
    def error(self) -> float:
        """Standard deviation of tau between rungs that have nothing in common (Kendall 1938)."""
        n = self.pairs
        return math.sqrt(2 * (2 * n + 5) / (9 * n * (n - 1)))

    @property
    def misleads(self) -> bool:
        """True if the lower rung should not decide what goes on."""
        return self.pairs >= LEAST_PAIRS and self.tau + 1.645 * self.error < TOO_LITTLE

    def __str__(self) -> str:
        text = f"Rungs {self.lower:g} and {self.upper:g}: Kendall's tau {self.tau:.2f} of {self.pairs} trials"
        return f"{text}; the lower one misleads and is left out." if self.misleads else f"{text}."


def agreements(losses: Mapping[tuple[int, int], float], resources: Sequence[int]) -> list[Agreement]:
    """Rank correlations of each rung with the next, where two trials reached both.

    Args:
        losses: by trial and resource, without failures. resources: of the rungs, ascending.
    """
    found = []
    for lower, upper in pairwise(resources):
        both = [t for t, r in losses if r == upper and (t, lower) in losses]
        if len(both) > 1:
            tau = kendalltau(*([losses[t, r] for t in both] for r in (lower, upper))).statistic
            found.append(Agreement(lower, upper, len(both), 0.0 if math.isnan(tau) else float(tau)))
    return found
