"""What makes one simulated body differ from the next."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

ARMS = ("down", "up", "out", "belly")


@dataclass(frozen=True)
class Traits:
    """One person and how they lie in the scanner.

    Args:
        female: sex.
        child: body under about 1.4 m with the proportions of one.
        height_mm: vertex to sole.
        girth: width and depth of trunk and limbs relative to the height's average.
        fat: 0 (thin) to 1 (obese): subcutaneous thickness, belly, fat between the muscles.
        visceral: 0 to 1: fat between the organs, belly forward.
        breath_mm: how much the diaphragm stands above its mean place.
        recess: depth of the lungs behind and beside the diaphragm's domes, relative to the average.
        bladder: filling, 0 to 1.
        gas: fraction of the bowel content that is gas.
        breast: size of the breasts, 0 to 1.
        prone: breasts hang free as in breast MRI.
        arms: "down", "up" beside the head, "out" to the sides (out of view) or hands on the "belly".
        legs_apart: 0 (touching) to 1.
        kyphosis: sagittal curves of the spine relative to the standing average; supine flattens them.
        scoliosis_mm: sideways amplitude of the spine.
        head_forward_mm: shift of the head to anterior.
    """

    female: bool
    child: bool
    height_mm: float
    girth: float
    fat: float
    visceral: float
    breath_mm: float
    recess: float
    bladder: float
    gas: float
    breast: float
    prone: bool
    arms: str
    legs_apart: float
    kyphosis: float
    scoliosis_mm: float
    head_forward_mm: float

    @property
    def fat_mm(self) -> float:
        """Thickness of the subcutaneous fat of the flank."""
        return 3.0 + 42.0 * self.fat**1.4


def sample_traits(rng: np.random.Generator) -> Traits:
    """Draw a person: 12 % children, adults of both sexes from 1.45 to 2.0 m, thin to obese."""
    child = rng.random() < 0.12
    female = rng.random() < 0.5
    mean = 1650 if female else 1775
    height = rng.uniform(900, 1400) if child else np.clip(rng.normal(mean, 80), 1450, 2000)
    fat = rng.beta(1.6, 2.4) * (0.5 if child else 1.0)
    prone = bool(female and not child and rng.random() < 0.15)
    return Traits(
        female=bool(female),
        child=bool(child),
        height_mm=float(height),
        girth=float(np.clip(rng.normal(1.0, 0.06) + 0.10 * (fat - 0.4), 0.85, 1.2)),
        fat=float(fat),
        visceral=float(np.clip(fat + rng.normal(0, 0.15) - (0.1 if female else 0), 0, 1)),
        breath_mm=float(np.clip(rng.normal(5, 22), -30, 50)),
        recess=float(rng.uniform(0.85, 1.7)),
        bladder=float(rng.beta(2, 2)),
        gas=float(rng.uniform(0.05, 0.6)),
        breast=float(np.clip(rng.beta(2, 2) * 0.8 + 0.3 * fat, 0.1, 1)) if female and not child else 0.0,
        prone=prone,
        arms="up" if prone else str(rng.choice(ARMS, p=(0.45, 0.25, 0.15, 0.15))),
        legs_apart=float(rng.uniform(0, 1)),
        kyphosis=float(rng.uniform(0.35, 1.2)),
        scoliosis_mm=float(rng.normal(0, 4)),
        head_forward_mm=float(rng.normal(0, 8)),
    )
