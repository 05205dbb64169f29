"""The training set of the field of view: simulated axial slices with their region, made in parallel and read back
whole.

Volume n of a data set depends only on the seed and n; see `shards` for how it is kept.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from SlicerHPOLib.fieldofview.slices import DIMMEST, HIGH_PERCENTILE, LOW_PERCENTILE, resize_weights, scale_intensity
from SlicerHPOLib.job import Job

from ..shards import load_shards, make_shards
from ..simulation.anatomy import Anatomy
from ..simulation.mri import Volume, draw_volume, render_planes
from ..simulation.protocols import PROTOCOLS, supports

VOLUMES_PER_SHARD = 250
LEAST_TISSUE = 0.01  # of a plane: with less it is left out, as the classifier leaves out slices of air
BODY_SHARE = 4.0  # how often a procedural body is imaged, relative to each of the label maps that a protocol can use:
MAP_SHARES = {"head": 4.0, "wholebody": 3.0, "knee": 2.0, "spine": 2.0}  # by the beginning of an anatomy's name


@dataclass(frozen=True, eq=False)
class Slices:
    """images: (N, size, size) uint8. labels: (N,) uint8 index into CLASSES. side_mm: (N,) float32. volume: (N,) int32.
    protocol: (N,) uint8 index into PROTOCOLS."""

    images: np.ndarray
    labels: np.ndarray
    side_mm: np.ndarray
    volume: np.ndarray
    protocol: np.ndarray

    FIELDS = ("images", "labels", "side_mm", "volume", "protocol")

    def __len__(self) -> int:
        return len(self.labels)

    def where(self, chosen: np.ndarray) -> Slices:
        """The slices at which `chosen` (N,) is true."""
        return Slices(*(getattr(self, name)[chosen] for name in self.FIELDS))

    @classmethod
    def join(cls, parts: list[Slices]) -> Slices:
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in cls.FIELDS))


def draw_subject(
    seed: int, index: int, maps: list[tuple[float, list[Anatomy]]], protocol: str | None = None
) -> tuple[Volume, np.random.Generator]:
    """Volume `index` of the data set with `seed`: a new procedural body or one of the label maps, and the generator to
    render it with."""
    from ..simulation.body import sample_body

    rng = np.random.default_rng([seed, index])
    body = sample_body(rng)
    while protocol is not None and not supports(body, PROTOCOLS[protocol]):
        body = sample_body(rng)
    return draw_volume(rng, [(BODY_SHARE, [body]), *maps], protocol), rng


def volume_slices(volume: Volume, rng: np.random.Generator, count: int, size: int, index: int = 0) -> Slices:
    """Up to `count` random axial slices of a volume as the network's input."""
    positions = volume.positions_mm
    chosen = np.sort(rng.choice(len(positions), min(count, len(positions)), replace=False))
    planes, spacing, tissue = render_planes(volume, positions[chosen], rng, longest=128)
    side = max(planes.shape[1] * spacing[0], planes.shape[2] * spacing[1])
    by_row, by_column = (resize_weights(planes.shape[1 + d], spacing[d], size, side) for d in (0, 1))
    inside = np.outer(by_row.any(1), by_column.any(1))
    images = by_row @ planes @ by_column.T
    spans = np.subtract(*np.percentile(images[:, inside], (HIGH_PERCENTILE, LOW_PERCENTILE), axis=1))
    images = scale_intensity(images, inside, DIMMEST * float(np.percentile(spans, 90)))
    labels = volume.classes_at(positions[chosen])
    n = len(chosen)
    everything = Slices(
        np.round(images * 255).astype(np.uint8),
        labels.astype(np.uint8),
        np.full(n, side, np.float32),
        np.full(n, index, np.int32),
        np.full(n, list(PROTOCOLS).index(volume.scan.protocol), np.uint8),
    )
    shown = (images > 0.1).mean((1, 2))  # an oblique box may have cut the tissue away
    return everything.where((tissue >= LEAST_TISSUE) & (shown >= LEAST_TISSUE))


