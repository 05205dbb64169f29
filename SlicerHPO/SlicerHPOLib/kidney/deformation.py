"""The deformation network: a template posed and deformed to the image, phi = phi0 o L o G (Bertrand 2019, section 4.3).

One encoder and decoder serve two heads. The pose head says where the kidney is, by the centre of mass of an attention
map, and how it is turned, scaled and shaped; the local head looks at the features in the template's frame (pulled there
by the pose) and gives the velocity of L. The last layers of both start at zero, so that training starts at phi = phi0.

Of the source's own proposals for improvement (section 4.6) this has: a penalty on L - Id, more capacity before the
pose, and a mean or learned template, here with its modes of variation.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from .template import Template
from .transforms import (
    centre_of,
    flow,
    full_precision,
    jacobian_determinants,
    lattice_of,
    points_of,
    pose_about,
    pose_matrix,
    pulled,
    sample,
    sample_distance,
    smooth,
    transform,
)
from .unet import LIGHT, Block, Decoder, Encoder, UNetParameters, dice_loss

VELOCITY_MM, RESIDUAL_MM = 2.0, 10.0  # what an output of 1 of a head means
ATTENTION = 10.0  # gain of the attention, which must grow from none to a peak among many thousand voxels
LARGEST_LOG_SCALE, LARGEST_MODE = 0.7, 3.0  # heads saturate at a factor of 2, and at 3 standard deviations
TEMPLATE_KEYS = ("template_phi", "template_modes", "template_spacing_mm")


@dataclass(frozen=True)
class DeformationParameters:
    """What is built.

    encoder: of the features. spacing_mm: of the volumes given (the working grid's). pose, local: whether there is a G,
    an L; otherwise it is the identity (the source's "deformation" has no pose). learned_template: whether training
    may change phi0. lattice_mm: of the velocity of L. sigma_mm: of the Gaussian K_sigma that smooths it.
    """

    encoder: UNetParameters = LIGHT
    spacing_mm: float = 4.0
    pose: bool = True
    local: bool = True
    learned_template: bool = False
    lattice_mm: float = 8.0
    sigma_mm: float = 12.0
    hidden: int = 128

    def __post_init__(self):
        if isinstance(self.encoder, Mapping):  # from JSON
            object.__setattr__(self, "encoder", UNetParameters(**self.encoder))
        if not (self.pose or self.local):
            raise ValueError("DeformationParameters: without pose and local there is nothing to learn.")
        if not (self.spacing_mm > 0 and 0 < self.lattice_mm <= self.sigma_mm):
            raise ValueError(
                "DeformationParameters: spacing_mm must be positive, and sigma_mm at least lattice_mm, or L may fold; "
                f"given are spacing_mm {self.spacing_mm}, lattice_mm {self.lattice_mm}, sigma_mm {self.sigma_mm}."
            )


@dataclass(frozen=True, eq=False)
class Deformation:
    """What the network found in volumes.

    phi: (batch, 1, D, H, W) implicit function, mm, positive inside. pose: (batch, 9) of G, see `pose_matrix`.
    modes: (batch, M) standard deviations. velocity: (batch, 3, n, n, n) mm on the template's lattice of `lattice_mm`,
    smoothed. displacement: L - Id, the same shape.
    """

    phi: torch.Tensor
    pose: torch.Tensor
    modes: torch.Tensor
    velocity: torch.Tensor
    displacement: torch.Tensor
    lattice_mm: float = field(default=8.0)

    def least_jacobian(self) -> torch.Tensor:
        """(batch,) the smallest determinant of the Jacobian of L: positive, as L cannot fold."""
        return jacobian_determinants(self.displacement, self.lattice_mm).flatten(1).amin(1)


class DeformationNetwork(nn.Module):
    """Volumes (batch, 1, D, H, W) in [0, 1] on the working grid -> `Deformation`.

    The template is part of the network's state: `network_of` builds a trained one from its weights alone.
    """

    def __init__(self, parameters: DeformationParameters, template: Template):
        super().__init__()
        self.plan = parameters
        p, modes = parameters, len(template.modes)
        self.register_buffer("template_phi", torch.tensor(template.phi)[None, None])
        self.register_buffer("template_modes", torch.tensor(template.modes))
        self.register_buffer("template_spacing_mm", torch.tensor([float(template.spacing_mm)]))
        self.spacing_mm = float(template.spacing_mm)
        self.lattice, self.lattice_mm = lattice_of(template.phi.shape, self.spacing_mm, p.lattice_mm)
        if p.learned_template:
            self.template_change = nn.Parameter(torch.zeros(1, 1, *[self.lattice] * 3))
        self.stride = 2 if p.encoder.strided else 1
        self.encoder, self.decoder = Encoder(p.encoder), Decoder(p.encoder)
        self.pose_head = PoseHead(p.encoder.widths, p.hidden, modes, p.spacing_mm * self.stride) if p.pose else None
        self.local_head = LocalHead(p.encoder.widths[0] + 2) if p.local else None

    def forward(self, volume: torch.Tensor) -> Deformation:
        p, batch = self.plan, len(volume)
        features = self.encoder(volume)
        decoded = self.decoder(features)
        shape = volume.shape[2:]
        if self.pose_head:
            pose, modes = self.pose_head(features[-1], decoded, centre_of(shape, p.spacing_mm))
        else:
            pose = torch.zeros(batch, 9, device=volume.device)
            modes = torch.zeros(batch, len(self.template_modes), device=volume.device)
        matrix = pose_matrix(
            pose, centre_of(shape, p.spacing_mm), centre_of(self.template_phi.shape[2:], self.spacing_mm)
        )
        phi0 = self.shape(modes)
        velocity = self._velocity(volume, decoded, phi0, matrix)
        displacement = flow(velocity, self.lattice_mm)
        points = points_of(shape, p.spacing_mm, pose)
        phi = pulled(phi0, self.spacing_mm, points, matrix, displacement if p.local else None, self.lattice_mm)
        return Deformation(phi, pose, modes, velocity, displacement, self.lattice_mm)

    def shape(self, modes: torch.Tensor) -> torch.Tensor:
        """phi0 (batch, 1, n, n, n) at coefficients (batch, M) of the modes."""
        mean = self.template_phi
        if self.plan.learned_template:
            size = self.template_phi.shape[2:]
            change = functional.interpolate(self.template_change, size, mode="trilinear", align_corners=True)
            mean = mean + change.float()
        varied = (modes[:, :, None, None, None] * self.template_modes).sum(1, keepdim=True)
        return mean + varied

    def _velocity(self, volume, decoded, phi0, matrix) -> torch.Tensor:
        """(batch, 3, n, n, n) velocity of L in mm on the template's lattice."""
        p, n = self.plan, self.lattice
        if not self.local_head:
            return torch.zeros(len(volume), 3, n, n, n, device=volume.device)
        points = points_of((n, n, n), self.lattice_mm, matrix)
        with torch.no_grad():  # where to look; the pose learns from phi
            seen = transform(points, torch.linalg.inv(matrix))
        aligned = torch.cat(
            [
                sample(decoded, seen, p.spacing_mm * self.stride),
                sample(volume, seen, p.spacing_mm),
                (sample_distance(phi0, points.expand(len(volume), -1, -1, -1, -1), self.spacing_mm) / 20).clamp(-1, 1),
            ],
            1,
        )
        return smooth(VELOCITY_MM * self.local_head(aligned), p.sigma_mm / self.lattice_mm)


class PoseHead(nn.Module):
    """Features -> pose (batch, 9) of G and coefficients (batch, M) of the modes.

    Translation: the centre of mass of an attention map is taken to the template's centre. The rest: a perceptron on the
    attention's second moments and on features pooled by it.
    """

    def __init__(self, widths: tuple[int, ...], hidden: int, modes: int, spacing_mm: float):
        super().__init__()
        self.spacing_mm, self.modes = spacing_mm, modes
        self.attention = nn.Conv3d(widths[0], 1, 1)
        self.deep = nn.Sequential(nn.Conv3d(widths[-1], hidden, 3, padding=1), nn.ReLU())
        inputs = 9 + widths[0] + 2 * hidden
        self.perceptron = nn.Sequential(
            nn.Linear(inputs, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, 9 + modes)
        )
        for last in (self.attention, self.perceptron[-1]):
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)

    def forward(
        self, coarse: torch.Tensor, decoded: torch.Tensor, image_centre_mm
    ) -> tuple[torch.Tensor, torch.Tensor]:
        weights = (ATTENTION * self.attention(decoded)).float().flatten(2).softmax(-1)  # (batch, 1, voxels)
        offsets, spread = _moments(weights, points_of(decoded.shape[2:], self.spacing_mm, weights))
        deep = self.deep(coarse)
        # The coarse voxels span the same box as the decoded ones; looked at where the attention is.
        share = centre_of(coarse.shape[2:], 1.0)
        half = centre_of(decoded.shape[2:], self.spacing_mm)
        at = (1 + offsets / offsets.new_tensor(half)) * offsets.new_tensor(share)
        local = sample(deep, at[:, None, None, None], 1.0).flatten(1)
        pooled = (weights * decoded.float().flatten(2)).sum(-1)
        seen = torch.cat([offsets / 50, spread, pooled, local, deep.float().mean((2, 3, 4))], 1)
        out = self.perceptron(seen).float()
        scale = LARGEST_LOG_SCALE * torch.tanh(out[:, 6:9])
        modes = LARGEST_MODE * torch.tanh(out[:, 9:] / LARGEST_MODE)
        return pose_about(offsets, out[:, 3:6], scale, RESIDUAL_MM * out[:, :3]), modes


@full_precision
def _moments(weights: torch.Tensor, points_mm: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Of an attention map (batch, 1, voxels): its centre of mass (batch, 3) in mm from the box's middle, and its
    covariance (batch, 6) over (20 mm)^2."""
    flat = points_mm.flatten(1, 3)
    flat = flat - (flat[:, :1] + flat[:, -1:]) / 2
    mean = (weights.mT * flat).sum(1)
    local = (flat - mean[:, None]) / 20
    covariance = torch.einsum("bnv,bvi,bvj->bij", weights, local, local)
    rows, columns = torch.triu_indices(3, 3)
    return mean, covariance[:, rows, columns]


class LocalHead(nn.Sequential):
    """Features in the template's frame (batch, C, n, n, n) -> velocity (batch, 3, n, n, n), zero at first."""

    def __init__(self, channels: int, width: int = 32):
        super().__init__(Block(channels, width, width, dropout=0.0), nn.Conv3d(width, 3, 3, padding=1))
        nn.init.zeros_(self[-1].weight)
        nn.init.zeros_(self[-1].bias)


def network_of(parameters: DeformationParameters, weights: Mapping[str, torch.Tensor]) -> DeformationNetwork:
    """The trained network, in evaluation mode, of its weights (with the template in them).

    Raises:
        ValueError: weights are missing or of another shape.
    """
    try:
        phi, modes, spacing_mm = (weights[key] for key in TEMPLATE_KEYS)
        template = Template(phi[0, 0].numpy(), modes.numpy(), np.zeros(len(modes)), float(spacing_mm[0]))
        network = DeformationNetwork(parameters, template)
        network.load_state_dict(dict(weights))
    except KeyError as error:
        raise ValueError(f"The weights are not those of a deformation network: {error} is missing.") from None
    except RuntimeError as error:
        raise ValueError(f"The weights do not belong to these parameters: {error}") from None
    return network.eval()


def heaviside(phi: torch.Tensor, width_mm: float) -> torch.Tensor:
    """The smooth step of phi, 1 inside: 0.73 at `width_mm` from the surface."""
    return torch.sigmoid(phi / width_mm)


def deformation_loss(
    found: Deformation,
    truth: torch.Tensor,
    *,
    width_mm: float = 2.0,
    local_weight: float = 1e-3,
    mode_weight: float = 1e-3,
) -> torch.Tensor:
    """1 - Dice of the smooth step of phi, plus what the deviation from the mean shape costs.

    Args:
        truth: (batch, 1, D, H, W), 0 or 1. width_mm: of the step; a wider one sees a kidney from farther off.
        local_weight: for each mm^2 of ||L - Id||^2, averaged over the lattice. mode_weight: for each variance of the
        modes.
    """
    away = found.displacement.square().sum(1).mean()
    return (
        dice_loss(heaviside(found.phi, width_mm), truth)
        + local_weight * away
        + mode_weight * found.modes.square().sum(1).mean()
    )
