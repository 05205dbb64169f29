"""Lungs, diaphragm, mediastinum and heart of the reference body; all painted inside the cavity."""

from __future__ import annotations

import numpy as np

from training.simulation.body_frame import DOME_MM
from training.simulation.body_spine import front_a
from training.simulation.body_traits import Traits
from training.simulation.shapes import Ellipsoid, Formula, Loft, Noise, Part, Tube, rotation
from training.simulation.tissues import LABEL


class Diaphragm:
    """Height of the diaphragm over (r, a): a right dome, a lower left one, falling to the ribs, most at the back.

    `top` is the right dome's summit: the top of the liver lies `CLEARANCE_MM` below.
    """

    CLEARANCE_MM = 0.8

    def __init__(self, traits: Traits):
        self.top = DOME_MM + traits.breath_mm + self.CLEARANCE_MM
        self.summit = (58.0, 112.0)  # (R, A) of the right dome
        self.recess = traits.recess

    def __call__(self, r, a):
        right = r > 0
        u = np.where(right, (r - 58) * (1 / 64), (r + 64) * (1 / 62))
        u = np.where(np.abs(r) < 58, 0.5 * u, u)  # a shallow saddle, on which the heart lies
        v = np.where(a > 112, (a - 112) * (1 / 105), (a - 112) * (1 / 82))
        away = np.square(u) + np.square(v)
        dip = self.recess * np.where(a < 112, 72, 44) * np.minimum(away, 2.0)
        return np.float32(self.top) - 13 * np.clip((58 - r) * (1 / 116), 0, 1) - dip


def vessel_tree(box, rng: np.random.Generator, wavelength_mm: float, width: float, gate=None) -> Formula:
    """Winding thin vessels: where the zero surfaces of two noises meet."""
    one, two = Noise(rng, wavelength_mm), Noise(rng, wavelength_mm)

    def inside(r, a, s):
        mask = np.square(one(r, a, s)) + np.square(two(r, a, s)) < width**2
        return mask if gate is None else mask & gate(r, a, s)

    return Formula(box, inside)


def great_vessels(rng: np.random.Generator) -> list[Part]:
    """Aorta with arch, vena cava, pulmonary trunk and arteries, supra-aortic branches, through the whole trunk."""
    wide = rng.uniform(0.9, 1.2)
    below = [(-10 + 0.03 * (s - 960), front_a(s) + 11, s) for s in range(960, 1130, 20)]
    thoracic = [(-20, front_a(s) + 4, s) for s in range(1140, 1270, 20)]
    arch = [(-22, 62, 1285), (-14, 80, 1304), (0, 104, 1308), (14, 124, 1290), (14, 128, 1262), (4, 122, 1240)]
    aorta = [*below, *thoracic, *arch]
    radius = wide * np.concatenate(
        [np.linspace(8.5, 10, len(below)), np.linspace(11, 12, len(thoracic)), [12, 12.5, 13, 14, 14.5, 14]]
    )
    cava = [(18, front_a(s) + 10, s) for s in range(958, 1110, 20)] + [(24, 92, 1130), (24, 104, 1175), (24, 112, 1200)]
    blood = LABEL["blood"]
    return [
        Part(Tube(aorta, radius + 1.5), LABEL["heart"], (Part(Tube(aorta, radius), blood),)),
        Part(Tube(cava, 10.5 * rng.uniform(0.8, 1.15)), blood),
        Part(Tube([(26, 112, 1225), (24, 108, 1270), (22, 112, 1325)], [10, 9, 8]), blood),
        Part(Tube([(22, 112, 1322), (38, 104, 1350), (34, 92, 1390)], [8, 7, 6.5]), blood),
        Part(Tube([(20, 114, 1318), (-15, 124, 1322), (-36, 104, 1350), (-34, 92, 1390)], [8, 7, 7, 6]), blood),
        Part(Tube([(4, 110, 1308), (22, 96, 1345), (26, 90, 1390)], [6, 5, 4]), blood),
        Part(Tube([(-12, 92, 1312), (-22, 84, 1345), (-26, 88, 1390)], [5, 4.5, 4]), blood),
        Part(Tube([(22, 96, 1345), (80, 78, 1342), (130, 66, 1320), (158, 50, 1270)], [5, 4.5, 4.5, 4]), blood),
        Part(Tube([(-18, 86, 1340), (-80, 78, 1342), (-130, 66, 1320), (-158, 50, 1270)], [5, 4.5, 4.5, 4]), blood),
    ]


