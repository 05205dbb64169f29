"""Kidney Ultrasound: the kidney in a 3D ultrasound volume, corrected by points until it is right."""

import enum
import logging
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import qt
import slicer
import vtk
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.parameterNodeWrapper import parameterNodeWrapper
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleLogic,
    ScriptedLoadableModuleTest,
    ScriptedLoadableModuleWidget,
)
from slicer.util import VTKObservationMixin

try:
    import SlicerHPOLib
except ImportError:  # run from the source tree
    sys.path.append(str(Path(__file__).resolve().parents[1]))
    import SlicerHPOLib

from SlicerHPOLib.background import BackgroundTask, Status, TaskError
from SlicerHPOLib.bundle import available_bundles, find_bundle, read_manifest
from SlicerHPOLib.image import Image
from SlicerHPOLib.job import Job
from SlicerHPOLib.kidney import results
from SlicerHPOLib.kidney.points import CorrectionError, Points
from SlicerHPOLib.kidney.segmentation import KidneySegmentation
from SlicerHPOLib.kidney.segmenter import TASK, check_request
from SlicerHPOLib.kidney.session import KidneySession
from SlicerHPOLib.mrml import kidney
from SlicerHPOLib.mrml.scene import is_in_scene, unchanged_on_failure
from SlicerHPOLib.mrml.volumes import NodeError, image_of, to_world, unchecked_image_of
from SlicerHPOLib.segmentation import write_segmentation
from SlicerHPOLib.worker import found_kidney, segment_request

SAMPLES = Path(SlicerHPOLib.__file__).resolve().parents[2] / "Resources" / "SampleData" / "kidney"


class KidneyUltrasound(ScriptedLoadableModule):
    """What the module is."""

    def __init__(self, parent):
        ScriptedLoadableModule.__init__(self, parent)
        self.parent.title = _("Kidney Ultrasound Segmentation")
        self.parent.categories = [translate("qSlicerAbstractCoreModule", "Segmentation")]
        self.parent.dependencies = ["Markups", "Segmentations", "Tables", "Volumes"]
        self.parent.contributors = ["SlicerHPO contributors"]
        self.parent.helpText = _(
            "Finds the kidney in a 3D ultrasound volume by deforming a template kidney, measures it, and lets you "
            "correct it: click where the kidney is (inside, green) or is not (outside, red), and the shape follows. "
            "Not for clinical use."
        )
        self.parent.acknowledgementText = _(
            "The method follows H. Bertrand, Hyper-parameter optimization in deep learning and transfer learning: "
            "applications to medical imaging, doctoral thesis, 2019."
        )
        slicer.app.connect("startupCompleted()", registerSampleData)


def registerSampleData():
    """Adds the sample volumes to the module Sample Data."""
    import SampleData

    for path in sorted(SAMPLES.glob("*.nii.gz")):
        name = path.name.removesuffix(".nii.gz")
        SampleData.SampleDataLogic.registerCustomSampleDataSource(
            category=_("Kidney Ultrasound"),
            sampleName=name,
            uris=path.as_uri(),
            fileNames=path.name,
            nodeNames=name,
        )


class Method(enum.Enum):
    """How the kidney is found."""

    DEFORMATION = "deformation"
    UNET = "unet"
    CLASSICAL = "classical"

    def label(self):
        """Shown in the panel."""
        return {
            Method.DEFORMATION: _("Deformed template (recommended)"),
            Method.UNET: _("Network alone, no template"),
            Method.CLASSICAL: _("Classical, from a seed point"),
        }[self]


class Side(enum.Enum):
    """Which kidney it is; the image does not tell."""

    UNKNOWN = ""
    LEFT = "left"
    RIGHT = "right"

    def label(self):
        """Shown in the panel."""
        return {Side.UNKNOWN: _("Not stated"), Side.LEFT: _("Left kidney"), Side.RIGHT: _("Right kidney")}[self]


