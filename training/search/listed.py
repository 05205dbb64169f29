"""A space of listed configurations: those of which results are stored, drawn once from ranges and on no grid."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from scipy.spatial import KDTree

from .parameter import Parameter
from .space import Configuration, Space

NEIGHBOURS = 10


@dataclass(frozen=True)
class ListedSpace(Space):
    """Some configurations of a space, and no others. Rows of numbers decode to the nearest of them.

    Args:
        parameters: of the space. listed: its configurations, none twice.

    Raises:
        ValueError: the list is empty, or has a configuration twice or one that the parameters do not allow.
    """

    listed: tuple[Configuration, ...] = ()

    def __post_init__(self):
        super().__post_init__()
        object.__setattr__(self, "listed", tuple(self.listed))
        if not self.listed:
            raise ValueError("The space is empty: list at least one configuration.")
        for configuration in self.listed:
            super().check(configuration)
        if len(self._keys) < len(self.listed):
            raise ValueError(f"{len(self.listed) - len(self._keys)} of the listed configurations are there twice.")

    @property
    def everything(self) -> Space:
        """The space with all that the parameters allow."""
        return Space(self.parameters)

    @cached_property
    def size(self) -> int:
        return len(self.listed)

    def enumerate(self) -> list[Configuration]:
        """See `Space`; in the order of the list."""
        return list(self.listed)

    def check(self, configuration: Configuration) -> None:
        """Raise ValueError where this is not one of the configurations."""
        super().check(configuration)
        if self.key(configuration) not in self._keys:
            raise ValueError(f"{configuration} is none of the {self.size} listed configurations.")

    def decode(self, rows: np.ndarray) -> list[Configuration]:
        """The listed configurations nearest to rows (n, dimension)."""
        rows = self.everything.encode(self.everything.decode(rows))
        return [self.listed[n] for n in self._tree.query(rows)[1]]

    def sample(self, rng: np.random.Generator, count: int) -> list[Configuration]:
        """Independent draws from the list."""
        return [self.listed[n] for n in rng.integers(self.size, size=count)]

    def neighbours(self, configuration: Configuration) -> list[Configuration]:
        """The nearest others."""
        _, nearest = self._tree.query(self.encode([configuration])[0], k=min(NEIGHBOURS + 1, self.size))
        return [other for n in np.atleast_1d(nearest) if (other := self.listed[n]) != configuration]

    def as_json(self) -> dict[str, Any]:
        """See `Space`."""
        return super().as_json() | {"configurations": list(self.listed)}

    @classmethod
    def from_json(cls, described: dict[str, Any]) -> ListedSpace:
        """The space that `as_json` described. Raises ValueError for anything else."""
        parameters: tuple[Parameter, ...] = Space.from_json(described).parameters
        return cls(parameters, tuple(described.get("configurations", ())))

    @cached_property
    def _keys(self) -> frozenset:
        return frozenset(self.key(configuration) for configuration in self.listed)

    @cached_property
    def _tree(self) -> KDTree:
        return KDTree(self.everything.encode(self.listed))
