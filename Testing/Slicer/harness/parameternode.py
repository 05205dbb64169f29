"""`slicer.parameterNodeWrapper`: typed values in a vtkMRMLScriptedModuleNode, bound to the widgets of a panel.

What is stored has the form in which Slicer stores it, so that saved scenes are the same. A type, an annotation or a
pair of type and widget that Slicer refuses is refused here, and so is what our modules have no use for.
"""

from __future__ import annotations

import enum
import pathlib
import types
import typing
from collections.abc import Callable
from dataclasses import dataclass

import slicer
import vtk
from PySide6 import QtWidgets

from .ctkwidgets import ctkDirectoryButton, ctkPathLineEdit, ctkSliderWidget
from .mrmlwidgets import qMRMLNodeComboBox

NAME_PROPERTY = "SlicerParameterName"


# Annotations


class Validator:
    """What a value must fulfil."""


@dataclass(frozen=True)
class WithinRange(Validator):
    """A number of [minimum, maximum]."""

    minimum: float
    maximum: float

    def validate(self, value):
        if not self.minimum <= value <= self.maximum:
            raise ValueError(f"{value} is not within [{self.minimum}, {self.maximum}].")


@dataclass(frozen=True)
class Minimum(Validator):
    """A number of at least `minimum`."""

    minimum: float

    def validate(self, value):
        if value < self.minimum:
            raise ValueError(f"{value} is less than {self.minimum}.")


@dataclass(frozen=True)
class Maximum(Validator):
    """A number of at most `maximum`."""

    maximum: float

    def validate(self, value):
        if value > self.maximum:
            raise ValueError(f"{value} is more than {self.maximum}.")


class Choice(Validator):
    """One of `choices`."""

    def __init__(self, choices):
        self.choices = choices

    def validate(self, value):
        if value not in self.choices:
            raise ValueError(f"{value!r} is none of {self.choices}.")


@dataclass(frozen=True)
class Default:
    """The value before any was set."""

    value: object


@dataclass(frozen=True)
class Decimals:
    """Digits after the point, in a spin box or slider."""

    value: int


@dataclass(frozen=True)
class SingleStep:
    """Step of a spin box or slider."""

    value: float


# Types


@dataclass(frozen=True)
class Parameter:
    """One annotated member of the class: its type, what is written, what is read, what is checked."""

    name: str
    kind: type
    annotations: tuple
    default: object
    write: Callable
    read: Callable

    def check(self, value):
        """Raises TypeError or ValueError as Slicer does."""
        is_node = issubclass(self.kind, slicer.vtkMRMLNode)
        if value is None and not is_node:
            raise ValueError(f"{self.name} must not be None.")
        accepted = (int, float) if self.kind is float else self.kind
        if value is not None and not isinstance(value, accepted):
            raise TypeError(f"{self.name} must be {self.kind.__name__}, not {type(value).__name__} {value!r}.")
        for annotation in self.annotations:
            if isinstance(annotation, Validator):
                annotation.validate(value)

    def annotation(self, kind):
        """The annotation of that class, or None."""
        return next((entry for entry in self.annotations if isinstance(entry, kind)), None)


def _parameter(name: str, annotated: object, default: object) -> Parameter:
    annotations = ()
    kind = annotated
    if typing.get_origin(annotated) is typing.Annotated:
        kind, *annotations = typing.get_args(annotated)
    for entry in annotations:
        if not isinstance(entry, (Validator, Default, Decimals, SingleStep)):
            raise TypeError(f"{name}: the annotation {entry!r} is not known to the stand-in.")
    if not isinstance(kind, type) or isinstance(kind, types.GenericAlias):
        raise TypeError(f"{name}: the stand-in stores no {kind}.")
    store, load, initial = _storage(name, kind)
    chosen = next((entry.value for entry in annotations if isinstance(entry, Default)), initial)
    return Parameter(name, kind, tuple(annotations), chosen if default is _NONE else default, store, load)


_NONE = object()


def _storage(name: str, kind: type) -> tuple[Callable, Callable, object]:
    def text(node, value):
        node.SetParameter(name, str(value))

    if kind is bool:
        return text, lambda node: node.GetParameter(name) == "True", False
    if kind in (int, float):
        return text, lambda node: kind(node.GetParameter(name)), 0
    if kind is str:
        return text, lambda node: node.GetParameter(name), ""
    if kind is pathlib.Path:
        return text, lambda node: kind(node.GetParameter(name)), pathlib.Path()
    if issubclass(kind, enum.Enum):
        return (
            lambda node, value: node.SetParameter(name, value.name),
            lambda node: kind[node.GetParameter(name)],
            next(iter(kind)),
        )
    if issubclass(kind, slicer.vtkMRMLNode):

        def refer(node, value):
            node.SetParameter(name, "")  # the reference may be empty: this says that it was set
            node.SetNodeReferenceID(name, value.GetID() if value is not None else None)

        return refer, lambda node: node.GetNodeReference(name), None
    raise TypeError(f"{name}: the stand-in stores no {kind.__name__}.")


# Widgets


class _Connector:
    """A widget and how its value is read, written and heard of; (widget class, type) must be a pair of `_PAIRS`."""

    def __init__(self, widget, parameter: Parameter):
        entry = next(
            (
                entry
                for entry in _PAIRS
                if type(widget) is entry.widget
                and (parameter.kind in entry.kinds or any(_derives(parameter.kind, base) for base in entry.bases))
            ),
            None,
        )
        if entry is None:
            raise RuntimeError(f"{parameter.name}: a {type(widget).__name__} cannot show a {parameter.kind.__name__}.")
        self.widget, self.entry, self.parameter = widget, entry, parameter
        self.receiver = None
        entry.prepare(widget, parameter)

    def read(self):
        return self.entry.read(self.widget, self.parameter)

    def write(self, value):
        self.entry.write(self.widget, value, self.parameter)

    def listen(self, callback):
        self.receiver = lambda *_: callback()
        getattr(self.widget, self.entry.signal).connect(self.receiver)

    def release(self):
        getattr(self.widget, self.entry.signal).disconnect(self.receiver)


