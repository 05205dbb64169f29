"""The 600-model table: small networks really trained on the handwritten digits inside scikit-learn.

1797 images of 8 x 8 pixels; every third one trains, the others measure (cross entropy and share of errors). A resource
is one epoch. The networks are multi-layer perceptrons with ReLU; those that differ in the learning rate only are
trained side by side, which is ten times as fast. The table is stored beside this file, and made again by
`python -m training prepare digits600`.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable
from itertools import groupby, pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from SlicerHPOLib.job import Job

from .curve_table import CurveTable, load_curves
from .space import Configuration
from .spaces import digits_600

if TYPE_CHECKING:
    import torch

    Data = tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]  # images (n, 64), labels (n,); held-out ones

RESOURCES = 27
STORED = Path(__file__).parent / "tables" / "digits600.npz"
MOMENTUM, ADAM, SMALL = 0.9, (0.9, 0.999), 1e-8


def digits_table() -> CurveTable:
    """The stored table."""
    return load_curves(STORED)


def train_digits(seed: int = 0, job: Job = Job()) -> CurveTable:
    """Train all 600, on one core in half a minute. Losses depend on the seed and, a little, on the processor."""
    space = digits_600()
    configurations = space.enumerate()
    data = _digits()
    loss, error = np.full((2, len(configurations), RESOURCES), np.nan)
    seconds = np.empty(len(configurations))
    alike = [tuple((k, v) for k, v in c.items() if k != "learning_rate") for c in configurations]
    order = sorted(range(len(configurations)), key=lambda n: alike[n])
    for done, (key, members) in enumerate(groupby(order, key=lambda n: alike[n])):
        rows = list(members)
        job.progress(done * len(rows) / len(configurations), f"digits, {', '.join(f'{k} {v}' for k, v in key)}")
        rates = [configurations[n]["learning_rate"] for n in rows]
        start = time.process_time()
        loss[rows], error[rows] = _curves(rates, dict(key), data, seed + done)
        seconds[rows] = (time.process_time() - start) / len(rows) / RESOURCES
    return CurveTable(space, loss, error, seconds)


def _digits() -> Data:
    import torch
    from sklearn.datasets import load_digits

    images, labels = (torch.from_numpy(array) for array in load_digits(return_X_y=True))
    training = torch.arange(len(labels)) % 3 == 0
    images = images.float() / 16
    return images[training], labels[training], images[~training], labels[~training]


def _curves(rates: list[float], network: Configuration, data: Data, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Losses and errors (k, R) of k networks that differ in the learning rate; NaN from where one diverged."""
    import torch
    from torch.nn.functional import cross_entropy

    torch.set_num_threads(1)
    torch.manual_seed(seed)
    images, labels, held_out, truth = data
    k, rate = len(rates), torch.tensor(rates)[:, None, None]
    weights = []
    for inputs, outputs in pairwise([images.shape[1], *[network["width"]] * network["layers"], 10]):
        bound = math.sqrt(6 / (inputs + outputs))
        weights += [torch.empty(k, inputs, outputs).uniform_(-bound, bound), torch.zeros(k, 1, outputs)]
    for tensor in weights:
        tensor.requires_grad_()
    moments = [torch.zeros(2, *tensor.shape) for tensor in weights]
    found = torch.empty(2, k, RESOURCES)
    steps = 0
    for epoch in range(RESOURCES):
        for batch in torch.randperm(len(labels)).split(network["batch"]):
            scores = _scores(weights, images[batch])
            loss = cross_entropy(scores.flatten(0, 1), labels[batch].repeat(k), reduction="sum") / len(batch)
            steps += 1
            with torch.no_grad():
                gradients = torch.autograd.grad(loss, weights)
                for tensor, gradient, moment in zip(weights, gradients, moments, strict=True):
                    tensor -= rate * _step(network["optimiser"], gradient, moment, steps)
        with torch.no_grad():
            chances = _scores(weights, held_out).softmax(-1)
        of_truth = chances[:, torch.arange(len(truth)), truth].clamp_min(1e-12)  # NaN stays
        found[0, :, epoch] = -of_truth.log().mean(1)
        found[1, :, epoch] = (chances.argmax(-1) != truth).float().mean(1)
    loss, error = found.double().numpy()
    return loss, np.where(np.isnan(loss), np.nan, error)


def _scores(weights: Iterable[torch.Tensor], images: torch.Tensor) -> torch.Tensor:
    """Of images (n, 64), by each network: (k, n, 10)."""
    *hidden, last, bias = weights
    features = images[None]
    for weight, offset in zip(hidden[::2], hidden[1::2], strict=True):
        features = (features @ weight + offset).relu()
    return features @ last + bias


def _step(optimiser: str, gradient: torch.Tensor, moment: torch.Tensor, steps: int) -> torch.Tensor:
    """What to go downhill by, in learning rates: momentum, or Adam (Kingma and Ba 2015)."""
    if optimiser == "sgd":
        moment[0].mul_(MOMENTUM).add_(gradient)
        return moment[0]
    first, second = ADAM
    moment[0].lerp_(gradient, 1 - first)
    moment[1].lerp_(gradient**2, 1 - second)
    return moment[0] / (1 - first**steps) / ((moment[1] / (1 - second**steps)).sqrt() + SMALL)


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
