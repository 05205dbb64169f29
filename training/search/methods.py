"""The methods by name, as the command line knows them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from .bayesian import Bayesian
from .bayesian_hyperband import BayesianHyperband
from .dehb import DEHB
from .feasibility import Limit
from .hyperband import Hyperband
from .method import Method
from .random_search import RandomSearch
from .space import Space

# each of a space, the resource of a full training, a seed and limits
METHODS: dict[str, Callable[[Space, int, int, Sequence[Limit]], Method]] = {
    "random": lambda space, resource, seed, limits: RandomSearch(space, seed, limits),
    "bayesian": lambda space, resource, seed, limits: Bayesian(space, seed, limits=limits),
    "hyperband": lambda space, resource, seed, limits: Hyperband(space, resource, seed=seed, limits=limits),
    "bayesian-hyperband": lambda space, resource, seed, limits: BayesianHyperband(
        space, resource, seed=seed, limits=limits
    ),
    "dehb": lambda space, resource, seed, limits: DEHB(space, resource, seed=seed, limits=limits),
}
