"""Legs and arms in the reference frame."""

from __future__ import annotations

import numpy as np

from training.simulation.body_traits import Traits
from training.simulation.shapes import Ellipsoid, Formula, Loft, Noise, Part, Septa, Tube, shifted
from training.simulation.tissues import LABEL

# Muscle outline of the right leg: (s, r, a, half width, front, back, square), without fat and skin.
LEG = [
    (-78, 100, 70, 26, 100, 26, 0.3), (-66, 102, 70, 34, 128, 34, 0.3), (-50, 98, 68, 33, 105, 36, 0.3),
    (-35, 92, 66, 30, 72, 38, 0.2), (-20, 86, 65, 29, 48, 36), (5, 78, 66, 28, 34, 34), (40, 74, 64, 25, 28, 30),
    (80, 74, 60, 28, 31, 36), (130, 75, 58, 34, 36, 40), (190, 75, 56, 43, 42, 46), (250, 75, 56, 48, 44, 48),
    (290, 75, 58, 48, 46, 46), (330, 74, 66, 45, 45, 44), (370, 74, 72, 47, 47, 42), (400, 74, 76, 49, 50, 42),
    (430, 75, 80, 50, 49, 43), (480, 79, 84, 57, 53, 49), (540, 84, 86, 64, 58, 58), (600, 88, 84, 71, 64, 62),
    (660, 90, 84, 76, 66, 64, 0.1), (720, 90, 84, 79, 63, 70, 0.2), (772, 88, 84, 80, 58, 78, 0.3),
]  # fmt: skip
THIGH_MUSCLES = [  # axes (s, r, a) of the right thigh
    [(420, 74, 125), (600, 95, 138), (760, 95, 140)],  # rectus femoris
    [(420, 112, 104), (520, 132, 95), (700, 148, 92)],  # vastus lateralis
    [(420, 40, 108), (500, 52, 118), (640, 80, 118)],  # vastus medialis
    [(430, 80, 104), (560, 98, 112), (760, 120, 112)],  # vastus intermedius
    [(420, 30, 68), (560, 38, 98), (760, 88, 150)],  # sartorius
    [(430, 34, 60), (600, 28, 82), (760, 20, 100)],  # gracilis
    [(440, 50, 70), (600, 52, 82), (760, 40, 96)],  # adductor magnus
    [(560, 60, 100), (660, 54, 112), (760, 40, 125)],  # adductor longus
    [(420, 106, 58), (560, 112, 52), (760, 72, 40)],  # biceps femoris
    [(420, 52, 44), (560, 82, 36), (760, 62, 34)],  # semitendinosus
    [(420, 44, 54), (560, 58, 50), (760, 56, 46)],  # semimembranosus
    [(640, 130, 40), (700, 115, 18), (760, 100, 5)],  # gluteus maximus
]
CALF_MUSCLES = [  # axes of the right calf
    [(100, 66, 42), (220, 54, 28), (370, 56, 36)],  # gastrocnemius, medial head
    [(100, 82, 40), (220, 96, 28), (370, 94, 36)],  # gastrocnemius, lateral head
    [(60, 74, 42), (200, 76, 44), (340, 78, 48)],  # soleus
    [(60, 82, 76), (200, 98, 82), (340, 96, 88)],  # tibialis anterior
    [(60, 94, 60), (200, 108, 68), (340, 106, 72)],  # peronei
    [(60, 68, 56), (200, 70, 60), (330, 76, 62)],  # tibialis posterior
    [(60, 60, 78), (200, 60, 84), (340, 60, 90)],  # (tibia)
]
FEMUR_SHAFT = [(748, 126, 74), (700, 120, 84), (600, 106, 96), (500, 90, 92), (440, 78, 84)]
TIBIA = [(375, 72, 80), (350, 72, 80), (320, 68, 86), (280, 66, 84), (150, 66, 74), (40, 68, 70), (0, 70, 68)]


def mirrored(rows, side: float):
    """Loft rows or muscle axes (s, r, ...) of the right side, moved to `side` (+1 right, -1 left)."""
    turned = []
    for row in rows:
        row = list(row)
        row[1] *= side
        if len(row) > 7:
            row[7] *= side
        turned.append(tuple(row))
    return turned


