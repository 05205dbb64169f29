"""Transforms of space for the template: the pose G, the local deformation L, and sampling (Bertrand 2019, section 4.3).

Points are (x, y, z) in mm along the axes i, j, k of an array, from its first voxel; arrays are (batch, channels, D, H,
W) with x along W. Transforms *pull*: a point of the image is taken by G, then by L, into the template, whose value
there becomes the image's,

    phi(x) = phi0(L(G(x))).

So what G does to points the shape undergoes inversely: a scale below 1 enlarges the shape (the source says that it
shrinks it, which contradicts its own equation), and a translation of +10 mm shows the template 10 mm further down.

Everything here is computed in float32 at least, under autocast too: half a voxel is lost in a bfloat16 grid.
"""

from __future__ import annotations

import functools
import math

import torch
from torch.nn import functional

SQUARINGS = 6  # L is 2^6 = 64 small steps
STEEPEST = 1.0  # largest gradient of a velocity: L then stretches by at most e, which its lattice resolves


def full_precision(function):
    """A function of tensors in float32 (float64 stays), whatever autocast and the inputs' types are."""

    @functools.wraps(function)
    def precise(first: torch.Tensor, *others, **named):
        with torch.autocast(first.device.type, enabled=False):
            return function(_lifted(first), *map(_lifted, others), **named)

    return precise


def _lifted(value):
    half = isinstance(value, torch.Tensor) and value.dtype in (torch.float16, torch.bfloat16)
    return value.float() if half else value


def box_mm(shape: tuple[int, ...], spacing_mm: float) -> tuple[float, float, float]:
    """(x, y, z) mm of the last voxel of an array (D, H, W)."""
    return tuple((n - 1) * spacing_mm for n in reversed(shape))


def centre_of(shape: tuple[int, ...], spacing_mm: float) -> tuple[float, float, float]:
    """(x, y, z) mm of the middle of an array (D, H, W)."""
    return tuple(extent / 2 for extent in box_mm(shape, spacing_mm))


def points_of(shape: tuple[int, ...], spacing_mm: float, like: torch.Tensor) -> torch.Tensor:
    """(1, D, H, W, 3) mm of every voxel of an array (D, H, W), of the device of `like` and float32 at least."""
    dtype = torch.promote_types(like.dtype, torch.float32)
    axes = [torch.arange(n, dtype=dtype, device=like.device) * spacing_mm for n in shape]
    return torch.stack(torch.meshgrid(*axes, indexing="ij")[::-1], -1)[None]


@full_precision
def sample(volume: torch.Tensor, points_mm: torch.Tensor, spacing_mm: float) -> torch.Tensor:
    """Trilinear interpolation; beyond the outermost voxels their value is continued.

    Args:
        volume: (batch, C, d, h, w), at least 2 voxels along each axis. points_mm: (batch, D, H, W, 3).

    Returns:
        (batch, C, D, H, W). Either batch may be 1.
    """
    extent = points_mm.new_tensor(box_mm(volume.shape[2:], spacing_mm))
    grid = 2 * points_mm / extent - 1
    batch = max(len(volume), len(grid))
    volume, grid = volume.to(grid.dtype).expand(batch, *volume.shape[1:]), grid.expand(batch, *grid.shape[1:])
    return functional.grid_sample(volume, grid, mode="bilinear", padding_mode="border", align_corners=True)


@full_precision
def sample_distance(phi: torch.Tensor, points_mm: torch.Tensor, spacing_mm: float) -> torch.Tensor:
    """A signed distance (batch, 1, d, h, w), positive inside, at points (batch, D, H, W, 3) -> (batch, 1, D, H, W).

    Beyond its box the distance grows on: the value at the nearest point of the box, less the way there.
    """
    extent = points_mm.new_tensor(box_mm(phi.shape[2:], spacing_mm))
    outside = functional.relu(-points_mm) + functional.relu(points_mm - extent)
    way = (outside.square().sum(-1) + 1e-12).sqrt() - 1e-6  # differentiable at 0, and 0 there
    return sample(phi, points_mm, spacing_mm) - way[:, None]


@full_precision
def pose_matrix(pose: torch.Tensor, image_centre_mm, template_centre_mm) -> torch.Tensor:
    """G = C+ T R S C- (Bertrand 2019, eq. 4.8), image point -> template point.

    The centring matrices are the identity with a translation: C- takes the image's centre to the origin, C+ the origin
    to the template's centre. (The source prints their diagonals as 1, 0, 0, 0, which would flatten space to a line.)

    Args:
        pose: (batch, 9) translation (x, y, z) in mm, rotation vector in radians, logarithms of the scales.
        image_centre_mm, template_centre_mm: (x, y, z).

    Returns:
        (batch, 4, 4).
    """
    translation, rotation, log_scale = pose.split(3, dim=1)
    c_minus = translation_matrix(-pose.new_tensor(image_centre_mm)[None])
    c_plus = translation_matrix(pose.new_tensor(template_centre_mm)[None])
    scale = torch.diag_embed(functional.pad(log_scale.exp(), (0, 1), value=1.0))
    return c_plus @ translation_matrix(translation) @ rotation_matrix(rotation) @ scale @ c_minus


