"""Augmentation of slices on the fly: what simulation drew once is varied again at every epoch."""

from __future__ import annotations

import torch
from torch.nn import functional


def augment(
    images: torch.Tensor, side_mm: torch.Tensor, generator: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Rotate, scale, shift and crop slices, change their brightness curve, smooth and add noise, cover a part.

    Args:
        images: (batch, 1, size, size) in [0, 1]. side_mm: (batch,) physical side of each.

    Returns:
        The same shapes; `side_mm` follows the scaling, with an error of some per cent as in patients of other sizes.
    """
    n, _, size, _ = images.shape
    device = images.device

    def uniform(low: float, high: float, *shape: int) -> torch.Tensor:
        return low + (high - low) * torch.rand(shape or (n,), generator=generator, device=device)

    # A pull: output pixel -> input position. zoom < 1 shows less of the slice, larger.
    angle, zoom = uniform(-0.25, 0.25), torch.exp(uniform(-0.35, 0.12))
    stretch, shift = torch.exp(uniform(-0.08, 0.08)), uniform(-0.12, 0.12, n, 2)
    cos, sin = torch.cos(angle) * zoom, torch.sin(angle) * zoom
    pull = torch.stack([cos * stretch, -sin, shift[:, 0], sin, cos / stretch, shift[:, 1]], 1).reshape(n, 2, 3)
    grid = functional.affine_grid(pull, list(images.shape), align_corners=False)
    images = functional.grid_sample(images, grid, align_corners=False)
    side_mm = side_mm * zoom * torch.exp(uniform(-0.08, 0.08))

    def some(share: float) -> torch.Tensor:
        return (uniform(0, 1) < share).float().reshape(n, 1, 1, 1)

    images = images.clamp(0, 1) ** torch.exp(uniform(-0.4, 0.4)).reshape(n, 1, 1, 1)
    smooth = functional.avg_pool2d(images, 3, 1, 1)
    images = images + some(0.3) * uniform(-0.5, 1).reshape(n, 1, 1, 1) * (smooth - images)  # sharper or smoother
    strength = some(0.4) * uniform(0, 0.1).reshape(n, 1, 1, 1)
    images = images + strength * torch.randn(images.shape, generator=generator, device=device)

    # Cover a rectangle: implants, dark bands, what another scanner cuts away.
    centre, half = uniform(0, size, n, 2), uniform(0.05, 0.2, n, 2) * size
    at = torch.arange(size, device=device)
    rows, columns = ((at[None] - centre[:, d : d + 1]).abs() < half[:, d : d + 1] for d in (0, 1))
    covered = (rows[:, None, :, None] & columns[:, None, None, :]).float() * some(0.15)
    return (images * (1 - covered)).clamp(0, 1), side_mm