_maps: list = []


def start_worker(maps_dir: str | Path | None, split: str) -> None:
    """Load the label maps of a split once in each worker process."""
    global _maps
    _maps = load_maps(maps_dir, split)


def worker_maps() -> list[tuple[float, list[Anatomy]]]:
    """What `start_worker` has loaded in this process."""
    return _maps


def load_maps(maps_dir: str | Path | None, split: str) -> list[tuple[float, list[Anatomy]]]:
    """The prepared label maps of a split, in groups with their shares; none without a folder.

    The last quarter of the heads is for "test" alone; every other map shows a single subject and is for "train" alone.
    """
    if maps_dir is None:
        return []
    from ..simulation.labelmapcache import load_anatomies

    anatomies = load_anatomies(maps_dir)
    groups = []
    for prefix, share in MAP_SHARES.items():
        group = [a for a in anatomies if a.name.startswith(prefix)]
        held_out = len(group) // 4 if prefix == "head" else 0
        group = group[: len(group) - held_out] if split == "train" else group[len(group) - held_out :]
        if group:
            groups.append((share, group))
    return groups


def _shard(numbers: range, per_volume: int, size: int, seed: int) -> dict[str, np.ndarray]:
    parts = []
    for index in numbers:
        volume, rng = draw_subject(seed, index, _maps)
        parts.append(volume_slices(volume, rng, per_volume, size, index))
    slices = Slices.join(parts)
    return {name: getattr(slices, name) for name in Slices.FIELDS}


def simulate(
    out: str | Path,
    *,
    volumes: int,
    per_volume: int = 12,
    size: int = 96,
    seed: int = 0,
    split: str = "train",
    maps_dir: str | Path | None = None,
    workers: int = 2,
    job: Job = Job(),
) -> Path:
    """Simulate a data set of `volumes` volumes with up to `per_volume` slices each; goes on where an earlier call
    stopped.

    Raises ValueError if the folder holds a data set made with other settings.
    """
    settings = dict(
        volumes=volumes, per_volume=per_volume, size=size, seed=seed, split=split, label_maps=maps_dir is not None
    )
    return make_shards(
        out,
        settings,
        _shard,
        (per_volume, size, seed),
        volumes=volumes,
        per_shard=VOLUMES_PER_SHARD,
        workers=workers,
        initializer=start_worker,
        initargs=(None if maps_dir is None else str(maps_dir), split),
        job=job,
    )


def load(folder: str | Path, least: int | None = None) -> Slices:
    """The slices of a data set: all, or those of its first shards that hold at least `least` together.

    Raises:
        ValueError: there are none, or not so many.
    """
    slices = Slices(*load_shards(folder, Slices.FIELDS, "fieldofview", least))
    if len(slices) < (least or 0):
        raise ValueError(f"{folder} holds {len(slices)} slices, {least} are needed: ask for fewer or simulate more.")
    return slices


def split_by_volume(slices: Slices, validation: float, seed: int) -> tuple[Slices, Slices]:
    """Training and validation slices; a volume is never in both."""
    volumes = np.unique(slices.volume)
    held_out = np.random.default_rng([seed, 77]).permutation(volumes)[: max(1, round(validation * len(volumes)))]
    chosen = np.isin(slices.volume, held_out)
    return slices.where(~chosen), slices.where(chosen)


def batches(count: int, batch: int, seed: int, epoch: int, slices: int | None = None) -> Iterator[np.ndarray]:
    """Indices of an epoch's batches; the incomplete last batch is dropped if there is another.

    The slices are passed over again and again, shuffled by seed and pass. An epoch is one pass, or the next `slices`.
    """
    slices = slices or count
    first, last = epoch * slices // count, ((epoch + 1) * slices - 1) // count
    passes = [np.random.default_rng([seed, n]).permutation(count) for n in range(first, last + 1)]
    order = np.concatenate(passes)[epoch * slices - first * count :][:slices]
    for first in range(0, max(slices - batch + 1, 1), batch):
        yield order[first : first + batch]
