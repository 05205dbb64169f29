"""Where the probe is held: on the flank, from the front, or on the back of a prone child, aimed at the kidney."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from .acoustics import BLOCKING, TISSUE
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
ENOUGH = (0.55, 0.95)  # part of the kidney that must be in view and not in a shadow, before another window is sought
ATTEMPTS = 20  # with one approach
TRACKED = 0.5  # share of volumes whose header knows where the probe is
UNTRACKED = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])  # in the others: lateral to R, elevation to S, depth to P


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
        turn, place = UNTRACKED, np.zeros(3)
        if self.tracked:
            lateral = np.diag([-1.0 if self.mirrored else 1.0, 1, 1])
            turn, place = lateral @ self.axes, lateral @ (self.origin_mm - (scene.x_midline, scene.y_middle, 0))
        matrix = np.eye(4)
        matrix[:3, :3], matrix[:3, 3] = turn @ steps, place + turn @ (x[0], y[0], z[0])
        return matrix


def place_probe(rng: np.random.Generator, scene: Scene) -> tuple[Probe, Sector]:
    """Draw places until one shows enough of the kidney, not hidden by ribs, gas or lung; else the best of them."""
    enough, best = rng.uniform(*ENOUGH), -1.0
    tracked = bool(rng.random() < TRACKED)
    preferred, *others = rng.choice(list(APPROACHES), 3, replace=False, p=_SHARES[scene.shape.traits.population])
    for approach in [preferred] * ATTEMPTS + others * ATTEMPTS:
        probe, sector = _draw_probe(rng, scene, str(approach), tracked)
        shown = clear_part(scene, probe, sector)
        if shown > best:
            best, chosen = shown, (probe, sector)
        if shown >= enough:
            break
    return chosen


def clear_part(scene: Scene, probe: Probe, sector: Sector, points: int = 150, steps: int = 48) -> float:
    """Part of the kidney that is in the field of view with nothing before it that sound does not pass."""
    within = probe.to_probe(scene.points_mm[:: max(1, len(scene.points_mm) // points)])
    within = within[sector.contains(*within.T)]
    if not len(within):
        return 0.0
    r, theta, phi = (c.astype(np.float32)[:, None] for c in sector.beams_of(*within.T))
    way = sector.points_of(r * np.linspace(0, 1, steps, dtype=np.float32), theta, phi)
    labels, _ = scene.tissues_at(*(c.ravel() for c in probe.to_patient(*way)))
    blocked = np.isin(labels.reshape(len(within), steps), [TISSUE[name] for name in BLOCKING]).any(1)
    inside = sector.contains(*probe.to_probe(scene.points_mm).T).mean()
    return float(inside * (1 - blocked.mean()))


def _draw_probe(rng: np.random.Generator, scene: Scene, approach: str, tracked: bool) -> tuple[Probe, Sector]:
    traits = scene.shape.traits
    population, length, mirrored = traits.population, traits.length_mm, traits.side == "left"
    angle, climb = np.deg2rad([rng.uniform(*APPROACHES[approach]), rng.uniform(*CLIMB_DEG)])
    outwards = np.array([np.cos(angle) * np.cos(climb), np.sin(angle) * np.cos(climb), np.sin(climb)])
    miss = rng.normal(0, AIM[int(rng.random() < 0.2)] * length, 3)
    while scene.depth_under_skin(miss[0], miss[1]) < scene.wall_mm:
        miss = 0.7 * miss  # aimed outside the body
    radii = [0.0, 0.0]
    if rng.random() >= PHASED:
        radii = [rng.uniform(*table[population]) for table in (RADII_MM, SWINGS_MM)]
    origin = scene.skin_in_direction(miss, outwards) - rng.uniform(0.1, 0.6) * scene.wall_mm * outwards
    across = 0 if rng.random() < LONGITUDINAL else 90
    roll = np.deg2rad(rng.normal(0, ROLL_DEG) + across + rng.choice([0, 180]))
    depth = float(np.linalg.norm(origin - miss) + rng.uniform(*BEYOND) * length)
    probe = Probe(approach, origin, _axes(-outwards, scene.axes[:, 2], roll, mirrored), mirrored, tracked)
    sector = draw(Sector, rng, population, depth_mm=depth, radius_mm=radii[0], swing_mm=radii[1])
    return probe, replace(sector, swing_mm=max(radii[1], 1.2 * sector.sag_mm))


def _axes(depth: np.ndarray, long: np.ndarray, roll: float, mirrored: bool) -> np.ndarray:
    """(3, 3) columns lateral, elevation, depth; lateral along `long` but for `roll`; right-handed in RAS."""
    along = long - long @ depth * depth
    along /= np.linalg.norm(along)
    lateral = np.cos(roll) * along + np.sin(roll) * np.cross(depth, along)
    elevation = np.cross(depth, lateral)
    return np.column_stack([lateral, -elevation if mirrored else elevation, depth])
