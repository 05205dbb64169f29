"""A kidney looked at through several magnifications, whose maps are averaged.

How large a kidney is, in voxels of the working grid, varies more than a network learns to bear: where it looks small,
it is found too large, and sometimes not at all. So the first look is taken on coarser and finer grids too, about the
same centre, and the network says of each how good a fit it expects. The maps are averaged on the working grid, weighted
by softmax(expected Dice / SOFTNESS), each where it has seen anything; the second look goes on from their mean.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch.nn import functional

if TYPE_CHECKING:
    from .deformation import Deformation, DeformationNetwork

RATIOS = (1.2, 1.0, 0.85, 0.7)  # of the grids' voxels to those of the working grid
SOFTNESS = 0.1  # of the expected Dice
SMALLEST = 1e-4  # probability: a score is finite


def found_at_scales(
    network: DeformationNetwork, volumes: Sequence[torch.Tensor], ratios: Sequence[float] = RATIOS
) -> Deformation:
    """What the network finds in a volume that it is given at several magnifications; the Dice to be expected is the
    weighted mean of those at each, for a mean of maps is not what it learned to judge.

    Args:
        volumes: (1, 1, D, H, W) each, on grids of these ratios to the working grid's, one of which is 1.
    """
    maps, expected = zip(*(network.expect(volume) for volume in volumes), strict=True)
    dice = torch.sigmoid(torch.cat(expected))
    weights = torch.softmax(dice / SOFTNESS, 0)
    mean = mean_map([torch.sigmoid(scores) for scores in maps], ratios, weights)
    found = network(volumes[list(ratios).index(1.0)], dense=torch.logit(mean.clamp(SMALLEST, 1 - SMALLEST)))
    return replace(found, quality=torch.logit((weights * dice).sum(0, keepdim=True)))


def mean_map(maps: Sequence[torch.Tensor], ratios: Sequence[float], weights: torch.Tensor) -> torch.Tensor:
    """Weighted mean (1, 1, d, h, w) of probabilities on grids of these ratios, on that of ratio 1; 0 where none is."""
    total = weight = torch.zeros_like(maps[0])
    for probabilities, ratio, own in zip(maps, ratios, weights, strict=True):
        axes = [(2 * torch.arange(n, device=own.device) + 1 - n) / (n * ratio) for n in probabilities.shape[2:]]
        points = torch.stack(torch.meshgrid(*axes, indexing="ij")[::-1], -1)[None].to(probabilities.dtype)
        there = own * (points.abs().amax(-1) <= 1)[:, None]
        total = total + there * functional.grid_sample(probabilities, points, "bilinear", "border", align_corners=False)
        weight = weight + there
    return total / weight.clamp(min=torch.finfo(weight.dtype).tiny)