@full_precision
def pose_about(
    offset_mm: torch.Tensor, rotation: torch.Tensor, log_scale: torch.Tensor, residual_mm: torch.Tensor | float = 0.0
) -> torch.Tensor:
    """The pose (batch, 9) that takes the point `offset_mm` from the image's centre to the template's centre, or to
    `residual_mm` from it; all (batch, 3)."""
    turned = rotation_matrix(rotation)[:, :3, :3] @ (log_scale.exp() * offset_mm)[:, :, None]
    return torch.cat([residual_mm - turned[:, :, 0], rotation, log_scale], 1)


def translation_matrix(translation: torch.Tensor) -> torch.Tensor:
    """(batch, 3) mm -> (batch, 4, 4)."""
    identity = torch.eye(4, dtype=translation.dtype, device=translation.device)
    return identity + functional.pad(translation[:, :, None], (3, 0, 0, 1))


def rotation_matrix(rotation: torch.Tensor) -> torch.Tensor:
    """Rotation vectors (batch, 3), axis times angle in radians -> (batch, 4, 4): the exponential of their cross product
    (smooth at 0, where Rodrigues' formula divides by the angle)."""
    x, y, z = rotation.unbind(1)
    zero = torch.zeros_like(x)
    cross = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], 1).reshape(-1, 3, 3)
    rotated = torch.linalg.matrix_exp(cross)
    last = rotated.new_tensor([0.0, 0.0, 0.0, 1.0]).expand(len(rotated), 1, 4)
    return torch.cat([functional.pad(rotated, (0, 1)), last], 1)


@full_precision
def rotation_vector(rotation: torch.Tensor) -> torch.Tensor:
    """(batch, 3, 3) rotations -> (batch, 3) axis times angle in [0, pi], by way of the quaternion whose largest
    component is positive: differentiable at the identity and everywhere but at half turns."""
    diagonal = rotation.diagonal(dim1=1, dim2=2)
    trace = diagonal.sum(1, keepdim=True)
    # Four times the square of each component (x, y, z, w), and the products with the largest
    squares = torch.cat([1 + 2 * diagonal - trace, 1 + trace], 1)
    r = rotation
    products = torch.stack(
        [
            squares[:, 0], r[:, 1, 0] + r[:, 0, 1], r[:, 0, 2] + r[:, 2, 0], r[:, 2, 1] - r[:, 1, 2],
            r[:, 1, 0] + r[:, 0, 1], squares[:, 1], r[:, 2, 1] + r[:, 1, 2], r[:, 0, 2] - r[:, 2, 0],
            r[:, 0, 2] + r[:, 2, 0], r[:, 2, 1] + r[:, 1, 2], squares[:, 2], r[:, 1, 0] - r[:, 0, 1],
            r[:, 2, 1] - r[:, 1, 2], r[:, 0, 2] - r[:, 2, 0], r[:, 1, 0] - r[:, 0, 1], squares[:, 3],
        ],
        1,
    ).reshape(-1, 4, 4)  # fmt: skip
    largest = squares.argmax(1)
    quaternion = functional.normalize(products[torch.arange(len(r), device=r.device), largest], dim=1)
    quaternion = quaternion * torch.where(quaternion[:, 3:] < 0, -1.0, 1.0)
    vector, w = quaternion[:, :3], quaternion[:, 3:]
    sine = (vector.square().sum(1, keepdim=True) + 1e-20).sqrt()
    return vector * (2 * torch.atan2(sine, w) / sine)


@full_precision
def transform(points_mm: torch.Tensor, matrix: torch.Tensor) -> torch.Tensor:
    """Points (batch or 1, ..., 3) by affine matrices (batch, 4, 4) -> (batch, ..., 3)."""
    batch, shape = len(matrix), points_mm.shape[1:]
    flat = points_mm.reshape(len(points_mm), -1, 3)
    return (flat @ matrix[:, :3, :3].mT + matrix[:, None, :3, 3]).reshape(batch, *shape)


