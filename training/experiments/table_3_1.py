"""Table 3.1 of Bertrand 2019: a kidney network of adults taken to children, by each strategy.

A U-Net is trained on simulated adults. Each strategy then has it and simulated children only; "children" starts from
nothing, and "joint" has both populations, children drawn as often as adults. "Gated" rows have what was learned behind
a gate that keeps the network's own answer for adults, of whom it remembers mean and covariance of two sizes. Dice is of
subjects that none has seen, on the working grid. Where features are remembered there are `populations.LONGER` times as
many steps. Everything is simulated; the source's figures are of real volumes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from SlicerHPOLib.files import replacing
from SlicerHPOLib.job import Job
from SlicerHPOLib.kidney.population import Gate, sizes
from SlicerHPOLib.kidney.unet import UNet
from torch import nn

from ..kidney.dataset import Volumes, joined
from ..kidney.train import batch_of
from ..kidney.transfer import MISTAKEN, REMEMBERED, Tuned, added_weights
from ..simulation.randomisation import POPULATIONS
from .populations import SLOW, Populations, Scale, epoch_seconds, transferred
from .rows import write_rows

GUARDED, GATED = ", guarded", ", gated"
LAYERS = "geometric + intensity"
FINE_TUNING = "fine-tuning"
STRATEGIES = (
    FINE_TUNING,
    FINE_TUNING + SLOW,
    FINE_TUNING + GUARDED,
    "fixed convolutions",
    "geometric",
    "intensity",
    LAYERS,
    LAYERS + GUARDED,
    REMEMBERED,
)
SOURCE = {FINE_TUNING: (0.72, 0.72), LAYERS: (0.74, 0.73)}  # adults, children


@dataclass(frozen=True)
class Row:
    """Mean and standard deviation over the seeds of the mean Dice of each population. added: weights. epoch_s: CPU
    seconds of a pass over the children, as `populations.epoch_seconds`; NaN where it is not measured. more, more_95: by
    how much Dice is above fine-tuning's of the same subjects, mean over the seeds, and half of its 95 % interval."""

    strategy: str
    added: int
    epoch_s: float
    dice_adults: float
    spread_adults: float
    dice_children: float
    spread_children: float
    more_adults: float
    more_95_adults: float
    more_children: float
    more_95_children: float
    source_adults: float
    source_children: float


def table_3_1(out: str | Path, scale: Scale, job: Job = Job()) -> list[Row]:
    """Simulate, train, transfer and measure; goes on where an earlier call stopped. table-3.1.csv and .md are written
    after each seed, and with the networks of both populations at last."""
    data, rows = Populations(out, scale, job), []
    seconds = seconds_of_epochs(data)
    for found in results(data):
        rows = [
            _row(name, each, found[FINE_TUNING], seconds.get(name.removesuffix(GATED), np.nan))
            for name, each in found.items()
        ]
        write_rows(data.out, "table-3.1", rows, describe(rows))
    return rows


def results(data: Populations) -> Iterator[dict[str, list[dict]]]:
    """For each row the results of the seeds, after each seed; one alone for the networks that are trained once."""
    adults = data.result("adults", lambda: (as_it_is(data.source), {"added": 0}))
    found: dict[str, list[dict]] = {"adults": [adults]}
    for seed in range(data.scale.seeds):
        for name, result in _one_seed(data, seed, adults):
            found.setdefault(name, []).append(result)
        yield found
    both = data.trained("joint", lambda: joined([data.adults, data.children(0)]), as_it_is, children=0.5)
    yield found | {"joint": [both]}


def seconds_of_epochs(data: Populations) -> dict[str, float]:
    """CPU seconds of an epoch by strategy, measured one after the other, once."""
    path = data.out / "seconds.json"
    if not path.exists():
        measured = {name: epoch_seconds(data, name) for name in STRATEGIES if not name.endswith((GUARDED, SLOW))}
        with replacing(path) as temporary:
            temporary.write_text(json.dumps(measured))
    return json.loads(path.read_text())


