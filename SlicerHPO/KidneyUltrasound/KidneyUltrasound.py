"""Kidney Ultrasound: the kidney in a 3D ultrasound volume, corrected by points until it is right."""

import sys
from pathlib import Path

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
    import SlicerHPOLib  # noqa: F401
except ImportError:  # run from the source tree
    sys.path.append(str(Path(__file__).resolve().parents[1]))

from KidneyUltrasoundLib.Choices import Method, Population, Side
from KidneyUltrasoundLib.CorrectionPoints import CorrectionPoints
from KidneyUltrasoundLib.ExportButtons import ExportButtons
from KidneyUltrasoundLib.ModelSelector import ModelSelector
from KidneyUltrasoundLib.SeedPoint import SeedPoint
from KidneyUltrasoundLib.Timers import timer
from SlicerHPOLib.background import Status
from SlicerHPOLib.bundle import model_names
from SlicerHPOLib.files import SAMPLES
from SlicerHPOLib.job import Job
from SlicerHPOLib.kidney.points import CorrectionError
from SlicerHPOLib.kidney.segmenter import TASK
from SlicerHPOLib.kidney.session import KidneySession
from SlicerHPOLib.mrml import kidney, kidneyexport, kidneyfound, kidneypoints, kidneyrun
from SlicerHPOLib.mrml.kidneycorrections import KidneyCorrections
from SlicerHPOLib.mrml.packages import ensure_packages, missing_packages
from SlicerHPOLib.mrml.parameters import bound_widgets
from SlicerHPOLib.mrml.samples import register_samples
from SlicerHPOLib.mrml.translation import translated, tryWithErrorDisplay
from SlicerHPOLib.mrml.volumes import VOLUME_EVENTS, image_volumes


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
    register_samples(_("Kidney Ultrasound"), "kidney")


@parameterNodeWrapper
class KidneyUltrasoundParameterNode:
    """What the panel holds.

    inputVolume: to be segmented. method: how. population: whose kidney it is, for the other methods than the classical.
    seedPoint: list of one point, for the classical one. model: name of the deployed model. side: which kidney it is.
    segmentation: the result, with all that belongs to it.
    """

    inputVolume: slicer.vtkMRMLScalarVolumeNode
    method: Method = Method.DEFORMATION
    population: Population = Population.AUTO
    seedPoint: slicer.vtkMRMLMarkupsFiducialNode
    model: str = TASK
    side: Side = Side.UNKNOWN
    segmentation: slicer.vtkMRMLSegmentationNode


class KidneyUltrasoundWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    """The panel."""

    POLL_MS, DOUBLE_CLICK_MS = 100, 500

    def __init__(self, parent=None):
        ScriptedLoadableModuleWidget.__init__(self, parent)
        VTKObservationMixin.__init__(self)
        self.logic = None
        self._parameterNode = None
        self._parameterNodeGuiTag = None
        self._shown = None, None  # input volume and segmentation

    def setup(self):
        ScriptedLoadableModuleWidget.setup(self)
        uiWidget = slicer.util.loadUI(self.resourcePath("UI/KidneyUltrasound.ui"))
        self.layout.addWidget(uiWidget)
        self.ui = slicer.util.childWidgetVariables(uiWidget)
        uiWidget.setMRMLScene(slicer.mrmlScene)
        self.logic = KidneyUltrasoundLogic()

        self._runTimer = timer(self.POLL_MS, self.onRunTimer, singleShot=False)
        self._clickTimer = timer(self.DOUBLE_CLICK_MS, self._checkCanApply)
        placeWidgets = [self.ui.insidePlaceWidget, self.ui.outsidePlaceWidget]
        self._points = CorrectionPoints(placeWidgets, self.onPlace, self.onPointsChanged, self.onPointsSettled)
        self._seedPoint = SeedPoint(self.ui, self._checkCanApply)
        self._exports = ExportButtons(self.ui, self.logic, lambda: self._parameterNode.segmentation)
        self._models = ModelSelector(self.ui.modelSelector, self.logic.models)
        self.ui.segmentationSelector.addAttribute("vtkMRMLSegmentationNode", kidney.SIDE)  # only kidneys

        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.StartCloseEvent, self.onSceneStartClose)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.EndCloseEvent, self.onSceneEndClose)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.StartImportEvent, self.onSceneStartImport)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.EndImportEvent, self.onSceneEndClose)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.NodeRemovedEvent, self.onNodeRemoved)

        self.ui.applyButton.connect("clicked(bool)", self.onApplyButton)
        self.ui.undoButton.connect("clicked(bool)", self.onUndoButton)
        self.ui.redoButton.connect("clicked(bool)", self.onRedoButton)
        self.initializeParameterNode()

    def cleanup(self):
        self.logic.cancelProcess()
        self._runTimer.stop()
        self._clickTimer.stop()
        self.setParameterNode(None)
        self.removeObservers()

    def enter(self):
        self.initializeParameterNode()

    def exit(self):
        self._stopPlacing()
        self.setParameterNode(None)  # what is running goes on

    def onSceneStartClose(self, caller, event):
        self.logic.cancelProcess()
        self.setParameterNode(None)

    def onSceneStartImport(self, caller, event):
        self.setParameterNode(None)  # while the nodes come, a volume seems to have no result yet

    def onSceneEndClose(self, caller, event):
        if self.parent.isEntered:
            self.initializeParameterNode()

    def onNodeRemoved(self, caller, event):
        if not slicer.mrmlScene.IsClosing() and not slicer.mrmlScene.IsImporting():
            self.logic.removeOrphans()
            if self._parameterNode:
                self.onParameterNodeModified()  # a reference may be gone

    def initializeParameterNode(self):
        """Makes sure that there is a parameter node, with a volume if the scene has one."""
        self.setParameterNode(self.logic.getParameterNode())
        if not self._parameterNode.inputVolume:
            self._parameterNode.inputVolume = next(iter(self.logic.volumes()), None)

    def setParameterNode(self, inputParameterNode):
        """Shows and observes another parameter node, or none."""
        if self._parameterNode:
            self._parameterNode.disconnectGui(self._parameterNodeGuiTag)
            self.removeObserver(self._parameterNode, vtk.vtkCommand.ModifiedEvent, self.onParameterNodeModified)
        self._parameterNode = inputParameterNode
        self._models.watch(inputParameterNode)
        if self._parameterNode:
            self._parameterNodeGuiTag = self._parameterNode.connectParametersToGui(bound_widgets(self.ui))
            self.addObserver(self._parameterNode, vtk.vtkCommand.ModifiedEvent, self.onParameterNodeModified)
            self.onParameterNodeModified()
        else:
            self._points.watch([None, None])
            self._seedPoint.watch(None)
            self._shown = None, None

    def onParameterNodeModified(self, caller=None, event=None):
        node = self._parameterNode
        if self._follow(node):
            return  # the change has come back here
        self._seedPoint.watch(node.seedPoint if node.method == Method.CLASSICAL else None)
        for widget in (self.ui.populationLabel, self.ui.populationSelector):
            widget.visible = node.method != Method.CLASSICAL
        self.removeObservers(self.onVolumeModified)
        for event in VOLUME_EVENTS if node.inputVolume else ():
            self.addObserver(node.inputVolume, event, self.onVolumeModified)
        self.logic.followVolume(node.inputVolume)
        self._points.watch(self.logic.pointNodes(node.segmentation))
        self.ui.measuresView.setMRMLTableNode(self.logic.measuresNode(node.segmentation))
        self.logic.setSide(node.segmentation, node.side.value)
        self._checkButtons()

    def onVolumeModified(self, caller, event):
        """The volume has other voxels, or lies elsewhere."""
        self.logic.followVolume(caller)
        self._checkCanApply()

    def _follow(self, node):
        """Sets what depends on the parameter that was changed; whether there was anything to set."""
        (volume, segmentation), shown = (node.inputVolume, node.segmentation), self._shown
        self._shown = volume, segmentation
        if segmentation and segmentation is not shown[1]:
            volumeOfIt, side = self.logic.volumeOf(segmentation), Side(self.logic.sideOf(segmentation))
            if volumeOfIt is not volume or side != node.side:
                self._shown = volumeOfIt, segmentation
                with slicer.util.NodeModify(node):
                    node.inputVolume, node.side = volumeOfIt, side
                return True
        elif volume is not shown[0] and self.logic.resultOf(volume) is not segmentation:
            node.segmentation = self.logic.resultOf(volume)
            return True
        if node.method == Method.CLASSICAL and not node.seedPoint:
            node.seedPoint = self.logic.addSeedPointNode()
            return True
        return False

    # Segmenting

    def _checkButtons(self):
        """Enables all that makes sense now."""
        self.ui.inputsCollapsibleButton.enabled = not self.logic.isRunning
        self.ui.progressBar.visible = self.logic.isRunning
        self._checkCanApply()
        self._checkCanCorrect()

    def _checkCanApply(self, caller=None, event=None):
        """Enables Apply if it makes sense now; else it says why."""
        node, running = self._parameterNode, self.logic.isRunning
        why = self.logic.whyNot(node.inputVolume, node.method.value, **self._asked()) if node and not running else ""
        self.ui.applyButton.text = _("Cancel") if running else _("Apply")
        self.ui.applyButton.enabled = bool(node) and not why and not self._clickTimer.isActive()
        self.ui.applyButton.toolTip = why or (_("Stop the computation.") if running else _("Find the kidney."))

    def _asked(self):
        """What the chosen method takes besides the volume."""
        if self._parameterNode.method == Method.CLASSICAL:
            return dict(seed_point_mm=self.logic.seedPointOf(self._parameterNode.seedPoint))
        return dict(population=self._parameterNode.population.value)

    def onApplyButton(self):
        self._clickTimer.start()  # the second click of a double click shall not cancel
        try:
            if self.logic.isRunning:
                self.logic.cancelProcess()
                return
            node = self._parameterNode
            self._stopPlacing()
            self._show(self.ui.statusLabel, "")
            with tryWithErrorDisplay(_("The kidney could not be segmented."), waitCursor=True):
                options = dict(model=node.model, side=node.side.value, segmentation_node=node.segmentation)
                options.update(self._asked())
                self.logic.startProcess(node.inputVolume, node.method.value, interactive=True, **options)
                self._runTimer.start()
        finally:
            self._checkButtons()

    def onRunTimer(self):
        status = self.logic.pollProcess()
        self.ui.progressBar.value = round(100 * status.fraction)
        self.ui.progressBar.format = f"{translated(status.text)} (%p %)"
        if status.state == "running":
            return
        self._runTimer.stop()
        try:
            if status.state == "cancelled":
                self._show(self.ui.statusLabel, status.text or _("Cancelled."))
                return
            with tryWithErrorDisplay(_("The kidney could not be segmented."), waitCursor=True):
                segmentation = self.logic.finishProcess()
                self.logic.getParameterNode().segmentation = segmentation  # maybe of a panel that was left
                if self._parameterNode:  # else the user is at work elsewhere
                    self.logic.showInViews(segmentation)
                self._show(self.ui.statusLabel, " ".join(map(translated, self.logic.notes)))
                self._points.tellSettled()
        finally:
            self._checkButtons()

    # Correcting

    def _checkCanCorrect(self):
        segmentation = self._parameterNode.segmentation if self._parameterNode else None
        whyNot = self.logic.whyNotCorrect(segmentation) if segmentation else ""
        can = bool(segmentation) and not whyNot and not self.logic.isRunning
        for widget in (self.ui.correctionsCollapsibleButton, self.ui.resultCollapsibleButton):
            widget.enabled = can
            widget.toolTip = "" if can else whyNot or _("Segment a volume first.")
        self.ui.undoButton.enabled = can and self.logic.canUndo(segmentation)
        self.ui.redoButton.enabled = can and self.logic.canRedo(segmentation)
        self._show(self.ui.warningLabel, " ".join(self.logic.warnings(segmentation)) if can else whyNot)
        told = Population.told(*self.logic.populationOf(segmentation)) if can else ""
        self._show(self.ui.foundPopulationLabel, told)

    def onPlace(self):
        self.logic.prepareCorrections(self._parameterNode.segmentation)

    def onPointsChanged(self, dragging):
        segmentation = self._parameterNode.segmentation
        try:
            if self.logic.canCorrect(segmentation):
                self.logic.updateFromPoints(segmentation, preview=dragging)
            self._show(self.ui.messageLabel, "")
        except CorrectionError as error:
            self._points.forget()  # they were put back
            self._show(self.ui.messageLabel, ("{0}" if dragging else _("Taken back: {0}")).format(translated(error)))
        self._checkButtons()

    def onPointsSettled(self):
        with tryWithErrorDisplay(_("The kidney could not be measured.")):
            self.logic.updateMeasures(self.logic.getParameterNode().segmentation)
            self.ui.measuresView.resizeColumnsToContents()

    def onUndoButton(self):
        self._step(self.logic.undo)

    def onRedoButton(self):
        self._step(self.logic.redo)

    def _step(self, change):
        with tryWithErrorDisplay(_("The points could not be changed.")):
            change(self._parameterNode.segmentation)
        self._show(self.ui.messageLabel, "")
        self._points.tellSettled()
        self._checkButtons()

    def _stopPlacing(self):
        self._points.stopPlacing()
        self._seedPoint.stopPlacing()

    @staticmethod
    def _show(label, text):
        label.text = text
        label.visible = bool(text)


