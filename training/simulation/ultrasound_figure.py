"""Simulated kidneys in three planes with the true outline, to compare with real ultrasound by eye."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from SlicerHPOLib.files import replacing
from SlicerHPOLib.job import Job

from .ultrasound import Ultrasound, simulate_ultrasound

PLANES = ("array's plane", "across the array", "constant depth")
ROWS = (
    *(("adult", {"hydronephrosis": 0}),) * 4,
    *(("child", {"hydronephrosis": 0, "age_years": age}) for age in (0.5, 3.0, 7.0, 14.0)),
    *(("child", {"hydronephrosis": grade}) for grade in (1, 2, 3, 4)),
)


def figure(out: str | Path, seed: int = 0, *, spacing_mm: float = 1.0, job: Job = Job()) -> Path:
    """Write a PNG: adults, children by age, and children with hydronephrosis of grades 1 to 4, two subjects a row.

    Each subject is shown in the plane of the array, across it and at constant depth, through the kidney's middle.
    """
    from matplotlib.figure import Figure

    sheet = Figure((15, 2.5 * len(ROWS) / 2), layout="constrained", facecolor="white")
    axes = sheet.subplots(len(ROWS) // 2, 6)
    for n, (population, traits) in enumerate(ROWS):
        job.progress(n / len(ROWS), population)
        subject = simulate_ultrasound(seed * len(ROWS) + n, population, spacing_mm=spacing_mm, size=None, **traits)
        _draw(axes[n // 2, 3 * (n % 2) : 3 * (n % 2) + 3], subject)
    with replacing(out) as temporary:
        sheet.savefig(temporary, dpi=110)
    return Path(out)


def _draw(axes, subject: Ultrasound) -> None:
    spacing = subject.image.spacing_mm[0]
    k, j, i = np.argwhere(subject.mask).mean(0).astype(int)
    views = (np.s_[:, j], np.s_[:, :, i], np.s_[k])
    for axis, view, plane in zip(axes, views, PLANES, strict=True):
        axis.imshow(subject.image.voxels[view], cmap="gray", vmin=0, vmax=255)
        axis.contour(subject.phi_mm[view], levels=[0], colors="#E69F00", linewidths=0.8)
        rows = len(subject.image.voxels[view])
        axis.plot([5, 5 + 50 / spacing], [rows - 6] * 2, color="white", linewidth=1.5)  # 50 mm
        axis.set_title(plane, fontsize=6, pad=2)
        axis.axis("off")
    grade = f", hydronephrosis {subject.hydronephrosis}" if subject.hydronephrosis else ""
    approach = subject.parameters.probe.approach
    axes[0].set_title(
        f"{subject.population}, {subject.age_years:.0f} y, {subject.side}{grade}, {approach}", fontsize=6, pad=2
    )
