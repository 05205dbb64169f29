"""The panel of MR Field of View with an answer: table, crop, plot, export; boundaries set, dragged and released."""

import csv

import pytest
from fieldofview_panel import click, ended, fixed, parts, rows, show
from fieldofview_phantom import a_classification, a_volume

# Regions


def test_the_panel_shows_the_answer_of_the_volume_that_is_chosen(panel, classified):
    other = a_volume(name="other")
    panel.ui.inputSelector.setCurrentNode(other)
    assert panel.ui.regionsTable.rowCount == 0
    assert "Press Apply" in panel.ui.summaryLabel.text
    show(other, ["spine"])
    panel.ui.inputSelector.setCurrentNode(classified)
    assert [row[0] for row in rows(panel.ui.regionsTable)] == ["chest", "abdomen", "pelvis"]
    panel.ui.inputSelector.setCurrentNode(other)
    assert [row[0] for row in rows(panel.ui.regionsTable)] == ["spine"]
    assert panel.ui.summaryLabel.text.startswith("Spine examination (")


def test_a_low_confidence_stands_out(panel, volume):
    from SlicerHPOLib.mrml import fieldofview

    classification = a_classification(volume)
    classification.slices.probabilities[40:] = [0.1, 0.1, 0.37, 0.38, 0.03, 0.02]  # abdomen or chest?
    fieldofview.show(volume, classification)
    panel.onParameterNodeModified()
    table = panel.ui.regionsTable
    percents = [int(row[5].removesuffix(" %")) for row in rows(table)]
    assert min(percents) < 50 < max(percents)
    for row, percent in enumerate(percents):
        assert (table.item(row, 5).toolTip() == table.item(row, 0).toolTip()) == (percent >= 50)


def test_a_click_on_a_row_jumps_to_its_region(panel, classified):
    import slicer

    red = slicer.app.layoutManager().sliceWidget("Red").mrmlSliceNode()
    panel.ui.regionsTable.setCurrentCell(0, 1)
    panel.ui.regionsTable.cellClicked.emit(0, 1)
    assert red.GetSliceOffset() == pytest.approx(150)
    panel.ui.regionsTable.cellActivated.emit(2, 0)  # the Enter key
    assert red.GetSliceOffset() == pytest.approx(-50)


def test_crop_needs_a_row_and_makes_a_volume(panel, classified, scene):
    assert not panel.ui.cropButton.enabled
    assert "Choose a region" in panel.ui.cropButton.toolTip
    panel.ui.regionsTable.setCurrentCell(1, 0)
    assert "abdomen" in panel.ui.cropButton.toolTip
    click(panel.ui.cropButton)
    assert scene.GetFirstNodeByName("scan abdomen").GetImageData().GetDimensions() == (10, 12, 20)
    assert panel.ui.statusLabel.visible and panel.ui.statusLabel.text == "New volume: scan abdomen"


def test_the_plot_button_shows_the_chart(panel, classified):
    import slicer

    click(panel.ui.plotButton)
    selection = slicer.app.applicationLogic().GetSelectionNode()
    assert selection.GetActivePlotChartID() == parts(classified)["chart"].GetID()
    slicer.mrmlScene.RemoveNode(parts(classified)["chart"])
    click(panel.ui.plotButton)  # it is drawn again
    assert selection.GetActivePlotChartID() == parts(classified)["chart"].GetID()


def test_export_writes_the_regions(panel, classified, dialogs, tmp_path):
    dialogs.path = str(tmp_path / "regions.csv")
    click(panel.ui.exportButton)
    with open(dialogs.path, newline="") as file:
        assert [row["region"] for row in csv.DictReader(file)] == ["pelvis", "abdomen", "chest"]


def test_export_can_be_cancelled_and_a_bad_place_is_told(panel, classified, dialogs, tmp_path):
    dialogs.path = ""
    click(panel.ui.exportButton)
    assert dialogs.texts("error") == []
    dialogs.path = str(tmp_path / "no folder" / "regions.csv")
    with pytest.raises((OSError, ValueError)):
        panel.onExportButton()
    assert "The table cannot be written." in dialogs.texts("error")[0]


