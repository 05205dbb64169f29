"""A contact sheet of simulated slices, to compare with real ones by eye before a network is trained on them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from SlicerHPOLib.fieldofview.regions import CLASSES
from SlicerHPOLib.files import replacing
from SlicerHPOLib.job import Job

from ..simulation.protocols import PROTOCOLS
from .dataset import draw_subject, load_maps, volume_slices


def contact_sheet(
    out: str | Path, *, seed: int = 0, size: int = 128, columns: int = 8, maps_dir=None, job: Job = Job()
) -> Path:
    """Write a PNG with a row of slices of `columns` volumes for each protocol, titled with the class and the
    sequence."""
    from matplotlib.figure import Figure

    maps = load_maps(maps_dir, "train")
    rows = list(PROTOCOLS)
    figure = Figure((1.35 * columns, 1.5 * len(rows)), layout="constrained")
    axes = figure.subplots(len(rows), columns)
    for n, protocol in enumerate(rows):
        job.progress(n / len(rows), protocol)
        for column in range(columns):
            axis = axes[n, column]
            axis.axis("off")
            for attempt in range(5):
                index = (n * columns + column) * 5 + attempt
                volume, rng = draw_subject(seed, index, maps, protocol)
                slices = volume_slices(volume, rng, 3, size)
                if len(slices):
                    break
            else:
                continue
            middle = len(slices) // 2
            axis.imshow(slices.images[middle], cmap="gray", vmin=0, vmax=255)
            axis.set_title(
                f"{CLASSES[slices.labels[middle]]}, {volume.contrast.family}\n{volume.anatomy.name[:18]}",
                fontsize=5,
                pad=1,
            )
        axes[n, 0].text(
            -0.05, 0.5, protocol, transform=axes[n, 0].transAxes, rotation=90, ha="right", va="center", fontsize=6
        )
    with replacing(out) as temporary:
        figure.savefig(temporary, dpi=130)
    return Path(out)


def shares(labels: np.ndarray) -> str:
    """Share of each class among slices, as text."""
    counts = np.bincount(labels, minlength=len(CLASSES))
    return ", ".join(f"{name} {100 * n / counts.sum():.0f} %" for name, n in zip(CLASSES, counts, strict=True))
