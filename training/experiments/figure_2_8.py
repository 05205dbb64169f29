"""Figures 2.8 to 2.10 of Bertrand 2019: what the methods of figure 2.7 draw, its running median, and the best model.

The text that this was made from does not describe these figures beyond that. Assumed here: the loss of a model that
was drawn is that of its full training, known from the table also where the search stopped it, so that a method is
judged by what it chooses and not by where it stops; a model counts once, when its first result comes; the running
median is of the last ten; the best is the model that the search would return (see `budget_curves.incumbents`). The
source ran each method five times; here each searches the stored learning curves as often as wished, from paired seeds.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from SlicerHPOLib.job import Job

from ..plots import BLUE, GREY, logarithmic
from ..search.curve_table import CurveTable
from ..search.method import Method
from ..search.report import WINDOW, running_median
from .budget_curves import draw, incumbents, interval, save
from .figure_2_7 import Makers
from .rows import add_result

if TYPE_CHECKING:
    from matplotlib.figure import Figure

HEAD = ("table", "method", "seed", "budget", "spent", "drawn", "best")
GROUPS = 15  # of the models of a method by the time when they were drawn
Key = tuple[str, str, int, float]  # a search: table, method, seed and budget


@dataclass(frozen=True)
class Search:
    """One search, result by result.

    Attributes:
        spent: (n,) in full trainings. drawn: (n,) loss of the full training of a model that is new, else NaN. best:
            (n,) loss of the full training of the model that would be returned; NaN before there is one.
    """

    spent: np.ndarray
    drawn: np.ndarray
    best: np.ndarray

    @property
    def draws(self) -> tuple[np.ndarray, np.ndarray]:
        """(m,) spent, and losses of the models drawn."""
        new = ~np.isnan(self.drawn)
        return self.spent[new], self.drawn[new]


CURVES: dict[str, tuple[str, Callable[[Search], tuple[np.ndarray, np.ndarray]]]] = {
    "figure-2.8": (
        "median loss of all models drawn so far",
        lambda of: (of.draws[0], running_median(of.draws[1], len(of.spent))),
    ),
    "figure-2.9": (
        f"median loss of the last {WINDOW} models drawn",
        lambda of: (of.draws[0], running_median(of.draws[1])),
    ),
    "figure-2.10": ("loss of the best model", lambda of: (of.spent, of.best)),
}


def search(table: CurveTable, method: Method, budget: float) -> Search:
    """Search until the budget, in full trainings, is spent. A model that diverges has the largest loss of the table."""
    final = np.where(np.isnan(table.final), np.nanmax(table.final), table.final)
    seen: set[int] = set()
    rows = []
    for spent, observation, best in incumbents(table, method, budget):
        drawn = np.nan if observation.trial in seen else final[table.row(observation.configuration)]
        seen.add(observation.trial)
        rows.append((spent, drawn, np.nan if best is None else final[best]))
    return Search(*np.array(rows).T)


def searches(
    name: str, table: CurveTable, out: str | Path, runs: int, budget: float, methods: Makers, job: Job = Job()
) -> dict[Key, Search]:
    """Searches by each method with the seeds 0, 1, ...; what `searches.csv` in the folder has already is kept.

    Args:
        name: of the table. runs: by each method. budget: in full trainings. methods: by name.
    """
    file = Path(out) / "searches.csv"
    known = read(file)
    wanted = [(name, method, seed, float(budget)) for seed in range(runs) for method in methods]
    for done, key in enumerate(wanted):
        if key not in known:
            _, method, seed, _ = key
            job.progress(done / len(wanted), f"{method}, run {seed + 1} of {runs}")
            known = add_result(file, key, search(table, methods[method](table, seed), budget), read, _write)
    return {key: known[key] for key in wanted}


def read(file: Path) -> dict[Key, Search]:
    """The searches that a file has; none if it is not there."""
    found: dict[Key, list[tuple[str, ...]]] = {}
    if file.exists():
        with file.open(newline="") as lines:
            for table, method, seed, budget, *row in list(csv.reader(lines))[1:]:
                found.setdefault((table, method, int(seed), float(budget)), []).append(row)
    return {key: Search(*np.array(rows, float).T) for key, rows in found.items()}


def _write(file: Path, found: dict[Key, Search]) -> None:
    with file.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(HEAD)
        for key, of in found.items():
            rows = zip(of.spent, of.drawn, of.best, strict=True)
            writer.writerows((*key, *(f"{value:.5g}" for value in row)) for row in rows)


def budgets_of(found: Iterable[Key]) -> np.ndarray:
    """(b,) from one full training on, when every method has a result, in quarters."""
    (budget,) = {key[3] for key in found}
    return np.arange(4, round(4 * budget) + 1) / 4


def curves(figure: str, found: dict[Key, Search]) -> dict[str, np.ndarray]:
    """What a curve of `CURVES` has come to at each budget, by method (runs, b)."""
    budgets = budgets_of(found)
    by_method: dict[str, list[np.ndarray]] = {}
    for (_, method, *_), of in found.items():
        spent, values = CURVES[figure][1](of)
        by_method.setdefault(method, []).append(values[np.searchsorted(spent, budgets + 1e-9, side="right") - 1])
    return {method: np.array(of) for method, of in by_method.items()}


def describe(figure: str, found: dict[Key, Search]) -> str:
    """Means over runs with 95 % of the mean at a sixth, a third, half and all of the budget; in Markdown."""
    budgets = budgets_of(found)
    at = [int(np.argmin(abs(budgets - share * budgets[-1]))) for share in (1 / 6, 1 / 3, 1 / 2, 1)]
    lines = [
        f"| {CURVES[figure][0]}, mean over runs | " + " | ".join(f"{budgets[n]:g} trainings" for n in at) + " |",
        "|" + "---|" * (len(at) + 1),
    ]
    for name, values in curves(figure, found).items():
        mean, half = interval(values)
        lines.append(f"| {name} | " + " | ".join(f"{mean[n]:.4f} ± {half[n]:.4f}" for n in at) + " |")
    return "\n".join(lines)


def write(figure: str, found: dict[Key, Search], out: str | Path) -> list[Path]:
    """The figure as PNG, and its curves' means over runs as CSV."""
    values = curves(figure, found)
    drawn = _draws(found) if figure == "figure-2.8" else _curves(CURVES[figure][0], budgets_of(found), values)
    return save(drawn, Path(out) / f"{figure}.png", budgets_of(found), values)


