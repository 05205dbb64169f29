"""A kidney in the scene: where it lies, what it is called, and that a saved scene goes on."""

import numpy as np
import pytest
from kidneys import centre_of, found_in, matrix_of, volume

TURN = (0.3, -0.2, 0.4)
LEFT_HANDED = matrix_of(TURN) @ np.diag([1, -1, 1, 1])


@pytest.fixture
def kidney(scene):
    from SlicerHPOLib.mrml import kidney

    return kidney


def a_volume_node(matrix=None, under=None):
    """A volume node whose own RAS is that of `matrix`, under a transform (4, 4)."""
    from SlicerHPOLib.mrml.volumes import volume_node_of

    node = volume_node_of(volume(matrix), "scan")
    if under is not None:
        node.SetAndObserveTransformNodeID(transform(under).GetID())
    return node


def transform(matrix):
    import slicer
    from SlicerHPOLib.mrml.volumes import vtk_matrix

    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    node.SetMatrixTransformToParent(vtk_matrix(matrix))
    return node


def segmented(kidney, volume_node, side="", **changes):
    """A kidney found where it is, in a volume node; the segmentation node and the result shown."""
    from SlicerHPOLib.mrml.volumes import image_of, to_world

    found = found_in(image_of(volume_node), **changes)
    node = kidney.add_kidney(volume_node, found, to_world(volume_node), kidney.Origin("toy", "abc"))
    result = session_of(kidney, node).result
    kidney.show(node, result)
    kidney.set_side(node, side)
    kidney.show_measures(node, result)
    return node, result


def session_of(kidney, node):
    from SlicerHPOLib.kidney.session import KidneySession

    return KidneySession(kidney.found_of(node), kidney.points_of(node))


def mask_in(node, volume_node):
    """(k, j, i) the segment on the volume's voxels, as a user exports it."""
    import slicer

    return slicer.util.arrayFromSegmentBinaryLabelmap(node, "kidney", volume_node)


def surface_bounds(node):
    """(2, 3) RAS mm in the segmentation's own space."""
    bounds = [0.0] * 6
    segment = node.GetSegmentation().GetSegment("kidney")
    segment.GetRepresentation("Closed surface").GetBounds(bounds)
    return np.array(bounds).reshape(3, 2).T


@pytest.mark.parametrize("matrix", [matrix_of(), matrix_of(TURN), LEFT_HANDED], ids=["plain", "oblique", "left-handed"])
@pytest.mark.parametrize("under", [None, matrix_of((0.5, 0.1, -0.3), (1, 1, 1))], ids=["world", "transformed"])
def test_the_segmentation_lies_on_the_kidney(kidney, matrix, under):
    volume_node = a_volume_node(matrix, under)
    node, result = segmented(kidney, volume_node)
    truth = volume(matrix).voxels > 50
    mask = mask_in(node, volume_node) > 0
    assert 2 * (mask & truth).sum() / (mask.sum() + truth.sum()) > 0.97
    np.testing.assert_array_equal(mask, result.mask > 0)
    middle = surface_bounds(node).mean(axis=0)
    if under is not None:
        assert node.GetTransformNodeID() == volume_node.GetTransformNodeID()
        middle = under[:3, :3] @ middle + under[:3, 3]
    np.testing.assert_allclose(middle, centre_of(result.image), atol=1.5)


def test_a_segment_has_the_name_colour_and_terminology_of_a_kidney(kidney):
    import vtk

    volume_node = a_volume_node()
    for side, name, modifier in (
        ("", "kidney", "^^"),
        ("left", "left kidney", "SCT^7771000^Left"),
        ("right", "right kidney", "SCT^24028007^Right"),
    ):
        node, _ = segmented(kidney, volume_node, side)
        shape = node.GetSegmentation().GetSegment("kidney")
        assert shape.GetName() == name
        terminology = vtk.reference("")
        assert shape.GetTag("TerminologyEntry", terminology)
        assert f"SCT^64033007^Kidney~{modifier}~" in str(terminology)
        np.testing.assert_allclose(shape.GetColor(), np.array([185, 102, 83]) / 255, atol=1e-6)


