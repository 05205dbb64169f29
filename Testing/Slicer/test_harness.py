"""The stand-in behaves as Slicer does, and refuses what Slicer does not have."""

import shutil
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Annotated

import pytest

UI = """<?xml version="1.0" encoding="UTF-8"?>
<ui version="4.0">
 <class>Tiny</class>
 <widget class="qMRMLWidget" name="Tiny">
  <layout class="QVBoxLayout" name="verticalLayout">
   <item>
    <widget class="ctkCollapsibleButton" name="inputs">
     <property name="text"><string>Inputs</string></property>
     <layout class="QFormLayout" name="formLayout">
      <item row="0" column="0">
       <widget class="QLabel" name="label"><property name="text"><string>Volume:</string></property></widget>
      </item>
      <item row="0" column="1">
       <widget class="qMRMLNodeComboBox" name="inputSelector">
        <property name="nodeTypes"><stringlist><string>vtkMRMLScalarVolumeNode</string></stringlist></property>
        <property name="noneEnabled"><bool>true</bool></property>
        <property name="SlicerParameterName" stdset="0"><string>inputVolume</string></property>
       </widget>
      </item>
      <item row="1" column="1">
       <widget class="ctkSliderWidget" name="thresholdSlider">
        <property name="SlicerParameterName" stdset="0"><string>threshold</string></property>
       </widget>
      </item>
     </layout>
    </widget>
   </item>
   <item>
    <widget class="ctkCollapsibleButton" name="advanced">
     <property name="text"><string>Advanced</string></property>
     <property name="collapsed"><bool>true</bool></property>
     <layout class="QFormLayout" name="formLayout_2">
      <item row="0" column="1">
       <widget class="QCheckBox" name="invertCheckBox">
        <property name="SlicerParameterName" stdset="0"><string>invert</string></property>
       </widget>
      </item>
     </layout>
    </widget>
   </item>
   <item>
    <widget class="QPushButton" name="applyButton">
     <property name="enabled"><bool>false</bool></property>
     <property name="text"><string>Apply</string></property>
    </widget>
   </item>
  </layout>
 </widget>
 <customwidgets>
  <customwidget><class>qMRMLWidget</class><extends>QWidget</extends><container>1</container></customwidget>
  <customwidget><class>ctkCollapsibleButton</class><extends>QWidget</extends><container>1</container></customwidget>
  <customwidget><class>ctkSliderWidget</class><extends>QWidget</extends></customwidget>
  <customwidget><class>qMRMLNodeComboBox</class><extends>QWidget</extends></customwidget>
 </customwidgets>
 <resources/>
 <connections>
  <connection>
   <sender>Tiny</sender><signal>mrmlSceneChanged(vtkMRMLScene*)</signal>
   <receiver>inputSelector</receiver><slot>setMRMLScene(vtkMRMLScene*)</slot>
  </connection>
 </connections>
</ui>
"""

