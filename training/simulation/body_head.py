"""Head and neck of the reference body."""

from __future__ import annotations

import numpy as np

from training.simulation.body_limbs import bone, loft_bone, mirrored, ras, tube_bone
from training.simulation.body_spine import front_a
from training.simulation.body_traits import Traits
from training.simulation.shapes import Ellipsoid, Formula, Loft, Noise, Part, Septa, Tube, labyrinth, rotation, shifted
from training.simulation.tissues import LABEL

# Outline of head and neck without the fat of the neck: (s, r, a, half width, front, back, square).
SKIN = [
    (1345, 0, 66, 70, 52, 62, 0.1),
    (1363, 0, 68, 62, 54, 60, 0.1),
    (1380, 0, 70, 57, 56, 56, 0.1),
    (1396, 0, 74, 55, 52, 54, 0.1),
    (1408, 0, 78, 55, 58, 52, 0.1),
    (1419, 0, 82, 55, 78, 54, 0.1),
    (1431, 0, 84, 57, 97, 58, 0.1),
    (1445, 0, 84, 62, 104, 62, 0.1),
    (1460, 0, 84, 67, 106, 70, 0.05),
    (1480, 0, 84, 72, 108, 80, 0.05),
    (1500, 0, 82, 75, 106, 92, 0.05),
    (1520, 0, 80, 77, 104, 98, 0.1),
    (1540, 0, 80, 79, 102, 102, 0.1),
    (1570, 0, 80, 80, 100, 103, 0.05),
    (1595, 0, 80, 76, 90, 96),
    (1615, 0, 80, 66, 76, 82),
    (1630, 0, 80, 53, 60, 64),
    (1642, 0, 80, 38, 42, 45),
    (1650, 0, 80, 23, 26, 27),
    (1655, 0, 80, 10, 11, 11),
    (1657, 0, 80, 2, 2, 2),
]
BRAINCASE = [  # inner table of the skull
    (1464, 0, 70, 12, 12, 14),
    (1470, 0, 56, 26, 22, 30),
    (1480, 0, 46, 48, 42, 46, 0.1),
    (1490, 0, 60, 58, 58, 68, 0.2),
    (1500, 0, 68, 63, 64, 80, 0.2),
    (1512, 0, 74, 66, 66, 86, 0.15),
    (1525, 0, 78, 68, 80, 91, 0.1),
    (1545, 0, 80, 70, 87, 93, 0.05),
    (1570, 0, 80, 70, 87, 93),
    (1592, 0, 80, 65, 78, 85),
    (1610, 0, 80, 55, 65, 71),
    (1625, 0, 80, 40, 47, 51),
    (1635, 0, 80, 24, 28, 30),
    (1640, 0, 80, 9, 10, 11),
    (1641.5, 0, 80, 2, 2, 2),
]
NECK = [  # axes of the right half's muscles
    [(1350, 30, 128), (1400, 42, 104), (1470, 54, 78)],  # sternocleidomastoid
    [(1350, 55, 20), (1400, 34, 32), (1460, 20, 22)],  # trapezius
    [(1350, 34, 36), (1400, 36, 52), (1460, 34, 45)],  # splenius
    [(1350, 16, 28), (1460, 14, 38)],  # semispinalis
    [(1350, 42, 62), (1400, 40, 74), (1460, 40, 70)],  # levator, scalenes
    [(1350, 14, 90), (1460, 12, 100)],  # longus colli
    [(1350, 22, 118), (1420, 18, 122)],  # strap muscles
]


