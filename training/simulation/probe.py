"""Where the probe is held: on the flank, from the front, or on the back of a prone child, aimed at the kidney."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .kidney_scene import Scene
from .randomisation import draw
from .sector import Sector

# Direction of the probe from the kidney, in degrees from lateral towards anterior; shares of adults and children.
APPROACHES = {"flank": (-25, 22), "anterior": (28, 70), "prone": (-88, -55)}
_SHARES = {"adult": (0.60, 0.34, 0.06), "child": (0.45, 0.25, 0.30)}
CLIMB_DEG = (-22, 22)  # from above or below the kidney
LONGITUDINAL = 0.75  # share of probes held along the kidney; the others are across it
ROLL_DEG = 14  # standard deviation
AIM = (0.08, 0.30)  # standard deviation of the miss over the kidney's length: of 80 %, and of 20 % of the probes
PHASED = 0.25  # share of matrix arrays whose beams leave one point
RADII_MM = {"adult": (35, 62), "child": (12, 45)}
SWINGS_MM = {"adult": (18, 50), "child": (10, 35)}
BEYOND = (0.30, 0.95)  # depth shown behind the kidney's middle, over its length
LEAST_VISIBLE = 0.6
TRACKED = 0.5  # share of volumes whose header knows where the probe is; the others are shown with depth backwards


@dataclass(frozen=True, eq=False)
class Probe:
    """Place of the probe in the patient's frame (see `kidney_scene`).

    Attributes:
        approach: a key of APPROACHES.
        origin_mm: (3,) middle of the face. axes: (3, 3), columns lateral, elevation, depth.
        mirrored: the patient's frame is left-handed, a left kidney's.
        tracked: the image's header has the place in the patient.
    """

    approach: str
    origin_mm: np.ndarray
    axes: np.ndarray
    mirrored: bool
    tracked: bool

    def to_patient(self, x, y, z) -> list[np.ndarray]:
        """x, y, z in the patient's frame of points in the probe's, float32."""
        rows = self.axes.astype(np.float32)
        origin = self.origin_mm.astype(np.float32)
        return [x * row[0] + y * row[1] + z * row[2] + start for row, start in zip(rows, origin, strict=True)]

    def to_probe(self, points_mm: np.ndarray) -> np.ndarray:
        """(n, 3) points of the patient's frame in the probe's."""
        return (points_mm - self.origin_mm) @ self.axes

    def ijk_to_ras(self, scene: Scene, x, y, z) -> np.ndarray:
        """Matrix of voxels at evenly spaced x (i), y (j), z (k): in the patient, or without tracking on its own."""
        steps = np.diag([axis[1] - axis[0] for axis in (x, y, z)])
        matrix = np.eye(4)
        if not self.tracked:
            matrix[:3, :3] = np.array([[1, 0, 0], [0, 0, -1], [0, 1, 0]]) @ steps
            return matrix
        lateral = np.diag([-1.0 if self.mirrored else 1.0, 1, 1])
        first = self.origin_mm + self.axes @ (x[0], y[0], z[0]) - (scene.x_midline, scene.y_middle, 0)
        matrix[:3, :3], matrix[:3, 3] = lateral @ self.axes @ steps, lateral @ first
        return matrix


def place_probe(rng: np.random.Generator, scene: Scene) -> tuple[Probe, Sector]:
    """Draw an approach and a field of view that shows at least 60 % of the kidney."""
    traits = scene.shape.traits
    population, length, mirrored = traits.population, traits.length_mm, traits.side == "left"
    approach = str(rng.choice(list(APPROACHES), p=_SHARES[population]))
    angle, climb = np.deg2rad([rng.uniform(*APPROACHES[approach]), rng.uniform(*CLIMB_DEG)])
    outwards = np.array([np.cos(angle) * np.cos(climb), np.sin(angle) * np.cos(climb), np.sin(climb)])
    miss = rng.normal(0, AIM[rng.random() < 0.2] * length, 3)
    phased, opening = rng.random() < PHASED, rng.uniform(*BEYOND)
    radii = [0.0 if phased else rng.uniform(*table[population]) for table in (RADII_MM, SWINGS_MM)]
    press = rng.uniform(0.0, 0.4) * scene.wall_mm
    roll = np.deg2rad(rng.normal(0, ROLL_DEG) + (0 if rng.random() < LONGITUDINAL else 90) + rng.choice([0, 180]))
    sector_rng, tracked = np.random.default_rng(rng.integers(2**63)), bool(rng.random() < TRACKED)
    axes = _axes(-outwards, scene.axes[:, 2], roll, mirrored)
    while True:
        origin = scene.skin_in_direction(miss, outwards) - press * outwards
        probe = Probe(approach, origin, axes, mirrored, tracked)
        depth = float(np.linalg.norm(origin - miss) + opening * length)
        sector = draw(Sector, sector_rng, population, depth_mm=depth, radius_mm=radii[0], swing_mm=radii[1])
        if sector.contains(*probe.to_probe(scene.points_mm).T).mean() >= LEAST_VISIBLE:
            return probe, sector
        miss = 0.7 * miss


def _axes(depth: np.ndarray, long: np.ndarray, roll: float, mirrored: bool) -> np.ndarray:
    """(3, 3) columns lateral, elevation, depth; lateral along `long` but for `roll`; right-handed in RAS."""
    along = long - long @ depth * depth
    along /= np.linalg.norm(along)
    lateral = np.cos(roll) * along + np.sin(roll) * np.cross(depth, along)
    elevation = np.cross(depth, lateral)
    return np.column_stack([lateral, -elevation if mirrored else elevation, depth])
