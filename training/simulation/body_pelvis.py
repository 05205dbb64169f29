"""Hip bones, pelvic muscles and organs of the reference body."""

from __future__ import annotations

import numpy as np

from training.simulation.body_frame import CREST_MM, ISCHIUM_MM
from training.simulation.body_limbs import bone, loft_bone, mirrored, tube_bone, upper_femur
from training.simulation.body_spine import front_a
from training.simulation.body_traits import Traits
from training.simulation.shapes import Ellipsoid, Formula, Loft, Noise, Part, Septa, Tube, rotation, shifted
from training.simulation.tissues import LABEL

ILIUM = [  # (s, r, a, half length, half thickness x 2, square, angle, bend)
    (CREST_MM, 96, 62, 14, 3, 3, 0, 45, 0), (948, 97, 62, 44, 4, 4, 0.3, 45, -8), (930, 95, 64, 60, 5, 5, 0.3, 48, -10),
    (905, 86, 74, 70, 5, 6, 0.3, 53, -8), (880, 80, 76, 62, 6, 6, 0.3, 53, -5), (860, 82, 78, 48, 9, 9, 0.3, 52, -2),
    (848, 86, 82, 36, 14, 14, 0.3, 50, 0), (838, 88, 84, 30, 20, 20, 0.3, 45, 0),
]  # fmt: skip
ISCHIUM = [
    (845, 82, 66, 18, 16, 16), (815, 72, 60, 14, 14, 16), (795, 68, 48, 14, 15, 15), (775, 62, 42, 15, 15, 14),
    (760, 54, 44, 14, 15, 13), (ISCHIUM_MM, 48, 48, 7, 10, 8),
]  # fmt: skip
GLUTEAL = [  # axes of the right hip's muscles
    [(760, 86, 0), (840, 84, -6), (930, 78, 16)],  # gluteus maximus
    [(800, 132, 40), (860, 126, 42), (930, 122, 52)],  # gluteus medius
    [(830, 112, 62), (900, 104, 66)],  # gluteus minimus
    [(760, 148, 100), (880, 140, 110)],  # tensor fasciae latae
    [(760, 96, 130), (830, 84, 122)],  # iliopsoas
    [(760, 110, 150), (830, 112, 148)],  # sartorius, rectus femoris
    [(760, 40, 120), (800, 36, 124)],  # pectineus, adductors
    [(760, 80, 60), (800, 74, 74)],  # obturator externus, quadratus femoris
]


def hip_planes(traits: Traits, rng: np.random.Generator) -> list[Part]:
    """Fat between the hip muscles and in the ischioanal fossae; painted before the pelvic cavity."""
    fossa = [(752, 26, 24, 22, 24, 30), (775, 34, 22, 24, 26, 34), (800, 30, 26, 18, 18, 24)]
    septum = 1.2 + 4.0 * traits.fat
    axes = [mirrored(axis, side) for side in (1, -1) for axis in GLUTEAL]
    return [
        Part(Septa([[-170, -30, 748], [170, 165, 900]], axes, septum, rng), LABEL["fat"]),
        *(Part(Loft(mirrored(fossa, side)), LABEL["fat"]) for side in (1, -1)),
    ]


