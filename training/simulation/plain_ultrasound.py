"""A second, plainer simulation of kidney ultrasound, to see how a model does on volumes unlike those it learned from.

Nothing is trained on it. It shares the kidney's shapes with `ultrasound`, and nothing else: there are no beams, organs
or acoustics, but voxels with an echo of their tissue, speckle of one grain throughout, log compression, a depth at
which it fades, now and then a vessel or a shadow, and a field of view cut out of them: a pyramid with a curved bottom,
or a box.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import ndimage
from scipy.spatial.transform import Rotation
from SlicerHPOLib.image import Image

from .kidney_shape import KidneyShape, draw_traits, shape_from_mask, shape_of

SPACINGS_MM = (1.5, 2.5)
BOXED, VESSELS, SHADOWED = 0.25, 6, 0.3
DEPTHS_MM = {"adult": (120.0, 170.0), "child": (75.0, 110.0)}


def plain_ultrasound(
    seed: int, population: str, *, masks: Sequence[Image] = (), kidney: bool = True
) -> tuple[Image, np.ndarray]:
    """One volume, grey levels 0 to 255, 0 outside of the field of view; the probe is above, at the last slice.

    Args:
        population: "adult" or "child". masks: kidneys to take shapes from, as of `simulate_ultrasound`. kidney: False
            leaves it out.

    Returns:
        The image, and (k, j, i) float32 signed distance to the capsule in mm at its voxels, positive inside.
    """
    rng = np.random.default_rng([seed, 41])
    traits = draw_traits(rng, population)
    shape = shape_from_mask(masks[rng.integers(len(masks))], traits) if masks else shape_of(traits)
    spacing, depth = rng.uniform(*SPACINGS_MM), rng.uniform(*DEPTHS_MM[population])
    width = depth * rng.uniform(0.9, 1.3)
    counts = np.ceil(np.array([width, width * rng.uniform(0.7, 1.0), depth]) / spacing).astype(int)
    x, y, z = np.meshgrid(*[(np.arange(n) - (n - 1) / 2) * spacing for n in counts], indexing="ij", sparse=True)
    below = depth / 2 - z  # the probe's face

    phi = _posed(shape, rng, x, y, z)
    grain = rng.uniform([0.8, 0.8, 0.5], [1.6, 1.6, 1.0]) * rng.uniform(1.0, 2.2) / spacing
    echo = _echo(rng, phi if kidney else np.full(phi.shape, -1000.0), spacing, below)
    looks = [np.hypot(*(ndimage.gaussian_filter(rng.normal(size=phi.shape), grain) for _ in "ri")) for _ in range(3)]
    magnitude = np.mean(looks[: rng.integers(1, 4)], 0)
    decibel = 20 * np.log10(np.maximum(echo * magnitude / magnitude.mean(), 1e-6))
    span = rng.uniform(45, 65)
    grey = np.clip(rng.uniform(0.45, 0.65) + decibel / span, 0, 1)

    seen = np.ones(phi.shape, bool)
    if rng.random() >= BOXED:
        half = np.tan(rng.uniform(0.5, 0.75, 2))
        near = rng.uniform(8, 25)
        seen = (np.abs(x) <= (near + below) * half[0]) & (np.abs(y) <= (near + below) * half[1])
        seen = seen & (np.sqrt(x**2 + y**2 + (near + below) ** 2) <= near + depth)
    voxels = np.where(seen, 1 + np.rint(254 * grey), 0).astype(np.uint8)
    matrix = np.diag([spacing] * 3 + [1.0])
    matrix[:3, 3] = -(counts - 1) / 2 * spacing
    return Image(np.ascontiguousarray(voxels.transpose()), matrix, f"plain-{seed}"), phi.transpose().astype(np.float32)


def _posed(shape: KidneyShape, rng: np.random.Generator, x, y, z) -> np.ndarray:
    """Signed distance (mm) of a kidney somewhere about the middle, its long axis rather along x."""
    turn = Rotation.from_euler("YXZ", rng.uniform([60, -180, -40], [120, 180, 40]), degrees=True).as_matrix()
    x, y, z = np.broadcast_arrays(x, y, z)
    room = np.array([np.ptp(c) for c in (x, y, z)]) / 2
    middle = rng.uniform(-0.15, 0.15, 3) * room
    points = np.stack([x - middle[0], y - middle[1], z - middle[2]])
    return shape.phi_at(*np.einsum("ab,bxyz->axyz", turn, points))


def _echo(rng: np.random.Generator, phi: np.ndarray, spacing: float, below: np.ndarray) -> np.ndarray:
    """Amplitude of what is scattered at each voxel, about 1 in the tissue around the kidney."""

    def slow(length_mm: float) -> np.ndarray:
        field = ndimage.gaussian_filter(rng.normal(size=phi.shape), length_mm / spacing, mode="wrap")
        return field / field.std()

    echo = np.exp(rng.uniform(0.05, 0.3) * slow(rng.uniform(6, 15)))
    if rng.random() < 0.6:  # another organ beside
        echo = np.where(slow(25.0) > rng.uniform(0.3, 1.2), echo * rng.uniform(0.4, 2.5), echo)
    for _ in range(rng.integers(VESSELS)):
        centre, axis = rng.uniform(-0.5, 0.5, 3) * phi.shape, rng.normal(size=3)
        at = np.indices(phi.shape, sparse=True)
        offset = [c - n / 2 - m for c, n, m in zip(at, phi.shape, centre, strict=True)]
        along = sum(o * a for o, a in zip(offset, axis / np.linalg.norm(axis), strict=True))
        aside = np.sqrt(np.maximum(sum(o**2 for o in offset) - along**2, 0)) * spacing
        echo = np.where((aside < rng.uniform(1.5, 4)) & (np.abs(along) * spacing < 25), 0.1 * echo, echo)

    inner = max(float(phi.max()), 1.0)
    fat, sinus = rng.uniform(0, 6), rng.uniform(0.4, 0.65) * inner
    echo = np.where((phi <= 0) & (phi > -fat), echo * rng.uniform(0.9, 2.0), echo)
    echo = np.where(phi > 0, rng.uniform(0.35, 0.85) * np.exp(0.1 * slow(5.0)), echo)
    bright = 0.1 if rng.random() < 0.1 else rng.uniform(1.2, 3.0)
    echo = np.where(phi + 0.12 * inner * slow(6.0) > sinus, bright, echo)
    echo = np.where(np.abs(phi) < spacing, echo * rng.uniform(1.0, 2.0), echo)
    if rng.random() < SHADOWED:
        beam = rng.uniform(0.1, 0.9) * phi.shape[0]
        behind = np.abs(np.arange(phi.shape[0]) - beam)[:, None, None]
        echo = np.where((behind * spacing < rng.uniform(4, 10)) & (below > 20), 0.05 * echo, echo)
    return ndimage.gaussian_filter(echo, 0.5) * np.exp(-rng.uniform(0, 1.2) * below / below.max())
