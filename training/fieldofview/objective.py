"""What a search of the field-of-view networks minimises: the validation loss after a number of slices.

    R      resource of a full training
    unit   a resource of 1: a fixed number of slices, whatever the batch; it is an epoch of the training. It should be
           some thousands: after a thousand, deep networks are among the worst that are the best after three

All trainings begin with the same seed and see the same slices in the same order, at a constant learning rate: a trial
that was paused goes on from its checkpoint as if it had not been, and losses differ by the configuration alone. The
loss is the class-weighted cross entropy on slices of other volumes, at most that of a network that knows nothing: how
far astray a training went would drown the differences between those that learn.
"""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import torch
from SlicerHPOLib.fieldofview.network import Architecture
from SlicerHPOLib.fieldofview.regions import CLASSES
from SlicerHPOLib.job import Cancelled, Job

from ..checkpoint import read_checkpoint
from ..search.feasibility import Limit
from ..search.method import Suggestion
from ..search.space import Configuration
from .cost import multiply_adds, weights
from .dataset import Slices, load, split_by_volume
from .train import TrainingPlan, resized, train

OF_NETWORK = ("blocks", "layers", "filters", "kernel", "separable")  # table 2.7's; the others are of the training
KNOWING_NOTHING = math.log(len(CLASSES))
VALIDATION = 1024  # slices, about


def plan_of(configuration: Configuration, base: TrainingPlan) -> TrainingPlan:
    """The training of a configuration of table 2.7; what the table does not name is that of `base`."""
    architecture = replace(base.architecture, **{name: configuration[name] for name in OF_NETWORK})
    batch, rate = configuration["batch"], configuration["learning_rate"]
    return replace(base, architecture=architecture, batch=batch, learning_rate=rate)


def limits(base: TrainingPlan, most_weights: float, most_multiply_adds: float) -> tuple[Limit, Limit]:
    """The most that a network may store, and compute for a slice."""

    def cost(of: Callable[[Architecture], int]) -> Callable[[Configuration], int]:
        @cache  # configurations that differ in the training only are many
        def known(*values) -> int:
            return of(replace(base.architecture, **dict(zip(OF_NETWORK, values, strict=True))))

        return lambda configuration: known(*(configuration[name] for name in OF_NETWORK))

    return (
        Limit("weights", cost(weights), most_weights),
        Limit("multiply-adds of a slice", cost(multiply_adds), most_multiply_adds),
    )


def search_slices(folder: str | Path, base: TrainingPlan) -> tuple[Slices, Slices]:
    """Training and validation slices of the first shards of a data set, as large as the networks take them.

    A full training sees each slice about once. Raises ValueError if the data set has too few.
    """
    wanted = base.epochs * base.epoch_slices
    slices = load(folder, wanted + VALIDATION)
    training, validation = split_by_volume(slices, VALIDATION / len(slices), base.seed)
    return _resized(training, base), _resized(validation, base)


class Objective:
    """Trains suggestions; each trial has a folder with its checkpoint, at the end with its curves.

    Args:
        data: training and validation slices. folder: of the trials. base: R epochs, at a constant learning rate.
        most_seconds: of a unit, by the clock. job: stops a training when it is cancelled; None in
            another process, where that is not known.
    """

    def __init__(
        self,
        data: tuple[Slices, Slices],
        folder: str | Path,
        base: TrainingPlan,
        most_seconds: float = math.inf,
        job: Job | None = None,
    ):
        self.data = data
        self.folder = Path(folder)
        self.base = base
        self.most_seconds = most_seconds
        self.job = job

    def __call__(self, suggestion: Suggestion) -> float:
        """Train until the suggestion's resource (None: R); returns the validation loss there.

        Raises:
            DivergenceError: the loss is no number. TimeoutError: a unit takes too long. RuntimeError: out of memory.
                The trial's folder is deleted in these cases.
        """
        resource = int(suggestion.resource or self.base.epochs)
        folder = self.folder / f"trial-{suggestion.trial:05d}"
        plan = plan_of(suggestion.configuration, self.base)
        try:
            checkpoint = train(self.data, folder, plan, Job(self._watch(plan)), stop_after=resource)
        except Cancelled:
            raise
        except Exception:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        _, state = read_checkpoint(checkpoint)
        return min(state["curves"][resource - 1]["validation_loss"], KNOWING_NOTHING)

    def _watch(self, plan: TrainingPlan) -> Callable[[float, str], None]:
        """What is told of each step: stops the training if the search is cancelled or a unit takes too long."""
        unit, started = -1, 0.0

        def watch(fraction: float, text: str) -> None:
            nonlocal unit, started
            if self.job is not None and self.job.cancelled:
                raise Cancelled("The search was cancelled.")
            now = time.monotonic()
            if int(fraction * plan.epochs + 1e-9) != unit:
                unit, started = int(fraction * plan.epochs + 1e-9), now
            elif now - started > self.most_seconds:
                raise TimeoutError(f"A unit of training takes more than {self.most_seconds:g} s.")

        return watch


def _resized(slices: Slices, base: TrainingPlan) -> Slices:
    """Once, instead of in each step."""
    size = base.architecture.input_size
    parts = [
        (255 * resized(slices.images[first : first + 1000], size, torch.device("cpu"))[:, 0]).round().byte().numpy()
        for first in range(0, len(slices), 1000)
    ]
    return replace(slices, images=np.concatenate(parts))
