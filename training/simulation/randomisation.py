"""Domain randomisation by declaration: a dataclass states the range of each of its fields, `draw` draws them all.

@dataclass(frozen=True)
class Beam:
    frequency_mhz: float = between(2.0, 5.0, child=(4.0, 9.0))

draw(Beam, rng, "child")
"""

from __future__ import annotations

from dataclasses import field, fields
from typing import Any, TypeVar

import numpy as np

POPULATIONS = ("adult", "child")
Kind = TypeVar("Kind")


def between(low: float, high: float, *, child: tuple[float, float] | None = None, log: bool = False) -> Any:
    """A field drawn uniformly from [low, high] (of the logarithm if `log`), in children from `child` if given."""
    return field(metadata={"adult": (low, high), "child": child or (low, high), "log": log})


def draw(kind: type[Kind], rng: np.random.Generator, population: str, /, **given) -> Kind:
    """A `kind` whose fields are drawn from their ranges for `population`; `given` ones are taken as they are.

    Raises:
        ValueError: an unknown population.
    """
    if population not in POPULATIONS:
        raise ValueError(f"Unknown population {population!r}; known are {', '.join(POPULATIONS)}.")
    drawn = {}
    for f in fields(kind):
        if f.metadata:
            low, high = f.metadata[population]
            value = np.exp(rng.uniform(np.log(low), np.log(high))) if f.metadata["log"] else rng.uniform(low, high)
            drawn[f.name] = float(value)
    return kind(**(drawn | given))
