"""Spaces of hyper-parameters, and their encoding as rows of numbers.

A configuration is a dict from parameter name to value. A parameter may be conditional on a choice made by an earlier
one (`only_if`); where it is inactive, the configuration does not have it.

Encoding (n configurations to a matrix (n, d), entries in [0, 1]):
    Continuous, Integer   one column, linear from low to high, in the logarithm if `log`
    Ordinal               one column, values evenly spaced in their order
    Categorical           one column a value, 1 for the value and 0 for the others
    inactive              0.5 in all columns of the parameter, which prefers none of its values
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np

from .parameter import MIDDLE, Categorical, Continuous, Integer, Ordinal, Parameter, Value

__all__ = ["Categorical", "Configuration", "Continuous", "Integer", "Ordinal", "Space"]

Configuration = dict[str, Value]
KINDS: dict[str, type] = {kind.__name__.lower(): kind for kind in (Continuous, Integer, Ordinal, Categorical)}


@dataclass(frozen=True)
class Space:
    """The configurations that a search may try.

    Raises:
        ValueError: there is no parameter, two have one name, or a condition does not name an earlier parameter with
            listed values and values of it.
    """

    parameters: tuple[Parameter, ...]

    def __post_init__(self):
        object.__setattr__(self, "parameters", tuple(self.parameters))
        if not self.parameters:
            raise ValueError("The space is empty: give it at least one parameter.")
        if len(set(self.names)) < len(self.names):
            raise ValueError(f"Each parameter needs a name of its own, got {', '.join(self.names)}.")
        for n, parameter in enumerate(self.parameters):
            if parameter.only_if is not None:
                self._check_condition(parameter, self.parameters[:n])

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(parameter.name for parameter in self.parameters)

    @cached_property
    def size(self) -> int | None:
        """How many configurations there are; None: infinitely many."""
        if any(parameter.size is None for parameter in self.parameters):
            return None
        return self._count(0, {})

    @property
    def dimension(self) -> int:
        """Columns of the encoding."""
        return sum(parameter.width for parameter in self.parameters)

    @property
    def ordered(self) -> np.ndarray:
        """(dimension,) bool: columns along which values have an order, not those of categorical parameters."""
        return np.repeat(
            [not isinstance(parameter, Categorical) for parameter in self.parameters],
            [parameter.width for parameter in self.parameters],
        )

    def encode(self, configurations: Sequence[Configuration]) -> np.ndarray:
        """Rows of numbers (n, dimension) in [0, 1]. Raises ValueError for what is no configuration of the space."""
        rows = np.full((len(configurations), self.dimension), MIDDLE)
        for row, configuration in zip(rows, configurations, strict=True):
            self.check(configuration)
            start = 0
            for parameter in self.parameters:
                if parameter.name in configuration:
                    row[start : start + parameter.width] = parameter.encode(configuration[parameter.name])
                start += parameter.width
        return rows

    def decode(self, rows: np.ndarray) -> list[Configuration]:
        """The configurations nearest to rows (n, dimension); numbers outside [0, 1] are clipped."""
        rows = np.asarray(rows, float)
        if rows.ndim != 2 or rows.shape[1] != self.dimension:
            raise ValueError(f"Expected rows of {self.dimension} numbers, got an array of shape {rows.shape}.")
        configurations = []
        for row in rows:
            configuration, start = {}, 0
            for parameter in self.parameters:
                if _active(parameter, configuration):
                    configuration[parameter.name] = parameter.decode(row[start : start + parameter.width])
                start += parameter.width
            configurations.append(configuration)
        return configurations

    def check(self, configuration: Configuration) -> None:
        """Raise ValueError where this is no configuration of the space."""
        for parameter in self.parameters:
            if _active(parameter, configuration) != (parameter.name in configuration):
                what = "must not" if parameter.name in configuration else "must"
                raise ValueError(f"The configuration {configuration} {what} have a value of {parameter.name!r}.")
            if parameter.name in configuration and not parameter.holds(configuration[parameter.name]):
                raise ValueError(f"{configuration[parameter.name]!r} is no value of {parameter}.")
        if unknown := set(configuration) - set(self.names):
            raise ValueError(
                f"The space has no parameter {', '.join(sorted(unknown))}; it has {', '.join(self.names)}."
            )

    def enumerate(self) -> list[Configuration]:
        """All configurations, the last parameter changing fastest. Raises ValueError if there are infinitely many."""
        if self.size is None:
            endless = [parameter.name for parameter in self.parameters if parameter.size is None]
            raise ValueError(f"The space cannot be listed: {', '.join(endless)} may have any value in a range.")
        return list(self._listed(0, {}))

    def sample(self, rng: np.random.Generator, count: int) -> list[Configuration]:
        """Independent draws: each active parameter uniform over its values (or their logarithm)."""
        configurations = []
        for _ in range(count):
            configuration: Configuration = {}
            for parameter in self.parameters:
                if _active(parameter, configuration):
                    configuration[parameter.name] = parameter.sample(rng)
            configurations.append(configuration)
        return configurations

    def neighbours(self, configuration: Configuration) -> list[Configuration]:
        """Those that differ in one parameter: by one step of an order, by any category, by `STEPS` of a range.

        A parameter that becomes active by the change gets the middle of its range or list.
        """
        self.check(configuration)
        return [
            self.completed(configuration | {parameter.name: value})
            for parameter in self.parameters
            if parameter.name in configuration
            for value in parameter.neighbours(configuration[parameter.name])
        ]

    def completed(self, chosen: Configuration) -> Configuration:
        """`chosen` without what its choices make inactive, with the middle of what they make active."""
        configuration: Configuration = {}
        for parameter in self.parameters:
            if _active(parameter, configuration):
                middle = parameter.decode(np.full(parameter.width, MIDDLE))
                configuration[parameter.name] = chosen.get(parameter.name, middle)
        return configuration

    def key(self, configuration: Configuration) -> Hashable:
        """The same for equal configurations only; for dicts and sets. Raises ValueError for values that are none."""
        try:
            return tuple(
                parameter.key(configuration[parameter.name]) if parameter.name in configuration else None
                for parameter in self.parameters
            )
        except (ValueError, TypeError):
            self.check(configuration)
            raise

    def as_json(self) -> dict[str, Any]:
        """What `from_json` makes the space of, to be written with `json.dumps`."""
        described = []
        for parameter in self.parameters:
            entry = {"kind": type(parameter).__name__.lower()} | asdict(parameter)
            if parameter.only_if is None:
                del entry["only_if"]
            described.append(entry)
        return {"parameters": described}

    @classmethod
    def from_json(cls, described: dict[str, Any]) -> Space:
        """The space that `as_json` described. Raises ValueError for anything else."""
        try:
            return cls(tuple(_parameter(dict(entry)) for entry in described["parameters"]))
        except (KeyError, TypeError) as error:
            raise ValueError(
                f"This describes no space ({error!r}); expected {{'parameters': [{{'kind': one of {', '.join(KINDS)}, "
                "'name': ..., ...}}]}}."
            ) from error

    def _listed(self, start: int, chosen: Configuration) -> Iterator[Configuration]:
        if start == len(self.parameters):
            yield chosen
            return
        parameter = self.parameters[start]
        if not _active(parameter, chosen):
            yield from self._listed(start + 1, chosen)
            return
        for value in parameter.values:
            yield from self._listed(start + 1, chosen | {parameter.name: value})

    def _count(self, start: int, chosen: Configuration) -> int:
        if start == len(self.parameters):
            return 1
        parameter = self.parameters[start]
        if not _active(parameter, chosen):
            return self._count(start + 1, chosen)
        if any(other.only_if is not None and other.only_if[0] == parameter.name for other in self.parameters):
            return sum(self._count(start + 1, chosen | {parameter.name: value}) for value in parameter.values)
        return parameter.size * self._count(start + 1, chosen)

    @staticmethod
    def _check_condition(parameter: Parameter, earlier: tuple[Parameter, ...]) -> None:
        name, values = parameter.only_if
        chosen = {p.name: p for p in earlier}.get(name)
        if not isinstance(chosen, (Ordinal, Categorical, Integer)):
            raise ValueError(f"{parameter.name} depends on {name!r}, which is no earlier parameter with listed values.")
        if not values or not all(chosen.holds(value) for value in values):
            raise ValueError(
                f"{parameter.name} depends on {name} being one of {values}, but {name} has {chosen.values}."
            )


def _active(parameter: Parameter, configuration: Configuration) -> bool:
    """Whether the choices made before give the parameter a meaning."""
    if parameter.only_if is None:
        return True
    name, values = parameter.only_if
    return name in configuration and configuration[name] in values


def _parameter(entry: dict[str, Any]) -> Parameter:
    kind = KINDS[entry.pop("kind")]
    if entry.get("only_if") is not None:
        name, values = entry["only_if"]
        entry["only_if"] = (name, tuple(values))
    return kind(**entry)
