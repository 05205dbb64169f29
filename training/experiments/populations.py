"""Adults whose volumes are gone, and children: what the experiments of chapter 3 of Bertrand 2019 start from.

A U-Net is trained on simulated adults, once. Each seed then has children of its own to take it to. Subjects to measure
on are of neither, and those by which a strategy may be chosen (figure 3.7) are others than those that tables are of.
Everything is on the working grid, and kept in a folder, where a later call goes on.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from SlicerHPOLib.files import replacing
from SlicerHPOLib.job import Job
from SlicerHPOLib.kidney.unet import REFERENCE, UNet, UNetParameters
from torch import nn

from ..kidney.dataset import Volumes, load, pooled, simulate
from ..kidney.train import TrainingPlan, train, trained
from ..kidney.transfer import REMEMBERED, TransferPlan, added_weights, dice_of, step_seconds, transfer
from ..simulation.randomisation import POPULATIONS

CHOICE, TEST = "choice", "test"  # subjects to choose by, and to measure on
DATA_SEEDS = {"adults": 31, "children": 32, CHOICE: 33, TEST: 34}
ADULTS = {"adults": 1.0, "children": 0.0, CHOICE: 0.5, TEST: 0.5}  # their share


@dataclass(frozen=True)
class Scale:
    """How much is computed. adults: trained on. children: of each seed. choice, test: of each population, to choose
    by and to measure on. pool: of the voxels. steps: of the training on adults. transfer_steps: of each transfer, and
    of a training on children alone. batch, transfer_batch: volumes in a step. augmentation: its strength."""

    adults: int
    children: int
    choice: int
    test: int
    seeds: int
    steps: int
    transfer_steps: int
    batch: int
    transfer_batch: int
    pool: int
    augmentation: float
    network: UNetParameters


LAYERS_RATE = 4e-3  # of learning, where all that learns is small and starts at nothing
SLOW, SLOW_RATE = ", slowly", 3e-4  # the same strategy at a lower rate
GUARD = 10.0  # weight of what the network answered before
LONGER = 3  # times as many steps, where a step takes less than a third of the time
MIDDLE = UNetParameters(base=16, strided=True, dropout=0.0, instance=True)  # 4 million weights
SCALES = {
    "small": Scale(240, 40, 30, 60, 3, 2400, 240, 8, 4, 2, 0.5, MIDDLE),
    "full": Scale(503, 64, 100, 100, 5, 20_000, 5_000, 4, 4, 1, 1.0, REFERENCE),
}


class Populations:
    """The data of an experiment, its networks, and its results, as files of a folder that are made when asked for.

    subjects: whose Dice the results are, `TEST` or `CHOICE`.
    """

    def __init__(self, out: str | Path, scale: Scale, job: Job = Job(), subjects: str = TEST):
        self.out, self.scale, self.job, self.subjects = Path(out), scale, job, subjects

    def _volumes(self, name: str, count: int) -> Volumes:
        folder = simulate(
            self.out / "data" / name,
            volumes=count, seed=DATA_SEEDS[name], adults=ADULTS[name], empty_share=0.0, job=self.job,
        )  # fmt: skip
        return pooled(load(folder), self.scale.pool)

    @cached_property
    def adults(self) -> Volumes:
        """Those of the training; no transfer has them."""
        return self._volumes("adults", self.scale.adults)

    @cached_property
    def unseen(self) -> Volumes:
        """Adults and children that no network has learned from."""
        return self._volumes(self.subjects, 2 * (self.scale.choice if self.subjects == CHOICE else self.scale.test))

    def children(self, seed: int, count: int | None = None) -> Volumes:
        """The children of a seed, or the first `count` of them; more than it has are others' too."""
        first, everyone = seed * self.scale.children, self._all_children
        return everyone.where(np.arange(first, first + (count or self.scale.children)) % len(everyone))

    @cached_property
    def _all_children(self) -> Volumes:
        return self._volumes("children", self.scale.children * self.scale.seeds)

    @property
    def source(self) -> UNet:
        """The network of adults."""
        return self.network("adults", self.adults)

    def network(self, name: str, volumes: Volumes, **changes) -> UNet:
        """A network trained from nothing on volumes, with these changes of the plan."""
        scale = self.scale
        plan = TrainingPlan(
            scale.network, learning_rate=2e-3, steps=scale.steps, steps_per_epoch=200, batch=scale.batch,
            augmentation=scale.augmentation, validation=max(2, scale.batch // 2), children=None,
        )  # fmt: skip
        train(volumes, self.out / name, replace(plan, **changes), job=self.job)
        return trained(self.out / name)[0]

    def result(self, name: str, measured: Callable[[], tuple[nn.Module, dict]]) -> dict:
        """What is kept under this name; else the Dice of each unseen subject, by population, of a model (volumes ->
        probabilities), and what else is to be kept."""
        path = self.out / name / f"{self.subjects}.json"
        if path.exists():
            return json.loads(path.read_text())
        model, more = measured()
        dice = dice_of(model, self.unseen)
        found = {population: dice[self.unseen.population == n].tolist() for n, population in enumerate(POPULATIONS)}
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as temporary:
            temporary.write_text(json.dumps(found | more))
        return found | more

    def trained(
        self, name: str, volumes: Callable[[], Volumes], model_of: Callable[[UNet], nn.Module], **changes
    ) -> dict:
        """The result of a network trained from nothing."""
        return self.result(name, lambda: (model_of(self.network(name, volumes(), **changes)), {"added": 0}))


def transferred(
    data: Populations, strategy: str, seed: int, *, guarded: bool = False, count: int | None = None
) -> dict:
    """The result of a transfer to the children of a seed, or to the first `count` of them; with its added weights."""
    scale, rate, kind = data.scale, rate_of(strategy), strategy.removesuffix(SLOW)
    plan = TransferPlan(
        kind, rate, steps=steps_of(scale, kind), batch=scale.transfer_batch, augmentation=scale.augmentation, seed=seed,
        guard=GUARD if guarded else 0.0,
    )  # fmt: skip
    name = "-".join([*strategy.split(), *(["guarded"] if guarded else []), *([f"of-{count}"] if count else [])])
    run = f"seed-{seed}/{name}"

    def measured() -> tuple[nn.Module, dict]:
        source = data.source
        model = transfer(source, data.children(seed, count), plan, data.out / run, data.job)
        return model, {"added": added_weights(source, kind)}

    return data.result(run, measured)


def rate_of(strategy: str) -> float:
    """The learning rate of a strategy."""
    if strategy.endswith(SLOW):
        return SLOW_RATE
    return LAYERS_RATE if strategy.startswith(("geometric", "intensity")) else TransferPlan.learning_rate


def steps_of(scale: Scale, strategy: str) -> int:
    """How many steps a transfer by a strategy has."""
    return scale.transfer_steps * (LONGER if strategy == REMEMBERED else 1)


def epoch_seconds(data: Populations, strategy: str, steps: int = 8) -> float:
    """CPU seconds of an epoch of a transfer: the median of some steps, and what is done once, by its share."""
    scale = data.scale
    plan = TransferPlan(strategy, batch=scale.transfer_batch, augmentation=scale.augmentation)
    seconds, once = step_seconds(data.source, data.children(0), plan, steps)
    epochs = steps_of(scale, strategy) * plan.batch / scale.children
    return seconds * scale.children / plan.batch + once / epochs
