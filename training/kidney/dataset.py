"""The training set of the kidney models: simulated ultrasound on the working grid with the true signed distance.

Subject n of a data set depends only on the seed and n; see `shards` for how it is kept. A part of the volumes shows no
kidney: the dense head learns from them to find none.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import ndimage
from SlicerHPOLib.image import Image
from SlicerHPOLib.job import Job
from SlicerHPOLib.kidney.grid import SIZE, SPACINGS_MM, Grid, fitted_grid, to_grid, upright

from ..shards import load_shards, make_shards
from ..simulation.randomisation import POPULATIONS
from ..simulation.ultrasound import simulate_ultrasound

PER_SHARD = 50
STEPS = 16  # of the stored distance in a voxel; it is cut at 127 steps, 8 voxels
SCANNER_MM = 2.0  # voxels that the simulated scanner exports
EMPTY_SHARE = 0.08  # of volumes without a kidney
EMPTY = len(POPULATIONS)  # their population


@dataclass(frozen=True, eq=False)
class Volumes:
    """images: (N, k, j, i) uint8, what the networks see, times 255. distances: (N, k, j, i) int8, signed distance to
    the capsule in voxels / `STEPS`, positive inside. population: (N,) uint8 index into POPULATIONS, or EMPTY.
    spacing_mm: (N,) float32, of the voxels."""

    images: np.ndarray
    distances: np.ndarray
    population: np.ndarray
    spacing_mm: np.ndarray

    FIELDS = ("images", "distances", "population", "spacing_mm")

    def __len__(self) -> int:
        return len(self.images)

    def where(self, chosen: np.ndarray) -> Volumes:
        """The volumes at which `chosen` (N,) is true, or with these indices."""
        return Volumes(*(getattr(self, name)[chosen] for name in self.FIELDS))


def pooled(volumes: Volumes, factor: int) -> Volumes:
    """The same subjects on voxels that are means of factor^3."""
    n, *size = volumes.images.shape
    if factor < 1 or any(length % factor for length in size):
        raise ValueError(f"Volumes of {size} voxels cannot be pooled by {factor}.")
    blocks = [part for length in size for part in (length // factor, factor)]

    def means(arrays: np.ndarray, scale: float) -> np.ndarray:
        out = np.empty((n, *blocks[::2]), arrays.dtype)
        for index, array in enumerate(arrays):  # one at a time: a data set fills half the memory
            out[index] = np.rint(array.reshape(blocks).mean((1, 3, 5), dtype=np.float32) * scale)
        return out

    images, distances = means(volumes.images, 1.0), means(volumes.distances, 1.0 / factor)
    return Volumes(images, distances, volumes.population, volumes.spacing_mm * factor)


def subject_seed(seed: int, index: int) -> int:
    """The seed of `simulate_ultrasound` for subject `index` of the data set with `seed`."""
    return int(np.random.SeedSequence([seed, index]).generate_state(1, np.uint64)[0])


def draw_volume(
    seed: int, index: int, size: int, spacings_mm: Sequence[float], adults: float | None, empty_share: float
) -> Volumes:
    """Subject `index` of the data set with `seed`, on the grid as users' volumes; see `simulate`."""
    empty = np.random.default_rng([seed, index, 1]).random() < empty_share
    population = None if adults is None else POPULATIONS[is_child(index, adults)]
    subject = simulate_ultrasound(
        subject_seed(seed, index), population, spacing_mm=SCANNER_MM, size=None, kidney=not empty
    )
    grid = fitted_grid(subject.image, spacings_mm, size)
    image, grid = upright(to_grid(subject.image, grid), grid)
    spacing = float(grid.spacing_mm[0])
    voxels = phi_on_grid(subject.image, subject.phi_mm, grid) / spacing
    return Volumes(
        np.rint(image * 255).astype(np.uint8)[None],
        np.clip(np.rint(voxels * STEPS), -127, 127).astype(np.int8)[None],
        np.array([EMPTY if empty else POPULATIONS.index(subject.population)], np.uint8),
        np.array([spacing], np.float32),
    )


def is_child(index: int, adults: float) -> bool:
    """Whether a subject is a child, if a share of them are adults: evenly spread, and exact in every round number."""
    return math.floor((index + 1) * (1 - adults) + 1e-9) > math.floor(index * (1 - adults) + 1e-9)


def phi_on_grid(image: Image, phi_mm: np.ndarray, grid: Grid) -> np.ndarray:
    """A signed distance (k, j, i) given on the image's voxels on those of its working grid; outside of the image, that
    of the nearest point in it less the way there."""
    corner, *ends = (grid.ras_of(v) for v in ((0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1)))
    start = image.ijk_of(corner)[::-1]
    matrix = np.stack([image.ijk_of(end)[::-1] - start for end in ends], 1)
    inner = ndimage.affine_transform(phi_mm, matrix, start, tuple(grid.shape), order=1, mode="nearest")
    nodes = start + np.stack(np.meshgrid(*map(np.arange, grid.shape), indexing="ij"), -1) @ matrix.T
    way = (nodes - np.clip(nodes, 0, np.array(image.shape) - 1)) * image.spacing_mm[::-1]
    return inner - np.sqrt((way * way).sum(-1))


def _shard(
    numbers: range, seed: int, size: int, spacings_mm: Sequence[float], adults: float | None, empty_share: float
) -> dict[str, np.ndarray]:
    drawn = joined([draw_volume(seed, n, size, spacings_mm, adults, empty_share) for n in numbers])
    return {name: getattr(drawn, name) for name in Volumes.FIELDS}


def simulate(
    out: str | Path,
    *,
    volumes: int,
    size: int = SIZE,
    spacings_mm: Sequence[float] = SPACINGS_MM,
    seed: int = 0,
    adults: float | None = None,
    empty_share: float = EMPTY_SHARE,
    workers: int = 2,
    job: Job = Job(),
) -> Path:
    """Simulate a data set of `volumes` volumes; goes on where an earlier call stopped.

    Args:
        size, spacings_mm: of the working grid, see `grid.fitted_grid`; 80 and (4,) are the source's.
        adults: their share among all; None: as the simulator draws (60 %). empty_share: of volumes without a kidney.

    Raises ValueError if the folder holds a data set made with other settings.
    """
    chosen = (size, list(spacings_mm), adults, empty_share)
    settings = dict(zip(("size", "spacings_mm", "adults", "empty_share"), chosen, strict=True))
    settings |= {"volumes": volumes, "seed": seed}
    return make_shards(
        out, settings, _shard, (seed, *chosen), volumes=volumes, per_shard=PER_SHARD, workers=workers, job=job
    )


def load(*folders: str | Path) -> Volumes:
    """All volumes of data sets. Raises ValueError if one has none."""
    parts = [Volumes(*load_shards(folder, Volumes.FIELDS, "kidney")) for folder in folders]
    return parts[0] if len(parts) == 1 else joined(parts)


def joined(parts: Sequence[Volumes]) -> Volumes:
    """All volumes of several sets."""
    return Volumes(*(np.concatenate([getattr(part, name) for part in parts]) for name in Volumes.FIELDS))


def describe(volumes: Volumes) -> str:
    """How many volumes show what: 120 adults, 80 children, 16 without a kidney."""
    adults, children, empty = np.bincount(volumes.population, minlength=3)
    return f"{adults} adults, {children} children, {empty} without a kidney"
