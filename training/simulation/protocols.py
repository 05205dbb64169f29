"""Fields of view of MR examinations, drawn at random: what is aimed at, how large, how thick, in which plane.

They follow what scanners are asked for: whole body to a single joint, axial, coronal and sagittal stacks from
isotropic 3D to 2D with slices of 10 mm. A scan made for the spine is its own class; every other slice belongs to the
body region at its height.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from .anatomy import Anatomy

SAGITTAL, CORONAL, AXIAL = 0, 1, 2
SHORTEST_SPINE_MM = 200.0  # of the canal: a head with a few vertebrae is not scanned for its spine


@dataclass(frozen=True, eq=False)
class Scan:
    """A box of voxels in the scanner, along R, A and S.

    centre_mm, extent_mm, spacing_mm: (3,) in mm. plane: 0 sagittal, 1 coronal, 2 axial: the axis across the slices.
    thickness_mm: slice thickness, at most the spacing across the slices. spine: made for the spine. brain_only:
    skull-stripped.
    """

    protocol: str
    centre_mm: np.ndarray
    extent_mm: np.ndarray
    spacing_mm: np.ndarray
    plane: int
    thickness_mm: float
    spine: bool = False
    brain_only: bool = False

    @property
    def positions_mm(self) -> np.ndarray:
        """S of the centres of the axial planes, increasing."""
        count = max(2, round(self.extent_mm[2] / self.spacing_mm[2]))
        return self.centre_mm[2] + (np.arange(count) - (count - 1) / 2) * self.spacing_mm[2]

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, columns) of an axial plane: along A and R."""
        return tuple(max(2, round(self.extent_mm[d] / self.spacing_mm[d])) for d in (1, 0))


def _scan(rng, protocol, centre, extent, plane, *, slices=(1, 10), pixel=(0.4, 2.0), isotropic=0.3, **flags) -> Scan:
    """A scan with drawn resolution; `isotropic` is the share of 3D acquisitions with nearly cubic voxels."""
    extent = np.asarray(extent, float)
    in_plane = np.clip(rng.uniform(*pixel) * extent.max() / 350, 0.25, 4.0)
    if rng.random() < isotropic:
        thickness = gap = in_plane * rng.uniform(1, 1.6)
    else:
        thickness = rng.uniform(*slices)
        gap = thickness * rng.choice([1.0, rng.uniform(1, 1.3)])
    spacing = np.full(3, in_plane)
    spacing[plane] = gap
    extent = np.maximum(extent, 3 * spacing)
    return Scan(protocol, np.asarray(centre, float), extent, spacing, plane, float(thickness), **flags)


def _middle(anatomy: Anatomy) -> np.ndarray:
    """Centre of the body in R and A (S: of the box)."""
    return anatomy.box_mm.mean(0)


def _trunk_height(rng, anatomy) -> float:
    """A height in the body, each region equally likely."""
    low, high = anatomy.box_mm[:, 2]
    cuts = [low, *sorted(c for c in anatomy.landmarks.boundaries_mm.values() if low < c < high), high]
    part = rng.integers(len(cuts) - 1)
    return rng.uniform(cuts[part], cuts[part + 1])


def _body(rng, anatomy) -> Scan:
    """The full width of the body, from a short axial stack to a whole-body scan."""
    centre = _middle(anatomy) + rng.normal(0, 12, 3)
    centre[2] = _trunk_height(rng, anatomy)
    width, depth = rng.uniform(320, 520), rng.uniform(220, 500)
    if rng.random() < 0.3:
        depth = width
    length = np.exp(rng.uniform(np.log(30), np.log(700))) if rng.random() < 0.85 else rng.uniform(700, 2000)
    return _scan(rng, "body", centre, (width, depth, length), rng.choice([AXIAL, CORONAL], p=[0.75, 0.25]))


def _coronal_slab(rng, anatomy) -> Scan:
    """A coronal stack that cuts through the body: abdomen, kidneys, lungs, legs, pelvis."""
    centre = _middle(anatomy) + (rng.normal(0, 20), rng.normal(0, 30), 0)
    centre[2] = _trunk_height(rng, anatomy)
    side = rng.uniform(180, 500)
    return _scan(
        rng, "coronal slab", centre, (side, rng.uniform(40, 220), side * rng.uniform(0.8, 1.2)), CORONAL, slices=(3, 8)
    )