@parameterNodeWrapper
class KidneyUltrasoundParameterNode:
    """What the panel holds.

    inputVolume: to be segmented. method: how. seedPoint: list of one point, for the classical method. model: name of
    the deployed model. side: which kidney it is. segmentation: the result, with all that belongs to it.
    """

    inputVolume: slicer.vtkMRMLScalarVolumeNode
    method: Method = Method.DEFORMATION
    seedPoint: slicer.vtkMRMLMarkupsFiducialNode
    model: str = TASK
    side: Side = Side.UNKNOWN
    segmentation: slicer.vtkMRMLSegmentationNode


class KidneyUltrasoundWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    """The panel."""

    POLL_MS, SETTLED_MS, DOUBLE_CLICK_MS = 100, 300, 500

    def __init__(self, parent=None):
        ScriptedLoadableModuleWidget.__init__(self, parent)
        VTKObservationMixin.__init__(self)
        self.logic = None
        self._parameterNode = None
        self._parameterNodeGuiTag = None
        self._observedNodes = ()  # the seed point, and those of the segmentation that the user can change
        self._dragging = False

    def setup(self):
        ScriptedLoadableModuleWidget.setup(self)
        uiWidget = slicer.util.loadUI(self.resourcePath("UI/KidneyUltrasound.ui"))
        self.layout.addWidget(uiWidget)
        self.ui = slicer.util.childWidgetVariables(uiWidget)
        uiWidget.setMRMLScene(slicer.mrmlScene)
        self.logic = KidneyUltrasoundLogic()

        self._runTimer = self._timer(self.POLL_MS, self.onRunTimer, singleShot=False)
        self._pointsTimer = self._timer(0, self.onPointsTimer)  # one update for all events of a mouse move
        self._settledTimer = self._timer(self.SETTLED_MS, self.onSettledTimer)
        self._applyTimer = self._timer(self.DOUBLE_CLICK_MS, self._checkCanApply)

        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.StartCloseEvent, self.onSceneStartClose)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.EndCloseEvent, self.onSceneEndClose)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.NodeRemovedEvent, self.onNodeRemoved)

        self.ui.applyButton.connect("clicked(bool)", self.onApplyButton)
        self.ui.modelSelector.connect("currentIndexChanged(int)", self.onModelSelected)
        self.ui.undoButton.connect("clicked(bool)", self.onUndoButton)
        self.ui.redoButton.connect("clicked(bool)", self.onRedoButton)
        self.ui.exportSegmentationButton.connect("clicked(bool)", self.onExportSegmentationButton)
        self.ui.exportReportButton.connect("clicked(bool)", self.onExportReportButton)
        for placeWidget in (self.ui.insidePlaceWidget, self.ui.outsidePlaceWidget):
            placeWidget.placeMultipleMarkups = slicer.qSlicerMarkupsPlaceWidget.ForcePlaceMultipleMarkups
            placeWidget.connect("activeMarkupsPlaceModeChanged(bool)", self.onPlaceModeChanged)
        self.ui.seedPlaceWidget.placeMultipleMarkups = slicer.qSlicerMarkupsPlaceWidget.ForcePlaceSingleMarkup
        self.initializeParameterNode()

    def _timer(self, milliseconds, slot, singleShot=True):
        timer = qt.QTimer(self.parent)
        timer.setInterval(milliseconds)
        timer.setSingleShot(singleShot)
        timer.connect("timeout()", slot)
        return timer

    def cleanup(self):
        self.logic.cancelProcess()
        for timer in (self._runTimer, self._pointsTimer, self._settledTimer, self._applyTimer):
            timer.stop()
        self.setParameterNode(None)
        self.removeObservers()

    def enter(self):
        self.initializeParameterNode()

    def exit(self):
        self._stopPlacing()
        self.setParameterNode(None)

    def onSceneStartClose(self, caller, event):
        self.logic.cancelProcess()
        self._runTimer.stop()
        self.setParameterNode(None)

    def onSceneEndClose(self, caller, event):
        if self.parent.isEntered:
            self.initializeParameterNode()

    def onNodeRemoved(self, caller, event):
        if self._parameterNode:
            self.onParameterNodeModified()  # a reference may be gone

    def initializeParameterNode(self):
        """Makes sure that there is a parameter node, with a volume if the scene has one."""
        self.setParameterNode(self.logic.getParameterNode())
        if not self._parameterNode.inputVolume:
            firstVolume = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLScalarVolumeNode")
            if firstVolume:
                self._parameterNode.inputVolume = firstVolume

    def setParameterNode(self, inputParameterNode):
        """Shows and observes another parameter node, or none."""
        if self._parameterNode:
            self._parameterNode.disconnectGui(self._parameterNodeGuiTag)
            self._parameterNodeGuiTag = None
            self.removeObserver(self._parameterNode, vtk.vtkCommand.ModifiedEvent, self.onParameterNodeModified)
        self._parameterNode = inputParameterNode
        if self._parameterNode:
            self._fillModels()
            self._parameterNodeGuiTag = self._parameterNode.connectGui(self.ui)
            self.addObserver(self._parameterNode, vtk.vtkCommand.ModifiedEvent, self.onParameterNodeModified)
            self.onParameterNodeModified()
        else:
            self._observe([])

    def onParameterNodeModified(self, caller=None, event=None):
        node = self._parameterNode
        if node.segmentation and node.inputVolume and not self.logic.isResultOf(node.segmentation, node.inputVolume):
            node.segmentation = self.logic.resultOf(node.inputVolume)  # which comes back here
            return
        if node.method == Method.CLASSICAL and not node.seedPoint:
            node.seedPoint = self.logic.addSeedPointNode()
            return
        for widget in (self.ui.seedLabel, self.ui.seedPlaceWidget):
            widget.visible = node.method == Method.CLASSICAL
        self.ui.seedPlaceWidget.setCurrentNode(node.seedPoint)
        inside, outside = self.logic.pointNodes(node.segmentation)
        self.ui.insidePlaceWidget.setCurrentNode(inside)
        self.ui.outsidePlaceWidget.setCurrentNode(outside)
        self.ui.measuresView.setMRMLTableNode(self.logic.measuresNode(node.segmentation))
        self._observe([points for points in (node.seedPoint, inside, outside) if points])
        if node.segmentation:
            self.logic.setSide(node.segmentation, node.side.value)
        self._checkCanApply()

    def _observe(self, pointNodes):
        if list(self._observedNodes) == pointNodes:
            return
        for method in (self.onPointModified, self.onDragStarted, self.onDragEnded):
            self.removeObservers(method)
        self._observedNodes = tuple(pointNodes)
        for node in pointNodes:
            for event in (node.PointModifiedEvent, node.PointPositionDefinedEvent, node.PointRemovedEvent):
                self.addObserver(node, event, self.onPointModified)
            self.addObserver(node, node.PointStartInteractionEvent, self.onDragStarted)
            self.addObserver(node, node.PointEndInteractionEvent, self.onDragEnded)

    # Segmenting

    def _checkCanApply(self, caller=None, event=None):
        """Enables the buttons that make sense now; what is not enabled says why."""
        node, running = self._parameterNode, self.logic.isRunning
        why = ""
        if node and not running:
            seedPoint = self.logic.seedPointOf(node.seedPoint) if node.method == Method.CLASSICAL else None
            why = self.logic.whyNot(node.inputVolume, node.method.value, seedPoint)
        self.ui.applyButton.text = _("Cancel") if running else _("Apply")
        self.ui.applyButton.enabled = bool(node) and not why and not self._applyTimer.isActive()
        self.ui.applyButton.toolTip = why or (_("Stop the computation.") if running else _("Find the kidney."))
        self.ui.inputsCollapsibleButton.enabled = not running
        self.ui.progressBar.visible = running
        self._checkCanCorrect()

    def onApplyButton(self):
        self._applyTimer.start()  # the second click of a double click shall not cancel
        try:
            if self.logic.isRunning:
                self.logic.cancelProcess()
                return
            node = self._parameterNode
            self._stopPlacing()
            self._show(self.ui.statusLabel, "")
            with slicer.util.tryWithErrorDisplay(_("The kidney could not be segmented."), waitCursor=True):
                self.logic.startProcess(
                    node.inputVolume,
                    node.method.value,
                    model=node.model,
                    seedPoint=self.logic.seedPointOf(node.seedPoint) if node.method == Method.CLASSICAL else None,
                    side=node.side.value,
                    outputSegmentation=node.segmentation,
                    interactive=True,
                )
                self._runTimer.start()
        finally:
            self._checkCanApply()

    def onRunTimer(self):
        status = self.logic.pollProcess()
        self.ui.progressBar.value = round(100 * status.fraction)
        self.ui.progressBar.format = f"{status.text} (%p %)"
        if status.state == "running":
            return
        self._runTimer.stop()
        try:
            if status.state == "cancelled":
                self._show(self.ui.statusLabel, status.text or _("Cancelled."))
                return
            with slicer.util.tryWithErrorDisplay(_("The kidney could not be segmented."), waitCursor=True):
                segmentation = self.logic.finishProcess()
                self._parameterNode.segmentation = segmentation
                self.logic.showInViews(segmentation)
                self._show(self.ui.statusLabel, " ".join(self.logic.notes))
        finally:
            self._checkCanApply()

    def onModelSelected(self, index):
        if self._parameterNode and index >= 0:
            self._parameterNode.model = self.ui.modelSelector.currentText

    def _fillModels(self):
        wasBlocked = self.ui.modelSelector.blockSignals(True)
        names = self.logic.models()
        self.ui.modelSelector.clear()
        self.ui.modelSelector.addItems(names)
        if names and self._parameterNode.model not in names:
            self._parameterNode.model = names[0]
        self.ui.modelSelector.currentText = self._parameterNode.model
        self.ui.modelSelector.blockSignals(wasBlocked)

    # Correcting

    def _checkCanCorrect(self):
        segmentation = self._parameterNode.segmentation if self._parameterNode else None
        can = self.logic.canCorrect(segmentation) and not self.logic.isRunning
        for widget in (self.ui.correctionsCollapsibleButton, self.ui.resultCollapsibleButton):
            widget.enabled = can
            widget.toolTip = "" if can else _("Segment a volume first.")
        self.ui.undoButton.enabled = can and self.logic.canUndo(segmentation)
        self.ui.redoButton.enabled = can and self.logic.canRedo(segmentation)
        self._show(self.ui.warningLabel, " ".join(self.logic.warnings(segmentation)) if can else "")

    def onPlaceModeChanged(self, active):
        if active and self._parameterNode:
            self.logic.prepareCorrections(self._parameterNode.segmentation)

    def onPointModified(self, caller, event):
        self._pointsTimer.start()

    def onDragStarted(self, caller, event):
        self._dragging = True

    def onDragEnded(self, caller, event):
        self._dragging = False
        self._pointsTimer.start()

    def onPointsTimer(self):
        if not self._parameterNode or not self.logic.canCorrect(self._parameterNode.segmentation):
            self._checkCanApply()
            return
        try:
            self.logic.updateFromPoints(self._parameterNode.segmentation, preview=self._dragging)
            self._show(self.ui.messageLabel, "")
        except CorrectionError as error:
            self._show(self.ui.messageLabel, str(error) if self._dragging else _("Taken back: {0}").format(error))
        self._settledTimer.start()
        self._checkCanApply()

    def onSettledTimer(self):
        if self._parameterNode and not self._dragging:
            with slicer.util.tryWithErrorDisplay(_("The kidney could not be measured.")):
                self.logic.updateMeasures(self._parameterNode.segmentation)

    def onUndoButton(self):
        self._step(self.logic.undo)

    def onRedoButton(self):
        self._step(self.logic.redo)

    def _step(self, change):
        with slicer.util.tryWithErrorDisplay(_("The points could not be changed.")):
            change(self._parameterNode.segmentation)
        self._show(self.ui.messageLabel, "")
        self._settledTimer.start()
        self._checkCanApply()

    def _stopPlacing(self):
        for placeWidget in (self.ui.seedPlaceWidget, self.ui.insidePlaceWidget, self.ui.outsidePlaceWidget):
            placeWidget.setPlaceModeEnabled(False)

    # Exporting

    def onExportSegmentationButton(self):
        self._export(_("Segmentation (*.seg.nrrd);;Label map (*.nii.gz)"), self.logic.exportSegmentation)

    def onExportReportButton(self):
        self._export(_("Table (*.csv);;JSON (*.json)"), self.logic.exportReport)

    def _export(self, filters, write):
        path = qt.QFileDialog.getSaveFileName(self.parent, _("Export"), "", filters)
        if path:
            with slicer.util.tryWithErrorDisplay(_("The file could not be written."), waitCursor=True):
                write(self._parameterNode.segmentation, path)
                self._show(self.ui.statusLabel, _("Written: {0}").format(path))

    @staticmethod
    def _show(label, text):
        label.text = text
        label.visible = bool(text)


