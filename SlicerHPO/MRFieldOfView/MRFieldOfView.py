"""MR Field of View: which regions of the body an MR volume shows, and where each begins."""

import sys
from pathlib import Path

import ctk
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
    import SlicerHPOLib  # noqa: F401
except ImportError:  # run from the source tree
    sys.path.append(str(Path(__file__).resolve().parents[1]))

from MRFieldOfViewLib.BoundaryPlanes import BoundaryPlanes
from MRFieldOfViewLib.BoundaryRows import BoundaryRows
from MRFieldOfViewLib.RegionTable import RegionTable
from MRFieldOfViewLib.ResultsTable import ResultsTable
from MRFieldOfViewLib.RunButtons import RunButtons
from SlicerHPOLib.bundle import model_names
from SlicerHPOLib.fieldofview.classification import BOUNDARIES
from SlicerHPOLib.fieldofview.classifier import TASK
from SlicerHPOLib.foldertask import FolderTask
from SlicerHPOLib.mrml import boundaryplanes, fieldofview, packages, resultlist, slabs, volumes
from SlicerHPOLib.mrml.parameters import bound_widgets
from SlicerHPOLib.mrml.samples import register_samples
from SlicerHPOLib.mrml.scene import show_in_slice_views, unchanged_on_failure
from SlicerHPOLib.mrml.translation import translated, tryWithErrorDisplay
from SlicerHPOLib.mrml.volumestask import VolumesTask
from SlicerHPOLib.results import write_csv


class MRFieldOfView(ScriptedLoadableModule):
    """What the module is."""

    def __init__(self, parent):
        ScriptedLoadableModule.__init__(self, parent)
        self.parent.title = _("MR Field of View")
        self.parent.categories = [translate("qSlicerAbstractCoreModule", "Quantification")]
        self.parent.dependencies = ["Plots", "Segmentations", "Tables", "Volumes"]
        self.parent.contributors = ["SlicerHPO contributors"]
        self.parent.helpText = _(
            "Tells which regions of the body an MR volume shows (head, chest, abdomen, pelvis, legs, or a spine "
            "examination) and where each begins, in mm along S. Boundaries can be dragged; the others are decided "
            "again around them. The neck belongs to the head. Not for clinical use."
        )
        self.parent.acknowledgementText = _(
            "The method follows H. Bertrand, Hyper-parameter optimization in deep learning and transfer learning: "
            "applications to medical imaging, doctoral thesis, 2019, section 2.6."
        )
        slicer.app.connect("startupCompleted()", registerSampleData)


def registerSampleData():
    """Adds the sample volumes to the module Sample Data."""
    register_samples(_("MR Field of View"), "mr")


@parameterNodeWrapper
class MRFieldOfViewParameterNode:
    """What the panel holds.

    inputVolume: whose regions are shown. model: name of the deployed model. showSlabs: regions are drawn in the views.
    showPlanes: boundaries are planes in the views that can be dragged.
    """

    inputVolume: slicer.vtkMRMLScalarVolumeNode
    model: str = TASK
    showSlabs: bool = True
    showPlanes: bool = False


class MRFieldOfViewWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    """The panel."""

    def __init__(self, parent=None):
        ScriptedLoadableModuleWidget.__init__(self, parent)
        VTKObservationMixin.__init__(self)
        self.logic = None
        self._parameterNode = None
        self._parameterNodeGuiTag = None
        self._started = None  # the button that started what runs or ran last

    def setup(self):
        ScriptedLoadableModuleWidget.setup(self)
        uiWidget = slicer.util.loadUI(self.resourcePath("UI/MRFieldOfView.ui"))
        self.layout.addWidget(uiWidget)
        self.ui = slicer.util.childWidgetVariables(uiWidget)
        uiWidget.setMRMLScene(slicer.mrmlScene)
        self.logic = MRFieldOfViewLogic()

        self._boundaryPlanes = BoundaryPlanes(self.logic, self.onPlanesDragged)
        self._regionTable = RegionTable(self.ui.regionsTable)
        self._resultsTable = ResultsTable(self.ui, self.onResultClicked)
        self._boundaryRows = BoundaryRows(self.ui, self.onBoundaryToggled, self.onBoundaryMoved)
        startButtons = (self.ui.applyButton, self.ui.allVolumesButton, self.ui.folderButton)
        self._runButtons = RunButtons(self.ui, startButtons, self.logic, self.onProgress, self.onEnded)
        self.ui.folderLineEdit.filters = ctk.ctkPathLineEdit.Dirs

        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.StartCloseEvent, self.onSceneStartClose)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.EndCloseEvent, self.onSceneEndClose)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.EndImportEvent, self.onSceneEndImport)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.NodeAddedEvent, self.onNodesChanged)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.NodeRemovedEvent, self.onNodesChanged)

        self.ui.applyButton.connect("clicked(bool)", self.onApplyButton)
        self.ui.allVolumesButton.connect("clicked(bool)", self.onAllVolumesButton)
        self.ui.folderButton.connect("clicked(bool)", self.onFolderButton)
        self.ui.modelSelector.connect("currentIndexChanged(int)", self.onModelSelected)
        self.ui.regionsTable.connect("cellClicked(int,int)", self.onRegionClicked)
        self.ui.regionsTable.connect("cellActivated(int,int)", self.onRegionClicked)
        self.ui.regionsTable.connect("itemSelectionChanged()", self._checkCanCrop)
        self.ui.folderLineEdit.connect("currentPathChanged(QString)", self._checkCanApply)
        self.ui.cropButton.connect("clicked(bool)", self.onCropButton)
        self.ui.plotButton.connect("clicked(bool)", self.onPlotButton)
        self.ui.exportButton.connect("clicked(bool)", self.onExportButton)
        self.ui.releaseButton.connect("clicked(bool)", self.onReleaseButton)
        self.ui.exportResultsButton.connect("clicked(bool)", self.onExportResultsButton)
        self.initializeParameterNode()

    def cleanup(self):
        self._runButtons.stop()
        self._boundaryPlanes.stop()
        self.setParameterNode(None)
        self.removeObservers()

    def enter(self):
        self.initializeParameterNode()

    def exit(self):
        self.logic.hideBoundaryPlanes()
        self.setParameterNode(None)  # what is running goes on

    def onSceneStartClose(self, caller, event):
        self._runButtons.stop()
        self.setParameterNode(None)
        self._resultsTable.show([], None)

    def onSceneEndClose(self, caller, event):
        if self.parent.isEntered:
            self.initializeParameterNode()

    def onSceneEndImport(self, caller, event):
        self.onSceneEndClose(caller, event)

    def onNodesChanged(self, caller, event):
        if self._parameterNode and not slicer.mrmlScene.IsBatchProcessing() and not slicer.mrmlScene.IsClosing():
            self._checkCanApply()
            if self._regionTable.region(0) and not self.logic.result(self._parameterNode.inputVolume):
                self._showRegions()  # the user deleted them

    def onVolumeModified(self, caller=None, event=None):
        """The volume has other voxels, or lies elsewhere."""
        self._checkCanApply()
        self._showRegions()

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
        if self._parameterNode:
            self._fillModels()
            self._parameterNodeGuiTag = self._parameterNode.connectParametersToGui(bound_widgets(self.ui))
            self.addObserver(self._parameterNode, vtk.vtkCommand.ModifiedEvent, self.onParameterNodeModified)
            self.onParameterNodeModified()
        else:
            self._observeVolume(None)

    def onParameterNodeModified(self, caller=None, event=None):
        self._observeVolume(self._parameterNode.inputVolume)
        self.logic.showSlabs(self._parameterNode.inputVolume, self._parameterNode.showSlabs)
        self.onVolumeModified()

    def _observeVolume(self, volume):
        self.removeObservers(self.onVolumeModified)
        for event in volumes.VOLUME_EVENTS if volume else ():
            self.addObserver(volume, event, self.onVolumeModified)

    def _fillModels(self):
        """The models there are; the one that the scene names is chosen, also if it is not there (an error on Apply)."""
        names = list(self.logic.models())
        if self._parameterNode.model not in names:
            names.append(self._parameterNode.model)
        selector = self.ui.modelSelector
        wasBlocked = selector.blockSignals(True)
        selector.clear()
        selector.addItems(names)
        selector.setCurrentIndex(names.index(self._parameterNode.model))
        selector.blockSignals(wasBlocked)

    def onModelSelected(self, index):
        if self._parameterNode and index >= 0:
            self._parameterNode.model = self.ui.modelSelector.itemText(index)

    # Running

    def _checkCanApply(self, caller=None, event=None):
        """Enables what can be done now; what cannot says why in its tool tip."""
        volume = self._parameterNode.inputVolume if self._parameterNode else None
        folder = self.ui.folderLineEdit.currentPath
        self._runButtons.enable(self.ui.applyButton, self.logic.whyNot(volume))
        self._runButtons.enable(self.ui.allVolumesButton, "" if self.logic.volumes() else _("No volume is loaded."))
        isFolder = bool(folder) and Path(folder).is_dir()
        self._runButtons.enable(self.ui.folderButton, "" if isFolder else _("Choose a folder of volumes."))

    def onApplyButton(self):
        self._startOrCancel(self.ui.applyButton, lambda node: self.logic.startVolumes([node.inputVolume], node.model))

    def onAllVolumesButton(self):
        self._startOrCancel(
            self.ui.allVolumesButton, lambda node: self.logic.startVolumes(self.logic.volumes(), node.model)
        )

    def onFolderButton(self):
        self._startOrCancel(
            self.ui.folderButton,
            lambda node: self.logic.startFolder(self.ui.folderLineEdit.currentPath, node.model),
        )

    def _startOrCancel(self, button, start):
        def startAnew():
            self.logic.requirePackages(interactive=True)
            start(self._parameterNode)
            self._started = button

        self._runButtons.startOrCancel(button, startAnew)

    def onProgress(self):
        """Shows those of several volumes that are finished."""
        results = self.logic.results()
        if self._started is not self.ui.applyButton and results != self._resultsTable.results:
            self._resultsTable.show(results, self.logic.showResults())

    def onEnded(self, status):
        results, failure = self.logic.results(), status.text
        if self._parameterNode:
            self.onParameterNodeModified()
        if self._started is self.ui.applyButton and results:
            failure = results[0].error
        if status.state == "cancelled":
            self._runButtons.say(_("Cancelled."))
        elif status.state == "done" and not results:
            self._runButtons.say(_("The volume was removed from the scene: nothing was computed."))
        else:
            kept = {}
            if self._started is self.ui.applyButton and not failure:
                kept = results[0].fixed
                if self._parameterNode and self._parameterNode.inputVolume:
                    self.logic.showInViews(self._parameterNode.inputVolume)
            names = ", ".join(map(fieldofview.boundary_label, kept))
            note = _("Boundaries that you had set were kept: {names}.").format(names=names)
            self._runButtons.say("\n".join([*self.logic.warnings(), *([note] if kept else [])]))
        if failure:
            slicer.util.errorDisplay(translated(failure))

    def onResultClicked(self, row):
        """Chooses the volume of a row of the table of several; one from a folder is loaded, and its regions found."""
        with tryWithErrorDisplay(_("The volume cannot be shown."), waitCursor=True):
            volume = self.logic.openResult(row)
            self._parameterNode.inputVolume = volume
            isNew = self.logic.result(volume) is None
        if isNew and self._runButtons.pressed is None:
            self.onApplyButton()

    # One volume

    def _showRegions(self):
        """Fills table, sliders and planes from the scene."""
        volume = self._parameterNode.inputVolume
        result, room, summary, inPlace = None, {}, _("Press Apply to find the regions of this volume."), False
        try:
            if volume is None:
                summary = _("No volume is chosen.")
            elif result := self.logic.result(volume):
                room = self.logic.roomForBoundaries(volume)
                kind = _("Body, no spine examination") if result.hypothesis == "body" else _("Spine examination")
                summary = f"{kind} ({100 * result.confidence:.0f} %)"
                self.logic.requireInPlace(volume)
                inPlace = True
        except ValueError as error:  # moved since, or damaged
            summary = translated(error)
        self._boundaryPlanes.show(volume if inPlace and self._parameterNode.showPlanes else None)
        self._regionTable.show(result)
        self._boundaryRows.show(result, room)
        self.ui.summaryLabel.text = summary
        self.ui.plotButton.enabled = self.ui.exportButton.enabled = result is not None
        self.ui.releaseButton.enabled = bool(result and result.fixed)
        self._checkCanCrop()

    def onPlanesDragged(self):
        if self._parameterNode:
            self._changeBoundaries(lambda: self.logic.takeDraggedPlanes(self._parameterNode.inputVolume))

    def onRegionClicked(self, row, column):
        with tryWithErrorDisplay(_("The region cannot be shown.")):
            self.logic.jumpToRegion(self._parameterNode.inputVolume, self._regionTable.region(row))

    def _checkCanCrop(self):
        region = fieldofview.LABELS.get(self._regionTable.chosen(), "")
        self.ui.cropButton.enabled = bool(region)
        self.ui.cropButton.toolTip = (
            _("Make a new volume of all slices that show the region {region}.").format(region=region)
            if region
            else _("Choose a region in the table first.")
        )

    def onCropButton(self):
        with tryWithErrorDisplay(_("The volume cannot be cropped."), waitCursor=True):
            part = self.logic.cropToRegion(self._parameterNode.inputVolume, self._regionTable.chosen())
            self._runButtons.say(_("New volume: {name}").format(name=part.GetName()))

    def onPlotButton(self):
        with tryWithErrorDisplay(_("The plot cannot be shown.")):
            self.logic.showPlot(self._parameterNode.inputVolume)

    def onExportButton(self):
        self._export([self.logic.result(self._parameterNode.inputVolume)])

    def onExportResultsButton(self):
        self._export(self._resultsTable.results)

    def _export(self, results):
        path = qt.QFileDialog.getSaveFileName(self.parent, _("Export regions"), "regions.csv", "CSV (*.csv)")
        if path:
            with tryWithErrorDisplay(_("The table cannot be written.")):
                self.logic.exportCsv(results, path)

    def onBoundaryToggled(self, name, checked):
        volume = self._parameterNode.inputVolume
        self._changeBoundaries(
            lambda: (self.logic.setBoundary if checked else self.logic.releaseBoundary)(volume, name)
        )

    def onBoundaryMoved(self, name, value):
        self._changeBoundaries(lambda: self.logic.setBoundary(self._parameterNode.inputVolume, name, value))

    def onReleaseButton(self):
        self._changeBoundaries(lambda: self.logic.releaseBoundary(self._parameterNode.inputVolume, *BOUNDARIES))

    def _changeBoundaries(self, change):
        try:
            with tryWithErrorDisplay(_("The boundary cannot be changed.")):
                change()
        finally:
            self._showRegions()


