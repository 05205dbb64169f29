"""Figure 3.9 of Bertrand 2019, as a distribution: Dice of every unseen subject by strategy, adults beside children,
over all seeds of table 3.1."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from SlicerHPOLib.files import replacing
from SlicerHPOLib.job import Job

from ..plots import BLUE, VERMILLION
from ..simulation.randomisation import POPULATIONS
from .populations import Populations, Scale
from .table_3_1 import results


def draw(out: str | Path, scale: Scale, job: Job = Job()) -> str:
    """Train what is missing; writes figure-3.9.png and returns the quartiles as a table."""
    data = Populations(out, scale, job)
    found = {
        name: {population: np.concatenate([one[population] for one in each]) for population in POPULATIONS}
        for name, each in list(results(data))[-1].items()
    }
    with replacing(data.out / "figure-3.9.png") as temporary:
        _figure(found).savefig(temporary, dpi=120)
    lines = ["| strategy | adults: quartiles of Dice | children |", "|---|---|---|"]
    for name, dice in found.items():
        quartiles = (np.percentile(dice[population], (25, 50, 75)) for population in POPULATIONS)
        lines.append(f"| {name} | {' | '.join('/'.join(f'{value:.2f}' for value in three) for three in quartiles)} |")
    return "\n".join(lines)


def _figure(found: dict[str, dict[str, np.ndarray]]):
    from matplotlib.figure import Figure

    figure = Figure((8, 0.45 * len(found) + 1.2), layout="constrained")
    axis = figure.subplots()
    names = list(found)[::-1]
    for shift, colour, population in ((0.18, BLUE, "adult"), (-0.18, VERMILLION, "child")):
        boxes = axis.boxplot(
            [found[name][population] for name in names],
            positions=np.arange(len(names)) + shift, widths=0.3, orientation="horizontal", manage_ticks=False,
            medianprops={"color": colour}, boxprops={"color": colour}, whiskerprops={"color": colour},
            capprops={"color": colour}, flierprops={"marker": ".", "markeredgecolor": colour},
        )  # fmt: skip
        boxes["boxes"][0].set_label(population)
    axis.set_yticks(np.arange(len(names)), names)
    axis.set(xlabel="Dice of each unseen simulated subject, all seeds", xlim=(-0.02, 1))
    axis.legend(loc="lower left", bbox_to_anchor=(0, 1), ncol=2, frameon=False)
    return figure
