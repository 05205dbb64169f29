"""A trained network taken to another population, of which a few volumes are there (Bertrand 2019, section 3.3).

Strategies for a U-Net, of which none needs the volumes that it was trained on:

    fine-tuning             all weights learn
    up to N, from N         the convolutions up to, or from, the N-th learn (figure 3.7), counted from 1 at the input
    fixed convolutions      the network stays; convolutions are added before its levels, the identity at first
    geometric, intensity, geometric + intensity
                            the network stays; the layers of `SlicerHPOLib.kidney.transfer` learn, the intensity layer
                            at the lowest level, or all "at all levels"
    last block, rest remembered
                            the decoder's last block and the head learn; what they are given is computed once, of some
                            augmented copies of each volume

A deformation network has "layers", those of `SlicerHPOLib.kidney.population`; what it says of adults stays to the bit.

A guard against forgetting compares with what the network answered before, on the volumes that are there.
"""

from __future__ import annotations

import copy
import re
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from SlicerHPOLib.job import Job
from SlicerHPOLib.kidney.deformation import Deformation, DeformationNetwork, heaviside
from SlicerHPOLib.kidney.population import sizes
from SlicerHPOLib.kidney.request import ADULT, CHILD
from SlicerHPOLib.kidney.transfer import AdaptedUNet
from SlicerHPOLib.kidney.unet import Block, UNet, dice_loss, seen_box
from torch import nn
from torch.nn import functional

from ..checkpoint import load_checkpoint, save_checkpoint
from ..curves import cosine, write_curves
from .augment import augment
from .dataset import EMPTY, Volumes
from .train import CHECKPOINT, TrainingPlan, batch_of, descend, occupancy, shifted_maps, with_parts
from .train import loss_of as training_loss

EVERYWHERE = " at all levels"
REMEMBERED = "last block, rest remembered"
ADDED = (
    "fixed convolutions",
    "geometric",
    "intensity",
    "geometric + intensity",
    "geometric + intensity" + EVERYWHERE,
)
STRATEGIES = ("fine-tuning", REMEMBERED, *ADDED, "up to N", "from N")
LAYERS = "layers"  # the strategy for a deformation network
EVERY = 3  # phi of a deformation is compared at every so manyeth voxel, as in training
MISTAKEN = 0.025  # part of the adults that the gate takes for children
PANELS = {"training loss": {"loss": "C0-"}}


@dataclass(frozen=True)
class TransferPlan:
    """Everything that determines the adapted weights besides the network and the volumes.

    strategy: see the module. guard: weight of the squared distance from the probabilities before the transfer. copies:
    of each volume, where features are remembered.
    """

    strategy: str
    learning_rate: float = 1e-3
    steps: int = 400
    steps_per_epoch: int = 50
    batch: int = 4
    augmentation: float = 1.0
    guard: float = 0.0
    copies: int = 12
    seed: int = 0
    precision: str = "bfloat16"


class Tuned(nn.Module):
    """Volumes -> probabilities by a U-Net of which some modules learn; the others keep weights and statistics."""

    def __init__(self, network: UNet, learning: list[nn.Module]):
        super().__init__()
        self.network = network.requires_grad_(False)
        self.learning = learning  # of the network; a plain list registers nothing twice
        for module in learning:
            module.requires_grad_(True)

    def forward(self, volume: torch.Tensor) -> torch.Tensor:
        """See the class."""
        return torch.sigmoid(self.network(volume))

    def train(self, mode: bool = True) -> Tuned:
        """As of any module, except that what does not learn stays in evaluation mode."""
        super().train(False)
        for module in self.learning:
            module.train(mode)
        self.training = mode
        return self


class TunedDeformation(nn.Module):
    """Volumes -> `Deformation` by the network for children, whose layers for them learn, and nothing else."""

    def __init__(self, network: DeformationNetwork):
        super().__init__()
        network.requires_grad_(False).child.requires_grad_(True)
        self.network = network.for_population(CHILD)

    def forward(self, volume: torch.Tensor, *how) -> Deformation:
        """See the class; how: as of the network's."""
        return self.network(volume, *how)

    def train(self, mode: bool = True) -> TunedDeformation:
        """As of any module, except that what does not learn stays in evaluation mode."""
        self.network.eval()
        self.network.child.train(mode)
        self.training = self.network.training = mode  # the second look learns from good and bad poses
        return self


def with_layers(network: DeformationNetwork) -> DeformationNetwork:
    """A copy of the network with layers for children, that change nothing yet. Those that it had are left out."""
    return with_parts(network, "child.", adapted=True)