MODULE = """
from typing import Annotated

import qt
import slicer
import vtk
from slicer import vtkMRMLScalarVolumeNode
from slicer.i18n import tr as _
from slicer.parameterNodeWrapper import WithinRange, parameterNodeWrapper
from slicer.ScriptedLoadableModule import *
from slicer.util import VTKObservationMixin


class Tiny(ScriptedLoadableModule):
    def __init__(self, parent):
        ScriptedLoadableModule.__init__(self, parent)
        self.parent.title = _("Tiny")
        self.parent.categories = ["Examples"]
        slicer.app.connect("startupCompleted()", started)


starts = []


def started():
    starts.append(1)


@parameterNodeWrapper
class TinyParameterNode:
    inputVolume: vtkMRMLScalarVolumeNode
    threshold: Annotated[float, WithinRange(-100, 200)] = 10
    invert: bool = False


class TinyWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    def __init__(self, parent=None):
        ScriptedLoadableModuleWidget.__init__(self, parent)
        VTKObservationMixin.__init__(self)
        self.logic = None
        self._parameterNode = None
        self._parameterNodeGuiTag = None

    def setup(self):
        ScriptedLoadableModuleWidget.setup(self)
        uiWidget = slicer.util.loadUI(self.resourcePath("UI/Tiny.ui"))
        self.layout.addWidget(uiWidget)
        self.ui = slicer.util.childWidgetVariables(uiWidget)
        uiWidget.setMRMLScene(slicer.mrmlScene)
        self.logic = TinyLogic()
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.StartCloseEvent, self.onSceneStartClose)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.EndCloseEvent, self.onSceneEndClose)
        self.ui.applyButton.connect("clicked(bool)", self.onApplyButton)
        self.initializeParameterNode()

    def cleanup(self):
        self.removeObservers()

    def enter(self):
        self.initializeParameterNode()

    def exit(self):
        if self._parameterNode:
            self._parameterNode.disconnectGui(self._parameterNodeGuiTag)
            self._parameterNodeGuiTag = None
            self.removeObserver(self._parameterNode, vtk.vtkCommand.ModifiedEvent, self._checkCanApply)

    def onSceneStartClose(self, caller, event):
        self.setParameterNode(None)

    def onSceneEndClose(self, caller, event):
        self.initializeParameterNode()

    def initializeParameterNode(self):
        self.setParameterNode(self.logic.getParameterNode())

    def setParameterNode(self, inputParameterNode):
        if self._parameterNode:
            self._parameterNode.disconnectGui(self._parameterNodeGuiTag)
            self.removeObserver(self._parameterNode, vtk.vtkCommand.ModifiedEvent, self._checkCanApply)
        self._parameterNode = inputParameterNode
        if self._parameterNode:
            self._parameterNodeGuiTag = self._parameterNode.connectGui(self.ui)
            self.addObserver(self._parameterNode, vtk.vtkCommand.ModifiedEvent, self._checkCanApply)
            self._checkCanApply()

    def _checkCanApply(self, caller=None, event=None):
        self.ui.applyButton.enabled = bool(self._parameterNode and self._parameterNode.inputVolume)

    def onApplyButton(self):
        with slicer.util.tryWithErrorDisplay(_("Failed to compute results."), waitCursor=True):
            self.logic.process(self._parameterNode.inputVolume)


class TinyLogic(ScriptedLoadableModuleLogic):
    def getParameterNode(self):
        return TinyParameterNode(super().getParameterNode())

    def process(self, inputVolume):
        if inputVolume.GetImageData() is None:
            raise ValueError("The volume is empty.")


class TinyTest(ScriptedLoadableModuleTest):
    def runTest(self):
        self.delayDisplay("Test passed")
"""


@pytest.fixture
def tiny(tmp_path, load_module):
    """A module as Slicer's template makes it."""
    (tmp_path / "Resources" / "UI").mkdir(parents=True)
    (tmp_path / "Resources" / "UI" / "Tiny.ui").write_text(UI)
    (tmp_path / "Tiny.py").write_text(textwrap.dedent(MODULE))
    return load_module(tmp_path / "Tiny.py")


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


@pytest.fixture
def volume(scene):
    """A grey volume node of 40 x 40 x 40 mm around the origin."""
    import numpy as np
    import slicer

    affine = np.array([[-2, 0, 0, 20], [0, -2, 0, 20], [0, 0, 2, -20], [0, 0, 0, 1]], dtype=float)
    voxels = np.mgrid[:21, :21, :21].sum(axis=0).astype(np.int16)
    node = slicer.util.addVolumeFromArray(voxels, affine, "grey")
    node.CreateDefaultDisplayNodes()
    return node


def test_points_are_placed_dragged_and_deleted_in_a_slice_view(scene, slice_view, volume):
    import slicer

    view = slice_view(volume)
    points = scene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode")
    points.CreateDefaultDisplayNodes()
    place = slicer.qSlicerMarkupsPlaceWidget()
    place.setMRMLScene(scene)
    place.setCurrentNode(points)
    place.placeMultipleMarkups = slicer.qSlicerMarkupsPlaceWidget.ForcePlaceMultipleMarkups
    place.placeModeEnabled = True
    view.click((-10, 5, 4))
    view.click((10, -10, 4))
    placed = slicer.util.arrayFromMarkupsControlPoints(points)
    assert placed.ravel() == pytest.approx([-10, 5, 4, 10, -10, 4], abs=0.2)
    place.placeModeEnabled = False
    view.drag((-10, 5, 4), (-10, 15, 4))
    assert slicer.util.arrayFromMarkupsControlPoints(points)[0] == pytest.approx([-10, 15, 4], abs=0.2)
    view.press("Delete", (10, -10, 4))
    assert points.GetNumberOfControlPoints() == 1


def test_a_slice_view_can_be_looked_at(slice_view, volume, tmp_path):
    from matplotlib.image import imread

    slice_view(volume, "Coronal").screenshot(tmp_path / "view.png")
    picture = imread(tmp_path / "view.png")
    assert picture.shape[:2] == (400, 400)
    middle = picture[200, 100:300].mean(axis=1)  # the patient's right, where i is small, is on the left
    assert middle[0] < middle[100] < middle[-1]


