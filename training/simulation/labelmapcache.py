"""Prepare the public label maps for simulation once, and load them for training.

Every map is converted by its class table, refined into MR anatomy (`refine.py`) and stored compactly. It is made
again only when its source, its table or the recipe changes.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from SlicerHPOLib.job import Job

from training.simulation import refine, refine_spine
from training.simulation.anatomy import Landmarks
from training.simulation.labelmaps import (
    TABLES,
    LabelMapAnatomy,
    LabelMapError,
    crop,
    make_anatomy,
    read_table,
    read_voxels,
)

RECIPE = 2  # raise it when what `refine.py` makes changes


def prepare_label_maps(source_dir: str | Path, cache_dir: str | Path, job: Job | None = None) -> list[Path]:
    """Convert and refine the label maps found below `source_dir`; write one compact file an anatomy to `cache_dir`.

    Looks for ``wholebody/bodyparts3d_20cls_3mm.nii.gz``, ``labelmaps/heads/*.nii.gz``,
    ``labelmaps/knee_spl_seg.nrrd`` and ``labelmaps/PAM50_*.nii.gz``; maps that are missing are skipped. Not used: the
    SPL head-neck atlas (bones, vessels and a few muscles only: more would be invented than known) and the OAI knees (no
    licence, so not for shipped weights).

    Returns:
        The files of all anatomies that are there now, prepared in this call or before.

    Raises:
        LabelMapError: none of the maps is below `source_dir`, or one cannot be read.
    """
    job = job or Job()
    source_dir, cache_dir = Path(source_dir), Path(cache_dir)
    plans = list(_plans(source_dir))
    if not plans:
        raise LabelMapError(
            f"{source_dir}: no label map found; expected wholebody/*.nii.gz or labelmaps/heads/*.nii.gz below it"
        )
    cache_dir.mkdir(parents=True, exist_ok=True)
    prepared = []
    for number, (name, table, sources, make) in enumerate(plans):
        job.progress(number / len(plans), f"label map {name}")
        key = hashlib.sha256(f"{RECIPE} {(TABLES / f'{table}.json').read_text()}".encode())
        for source in sources:
            key.update(source.read_bytes())
        stem = f"{name}-{key.hexdigest()[:12]}"
        found = sorted(cache_dir.glob(f"{stem}*.npz"))
        if not found:
            rng = np.random.default_rng(int(key.hexdigest()[:8], 16))  # the same source gives the same anatomy
            anatomies = make(sources, read_table(table), rng)
            for old in cache_dir.glob(f"{name}-*.npz"):
                old.unlink()
            found = [
                save_anatomy(replace(crop(anatomy), name=f"{name}{suffix}"), cache_dir / f"{stem}{suffix}.npz")
                for suffix, anatomy in anatomies.items()
            ]
        prepared += found
    job.progress(1.0, "label maps")
    return prepared


def load_anatomies(cache_dir: str | Path) -> list[LabelMapAnatomy]:
    """All anatomies that `prepare_label_maps` has put into `cache_dir`, by name."""
    return [load_anatomy(path) for path in sorted(Path(cache_dir).glob("*.npz"))]


def save_anatomy(anatomy: LabelMapAnatomy, path: Path) -> Path:
    """Write an anatomy as compressed arrays with a JSON header; the file appears only when it is complete."""
    marks = anatomy.landmarks
    header = {
        "name": anatomy.name, "attribution": anatomy.attribution, "spine_only": anatomy.spine_only, "only": marks.only,
        "boundaries_mm": marks.boundaries_mm, "sites_mm": marks.sites_mm,
    }  # fmt: skip
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            np.savez_compressed(
                file,
                labels=anatomy.labels,
                ijk_to_ras=anatomy.ijk_to_ras,
                canal_mm=marks.canal_mm,
                header=json.dumps(header),
            )
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    return path


def load_anatomy(path: str | Path) -> LabelMapAnatomy:
    """Read what `save_anatomy` wrote. Raises `LabelMapError` if it is not that."""
    try:
        with np.load(path, allow_pickle=False) as stored:
            header = json.loads(str(stored["header"]))
            labels, ijk_to_ras, canal = stored["labels"], stored["ijk_to_ras"], stored["canal_mm"]
    except (OSError, ValueError, KeyError, EOFError) as error:
        raise LabelMapError(
            f"{path}: not a prepared label map ({error}); delete it and prepare the maps again"
        ) from error
    sites = {name: tuple(site) for name, site in header["sites_mm"].items()}
    landmarks = Landmarks(header["boundaries_mm"], sites, canal, header["only"])
    return LabelMapAnatomy(header["name"], labels, ijk_to_ras, landmarks, header["attribution"], header["spine_only"])


def _wholebody(sources, table, rng) -> dict[str, LabelMapAnatomy]:
    body = refine.body(make_anatomy(*read_voxels(sources[0]), table), rng)
    return {"": body, "-armless": refine.without_arms(body)}


def _head(sources, table, rng) -> dict[str, LabelMapAnatomy]:
    return {"": refine.head(crop(make_anatomy(*read_voxels(sources[0]), table)), rng)}


def _knee(sources, table, rng) -> dict[str, LabelMapAnatomy]:
    voxels, affine = read_voxels(sources[0])
    half = np.diag([2.0, 2.0, 1.0, 1.0])  # every second voxel in plane: 0.55 mm is finer than any simulated scan
    return {"": refine.knee(make_anatomy(voxels[:, ::2, ::2], affine @ half, table), rng)}


def _spine(sources, table, rng) -> dict[str, LabelMapAnatomy]:
    maps = {source.name.split("_")[1].split(".")[0]: read_voxels(source) for source in sources}
    affine = maps["spine"][1]
    voxels = (maps["spine"][0] > 0).astype(np.int16)
    voxels[maps["csf"][0] > 0] = 2
    voxels[maps["cord"][0] > 0] = 3
    return {"": refine_spine.spine(make_anatomy(voxels, affine, table), rng)}


def _plans(source_dir: Path):
    """(name, table, source files, function that makes the anatomies) of each map that is there."""
    makers: list[tuple[str, str, Callable]] = [
        ("wholebody", "wholebody/bodyparts3d_20cls_3mm.nii.gz", _wholebody),
        ("head", "labelmaps/heads/*.nii.gz", _head),
        ("knee", "labelmaps/knee_spl_seg.nrrd", _knee),
    ]
    for table, pattern, make in makers:
        for source in sorted(source_dir.glob(pattern)):
            number = "".join(c for c in source.name.split(".")[0] if c.isdigit()) if table == "head" else ""
            yield f"{table}{number}", table, [source], make
    spine = [source_dir / f"labelmaps/PAM50_{part}.nii.gz" for part in ("spine", "csf", "cord")]
    if all(path.is_file() for path in spine):
        yield "spine", "spine", spine, _spine
