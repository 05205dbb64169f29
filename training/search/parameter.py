"""Kinds of hyper-parameters: their values, and how each is written as columns of numbers in [0, 1]."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np

Value = bool | int | float | str | None
Condition = tuple[str, tuple[Value, ...]]

# Local search moves a number by these fractions of its range.
STEPS = (0.25, 1 / 16, 1 / 64, 1 / 256)
# The columns of a parameter that has no value, and the place of the only value of a list.
MIDDLE = 0.5


@dataclass(frozen=True)
class Continuous:
    """A real number in [low, high]; `log`: uniform in the logarithm."""

    name: str
    low: float
    high: float
    log: bool = False
    only_if: Condition | None = None

    width = 1
    size = None

    def __post_init__(self):
        _check_range(self)

    def encode(self, value: Value) -> list[float]:
        return [_fraction(self, value)]

    def decode(self, row: np.ndarray) -> float:
        return min(max(_at_fraction(self, float(row[0])), float(self.low)), float(self.high))

    def holds(self, value: Value) -> bool:
        return _is_number(value) and self.low <= value <= self.high

    def key(self, value: Value) -> Hashable:
        return float(value)

    def sample(self, rng: np.random.Generator) -> float:
        return self.decode(rng.random(1))

    def neighbours(self, value: Value) -> list[float]:
        at = _fraction(self, value)
        moved = {self.decode(np.array([at + sign * step])) for step in STEPS for sign in (-1, 1)}
        return sorted(moved - {value})


@dataclass(frozen=True)
class Integer:
    """A whole number in [low, high]; `log`: encoded by its logarithm."""

    name: str
    low: int
    high: int
    log: bool = False
    only_if: Condition | None = None

    width = 1

    def __post_init__(self):
        _check_range(self)
        if not (isinstance(self.low, int) and isinstance(self.high, int)):
            raise ValueError(f"{self.name}: an integer needs whole bounds, got {self.low!r} and {self.high!r}.")

    @property
    def size(self) -> int:
        return self.high - self.low + 1

    @property
    def values(self) -> range:
        return range(self.low, self.high + 1)

    def encode(self, value: Value) -> list[float]:
        return [_fraction(self, value)]

    def decode(self, row: np.ndarray) -> int:
        return min(max(round(_at_fraction(self, float(row[0]))), self.low), self.high)

    def holds(self, value: Value) -> bool:
        return isinstance(value, (int, np.integer)) and not isinstance(value, bool) and self.low <= value <= self.high

    def key(self, value: Value) -> Hashable:
        return int(value)

    def sample(self, rng: np.random.Generator) -> int:
        if self.log:
            return self.decode(rng.random(1))
        return int(rng.integers(self.low, self.high + 1))

    def neighbours(self, value: Value) -> list[int]:
        at = _fraction(self, value)
        moved = {self.decode(np.array([at + sign * step])) for step in STEPS for sign in (-1, 1)}
        beside = {max(value - 1, self.low), min(value + 1, self.high)}
        return sorted((moved | beside) - {value})


@dataclass(frozen=True)
class Ordinal:
    """One of several values whose order matters (a grid of learning rates)."""

    name: str
    values: tuple[Value, ...]
    only_if: Condition | None = None

    width = 1

    def __post_init__(self):
        object.__setattr__(self, "values", _checked_values(self.name, self.values))

    @property
    def size(self) -> int:
        return len(self.values)

    def encode(self, value: Value) -> list[float]:
        return [self.values.index(value) / (self.size - 1) if self.size > 1 else MIDDLE]

    def decode(self, row: np.ndarray) -> Value:
        return self.values[round(min(max(float(row[0]), 0.0), 1.0) * (self.size - 1))]

    def holds(self, value: Value) -> bool:
        return value in self.values

    def key(self, value: Value) -> Hashable:
        return self.values.index(value)

    def sample(self, rng: np.random.Generator) -> Value:
        return self.values[rng.integers(self.size)]

    def neighbours(self, value: Value) -> list[Value]:
        at = self.values.index(value)
        return [self.values[n] for n in (at - 1, at + 1) if 0 <= n < self.size]


@dataclass(frozen=True)
class Categorical:
    """One of several values without an order."""

    name: str
    values: tuple[Value, ...]
    only_if: Condition | None = None

    def __post_init__(self):
        object.__setattr__(self, "values", _checked_values(self.name, self.values))

    @property
    def width(self) -> int:
        return len(self.values)

    @property
    def size(self) -> int:
        return len(self.values)

    def encode(self, value: Value) -> list[float]:
        return [float(other == value) for other in self.values]

    def decode(self, row: np.ndarray) -> Value:
        return self.values[int(np.argmax(row))]

    def holds(self, value: Value) -> bool:
        return value in self.values

    def key(self, value: Value) -> Hashable:
        return self.values.index(value)

    def sample(self, rng: np.random.Generator) -> Value:
        return self.values[rng.integers(self.size)]

    def neighbours(self, value: Value) -> list[Value]:
        return [other for other in self.values if other != value]


Parameter = Continuous | Integer | Ordinal | Categorical


def _check_range(parameter: Continuous | Integer) -> None:
    low, high = parameter.low, parameter.high
    if not (_is_number(low) and _is_number(high) and low < high):
        raise ValueError(f"{parameter.name}: expected numbers low < high, got {low!r} and {high!r}.")
    if parameter.log and low <= 0:
        raise ValueError(f"{parameter.name}: a logarithmic range has to be positive, it starts at {low}.")


def _checked_values(name: str, values: Sequence[Value]) -> tuple[Value, ...]:
    values = tuple(values)
    if not all(value is None or isinstance(value, (bool, int, float, str)) for value in values):
        raise ValueError(f"{name}: values are numbers, strings, true, false or null, got {values}.")
    if not values or len(set(values)) < len(values):
        raise ValueError(f"{name}: expected at least one value and none twice, got {values}.")
    return values


def _is_number(value: Value) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _fraction(parameter: Continuous | Integer, value: float) -> float:
    """Where a number lies between low (0) and high (1)."""
    low, high = parameter.low, parameter.high
    if parameter.log:
        return math.log(value / low) / math.log(high / low)
    return (value - low) / (high - low)


def _at_fraction(parameter: Continuous | Integer, fraction: float) -> float:
    low, high, fraction = parameter.low, parameter.high, min(max(fraction, 0.0), 1.0)
    if parameter.log:
        return low * (high / low) ** fraction
    return low + fraction * (high - low)
