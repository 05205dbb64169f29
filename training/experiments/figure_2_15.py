"""Figure 2.15 of Bertrand 2019: the course of the search over table 2.7, and what its networks weigh.

The text that this was made from does not describe the figure beyond the search that it shows. Assumed here: on the
left the losses of the full trainings in the order in which they came, their running median and the best so far; on the
right every network's loss by its number of weights. Networks that were stopped have the loss at which they were, which
is no loss of a full training, and are drawn paler.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from SlicerHPOLib.files import replacing

from ..plots import BLUE, GREY, ORANGE, VERMILLION
from ..search.report import WINDOW, Record, running_median
from . import table_2_6
from .table_2_6 import Network

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def write(record: Record, out: str | Path) -> list[Path]:
    """figure-2.15.png, .csv and .md in a folder. Raises ValueError if no network was trained to the end yet."""
    from matplotlib.figure import Figure

    found = table_2_6.networks(record)
    if not any(n.full for n in found):
        raise ValueError(f"The study {record.name!r} has no full training yet: wait for one.")
    figure = Figure((9.5, 4), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    _course(left, record)
    _weights(right, found)
    left.set_ylabel("validation loss (class-weighted cross entropy)")
    figure.legend(*_handles(left, right), fontsize="small", loc="outside upper center", ncols=5)
    paths = table_2_6.write(found, out, "figure-2.15")
    with replacing(Path(out) / "figure-2.15.png") as temporary:
        figure.savefig(temporary, dpi=150)
    return [Path(out) / "figure-2.15.png", *paths]


def describe(record: Record) -> str:
    """The course in words."""
    found = table_2_6.networks(record)
    full = [n for n in found if n.full]
    trials = {o.trial for o in record.observations}
    best = full[0]
    half = record.losses[: (len(full) + 1) // 2].min()
    return (
        f"{len(record.observations)} trainings of {len(trials)} networks: {len(full)} to the end, "
        f"{len(record.failures)} failed; {record.spent[-1]:.1f} full trainings in all\n"
        f"best: loss {best.loss:.4f} with {best.weights:,} weights (trial {best.trial}); after half of the full "
        f"trainings {half:.4f}; median {np.median(record.losses):.4f}"
    )


def _course(axis: Axes, record: Record) -> None:
    at, losses = record.spent[record.finished], record.losses
    axis.plot(at, losses, ".", color=BLUE, label="trained to the end")
    axis.plot(at, running_median(losses), color=ORANGE, label=f"running median of {WINDOW}")
    axis.step(at, np.minimum.accumulate(losses), where="post", color=VERMILLION, label="best so far")
    axis.set(xlabel="budget in full trainings")
    axis.set_xlim(left=0)


def _weights(axis: Axes, found: list[Network]) -> None:
    for full, colour, size, label in ((False, GREY, 8, "stopped earlier"), (True, BLUE, 18, "trained to the end")):
        some = [n for n in found if n.full == full]
        axis.scatter(
            [n.weights for n in some],
            [n.loss for n in some],
            s=size,
            color=colour,
            label=label,
            alpha=1 if full else 0.6,
        )
    best = found[0]
    axis.scatter([best.weights], [best.loss], s=90, facecolors="none", edgecolors=VERMILLION, label="best")
    axis.set(xscale="log", xlabel="weights")


def _handles(*axes: Axes) -> tuple[list, list[str]]:
    """Of all axes, each label once."""
    named = {}
    for axis in axes:
        for handle, label in zip(*axis.get_legend_handles_labels(), strict=True):
            named.setdefault(label, handle)
    return list(named.values()), list(named)