def test_measures_are_in_the_table_and_axes_are_lines_of_their_length(kidney):
    import slicer

    volume_node = a_volume_node(matrix_of(TURN), matrix_of((0.5, 0.1, -0.3), (1, 1, 1)))
    node, result = segmented(kidney, volume_node)
    table = node.GetNodeReference(kidney.MEASURES)
    rows = {table.GetCellText(row, 0): table.GetCellText(row, 1) for row in range(table.GetNumberOfRows())}
    assert [table.GetColumnName(column) for column in range(3)] == ["Measure", "Value", "Unit"]
    assert float(rows["Length"]) == pytest.approx(72, abs=3)
    assert float(rows["Volume"]) == pytest.approx(48.3, rel=0.06) and float(rows["Confidence"]) == 93.0
    sides = []  # of labels that begin close to each other, so that they do not cover each other
    for role, axis in zip(kidney.LINES, ("length", "width", "thickness"), strict=True):
        line = node.GetNodeReference(role)
        ends = slicer.util.arrayFromMarkupsControlPoints(line, world=True)
        np.testing.assert_allclose(ends, getattr(result.measures, f"{axis}_axis"), atol=1e-6)
        assert line.GetNthControlPointLabel(1).startswith(
            f"{axis.capitalize()} {np.linalg.norm(ends[1] - ends[0]):.1f} mm"
        )
        text = line.GetDisplayNode().GetTextProperty()
        sides.append((text.GetJustification(), text.GetVerticalJustification()))
        assert line.GetLocked() and line.GetTransformNodeID() == volume_node.GetTransformNodeID()
    assert len(set(sides)) == 3
    kidney.show_measures(node, result)
    assert line.GetNumberOfControlPoints() == 2


def test_points_are_read_in_the_world_whatever_transform_they_are_under(kidney):
    node, _ = segmented(kidney, a_volume_node())
    inside, outside = (node.GetNodeReference(role) for role in kidney.SIDES)
    assert len(kidney.points_of(node)) == 0
    outside.AddControlPointWorld(1, 2, 3)
    inside.SetAndObserveTransformNodeID(transform(matrix_of((0.5, 0.1, -0.3), (1, 1, 1))).GetID())
    inside.AddControlPointWorld(4, 5, 6)
    inside.AddControlPointWorld(7, 8, 9)
    points = kidney.points_of(node)
    np.testing.assert_allclose(points.ras_mm, [[4, 5, 6], [7, 8, 9], [1, 2, 3]])
    assert points.inside.tolist() == [True, True, False]
    fewer = points.remove(1)
    kidney.place_points(node, fewer)
    np.testing.assert_allclose(kidney.points_of(node).ras_mm, fewer.ras_mm)
    kidney.place_points(node, points)
    np.testing.assert_allclose(kidney.points_of(node).ras_mm, points.ras_mm)


def test_a_point_that_is_not_placed_yet_is_none(kidney):
    import slicer

    node, _ = segmented(kidney, a_volume_node())
    inside = node.GetNodeReference(next(iter(kidney.SIDES)))
    inside.AddControlPoint(1, 2, 3)
    inside.AddControlPoint(4, 5, 6)
    inside.SetNthControlPointPosition(1, 4, 5, 6, slicer.vtkMRMLMarkupsNode.PositionPreview)
    np.testing.assert_allclose(kidney.points_of(node).ras_mm, [[1, 2, 3]])
    kidney.place_points(node, kidney.points_of(node).remove(1))
    assert inside.GetNumberOfControlPoints() == 1  # the one that hangs at the mouse


def test_points_are_named_so_that_a_file_of_them_knows_their_side(kidney, tmp_path):
    import slicer
    from SlicerHPOLib.kidney.pointfile import read_points

    node, _ = segmented(kidney, a_volume_node())
    for role, ras in zip(kidney.SIDES, ((1, 2, 3), (4, 5, 6)), strict=True):
        points_node = node.GetNodeReference(role)
        points_node.AddControlPointWorld(*ras)
        path = tmp_path / f"{'ab'[kidney.SIDES[role]]}.mrk.json"
        storage = slicer.vtkMRMLMarkupsJsonStorageNode()
        storage.SetFileName(str(path))
        assert storage.WriteData(points_node)
        assert read_points(path).inside.tolist() == [kidney.SIDES[role]]


def test_a_moved_volume_takes_kidney_points_and_axes_along(kidney):
    volume_node = a_volume_node(matrix_of(TURN), np.eye(4))
    node, result = segmented(kidney, volume_node)
    inside = node.GetNodeReference(next(iter(kidney.SIDES)))
    point = centre_of(result.image) + (1, 2, 3)
    inside.AddControlPointWorld(*point)
    move = matrix_of((0.5, 0.1, -0.3), (1, 1, 1))
    from SlicerHPOLib.mrml.volumes import vtk_matrix

    volume_node.GetParentTransformNode().SetMatrixTransformToParent(vtk_matrix(move))
    after = session_of(kidney, node)
    np.testing.assert_allclose(after.points.ras_mm[0], move[:3, :3] @ point + move[:3, 3])
    np.testing.assert_array_equal(after.result.mask > 0, result.mask > 0)
    assert after.result.measures.volume_ml == pytest.approx(result.measures.volume_ml, rel=1e-3)


MOVE = matrix_of((0.5, 0.1, -0.3), (1, 1, 1))


