"""The panel of MR Field of View: every button, what is enabled when and why not, cancel, scene close, errors."""

import csv

import numpy as np
import pytest
from fieldofview_phantom import QuickTask, a_classification, a_volume


@pytest.fixture
def quick(scene, load_module, monkeypatch):
    """No network: the answer comes after two looks. Its attributes can be changed for a test."""
    load_module("MRFieldOfView")
    from SlicerHPOLib.mrml import volumestask

    task = type("QuickTask", (QuickTask,), {"running": []})
    monkeypatch.setattr(volumestask, "BackgroundTask", task)
    return task


@pytest.fixture
def panel(quick, open_panel):
    import sys

    return open_panel(sys.modules["MRFieldOfView"])


@pytest.fixture
def volume(panel):
    """A volume, chosen in the panel."""
    node = a_volume()
    panel.ui.inputSelector.setCurrentNode(node)
    return node


@pytest.fixture
def classified(panel, volume):
    """The same with its answer: pelvis up to 0, abdomen up to 100, chest up to 200 mm."""
    show(volume)
    panel.onParameterNodeModified()
    return volume


def show(volume, shown=("pelvis", "abdomen", "chest")):
    from SlicerHPOLib.mrml import fieldofview

    fieldofview.show(volume, a_classification(volume, shown))


def parts(volume):
    from SlicerHPOLib.mrml import fieldofview

    return fieldofview.parts(volume)


def rows(table):
    return [[table.item(row, column).text() for column in range(table.columnCount)] for row in range(table.rowCount)]


def fixed(panel, volume):
    return panel.logic.result(volume).fixed


def click(button):
    """As a user does: nothing happens on a button that is not enabled."""
    assert button.enabled, button.toolTip
    button.click()


def ended(panel):
    return lambda: panel._runButtons.pressed is None


# What can be done, and why not


def test_without_a_volume_nothing_can_be_applied_and_the_tool_tip_says_why(panel):
    assert not panel.ui.applyButton.enabled
    assert "No volume is chosen" in panel.ui.applyButton.toolTip
    assert not panel.ui.allVolumesButton.enabled
    assert "No volume is loaded" in panel.ui.allVolumesButton.toolTip
    assert not panel.ui.folderButton.enabled
    assert "Choose a folder" in panel.ui.folderButton.toolTip
    for button in (panel.ui.cropButton, panel.ui.plotButton, panel.ui.exportButton, panel.ui.releaseButton):
        assert not button.enabled
    assert panel.ui.summaryLabel.text == "No volume is chosen."


def test_the_first_volume_of_the_scene_is_chosen_when_the_panel_is_entered(quick, open_panel):
    import sys

    node = a_volume()
    panel = open_panel(sys.modules["MRFieldOfView"])
    assert panel.ui.inputSelector.currentNode() is node
    assert panel.ui.applyButton.enabled


def test_a_volume_whose_voxels_come_after_its_node_can_be_applied_when_they_are_there(panel, scene):
    node = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "arriving")
    panel.ui.inputSelector.setCurrentNode(node)
    assert not panel.ui.applyButton.enabled
    assert "arriving has no image data" in panel.ui.applyButton.toolTip
    node.SetAndObserveImageData(a_volume().GetImageData())
    assert panel.ui.applyButton.enabled


def test_a_single_slice_cannot_be_applied(panel):
    from SlicerHPOLib.image import Image
    from SlicerHPOLib.mrml.volumes import volume_node_of

    panel.ui.inputSelector.setCurrentNode(volume_node_of(Image(np.arange(16.0).reshape(1, 4, 4), np.eye(4)), "flat"))
    assert not panel.ui.applyButton.enabled
    assert "single slice" in panel.ui.applyButton.toolTip


def test_label_maps_and_colour_volumes_are_not_offered(panel, scene):
    scene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode")
    scene.AddNewNodeByClass("vtkMRMLVectorVolumeNode")
    assert panel.ui.inputSelector.nodeCount() == 0


# A run