# What Slicer does not have is an error


def test_a_property_is_a_value_and_its_getter_cannot_be_called(scene):
    import qt

    button = qt.QPushButton("Apply")
    assert (button.text, button.enabled, button.checkable) == ("Apply", True, False)
    with pytest.raises(TypeError, match="not callable"):
        button.text()
    button.setText("Cancel")
    button.enabled = False
    assert (button.text, button.isEnabled()) == ("Cancel", False)


@pytest.mark.parametrize("name", ["enabledd", "tooltip", "clicked_"])
def test_an_attribute_that_the_class_does_not_have_cannot_be_set(scene, name):
    import qt

    with pytest.raises(AttributeError, match=f"QPushButton has no property '{name}'"):
        setattr(qt.QPushButton(), name, True)
    table = qt.QTableWidget(1, 1)
    with pytest.raises(AttributeError, match="QHeaderView"):
        setattr(table.horizontalHeader(), name, True)
    with pytest.raises(AttributeError, match="QTableWidgetItem"):
        setattr(qt.QTableWidgetItem("x"), name, True)


def test_a_method_cannot_be_set_as_if_it_were_a_property(scene):
    import qt

    with pytest.raises(AttributeError, match="is called, not set"):
        qt.QPushButton().setText = "Apply"


def test_an_unknown_class_is_an_error_that_names_it(scene):
    import ctk
    import qt
    import slicer

    with pytest.raises(AttributeError, match="ctkFancyButton"):
        ctk.ctkFancyButton()
    with pytest.raises(AttributeError, match="QOpenGLWidget"):
        qt.QOpenGLWidget()
    with pytest.raises(AttributeError, match="qMRMLThreeDView"):
        slicer.qMRMLThreeDView()
    with pytest.raises(AttributeError, match="has no 'dicom'"):
        slicer.modules.dicom.logic()


def test_setters_that_are_no_slots_in_cpp_do_not_exist(scene):
    import slicer

    with pytest.raises(AttributeError, match="setNodeTypes"):
        slicer.qMRMLNodeComboBox().setNodeTypes(["vtkMRMLScalarVolumeNode"])


def test_a_signal_is_connected_by_its_signature_only(scene):
    import qt
    import slicer

    heard = []
    button = qt.QPushButton("Apply")
    button.connect("clicked(bool)", lambda: heard.append("no argument"))
    button.connect("clicked()", lambda *arguments: heard.append(arguments))
    button.clicked.connect(lambda checked: heard.append(checked))
    button.click()
    assert heard == ["no argument", (), False]
    with pytest.raises(AttributeError, match=r"no signal 'clicked\(int\)'; it has clicked\(\), clicked\(bool\)"):
        button.connect("clicked(int)", print)
    with pytest.raises(AttributeError, match="no signal 'currentNodeChanged"):
        slicer.qMRMLNodeComboBox().connect("currentNodeChanged(vtkMRMLVolumeNode*)", print)


def test_a_disconnected_slot_is_not_called(scene):
    import qt

    heard = []
    button = qt.QPushButton("Apply")
    slot = heard.append
    button.connect("clicked(bool)", slot)
    assert button.disconnect("clicked(bool)", slot)
    button.click()
    assert heard == []


@pytest.mark.parametrize(
    ("was", "becomes", "message"),
    [
        ("ctkSliderWidget", "ctkSlidingWidget", "'ctkSlidingWidget', which the stand-in does not have"),
        ('name="enabled"', 'name="enabledd"', "'applyButton', a QPushButton, has no property 'enabledd'"),
        ("<slot>setMRMLScene", "<slot>setScene", "no slot 'setScene"),
        ("<signal>mrmlSceneChanged", "<signal>sceneChanged", "no signal 'sceneChanged"),
        ("<receiver>inputSelector", "<receiver>selector", "names 'selector', which is not in the file"),
        ('name="thresholdSlider"', 'name="inputSelector"', "two widgets are called 'inputSelector'"),
        ("<class>ctkSliderWidget</class>", "<class>ctkOther</class>", "ctkSliderWidget not among its customwidgets"),
    ],
)
def test_a_mistake_in_a_ui_file_is_an_error_that_names_it(scene, tmp_path, was, becomes, message):
    import slicer

    assert was in UI
    (tmp_path / "Tiny.ui").write_text(UI.replace(was, becomes))
    with pytest.raises((RuntimeError, AttributeError), match="(?i)" + message):
        slicer.util.loadUI(str(tmp_path / "Tiny.ui"))


