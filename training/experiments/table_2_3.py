"""Table 2.3 of Bertrand 2019: how many of 600 models random search and Bayesian optimisation draw to find a good one.

The source trained 600 networks; here they are the small ones of `training.search.digits`, measured by their cross
entropy on held-out digits. A search starts from each of the models in turn and draws until it has the best one. A row
counts the draws, the first included, until a model is met that is good in one of these ways:

    best           the least loss of all
    within 1 %     its accuracy is at least 99 % of the highest
    top 1 %        its loss is one of the 6 least
"""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from SlicerHPOLib.files import replacing
from SlicerHPOLib.job import Job

from ..search.bayesian import Bayesian
from ..search.curve_table import CurveTable
from ..search.method import Method
from ..search.random_search import RandomSearch
from ..search.space import Configuration
from .table_2_2 import expected_draws

SHARES = (0.01, 0.05, 0.10)


@dataclass(frozen=True)
class Row:
    """Draws until a good model, over the starts; random_mean by `expected_draws`, the rest as measured.

    good: how many of the models are."""

    target: str
    good: int
    random_mean: float
    random_average: float
    random_worst: int
    bayesian_average: float
    bayesian_worst: int


def targets(losses: np.ndarray, errors: np.ndarray) -> dict[str, np.ndarray]:
    """Masks (n,) of good models by name, from losses and shares of errors (n,), NaN of models that failed."""
    order, accuracy = np.argsort(losses, kind="stable"), 1 - errors  # NaN last
    found = {"best": losses == np.nanmin(losses)}
    found |= {f"within {share:.0%}": accuracy >= (1 - share) * np.nanmax(accuracy) for share in SHARES}
    for share in SHARES:
        found[f"top {share:.0%}"] = np.isin(np.arange(len(losses)), order[: round(share * len(losses))])
    return found


def draws_until(good: dict[str, np.ndarray], table: CurveTable, search: Method) -> dict[str, int]:
    """How many models a search draws until the first that is good, for each way to be so; stops at the best one."""
    draws: dict[str, int] = {}
    for n, (_, observation) in enumerate(table.replay(search), start=1):
        row = table.row(observation.configuration)
        draws |= {name: n for name, mask in good.items() if mask[row] and name not in draws}
        if len(draws) == len(good):
            return draws
    raise ValueError("The search ended before it met the best model.")


class _RandomFrom(RandomSearch):
    """Random search that draws a given configuration first."""

    def __init__(self, table: CurveTable, seed: int, first: Configuration):
        super().__init__(table.space, seed)
        self._first = first

    def choose(self) -> Configuration | None:
        """See `RandomSearch`."""
        return super().choose() if self.trials.configurations else self._first


def table_2_3(
    table: CurveTable, starts: int | None = None, out: str | Path | None = None, seed: int = 0, job: Job = Job()
) -> list[Row]:
    """Search from `starts` models, evenly spread over the table; all of them by default.

    Args:
        out: a file for the draws of each start, .csv.

    Raises:
        ValueError: there are not so many models.
    """
    models = len(table.final)
    starts = models if starts is None else starts
    if not 1 <= starts <= models:
        raise ValueError(f"{starts} starts: the table has {models} models.")
    good = targets(table.final, table.error[:, -1])
    configurations = table.space.enumerate()
    searches: dict[str, Callable[[int, Configuration], Method]] = {
        "random": lambda start, first: _RandomFrom(table, seed + start, first),
        "bayesian": lambda start, first: Bayesian(table.space, seed + start, initial=[first]),
    }
    runs = []
    for n, start in enumerate(np.arange(starts) * models // starts):
        job.progress(n / starts, f"start {n + 1} of {starts}")
        for kind, search in searches.items():
            draws = draws_until(good, table, search(int(start), configurations[start]))
            runs.append({"method": kind, "start": int(start)} | draws)
    if out is not None:
        with replacing(out) as temporary, temporary.open("w", newline="") as file:
            writer = csv.DictWriter(file, list(runs[0]))
            writer.writeheader()
            writer.writerows(runs)
    rows = []
    for name, mask in good.items():
        random, bayesian = ([run[name] for run in runs if run["method"] == kind] for kind in searches)
        mean = expected_draws(models, int(mask.sum()))
        rows.append(Row(name, int(mask.sum()), mean, _mean(random), max(random), _mean(bayesian), max(bayesian)))
    return rows


def _mean(values: list[int]) -> float:
    return float(np.mean(values))


def describe(rows: list[Row]) -> str:
    """The table in Markdown."""
    lines = [
        "| target | models | random: expected | average | worst | Bayesian: average | worst |",
        "|---|---|---|---|---|---|---|",
    ]
    for r in rows:
        lines.append(
            f"| {r.target} | {r.good} | {r.random_mean:.1f} | {r.random_average:.1f} | {r.random_worst} "
            f"| {r.bayesian_average:.1f} | {r.bayesian_worst} |"
        )
    return "\n".join(lines)
