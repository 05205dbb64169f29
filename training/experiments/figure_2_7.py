"""Figure 2.7 of Bertrand 2019: random search, Hyperband, Bayesian optimisation and their combination, equal budgets.

The source ran each method five times. Here each runs over stored learning curves as often as wished, from paired
seeds. After each training, a search would return the model of least loss among those it trained longest; its regret is

    (loss of that model, trained to the end - the least loss) / (median loss - the least loss),  at most 1.
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
from ..search.bayesian_hyperband import BayesianHyperband, SourceCombination
from ..search.curve_table import CurveTable
from ..search.dehb import DEHB
from ..search.hyperband import Hyperband
from ..search.method import Method
from ..search.random_search import RandomSearch
from ..search.rivals import BOHB, RIVALS

METHODS: dict[str, Callable[[CurveTable, int], Method]] = {
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
PACKAGES: dict[str, Callable[[CurveTable, int], Method]] = {
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
    longest, best = 0.0, np.inf
    for spent, observation in table.replay(method, budgets[-1]):
        resource = observation.resource or table.resources
        if observation.failed or resource < longest or (resource == longest and observation.loss >= best):
            continue
        longest, best = resource, observation.loss
        loss = final[table.row(observation.configuration)]
        found[budgets >= spent - 1e-9] = 1.0 if np.isnan(loss) else min(1.0, (loss - least) / (median - least))
    return found


def figure_2_7(
    table: CurveTable, runs: int = 50, budget: float = 30, methods: list[str] | None = None, job: Job = Job()
) -> Curves:
    """Regrets of `runs` searches by each method, with the seeds 0, 1, ... for all.

    Args:
        budget: in full trainings. methods: names of `METHODS`, all by default, or of `PACKAGES`.

    Raises:
        ValueError: a method has another name.
    """
    names = list(METHODS) if methods is None else methods
    known = METHODS | PACKAGES
    if unknown := [name for name in names if name not in known]:
        raise ValueError(f"No method is called {unknown[0]!r}; there are {', '.join(known)}.")
    budgets = np.arange(1, round(4 * budget) + 1) / 4
    found = {}
    for m, name in enumerate(names):
        found[name] = np.empty((runs, len(budgets)))
        for seed in range(runs):
            job.progress((m + seed / runs) / len(names), f"{name}, run {seed + 1} of {runs}")
            found[name][seed] = regret(table, known[name](table, seed), budgets)
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
        mean, half = _interval(regrets)
        lines.append(f"| {name} | " + " | ".join(f"{100 * mean[n]:.2f} ± {100 * half[n]:.2f}" for n in at) + " |")
    return "\n".join(lines)


def write(curves: Curves, out: str | Path) -> list[Path]:
    """figure-2.7.png and .csv in a folder."""
    from matplotlib.figure import Figure

    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    figure = Figure((6.5, 4), layout="constrained")
    axis = figure.subplots()
    for name, regrets in curves.regret.items():
        mean, half = _interval(regrets)
        (line,) = axis.plot(curves.budgets, mean, label=name)
        axis.fill_between(
            curves.budgets, np.maximum(mean - half, 1e-5), mean + half, color=line.get_color(), alpha=0.15
        )
    axis.set(xlabel="budget in full trainings", ylabel="normalised regret, mean and 95 %", yscale="log")
    axis.legend(fontsize="small", loc="upper right")
    with replacing(out / "figure-2.7.png") as temporary:
        figure.savefig(temporary, dpi=150)
    with replacing(out / "figure-2.7.csv") as temporary, temporary.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["budget", *curves.regret])
        writer.writerows(zip(curves.budgets, *(_interval(r)[0] for r in curves.regret.values()), strict=True))
    return [out / "figure-2.7.png", out / "figure-2.7.csv"]


def _interval(regrets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean (b,) over runs, and half the width of its 95 % interval."""
    runs = len(regrets)
    spread = regrets.std(0, ddof=1) if runs > 1 else np.full(regrets.shape[1], np.nan)
    return regrets.mean(0), 1.96 * spread / np.sqrt(runs)
