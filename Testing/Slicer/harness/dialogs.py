"""What would have been shown to the user in a modal window: recorded, and answered at once."""

from __future__ import annotations

from dataclasses import dataclass, field

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


@dataclass
class Dialogs(list):
    """The windows shown so far, and the answers the user gives.

    Attributes:
        answer: True for OK, Yes, Retry; False for Cancel, No, Close.
        path: what the user picks in a file dialog; "" is Cancel.
    """

    answer: bool = True
    path: str = ""
    files: list[str] = field(default_factory=list)

    def __post_init__(self):
        super().__init__()

    def texts(self, kind: str | None = None) -> list[str]:
        """The texts of all windows, or of those of a kind."""
        return [shown.text for shown in self if kind in (None, shown.kind)]

    def reset(self) -> None:
        """Forgets the windows and the answers."""
        self.clear()
        self.answer, self.path, self.files = True, "", []

    def box(self, box: QtWidgets.QMessageBox) -> int:
        """Answers a message box by the button that stands for `answer`."""
        self.append(Shown(_KINDS[box.icon], box.text, box.detailedText))
        kinds = QtWidgets.QMessageBox
        wanted = (
            (kinds.Ok, kinds.Yes, kinds.Retry, kinds.Save, kinds.Open)
            if self.answer
            else (kinds.Cancel, kinds.No, kinds.Close, kinds.Abort, kinds.Ok)
        )
        buttons = box.standardButtons
        return next((button for button in wanted if buttons & button), kinds.Ok)

    def file(self, caption: str) -> str:
        """The path that the user picks."""
        self.append(Shown("file", caption))
        return self.path


dialogs = Dialogs()


def install() -> None:
    """Puts the recorder in the place of the modal windows of Qt."""

    def static(kind, positive, negative):
        def show(parent, title, text, *_buttons):
            dialogs.append(Shown(kind, text))
            return positive if dialogs.answer else negative

        return staticmethod(show)

    box = QtWidgets.QMessageBox
    box.exec_ = box.exec = dialogs.box.__func__.__get__(dialogs) and (lambda self: dialogs.box(self))
    box.critical = static("error", box.Ok, box.Ok)
    box.warning = static("warning", box.Ok, box.Cancel)
    box.information = static("info", box.Ok, box.Ok)
    box.question = static("question", box.Yes, box.No)

    def path_dialog(parent=None, caption="", *_more):
        return dialogs.file(caption)

    files = QtWidgets.QFileDialog
    files.getOpenFileName = files.getSaveFileName = files.getExistingDirectory = staticmethod(path_dialog)
