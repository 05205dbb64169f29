"""The best configuration of a space that cannot be listed: local search from several starts.

Climbers step from neighbour to neighbour, which suits lists and categories; the best of them are then led uphill in
their continuous parameters by the gradient (L-BFGS-B), which finds tops that are narrower than any step.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from scipy.optimize import minimize

from .parameter import Continuous
from .space import Configuration, Space

Score = Callable[[list[Configuration]], np.ndarray]

DRAWS = 1000
CLIMBERS = 6
STEPS = 30
# So many of the climbers follow the gradient, which is that between points so far apart in the unit cube.
LED, APART = 3, 1e-6
OPTIONS = {"maxfun": 60}
NOWHERE = 1e25  # in place of an infinite score


def maximise(score: Score, space: Space, known: Sequence[Configuration], rng: np.random.Generator) -> Configuration:
    """A configuration whose score no neighbour exceeds, the best of several found from random draws and `known`.

    All climbers step together, each to its best neighbour, so that a step is one call of `score`.

    Args:
        score: of configurations (list) to (n,); -inf for those that must not be chosen. known: climbed from whatever
            their score is: what was tried already must not be chosen, but its neighbourhood is where tops are narrow.
    """
    start = [*known, *space.sample(rng, DRAWS)]
    values = score(start)
    order = [*range(len(known)), *(len(known) + np.argsort(-values[len(known) :], kind="stable")[:CLIMBERS])]
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
    climbers.sort(key=lambda climber: -climber[0])
    return max([*climbers, *(_led(score, space, *top) for top in climbers[:LED])], key=lambda climber: climber[0])[1]


def _led(score: Score, space: Space, value: float, configuration: Configuration) -> tuple[float, Configuration]:
    """Uphill by the gradient in the continuous parameters that the configuration has."""
    widths = [parameter.width for parameter in space.parameters]
    columns = [
        column
        for parameter, column in zip(space.parameters, np.cumsum(widths) - widths, strict=True)
        if isinstance(parameter, Continuous) and parameter.name in configuration
    ]
    if not columns or value == -np.inf:
        return value, configuration
    (row,) = space.encode([configuration])

    def descent(place: np.ndarray) -> tuple[float, np.ndarray]:
        steps = np.where(place > 0.5, -APART, APART)
        rows = np.tile(row, (len(columns) + 1, 1))
        rows[:, columns] = np.vstack([place, place + np.diag(steps)])
        values = score(space.decode(rows))
        if not np.isfinite(values).all():
            return NOWHERE, np.zeros(len(columns))
        return -values[0], -(values[1:] - values[0]) / steps

    place = minimize(descent, row[columns], jac=True, bounds=[(0, 1)] * len(columns), options=OPTIONS).x
    row[columns] = place
    (led,) = space.decode(row[None])
    return float(score([led])[0]), led
