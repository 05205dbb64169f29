"""A scripted module in the shape of Slicer's template, small enough to test the stand-in with."""

from pathlib import Path

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
        if self.parent.isEntered:
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


def write(folder: Path) -> Path:
    """Writes the module into a folder; returns its Python file."""
    (folder / "Resources" / "UI").mkdir(parents=True)
    (folder / "Resources" / "UI" / "Tiny.ui").write_text(UI)
    (folder / "Tiny.py").write_text(MODULE)
    return folder / "Tiny.py"
