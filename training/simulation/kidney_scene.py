"""The kidney in its surroundings as an ultrasound probe meets them: tissue labels at points.

The frame is the patient's, mirrored for a left kidney: millimetres from the middle of the kidney, x lateral,
y anterior, z superior. What surrounds the kidney scales with the half width of the trunk; u, v, w are coordinates
relative to it, from the midline.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .acoustics import TISSUE
from .kidney_interior import KidneyInterior
from .kidney_shape import KidneyShape
from .randomisation import between, draw
from .shapes import Noise

_AGES_YEARS = (0.5, 1.0, 5.0, 10.0, 15.0)
_TRUNKS_MM = (62.0, 66.0, 80.0, 98.0, 122.0)  # half width of a child's trunk without fat
HALF_CAPSULE_MM = 0.3
_ADULT_TRUNK_MM = (125.0, 160.0)


@dataclass(frozen=True)
class Body:
    """The trunk around the kidney. Lengths without a unit are relative to `trunk_mm`."""

    trunk_mm: float  # half width without the fat under the skin
    seed: int
    depth: float = between(0.66, 0.82, child=(0.74, 0.92))  # of the trunk, over its width
    gel_mm: float = between(4, 14, child=(3, 8))  # beyond it the probe has no contact
    skin_mm: float = between(1.0, 2.5, child=(0.8, 1.5))
    wall_fat_mm: float = between(4, 35, child=(1.0, 6.0), log=True)
    muscle_mm: float = between(9, 22, child=(3.5, 9.0))
    perirenal_fat_mm: float = between(2, 14, child=(0.5, 3.0), log=True)
    midline: float = between(0.40, 0.48)  # distance of the kidney from it
    behind: float = between(0.24, 0.34)  # the kidney's place behind the middle of the trunk, over its depth
    lean_deg: float = between(3, 25)  # upper pole medially
    pitch_deg: float = between(-4, 22)  # upper pole backwards
    turn_deg: float = between(0, 50)  # hilum forwards
    organ: float = between(-0.5, 0.35)  # lower edge of the liver, or middle of the spleen, along z
    diaphragm: float = between(0.60, 1.05)  # top of its dome, along z
    ribs: float = between(-0.25, 0.15)  # shift along z
    rib: float = between(0.035, 0.050)  # half height of a rib
    gas: float = between(0.3, 1.8)  # threshold on the noise of the bowel: much gas to none


class Scene:
    """Tissues around and in a kidney; or around the place of one that is not there (`kidney` False)."""

    def __init__(self, shape: KidneyShape, interior: KidneyInterior, body: Body, kidney: bool = True):
        self.shape, self.interior, self.body, self.kidney = shape, interior, body, kidney
        self.axes = _kidney_axes(body)
        self.half_width = body.trunk_mm + body.wall_fat_mm
        self.half_depth = body.trunk_mm * body.depth + body.wall_fat_mm
        self.x_midline = -body.midline * body.trunk_mm
        self.y_middle = body.behind * body.trunk_mm * body.depth
        self.points_mm = shape.inside_mm[:: max(1, len(shape.inside_mm) // 3000)] @ self.axes.T
        # The wall is compressed where the kidney needs its room.
        self.wall_mm = body.skin_mm + body.wall_fat_mm + body.muscle_mm
        room = float(self.depth_under_skin(*self.points_mm[:, :2].T).min()) - 1.5
        self.squeeze = float(np.clip(room / self.wall_mm, 0.3, 1.0))
        self.wall_mm *= self.squeeze
        rng = np.random.default_rng(body.seed)
        self.bumps = Noise(rng, 0.45 * body.trunk_mm)
        self.loops = Noise(rng, 0.22 * body.trunk_mm, 4)
        self.sheets = Noise(rng, 0.30 * body.trunk_mm, 4), Noise(rng, 0.30 * body.trunk_mm, 4)

    def depth_under_skin(self, x, y) -> np.ndarray:
        """Depth in mm, a first-order distance to the ellipse of the skin; negative outside the body."""
        u, v = (x - self.x_midline) / np.float32(self.half_width), (y - self.y_middle) / np.float32(self.half_depth)
        g = np.sqrt(u * u + v * v) + np.float32(1e-4)
        slope = np.sqrt(np.square(u / np.float32(self.half_width)) + np.square(v / np.float32(self.half_depth)))
        return g * (1 - g) / (slope + np.float32(1e-6))

    def skin_in_direction(self, start: np.ndarray, direction: np.ndarray) -> np.ndarray:
        """(3,) where the ray from the point `start` (3,) inside along the unit vector `direction` leaves the body."""
        radii = np.array([self.half_width, self.half_depth])
        origin = (np.asarray(start)[:2] - (self.x_midline, self.y_middle)) / radii
        along = np.asarray(direction)[:2] / radii
        a, b, c = along @ along, origin @ along, origin @ origin - 1
        return np.asarray(start) + np.asarray(direction) * (-b + np.sqrt(b * b - a * c)) / a

    def tissues_at(self, x: np.ndarray, y: np.ndarray, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Labels (n,) uint8 and phi (n,) float32, the signed distance to the capsule, of points (n,) float32 each."""
        depth = self.depth_under_skin(x, y)
        labels = self._wall(depth)
        cavity = np.flatnonzero(depth > self.wall_mm)
        labels[cavity] = self._cavity(x[cavity], y[cavity], z[cavity])
        own = [x * axis[0] + y * axis[1] + z * axis[2] for axis in self.axes.T]
        phi = self.shape.phi_at(*own)
        if not self.kidney:
            self._ribs(labels, x, y, z, depth)
            return labels, phi
        labels[cavity[phi[cavity] > -self.body.perirenal_fat_mm]] = TISSUE["fat"]
        self._renal_vessels(labels, own, phi, cavity)
        self._ribs(labels, x, y, z, depth)
        near = np.flatnonzero((phi > -self.interior.half[0]) & (depth > 0))
        pelvis = near[phi[near] <= 0]
        labels[pelvis[self.interior.pelvis_at(*(c[pelvis] for c in own))]] = TISSUE["fluid"]
        kidney = near[phi[near] > 0]
        labels[kidney] = self.interior.labels_at(*(c[kidney] for c in own), phi[kidney])
        labels[kidney[phi[kidney] < 2 * HALF_CAPSULE_MM]] = TISSUE["capsule"]
        for centre, radius in self.interior.cysts:
            squared = sum(np.square(c[near] - np.float32(m)) for c, m in zip(own, centre, strict=True))
            labels[near[squared < radius * radius]] = TISSUE["fluid"]
        return labels, phi

    def _wall(self, depth) -> np.ndarray:
        """Skin, fat, and two layers of muscle between sheets of fascia."""
        b = self.body
        layers = np.array([b.skin_mm, b.wall_fat_mm, b.muscle_mm]) * self.squeeze
        edges = np.cumsum([-b.gel_mm, b.gel_mm, *layers]).astype(np.float32)
        names = ("air", "gel", "skin", "wall_fat", "muscle", "bowel")
        labels = np.array([TISSUE[n] for n in names])[np.searchsorted(edges, depth)]
        for sheet in (edges[3], edges[3] + 0.55 * (edges[4] - edges[3]), edges[4]):
            labels[np.abs(depth - sheet) < 0.4] = TISSUE["fascia"]
        return labels

    def _cavity(self, x, y, z) -> np.ndarray:
        """Labels inside the wall, without the kidney."""
        b = self.body
        size = np.float32(1 / b.trunk_mm)
        u, v, w = (x - self.x_midline) * size, (y - self.y_middle) * (size / np.float32(b.depth)), z * size
        bumps, loops = self.bumps(x, y, z), self.loops(x, y, z)
        labels = np.full(len(x), TISSUE["bowel"])
        labels[loops > b.gas] = TISSUE["gas"]
        labels[np.abs(loops) < 0.10] = TISSUE["muscle"]  # walls of the loops
        labels[v < -0.10 + 0.10 * bumps] = TISSUE["fat"]
        tubes = (np.abs(self.sheets[0](x, y, z)) < 0.16) & (np.abs(self.sheets[1](x, y, z)) < 0.16)
        if self.shape.traits.side == "right":
            name, centre, radii = "liver", (0.34, 0.22, b.organ + 0.60), (0.66, 0.90, 0.66)
        else:
            name, centre, radii = "spleen", (0.68, -0.15, 0.5 * b.organ + 0.42), (0.27, 0.52, 0.38)
        organ = _ellipsoid((u, v, w), centre, radii) - 0.10 * bumps < 1
        labels[organ] = TISSUE[name]
        labels[organ & tubes] = TISSUE["blood"]
        thick = np.clip(0.17 - 0.08 * w, 0.06, 0.25)
        psoas = np.square((u - 0.25) / (0.75 * thick)) + np.square((v + 0.33) / (1.2 * thick)) < 1
        back = _ellipsoid((u, v), (0.34, -0.82), (0.27, 0.19)) < 1
        labels[psoas | back] = TISSUE["muscle"]
        vessel = (0.11, -0.07) if self.shape.traits.side == "left" else (0.13, -0.05)
        labels[_ellipsoid((u, v), vessel, (0.065, 0.085)) < 1] = TISSUE["blood"]
        vertebra = _ellipsoid((u, v), (0.0, -0.36), (0.15, 0.20)) < 1
        labels[vertebra | (_ellipsoid((u, v), (0.0, -0.72), (0.09, 0.24)) < 1)] = TISSUE["bone"]
        dome = w - (b.diaphragm - 0.42 * np.square(u * u + v * v)) - 0.02 * bumps
        labels[dome > -0.014] = TISSUE["muscle"]
        labels[dome > 0.014] = TISSUE["lung"]
        return labels

    def _renal_vessels(self, labels, own, phi, cavity) -> None:
        """Artery and vein, from the hilum medially."""
        b, c, a = self.interior.half
        near = cavity[(phi[cavity] > -1.5 * b) & (own[0][cavity] < -0.4 * b)]
        x, y, z = (axis[near] for axis in own)
        for up, forward, radius in ((0.04, 0.25, 0.085), (0.12, -0.05, 0.055)):
            bend = np.square(x / b + 0.5) * np.float32(0.15)
            tube = np.square(y / c - forward - bend) * c * c + np.square(z / a - up) * a * a < (radius * 2 * b) ** 2
            labels[near[tube]] = TISSUE["blood"]

    def _ribs(self, labels, x, y, z, depth) -> None:
        """The four lowest ribs, in the muscle of the wall, descending towards the front; the lowest are short."""
        b = self.body
        middle = self.squeeze * (b.skin_mm + b.wall_fat_mm + 0.55 * b.muscle_mm)
        half = np.float32(min(0.55 * b.rib * b.trunk_mm, 0.4 * b.muscle_mm * self.squeeze))
        near = np.flatnonzero(np.abs(depth - middle) < half)
        u, v, w = (
            (x[near] - self.x_midline) / self.half_width,
            (y[near] - self.y_middle) / self.half_depth,
            z[near] / b.trunk_mm,
        )
        angle = np.arctan2(v, u)  # 0 lateral, -pi/2 posterior
        inner = np.square((depth[near] - middle) / half)
        for n, end in enumerate((-0.75, -0.2, 0.7, 1.2)):
            centre = 0.10 + b.ribs + 0.20 * n - 0.28 * (angle + np.pi / 2) * 2 / np.pi
            bone = (inner + np.square((w - centre) / b.rib) < 1) & (angle < end) & (u > 0.1)
            labels[near[bone]] = TISSUE["bone"]


