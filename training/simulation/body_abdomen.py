"""Abdominal organs of the reference body; all painted inside the cavity."""

from __future__ import annotations

import numpy as np

from training.simulation.body_chest import Diaphragm, vessel_tree
from training.simulation.body_spine import front_a
from training.simulation.body_traits import Traits
from training.simulation.shapes import Ellipsoid, Formula, Loft, Noise, Part, Tube, labyrinth, rotation, shifted
from training.simulation.tissues import LABEL


def gut(path, radius, wall_mm: float, traits: Traits, rng: np.random.Generator) -> Part:
    """A bowel segment along a polyline: wall, content and gas that collects at the front of a supine body."""
    path = np.asarray(path, float)
    radii = np.broadcast_to(np.asarray(radius, float), len(path))
    fine = np.linspace(0, len(path) - 1, 5 * len(path))
    axis = np.stack([np.interp(fine, range(len(path)), column) for column in path.T], 1)
    radii = np.interp(fine, range(len(path)), radii) * (
        1 + 0.16 * np.sin(2.4 * fine * 2 * np.pi / 2) + rng.normal(0, 0.05, len(fine))
    )
    lumen = Tube(axis, np.maximum(radii - wall_mm, 1.0))
    noise = Noise(rng, 90)
    level = 1.2 - 2.2 * traits.gas
    gas = Formula(lumen.box, lambda r, a, s: noise(r, a, s) > level)
    return Part(
        Tube(axis, radii), LABEL["bowel_wall"], (Part(lumen, LABEL["bowel_content"], (Part(gas, LABEL["bowel_gas"]),)),)
    )


def liver(diaphragm: Diaphragm, box, rng: np.random.Generator) -> tuple[Part, tuple]:
    """The liver fills the right dome and tapers to the left; its lower face rises to the left and to the front."""
    noise = Noise(rng, 120)
    tip = rng.normal(1022, 12)
    reach = rng.uniform(55, 95)  # how far the left lobe crosses the midline

    def inside(r, a, s):
        top = diaphragm(r, a) - diaphragm.CLEARANCE_MM
        lower = tip + 0.62 * (108 - r) - 0.10 * (a - 100) + 7 * noise(r, a, s)
        left = a > 36 + 2.4 * np.clip(24 - r, 0, 32) + 0.2 * np.clip(-r, 0, 90)
        return (s < top) & (s > lower) & left & (r > 0.006 * np.square(a - 150) + 6 * noise(s, r, a) - reach) & (a > 36)

    high = np.array(box[1], float)
    liver_box = [[-reach, 36, tip - 40], [high[0], high[1], diaphragm.top]]
    gate = Ellipsoid((48, 105, 1120), (52, 58, 52))
    veins = vessel_tree(liver_box, rng, 85, 0.13, gate.inside)
    porta = Tube([(20, 122, 1068), (38, 112, 1092), (72, 100, 1104)], [6.5, 6, 4])
    middle = Tube([(24, 94, 1158), (50, 112, 1140), (78, 120, 1110)], [5, 4, 2])
    parts = (Part(veins, LABEL["blood"]), Part(porta, LABEL["blood"]), Part(middle, LABEL["blood"]))
    return Part(Formula(liver_box, inside), LABEL["liver"], parts), (58.0, 110.0, 0.5 * (diaphragm.top + tip + 40))


def kidney(center, side: float, size: float, rng: np.random.Generator) -> Part:
    """Cortex, medullary pyramids, sinus fat with the pelvis; the hilum looks to the middle and front."""
    turn = rotation(roll=-14 * side, pitch=8, yaw=-28 * side)
    radii = np.array([26, 31, 56]) * size
    noise = Noise(rng, 30, 4)
    hilum = turn @ np.array([-side * 18 * size, 0, 0])

    def pyramids(r, a, s):
        return noise(r, a, s) > -0.05

    return Part(
        Ellipsoid(center, radii, turn),
        LABEL["kidney_cortex"],
        (
            Part(
                Ellipsoid(center, 0.80 * radii, turn),
                None,
                (Part(Formula(np.stack([center - 60, center + 60]), pyramids), LABEL["kidney_medulla"]),),
            ),
            Part(
                Ellipsoid(center + 0.9 * hilum, radii * [0.72, 0.42, 0.55], turn),
                LABEL["fat"],
                (Part(Ellipsoid(center + hilum, radii * [0.5, 0.18, 0.35], turn), LABEL["blood"]),),
            ),
        ),
    )


