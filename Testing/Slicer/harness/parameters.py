"""The values of a parameter node: their types, annotations, checks, and the text that Slicer stores for them."""

from __future__ import annotations

import enum
import pathlib
import types
import typing
from collections.abc import Callable
from dataclasses import dataclass

import slicer


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


ANNOTATIONS = (Validator, WithinRange, Minimum, Maximum, Choice, Default, Decimals, SingleStep)


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


def parameter_of(name: str, annotated: object, default: object) -> Parameter:
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
    return Parameter(name, kind, tuple(annotations), chosen if default is NO_DEFAULT else default, store, load)


NO_DEFAULT = object()


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
