"""Data sets on disk: a folder of shards (`shard-00000.npz`) and `dataset.json`, which says how it was made.

What a shard holds depends only on the settings and its number, so the result is the same for any number of workers, and
an interrupted simulation goes on where it stopped.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
from SlicerHPOLib.files import replacing
from SlicerHPOLib.job import Job

from .parallel import single_threaded_pool

DESCRIPTION = "dataset.json"


def make_shards(
    out: str | Path,
    settings: dict,
    make: Callable[..., dict[str, np.ndarray]],
    arguments: tuple,
    *,
    volumes: int,
    per_shard: int,
    workers: int,
    initializer: Callable | None = None,
    initargs: tuple = (),
    job: Job = Job(),
) -> Path:
    """Write the shards of a data set that are not there yet.

    Args:
        settings: all that determines the data, for `dataset.json`. make: called in another process with the numbers of
            a shard's volumes (a range) and `arguments`, gives its arrays by name.

    Raises:
        ValueError: the folder holds a data set made with other settings.
    """
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    described = out / DESCRIPTION
    if described.exists() and (old := json.loads(described.read_text())) != settings:
        raise ValueError(
            f"{out} holds a data set made with {old}; asked for {settings}. Use another folder or delete it."
        )
    described.write_text(json.dumps(settings, indent=1) + "\n")
    count = -(-volumes // per_shard)
    todo = [shard for shard in range(count) if not shard_path(out, shard).exists()]
    with single_threaded_pool(workers, initializer, initargs) as pool:
        running = []
        for shard in todo:
            numbers = range(shard * per_shard, min((shard + 1) * per_shard, volumes))
            running.append(pool.submit(_write, shard_path(out, shard), make, numbers, arguments))
        for done, future in enumerate(running):
            job.progress((count - len(todo) + done) / count, f"simulating {out.name}")
            future.result()
    return out


def load_shards(folder: str | Path, names: tuple[str, ...], task: str, least: int | None = None) -> list[np.ndarray]:
    """The arrays of a data set, shards joined, in the order of `names`; only the first shards if these have `least`
    rows. Raises ValueError if there are none."""
    paths = sorted(Path(folder).glob("shard-*.npz"))
    if not paths:
        raise ValueError(
            f"{folder} holds no data set (no shard-*.npz). "
            f"Make one with: python -m training simulate {task} --out {folder}"
        )
    parts: list[list[np.ndarray]] = []
    for path in paths:
        if least is not None and sum(len(part[0]) for part in parts) >= least:
            break
        with np.load(path, allow_pickle=False) as shard:
            parts.append([shard[name] for name in names])
    return [np.concatenate(arrays) for arrays in zip(*parts, strict=True)]


def shard_path(folder: Path, shard: int) -> Path:
    """Where a shard is."""
    return folder / f"shard-{shard:05d}.npz"


def _write(path: Path, make: Callable[..., dict[str, np.ndarray]], numbers: range, arguments: tuple) -> None:
    arrays = make(numbers, *arguments)
    with replacing(path) as temporary:
        np.savez_compressed(temporary, **arrays)