def _curves(label: str, budgets: np.ndarray, values: dict[str, np.ndarray]) -> Figure:
    from matplotlib.figure import Figure

    figure = Figure((8, 4), layout="constrained")
    axis = figure.subplots()
    draw(axis, budgets, values)
    axis.set_ylabel(f"{label},\nmean and 95 %")
    figure.legend(fontsize="small", loc="outside right upper")
    return figure


def _draws(found: dict[Key, Search]) -> Figure:
    """Every model drawn in all runs, a panel a method, with the quartiles of groups of equal number."""
    from matplotlib.figure import Figure

    methods = list(dict.fromkeys(key[1] for key in found))
    columns = math.ceil(math.sqrt(len(methods)))
    rows = math.ceil(len(methods) / columns)
    figure = Figure((2.7 * columns, 2.2 * rows + 0.4), layout="constrained")
    panels = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).ravel()
    for panel in panels[len(methods) :]:
        panel.remove()
    for n, (panel, method) in enumerate(zip(panels, methods, strict=False)):
        spent, losses = np.concatenate([of.draws for key, of in found.items() if key[1] == method], axis=1)
        order = np.argsort(spent, kind="stable")
        groups = [group for group in np.array_split(order, GROUPS) if len(group)]
        middles = [np.median(spent[group]) for group in groups]
        low, middle, high = np.array([np.quantile(losses[group], (0.25, 0.5, 0.75)) for group in groups]).T
        panel.plot(spent, losses, ".", color=GREY, markersize=1.5, alpha=0.3)
        panel.fill_between(middles, low, high, color=BLUE, alpha=0.25, linewidth=0)
        panel.plot(middles, middle, color=BLUE)
        panel.set_title(method, fontsize="medium")
        panel.xaxis.set_tick_params(labelbottom=n >= len(methods) - columns)
        logarithmic(panel, "y", losses)
    figure.supxlabel("budget in full trainings", fontsize="medium")
    figure.supylabel("loss of the models drawn, trained to the end: all, and quartiles", fontsize="medium")
    return figure