def _sagittal_slab(rng, anatomy) -> Scan:
    """A sagittal stack near the middle of the body that is not made for the spine: pelvis, prostate, head, heart."""
    centre = _middle(anatomy) + (rng.normal(0, 25), rng.normal(0, 20), 0)
    centre[2] = _trunk_height(rng, anatomy)
    centre[1] += rng.uniform(0, 30)  # aimed at organs, in front of the spine
    side = rng.uniform(150, 350)
    return _scan(
        rng,
        "sagittal slab",
        centre,
        (np.exp(rng.uniform(np.log(50), np.log(200))), side, side * rng.uniform(0.8, 1.2)),
        SAGITTAL,
        slices=(2, 6),
    )


def _site(rng, anatomy, prefix) -> np.ndarray:
    names = [name for name in anatomy.landmarks.sites_mm if name.startswith(prefix)]
    return np.array(anatomy.landmarks.sites_mm[rng.choice(names)], float)


def _organ(prefix, size, shift=15.0) -> Callable:
    """A tight box about a site whose name starts with `prefix`: `size` mm across, in any plane."""

    def draw(rng, anatomy) -> Scan:
        centre = _site(rng, anatomy, prefix) + rng.normal(0, shift, 3)
        plane = int(rng.choice([SAGITTAL, CORONAL, AXIAL], p=[0.3, 0.3, 0.4]))
        side = rng.uniform(*size)
        extent = np.full(3, side) * rng.uniform(0.8, 1.1, 3)
        extent[plane] = np.exp(rng.uniform(np.log(40), np.log(side)))  # 2D stacks cover the organ and no more
        return _scan(rng, prefix, centre, extent, plane, slices=(1, 6))

    return draw


def _head(rng, anatomy) -> Scan:
    """A head: 3D or 2D, whole or cropped at the skull base, sometimes down the neck, sometimes skull-stripped."""
    centre = _site(rng, anatomy, "brain") + rng.normal(0, 8, 3)
    length = rng.uniform(70, 300)
    centre[2] += rng.uniform(-1, 0.3) * max(0, length - 130) / 2 + rng.normal(0, 12)
    stripped = rng.random() < 0.12
    across = rng.uniform(150, 200) if stripped else rng.uniform(170, 270)
    extent = (across, across * rng.uniform(1.0, 1.3), length)
    plane = int(rng.choice([SAGITTAL, CORONAL, AXIAL], p=[0.25, 0.15, 0.6]))
    return _scan(rng, "head", centre, extent, plane, slices=(2, 7), isotropic=0.5, brain_only=stripped)


def _breast(rng, anatomy) -> Scan:
    """Both breasts with the front of the chest, or one of them."""
    sites = [np.array(p, float) for name, p in anatomy.landmarks.sites_mm.items() if name.startswith("breast")]
    depth = rng.uniform(120, 380)
    if rng.random() < 0.75:
        centre, width, plane = np.mean(sites, 0), rng.uniform(280, 400), AXIAL
    else:
        centre, width, plane = (
            sites[rng.integers(len(sites))],
            rng.uniform(100, 200),
            int(rng.choice([SAGITTAL, AXIAL])),
        )
    centre = centre + rng.normal(0, 10, 3)
    centre[1] -= rng.uniform(-0.2, 0.3) * depth
    return _scan(rng, "breast", centre, (width, depth, rng.uniform(80, 220)), plane, slices=(1, 4), isotropic=0.5)


def _canal_at(rng, anatomy) -> np.ndarray:
    """A point of the canal; the cervical quarter is scanned as often as the rest."""
    canal = anatomy.landmarks.canal_mm
    part = rng.uniform(0.75, 1) if rng.random() < 0.5 else rng.uniform(0, 0.75)
    return np.array(canal[int(part * (len(canal) - 1))], float)