def ras(rows, side: float = 1.0):
    """(R, A, S) points of rows (s, r, a)."""
    return [(r * side, a, s) for s, r, a in rows]


def bone(shape_of, cortex_mm: float) -> Part:
    """Cortical bone around marrow: `shape_of(grow_mm)` builds the shape."""
    return Part(shape_of(0.0), LABEL["cortical_bone"], (Part(shape_of(-cortex_mm), LABEL["marrow"]),))


def tube_bone(points, radii, cortex_mm: float) -> Part:
    """Long bone along a polyline."""
    radii = np.broadcast_to(np.asarray(radii, float), len(points))
    return bone(lambda grow: Tube(points, np.maximum(radii + grow, 0.5)), cortex_mm)


def loft_bone(rows, cortex_mm: float) -> Part:
    """Bone from cross-sections."""
    return bone(lambda grow: Loft(rows, grow=grow), cortex_mm)


def upper_femur(side: float) -> list[Part]:
    """Head, neck, trochanters and shaft of one femur; part of the pelvis and of the leg."""
    head = (91 * side, 83, 815)
    shaft = [(130 * side, 72, 785), *ras(FEMUR_SHAFT, side)]
    parts = [
        tube_bone([(128 * side, 62, 808), (132 * side, 66, 775)], [14, 15], 1.5),
        tube_bone([(100 * side, 82, 812), (126 * side, 72, 788)], [16, 17], 2.0),
        tube_bone([(112 * side, 58, 758), (116 * side, 66, 745)], [9, 9], 1.5),
        tube_bone(shaft, [18, 16, 14, 13.5, 14, 17], 5.0),
    ]
    return [
        *parts,
        Part(Tube([(104 * side, 79, 808), (124 * side, 72, 790)], [11, 13]), LABEL["marrow"]),
        Part(Ellipsoid(head, (25.5,) * 3), LABEL["cartilage"]),
        Part(
            Ellipsoid(head, (23.5,) * 3), LABEL["cortical_bone"], (Part(Ellipsoid(head, (22.3,) * 3), LABEL["marrow"]),)
        ),
    ]


def _knee(side: float) -> list[Part]:
    condyles = [
        (442, 78, 82, 18, 17, 17),
        (425, 75, 80, 28, 20, 18),
        (408, 74, 78, 38, 24, 24, 0.4),
        (392, 74, 75, 41, 26, 29, 0.6),
        (380, 74, 72, 39, 24, 30, 0.6),
        (374, 74, 70, 34, 18, 27, 0.6),
    ]
    plateau = [
        (372, 74, 76, 37, 22, 24, 0.5),
        (360, 74, 76, 38, 23, 24, 0.5),
        (345, 73, 78, 32, 21, 21, 0.4),
        (322, 70, 82, 20, 18, 15),
    ]
    notch = Ellipsoid((74 * side, 48, 386), (9, 17, 16))
    return [
        Part(Ellipsoid((74 * side, 72, 374), (42, 34, 12)), LABEL["cartilage"]),
        Part(Ellipsoid((74 * side, 106, 366), (20, 12, 24)), LABEL["fat"]),
        Part(Ellipsoid((76 * side, 34, 395), (17, 15, 40)), LABEL["fat"]),
        loft_bone(mirrored(condyles, side), 1.5),
        Part(notch, LABEL["fat"]),
        loft_bone(mirrored(plateau, side), 1.5),
        Part(Ellipsoid((75 * side, 111, 402), (23, 12, 23)), LABEL["cartilage"]),
        bone(lambda g: Ellipsoid((75 * side, 114, 402), (22 + g, 11 + g, 22 + g)), 1.5),
        Part(Tube([(75 * side, 120, 440), (75 * side, 122, 420)], 5), LABEL["cortical_bone"]),
        Part(Tube([(74 * side, 118, 384), (72 * side, 108, 335)], 3.5), LABEL["cortical_bone"]),
    ]


