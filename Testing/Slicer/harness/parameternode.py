"""`slicer.parameterNodeWrapper`: typed values in a vtkMRMLScriptedModuleNode, bound to the widgets of a panel.

What is stored has the form in which Slicer stores it, so that saved scenes are the same. A type, an annotation or a
pair of type and widget that Slicer refuses is refused here, and so is what our modules have no use for.
"""

from __future__ import annotations

import typing

import slicer
import vtk
from PySide6 import QtWidgets

from . import parameters
from .connectors import Connector
from .parameters import NO_DEFAULT, Default, Parameter, parameter_of

NAME_PROPERTY = "SlicerParameterName"


class _Wrapper:
    """What the decorated class can do."""

    allParameters: typing.ClassVar[dict[str, Parameter]] = {}

    def __init__(self, parameterNode):
        self.parameterNode = parameterNode
        self._connected = {}
        self._observers = {}
        self._updating = False
        for parameter in self.allParameters.values():
            if not parameterNode.HasParameter(parameter.name):
                self.setValue(parameter.name, parameter.default)

    def getValue(self, name):
        parameter = self._named(name)
        if not self.parameterNode.HasParameter(name):  # the scene was closed
            parameter.write(self.parameterNode, parameter.default)
        return parameter.read(self.parameterNode)

    def setValue(self, name, value):
        parameter = self._named(name)
        parameter.check(value)
        with slicer.util.NodeModify(self.parameterNode):
            parameter.write(self.parameterNode, value)

    def default(self, name):
        return Default(self._named(name).default)

    def connectGui(self, gui):
        """Binds every widget of a panel (or of `childWidgetVariables`) that names a parameter.

        As in Slicer up to 5.12 it returns no tag, so that what it binds cannot be released.
        """
        widgets = gui.findChildren(QtWidgets.QWidget) if hasattr(gui, "findChildren") else vars(gui).values()
        named = {widget.property(NAME_PROPERTY): widget for widget in widgets if widget.property(NAME_PROPERTY)}
        self.connectParametersToGui(named)

    def connectParametersToGui(self, mapping):
        connectors = {name: Connector(widget, self._named(name)) for name, widget in mapping.items()}
        tag = max(self._connected, default=-1) + 1
        self._connected[tag] = connectors
        for name, connector in connectors.items():
            connector.write(self.getValue(name))
            connector.listen(lambda name=name, connector=connector: self._heard(name, connector))
        self._observers[tag] = self.AddObserver(vtk.vtkCommand.ModifiedEvent, lambda *_: self._show(tag))
        return tag

    def disconnectGui(self, tag):
        if tag not in self._connected:
            return
        for connector in self._connected.pop(tag).values():
            connector.release()
        self.RemoveObserver(self._observers.pop(tag))

    def AddObserver(self, event, callback, priority=0.0):
        return self.parameterNode.AddObserver(event, callback, priority)

    def RemoveObserver(self, tag):
        self.parameterNode.RemoveObserver(tag)

    def StartModify(self):
        return self.parameterNode.StartModify()

    def EndModify(self, before):
        return self.parameterNode.EndModify(before)

    def Modified(self):
        self.parameterNode.Modified()

    def _named(self, name):
        if name not in self.allParameters:
            raise ValueError(
                f"{type(self).__name__} has no parameter {name!r}; it has {', '.join(self.allParameters)}."
            )
        return self.allParameters[name]

    def _heard(self, name, connector):
        if not self._updating:
            self.setValue(name, connector.read())

    def _show(self, tag):
        if self._updating or tag not in self._connected:
            return
        self._updating = True
        try:
            for name, connector in self._connected[tag].items():
                connector.write(self.getValue(name))
        finally:
            self._updating = False


def parameterNodeWrapper(cls=None):
    """The class decorator."""
    if cls is None:
        return parameterNodeWrapper
    hints = typing.get_type_hints(cls, include_extras=True)
    parameters = {name: parameter_of(name, hint, vars(cls).get(name, NO_DEFAULT)) for name, hint in hints.items()}
    taken = sorted(set(parameters) & set(dir(_Wrapper)))
    if taken:
        raise ValueError(f"{cls.__name__}: {', '.join(taken)} cannot be the name of a parameter.")
    members = {name: value for name, value in vars(cls).items() if name not in ("__dict__", "__weakref__", *parameters)}
    for name in parameters:
        members[name] = property(
            lambda self, name=name: self.getValue(name), lambda self, value, name=name: self.setValue(name, value)
        )
    return type(cls.__name__, (_Wrapper,), {**members, "allParameters": parameters})


def members() -> dict[str, object]:
    """What `slicer.parameterNodeWrapper` holds."""
    return {"parameterNodeWrapper": parameterNodeWrapper, **{cls.__name__: cls for cls in parameters.ANNOTATIONS}}