def _derives(kind, base):
    return issubclass(kind, base)


@dataclass(frozen=True)
class _Pair:
    widget: type
    kinds: tuple
    signal: str
    read: Callable
    write: Callable
    prepare: Callable = lambda widget, parameter: None
    bases: tuple = ()


def _by_attribute(attribute):
    def write(widget, value, parameter):
        setattr(widget, attribute, str(value) if parameter.kind is pathlib.Path else value)

    return (lambda widget, parameter: parameter.kind(getattr(widget, attribute))), write


def _range(widget, parameter):
    if decimals := parameter.annotation(Decimals):
        widget.decimals = decimals.value
    if step := parameter.annotation(SingleStep):
        widget.singleStep = step.value
    within = parameter.annotation(WithinRange)
    low = within or parameter.annotation(Minimum)
    high = within or parameter.annotation(Maximum)
    if isinstance(widget, (QtWidgets.QSlider, ctkSliderWidget)) and not (low and high):
        raise RuntimeError(f"{parameter.name}: a slider needs a range; annotate it with WithinRange.")
    ends = (-(2**31), 2**31 - 1) if parameter.kind is int else (float("-inf"), float("inf"))
    widget.minimum = low.minimum if low else ends[0]
    widget.maximum = high.maximum if high else ends[1]


def _labels(parameter):
    if issubclass(parameter.kind, enum.Enum):
        label = getattr(parameter.kind, "label", lambda member: member.name)
        return [(label(member), member) for member in parameter.kind]
    choice = parameter.annotation(Choice)
    if choice is None:
        raise RuntimeError(f"{parameter.name}: a QComboBox needs the annotation Choice.")
    return [(str(value), value) for value in choice.choices]


def _fill(widget, parameter):
    widget.clear()
    for label, _ in _labels(parameter):
        widget.addItem(label)


def _choose(widget, value, parameter):
    widget.currentIndex = [entry for _, entry in _labels(parameter)].index(value)


_PAIRS = (
    _Pair(QtWidgets.QCheckBox, (bool,), "toggled", *_by_attribute("checked")),
    _Pair(
        QtWidgets.QPushButton,
        (bool,),
        "toggled",
        *_by_attribute("checked"),
        prepare=lambda widget, _: setattr(widget, "checkable", True),
    ),
    _Pair(QtWidgets.QSlider, (int,), "valueChanged", *_by_attribute("value"), prepare=_range),
    _Pair(QtWidgets.QSpinBox, (int,), "valueChanged", *_by_attribute("value"), prepare=_range),
    _Pair(QtWidgets.QDoubleSpinBox, (float,), "valueChanged", *_by_attribute("value"), prepare=_range),
    _Pair(ctkSliderWidget, (float,), "valueChanged", *_by_attribute("value"), prepare=_range),
    _Pair(
        QtWidgets.QComboBox,
        (int, float, str, bool),
        "currentIndexChanged",
        lambda widget, parameter: _labels(parameter)[widget.currentIndex][1],
        _choose,
        prepare=_fill,
        bases=(enum.Enum,),
    ),
    _Pair(QtWidgets.QLineEdit, (str,), "textChanged", *_by_attribute("text")),
    _Pair(
        QtWidgets.QTextEdit,
        (str,),
        "textChanged",
        lambda widget, _: widget.toPlainText(),
        lambda widget, value, _: widget.setPlainText(value),
    ),
    _Pair(ctkPathLineEdit, (pathlib.Path,), "currentPathChanged", *_by_attribute("currentPath")),
    _Pair(ctkDirectoryButton, (pathlib.Path,), "directoryChanged", *_by_attribute("directory")),
    _Pair(
        qMRMLNodeComboBox,
        (),
        "currentNodeChanged",
        lambda widget, _: widget.currentNode(),
        lambda widget, value, _: widget.setCurrentNode(value),
        prepare=lambda widget, parameter: setattr(widget, "nodeTypes", [parameter.kind.__name__]),
        bases=(slicer.vtkMRMLNode,),
    ),
)


# The wrapper


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
        return self._named(name).read(self.parameterNode)

    def setValue(self, name, value):
        parameter = self._named(name)
        parameter.check(value)
        with slicer.util.NodeModify(self.parameterNode):
            parameter.write(self.parameterNode, value)

    def default(self, name):
        return Default(self._named(name).default)

    def connectGui(self, gui):
        """Binds every widget of a panel (or of `childWidgetVariables`) that names a parameter; returns a tag."""
        widgets = gui.findChildren(QtWidgets.QWidget) if hasattr(gui, "findChildren") else vars(gui).values()
        named = {widget.property(NAME_PROPERTY): widget for widget in widgets if widget.property(NAME_PROPERTY)}
        return self.connectParametersToGui(named)

    def connectParametersToGui(self, mapping):
        connectors = {name: _Connector(widget, self._named(name)) for name, widget in mapping.items()}
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
    parameters = {name: _parameter(name, hint, vars(cls).get(name, _NONE)) for name, hint in hints.items()}
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
    classes = (Validator, WithinRange, Minimum, Maximum, Choice, Default, Decimals, SingleStep)
    return {"parameterNodeWrapper": parameterNodeWrapper, **{cls.__name__: cls for cls in classes}}
