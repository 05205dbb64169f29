"""The 600-model table: small networks really trained on the handwritten digits inside scikit-learn.

1797 images of 8 x 8 pixels; every second one trains, the others measure (cross entropy and share of errors). A
resource is one epoch. The table is stored beside this file; `python -m training prepare digits600` makes it again.
"""

from __future__ import annotations

import time
import warnings
from pathlib import Path

import numpy as np
from SlicerHPOLib.job import Job

from .curve_table import CurveTable, load_curves
from .space import Configuration
from .spaces import digits_600

RESOURCES = 27
STORED = Path(__file__).parent / "tables" / "digits600.npz"


def digits_table() -> CurveTable:
    """The stored table."""
    return load_curves(STORED)


def train_digits(seed: int = 0, job: Job = Job()) -> CurveTable:
    """Train all 600 (a few minutes, one core). Losses depend on the seed and on the version of scikit-learn."""
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    images = images / 16.0
    space = digits_600()
    configurations = space.enumerate()
    curves = []
    for n, configuration in enumerate(configurations):
        job.progress(n / len(configurations), f"digits, model {n + 1} of {len(configurations)}")
        curves.append(_curve(configuration, images, labels, seed + n))
    loss, error, seconds = (np.array(column) for column in zip(*curves, strict=True))
    return CurveTable(space, loss, error, seconds)


def _curve(configuration: Configuration, images, labels, seed: int) -> tuple[np.ndarray, np.ndarray, float]:
    """Losses (R,), errors (R,) and CPU seconds an epoch; NaN from the epoch in which the weights cease to be finite."""
    from sklearn.neural_network import MLPClassifier

    network = MLPClassifier(
        hidden_layer_sizes=(configuration["width"],) * configuration["layers"],
        solver=configuration["optimiser"],
        learning_rate_init=configuration["learning_rate"],
        batch_size=configuration["batch"],
        random_state=seed,
    )
    loss, error = np.full((2, RESOURCES), np.nan)
    start = time.process_time()
    for epoch in range(RESOURCES):
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            try:
                network.partial_fit(images[::2], labels[::2], classes=np.arange(10))
            except ValueError:  # "Solver produced non-finite parameter weights"
                break
            predicted = network.predict_proba(images[1::2])
        if not np.isfinite(predicted).all():
            break
        truth = labels[1::2]
        loss[epoch] = -np.log(np.maximum(predicted[np.arange(len(truth)), truth], 1e-12)).mean()
        error[epoch] = (predicted.argmax(1) != truth).mean()
    return loss, error, (time.process_time() - start) / RESOURCES


def describe(table: CurveTable) -> str:
    """What the table holds, to print."""
    best = int(np.nanargmin(table.final))
    configuration = ", ".join(f"{name} {value}" for name, value in table.space.enumerate()[best].items())
    return (
        f"{len(table.loss)} models, {table.resources} epochs each, {table.seconds.sum() * table.resources:.0f} s; "
        f"{np.isnan(table.final).sum()} diverged\n"
        f"loss: best {table.final[best]:.4f} (error {table.error[best, -1]:.1%}; {configuration}), "
        f"median {np.nanmedian(table.final):.4f}"
    )
