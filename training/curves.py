"""Learning curves of a training as a table and a picture, and the learning rate that both trainings follow."""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from pathlib import Path

from SlicerHPOLib.files import replacing


def cosine(peak: float, step: int, steps: int, warm: int) -> float:
    """The learning rate: a linear warm-up over `warm` steps, then half a cosine down to 0."""
    if step < warm:
        return peak * (step + 1) / warm
    return peak * 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, steps - warm)))


def write_curves(out: Path, curves: Sequence[dict], panels: dict[str, dict[str, str]]) -> None:
    """curves.csv, a row an epoch, and curves.png.

    Args:
        curves: a row for each epoch, with the same columns. panels: by label of the vertical axis, the columns shown
            there with their line styles.
    """
    with replacing(out / "curves.csv") as temporary, temporary.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(curves[0]))
        writer.writeheader()
        writer.writerows(curves)
    from matplotlib.figure import Figure

    figure = Figure((8, 3.2), layout="constrained")
    epochs = [row["epoch"] for row in curves]
    axes = figure.subplots(1, len(panels), squeeze=False)[0]
    for axis, (label, columns) in zip(axes, panels.items(), strict=True):
        for column, style in columns.items():
            axis.plot(epochs, [row[column] for row in curves], style, label=column.replace("_", " "))
        axis.set(xlabel="epoch", ylabel=label)
        axis.legend()
    with replacing(out / "curves.png") as temporary:
        figure.savefig(temporary, dpi=120)