def _brain(traits: Traits, rng: np.random.Generator) -> Part:
    """Brain in its cerebrospinal fluid: folded cortex, deep nuclei, ventricles, cerebellum, brainstem."""
    grey, white, csf = LABEL["grey_matter"], LABEL["white_matter"], LABEL["csf"]
    age = rng.uniform(0, 1) * (not traits.child)
    warp = [Noise(rng, 60) for _ in range(2)]
    wave = rng.uniform(25, 30)

    def fold(r, a, s):
        one, two = warp[0](r, a, s), warp[1](r, a, s)
        return labyrinth(r + 7 * one, a + 7 * two, s + 7 * (one - two), wave)

    everywhere = Loft(BRAINCASE).box
    rim = 2.6 + 1.5 * age
    opening = 0.16 + 0.16 * age
    sulci = Formula(everywhere, lambda r, a, s: np.abs(fold(r, a, s)) < opening)
    medulla = Formula(everywhere, lambda r, a, s: np.abs(fold(r, a, s)) > 0.62)
    cerebrum_floor = Noise(rng, 50)

    def above_tentorium(r, a, s):
        aside = np.abs(r)
        return (
            (s > 1534 - 0.55 * aside + 2 * cerebrum_floor(r, a, s))
            | ((a > 64 + 2 * cerebrum_floor(r, a, s)) & (aside > 13))
            | (a > 88)
        )

    wide = 1 + 0.8 * age
    ventricles = []
    for side in (1, -1):
        path = [(10, 118, 1556), (9, 100, 1566), (14, 75, 1572), (25, 48, 1562), (32, 52, 1540), (34, 80, 1520)]
        ventricles.append(
            Part(Tube([(r * side, a, s) for r, a, s in path], np.array([5, 5.5, 5, 6.5, 3, 2]) * wide), csf)
        )
        ventricles.append(Part(Tube([(26 * side, 44, 1560), (22 * side, 22, 1558)], np.array([5, 2]) * wide), csf))
    nuclei = [
        part
        for side in (1, -1)
        for part in (
            Part(Ellipsoid((12 * side, 72, 1552), (9, 15, 10), rotation(yaw=25 * side)), grey),
            Part(Ellipsoid((26 * side, 88, 1550), (6, 20, 12), rotation(yaw=12 * side)), grey),
            Part(Tube([(14 * side, 108, 1560), (15 * side, 80, 1578)], [6, 3]), grey),
            Part(Ellipsoid((44 * side, 96, 1540), (2.2, 22, 14), rotation(yaw=-8 * side)), csf),
            Part(Ellipsoid((28 * side, 84, 1518), (7, 16, 8)), grey),
        )
    ]
    deep = Loft(BRAINCASE, grow=-22)
    cortex = Part(
        Loft(BRAINCASE, grow=-rim),
        None,
        (
            Part(
                Formula(everywhere, above_tentorium),
                grey,
                (
                    Part(Loft(BRAINCASE, grow=-rim - 2.5), None, (Part(medulla, white),)),
                    Part(sulci, csf),
                    Part(deep, white),
                    Part(
                        Loft(BRAINCASE, grow=-14),
                        None,
                        (Part(Formula(everywhere, lambda r, a, s: np.abs(fold(r, a, s)) > 0.3), white),),
                    ),
                    *nuclei,
                    Part(
                        Formula(
                            everywhere,
                            lambda r, a, s: (np.abs(r) < 1.3) & ((s > 1580) | (a > 132) | ((a < 40) & (s > 1530))),
                        ),
                        csf,
                    ),
                    *ventricles,
                    Part(Ellipsoid((0, 78, 1549), (1.5 + 2 * age, 16, 11)), csf),
                ),
            ),
        ),
    )

    def folia(r, a, s):
        along = np.hypot(a - 45, s - 1500) + 0.35 * np.abs(r)
        return np.sin(along * np.float32(2 * np.pi / 6.5)) > 0.55

    def arbor(r, a, s):
        return np.square((np.abs(r) - 17) / 17) + np.square((a - 30) / 15) + np.square((s - 1492) / 11) < 1

    def below_tentorium(r, a, s):
        return (s < 1532.5 - 0.55 * np.abs(r)) & (a < 62) & (np.hypot(r, a - 64) > 16)

    cerebellum = [
        Part(Formula([[-75, -40, 1455], [75, 62, 1535]], below_tentorium), grey, (
            Part(Formula(everywhere, folia), white),
            Part(Formula(everywhere, arbor), white),)),
    ]  # fmt: skip
    stem = [
        Part(Tube([(0, 66, 1455), (0, 62, 1470), (0, 64, 1480)], [6.5, 8, 9]), LABEL["white_matter"]),
        Part(Ellipsoid((0, 68, 1497), (17, 15, 16)), white),
        Part(Tube([(0, 66, 1505), (0, 72, 1528)], [13, 14]), white),
        Part(Ellipsoid((0, 80, 1526), (4, 5, 7)), csf),
        Part(Ellipsoid((0, 48, 1492), (7, 6, 11)), csf),
        Part(Tube([(0, 54, 1505), (0, 60, 1530)], 1.5), csf),
    ]
    return Part(Loft(BRAINCASE), csf, (cortex, Part(Loft(BRAINCASE, grow=-1.5), None, tuple(cerebellum)), *stem,
                                       Part(Ellipsoid((0, 108, 1508), (7, 6, 5)), LABEL["organ"])))  # fmt: skip


