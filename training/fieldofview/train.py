"""Training of the field-of-view network: class-weighted cross entropy, AdamW or the source's SGD with Nesterov
momentum.

Every step draws its randomness from (seed, step) alone, and the learning rate from the step, so a training that was
killed and resumed ends with the same weights, bit for bit on a CPU, as one that was not.
"""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import torch
from SlicerHPOLib.fieldofview.classifier import network_batch
from SlicerHPOLib.fieldofview.network import Architecture, build
from SlicerHPOLib.fieldofview.regions import CLASSES
from SlicerHPOLib.job import Job
from torch.nn import functional

from ..checkpoint import load_checkpoint, save_checkpoint
from ..curves import cosine, write_curves
from .augment import augment
from .dataset import Slices, batches, load, split_by_volume

CHECKPOINT = "checkpoint.safetensors"
TOGETHER = 64  # slices validated at once: what fits a processor's cache takes half the time of 256
REDRAWN_S = 20  # the curves, while epochs are shorter than that
PANELS = {
    "weighted cross entropy": {"train_loss": "C0-", "validation_loss": "C1-"},
    "mean error of the classes per slice": {"validation_error": "C1-"},
}
COLUMNS = ("epoch", "learning_rate", "train_loss", "validation_loss", "validation_error", "seconds")


@dataclass(frozen=True)
class TrainingPlan:
    """Everything that determines the trained weights besides the data.

    optimizer: "adamw", or "sgd" for the source's Nesterov momentum of 0.9. learning_rate: the highest, after a warm-up
    of 2 % of the steps. schedule: "cosine" falls from there to 0, "constant" stays, so that a training stopped early
    and a longer one are the same until then. epoch_slices: slices of an epoch, all by default. precision: "bfloat16"
    computes the convolutions in bf16 (half the time on a CPU that has it).
    """

    architecture: Architecture = field(default_factory=Architecture)
    optimizer: str = "adamw"
    learning_rate: float = 1e-3
    schedule: str = "cosine"
    weight_decay: float = 0.02
    label_smoothing: float = 0.05
    epochs: int = 10
    epoch_slices: int | None = None
    batch: int = 64
    validation: float = 0.05
    seed: int = 0
    precision: str = "float32"

    def __post_init__(self):
        if self.optimizer not in ("adamw", "sgd"):
            raise ValueError(f"The optimizer is {self.optimizer!r}; expected 'adamw' or 'sgd'.")
        if self.schedule not in ("cosine", "constant"):
            raise ValueError(f"The schedule is {self.schedule!r}; expected 'cosine' or 'constant'.")
        if self.precision not in ("float32", "bfloat16"):
            raise ValueError(f"The precision is {self.precision!r}; expected 'float32' or 'bfloat16'.")

    @classmethod
    def from_json(cls, described: dict) -> TrainingPlan:
        """The plan that a checkpoint's state describes; what it does not name has its default."""
        return cls(**described | {"architecture": Architecture(**described["architecture"])})


class DivergenceError(ValueError):
    """The loss of a training is no number any more."""


def class_weights(labels: np.ndarray) -> torch.Tensor:
    """(classes,) weights inversely proportional to the frequency of each class, mean 1 over the slices."""
    counts = np.bincount(labels, minlength=len(CLASSES))
    present = counts > 0
    weights = np.where(present, len(labels) / np.maximum(counts, 1) / present.sum(), 0.0)
    return torch.tensor(weights, dtype=torch.float32)


