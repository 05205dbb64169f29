"""Training of a network's judge (`SlicerHPOLib.kidney.judge`): what Dice is to be expected of what was found.

All else in the network stays as it is. It is run, as users run it, on simulated volumes that it has not seen, every
other one without a kidney, and some that are no ultrasound; in half of them it looks elsewhere, too, where hardly
anything is a kidney. What it finds, right or wrong, and the Dice reached, is what the judge learns from.
"""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from SlicerHPOLib.job import Job
from SlicerHPOLib.kidney.deformation import DeformationNetwork
from SlicerHPOLib.kidney.grid import SIZE, SPACINGS_MM
from SlicerHPOLib.kidney.judge import JUDGE, evidence, numbers
from SlicerHPOLib.kidney.scales import around, looked_at, seen_in
from torch.nn import functional

from ..checkpoint import load_checkpoint, save_checkpoint
from ..curves import cosine, write_curves
from ..fieldofview.dataset import start_worker
from ..shards import load_shards, make_shards
from . import other_modality
from .augment import augment, noise_volumes
from .dataset import EMPTY, Volumes, draw_volume
from .train import CHECKPOINT, batch_of, descend, overlap, with_parts, with_stages

EMPTY_SHARE = 0.5  # of the ultrasound
MR_SHARE, NOISE_SHARE = 0.04, 0.03  # of all volumes: what is no ultrasound
COPIES = 2  # of each volume, differently augmented
STRENGTHS = (0.0, 0.5, 0.8)  # of which one is drawn for each copy
ELSEWHERE = 0.5  # part of the copies in which the network looks elsewhere, too
PER_SHARD = 25
VALIDATION = 0.1  # part of the volumes
PANELS = {"cross entropy": {"train_loss": "C0-", "validation_loss": "C1-"}}


@dataclass(frozen=True, eq=False)
class Findings:
    """evidence: (N, 3, n, n, n) uint8, what the judge sees: image and map times 255, and distance from -1 to 1 as 0 to
    255. numbers: (N, NUMBERS) float32. dice: (N,) float32 reached, 0 without a kidney. volume: (N,) its number."""

    evidence: np.ndarray
    numbers: np.ndarray
    dice: np.ndarray
    volume: np.ndarray

    FIELDS = ("evidence", "numbers", "dice", "volume")

    def __len__(self) -> int:
        return len(self.dice)

    def where(self, chosen: np.ndarray) -> Findings:
        """Those at which `chosen` (N,) is true, or with these indices."""
        return Findings(*(getattr(self, name)[chosen] for name in self.FIELDS))


@dataclass(frozen=True)
class JudgePlan:
    """Everything that determines the judge's weights besides the network. volumes: that are looked at."""

    volumes: int = 2400
    learning_rate: float = 2e-3
    weight_decay: float = 1e-2
    steps: int = 3000
    steps_per_epoch: int = 250
    batch: int = 32
    size: int = SIZE
    spacings_mm: tuple[float, ...] = SPACINGS_MM
    seed: int = 0

    def __post_init__(self):
        if self.volumes < 2:
            raise ValueError(
                f"A judge learns from 2 volumes at least, and a tenth is kept for validation; given is {self.volumes}."
            )


