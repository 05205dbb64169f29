"""Buttons that start what takes long: while it runs, the one that was pressed cancels it and the others wait."""

import qt
from slicer.i18n import tr as _
from SlicerHPOLib.background import Status
from SlicerHPOLib.mrml.translation import translated, tryWithErrorDisplay


class RunButtons:
    """The buttons with their progress bar and the line of text below it.

    Args:
        ui: the panel's widgets, among them progressBar and statusLabel, hidden while there is nothing to say.
        buttons: of the panel; each has the text and tool tip of the .ui file while it can be pressed.
        logic: has pollProcess() -> SlicerHPOLib.background.Status and cancelProcess().
        onProgress: called at every look at what runs. onEnded: called with its last Status.
    """

    POLL_MS, DOUBLE_CLICK_MS = 100, 500

    def __init__(self, ui, buttons, logic, onProgress, onEnded):
        self._progressBar, self._statusLabel = ui.progressBar, ui.statusLabel
        self._logic, self._onProgress, self._onEnded = logic, onProgress, onEnded
        self._buttons = {button: (button.text, button.toolTip) for button in buttons}
        self._reasons = dict.fromkeys(buttons, "")
        self.pressed = None  # the button that started what runs
        self._pollTimer = qt.QTimer(self._progressBar)
        self._pollTimer.interval = self.POLL_MS
        self._pollTimer.connect("timeout()", self._poll)
        self._clickTimer = qt.QTimer(self._progressBar)
        self._clickTimer.interval = self.DOUBLE_CLICK_MS
        self._clickTimer.setSingleShot(True)
        self._clickTimer.connect("timeout()", self._update)
        self.say("")

    def enable(self, button, reason):
        """Enables a button, or not while there is a reason why it cannot be pressed, which is its tool tip then."""
        self._reasons[button] = reason
        self._update()

    def startOrCancel(self, button, start):
        """What a click on a button does; start() begins the work, or raises what is then shown to the user."""
        if self.pressed is button:
            self._logic.cancelProcess()
            self._poll()
            return
        try:
            with tryWithErrorDisplay(_("The regions cannot be found."), waitCursor=True):
                start()
                self.pressed = button
                self._pollTimer.start()
                self._clickTimer.start()
                self._show(Status("running", 0.0, _("starting")))
        finally:
            self._update()

    def stop(self):
        """Cancels what runs without a word."""
        self._logic.cancelProcess()
        self._pollTimer.stop()
        self._clickTimer.stop()
        self.pressed = None
        self.say("")

    def say(self, text):
        """Hides the progress bar and shows a text, or nothing; what runs goes on to show how far it is."""
        if self.pressed is not None:
            return
        self._progressBar.visible = False
        self._statusLabel.text = text
        self._statusLabel.visible = bool(text)

    def _poll(self):
        status = Status("failed")
        try:
            with tryWithErrorDisplay(_("The regions cannot be found.")):
                status = self._logic.pollProcess()
        finally:
            self._onProgress()
            if status.state == "running":
                self._show(status)
            else:
                self.stop()
                self._update()
                self._onEnded(status)

    def _show(self, status):
        self._progressBar.visible = self._statusLabel.visible = True
        self._progressBar.maximum = 100 if status.fraction > 0 else 0  # 0: how far it is, is not known
        self._progressBar.value = round(100 * status.fraction)
        self._statusLabel.text = translated(status.text)

    def _update(self):
        for button, (text, toolTip) in self._buttons.items():
            reason = self._reasons[button]
            if button is self.pressed:
                button.text, button.toolTip = _("Cancel"), _("Stop; the scene stays as it is.")
                button.enabled = not self._clickTimer.isActive()  # the second click of a double click does not cancel
                continue
            if self.pressed is not None:
                reason = _("Something is being computed: wait or cancel it.")
            button.text, button.toolTip, button.enabled = text, reason or toolTip, not reason