@pytest.mark.parametrize("kind", [set, dict[str, int], complex, Annotated[float, "seconds"]], ids=str)
def test_a_type_that_cannot_be_stored_is_refused_when_the_class_is_made(scene, kind):
    from slicer.parameterNodeWrapper import parameterNodeWrapper

    with pytest.raises(TypeError, match="value"):
        parameterNodeWrapper(type("Wrong", (), {"__annotations__": {"value": kind}}))


def test_a_widget_that_cannot_show_a_type_is_refused(scene):
    import ctk
    import qt
    from slicer.parameterNodeWrapper import parameterNodeWrapper

    @parameterNodeWrapper
    class Parameters:
        share: float
        name: str

    parameters = Parameters(scene.AddNewNodeByClass("vtkMRMLScriptedModuleNode"))
    with pytest.raises(RuntimeError, match="share: a slider needs a range"):
        parameters.connectParametersToGui({"share": ctk.ctkSliderWidget()})
    with pytest.raises(RuntimeError, match="a QSpinBox cannot show a str"):
        parameters.connectParametersToGui({"name": qt.QSpinBox()})
    with pytest.raises(ValueError, match="no parameter 'nam'; it has share, name"):
        parameters.connectParametersToGui({"nam": qt.QLineEdit()})


# Nodes, files and dialogs are as in Slicer


@pytest.fixture
def selector(scene):
    """A node selector for volumes over the scene."""
    import slicer

    selector = slicer.qMRMLNodeComboBox()
    selector.nodeTypes = ["vtkMRMLScalarVolumeNode"]
    selector.setMRMLScene(scene)
    return selector


def test_a_selector_without_none_chooses_the_first_node_and_the_next_when_it_goes(selector, scene):
    first, second = (scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", name) for name in ("first", "second"))
    assert selector.currentNode() is first
    scene.RemoveNode(first)
    assert selector.currentNode() is second
    scene.RemoveNode(second)
    assert (selector.currentNode(), selector.currentNodeID) == (None, "")


def test_a_selector_with_none_chooses_nothing_by_itself_and_keeps_what_was_chosen(selector, scene):
    selector.noneEnabled = True
    nodes = [scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", name) for name in ("first", "second")]
    assert selector.currentNode() is None
    heard = []
    selector.connect("currentNodeChanged(vtkMRMLNode*)", heard.append)
    selector.connect("currentNodeChanged(bool)", heard.append)
    selector.setCurrentNode(nodes[1])
    selector.setCurrentNode(nodes[1])
    scene.RemoveNode(nodes[0])
    assert heard == [nodes[1], True]


def test_a_selector_shows_the_nodes_of_its_type_that_are_not_hidden(selector, scene):
    scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode").SetHideFromEditors(True)
    scene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    scene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode")  # a scalar volume, too
    assert selector.nodeCount() == 1
    selector.showChildNodeTypes = False
    assert selector.nodeCount() == 0
    selector.showHidden = True
    assert selector.nodeCount() == 1


def test_a_selector_adds_nodes_with_its_name_and_attributes(selector, scene):
    selector.baseName = "Kidney"
    selector.addAttribute("vtkMRMLScalarVolumeNode", "Modality", "US")
    scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "other")
    assert selector.nodeCount() == 0
    node = selector.addNode()
    assert (node.GetName(), node.GetAttribute("Modality"), selector.currentNode()) == ("Kidney", "US", node)


def test_parameters_come_back_with_a_saved_scene(scene, volume, tmp_path):
    import enum
    import pathlib

    import slicer
    from slicer import vtkMRMLScalarVolumeNode
    from slicer.parameterNodeWrapper import parameterNodeWrapper
    from slicer.ScriptedLoadableModule import ScriptedLoadableModuleLogic

    class Side(enum.Enum):
        LEFT = 1
        RIGHT = 2

    @parameterNodeWrapper
    class Parameters:
        inputVolume: vtkMRMLScalarVolumeNode
        side: Side
        folder: pathlib.Path
        share: float = 0.5
        count: int = 3
        name: str = "a b"
        shown: bool = True

    parameters = Parameters(ScriptedLoadableModuleLogic().getParameterNode())
    assert (parameters.side, parameters.share, parameters.inputVolume) == (Side.LEFT, 0.5, None)
    parameters.inputVolume, parameters.side, parameters.folder = volume, Side.RIGHT, pathlib.Path("/a b")
    parameters.share, parameters.count, parameters.shown = 0.25, 7, False
    assert slicer.util.saveScene(str(tmp_path / "scene"))
    scene.Clear(0)
    assert Parameters(ScriptedLoadableModuleLogic().getParameterNode()).count == 3
    slicer.util.loadScene(str(next((tmp_path / "scene").glob("*.mrml"))))
    parameters = Parameters(ScriptedLoadableModuleLogic().getParameterNode())
    assert parameters.inputVolume.GetName() == "grey"
    assert (parameters.side, parameters.folder, parameters.share) == (Side.RIGHT, pathlib.Path("/a b"), 0.25)
    assert (parameters.count, parameters.name, parameters.shown) == (7, "a b", False)


def test_several_changes_are_told_once(scene):
    import slicer
    from slicer.parameterNodeWrapper import parameterNodeWrapper

    @parameterNodeWrapper
    class Parameters:
        first: int
        second: int

    parameters = Parameters(scene.AddNewNodeByClass("vtkMRMLScriptedModuleNode"))
    told = []
    parameters.AddObserver("ModifiedEvent", lambda *_: told.append((parameters.first, parameters.second)))
    with slicer.util.NodeModify(parameters):
        parameters.first, parameters.second = 1, 2
    assert told == [(1, 2)]


def test_files_are_read_and_written_as_slicer_does(scene, volume, tmp_path):
    import numpy as np
    import slicer

    assert slicer.util.saveNode(volume, str(tmp_path / "volume.nii.gz"))
    read = slicer.util.loadVolume(str(tmp_path / "volume.nii.gz"), {"name": "read"})
    assert read.GetName() == "read"
    assert np.array_equal(slicer.util.arrayFromVolume(read), slicer.util.arrayFromVolume(volume))
    segmentation = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "parts")
    segmentation.GetSegmentation().AddEmptySegment("kidney")
    slicer.util.updateSegmentBinaryLabelmapFromArray(
        (slicer.util.arrayFromVolume(volume) > 30).astype(np.uint8), segmentation, "kidney", volume
    )
    assert slicer.util.saveNode(segmentation, str(tmp_path / "parts.seg.nrrd"))
    again = slicer.util.loadSegmentation(str(tmp_path / "parts.seg.nrrd"))
    assert slicer.util.arrayFromSegmentBinaryLabelmap(again, "kidney", volume).any()
    with pytest.raises(RuntimeError, match="Failed to load node from file"):
        slicer.util.loadVolume(str(tmp_path / "none.nii.gz"))


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


