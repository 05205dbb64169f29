"""Searches by budget: which model each would return, and curves of methods with the spread of their runs."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from SlicerHPOLib.files import replacing

from ..plots import BLACK, BLUE, GREEN, ORANGE, PURPLE, SKY, VERMILLION, logarithmic
from ..search.curve_table import CurveTable
from ..search.method import Method, Observation

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Further methods have the same colours with broken lines.
COLOURS = (BLACK, BLUE, GREEN, PURPLE, VERMILLION, ORANGE, SKY)
STYLES = ("-", "--", ":")


def incumbents(table: CurveTable, method: Method, budget: float) -> Iterator[tuple[float, Observation, int | None]]:
    """A search over stored curves: what was spent, in full trainings, with each result, and the row of the model that
    would be returned then, the one of least loss among those trained longest; None while there is none."""
    longest, least, chosen = 0.0, np.inf, None
    for spent, observation in table.replay(method, budget):
        resource = observation.resource or table.resources
        if not observation.failed and (resource > longest or (resource == longest and observation.loss < least)):
            longest, least, chosen = resource, observation.loss, table.row(observation.configuration)
        yield spent, observation, chosen


def interval(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean (b,) over runs (runs, b), and half the width of its 95 % interval; NaN where a run has no value."""
    runs = len(values)
    spread = values.std(0, ddof=1) if runs > 1 else np.full(values.shape[1], np.nan)
    return values.mean(0), 1.96 * spread / np.sqrt(runs)


def draw(axis: Axes, budgets: np.ndarray, values: Mapping[str, np.ndarray]) -> None:
    """Means over runs with their 95 % intervals, a line a method, on a logarithmic scale.

    Args:
        budgets: (b,) in full trainings. values: by method (runs, b), positive.
    """
    for n, (name, of) in enumerate(values.items()):
        mean, half = interval(of)
        colour, style = COLOURS[n % len(COLOURS)], STYLES[n // len(COLOURS)]
        axis.plot(budgets, mean, style, color=colour, label=name)
        least = np.nanmin(mean) / 2  # the scale has no zero
        axis.fill_between(budgets, np.maximum(mean - half, least), mean + half, color=colour, alpha=0.15, linewidth=0)
    logarithmic(axis, "y", np.concatenate([np.nanmean(of, axis=0) for of in values.values()]))
    axis.set_xlabel("budget in full trainings")


def save(figure: Figure, path: Path, budgets: np.ndarray, values: Mapping[str, np.ndarray]) -> list[Path]:
    """The figure as PNG, and beside it the means over runs as CSV."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=150)
    numbers = path.with_suffix(".csv")
    with replacing(numbers) as temporary, temporary.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["budget", *values])
        writer.writerows(zip(budgets, *(interval(of)[0] for of in values.values()), strict=True))
    return [path, numbers]