def hip_bones_and_muscles() -> list[Part]:
    """Ilium, ischium, pubis and the upper femora with the muscles between them, both sides."""
    parts = []
    for side in (1, -1):
        parts += [
            loft_bone(mirrored(ILIUM, side), 1.8),
            bone(lambda g, side=side: Ellipsoid((86 * side, 82, 820), (34 + g, 33 + g, 33 + g)), 2.0),
            loft_bone(mirrored(ISCHIUM, side), 1.8),
            tube_bone([(72 * side, 105, 822), (40 * side, 124, 808), (10 * side, 124, 796)], [13, 9, 11], 1.6),
            tube_bone([(10 * side, 120, 788), (26 * side, 92, 766), (46 * side, 58, 760)], [8, 6, 8], 1.6),
            Part(
                Tube(
                    [(100 * side, 74, 880), (88 * side, 122, 830), (94 * side, 118, 790), (108 * side, 74, 760)],
                    [14, 17, 14, 9],
                ),
                LABEL["muscle"],
            ),
            Part(
                Loft(mirrored([(775, 48, 70, 7, 30, 22), (800, 56, 74, 8, 34, 24), (830, 62, 76, 6, 28, 20)], side)),
                LABEL["muscle"],
            ),  # obturator internus
            Part(
                Tube([(36 * side, 22, 848), (80 * side, 40, 835), (122 * side, 62, 812)], [9, 9, 4]), LABEL["muscle"]
            ),  # piriformis
            *upper_femur(side),
        ]
    parts.append(Part(Ellipsoid((0, 122, 796), (4, 13, 16)), LABEL["cartilage"]))
    return parts


def vessels_and_nerves() -> list[Part]:
    """Iliac and femoral vessels from the bifurcation to the groin, sciatic nerves."""
    parts = []
    blood = LABEL["blood"]
    for side in (1, -1):
        start = front_a(955) + 8
        artery = [
            (4 * side - 4, start, 962),
            (30 * side, 100, 910),
            (52 * side, 104, 870),
            (64 * side, 130, 830),
            (66 * side, 150, 800),
            (64 * side, 150, 770),
        ]
        vein = [
            (10 * side + 8, start - 2, 958),
            (32 * side, 88, 905),
            (50 * side, 92, 868),
            (56 * side, 122, 830),
            (54 * side, 146, 800),
            (54 * side, 148, 770),
        ]
        parts += [
            Part(Tube(artery, [7, 5.5, 5, 5, 5, 5]), blood),
            Part(Tube(vein, [8, 7, 6.5, 6.5, 6.5, 6]), blood),
            Part(Tube([(34 * side, 86, 900), (46 * side, 58, 865), (52 * side, 50, 835)], [4, 3.5, 3]), blood),
            Part(Tube([(70 * side, 28, 830), (84 * side, 32, 790), (92 * side, 44, 750)], 5.5), LABEL["organ"]),
        ]  # fmt: skip
    return parts


