"""What would have been shown to the user in a modal window: recorded, and answered at once."""

from __future__ import annotations

from dataclasses import dataclass

from PySide6 import QtWidgets

_KINDS = {
    QtWidgets.QMessageBox.Icon.Critical: "error",
    QtWidgets.QMessageBox.Icon.Warning: "warning",
    QtWidgets.QMessageBox.Icon.Information: "info",
    QtWidgets.QMessageBox.Icon.Question: "question",
    QtWidgets.QMessageBox.Icon.NoIcon: "message",
}


@dataclass(frozen=True)
class Shown:
    """One modal window: kind is "error", "warning", "info", "question", "message" or "file"."""

    kind: str
    text: str
    details: str = ""


class Dialogs(list):
    """The windows shown so far, and the answers the user gives.

    Attributes:
        answer: True for OK, Yes, Retry; False for Cancel, No, Close.
        path: what the user picks in a file dialog; "" is Cancel.
    """

    def __init__(self):
        super().__init__()
        self.reset()

    def reset(self) -> None:
        """Forgets the windows and the answers."""
        self.clear()
        self.answer, self.path = True, ""

    def texts(self, kind: str | None = None) -> list[str]:
        """The texts of all windows, or of those of a kind."""
        return [shown.text for shown in self if kind in (None, shown.kind)]

    def show_box(self, box: QtWidgets.QMessageBox) -> QtWidgets.QMessageBox.StandardButton:
        """Records a message box; returns the one of its buttons that stands for `answer`."""
        self.append(Shown(_KINDS[box.icon], box.text, box.detailedText))
        kinds = QtWidgets.QMessageBox
        positive = (kinds.Ok, kinds.Yes, kinds.Retry, kinds.Save, kinds.Open)
        negative = (kinds.Cancel, kinds.No, kinds.Close, kinds.Abort, kinds.Ok)
        buttons = positive if self.answer else negative
        return next((button for button in buttons if box.standardButtons & button), kinds.Ok)

    def show_file(self, caption: str) -> str:
        """Records a file dialog; returns the path that the user picks."""
        self.append(Shown("file", caption))
        return self.path


dialogs = Dialogs()


def install() -> None:
    """Puts the recorder in the place of the modal windows of Qt."""
    box = QtWidgets.QMessageBox
    box.exec_ = box.exec = lambda self: dialogs.show_box(self)
    box.critical = _static("error", box.Ok, box.Ok)
    box.warning = _static("warning", box.Ok, box.Cancel)
    box.information = _static("info", box.Ok, box.Ok)
    box.question = _static("question", box.Yes, box.No)
    files = QtWidgets.QFileDialog
    files.getOpenFileName = files.getSaveFileName = files.getExistingDirectory = staticmethod(_file_dialog)


def _static(kind, positive, negative):
    def show(parent, title, text, *_buttons):
        dialogs.append(Shown(kind, text))
        return positive if dialogs.answer else negative

    return staticmethod(show)


def _file_dialog(parent=None, caption="", *_more):
    return dialogs.show_file(caption)