@pytest.mark.parametrize("matrix", [matrix_of(TURN), LEFT_HANDED], ids=["oblique", "left-handed"])
@pytest.mark.parametrize("before, after", [(None, MOVE), (MOVE, None), (MOVE, np.diag([-1.0, -1, 1, 1]))])
def test_a_kidney_follows_its_volume_under_another_transform(kidney, matrix, before, after):
    volume_node = a_volume_node(matrix, before)
    node, result = segmented(kidney, volume_node)
    volume_node.SetAndObserveTransformNodeID(None if after is None else transform(after).GetID())
    with pytest.raises(kidney.NodeError, match="moved or changed after it was segmented: segment it again"):
        session_of(kidney, node)
    kidney.follow(node)
    np.testing.assert_array_equal(session_of(kidney, node).result.mask > 0, result.mask > 0)
    np.testing.assert_array_equal(mask_in(node, volume_node) > 0, result.mask > 0)
    assert {part.GetTransformNodeID() for part in kidney.nodes_of(node) if hasattr(part, "GetTransformNodeID")} == {
        volume_node.GetTransformNodeID()
    }


def test_a_kidney_stays_where_it_is_when_its_volume_is_hardened_there(kidney):
    volume_node = a_volume_node(matrix_of(TURN), MOVE)
    node, result = segmented(kidney, volume_node)
    volume_node.HardenTransform()
    kidney.follow(node)
    np.testing.assert_array_equal(session_of(kidney, node).result.mask > 0, result.mask > 0)
    assert node.GetParentTransformNode() is not None and volume_node.GetParentTransformNode() is None


@pytest.mark.parametrize("change", ["shift", "shape"])
def test_a_kidney_of_a_volume_that_was_changed_is_not_corrected_in_the_wrong_place(kidney, change):
    volume_node = a_volume_node()
    node, _ = segmented(kidney, volume_node)
    if change == "shift":
        volume_node.SetOrigin(0, 0, 1000)
    else:
        volume_node.GetImageData().Crop([0, 20, 0, 20, 0, 20])
    kidney.follow(node)
    with pytest.raises(kidney.NodeError, match="scan was moved or changed after it was segmented"):
        session_of(kidney, node)


def test_what_was_found_comes_back_to_the_last_bit(kidney):
    from SlicerHPOLib.mrml.volumes import image_of

    volume_node = a_volume_node(matrix_of(TURN))
    node, _ = segmented(kidney, volume_node, note='Look: "again", & again; 100 %.')
    before, after = found_in(image_of(volume_node)), session_of(kidney, node).found
    np.testing.assert_array_equal(after.phi, before.phi)
    np.testing.assert_array_equal(after.modes, before.modes)
    np.testing.assert_allclose(after.grid.ijk_to_ras, before.grid.ijk_to_ras)
    assert after.description == before.description | {"note": 'Look: "again", & again; 100 %.'}
    unet, _ = segmented(kidney, volume_node, method="unet", modes=None)
    assert session_of(kidney, unet).found.modes is None


@pytest.mark.parametrize("population", ["adult", "child", None])
def test_whose_kidney_was_found_and_whose_was_asked_for_stay(kidney, population):
    from SlicerHPOLib.mrml.volumes import image_of

    volume_node, asked = a_volume_node(), kidney.Origin("toy", "abc", population or "auto")
    node = kidney.add_kidney(volume_node, found_in(image_of(volume_node), population=population), np.eye(4), asked)
    assert session_of(kidney, node).result.population == population
    assert kidney.origin_of(node) == asked


def test_a_scene_that_was_saved_before_there_were_populations_goes_on(kidney):
    import json

    node, _ = segmented(kidney, a_volume_node(), population="child")
    found_node = node.GetNodeReference(kidney.FOUND)
    described = json.loads(found_node.GetAttribute("SlicerHPO.found"))
    del described["population"]
    found_node.SetAttribute("SlicerHPO.found", json.dumps(described))
    found_node.RemoveAttribute("SlicerHPO.population")
    session = session_of(kidney, node)
    assert session.result.population is None and kidney.origin_of(node) == kidney.Origin("toy", "abc", "auto")
    assert session.add_outside(centre_of(session.found.image) + (0, 13, 0)).mask.any()