def _face(rng: np.random.Generator) -> list[Part]:
    """Face bones with sinuses, orbits, mouth and pharynx, chewing muscles and salivary glands."""
    air, fat, muscle, bone_label = LABEL["airway"], LABEL["fat"], LABEL["muscle"], LABEL["cortical_bone"]
    maxilla = [
        (1452, 0, 130, 26, 44, 20, 0.3),
        (1465, 0, 128, 34, 46, 28, 0.3),
        (1485, 0, 128, 42, 44, 26, 0.3),
        (1500, 0, 130, 46, 42, 26, 0.3),
        (1532, 0, 138, 46, 40, 30, 0.2),
    ]
    turbinate = Noise(rng, 22)
    cells = Noise(rng, 14)
    parts = [
        Part(Ellipsoid((0, 120, 1486), (62, 46, 34)), fat),
        loft_bone(maxilla, 2.0),
    ]
    for side in (1, -1):
        orbit = np.array([32 * side, 150, 1514])
        sinus = rng.uniform(0.75, 1.1)
        maxillary = Ellipsoid((28 * side, 142, 1482), np.array([14, 19, 18]) * sinus)
        parts += [
            tube_bone(
                [(48 * side, 168, 1498), (62 * side, 140, 1496), (66 * side, 100, 1498)], [8, 4.5, 4], 1.4
            ),  # zygomatic arch
            Part(
                maxillary,
                LABEL["organ"],
                (Part(Ellipsoid((28 * side, 142, 1482), np.array([12.5, 17.5, 16.5]) * sinus), air),),
            ),
            Part(
                Ellipsoid(shifted(orbit, -4 * side, -4, 0), (21, 34, 19), rotation(yaw=20 * side)),
                bone_label,
                (Part(Ellipsoid(shifted(orbit, -4 * side, -4, 0), (19, 33, 17), rotation(yaw=20 * side)), fat),),
            ),
            Part(Ellipsoid(shifted(orbit, 0, 4, 0), (17.5, 28, 16.5)), fat),
            Part(
                Tube(
                    [
                        shifted(orbit, -14 * side, -26, 0),
                        shifted(orbit, -14 * side, 4, 0),
                        shifted(orbit, -9 * side, 18, 0),
                    ],
                    [1.5, 3, 1.5],
                ),
                muscle,
            ),
            Part(
                Tube(
                    [
                        shifted(orbit, -12 * side, -26, 0),
                        shifted(orbit, 12 * side, 4, 0),
                        shifted(orbit, 9 * side, 18, 0),
                    ],
                    [1.5, 2.6, 1.5],
                ),
                muscle,
            ),
            Part(
                Tube(
                    [shifted(orbit, -12 * side, -26, 0), shifted(orbit, 0, 4, 13), shifted(orbit, 0, 18, 9)],
                    [1.5, 2.6, 1.5],
                ),
                muscle,
            ),
            Part(
                Tube(
                    [shifted(orbit, -20 * side, -40, 0), shifted(orbit, -9 * side, -14, 0), shifted(orbit, 0, 4, 0)],
                    2.2,
                ),
                LABEL["white_matter"],
            ),
            Part(
                Ellipsoid(shifted(orbit, 0, 15, 0), (12.6, 12.6, 12.6)),
                muscle,
                (
                    Part(
                        Ellipsoid(shifted(orbit, 0, 15, 0), (11.8, 11.8, 11.8)),
                        LABEL["eye"],
                        (Part(Ellipsoid(shifted(orbit, 0, 24, 0), (4.5, 2.2, 4.5)), LABEL["organ"]),),
                    ),
                ),
            ),
            Part(
                Ellipsoid((9 * side, 148, 1508), (7, 24, 11)),
                LABEL["organ"],
                (Part(Formula([[-30, 90, 1480], [30, 190, 1540]], lambda r, a, s: cells(r, a, s) > -0.35), air),),
            ),
            Part(Tube([(55 * side, 116, 1492), (50 * side, 112, 1448)], [9, 10]), muscle, ()),  # masseter
            Part(Ellipsoid((60 * side, 124, 1466), (7, 17, 25)), muscle),
            Part(Ellipsoid((34 * side, 108, 1474), (8, 15, 20)), muscle),  # pterygoids
            Part(
                Loft(
                    mirrored([(1490, 66, 118, 5, 20, 16), (1515, 70, 108, 6, 28, 30), (1540, 73, 96, 5, 30, 34)], side)
                ),
                muscle,
            ),  # temporalis
            Part(Ellipsoid((58 * side, 86, 1466), (11, 15, 22)), LABEL["gland"]),  # parotid
            Part(Ellipsoid((34 * side, 124, 1428), (10, 15, 11)), LABEL["gland"]),  # submandibular
            Part(
                Tube([(58 * side, 68, 1500), (57 * side, 64, 1474)], [16, 9]),
                bone_label,
                (Part(Formula([[-90, 30, 1450], [90, 110, 1520]], lambda r, a, s: cells(r, a, s) > 0.1), air),),
            ),  # mastoid
            Part(Tube([(20 * side, 84, 1494), (52 * side, 72, 1496)], [8, 13]), bone_label),  # petrous bone
            Part(Tube([(38 * side, 74, 1499), (44 * side, 74, 1499)], 3.0), LABEL["csf"]),
            Part(Tube([(46 * side, 82, 1496), (84 * side, 84, 1492)], 3.5), air),  # ear canal
            Part(
                Tube(ras([(1390, 22, 96), (1440, 25, 96), (1488, 24, 90)], side), [4.2, 3.5, 3]), LABEL["blood"]
            ),  # carotid
            Part(
                Tube(ras([(1390, 33, 94), (1440, 33, 90), (1480, 30, 82)], side), [6, 5.5, 5]), LABEL["blood"]
            ),  # jugular
        ]
    jaw = [(50, 100, 1494), (50, 104, 1462), (46, 110, 1442), (34, 142, 1432), (18, 172, 1430), (0, 180, 1430)]
    teeth = [(26, 132), (22, 152), (12, 168), (0, 172)]
    both = [*jaw, *((-r, a, s) for r, a, s in jaw[-2::-1])]
    arch = [*teeth, *((-r, a) for r, a in teeth[-2::-1])]
    parts += [
        Part(
            Ellipsoid((0, 172, 1536), (22, 8, 13)), bone_label, (Part(Ellipsoid((0, 172, 1536), (19, 6, 11)), air),)
        ),  # frontal sinus
        Part(
            Ellipsoid((0, 112, 1499), (15, 14, 13)), bone_label, (Part(Ellipsoid((0, 112, 1499), (13, 12, 11)), air),)
        ),  # sphenoid
        Part(Ellipsoid((0, 70, 1478), (12, 26, 5), rotation(pitch=-35)), LABEL["marrow"]),
        Part(
            Ellipsoid((0, 152, 1484), (13, 40, 20)),
            LABEL["organ"],
            (
                Part(
                    Formula(
                        [[-20, 100, 1450], [20, 200, 1520]],
                        lambda r, a, s: (turbinate(r, a, s) > -0.1) & (np.abs(r) > 1.2),
                    ),
                    air,
                ),
            ),
        ),  # nasal cavity
        Part(
            Ellipsoid((0, 140, 1450), (26, 33, 17)), muscle, (Part(Ellipsoid((0, 142, 1450), (3, 26, 14)), fat),)
        ),  # tongue
        Part(Ellipsoid((0, 138, 1432), (22, 28, 8)), muscle),
        tube_bone(both, 7.5, 2.2),
        *(Part(Tube([(r, a, s) for r, a in arch], 4.8), bone_label) for s in (1444, 1457)),
        Part(Loft([(1462, 0, 101, 15, 5, 5), (1480, 0, 108, 12, 9, 7), (1495, 0, 108, 9, 6, 6)]), air),
        Part(Tube([(0, 103, 1462), (0, 104, 1440), (0, 106, 1424)], [6, 7, 6]), air),
        Part(
            Loft([(1376, 0, 104, 17, 12, 9), (1400, 0, 108, 19, 19, 9), (1418, 0, 108, 20, 22, 9)], grow=1.5),
            LABEL["cartilage"],
            (Part(Loft([(1376, 0, 104, 14, 9, 6), (1400, 0, 108, 16, 15, 6), (1418, 0, 108, 17, 18, 6)]), muscle),),
        ),  # larynx
        Part(
            Loft([(1370, 0, 104, 8, 8, 8), (1395, 0, 110, 4, 10, 8), (1410, 0, 110, 7, 9, 7), (1430, 0, 106, 9, 6, 6)]),
            air,
        ),
        bone(lambda g: Tube([(22, 110, 1428), (0, 130, 1424), (-22, 110, 1428)], 3.2 + g), 1.2),  # hyoid
    ]
    return parts


