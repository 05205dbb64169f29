"""What a search costs beside the trainings: seconds of a processor, ours and the packages', over a whole run.

A run in the 34,300 configurations of table 2.7's space goes from 10 to 1000 observations. Ours is run and each ask
timed, all fits of the process included. A package is told so many observations of random configurations, asked once
so that it can set itself up, told that loss, and asked again: the second ask is timed. Between two numbers of
observations its seconds are taken as a power of that number, which has an exact integral.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from SlicerHPOLib.job import Job

from .bayesian import Bayesian
from .method import Method, Observation
from .rivals import RIVALS
from .space import Configuration, Space
from .spaces import table_2_7

OBSERVED = (10, 30, 100, 300, 1000)
PACKAGES = ("Optuna GP", "BoTorch")
NOISE = 0.05


@dataclass(frozen=True)
class Overhead:
    """Seconds of one ask after each of some numbers of observations, and of all asks of a run together."""

    method: str
    seconds: dict[int, float]
    total: float


def until(last: int) -> tuple[int, ...]:
    """The numbers of observations of a run that ends with `last`. Raises ValueError if there are too few."""
    if last <= OBSERVED[0]:
        raise ValueError(f"A run until {last} observations: it starts with {OBSERVED[0]}.")
    return (*(n for n in OBSERVED if n < last), last)


def overheads(observed: Sequence[int] = OBSERVED, seed: int = 0, job: Job = Job()) -> Iterator[Overhead]:
    """Ours, then each package that is installed; minutes for each."""
    space = table_2_7(learning_rates=7)
    yield _ours(space, observed, seed, job)
    for name in PACKAGES:
        if not RIVALS[name].installed:
            continue
        seconds = {}
        for n in observed:
            job.progress(observed.index(n) / len(observed), f"{name}, {n} observations")
            seconds[n] = _of_package(RIVALS[name].make(space, seed), space, n, seed)
        yield Overhead(name, seconds, integral(seconds))


def _ours(space: Space, observed: Sequence[int], seed: int, job: Job) -> Overhead:
    """A whole run; an ask is the mean of the tenth before it, in which the process is fitted once."""
    method, rng = Bayesian(space, seed), np.random.default_rng(seed)
    asks = np.zeros(observed[-1] + 1)
    for n in range(observed[-1] + 1):
        job.progress(n / observed[-1], f"ours, {n} observations")
        asks[n] = _ask(method, space, rng)
    seconds = {n: float(asks[n - n // 10 : n + 1].mean()) for n in observed}
    return Overhead("ours", seconds, float(asks[observed[0] :].sum()))


def _of_package(method: Method, space: Space, n: int, seed: int) -> float:
    rng = np.random.default_rng(seed)
    drawn = rng.choice(space.size, n - 1, replace=False)
    listed = space.enumerate()
    for trial, place in enumerate(drawn):
        method.tell(Observation(listed[place], trial, _loss(space, listed[place], rng)))
    _ask(method, space, rng)
    return _ask(method, space, rng)


def _ask(method: Method, space: Space, rng: np.random.Generator) -> float:
    """Seconds of an ask; its loss is told."""
    start = time.process_time()
    (suggestion,) = method.ask()
    seconds = time.process_time() - start
    loss = _loss(space, suggestion.configuration, rng)
    method.tell(Observation(suggestion.configuration, suggestion.trial, loss))
    return seconds


def _loss(space: Space, configuration: Configuration, rng: np.random.Generator) -> float:
    """A bowl with noise."""
    return float(np.exp(((space.encode([configuration])[0] - 0.6) ** 2).sum() + NOISE * rng.standard_normal()))


def integral(seconds: dict[int, float]) -> float:
    """Of t(n) dn, where t is a power of n between the given ones."""
    total = 0.0
    for (n, t), (m, u) in pairwise(seconds.items()):
        power = math.log(u / t) / math.log(m / n) + 1
        total += t * n * math.log(m / n) if abs(power) < 1e-9 else (u * m - t * n) / power
    return total


def describe(row: Overhead, ours: Overhead) -> str:
    """A line to print: seconds an ask, and in brackets how many times ours."""
    cells = [f"{n}: {t:.3g} ({t / ours.seconds[n]:.0f}x)" for n, t in row.seconds.items()]
    return f"{row.method:10} {', '.join(cells)}; run: {row.total:.0f} ({row.total / ours.total:.0f}x)"
