"""Configurations that cannot be trained: known before, by their cost, or learned from trials that failed.

A trial fails for memory, time, a crash or a loss that is not a number. The probability that a configuration can be
trained is learned by a Gaussian process on labels, 1 for trained and -1 for failed: least-squares classification
(Rasmussen and Williams 2006, section 6.5). With mean and variance of the label,

    p = Phi(mean / sqrt(variance + noise)).

Laplace's or other approximations of a process with a true Bernoulli likelihood iterate over decompositions of a new
matrix for each observation. Labels as targets keep the process linear: observations are added incrementally, all
candidates are predicted in O(n C), and the fit is the one of the losses.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr

from .space import Configuration

TRAINED, FAILED = 1.0, -1.0


@dataclass(frozen=True)
class Limit:
    """A cost that is known without training, and the most it may be.

    Attributes:
        name: for messages, with its unit ("parameters", "memory in MiB"). cost: of a configuration. most: allowed.
    """

    name: str
    cost: Callable[[Configuration], float]
    most: float


def within(limits: Sequence[Limit], configurations: Iterable[Configuration]) -> np.ndarray:
    """(n,) bool: which configurations keep all limits; a cost that is NaN keeps none."""
    return np.array([all(limit.cost(c) <= limit.most for limit in limits) for c in configurations], bool)


def probability(mean: np.ndarray, variance: np.ndarray, noise: float) -> np.ndarray:
    """P(a configuration can be trained) from mean and variance (m,) of its label and the variance of its noise."""
    return ndtr(mean / np.sqrt(variance + noise))
