"""Makes PySide6 behave like PythonQt, the Qt of Slicer's Python, so that a module runs as it is written for Slicer.

- A Qt property is an attribute: `button.enabled = False`, `label.text` (and `label.text()` is an error, as in Slicer).
- `object.connect("clicked(bool)", function)` and `object.disconnect(...)`; a signal that does not exist is an error.
- An attribute that does not exist cannot be set, where plain PySide6 would keep it and do nothing.
- `name` is `objectName`, `className()` is the name of the C++ class, file dialogs return a text and no tuple.
"""

from __future__ import annotations

import contextlib
import ctypes
import inspect
import re
import sys

from PySide6 import QtCore, QtGui, QtUiTools, QtWidgets

_MODULES = (QtCore, QtGui, QtWidgets, QtUiTools)
# C++ asks Python for these methods by name; they cannot be replaced by values.
_VIRTUAL = {"sizeHint", "minimumSizeHint"}
_installed = False
_loading = []


@contextlib.contextmanager
def loading():
    """While a .ui file is read."""
    _loading.append(True)
    try:
        yield
    finally:
        _loading.pop()


def install() -> None:
    """Changes the classes of PySide6 in place, once a process."""
    global _installed
    if _installed:
        return
    _installed = True
    if sys.version_info < (3, 12):  # before None was immortal
        # Each call of PySide6 6.12 that returns nothing takes a reference from None; at 0 the process would end.
        ctypes.c_ssize_t.from_address(id(None)).value += 1 << 40
    for cls in _qt_classes():
        if issubclass(cls, QtCore.QObject):
            _properties_as_attributes(cls)
            cls.__getattribute__ = _getattribute
        cls.__setattr__ = _setattr
    QtCore.QObject.name = QtCore.QObject.objectName
    QtCore.QObject.className = lambda self: self.metaObject().className()


def _qt_classes() -> list[type]:
    classes = {
        value
        for module in _MODULES
        for value in vars(module).values()
        if isinstance(value, type) and value.__module__.startswith("PySide6.") and _is_changeable(value)
    }
    return sorted(classes, key=lambda cls: (len(cls.__mro__), cls.__name__))


def _is_changeable(cls: type) -> bool:
    # not files, whose methods of object and class (QFile.exists) PySide6 tells apart in a way of its own
    is_object = issubclass(cls, QtCore.QObject) and not issubclass(cls, QtCore.QIODevice)
    is_item = cls.__name__.endswith("Item") or cls.__name__ in ("QIcon", "QSettings", "QUiLoader")
    return is_object or is_item


def _properties_as_attributes(cls: type) -> None:
    meta = cls.staticMetaObject
    for index in range(meta.propertyOffset(), meta.propertyCount()):
        described = meta.property(index)
        name = described.name()
        if name not in _VIRTUAL:
            setattr(cls, name, _attribute(cls, name, described.isWritable()))


def _attribute(cls: type, name: str, writable: bool) -> property:
    capitalised = name[0].upper() + name[1:]
    getter = next(
        (
            method
            for candidate in (name, f"is{capitalised}", f"has{capitalised}")
            if callable(method := getattr(cls, candidate, None))
            and not isinstance(method, QtCore.Signal)
            and not isinstance(inspect.getattr_static(cls, candidate), staticmethod)
        ),
        None,
    )
    setter = getattr(cls, f"set{capitalised}", None)
    if issubclass(cls, QtCore.QCoreApplication):  # its getters and setters are static
        getter = setter = None

    def get(self):
        return getter(self) if getter else QtCore.QObject.property(self, name)

    def set_(self, value):
        if callable(setter):
            setter(self, value)
        else:
            QtCore.QObject.setProperty(self, name, value)

    attribute = _PropertyOrFunction(get, set_ if writable else None, doc=f"Qt property {name!r}")
    attribute.function = getattr(cls, name, None) if isinstance(vars(cls).get(name), staticmethod) else None
    return attribute


class _PropertyOrFunction(property):
    """Of an object a property; of the class a static function of the same name, as QTimer.singleShot is."""

    def __get__(self, instance, owner=None):
        return self.function if instance is None and self.function else super().__get__(instance, owner)


def _getattribute(self, name):
    # PySide6 finds connect and disconnect by a way of its own, past the class.
    if name == "connect":
        return _connect.__get__(self)
    if name == "disconnect":
        return _disconnect.__get__(self)
    value = object.__getattribute__(self, name)
    return value.fget(self) if isinstance(value, QtCore.Property) else value


