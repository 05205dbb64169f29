"""The panel of MR Field of View: what is enabled when and why not, a run, cancel, scene close, errors."""

import numpy as np
import pytest
from fieldofview_panel import click, ended, parts, rows
from fieldofview_phantom import a_volume

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


def test_a_volume_under_a_warp_says_so_until_it_is_taken_out(panel, volume, scene):
    volume.SetAndObserveTransformNodeID(scene.AddNewNodeByClass("vtkMRMLBSplineTransformNode").GetID())
    assert not panel.ui.applyButton.enabled and "harden the transform" in panel.ui.applyButton.toolTip
    volume.SetAndObserveTransformNodeID(None)
    assert panel.ui.applyButton.enabled
    assert panel.ui.applyButton.toolTip.startswith("Find the regions of the volume")


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
    import slicer

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
    composite = slicer.app.layoutManager().sliceWidget("Red").mrmlSliceCompositeNode()
    assert composite.GetBackgroundVolumeID() == volume.GetID()


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