class MRFieldOfViewLogic(ScriptedLoadableModuleLogic):
    """Finds regions and shows them; `process` is for scripts, the rest serves the panel as well.

        logic = slicer.util.getModuleLogic("MRFieldOfView")
        result = logic.process(volumeNode)
        for region in result.regions:
            print(region.name, region.from_mm, region.to_mm, region.confidence)

    Positions are mm along S of the world (RAS), parent transforms included.
    """

    def __init__(self):
        ScriptedLoadableModuleLogic.__init__(self)
        self._task = None
        self._isRunning = False

    def getParameterNode(self):
        return MRFieldOfViewParameterNode(super().getParameterNode())

    def models(self):
        """Names of the deployed models for this task."""
        return model_names(TASK)

    def volumes(self):
        """The scene's image volumes."""
        return volumes.image_volumes()

    def whyNot(self, volumeNode):
        """Why a volume cannot be classified, as far as that shows without looking at its voxels; "" if it can."""
        return volumes.why_not(volumeNode)

    def requirePackages(self, interactive=False):
        """Makes sure that what the network needs is installed; asks the user if interactive.

        Raises PackagesError if it is not.
        """
        packages.ensure_packages(_("MR Field of View"), interactive)

    # Running

    def process(self, inputVolume, model=TASK, fixed=None, interactive=False):
        """Finds the regions of a volume and puts them into the scene: table, slabs, chart. Waits until it is done.

        Args:
            inputVolume: vtkMRMLScalarVolumeNode.
            model: name of a model, or its folder.
            fixed: boundaries that are known, such as {"abdomen/chest": -120.0} in mm along S. None: those that were
                set in this volume before stay, unless it was moved; {}: the network decides them all.
            interactive: the user may be asked to have missing packages installed; otherwise that is an error.

        Returns:
            SlicerHPOLib.results.Result: hypothesis, regions, boundaries, and in `answer` all the rest.

        Raises:
            ValueError: the volume, the model or a boundary is not what it should be. PackagesError: a package is
            missing. RuntimeError: the panel is computing. The scene is left as it was.
        """
        volumes.image_of(inputVolume)
        self.requirePackages(interactive)
        self.startVolumes([inputVolume], model, fixed)
        result = self._wait()[0]
        if result.error:
            raise volumes.NodeError(result.error)
        return result

    def processFolder(self, folder, model=TASK, interactive=False):
        """What all volumes and DICOM series in a folder show, without loading them into the scene.

        Returns:
            list of SlicerHPOLib.results.Result; one that could not be classified says why in `error`.
        """
        self.requirePackages(interactive)
        self.startFolder(folder, model)
        return self._wait()

    def startVolumes(self, volumeNodes, model=TASK, fixed=None):
        """Begins to classify volumes in another process; `pollProcess` goes on with it."""
        self._start(VolumesTask(fieldofview.show), volumeNodes, model, fixed)

    def startFolder(self, folder, model=TASK):
        """Begins to classify the volumes in a folder in another process; `pollProcess` goes on with it."""
        self._start(FolderTask(), folder, model)

    def _start(self, task, *arguments):
        if self._isRunning:
            raise RuntimeError(_("Something is being computed: wait or cancel it."))
        task.start(*arguments)
        self._task, self._isRunning = task, True

    def _wait(self):
        try:
            return self._task.wait()
        finally:
            self._isRunning = False

    def pollProcess(self):
        """SlicerHPOLib.background.Status of what was started; volumes of the scene that are finished are shown."""
        status = self._task.poll()
        self._isRunning = status.state == "running"
        return status

    def cancelProcess(self):
        """Stops what is running, if anything is."""
        if self._task is not None:
            self._task.cancel()
        self._isRunning = False

    def results(self):
        """list of Result of what was started last, as far as it has come."""
        return list(self._task.results) if self._task is not None else []

    def warnings(self):
        """What the user should know about the way there, such as that the graphics card was too small."""
        return list(map(translated, self._task.warnings)) if self._task is not None else []

    # Answers in the scene

    def result(self, volumeNode):
        """SlicerHPOLib.results.Result of a volume, as it is in the scene; None if it was not classified."""
        classification = fieldofview.classification_of(volumeNode)
        return classification.result(volumeNode.GetName()) if classification is not None else None

    def setBoundary(self, volumeNode, name, positionMm=None):
        """Fixes a boundary, such as "abdomen/chest", at S; the others are decided again around it, at once.

        Without a position it stays where it is; one that was not found is put where it fits best.

        Raises:
            ValueError: no room for it between the others, or the volume was moved since it was classified.
        """
        fieldofview.set_boundary(volumeNode, name, positionMm)

    def releaseBoundary(self, volumeNode, *names):
        """Has boundaries decided by the network again."""
        fieldofview.release_boundaries(volumeNode, *names)

    def roomForBoundaries(self, volumeNode):
        """dict: lowest and highest S in mm at which each boundary can be set between the others that are, by name."""
        classification = fieldofview.require_classification(volumeNode)
        return {name: classification.room_for(name) for name in BOUNDARIES}

    def requireInPlace(self, volumeNode):
        """Raises ValueError if a volume was moved or changed since it was classified."""
        fieldofview.placed_as_classified(volumeNode, fieldofview.require_classification(volumeNode))

    def showInViews(self, volumeNode):
        """Shows a volume in the slice views, unless one of them shows it already."""
        show_in_slice_views(volumeNode)

    def showSlabs(self, volumeNode, visible=True):
        """Shows or hides the slabs of a volume's regions in the views; those of other volumes are hidden."""
        fieldofview.show_only_slabs_of(volumeNode, visible)

    def showBoundaryPlanes(self, volumeNode):
        """Puts planes that can be dragged on the boundaries of a volume; list of vtkMRMLMarkupsPlaneNode."""
        boundaryplanes.hide_planes(volumeNode)
        return list(boundaryplanes.show_planes(volumeNode).values())

    def hideBoundaryPlanes(self):
        """Removes the planes of all boundaries."""
        boundaryplanes.hide_planes(None)

    def takeDraggedPlanes(self, volumeNode):
        """Fixes the boundaries whose planes were dragged where these are now, as far as there is room."""
        for name, positionMm in boundaryplanes.dragged(volumeNode).items():
            self.setBoundary(volumeNode, name, positionMm)

    def showResults(self):
        """Table node of `results`, a row a volume."""
        return resultlist.show_results(self.results(), getattr(self._task, "result_nodes", ()))

    def openResult(self, row):
        """The volume of a row of that table, shown in the slice views; one from a folder is loaded.

        Raises ValueError if it could not be classified, was removed, or cannot be read any more.
        """
        volumeNode = resultlist.volume_of_row(row)
        self.showInViews(volumeNode)
        return volumeNode

    def jumpToRegion(self, volumeNode, region):
        """Centres all slice views on the middle of a region. Raises ValueError if the volume has no such region."""
        r, a, s = fieldofview.middle_of(volumeNode, region)
        self.showInViews(volumeNode)
        slicer.vtkMRMLSliceNode.JumpAllSlices(slicer.mrmlScene, r, a, s, slicer.vtkMRMLSliceNode.CenteredJumpSlice)

    def cropToRegion(self, volumeNode, region):
        """A new volume node beside the volume: the smallest box of its voxels that holds all of a region."""
        _image, found = fieldofview.located(volumeNode, region)
        with unchanged_on_failure():
            name = f"{volumeNode.GetName()} {fieldofview.LABELS[region]}"
            return slabs.crop_volume(volumeNode, found.from_mm, found.to_mm, name)

    def showPlot(self, volumeNode):
        """Shows the chart of a volume's class probabilities in a layout that has a plot."""
        slicer.modules.plots.logic().ShowChartInLayout(fieldofview.chart_of(volumeNode))

    def exportCsv(self, results, path):
        """Writes results as the command `slicerhpo classify --csv` does, a row a region, in one step."""
        write_csv(Path(path), results)


class MRFieldOfViewTest(ScriptedLoadableModuleTest):
    """The module's own test, for a real Slicer."""

    def setUp(self):
        slicer.mrmlScene.Clear()
        if missing := packages.missing_packages():
            self.skipTest(f"needs {', '.join(missing)}")

    def runTest(self):
        self.setUp()
        self.test_SampleIsClassified()

    def test_SampleIsClassified(self):
        self.delayDisplay("Classifying a sample")
        import SampleData

        registerSampleData()
        volume = SampleData.downloadSample("torso-t2-coronal")
        logic = MRFieldOfViewLogic()
        result = logic.process(volume)
        self.assertLessEqual({"abdomen", "chest"}, {region.name for region in result.regions})
        logic.setBoundary(volume, "abdomen/chest", 1080.0)
        self.assertEqual(logic.result(volume).fixed, {"abdomen/chest": 1080.0})
        self.delayDisplay("Test passed")
