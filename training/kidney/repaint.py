"""Volumes in other grey values: what a kidney may look like in ultrasound that our simulator does not know.

A network trained on one simulator learns its greys, and fails where another one's speckle is coarser or its sinus
duller. Here some volumes keep only their shapes: the field of view, and the distance to the capsule. All else is drawn
at random (as Billot et al. 2023 do for MR): the echo of the surroundings, of cortex, sinus, fat and capsule, how they
fade with depth, the grain of the speckle, and the compression.
"""

from __future__ import annotations

import math

import torch
from torch.nn import functional

LOW, HIGH = 0.01, 0.995  # quantiles of the field of view that become 0 and 1, as on the working grid


def repainted(seen: torch.Tensor, distance: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """A volume (d, h, w) in [0, 1], 0 outside of the field of view.

    Args:
        seen: (d, h, w) bool, the field of view. distance: (d, h, w) to the capsule in voxels, positive inside, the
            beam along the first axis; nowhere positive where there is no kidney.
    """
    shape = tuple(seen.shape)

    def uniform(low: float, high: float) -> float:
        return low + (high - low) * float(torch.rand((), generator=generator))

    def normal(mean: float, deviation: float) -> float:
        return mean + deviation * float(torch.randn((), generator=generator))

    log_echo = surroundings(shape, generator)
    cortex = normal(-0.5, 0.4)
    fluid = uniform(0, 1) < 0.1  # a widened pelvis
    sinus = cortex - uniform(0.5, 2.0) if fluid else cortex + abs(normal(0.9, 0.5))
    thickness = uniform(0, 4)  # voxels of perirenal fat
    depth = max(float(distance.max()), 1.0)
    uneven = distance + uniform(0, 0.25) * depth * noise(shape, uniform(6, 20), generator)
    inside, core = step(distance, uniform(0.3, 1.0)), step(uneven - uniform(0.3, 0.7) * depth, uniform(0.3, 2.0))
    fat = step(distance + thickness, 0.7) - inside
    kidney = cortex + uniform(0, 0.25) * noise(shape, uniform(3, 12), generator)
    log_echo = log_echo + fat * normal(0.3, 0.4)
    log_echo = log_echo + inside * (kidney - log_echo)
    log_echo = log_echo + inside * core * (sinus - log_echo)
    if uniform(0, 1) < 0.7:
        log_echo = log_echo + uniform(0, 1.2) * torch.exp(-((distance / uniform(0.5, 1.5)) ** 2))  # the capsule's echo
    log_echo = log_echo - normal(0, 0.5) * torch.linspace(-1, 1, shape[0])[:, None, None]
    echo = torch.exp(log_echo + uniform(0, 0.8) * torch.log(speckle(shape, generator)))
    return compressed(echo, uniform(0.4, 1.3), seen)


def surroundings(shape: tuple[int, ...], generator: torch.Generator) -> torch.Tensor:
    """(d, h, w) logarithm of the echo around a kidney: organs of one echo each, with soft borders and slow changes."""
    organs = noise(shape, 8 + 20 * float(torch.rand((), generator=generator)), generator)
    cuts = torch.sort(torch.randn(int(torch.randint(0, 5, (), generator=generator)), generator=generator)).values
    levels = 0.6 * torch.randn(len(cuts) + 1, generator=generator)
    echo = torch.full(shape, float(levels[0]))
    for cut, before, after in zip(cuts, levels, levels[1:], strict=False):
        echo = echo + (after - before) * step(organs - cut, 0.08)
    return echo + 0.3 * float(torch.rand((), generator=generator)) * noise(shape, 6.0, generator)


def speckle(shape: tuple[int, ...], generator: torch.Generator) -> torch.Tensor:
    """(d, h, w) of mean 1: the mean magnitude of some looks at complex noise, whose grain differs along the axes."""
    looks = int(torch.randint(1, 7, (), generator=generator))
    grain = 0.8 + 1.7 * torch.rand(3, generator=generator)
    total = sum(noise(shape, grain, generator).hypot(noise(shape, grain, generator)) for _ in range(looks))
    return (total / total.mean()).clamp(min=0.05)


def compressed(echo: torch.Tensor, exponent: float, seen: torch.Tensor) -> torch.Tensor:
    """Grey values (d, h, w) of an echo, scaled as users' volumes are; 0 where nothing is seen."""
    grey = echo**exponent
    shown = grey[seen]
    if not len(shown):
        return torch.zeros_like(echo)
    low, high = torch.quantile(shown[:: max(1, len(shown) // 20_000)], torch.tensor([LOW, HIGH]))
    return torch.where(seen, ((grey - low) / (high - low).clamp(min=1e-6)).clamp(1e-3, 1), 0)


def noise(shape: tuple[int, ...], grain: float | torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """(d, h, w) of standard deviation about 1 that changes over `grain` voxels along each axis."""
    grains = torch.as_tensor(grain, dtype=torch.float32).expand(3).tolist()
    coarse = [max(2, math.ceil(size / max(g, 1e-3))) for size, g in zip(shape, grains, strict=True)]
    field = torch.randn(1, 1, *coarse, generator=generator)
    fine = functional.interpolate(field, shape, mode="trilinear", align_corners=False)[0, 0]
    return fine / fine.std().clamp(min=1e-6)


def step(distance: torch.Tensor, width: float) -> torch.Tensor:
    """From 0 to 1 where the distance changes its sign, over about `width`."""
    return torch.sigmoid(2 * distance / width)
