"""Inside the capsule: cortex, pyramids, the central sinus with its vessels, dilated calyces, cysts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .acoustics import TISSUE
from .kidney_shape import KidneyShape
from .randomisation import between, draw
from .shapes import Noise

# By grade of hydronephrosis (Society for Fetal Urology; 1: the pelvis, 2: some calyces, 3: all of them, 4: thin
# parenchyma): value of the sinus function above which there is urine, how far the calyces reach beyond it, how much the
# sinus is widened, and the thinnest parenchyma left, over the kidney's half width.
FLUID_LEVEL = (np.inf, 0.58, 0.40, 0.15, -0.05)
CALYX_REACH = (0.0, 0.10, 0.35, 0.55, 0.50)
SINUS_WIDENING = (1.0, 1.05, 1.15, 1.35, 1.7)
THINNEST = (0.0, 0.45, 0.40, 0.30, 0.12)


@dataclass(frozen=True)
class Interior:
    """What lies where inside one kidney; lengths without a unit are relative to its half axes."""

    seed: int
    cortex: float = between(0.30, 0.50)  # of the parenchyma's thickness
    sinus: float = between(0.85, 1.15, child=(0.65, 0.95))
    medial: float = between(0.10, 0.30)  # shift of the sinus towards the hilum
    rows: float = between(3.2, 5.2)  # pyramids along the kidney
    pyramids: float = between(-0.35, 0.15)  # threshold: wide to narrow
    vessels: float = between(0.05, 0.25)  # part of the sinus that is vessel
    pelvis: float = between(0.3, 1.0)  # how far a dilated pelvis leaves the hilum
    cysts: float = between(-2.5, 2.9, child=(-9.0, 1.9))  # rounded down and not below 0: their number


class KidneyInterior:
    """Labels inside one kidney, in its own frame (see `kidney_shape`)."""

    def __init__(self, shape: KidneyShape, interior: Interior):
        self.traits, self.interior = shape.traits, interior
        self.half = shape.half_axes_mm.astype(np.float32)
        rng = np.random.default_rng(interior.seed)
        self.unevenness = Noise(rng, 0.9 * float(self.half[0]), 4)
        self.vessel_walls = Noise(rng, 0.45 * float(self.half[0]), 4)
        self.phases = rng.uniform(0, 2 * np.pi, 2).astype(np.float32)
        self.cysts = self._draw_cysts(shape, rng)

    def labels_at(self, x, y, z, phi) -> np.ndarray:
        """Tissue labels (n,) of points inside the capsule, (n,) float32 mm each, where `phi` is the depth below it."""
        if not len(x):
            return np.zeros(0, np.uint8)
        i = self.interior
        sinus = self._sinus(x, y, z)
        pattern = self._pattern(x, y, z)
        labels = np.full(len(x), TISSUE["cortex"])
        outside = np.maximum(-sinus, 0) * self.half[1]
        part = phi / (phi + outside + np.float32(0.1))  # 0 at the capsule, 1 at the sinus
        deep = (part - i.cortex) / (1 - i.cortex)  # 0 at the base of a pyramid, 1 at its papilla
        labels[(deep > 0) & (pattern > i.pyramids + 0.5 * deep)] = TISSUE["medulla"]
        in_sinus = sinus > 0
        labels[in_sinus] = TISSUE["sinus"]
        vessel = np.abs(self.vessel_walls(x, y, z)) < i.vessels
        labels[in_sinus & vessel & (pattern < 0.2)] = TISSUE["blood"]
        labels[self._urine(sinus, pattern, phi)] = TISSUE["fluid"]
        return labels

    def pelvis_at(self, x, y, z) -> np.ndarray:
        """Mask (n,) of a dilated renal pelvis that leaves the hilum, for points outside the capsule."""
        if self.traits.hydronephrosis < 2:
            return np.zeros(len(x), bool)
        b, c, a = self.half
        size = 0.16 + 0.07 * self.traits.hydronephrosis
        reach = 0.9 + 0.35 * self.interior.pelvis * size / 0.4
        squared = np.square((x + reach * b) / (size * 1.3 * b)) + np.square((y - 0.2 * c) / (size * c))
        return squared + np.square((z + 0.08 * a) / (size * a)) < 1

    def _sinus(self, x, y, z) -> np.ndarray:
        """1 in the middle of the renal sinus, 0 on its wall; it is open towards the hilum."""
        b, c, a = self.half
        widening = self.interior.sinus * SINUS_WIDENING[self.traits.hydronephrosis]
        u = (x + self.interior.medial * b) / (0.50 * widening * b)
        u = np.where(u < 0, u * np.float32(0.55), u)
        v = y / (0.40 * widening * c)
        w = z / (0.60 * widening * a)
        return 1 - np.sqrt(u * u + v * v + w * w) + np.float32(0.16) * self.unevenness(x, y, z)

    def _pattern(self, x, y, z) -> np.ndarray:
        """In [-1, 1], high on the axes of the pyramids: rows along the kidney, an anterior and a posterior set."""
        b, c, a = self.half
        around = np.arctan2(y / c, (x + self.interior.medial * b) / b)
        along = np.float32(np.pi * self.interior.rows) * z / a * np.float32(0.62)
        rows = np.cos(along + self.phases[0] + 0.8 * np.sin(around))
        return 0.5 * rows + 0.5 * np.cos(3 * around + self.phases[1])

    def _urine(self, sinus, pattern, phi) -> np.ndarray:
        grade = self.traits.hydronephrosis
        full = sinus + CALYX_REACH[grade] * np.maximum(pattern, 0) > FLUID_LEVEL[grade]
        return full & (phi > THINNEST[grade] * self.half[0])

    def _draw_cysts(self, shape: KidneyShape, rng: np.random.Generator) -> list[tuple[np.ndarray, float]]:
        """Centres (3,) and radii in mm; a cyst may bulge from the cortex, though by less than its radius."""
        cysts = []
        for _ in range(max(0, int(np.floor(self.interior.cysts)))):
            centre = shape.inside_mm[rng.integers(len(shape.inside_mm))]
            radius = float(self.half[0] * np.exp(rng.uniform(np.log(0.12), np.log(0.5))))
            depth = float(shape.phi_at(*centre[:, None])[0])
            if 0.2 * radius < depth < 0.55 * self.half[1]:
                cysts.append((centre, radius))
        return cysts


def draw_interior(rng: np.random.Generator, shape: KidneyShape) -> KidneyInterior:
    """Draw the inside of a kidney."""
    seed = int(rng.integers(2**31))
    return KidneyInterior(shape, draw(Interior, rng, shape.traits.population, seed=seed))