@full_precision
def smooth(field: torch.Tensor, sigma_voxels: float) -> torch.Tensor:
    """The field (batch, C, D, H, W) convolved with the Gaussian K_sigma; its border values are continued."""
    radius = max(1, math.ceil(3 * sigma_voxels))
    at = torch.arange(-radius, radius + 1, dtype=field.dtype, device=field.device)
    kernel = torch.exp(-0.5 * (at / sigma_voxels) ** 2)
    kernel = kernel / kernel.sum()
    result = field.flatten(0, 1)[:, None]
    for axis in range(3):
        shape, pad = [1, 1, 1], [0] * 6
        shape[axis] = 2 * radius + 1
        pad[2 * (2 - axis)] = pad[2 * (2 - axis) + 1] = radius
        result = functional.conv3d(functional.pad(result, pad, mode="replicate"), kernel.reshape(1, 1, *shape))
    return result.reshape(field.shape)


@full_precision
def flow(velocity: torch.Tensor, spacing_mm: float) -> torch.Tensor:
    """L - Id for the stationary velocity field of which L is the flow at time 1, by scaling and squaring.

    With v / 2^n small, L is about Id + v / 2^n, composed with itself n times over (Arsigny et al. 2006). A velocity
    steeper than `STEEPEST` anywhere is scaled down as a whole. Then every step is invertible, and so is L: it cannot
    fold. (As long as the lattice resolves the field, which smoothing by K_sigma of a voxel or more ensures.)

    Args:
        velocity: (batch, 3, D, H, W) mm on a lattice, channels (x, y, z).

    Returns:
        The displacement in mm, of the same shape.
    """
    velocity = velocity * (STEEPEST / steepness(velocity, spacing_mm).clamp_min(STEEPEST))[:, None, None, None, None]
    displacement = velocity / 2**SQUARINGS
    points = points_of(velocity.shape[2:], spacing_mm, velocity)
    for _ in range(SQUARINGS):
        displacement = displacement + sample(displacement, points + displacement.movedim(1, -1), spacing_mm)
    return displacement


def steepness(field: torch.Tensor, spacing_mm: float) -> torch.Tensor:
    """(batch,) the largest Frobenius norm of the gradient of a field (batch, 3, D, H, W), a bound of its Lipschitz
    norm."""
    squares = [functional.pad(field.diff(dim=2 + axis).square(), _after(axis)).sum(1) for axis in range(3)]
    return (sum(squares).flatten(1).amax(1) + 1e-12).sqrt() / spacing_mm


def _after(axis: int) -> list[int]:
    pad = [0] * 6
    pad[2 * (2 - axis) + 1] = 1
    return pad


@full_precision
def jacobian_determinants(displacement: torch.Tensor, spacing_mm: float) -> torch.Tensor:
    """Determinant of the Jacobian of Id + displacement, interpolated trilinearly, in the 8 corners of every cell.

    Args:
        displacement: (batch, 3, D, H, W) mm.

    Returns:
        (batch, 8, D - 1, H - 1, W - 1); the map folds where it is not positive.
    """
    by_z, by_y, by_x = (displacement.diff(dim=2 + axis) / spacing_mm for axis in range(3))
    ends = (slice(None, -1), slice(1, None))
    identity = torch.eye(3, dtype=displacement.dtype, device=displacement.device)
    corners = []
    for x in ends:
        for y in ends:
            for z in ends:
                columns = (by_x[:, :, z, y], by_y[:, :, z, :, x], by_z[:, :, :, y, x])
                corners.append(torch.linalg.det(torch.stack(columns, -1).movedim(1, -2) + identity))
    return torch.stack(corners, 1)


@full_precision
def pulled(
    phi0: torch.Tensor,
    spacing_mm: float,
    points_mm: torch.Tensor,
    matrix: torch.Tensor,
    displacement: torch.Tensor | None,
    lattice_mm: float,
) -> torch.Tensor:
    """phi0(L(G(x))) at points x, over the scale of G: a distance in the image's mm again, wherever G scales evenly.

    Args:
        phi0: (batch or 1, 1, d, h, w) of `spacing_mm`. points_mm: (batch or 1, D, H, W, 3). matrix: (batch, 4, 4) of G.
        displacement: (batch, 3, n, n, n) L - Id in mm on a lattice of `lattice_mm`, or None.

    Returns:
        (batch, 1, D, H, W) mm.
    """
    points = transform(points_mm, matrix)
    if displacement is not None:
        points = points + sample(displacement, points, lattice_mm).movedim(1, -1)
    scale = torch.linalg.det(matrix[:, :3, :3])
    return sample_distance(phi0, points, spacing_mm) / scale.pow(1 / 3)[:, None, None, None, None]


def lattice_of(template_shape: tuple[int, ...], spacing_mm: float, lattice_mm: float) -> tuple[int, float]:
    """Points along an axis, and the exact distance in mm, of the lattice of about `lattice_mm` that spans a template's
    box."""
    if len(set(template_shape)) != 1:
        raise ValueError(f"The template of a deformation is a cube of voxels, not {tuple(template_shape)}.")
    extent = box_mm(template_shape, spacing_mm)[0]
    count = max(2, round(extent / lattice_mm) + 1)
    return count, extent / (count - 1)
