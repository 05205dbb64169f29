"""The classical method: implicit template deformation without learning (Bertrand 2019, section 4.2; Mory et al. 2012).

A template phi0 is posed and deformed until inside and outside of its zero level are each most like themselves. With
phi = phi0 o L o G, the energy (eq. 4.3 with the prior of eq. 4.6)

    E(G, L) = integral of H(phi) r_in + (1 - H(phi)) r_out, over space, + lambda ||L - Id||^2

is minimised by gradient descent, on G first and then on both. H is a smooth step; r_in and r_out are the negative log-
likelihoods of a voxel's intensity under the normal distributions with the mean and variance of the inside and of the
outside near it (Gaussian windows: a kidney is dark beside fat and bright beside fluid in one volume). They are computed
anew along the way. Poses and modes of the template have Gaussian priors.

From a click, where nothing is known of the orientation, many poses start at once on a coarse grid and the best go on.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from ..job import Job
from ..words import _
from .deformation import Deformation, heaviside
from .grid import Grid
from .template import Template
from .transforms import centre_of, flow, lattice_of, points_of, pose_about, pose_matrix, pulled, smooth

WIDTH_MM = 4.0  # of the smooth step
WINDOW_MM = 12.0  # standard deviation of the windows in which the regions' statistics are taken
LEAST_DEVIATION = 0.03  # of intensities in [0, 1]: a flat region is not certain
MOST_UNLIKELY = 2.0  # log-likelihood ratios are cut here: no voxel decides alone
CENTRE_SD_MM, SCALE_SD = 8.0, 0.2  # prior: the click is near the centre, and the kidney of about the template's size
PRIOR = 0.04  # energy of one squared standard deviation of the pose or of a mode
LAMBDA = 4e-3  # energy of each mm^2 of ||L - Id||^2
LATTICE_MM, SIGMA_MM = 8.0, 16.0  # of the velocity of L
SIZES = (0.75, 1.0)  # of the template, at the start


class ImplicitError(ValueError):
    """A start from which nothing can be found; the message says what is expected."""


@dataclass(frozen=True, eq=False)
class Segmentation:
    """What the classical method found.

    phi: (k, j, i) float32 implicit function on the grid, mm, positive inside. energies: E along the descent, first on
    the coarse grid, then on the fine one. confidence: see `confidence`. deformation: G, modes and L (a batch of one).
    """

    phi: np.ndarray
    energies: tuple[float, ...]
    confidence: float
    deformation: Deformation


def segment_from_click(
    volume: np.ndarray, grid: Grid, template: Template, centre_mm: np.ndarray, job: Job = Job()
) -> Segmentation:
    """The kidney around a point.

    Args:
        volume: (k, j, i) on the grid, in [0, 1]. centre_mm: (3,) RAS, near the middle of the kidney.

    Raises:
        ImplicitError: the point is outside the grid.
        Cancelled: the job was cancelled.
    """
    voxel = grid.voxel_of(centre_mm)
    if not ((voxel >= -0.5) & (voxel <= np.array(grid.shape) - 0.5)).all():
        raise ImplicitError(
            _("The point {point} (RAS mm) lies outside the volume's grid.").format(
                point=np.round(centre_mm, 1).tolist()
            )
        )
    spacing = _spacing(grid)
    offset = torch.tensor(voxel[::-1] * spacing - np.array(centre_of(grid.shape, spacing)), dtype=torch.float32)
    rotations = torch.tensor(orientations(), dtype=torch.float32)
    count = len(rotations)
    log_scales = -torch.log(torch.tensor(SIZES)).repeat_interleave(count)[:, None].expand(-1, 3)  # small s enlarges
    modes = torch.zeros(len(log_scales), len(template.modes))
    start = _State(
        offset.expand(len(log_scales), 3).clone(), rotations.repeat(len(SIZES), 1), log_scales.clone(), modes, None
    )
    coarse = _Problem(volume, grid, template, offset, step=2)
    energies: list[float] = []
    start, energy = _descend(coarse, start, 12, 0.15, energies, job.part(0.0, 0.3))
    start, energy = _descend(coarse, start.taken(energy.argsort()[:4]), 30, 0.08, energies, job.part(0.3, 0.5))
    return _refined(volume, grid, template, start.taken(energy.argsort()[:1]), offset, energies, job.part(0.5, 1.0))


def refine(volume: np.ndarray, grid: Grid, template: Template, start: Deformation, job: Job = Job()) -> Segmentation:
    """A network's result, or any other deformation of the template, made to fit the regions of the image better.

    Args:
        volume: (k, j, i) on the grid, in [0, 1]. start: a batch of one, of this template.

    Raises:
        ImplicitError: the start is of another template.
        Cancelled: the job was cancelled.
    """
    if start.pose.shape != (1, 9) or start.modes.shape != (1, len(template.modes)):
        raise ImplicitError(
            _("A start is one pose (1, 9) with {count} modes; given are poses {pose} and modes {modes}.").format(
                count=len(template.modes), pose=tuple(start.pose.shape), modes=tuple(start.modes.shape)
            )
        )
    pose = start.pose.detach().float().cpu()
    linear = pose_matrix(pose, (0.0,) * 3, (0.0,) * 3)[:, :3, :3]
    offset = -torch.linalg.solve(linear, pose[:, :3])  # the point that G takes to the template's centre
    velocity = start.velocity.detach().float().cpu()
    state = _State(offset, pose[:, 3:6], pose[:, 6:], start.modes.detach().float().cpu(), velocity)
    return _refined(volume, grid, template, state, offset[0], [], job)


def confidence(volume: np.ndarray, phi: np.ndarray, spacing_mm: float) -> float:
    """How well a surface divides what is on its two sides, from 0 (not at all) to 1.

    For the voxels within `WINDOW_MM` of the surface: d', the difference of the local means inside and outside over
    their standard deviation, averaged; erf(d' / 2) is then how much more often than not intensities of the two sides
    tell them apart (twice the area under the ROC curve less 1).
    """
    from scipy.special import erf

    inside = torch.tensor((phi > 0)[None, None], dtype=torch.float32)
    near = np.abs(phi) < WINDOW_MM
    if not (near & (phi > 0)).any():
        return 0.0
    band = torch.tensor((near & _seen(volume))[None, None], dtype=torch.float32)
    image = torch.tensor(volume, dtype=torch.float32)[None, None]
    window = WINDOW_MM / spacing_mm
    (mean_in, var_in), (mean_out, var_out) = (
        _statistics(image, w, window) for w in (inside * band, (1 - inside) * band)
    )
    separation = (mean_in - mean_out).abs() / (0.5 * (var_in + var_out)).sqrt()
    at_surface = torch.tensor(np.abs(phi) < spacing_mm)[None, None]
    return float(erf(separation[at_surface].mean().item() / 2)) if at_surface.any() else 0.0


def orientations() -> np.ndarray:
    """(13, 3) rotation vectors that bring 13 evenly spread directions of space to the template's long axis z."""
    from scipy.spatial.transform import Rotation

    directions = [d for d in np.ndindex(3, 3, 3) if d > (1, 1, 1)]  # half of the neighbours of a voxel
    vectors = []
    for direction in np.array(directions) - 1.0:
        direction = direction / np.linalg.norm(direction)
        across = np.cross(direction, (0, 0, 1))
        sine = np.linalg.norm(across)
        angle = np.arctan2(sine, direction[2])
        if angle > np.pi / 2:  # the template's other pole is nearer
            across, angle = -across, np.pi - angle
        vectors.append(across / max(sine, 1e-12) * angle)
    return Rotation.from_rotvec(vectors).as_rotvec()


@dataclass(frozen=True, eq=False)
class _State:
    """A batch of G (see `pose_about`), modes, and the velocity of L on its lattice, before smoothing (None: no L)."""

    offset_mm: torch.Tensor
    rotation: torch.Tensor
    log_scale: torch.Tensor
    modes: torch.Tensor
    velocity: torch.Tensor | None

    def taken(self, which: torch.Tensor) -> _State:
        return _State(*(None if value is None else value[which] for value in vars(self).values()))


class _Problem:
    """The part of a volume around a point, of every `step`-th voxel, and the template."""

    def __init__(self, volume: np.ndarray, grid: Grid, template: Template, centre_mm: torch.Tensor, step: int):
        self.grid_mm = _spacing(grid)
        self.shape, self.template_mm = grid.shape, template.spacing_mm
        self.template_shape = template.phi.shape
        self.mean = torch.tensor(template.phi)[None, None]
        self.variation = torch.tensor(template.modes)
        self.centre_mm, self.window = centre_mm, WINDOW_MM / (self.grid_mm * step)
        self.lattice, self.lattice_mm = lattice_of(template.phi.shape, template.spacing_mm, LATTICE_MM)
        image = torch.tensor(volume, dtype=torch.float32)[None, None]
        seen = torch.tensor(_seen(volume), dtype=torch.float32)[None, None]
        image = smooth(image, 0.5 * step)
        reach = (template.phi.shape[0] - 1) * template.spacing_mm / 2
        middle = np.array(centre_of(grid.shape, self.grid_mm)) + centre_mm.numpy()
        low = np.clip(np.round((middle[::-1] - reach) / self.grid_mm), 0, np.array(grid.shape) - 4).astype(int)
        high = np.round((middle[::-1] + reach) / self.grid_mm).astype(int) + 1
        box = tuple(slice(a, max(b, a + 4), step) for a, b in zip(low, high, strict=True))
        self.image = image[(slice(None), slice(None), *box)]
        self.seen = seen[(slice(None), slice(None), *box)]
        self.points = points_of(grid.shape, self.grid_mm, image)[(slice(None), *box)]
        self.count = float((template.phi > 0).sum()) * (template.spacing_mm / (self.grid_mm * step)) ** 3

    def deformed(self, state: _State, points: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """phi at points, the pose, and the displacement of L."""
        pose = pose_about(state.offset_mm, state.rotation, state.log_scale)
        matrix = pose_matrix(
            pose, centre_of(self.shape, self.grid_mm), centre_of(self.template_shape, self.template_mm)
        )
        phi0 = self.mean + (state.modes[:, :, None, None, None] * self.variation).sum(1, keepdim=True)
        displacement = None if state.velocity is None else flow(state.velocity, self.lattice_mm)
        return pulled(phi0, self.template_mm, points, matrix, displacement, self.lattice_mm), pose, displacement

    @torch.no_grad()
    def costs(self, state: _State) -> tuple[torch.Tensor, torch.Tensor]:
        """r_in and r_out (batch, 1, ...) of the regions as they are, cut where one is far more likely."""
        inside = heaviside(self.deformed(state, self.points)[0], WIDTH_MM)
        both = []
        for weight in (inside * self.seen, (1 - inside) * self.seen):
            mean, variance = _statistics(self.image, weight, self.window)
            both.append(0.5 * ((self.image - mean) ** 2 / variance + variance.log()))
        ratio = (both[0] - both[1]).clamp(-MOST_UNLIKELY, MOST_UNLIKELY)
        outside = self.seen * both[1]
        return outside + self.seen * ratio, outside

    def energy(self, state: _State, costs: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
        """E (batch,), a kidney's voxel counting 1."""
        phi, _scores, displacement = self.deformed(state, self.points)
        inside = heaviside(phi, WIDTH_MM)
        region = (inside * costs[0] + (1 - inside) * costs[1]).sum((1, 2, 3, 4)) / self.count
        away = ((state.offset_mm - self.centre_mm) / CENTRE_SD_MM).square().sum(1)
        prior = away + (state.log_scale / SCALE_SD).square().sum(1) + state.modes.square().sum(1)
        bending = 0.0 if displacement is None else displacement.square().sum(1).mean((1, 2, 3))
        return region + PRIOR * prior + LAMBDA * bending


def _descend(
    problem: _Problem, state: _State, steps: int, rate: float, energies: list[float], job: Job, *, local: bool = False
) -> tuple[_State, torch.Tensor]:
    """Adam on pose and modes, and with `local` on the velocity of L. The statistics follow every third step.

    Returns:
        The state reached, and its energies (batch,), which are also noted (the least of the batch, at each step).
    """
    rates = {"offset_mm": 10 * rate, "rotation": rate, "log_scale": rate / 2, "modes": 2 * rate}
    values = {name: getattr(state, name).detach().clone().requires_grad_() for name in rates}
    groups = [{"params": [values[name]], "lr": lr} for name, lr in rates.items()]
    base, sigma = state.velocity, SIGMA_MM / problem.lattice_mm
    if local:
        base = torch.zeros(len(state.modes), 3, *[problem.lattice] * 3) if base is None else base
        change = torch.zeros_like(base).requires_grad_()
        groups.append({"params": [change], "lr": 20 * rate})

    def current() -> _State:
        return _State(**values, velocity=base + smooth(change, sigma) if local else base)

    optimiser = torch.optim.Adam(groups)
    for step in range(steps):
        job.progress(step / steps, _("fitting the template"))
        if step % 3 == 0:
            costs = problem.costs(current())
        energy = problem.energy(current(), costs)
        energies.append(float(energy.detach().min()))
        optimiser.zero_grad()
        energy.sum().backward()
        optimiser.step()
    with torch.no_grad():
        found = _State(*(None if value is None else value.detach() for value in vars(current()).values()))
        return found, problem.energy(found, problem.costs(found))


def _refined(
    volume: np.ndarray,
    grid: Grid,
    template: Template,
    start: _State,
    centre_mm: torch.Tensor,
    energies: list[float],
    job: Job,
) -> Segmentation:
    """The descent on the fine grid, of G and then of G and L, and what it leads to on the whole grid."""
    fine = _Problem(volume, grid, template, centre_mm, step=1)
    state, _energy = _descend(fine, start, 12, 0.05, energies, job.part(0.0, 0.4))
    state, _energy = _descend(fine, state, 24, 0.03, energies, job.part(0.4, 1.0), local=True)
    with torch.no_grad():
        phi, pose, displacement = fine.deformed(state, points_of(grid.shape, fine.grid_mm, fine.mean))
    deformation = Deformation(phi, pose, state.modes, state.velocity, displacement, fine.lattice_mm)
    found = phi[0, 0].numpy()
    return Segmentation(found, tuple(energies), confidence(volume, found, fine.grid_mm), deformation)


def _statistics(image: torch.Tensor, weight: torch.Tensor, window: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and variance (batch, 1, ...) of an image (1, 1, ...) in Gaussian windows of weights (batch, 1, ...)."""
    total = smooth(weight, window) + 1e-3 * weight.mean((2, 3, 4), keepdim=True) + 1e-9
    everywhere = (weight * image).mean((2, 3, 4), keepdim=True), (weight * image**2).mean((2, 3, 4), keepdim=True)
    first, second = (
        (smooth(weight * power, window) + 1e-3 * mean) / total
        for power, mean in zip((image, image**2), everywhere, strict=True)
    )
    return first, (second - first**2).clamp_min(0) + LEAST_DEVIATION**2


def _seen(volume: np.ndarray) -> np.ndarray:
    """(k, j, i) bool: the field of view, outside of which a volume is exactly 0; holes in it are seen."""
    from scipy.ndimage import binary_closing

    return binary_closing(np.pad(volume > 0, 3), iterations=3)[3:-3, 3:-3, 3:-3]


def _spacing(grid: Grid) -> float:
    """The distance of the grid's voxels, which are cubes."""
    spacing = grid.spacing_mm
    if np.ptp(spacing) > 1e-3 * spacing[0]:
        raise ImplicitError(
            _("The classical method works on cubic voxels, not on {spacing} mm.").format(
                spacing=np.round(spacing, 3).tolist()
            )
        )
    return float(spacing[0])
