"""What a test does with Slicer: load a module, open its panel, let Qt work, and leave an empty application."""

from __future__ import annotations

import importlib.util
import sys
import time
import warnings
from pathlib import Path
from types import ModuleType

import slicer
from PySide6 import QtCore

from . import sampledata


def load_module(path: Path) -> ModuleType:
    """The Python module of a scripted module's file, imported anew, its module object made, the start announced."""
    if str(path.parent) not in sys.path:
        sys.path.insert(0, str(path.parent))  # Slicer does so too
    with warnings.catch_warnings(action="ignore"):  # that there was none
        slicer.app.startupCompleted.disconnect()  # modules of earlier tests
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    parent = slicer.qSlicerScriptedLoadableModule(path.stem, path)
    setattr(slicer.modules, path.stem.lower(), parent)
    setattr(slicer.modules, f"{path.stem}Instance", getattr(module, path.stem)(parent))
    slicer.app.startupCompleted.emit()
    return module


def open_panel(module: ModuleType):
    """The module's widget, set up, shown and entered."""
    representation = getattr(slicer.modules, module.__name__.lower()).widgetRepresentation()
    representation.resize(420, 720)
    representation.show()
    slicer.util.selectModule(module.__name__)
    slicer.app.processEvents()
    return representation.self()


def process_events(seconds: float = 0.0) -> None:
    """Lets Qt work for a while."""
    end = time.monotonic() + seconds
    slicer.app.processEvents()
    while time.monotonic() < end:
        time.sleep(0.005)
        slicer.app.processEvents()


def close_panels() -> None:
    """Cleans up and deletes every panel, as Slicer does when it ends."""
    for name in [name for name in vars(slicer.modules) if name.endswith("Widget")]:
        panel = getattr(slicer.modules, name)
        panel.cleanup()
        panel.parent.hide()
        panel.parent.deleteLater()
        delattr(slicer.modules, name)
    QtCore.QCoreApplication.sendPostedEvents(None, QtCore.QEvent.Type.DeferredDelete)
    slicer.util.moduleSelector().selectedModule = "Welcome"
    slicer.app.processEvents()


def empty_scene() -> None:
    """Removes all nodes that a new Slicer does not have, the modules' parameter nodes too."""
    scene = slicer.mrmlScene
    for node in slicer.util.getNodesByClass("vtkMRMLScriptedModuleNode"):
        if node.GetAttribute("ModuleName"):
            scene.RemoveNode(node)
    scene.Clear(0)
    sampledata.registered.clear()
