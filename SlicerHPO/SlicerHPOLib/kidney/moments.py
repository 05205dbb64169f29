"""The pose of a blob: where a dense map of the kidney lies, how it is turned, and how large it is, by its moments.

What is confident counts (the map's cube), near the place where most of it is: what is found elsewhere has no say. Axes
are those of the template (see `template.py`): z along the longest principal axis, to superior; x along the second, to
the side to which the shape is convex; y = z x x.
"""

from __future__ import annotations

import numpy as np
import torch
from scipy import ndimage

from .transforms import centre_of, points_of, pose_about, rotation_vector

BLUR_MM = 16.0  # to find the place with most of the map
REACH_MM, REACH_SD, LARGEST_REACH_MM = 55.0, 2.3, 110.0  # of the window around it: at first, then by the blob's size
ROUNDS = 4
LOG_SCALES = -0.8, 0.8  # of a blob, at most


def rms_size_mm(inside: np.ndarray, spacing_mm: float) -> float:
    """Geometric mean of the three principal standard deviations, in mm, of the voxels (d, h, w) that are true."""
    return _size(np.cov(np.argwhere(inside).T * spacing_mm))


@torch.no_grad()
def principal_pose(probability: torch.Tensor, spacing_mm: float, template_size_mm: float) -> torch.Tensor:
    """The pose (batch, 9) of G (see `transforms.pose_matrix`) that takes each blob to the template's centre, axes and
    size (`rms_size_mm`), with one scale for all axes.

    Args:
        probability: (batch, 1, d, h, w) in [0, 1]; its voxels span the box of the image.
    """
    weights = probability.float() ** 3 + 1e-12
    points = points_of(weights.shape[2:], spacing_mm, weights).reshape(-1, 3).double().cpu().numpy()
    points -= np.array(centre_of(weights.shape[2:], spacing_mm))
    rows = []
    for blob in weights[:, 0].double().cpu().numpy():
        most = ndimage.gaussian_filter(blob, BLUR_MM / spacing_mm, mode="constant").argmax()
        weight, centre, reach = blob.ravel(), points[most], REACH_MM
        for _ in range(ROUNDS):
            near = weight * np.exp(-((((points - centre) ** 2).sum(1) / reach**2) ** 2))
            near /= near.sum()
            centre = near @ points
            away = points - centre
            covariance = (near[:, None] * away).T @ away
            reach = np.clip(REACH_SD * np.sqrt(np.linalg.eigvalsh(covariance)[-1]), REACH_MM / 2, LARGEST_REACH_MM)
        axes = _axes(covariance, away, near)
        scale = np.clip(np.log(template_size_mm / _size(covariance)), *LOG_SCALES)
        rows.append(np.concatenate([centre, axes.T.ravel(), [scale]]))
    found = torch.tensor(np.array(rows), dtype=torch.float32, device=probability.device)
    return pose_about(found[:, :3], rotation_vector(found[:, 3:12].reshape(-1, 3, 3)), found[:, 12:].expand(-1, 3))


def _axes(covariance: np.ndarray, away: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """(3, 3) whose columns are the template's x, y, z in the image."""
    axes = np.linalg.eigh(covariance)[1]
    x, z = axes[:, 1], axes[:, 2]
    z = z * (1 if z @ (0, 1e-3, 1) >= 0 else -1)
    x = x * (1 if weight @ ((away @ x) * (away @ z) ** 2) <= 0 else -1)
    return np.stack([x, np.cross(z, x), z], 1)


def _size(covariance: np.ndarray) -> float:
    return float(max(np.linalg.det(covariance), 1e-6) ** (1 / 6))