# object.__setattr__ refuses objects whose C base has a way of its own; this is the same without that check.
_plain_setattr = ctypes.pythonapi.PyObject_GenericSetAttr
_plain_setattr.argtypes = [ctypes.py_object] * 3
_plain_setattr.restype = ctypes.c_int


def _setattr(self, name, value):
    cls = type(self)
    if _is_ours(cls) and not isinstance(value, QtCore.SignalInstance):  # which PySide6 keeps in the object
        own = name.startswith("_") and cls.__module__.startswith("harness")
        static = inspect.getattr_static(cls, name, None)
        if isinstance(static, QtCore.Property):
            static.fset(self, value)
            return
        if static is None and _loading and not own:
            return  # QUiLoader of PySide6 makes the children attributes of the panel; Slicer's does not
        if static is None and not own:
            raise AttributeError(f"{cls.__name__} has no property {name!r} to be set to {value!r}.")
        if callable(static):
            raise AttributeError(f"{cls.__name__}.{name} is a method: it is called, not set.")
    _plain_setattr(self, name, value)


def _is_ours(cls: type) -> bool:
    """Whether this is Qt's or the harness' class; a module's own subclass may have attributes as it likes."""
    return cls.__module__.split(".")[0] in ("PySide6", "harness")


# Signals by their C++ signature


def signature(signal: str) -> tuple[str, tuple[str, ...]]:
    """("clicked", ("bool",)) of "clicked(bool)". Raises ValueError if it is not a signature."""
    match = re.fullmatch(r"\s*(\w+)\s*\((.*)\)\s*", signal)
    if not match:
        raise ValueError(f"{signal!r} is no signal's signature; 'clicked(bool)' is one.")
    arguments = tuple(part.replace(" ", "") for part in match[2].split(",") if part.strip())
    return match[1], arguments


def signatures_of(qobject: QtCore.QObject) -> set[str]:
    """All signals, as "name(types)". A stand-in class says in `SIGNALS` which C++ signatures the real one has."""
    meta = qobject.metaObject()
    methods = [meta.method(index) for index in range(meta.methodCount())]
    found = {
        bytes(method.methodSignature().data()).decode()
        for method in methods
        if method.methodType() == QtCore.QMetaMethod.MethodType.Signal
    }
    return {text for text in found if "PyObject" not in text and not text.startswith("_")} | set(_declared(qobject))


def _declared(qobject: QtCore.QObject) -> dict[str, str]:
    return {text: name for cls in type(qobject).__mro__ for text, name in vars(cls).get("SIGNALS", {}).items()}


def bound_signal(qobject: QtCore.QObject, signal: str):
    """The bound signal of that signature and its number of arguments; AttributeError if the class has none such."""
    name, arguments = signature(signal)
    known = signatures_of(qobject)
    if f"{name}({','.join(arguments)})" not in known:
        similar = sorted(text for text in known if text.startswith(f"{name}(")) or sorted(known)
        raise AttributeError(f"{type(qobject).__name__} has no signal {signal!r}; it has {', '.join(similar)}.")
    text = f"{name}({','.join(arguments)})"
    return object.__getattribute__(qobject, _declared(qobject).get(text, name)), len(arguments)


def _connect(self, signal, slot, *more):
    if more:  # connect(signal, receiver, "slot(types)")
        slot = getattr(slot, signature(more[0])[0])
    bound, count = bound_signal(self, signal)
    receiver = accepting(slot, count)
    bound.connect(receiver)
    self.__dict__.setdefault("_connected", []).append((signal, slot, receiver))
    return True


def _disconnect(self, signal, slot):
    bound, _ = bound_signal(self, signal)
    connected = self.__dict__.get("_connected", [])
    for entry in connected:
        if entry[0] == signal and entry[1] == slot:
            bound.disconnect(entry[2])
            connected.remove(entry)
            return True
    return False  # PythonQt says so too


def accepting(slot, count: int):
    """Calls `slot` with as many of the signal's `count` arguments as it takes, as PythonQt does."""
    try:
        parameters = inspect.signature(slot).parameters.values()
    except (TypeError, ValueError):
        limit = count
    else:
        variable = any(parameter.kind is parameter.VAR_POSITIONAL for parameter in parameters)
        positional = sum(parameter.kind in (0, 1) for parameter in parameters)
        limit = count if variable else min(count, positional)

    def receive(*arguments):
        slot(*arguments[:limit])

    return receive
