"""Table 4.2 of Bertrand 2019: the kidney by a U-Net and by template deformation, adults and children trained jointly.

The source's rows are a U-Net, the same with the augmentation of table 4.1, and a deformed template without and with a
pose. Two are added: the network of this library, and the classical method shown the middle of the kidney. Everything
is simulated; the source's figures are of real volumes.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from functools import partial
from pathlib import Path

import numpy as np
import torch
from SlicerHPOLib.files import replacing
from SlicerHPOLib.job import Job
from SlicerHPOLib.kidney.deformation import Deformation, DeformationParameters
from SlicerHPOLib.kidney.grid import Grid
from SlicerHPOLib.kidney.implicit import segment_from_click
from SlicerHPOLib.kidney.template import Template
from SlicerHPOLib.kidney.unet import LIGHT, REFERENCE, UNetParameters, upsample

from ..checkpoint import load_checkpoint
from ..kidney.dataset import Volumes, load, pooled, simulate
from ..kidney.metrics import Score, score
from ..kidney.shapes import shipped_template
from ..kidney.train import CHECKPOINT, TrainingPlan, batch_of, build, train
from ..simulation.randomisation import POPULATIONS
from .rows import write_rows


@dataclass(frozen=True)
class Scale:
    """How much is computed. adults, children: trained on. test: subjects to measure on, of each. pool: of the voxels
    that networks see, along each axis; what they find is measured at all voxels."""

    adults: int
    children: int
    test: int
    steps: int
    batch: int
    pool: int
    encoder: UNetParameters


SCALES = {
    "small": Scale(adults=160, children=40, test=20, steps=1000, batch=4, pool=2, encoder=LIGHT),
    "full": Scale(adults=503, children=64, test=100, steps=20_000, batch=4, pool=1, encoder=REFERENCE),
}
SOURCE = {"U-Net": (0.81, 0.74), "U-Net, augmented": (0.89, 0.82), "pose + deformation": (0.88, 0.82)}
CLASSICAL = "classical, from a click"


@dataclass(frozen=True)
class Row:
    """Means over the subjects of each population; least_jacobian over all. NaN: it has none."""

    method: str
    dice_adults: float
    dice_children: float
    hausdorff95_adults_mm: float
    hausdorff95_children_mm: float
    surface_dice_adults: float
    surface_dice_children: float
    most_components: int
    least_jacobian: float
    source_adults: float
    source_children: float


def plans(scale: Scale, seed: int) -> dict[str, TrainingPlan]:
    """The trainings of the table, children drawn as often as adults."""

    def plan(network, augmented: bool = True) -> TrainingPlan:
        return TrainingPlan(
            network, steps=scale.steps, steps_per_epoch=250, batch=scale.batch, pool=scale.pool,
            every=max(1, TrainingPlan.every // scale.pool), augmentation=float(augmented), validation=10, seed=seed,
        )  # fmt: skip

    def deformed(pose: str) -> TrainingPlan:
        spacing_mm = DeformationParameters.spacing_mm * scale.pool
        return plan(DeformationParameters(encoder=scale.encoder, pose=pose, spacing_mm=spacing_mm))

    return {
        "U-Net": plan(scale.encoder, augmented=False),
        "U-Net, augmented": plan(scale.encoder),
        "deformation": deformed("none"),
        "pose + deformation": deformed("regressed"),
        "pose by moments + deformation": deformed("moments"),
    }


def table_4_2(out: str | Path, scale: Scale, seed: int = 0, job: Job = Job()) -> list[Row]:
    """Simulate, train and measure every row; goes on where an earlier call stopped. Writes table-4.2.csv and .md."""
    out = Path(out)
    total = scale.adults + scale.children
    parts = {"adults": scale.adults / total, "empty_share": 0.0}
    data = load(simulate(out / "data", volumes=total, seed=seed + 1, **parts, job=job.part(0.0, 0.1)))
    test = load(simulate(out / "test", volumes=2 * scale.test, seed=seed + 2, adults=0.5, empty_share=0.0))
    template = shipped_template(workers=2)
    trainings = plans(scale, seed)
    rows = []
    for n, (name, plan) in enumerate(trainings.items()):
        part = job.part(0.1 + 0.8 * n / len(trainings), 0.1 + 0.8 * (n + 1) / len(trainings))
        run = train(data, out / name.replace(" ", "-").replace(",", ""), plan, template, part).parent
        rows.append(_kept(out / f"{run.name}.json", partial(_network_row, name, run, plan, template, test)))
    rows.append(_kept(out / "classical.json", partial(_classical_row, template, test, job.part(0.9, 1.0))))
    write_rows(out, "table-4.2", rows, describe(rows))
    return rows


def _network_row(name: str, run: Path, plan: TrainingPlan, template: Template, test: Volumes) -> Row:
    network = build(plan, template)
    load_checkpoint(run / CHECKPOINT, network)
    network.eval()
    scores, jacobians, seen = [], [], pooled(test, plan.pool)
    with torch.inference_mode():
        for n in range(len(test)):
            found = network(batch_of(seen, np.array([n]))[0])
            truth = batch_of(test, np.array([n]))[1] > 0
            deforms = isinstance(found, Deformation)
            jacobians.append(float(found.least_jacobian()) if deforms else np.nan)
            inside = upsample(found.phi if deforms else found, truth.shape[2:]) > 0
            scores.append(_score(inside, truth, test.spacing_mm[n]))
    return _row(name, test, scores, jacobians)


def _classical_row(template: Template, test: Volumes, job: Job) -> Row:
    scores, jacobians = [], []
    for n in range(len(test)):
        job.progress(n / len(test), CLASSICAL)
        images, distances = batch_of(test, np.array([n]))
        truth = distances > 0
        grid = Grid(np.diag([*[float(test.spacing_mm[n])] * 3, 1.0]), tuple(images.shape[2:]))
        middle = grid.ras_of(np.argwhere(truth[0, 0].numpy()).mean(0))
        answer = segment_from_click(images[0, 0].numpy(), grid, template, middle)
        jacobians.append(float(answer.deformation.least_jacobian()))
        scores.append(_score(torch.from_numpy(answer.phi > 0)[None, None], truth, test.spacing_mm[n]))
    return _row(CLASSICAL, test, scores, jacobians)


def _score(found: torch.Tensor, truth: torch.Tensor, spacing_mm: float) -> Score:
    return score(found[0, 0].numpy(), truth[0, 0].numpy(), (float(spacing_mm),) * 3)


def _row(name: str, test: Volumes, scores: list[Score], jacobians: list[float]) -> Row:
    def means(field: str) -> list[float]:
        values = np.array([getattr(score, field) for score in scores], float)
        kept = np.isfinite(values)  # where nothing was found there is no distance; Dice counts as 0
        both = (values[kept & (test.population == p)] for p in range(len(POPULATIONS)))
        return [float(own.mean()) if len(own) else np.nan for own in both]

    return Row(
        name,
        *means("dice"),
        *means("hausdorff95_mm"),
        *means("surface_dice"),
        max(score.components for score in scores),
        float(np.min(jacobians)),
        *SOURCE.get(name, (np.nan, np.nan)),
    )


def _kept(path: Path, compute) -> Row:
    """The row of an earlier call, or computed and kept."""
    if path.exists():
        return Row(**json.loads(path.read_text()))
    row = compute()
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(asdict(row)))
    return row


def describe(rows: list[Row]) -> str:
    """The table in Markdown."""
    head = (
        "| method | Dice adults | children | HD95 mm adults | children | surface Dice adults | children | pieces "
        "| least Jacobian | source: adults | children |"
    )
    lines = [head, "|" + "---|" * head.count(" | ") + "---|"]
    for row in rows:
        values = [getattr(row, f.name) for f in fields(Row)]
        shown = [f"{v:.3f}" if isinstance(v, float) and np.isfinite(v) else "" if v != v else str(v) for v in values]
        lines.append("| " + " | ".join(shown) + " |")
    return "\n".join(lines)