def prepared(network: UNet | DeformationNetwork, strategy: str) -> nn.Module:
    """A copy of the network as the strategy trains it: volumes (batch, 1, D, H, W) -> probabilities, or `Deformation`.

    Raises:
        ValueError: a strategy that is unknown or of the other kind of network, or a convolution that it does not have.
    """
    if isinstance(network, DeformationNetwork) != (strategy == LAYERS):
        kind = "deformation network" if isinstance(network, DeformationNetwork) else "U-Net"
        known = LAYERS if isinstance(network, DeformationNetwork) else ", ".join(STRATEGIES)
        raise ValueError(f"Unknown strategy {strategy!r} for a {kind}; known are {known}.")
    if strategy == LAYERS:
        return TunedDeformation(with_layers(network))
    network = copy.deepcopy(network)
    if strategy == "fine-tuning":
        return Tuned(network, [network])
    if strategy == REMEMBERED:
        if not len(network.decoder.blocks):
            raise ValueError(f"{strategy!r}: a network of one level has no decoder.")
        return Tuned(network, [network.decoder.blocks[0], network.head])
    if strategy == "fixed convolutions":
        return Tuned(network, with_convolutions(network))
    if strategy in ADDED:
        levels = range(len(network.encoder.blocks)) if strategy.endswith(EVERYWHERE) else (-1,)
        return AdaptedUNet(network, "geometric" in strategy, levels if "intensity" in strategy else ())
    units = convolutions(network)
    partial = re.fullmatch(r"(up to|from) (\d+)", strategy)
    if partial is None:
        raise ValueError(f"Unknown strategy {strategy!r}; known are {', '.join(STRATEGIES)}.")
    number = int(partial[2])
    if not 1 <= number <= len(units):
        raise ValueError(f"{strategy!r}: the network has the convolutions 1 to {len(units)}.")
    chosen = units[:number] if partial[1] == "up to" else units[number - 1 :]
    return Tuned(network, [module for unit in chosen for module in unit])


def added_weights(network: UNet, strategy: str, kept: bool = False) -> int:
    """How many weights a strategy adds to the network's; kept: where the network is kept as it was too, which a gate
    takes, and all that learns is added to it."""
    after = prepared(network, strategy)
    if kept:
        return sum(p.numel() for p in after.parameters() if p.requires_grad)
    return sum(p.numel() for p in after.parameters()) - sum(p.numel() for p in network.parameters())


def convolutions(network: UNet) -> list[list[nn.Module]]:
    """The network's convolutions from the input to the output, each with its normalisation."""
    blocks: list[Block] = [*network.encoder.blocks, *reversed(network.decoder.blocks)]
    return [[block[n], block[n + 1]] for block in blocks for n in (0, 3)] + [[network.head]]


def with_convolutions(network: UNet) -> list[nn.Module]:
    """Put a convolution of kernel 3, the identity at first, before each block but the first: behind every step down and
    every step up. Returns the convolutions."""
    added: list[nn.Module] = []
    for part, first in ((network.encoder, 1), (network.decoder, 0)):
        for level in range(first, len(part.blocks)):
            channels = part.blocks[level][0].in_channels
            convolution = nn.Conv3d(channels, channels, 3, padding=1)
            nn.init.dirac_(convolution.weight)
            nn.init.zeros_(convolution.bias)
            part.blocks[level] = nn.Sequential(convolution, part.blocks[level])
            added.append(convolution)
    return added


def loss_of(found: torch.Tensor | Deformation, truth: torch.Tensor) -> torch.Tensor:
    """1 - Dice where there is a kidney, and the cross entropy, of probabilities (batch, 1, D, H, W); of a deformation
    that of its training."""
    if isinstance(found, Deformation):
        return training_loss(TrainingPlan(dense_weight=0.0), found, truth)
    found, there = found.float(), truth.flatten(1).amax(1) > 0.5
    entropy = functional.binary_cross_entropy(found.clamp(1e-6, 1 - 1e-6), truth)
    return entropy + dice_loss(found[there], truth[there]) if there.any() else entropy