def draw_body(rng: np.random.Generator, shape: KidneyShape) -> Body:
    """Draw the body around a kidney, by age."""
    traits = shape.traits
    if traits.population == "adult":
        trunk = rng.uniform(*_ADULT_TRUNK_MM)
    else:
        trunk = np.interp(traits.age_years, _AGES_YEARS, _TRUNKS_MM) * np.exp(rng.normal(0, 0.06))
    return draw(Body, rng, traits.population, trunk_mm=float(trunk), seed=int(rng.integers(2**31)))


def _kidney_axes(body: Body) -> np.ndarray:
    """(3, 3) whose columns are the kidney's x, y, z in the patient's frame."""
    lean, pitch, turn = np.deg2rad([body.lean_deg, body.pitch_deg, body.turn_deg])
    long = np.array([-np.tan(lean), -np.tan(pitch), 1.0])
    long /= np.linalg.norm(long)
    lateral = np.array([np.cos(turn), -np.sin(turn), 0.0])
    lateral -= lateral @ long * long
    lateral /= np.linalg.norm(lateral)
    return np.column_stack([lateral, np.cross(long, lateral), long]).astype(np.float32)


def _ellipsoid(point, centre, radii) -> np.ndarray:
    """Below 1 inside the ellipsoid."""
    return sum(np.square((p - np.float32(c)) * np.float32(1 / r)) for p, c, r in zip(point, centre, radii, strict=True))