@dataclass(frozen=True)
class Run:
    """What is being segmented."""

    volumeNode: slicer.vtkMRMLScalarVolumeNode
    image: Image
    model: tuple[str, str]
    side: str
    outputSegmentation: slicer.vtkMRMLSegmentationNode | None


class KidneyUltrasoundLogic(ScriptedLoadableModuleLogic):
    """Segments, corrects, measures and exports, without a panel too:

    logic = slicer.util.getModuleLogic("KidneyUltrasound")
    segmentation = logic.process(volume)
    """

    def __init__(self):
        ScriptedLoadableModuleLogic.__init__(self)
        self._task = BackgroundTask()
        self._run = None
        self._sessions = {}  # segmentation's ID: what it rests on, session
        self.notes = ()  # on how the last process went

    def getParameterNode(self):
        return KidneyUltrasoundParameterNode(super().getParameterNode())

    def process(
        self,
        inputVolume,
        method="deformation",
        *,
        model=TASK,
        seedPoint=None,
        side="",
        outputSegmentation=None,
        interactive=False,
        job=None,
    ):
        """Segments the kidney in a volume, measures it, and waits until that is done.

        Args:
            inputVolume: scalar volume node, under any linear transform.
            method: "deformation", "unet", or "classical", which starts from `seedPoint`.
            model: name of a deployed model or its folder.
            seedPoint: R, A, S in mm (world), near the middle of the kidney.
            side: "left", "right", or "" where it is not known.
            outputSegmentation: segmentation node to be used; its points stay if they are of the same volume.
            interactive: whether the user may be asked to have missing packages installed; otherwise it is an error.
            job: `SlicerHPOLib.job.Job` for progress and cancellation.

        Returns:
            The segmentation node; `result` has the measures, and `warnings` why they may be wrong.

        Raises:
            ValueError, TaskError: it cannot be done; the message says why. The scene is as it was then.
            Cancelled: by the job.
        """
        self.startProcess(
            inputVolume,
            method,
            model=model,
            seedPoint=seedPoint,
            side=side,
            outputSegmentation=outputSegmentation,
            interactive=interactive,
        )
        try:
            self._task.wait(job or Job())
            return self.finishProcess()
        finally:
            self.cancelProcess()

    # In steps, for the panel

    def whyNot(self, inputVolume, method, seedPoint):
        """Why a volume cannot be segmented, or ""; looks at no voxels."""
        try:
            check_request(unchecked_image_of(inputVolume), method, seedPoint)
        except ValueError as error:
            return str(error)
        return ""

    def startProcess(
        self, inputVolume, method, *, model=TASK, seedPoint=None, side="", outputSegmentation=None, interactive=False
    ):
        """Begins what `process` does; arguments and errors as there."""
        if self.isRunning:
            raise RuntimeError(_("A volume is being segmented: wait, or cancel it."))
        image = image_of(inputVolume)
        check_request(image, method, seedPoint)
        if side not in kidney.SEGMENTS:
            raise ValueError(_('The side is {0}; expected is "left", "right" or "".').format(repr(side)))
        manifest, sha256 = read_manifest(find_bundle(model))
        self._task.start(segment_request(image, model=str(model), method=method, seed_point_mm=seedPoint))
        self._run = Run(inputVolume, image, (manifest["name"], sha256), side, outputSegmentation)

    @property
    def isRunning(self):
        """Whether a process was started and not finished or cancelled."""
        return self._run is not None

    def pollProcess(self):
        """How far it is: a `SlicerHPOLib.background.Status`. Without its volume it is cancelled."""
        if self.isRunning and not is_in_scene(self._run.volumeNode):
            self.cancelProcess()
            return Status("cancelled", 0.0, _("The volume was removed: its segmentation was cancelled."))
        return self._task.poll()

    def cancelProcess(self):
        """Stops it; nothing happens where nothing is running."""
        self._task.cancel()
        self._run = None

    def finishProcess(self):
        """Puts the answer into the scene; returns and raises as `process`."""
        run, self._run = self._run, None
        try:
            answer = self._task.answer()
        except TaskError as error:
            logging.error(error.log)
            raise
        if not is_in_scene(run.volumeNode):
            raise NodeError(_("The volume was removed from the scene while it was segmented."))
        if not np.array_equal(unchecked_image_of(run.volumeNode).ijk_to_ras, run.image.ijk_to_ras):
            raise NodeError(_("The volume was moved while it was segmented: segment it again."))
        output = run.outputSegmentation if is_in_scene(run.outputSegmentation) else None
        keepsPoints = output is not None and self.isResultOf(output, run.volumeNode)
        points = kidney.points_of(output) if keepsPoints else Points()
        session = KidneySession(found_kidney(run.image, answer), points)
        with unchanged_on_failure():
            segmentation = kidney.add_kidney(run.volumeNode, session.found, to_world(run.volumeNode), run.model, output)
            kidney.show(segmentation, session.result)
            kidney.show_measures(segmentation, session.result)
            kidney.set_side(segmentation, run.side)
        self._sessions[segmentation.GetID()] = kidney.state_of(segmentation), session
        self.notes = answer.warnings
        return segmentation

    # What there is

    def models(self):
        """Names of the deployed models for this task."""
        return [folder.name for folder in available_bundles() if read_manifest(folder)[0]["task"] == TASK]

    def resultOf(self, inputVolume):
        """The newest kidney that was segmented in a volume, or None."""
        return kidney.segmentation_of(inputVolume)

    def isResultOf(self, segmentation, inputVolume):
        """Whether a segmentation is a kidney that was segmented in this volume."""
        return segmentation.GetNodeReference(kidney.VOLUME) is inputVolume

    def result(self, segmentation) -> KidneySegmentation:
        """The library's answer: mask, measures, warnings, points. Raises NodeError if its volume is gone."""
        return self._session(segmentation).result

    def warnings(self, segmentation):
        """Why a result may be wrong, for the user."""
        return self.result(segmentation).warnings if self.canCorrect(segmentation) else ()

    def pointNodes(self, segmentation):
        """The lists of points inside and outside of the kidney, or None each."""
        return [segmentation.GetNodeReference(role) if segmentation else None for role in kidney.SIDES]

    def measuresNode(self, segmentation):
        """The table of measures, or None."""
        return segmentation.GetNodeReference(kidney.MEASURES) if segmentation else None

    def setSide(self, segmentation, side):
        """Names a result: side is "left", "right" or ""."""
        if self.canCorrect(segmentation) and segmentation.GetAttribute(kidney.SIDE) != side:
            kidney.set_side(segmentation, side)

    def showInViews(self, segmentation):
        """Shows a result in slice and 3D views, with its volume behind it."""
        slicer.util.setSliceViewerLayers(background=kidney.volume_of(segmentation))
        middle = self.result(segmentation).measures.length_axis.mean(axis=0)
        mode = slicer.vtkMRMLSliceNode.CenteredJumpSlice
        slicer.vtkMRMLSliceNode.JumpAllSlices(slicer.mrmlScene, *map(float, middle), mode)
        segmentation.GetDisplayNode().SetVisibility(True)
        threeDWidget = slicer.app.layoutManager().threeDWidget(0)
        if threeDWidget:
            threeDWidget.threeDView().resetFocalPoint()

    # Correction

    def canCorrect(self, segmentation):
        """Whether a segmentation has all that its correction needs."""
        try:
            kidney.state_of(segmentation)
        except ValueError:
            return False
        return True

    def prepareCorrections(self, segmentation):
        """Takes the time now that the first correction would take otherwise."""
        if self.canCorrect(segmentation):
            self._session(segmentation).found.corrector  # noqa: B018 (it is kept)

    def updateFromPoints(self, segmentation, preview=False):
        """Makes a segmentation honour the points in the scene as they are now.

        Args:
            preview: not to be remembered as a step that can be undone, for while a point is dragged.

        Returns:
            The library's answer; `updateMeasures` shows its measures.

        Raises:
            CorrectionError: they cannot be honoured; unless in a preview, the points are put back as they were.
        """
        session, points = self._session(segmentation), kidney.points_of(segmentation)
        unchanged = kidney.same_points(points, session.points)
        try:
            if preview:
                result = session.found.corrected(points)
            else:
                result = session.result if unchanged else session.change(points)
        except CorrectionError:
            if not preview:
                kidney.place_points(segmentation, session.points)
                kidney.show(segmentation, session.result)
            raise
        kidney.show(segmentation, result)
        return result

    def updateMeasures(self, segmentation):
        """Shows the measures of the shape as it is now."""
        if self.canCorrect(segmentation):
            kidney.show_measures(segmentation, self.result(segmentation))

    def canUndo(self, segmentation):
        """Whether a change of points can be undone."""
        return self._session(segmentation).can_undo

    def canRedo(self, segmentation):
        """Whether an undone change can be done again."""
        return self._session(segmentation).can_redo

    def undo(self, segmentation):
        """Before the last change of points."""
        self._step(segmentation, KidneySession.undo)

    def redo(self, segmentation):
        """After the change undone last."""
        self._step(segmentation, KidneySession.redo)

    def _step(self, segmentation, step):
        session = self._session(segmentation)
        result = step(session)
        kidney.place_points(segmentation, session.points)
        kidney.show(segmentation, result)

    def _session(self, segmentation):
        """The session of a segmentation: as it was left, or anew after a reload, or when the volume was moved."""
        state = kidney.state_of(segmentation)
        known, session = self._sessions.get(segmentation.GetID(), (None, None))
        if known != state:
            session = kidney.session_of(segmentation)
            self._sessions[segmentation.GetID()] = state, session
        return session

    # Seed point

    def addSeedPointNode(self):
        """A list for one point, from which the classical method starts."""
        node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", _("Kidney seed point"))
        node.SetMaximumNumberOfControlPoints(1)
        node.CreateDefaultDisplayNodes()
        node.GetDisplayNode().SetSelectedColor(1.0, 0.85, 0.2)
        return node

    def seedPointOf(self, seedPointNode):
        """R, A, S in mm in the world, or None if it is not placed."""
        positions = kidney.kidneypoints.positions(seedPointNode)
        return tuple(map(float, positions[0])) if len(positions) else None

    # Export

    def exportSegmentation(self, segmentation, path):
        """Writes .seg.nrrd or .nii.gz, in the world, with what was changed by hand. Raises NodeError, ImageError."""
        mask, segment = kidney.mask_of(segmentation)
        write_segmentation(mask, path, segment)

    def exportReport(self, segmentation, path):
        """Writes measures, points and warnings as .csv or .json, as the batch command does. Raises NodeError,
        ResultsError."""
        write = results.write_csv if str(path).lower().endswith(".csv") else results.write_json
        write(Path(path), [kidney.report_of(segmentation, self.result(segmentation))])


class KidneyUltrasoundTest(ScriptedLoadableModuleTest):
    """Run by Slicer's own self-test, with the sample data."""

    def setUp(self):
        slicer.mrmlScene.Clear()

    def runTest(self):
        self.setUp()
        self.test_aSampleIsSegmentedCorrectedAndUndone()

    def test_aSampleIsSegmentedCorrectedAndUndone(self):
        self.delayDisplay("Segmenting a sample")
        volume = slicer.util.loadVolume(str(SAMPLES / "adult-right.nii.gz"))
        logic = KidneyUltrasoundLogic()
        segmentation = logic.process(volume, side="right")
        before = logic.result(segmentation)
        self.assertGreater(before.measures.length_mm, 60)
        self.delayDisplay("Correcting it")
        pole = before.measures.length_axis[0]
        logic.pointNodes(segmentation)[1].AddControlPointWorld(*map(float, pole + 0.1 * (pole.mean() - pole)))
        after = logic.updateFromPoints(segmentation)
        self.assertEqual(len(after.points), 1)
        self.assertLess(after.measures.volume_ml, before.measures.volume_ml)
        logic.undo(segmentation)
        self.assertTrue(np.array_equal(logic.result(segmentation).mask, before.mask))
        self.delayDisplay("Test passed")
