"""How well what was found fits: the Dice to be expected, judged from image, map and capsule together.

Robinson et al. (2018) predict the Dice of a segmentation from it and its image; here both are seen in the template's
frame, where every kidney lies alike. The second look expects a Dice as well, but before it has bent the template, and
with features that are each normalised by their own spread: how strong one is, is lost. A judge learns from what was
found, right and wrong, after all else has been trained; its features are normalised by what is usual.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

from .transforms import points_of, pose_matrix, sample, sample_distance, transform

if TYPE_CHECKING:
    from .deformation import Deformation, DeformationNetwork

JUDGE = "judge"  # how the names of what is here begin, in the state of a network
CHANNELS = 3  # of the evidence
WIDTHS = (16, 32, 64)  # channels of its levels
HIDDEN = 64
NUMBERS = 9
FAR_MM = 20.0  # a distance at which the capsule is out of sight


class Judge(nn.Module):
    """Evidence (batch, CHANNELS, n, n, n) and numbers (batch, NUMBERS) -> logit (batch,) of the Dice to be expected."""

    def __init__(self):
        super().__init__()
        levels, channels = [], CHANNELS
        for width in WIDTHS:
            for inputs, stride in ((channels, 2), (width, 1)):
                convolution = nn.Conv3d(inputs, width, 3, stride, padding=1, bias=False)
                levels += [convolution, nn.BatchNorm3d(width), nn.ReLU()]
            channels = width
        self.features = nn.Sequential(*levels)
        self.usual = nn.BatchNorm1d(NUMBERS, affine=False)
        self.perceptron = nn.Sequential(
            nn.Linear(2 * channels + NUMBERS, HIDDEN), nn.ReLU(), nn.Dropout(0.2), nn.Linear(HIDDEN, 1)
        )

    def forward(self, seen: torch.Tensor, known: torch.Tensor) -> torch.Tensor:
        features = self.features(seen).flatten(2).float()
        all_ = torch.cat([features.mean(2), features.amax(2), self.usual(known)], 1)
        return self.perceptron(all_)[:, 0].float()


def evidence(network: DeformationNetwork, volume: torch.Tensor, found: Deformation) -> torch.Tensor:
    """(batch, CHANNELS, n, n, n) image, map, and distance to the capsule found, at the points of the template's frame
    that the second look sees, of volumes (batch, 1, D, H, W)."""
    spacing_mm, n = network.plan.spacing_mm, 2 * network.lattice - 1
    matrix = pose_matrix(found.pose, *network.centres(volume.shape[2:]))
    points = points_of((n, n, n), network.lattice_mm / 2, matrix)
    points = transform(points, torch.linalg.inv(matrix))
    distance = sample_distance(found.phi, points, spacing_mm) / FAR_MM
    seen = [sample(volume, points, spacing_mm), sample(torch.sigmoid(found.scores), points, spacing_mm)]
    return torch.cat([*seen, distance.clamp(-1, 1)], 1)


def numbers(found: Deformation, expected: torch.Tensor, spacing_mm: float) -> torch.Tensor:
    """(batch, NUMBERS) the logits of the Dice that the second look expects: the least, median and largest over the
    views, and the last; logarithms of the kidney's volume in ml, of how much larger the map is, and of the pose's
    scales.

    Args:
        expected: (batch, views) of each view, as of `scales.looked_at`.
        spacing_mm: of the volume's voxels as they are, not as the network takes them.
    """
    inside = (found.phi > 0).flatten(1).sum(1).clamp(min=1)
    mapped = torch.sigmoid(found.scores).flatten(1).sum(1).clamp(min=1)
    ml = inside * spacing_mm**3 / 1000
    known = [expected.amin(1), torch.quantile(expected, 0.5, 1), expected.amax(1), found.quality]
    return torch.cat([torch.stack([*known, ml.log(), (mapped / inside).log()], 1), found.pose[:, 6:]], 1)
