"""Augmentation of volumes on the fly (Bertrand 2019, table 4.1: flips, turns, scales, shifts, and intensities)."""

from __future__ import annotations

import math

import torch
from SlicerHPOLib.kidney.transforms import rotation_matrix
from torch.nn import functional

from .repaint import repainted

MIRRORED = (3, 4)  # across the beam: there are left and right kidneys, and probes held either way round
REORDERED = 0.05  # part of the batches whose axes change their order: rare, as what is learned of depth is lost in them
TURN = 0.2  # radians, standard deviation of the angle about each axis
LOG_SCALE = (-0.2, 0.2)
SHIFT = 0.12  # of the volume's half width
NODES = (6, 12)  # of the lattice of a bending, along each axis
BEND = 0.15  # of the lattice's step: the largest standard deviation of a bending, in which none was seen to fold
SWOLLEN = 0.3  # part of the repainted volumes whose kidney has a mass at its capsule, as a cyst or a tumour is
RADII = (0.2, 1.0)  # of such a mass, in the kidney's depth
NOISE = 0.08
REPAINTED = 0.6  # part of the volumes of which only the shapes are kept
BOXED = 0.15  # part of the volumes that are cut to a box, as some scanners export them
LENGTHS = (0.5, 1.0)  # of such a box, in a volume's


def augment(
    images: torch.Tensor, distances: torch.Tensor, generator: torch.Generator, strength: float = 1.0
) -> tuple[torch.Tensor, torch.Tensor]:
    """Turn, flip, scale, shift and bend volumes; change their grey levels, smooth them, add noise and shadows.

    Args:
        images: (batch, 1, D, D, D) in [0, 1]. distances: (batch, 1, D, D, D) in voxels. strength: of all that is not a
            flip, in [0, 1].

    Returns:
        The same shapes. Distances follow the scale; where a volume is bent they are distances at the capsule only.
    """
    n = len(images)

    def uniform(low: float, high: float, *shape: int) -> torch.Tensor:
        return low + (high - low) * torch.rand(shape or (n, 1, 1, 1, 1), generator=generator)

    def some(share: float) -> torch.Tensor:
        return (uniform(0, 1) < share).float()

    for axis in MIRRORED:
        flipped = some(0.5) > 0
        images = torch.where(flipped, images.flip(axis), images)
        distances = torch.where(flipped, distances.flip(axis), distances)
    if torch.rand((), generator=generator) < strength * REORDERED:
        order = (2 + torch.randperm(3, generator=generator)).tolist()
        images, distances = images.permute(0, 1, *order), distances.permute(0, 1, *order)

    scale = (strength * uniform(*LOG_SCALE, n, 1)).exp()  # of the pull: below 1 enlarges
    stretch = (strength * 0.06 * torch.randn(n, 3, generator=generator)).exp()
    turn = rotation_matrix(strength * TURN * torch.randn(n, 3, generator=generator))[:, :3, :3]
    shift = strength * uniform(-SHIFT, SHIFT, n, 3)
    pull = torch.cat([turn * (scale * stretch)[:, None], shift[:, :, None]], 2)
    grid = functional.affine_grid(pull, list(images.shape), align_corners=False)
    grid = grid + strength * bending(n, images.shape[-1], generator)
    images = functional.grid_sample(images, grid, align_corners=False)
    distances = functional.grid_sample(distances, grid, padding_mode="border", align_corners=False)
    distances = distances / scale[:, :, None, None, None]

    images = images * torch.where(some(BOXED * strength) > 0, _boxes(n, images.shape[-1], generator), 1)
    box = (..., *shown_box(images))  # two thirds of a volume of ultrasound are outside of its sector
    inner = images[box]
    shown = inner > 0
    for k in some(REPAINTED * strength).flatten().nonzero()[:, 0].tolist():
        if torch.rand((), generator=generator) < SWOLLEN:
            distances[k, 0] = swollen(distances[k, 0], generator)
        inner[k, 0] = repainted(shown[k, 0], distances[box][k, 0], generator)
    smooth = functional.avg_pool3d(inner, 3, 1, 1)
    inner = inner + some(0.4 * strength) * uniform(-0.4, 1.0) * (smooth - inner)  # sharper or smoother
    field = torch.randn(n, 1, 4, 4, 4, generator=generator)
    gain = functional.interpolate(field, inner.shape[2:], mode="trilinear", align_corners=True)
    inner = inner * (some(0.6 * strength) * uniform(0, 0.25) * gain).exp()
    inner = inner.clamp(0, 1) ** (strength * uniform(-0.5, 0.5)).exp()
    inner = strength * uniform(-0.1, 0.1) + (1 + strength * uniform(-0.25, 0.2)) * inner
    noise = torch.randn(inner.shape, generator=generator)
    inner = inner + some(0.5 * strength) * uniform(0, NOISE) * noise
    inner = inner * (1 - some(0.25 * strength) * uniform(0.4, 1.0) * _shadow(n, inner.shape[2:], generator))
    images = torch.zeros_like(images)
    images[box] = torch.where(shown, inner.clamp(0, 1), 0)
    return images, distances


