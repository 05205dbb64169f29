"""Training of the kidney models: the deformation network, its parts as in the source, and the U-Net alone.

Every step draws its randomness from (seed, step) alone, and the learning rate from the step, so a training that was
killed and resumed ends with the same weights, bit for bit on a CPU, as one that was not.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from SlicerHPOLib.bundle import MANIFEST, read_bundle
from SlicerHPOLib.job import Job
from SlicerHPOLib.kidney.deformation import (
    Deformation,
    DeformationNetwork,
    DeformationParameters,
    deformation_loss,
    network_of,
)
from SlicerHPOLib.kidney.judge import JUDGE
from SlicerHPOLib.kidney.population import SECOND
from SlicerHPOLib.kidney.scales import View, both_ways, map_at_scales, seen_in
from SlicerHPOLib.kidney.segmenter import KidneySegmenter
from SlicerHPOLib.kidney.template import Template
from SlicerHPOLib.kidney.unet import UNet, UNetParameters, dice_loss
from torch.nn import functional

from ..checkpoint import load_checkpoint, read_checkpoint, save_checkpoint
from ..curves import cosine, write_curves
from ..simulation.randomisation import POPULATIONS
from .augment import augment, noise_volumes
from .dataset import EMPTY, STEPS, Volumes, pooled
from .nearer import nearer

CHECKPOINT = "checkpoint.safetensors"
COLUMNS = ("epoch", "learning_rate", "train_loss", "dice_adult", "dice_child", "dense_adult", "dense_child", "seconds")
PANELS = {
    "training loss (augmented)": {"train_loss": "C0-"},
    "validation Dice": {"dice_adult": "C0-", "dice_child": "C1-", "dense_adult": "C0:", "dense_child": "C1:"},
}
FIRST_LOOK = ("encoder", "decoder", "dense_head")  # parts of a deformation network
QUALITY_WEIGHT = 0.2  # of the cross entropy of the Dice that the network expects
EDGE = 0.5  # voxels: half width in which one at the capsule passes from outside to inside
NOISE_SHARE = 0.03  # of volumes that are replaced by textures without a kidney
SHIFT = 0.7  # standard deviation of what a map's scores are shifted by: the second look learns not to trust its size


@dataclass(frozen=True)
class TrainingPlan:
    """Everything that determines the trained weights besides data and template.

    network: parameters of a deformation network, or of a U-Net alone. pool: volumes are pooled by this factor, for a
    U-Net that will be the first look of a network whose own `pool` it is. children: probability of drawing a child
    among kidneys (the source over-samples them), None: as they are in the data. augmentation: its strength, 1 for
    that of table 4.1, 0 for none. every: phi is
    compared with the truth at every so manyeth voxel along each axis, at another place in each step. precision:
    "bfloat16" computes the convolutions in bf16. dense_weight: of the loss of the dense map; 0: the first look stays as
    it is, and only the second learns. nearer: part of the volumes that are seen from nearer, see `nearer`; for a U-Net.
    """

    network: DeformationParameters | UNetParameters = field(default_factory=DeformationParameters)
    learning_rate: float = 3e-3
    weight_decay: float = 1e-3
    steps: int = 9000
    steps_per_epoch: int = 500
    batch: int = 2
    pool: int = 1
    children: float | None = 0.5
    augmentation: float = 1.0
    every: int = 2
    dense_weight: float = 1.0
    nearer: float = 0.0
    width_mm: float = 2.0
    validation: int = 40
    seed: int = 0
    precision: str = "bfloat16"

    def __post_init__(self):
        if self.precision not in ("float32", "bfloat16"):
            raise ValueError(f"The precision is {self.precision!r}; expected 'float32' or 'bfloat16'.")
        if self.nearer and not isinstance(self.network, UNetParameters):
            raise ValueError("A deformation network looks again by itself; only a U-Net is shown volumes from nearer.")


def learning_rate(plan: TrainingPlan, step: int) -> float:
    """Linear warm-up over 3 % of the steps, then half a cosine down to 0."""
    return cosine(plan.learning_rate, step, plan.steps, warm=max(1, plan.steps // 33))


def build(plan: TrainingPlan, template: Template | None) -> torch.nn.Module:
    """The network of a plan, at random."""
    if isinstance(plan.network, UNetParameters):
        return UNet(plan.network)
    if template is None:
        raise ValueError("A deformation network needs a template; a U-Net does not.")
    return DeformationNetwork(plan.network, template)


def train(
    volumes: Volumes,
    out: str | Path,
    plan: TrainingPlan,
    template: Template | None = None,
    job: Job = Job(),
    initial: str | Path | None = None,
    first_look: str | Path | None = None,
    stop_after: int | None = None,
) -> Path:
    """Train a network and write `checkpoint.safetensors`, `curves.csv` and `curves.png` to `out`.

    Goes on from the checkpoint in `out` if there is one of the same plan. Checkpoints are written after each epoch.

    Args:
        initial: folder of an earlier training, or of a model, whose network is trained further; of a deformation
            network, a U-Net takes the first look. By default training starts at random.
        first_look: folder of a training or model, whose U-Net or first look becomes the first look of a deformation
            network; of `initial`, only the second look is then taken.
        stop_after: stop after this many epochs (as a kill would), for tests and for training in parts.

    Raises:
        ValueError: too little data, or `out` holds a training with another plan.
    """
    out = Path(out)
    training, validation = split(pooled(volumes, plan.pool) if plan.pool > 1 else volumes, plan)
    fine = split(volumes, plan)[0] if plan.nearer else None
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.manual_seed(plan.seed)
    network = build(plan, template).to(device)
    if plan.dense_weight == 0:
        for part in FIRST_LOOK:
            getattr(network, part).requires_grad_(False)
    learning = [parameter for parameter in network.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(learning, plan.learning_rate, weight_decay=plan.weight_decay)
    checkpoint = out / CHECKPOINT
    state = {"plan": asdict(plan), "volumes": len(training), "epoch": 0, "curves": [], "before": []}
    if checkpoint.exists():
        state = load_checkpoint(checkpoint, network, optimizer)
        if state["plan"] != asdict(plan):
            raise ValueError(
                f"{out} holds a training with the plan {state['plan']}, not {asdict(plan)}. "
                "Use another folder or delete it."
            )
    else:
        state["before"] = begin(network, initial, first_look)

    out.mkdir(parents=True, exist_ok=True)
    share = draw_weights(training, plan.children)
    epochs = -(-plan.steps // plan.steps_per_epoch)
    for epoch in range(state["epoch"], min(epochs, stop_after or epochs)):
        started, losses = time.monotonic(), []
        network.train()
        if plan.dense_weight == 0:
            network.encoder.eval()
            network.decoder.eval()
        for step in range(epoch * plan.steps_per_epoch, min((epoch + 1) * plan.steps_per_epoch, plan.steps)):
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(plan, step)
            losses.append(_step(plan, network, optimizer, training, fine, share, step, device))
            job.progress(step / plan.steps, f"epoch {epoch + 1}/{epochs} loss {np.mean(losses[-50:]):.3f}")
        found = validate(network, validation, device)
        row = (epoch + 1, learning_rate(plan, step), float(np.mean(losses)), *found, time.monotonic() - started)
        state["curves"].append(dict(zip(COLUMNS, row, strict=True)))
        state["epoch"] = epoch + 1
        save_checkpoint(checkpoint, network, optimizer, state)
        write_curves(out, state["curves"], PANELS)
    return checkpoint


def begin(network: torch.nn.Module, initial: str | Path | None, first_look: str | Path | None) -> list[dict]:
    """Give a network the weights to start from, see `train`; returns the stages of training that they have behind them.

    Raises:
        ValueError: what was trained is another network.
    """
    stages = []
    for folder, looks_first in ((initial, isinstance(network, UNet)), (first_look, True)):
        if folder is None:
            continue
        earlier, behind = with_stages(folder)
        stages += behind
        try:
            if looks_first:
                for own, its in zip(first_look_of(network), first_look_of(earlier), strict=True):
                    own.load_state_dict(its.state_dict())
            elif first_look is not None:
                network.second_look.load_state_dict(earlier.second_look.state_dict())
            else:
                network.load_state_dict(of_all(earlier))
        except (RuntimeError, AttributeError) as error:
            raise ValueError(f"{folder} holds a training of another network: {error}") from None
    return stages


def first_look_of(network: UNet | DeformationNetwork) -> tuple[torch.nn.Module, ...]:
    """Encoder, decoder and head of the dense map; a U-Net is nothing else."""
    return network.encoder, network.decoder, network.head if isinstance(network, UNet) else network.dense_head


def of_all(network: UNet | DeformationNetwork) -> dict[str, torch.Tensor]:
    """Its state without what it has for children alone, and without a judge."""
    return {name: value for name, value in network.state_dict().items() if not name.startswith((*SECOND, JUDGE))}


def with_parts(network: DeformationNetwork, anew: str, **plan) -> DeformationNetwork:
    """A copy of the network by a plan that is changed so. The parts whose names begin with `anew` have learned nothing;
    all others are the network's own."""
    phi, modes = network.template_phi[0, 0].numpy(), network.template_modes.numpy()
    template = Template(phi, modes, np.zeros(len(modes)), network.spacing_mm)
    changed = DeformationNetwork(replace(network.plan, **plan), template)
    own = {name: value for name, value in network.state_dict().items() if not name.startswith(anew)}
    changed.load_state_dict(own, strict=False)
    return changed.eval()


