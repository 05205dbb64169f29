"""The boundaries as planes in the views: shown, and watched, so that the regions can follow while one is dragged."""

import qt
from slicer.util import VTKObservationMixin


class BoundaryPlanes(VTKObservationMixin):
    """The planes of one volume's boundaries.

    Args:
        logic: has showBoundaryPlanes(volume) -> list of vtkMRMLMarkupsPlaneNode and hideBoundaryPlanes().
        onDragged: called once for all events of a mouse move.
    """

    def __init__(self, logic, onDragged):
        VTKObservationMixin.__init__(self)
        self._logic = logic
        self._timer = qt.QTimer()
        self._timer.setInterval(0)
        self._timer.setSingleShot(True)
        self._timer.connect("timeout()", onDragged)

    def show(self, volume):
        """Puts planes on the boundaries of this volume, and of no other; on none for None."""
        planes = self._logic.showBoundaryPlanes(volume) if volume else []
        for plane in planes:
            if not self.hasObserver(plane, plane.PointModifiedEvent, self._onPlaneModified):
                self.addObserver(plane, plane.PointModifiedEvent, self._onPlaneModified)
        if not planes:
            self._logic.hideBoundaryPlanes()

    def stop(self):
        """Tells nothing any more."""
        self._timer.stop()
        self.removeObservers()

    def _onPlaneModified(self, caller, event):
        self._timer.start()
