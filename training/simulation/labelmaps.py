"""Label maps as anatomies: any labelled volume with a class table can be imaged.

A class table (JSON, `tables/*.json`) says what a map shows: ::

    {"name": "knee", "attribution": "who made it, licence",
     "tissue_of_label": {"0": "air", "95": "marrow"},                  every label of the map -> name in tissues.py
     "exceptions": [{"label": 19, "box_mm": [low, high], "tissue": "bile"}],  label (null: any) in a box
     "landmarks": {"boundaries_mm": {}, "sites_mm": {}, "only": "legs"},      as in `anatomy.Landmarks`, RAS mm
     "sites_of_labels": {"liver": [11]}, "sites_of_tissues": {"prostate": ["prostate"]},  sites: centres of voxels
     "canal_labels": [7, 8],                                                 labels that fill the spinal canal
     "spine_only": true}                                                     shows the spine with no real body around it
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import ndimage
from SlicerHPOLib.image import ImageError, read_image, reorient_to_ras

from training.simulation.anatomy import Landmarks
from training.simulation.tissues import LABEL

TABLES = Path(__file__).parent / "tables"


class LabelMapError(ValueError):
    """A label map or its class table cannot be used; the message says why and what to do."""


@dataclass(frozen=True, eq=False)
class LabelMapAnatomy:
    """An `Anatomy` made of voxels.

    Args:
        name: short name.
        labels: (k, j, i) uint8 tissue labels. Kept with a border of air so that every point outside finds it.
        ijk_to_ras: (4, 4) voxel index (i, j, k) to RAS mm.
        landmarks: where regions, sites and canal are.
        attribution: who made the map and under which licence, for the model card.
        spine_only: made for scans of the spine; what lies around the spine is only sketched.
    """

    name: str
    labels: np.ndarray
    ijk_to_ras: np.ndarray
    landmarks: Landmarks
    attribution: str = ""
    spine_only: bool = False

    def __post_init__(self):
        if self.labels.ndim != 3 or self.labels.dtype != np.uint8:
            raise LabelMapError(
                f"{self.name}: labels are {self.labels.dtype} {self.labels.shape}; expected uint8 (k, j, i)"
            )
        inside = _bounding_box(self.labels > 0)
        if inside is None:
            raise LabelMapError(f"{self.name}: the label map is empty (all air)")
        corners = np.array(np.meshgrid(*[(s.start - 0.5, s.stop - 0.5) for s in inside[::-1]])).reshape(3, -1)
        corners_mm = (self.ijk_to_ras[:3, :3] @ corners).T + self.ijk_to_ras[:3, 3]
        padded = np.pad(self.labels, 1)
        # Nearest padded voxel of a point: floor(ras_to_ijk (point) + 1.5), clipped to the border of air.
        ras_to_ijk = np.linalg.inv(self.ijk_to_ras)
        lookup = (
            np.ascontiguousarray(ras_to_ijk[:3, :3], dtype=np.float32),
            (ras_to_ijk[:3, 3:] + 1.5).astype(np.float32),
            padded.shape[::-1],
            padded.ravel(),
        )
        object.__setattr__(self, "box_mm", np.stack([corners_mm.min(axis=0), corners_mm.max(axis=0)]))
        object.__setattr__(self, "labels", padded[1:-1, 1:-1, 1:-1])  # a view: the voxels are stored once
        object.__setattr__(self, "_lookup", lookup)

    def labels_at(self, points_mm: np.ndarray) -> np.ndarray:
        """Tissue labels (uint8, shape (...)) of the voxels nearest to `points_mm` (shape (..., 3)); 0 outside."""
        matrix, offset, (ni, nj, nk), flat = self._lookup
        points = np.asarray(points_mm, dtype=np.float32)
        i, j, k = matrix @ points.reshape(-1, 3).T + offset
        index = np.clip(k, 0, nk - 1).astype(np.intp)
        index *= nj
        index += np.clip(j, 0, nj - 1).astype(np.intp)
        index *= ni
        index += np.clip(i, 0, ni - 1).astype(np.intp)
        return flat.take(index).reshape(points.shape[:-1])


def read_table(path: str | Path) -> dict:
    """Class table of `path`, or of the project's table of that name ("head"). Raises `LabelMapError`."""
    path = TABLES / f"{path}.json" if (TABLES / f"{path}.json").is_file() else Path(path)
    try:
        table = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise LabelMapError(f"{path}: no readable class table ({error}); see the docstring of labelmaps.py") from error
    tissues = {e["tissue"] for e in table.get("exceptions", ())}
    if "tissue_of_part" in table:  # surfaces: see bodyparts3d.py
        tissues |= {tissue for _, tissue in table["tissue_of_part"]}
        missing = {"name", "attribution", "landmarks"} - set(table)
    else:
        tissues |= set(table.get("tissue_of_label", {}).values())
        missing = {"name", "attribution", "landmarks", "tissue_of_label"} - set(table)
    if missing:
        raise LabelMapError(f"{path}: the class table lacks {sorted(missing)}")
    unknown = tissues - set(LABEL)
    if unknown:
        raise LabelMapError(f"{path}: unknown tissues {sorted(unknown)}; tissues.py has {', '.join(LABEL)}")
    return table


def read_label_map(path: str | Path, table: str | Path | dict) -> LabelMapAnatomy:
    """Anatomy of a label map file (any format of `read_image`, any orientation) and its class table (`read_table`).

    Raises:
        LabelMapError: unreadable file, labels that the table does not name, or a bad table.
    """
    voxels, ijk_to_ras = read_voxels(path)
    return make_anatomy(voxels, ijk_to_ras, table if isinstance(table, dict) else read_table(table))


