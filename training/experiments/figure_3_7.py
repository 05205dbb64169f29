"""Figure 3.7 of Bertrand 2019: a network of adults of which only some convolutions learn children, those up to the n-th
or from the n-th on, counted from the input. Strategies are chosen by it, so its unseen subjects are no table's."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from SlicerHPOLib.files import replacing
from SlicerHPOLib.job import Job
from SlicerHPOLib.kidney.unet import UNet

from ..kidney.transfer import convolutions
from ..plots import BLUE, GREY, VERMILLION
from ..simulation.randomisation import POPULATIONS
from .populations import CHOICE, Populations, Scale, transferred
from .rows import write_rows

EVERY = 2  # so manyeth convolution ends or begins what learns
SEED = 0


@dataclass(frozen=True)
class Row:
    """Mean Dice of unseen subjects where the convolutions `which` "up to" or "from" `number` have learned."""

    which: str
    number: int
    dice_adults: float
    dice_children: float


def draw(out: str | Path, scale: Scale, job: Job = Job()) -> str:
    """Train what is missing; writes figure-3.7.csv, .md and .png, and returns the table."""
    data = Populations(out, scale, job, CHOICE)
    last = len(convolutions(UNet(scale.network)))
    rows = [
        Row(which, number, *(float(np.mean(found[name])) for name in POPULATIONS))
        for which in ("up to", "from")
        for number in range(1, last + 1, EVERY)
        for found in [transferred(data, f"{which} {number}", SEED)]
    ]
    text = describe(rows)
    write_rows(data.out, "figure-3.7", rows, text)
    whole = transferred(data, "fine-tuning", SEED)
    with replacing(data.out / "figure-3.7.png") as temporary:
        _figure(rows, {name: float(np.mean(whole[name])) for name in POPULATIONS}).savefig(temporary, dpi=120)
    return text


def describe(rows: list[Row]) -> str:
    """The table in Markdown."""
    lines = ["| convolutions that learn | Dice adults | children |", "|---|---|---|"]
    return "\n".join(lines + [f"| {r.which} {r.number} | {r.dice_adults:.3f} | {r.dice_children:.3f} |" for r in rows])


def _figure(rows: list[Row], whole: dict[str, float]):
    from matplotlib.figure import Figure

    figure = Figure((8, 3.4), layout="constrained")
    for axis, which, label in zip(
        figure.subplots(1, 2, sharey=True),
        ("up to", "from"),
        ("the first n convolutions learn", "the convolutions from the n-th on learn"),
        strict=True,
    ):
        own = [row for row in rows if row.which == which]
        for population, colour in (("adult", BLUE), ("child", VERMILLION)):
            values = [row.dice_adults if population == "adult" else row.dice_children for row in own]
            axis.plot([row.number for row in own], values, "o-", color=colour, label=population)
            axis.axhline(whole[population], color=colour, ls=":", lw=1)
        axis.plot([], [], ":", color=GREY, label="all learn")
        axis.set(xlabel="n", title=label)
    figure.axes[0].set_ylabel("Dice of unseen simulated subjects")
    figure.axes[0].legend()
    return figure