def as_it_is(network: UNet) -> nn.Module:
    """Volumes -> probabilities."""
    return Tuned(network, []).eval()


def _one_seed(data: Populations, seed: int, adults: dict) -> Iterator[tuple[str, dict]]:
    """The results of a seed by row; adults: those of the network that is adapted."""
    children = data.children(seed)
    short = {"steps": data.scale.steps // 4, "seed": seed}
    yield "children", data.trained(f"seed-{seed}/children", lambda: children, as_it_is, **short)
    for name in STRATEGIES:
        result = transferred(data, name.removesuffix(GUARDED), seed, guarded=name.endswith(GUARDED))
        yield name, result
        if name in (LAYERS, REMEMBERED):
            taken = gate_of(data, children)
            mixed = {name: np.where(taken[name], result[name], adults[name]).tolist() for name in POPULATIONS}
            yield name + GATED, result | mixed | {"added": added_weights(data.source, name, kept=True)}


def gate_of(data: Populations, children: Volumes) -> dict[str, np.ndarray]:
    """By population, which of the unseen subjects (n,) a gate takes for children: it knows the children of a seed, and
    two numbers with their covariance of adults."""
    network = data.source.eval()

    @torch.inference_mode()
    def sizes_in(volumes: Volumes) -> torch.Tensor:
        found = []
        for n in range(len(volumes)):
            images, _ = batch_of(volumes, np.array([n]))
            found.append(sizes(network(images), images, float(volumes.spacing_mm[n])))
        return torch.cat(found)

    adults, gate = sizes_in(data.adults), Gate()
    gate.fit(adults.mean(0), torch.cov(adults.T), sizes_in(children), MISTAKEN)
    chosen = (gate(sizes_in(data.unseen)) > gate.threshold).numpy()
    return {name: chosen[data.unseen.population == n] for n, name in enumerate(POPULATIONS)}


def _row(name: str, results: list[dict], fine_tuned: list[dict], seconds: float) -> Row:
    means, more = [], []
    for population in POPULATIONS:
        dice, beside = (np.array([result[population] for result in each]) for each in (results, fine_tuned))
        of_seeds, above = dice.mean(1), dice.mean(0) - beside.mean(0)
        means += [of_seeds.mean(), of_seeds.std(ddof=min(1, len(dice) - 1))]
        more += [above.mean(), 1.96 * above.std(ddof=1) / len(above) ** 0.5]
    figures = [float(value) for value in (*means, *more)]
    return Row(name, results[0]["added"], seconds, *figures, *SOURCE.get(name, (np.nan, np.nan)))


def describe(rows: list[Row]) -> str:
    """The table in Markdown; the time of an epoch is over that of fine-tuning in the same run."""
    whole = next((row.epoch_s for row in rows if row.strategy == FINE_TUNING), np.nan)
    lines = [
        "| strategy | added weights | epoch / fine-tuning's | Dice adults | children "
        "| above fine-tuning: adults | children | source: adults | children |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for r in rows:
        theirs = ["" if np.isnan(value) else f"{value:.2f}" for value in (r.source_adults, r.source_children)]
        epoch = "" if np.isnan(r.epoch_s) else f"{r.epoch_s / whole:.2f}"
        more = ((r.more_adults, r.more_95_adults), (r.more_children, r.more_95_children))
        above = ["" if r.strategy == FINE_TUNING else f"{mean:+.3f} ± {half:.3f}" for mean, half in more]
        lines.append(
            f"| {r.strategy} | {r.added:,} | {epoch} | {r.dice_adults:.3f} ± {r.spread_adults:.3f} "
            f"| {r.dice_children:.3f} ± {r.spread_children:.3f} | {' | '.join((*above, *theirs))} |"
        )
    return "\n".join(lines)
