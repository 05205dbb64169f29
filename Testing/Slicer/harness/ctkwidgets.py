"""The CTK widgets that our panels use: what they do, and the members that PythonQt gives them, no others.

Setters that are not slots in CTK do not exist here either: a property is set by its name.
"""

from __future__ import annotations

from pathlib import Path

from PySide6 import QtCore, QtGui, QtWidgets

from .dialogs import dialogs
from .properties import forwarded, stored

_HEADER = 26  # pixels


class ctkCollapsibleButton(QtWidgets.QAbstractButton):
    """A header that shows and hides the widgets below it."""

    contentsCollapsed = QtCore.Signal(bool)

    def __init__(self, *arguments):
        text = arguments[0] if arguments and isinstance(arguments[0], str) else ""
        super().__init__(next((argument for argument in arguments if isinstance(argument, QtWidgets.QWidget)), None))
        self._hidden_by_us = []
        self.text = text
        self.checkable = True
        self.checked = True
        self.setContentsMargins(0, _HEADER, 0, 0)
        self.toggled.connect(lambda checked: self._show_contents(checked))

    def _is_collapsed(self):
        return not self.checked

    def _collapse(self, collapsed):
        self.checked = not collapsed

    collapsed = QtCore.Property(bool, _is_collapsed, _collapse)
    collapsedHeight = stored(int, "collapsedHeight", 10)

    def _ui_loaded(self):
        if self.collapsed:
            self._show_contents(False)

    def _show_contents(self, shown):
        if shown:
            for child in self._hidden_by_us:
                child.setVisible(True)
            self._hidden_by_us = []
        else:
            children = [child for child in self.children() if isinstance(child, QtWidgets.QWidget)]
            self._hidden_by_us = [child for child in children if not child.isHidden()]
            for child in self._hidden_by_us:
                child.setVisible(False)
        self.setMaximumHeight(16777215 if shown else _HEADER)
        self.updateGeometry()
        self.contentsCollapsed.emit(not shown)

    def sizeHint(self):
        layout = self.layout()
        if self.collapsed or layout is None:
            return QtCore.QSize(200, _HEADER)
        return layout.totalSizeHint()

    def minimumSizeHint(self):
        layout = self.layout()
        if self.collapsed or layout is None:
            return QtCore.QSize(100, _HEADER)
        return layout.totalMinimumSize()

    def hitButton(self, position):
        return position.y() < _HEADER

    def paintEvent(self, _event):
        painter = QtGui.QPainter(self)
        painter.setRenderHint(QtGui.QPainter.RenderHint.Antialiasing)
        group = QtGui.QPalette.ColorGroup.Normal if self.enabled else QtGui.QPalette.ColorGroup.Disabled
        painter.setPen(self.palette.color(group, QtGui.QPalette.ColorRole.Mid))
        painter.setBrush(self.palette.color(group, QtGui.QPalette.ColorRole.Button).darker(106))
        painter.drawRoundedRect(QtCore.QRectF(0.5, 0.5, self.width - 1, _HEADER - 1), 3, 3)
        painter.setPen(self.palette.color(group, QtGui.QPalette.ColorRole.ButtonText))
        painter.drawText(10, 18, f"{'▸' if self.collapsed else '▾'}  {self.text}")
        painter.end()


class ctkSliderWidget(QtWidgets.QWidget):
    """A slider and a spin box with one value. The range is set by its two ends: CTK's setRange is no slot."""

    valueChanged = QtCore.Signal(float)
    valueIsChanging = QtCore.Signal(float)

    def __init__(self, parent=None):
        super().__init__(parent)
        self._spin = QtWidgets.QDoubleSpinBox(self)
        self._slider = QtWidgets.QSlider(QtCore.Qt.Orientation.Horizontal, self)
        layout = QtWidgets.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._slider)
        layout.addWidget(self._spin)
        self._spin.maximum = 99.0
        self._slider.maximum = 1000
        self.setFocusProxy(self._spin)
        self._spin.valueChanged.connect(lambda value: self._follow(value))
        self._slider.valueChanged.connect(lambda position: self._drag(position))

    decimals = forwarded(int, "_spin", "decimals")
    singleStep = forwarded(float, "_spin", "singleStep")
    minimum = forwarded(float, "_spin", "minimum")
    maximum = forwarded(float, "_spin", "maximum")
    value = forwarded(float, "_spin", "value")
    prefix = forwarded(str, "_spin", "prefix")
    suffix = forwarded(str, "_spin", "suffix")
    pageStep = stored(float, "pageStep", 10.0)
    tracking = stored(bool, "tracking", True)
    spinBoxVisible = forwarded(bool, "_spin", "visible")

    def setValue(self, value):
        """Slot."""
        self.value = value

    def _follow(self, value):
        span = self.maximum - self.minimum
        blocked = self._slider.blockSignals(True)
        self._slider.value = round(1000 * (value - self.minimum) / span) if span > 0 else 0
        self._slider.blockSignals(blocked)
        self.valueChanged.emit(value)

    def _drag(self, position):
        self.value = self.minimum + (self.maximum - self.minimum) * position / 1000


