"""How many children a transfer needs: fine-tuning and layers on the first 2, 5, 10, ... children of each seed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from SlicerHPOLib.files import replacing
from SlicerHPOLib.job import Job

from ..kidney.transfer import REMEMBERED
from ..plots import BLUE, VERMILLION
from ..simulation.randomisation import POPULATIONS
from .populations import Populations, Scale, transferred
from .rows import write_rows

COUNTS = (2, 5, 10, 20, 50)
UNSEEN = {"adult": "adults", "child": "children"}
STRATEGIES = {"fine-tuning": BLUE, REMEMBERED: VERMILLION}


@dataclass(frozen=True)
class Row:
    """Mean over the seeds of the mean Dice of unseen subjects, after a transfer to so many children."""

    strategy: str
    children: int
    dice_adults: float
    dice_children: float


def draw(out: str | Path, scale: Scale, job: Job = Job()) -> str:
    """Train what is missing; writes few-shot.csv, .md and .png, and returns the table."""
    data = Populations(out, scale, job)
    rows = []
    for strategy in STRATEGIES:
        for count in sorted({min(count, scale.children * scale.seeds) for count in COUNTS}):
            some = None if count == scale.children else count
            found = [transferred(data, strategy, seed, count=some) for seed in range(scale.seeds)]
            rows.append(Row(strategy, count, *(float(np.mean([f[name] for f in found])) for name in POPULATIONS)))
    text = describe(rows)
    write_rows(data.out, "few-shot", rows, text)
    with replacing(data.out / "few-shot.png") as temporary:
        _figure(rows).savefig(temporary, dpi=120)
    return text


def describe(rows: list[Row]) -> str:
    """The table in Markdown."""
    lines = ["| strategy | children | Dice adults | children |", "|---|---|---|---|"]
    shown = [f"| {r.strategy} | {r.children} | {r.dice_adults:.3f} | {r.dice_children:.3f} |" for r in rows]
    return "\n".join(lines + shown)


def _figure(rows: list[Row]):
    from matplotlib.figure import Figure

    figure = Figure((8, 3.4), layout="constrained")
    for axis, population in zip(figure.subplots(1, 2, sharey=True), POPULATIONS, strict=True):
        for strategy, colour in STRATEGIES.items():
            own = [row for row in rows if row.strategy == strategy]
            values = [row.dice_adults if population == "adult" else row.dice_children for row in own]
            axis.plot([row.children for row in own], values, "o-", color=colour, label=strategy)
        axis.set(xscale="log", xlabel="children that are learned from", title=f"unseen {UNSEEN[population]}")
        counts = sorted({row.children for row in rows})
        axis.set_xticks(counts, map(str, counts), minor=False)
        axis.minorticks_off()
    figure.axes[0].set_ylabel("Dice")
    figure.axes[0].legend(loc="lower right")
    return figure