class KidneyUltrasoundLogic(ScriptedLoadableModuleLogic):
    """Segments, corrects, measures and exports, without a panel too:

    logic = slicer.util.getModuleLogic("KidneyUltrasound")
    segmentation = logic.process(volume)
    """

    def __init__(self):
        ScriptedLoadableModuleLogic.__init__(self)
        self._run = None
        self._corrections = KidneyCorrections()
        self.notes = ()  # what the user should know about how the last process went

    def getParameterNode(self):
        return KidneyUltrasoundParameterNode(super().getParameterNode())

    def process(
        self,
        inputVolume,
        method="deformation",
        *,
        model=TASK,
        population="auto",
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
            population: "adult", "child", or "auto", where the model tells from the volume; it may know no difference.
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
        options = dict(model=model, population=population, seed_point_mm=seedPoint, side=side)
        options["segmentation_node"] = outputSegmentation
        self.startProcess(inputVolume, method, interactive=interactive, **options)
        try:
            self._run.wait(job or Job())
            segmentation = self.finishProcess()
        finally:
            self.cancelProcess()
        self.updateMeasures(segmentation)
        return segmentation

    # In steps, for the panel

    def whyNot(self, inputVolume, method, seed_point_mm=None, population="auto"):
        """Why a process could not begin, or ""."""
        return kidneyrun.why_not(inputVolume, method, seed_point_mm, population)

    def startProcess(self, inputVolume, method="deformation", *, interactive=False, **options):
        """Begins what `process` does; `options` are those of `SlicerHPOLib.mrml.kidneyrun.KidneyRun`."""
        if self.isRunning:
            raise RuntimeError(_("A volume is being segmented: wait, or cancel it."))
        ensure_packages(_("Kidney Ultrasound Segmentation"), interactive)
        self._run = kidneyrun.KidneyRun(inputVolume, method, **options)

    @property
    def isRunning(self):
        """Whether a process was started and not finished or cancelled."""
        return self._run is not None

    def pollProcess(self):
        """How far it is: a `SlicerHPOLib.background.Status`; "failed" is told by `finishProcess`."""
        status = self._run.poll() if self.isRunning else Status("cancelled")
        if status.state == "cancelled":
            self._run = None
        return status

    def cancelProcess(self):
        """Stops it; nothing happens where nothing is running."""
        if self.isRunning:
            self._run.cancel()
            self._run = None

    def finishProcess(self):
        """Puts the answer into the scene, but for its measures; returns and raises as `process`."""
        run, self._run = self._run, None
        segmentation, session, self.notes = run.finish()
        self._corrections.keep(segmentation, session)
        return segmentation

    # What there is

    def models(self):
        """Names of the deployed models for this task; those that are broken are left out."""
        return model_names(TASK)

    def volumes(self):
        """The scene's image volumes."""
        return image_volumes()

    def resultOf(self, inputVolume):
        """The newest kidney that was segmented in a volume, or None."""
        return kidney.segmentation_of(inputVolume)

    def volumeOf(self, segmentation):
        """The volume in which a kidney was segmented, or None if it is gone."""
        return segmentation.GetNodeReference(kidney.VOLUME)

    def sideOf(self, segmentation):
        """ "left", "right", or "" where it is not known."""
        return kidney.side_of(segmentation)

    def populationOf(self, segmentation):
        """Whose network answered, or None if there was but one, and what was asked for. Raises as `result`."""
        return self.result(segmentation).population, kidney.origin_of(segmentation).population

    def result(self, segmentation):
        """The library's answer: mask, measures, warnings, points. Raises NodeError if its volume is gone."""
        return self._corrections.session(segmentation).result

    def warnings(self, segmentation):
        """Why a result may be wrong, for the user."""
        warnings = self.result(segmentation).warnings if self.canCorrect(segmentation) else ()
        return tuple(map(translated, warnings))

    def pointNodes(self, segmentation):
        """The lists of points inside and outside of the kidney, or None each."""
        return [segmentation.GetNodeReference(role) if segmentation else None for role in kidney.SIDES]

    def measuresNode(self, segmentation):
        """The table of measures, or None."""
        return segmentation.GetNodeReference(kidney.MEASURES) if segmentation else None

    def setSide(self, segmentation, side):
        """Names a result: side is "left", "right" or ""."""
        if self.canCorrect(segmentation) and kidney.side_of(segmentation) != side:
            kidney.set_side(segmentation, side)

    def removeOrphans(self):
        """Removes what was found for results that are gone: it is hidden, so that the user cannot."""
        kidneyfound.remove_orphans()

    def showInViews(self, segmentation):
        """Shows a result in slice and 3D views, with its volume behind it."""
        kidney.show_in_views(segmentation, self.result(segmentation))

    # Correction

    def whyNotCorrect(self, segmentation):
        """Why points cannot correct a segmentation, or ""."""
        try:
            kidney.state_of(segmentation)
        except ValueError as error:
            return translated(error)
        return ""

    def canCorrect(self, segmentation):
        """Whether a segmentation has all that its correction needs."""
        return not self.whyNotCorrect(segmentation)

    def followVolume(self, inputVolume):
        """Takes all kidneys of a volume along that was put under another parent transform."""
        for segmentation in kidney.segmentations_of(inputVolume):
            kidney.follow(segmentation)

    def prepareCorrections(self, segmentation):
        """Takes the time now that the first correction would take otherwise."""
        if self.canCorrect(segmentation):
            self._corrections.session(segmentation).found.corrector  # noqa: B018 (it is kept)

    def updateFromPoints(self, segmentation, preview=False):
        """Makes a segmentation honour the points in the scene as they are now.

        Args:
            preview: not to be remembered as a step that can be undone, for while a point is dragged.

        Returns:
            The library's answer; `updateMeasures` shows its measures.

        Raises:
            CorrectionError: they cannot be honoured; unless in a preview, the points are put back as they were.
        """
        return self._corrections.update(segmentation, preview)

    def updateMeasures(self, segmentation):
        """Shows the measures of the shape as it is now."""
        if self.canCorrect(segmentation):
            kidney.show_measures(segmentation, self.result(segmentation))

    def canUndo(self, segmentation):
        """Whether a change of points can be undone."""
        return self._corrections.session(segmentation).can_undo

    def canRedo(self, segmentation):
        """Whether an undone change can be done again."""
        return self._corrections.session(segmentation).can_redo

    def undo(self, segmentation):
        """Before the last change of points."""
        return self._corrections.step(segmentation, KidneySession.undo)

    def redo(self, segmentation):
        """After the change undone last."""
        return self._corrections.step(segmentation, KidneySession.redo)

    # Seed point

    def addSeedPointNode(self):
        """A list for one point, from which the classical method starts."""
        return kidneypoints.add_seed(_("Kidney seed point"))

    def seedPointOf(self, seedPointNode):
        """R, A, S in mm in the world, or None if it is not placed."""
        return kidneypoints.seed_of(seedPointNode)

    # Export

    def exportSegmentation(self, segmentation, path):
        """Writes .seg.nrrd or .nii.gz, in the world, with what was changed by hand. Raises NodeError, ImageError."""
        kidneyexport.export_mask(segmentation, path)

    def exportReport(self, segmentation, path):
        """Writes measures, points and warnings as .csv or .json. Raises NodeError, ResultsError."""
        kidneyexport.export_report(segmentation, self.result(segmentation), path)


class KidneyUltrasoundTest(ScriptedLoadableModuleTest):
    """Run by Slicer's own self-test, with the sample data."""

    def setUp(self):
        slicer.mrmlScene.Clear()
        if missing := missing_packages():
            self.skipTest(f"needs {', '.join(missing)}")

    def runTest(self):
        self.setUp()
        self.test_aSampleIsSegmentedCorrectedAndUndone()

    def test_aSampleIsSegmentedCorrectedAndUndone(self):
        self.delayDisplay("Segmenting a sample")
        volume = slicer.util.loadVolume(str(SAMPLES / "kidney" / "adult-right.nii.gz"))
        logic = KidneyUltrasoundLogic()
        segmentation = logic.process(volume, side="right")
        before = logic.result(segmentation)
        self.assertGreater(before.measures.length_mm, 60)
        self.delayDisplay("Correcting it")
        first, second = before.measures.length_axis
        logic.pointNodes(segmentation)[1].AddControlPointWorld(*map(float, 0.9 * first + 0.1 * second))
        self.assertLess(logic.updateFromPoints(segmentation).measures.volume_ml, before.measures.volume_ml)
        self.assertTrue((logic.undo(segmentation).mask == before.mask).all())
        self.delayDisplay("Test passed")
