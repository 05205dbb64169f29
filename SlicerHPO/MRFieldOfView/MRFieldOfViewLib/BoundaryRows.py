"""The boundaries in the panel: for each a check box (set by the user), a slider along S, and where it may lie."""

import math

from slicer.i18n import tr as _
from SlicerHPOLib.fieldofview.classification import BOUNDARIES


class BoundaryRows:
    """Drives the widgets chestHeadCheckBox, chestHeadSlider, chestHeadLabel and so on of the panel.

    Args:
        ui: the panel's widgets.
        onToggled: called with the name of a boundary and whether it is now the user's.
        onMoved: called with the name of a boundary and its new position in mm along S.
    """

    def __init__(self, ui, onToggled, onMoved):
        self._rows = {}
        for name in BOUNDARIES:
            lower, upper = name.split("/")
            row = [getattr(ui, f"{lower}{upper.capitalize()}{kind}") for kind in ("CheckBox", "Slider", "Label")]
            self._rows[name] = row
            row[0].connect("toggled(bool)", lambda checked, name=name: onToggled(name, checked))
            row[1].connect("valueChanged(double)", lambda value, name=name: onMoved(name, value))

    def show(self, result, room):
        """Shows the boundaries of a SlicerHPOLib.results.Result, or none for None.

        Args:
            room: lowest and highest S in mm at which each boundary can be set, by its name.
        """
        boundaries = {boundary.name: boundary for boundary in result.boundaries} if result else {}
        for name, (checkBox, slider, label) in self._rows.items():
            boundary = boundaries.get(name)
            blocked = [(widget, widget.blockSignals(True)) for widget in (checkBox, slider)]
            checkBox.enabled = result is not None
            checkBox.checked = boundary is not None and boundary.fixed
            slider.enabled = boundary is not None
            if name in room:
                low, high = room[name]  # what the slider rounds to a tenth must not lie beyond
                slider.minimum, slider.maximum = math.ceil(10 * low) / 10, math.floor(10 * high) / 10
            if boundary is not None:
                slider.value = boundary.position_mm
            label.text = _interval(boundary) if result else ""
            for widget, wasBlocked in blocked:
                widget.blockSignals(wasBlocked)


def _interval(boundary):
    if boundary is None:
        return _("not in view")
    if boundary.fixed:
        return _("set by you")
    low, high = boundary.interval_mm
    return f"{low:.0f} \N{EN DASH} {high:.0f} mm"
