"""The 3D U-Net: baseline of the source (Bertrand 2019, section 3.3, after Çiçek et al. 2016), and a light one for CPUs.

One plan of channels for both. Level l of the encoder has two convolutions of kernel 3, with base 2^l and base 2^(l + 1)
filters (the channels double before the resolution is halved); each level of the decoder joins the features from below,
up-sampled without parameters, with those of the encoder, in two convolutions with as many filters as the latter; a
convolution of kernel 1 ends it.

The reference halves by maximum pooling between the levels. The light one halves by the stride of each level's first
convolution, so it never computes at full resolution.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import nn
from torch.nn import functional


@dataclass(frozen=True)
class UNetParameters:
    """One member of the family.

    base: filters of the first convolution. levels: of resolution. strided: halve by strides instead of pooling.
    dropout: probability with which `Dropout3d` drops a feature map after each block of two convolutions. instance:
    normalise each volume by itself instead of the batch, which is small: it learns faster, and cares less for gain.
    """

    base: int = 32
    levels: int = 4
    strided: bool = False
    dropout: float = 0.1
    instance: bool = False

    def __post_init__(self):
        for name in ("base", "levels"):
            value = getattr(self, name)
            if not isinstance(value, int) or value < 1:
                raise ValueError(f"UNetParameters: {name} is {value!r}; it must be a whole number of at least 1.")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"UNetParameters: dropout is {self.dropout!r}; it must be in [0, 1).")

    @property
    def widths(self) -> tuple[int, ...]:
        """Channels that each level of the encoder gives."""
        return tuple(self.base << level + 1 for level in range(self.levels))

    @property
    def stride(self) -> int:
        """Voxels along an axis for each of the coarsest level's."""
        return 1 << (self.levels if self.strided else self.levels - 1)

    @property
    def smallest_size(self) -> int:
        """The fewest voxels along an axis: one of the coarsest level's, two where a volume is normalised by itself."""
        return self.stride * (2 if self.instance else 1)


FIRST_SCORE = -4.0  # of every voxel, about: 2 % are kidney
OUTSIDE = -10.0  # score where nothing is seen

REFERENCE = UNetParameters()  # 15 convolutions, 16.3 million weights
LIGHT = UNetParameters(base=8, strided=True, instance=True)  # 16 channels at half resolution, 1 million weights


class Block(nn.Sequential):
    """Two convolutions of kernel 3, each normalised and followed by a ReLU, then `Dropout3d`."""

    def __init__(self, channels: int, first: int, second: int, parameters: UNetParameters, stride: int = 1):
        def normalisation(features: int) -> nn.Module:
            kind = nn.InstanceNorm3d if parameters.instance else nn.BatchNorm3d
            return kind(features, affine=True)

        super().__init__(
            nn.Conv3d(channels, first, 3, stride, padding=1, bias=False),  # the normalisation has the bias
            normalisation(first),
            nn.ReLU(),
            nn.Conv3d(first, second, 3, padding=1, bias=False),
            normalisation(second),
            nn.ReLU(),
            nn.Dropout3d(parameters.dropout),
        )


Adaptation = Callable[[int, torch.Tensor], torch.Tensor]  # level and its features -> what goes on, of the same shape


