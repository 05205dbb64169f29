"""The trunk of the reference body: skin, fat and wall muscles, ribs, shoulder girdle, outline of the cavity."""

from __future__ import annotations

import numpy as np

from training.simulation.body_limbs import loft_bone, mirrored, tube_bone
from training.simulation.body_spine import canal_a
from training.simulation.body_traits import Traits
from training.simulation.shapes import Ellipsoid, Formula, Loft, Noise, Part, Septa, Tube, shifted
from training.simulation.tissues import LABEL

# Outline of the wall muscles: (s, r, a, half width, front, back, square), without fat and skin.
WALL = [
    (745, 0, 72, 164, 86, 74, 0.35),
    (770, 0, 70, 161, 86, 84, 0.25),
    (800, 0, 72, 161, 84, 90, 0.15),
    (830, 0, 74, 160, 90, 92, 0.15),
    (860, 0, 78, 154, 100, 92, 0.15),
    (900, 0, 86, 148, 106, 86, 0.1),
    (940, 0, 92, 139, 104, 76, 0.15),
    (980, 0, 94, 130, 104, 74, 0.25),
    (1020, 0, 94, 130, 108, 76, 0.3),
    (1060, 0, 92, 136, 116, 80, 0.3),
    (1100, 0, 90, 141, 122, 84, 0.35),
    (1140, 0, 88, 146, 122, 92, 0.35),
    (1180, 0, 86, 150, 122, 96, 0.35),
    (1220, 0, 84, 155, 118, 98, 0.35),
    (1260, 0, 80, 160, 106, 92, 0.35),
    (1290, 0, 76, 166, 90, 86, 0.3),
    (1315, 0, 72, 168, 72, 78, 0.3),
    (1335, 0, 70, 158, 58, 74, 0.2),
    (1350, 0, 68, 120, 52, 68, 0.1),
    (1365, 0, 68, 76, 48, 60, 0.0),
    (1380, 0, 70, 60, 46, 54, 0.0),
]
# Inner wall of chest, abdomen and pelvis.
CAVITY = [
    (765, 0, 70, 34, 42, 36, 0.2),
    (790, 0, 72, 46, 48, 48, 0.3),
    (815, 0, 74, 52, 66, 56, 0.3),
    (840, 0, 78, 70, 90, 58, 0.2),
    (870, 0, 86, 98, 98, 54, 0.1),
    (900, 0, 96, 118, 90, 50, 0.1),
    (940, 0, 104, 121, 84, 50, 0.2),
    (980, 0, 104, 114, 88, 60, 0.3),
    (1020, 0, 104, 115, 92, 62, 0.3),
    (1060, 0, 102, 119, 98, 72, 0.3),
    (1100, 0, 100, 124, 102, 82, 0.3),
    (1140, 0, 99, 126, 102, 86, 0.3),
    (1180, 0, 98, 125, 100, 86, 0.3),
    (1220, 0, 92, 120, 98, 80, 0.3),
    (1260, 0, 86, 111, 86, 70, 0.25),
    (1300, 0, 77, 97, 66, 58, 0.15),
    (1330, 0, 72, 72, 44, 40, 0.0),
    (1345, 0, 68, 52, 26, 26, 0.0),
    (1352, 0, 66, 26, 12, 14, 0.0),
]


def belly(rows, traits: Traits):
    """Visceral fat pushes the front and the flanks of the abdomen outward."""
    push = 48 * traits.visceral - 14
    grown = []
    for s, r, a, wide, front, *rest in rows:
        here = push * np.interp(s, [800, 880, 1000, 1100, 1200], [0, 0.7, 1, 0.7, 0])
        grown.append((s, r, a, wide + 0.45 * here, front + here, *rest))
    return grown


def skin_rows(traits: Traits):
    """Outline of the skin: the wall with subcutaneous fat, thickest on hips and belly."""
    fat = traits.fat_mm
    rows = []
    for s, r, a, wide, front, back, square in belly(WALL, traits):
        side = np.interp(s, [745, 820, 900, 960, 1050, 1250, 1330, 1380], [1.0, 1.1, 1.15, 1.0, 0.8, 0.5, 0.35, 0.25])
        ahead = np.interp(s, [745, 820, 900, 1000, 1100, 1250, 1380], [1.1, 1.1, 1.1, 0.9, 0.6, 0.35, 0.25])
        behind = np.interp(s, [745, 820, 880, 950, 1100, 1380], [1.2, 1.2, 1.0, 0.8, 0.5, 0.4])
        if traits.female:
            side, behind = side * np.interp(s, [745, 880, 950], [1.35, 1.25, 1.0]), behind * 1.1
        rows.append((s, r, a, wide + 3 + fat * side, front + 3 + fat * ahead, back + 3 + fat * behind, square))
    return rows


