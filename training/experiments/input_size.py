"""Which input size a field-of-view network should have: error at 64, 96 and 128 pixels for the same computation.

A convolution costs as much as it has pixels, so a smaller input sees more slices in the same time: each network is
trained for one epoch on as many slices as its size affords. All are measured on the same slices of other volumes.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from SlicerHPOLib.fieldofview.network import Architecture
from SlicerHPOLib.job import Job

from ..fieldofview.dataset import Slices, load, split_by_volume
from ..fieldofview.deploy import trained_network
from ..fieldofview.train import TrainingPlan, class_weights, train, validate

SIZES, REFERENCE = (64, 96, 128), 96


@dataclass(frozen=True)
class Row:
    """size: of the input in pixels. slices: trained on. loss, error: weighted cross entropy and mean error of the
    classes on slices of other volumes."""

    size: int
    slices: int
    loss: float
    error: float


def input_size(
    data: str | Path | Slices, out: str | Path, slices: int, seed: int = 0, job: Job = Job(), **architecture
) -> list[Row]:
    """Train a network for each size; `slices` is what one of 96 pixels is trained on.

    Raises:
        ValueError: there are too few slices for the smallest input.
    """
    everything = data if isinstance(data, Slices) else load(data)
    training, validation = split_by_volume(everything, 0.05, seed)
    order = np.random.default_rng(seed).permutation(len(training))
    counts = [round(slices * (REFERENCE / size) ** 2) for size in SIZES]
    if counts[0] > len(training):
        raise ValueError(
            f"An input of {SIZES[0]} pixels needs {counts[0]} slices, the data has {len(training)}: ask for fewer "
            "or simulate more."
        )
    rows = []
    for n, (size, count) in enumerate(zip(SIZES, counts, strict=True)):
        network_of_size = Architecture(
            **({"channels": 2, "layers": 2, "normalised": True} | architecture), input_size=size
        )
        plan = TrainingPlan(network_of_size, learning_rate=2e-3, epochs=1, seed=seed, precision="bfloat16")
        run = Path(out) / f"size-{size}"
        part = job.part(n / len(SIZES), (n + 1) / len(SIZES))
        train(training.where(np.sort(order[:count])), run, plan, part)
        loss, error = validate(trained_network(run)[0], network_of_size, validation, class_weights(training.labels))
        rows.append(Row(size, count, loss, error))
    return rows


def describe(rows: list[Row]) -> str:
    """A table to print."""
    lines = ["input   slices   loss   error per slice"]
    lines += [f"{r.size:5} {r.slices:8} {r.loss:6.3f} {100 * r.error:8.1f} %" for r in rows]
    return "\n".join(lines)
