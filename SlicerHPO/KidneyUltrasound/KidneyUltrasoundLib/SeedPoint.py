"""The point of the panel from which the classical method starts: placed by a click, and watched."""

import slicer
from slicer.util import VTKObservationMixin
from SlicerHPOLib.mrml.kidneypoints import EVENTS


class SeedPoint(VTKObservationMixin):
    """Drives the widgets seedLabel and seedPlaceWidget of the panel.

    Args:
        ui: the panel's widgets.
        onChanged: called with caller and event when the point is placed, moved or removed.
    """

    def __init__(self, ui, onChanged):
        VTKObservationMixin.__init__(self)
        self._label, self._placeWidget, self._onChanged = ui.seedLabel, ui.seedPlaceWidget, onChanged
        self._placeWidget.placeMultipleMarkups = slicer.qSlicerMarkupsPlaceWidget.ForcePlaceSingleMarkup

    def watch(self, node):
        """Shows and observes the list of one point (vtkMRMLMarkupsFiducialNode), or hides all for None."""
        self._label.visible = self._placeWidget.visible = node is not None
        if self._placeWidget.currentNode() is not node:
            self.stopPlacing()  # else clicks go on to place the point of the list that was shown
            self._placeWidget.setCurrentNode(node)
        self.removeObservers()
        for event in EVENTS if node else ():
            self.addObserver(node, event, self._onChanged)

    def stopPlacing(self):
        """A click places no point any more."""
        self._placeWidget.setPlaceModeEnabled(False)
