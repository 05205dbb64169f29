"""The networks of Bertrand 2019, section 2.6: one parametric family (table 2.7) and its baseline (figure 2.13)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Architecture:
    """One member of the family: `blocks` times (`layers` convolutions and ReLU, then 2 x 2 maximum pooling), then
    fully connected layers and a softmax over the classes.

    blocks (b), layers (c), filters (2^r) and kernel (s) are the source's; a `separable` convolution is 1 x s, then
    s x 1. `hidden` are the widths of the fully connected layers, 4096 and 1024 in the source.

    The defaults are the source's baseline, with 6,713,226 weights. Its printed counts (baseline; best: layers=2,
    filters=32, 5,468,778; second: blocks=4, layers=3, separable, 13,927,114) come out exactly for an input of 96 x 96
    and one normalisation of the input channel counted as four numbers (scale, shift, mean, variance), though the text
    says 128 x 128: that is what is built here, and 96 is the default input. `channels` is 1 in the source; with 2, the
    second is the physical side of the slice (see `classifier.py`).

    `doubling` gives each block twice the filters of the one before, as later networks do and the source does not: what
    is recognised needs many features, and they cost little where the maps are small.
    `normalised` puts a batch normalisation before each ReLU of the convolutions, which the source has not: ten layers
    learn several times as fast with it. It is for training; `folded` turns it into weights of the convolutions.
    """

    input_size: int = 96
    channels: int = 1
    blocks: int = 5
    layers: int = 1
    filters: int = 64
    kernel: int = 3
    separable: bool = False
    hidden: tuple[int, ...] = (4096, 1024)
    dropout: float = 0.5
    classes: int = 6
    normalised: bool = False
    doubling: bool = False

    def __post_init__(self):
        object.__setattr__(self, "hidden", tuple(self.hidden))  # JSON has lists
        for name in ("input_size", "channels", "blocks", "layers", "filters", "kernel", "classes"):
            value = getattr(self, name)
            if not isinstance(value, int) or value < 1:
                raise ValueError(f"Architecture: {name} is {value!r}; it must be a whole number of at least 1.")
        if self.kernel % 2 == 0:
            raise ValueError(f"Architecture: kernel is {self.kernel}; it must be odd, to keep the size.")
        if self.input_size >> self.blocks < 1:
            raise ValueError(
                f"Architecture: {self.blocks} blocks halve an input of {self.input_size} pixels to nothing; "
                f"use at most {self.input_size.bit_length() - 1} blocks."
            )
        if not 0 <= self.dropout < 1:
            raise ValueError(f"Architecture: dropout is {self.dropout!r}; it must be in [0, 1).")


def build(architecture: Architecture) -> torch.nn.Sequential:
    """The network: images (batch, channels, size, size) in [0, 1] -> scores before the softmax (batch, classes)."""
    from torch import nn

    a = architecture
    half = a.kernel // 2
    layers: list[nn.Module] = [nn.BatchNorm2d(a.channels)]
    features = a.channels
    for block in range(a.blocks):
        filters = a.filters << block if a.doubling else a.filters
        for _ in range(a.layers):
            if a.separable:
                layers += [
                    nn.Conv2d(features, filters, (1, a.kernel), padding=(0, half)),
                    nn.Conv2d(filters, filters, (a.kernel, 1), padding=(half, 0)),
                ]
            else:
                layers += [nn.Conv2d(features, filters, a.kernel, padding=half)]
            if a.normalised:
                layers += [nn.BatchNorm2d(filters)]
            layers += [nn.ReLU()]
            features = filters
        layers += [nn.MaxPool2d(2)]
    layers += [nn.Flatten()]
    features *= (a.input_size >> a.blocks) ** 2
    for width in a.hidden:
        layers += [nn.Linear(features, width), nn.ReLU(), nn.Dropout(a.dropout)]
        features = width
    layers += [nn.Linear(features, a.classes)]
    network = nn.Sequential(*layers)
    for module in network.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            nn.init.zeros_(module.bias)
    nn.init.normal_(network[-1].weight, std=0.01)  # the first scores are nearly uniform
    return network


def folded(network: torch.nn.Sequential, architecture: Architecture) -> tuple[torch.nn.Sequential, Architecture]:
    """The same function without the normalisations between convolutions: their scale and shift, at their running
    statistics, become part of the convolution before them."""
    from torch import nn
    from torch.nn.utils.fusion import fuse_conv_bn_eval

    layers: list[nn.Module] = []
    for layer in network.eval():
        if layers and isinstance(layer, nn.BatchNorm2d):
            layers[-1] = fuse_conv_bn_eval(layers[-1], layer)
        else:
            layers.append(layer)
    return nn.Sequential(*layers).eval(), replace(architecture, normalised=False)


def weight_count(network: torch.nn.Module) -> int:
    """Numbers the network stores, as Keras counts them: trained weights, mean and variance of the normalisation."""
    return sum(tensor.numel() for tensor in network.state_dict().values() if tensor.is_floating_point())
