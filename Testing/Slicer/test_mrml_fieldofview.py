"""A volume's answer in the scene: table, slabs, chart; kept with the scene, and refused where it is no longer true."""

import numpy as np
import pytest
from fieldofview_phantom import a_classification, a_volume


@pytest.fixture
def fieldofview(scene):
    from SlicerHPOLib.mrml import fieldofview

    return fieldofview


@pytest.fixture
def volume(scene):
    return a_volume()


def rows(table_node):
    table = table_node.GetTable()
    return [
        [table.GetValue(row, column).ToString() for column in range(table.GetNumberOfColumns())]
        for row in range(table.GetNumberOfRows())
    ]


def column(table_node, name):
    values = table_node.GetTable().GetColumnByName(name)
    return [values.GetValue(row) for row in range(values.GetNumberOfValues())]


def slab_of(node, region):
    return node.GetSegmentation().GetSegment(region).GetRepresentation("Closed surface")


def save_and_reload(scene, folder):
    """The scene after it was saved to a folder, closed and opened again."""
    for index in range(scene.GetNumberOfNodes()):
        node = scene.GetNthNode(index)
        if node.IsA("vtkMRMLStorableNode") and node.GetSaveWithScene() and not node.IsA("vtkMRMLColorNode"):
            node.AddDefaultStorageNode()
            if (storage := node.GetStorageNode()) is not None:
                name = f"{node.GetID()}.{storage.GetDefaultWriteFileExtension()}"
                storage.SetFileName(str(folder / name))
                assert storage.WriteData(node), name
    scene.SetURL(str(folder / "scene.mrml"))
    scene.SetRootDirectory(str(folder))
    assert scene.Commit()
    scene.Clear(0)
    scene.SetURL(str(folder / "scene.mrml"))
    assert scene.Connect()


def test_the_table_shows_the_regions_from_head_to_feet(fieldofview, volume):
    table = fieldofview.show(volume, a_classification(volume))
    assert table.GetName() == "scan regions"
    assert column(table, "region") == ["chest", "abdomen", "pelvis"]
    assert column(table, "from (mm)") == [100.0, 0.0, -100.0]
    assert column(table, "to (mm)") == [200.0, 100.0, 0.0]
    assert column(table, "length (mm)") == [100.0] * 3
    assert column(table, "first slice") == [40, 20, 0]
    assert column(table, "last slice") == [59, 39, 19]
    assert all(90 < confidence <= 100 for confidence in column(table, "confidence (%)"))
    assert table.GetLocked()


def test_each_region_is_a_slab_of_the_volume_with_terminology_and_colour(fieldofview, volume):
    fieldofview.show(volume, a_classification(volume))
    node = fieldofview.parts(volume)["segmentation"]
    segmentation = node.GetSegmentation()
    assert [segmentation.GetNthSegment(n).GetName() for n in range(3)] == ["pelvis", "abdomen", "chest"]
    assert slab_of(node, "abdomen").GetBounds() == pytest.approx((-20, 20, -24, 24, 0, 100))
    assert (
        "~SCT^123037004^Anatomical Structure~SCT^51185008^Chest~" in segmentation.GetSegment("chest").GetTerminology()
    )
    colours = {segmentation.GetNthSegment(n).GetColor() for n in range(3)}
    assert len(colours) == 3
    display = node.GetDisplayNode()
    assert display.GetOpacity3D() < 0.5
    assert display.GetOpacity2DFill() < 0.5


def test_every_region_has_a_code_of_the_terminology_it_names(fieldofview, core):
    import slicer

    logic = core.terminologies_logic
    for region, segment in fieldofview.SEGMENTS.items():
        category, kind = slicer.vtkSlicerTerminologyCategory(), slicer.vtkSlicerTerminologyType()
        known = {}
        for index in range(logic.GetNumberOfCategoriesInTerminology(segment.context)):
            logic.GetNthCategoryInTerminology(segment.context, index, category)
            if (category.GetCodeValue(), category.GetCodeMeaning()) == segment.category:
                for n in range(logic.GetNumberOfTypesInTerminologyCategory(segment.context, category)):
                    logic.GetNthTypeInTerminologyCategory(segment.context, category, n, kind)
                    known[kind.GetCodeValue()] = kind.GetCodeMeaning()
        code, meaning = segment.type
        assert known.get(code) == meaning, region