def transfer(
    network: UNet | DeformationNetwork,
    volumes: Volumes,
    plan: TransferPlan,
    out: str | Path | None = None,
    job: Job = Job(),
    *,
    adults: Volumes | None = None,
    stages: Sequence[dict] = (),
) -> nn.Module:
    """Adapt a copy of a network to volumes; returns it in evaluation mode, as of `prepared`.

    Args:
        out: folder for `checkpoint.safetensors`, `curves.csv` and `curves.png`; goes on from a checkpoint of the same
            plan there.
        adults: for the gate of a deformation network alone: of them only how large they are is kept.
        stages: of training that the network has behind it, for its model card.

    Raises:
        ValueError: no volume shows a kidney, an unknown strategy, or `out` holds a transfer of another plan.
    """
    if not (volumes.population != EMPTY).any():
        raise ValueError(f"None of the {len(volumes)} volumes shows a kidney: nothing can be learned from them.")
    torch.manual_seed(plan.seed)
    model, before = prepared(network, plan.strategy), network.eval()
    kept = model.network if plan.strategy == LAYERS else model  # a deformation network is read as any trained one
    learning = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(learning, plan.learning_rate, weight_decay=0.0)
    described = asdict(plan) | ({"network": asdict(kept.plan)} if plan.strategy == LAYERS else {})
    state = {"plan": described, "volumes": len(volumes), "epoch": 0, "curves": [], "before": list(stages)}
    checkpoint = None if out is None else Path(out) / CHECKPOINT
    if checkpoint is not None and checkpoint.exists():
        state = load_checkpoint(checkpoint, kept, optimizer)
        if state["plan"] != described:
            raise ValueError(
                f"{out} holds a transfer by the plan {state['plan']}, not {described}. Use another folder."
            )
    epochs, memory = -(-plan.steps // plan.steps_per_epoch), None
    for epoch in range(state["epoch"], epochs):
        started, losses = time.monotonic(), []
        if plan.strategy == REMEMBERED and memory is None:
            memory = remembered(before, volumes, plan)
        model.train()
        for step in range(epoch * plan.steps_per_epoch, min((epoch + 1) * plan.steps_per_epoch, plan.steps)):
            for group in optimizer.param_groups:
                group["lr"] = cosine(plan.learning_rate, step, plan.steps, warm=max(1, plan.steps // 20))
            if memory is None:
                losses.append(_step(plan, model, before, optimizer, volumes, step))
            else:
                losses.append(_step_from_memory(plan, model, optimizer, memory, step))
            job.progress(step / plan.steps, f"{plan.strategy}, epoch {epoch + 1} of {epochs}, loss {losses[-1]:.3f}")
        row = {"epoch": epoch + 1, "loss": float(np.mean(losses)), "seconds": time.monotonic() - started}
        state["curves"].append(row)
        state["epoch"] = epoch + 1
        if plan.strategy == LAYERS and epoch + 1 == epochs:
            fit_gate(kept, volumes, adults)
        if checkpoint is not None:
            checkpoint.parent.mkdir(parents=True, exist_ok=True)
            save_checkpoint(checkpoint, kept, optimizer, state)
            write_curves(checkpoint.parent, state["curves"], PANELS)
    return model.eval()


def _step(plan: TransferPlan, model, before: nn.Module, optimizer, volumes: Volumes, step: int) -> float:
    """One update; returns the loss."""
    rng = np.random.default_rng([plan.seed, step])
    torch.manual_seed((plan.seed << 32) + step)
    images, distances = batch_of(volumes, rng.choice(len(volumes), plan.batch))
    if plan.augmentation:
        generator = torch.Generator().manual_seed((plan.seed << 32) + step + (1 << 31))
        images, distances = augment(images, distances, generator, plan.augmentation)
    images = images.contiguous(memory_format=torch.channels_last_3d)
    deforms, given = plan.strategy == LAYERS, (images,)
    with torch.autocast(images.device.type, torch.bfloat16, enabled=plan.precision == "bfloat16"):
        if deforms:
            first = tuple(int(n) for n in rng.integers(0, EVERY, 3))
            distances = distances[(..., *(slice(start, None, EVERY) for start in first))]
            given = (images, EVERY, first, shifted_maps(model.network, images, rng))
        found = model(*given)
        if plan.guard:
            with torch.no_grad():
                earlier = before(*given) if deforms else torch.sigmoid(before(*given))
    loss = loss_of(found, occupancy(distances))
    if plan.guard:
        loss = loss + plan.guard * (_inside(found) - _inside(earlier)).square().mean()
    return descend(loss, model, optimizer)


@dataclass(frozen=True, eq=False)
class Memory:
    """What the decoder's last block is given of a volume (1, C, d, h, w), the truth (1, 1, d, h, w), and the
    probabilities before the transfer where a guard compares with them."""

    given: torch.Tensor
    truth: torch.Tensor
    before: torch.Tensor | None


@torch.no_grad()
def remembered(network: UNet, volumes: Volumes, plan: TransferPlan) -> list[Memory]:
    """Of every volume, as many augmented copies as the plan says. The truth is at the features' resolution, where its
    loss takes an eighth of the time that it takes at the volume's."""
    memory = []
    for copy_ in range(plan.copies):
        for n in range(len(volumes)):
            image, distances = batch_of(volumes, np.array([n]))
            if plan.augmentation:
                generator = torch.Generator().manual_seed((plan.seed << 32) + copy_ * len(volumes) + n)
                image, distances = augment(image, distances, generator, plan.augmentation)
            box = (..., *seen_box(image, network.encoder.plan))
            image = image[box].contiguous(memory_format=torch.channels_last_3d)
            with torch.autocast("cpu", torch.bfloat16, enabled=plan.precision == "bfloat16"):
                given = network.decoder.joined(network.encoder(image))
                before = torch.sigmoid(_last(network, given)) if plan.guard else None
            truth = functional.adaptive_avg_pool3d(occupancy(distances[box]), given.shape[2:])
            memory.append(Memory(given, truth, before))
    return memory


def _last(network: UNet, given: torch.Tensor) -> torch.Tensor:
    """Scores at the features' resolution, of what the last block is given."""
    return network.head(network.decoder.blocks[0](given))


def _step_from_memory(plan: TransferPlan, model: Tuned, optimizer, memory: list[Memory], step: int) -> float:
    """One update by volumes each in a box of its own; returns the loss."""
    loss = torch.zeros(())
    for n in np.random.default_rng([plan.seed, step]).choice(len(memory), plan.batch):
        seen = memory[n]
        with torch.autocast("cpu", torch.bfloat16, enabled=plan.precision == "bfloat16"):
            found = torch.sigmoid(_last(model.network, seen.given))
        loss = loss + loss_of(found, seen.truth) / plan.batch
        if seen.before is not None:
            loss = loss + plan.guard * (found.float() - seen.before.float()).square().mean() / plan.batch
    return descend(loss, model, optimizer)


def _inside(found: torch.Tensor | Deformation) -> torch.Tensor:
    """Probabilities of being kidney, float32."""
    return (heaviside(found.phi, TrainingPlan.width_mm) if isinstance(found, Deformation) else found).float()


def step_seconds(network: UNet, volumes: Volumes, plan: TransferPlan, steps: int) -> tuple[float, float]:
    """CPU seconds of a step (the median of so many, after two) and of what is done once before the first."""
    started, memory = time.process_time(), None
    if plan.strategy == REMEMBERED:
        memory = remembered(network.eval(), volumes, plan)
    once, spent = time.process_time() - started, []
    model, before = prepared(network, plan.strategy).train(), network.eval()
    learning = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(learning, 0.0)
    for step in range(steps + 2):
        started = time.process_time()
        if memory is None:
            _step(plan, model, before, optimizer, volumes, step)
        else:
            _step_from_memory(plan, model, optimizer, memory, step)
        spent.append(time.process_time() - started)
    return float(np.median(spent[2:])), once


@torch.inference_mode()
def dice_of(model: nn.Module, volumes: Volumes) -> np.ndarray:
    """(N,) Dice of probabilities above a half, NaN where there is no kidney."""
    found = np.full(len(volumes), np.nan)
    for n in np.flatnonzero(volumes.population != EMPTY):
        images, distances = batch_of(volumes, np.array([n]))
        inside, truth = _inside(model(images)) > 0.5, distances > 0
        found[n] = float(2 * (inside & truth).sum() / (inside.sum() + truth.sum()).clamp(min=1))
    return found


@torch.inference_mode()
def sizes_of(network: DeformationNetwork, volumes: Volumes) -> torch.Tensor:
    """(kidneys, 2) what the gate sees of the volumes with a kidney, see `population.sizes`."""
    found = []
    for n in np.flatnonzero(volumes.population != EMPTY):
        images, _ = batch_of(volumes, np.array([n]))
        found.append(sizes(network.map_of(images), images, float(volumes.spacing_mm[n])))
    return torch.cat(found)


def fit_gate(network: DeformationNetwork, children: Volumes, adults: Volumes | None) -> None:
    """Let the network tell children from adults, of whom mean and covariance of two sizes are kept; without volumes of
    them, those that an earlier gate kept. Without these, it goes on taking all for adults, unless asked otherwise."""
    looking = network.for_population(ADULT)
    if adults is not None:
        theirs = sizes_of(looking, adults)
        mean, covariance = theirs.mean(0), torch.cov(theirs.T)
    elif float(network.gate.means.abs().sum()):
        mean, covariance = network.gate.means[0].clone(), network.gate.covariances[0].clone()
    else:
        return
    network.gate.fit(mean, covariance, sizes_of(looking, children), MISTAKEN)
