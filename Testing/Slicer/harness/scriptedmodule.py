"""`slicer.ScriptedLoadableModule`: the base classes of a scripted module, as Slicer has them."""

from __future__ import annotations

import importlib
import unittest
from pathlib import Path

import slicer
from PySide6 import QtCore, QtGui, QtWidgets


class ScriptedLoadableModule:
    """Describes the module to the application, through `parent`."""

    def __init__(self, parent):
        self.parent = parent
        self.moduleName = type(self).__name__
        icon = Path(self.resourcePath(f"Icons/{self.moduleName}.png"))
        if icon.is_file():
            parent.icon = QtGui.QIcon(str(icon))
        slicer.selfTests[self.moduleName] = self.runTest

    def resourcePath(self, filename):
        return str(Path(self.parent.path).parent / "Resources" / filename)

    def getDefaultModuleDocumentationLink(self, docPage=None):
        page = docPage or self.moduleName
        return f'<p>For more information see the <a href="https://slicer.readthedocs.io/{page}">documentation</a>.</p>'

    def runTest(self, msec=100, **kwargs):
        module = importlib.import_module(type(self).__module__)
        case = getattr(module, f"{self.moduleName}Test")()
        case.messageDelay = msec
        case.runTest(**kwargs)


class ScriptedLoadableModuleWidget:
    """The panel."""

    def __init__(self, parent=None):
        self.moduleName = type(self).__name__.removesuffix("Widget")
        self.developerMode = False
        if parent is None:
            raise TypeError("The stand-in makes a panel by open_panel only.")
        self.parent = parent
        self.layout = parent.layout()

    def resourcePath(self, filename):
        return str(Path(slicer.util.modulePath(self.moduleName)).parent / "Resources" / filename)

    def setup(self):
        """Overridden by the module."""

    def cleanup(self):
        """Called before the panel goes; overridden by the module."""


class ScriptedLoadableModuleLogic:
    """What the module does, without a panel."""

    def __init__(self, parent=None):
        self.moduleName = type(self).__name__.removesuffix("Logic")
        self.isSingletonParameterNode = True

    def getParameterNode(self):
        if self.isSingletonParameterNode:
            found = slicer.mrmlScene.GetSingletonNode(self.moduleName, "vtkMRMLScriptedModuleNode")
            if found and found.GetAttribute("ModuleName") != self.moduleName:
                found.SetAttribute("ModuleName", self.moduleName)  # closing the scene may have taken it
        else:
            found = next(iter(self.getAllParameterNodes()), None)
        return found or slicer.mrmlScene.AddNode(self.createParameterNode())

    def getAllParameterNodes(self):
        nodes = slicer.util.getNodesByClass("vtkMRMLScriptedModuleNode")
        return [node for node in nodes if node.GetAttribute("ModuleName") == self.moduleName]

    def createParameterNode(self):
        node = slicer.mrmlScene.CreateNodeByClass("vtkMRMLScriptedModuleNode")
        node.UnRegister(None)
        if self.isSingletonParameterNode:
            node.SetSingletonTag(self.moduleName)
        node.SetAttribute("ModuleName", self.moduleName)
        node.SetName(slicer.mrmlScene.GenerateUniqueName(self.moduleName))
        return node


class ScriptedLoadableModuleTest(unittest.TestCase):
    """The module's own test."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.enableScreenshots = False
        self.screenshotScaleFactor = 1.0

    def delayDisplay(self, message, requestedDelay=None, msec=None):
        slicer.util.delayDisplay(message, 0)

    def runTest(self):
        raise NotImplementedError(f"No test is defined in {type(self).__name__}.")


# The C++ sides of module and panel


class qSlicerScriptedLoadableModule:
    """`parent` of a ScriptedLoadableModule: the C++ module, with its properties only."""

    __slots__ = (
        "_representation",
        "acknowledgementText",
        "associatedNodeTypes",
        "categories",
        "contributors",
        "dependencies",
        "helpText",
        "hidden",
        "icon",
        "index",
        "name",
        "path",
        "title",
        "widgetRepresentationCreationEnabled",
    )

    def __init__(self, name, path):
        self.name, self.path = name, str(path)
        self.title, self.helpText, self.acknowledgementText = "", "", ""
        self.categories, self.dependencies, self.contributors, self.associatedNodeTypes = [], [], [], []
        self.icon, self.index, self.hidden = None, -1, False
        self.widgetRepresentationCreationEnabled = True
        self._representation = None

    def widgetRepresentation(self):
        if self._representation is None and self.widgetRepresentationCreationEnabled:
            self._representation = self.createNewWidgetRepresentation()
        return self._representation

    def createNewWidgetRepresentation(self):
        return slicer.qSlicerScriptedLoadableModuleWidget(self)


def representation_class(base: type) -> type:
    """qSlicerScriptedLoadableModuleWidget: the C++ panel, a qMRMLWidget that owns the Python one."""

    class qSlicerScriptedLoadableModuleWidget(base):
        __module__ = base.__module__

        def __init__(self, module):
            super().__init__()
            self._python = None
            self._entered = False
            QtWidgets.QVBoxLayout(self)
            self.objectName = f"{module.name}ModuleWidget"
            self.setMRMLScene(slicer.mrmlScene)
            python = importlib.import_module(module.name)
            self._python = getattr(python, f"{module.name}Widget")(self)
            self._python.setup()
            setattr(slicer.modules, f"{module.name}Widget", self._python)

        isEntered = QtCore.Property(bool, lambda self: self._entered)

        def self(self):
            return self._python

        def enter(self):
            self._entered = True
            if hasattr(self._python, "enter"):
                self._python.enter()

        def exit(self):
            self._entered = False
            if hasattr(self._python, "exit"):
                self._python.exit()

    return qSlicerScriptedLoadableModuleWidget


def members() -> dict[str, object]:
    """What `slicer.ScriptedLoadableModule` holds."""
    return {name: value for name, value in globals().items() if name.startswith("ScriptedLoadableModule")}
