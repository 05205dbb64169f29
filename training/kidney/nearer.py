"""Volumes seen from nearer about their kidney, as the first look sees them when it looks again (`scales`): there what
is a voxel thick from afar, as the cortex of a small kidney is, has several."""

from __future__ import annotations

import numpy as np
import torch
from SlicerHPOLib.kidney.scales import CLOSEST, View, middle_and_size, seen_in
from torch.nn import functional

EXTENTS = (0.11, 0.28)  # of the kidney: standard deviation along an axis, in half widths of the view
ASIDE = 0.12  # standard deviation of its middle from the view's, in the same
ANYWHERE = 0.3  # how far from the middle a view without a kidney may be, in half widths of the volume


def nearer(
    image: torch.Tensor, distance: torch.Tensor, size: int, rng: np.random.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """A view of a volume in which its kidney has a size drawn from `EXTENTS`; of a random part where there is none.

    Args:
        image: (1, 1, D, D, D) in [0, 1]. distance: (1, 1, D, D, D) in voxels, positive inside.

    Returns:
        Both (1, 1, size, size, size), the distance in the view's voxels.
    """
    extent, offset = rng.uniform(*EXTENTS), rng.normal(0, ASIDE, 3)
    ratio, middle = rng.uniform(CLOSEST, 1.0), rng.uniform(-ANYWHERE, ANYWHERE, 3)
    if (distance > 0).any():
        middle, own = middle_and_size((distance > 0).float())
        ratio = float(np.clip(own / extent, CLOSEST, 1.0))
        middle = np.array(middle) + ratio * offset
    step = ratio * image.shape[-1] / size  # of the view's voxels, in the volume's
    view = View(ratio, tuple(middle))
    sharp = functional.avg_pool3d(image, 2) if step > 1.5 else image
    return seen_in(view, sharp, size), seen_in(view, distance, size, "border") / step