def test_the_slabs_can_be_hidden(panel, classified):
    display = parts(classified)["segmentation"].GetDisplayNode()
    assert display.GetVisibility()
    panel.ui.showSlabsCheckBox.checked = False
    assert not display.GetVisibility()


def test_deleting_the_answer_empties_the_panel(panel, classified, scene):
    scene.RemoveNode(parts(classified)["regions"])
    assert panel.ui.regionsTable.rowCount == 0
    assert not panel.ui.plotButton.enabled
    assert "Press Apply" in panel.ui.summaryLabel.text


def test_a_volume_that_was_moved_says_so_and_nothing_is_shown_in_the_wrong_place(panel, classified, scene, dialogs):
    import vtk
    from SlicerHPOLib.mrml import boundaryplanes

    moved = scene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    matrix = vtk.vtkMatrix4x4()
    matrix.SetElement(2, 3, 500)
    moved.SetMatrixTransformToParent(matrix)
    panel.ui.showPlanesCheckBox.checked = True
    classified.SetAndObserveTransformNodeID(moved.GetID())
    assert "was moved or changed after its regions were found" in panel.ui.summaryLabel.text
    assert boundaryplanes.planes_of(classified) == {}
    panel.ui.regionsTable.setCurrentCell(0, 0)
    with pytest.raises(ValueError, match="was moved"):
        panel.onCropButton()
    assert "press Apply to find them again" in dialogs.texts("error")[0]


# Boundaries


def test_the_sliders_show_the_boundaries_and_where_they_may_lie(panel, classified):
    ui = panel.ui
    assert ui.abdomenChestSlider.enabled
    assert ui.abdomenChestSlider.value == pytest.approx(100)
    assert not ui.abdomenChestCheckBox.checked
    assert ui.abdomenChestLabel.text.endswith(" mm")
    assert not ui.chestHeadSlider.enabled
    assert ui.chestHeadCheckBox.enabled
    assert ui.chestHeadLabel.text == "not in view"
    assert (ui.abdomenChestSlider.minimum, ui.abdomenChestSlider.maximum) == pytest.approx((-92.5, 197.5))


def test_moving_a_slider_fixes_its_boundary_and_decides_the_others_again(panel, classified):
    panel.ui.abdomenChestSlider.value = -30.0
    assert fixed(panel, classified) == {"abdomen/chest": -30.0}
    assert panel.ui.abdomenChestCheckBox.checked
    assert panel.ui.abdomenChestLabel.text == "set by you"
    assert panel.ui.pelvisAbdomenSlider.value < -30
    assert rows(panel.ui.regionsTable)[0][1] == "-30.0"
    assert parts(classified)["regions"].GetTable().GetValue(0, 1).ToDouble() == -30.0


def test_the_ends_of_a_slider_are_possible_and_sliders_do_not_cross(panel, classified, dialogs):
    slider = panel.ui.abdomenChestSlider
    for end in (slider.minimum, slider.maximum):
        slider.value = end
        assert fixed(panel, classified)["abdomen/chest"] == end
    slider.value = 50.0
    assert panel.ui.pelvisAbdomenSlider.maximum < 50.0
    assert panel.ui.chestHeadSlider.minimum > 50.0
    panel.ui.pelvisAbdomenSlider.value = panel.ui.pelvisAbdomenSlider.maximum
    assert len(dialogs) == 0


def test_a_check_box_keeps_a_boundary_and_releases_it(panel, classified):
    panel.ui.abdomenChestCheckBox.checked = True
    assert fixed(panel, classified) == {"abdomen/chest": pytest.approx(100)}
    panel.ui.abdomenChestCheckBox.checked = False
    assert fixed(panel, classified) == {}


def test_a_boundary_that_was_not_found_is_added_by_its_check_box(panel, classified):
    panel.ui.chestHeadCheckBox.checked = True
    assert "chest/head" in fixed(panel, classified)
    assert panel.ui.chestHeadSlider.enabled
    assert rows(panel.ui.regionsTable)[0][0] == "head"