def bending(n: int, size: int, generator: torch.Generator) -> torch.Tensor:
    """(n, size, size, size, 3) smooth random displacements, as `grid_sample` takes them: shapes that no family of
    parameters has. Cubic B-splines of a coarse lattice."""
    nodes = int(torch.randint(NODES[0], NODES[1] + 1, (), generator=generator))
    step = 2 / (nodes - 3)  # the volume is 2 wide, and splines reach over its ends
    at = torch.linspace(-1, 1, size)[:, None] / step - (torch.arange(nodes) - (nodes - 1) / 2)
    far = at.abs()
    spline = torch.where(far < 1, 2 / 3 - far**2 + far**3 / 2, (2 - far).clamp(min=0) ** 3 / 6)
    field = torch.randn(n, nodes, nodes, nodes, 3, generator=generator)
    smooth = torch.einsum("nkjic,zk,yj,xi->nzyxc", field, spline, spline, spline)
    amount = BEND * step * torch.rand(n, 1, 1, 1, 1, generator=generator)
    return amount * smooth / smooth.std()


def swollen(distance: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """The distance (d, h, w) to the capsule of a kidney, positive inside, with a ball added somewhere at it; unchanged
    where there is no kidney."""
    beside = (distance.abs() < 1).nonzero()
    if not len(beside) or distance.max() <= 1:
        return distance
    middle = beside[torch.randint(len(beside), (), generator=generator)]
    axes = [torch.arange(size) - at for size, at in zip(distance.shape, middle, strict=True)]
    away = sum(axis**2 for axis in torch.meshgrid(*axes, indexing="ij")).sqrt()
    radius = RADII[0] + (RADII[1] - RADII[0]) * torch.rand((), generator=generator)
    return torch.maximum(distance, radius * distance.max() - away)


def _boxes(n: int, size: int, generator: torch.Generator) -> torch.Tensor:
    """(n, 1, size, size, size): 1 in a box somewhere in each volume, 0 around it."""
    half = (LENGTHS[0] + (LENGTHS[1] - LENGTHS[0]) * torch.rand(n, 3, 1, generator=generator)) / 2
    middle = half + (1 - 2 * half) * torch.rand(n, 3, 1, generator=generator)
    inside = ((torch.linspace(0, 1, size) - middle).abs() <= half).float()
    return torch.einsum("nd,nh,nw->ndhw", *inside.unbind(1))[:, None]


def shown_box(images: torch.Tensor) -> tuple[slice, slice, slice]:
    """The box of the voxels of (batch, 1, D, H, W) above 0 in any volume; all of it if there are none."""
    shown = (images > 0).flatten(0, 1).any(0)
    box = []
    for axis, size in enumerate(shown.shape):
        at = shown.any(tuple(other for other in range(3) if other != axis)).nonzero()
        box.append(slice(int(at[0]), int(at[-1]) + 1) if len(at) else slice(0, size))
    return tuple(box)


def _shadow(n: int, shape: tuple[int, ...], generator: torch.Generator) -> torch.Tensor:
    """(n, 1, *shape) in [0, 1]: a slab or wedge of darkness with soft edges, as behind a rib."""
    axes = [torch.linspace(-1, 1, size) for size in shape]
    points = torch.stack(torch.meshgrid(*axes, indexing="ij"), -1)
    normal = functional.normalize(torch.randn(n, 3, generator=generator), dim=1)
    along = functional.normalize(torch.randn(n, 3, generator=generator), dim=1)
    middle = 0.5 * torch.randn(n, 1, 1, 1, generator=generator)
    width = 0.03 + 0.12 * torch.rand(n, 1, 1, 1, generator=generator)
    across = torch.einsum("dhwc,nc->ndhw", points, normal) - middle
    depth = torch.einsum("dhwc,nc->ndhw", points, along)
    return (torch.sigmoid((width * (1 + 0.5 * depth) - across.abs()) / 0.02) * (depth > -0.4).float())[:, None]


def noise_volumes(count: int, size: int, generator: torch.Generator) -> torch.Tensor:
    """(count, 1, size, size, size) in [0, 1] without a kidney: random textures of all scales, every other one cut into
    regions of an even grey in a body, as volumes of another modality are."""
    textures = torch.stack([_texture(size, generator) for _ in range(count)])
    textures[::2] = torch.stack([_regions(texture, generator) for texture in textures[::2]])
    return textures


def _texture(size: int, generator: torch.Generator) -> torch.Tensor:
    """(1, size, size, size) in [0, 1], grey 0.4 with a standard deviation of 0.25: a sum of noises of five scales."""
    weights = torch.rand(5, generator=generator)
    total = torch.zeros(1, size, size, size)
    for level, weight in enumerate(weights):
        edge = max(2, math.ceil(size / 2**level))
        field = torch.randn(1, 1, edge, edge, edge, generator=generator)
        total += weight * functional.interpolate(field, (size,) * 3, mode="trilinear", align_corners=False)[0]
    return (0.4 + 0.25 * total / total.std()).clamp(0, 1)


def _regions(texture: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """A texture (1, size, size, size) that is smoothed and cut into regions of one grey each, in a body with noise."""
    smooth = functional.avg_pool3d(texture, 7, 1, 3)
    edges = torch.quantile(smooth.flatten()[::97], torch.linspace(0.1, 0.9, 8))
    regions = torch.rand(9, generator=generator)[torch.bucketize(smooth, edges)]
    axis = torch.linspace(-1, 1, texture.shape[-1])
    half = 0.5 + 0.5 * torch.rand(3, generator=generator)
    radius = sum((a / h) ** 2 for a, h in zip(torch.meshgrid(axis, axis, axis, indexing="ij"), half, strict=True))
    noise = 0.03 * torch.randn(texture.shape, generator=generator)
    return (torch.where(radius + smooth < 1.2, regions, 0.02) + noise).clamp(0, 1)
