"""What the tissues around and in a kidney do to sound: echogenicity, attenuation, impedance."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .randomisation import between

# Name: attenuation in dB/(cm MHz) one way, impedance in MRayl; after Duck, "Physical Properties of Tissue" (1990).
# Bone, gas and lung stand for total loss within millimetres; their impedance is moderated, for echoes saturate.
_TABLE = {
    "air": (30.0, 1.5),  # where the probe has no contact
    "gel": (0.0, 1.5),
    "skin": (0.9, 1.72),
    "wall_fat": (0.55, 1.38),
    "fascia": (0.9, 1.80),
    "muscle": (0.9, 1.68),
    "fat": (0.55, 1.40),
    "bowel": (0.7, 1.58),
    "liver": (0.5, 1.65),
    "spleen": (0.5, 1.66),
    "capsule": (0.9, 1.80),
    "cortex": (0.55, 1.63),
    "medulla": (0.5, 1.61),
    "sinus": (0.7, 1.48),
    "fluid": (0.01, 1.52),
    "blood": (0.15, 1.63),
    "bone": (9.0, 3.0),
    "gas": (14.0, 0.4),
    "lung": (14.0, 0.4),
}
TISSUE_NAMES = tuple(_TABLE)
BLOCKING = ("air", "bone", "gas", "lung")  # nothing is seen behind them
TISSUE = {name: np.uint8(n) for n, name in enumerate(TISSUE_NAMES)}
ATTENUATION = np.array([row[0] for row in _TABLE.values()], np.float32)
_IMPEDANCE = np.array([row[1] for row in _TABLE.values()], np.float32)


@dataclass(frozen=True)
class Acoustics:
    """One patient's tissues. Echogenicities are the power of the speckle in dB, the liver's about 0."""

    air: float = between(-60, -50)
    gel: float = between(-60, -50)
    skin: float = between(-2, 6)
    wall_fat: float = between(-12, -3)
    fascia: float = between(0, 8)
    muscle: float = between(-12, -4)
    fat: float = between(-8, 8, child=(-8, 4))
    bowel: float = between(-8, 5)
    liver: float = between(-1.5, 1.5)
    spleen: float = between(-2, 3)
    cortex: float = between(-8, 0, child=(-5, 3))  # an infant's is as bright as the liver, or brighter
    capsule: float = between(-2, 6)
    medulla: float = between(-12, -5, child=(-14, -7))
    sinus: float = between(4, 13, child=(0, 9))  # children have little fat in it
    fluid: float = between(-55, -38)
    blood: float = between(-36, -20)
    bone: float = between(-4, 4)
    gas: float = between(2, 12)
    lung: float = between(2, 12)
    attenuation: float = between(0.75, 1.25)  # factor on every tissue's
    specular_db: float = between(-4, 10)  # of a sharp step of 0.1 MRayl met at right angles
    roughness: float = between(1.5, 8.0, log=True)  # exponent of the cosine of incidence
    capsule_mrayl: float = between(1.60, 1.85)  # impedance of the capsule, a sheet below a millimetre
    mottle_db: float = between(0.8, 3.0)  # unevenness of echogenicity, standard deviation
    mottle_mm: float = between(3.0, 12.0)  # size of its patches

    def echogenicity_db(self) -> np.ndarray:
        """(tissues,) in the order of TISSUE_NAMES."""
        return np.array([getattr(self, name) for name in TISSUE_NAMES], np.float32)

    def impedance_mrayl(self) -> np.ndarray:
        """(tissues,) in the order of TISSUE_NAMES."""
        impedance = _IMPEDANCE.copy()
        impedance[TISSUE["capsule"]] = self.capsule_mrayl
        return impedance
