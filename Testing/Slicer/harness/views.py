"""Slicer's views, drawn offscreen: a slice view to click, drag and type in by events, and a 3D view to look at."""

from __future__ import annotations

import slicer
import vtk
from trame_slicer.views import SliceView, ThreeDView
from trame_slicer.views.render_scheduler import NoScheduleRendering
from trame_slicer.views.threed_view import ViewDirection

SIZE = (420, 420)  # pixels; two views above each other are as high as a panel


class OffscreenSliceView:
    """A view beside those of the layout. Positions are RAS in mm of the world; the slice is moved to them first.

    Attributes:
        node: the vtkMRMLSliceNode.
    """

    def __init__(self, core):
        self._view = SliceView(core.scene, core.app_logic, "Drawn", scheduled_render_strategy=NoScheduleRendering())
        self._view.render_window().SetSize(*SIZE)
        self._view.interactor().UpdateSize(*SIZE)
        self._view.fit_view_to_content()
        self.node = self._view.get_view_node()

    def show(self, volume, orientation="Axial") -> None:
        """Puts the volume node (or None) behind, and the slice through the middle of it."""
        self.node.SetOrientation(orientation)
        self.node.SetMappedInLayout(True)  # whatever the layout: it is not of it
        self._view.set_background_volume_id(volume.GetID() if volume else None)
        self._view.fit_view_to_content()
        self._view.render()

    def click(self, ras) -> None:
        """A click of the left button."""
        self._move(ras)
        self._left_button(True)
        self._left_button(False)

    def drag(self, ras_from, ras_to, steps=5) -> None:
        """The left button pressed at one point and let go at another of the same slice."""
        self._move(ras_from)
        self._left_button(True)
        for step in range(1, steps + 1):
            share = step / steps
            self._move([a + share * (b - a) for a, b in zip(ras_from, ras_to, strict=True)], jump=False)
        self._left_button(False)

    def press(self, key, ras=None) -> None:
        """A key, by its VTK name such as "Delete", with the pointer at `ras` or where it was."""
        if ras is not None:
            self._move(ras)
        interactor = self._view.interactor()
        interactor.SetKeyEventInformation(0, 0, "\x7f" if key == "Delete" else key[0], 1, key)
        for event in ("KeyPressEvent", "CharEvent", "KeyReleaseEvent"):
            interactor.InvokeEvent(event)
        self._view.render()

    def screenshot(self, path) -> None:
        """A PNG of the view."""
        write_png(self._view, path)

    def release(self) -> None:
        """Ends what a test began: place mode, background, and the pointer outside of everything."""
        interaction = slicer.mrmlScene.GetNodeByID("vtkMRMLInteractionNodeSingleton")
        interaction.SetCurrentInteractionMode(interaction.ViewTransform)
        self._view.set_background_volume_id(None)

    def _move(self, ras, jump=True) -> None:
        if jump:
            self.node.JumpSliceByOffsetting(*ras)
        self._view.render()
        ras_to_xy = vtk.vtkMatrix4x4()
        vtk.vtkMatrix4x4.Invert(self.node.GetXYToRAS(), ras_to_xy)
        x, y, _, _ = ras_to_xy.MultiplyPoint([*ras, 1])
        self._view.interactor().SetEventInformation(round(x), round(y), 0, 0, "\0", 0, None)
        self._view.interactor().InvokeEvent("MouseMoveEvent")

    def _left_button(self, pressed) -> None:
        self._view.interactor().InvokeEvent(f"LeftButton{'Press' if pressed else 'Release'}Event")
        self._view.render()


class OffscreenThreeDView:
    """A 3D view beside that of the layout, seen from the front."""

    def __init__(self, core):
        self._view = ThreeDView(core.scene, core.app_logic, "Drawn3D", scheduled_render_strategy=NoScheduleRendering())
        self._view.render_window().SetSize(*SIZE)
        self._view.interactor().UpdateSize(*SIZE)
        self._view.renderer().SetUseDepthPeeling(False)  # which draws nothing translucent without a graphics card

    def screenshot(self, path, direction="ANTERIOR") -> None:
        """A PNG of all that is shown in 3D, fitted, from a direction such as "LEFT"."""
        self._view.set_box_visible(False)
        self._view.render()
        self._view.reset_focal_point()
        self._view.rotate_to_view_direction(ViewDirection[direction])
        self._view.reset_camera()
        write_png(self._view, path)


def write_png(view, path) -> None:
    """What a view shows now."""
    view.render()
    grab = vtk.vtkWindowToImageFilter()
    grab.SetInput(view.render_window())
    grab.ReadFrontBufferOff()
    writer = vtk.vtkPNGWriter()
    writer.SetFileName(str(path))
    writer.SetInputConnection(grab.GetOutputPort())
    writer.Write()
