"""The parameters of a module's node and the widgets that show them."""

from __future__ import annotations


def bound_widgets(ui) -> dict:
    """The widgets of a panel by the parameters that its .ui file names, for `connectParametersToGui`.

    Slicer's `connectGui` finds them as well, but returns no tag by which `disconnectGui` could let go of them again.

    Args:
        ui: the panel's widgets, as `slicer.util.childWidgetVariables` gives them.
    """
    named = {widget.property("SlicerParameterName"): widget for widget in vars(ui).values()}
    return {name: widget for name, widget in named.items() if name}
