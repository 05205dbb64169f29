"""The panel of MR Field of View: all volumes and folders; the window as a whole, and saved scenes."""

import csv

import numpy as np
import pytest
from fieldofview_panel import click, ended, fixed
from fieldofview_phantom import a_volume

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


def clicked(table, row):
    """What the view says of a click on a row."""
    table.clicked.emit(table.model().index(row, 0))


def test_a_click_on_a_row_shows_its_volume_and_its_regions(panel, volume, scene, wait_until, dialogs):
    from SlicerHPOLib.image import Image
    from SlicerHPOLib.mrml.volumes import volume_node_of

    second = a_volume(name="second")
    volume_node_of(Image(np.zeros((4, 4, 4), np.int16), np.eye(4)), "empty")
    click(panel.ui.allVolumesButton)
    wait_until(ended(panel))
    table = panel.ui.resultsTable
    clicked(table, 1)
    assert panel.ui.inputSelector.currentNode() is second
    assert panel.ui.regionsTable.rowCount == 3
    table.activated.emit(table.model().index(0, 0))  # the Enter key
    assert panel.ui.inputSelector.currentNode() is volume
    assert len(dialogs) == 0
    with pytest.raises(ValueError, match="constant"):
        panel.onResultClicked(2)
    assert "empty: " in dialogs.texts("error")[0] and "constant volume" in dialogs.texts("error")[0]
    scene.RemoveNode(second)
    with pytest.raises(ValueError, match="no longer"):
        panel.onResultClicked(1)
    assert "no longer in the scene" in dialogs.texts("error")[1]
    assert panel.ui.inputSelector.currentNode() is volume


def test_a_click_on_a_row_of_a_folder_loads_the_volume_and_finds_its_regions(panel, wait_until, dialogs, tmp_path):
    import shutil

    from SlicerHPOLib.files import SAMPLES

    shutil.copy(SAMPLES / "mr" / "knee-pd-sagittal.nii.gz", tmp_path)
    panel.ui.folderLineEdit.currentPath = str(tmp_path)
    click(panel.ui.folderButton)
    wait_until(ended(panel), timeout=60)
    clicked(panel.ui.resultsTable, 0)
    loaded = panel.ui.inputSelector.currentNode()
    assert loaded.GetName() == "knee-pd-sagittal.nii.gz"
    assert panel.ui.applyButton.text == "Cancel"
    clicked(panel.ui.resultsTable, 0)  # a second click changes nothing
    wait_until(ended(panel))
    assert panel.ui.inputSelector.currentNode() is loaded
    assert panel.logic.result(loaded) is not None
    assert panel.ui.exportResultsButton.enabled
    assert len(dialogs) == 0


def test_what_the_library_says_is_shown_in_the_users_language(panel, shouting, quick, wait_until, dialogs, tmp_path):
    from SlicerHPOLib.words import Message

    (tmp_path / "scan.nii").write_bytes(b"")
    panel.ui.folderLineEdit.currentPath = str(tmp_path)
    click(panel.ui.folderButton)  # another process
    wait_until(lambda: panel.ui.statusLabel.text == "LOOKING FOR VOLUMES")
    wait_until(ended(panel), timeout=60)
    table = panel.ui.resultsTable.mrmlTableNode().GetTable()
    assert table.GetValueByName(0, "error").ToString() == "THE FILE IS EMPTY."
    assert panel.logic.results()[0].error == "the file is empty."  # for the console
    with pytest.raises(ValueError, match="EMPTY"):
        panel.onResultClicked(0)
    assert "scan.nii: THE FILE IS EMPTY." in dialogs.texts("error")[-1]
    volume = a_volume()
    panel.ui.inputSelector.setCurrentNode(volume)
    quick.warnings = (Message("SlicerHPOLib.worker", "Too little memory."),)
    click(panel.ui.applyButton)
    wait_until(ended(panel))
    assert panel.ui.statusLabel.text == "TOO LITTLE MEMORY."
    quick.failure = Message("SlicerHPOLib.background", "It crashed with signal {signal}.", {"signal": "11"})
    click(panel.ui.applyButton)
    wait_until(ended(panel))
    assert dialogs.texts("error")[-1] == "IT CRASHED WITH SIGNAL 11."


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


def test_every_widget_that_can_be_used_explains_itself(panel):
    usable = ("QPushButton", "QComboBox", "QCheckBox", "qMRMLNodeComboBox", "ctkSliderWidget", "ctkPathLineEdit")
    for name, widget in vars(panel.ui).items():
        if widget.metaObject().className() in usable:
            assert widget.toolTip, name


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


def test_a_panel_that_was_left_no_longer_changes_its_parameters(panel):
    import slicer

    node = panel._parameterNode
    slicer.util.selectModule("Welcome")
    panel.ui.showSlabsCheckBox.checked = False
    assert node.showSlabs is True


def test_a_saved_panel_comes_back_with_the_scene(panel, classified, scene):
    panel.ui.showSlabsCheckBox.checked = False
    again = panel.logic.getParameterNode()
    assert again.inputVolume is classified
    assert again.showSlabs is False
    assert again.model == "mr-field-of-view"
