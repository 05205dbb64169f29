"""The whole body from the public BodyParts3D surfaces: closed triangle meshes become a label map.

BodyParts3D (The Database Center for Life Science, CC BY 4.0) offers one OBJ file a part (FJ2810.obj, ...) and
the parts' names in `*element_parts.txt`. A surface table (JSON) says which tissue a part is. It is a class table as in
`labelmaps.py`, with, in place of "tissue_of_label"::

    {"tissue_of_part": [["muscle|muscular", "muscle"], ["vertebra", "vertebra"], ["FJ1234", "liver"]],
     "scale": 1.0, "lps": true, "closing_mm": 24.0, "fat_mm": 6.0}

Each key is a regular expression for the file's stem or the part's English name; parts are painted in this order, so a
later line covers an earlier one. A body without a skin surface gets an envelope of fat and skin.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from SlicerHPOLib.job import Job

from training.simulation.labelmaps import LabelMapAnatomy, LabelMapError, make_anatomy, read_table
from training.simulation.refine import envelope
from training.simulation.tissues import LABEL


def build_bodyparts3d(
    obj_dir: str | Path, table: str | Path | dict = "bodyparts3d", spacing_mm: float = 3.0, job: Job | None = None
) -> LabelMapAnatomy:
    """Voxelise the closed surfaces of `obj_dir` into a label map with the landmarks of the surface table.

    Args:
        obj_dir: folder with OBJ files and, if keys are names, BodyParts3D's ``*element_parts.txt``.
        table: surface table, or its path; by default the project's own for BodyParts3D 4.0.
        spacing_mm: size of the cubic voxels.

    Raises:
        LabelMapError: no OBJ file, no file for a key of the table, a broken or an open mesh.
    """
    job = job or Job()
    table = table if isinstance(table, dict) else read_table(table)
    paths = sorted(Path(obj_dir).rglob("*.obj"))
    if not paths:
        raise LabelMapError(f"{obj_dir}: no .obj file below it; unpack the BodyParts3D surfaces there")
    names = {path: f"{path.stem}|{name}" for path, name in _part_names(Path(obj_dir), paths).items()}
    painted: list[tuple[Path, str]] = []
    missing = []
    for key, tissue in table["tissue_of_part"]:
        found = [path for path in paths if any(re.search(key, part, re.IGNORECASE) for part in names[path].split("|"))]
        if not found:
            missing.append(f"{key!r} ({tissue})")
        painted += [(path, tissue) for path in found]
    if missing:
        raise LabelMapError(
            f"{obj_dir}: no surface file for {', '.join(missing)}; add the files (names come from *element_parts.txt) "
            "or take the lines out of the table"
        )

    turn = np.diag([-1.0, -1.0, 1.0]) if table.get("lps", True) else np.eye(3)
    meshes = {path: read_obj(path) for path, _ in painted}
    meshes = {path: (table.get("scale", 1.0) * points @ turn, faces) for path, (points, faces) in meshes.items()}
    margin = table.get("closing_mm", 24.0) + 2 * spacing_mm
    low = np.min([points.min(axis=0) for points, _ in meshes.values()], axis=0) - margin
    high = np.max([points.max(axis=0) for points, _ in meshes.values()], axis=0) + margin
    size = np.ceil((high - low) / spacing_mm).astype(int) + 1  # i, j, k
    labels = np.zeros(size[::-1], np.uint8)
    for number, (path, tissue) in enumerate(painted):
        job.progress(number / len(painted), f"{path.name}: {tissue}")
        try:
            voxelise(labels, *meshes[path], low, spacing_mm, LABEL[tissue])
        except LabelMapError as error:
            raise LabelMapError(f"{path}: {error}") from error
    if not (labels == LABEL["skin"]).any() and table.get("fat_mm", 6.0) > 0:
        envelope(labels, table.get("closing_mm", 24.0), table.get("fat_mm", 6.0), np.full(3, spacing_mm))
    affine = np.diag([spacing_mm, spacing_mm, spacing_mm, 1.0])
    affine[:3, 3] = low
    job.progress(1.0, "surfaces")
    own = {str(label): name for name, label in LABEL.items()}
    return make_anatomy(labels, affine, {**table, "tissue_of_label": own})


def voxelise(labels: np.ndarray, points: np.ndarray, faces: np.ndarray, origin, spacing_mm: float, label: int) -> None:
    """Give `label` to the voxel centres inside a closed mesh, in place, by the parity of surface crossings along R.

    Args:
        labels: (k, j, i) voxels, cubic, with voxel (0, 0, 0) centred at `origin` (R, A, S).
        points: (V, 3) vertices, RAS mm.
        faces: (F, 3) vertex indices.
        origin: R, A, S of the first voxel.
        spacing_mm: voxel size.
        label: what to write.

    Raises:
        LabelMapError: more than one line in twenty crosses the surface an odd number of times: the mesh is not closed.
    """
    # Rays run a hair beside the voxel centres, so that none meets an edge or a vertex of a regular mesh.
    grid = (points - np.asarray(origin, float)) / spacing_mm + (0.0, 1.234e-5, 2.345e-5)
    first = np.clip(np.floor(grid.min(axis=0)).astype(int), 0, None)
    stop = np.minimum(np.ceil(grid.max(axis=0)).astype(int) + 2, labels.shape[::-1])
    ni, nj, nk = stop - first
    if min(ni, nj, nk) <= 0:
        return
    crossings = np.zeros(nk * nj * ni, np.int32)
    corners = grid[faces] - first  # (F, 3 corners, 3)
    for a, b, c in (chunk.transpose(1, 0, 2) for chunk in np.array_split(corners, max(len(faces) // 50_000, 1))):
        j0, k0 = (np.maximum(np.ceil(np.minimum(np.minimum(a, b), c)[:, d]).astype(int), 0) for d in (1, 2))
        j1, k1 = (np.floor(np.maximum(np.maximum(a, b), c)[:, d]).astype(int) for d in (1, 2))
        width, height = np.maximum(np.minimum(j1, nj - 1) - j0 + 1, 0), np.maximum(np.minimum(k1, nk - 1) - k0 + 1, 0)
        # One row for each (triangle, ray within its rectangle).
        face = np.repeat(np.arange(len(a)), width * height)
        within = np.arange(len(face)) - np.repeat(np.cumsum(width * height) - width * height, width * height)
        j, k = j0[face] + within % width[face], k0[face] + within // width[face]
        a, b, c = a[face], b[face], c[face]
        ray = np.stack([np.zeros(len(face)), j, k], axis=1)

        def area(p, q, r):  # twice the signed area in the plane of A and S
            return (q[:, 1] - p[:, 1]) * (r[:, 2] - p[:, 2]) - (q[:, 2] - p[:, 2]) * (r[:, 1] - p[:, 1])

        u, v, w = area(b, c, ray), area(c, a, ray), area(a, b, ray)
        hit = ((u >= 0) & (v >= 0) & (w >= 0)) | ((u <= 0) & (v <= 0) & (w <= 0))
        hit &= u + v + w != 0
        u, v, w = u[hit], v[hit], w[hit]
        depth = (u * a[hit, 0] + v * b[hit, 0] + w * c[hit, 0]) / (u + v + w)
        i = np.clip(np.ceil(depth).astype(int), 0, ni)
        seen = i < ni
        np.add.at(crossings, ((k[hit] * nj + j[hit]) * ni + i)[seen], 1)
    crossings = crossings.reshape(nk, nj, ni)
    total = crossings.sum(axis=2)
    odd = total % 2 == 1
    if odd.sum() > 0.05 * max((total > 0).sum(), 1):
        raise LabelMapError(
            "the surface is not closed: its inside cannot be told; repair the mesh or leave the part out"
        )
    inside = (np.cumsum(crossings, axis=2) % 2 == 1) & ~odd[:, :, None]
    part = labels[first[2] : stop[2], first[1] : stop[1], first[0] : stop[0]]
    part[inside] = label


def read_obj(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Vertices (V, 3) and triangles (F, 3) of a Wavefront OBJ file; polygons are cut into fans."""
    points, faces = [], []
    try:
        for line in Path(path).read_text(errors="replace").splitlines():
            if line.startswith("v "):
                points.append([float(x) for x in line.split()[1:4]])
            elif line.startswith("f "):
                corner = [int(word.split("/")[0]) for word in line.split()[1:]]
                corner = [n - 1 if n > 0 else len(points) + n for n in corner]
                faces += [(corner[0], corner[n], corner[n + 1]) for n in range(1, len(corner) - 1)]
        vertices, triangles = np.array(points, float).reshape(-1, 3), np.array(faces, int).reshape(-1, 3)
    except (OSError, ValueError) as error:
        raise LabelMapError(f"{path}: not a readable OBJ surface ({error})") from error
    if not len(triangles) or triangles.max() >= len(vertices) or triangles.min() < 0:
        raise LabelMapError(f"{path}: has no triangle, or one that names a missing vertex")
    return vertices, triangles


def _part_names(folder: Path, paths: list[Path]) -> dict[Path, str]:
    """English names of the parts by `*element_parts.txt` (columns: concept, name, file id), joined by "|"."""
    names: dict[str, list[str]] = {}
    for listing in sorted(folder.rglob("*element_parts.txt")):
        for line in listing.read_text(errors="replace").splitlines():
            columns = line.split("\t")
            if len(columns) >= 3:
                names.setdefault(columns[2].strip(), []).append(columns[1].strip())
    return {path: "|".join(names.get(path.stem, [])) for path in paths}