def gluteal_cleft(traits: Traits) -> list[Part]:
    """The gap between the buttocks: skin around air, deepening downward."""
    rows = []
    for s, _, a, _, _, back, _ in skin_rows(traits):
        if s <= 860:
            deep = np.interp(s, [745, 800, 860], [62, 34, 4])
            rows.append((s, 0, a - back, np.interp(s, [745, 800, 860], [7, 4, 1.5]), deep, 30))
    return [Part(Loft(rows, grow=2), LABEL["skin"]), Part(Loft(rows), LABEL["air"])]


def rib_phase(r, a, s):
    """Height along the ribs, mm: constant along a rib, which falls from the spine to the front."""
    return s + 0.42 * (a - 30) + 0.10 * np.abs(r)


def _ribs(rows) -> Part:
    """Rib ring in the chest wall; the front of it is costal cartilage."""
    low, high = Loft(rows, grow=9).box
    box = [[low[0], low[1], 1040], [high[0], high[1], 1352]]

    def band(half_mm):
        def inside(r, a, s):
            along = rib_phase(r, a, s)
            return (np.abs(np.mod(along, 25.5) - 12.75) < half_mm) & (along > 1085) & (s > 1030 + 0.28 * np.abs(a - 60))

        return inside

    def front(r, a, s):
        return (a > 150) & (np.abs(r) < 75)

    cortex = Formula(box, band(7.2))
    return Part(Loft(rows, grow=8.5), None, (
        Part(cortex, LABEL["cortical_bone"], (
            Part(Loft(rows, grow=7.0), None, (Part(Formula(box, band(5.6)), LABEL["marrow"]),)),
            Part(Formula(box, front), LABEL["cartilage"]),
        )),
        Part(Loft(rows, grow=2.8), LABEL["muscle"]),
    ))  # fmt: skip


def _girdle(side: float) -> list[Part]:
    """Scapula, clavicle and half of the rotator cuff's fat planes."""
    blade = [
        (1178, 92, 14, 8, 2.5, 2.5, 0, 30),
        (1210, 100, 12, 26, 2.5, 2.5, 0, 32, -4),
        (1250, 106, 14, 36, 2.8, 2.8, 0, 34, -4),
        (1285, 112, 20, 44, 3.5, 3.5, 0, 36, -4),
        (1305, 118, 28, 46, 5, 5, 0, 36),
        (1322, 120, 30, 34, 3.5, 3.5, 0, 34),
    ]
    glenoid = (147 * side, 54, 1303)
    spine_of_scapula = [(85 * side, -2, 1300), (130 * side, 2, 1316), (165 * side, 30, 1338), (168 * side, 62, 1338)]
    return [
        loft_bone(mirrored(blade, side), 1.3),
        tube_bone([(148 * side, 52, 1290), (146 * side, 54, 1316)], 11, 1.5),
        Part(Ellipsoid(glenoid, (10, 16, 19)), LABEL["cartilage"]),
        tube_bone(spine_of_scapula, [4, 6, 8, 7], 1.4),
        tube_bone([(128 * side, 66, 1322), (140 * side, 92, 1316)], [7, 6], 1.4),
        tube_bone(
            [(16 * side, 128, 1326), (55 * side, 122, 1338), (110 * side, 84, 1350), (158 * side, 66, 1344)],
            [9, 6.5, 6, 6.5],
            1.6,
        ),
    ]


def _wall_muscles(side: float):
    return [
        [(1180, 80 * side, 205), (1300, 95 * side, 140)],  # pectoralis major
        [(1200, 120 * side, 170), (1320, 115 * side, 110)],  # pectoralis minor
        [(1000, 128 * side, 80), (1180, 150 * side, 60), (1300, 160 * side, 30)],  # latissimus
        [(1100, 140 * side, 120), (1280, 135 * side, 80)],  # serratus
        [(1180, 112 * side, 25), (1320, 118 * side, 45)],  # subscapularis
        [(1180, 105 * side, -2), (1320, 122 * side, 8)],  # infraspinatus
        [(1100, 30 * side, -8), (1340, 28 * side, 18)],  # erector spinae
        [(1150, 55 * side, -22), (1340, 65 * side, -8)],  # trapezius
        [(1200, 70 * side, 0), (1340, 60 * side, 25)],  # rhomboids
    ]


