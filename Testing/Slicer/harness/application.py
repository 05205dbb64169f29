"""`slicer.app` and `slicer.modules`: the application around the scene, as far as scripted modules ask for it."""

from __future__ import annotations

import tempfile
from typing import ClassVar

import slicer
from PySide6 import QtCore, QtWidgets

from .files import CoreIOManager
from .layout import LayoutManager


class qSlicerApplication(QtWidgets.QApplication):
    """The one application of the process."""

    startupCompleted = QtCore.Signal()
    mrmlSceneChanged = QtCore.Signal(object)
    SIGNALS: ClassVar = {"mrmlSceneChanged(vtkMRMLScene*)": "mrmlSceneChanged"}
    majorVersion, minorVersion = 5, 11
    platform = "linux-amd64"

    def __init__(self, core):
        super().__init__(["slicer"])
        self.applicationName = self.organizationName = "Slicer"
        self._core = core
        self._folder = tempfile.TemporaryDirectory(prefix="slicer")  # for settings and temporary files
        ini = QtCore.QSettings.Format.IniFormat
        QtCore.QSettings.setDefaultFormat(ini)
        QtCore.QSettings.setPath(ini, QtCore.QSettings.Scope.UserScope, self._folder.name)
        self._layout_manager = LayoutManager(core)
        self._io_manager = CoreIOManager()
        self._module_manager = ModuleManager()
        self._main_window = MainWindow()
        self._paused = 0

    @property
    def temporaryPath(self):
        return self._folder.name

    def mrmlScene(self):
        return self._core.scene

    def applicationLogic(self):
        return self._core.app_logic

    def layoutManager(self):
        return self._layout_manager

    def moduleManager(self):
        return self._module_manager

    def coreIOManager(self):
        return self._io_manager

    ioManager = coreIOManager

    def testingEnabled(self):
        return False  # dialogs are recorded, not skipped

    def settings(self):
        return QtCore.QSettings()

    userSettings = settings

    def pauseRender(self):
        self._paused += 1

    def resumeRender(self):
        self._paused -= 1


class MainWindow(QtWidgets.QMainWindow):
    """qSlicerMainWindow: a status bar and the module selector."""

    def __init__(self):
        super().__init__()
        self.objectName = "qSlicerMainWindow"
        self._selector = ModuleSelector()

    def moduleSelector(self):
        return self._selector


class ModuleSelector:
    """Switches from panel to panel: exit() of one, enter() of the other."""

    def __init__(self):
        self.selectedModule = "Welcome"

    def selectModule(self, name):
        if name == self.selectedModule:
            return
        left = getattr(slicer.modules, f"{self.selectedModule}Widget", None)
        entered = getattr(slicer.modules, f"{name}Widget", None)
        self.selectedModule = name
        if left is not None:
            left.parent.exit()
        if entered is not None:
            entered.parent.enter()


class ModuleManager(QtCore.QObject):
    """Modules by name."""

    moduleAboutToBeUnloaded = QtCore.Signal(str)

    def module(self, name):
        """The C++ module, or None."""
        return getattr(slicer.modules, name.lower(), None)


class BuiltInModule:
    """A C++ module of Slicer: a name and a logic."""

    def __init__(self, name, logic):
        self.name = name
        self._logic = logic

    def logic(self):
        return self._logic


class Modules:
    """`slicer.modules`: lower-case names of modules. A module that is not there is an AttributeError."""

    def __init__(self, core):
        for name in ("Plots", "Tables", "Texts", "Models"):
            logic = core.register_module_logic(getattr(slicer, f"vtkSlicer{name}Logic")())
            setattr(self, name.lower(), BuiltInModule(name, logic))
        known = {
            "volumes": core.volumes_logic,
            "segmentations": core.segmentations_logic,
            "terminologies": core.terminologies_logic,
            "subjecthierarchy": core.subject_hierarchy_logic,
            "colors": core.color_logic,
            "markups": core.app_logic.GetModuleLogic("Markups"),
            "data": core.data_logic,
            "transforms": core.register_module_logic(slicer.vtkSlicerTransformLogic()),
        }
        for name, logic in known.items():
            setattr(self, name, BuiltInModule(name.capitalize(), logic))

    def __getattr__(self, name):
        raise AttributeError(f"slicer.modules has no {name!r}; there are {', '.join(sorted(vars(self)))}.")