def learning_rate(plan: TrainingPlan, step: int, steps: int) -> float:
    """Linear warm-up over 2 % of the steps, then half a cosine down to 0, or constant."""
    warm = max(1, steps // 50)
    if plan.schedule == "constant":
        return plan.learning_rate * min(1.0, (step + 1) / warm)
    return cosine(plan.learning_rate, step, steps, warm)


def train(
    data: str | Path | Slices | tuple[Slices, Slices],
    out: str | Path,
    plan: TrainingPlan,
    job: Job = Job(),
    initial: str | Path | None = None,
    stop_after: int | None = None,
) -> Path:
    """Train a network on a data set and write `checkpoint.safetensors`, `curves.csv` and `curves.png` to `out`.

    Goes on from the checkpoint in `out` if there is one of the same plan. Checkpoints are written after each epoch.

    Args:
        data: a data set's folder or slices, of which a part of the volumes validates; or training and validation
            slices.
        initial: folder of an earlier training whose network is trained further; by default training starts at random.
        stop_after: stop after this many epochs (as a kill would), for tests and for training in parts.

    Raises:
        ValueError: no data, or `out` holds a training with another plan.
        DivergenceError: the loss is not finite.
    """
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    if isinstance(data, tuple):
        training, validation = data
    else:
        slices = data if isinstance(data, Slices) else load(data)
        training, validation = split_by_volume(slices, plan.validation, plan.seed)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.manual_seed(plan.seed)
    network = build(plan.architecture).to(device, memory_format=torch.channels_last)
    optimizer = _optimizer(plan, network)
    steps_per_epoch = sum(1 for _ in batches(len(training), plan.batch, 0, 0, plan.epoch_slices))
    steps = plan.epochs * steps_per_epoch
    weights = class_weights(training.labels).to(device)

    checkpoint = out / CHECKPOINT
    state = {"plan": _as_json(plan), "slices": len(training), "epoch": 0, "curves": [], "before": []}
    if checkpoint.exists():
        state = load_checkpoint(checkpoint, network, optimizer)
        if TrainingPlan.from_json(state["plan"]) != plan:
            raise ValueError(
                f"{out} holds a training with the plan {state['plan']}, not {_as_json(plan)}. "
                "Use another folder or delete it."
            )
    elif initial is not None:
        earlier = load_checkpoint(Path(initial) / CHECKPOINT, network)
        state["before"] = [*earlier.get("before", []), stage(earlier)]

    drawn = time.monotonic()
    for epoch in range(state["epoch"], min(plan.epochs, stop_after or plan.epochs)):
        started, losses = time.monotonic(), []
        network.train()
        for n, chosen in enumerate(batches(len(training), plan.batch, plan.seed, epoch, plan.epoch_slices)):
            step = epoch * steps_per_epoch + n
            rate = learning_rate(plan, step, steps)
            for group in optimizer.param_groups:
                group["lr"] = rate
            losses.append(_step(plan, network, optimizer, training, chosen, step, weights, device))
            if not np.isfinite(losses[-1]):
                raise DivergenceError(f"The loss is {losses[-1]} at step {step + 1}, learning rate {rate:g}.")
            job.progress(step / steps, f"epoch {epoch + 1}/{plan.epochs} loss {np.mean(losses[-50:]):.3f}")
        loss, error = validate(network, plan.architecture, validation, weights, plan.precision)
        row = (epoch + 1, rate, float(np.mean(losses)), loss, error, time.monotonic() - started)
        state["curves"].append(dict(zip(COLUMNS, row, strict=True)))
        state["epoch"] = epoch + 1
        save_checkpoint(checkpoint, network, optimizer, state)
        if epoch + 1 == plan.epochs or time.monotonic() - drawn > REDRAWN_S:
            drawn = time.monotonic()
            write_curves(out, state["curves"], PANELS)
    return checkpoint


def stage(state: dict) -> dict:
    """What a checkpoint's state says of its training: plan, slices, epochs and hours."""
    hours = sum(row["seconds"] for row in state["curves"]) / 3600
    return {"plan": state["plan"], "slices": state["slices"], "epochs": state["epoch"], "hours": round(hours, 2)}


def _as_json(plan: TrainingPlan) -> dict:
    described = asdict(plan)
    described["architecture"]["hidden"] = list(plan.architecture.hidden)
    return described


def _optimizer(plan: TrainingPlan, network: torch.nn.Module) -> torch.optim.Optimizer:
    if plan.optimizer == "sgd":
        return torch.optim.SGD(
            network.parameters(), plan.learning_rate, momentum=0.9, nesterov=True, weight_decay=plan.weight_decay
        )
    return torch.optim.AdamW(network.parameters(), plan.learning_rate, weight_decay=plan.weight_decay)


def _step(plan, network, optimizer, training: Slices, chosen: np.ndarray, step: int, weights, device) -> float:
    """One update; returns the loss."""
    torch.manual_seed((plan.seed << 32) + step)  # dropout
    generator = torch.Generator(device).manual_seed((plan.seed << 32) + step + (1 << 31))
    images = resized(training.images[chosen], plan.architecture.input_size, device)
    side = torch.from_numpy(training.side_mm[chosen]).to(device)
    labels = torch.from_numpy(training.labels[chosen].astype(np.int64)).to(device)
    images, side = augment(images, side, generator)
    inputs = network_batch(images, side, plan.architecture.channels).contiguous(memory_format=torch.channels_last)
    with torch.autocast(device.type, torch.bfloat16, enabled=plan.precision == "bfloat16"):
        scores = network(inputs)
    loss = functional.cross_entropy(scores.float(), labels, weights, label_smoothing=plan.label_smoothing)
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
    optimizer.step()
    return float(loss.detach())


def resized(stored: np.ndarray, size: int, device) -> torch.Tensor:
    """Slices (batch, n, n) uint8 of a data set as images (batch, 1, size, size) in [0, 1]."""
    images = torch.from_numpy(stored).to(device)[:, None].float() / 255
    if images.shape[-1] == size:
        return images
    return functional.interpolate(images, (size, size), mode="bilinear", antialias=True)


@torch.inference_mode()
def validate(
    network: torch.nn.Module,
    architecture: Architecture,
    slices: Slices,
    weights: torch.Tensor,
    precision: str = "float32",
) -> tuple[float, float]:
    """Weighted cross entropy, and the mean over the classes of the error, on slices as they are."""
    network.eval()
    scores = []
    for first in range(0, len(slices), TOGETHER):
        part = slice(first, first + TOGETHER)
        images = resized(slices.images[part], architecture.input_size, weights.device)
        side = torch.from_numpy(slices.side_mm[part]).to(weights.device)
        inputs = network_batch(images, side, architecture.channels)
        with torch.autocast(weights.device.type, torch.bfloat16, enabled=precision == "bfloat16"):
            scores.append(network(inputs).float())
    labels = torch.from_numpy(slices.labels.astype(np.int64)).to(weights.device)
    scores = torch.cat(scores)
    wrong = (scores.argmax(1) != labels).float()
    errors = [float(wrong[labels == c].mean()) for c in range(len(CLASSES)) if bool((labels == c).any())]
    return float(functional.cross_entropy(scores, labels, weights)), float(np.mean(errors))
