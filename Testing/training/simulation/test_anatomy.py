"""Landmarks: the region rule and what is refused."""

import numpy as np
import pytest

from training.simulation.anatomy import Landmarks

TORSO = {"pelvis/abdomen": -200.0, "abdomen/chest": 0.0, "chest/head": 180.0}


def test_a_boundary_belongs_to_the_region_above_it():
    landmarks = Landmarks(TORSO)
    assert [landmarks.region_at(s) for s in (-500, -200, -0.1, 0, 179, 180, 500)] == [
        "pelvis", "abdomen", "abdomen", "chest", "chest", "head", "head",
    ]  # fmt: skip


def test_an_anatomy_without_boundaries_is_one_named_region():
    assert Landmarks({}, only="legs").region_at(12.0) == "legs"
    with pytest.raises(ValueError, match="must be one region of"):
        Landmarks({})


def test_unknown_skipped_and_misordered_boundaries_are_refused():
    with pytest.raises(ValueError, match="unknown region boundaries"):
        Landmarks({"head/chest": 0.0})
    with pytest.raises(ValueError, match="skip a region"):
        Landmarks({"legs/pelvis": -300.0, "abdomen/chest": 0.0})
    with pytest.raises(ValueError, match="inferior-to-superior"):
        Landmarks({"abdomen/chest": 0.0, "chest/head": -1.0})


def test_a_canal_of_the_wrong_shape_is_refused():
    with pytest.raises(ValueError, match=r"expected \(points, 3\)"):
        Landmarks(TORSO, canal_mm=np.zeros((3, 2)))