def test_apply_finds_the_regions_and_shows_them(panel, volume, wait_until, dialogs):
    click(panel.ui.applyButton)
    wait_until(ended(panel))
    assert len(dialogs) == 0
    assert [row[:5] for row in rows(panel.ui.regionsTable)] == [
        ["chest", "100.0", "200.0", "100.0", "40 – 59"],
        ["abdomen", "0.0", "100.0", "100.0", "20 – 39"],
        ["pelvis", "-100.0", "0.0", "100.0", "0 – 19"],
    ]
    assert panel.ui.summaryLabel.text.startswith("Body, no spine examination (")
    assert set(parts(volume)) == {"regions", "segmentation", "curves", "lines", "chart"}
    assert not panel.ui.progressBar.visible
    assert panel.ui.applyButton.text == "Apply"


def test_while_it_runs_progress_is_shown_apply_is_cancel_and_the_rest_waits(panel, volume, quick, wait_until):
    quick.polls = None
    click(panel.ui.applyButton)
    assert not panel.ui.applyButton.enabled  # the second click of a double click
    wait_until(lambda: panel.ui.applyButton.enabled)
    assert panel.ui.applyButton.text == "Cancel"
    assert not panel.ui.allVolumesButton.enabled
    assert "wait or cancel" in panel.ui.allVolumesButton.toolTip
    wait_until(lambda: panel.ui.statusLabel.text == "classifying slices")
    assert panel.ui.progressBar.visible
    assert panel.ui.progressBar.value == 50


def test_cancel_stops_at_once_and_leaves_the_scene_as_it_was(panel, volume, quick, scene, wait_until, dialogs):
    count = scene.GetNumberOfNodes()
    quick.polls = None
    click(panel.ui.applyButton)
    wait_until(lambda: panel.ui.applyButton.enabled)
    assert len(quick.running) == 1
    click(panel.ui.applyButton)
    assert quick.running == []
    assert panel.ui.applyButton.text == "Apply"
    assert panel.ui.statusLabel.text == "Cancelled."
    assert not panel.ui.progressBar.visible
    assert scene.GetNumberOfNodes() == count
    assert len(dialogs) == 0


def test_a_double_click_starts_once_and_does_not_cancel(panel, volume, quick, wait_until):
    panel.ui.applyButton.click()
    panel.ui.applyButton.click()
    assert panel._runButtons.pressed is panel.ui.applyButton
    wait_until(ended(panel))
    assert panel.ui.regionsTable.rowCount == 3


def test_a_failure_is_told_and_everything_is_as_before(panel, volume, quick, scene, wait_until, dialogs):
    count = scene.GetNumberOfNodes()
    quick.failure = "There is not enough memory for this volume."
    click(panel.ui.applyButton)
    wait_until(ended(panel))
    assert dialogs.texts("error") == ["There is not enough memory for this volume."]
    assert scene.GetNumberOfNodes() == count
    assert panel.ui.applyButton.enabled
    assert panel.ui.applyButton.text == "Apply"


def test_a_constant_volume_is_refused_in_words(panel, wait_until, dialogs):
    from SlicerHPOLib.image import Image
    from SlicerHPOLib.mrml.volumes import volume_node_of

    panel.ui.inputSelector.setCurrentNode(volume_node_of(Image(np.zeros((4, 4, 4), np.int16), np.eye(4)), "empty"))
    click(panel.ui.applyButton)
    wait_until(ended(panel))
    assert "empty: constant volume" in dialogs.texts("error")[0]


def test_a_model_that_is_gone_is_an_error_with_the_models_there_are(panel, volume, dialogs):
    panel._parameterNode.model = "retired"
    panel.setParameterNode(panel.logic.getParameterNode())  # as when a scene is opened
    assert panel.ui.modelSelector.currentText == "retired"
    with pytest.raises(ValueError, match="No model 'retired'"):
        panel.onApplyButton()
    assert "mr-field-of-view" in dialogs.texts("error")[0]
    assert panel._runButtons.pressed is None
    panel.ui.modelSelector.setCurrentIndex(0)
    assert panel._parameterNode.model == "mr-field-of-view"


def test_missing_packages_are_asked_for_and_declining_is_no_crash(panel, volume, dialogs, monkeypatch):
    from SlicerHPOLib.mrml import packages

    monkeypatch.setattr(packages, "missing_packages", lambda: ["torch>=2.4"])
    with pytest.raises(RuntimeError):
        panel.onApplyButton()
    assert "PyTorch" in dialogs.texts("error")[0]
    assert panel.ui.applyButton.enabled
    assert panel.ui.applyButton.text == "Apply"