def test_a_boundary_for_which_there_is_no_room_is_refused_and_stays_unchecked(panel, classified, dialogs):
    panel.logic.setBoundary(classified, "abdomen/chest", -92.5)
    panel.onParameterNodeModified()
    with pytest.raises(ValueError):
        panel.onBoundaryToggled("legs/pelvis", True)
    assert "The boundary cannot be changed." in dialogs.texts("error")[0]
    assert not panel.ui.legsPelvisCheckBox.checked
    assert fixed(panel, classified) == {"abdomen/chest": -92.5}


def test_release_gives_all_boundaries_back_to_the_network(panel, classified):
    assert not panel.ui.releaseButton.enabled
    panel.ui.abdomenChestSlider.value = -30.0
    panel.ui.chestHeadCheckBox.checked = True
    click(panel.ui.releaseButton)
    assert fixed(panel, classified) == {}
    assert panel.ui.abdomenChestSlider.value == pytest.approx(100)
    assert not panel.ui.releaseButton.enabled


def test_apply_keeps_the_boundaries_that_the_user_set_and_says_so(panel, classified, wait_until):
    panel.ui.abdomenChestSlider.value = 60.0
    click(panel.ui.applyButton)
    wait_until(ended(panel))
    assert fixed(panel, classified) == {"abdomen/chest": 60.0}
    assert panel.ui.abdomenChestCheckBox.checked and panel.ui.releaseButton.enabled
    assert panel.ui.statusLabel.text == "Boundaries that you had set were kept: abdomen / chest."
    click(panel.ui.releaseButton)
    click(panel.ui.applyButton)
    wait_until(ended(panel))
    assert fixed(panel, classified) == {} and not panel.ui.statusLabel.visible


def test_boundaries_are_dragged_as_planes_in_a_view(panel, classified, slice_view, process_events, dialogs):
    from SlicerHPOLib.mrml import boundaryplanes

    panel.ui.showPlanesCheckBox.checked = True
    planes = boundaryplanes.planes_of(classified)
    assert set(planes) == {"pelvis/abdomen", "abdomen/chest"}
    view = slice_view(classified, "Coronal")
    view.drag((0, 0, 100), (15, 0, 60))
    process_events(0.05)
    position = fixed(panel, classified)["abdomen/chest"]
    assert position == pytest.approx(60, abs=2)
    assert planes["abdomen/chest"].GetOriginWorld() == pytest.approx((0, 0, position))  # upright over the volume again
    assert panel.ui.abdomenChestSlider.value == pytest.approx(position, abs=0.06)
    panel.ui.abdomenChestSlider.value = 30.0
    assert planes["abdomen/chest"].GetOriginWorld()[2] == 30.0
    panel.ui.showPlanesCheckBox.checked = False
    assert boundaryplanes.planes_of(classified) == {}
    assert len(dialogs) == 0


def test_a_plane_that_is_dragged_too_far_stops_where_there_is_room(panel, classified, process_events, dialogs):
    from SlicerHPOLib.mrml import boundaryplanes

    panel.ui.showPlanesCheckBox.checked = True
    boundaryplanes.planes_of(classified)["abdomen/chest"].SetOriginWorld(0, 0, 9000)
    process_events(0.05)
    assert fixed(panel, classified) == {"abdomen/chest": 197.5}
    assert boundaryplanes.planes_of(classified)["abdomen/chest"].GetOriginWorld()[2] == 197.5
    assert len(dialogs) == 0


def test_planes_go_with_the_panel_and_with_the_volume(panel, classified, scene):
    import slicer
    from SlicerHPOLib.mrml import boundaryplanes

    panel.ui.showPlanesCheckBox.checked = True
    panel.ui.inputSelector.setCurrentNode(a_volume(name="other"))
    assert boundaryplanes.planes_of(classified) == {}
    panel.ui.inputSelector.setCurrentNode(classified)
    assert len(boundaryplanes.planes_of(classified)) == 2
    slicer.util.selectModule("Data")
    assert boundaryplanes.planes_of(classified) == {}
    slicer.util.selectModule("MRFieldOfView")
    assert len(boundaryplanes.planes_of(classified)) == 2