def heart(traits: Traits, rng: np.random.Generator) -> tuple[list[Part], np.ndarray]:
    """Pericardial fat, myocardium and the four chambers; also the centre."""
    center = np.array([-20, 126, 1209 + 0.6 * traits.breath_mm]) + rng.normal(0, 3, 3)
    size = rng.uniform(0.92, 1.12)
    turn = rotation(roll=28, yaw=-38)  # long axis (first column's opposite) to left, front and below

    def at(x, y, z):  # along the axis to the apex, to the front right (septum's right), up
        return center + size * (turn @ np.array([-x, y, z]))

    def ball(place, radii, grow=0.0):
        return Ellipsoid(at(*place), np.asarray(radii) * size + grow, turn)

    blood, muscle = LABEL["blood"], LABEL["heart"]
    return [
        Part(ball((0, 0, 0), (62, 46, 46)), LABEL["fat"], (
            Part(ball((-2, 0, -1), (58, 42, 43)), muscle),
            Part(ball((8, 24, 2), (40, 15, 30)), blood),
            Part(ball((14, -10, -4), (42, 27, 29)), muscle),
            Part(ball((12, -10, -4), (33, 16, 18)), blood),
            Part(ball((-34, 22, -4), (22, 21, 27)), muscle, (Part(ball((-34, 22, -4), (20, 19, 25)), blood),)),
            Part(ball((-32, -20, 6), (20, 24, 22)), muscle, (Part(ball((-32, -20, 6), (18, 22, 20)), blood),)),
        )),
    ], center  # fmt: skip


def lungs_and_mediastinum(
    diaphragm: Diaphragm, box, traits: Traits, rng: np.random.Generator
) -> tuple[list[Part], dict]:
    """Everything above the diaphragm."""
    inner = np.array(box, float)
    inner[0, 2] = 1040
    heart_parts, center = heart(traits, rng)
    vessels = vessel_tree(inner, rng, 55, 0.17)
    fissure = Noise(rng, 90)

    def aerated(r, a, s):
        return s > diaphragm(r, a) + 2.5

    def fissures(r, a, s):
        return np.abs((s - 1230) - 0.9 * (a - 90) + 6 * fissure(r, a, s)) < 0.7

    middle = [
        (1352, 0, 80, 44, 40, 30),
        (1330, 0, 84, 32, 45, 30),
        (1310, 0, 92, 28, 55, 40),
        (1290, -2, 95, 30, 62, 42),
        (1265, -4, 95, 32, 65, 45),
        (1240, -8, 100, 38, 70, 50),
        (1210, -14, 104, 34, 74, 52),
        (1180, -18, 100, 28, 50, 50),
        (1150, -10, 84, 18, 40, 45),
        (1130, -6, 80, 16, 30, 35),
    ]
    trachea = [(0, 101, 1392), (1, 90, 1350), (2, 82, 1300), (2, 80, 1280)]
    blood, air = LABEL["blood"], LABEL["airway"]
    parts = [
        Part(Formula(inner, lambda r, a, s: s > diaphragm(r, a)), LABEL["muscle"]),
        Part(
            Formula(inner, aerated),
            LABEL["lung"],
            (Part(vessels, blood), Part(Formula(inner, fissures), LABEL["muscle"])),
        ),
        Part(Loft(middle), None, (Part(Formula(inner, lambda r, a, s: s > diaphragm(r, a) - 2), LABEL["fat"]),)),
        *heart_parts,
        Part(Tube([(-12, 146, 1238), (-16, 136, 1262), (-16, 112, 1276)], [15, 14, 13]), blood),
        Part(Tube([(-14, 110, 1274), (14, 94, 1268), (58, 84, 1262), (75, 70, 1235)], [12, 11.5, 9, 5]), blood),
        Part(Tube([(-16, 112, 1276), (-45, 82, 1276), (-66, 72, 1250)], [12, 10, 5]), blood),
        Part(Tube([(14, 92, 1232), (52, 88, 1238)], [9, 6]), blood),
        Part(Tube([(-40, 88, 1236), (-66, 82, 1240)], [9, 6]), blood),
    ]
    tubes = [
        Part(Tube(trachea, 10.5), LABEL["cartilage"], (Part(Tube(trachea, 8.5), air),)),
        Part(Tube([(2, 80, 1282), (42, 76, 1252), (62, 72, 1225)], [8, 7, 4]), air),
        Part(Tube([(2, 80, 1282), (-42, 74, 1252), (-60, 70, 1225)], [7.5, 6.5, 4]), air),
        Part(Tube([(-4, front_a(s) + 8, s) for s in range(1170, 1400, 20)], 6.5), LABEL["bowel_wall"]),
    ]
    return [*parts, *tubes], {"heart": tuple(center)}
