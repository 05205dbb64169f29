"""A module in the shape of Slicer's template runs on the stand-in as it does in Slicer."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import tiny_module


@pytest.fixture
def tiny(tmp_path, load_module):
    """A module as Slicer's template makes it."""
    return load_module(tiny_module.write(tmp_path))


def test_the_templates_module_loads_and_hears_of_the_start(tiny):
    import slicer

    assert tiny.starts == [1]
    assert slicer.modules.tiny.title == "Tiny"
    slicer.modules.TinyInstance.runTest()


def test_apply_is_enabled_by_a_volume_and_disabled_when_it_goes(tiny, open_panel, scene):
    panel = open_panel(tiny)
    assert not panel.ui.applyButton.enabled
    volume = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "MR")
    assert panel.ui.inputSelector.nodeCount() == 1
    panel.ui.inputSelector.setCurrentNode(volume)
    assert panel._parameterNode.inputVolume is volume
    assert panel.ui.applyButton.enabled
    scene.RemoveNode(volume)
    assert panel.ui.inputSelector.currentNode() is None
    assert not panel.ui.applyButton.enabled


def test_an_error_of_the_logic_is_shown(tiny, open_panel, scene, dialogs):
    panel = open_panel(tiny)
    panel._parameterNode.inputVolume = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "MR")
    panel.ui.applyButton.click()
    assert dialogs.texts("error") == ["Failed to compute results.\n\nThe volume is empty."]


def test_closing_the_scene_leaves_a_panel_that_works(tiny, open_panel, scene):
    panel = open_panel(tiny)
    panel._parameterNode.threshold = 55.0
    scene.Clear(0)
    assert panel._parameterNode.threshold == 10
    assert not panel.ui.applyButton.enabled
    assert panel.ui.thresholdSlider.value == 10


def test_a_value_goes_from_widget_to_parameter_and_back(tiny, open_panel):
    panel = open_panel(tiny)
    panel.ui.thresholdSlider.value = 42.0
    assert panel._parameterNode.threshold == 42
    panel._parameterNode.threshold = -7
    assert panel.ui.thresholdSlider.value == -7
    panel.ui.invertCheckBox.click()
    assert panel._parameterNode.invert is True


def test_as_in_slicer_connect_gui_returns_no_tag_so_that_only_what_was_bound_by_name_is_released(
    tiny, open_panel, scene
):
    panel = open_panel(tiny)
    node, box = panel._parameterNode, panel.ui.invertCheckBox
    assert panel._parameterNodeGuiTag is None
    panel.setParameterNode(None)
    box.click()
    assert node.invert is True
    other = tiny.TinyParameterNode(scene.AddNewNodeByClass("vtkMRMLScriptedModuleNode"))
    tag = other.connectParametersToGui({"invert": box})
    other.disconnectGui(tag)
    before = other.invert
    box.click()
    assert other.invert is before


def test_a_parameter_refuses_what_its_type_and_range_exclude(tiny, open_panel):
    parameters = open_panel(tiny)._parameterNode
    with pytest.raises(ValueError, match="200"):
        parameters.threshold = 201.0
    with pytest.raises(TypeError, match="bool"):
        parameters.invert = 1


def test_a_collapsed_section_hides_its_widgets(tiny, open_panel, process_events):
    panel = open_panel(tiny)
    assert not panel.ui.invertCheckBox.visible
    panel.ui.advanced.collapsed = False
    process_events()
    assert panel.ui.invertCheckBox.visible


def test_switching_modules_leaves_one_panel_and_enters_the_other(tiny, open_panel, monkeypatch):
    import slicer
    import vtk

    panel = open_panel(tiny)

    def is_followed():
        return panel.hasObserver(panel._parameterNode, vtk.vtkCommand.ModifiedEvent, panel._checkCanApply)

    assert is_followed()
    slicer.util.selectModule("Welcome")
    assert not is_followed()
    slicer.util.selectModule("Tiny")
    assert is_followed()
    assert slicer.util.getModuleLogic("Tiny") is panel.logic


def test_a_question_gets_the_answer_that_the_test_gives(dialogs):
    import qt
    import slicer

    assert slicer.util.confirmOkCancelDisplay("Replace the result?")
    dialogs.answer = False
    assert not slicer.util.confirmYesNoDisplay("Go on?")
    dialogs.path = "/tmp/result.csv"
    assert qt.QFileDialog.getSaveFileName(None, "Export", "", "*.csv") == "/tmp/result.csv"
    slicer.util.warningDisplay("Low confidence.")
    assert [(shown.kind, shown.text) for shown in dialogs] == [
        ("question", "Replace the result?"),
        ("question", "Go on?"),
        ("file", "Export"),
        ("warning", "Low confidence."),
    ]


def test_an_exception_in_a_callback_that_no_dialog_showed_fails_the_test(tmp_path):
    folder = Path(__file__).parent
    shutil.copy(folder / "conftest.py", tmp_path)
    (tmp_path / "harness").symlink_to(folder / "harness")
    (tmp_path / "test_it.py").write_text(
        "def test_it(scene):\n    import qt\n    button = qt.QPushButton()\n"
        "    button.connect('clicked()', lambda: 1 / 0)\n    button.click()\n"
    )
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert "An exception was raised in a callback and not shown to the user" in done.stdout
    assert "ZeroDivisionError" in done.stdout
    assert "1 passed, 1 error" in done.stdout
