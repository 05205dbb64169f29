"""The points of the panel: placed by clicks, and watched, so that the shape can follow each change of them."""

import slicer
from slicer.util import VTKObservationMixin
from SlicerHPOLib.mrml.kidneypoints import EVENTS

from KidneyUltrasoundLib.Timers import timer


class CorrectionPoints(VTKObservationMixin):
    """The lists of points inside and outside of the kidney.

    A change is told once for all events of a mouse move, and again when nothing has moved for a while.

    Args:
        placeWidgets: the qSlicerMarkupsPlaceWidget of each list, inside first.
        onPlace: called when the user begins to place.
        onChange: called with whether a point is still being dragged.
        onSettle: called when there is time.
    """

    SETTLED_MS = 300

    def __init__(self, placeWidgets, onPlace, onChange, onSettle):
        VTKObservationMixin.__init__(self)
        self._placeWidgets, self._nodes = placeWidgets, []
        self._onPlace, self._onChange, self._onSettle = onPlace, onChange, onSettle
        self._dragging = False
        self._changeTimer = timer(0, self._onChangeTimer)
        self._settleTimer = timer(self.SETTLED_MS, self._onSettleTimer)
        for widget in placeWidgets:
            widget.placeMultipleMarkups = slicer.qSlicerMarkupsPlaceWidget.ForcePlaceMultipleMarkups
            widget.connect("activeMarkupsPlaceModeChanged(bool)", self._onPlaceModeChanged)

    def watch(self, nodes):
        """Shows and observes the lists (vtkMRMLMarkupsFiducialNode or None each)."""
        for widget, node in zip(self._placeWidgets, nodes, strict=True):
            if widget.currentNode() is not node:
                widget.setPlaceModeEnabled(False)  # else clicks go on to place points in the list that was shown
                widget.setCurrentNode(node)
        nodes = [node for node in nodes if node is not None]
        if nodes == self._nodes:
            return
        self.removeObservers()
        self.forget()
        self._nodes, self._dragging = nodes, False
        for node in nodes:
            for event in EVENTS:
                self.addObserver(node, event, self._onPointModified)
            self.addObserver(node, node.PointStartInteractionEvent, self._onDragStarted)
            self.addObserver(node, node.PointEndInteractionEvent, self._onDragEnded)
        if nodes:
            self._changeTimer.start()  # they may have changed while nobody watched

    def forget(self):
        """What changed and was not told yet is not told."""
        self._changeTimer.stop()
        self._settleTimer.stop()

    def tellSettled(self):
        """Tells when there is time, as after a change."""
        self._settleTimer.start()

    def stopPlacing(self):
        """Clicks place no points any more."""
        for widget in self._placeWidgets:
            widget.setPlaceModeEnabled(False)

    def _onPlaceModeChanged(self, active):
        if active:
            self._onPlace()

    def _onPointModified(self, caller, event):
        self._changeTimer.start()

    def _onDragStarted(self, caller, event):
        self._dragging = True

    def _onDragEnded(self, caller, event):
        self._dragging = False
        self._changeTimer.start()

    def _onChangeTimer(self):
        self._settleTimer.start()
        self._onChange(self._dragging)

    def _onSettleTimer(self):
        if not self._dragging:
            self._onSettle()