def test_what_the_network_had_to_do_without_is_told(panel, volume, quick, wait_until):
    quick.warnings = ("The graphics card has not enough free memory: it was computed on the processor.",)
    click(panel.ui.applyButton)
    wait_until(ended(panel))
    assert panel.ui.statusLabel.visible
    assert "graphics card" in panel.ui.statusLabel.text


def test_deleting_the_input_while_it_runs_ends_the_run(panel, volume, quick, scene, wait_until, dialogs):
    quick.polls = None
    click(panel.ui.applyButton)
    wait_until(lambda: quick.running)
    scene.RemoveNode(volume)
    wait_until(ended(panel))
    assert quick.running == []
    assert "removed from the scene" in panel.ui.statusLabel.text
    assert not panel.ui.applyButton.enabled
    assert len(dialogs) == 0


def test_closing_the_scene_while_it_runs_ends_the_run_without_a_word(panel, volume, quick, scene, wait_until, dialogs):
    import slicer

    quick.polls = None
    click(panel.ui.applyButton)
    wait_until(lambda: quick.running)
    scene.Clear(0)
    slicer.app.processEvents()
    assert quick.running == []
    assert panel._runButtons.pressed is None
    assert not panel.ui.progressBar.visible
    assert panel.ui.inputSelector.currentNode() is None
    assert not panel.ui.applyButton.enabled
    assert len(dialogs) == 0


def test_switching_to_another_module_and_back_does_not_disturb_a_run(panel, volume, quick, wait_until):
    import slicer

    click(panel.ui.applyButton)
    slicer.util.selectModule("Data")
    wait_until(ended(panel))
    assert set(parts(volume)) == {"regions", "segmentation", "curves", "lines", "chart"}
    slicer.util.selectModule("MRFieldOfView")
    assert panel.ui.regionsTable.rowCount == 3
    assert panel.ui.applyButton.text == "Apply"


def test_closing_the_panel_ends_what_runs(panel, volume, quick, wait_until):
    quick.polls = None
    click(panel.ui.applyButton)
    wait_until(lambda: quick.running)
    panel.cleanup()
    assert quick.running == []


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


def test_the_plot_button_shows_the_chart(panel, classified):
    import slicer

    click(panel.ui.plotButton)
    assert slicer.app.applicationLogic().GetSelectionNode().GetActivePlotChartID() == parts(classified)["chart"].GetID()


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


# Several volumes


def test_all_open_volumes_are_found_and_listed(panel, volume, quick, wait_until, dialogs, tmp_path):
    from SlicerHPOLib.image import Image
    from SlicerHPOLib.mrml.volumes import volume_node_of

    volume_node_of(Image(np.zeros((4, 4, 4), np.int16), np.eye(4)), "empty")
    panel.ui.severalCollapsibleButton.collapsed = False
    assert not panel.ui.exportResultsButton.enabled
    click(panel.ui.allVolumesButton)
    assert panel.ui.allVolumesButton.text == "Cancel"
    assert not panel.ui.applyButton.enabled
    wait_until(ended(panel))
    assert panel.ui.allVolumesButton.text == "Apply to all open volumes"
    table = panel.ui.resultsTable.mrmlTableNode().GetTable()
    assert [table.GetValue(row, 0).ToString() for row in range(2)] == ["scan", "empty"]
    assert "constant volume" in table.GetValueByName(1, "error").ToString()
    assert len(dialogs) == 0  # one failure among several is in the table
    assert panel.ui.regionsTable.rowCount == 3
    dialogs.path = str(tmp_path / "all.csv")
    click(panel.ui.exportResultsButton)
    with open(dialogs.path, newline="") as file:
        assert [row["path"] for row in csv.DictReader(file)] == ["scan", "scan", "scan", "empty"]


