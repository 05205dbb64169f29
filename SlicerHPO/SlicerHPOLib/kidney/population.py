"""A deformation network that serves two populations: what changes for the second, and which one a volume shows.

The network is that of the first, adults, and so is the map of the first look. For children, layers as in `transfer`
scale and shift the features of the second look, a head corrects what it says of pose and modes, and the template
changes; all of it nothing at first, and trained on children alone. A gate tells them apart by two sizes, that of the
kidney in the network's own map and that of the field of view, of which adults are remembered by mean and covariance
only.
"""

from __future__ import annotations

import math

import torch
from torch import nn

from .transfer import IntensityLayers
from .unet import UNetParameters

SECOND = ("child.", "gate.")  # how the names of what is here begin, in the state of a network
UNCERTAIN = 0.01  # variance of the logarithms at least: sizes are known to 10 %
SMALLEST_ML = 0.1  # volumes below count as this: there is a logarithm


class DeformationLayers(nn.Module):
    """What changes in a deformation network for another population.

    Args:
        look: of the second look's network; channels: that it is given. head: gives `numbers` from its features, zero at
            first. lattice: of the change of the template, mm at each node.
    """

    def __init__(self, look: UNetParameters, channels: int, head: nn.Module, lattice: int):
        super().__init__()
        self.intensity = IntensityLayers(dict(enumerate(look.widths)), channels)
        self.head = head
        self.template_change = nn.Parameter(torch.zeros(1, 1, *[lattice] * 3))


class Gate(nn.Module):
    """Which of two populations, by the linear discriminant of two normal distributions (Fisher 1936), both as frequent.

    Its state: means (2, F), covariances (2, F, F), and threshold (), above which the probability of the second decides.
    As long as it knows nothing, it says 0.5 of everything, and the first population is taken.
    """

    def __init__(self, features: int = 2):
        super().__init__()
        self.register_buffer("means", torch.zeros(2, features))
        self.register_buffer("covariances", torch.eye(features).repeat(2, 1, 1))
        self.register_buffer("threshold", torch.tensor(0.5))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Probability (batch,) of the second population, of features (batch, F)."""
        normal, middle = self._discriminant()
        return torch.sigmoid((features - middle) @ normal)

    def fit(self, mean: torch.Tensor, covariance: torch.Tensor, others: torch.Tensor, mistaken: float) -> None:
        """Tell a population of this mean (F,) and covariance (F, F) from another one, of which there are samples
        (N, F); about a part `mistaken` of the first is taken for the second."""
        enough = len(others) > 2 * len(mean)
        self.means.copy_(torch.stack([mean, others.mean(0)]))
        self.covariances.copy_(torch.stack([covariance, torch.cov(others.T) if enough else covariance]))
        normal, middle = self._discriminant()
        deviation = float(torch.sqrt(normal @ covariance @ normal))
        quantile = math.sqrt(2) * float(torch.erfinv(torch.tensor(1 - 2 * mistaken)))
        self.threshold.copy_(torch.sigmoid((mean - middle) @ normal + quantile * deviation))

    def _discriminant(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Normal (F,) of the plane between the populations, and a point (F,) on it."""
        covariance = self.covariances.mean(0) + UNCERTAIN * torch.eye(self.means.shape[1], device=self.means.device)
        normal = torch.linalg.solve(covariance, self.means[1] - self.means[0])
        return normal, self.means.mean(0)


def sizes(dense: torch.Tensor, volume: torch.Tensor, spacing_mm: torch.Tensor | float) -> torch.Tensor:
    """(batch, 2) logarithms of the kidney's size and that of the field of view, in ml.

    Args:
        dense: (batch, 1, d, h, w) scores of a map of the whole volume. volume: (batch, 1, D, H, W), 0 where nothing is
            seen. spacing_mm: of the volume's voxels, one for all or (batch,).
    """
    whole_ml = math.prod(volume.shape[2:]) * torch.as_tensor(spacing_mm, device=volume.device) ** 3 / 1000
    parts = [torch.sigmoid(dense.float()), (volume > 0).float()]
    return torch.stack([(whole_ml * part.mean((1, 2, 3, 4))).clamp(min=SMALLEST_ML).log() for part in parts], 1)