class Encoder(nn.Module):
    """Volumes (batch, channels, D, H, W) -> the features of each level, fine to coarse. adapt: changes them on the
    way."""

    def __init__(self, parameters: UNetParameters, channels: int = 1):
        super().__init__()
        p, inputs = parameters, (channels, *parameters.widths)
        self.plan, self.channels = p, channels
        self.blocks = nn.ModuleList(
            Block(inputs[level], width // 2, width, p, stride=2 if p.strided else 1)
            for level, width in enumerate(p.widths)
        )

    def forward(self, volume: torch.Tensor, adapt: Adaptation | None = None) -> list[torch.Tensor]:
        p = self.plan
        if volume.ndim != 5 or volume.shape[1] != self.channels or min(volume.shape[2:]) < p.smallest_size:
            raise ValueError(
                f"The network expects volumes (batch, {self.channels}, D, H, W) of at least {p.smallest_size} voxels "
                f"along each axis, not {tuple(volume.shape)}."
            )
        features: list[torch.Tensor] = []
        for level, block in enumerate(self.blocks):
            above = features[-1] if features else volume
            found = block(functional.max_pool3d(above, 2) if features and not p.strided else above)
            features.append(found if adapt is None else adapt(level, found))
        return features


class Decoder(nn.Module):
    """Features of each level, fine to coarse -> features (batch, base 2, ...) of the finest level."""

    def __init__(self, parameters: UNetParameters):
        super().__init__()
        w = parameters.widths
        self.blocks = nn.ModuleList(Block(below + skip, skip, skip, parameters) for skip, below in pairwise(w))

    def forward(self, features: list[torch.Tensor]) -> torch.Tensor:
        return self.blocks[0](self.joined(features)) if len(self.blocks) else features[0]

    def joined(self, features: list[torch.Tensor]) -> torch.Tensor:
        """What the finest level's block is given: the encoder's features there, and those from below."""
        below = features[-1]
        for level in reversed(range(1, len(self.blocks))):
            below = self.blocks[level](_joined(features[level], below))
        return _joined(features[0], below)


def _joined(skip: torch.Tensor, below: torch.Tensor) -> torch.Tensor:
    return torch.cat([skip, upsample(below, skip.shape[2:])], 1)


class UNet(nn.Module):
    """Volumes (batch, 1, D, H, W) in [0, 1] -> scores (batch, 1, D, H, W) before the sigmoid, positive inside.

    Only the box of what is seen is computed; outside of it the scores are `OUTSIDE`.
    """

    def __init__(self, parameters: UNetParameters = REFERENCE):
        super().__init__()
        self.encoder = Encoder(parameters)
        self.decoder = Decoder(parameters)
        self.head = dense_head(parameters.widths[0])

    def forward(self, volume: torch.Tensor, adapt: Adaptation | None = None) -> torch.Tensor:
        box = seen_box(volume, self.encoder.plan)
        inner = volume[(..., *box)]
        return placed(self.decoded(self.encoder(inner, adapt), inner.shape[2:]), box, volume.shape[2:], OUTSIDE)

    def decoded(self, features: list[torch.Tensor], size: tuple[int, ...]) -> torch.Tensor:
        """Scores (batch, 1, *size) of the encoder's features of a volume of that size."""
        return upsample(self.head(self.decoder(features)), size)


def seen_box(volume: torch.Tensor, parameters: UNetParameters) -> tuple[slice, slice, slice]:
    """The box of the voxels of (batch, 1, D, H, W) above 0, in any volume of the batch, grown about its middle to sizes
    that are multiples of the network's stride, within the volume; it starts at even voxels. Two thirds of a volume of
    ultrasound are outside of its sector."""
    least, multiple = parameters.smallest_size, parameters.stride
    seen = (volume > 0).flatten(0, 1).any(0)
    box = []
    for axis, size in enumerate(seen.shape):
        at = seen.any(tuple(other for other in range(3) if other != axis)).nonzero()
        first, last = (int(at[0]), int(at[-1]) + 1) if len(at) else (size // 2, size // 2)
        length = max(least, -(-(last - first) // multiple) * multiple)
        starts = [n for n in range(max(last - length, 0), min(first, size - length) + 1) if n % 2 == 0]
        box.append(slice(starts[len(starts) // 2], starts[len(starts) // 2] + length) if starts else slice(0, size))
    return tuple(box)


def placed(inner: torch.Tensor, box: tuple[slice, ...], shape: tuple[int, ...], value: float) -> torch.Tensor:
    """Features (batch, C, d, h, w) of a box at their place in a volume of `shape`, `value` around it."""
    pad = [
        n
        for slice_, size in zip(reversed(box), reversed(shape), strict=True)
        for n in (slice_.start, size - slice_.stop)
    ]
    return functional.pad(inner, pad, value=value) if any(pad) else inner


def dense_head(channels: int) -> nn.Conv3d:
    """Features -> scores before the sigmoid. It starts at the part of a volume that a kidney takes up: otherwise the
    first hundreds of steps are spent on learning that most of a volume is none."""
    head = nn.Conv3d(channels, 1, 1)
    nn.init.constant_(head.bias, FIRST_SCORE)
    return head


def upsample(features: torch.Tensor, size: tuple[int, ...]) -> torch.Tensor:
    """Trilinear interpolation (batch, C, ...) -> (batch, C, *size); nothing to do where the size is the same."""
    if features.shape[2:] == torch.Size(size):
        return features
    return functional.interpolate(features, tuple(size), mode="trilinear", align_corners=False)


def dice_loss(probabilities: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    """1 - Dice, averaged over the batch (the source prints Dice as the loss; it is 1 - Dice that falls).

    Dice = (2 sum p t + 1) / (sum p + sum t + 1), sums over all voxels of a volume. The 1 is one voxel: it makes the
    loss 0 for an empty prediction of an empty truth, and is negligible beside a kidney's thousands of voxels.

    Args:
        probabilities: (batch, 1, D, H, W) in [0, 1]. truth: the same shape, 0 or 1.

    Returns:
        A scalar in [0, 1), float32 even under autocast.
    """
    if probabilities.shape != truth.shape:
        raise ValueError(f"Prediction {tuple(probabilities.shape)} and truth {tuple(truth.shape)} differ in shape.")
    p, t = probabilities.flatten(1), truth.flatten(1)
    if p.dtype in (torch.float16, torch.bfloat16):  # sums of many voxels need more digits
        p = p.float()
    t = t.to(p.dtype)
    return (1 - (2 * (p * t).sum(1) + 1) / (p.sum(1) + t.sum(1) + 1)).mean()
