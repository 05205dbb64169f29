"""Kidney-like phantoms: a bent ellipsoid with a notch at its hilum, and how it looks in speckle."""

import numpy as np
from scipy.ndimage import gaussian_filter
from scipy.spatial.transform import Rotation
from SlicerHPOLib.image import Image

HALF_AXES_MM = np.array([27.0, 22.0, 52.0])  # x, y, z


def bean(points_mm, half_axes_mm=HALF_AXES_MM, bend=0.35, notch=0.45):
    """Level function, positive inside, at points (..., 3) of the kidney's frame: x away from the hilum, z to a pole."""
    x, y, z = np.moveaxis(np.asarray(points_mm) / half_axes_mm, -1, 0)
    x = x + bend * (z**2 - 0.3)  # poles bend to the hilum, at -x
    hollow = notch * np.exp(-((x + 1.1) ** 2 / 0.2 + y**2 / 0.3 + z**2 / 0.1))
    return 1 - np.sqrt(x**2 + y**2 + z**2) - hollow


def bean_mask(
    rotation=(0, 0, 0), offset_mm=(0, 0, 0), scale=1.0, shape=(56, 56, 56), spacing_mm=2.5, **traits
) -> Image:
    """The mask of a bean, its middle `offset_mm` from that of the volume, turned by a rotation vector (radians)."""
    matrix = np.diag([spacing_mm] * 3 + [1.0])
    matrix[:3, 3] = -(np.array(shape[::-1]) - 1) / 2 * spacing_mm
    ras = np.moveaxis(np.indices(shape)[::-1], 0, -1) * spacing_mm + matrix[:3, 3] - offset_mm
    local = ras @ Rotation.from_rotvec(rotation).as_matrix() / scale
    return Image((bean(local, **traits) > 0).astype(np.uint8), matrix, "bean")


def speckled(mask: Image, inside=0.35, outside=0.7, sinus=0.9, seed=0) -> Image:
    """The volume of a mask: dark parenchyma with a bright sinus in bright surroundings, multiplied by speckle."""
    rng = np.random.default_rng(seed)
    m = mask.voxels.astype(float)
    core = gaussian_filter(m, 12 / mask.spacing_mm[::-1]) > 0.8
    tissue = np.where(m > 0, np.where(core, sinus, inside), outside)
    slow = 1 + 0.15 * gaussian_filter(rng.normal(size=m.shape), 8) * 8**1.5 * 3
    speckle = rng.rayleigh(0.8, m.shape)
    return Image((gaussian_filter(tissue * slow * speckle, 0.6)).astype(np.float32), mask.ijk_to_ras, "phantom")


def dice(a, b) -> float:
    a, b = np.asarray(a, bool), np.asarray(b, bool)
    return float(2 * (a & b).sum() / (a.sum() + b.sum()))