@pytest.mark.parametrize("matrix", [matrix_of(TURN), LEFT_HANDED], ids=["oblique", "left-handed"])
def test_a_saved_and_reloaded_scene_goes_on(kidney, tmp_path, matrix):
    import slicer

    volume_node = a_volume_node(matrix, matrix_of((0.5, 0.1, -0.3), (1, 1, 1)))
    node, _ = segmented(kidney, volume_node, note='Look: "again", & again; 100 %.')
    session = session_of(kidney, node)
    before = session.add_inside(centre_of(session.found.image) + (23, 0, 0))
    kidney.place_points(node, session.points)
    name = node.GetName()
    path = str(tmp_path / "scene.mrb")
    assert slicer.mrmlScene.WriteToMRB(path, None)
    slicer.mrmlScene.Clear(0)
    assert slicer.mrmlScene.ReadFromMRB(path)
    node = slicer.util.getNode(name)
    assert kidney.segmentation_of(kidney.volume_of(node)) is node
    after = session_of(kidney, node)
    assert after.found.note == before.warnings[0] and len(after.points) == 1
    assert after.result.measures.volume_ml == pytest.approx(before.measures.volume_ml, rel=1e-4)
    assert (after.result.mask > 0).sum() == (before.mask > 0).sum()
    after.add_outside(centre_of(after.found.image) + (0, 13, 0))
    assert len(kidney.nodes_of(node)) == 8


def test_the_kidney_lies_in_its_volumes_folder_and_what_was_found_is_hidden(kidney):
    import slicer

    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    volume_node = a_volume_node()
    study = hierarchy.CreateFolderItem(hierarchy.GetSceneItemID(), "study")
    item = hierarchy.GetItemByDataNode(volume_node)
    if item:
        hierarchy.SetItemParent(item, study)
    else:
        hierarchy.CreateItem(study, volume_node)
    node, _ = segmented(kidney, volume_node)
    for companion in kidney.nodes_of(node):
        if companion.GetHideFromEditors():
            assert companion.IsA("vtkMRMLVectorVolumeNode")
        else:
            assert hierarchy.GetItemParent(hierarchy.GetItemByDataNode(companion)) == study


def test_segmenting_again_into_the_same_node_keeps_points_of_the_same_volume_only(kidney):
    from SlicerHPOLib.mrml.volumes import image_of

    first, second = a_volume_node(), a_volume_node(matrix_of(TURN))
    node, _ = segmented(kidney, first)
    node.GetNodeReference(next(iter(kidney.SIDES))).AddControlPointWorld(1, 2, 3)
    count = kidney.slicer.mrmlScene.GetNumberOfNodes()
    for volume_node, expected in ((first, 1), (second, 0)):
        kidney.add_kidney(volume_node, found_in(image_of(volume_node)), np.eye(4), kidney.Origin(), node)
        assert len(kidney.points_of(node)) == expected
        assert kidney.volume_of(node) is volume_node
    assert kidney.slicer.mrmlScene.GetNumberOfNodes() == count


def test_other_segments_of_a_node_stay_as_they_are(kidney):
    volume_node = a_volume_node()
    node, result = segmented(kidney, volume_node)
    node.GetSegmentation().AddEmptySegment("tumour", "tumour")
    kidney.slicer.util.updateSegmentBinaryLabelmapFromArray(
        (result.mask > 0).astype(np.uint8), node, "tumour", volume_node
    )
    smaller = session_of(kidney, node).add_outside(centre_of(result.image) + (0, 10, 0))
    kidney.show(node, smaller)
    tumour = kidney.slicer.util.arrayFromSegmentBinaryLabelmap(node, "tumour", volume_node)
    np.testing.assert_array_equal(tumour > 0, result.mask > 0)
    np.testing.assert_array_equal(mask_in(node, volume_node) > 0, smaller.mask > 0)


@pytest.mark.parametrize("lost", ["volume", "found", "values of found", "never"])
def test_without_volume_or_what_was_found_it_says_what_to_do(kidney, scene, lost):
    from SlicerHPOLib.mrml.volumes import NodeError

    volume_node = a_volume_node()
    node, _ = segmented(kidney, volume_node)
    if lost == "never":
        node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    elif lost == "values of found":  # of a scene whose file of them is missing
        node.GetNodeReference(kidney.FOUND).SetAndObserveImageData(None)
        with pytest.raises(NodeError, match="scan kidney found is damaged"):
            kidney.state_of(node)
    else:
        scene.RemoveNode(volume_node if lost == "volume" else node.GetNodeReference(kidney.FOUND))
    with pytest.raises(NodeError, match="segment"):
        session_of(kidney, node)
    assert lost in ("never", "values of found") or kidney.segmentation_of(volume_node) is None


def test_measures_are_shown_in_the_nodes_that_the_user_left(kidney, scene):
    node, result = segmented(kidney, a_volume_node())
    *removed, last = kidney.LINES
    for role in (*removed, kidney.MEASURES):
        scene.RemoveNode(node.GetNodeReference(role))
    node.GetNodeReference(last).RemoveAllControlPoints()
    kidney.show_measures(node, result)
    assert node.GetNodeReference(last).GetNumberOfControlPoints() == 2
