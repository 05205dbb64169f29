"""Layers that take a network to another population and leave its weights as they are (Bertrand 2019, chapter 3).

A network that was trained on adults meets children. Two things differ: where and how large kidneys are, and how bright.

    geometric layer    a matrix G of nine parameters (translation, rotation, log-scales) is predicted from the volume.
                       The network sees the volume pulled through G; its probabilities are pulled back through G^-1.
    intensity layer    for each feature map F of a level, a scale and a shift are predicted from the volume, and
                       (1 + dK) F + db goes on. The source has it at the lowest level.

Both predictions are zero at first: before it is trained, the adapted network gives the probabilities of the network it
adapts, bit for bit. What was trained on adults stays: its weights are not learned, its normalisations not updated.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import nn

from .transforms import centre_of, points_of, pose_matrix, sample, transform
from .unet import Adaptation, UNet

SHIFT, TURN, LOG_SCALE = 0.25, 0.5, 0.5  # what an output of 1 means: of the volume's width, radians, a factor of 1.6
WIDTHS = (8, 16, 32)  # channels of the network that predicts from the volume


class Predictor(nn.Sequential):
    """Volumes (batch, inputs, D, H, W) -> numbers (batch, outputs), zero at first: three convolutions that halve the
    resolution, the mean over space, and a linear layer."""

    def __init__(self, outputs: int, inputs: int = 1):
        layers: list[nn.Module] = []
        for channels, width in zip((inputs, *WIDTHS), WIDTHS, strict=False):
            layers += [
                nn.Conv3d(channels, width, 3, stride=2, padding=1),
                nn.InstanceNorm3d(width, affine=True),
                nn.ReLU(),
            ]
        last = nn.Linear(WIDTHS[-1], outputs)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        super().__init__(*layers, nn.AdaptiveAvgPool3d(1), nn.Flatten(), last)


class GeometricLayer(nn.Module):
    """Volumes -> the matrices G (batch, 4, 4) through which they are pulled, in voxels (x, y, z); the identity at
    first."""

    def __init__(self):
        super().__init__()
        self.predictor = Predictor(9)

    def forward(self, volume: torch.Tensor) -> torch.Tensor:
        shift, turn, log_scale = self.predictor(volume).float().split(3, dim=1)
        width = max(volume.shape[2:])
        centre = centre_of(volume.shape[2:], 1.0)
        return pose_matrix(torch.cat([SHIFT * width * shift, TURN * turn, LOG_SCALE * log_scale], 1), centre, centre)


class IntensityLayers(nn.Module):
    """Features of some levels and the volume that they are of -> the features, each map scaled and shifted by numbers
    that one network predicts for all. channels: of each level's features, 0 for the finest level."""

    def __init__(self, channels: Mapping[int, int], inputs: int = 1):
        super().__init__()
        self.channels = dict(channels)
        self.predictor = Predictor(2 * sum(self.channels.values()), inputs)

    def on(self, volume: torch.Tensor) -> Adaptation:
        """What the layers do to the features of a volume, see `unet.Encoder`."""
        numbers = self.predictor(volume)[:, :, None, None, None].split([2 * n for n in self.channels.values()], dim=1)
        of_level = dict(zip(self.channels, numbers, strict=True))

        def adapt(level: int, features: torch.Tensor) -> torch.Tensor:
            if level not in of_level:
                return features
            scale, shift = of_level[level].to(features.dtype).chunk(2, dim=1)
            return (1 + scale) * features + shift

        return adapt


class AdaptedUNet(nn.Module):
    """Volumes (batch, 1, D, H, W) in [0, 1] -> probabilities of being kidney, of the same shape.

    Args:
        network: trained; it stays as it is, in training too.
        geometric: whether there is a geometric layer. intensity: levels of the encoder with an intensity layer, -1 for
            the lowest.

    Raises:
        ValueError: a level that the network does not have, or no layer at all.
    """

    def __init__(self, network: UNet, geometric: bool = True, intensity: Sequence[int] = (-1,)):
        super().__init__()
        widths = network.encoder.plan.widths
        if outside := [level for level in intensity if not -len(widths) <= level < len(widths)]:
            raise ValueError(f"The network has the levels 0 to {len(widths) - 1}; there is no level {outside[0]}.")
        if not geometric and not intensity:
            raise ValueError("An adapted network needs a geometric layer, or an intensity layer at some level.")
        self.network = network.requires_grad_(False).eval()
        self.geometric = GeometricLayer() if geometric else None
        levels = sorted({level % len(widths) for level in intensity})
        self.intensity = IntensityLayers({level: widths[level] for level in levels}) if levels else None

    def forward(self, volume: torch.Tensor) -> torch.Tensor:
        """See the class."""
        if self.geometric is None:
            return torch.sigmoid(self._scores(volume))
        matrix = self.geometric(volume)
        seen = torch.sigmoid(self._scores(pulled(volume, matrix)))
        return pulled(seen, torch.linalg.inv(matrix)).clamp(0, 1)

    def train(self, mode: bool = True) -> AdaptedUNet:
        """As of any module, except that the network within stays in evaluation mode."""
        super().train(mode)
        self.network.eval()
        return self

    def _scores(self, volume: torch.Tensor) -> torch.Tensor:
        return self.network(volume, self.intensity.on(volume) if self.intensity else None)

    @property
    def added(self) -> int:
        """How many weights were added to the network's."""
        return sum(p.numel() for name, p in self.named_parameters() if not name.startswith("network."))


def pulled(volume: torch.Tensor, matrix: torch.Tensor) -> torch.Tensor:
    """A volume (batch, C, D, H, W) through matrices (batch, 4, 4) in voxels: y -> volume(G y), trilinear.

    Sampling at whole voxels rounds; what it rounds is added again, so that the identity changes no bit.
    """
    points = points_of(volume.shape[2:], 1.0, matrix)
    return volume + (sample(volume, transform(points, matrix), 1.0) - sample(volume, points, 1.0))