def stomach(traits: Traits, rng: np.random.Generator) -> Part:
    """Fundus under the left dome, body, antrum crossing the midline; gas in front, content behind."""
    fill = rng.uniform(0.75, 1.1)
    path = np.array(
        [(-58, 98, 1138), (-68, 116, 1108), (-60, 142, 1078), (-30, 158, 1052), (6, 152, 1046), (28, 138, 1054)], float
    )
    path[2:, 2] += rng.normal(0, 10)
    radii = np.array([38, 38, 30, 22, 18, 12]) * fill
    lumen = Tube(path, radii - 5)
    level = rng.uniform(120, 175)
    rugae = Noise(rng, 16)
    return Part(Tube(path, radii), LABEL["bowel_wall"], (
        Part(lumen, LABEL["bowel_content"], (
            Part(Formula(lumen.box, lambda r, a, s: a > level + 20 * (1 - traits.gas)), LABEL["bowel_gas"]),
            Part(Formula(lumen.box, lambda r, a, s: rugae(r, a, s) > 0.95), LABEL["bowel_wall"]),)),
    ))  # fmt: skip


def small_bowel(traits: Traits, rng: np.random.Generator) -> Part:
    """Loops of the jejunum and ileum as tubes of a warped gyroid, with mesenteric fat between them."""
    push = 40 * traits.visceral - 10
    heights = np.array([845, 870, 900, 950, 1000, 1035, 1070.0])
    rows = [
        (s, 0, a, w, f + push, b, 0.3)
        for s, a, w, f, b in zip(
            heights,
            (110, 118, 125, 130, 135, 138, 140),
            (45, 74, 86, 86, 86, 84, 50),
            (50, 58, 58, 58, 54, 48, 30),
            (34, 44, 36, 30, 36, 40, 20),
            strict=True,
        )
    ]
    warp = [Noise(rng, 85) for _ in range(2)]
    fluid = Noise(rng, 60)
    wave = rng.uniform(50, 62)
    thin = 0.05 + 0.8 * traits.visceral

    def field(r, a, s):
        one, two = warp[0](r, a, s), warp[1](r, a, s)
        return labyrinth(r + 9 * one, a + 9 * two, s + 9 * (one - two), wave)

    def loops(r, a, s):
        return field(r, a, s) > thin - 0.8

    def lumen(r, a, s):
        return field(r, a, s) > thin - 0.5

    def gas(r, a, s):
        return fluid(r, a, s) > 1.25 - 0.9 * traits.gas

    region = Loft(rows)
    return Part(
        region,
        None,
        (
            Part(
                Formula(region.box, loops),
                LABEL["bowel_wall"],
                (
                    Part(
                        Formula(region.box, lumen),
                        LABEL["bowel_content"],
                        (Part(Formula(region.box, gas), LABEL["bowel_gas"]),),
                    ),
                ),
            ),
            Part(vessel_tree(region.box, rng, 50, 0.14), LABEL["blood"]),
        ),
    )


def colon(traits: Traits, rng: np.random.Generator) -> list[Part]:
    """The frame of the large bowel from the caecum to the sigmoid."""
    out = 10 * traits.visceral
    droop = rng.uniform(-55, 5)
    ascending = [(84, 108, 892), (96 + out, 104, 920), (99 + out, 90, 965), (98 + out, 88, 1010), (88 + out, 110, 1032)]
    transverse = [
        (88 + out, 112, 1032),
        (55, 165, 1030 + 0.6 * droop),
        (0, 182, 1025 + droop),
        (-55, 172, 1040 + 0.6 * droop),
        (-98, 110, 1095),
    ]
    descending = [
        (-98, 108, 1098),
        (-106 - out, 80, 1070),
        (-104 - out, 74, 1010),
        (-102 - out, 84, 950),
        (-96 - out, 100, 905),
        (-84, 110, 880),
    ]
    sigmoid = [(-84, 110, 880), (-50, 112, 858), (-10, 104, 868), (24, 86, 858), (12, 50, 848), (0, 38, 835)]
    push = np.array([0, 30 * traits.visceral - 8, 0])
    transverse = np.array(transverse, float)
    transverse[1:4] += push
    return [
        gut(ascending, 24, 2.5, traits, rng),
        gut(transverse, rng.uniform(15, 22), 2.5, traits, rng),
        gut(descending, rng.uniform(12, 18), 3.0, traits, rng),
        gut(sigmoid, rng.uniform(12, 18), 3.5, traits, rng),
    ]


