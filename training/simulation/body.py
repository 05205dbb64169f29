"""A procedural human body, drawn at random and free of any resolution: training data with no patient.

`sample_body` draws a person (`Traits`), `build_body` builds the anatomy. Regions are assembled in the reference frame
of `body_frame` from implicit shapes painted in order; heights and proportions follow BodyParts3D 4.0 (DBCLS).
"""

from __future__ import annotations

import numpy as np

from training.simulation.anatomy import Landmarks
from training.simulation.body_abdomen import abdomen
from training.simulation.body_chest import Diaphragm, great_vessels, lungs_and_mediastinum
from training.simulation.body_frame import C7_MM, CREST_MM, DOME_MM, ISCHIUM_MM, Frame
from training.simulation.body_head import head_and_neck
from training.simulation.body_limbs import SHOULDER, arm, leg
from training.simulation.body_pelvis import genitals, hip_bones_and_muscles, hip_planes, organs, vessels_and_nerves
from training.simulation.body_spine import canal_a, front_a, spine
from training.simulation.body_traits import Traits, sample_traits
from training.simulation.body_trunk import CAVITY, WALL, belly, breasts, gluteal_cleft, skin_rows, wall_parts
from training.simulation.shapes import Loft, Part, paint
from training.simulation.tissues import LABEL

SITES = {  # targets on the midline's right side that exist on both sides
    "shoulder": SHOULDER,
    "hip": (91.0, 83.0, 815.0),
    "thigh": (92.0, 86.0, 590.0),
    "knee": (74.0, 76.0, 378.0),
    "calf": (75.0, 58.0, 220.0),
    "ankle": (75.0, 66.0, -5.0),
}


class Body:
    """One simulated person as an `Anatomy`; the room's RAS mm have their origin between the soles, A = 0 mid-trunk.

    Args:
        traits: the person.
        frame: room to reference frame.
        parts: what the person is made of, in painting order.
        sites: reference positions of the scan targets.
        dome: (R, A, S) of the liver's highest point in the reference frame.
    """

    def __init__(self, traits: Traits, frame: Frame, parts: list[Part], sites: dict, dome: tuple, name: str):
        self.traits = traits
        self.name = name
        self._frame = frame
        self._parts = parts
        self.box_mm = self._room_box()
        self.landmarks = self._landmarks(sites, dome)

    def labels_at(self, points_mm: np.ndarray) -> np.ndarray:
        """Tissue labels (uint8, (...)) at `points_mm` (float32, (..., 3), RAS mm); 0 (air) outside the body."""
        points_mm = np.asarray(points_mm, np.float32)
        if points_mm.ndim < 1 or points_mm.shape[-1] != 3:
            raise ValueError(f"points_mm has shape {points_mm.shape}; expected (..., 3) with R, A, S in mm")
        r, a, s = self._frame.to_reference(points_mm.reshape(-1, 3))
        labels = np.zeros(len(r), np.uint8)
        paint(self._parts, r, a, s, labels)
        return labels.reshape(points_mm.shape[:-1])

    def _room_box(self) -> np.ndarray:
        corners = []
        for part in self._parts:
            low, high = part.shape.box.astype(float)
            heights = np.linspace(low[2], high[2], 12)
            corners += [(r, a, s) for s in heights for r in (low[0], high[0]) for a in (low[1], high[1])]
        room = self._frame.to_room(corners)
        return np.stack([room.min(0) - 2, room.max(0) + 2])

    def _landmarks(self, sites: dict, dome) -> Landmarks:
        to_room = self._frame.to_room
        canal = np.arange(870.0, 1462, 8)
        crest = to_room([(side * r, a, CREST_MM) for side in (1, -1) for r, a in ((90, 56), (96, 62), (102, 68))])
        ischium = to_room([(side * 48, a, ISCHIUM_MM) for side in (1, -1) for a in (44, 48, 52)])
        neck = to_room([(0, a, C7_MM) for a in (canal_a(C7_MM) + 10, front_a(C7_MM))])
        boundaries = {
            "legs/pelvis": ischium[:, 2].min(),
            "pelvis/abdomen": crest[:, 2].max(),
            "abdomen/chest": self._top_of_liver(dome),
            "chest/head": neck[:, 2].mean(),
        }
        places = dict(zip(sites, to_room(list(sites.values())), strict=True))
        return Landmarks(
            boundaries_mm={name: float(s) for name, s in boundaries.items()},
            sites_mm={name: tuple(float(x) for x in place) for name, place in places.items()},
            canal_mm=to_room([(0, canal_a(s), s) for s in canal]),
        )

    def _top_of_liver(self, dome) -> float:
        """Measured, as the wobble moves the summit: highest liver point of a 4 x 4 x 1 mm grid about the dome."""
        r, a, s = self._frame.to_room([dome])[0]
        steps = np.arange(-32, 33, 4.0), np.arange(-32, 33, 4.0), np.arange(-14, 15, 1.0)
        grid = np.stack(np.meshgrid(r + steps[0], a + steps[1], s + steps[2], indexing="ij"), -1)
        is_liver = self.labels_at(grid) == LABEL["liver"]
        return float(grid[..., 2][is_liver].max()) if is_liver.any() else float(s)


def build_body(traits: Traits, rng: np.random.Generator, name: str = "body") -> Body:
    """The anatomy of a person with `traits`; `rng` draws what the traits leave open."""
    frame = Frame(traits, rng)
    diaphragm = Diaphragm(traits)
    rows = belly(CAVITY, traits)
    cavity = Loft(rows)
    wall = Loft(belly(WALL, traits))
    chest, chest_sites = lungs_and_mediastinum(diaphragm, cavity.box, traits, rng)
    belly_parts, belly_sites = abdomen(diaphragm, cavity.box, traits, rng)
    pelvis, pelvis_sites = organs(traits, rng)
    head, neck, head_sites = head_and_neck(traits, rng)
    mammae, breast_sites = breasts(traits, rng) if traits.breast else ([], {})
    column = spine(rng)
    skin = skin_rows(traits)
    inside = Part(cavity, LABEL["fat"], (*chest, *belly_parts, *pelvis))
    wall_part = Part(
        wall,
        LABEL["muscle"],
        (
            *wall_parts(traits, rng),
            *hip_planes(traits, rng),
            inside,
            *hip_bones_and_muscles(),
            *great_vessels(rng),
            *vessels_and_nerves(),
            *column,
        ),
    )
    trunk = Part(
        Loft(skin), LABEL["skin"], (Part(Loft(skin, grow=-2.0), LABEL["fat"], (wall_part,)), *gluteal_cleft(traits))
    )
    arms, shoulders = zip(*(arm(side, traits, rng) for side in (1, -1)), strict=True)
    limbs = [*arms, *(leg(side, traits, rng) for side in (1, -1))]
    neck_column = Part(Loft([(1340, 0, 66, 60, 60, 60), (1480, 0, 70, 45, 60, 50)]), None, tuple(column))
    parts = [*genitals(traits), *limbs, *mammae, *head, trunk, *shoulders, neck, neck_column]
    sites = {**head_sites, **chest_sites, **breast_sites, **belly_sites, **pelvis_sites}
    for site, (r, a, s) in SITES.items():
        sites |= {f"{site}_right": (r, a, s), f"{site}_left": (-r, a, s)}
    dome = (*diaphragm.summit, DOME_MM + traits.breath_mm)
    return Body(traits, frame, parts, sites, dome, name)


def sample_body(rng: np.random.Generator, name: str = "body") -> Body:
    """A random person: sex, size, fat, posture, organs. The same generator state gives the same body."""
    return build_body(sample_traits(rng), rng, name)