def _foot(side: float, rng: np.random.Generator) -> list[Part]:
    turn = rng.normal(8, 10)

    def at(r, a, s):  # the foot turns outward about the ankle
        angle = np.deg2rad(turn)
        x, y = r - 78, a - 65
        return ((78 + x * np.cos(angle) + y * np.sin(angle)) * side, 65 + y * np.cos(angle) - x * np.sin(angle), s)

    rays = [
        tube_bone(
            [at(66 + 10 * i, 112, -32 - 4 * i), at(62 + 15 * i, 165 - 4 * i, -56), at(62 + 16 * i, 200 - 9 * i, -66)],
            [7 - 0.5 * i, 5, 4],
            1.6,
        )
        for i in range(5)
    ]
    return [
        Part(Ellipsoid(at(80, 45, -72), (32, 34, 14)), LABEL["fat"]),
        bone(lambda g: Ellipsoid(at(78, 70, -17), (21 + g, 27 + g, 15 + g)), 1.2),
        bone(lambda g: Ellipsoid(at(82, 45, -45), (17 + g, 34 + g, 20 + g)), 1.2),
        bone(lambda g: Ellipsoid(at(80, 105, -35), (25 + g, 16 + g, 15 + g)), 1.2),
        *rays,
    ]


def leg(side: float, traits: Traits, rng: np.random.Generator) -> Part:
    """One leg from the ischium to the toes; `side` +1 is the right one."""
    fat = traits.fat_mm * (0.75 if traits.female else 0.5)
    outer = []
    for s, r, a, wide, front, back, *square in LEG:
        layer = (
            1
            + np.interp(s, [-60, 30, 350, 450, 760], [2.5, 3, 4, 5, 7]) * 0.6
            + fat * np.interp(s, [-60, 60, 250, 380, 760], [0.08, 0.15, 0.35, 0.4, 1.0])
        )
        outer.append((s, r, a, wide + layer, front + layer, back + layer, *square))
    thigh, calf = ([mirrored(axis, side) for axis in axes] for axes in (THIGH_MUSCLES, CALF_MUSCLES))
    inner, skin = Loft(mirrored(LEG, side)), Loft(mirrored(outer, side))
    noise = Noise(rng, 26)
    tibia = tube_bone(ras(TIBIA, side), [22, 19, 17, 15, 11.5, 12, 18], 4.0)
    fibula = tube_bone(
        [(106 * side, 56, 358), (103 * side, 56, 330), (96 * side, 58, 180), (94 * side, 58, -25)], [8, 6, 5.5, 9], 2.2
    )
    low, high = inner.box
    muscles = (
        Part(
            Septa([[low[0], low[1], 425], [high[0], high[1], high[2]]], thigh, 1.1 + 2.5 * traits.fat, rng),
            LABEL["fat"],
        ),
        Part(Septa([[low[0], low[1], 40], [high[0], high[1], 345]], calf, 1.0 + 2.0 * traits.fat, rng), LABEL["fat"]),
        Part(
            Formula([[low[0], low[1], 340], [high[0], high[1], 430]], lambda r, a, s: noise(r, a, s) > -0.1),
            LABEL["fat"],
        ),
        Part(
            Formula([[low[0], low[1], -80], [high[0], high[1], 60]], lambda r, a, s: noise(r, a, s) > 0.1), LABEL["fat"]
        ),
        Part(Tube(ras([(60, 76, 36), (-20, 76, 28)], side), [5, 6]), LABEL["cortical_bone"]),  # Achilles tendon
        *upper_femur(side)[3:4],
        tibia,
        fibula,
        *_knee(side),
        Part(
            Tube(
                ras([(770, 62, 150), (650, 66, 108), (520, 52, 78), (440, 72, 48), (330, 76, 56), (200, 74, 54)], side),
                [5, 4.5, 4, 4, 3, 2],
            ),
            LABEL["blood"],
        ),
        Part(
            Tube(
                ras([(770, 54, 148), (650, 60, 102), (520, 56, 70), (440, 78, 42), (330, 84, 54), (200, 84, 52)], side),
                [6, 5.5, 5, 5, 3, 2],
            ),
            LABEL["blood"],
        ),
        Part(
            Tube(ras([(740, 92, 48), (560, 86, 56), (420, 82, 36)], side), [6, 5, 4]), LABEL["organ"]
        ),  # sciatic nerve
        *_foot(side, rng),
    )
    return Part(
        skin,
        LABEL["skin"],
        (
            Part(
                Loft(mirrored(outer, side), grow=-1.8),
                LABEL["fat"],
                (
                    Part(
                        Tube(ras([(740, 50, 150), (420, 26, 50), (200, 40, 70), (20, 52, 92)], side), 2.5),
                        LABEL["blood"],
                    ),  # saphenous vein
                    Part(inner, LABEL["muscle"], muscles),
                ),
            ),
        ),
    )