def train_judge(
    run: str | Path,
    out: str | Path,
    plan: JudgePlan,
    workers: int = 2,
    job: Job = Job(),
    stop_after: int | None = None,
) -> Path:
    """Give a trained network a judge; `findings/`, `checkpoint.safetensors`, `curves.csv` and `curves.png` go to `out`,
    which is a training folder like the others then. Goes on with what is there.

    Args:
        run: folder of a training, or of a model; a judge that it has is left out. stop_after: so many epochs, as
            of `train.train`.

    Raises:
        ValueError: there is no deformation network, or `out` holds something made by another plan.
    """
    out, (network, stages) = Path(out), with_stages(run)
    if not isinstance(network, DeformationNetwork):
        raise ValueError(f"{run} holds a U-Net alone; a judge says how well a deformation network's answer fits.")
    settings = json.loads(json.dumps(asdict(plan) | {"network": asdict(replace(network.plan, judged=True))}))
    findings = find(run, out / "findings", plan, workers, job.part(0.0, 0.8))
    torch.manual_seed(plan.seed)
    network = with_judge(network)
    judge = network.requires_grad_(False).judge.requires_grad_(True)
    optimizer = torch.optim.AdamW(judge.parameters(), plan.learning_rate, weight_decay=plan.weight_decay)
    state = {"plan": settings, "volumes": plan.volumes, "epoch": 0, "curves": [], "before": stages}
    if (out / CHECKPOINT).exists():
        state = load_checkpoint(out / CHECKPOINT, network, optimizer)
        if state["plan"] != settings:
            raise ValueError(
                f"{out} holds a training with the plan {state['plan']}, not {settings}. Use another folder."
            )
    held_out = findings.volume < VALIDATION * plan.volumes
    learning, validation = findings.where(~held_out), findings.where(held_out)
    epochs = -(-plan.steps // plan.steps_per_epoch)
    for epoch in range(state["epoch"], min(epochs, stop_after or epochs)):
        started, losses = time.monotonic(), []
        judge.train()
        for step in range(epoch * plan.steps_per_epoch, min((epoch + 1) * plan.steps_per_epoch, plan.steps)):
            for group in optimizer.param_groups:
                group["lr"] = cosine(plan.learning_rate, step, plan.steps, warm=max(1, plan.steps // 20))
            losses.append(_step(plan, judge, optimizer, learning, step))
            job.progress(0.8 + 0.2 * step / plan.steps, f"epoch {epoch + 1}/{epochs} loss {np.mean(losses[-50:]):.3f}")
        judge.eval()
        loss = float(loss_of(judged(judge, validation), validation))
        row = {"epoch": epoch + 1, "train_loss": float(np.mean(losses)), "validation_loss": loss}
        state["curves"].append(row | {"seconds": time.monotonic() - started})
        state["epoch"] = epoch + 1
        save_checkpoint(out / CHECKPOINT, network, optimizer, state)
        write_curves(out, state["curves"], PANELS)
    return out / CHECKPOINT


def with_judge(network: DeformationNetwork) -> DeformationNetwork:
    """A copy of the network with a judge that has learned nothing yet. One that it had is left out."""
    return with_parts(network, JUDGE, judged=True)


def find(run: str | Path, out: str | Path, plan: JudgePlan, workers: int = 2, job: Job = Job()) -> Findings:
    """What the network of a training or model finds in simulated volumes; goes on where an earlier call stopped."""
    settings = {name: getattr(plan, name) for name in ("volumes", "size", "seed")}
    settings |= {"spacings_mm": list(plan.spacings_mm), "network": with_stages(run)[1]}
    make_shards(
        out,
        settings,
        _shard,
        (plan.seed, plan.size, plan.spacings_mm),
        volumes=plan.volumes,
        per_shard=PER_SHARD,
        workers=workers,
        initializer=_start,
        initargs=(str(run),),
        job=job,
    )
    return Findings(*load_shards(out, Findings.FIELDS, "kidney"))


_network: DeformationNetwork | None = None


def _start(run: str) -> None:
    """Load the network once in each worker process."""
    global _network
    _network = with_stages(run)[0]
    start_worker(None, "train")


def _shard(volumes: range, seed: int, size: int, spacings_mm: tuple[float, ...]) -> dict[str, np.ndarray]:
    found = [finding for n in volumes for finding in findings_of(_network, n, seed, size, spacings_mm)]
    return {name: np.concatenate([getattr(finding, name) for finding in found]) for name in Findings.FIELDS}


def findings_of(
    network: DeformationNetwork, number: int, seed: int, size: int, spacings_mm: tuple[float, ...]
) -> list[Findings]:
    """What is found in augmented copies of a volume, of this number in the data set with this seed."""
    rng = np.random.default_rng([seed, number, 2])
    drawn, findings = drawn_volume(rng, seed, number, size, spacings_mm), []
    for copy in range(COPIES):
        generator = torch.Generator().manual_seed((seed << 32) + COPIES * number + copy)
        images, distances = batch_of(drawn, np.array([0]))
        if strength := float(rng.choice(STRENGTHS)):
            images, distances = augment(images, distances, generator, strength)
        findings += found_in(
            network, images, distances > 0, float(drawn.spacing_mm[0]), rng.random() < ELSEWHERE, number
        )
    return findings


def drawn_volume(rng: np.random.Generator, seed: int, number: int, size: int, spacings_mm) -> Volumes:
    """One volume: ultrasound with or without a kidney, MR, or noise."""
    kind = rng.random()
    if kind < MR_SHARE:
        return other_modality.draw_volume(seed, number, size)
    if kind < MR_SHARE + NOISE_SHARE:
        image = noise_volumes(1, size, torch.Generator().manual_seed((seed << 32) + number))[0].numpy()
        nowhere = np.full((1, size, size, size), -127, np.int8)
        return Volumes(np.rint(image * 255).astype(np.uint8), nowhere, np.array([EMPTY]), np.float32(spacings_mm[-1:]))
    return draw_volume(seed, number, size, spacings_mm, None, EMPTY_SHARE)


@torch.inference_mode()
def found_in(
    network: DeformationNetwork, image: torch.Tensor, truth: torch.Tensor, spacing_mm: float, again: bool, number: int
) -> list[Findings]:
    """What is found in a volume (1, 1, D, D, D) with its kidney (the same shape, bool), and elsewhere if `again`."""

    def volume_of(view) -> torch.Tensor:
        return seen_in(view, image)

    if network.populations:
        network = network.for_population(network.population_of(image, spacing_mm))
    findings, taken = [], None
    for _ in range(1 + again):
        found, expected = looked_at(network, volume_of, taken)
        taken = around(found)
        seen = evidence(network, image, found)
        seen[:, 2] = (seen[:, 2] + 1) / 2
        findings.append(
            Findings(
                (255 * seen).round().to(torch.uint8).numpy(),
                numbers(found, expected, spacing_mm).numpy(),
                np.array([overlap(found.phi > 0, truth)], np.float32),
                np.array([number]),
            )
        )
    return findings


def given(findings: Findings) -> tuple[torch.Tensor, torch.Tensor]:
    """Evidence and numbers as the judge takes them."""
    seen = torch.from_numpy(findings.evidence).float() / 255
    seen[:, 2] = 2 * seen[:, 2] - 1
    return seen.contiguous(memory_format=torch.channels_last_3d), torch.from_numpy(findings.numbers)


@torch.inference_mode()
def judged(judge: torch.nn.Module, findings: Findings) -> torch.Tensor:
    """(N,) logits of the Dice that a judge expects."""
    parts = np.array_split(np.arange(len(findings)), max(1, len(findings) // 32))
    return torch.cat([judge(*given(findings.where(part))) for part in parts])


def loss_of(expected: torch.Tensor, findings: Findings) -> torch.Tensor:
    """Cross entropy of the Dice reached, of logits (N,) of what was expected."""
    return functional.binary_cross_entropy_with_logits(expected, torch.from_numpy(findings.dice))


def _step(plan: JudgePlan, judge: torch.nn.Module, optimizer, findings: Findings, step: int) -> float:
    """One update on findings that are mirrored, and seen brighter or darker and with noise; returns the loss."""
    rng = np.random.default_rng([plan.seed, step])
    torch.manual_seed((plan.seed << 32) + step)
    chosen = findings.where(rng.choice(len(findings), plan.batch))
    seen, known = given(chosen)
    seen = seen.flip([axis for axis in (2, 3, 4) if rng.random() < 0.5])
    image, (gamma, gain, noise) = seen[:, :1], torch.randn(3, plan.batch, 1, 1, 1, 1)
    grey = image ** (0.3 * gamma).exp() * (0.15 * gain).exp() + 0.02 * noise.abs() * torch.randn_like(image)
    seen = torch.cat([torch.where(image > 0, grey, 0), seen[:, 1:]], 1)
    with torch.autocast("cpu", torch.bfloat16):
        expected = judge(seen, known + 0.1 * torch.randn_like(known))
    return descend(loss_of(expected, chosen), judge, optimizer)
