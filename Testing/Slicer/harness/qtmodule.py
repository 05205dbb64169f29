"""The module `qt`: the classes of Qt that our panels use, no others. Another is added if Slicer has it."""

from __future__ import annotations

import types

from PySide6 import QtCore, QtGui, QtWidgets

from . import dialogs, pythonqt

ALLOWED = {
    QtCore: [
        "QDir",
        "QEvent",
        "QFile",
        "QFileInfo",
        "QItemSelectionModel",
        "QLocale",
        "QDateTime",
        "QMimeData",
        "QModelIndex",
        "QObject",
        "QPoint",
        "QProcess",
        "QProcessEnvironment",
        "QRect",
        "QSettings",
        "QSignalBlocker",
        "QSize",
        "QStandardPaths",
        "QSysInfo",
        "Qt",
        "QTimer",
        "QUrl",
        "Signal",
    ],
    QtGui: [
        "QAction",
        "QBrush",
        "QColor",
        "QCursor",
        "QDesktopServices",
        "QFont",
        "QIcon",
        "QImage",
        "QKeyEvent",
        "QKeySequence",
        "QPainter",
        "QPalette",
        "QPen",
        "QPixmap",
        "QShortcut",
        "QStandardItem",
        "QStandardItemModel",
    ],
    QtWidgets: [
        "QAbstractItemView",
        "QApplication",
        "QButtonGroup",
        "QCheckBox",
        "QComboBox",
        "QDialog",
        "QDialogButtonBox",
        "QDoubleSpinBox",
        "QFileDialog",
        "QFormLayout",
        "QFrame",
        "QGridLayout",
        "QGroupBox",
        "QHBoxLayout",
        "QHeaderView",
        "QInputDialog",
        "QLabel",
        "QLayout",
        "QLineEdit",
        "QListWidget",
        "QListWidgetItem",
        "QMainWindow",
        "QMenu",
        "QMessageBox",
        "QPlainTextEdit",
        "QProgressBar",
        "QProgressDialog",
        "QPushButton",
        "QRadioButton",
        "QScrollArea",
        "QSizePolicy",
        "QSlider",
        "QSpacerItem",
        "QSpinBox",
        "QSplitter",
        "QStackedWidget",
        "QStyle",
        "QTabWidget",
        "QTableWidget",
        "QTableWidgetItem",
        "QTextBrowser",
        "QTextEdit",
        "QToolButton",
        "QToolTip",
        "QTreeWidget",
        "QTreeWidgetItem",
        "QVBoxLayout",
        "QWidget",
    ],
}


class StrictModule(types.ModuleType):
    """A module with these names only; another is an error that says where to add it."""

    def __getattr__(self, name):
        raise AttributeError(
            f"The stand-in of {self.__name__!r} has no {name!r}. If Slicer has it, add it to {self.__file__}."
        )


def strict_module(name: str, members: dict[str, object], file: str) -> StrictModule:
    """A module `name` with `members`."""
    module = StrictModule(name)
    module.__file__ = file
    vars(module).update(members)
    return module


def build(loader: type) -> StrictModule:
    """The module `qt`; `loader` is its QUiLoader."""
    # First, for PySide6 makes a class when it is first asked for, and what is not made cannot be changed.
    members = {name: getattr(module, name) for module, names in ALLOWED.items() for name in names}
    pythonqt.install()
    dialogs.install()
    return strict_module("qt", {**members, "QUiLoader": loader}, __file__)