def test_a_folder_is_found_and_listed_and_can_be_cancelled(panel, wait_until, dialogs, tmp_path):
    from SlicerHPOLib.files import SAMPLES

    panel.ui.folderLineEdit.currentPath = str(tmp_path / "nowhere")
    assert not panel.ui.folderButton.enabled
    panel.ui.folderLineEdit.currentPath = str(SAMPLES / "mr")
    click(panel.ui.folderButton)
    wait_until(lambda: panel.ui.resultsTable.mrmlTableNode() is not None, timeout=60)
    assert panel.ui.progressBar.maximum == 0  # nobody knows how many there are
    wait_until(lambda: panel.ui.folderButton.enabled)
    click(panel.ui.folderButton)
    assert panel._runButtons.pressed is None
    assert panel.ui.statusLabel.text == "Cancelled."
    assert panel.ui.resultsTable.mrmlTableNode().GetTable().GetNumberOfRows() >= 1
    assert panel.ui.exportResultsButton.enabled


# Window


def test_the_keyboard_goes_through_the_panel_from_top_to_bottom(panel, classified):
    from PySide6 import QtWidgets

    panel.ui.severalCollapsibleButton.collapsed = False
    panel.ui.regionsTable.setCurrentCell(0, 0)
    order, widget = [], panel.ui.inputSelector
    for _ in range(200):
        if isinstance(widget, QtWidgets.QWidget) and widget.objectName in dir(panel.ui):
            order.append(widget.objectName)
        widget = widget.nextInFocusChain()
    order = list(dict.fromkeys(order))
    wanted = [
        "inputSelector",
        "modelSelector",
        "applyButton",
        "regionsTable",
        "cropButton",
        "plotButton",
        "exportButton",
        "showSlabsCheckBox",
        "chestHeadCheckBox",
        "chestHeadSlider",
        "abdomenChestCheckBox",
        "abdomenChestSlider",
        "showPlanesCheckBox",
        "releaseButton",
        "allVolumesButton",
        "folderLineEdit",
        "folderButton",
        "exportResultsButton",
    ]
    assert [name for name in order if name in wanted] == wanted


def test_the_window_never_waits_long_for_a_large_volume(panel, quick, wait_until, process_events):
    import time

    from SlicerHPOLib.image import Image
    from SlicerHPOLib.mrml.volumes import volume_node_of

    voxels = np.random.default_rng(0).integers(0, 1000, (400, 256, 256), dtype=np.int16)
    panel.ui.inputSelector.setCurrentNode(volume_node_of(Image(voxels, np.diag([1.0, 1, 3, 1])), "large"))
    quick.polls = 5
    longest = 0.0

    def look():
        nonlocal longest
        begin = time.thread_time()  # of this thread: others use the processor, too
        process_events()
        longest = max(longest, time.thread_time() - begin)
        return ended(panel)()

    click(panel.ui.applyButton)
    wait_until(look)
    assert longest < 0.3


def test_an_opened_scene_is_shown_with_its_answer_and_goes_on(panel, classified, scene, tmp_path):
    import slicer

    panel.logic.setBoundary(classified, "abdomen/chest", 60.0)
    panel.ui.showSlabsCheckBox.checked = False
    slicer.util.saveScene(str(tmp_path / "scene"))
    scene.Clear(0)
    assert panel.ui.regionsTable.rowCount == 0
    slicer.util.loadScene(str(next((tmp_path / "scene").glob("*.mrml"))))
    slicer.app.processEvents()
    volume = panel.ui.inputSelector.currentNode()
    assert volume.GetName() == "scan"
    assert panel.ui.abdomenChestSlider.value == pytest.approx(60.0)
    assert not panel.ui.showSlabsCheckBox.checked
    panel.ui.abdomenChestSlider.value = 80.0
    assert fixed(panel, volume) == {"abdomen/chest": 80.0}


def test_a_label_map_that_comes_first_is_not_taken_for_the_input(quick, open_panel, scene):
    import sys

    scene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", "labels")
    node = a_volume()
    panel = open_panel(sys.modules["MRFieldOfView"])
    assert panel.ui.inputSelector.currentNode() is node


def test_a_saved_panel_comes_back_with_the_scene(panel, classified, scene):
    panel.ui.showSlabsCheckBox.checked = False
    again = panel.logic.getParameterNode()
    assert again.inputVolume is classified
    assert again.showSlabs is False
    assert again.model == "mr-field-of-view"