class ctkDoubleSpinBox(QtWidgets.QWidget):
    """A spin box for floating-point numbers; not a QDoubleSpinBox."""

    valueChanged = QtCore.Signal(float)

    def __init__(self, parent=None):
        super().__init__(parent)
        self._spin = QtWidgets.QDoubleSpinBox(self)
        layout = QtWidgets.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._spin)
        self.setFocusProxy(self._spin)
        self._spin.valueChanged.connect(lambda value: self.valueChanged.emit(value))

    decimals = forwarded(int, "_spin", "decimals")
    singleStep = forwarded(float, "_spin", "singleStep")
    minimum = forwarded(float, "_spin", "minimum")
    maximum = forwarded(float, "_spin", "maximum")
    value = forwarded(float, "_spin", "value")
    prefix = forwarded(str, "_spin", "prefix")
    suffix = forwarded(str, "_spin", "suffix")

    def setValue(self, value):
        """Slot."""
        self.value = value


class ctkPathLineEdit(QtWidgets.QWidget):
    """A line for a path, with a button that opens a file dialog."""

    currentPathChanged = QtCore.Signal(str)
    validInputChanged = QtCore.Signal(bool)
    Dirs, Files, Drives, NoSymLinks, Readable, Writable, Executable = 1, 2, 4, 8, 16, 32, 64
    Modified, Hidden, System, AllDirs, NoDot, NoDotDot = 0x80, 0x100, 0x200, 0x400, 0x2000, 0x4000

    def __init__(self, parent=None):
        super().__init__(parent)
        self._line = QtWidgets.QLineEdit(self)
        self._button = QtWidgets.QToolButton(self)
        self._button.text = "..."
        layout = QtWidgets.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._line)
        layout.addWidget(self._button)
        self.setFocusProxy(self._line)
        self._line.textChanged.connect(lambda path: self.currentPathChanged.emit(path))
        self._button.clicked.connect(lambda: self.browse())

    currentPath = forwarded(str, "_line", "text")
    label = stored(str, "label", "")
    filters = stored(int, "filters", 7)
    nameFilters = stored("QStringList", "nameFilters", [])
    settingKey = stored(str, "settingKey", "")
    showBrowseButton = forwarded(bool, "_button", "visible")
    showHistoryButton = stored(bool, "showHistoryButton", True)

    def setCurrentPath(self, path):
        """Slot."""
        self.currentPath = path

    def browse(self):
        """Slot: asks for a path."""
        path = dialogs.show_file(self.label)
        if path:
            self.currentPath = path

    def addCurrentPathToHistory(self):
        """Slot: would remember the path for the next session."""


class ctkDirectoryButton(QtWidgets.QWidget):
    """A button that shows a folder and asks for another."""

    directoryChanged = QtCore.Signal(str)
    directorySelected = QtCore.Signal(str)

    def __init__(self, parent=None):
        super().__init__(parent)
        self._button = QtWidgets.QPushButton(self)
        layout = QtWidgets.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._button)
        self.setFocusProxy(self._button)
        self._directory = ""
        self._set_directory(".")
        self._button.clicked.connect(lambda: self.browse())

    def _get_directory(self):
        return self._directory

    def _set_directory(self, path):
        before, self._directory = self._directory, str(Path(path or ".").absolute())
        self._button.text = self._directory
        if self._directory != before:
            self.directoryChanged.emit(self._directory)
        self.directorySelected.emit(self._directory)

    directory = QtCore.Property(str, _get_directory, _set_directory)
    caption = stored(str, "caption", "")
    text = forwarded(str, "_button", "text")

    def browse(self):
        """Slot: asks for a folder."""
        path = dialogs.show_file(self.caption)
        if path:
            self.directory = path
        return path


class ctkComboBox(QtWidgets.QComboBox):
    """A combo box with a text for "nothing chosen"."""

    defaultText = stored(str, "defaultText", "")


class ctkMessageBox(QtWidgets.QMessageBox):
    """A message box that can be told not to come again."""

    dontShowAgainSettingsKey = stored(str, "dontShowAgainSettingsKey", "")
    dontShowAgainVisible = stored(bool, "dontShowAgainVisible", False)


def widgets() -> dict[str, type]:
    """All classes by name."""
    return {name: value for name, value in globals().items() if name.startswith("ctk")}
