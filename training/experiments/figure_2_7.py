"""Figure 2.7 of Bertrand 2019: random search, Hyperband, Bayesian optimisation and their combination, equal budgets.

The source ran each method five times. Here each runs over stored learning curves as often as wished, from paired
seeds. After each training, a search would return the model of least loss among those it trained longest; its regret is

    (loss of that model, trained to the end - the least loss) / (median loss - the least loss),  at most 1.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from SlicerHPOLib.job import Job

from ..search.bayesian import Bayesian
from ..search.bayesian_hyperband import BayesianHyperband, SourceCombination
from ..search.curve_table import CurveTable
from ..search.dehb import DEHB
from ..search.hyperband import Hyperband
from ..search.method import Method
from ..search.random_search import RandomSearch
from ..search.rivals import BOHB, RIVALS
from .budget_curves import draw, incumbents, interval, save

Makers = dict[str, Callable[[CurveTable, int], Method]]
METHODS: Makers = {
    "random": lambda table, seed: RandomSearch(table.space, seed),
    "Bayesian": lambda table, seed: Bayesian(table.space, seed),
    "Hyperband": lambda table, seed: Hyperband(table.space, table.resources, seed=seed),
    "combination (source)": lambda table, seed: SourceCombination(table.space, table.resources, seed=seed),
    "combination": lambda table, seed: BayesianHyperband(table.space, table.resources, seed=seed),
    "combination, asynchronous": lambda table, seed: BayesianHyperband(
        table.space, table.resources, seed=seed, asynchronous=True
    ),
    "DEHB": lambda table, seed: DEHB(table.space, table.resources, seed=seed),
}
PACKAGES: Makers = {
    "BOHB (Optuna's TPE)": lambda table, seed: BOHB(table.space, table.resources, seed=seed),
    "Optuna TPE": lambda table, seed: RIVALS["Optuna TPE"].make(table.space, seed),
    "Optuna GP": lambda table, seed: RIVALS["Optuna GP"].make(table.space, seed),
}


@dataclass(frozen=True)
class Curves:
    """budgets: (b,) in full trainings. regret: by method (runs, b)."""

    budgets: np.ndarray
    regret: dict[str, np.ndarray]


def regret(table: CurveTable, method: Method, budgets: np.ndarray) -> np.ndarray:
    """Regrets (b,) of one search at budgets (b,) in full trainings; 1 before its first result."""
    final = table.final
    least, median = np.nanmin(final), np.nanmedian(final)
    found = np.ones(len(budgets))
    for spent, _, best in incumbents(table, method, budgets[-1]):
        if best is not None:
            loss = final[best]
            found[budgets >= spent - 1e-9] = 1.0 if np.isnan(loss) else min(1.0, (loss - least) / (median - least))
    return found


def chosen(names: Sequence[str] | None = None, rivals: bool = False) -> Makers:
    """Methods by name, all of `METHODS` by default, and all of `PACKAGES` too if asked. Raises ValueError if there is
    none of a name."""
    known = METHODS | PACKAGES
    if unknown := [name for name in names or () if name not in known]:
        raise ValueError(f"No method is called {unknown[0]!r}; there are {', '.join(known)}.")
    return {name: known[name] for name in names or METHODS} | (PACKAGES if rivals else {})


def figure_2_7(
    table: CurveTable, runs: int = 50, budget: float = 30, methods: Makers = METHODS, job: Job = Job()
) -> Curves:
    """Regrets of `runs` searches by each method, with the seeds 0, 1, ... for all.

    Args:
        budget: in full trainings. methods: by name.
    """
    budgets = np.arange(1, round(4 * budget) + 1) / 4
    found = {}
    for m, (name, make) in enumerate(methods.items()):
        found[name] = np.empty((runs, len(budgets)))
        for seed in range(runs):
            job.progress((m + seed / runs) / len(methods), f"{name}, run {seed + 1} of {runs}")
            found[name][seed] = regret(table, make(table, seed), budgets)
    return Curves(budgets, found)


def describe(curves: Curves) -> str:
    """Mean regrets in percent at a sixth, a third, half and all of the budget, with 95 % of the mean; in Markdown."""
    last = len(curves.budgets) - 1
    at = [last // 6, last // 3, last // 2, last]
    lines = [
        "| regret in %, mean over runs | " + " | ".join(f"{curves.budgets[n]:g} trainings" for n in at) + " |",
        "|" + "---|" * (len(at) + 1),
    ]
    for name, regrets in curves.regret.items():
        mean, half = interval(regrets)
        lines.append(f"| {name} | " + " | ".join(f"{100 * mean[n]:.2f} ± {100 * half[n]:.2f}" for n in at) + " |")
    return "\n".join(lines)


def write(curves: Curves, out: str | Path) -> list[Path]:
    """figure-2.7.png and .csv in a folder."""
    from matplotlib.figure import Figure

    figure = Figure((8, 4), layout="constrained")
    axis = figure.subplots()
    draw(axis, curves.budgets, curves.regret)
    axis.set_ylabel("normalised regret, mean and 95 %")
    figure.legend(fontsize="small", loc="outside right upper")
    return save(figure, Path(out) / "figure-2.7.png", curves.budgets, curves.regret)
