"""The best configuration of a space that cannot be listed: local search from several starts."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from .space import Configuration, Space

Score = Callable[[list[Configuration]], np.ndarray]

DRAWS = 1000
CLIMBERS = 6
STEPS = 30


def maximise(score: Score, space: Space, known: Sequence[Configuration], rng: np.random.Generator) -> Configuration:
    """A configuration whose score no neighbour exceeds, the best of several found from random draws and `known`.

    All climbers step together, each to its best neighbour, so that a step is one call of `score`.

    Args:
        score: of configurations (list) to (n,); -inf for those that must not be chosen.
    """
    start = [*known, *space.sample(rng, DRAWS)]
    values = score(start)
    order = np.argsort(-values, kind="stable")[:CLIMBERS]
    climbers = [(values[n], start[n]) for n in order]
    climbing = list(range(len(climbers)))
    for _ in range(STEPS):
        around = [space.neighbours(climbers[n][1]) for n in climbing]
        if not any(around):
            break
        values = score([neighbour for neighbours in around for neighbour in neighbours])
        ends = np.cumsum([len(neighbours) for neighbours in around])
        still = []
        for n, neighbours, end in zip(climbing, around, ends, strict=True):
            own = values[end - len(neighbours) : end]
            if len(own) and own.max() > climbers[n][0]:
                climbers[n] = (own.max(), neighbours[int(own.argmax())])
                still.append(n)
        climbing = still
        if not climbing:
            break
    return max(climbers, key=lambda climber: climber[0])[1]