@pytest.mark.parametrize("left_handed", [False, True], ids=["right-handed", "left-handed"])
def test_the_slabs_of_an_oblique_volume_end_at_axial_planes_of_the_world(fieldofview, scene, left_handed):
    import vtk

    volume = a_volume(tilt_degrees=20, left_handed=left_handed)
    fieldofview.show(volume, a_classification(volume))
    slab = slab_of(fieldofview.parts(volume)["segmentation"], "abdomen")
    assert slab.GetBounds()[4:] == pytest.approx((0, 100))
    mass = vtk.vtkMassProperties()
    mass.SetInputData(slab)
    assert mass.GetVolume() == pytest.approx(40 * 48 * 100 / np.cos(np.radians(20)))


def test_a_transformed_volume_has_its_slabs_where_it_is_seen(fieldofview, volume, scene):
    from SlicerHPOLib.mrml.volumes import vtk_matrix

    moved = scene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    matrix = np.eye(4)
    matrix[:3, 3] = 30, 0, 0
    moved.SetMatrixTransformToParent(vtk_matrix(matrix))
    volume.SetAndObserveTransformNodeID(moved.GetID())
    fieldofview.show(volume, a_classification(volume))
    node = fieldofview.parts(volume)["segmentation"]
    assert slab_of(node, "abdomen").GetBounds() == pytest.approx((10, 50, -24, 24, 0, 100))
    assert node.GetParentTransformNode() is None


def test_the_chart_draws_each_class_and_the_boundaries(fieldofview, volume):
    from SlicerHPOLib.fieldofview.regions import CLASSES

    classification = a_classification(volume)
    fieldofview.show(volume, classification)
    parts = fieldofview.parts(volume)
    chart = parts["chart"]
    series = [chart.GetNthPlotSeriesNode(n) for n in range(chart.GetNumberOfPlotSeriesNodes())]
    assert [entry.GetName() for entry in series] == [*CLASSES, "boundary"]
    for entry in series:
        names = [entry.GetXColumnName(), entry.GetYColumnName()]
        assert all(entry.GetTableNode().GetTable().GetColumnByName(name) for name in names)
    assert column(parts["curves"], "S (mm)") == classification.slices.positions_mm.tolist()
    assert column(parts["curves"], "chest") == classification.answer.decision.smoothed[:, 3].tolist()
    assert column(parts["lines"], "S (mm)") == pytest.approx([0, 0, 0, 100, 100, 100], abs=1e-9)
    assert column(parts["lines"], "boundary") == [0, 1, 0, 0, 1, 0]


def test_slices_of_air_are_drawn_at_zero(fieldofview, volume):
    classification = a_classification(volume)
    classification.slices.tissue[:5] = False
    fieldofview.show(volume, classification)
    assert column(fieldofview.parts(volume)["curves"], "pelvis")[:6] == pytest.approx([0] * 5 + [0.9], abs=0.05)


def test_a_second_answer_takes_the_place_of_the_first(fieldofview, volume, scene):
    first = a_classification(volume)
    fieldofview.show(volume, first)
    before = fieldofview.parts(volume)
    count = scene.GetNumberOfNodes()
    before["segmentation"].GetDisplayNode().SetSegmentVisibility("chest", False)
    fieldofview.show(volume, first.with_boundary("abdomen/chest", 60.0))
    assert fieldofview.parts(volume) == before
    assert scene.GetNumberOfNodes() == count
    assert slab_of(before["segmentation"], "chest").GetBounds()[4:] == pytest.approx((60, 200))
    assert not before["segmentation"].GetDisplayNode().GetSegmentVisibility("chest")
    assert column(before["regions"], "from (mm)")[0] == 60.0
    assert column(before["lines"], "S (mm)")[3] == 60.0


def test_regions_that_are_no_longer_shown_lose_their_slab(fieldofview, volume):
    fieldofview.show(volume, a_classification(volume))
    fieldofview.show(volume, a_classification(volume, ["spine"]))
    parts = fieldofview.parts(volume)
    assert parts["segmentation"].GetSegmentation().GetSegmentIDs() == ("spine",)
    assert column(parts["regions"], "region") == ["spine"]
    assert parts["lines"].GetTable().GetNumberOfRows() == 0


def test_parts_that_were_deleted_come_back(fieldofview, volume, scene):
    fieldofview.show(volume, a_classification(volume))
    for name in ("segmentation", "curves", "lines", "chart"):
        scene.RemoveNode(fieldofview.parts(volume)[name])
        assert name not in fieldofview.parts(volume)
    fieldofview.show(volume, fieldofview.classification_of(volume))
    parts = fieldofview.parts(volume)
    assert parts["segmentation"].GetSegmentation().GetNumberOfSegments() == 3
    series = parts["chart"].GetNthPlotSeriesNode(0)
    assert series.GetTableNode() is parts["curves"]