def _spine_axial(rng, anatomy) -> Scan:
    """An axial stack about the spinal canal: a few discs, the cervical cord, or the whole cord."""
    centre = _canal_at(rng, anatomy)
    narrowest = float(np.ptp(anatomy.box_mm, axis=0)[:2].min())  # of a map of the spine alone
    across = np.exp(rng.uniform(np.log(55), np.log(min(230.0, 1.1 * narrowest))))
    centre += rng.normal(0, 5, 3) + (0, rng.uniform(-0.1, 0.3) * across / 2, 0)
    extent = (across, across * rng.uniform(0.7, 1.2), rng.uniform(15, 350))
    return _scan(rng, "spine axial", centre, extent, AXIAL, slices=(1, 7), isotropic=0.2, spine=True)


def _spine_sagittal(rng, anatomy) -> Scan:
    """A sagittal, seldom coronal, stack along the spine: the commonest spine scan. It ends not far from the canal's
    ends."""
    plane = SAGITTAL if rng.random() < 0.9 else CORONAL
    across, depth, length = rng.uniform(20, 90), rng.uniform(70, 340), rng.uniform(80, 550)
    if plane == CORONAL:
        across, depth = rng.uniform(120, 300), rng.uniform(30, 90)
    centre = _canal_at(rng, anatomy) + (rng.normal(0, 4), rng.uniform(-0.1, 0.5) * depth / 2, 0)
    bottom, top = anatomy.landmarks.canal_mm[[0, -1], 2] + (-60, 80)
    centre[2] = np.clip(centre[2], *sorted((bottom + length / 2, top - length / 2)))
    return _scan(
        rng, "spine sagittal", centre, (across, depth, length), plane, slices=(0.8, 5), isotropic=0.2, spine=True
    )


@dataclass(frozen=True)
class Protocol:
    """A kind of examination: how often, what site the anatomy must have, and the function (rng, anatomy) -> Scan."""

    share: float
    needs: str
    draw: Callable[[np.random.Generator, Anatomy], Scan]


PROTOCOLS = {
    "body": Protocol(5.0, "liver", _body),
    "coronal slab": Protocol(2.5, "liver", _coronal_slab),
    "sagittal slab": Protocol(1.2, "liver", _sagittal_slab),
    "head": Protocol(3.5, "brain", _head),
    "brain crop": Protocol(0.5, "brain", _organ("brain", (50, 140), 25)),
    "neck": Protocol(0.7, "neck", _organ("neck", (150, 260))),
    "shoulder": Protocol(0.3, "shoulder", _organ("shoulder", (140, 220))),
    "heart": Protocol(0.8, "heart", _organ("heart", (160, 360))),
    "breast": Protocol(1.4, "breast", _breast),
    "liver": Protocol(0.5, "liver", _organ("liver", (180, 380))),
    "kidney": Protocol(0.5, "kidney", _organ("kidney", (120, 300))),
    "prostate": Protocol(1.6, "prostate", _organ("prostate", (120, 260))),
    "uterus": Protocol(1.2, "uterus", _organ("uterus", (150, 300))),
    "hip": Protocol(0.6, "hip", _organ("hip", (130, 240))),
    "thigh": Protocol(0.6, "thigh", _organ("thigh", (140, 320), 30)),
    "knee": Protocol(1.0, "knee", _organ("knee", (110, 220), 12)),
    "calf": Protocol(0.5, "calf", _organ("calf", (110, 300), 30)),
    "ankle": Protocol(0.4, "ankle", _organ("ankle", (100, 220), 15)),
    "spine axial": Protocol(2.2, "canal", _spine_axial),
    "spine sagittal": Protocol(2.2, "canal", _spine_sagittal),
}


def supports(anatomy: Anatomy, protocol: Protocol) -> bool:
    """True if `anatomy` has what the protocol is aimed at."""
    if protocol.needs == "canal":
        canal = anatomy.landmarks.canal_mm
        return len(canal) > 1 and canal[-1, 2] - canal[0, 2] >= SHORTEST_SPINE_MM
    return any(name.startswith(protocol.needs) for name in anatomy.landmarks.sites_mm)