def with_stages(folder: str | Path) -> tuple[UNet | DeformationNetwork, list[dict]]:
    """The network of a training folder or of a deployed model, and the stages of training that it has behind it.

    Raises:
        ValueError: there is none, or the model is no kidney's.
    """
    if not (Path(folder) / MANIFEST).is_file():
        network, state = trained(folder)
        return network, [*state["before"], stage(state)]
    model = read_bundle(folder)
    return KidneySegmenter.load(model).network, model.manifest["training"].get("stages", [])


def trained(run: str | Path) -> tuple[UNet | DeformationNetwork, dict]:
    """The network of a training folder, in evaluation mode, and the training's state. Raises ValueError if there is
    none."""
    path = Path(run) / CHECKPOINT
    if not path.is_file():
        raise ValueError(
            f"{run} holds no training (no {path.name}). Train one with: python -m training train kidney --out {run}"
        )
    weights, state = read_checkpoint(path)
    parameters = state["plan"]["network"]
    if "encoder" in parameters:
        return network_of(DeformationParameters(**parameters), weights), state
    network = UNet(UNetParameters(**parameters))
    network.load_state_dict(weights)
    return network.eval(), state


def average(runs: Sequence[str | Path], out: str | Path) -> Path:
    """Write a training whose weights are the mean of those of others that went on from one another: between two such,
    the loss has no barrier (Wortsman et al. 2022, model soups).

    Raises:
        ValueError: fewer than two, they are of different networks, or `out` holds a training.
    """
    if len(runs) < 2:
        raise ValueError(f"A mean is of two trainings or more; given is {', '.join(map(str, runs)) or 'none'}.")
    path = Path(out) / CHECKPOINT
    if path.exists():
        raise ValueError(f"{out} holds a training. Use another folder or delete it.")
    networks, states = zip(*map(trained, runs), strict=True)
    weights = [network.state_dict() for network in networks]
    if any(other["plan"]["network"] != states[-1]["plan"]["network"] for other in states):
        raise ValueError(f"{', '.join(map(str, runs))} hold trainings of different networks: they have no mean.")
    mean = {name: sum(each[name] for each in weights) / len(weights) for name in weights[0]}
    networks[-1].load_state_dict(mean)
    path.parent.mkdir(parents=True, exist_ok=True)
    state = states[-1] | {"averaged": [stage(each) for each in states]}
    save_checkpoint(path, networks[-1], torch.optim.SGD(networks[-1].parameters()), state)
    return path