def test_a_chart_whose_table_was_deleted_shows_the_new_one(fieldofview, volume, scene):
    fieldofview.show(volume, a_classification(volume))
    scene.RemoveNode(fieldofview.parts(volume)["curves"])
    fieldofview.show(volume, fieldofview.classification_of(volume))
    parts = fieldofview.parts(volume)
    assert parts["chart"].GetNthPlotSeriesNode(0).GetTableNode() is parts["curves"]


def test_without_an_answer_there_is_none(fieldofview, volume, scene):
    assert fieldofview.classification_of(None) is None
    assert fieldofview.classification_of(volume) is None
    assert fieldofview.parts(volume) == {}
    fieldofview.show(volume, a_classification(volume))
    scene.RemoveNode(fieldofview.parts(volume)["regions"])
    assert fieldofview.classification_of(volume) is None


def test_a_copy_of_a_volume_does_not_share_its_answer(fieldofview, volume, scene):
    fieldofview.show(volume, a_classification(volume))
    copy = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "copy")
    copy.Copy(volume)
    assert copy.GetNodeReference(fieldofview.ROLE) is not None
    assert fieldofview.classification_of(copy) is None
    fieldofview.show(copy, a_classification(copy, ["spine"]))
    assert column(fieldofview.parts(volume)["regions"], "region") == ["chest", "abdomen", "pelvis"]
    assert column(fieldofview.parts(copy)["regions"], "region") == ["spine"]


@pytest.mark.parametrize("left_handed", [False, True], ids=["right-handed", "left-handed"])
def test_the_answer_goes_on_after_the_scene_was_saved_and_opened_again(fieldofview, scene, tmp_path, left_handed):
    volume = a_volume(left_handed=left_handed)  # Slicer reverses its k axis when it opens it
    before = a_classification(volume).with_boundary("abdomen/chest", 60.0)
    fieldofview.show(volume, before)
    save_and_reload(scene, tmp_path)
    volume = scene.GetFirstNodeByName("scan")
    after = fieldofview.classification_of(volume)
    assert after.fixed == {"abdomen/chest": 60.0}
    assert after.answer.decision.regions == before.answer.decision.regions
    fieldofview.show(volume, after.with_boundary("abdomen/chest", None))
    parts = fieldofview.parts(volume)
    assert len(parts) == 5
    assert column(parts["regions"], "from (mm)") == [100.0, 0.0, -100.0]
    assert slab_of(parts["segmentation"], "chest").GetBounds()[4:] == pytest.approx((100, 200))


def test_an_answer_for_a_volume_that_was_moved_is_not_shown_in_the_wrong_place(fieldofview, volume, scene):
    from SlicerHPOLib.mrml.volumes import NodeError

    classification = a_classification(volume)
    fieldofview.show(volume, classification)
    volume.SetOrigin(0, 0, 1000)
    before = rows(fieldofview.parts(volume)["regions"])
    with pytest.raises(NodeError, match="was moved or changed after its regions were found"):
        fieldofview.show(volume, classification.with_boundary("abdomen/chest", 60.0))
    assert rows(fieldofview.parts(volume)["regions"]) == before
    with pytest.raises(NodeError, match="press Apply"):
        fieldofview.middle_of(volume, "chest")


def test_a_failure_half_way_leaves_no_node_behind(fieldofview, volume, scene, monkeypatch):
    count = scene.GetNumberOfNodes()

    def broken(*_):
        raise RuntimeError("no chart today")

    monkeypatch.setattr(fieldofview, "_draw", broken)
    with pytest.raises(RuntimeError, match="no chart today"):
        fieldofview.show(volume, a_classification(volume))
    assert scene.GetNumberOfNodes() == count
    assert fieldofview.classification_of(volume) is None


def test_the_middle_of_a_region_is_in_the_middle_of_its_slab(fieldofview, scene):
    from SlicerHPOLib.mrml.volumes import NodeError

    volume = a_volume(tilt_degrees=20)
    with pytest.raises(NodeError, match="scan has no regions yet"):
        fieldofview.middle_of(volume, "chest")
    fieldofview.show(volume, a_classification(volume))
    middle = fieldofview.middle_of(volume, "chest")
    assert middle[0] == pytest.approx(0)
    assert 100 < middle[2] < 200
    assert middle[1] == pytest.approx((middle[2] - 50) * np.tan(np.radians(20)), abs=3)  # cut short by the box's end
    with pytest.raises(NodeError, match="shows no head; it shows pelvis, abdomen, chest"):
        fieldofview.middle_of(volume, "head")
