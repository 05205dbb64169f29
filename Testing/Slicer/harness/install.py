"""Puts the stand-in together: `slicer`, `qt`, `ctk`, `SampleData` as a module in Slicer finds them."""

from __future__ import annotations

import sys
import types

import slicer
import slicer.util
from trame_slicer.core import SlicerApp

from . import ctkwidgets, dialogs, qtmodule, sampledata, uiloader
from .qtmodule import strict_module


def install() -> SlicerApp:
    """Once a process; returns the core whose scene is `slicer.mrmlScene`."""
    core = SlicerApp()
    slicer.mrmlScene = core.scene

    from . import mrmlwidgets

    panel_widgets = {**ctkwidgets.widgets(), **mrmlwidgets.widgets()}
    qt_widgets = set(qtmodule.ALLOWED[qtmodule.QtWidgets])
    sys.modules["qt"] = qtmodule.build(uiloader.loader_class(qt_widgets, panel_widgets))
    sys.modules["ctk"] = strict_module("ctk", ctkwidgets.widgets(), ctkwidgets.__file__)
    for name, widget in mrmlwidgets.widgets().items():
        setattr(slicer, name, widget)
    dialogs.install()

    from . import application, packaging, parameternode, scriptedmodule

    slicer.qSlicerScriptedLoadableModule = scriptedmodule.qSlicerScriptedLoadableModule
    slicer.qSlicerScriptedLoadableModuleWidget = scriptedmodule.representation_class(mrmlwidgets.qMRMLWidget)
    _submodule("ScriptedLoadableModule", scriptedmodule.members())
    _submodule("parameterNodeWrapper", parameternode.members())
    _submodule("packaging", packaging.members())
    _submodule("i18n", {"tr": lambda text, context=None: text, "translate": lambda context, text: text})
    sys.modules["SampleData"] = strict_module("SampleData", sampledata.members(), sampledata.__file__)

    slicer.selfTests = {}
    slicer.modules = application.Modules(core)
    slicer.app = application.qSlicerApplication(core)
    return core


def _submodule(name: str, members: dict[str, object]) -> types.ModuleType:
    module = strict_module(f"slicer.{name}", members, __file__)
    module.__all__ = list(members)
    sys.modules[f"slicer.{name}"] = module
    setattr(slicer, name, module)
    return module