def abdomen(diaphragm: Diaphragm, box, traits: Traits, rng: np.random.Generator) -> tuple[list[Part], dict]:
    """Everything between the diaphragm and the pelvic inlet, in painting order."""
    size = rng.uniform(0.9, 1.1)
    shift = 0.5 * traits.breath_mm
    right = np.array([62.0, 70.0, 1022.0 + shift]) + rng.normal(0, 4, 3)
    left = np.array([-62.0, 70.0, 1040.0 + shift]) + rng.normal(0, 4, 3)
    spleen_size = rng.uniform(0.85, 1.25)
    liver_part, liver_site = liver(diaphragm, box, rng)

    def under(r, a, s):
        return s < diaphragm(r, a) - 1

    below = np.array(box, float)
    below[1, 2] = diaphragm.top
    psoas = [
        part
        for side in (1, -1)
        for part in [
            Tube(
                [
                    (26 * side, front_a(1050) - 14, 1050),
                    (38 * side, front_a(990) - 14, 990),
                    (48 * side, 84, 930),
                    (62 * side, 98, 880),
                    (82 * side, 118, 830),
                ],
                [8, 16, 20, 18, 16],
            )
        ]
    ]
    crura = [
        Tube(
            [
                (14 * side, front_a(1040) + 2, 1040),
                (16 * side, front_a(1110) + 4, 1110),
                (8 * side, front_a(1140) + 12, 1140),
            ],
            5,
        )
        for side in (1, -1)
    ]
    upper = (
        stomach(traits, rng),
        Part(
            Ellipsoid((-90, 66, 1100 + shift), np.array([28, 46, 50]) * spleen_size, rotation(yaw=-22, pitch=25)),
            LABEL["spleen"],
        ),
        liver_part,
        Part(
            Ellipsoid((46, 158, 1052 + shift), np.array([14, 20, 28]) * rng.uniform(0.7, 1.3), rotation(pitch=25)),
            LABEL["bowel_wall"],
            (
                Part(
                    Ellipsoid(
                        (46, 158, 1052 + shift), np.array([12.5, 18, 26]) * rng.uniform(0.8, 1.1), rotation(pitch=25)
                    ),
                    LABEL["bile"],
                ),
            ),
        ),
    )
    parts = [
        *(Part(tube, LABEL["muscle"]) for tube in (*psoas, *crura)),
        small_bowel(traits, rng),
        *colon(traits, rng),
        Part(Formula(below, under), None, upper),
        gut(
            [
                (30, 134, 1052),
                (44, 118, 1040),
                (44, 112, 1000),
                (20, front_a(985) + 12, 985),
                (-18, front_a(990) + 16, 995),
                (-30, 134, 1030),
            ],
            12,
            2.5,
            traits,
            rng,
        ),
        Part(
            Tube(
                [(36, 124, 1022), (24, 130, 1040), (-6, front_a(1050) + 32, 1052), (-45, 112, 1072), (-78, 92, 1082)],
                [14, 12, 9, 9, 7],
            ),
            LABEL["pancreas"],
        ),
        Part(
            Tube([(-75, 84, 1084), (-30, front_a(1066) + 16, 1068), (16, front_a(1058) + 26, 1058)], [3.5, 4, 5]),
            LABEL["blood"],
        ),
        kidney(right, 1, size, rng),
        kidney(left, -1, size * rng.uniform(0.95, 1.06), rng),
        Part(Tube([shifted(right, -24, 6, 0), (16, front_a(1030) + 6, 1034)], 4), LABEL["blood"]),
        Part(
            Tube([shifted(left, 24, 6, 0), (-4, front_a(1040) + 18, 1042), (14, front_a(1040) + 12, 1042)], 4),
            LABEL["blood"],
        ),
        Part(
            Tube([(-4, front_a(1075) + 12, 1078), (-3, front_a(1050) + 26, 1050), (2, 135, 980)], [4, 4, 3]),
            LABEL["blood"],
        ),
    ]
    return parts, {"liver": liver_site, "kidney_right": tuple(right), "kidney_left": tuple(left)}