def head_and_neck(traits: Traits, rng: np.random.Generator) -> tuple[list[Part], Part, dict]:
    """Head and neck: parts in painting order, what of the neck is painted over the trunk, scan targets."""
    neck_fat = 0.35 * traits.fat_mm
    rows = []
    for s, r, a, wide, front, back, *square in SKIN:
        layer = 2 + neck_fat * np.interp(s, [1345, 1420, 1480, 1540], [1, 0.8, 0.35, 0.08])
        rows.append((s, r, a, wide + layer, front + 0.8 * layer, back + layer, *square))
    neck_rows = [row for row in SKIN if row[0] <= 1500]
    neck_box = [[-75, -10, 1340], [75, 150, 1482]]
    axes = [mirrored(axis, side) for side in (1, -1) for axis in NECK]
    vessels = []
    for side in (1, -1):
        vessels += [
            Part(Tube(ras([(1335, 20, 100), (1365, 24, 98), (1400, 25, 98)], side), [4.5, 4.2, 4.2]), LABEL["blood"]),
            Part(Tube(ras([(1335, 32, 106), (1365, 34, 100), (1400, 35, 96)], side), [8, 7, 6.5]), LABEL["blood"]),
            Part(Ellipsoid((18 * side, 108, 1372), (9, 12, 22)), LABEL["gland"]),
            Part(Tube([(16 * side, front_a(1400) - 18, 1350), (16 * side, 82, 1450)], 2.2), LABEL["blood"]),
        ]
    visceral = Part(
        Loft([(1340, 0, 104, 24, 20, 16), (1380, 0, 106, 27, 18, 14), (1420, 0, 106, 28, 22, 14)]), LABEL["fat"]
    )
    trachea = [(0, 105, 1335), (0, 105, 1378)]
    windpipe = Part(Tube(trachea, 10), LABEL["cartilage"], (Part(Tube(trachea, 8), LABEL["airway"]),))
    gullet = Part(Tube([(-3, front_a(1340) + 7, 1340), (0, front_a(1400) + 6, 1415)], 5.5), LABEL["bowel_wall"])
    thick = rng.uniform(5.5, 8.0) * (0.6 if traits.child else 1.0)
    vault = [row for row in BRAINCASE if row[0] >= 1480]
    skull = Part(
        Loft(vault, grow=thick),
        LABEL["cortical_bone"],
        (Part(Loft(vault, grow=thick - 2.2), LABEL["marrow"], (Part(Loft(vault, grow=1.5), LABEL["cortical_bone"]),)),),
    )
    base = Part(Loft([row for row in BRAINCASE if row[0] <= 1500], grow=4.5), LABEL["cortical_bone"])
    inside = (
        Part(
            Loft(neck_rows, grow=-3.0),
            LABEL["muscle"],
            (Part(Septa(neck_box, axes, 1.0 + 3 * traits.fat, rng), LABEL["fat"]),),
        ),
        visceral,
        gullet,
        windpipe,
        *vessels,
        *_face(rng),
        skull,
        base,
        _brain(traits, rng),
    )
    nose = [
        (1466, 0, 186, 14, 10, 12),
        (1474, 0, 188, 16, 25, 12),
        (1490, 0, 188, 11, 20, 12),
        (1515, 0, 184, 8, 8, 10),
    ]
    ears = [
        Part(
            Ellipsoid((83 * side, 76, 1496), (5, 16, 30), rotation(yaw=-22 * side, pitch=-10)),
            LABEL["skin"],
            (
                Part(
                    Ellipsoid((83 * side, 76, 1496), (2.2, 11, 25), rotation(yaw=-22 * side, pitch=-10)),
                    LABEL["cartilage"],
                ),
            ),
        )
        for side in (1, -1)
    ]
    neck_inside = Part(Loft([row for row in SKIN if row[0] <= 1430], grow=-2.5), LABEL["muscle"], inside[:-3])
    parts = [
        Part(
            Loft(nose, grow=1),
            LABEL["skin"],
            (Part(Loft(nose, grow=-2), LABEL["fat"]), Part(Ellipsoid((0, 196, 1476), (7, 12, 5)), LABEL["airway"])),
        ),
        *ears,
        Part(Loft(rows), LABEL["skin"], (Part(Loft(rows, grow=-2.0), LABEL["fat"], inside),)),
    ]
    return parts, neck_inside, {"brain": (0.0, 78.0, 1550.0), "neck": (0.0, 82.0, 1405.0)}