SHOULDER = (168.0, 58.0, 1302.0)


def arm_axis(traits: Traits, rng: np.random.Generator) -> np.ndarray:
    """(4, 3) shoulder, elbow, wrist and finger tips of the right arm, reference RAS mm."""
    out = traits.fat_mm
    belly = 30 * traits.visceral + out
    paths = {
        "down": [(206 + out, 58, 1015), (222 + out, 92, 780), (226 + out, 112, 610)],
        "belly": [(222 + out, 75, 1030), (95, 232 + belly, 960), (15, 240 + belly, 930)],
        "up": [(200, 78, 1585), (110, 90, 1800), (60, 95, 1940)],
        "out": [(430, 58, 1180), (620, 80, 1060), (740, 85, 980)],
    }
    path = np.array([SHOULDER, *paths[traits.arms]], float)
    path[1:] += rng.normal(0, 10, (3, 3)) * [[0.5, 0.7, 1]]
    return path


def arm(side: float, traits: Traits, rng: np.random.Generator) -> tuple[Part, Part]:
    """One arm with a coarse hand; and its shoulder, to be painted over the trunk so that no skin divides them."""
    shoulder, elbow, wrist, tip = arm_axis(traits, rng) * [side, 1, 1]
    middle, forearm, palm = (shoulder + elbow) / 2, elbow + 0.25 * (wrist - elbow), wrist + 0.45 * (tip - wrist)
    axis = [shoulder, middle, elbow, forearm, wrist, palm, tip]
    lean = np.array([39, 37, 31, 35, 22, 23, 9.0])
    fat = traits.fat_mm * np.array([0.5, 0.5, 0.3, 0.25, 0.12, 0.08, 0.03])
    layer = np.array([4, 4, 4, 3, 3, 2, 2.0]) + fat
    across = np.cross(wrist - elbow, [0, 1, 0])
    across = across / np.linalg.norm(across)
    noise = Noise(rng, 70)
    hand = [
        tube_bone([wrist + across * 6 * i, palm + across * 9 * i, tip + across * 7 * i], [5, 4.5, 3.5], 1.3)
        for i in (-1.5, -0.5, 0.5, 1.5)
    ]
    inside = (
        Part(
            Formula([[-1e4] * 3, [1e4] * 3], lambda r, a, s: np.abs(noise(r, a, s)) < 0.02 + 0.03 * traits.fat),
            LABEL["fat"],
        ),
        Part(
            Tube(
                [
                    shifted(shoulder, -18 * side, -8, -30),
                    middle + across * 22,
                    shifted(elbow + across * 14, 0, 8, 0),
                    wrist,
                ],
                [4, 3.5, 3, 1.5],
            ),
            LABEL["blood"],
        ),
        tube_bone(
            [shoulder, 0.9 * shoulder + 0.1 * elbow, middle, 0.06 * middle + 0.94 * elbow], [23, 14, 11.5, 16], 3.5
        ),
        bone(lambda g: Ellipsoid(elbow, (27 + g, 17 + g, 17 + g)), 1.5),
        tube_bone([elbow + across * 11, wrist + across * 11], [8, 10], 2.6),
        tube_bone([elbow - across * 11, wrist - across * 11], [11, 6], 2.6),
        *hand,
    )
    skin = Tube(axis, lean + layer)
    lean_arm = Part(Tube(axis, lean), LABEL["muscle"], inside)
    beside = [[148, -60, 1240], [400, 200, 1400]] if side > 0 else [[-400, -60, 1240], [-148, 200, 1400]]
    joint = Part(Formula(beside, lambda r, a, s: np.ones(r.shape, bool)), None, (lean_arm,))
    return Part(skin, LABEL["skin"], (Part(Tube(axis, lean + layer - 1.8), LABEL["fat"], (lean_arm,)),)), joint