def organs(traits: Traits, rng: np.random.Generator) -> tuple[list[Part], dict]:
    """Bladder, rectum, and prostate with seminal vesicles or uterus with vagina."""
    fill = traits.bladder
    radii = np.array([24 + 22 * fill, 20 + 20 * fill, 14 + 24 * fill])
    center = np.array([0.0, 104.0, 806.0 + radii[2]])
    wall = 5.5 - 3 * fill
    rectum = [(4, 40, 838), (-2, 30, 815), (2, 36, 792), (0, 48, 775), (0, 36, 758), (0, 26, 745)]
    size = rng.uniform(0.8, 1.2)
    bladder = Part(
        Ellipsoid(center, radii + wall), LABEL["bowel_wall"], (Part(Ellipsoid(center, radii), LABEL["bladder"]),)
    )
    radius = np.array([15, 19, 18, 14, 11, 9]) * rng.uniform(0.8, 1.2)
    bowel = Part(
        Tube(rectum, radius),
        LABEL["bowel_wall"],
        (
            Part(
                Tube(rectum, np.maximum(radius - 5, 1.5)),
                LABEL["bowel_content" if rng.random() > traits.gas else "bowel_gas"],
            ),
        ),
    )
    levator = [
        Part(
            Tube([(6 * side, 112, 778), (20 * side, 80, 776), (16 * side, 46, 774), (4 * side, 30, 770)], 4),
            LABEL["muscle"],
        )
        for side in (1, -1)
    ]
    if traits.female:
        tilt = rng.uniform(-30, 45)
        womb = np.array([rng.normal(0, 6), 84.0 - 0.2 * radii[1], 842.0 + 0.6 * radii[2]])
        turn = rotation(pitch=-tilt)  # anteverted: the fundus forward
        body = np.array([25, 21, 36]) * size * (0.5 if traits.child else 1.0)
        ovaries = [
            Part(
                Ellipsoid((44 * side, 72, 850), (14, 11, 16)),
                LABEL["organ"],
                (Part(Ellipsoid((46 * side, 74, 852), (7, 5, 7)), LABEL["bladder"]),),
            )
            for side in (1, -1)
        ]
        inner = [
            bladder,
            bowel,
            *levator,
            Part(
                Tube([(0, 68, 812), (0, 74, 785), (0, 84, 755)], [14, 12, 10]),
                LABEL["muscle"],
                (Part(Tube([(0, 68, 812), (0, 84, 755)], 3), LABEL["bowel_wall"]),),
            ),
            Part(
                Ellipsoid(womb, body, turn),
                LABEL["uterus"],
                (
                    Part(
                        Ellipsoid(womb, body * [0.5, 0.35, 0.7], turn),
                        LABEL["muscle"],
                        (Part(Ellipsoid(womb, body * [0.38, 0.2, 0.6], turn), LABEL["bladder"]),),
                    ),
                ),
            ),
            Part(Ellipsoid((0, 72, 818), np.array([14, 13, 16]) * size), LABEL["uterus"]),
            *ovaries,
        ]
        return inner, {"uterus": tuple(womb)}
    gland = np.array([0.0, 88.0, 788.0])
    prostate = np.array([26, 17, 20]) * size * (0.5 if traits.child else 1.0)
    vesicles = [
        Part(
            Tube([(4 * side, 72, 808), (20 * side, 68, 814), (38 * side, 66, 822)], [5, 6, 5]),
            LABEL["muscle"],
            (
                Part(
                    Tube([(4 * side, 72, 808), (20 * side, 68, 814), (38 * side, 66, 822)], [3.4, 4.4, 3.4]),
                    LABEL["bile"],
                ),
            ),
        )
        for side in (1, -1)
    ]
    nodules = Noise(rng, 14)

    inner = [
        bladder,
        bowel,
        *levator,
        *vesicles,
        Part(
            Ellipsoid(gland, prostate),
            LABEL["muscle"],
            (
                Part(
                    Ellipsoid(gland, prostate - 1.2),
                    LABEL["prostate"],
                    (
                        Part(
                            Ellipsoid(shifted(gland, 0, 3, 3), prostate * [0.66, 0.62, 0.7]),
                            LABEL["organ"],
                            (
                                Part(
                                    Formula(np.stack([gland - 30, gland + 30]), lambda r, a, s: nodules(r, a, s) > 0.4),
                                    LABEL["prostate"],
                                ),
                            ),
                        ),
                    ),
                ),
            ),
        ),
        Part(Tube([(0, 92, 772), (0, 104, 762), (0, 128, 757)], [9, 10, 11]), LABEL["organ"]),
    ]
    return inner, {"prostate": tuple(gland)}


def genitals(traits: Traits) -> list[Part]:
    """Penis and scrotum, in front of and below the pubis."""
    if traits.female:
        return []
    small = 0.5 if traits.child else 1.0
    front = 150 + 0.6 * traits.fat_mm
    skin, organ = LABEL["skin"], LABEL["organ"]
    return [
        Part(
            Ellipsoid((0, front, 742), np.array([30, 28, 34]) * small),
            skin,
            (
                Part(Ellipsoid((14 * small, front, 738), np.array([12, 15, 19]) * small), LABEL["prostate"]),
                Part(Ellipsoid((-14 * small, front, 736), np.array([12, 15, 19]) * small), LABEL["prostate"]),
            ),
        ),
        Part(
            Tube([(0, front - 10, 775), (4, front + 26 * small, 760), (6, front + 24 * small, 715)], 15 * small),
            skin,
            (
                Part(
                    Tube(
                        [(0, front - 10, 775), (4, front + 26 * small, 760), (6, front + 24 * small, 715)], 12 * small
                    ),
                    organ,
                ),
            ),
        ),
    ]
