"""`slicer.app.layoutManager()`: the slice views' logics over the real scene, and what was asked of the layout.

The views themselves are not drawn here; `views.py` draws one when a test asks for it.
"""

from __future__ import annotations

import slicer

SLICE_VIEWS = {"Red": "Axial", "Yellow": "Sagittal", "Green": "Coronal"}


class LayoutManager:
    """qSlicerLayoutManager."""

    def __init__(self, core):
        self._core = core
        self._slices = {name: SliceWidget(core, name, orientation) for name, orientation in SLICE_VIEWS.items()}
        self._three_d = ThreeDWidget(core)
        self._logic = slicer.vtkMRMLLayoutLogic()
        self._logic.SetMRMLScene(core.scene)

    def layoutLogic(self):
        return self._logic

    @property
    def layout(self):
        return self._logic.GetLayoutNode().GetViewArrangement()

    def setLayout(self, arrangement):
        self._logic.GetLayoutNode().SetViewArrangement(arrangement)

    def sliceViewNames(self):
        return list(self._slices)

    def sliceWidget(self, name):
        return self._slices.get(name)

    def mrmlSliceLogics(self):
        return self._core.app_logic.GetSliceLogics()

    @property
    def threeDViewCount(self):
        return 1

    def threeDWidget(self, index):
        return self._three_d if index == 0 else None

    def resetThreeDViews(self):
        self._three_d.threeDView().resetFocalPoint()

    def resetSliceViews(self):
        for widget in self._slices.values():
            widget.sliceLogic().FitSliceToBackground()


class SliceWidget:
    """qMRMLSliceWidget."""

    def __init__(self, core, name, orientation):
        self._logic = slicer.vtkMRMLSliceLogic()
        self._logic.SetMRMLApplicationLogic(core.app_logic)
        self._logic.SetMRMLScene(core.scene)
        self._logic.AddSliceNode(name).SetOrientation(orientation)
        core.app_logic.GetSliceLogics().AddItem(self._logic)

    def sliceLogic(self):
        return self._logic

    def mrmlSliceNode(self):
        return self._logic.GetSliceNode()

    def mrmlSliceCompositeNode(self):
        return self._logic.GetSliceCompositeNode()


class ThreeDWidget:
    """qMRMLThreeDWidget."""

    def __init__(self, core):
        self._view = ThreeDView(core)

    def threeDView(self):
        return self._view

    def mrmlViewNode(self):
        return self._view.mrmlViewNode()


class ThreeDView:
    """qMRMLThreeDView, which is not drawn.

    Attributes:
        fitted: how often it was fitted to what it shows, for tests.
    """

    def __init__(self, core):
        self.fitted = 0
        self._core = core

    def mrmlViewNode(self):
        node = self._core.scene.GetSingletonNode("1", "vtkMRMLViewNode")
        return node or self._core.scene.AddNewNodeByClass("vtkMRMLViewNode")

    def resetFocalPoint(self):
        self.fitted += 1

    def resetCamera(self):
        self.fitted += 1
