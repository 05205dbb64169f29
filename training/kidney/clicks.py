"""Correction points put to the test: a click robot, random sets of points, and the classical correction to compare."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import ndimage as ndi
from scipy.spatial.transform import Rotation
from SlicerHPOLib.job import Job
from SlicerHPOLib.kidney.corrections import MARGIN_MM, CorrectionError, Corrector, Points, honoured, pieces
from SlicerHPOLib.kidney.grid import Grid
from SlicerHPOLib.kidney.spline import interpolated


def cubic_grid(size: int, spacing_mm: float) -> Grid:
    """A cube of size^3 nodes centred on the origin, along R, A, S."""
    matrix = np.diag([spacing_mm] * 3 + [1.0])
    matrix[:3, 3] = -spacing_mm * (size - 1) / 2
    return Grid(matrix, (size,) * 3)


def bean(rng: np.random.Generator, x: np.ndarray, pose: float = 1.0) -> np.ndarray:
    """Implicit function (mm, positive inside, near a distance) at x (..., 3) RAS mm of a random kidney-like shape: an
    ellipsoid, bent, lopsided, with a hilum, turned and moved in proportion to `pose`."""
    radii = np.array([rng.uniform(22, 30), rng.uniform(18, 25), rng.uniform(45, 62)]) * rng.uniform(0.8, 1.1)
    turn = Rotation.from_rotvec(rng.normal(0, 0.25 * pose, 3)).as_matrix()
    y = (x - rng.normal(0, 6 * pose, 3)) @ turn
    bend, taper, dent = rng.uniform(0, 14), rng.uniform(-0.2, 0.2), rng.uniform(0, 10)
    z = y[..., 2] / radii[2]
    y = np.stack([y[..., 0] + bend * np.minimum(z**2, 2), y[..., 1], y[..., 2]], -1)
    y[..., :2] *= (1 + taper * np.clip(z, -1.5, 1.5))[..., None]
    u = y / radii
    r = np.linalg.norm(u, axis=-1)
    phi = (1 - r) * r / np.maximum(np.linalg.norm(u / radii, axis=-1), 1e-6)
    phi = np.where(r < 0.3, np.minimum(radii.min() * (1 - r), 60), phi)
    notch = np.array([radii[0], 0, 0])
    return phi - dent * np.exp(-(((y - notch) / np.array([10, 10, 12])) ** 2).sum(-1))


def random_points(
    rng: np.random.Generator, phi: np.ndarray, grid: Grid, most: int = 12, apart_mm: float = 2.0
) -> Points:
    """1 to `most` points within 25 mm of the surface, on any side, opposite ones at least `apart_mm` apart and in
    different voxels of the grid: no two contradict each other, though the shape they ask for need not be a kidney's."""
    near = np.argwhere(np.abs(phi) < 25)
    near = near[((near > 1) & (near < np.array(phi.shape) - 2)).all(axis=1)]
    points = Points()
    wanted = rng.integers(1, most + 1)
    while len(points) < wanted:
        voxel = near[rng.integers(len(near))] + rng.uniform(-0.5, 0.5, 3)
        ras, inside = grid.ras_of(voxel), rng.random() < 0.5
        others = points.ras_mm[points.inside != inside]
        same_voxel = (np.rint(grid.voxel_of(others)) == np.rint(voxel)).all(axis=1).any()
        if same_voxel or (np.linalg.norm(others - ras, axis=1) < apart_mm).any():
            continue
        points = points.add_inside(ras) if inside else points.add_outside(ras)
    return points


@dataclass(frozen=True)
class Stress:
    """What came of many random sets of points: refusals, sets with a point not honoured, torn shapes; the least
    determinant of the deformation's Jacobian; median and 95th percentile of the time in ms."""

    count: int
    refused: int
    dishonoured: int
    torn: int
    min_jacobian: float
    median_ms: float
    p95_ms: float


