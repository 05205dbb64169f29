"""Volumes that are no ultrasound: simulated MR of any part of the body, in which a model must not see a kidney's shape.

A model is told never to trust a volume without the cone of a probe; these teach it to expect no good fit there either.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from SlicerHPOLib.image import Image
from SlicerHPOLib.job import Job
from SlicerHPOLib.kidney.grid import SIZE, SPACINGS_MM, fitted_grid, orientations, to_grid

from ..fieldofview.dataset import draw_subject, start_worker, worker_maps
from ..shards import make_shards
from ..simulation.mri import render_image
from .dataset import EMPTY, Volumes, joined

PER_SHARD = 25
LENGTH_MM = (90.0, 320.0)  # of the box that is cut out, along each axis
PLANES = 96  # of MR voxels along the longest axis: as fine as the working grid needs


def draw_volume(seed: int, index: int, size: int) -> Volumes:
    """Volume `index` of the data set with `seed`: a box of simulated MR on the grid as users' volumes, the probe
    supposed in any of six directions."""
    subject, rng = draw_subject(seed, index, worker_maps())
    image = cut(render_image(subject, rng, longest=PLANES), rng)
    grid = fitted_grid(image, SPACINGS_MM, size)
    turned = orientations(to_grid(image, grid), grid)
    volume, grid = turned[rng.integers(len(turned))]
    return Volumes(
        np.rint(volume * 255).astype(np.uint8)[None],
        np.full((1, *volume.shape), -127, np.int8),
        np.array([EMPTY], np.uint8),
        np.array([grid.spacing_mm[0]], np.float32),
    )


def cut(image: Image, rng: np.random.Generator) -> Image:
    """A box of an image, of random edges as far as it is large enough, somewhere in it."""
    voxels, start = image.voxels, []
    for axis, (count, spacing) in enumerate(zip(image.shape, image.spacing_mm[::-1], strict=True)):
        length = min(count, max(2, round(rng.uniform(*LENGTH_MM) / spacing)))
        start.append(int(rng.integers(count - length + 1)))
        voxels = voxels.take(range(start[-1], start[-1] + length), axis)
    matrix = image.ijk_to_ras.copy()
    matrix[:3, 3] += matrix[:3, :3] @ np.array(start[::-1])
    return Image(np.ascontiguousarray(voxels), matrix, image.name)


def _shard(numbers: range, seed: int, size: int) -> dict[str, np.ndarray]:
    drawn = joined([draw_volume(seed, n, size) for n in numbers])
    return {name: getattr(drawn, name) for name in Volumes.FIELDS}


def simulate(
    out: str | Path,
    *,
    volumes: int,
    size: int = SIZE,
    seed: int = 0,
    maps_dir: str | Path | None = None,
    workers: int = 2,
    job: Job = Job(),
) -> Path:
    """Simulate a data set of `volumes` volumes without a kidney; goes on where an earlier call stopped.

    Args:
        maps_dir: label maps as for the field of view (`training prepare fieldofview`), besides the procedural bodies.

    Raises ValueError if the folder holds a data set made with other settings.
    """
    settings = {"modality": "mr", "volumes": volumes, "size": size, "seed": seed, "label_maps": maps_dir is not None}
    initargs = (None if maps_dir is None else str(maps_dir), "train")
    return make_shards(
        out,
        settings,
        _shard,
        (seed, size),
        volumes=volumes,
        per_shard=PER_SHARD,
        workers=workers,
        initializer=start_worker,
        initargs=initargs,
        job=job,
    )
