"""Planes on the boundaries: upright over the volume, moved along S only, one for each boundary that there is."""

import numpy as np
import pytest
from fieldofview_phantom import a_classification, a_volume


@pytest.fixture
def planes(scene):
    from SlicerHPOLib.mrml import boundaryplanes

    return boundaryplanes


@pytest.fixture
def volume(scene):
    return classified(a_volume())


def classified(volume, shown=("pelvis", "abdomen", "chest")):
    from SlicerHPOLib.mrml import fieldofview

    fieldofview.show(volume, a_classification(volume, shown))
    return volume


def test_each_boundary_gets_a_plane_as_large_as_the_volume(planes, volume):
    shown = planes.show_planes(volume)
    assert set(shown) == {"pelvis/abdomen", "abdomen/chest"}
    plane = shown["abdomen/chest"]
    assert plane.GetName() == "abdomen / chest"
    assert plane.GetOriginWorld() == pytest.approx((0, 0, 100))
    assert plane.GetNormalWorld() == pytest.approx((0, 0, 1))
    assert tuple(plane.GetSize()) == pytest.approx((40, 48))


def test_the_plane_of_an_oblique_volume_lies_over_its_cross_section(planes, scene):
    shown = planes.show_planes(classified(a_volume(tilt_degrees=20)))
    origin = shown["abdomen/chest"].GetOriginWorld()
    assert origin == pytest.approx((0, 50 * np.tan(np.radians(20)), 100), abs=1e-3)
    assert tuple(shown["abdomen/chest"].GetSize()) == pytest.approx((40, 48 / np.cos(np.radians(20))), abs=0.01)


def test_nothing_is_dragged_until_a_plane_moves_along_s(planes, volume):
    plane = planes.show_planes(volume)["abdomen/chest"]
    assert planes.dragged(volume) == {}
    plane.SetOriginWorld(17, -5, 100)
    assert planes.dragged(volume) == {}
    plane.SetOriginWorld(17, -5, 70)
    assert planes.dragged(volume) == {"abdomen/chest": 70}


def test_a_plane_whose_point_was_deleted_is_no_drag_and_comes_back(planes, volume):
    plane = planes.show_planes(volume)["abdomen/chest"]
    plane.RemoveAllControlPoints()
    assert planes.dragged(volume) == {}
    planes.show_planes(volume)
    assert plane.GetOriginWorld() == pytest.approx((0, 0, 100))


def test_planes_follow_the_boundaries_that_there_are(planes, volume, scene):
    first = planes.show_planes(volume)
    scene.RemoveNode(first["pelvis/abdomen"])
    assert set(planes.show_planes(volume)) == {"pelvis/abdomen", "abdomen/chest"}
    classified(volume, ["spine"])
    assert planes.show_planes(volume) == {}
    assert planes.planes_of(volume) == {}


def test_hiding_leaves_planes_that_are_not_ours(planes, volume, scene):
    theirs = scene.AddNewNodeByClass("vtkMRMLMarkupsPlaneNode", "theirs")
    other = classified(a_volume(name="other"))
    planes.show_planes(volume)
    planes.show_planes(other)
    planes.hide_planes(volume)
    assert len(planes.planes_of(volume)) == 2
    assert planes.planes_of(other) == {}
    scene.RemoveNode(volume)
    planes.hide_planes(None)  # those of a volume that is gone, too
    assert scene.GetNumberOfNodesByClass("vtkMRMLMarkupsPlaneNode") == 1
    assert scene.IsNodePresent(theirs)


def test_a_volume_without_an_answer_has_no_planes(planes, scene):
    from SlicerHPOLib.mrml.volumes import NodeError

    with pytest.raises(NodeError, match="no regions yet"):
        planes.show_planes(a_volume())
