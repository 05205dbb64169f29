"""A kidney looked at from several distances, whose maps are averaged.

How large a kidney is, in voxels of the working grid, varies more than a network learns to bear: where it looks small,
it is found too large, and where it looks large, too small. So the first look is taken on the whole, and then about the
kidney found there, from where that has sizes that it had in training; each time as it is and turned half round about
the beam, as the probe may have been held. The maps are averaged on the working grid, each where it has seen anything;
the second look goes on from their mean, in training as here.

The Dice to be expected is what the network's judge says; without one it is the median over the views and the end: a
kidney is one from most distances, while what is none looks like one from somewhere (anything that is cut out in a
kidney's size does). Where little is to be expected, the network looks elsewhere, as if nothing were where it was.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING

import torch
from torch.nn import functional

from .judge import evidence, numbers

if TYPE_CHECKING:
    from .deformation import Deformation, DeformationNetwork

WHOLE = 0.9  # ratio of the first view's voxels to those of the working grid
SIZES = (0.16, 0.2, 0.25)  # standard deviation of a kidney's voxels along an axis, in half widths of the grid, in the
# views that follow; those trained on have 0.11 to 0.28
CLOSEST, FARTHEST = 0.3, 1.5  # ratio of such a grid
ROUND = (3, 4)  # axes of a volume that are reversed when it is turned half round about the beam
SMALLEST = 1e-4  # probability: a score is finite
DOUBT = 0.0  # logit of the Dice to be expected below which it is looked for elsewhere
AROUND = 5  # voxels: edge of the cube by which what was found is dilated, where it is left out
LIKELY = 1.0  # score of the likeliest place elsewhere, at least


@dataclass(frozen=True)
class View:
    """A grid with the working grid's voxels `ratio` times as far apart, about a point `offset` (k, j, i) from the
    middle, in half widths of the working grid."""

    ratio: float
    offset: tuple[float, float, float] = (0.0, 0.0, 0.0)


def found_best(
    network: DeformationNetwork, volume_of: Callable[[View], torch.Tensor], spacing_mm: float
) -> Deformation:
    """What the network finds in a volume; where it doubts that, the better, by the Dice to be expected, of it and of
    what is found elsewhere. Arguments as of `found_at_scales`."""
    volume_of = cache(volume_of)
    first = found_at_scales(network, volume_of, spacing_mm)
    if float(first.quality) > DOUBT:
        return first
    second = found_at_scales(network, volume_of, spacing_mm, around(first))
    seen = bool(((second.phi > 0) & (volume_of(View(1.0)) > 0)).any())
    return second if seen and float(second.quality) > float(first.quality) else first


def found_at_scales(
    network: DeformationNetwork,
    volume_of: Callable[[View], torch.Tensor],
    spacing_mm: float,
    taken: torch.Tensor | None = None,
) -> Deformation:
    """What the network finds in a volume.

    Args:
        volume_of: the volume (1, 1, D, H, W) in a view. spacing_mm: of the working grid's voxels, as they are.
        taken: (1, 1, D, H, W) on the working grid, 1 where it is not looked for.
    """
    found, expected = looked_at(network, volume_of, taken)
    if network.judge is None:
        quality = torch.quantile(torch.cat([expected[0], found.quality]), 0.5, 0, True)
    else:
        seen = evidence(network, volume_of(View(1.0)), found)
        quality = network.judge(seen, numbers(found, expected, spacing_mm))
    return replace(found, quality=quality)


def looked_at(
    network: DeformationNetwork, volume_of: Callable[[View], torch.Tensor], taken: torch.Tensor | None = None
) -> tuple[Deformation, torch.Tensor]:
    """What is found, with the quality that the second look gives it, and what it expected of each view, (1, views);
    arguments as of `found_at_scales`."""
    volumes, maps = [], []

    def map_of(view: View) -> torch.Tensor:
        volumes.append(volume_of(view))
        maps.append(both_ways(network.map_of, volumes[-1]))
        if taken is not None:
            maps[-1] = elsewhere(maps[-1], seen_in(view, taken, maps[-1].shape[-1]))
        return maps[-1]

    found = network(volume_of(View(1.0)), dense=map_at_scales(map_of))
    expected = network.expect(torch.cat(volumes), torch.cat(maps))[1]  # at once: a third of the time
    return found, expected[None]


def around(found: Deformation) -> torch.Tensor:
    """(1, 1, D, H, W) 1 in what was found and just around it, 0 elsewhere."""
    return functional.max_pool3d((found.phi > 0).float(), AROUND, 1, AROUND // 2)


def elsewhere(scores: torch.Tensor, taken: torch.Tensor) -> torch.Tensor:
    """Scores (1, 1, d, h, w) of a map without what is taken (1, 1, d, h, w), in [0, 1]; where no place is likely then,
    all are shifted until one is."""
    rest = torch.sigmoid(scores) * (1 - taken)
    likeliest = scores_of(functional.avg_pool3d(rest, 3, 1, 1).amax())
    return scores_of(rest) + (LIKELY - likeliest).clamp(min=0)


def map_at_scales(map_of: Callable[[View], torch.Tensor], sizes: Sequence[float] = SIZES) -> torch.Tensor:
    """Scores (1, 1, d, h, w), on the working grid, of the mean of a volume's maps in several views.

    Args:
        map_of: scores (1, 1, d, h, w) of the map in a view. sizes: of the kidney found, in all views but the first.
    """
    views = [View(WHOLE)]
    maps = [torch.sigmoid(map_of(views[0]))]
    for wanted in sizes:
        offset, size = middle_and_size(mean_map(maps, views))
        views.append(View(min(max(size / wanted, CLOSEST), FARTHEST), offset))
        maps.append(torch.sigmoid(map_of(views[-1])))
    return scores_of(mean_map(maps, views))


def both_ways(map_of: Callable[[torch.Tensor], torch.Tensor], volume: torch.Tensor) -> torch.Tensor:
    """Scores (1, 1, d, h, w) of the mean of the maps of a volume (1, 1, D, H, W) and of it turned half round about the
    beam. map_of: volumes -> scores."""
    own, turned = torch.sigmoid(map_of(torch.cat([volume, volume.flip(ROUND)]))).split(1)
    return scores_of((own + turned.flip(ROUND)) / 2)


def scores_of(probability: torch.Tensor) -> torch.Tensor:
    """The logit of a map, finite where it is 0 or 1."""
    return torch.logit(probability.clamp(SMALLEST, 1 - SMALLEST))


def mean_map(maps: Sequence[torch.Tensor], views: Sequence[View]) -> torch.Tensor:
    """Mean (1, 1, d, h, w) of probabilities in these views of a cube, on the working grid; 0 where none is."""
    total = seen = torch.zeros_like(maps[0])
    for probabilities, view in zip(maps, views, strict=True):
        axes = [
            (along - shift) / view.ratio for along, shift in zip(half_widths(probabilities), view.offset, strict=True)
        ]
        points = torch.stack(torch.meshgrid(*axes, indexing="ij")[::-1], -1)[None].to(probabilities.dtype)
        there = (points.abs().amax(-1) <= 1)[:, None]
        total = total + there * functional.grid_sample(probabilities, points, "bilinear", "border", align_corners=False)
        seen = seen + there
    return total / seen.clamp(min=1)


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


def seen_in(view: View, volume: torch.Tensor, size: int | None = None, beyond: str = "zeros") -> torch.Tensor:
    """A volume (1, 1, D, D, D) in a view (1, 1, size, size, size), by default of the volume's size; beyond: what is
    outside of it, as of `grid_sample`."""
    size = size or volume.shape[-1]
    pull = [[view.ratio * (m == n) for n in range(3)] + [view.offset[2 - m]] for m in range(3)]
    grid = functional.affine_grid(volume.new_tensor([pull]), [1, 1, *[size] * 3], align_corners=False)
    return functional.grid_sample(volume, grid, padding_mode=beyond, align_corners=False)
