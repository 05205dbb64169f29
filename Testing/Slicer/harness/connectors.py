"""Which widget shows which type of parameter, and how: the pairs of Slicer's `connectGui` that our panels use."""

from __future__ import annotations

import enum
import pathlib
from collections.abc import Callable
from dataclasses import dataclass

import slicer
from PySide6 import QtWidgets

from .ctkwidgets import ctkDirectoryButton, ctkPathLineEdit, ctkSliderWidget
from .mrmlwidgets import qMRMLNodeComboBox
from .parameters import Choice, Decimals, Maximum, Minimum, Parameter, SingleStep, WithinRange


class Connector:
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