def read_voxels(path: str | Path) -> tuple[np.ndarray, np.ndarray]:
    """Integer voxels (k, j, i) with i, j, k along R, A, S, and their (4, 4) ijk-to-RAS affine."""
    try:
        image = reorient_to_ras(read_image(path))
    except ImageError as error:
        raise LabelMapError(f"cannot be read as a label map: {error}") from error
    return np.rint(image.voxels).astype(np.int16), image.ijk_to_ras


def make_anatomy(voxels: np.ndarray, ijk_to_ras: np.ndarray, table: dict) -> LabelMapAnatomy:
    """Anatomy of source labels (k, j, i) by a class table; see `read_label_map`."""
    tissue_of_label = {int(label): LABEL[tissue] for label, tissue in table["tissue_of_label"].items()}
    present = np.unique(voxels)
    unknown = sorted(set(present.tolist()) - set(tissue_of_label))
    if unknown:
        raise LabelMapError(f"{table['name']}: the class table names no tissue for the labels {unknown} of the map")
    labels = np.array([tissue_of_label[label] for label in present.tolist()], np.uint8)[
        np.searchsorted(present, voxels)
    ]
    for exception in table.get("exceptions", ()):
        box = box_slices(exception["box_mm"], ijk_to_ras, labels.shape)
        source = exception["label"]
        labels[box][slice(None) if source is None else voxels[box] == source] = LABEL[exception["tissue"]]

    given = table["landmarks"]
    sites = {name: tuple(map(float, site)) for name, site in given.get("sites_mm", {}).items()}
    masks = [(name, voxels, sources) for name, sources in table.get("sites_of_labels", {}).items()]
    masks += [
        (name, labels, [LABEL[t] for t in tissues]) for name, tissues in table.get("sites_of_tissues", {}).items()
    ]
    for name, volume, wanted in masks:
        centre = [c.mean() for c in np.nonzero(np.isin(volume, wanted))]
        if not np.isnan(centre).any():
            sites[name] = tuple(to_ras(ijk_to_ras, np.array(centre[::-1])).tolist())
    canal = np.zeros((0, 3))
    if "canal_labels" in table:
        canal = centre_line(np.isin(voxels, table["canal_labels"]), ijk_to_ras)
    landmarks = Landmarks(given.get("boundaries_mm", {}), sites, canal, given.get("only"))
    spine_only = table.get("spine_only", False)
    return LabelMapAnatomy(table["name"], labels, ijk_to_ras, landmarks, table["attribution"], spine_only)


def centre_line(mask: np.ndarray, ijk_to_ras: np.ndarray, smooth_mm: float = 10.0) -> np.ndarray:
    """Centre line (M, 3) in RAS mm, inferior to superior: axial centroids of `mask` (k, j, i), smoothed.

    The brain's own fluid is no canal: slices in which the largest piece spreads over more than 40 mm are left out.
    """
    points = []
    spacing = np.linalg.norm(ijk_to_ras[:3, :3], axis=0)
    pieces, count = ndimage.label(mask, np.ones((3, 3, 3)))
    if count == 0:
        return np.zeros((0, 3))
    main = pieces == 1 + np.argmax(np.bincount(pieces.ravel())[1:])
    for k in np.flatnonzero(main.any(axis=(1, 2))):
        j, i = np.nonzero(main[k])
        if np.ptp(j) * spacing[1] <= 40 and np.ptp(i) * spacing[0] <= 40:
            points.append((i.mean(), j.mean(), k))
    if len(points) < 2:
        return np.zeros((0, 3))
    line = to_ras(ijk_to_ras, np.array(points))
    return ndimage.gaussian_filter1d(line, smooth_mm / spacing[2], axis=0, mode="nearest")


def to_ras(ijk_to_ras: np.ndarray, ijk: np.ndarray) -> np.ndarray:
    """RAS mm of voxel indices (..., 3)."""
    return ijk @ ijk_to_ras[:3, :3].T + ijk_to_ras[:3, 3]


def box_slices(box_mm, ijk_to_ras: np.ndarray, shape: tuple[int, int, int]) -> tuple[slice, slice, slice]:
    """Slices (k, j, i) of the voxels in a box [low, high] (R, A, S) of a map whose axes lie nearest to R, A, S."""
    ijk = (np.asarray(box_mm, float) - ijk_to_ras[:3, 3]) @ np.linalg.inv(ijk_to_ras[:3, :3]).T
    low, high = np.ceil(ijk.min(axis=0)[::-1]).astype(int), np.floor(ijk.max(axis=0)[::-1]).astype(int)
    return tuple(slice(max(a, 0), max(min(b + 1, n), 0)) for a, b, n in zip(low, high, shape, strict=True))


def crop(anatomy: LabelMapAnatomy) -> LabelMapAnatomy:
    """The same anatomy without the empty voxels around the body."""
    box = _bounding_box(anatomy.labels > 0)
    affine = anatomy.ijk_to_ras.copy()
    affine[:3, 3] = to_ras(affine, np.array([s.start for s in box[::-1]]))
    return LabelMapAnatomy(
        anatomy.name, anatomy.labels[box], affine, anatomy.landmarks, anatomy.attribution, anatomy.spine_only
    )


def _bounding_box(mask: np.ndarray) -> tuple[slice, slice, slice] | None:
    ranges = [np.flatnonzero(mask.any(axis=axes)) for axes in ((1, 2), (0, 2), (0, 1))]
    if not ranges[0].size:
        return None
    return tuple(slice(int(r[0]), int(r[-1]) + 1) for r in ranges)
