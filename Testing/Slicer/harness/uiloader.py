"""QUiLoader for Qt Designer files with Slicer's widgets; stricter than Qt, which passes over what it does not know.

A class, property, signal or slot that the real widget does not have is an error here, with the file's name.
"""

from __future__ import annotations

from xml.etree import ElementTree

from PySide6 import QtCore, QtUiTools

from . import pythonqt


class UiError(RuntimeError):
    """Something in a .ui file that Slicer would pass over or refuse."""


def loader_class(qt_names: set[str], widgets: dict[str, type]) -> type:
    """A QUiLoader that knows the Qt classes `qt_names` of QtWidgets and the stand-ins `widgets`."""
    from PySide6 import QtWidgets

    classes = {name: getattr(QtWidgets, name) for name in qt_names} | widgets
    classes = {name: cls for name, cls in classes.items() if issubclass(cls, QtWidgets.QWidget)}
    properties = {name: _property_names(cls) for name, cls in classes.items()}
    properties["Line"] = properties["QFrame"] | {"orientation"}

    class QUiLoader(QtUiTools.QUiLoader):
        def __init__(self, parent=None):
            super().__init__(parent)
            for cls in widgets.values():
                self.registerCustomWidget(cls)

        def load(self, file, parent=None):
            """The widget of the file's root, its children built, its connections made. Raises UiError."""
            where = file.fileName()
            root = ElementTree.fromstring(bytes(file.readAll().data()))
            _check(root, properties, where)
            _name_to_number(root, widgets, where)
            connections = _take(root, "connections")
            buffer = QtCore.QBuffer()
            buffer.setData(ElementTree.tostring(root))
            buffer.open(QtCore.QIODevice.OpenModeFlag.ReadOnly)
            with pythonqt.loading():
                widget = super().load(buffer, parent)
            if widget is None:
                raise UiError(f"{where}: {self.errorString()}")
            everything = [widget, *widget.findChildren(QtCore.QObject)]
            widget.__dict__["_loaded"] = everything  # the Python side of each lives as long as the panel
            by_name = {child.objectName: child for child in everything}
            for connection in connections:
                _make(connection, by_name, where)
            for child in everything:
                if hasattr(child, "_ui_loaded"):
                    child._ui_loaded()
            return widget

    return QUiLoader


def _property_names(cls: type) -> set[str]:
    meta = cls.staticMetaObject
    return {meta.property(index).name() for index in range(meta.propertyCount())}


def _check(root: ElementTree.Element, properties: dict[str, set[str]], where: str) -> None:
    names = set()
    for element in root.iter("widget"):
        kind, name = element.get("class"), element.get("name")
        if kind not in properties:
            raise UiError(f"{where}: {name!r} is a {kind!r}, which the stand-in does not have.")
        if name in names:
            raise UiError(f"{where}: two widgets are called {name!r}.")
        names.add(name)
        for entry in element.findall("property"):
            if entry.get("stdset") != "0" and entry.get("name") not in properties[kind]:
                raise UiError(f"{where}: {name!r}, a {kind}, has no property {entry.get('name')!r}.")
    declared = {element.text for element in root.iterfind("customwidgets/customwidget/class")}
    used = {element.get("class") for element in root.iter("widget")}
    undeclared = {kind for kind in used if kind.startswith(("ctk", "qMRML", "qSlicer"))} - declared
    if undeclared:
        raise UiError(f"{where}: {', '.join(sorted(undeclared))} not among its customwidgets; Designer cannot open it.")


def _name_to_number(root: ElementTree.Element, widgets: dict[str, type], where: str) -> None:
    """Enums and flags of the stand-in classes are plain numbers, whose names Qt cannot look up."""
    for element in root.iter("widget"):
        cls = widgets.get(element.get("class"))
        for value in [child for entry in element.findall("property") for child in entry if cls]:
            if value.tag not in ("enum", "set") or not value.text.startswith(f"{cls.__name__}::"):
                continue
            names = [name.rsplit("::", 1)[-1] for name in value.text.split("|")]
            unknown = [name for name in names if not isinstance(vars(cls).get(name), int)]
            if unknown:
                raise UiError(f"{where}: {cls.__name__} has no {', '.join(unknown)}.")
            value.tag, value.text = "number", str(sum(vars(cls)[name] for name in names))


def _take(root: ElementTree.Element, tag: str) -> list[ElementTree.Element]:
    element = root.find(tag)
    if element is None:
        return []
    root.remove(element)
    return list(element)


def _make(connection: ElementTree.Element, by_name: dict[str, QtCore.QObject], where: str) -> None:
    sender, signal, receiver, slot = (connection.findtext(tag) for tag in ("sender", "signal", "receiver", "slot"))
    for name in (sender, receiver):
        if name not in by_name:
            raise UiError(f"{where}: a connection names {name!r}, which is not in the file.")
    method = pythonqt.signature(slot)[0]
    if not hasattr(by_name[receiver], method):
        raise UiError(f"{where}: {receiver!r} has no slot {slot!r}.")
    by_name[sender].connect(signal, getattr(by_name[receiver], method))