def wall_parts(traits: Traits, rng: np.random.Generator) -> list[Part]:
    """What lies in the wall outside the cavity: fat planes, ribs, shoulder girdle, sternum, back muscles."""
    rows = belly(CAVITY, traits)
    low, high = Loft(belly(WALL, traits)).box
    septum = 1.0 + 3.0 * traits.fat
    axes = [axis for side in (1, -1) for axis in _wall_muscles(side)]
    noise = Noise(rng, 80)
    chest = [row for row in rows if row[0] >= 1020]

    def flank(r, a, s):  # fat planes of the three layers of the abdominal wall, and around the rectus
        return np.abs(noise(r, a, s)) < 0.05 + 0.08 * traits.fat

    back = []
    for side in (1, -1):
        heights = np.arange(880.0, 1361, 40)
        rows_e = [
            (
                s,
                36 * side,
                canal_a(s) - 20 - np.interp(s, [880, 1000, 1300], [2, 4, 8]),
                np.interp(s, [880, 960, 1100, 1360], [20, 32, 30, 24]),
                17,
                np.interp(s, [880, 1000, 1360], [14, 24, 14]),
                0.3,
            )
            for s in heights
        ]
        quadratus = [(955, 72 * side, 52, 14, 8, 8), (1000, 66 * side, 48, 18, 8, 8), (1050, 56 * side, 38, 14, 6, 6)]
        for muscle in (rows_e, quadratus):
            back.append(
                Part(Loft(muscle, grow=1.0 + 2.5 * traits.fat), LABEL["fat"], (Part(Loft(muscle), LABEL["muscle"]),))
            )
    front = [np.interp(s, [r[0] for r in rows], [r[2] + r[4] for r in rows]) for s in (1165, 1180, 1240, 1300, 1325)]
    sternum = [
        (s, 0, f + 9, w, 6, 6, 0.5)
        for s, f, w in zip((1165, 1180, 1240, 1300, 1325), front, (8, 17, 17, 24, 26), strict=True)
    ]
    rectus = []
    for side in (1, -1):
        body = [
            (s, 36 * side, np.interp(s, [r[0] for r in rows], [r[2] + r[4] for r in rows]) + 3, w, 6, 5, 0.5)
            for s, w in ((800, 14), (850, 26), (950, 32), (1080, 36), (1150, 34))
        ]
        rectus.append(Part(Loft(body, grow=2.0), LABEL["fat"], (Part(Loft(body), LABEL["muscle"]),)))
    return [
        Part(Septa([[low[0], low[1], 1150], [high[0], high[1], 1345]], axes, septum, rng), LABEL["fat"]),
        Part(Formula([[low[0], 60, 880], [high[0], high[1], 1150]], flank), LABEL["fat"]),
        *rectus,
        *(part for side in (1, -1) for part in _girdle(side)),
        *back,
        _ribs(chest),
        loft_bone(sternum, 1.3),
    ]


def breasts(traits: Traits, rng: np.random.Generator) -> tuple[list[Part], dict]:
    """Breasts of a woman: skin, fat, glandular tissue; hanging free when prone."""
    size = 0.65 + 0.6 * traits.breast
    noise, fine = Noise(rng, 60), Noise(rng, 22)
    density = rng.uniform(-0.3, 0.5)
    parts, sites = [], {}
    reach = 75 + 45 * size if traits.prone else 30 + 24 * size  # from the wall to the nipple
    for side, name in ((1, "breast_right"), (-1, "breast_left")):
        r = (84 + 5 * traits.fat) * side
        wall = np.interp(1230, [row[0] for row in WALL], [row[2] + row[4] for row in WALL]) - 18
        path = np.array([(r, wall - 12, 1226), (r * 1.03, wall + 0.55 * reach, 1222), (r * 1.05, wall + reach, 1214)])
        radii = np.array([50, 48, 24] if traits.prone else [50, 44, 20]) * (0.75 + 0.35 * size)
        path[2, 1] -= 0.5 * radii[2]
        outline = Tube(path, radii)
        gland = Formula(outline.box, lambda r, a, s: noise(r, a, s) + 0.6 * fine(r, a, s) > density)
        parts += [
            Part(Ellipsoid(shifted(path[2], 0, radii[2], 0), (6, 6, 6)), LABEL["skin"]),
            Part(outline, LABEL["skin"], (
                Part(Tube(path, radii - 2), LABEL["fat"], (
                    Part(Tube(path, 0.82 * radii - 3), None, (Part(gland, LABEL["breast"]),)),)),)),
        ]  # fmt: skip
        sites[name] = tuple(path[1])
    return parts, sites
