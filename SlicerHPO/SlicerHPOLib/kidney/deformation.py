"""The deformation network: a template posed and deformed to the image, phi = phi0 o L o G (Bertrand 2019, section 4.3).

It looks twice. The first look, on the working grid, gives a dense map of where the kidney is, as a U-Net does. The
moments of that map (place, principal axes, size) are a first pose. The second look is at the image in the template's
frame, pulled there by the first pose, where every kidney lies alike: it corrects the pose, and gives the modes of the
template, the velocity of L, and how well all this is likely to fit (its own Dice). Its last layers start at zero, so
that training starts at the template posed by moments.

Of the source's own proposals for improvement (section 4.6) this has: a penalty on L - Id, more capacity before the
pose, and a mean or learned template, here with its modes of variation. The source's own networks are pose "regressed"
(nine numbers from the coarsest features) and pose "none" (L alone).
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from .judge import Judge
from .moments import principal_pose, rms_size_mm
from .population import DeformationLayers, Gate, sizes
from .request import ADULT, CHILD
from .template import Template
from .transforms import (
    centre_of,
    flow,
    full_precision,
    jacobian_determinants,
    lattice_of,
    points_of,
    pose_matrix,
    pulled,
    rotation_matrix,
    rotation_vector,
    sample,
    sample_distance,
    smooth,
    transform,
)
from .unet import LIGHT, OUTSIDE, Decoder, Encoder, UNetParameters, dense_head, dice_loss, placed, seen_box, upsample

VELOCITY_MM, RESIDUAL_MM, RESIDUAL_TURN, RESIDUAL_SCALE = 2.0, 5.0, 0.3, 0.2  # what an output of 1 of a head means
LARGEST_LOG_SCALE, LARGEST_MODE = 0.9, 3.0  # heads saturate at a factor of 2.5, and at 3 standard deviations
TEMPLATE_KEYS = ("template_phi", "template_modes", "template_spacing_mm")
LOOK = UNetParameters(base=8, levels=3, strided=True, dropout=0.0, instance=True)
ADAPTED_HIDDEN = 32  # width of the head that corrects pose and modes for another population
POSES = ("moments", "regressed", "none")


@dataclass(frozen=True)
class DeformationParameters:
    """What is built.

    encoder: of the first look, at means of `pool` voxels along each axis. look: of the second, which is taken `looks`
    times from better and better poses, where the first pose is by moments. spacing_mm: of the volumes given. Those of
    another spacing may be given as if they had this one: every length found, in phi too, is then to be scaled by the
    ratio. pose: how G is found, see the module; local: whether there is an L; otherwise it is the identity.
    learned_template: whether training may change phi0. lattice_mm: of the velocity of L. sigma_mm: of the Gaussian
    K_sigma that smooths it.
    hidden: width of the layer before pose and modes. adapted: to children besides adults, see `population`. judged:
    whether a judge says what Dice is to be expected of what was found at last, see `judge` and `scales`.
    """

    encoder: UNetParameters = LIGHT
    look: UNetParameters = LOOK
    pool: int = 1
    looks: int = 2
    spacing_mm: float = 4.0
    pose: str = "moments"
    local: bool = True
    learned_template: bool = False
    lattice_mm: float = 8.0
    sigma_mm: float = 12.0
    hidden: int = 128
    adapted: bool = False
    judged: bool = False

    def __post_init__(self):
        for name in ("encoder", "look"):
            if isinstance(getattr(self, name), Mapping):  # from JSON
                object.__setattr__(self, name, UNetParameters(**getattr(self, name)))
        if self.pose not in POSES:
            raise ValueError(f"DeformationParameters: pose is {self.pose!r}; expected one of {', '.join(POSES)}.")
        if self.pose == "none" and not self.local:
            raise ValueError("DeformationParameters: without pose and local there is nothing to learn.")
        if not self.look.strided:
            raise ValueError("DeformationParameters: the second look is strided, to end on the lattice of L.")
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
    smoothed. displacement: L - Id, the same shape. scores: (batch, 1, D, H, W) of the dense map before the sigmoid,
    positive inside. quality: (batch,) logit of the Dice to be expected of phi, 0 without a kidney. Both are None where
    no network found them.
    """

    phi: torch.Tensor
    pose: torch.Tensor
    modes: torch.Tensor
    velocity: torch.Tensor
    displacement: torch.Tensor
    lattice_mm: float = field(default=8.0)
    scores: torch.Tensor | None = None
    quality: torch.Tensor | None = None

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
        self.size_mm = rms_size_mm(template.phi > 0, self.spacing_mm)
        self.lattice, self.lattice_mm = lattice_of(template.phi.shape, self.spacing_mm, p.lattice_mm)
        if p.learned_template:
            self.template_change = nn.Parameter(torch.zeros(1, 1, *[self.lattice] * 3))
        self.stride = p.pool * (2 if p.encoder.strided else 1)
        width = p.encoder.widths[0]
        self.shared = p.pose != "moments"  # whether the second look has the features of the first, as in the source
        self.encoder, self.decoder = Encoder(p.encoder), Decoder(p.encoder)
        self.dense_head = dense_head(width)
        self.regressor = Regressor(p.encoder.widths[-1], p.hidden, 9) if p.pose == "regressed" else None
        channels, outputs = 3 + self.shared * width, 9 + modes + 1
        self.second_look = SecondLook(p.look, channels, p.hidden, outputs)
        self.population = ADULT  # that is served
        if p.adapted:
            head = Regressor(p.look.widths[-1], ADAPTED_HIDDEN, outputs)
            self.child = DeformationLayers(p.look, channels, head, self.lattice)
            self.gate = Gate()
        self.judge = Judge() if p.judged else None

    def forward(
        self,
        volume: torch.Tensor,
        every: int = 1,
        first: tuple[int, int, int] = (0, 0, 0),
        dense: torch.Tensor | None = None,
    ) -> Deformation:
        """phi and scores at every `every`-th voxel along each axis from `first` on (training has no need of all).
        dense: scores of a map to go on from, instead of the first look's own; as of `expect`."""
        p, shape = self.plan, volume.shape[2:]
        dense, pose, numbers, velocity = self._looks(volume, dense)
        modes, quality = LARGEST_MODE * torch.tanh(numbers[:, 9:-1] / LARGEST_MODE), numbers[:, -1]
        phi0 = self.shape(modes)
        if p.local:
            velocity = smooth(VELOCITY_MM * velocity, p.sigma_mm / self.lattice_mm)
        else:
            velocity = torch.zeros_like(velocity)
        displacement = flow(velocity, self.lattice_mm)

        chosen = (slice(None), *(slice(start, None, every) for start in first))
        points = points_of(shape, p.spacing_mm, pose)[chosen]
        matrix = pose_matrix(pose, *self.centres(shape))
        phi = pulled(phi0, self.spacing_mm, points, matrix, displacement if p.local else None, self.lattice_mm)
        scores = upsample(dense, shape)[(slice(None), *chosen)]
        return Deformation(phi, pose, modes, velocity, displacement, self.lattice_mm, scores, quality)

    @property
    def populations(self) -> tuple[str, ...]:
        """Those that there is an answer of its own for; none if all are served alike."""
        return (ADULT, CHILD) if self.plan.adapted else ()

    def for_population(self, name: str) -> DeformationNetwork:
        """The network, of the same weights, that serves one of the `populations`. Raises KeyError for another."""
        if name not in self.populations:
            raise KeyError(name)
        serving = copy.copy(self)  # shares everything
        serving.population = name
        return serving

    @torch.inference_mode()
    def child_probability(self, dense: torch.Tensor, volume: torch.Tensor, spacing_mm: float) -> float:
        """That a volume (1, 1, D, H, W) of this spacing shows a child; dense: what `expect` gives of it."""
        return float(self.gate(sizes(dense, volume, spacing_mm)))

    def population_of(self, volume: torch.Tensor, spacing_mm: float) -> str:
        """Which of its populations a volume (1, 1, D, H, W) is taken for."""
        child = self.child_probability(self.map_of(volume), volume, spacing_mm)
        return CHILD if child > self.child_threshold else ADULT

    @property
    def child_threshold(self) -> float:
        """The probability above which a volume is taken for a child's."""
        return float(self.gate.threshold)

    @property
    def _layers(self) -> DeformationLayers | None:
        """What is changed for the population served."""
        return self.child if self.population == CHILD else None

    def expect(self, volume: torch.Tensor, dense: torch.Tensor | None = None) -> tuple[torch.Tensor, torch.Tensor]:
        """Scores (batch, 1, ...) of the dense map at its own voxels, and the logit (batch,) of the Dice to be expected:
        what `forward` would find, without the deformation. dense: as of `forward`."""
        dense, _, numbers, _ = self._looks(volume, dense, bends=False)
        return dense, numbers[:, -1]

    def map_of(self, volume: torch.Tensor) -> torch.Tensor:
        """The scores of `expect` alone: of the first look."""
        return self._first_look(volume)[2]

    def centres(self, shape: tuple[int, ...]) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """(x, y, z) mm of the middles of a volume of this shape and of the template, that G takes to each other."""
        return centre_of(shape, self.plan.spacing_mm), centre_of(self.template_phi.shape[2:], self.spacing_mm)

    def _looks(
        self, volume: torch.Tensor, dense: torch.Tensor | None, bends: bool = True
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor | None]:
        """The dense map, the pose, and the numbers and (if it bends) velocity of the last look."""
        features = decoded = None
        if dense is None or self.shared:
            features, decoded, own = self._first_look(volume)
            dense = own if dense is None else dense
        centres, pose = self.centres(volume.shape[2:]), self._first_pose(features, dense)
        if self.shared:
            return dense, pose, *self._second_look(volume, decoded, dense, centres, pose, bends)
        # each look learns its own task: the first from masks, the second from phi
        look = partial(self._second_look, volume, None, dense.detach(), centres)
        with torch.no_grad():
            for _ in range(self._earlier_looks()):
                pose = corrected(pose, look(pose, False)[0][:, :9])
        numbers, velocity = look(pose, bends)
        return dense, corrected(pose, numbers[:, :9]), numbers, velocity

    def shape(self, modes: torch.Tensor) -> torch.Tensor:
        """phi0 (batch, 1, n, n, n) at coefficients (batch, M) of the modes."""
        mean = self.template_phi
        if self.plan.learned_template:
            size = self.template_phi.shape[2:]
            change = functional.interpolate(self.template_change, size, mode="trilinear", align_corners=True)
            mean = mean + change.float()
        if self._layers is not None:
            mean = mean + upsample(self._layers.template_change, self.template_phi.shape[2:]).float()
        varied = (modes[:, :, None, None, None] * self.template_modes).sum(1, keepdim=True)
        return mean + varied

    def _first_look(self, volume: torch.Tensor) -> tuple[list[torch.Tensor], torch.Tensor, torch.Tensor]:
        """Features of each level, decoded features, and scores of the dense map, both at every `stride`-th voxel."""
        p = self.plan
        pooled = functional.avg_pool3d(volume, p.pool) if p.pool > 1 else volume
        step, whole = self.stride // p.pool, tuple(slice(0, n) for n in pooled.shape[2:])
        # A pose that is regressed from features needs to know where in the volume they are.
        box = whole if p.pose == "regressed" else seen_box(pooled, p.encoder)
        inner = pooled[(..., *box)]
        features = self.encoder(inner)
        decoded = self.decoder(features)
        dense = self.dense_head(decoded).float()
        small = tuple(slice(s.start // step, -(-s.stop // step)) for s in box)
        shape = tuple(-(-n // step) for n in pooled.shape[2:])
        return features, placed(decoded, small, shape, 0.0), placed(dense, small, shape, OUTSIDE)

    def _first_pose(self, features: list[torch.Tensor] | None, dense: torch.Tensor) -> torch.Tensor:
        """(batch, 9) of G before it is corrected."""
        p = self.plan
        if p.pose == "moments":
            scores = upsample(dense.detach(), tuple(p.pool * n for n in dense.shape[2:]))
            return principal_pose(torch.sigmoid(scores), p.spacing_mm * self.stride / p.pool, self.size_mm)
        pose = torch.zeros(len(dense), 9, device=dense.device)
        return pose if p.pose == "none" else corrected(pose, self.regressor(features[-1]), shift_mm=50.0)

    def _earlier_looks(self) -> int:
        """How often the pose is corrected before the last look; in training any number of times, so that the second
        look learns from good and from bad poses."""
        most = self.plan.looks - 1
        return int(torch.randint(most + 1, ())) if self.training else most

    def _second_look(self, volume, decoded, dense, centres, pose, bends) -> tuple[torch.Tensor, torch.Tensor | None]:
        """What `SecondLook` says in the frame of this pose."""
        seen = self._in_template_frame(volume, decoded, dense, pose_matrix(pose, *centres))
        return self.second_look(seen, self._layers, bends)

    def _in_template_frame(self, volume, decoded, dense, matrix) -> torch.Tensor:
        """(batch, C, m, m, m) what is seen at the template's points, on a lattice twice as fine as that of L: features
        of the first look if given, its map, the image, and the distance to the template's surface."""
        p, n = self.plan, 2 * self.lattice - 1
        points = points_of((n, n, n), self.lattice_mm / 2, matrix)
        with torch.no_grad():  # where to look; the pose learns from phi
            seen = transform(points, torch.linalg.inv(matrix))
            distance = sample_distance(self.template_phi, points, self.spacing_mm) / 20
        dense_mm = p.spacing_mm * self.stride
        among_dense = seen - (dense_mm - p.spacing_mm) / 2  # whose voxels are blocks of the volume's
        parts = [
            sample(torch.sigmoid(dense), among_dense, dense_mm),
            sample(volume, seen, p.spacing_mm),
            distance.clamp(-1, 1).expand(len(volume), -1, -1, -1, -1),
        ]
        return torch.cat(parts if decoded is None else [sample(decoded, among_dense, dense_mm), *parts], 1)


@full_precision
def corrected(pose: torch.Tensor, by: torch.Tensor, shift_mm: float = RESIDUAL_MM) -> torch.Tensor:
    """A pose (batch, 9) followed by a small one, of the outputs `by` (batch, 9) of a head: shift and turn in the
    template's axes, log-scales in the image's."""
    shift, turn, log_scale = by.split(3, dim=1)
    step = rotation_matrix(RESIDUAL_TURN * turn)[:, :3, :3]
    translation = (step @ pose[:, :3, None])[..., 0] + shift_mm * shift
    rotation = rotation_vector(step @ rotation_matrix(pose[:, 3:6])[:, :3, :3])
    scale = LARGEST_LOG_SCALE * torch.tanh((pose[:, 6:] + RESIDUAL_SCALE * log_scale) / LARGEST_LOG_SCALE)
    return torch.cat([translation, rotation, scale], 1)


class Regressor(nn.Module):
    """Features (batch, C, d, h, w) -> numbers (batch, outputs), zero at first: a convolution, the moments in space of
    its channels up to the second along each axis (how much, where, how wide), and a hidden layer."""

    def __init__(self, channels: int, hidden: int, outputs: int):
        super().__init__()
        self.deep = nn.Sequential(nn.Conv3d(channels, hidden, 3, padding=1), nn.ReLU())
        self.perceptron = nn.Sequential(nn.Linear(7 * hidden, hidden), nn.ReLU(), nn.Linear(hidden, outputs))
        nn.init.zeros_(self.perceptron[-1].weight)
        nn.init.zeros_(self.perceptron[-1].bias)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        deep = self.deep(features).float()
        moments = [deep.mean((2, 3, 4))]
        for axis in range(3):
            profile = deep.mean([d for d in (2, 3, 4) if d != 2 + axis])  # (batch, C, n)
            at = torch.linspace(-1, 1, profile.shape[-1], device=deep.device)
            moments += [(profile * at).mean(-1), (profile * at**2).mean(-1)]
        return self.perceptron(torch.cat(moments, 1)).float()


class SecondLook(nn.Module):
    """What is seen in the template's frame (batch, C, 2n - 1, ...) -> numbers (batch, outputs) of pose, modes and
    quality, and velocity (batch, 3, n, n, n); both zero at first."""

    def __init__(self, parameters: UNetParameters, channels: int, hidden: int, outputs: int):
        super().__init__()
        self.encoder, self.decoder = Encoder(parameters, channels), Decoder(parameters)
        self.regressor = Regressor(parameters.widths[-1], hidden, outputs)
        self.velocity = nn.Conv3d(parameters.widths[0], 3, 3, padding=1)
        nn.init.zeros_(self.velocity.weight)
        nn.init.zeros_(self.velocity.bias)

    def forward(
        self, seen: torch.Tensor, layers: DeformationLayers | None = None, bends: bool = True
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """bends: whether the velocity is wanted, which costs more than all else."""
        features = self.encoder(seen, None if layers is None else layers.intensity.on(seen))
        numbers = self.regressor(features[-1])
        if layers is not None:
            numbers = numbers + layers.head(features[-1])
        return numbers, self.velocity(self.decoder(features)).float() if bends else None


def network_of(parameters: DeformationParameters, weights: Mapping[str, torch.Tensor]) -> DeformationNetwork:
    """The trained network, in evaluation mode, of its weights (with the template in them).

    Raises:
        ValueError: weights are missing or of another shape.
    """
    try:
        phi, modes, spacing_mm = (weights[key] for key in TEMPLATE_KEYS)
        template = Template(phi[0, 0].numpy(), modes.numpy(), np.zeros(len(modes)), float(spacing_mm[0]))
        network = DeformationNetwork(parameters, template)
        own, given = ({n: w.shape for n, w in state.items()} for state in (network.state_dict(), weights))
        if differ := sorted(n for n in own | given if own.get(n) != given.get(n)):
            raise RuntimeError(
                f"{len(differ)} are missing, unknown or of another shape, {differ[0]} the first. Give a model that was "
                "made with this version, or make it anew."
            )
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
        truth: (batch, 1, D, H, W), in [0, 1]. width_mm: of the step; a wider one sees a kidney from farther off.
        local_weight: for each mm^2 of ||L - Id||^2, averaged over the lattice. mode_weight: for each variance of the
        modes.
    """
    away = found.displacement.square().sum(1).mean()
    return (
        dice_loss(heaviside(found.phi, width_mm), truth)
        + local_weight * away
        + mode_weight * found.modes.square().sum(1).mean()
    )
