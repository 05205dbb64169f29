"""A kidney looked at from several distances, whose maps are averaged.

How large a kidney is, in voxels of the working grid, varies more than a network learns to bear: where it looks small,
it is found too large, and sometimes not at all. So the first look is taken on coarser and finer grids too, about the
same centre, and the network says of each how good a fit it expects. Then it is taken again about the kidney found,
where that has the sizes that it had in training. The maps are averaged on the working grid, weighted by
softmax(expected Dice / SOFTNESS), each where it has seen anything; the second look goes on from their mean.

The Dice to be expected is the median over the views: a kidney is one from most distances, while what is none looks like
one from somewhere (anything that is cut out in a kidney's size does).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch.nn import functional

if TYPE_CHECKING:
    from .deformation import Deformation, DeformationNetwork

RATIOS = (1.6, 1.2, 0.9, 0.7)  # of the grids' voxels to those of the working grid
SIZES = (0.125, 0.16, 0.2)  # standard deviation of a kidney's voxels along an axis, when it is looked at again, in half
# widths of the grid; those trained on have 0.11 to 0.28
CLOSEST, FARTHEST = 0.3, 1.5  # ratio of such a grid
SOFTNESS = 0.1  # of the expected Dice
SMALLEST = 1e-4  # probability: a score is finite


@dataclass(frozen=True)
class View:
    """A grid with the working grid's voxels `ratio` times as far apart, about a point `offset` (k, j, i) from the
    middle, in half widths of the working grid."""

    ratio: float
    offset: tuple[float, float, float] = (0.0, 0.0, 0.0)


def found_at_scales(
    network: DeformationNetwork,
    volume_of: Callable[[View], torch.Tensor],
    ratios: Sequence[float] = RATIOS,
    sizes: Sequence[float] = SIZES,
) -> Deformation:
    """What the network finds in a volume that it is given in several views.

    Args:
        volume_of: (1, 1, D, H, W) in a view. ratios: of the first views. sizes: of the kidney in the others.
    """
    views, maps, expected = [], [], []

    def look(view: View) -> None:
        scores, quality = network.expect(volume_of(view))
        views.append(view)
        maps.append(torch.sigmoid(scores))
        expected.append(torch.sigmoid(quality))

    def mean() -> torch.Tensor:
        return mean_map(maps, views, weights_of(expected))

    for ratio in ratios:
        look(View(ratio))
    if sizes:
        offset, size = middle_and_size(mean())
        for wanted in sizes:
            look(View(min(max(size / wanted, CLOSEST), FARTHEST), offset))
    dense = torch.logit(mean().clamp(SMALLEST, 1 - SMALLEST))
    quality = torch.logit(torch.quantile(torch.cat(expected), 0.5, 0, True))
    return replace(network(volume_of(View(1.0)), dense=dense), quality=quality)


def weights_of(expected: Sequence[torch.Tensor]) -> torch.Tensor:
    """(views,) what each view counts, by the Dice (1,) expected in it."""
    return torch.softmax(torch.cat(list(expected)) / SOFTNESS, 0)


def mean_map(maps: Sequence[torch.Tensor], views: Sequence[View], weights: torch.Tensor) -> torch.Tensor:
    """Weighted mean (1, 1, d, h, w) of probabilities in these views of a cube, on the working grid; 0 where none is."""
    total = weight = torch.zeros_like(maps[0])
    for probabilities, view, own in zip(maps, views, weights, strict=True):
        axes = [
            (along - shift) / view.ratio for along, shift in zip(half_widths(probabilities), view.offset, strict=True)
        ]
        points = torch.stack(torch.meshgrid(*axes, indexing="ij")[::-1], -1)[None].to(probabilities.dtype)
        there = own * (points.abs().amax(-1) <= 1)[:, None]
        total = total + there * functional.grid_sample(probabilities, points, "bilinear", "border", align_corners=False)
        weight = weight + there
    return total / weight.clamp(min=torch.finfo(weight.dtype).tiny)


def middle_and_size(probability: torch.Tensor) -> tuple[tuple[float, float, float], float]:
    """Middle (k, j, i) of what is above a half in a map (1, 1, d, h, w), or of all where nothing is, and its standard
    deviation along an axis, in half widths of the grid."""
    inside = (probability > 0.5).any()
    weight = torch.where(probability > 0.5, probability, 0.0) if inside else probability.clamp(min=SMALLEST)
    weight = weight[0, 0] / weight.sum()
    middle, variance = [], 0.0
    for axis, along in enumerate(half_widths(probability)):
        profile = weight.sum([other for other in range(3) if other != axis])
        middle.append(float((profile * along).sum()))
        variance += float((profile * (along - middle[-1]) ** 2).sum()) / 3
    return tuple(middle), variance**0.5


def half_widths(volume: torch.Tensor) -> list[torch.Tensor]:
    """Positions of voxels along the last three axes, from -1 to 1 at the volume's faces."""
    return [(2 * torch.arange(n, device=volume.device) + 1 - n) / n for n in volume.shape[2:]]
