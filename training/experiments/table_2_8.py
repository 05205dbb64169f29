"""Table 2.8 of Bertrand 2019: what each value of a hyper-parameter of table 2.7 is worth.

The text that this was made from does not describe the table's columns. Assumed here, for each value:

    tried, full   networks with this value, and those of them trained to the end
    best          least loss of the latter
    predicted     median over all configurations with this value that keep the study's limits, of the loss of a full
                  training that the Gaussian process of all trainings predicts

A search tries good values with good values, so the losses of what it tried do not compare values; the prediction over
the whole space does, as far as the process is right. A value is in bold where its prediction is the least.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from SlicerHPOLib.files import replacing

from ..fieldofview.objective import limits
from ..plots import BLUE, ORANGE
from ..search.feasibility import within
from ..search.parameter import Value
from ..search.report import Record, fit
from ..search.report_figures import text
from .table_2_6 import base_plan, networks

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PREDICTED = 4000  # configurations, drawn evenly where there are more


@dataclass(frozen=True)
class Row:
    """A value of a hyper-parameter; best and predicted are NaN where there is nothing to tell them from."""

    parameter: str
    value: Value
    tried: int
    full: int
    best: float
    predicted: float


def table_2_8(record: Record, seed: int = 0) -> list[Row]:
    """Rows for all values of all hyper-parameters. Raises ValueError if it is no study of field-of-view networks."""
    kept = limits(base_plan(record), *record.settings["limits"].values())
    everything = record.space.enumerate()
    allowed = [c for c, keeps in zip(everything, within(kept, everything), strict=True) if keeps]
    if len(allowed) > PREDICTED:
        chosen = np.random.default_rng(seed).choice(len(allowed), PREDICTED, replace=False)
        allowed = [allowed[n] for n in sorted(chosen)]
    process = fit(record, seed)
    predicted = np.full(len(allowed), np.nan) if process is None else process.predict(allowed)
    if process is not None and process.logarithmic:
        predicted = np.exp(predicted)
    found = networks(record)
    rows = []
    for parameter in record.space.parameters:
        for value in parameter.values:
            tried = [n for n in found if n.configuration[parameter.name] == value]
            full = [n.loss for n in tried if n.full]
            here = predicted[[c[parameter.name] == value for c in allowed]]
            rows.append(
                Row(
                    parameter.name,
                    value,
                    len(tried),
                    len(full),
                    min(full, default=np.nan),
                    float(np.median(here)) if len(here) else np.nan,
                )
            )
    return rows


def describe(rows: list[Row]) -> str:
    """The table in Markdown."""
    lines = ["| hyper-parameter | value | tried | full | best | predicted |", "|---|---|---|---|---|---|"]
    for r in rows:
        least = min((q.predicted for q in rows if q.parameter == r.parameter), default=np.nan)
        value = f"**{text(r.value)}**" if r.predicted == least else text(r.value)
        lines.append(f"| {r.parameter} | {value} | {r.tried} | {r.full} | {_number(r.best)} | {_number(r.predicted)} |")
    return "\n".join(lines)


def write(rows: list[Row], out: str | Path) -> list[Path]:
    """table-2.8.csv, .md and .png in a folder."""
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    with replacing(out / "table-2.8.csv") as temporary, temporary.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(Row.__annotations__)
        writer.writerows(vars(row).values() for row in rows)
    with replacing(out / "table-2.8.md") as temporary:
        temporary.write_text(describe(rows) + "\n")
    with replacing(out / "table-2.8.png") as temporary:
        _figure(rows).savefig(temporary, dpi=150)
    return [out / f"table-2.8.{ending}" for ending in ("png", "csv", "md")]


def _figure(rows: list[Row]) -> Figure:
    """A panel for each hyper-parameter: best and predicted losses by value."""
    from matplotlib.figure import Figure

    names = list(dict.fromkeys(r.parameter for r in rows))
    figure = Figure((1.7 * len(names), 3), layout="constrained")
    panels = figure.subplots(1, len(names), sharey=True)
    for axis, name in zip(panels, names, strict=True):
        of = [r for r in rows if r.parameter == name]
        places = range(len(of))
        axis.plot(places, [r.predicted for r in of], "o-", color=ORANGE, markersize=4, label="predicted, median")
        axis.plot(places, [r.best for r in of], "s", color=BLUE, markersize=5, label="best full training")
        axis.set_xticks(places, [text(r.value) for r in of], rotation=60, fontsize="small")
        axis.set_title(name.replace("_", " "), fontsize="medium")
        axis.margins(x=0.15)
    panels[0].set_ylabel("validation loss")
    figure.legend(*panels[0].get_legend_handles_labels(), fontsize="small", loc="outside upper center", ncols=2)
    return figure


def _number(loss: float) -> str:
    return f"{loss:.4f}" if np.isfinite(loss) else "-"