def stage(state: dict) -> dict:
    """What a checkpoint's state says of its training: plan, volumes, hours, whether it was stopped before its end, and
    of how many it is the mean."""
    hours = sum(row["seconds"] for row in state["curves"]) / 3600
    done = state["epoch"] * state["plan"]["steps_per_epoch"]
    described = {"plan": state["plan"], "volumes": state["volumes"], "hours": round(hours, 2)}
    if done < state["plan"]["steps"]:
        described["stopped_after"] = done
    return described | ({"mean_of": len(state["averaged"])} if "averaged" in state else {})


def split(volumes: Volumes, plan: TrainingPlan) -> tuple[Volumes, Volumes]:
    """Training and validation volumes; every volume shows another subject."""
    if len(volumes) < plan.validation + plan.batch:
        raise ValueError(
            f"{len(volumes)} volumes are too few: {plan.validation} are kept for validation, and a batch has "
            f"{plan.batch}. Simulate more, or ask for fewer."
        )
    order = np.random.default_rng([plan.seed, 77]).permutation(len(volumes))
    return volumes.where(np.sort(order[plan.validation :])), volumes.where(np.sort(order[: plan.validation]))


def draw_weights(volumes: Volumes, children: float | None) -> np.ndarray:
    """(N,) probability of drawing each volume: children over-sampled among the kidneys, the empty ones as they are."""
    weights = np.ones(len(volumes))
    child, kidney = volumes.population == POPULATIONS.index("child"), volumes.population != EMPTY
    if children is not None and child.any() and (kidney & ~child).any():
        weights[child] = children * kidney.sum() / child.sum()
        weights[kidney & ~child] = (1 - children) * kidney.sum() / (kidney & ~child).sum()
    return weights / weights.sum()


