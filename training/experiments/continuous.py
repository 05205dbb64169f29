"""Searches of spaces that cannot be listed: two functions whose minima are known, ours and the packages' beside it.

    Branin       2 parameters, three minima of equal depth (Dixon and Szego 1978)
    Hartmann-6   6 parameters, one deep minimum and a local one (ibid.)

A search's regret after n evaluations is the least value so far less the minimum. Regrets differ by orders of magnitude,
so they are averaged in the logarithm: the means are geometric. Seeds are paired: a seed is that of all methods.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.stats import t as student
from SlicerHPOLib.job import Job

from ..search.method import Method, Observation
from ..search.rivals import RIVALS
from ..search.space import Configuration, Continuous, Space
from .rows import add_result
from .sample_efficiency import OURS, Makers

EVALUATIONS = (20, 40, 60)
LEAST_REGRET = 1e-9  # a regret below is one of rounding
THEIRS: Makers = {name: RIVALS[name].make for name in ("Optuna TPE", "Optuna GP")}
Key = tuple[str, str, int]  # function, method, seed

_A = np.array(
    [[10, 3, 17, 3.5, 1.7, 8], [0.05, 10, 17, 0.1, 8, 14], [3, 3.5, 1.7, 10, 17, 8], [17, 8, 0.05, 10, 0.1, 14]]
)
_P = 1e-4 * np.array(
    [
        [1312, 1696, 5569, 124, 8283, 5886],
        [2329, 4135, 8307, 3736, 1004, 9991],
        [2348, 1451, 3522, 2883, 3047, 6650],
        [4047, 8828, 8732, 5743, 1091, 381],
    ]
)
_C = np.array([1.0, 1.2, 3.0, 3.2])


@dataclass(frozen=True)
class Function:
    """To be minimised over a space; `least` is its minimum."""

    space: Space
    loss: Callable[[Configuration], float]
    least: float


def branin(c: Configuration) -> float:
    x, y = c["x"], c["y"]
    valley = y - 5.1 / (4 * np.pi**2) * x**2 + 5 / np.pi * x - 6
    return float(valley**2 + 10 * (1 - 1 / (8 * np.pi)) * np.cos(x) + 10)


def hartmann_6(c: Configuration) -> float:
    x = np.array([c[f"x{n}"] for n in range(6)])
    return -float(_C @ np.exp(-(_A * (x - _P) ** 2).sum(1)))


FUNCTIONS = {
    "Branin": Function(Space((Continuous("x", -5, 10), Continuous("y", 0, 15))), branin, 0.39788735772973816),
    "Hartmann-6": Function(Space(tuple(Continuous(f"x{n}", 0, 1) for n in range(6))), hartmann_6, -3.3223680114155134),
}


def regrets(function: Function, method: Method, evaluations: int) -> np.ndarray:
    """(evaluations,) after each, one after the other."""
    values = []
    for _ in range(evaluations):
        (suggestion,) = method.ask()
        values.append(function.loss(suggestion.configuration))
        method.tell(Observation(suggestion.configuration, suggestion.trial, values[-1]))
    return np.maximum(np.minimum.accumulate(values) - function.least, LEAST_REGRET)


def continuous(
    out: str | Path, seeds: Sequence[int], methods: Makers, names: Sequence[str] = tuple(FUNCTIONS), job: Job = Job()
) -> dict[Key, np.ndarray]:
    """Regrets (3,) after `EVALUATIONS`; what `regrets.csv` in the folder has already is not done again."""
    file = Path(out) / "regrets.csv"
    wanted = [(name, method, seed) for name in names for seed in seeds for method in methods]
    found = _read(file)
    for done, key in enumerate(wanted):
        if key in found:
            continue
        name, method, seed = key
        job.progress(done / len(wanted), f"{name}, {method}, seed {seed}")
        every = regrets(FUNCTIONS[name], methods[method](FUNCTIONS[name].space, seed), EVALUATIONS[-1])
        found = add_result(file, key, every[[n - 1 for n in EVALUATIONS]], _read, _write)
    return {key: found[key] for key in wanted}


def describe(found: dict[Key, np.ndarray]) -> str:
    """A table in Markdown for each function: geometric means with the factor of their 95 % intervals, and below it how
    many times the regret of the best package ours is, over paired seeds."""
    lines = []
    for name in dict.fromkeys(function for function, _, _ in found):
        lines += [f"| {name}: regret after | " + " | ".join(map(str, EVALUATIONS)) + " | seeds |"]
        lines += ["|" + "---|" * (len(EVALUATIONS) + 2)]
        logs = {
            method: {seed: np.log10(r) for (f, m, seed), r in found.items() if (f, m) == (name, method)}
            for method in dict.fromkeys(m for f, m, _ in found if f == name)
        }
        for method, of in logs.items():
            cells = [_cell([log[k] for log in of.values()]) for k in range(len(EVALUATIONS))]
            lines.append(f"| {method} | {' | '.join(cells)} | {len(of)} |")
        packages = [method for method in logs if method not in OURS]
        for k, n in enumerate(EVALUATIONS):
            if "Bayesian" in logs and packages:
                best = min(packages, key=lambda method: np.mean([log[k] for log in logs[method].values()]))
                both = [logs["Bayesian"][s][k] - log[k] for s, log in logs[best].items() if s in logs["Bayesian"]]
                lines.append(f"{'' if k else chr(10)}after {n}: Bayesian's is that of {best} times {_cell(both)}")
        lines.append("")
    return "\n".join(lines).rstrip()


def _cell(logs: list[float]) -> str:
    """10 to the mean, and the factor of its 95 % interval."""
    mean = 10 ** np.mean(logs)
    if len(logs) == 1:
        return f"{mean:.2g}"
    half = student.ppf(0.975, len(logs) - 1) * np.std(logs, ddof=1) / np.sqrt(len(logs))
    return f"{mean:.2g} (×/÷ {10**half:.2g})"


def _read(file: Path) -> dict[Key, np.ndarray]:
    if not file.exists():
        return {}
    with file.open(newline="") as lines:
        return {
            (row["function"], row["method"], int(row["seed"])): np.array([float(row[str(n)]) for n in EVALUATIONS])
            for row in csv.DictReader(lines)
        }


def _write(file: Path, found: dict[Key, np.ndarray]) -> None:
    with file.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["function", "method", "seed", *EVALUATIONS])
        writer.writerows([*key, *(f"{r:.6g}" for r in of)] for key, of in found.items())