def test_slice_views_and_layout_of_the_application_work_on_the_scene(scene, volume):
    import slicer

    slicer.util.setSliceViewerLayers(background=volume, fit=True)
    layout = slicer.app.layoutManager()
    assert layout.sliceViewNames() == ["Red", "Yellow", "Green"]
    red = layout.sliceWidget("Red")
    assert red.sliceLogic().GetSliceCompositeNode().GetBackgroundVolumeID() == volume.GetID()
    slicer.vtkMRMLSliceNode.JumpAllSlices(scene, 3, 4, 5)
    assert red.mrmlSliceNode().GetSliceOffset() == pytest.approx(5)
    layout.setLayout(slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpPlotView)
    assert layout.layout == slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpPlotView


def test_switching_modules_leaves_one_panel_and_enters_the_other(tiny, open_panel, monkeypatch):
    import slicer

    panel = open_panel(tiny)
    assert panel._parameterNodeGuiTag is not None
    slicer.util.selectModule("Welcome")
    assert panel._parameterNodeGuiTag is None
    slicer.util.selectModule("Tiny")
    assert panel._parameterNodeGuiTag is not None
    assert slicer.util.getModuleLogic("Tiny") is panel.logic


def test_an_exception_in_a_callback_that_no_dialog_showed_fails_the_test(tmp_path):
    folder = Path(__file__).parent
    shutil.copy(folder / "conftest.py", tmp_path)
    (tmp_path / "harness").symlink_to(folder / "harness")
    (tmp_path / "test_it.py").write_text(
        "def test_it(scene):\n    import qt\n    button = qt.QPushButton()\n"
        "    button.connect('clicked()', lambda: 1 / 0)\n    button.click()\n"
    )
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert "An exception was raised in a callback and not shown to the user" in done.stdout
    assert "ZeroDivisionError" in done.stdout
    assert "1 passed, 1 error" in done.stdout