def batch_of(volumes: Volumes, chosen: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
    """Images (batch, 1, k, j, i) in [0, 1] and signed distances in voxels of the volumes with these indices."""
    images = torch.from_numpy(volumes.images[chosen]).float()[:, None] / 255
    return images, torch.from_numpy(volumes.distances[chosen]).float()[:, None] / STEPS


def occupancy(distances: torch.Tensor) -> torch.Tensor:
    """How much of a voxel lies inside, in [0, 1], by its centre's distance to the capsule."""
    return (0.5 + distances / (2 * EDGE)).clamp(0, 1)


def loss_of(plan: TrainingPlan, found: Deformation | torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    """The loss of what a network found, of volumes with and without a kidney.

    A dense map costs 1 - Dice where there is a kidney, and its cross entropy everywhere; the deformation
    (`deformation_loss`) where there is one, for a template cannot vanish; the expected Dice everywhere.
    """
    scores = found.scores if isinstance(found, Deformation) else found
    scores = scores.float()
    there = truth.flatten(1).amax(1) > 0.5
    dense = functional.binary_cross_entropy_with_logits(scores, truth)
    loss = scores.new_zeros(())
    if there.any():
        dense = dense + dice_loss(torch.sigmoid(scores[there]), truth[there])
    if not isinstance(found, Deformation):
        return dense
    if there.any():
        loss = deformation_loss(_where(found, there), truth[there], width_mm=plan.width_mm)
    reached = torch.stack([overlap(phi > 0, inside) for phi, inside in zip(found.phi, truth > 0.5, strict=True)])
    loss = loss + QUALITY_WEIGHT * functional.binary_cross_entropy_with_logits(found.quality, reached)
    return loss + plan.dense_weight * dense


def _where(found: Deformation, chosen: torch.Tensor) -> Deformation:
    parts = (getattr(found, name)[chosen] for name in ("phi", "pose", "modes", "velocity", "displacement"))
    return Deformation(*parts, found.lattice_mm)


def _step(plan, network, optimizer, training: Volumes, fine: Volumes | None, share, step: int, device) -> float:
    """One update; returns the loss. fine: the volumes of training before they were pooled, to be seen from nearer."""
    rng = np.random.default_rng([plan.seed, step])
    torch.manual_seed((plan.seed << 32) + step)  # dropout
    generator = torch.Generator().manual_seed((plan.seed << 32) + step + (1 << 31))
    chosen = rng.choice(len(training), plan.batch, p=share)
    images, distances = batch_of(training, chosen)
    if fine is not None:
        for n in np.flatnonzero(rng.random(plan.batch) < plan.nearer):
            seen = nearer(*batch_of(fine, chosen[n : n + 1]), images.shape[-1], rng)
            images[n], distances[n] = (part[0] for part in seen)
    if plan.augmentation:
        images, distances = augment(images, distances, generator, plan.augmentation)
    noise = torch.from_numpy(rng.random(plan.batch) < NOISE_SHARE)
    if noise.any():
        images[noise] = noise_volumes(int(noise.sum()), images.shape[-1], generator)
        distances[noise] = -127 / STEPS
    images = images.to(device).contiguous(memory_format=torch.channels_last_3d)
    deforms = isinstance(network, DeformationNetwork)
    first = tuple(int(n) for n in rng.integers(0, plan.every, 3))
    with torch.autocast(device.type, torch.bfloat16, enabled=plan.precision == "bfloat16"):
        dense = shifted_maps(network, images, rng) if plan.dense_weight == 0 else None
        found = network(images, plan.every, first, dense) if deforms else network(images)
    if deforms:
        distances = distances[(..., *(slice(start, None, plan.every) for start in first))]
    loss = loss_of(plan, found, occupancy(distances).to(device))
    return descend(loss, network, optimizer)


@torch.no_grad()
def shifted_maps(network: DeformationNetwork, images: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """Scores (batch, 1, d, h, w) that the second look goes on from: as in use (`scales.map_at_scales`), of volumes
    (batch, 1, D, H, W); shifted, each by a number of its own, as a kidney of another appearance is found too small or
    too large."""
    scores = []
    for image in images.split(1):

        def map_of(view: View, image=image) -> torch.Tensor:
            return both_ways(network.map_of, seen_in(view, image))

        scores.append(map_at_scales(map_of) + rng.normal(0, SHIFT))
    return torch.cat(scores)


def descend(loss: torch.Tensor, network: torch.nn.Module, optimizer: torch.optim.Optimizer) -> float:
    """One step down a loss, along a gradient of norm 1 at most; returns the loss."""
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    # Where all features of a map are one number, its normalisation's gradient can overflow: such a step is left out.
    if torch.isfinite(torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)):
        optimizer.step()
    return float(loss.detach())


@torch.inference_mode()
def validate(network: torch.nn.Module, volumes: Volumes, device) -> tuple[float, float, float, float]:
    """Mean Dice of adults and of children by the deformation, then by the dense map (the former NaN without one)."""
    network.eval()
    found: dict[tuple[int, int], list[float]] = {(kind, p): [] for kind in (0, 1) for p in (0, 1)}
    for n in np.flatnonzero(volumes.population != EMPTY):
        images, distances = batch_of(volumes, np.array([n]))
        with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cpu"):
            answer = network(images.to(device).contiguous(memory_format=torch.channels_last_3d))
        truth = distances.to(device) > 0
        if isinstance(answer, Deformation):
            found[0, volumes.population[n]].append(float(overlap(answer.phi > 0, truth)))
        scores = answer.scores if isinstance(answer, Deformation) else answer
        found[1, volumes.population[n]].append(float(overlap(scores > 0, truth)))
    return tuple(float(np.mean(values)) if values else math.nan for values in found.values())


def overlap(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Dice of two masks of one shape, 0 where both are empty."""
    return 2 * (a & b).sum() / (a.sum() + b.sum()).clamp(min=1)