def stress(count: int, seed: int, size: int = 44, spacing_mm: float = 4.0, job: Job | None = None) -> Stress:
    """Correct `count` random beans by random sets of up to 12 points each."""
    rng, grid, job = np.random.default_rng(seed), cubic_grid(size, spacing_mm), job or Job()
    nodes = grid.ras_of(np.stack(np.meshgrid(*map(np.arange, grid.shape), indexing="ij"), -1))
    refused = dishonoured = torn = 0
    least, times = np.inf, []
    for index in range(count):
        job.progress(index / count, "Correcting")
        if index % 50 == 0:
            corrector = Corrector(bean(rng, nodes, pose=0.5), grid)
        points = random_points(rng, corrector.phi, grid)
        start = time.perf_counter()
        try:
            result = corrector(points)
        except CorrectionError:
            refused += 1
            continue
        times.append(time.perf_counter() - start)
        dishonoured += not honoured(result.phi, grid, points).all()
        torn += pieces(result.phi) != 1
        least = min(least, result.min_jacobian)
    median, p95 = np.percentile(times or [np.nan], (50, 95)) * 1e3
    return Stress(count, refused, dishonoured, torn, float(least), float(median), float(p95))


def radial_basis_correction(phi: np.ndarray, grid: Grid, points: Points, length_mm: float = 20.0) -> np.ndarray:
    """The classical one-shot correction: phi plus Gaussians of `length_mm` at the points whose value would be wrong,
    with weights that interpolate the margin there, and no change at the points already right."""
    x, signs = points.ras_mm, np.where(points.inside, 1.0, -1.0)
    short = np.maximum(MARGIN_MM - signs * interpolated(phi, grid.voxel_of(x)), 0) * signs
    gram = np.exp(-((x[:, None] - x) ** 2).sum(-1) / (2 * length_mm**2)) + 1e-6 * np.eye(len(x))
    weights = np.linalg.solve(gram, short)
    nodes = grid.ras_of(np.stack(np.meshgrid(*map(np.arange, grid.shape), indexing="ij"), -1))
    result = phi.copy()
    for centre, weight in zip(x, weights, strict=True):
        result += weight * np.exp(-((nodes - centre) ** 2).sum(-1) / (2 * length_mm**2))
    return result


def next_click(
    rng: np.random.Generator, phi: np.ndarray, truth: np.ndarray, grid: Grid
) -> tuple[np.ndarray, bool] | None:
    """Where the standard click robot clicks: the middle of the largest error region, with a jitter of a voxel if that
    stays in it, RAS mm, and its true side; None if nothing is wrong."""
    wrong = (phi > 0) != truth
    labels, count = ndi.label(wrong)
    if count == 0:
        return None
    region = labels == np.bincount(labels.flat)[1:].argmax() + 1
    depth = ndi.distance_transform_edt(np.pad(region, 1), sampling=grid.spacing_mm[::-1])[1:-1, 1:-1, 1:-1]
    middle = np.array(np.unravel_index(depth.argmax(), depth.shape))
    jittered = middle + rng.integers(-1, 2, 3)
    if ((jittered >= 0) & (jittered < grid.shape)).all() and region[tuple(jittered)]:
        middle = jittered
    return grid.ras_of(middle), bool(truth[tuple(middle)])


def dice_by_clicks(
    correct: Callable[[Points], np.ndarray], phi: np.ndarray, truth: np.ndarray, grid: Grid, clicks: int, seed: int
) -> list[float]:
    """Dice with 0, 1, ... `clicks` clicks of the robot; correct(points) -> phi, applied to all points each time."""
    rng, points, scores = np.random.default_rng(seed), Points(), [dice(phi > 0, truth)]
    for _ in range(clicks):
        click = next_click(rng, phi, truth, grid)
        if click is not None:
            ras, inside = click
            points = points.add_inside(ras) if inside else points.add_outside(ras)
            try:
                phi = correct(points)
            except CorrectionError:
                points = points.remove(len(points))
        scores.append(dice(phi > 0, truth))
    return scores


def dice(a: np.ndarray, b: np.ndarray) -> float:
    """Overlap of two masks."""
    return float(2 * (a & b).sum() / max(a.sum() + b.sum(), 1))
