"""Table 3.1 of Bertrand 2019: a kidney network of adults taken to children, by each strategy.

A U-Net is trained on simulated adults. Each strategy then has it and simulated children only; `children` starts from
nothing, and `joint` has both populations, children drawn as often as adults. Dice is of subjects that none has seen, on
the working grid. Everything is simulated; the source's figures are of real volumes.
"""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from SlicerHPOLib.files import replacing
from SlicerHPOLib.job import Job
from SlicerHPOLib.kidney.unet import LIGHT, REFERENCE, UNet, UNetParameters
from torch import nn

from ..kidney.dataset import Volumes, load, pooled, simulate
from ..kidney.train import TrainingPlan, train, trained
from ..kidney.transfer import TransferPlan, Tuned, dice_of, prepared, transfer
from ..simulation.randomisation import POPULATIONS
from .rows import write_rows


@dataclass(frozen=True)
class Scale:
    """How much is computed. adults, children: trained on. test: subjects of each to measure on. pool: of the voxels.
    steps: of a training from nothing; a transfer has a quarter of them."""

    adults: int
    children: int
    test: int
    steps: int
    batch: int
    pool: int
    seeds: int
    network: UNetParameters


SCALES = {
    "small": Scale(120, 40, 20, 600, 4, 2, 3, LIGHT),
    "full": Scale(503, 64, 100, 20_000, 4, 1, 5, REFERENCE),
}
GUARDED = ", guarded"
GUARD = 10.0
STRATEGIES = (
    "fine-tuning",
    "fine-tuning" + GUARDED,
    "fixed convolutions",
    "geometric",
    "intensity",
    "geometric + intensity",
    "geometric + intensity" + GUARDED,
)
SOURCE = {"fine-tuning": (0.72, 0.72), "geometric + intensity": (0.74, 0.73)}  # adults, children


@dataclass(frozen=True)
class Row:
    """Mean and standard deviation over the seeds of the mean Dice of each population. added: weights. epoch_s: seconds
    for as many volumes as there are children, NaN where none are trained on."""

    strategy: str
    added: int
    epoch_s: float
    dice_adults: float
    spread_adults: float
    dice_children: float
    spread_children: float
    source_adults: float
    source_children: float


def table_3_1(out: str | Path, scale: Scale, job: Job = Job()) -> list[Row]:
    """Simulate, train, transfer and measure; goes on where an earlier call stopped. Writes table-3.1.csv and .md."""
    out = Path(out)
    total = scale.adults + scale.children
    data = simulate(
        out / "data", volumes=total, seed=31, adults=scale.adults / total, empty_share=0.0, job=job.part(0, 0.1)
    )
    test = simulate(out / "test", volumes=2 * scale.test, seed=32, adults=0.5, empty_share=0.0, job=job.part(0.1, 0.15))
    volumes, unseen = (pooled(load(folder), scale.pool) for folder in (data, test))
    found: dict[str, list[dict]] = {}
    for seed in range(scale.seeds):
        share = job.part(0.15 + 0.85 * seed / scale.seeds, 0.15 + 0.85 * (seed + 1) / scale.seeds)
        for name, result in _one_seed(out / f"seed-{seed}", scale, volumes, unseen, seed, share):
            found.setdefault(name, []).append(result)
    rows = [_row(name, results) for name, results in found.items()]
    write_rows(out, "table-3.1", rows, describe(rows))
    return rows


def _one_seed(out: Path, scale: Scale, volumes: Volumes, unseen: Volumes, seed: int, job: Job):
    """Results by row, each kept in a file."""
    adult = volumes.population == POPULATIONS.index("adult")
    populations = {"adults": volumes.where(adult), "children": volumes.where(~adult), "joint": volumes}
    parts = len(populations) + len(STRATEGIES)
    for n, (name, own) in enumerate(populations.items()):
        plan = TrainingPlan(
            scale.network, steps=scale.steps, steps_per_epoch=100, batch=scale.batch, validation=scale.batch, seed=seed,
            children=0.5 if name == "joint" else None,
        )  # fmt: skip
        run = train(own, out / name, plan, job=job.part(n / parts, (n + 1) / parts)).parent
        network, state = trained(run)
        seconds = sum(row["seconds"] for row in state["curves"]) * scale.children / (scale.steps * scale.batch)
        own_network = Tuned(network, [])
        yield name, _kept(run / "result.json", own_network.eval(), 0, seconds, unseen)
    source, _ = trained(out / "adults")
    for n, name in enumerate(STRATEGIES, start=len(populations)):
        plan = TransferPlan(
            name.removesuffix(GUARDED), steps=scale.steps // 4, batch=scale.batch, seed=seed,
            guard=GUARD if name.endswith(GUARDED) else 0.0,
        )  # fmt: skip
        run = out / name.replace(" ", "-").replace(",", "")
        model = transfer(source, populations["children"], plan, run, job.part(n / parts, (n + 1) / parts))
        with (run / "curves.csv").open(newline="") as file:
            seconds = sum(float(row["seconds"]) for row in csv.DictReader(file))
        seconds *= scale.children / (plan.steps * plan.batch)
        yield name, _kept(run / "result.json", model, added_weights(source, plan.strategy), seconds, unseen)


def added_weights(network: UNet, strategy: str) -> int:
    """How many weights a strategy adds to the network's."""
    return sum(p.numel() for p in prepared(network, strategy).parameters()) - sum(
        p.numel() for p in network.parameters()
    )


def _kept(path: Path, model: nn.Module, added: int, seconds: float, unseen: Volumes) -> dict:
    """The result of an earlier call, or measured and kept."""
    if path.exists():
        return json.loads(path.read_text())
    dice = dice_of(model, unseen)
    result = {"added": added, "epoch_s": seconds} | {
        name: float(dice[unseen.population == code].mean()) for code, name in enumerate(POPULATIONS)
    }
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(result))
    return result


def _row(name: str, results: list[dict]) -> Row:
    by_population = (np.array([result[population] for result in results]) for population in POPULATIONS)
    means = [float(value) for dice in by_population for value in (dice.mean(), dice.std(ddof=min(1, len(dice) - 1)))]
    seconds = float(np.mean([result["epoch_s"] for result in results]))
    return Row(name, results[0]["added"], seconds, *means, *SOURCE.get(name, (np.nan, np.nan)))


def describe(rows: list[Row]) -> str:
    """The table in Markdown; the time of an epoch is over that of fine-tuning in the same run."""
    whole = next((row.epoch_s for row in rows if row.strategy == "fine-tuning"), np.nan)
    lines = [
        "| strategy | added weights | epoch / fine-tuning's | Dice adults | children | source: adults | children |",
        "|---|---|---|---|---|---|---|",
    ]
    for r in rows:
        theirs = ["" if np.isnan(value) else f"{value:.2f}" for value in (r.source_adults, r.source_children)]
        lines.append(
            f"| {r.strategy} | {r.added:,} | {r.epoch_s / whole:.2f} | {r.dice_adults:.3f} ± {r.spread_adults:.3f} "
            f"| {r.dice_children:.3f} ± {r.spread_children:.3f} | {' | '.join(theirs)} |"
        )
    return "\n".join(lines)
