"""MR Field of View: which regions of the body an MR volume shows, and where each begins."""

import math
import sys
from contextlib import suppress
from pathlib import Path

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

from SlicerHPOLib.background import Status
from SlicerHPOLib.bundle import BundleError, available_bundles, read_manifest
from SlicerHPOLib.fieldofview.classification import BOUNDARIES
from SlicerHPOLib.fieldofview.classifier import TASK
from SlicerHPOLib.foldertask import FolderTask
from SlicerHPOLib.mrml import fieldofview, packages, slabs
from SlicerHPOLib.mrml.scene import unchanged_on_failure
from SlicerHPOLib.mrml.volumes import NodeError, image_of, unchecked_image_of
from SlicerHPOLib.mrml.volumestask import VolumesTask
from SlicerHPOLib.results import write_csv

SAMPLES = Path(SlicerHPOLib.__file__).resolve().parents[2] / "Resources" / "SampleData" / "mr"


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
    import SampleData

    for path in sorted(SAMPLES.glob("*.nii.gz")):
        name = path.name.removesuffix(".nii.gz")
        SampleData.SampleDataLogic.registerCustomSampleDataSource(
            category=_("MR Field of View"),
            sampleName=name,
            uris=path.as_uri(),
            fileNames=path.name,
            nodeNames=name,
        )


@parameterNodeWrapper
class MRFieldOfViewParameterNode:
    """What the panel holds.

    inputVolume: whose regions are shown. model: name of the deployed model. showSlabs: regions are drawn in the views.
    folder: of volumes to be classified at once.
    """

    inputVolume: slicer.vtkMRMLScalarVolumeNode
    model: str = TASK
    showSlabs: bool = True
    folder: Path


class MRFieldOfViewWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    """The panel."""

    POLL_MS, DOUBLE_CLICK_MS = 100, 500
    LOW_CONFIDENCE = 50  # %, see README: below it is a reason to look

    def __init__(self, parent=None):
        ScriptedLoadableModuleWidget.__init__(self, parent)
        VTKObservationMixin.__init__(self)
        self.logic = None
        self._parameterNode = None
        self._parameterNodeGuiTag = None
        self._startButton = None  # the one that started what is running, and cancels it
        self._results = []  # of several volumes

    def setup(self):
        ScriptedLoadableModuleWidget.setup(self)
        uiWidget = slicer.util.loadUI(self.resourcePath("UI/MRFieldOfView.ui"))
        self.layout.addWidget(uiWidget)
        self.ui = slicer.util.childWidgetVariables(uiWidget)
        uiWidget.setMRMLScene(slicer.mrmlScene)
        self.logic = MRFieldOfViewLogic()

        self._runTimer = self._timer(self.POLL_MS, self.onRunTimer, singleShot=False)
        self._clickTimer = self._timer(self.DOUBLE_CLICK_MS, self._checkCanApply)
        self._startTexts = {
            button: button.text for button in (self.ui.applyButton, self.ui.allVolumesButton, self.ui.folderButton)
        }
        self.ui.progressBar.visible = self.ui.statusLabel.visible = False

        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.StartCloseEvent, self.onSceneStartClose)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.EndCloseEvent, self.onSceneEndClose)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.NodeAddedEvent, self.onNodesChanged)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.NodeRemovedEvent, self.onNodesChanged)

        self.ui.applyButton.connect("clicked(bool)", self.onApplyButton)
        self.ui.allVolumesButton.connect("clicked(bool)", self.onAllVolumesButton)
        self.ui.folderButton.connect("clicked(bool)", self.onFolderButton)
        self.ui.modelSelector.connect("currentIndexChanged(int)", self.onModelSelected)
        self.ui.regionsTable.connect("cellClicked(int,int)", self.onRegionClicked)
        self.ui.regionsTable.connect("cellActivated(int,int)", self.onRegionClicked)
        self.ui.regionsTable.connect("itemSelectionChanged()", self._checkCanCrop)
        self.ui.cropButton.connect("clicked(bool)", self.onCropButton)
        self.ui.plotButton.connect("clicked(bool)", self.onPlotButton)
        self.ui.exportButton.connect("clicked(bool)", self.onExportButton)
        self.ui.releaseButton.connect("clicked(bool)", self.onReleaseButton)
        self.ui.exportResultsButton.connect("clicked(bool)", self.onExportResultsButton)
        for name in BOUNDARIES:
            checkBox, slider, _label = self._boundaryWidgets(name)
            checkBox.connect("toggled(bool)", lambda checked, name=name: self.onBoundaryToggled(name, checked))
            slider.connect("valueChanged(double)", lambda value, name=name: self.onBoundaryMoved(name, value))
        self.initializeParameterNode()

    def _timer(self, milliseconds, slot, singleShot=True):
        timer = qt.QTimer(self.parent)
        timer.interval = milliseconds
        timer.singleShot = singleShot
        timer.connect("timeout()", slot)
        return timer

    def _boundaryWidgets(self, name):
        """Check box, slider and label of a boundary: chestHeadCheckBox, chestHeadSlider, chestHeadLabel."""
        lower, upper = name.split("/")
        stem = f"{lower}{upper.capitalize()}"
        return tuple(getattr(self.ui, f"{stem}{kind}") for kind in ("CheckBox", "Slider", "Label"))

    def cleanup(self):
        self.logic.cancelProcess()
        self._runTimer.stop()
        self._clickTimer.stop()
        self.setParameterNode(None)
        self.removeObservers()

    def enter(self):
        self.initializeParameterNode()

    def exit(self):
        self.setParameterNode(None)  # what is running goes on

    def onSceneStartClose(self, caller, event):
        self.logic.cancelProcess()
        self.setParameterNode(None)

    def onSceneEndClose(self, caller, event):
        self._results = []
        if self.parent.isEntered:
            self.initializeParameterNode()

    def onNodesChanged(self, caller, event):
        if self._parameterNode and not slicer.mrmlScene.IsBatchProcessing() and not slicer.mrmlScene.IsClosing():
            self._checkCanApply()
            if not fieldofview.parts(self._parameterNode.inputVolume) and self.ui.regionsTable.rowCount:
                self._showRegions()  # the user deleted them

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
            self.removeObserver(self._parameterNode, vtk.vtkCommand.ModifiedEvent, self.onParameterNodeModified)
        self._parameterNode = inputParameterNode
        if self._parameterNode:
            self._fillModels()
            self._parameterNodeGuiTag = self._parameterNode.connectGui(self.ui)
            self.addObserver(self._parameterNode, vtk.vtkCommand.ModifiedEvent, self.onParameterNodeModified)
            self.onParameterNodeModified()

    def onParameterNodeModified(self, caller=None, event=None):
        fieldofview.show_only_slabs_of(self._parameterNode.inputVolume, self._parameterNode.showSlabs)
        self._checkCanApply()
        self._showRegions()

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
        node, running = self._parameterNode, self._startButton
        busy = _("Something is being computed: wait for it or cancel it.")
        folder = node.folder if node else Path()
        volumes = self.logic.volumes()
        reasons = {
            self.ui.applyButton: self.logic.whyNot(node.inputVolume) if node else _("No volume is chosen."),
            self.ui.allVolumesButton: "" if volumes else _("No volume is loaded."),
            self.ui.folderButton: "" if folder != Path() and folder.is_dir() else _("Choose a folder of volumes."),
        }
        tips = {
            self.ui.applyButton: _("Find the regions of the volume."),
            self.ui.allVolumesButton: _("Find the regions of the {n} volumes of the scene.").format(n=len(volumes)),
            self.ui.folderButton: _("Find the regions of every volume and DICOM series in the folder, unopened."),
        }
        for button, reason in reasons.items():
            if button is running:
                button.text, button.toolTip = _("Cancel"), _("Stop; the scene stays as it is.")
                button.enabled = not self._clickTimer.isActive()  # the second click of a double click does not cancel
            else:
                button.text = self._startTexts[button]
                button.toolTip = busy if running else reason or tips[button]
                button.enabled = not running and not reason

    def onApplyButton(self):
        volume, model = self._parameterNode.inputVolume, self._parameterNode.model
        self._startOrCancel(self.ui.applyButton, lambda: self.logic.startVolumes([volume], model))

    def onAllVolumesButton(self):
        model = self._parameterNode.model
        self._startOrCancel(self.ui.allVolumesButton, lambda: self.logic.startVolumes(self.logic.volumes(), model))

    def onFolderButton(self):
        folder, model = self._parameterNode.folder, self._parameterNode.model
        self._startOrCancel(self.ui.folderButton, lambda: self.logic.startFolder(folder, model))

    def _startOrCancel(self, button, start):
        if self._startButton is button:
            self.logic.cancelProcess()
            self.onRunTimer()
            return
        with slicer.util.tryWithErrorDisplay(_("The regions cannot be found."), waitCursor=True):
            self.logic.requirePackages(interactive=True)
            start()
            self._startButton = button
            self._showProgress(0.0, _("starting"))
            self._runTimer.start()
            self._clickTimer.start()
        self._checkCanApply()

    def _showProgress(self, fraction, text):
        self.ui.progressBar.visible = self.ui.statusLabel.visible = True
        self.ui.progressBar.maximum = (
            0 if self._startButton is self.ui.folderButton else 100
        )  # 0: how much is not known
        self.ui.progressBar.value = round(100 * fraction)
        self.ui.statusLabel.text = text

    def onRunTimer(self):
        status = Status("failed")
        try:
            with slicer.util.tryWithErrorDisplay(_("The regions cannot be found.")):
                status = self.logic.pollProcess()
        finally:
            if status.state == "running":
                self._showProgress(status.fraction, status.text)
                self._showResults()
            else:
                self._onProcessEnded(status)

    def _onProcessEnded(self, status):
        self._runTimer.stop()
        self.logic.cancelProcess()
        single = self._startButton is self.ui.applyButton
        results = self.logic.results()
        self._showResults()
        self._startButton = None
        said = "\n".join(self.logic.warnings())
        if status.state == "cancelled":
            said = _("Cancelled.")
        elif status.state == "done" and not results:
            said = _("The volume was removed from the scene: nothing was computed.")
        self.ui.progressBar.visible = False
        self.ui.statusLabel.text = said
        self.ui.statusLabel.visible = bool(said)
        if self._parameterNode:
            self.onParameterNodeModified()
        self._checkCanApply()
        failure = status.text or (results[0].error if single and results else "")
        if failure:
            slicer.util.errorDisplay(failure)

    # One volume

    def _showRegions(self):
        """Fills table and sliders from the scene."""
        volume = self._parameterNode.inputVolume
        result = self.logic.result(volume)
        regions = result.regions[::-1] if result else ()
        table = self.ui.regionsTable
        selected = table.currentRow()
        table.setRowCount(len(regions))
        for row, region in enumerate(regions):
            percent = round(100 * region.confidence)
            cells = (
                region.name,
                f"{region.from_mm:.1f}",
                f"{region.to_mm:.1f}",
                f"{region.length_mm:.1f}",
                f"{region.first_slice} \N{EN DASH} {region.last_slice}",
                f"{percent} %",
            )
            for column, text in enumerate(cells):
                item = qt.QTableWidgetItem(text)
                item.setFlags(qt.Qt.ItemIsSelectable | qt.Qt.ItemIsEnabled)
                item.setToolTip(_("Click to see the middle of the region in the slice views."))
                if column:
                    item.setTextAlignment(qt.Qt.AlignRight | qt.Qt.AlignVCenter)
                table.setItem(row, column, item)
            table.item(row, 0).setIcon(self._swatch(region.name))
            if percent < self.LOW_CONFIDENCE:
                table.item(row, 5).setForeground(qt.QBrush(qt.QColor("#c04000")))
                table.item(row, 5).setToolTip(_("Below one half: look at the curves and at the images."))
        table.resizeColumnsToContents()
        if selected < len(regions):
            table.setCurrentCell(selected, 0)
        self.ui.summaryLabel.text = self._summary(volume, result)
        for button in (self.ui.plotButton, self.ui.exportButton):
            button.enabled = result is not None
        self._checkCanCrop()
        self._showBoundaries(volume, result)

    def _summary(self, volume, result):
        if volume is None:
            return _("No volume is chosen.")
        if result is None:
            return _("Press Apply to find the regions of this volume.")
        kind = _("Body") if result.hypothesis == "body" else _("Examination of the spine")
        return f"{kind} ({100 * result.confidence:.0f} %)"

    @staticmethod
    def _swatch(region):
        pixmap = qt.QPixmap(12, 12)
        pixmap.fill(qt.QColor(*fieldofview.SEGMENTS[region].colour))
        return qt.QIcon(pixmap)

    def _showBoundaries(self, volume, result):
        boundaries = {boundary.name: boundary for boundary in result.boundaries} if result else {}
        for name in BOUNDARIES:
            boundary = boundaries.get(name)
            checkBox, slider, label = self._boundaryWidgets(name)
            blocked = [(widget, widget.blockSignals(True)) for widget in (checkBox, slider)]
            checkBox.enabled = result is not None
            checkBox.checked = boundary is not None and boundary.fixed
            slider.enabled = boundary is not None
            if boundary is not None:
                slider.minimum, slider.maximum = self.logic.roomForBoundary(volume, name)
                slider.value = boundary.position_mm
            label.text = self._interval(boundary) if result else ""
            for widget, wasBlocked in blocked:
                widget.blockSignals(wasBlocked)
        self.ui.releaseButton.enabled = bool(result and result.fixed)

    @staticmethod
    def _interval(boundary):
        if boundary is None:
            return _("not in view")
        if boundary.fixed:
            return _("set by you")
        low, high = boundary.interval_mm
        return f"{low:.0f} \N{EN DASH} {high:.0f} mm"

    def onRegionClicked(self, row, column):
        with slicer.util.tryWithErrorDisplay(_("The region cannot be shown.")):
            self.logic.jumpToRegion(self._parameterNode.inputVolume, self._regionIn(row))

    def _regionIn(self, row):
        return self.ui.regionsTable.item(row, 0).text()

    def _checkCanCrop(self):
        row = self.ui.regionsTable.currentRow()
        self.ui.cropButton.enabled = row >= 0
        self.ui.cropButton.toolTip = (
            _("Make a new volume of the whole slices that show the region {name}.").format(name=self._regionIn(row))
            if row >= 0
            else _("Choose a region in the table first.")
        )

    def onCropButton(self):
        with slicer.util.tryWithErrorDisplay(_("The volume cannot be cropped."), waitCursor=True):
            region = self._regionIn(self.ui.regionsTable.currentRow())
            self.logic.cropToRegion(self._parameterNode.inputVolume, region)

    def onPlotButton(self):
        with slicer.util.tryWithErrorDisplay(_("The plot cannot be shown.")):
            self.logic.showPlot(self._parameterNode.inputVolume)

    def onExportButton(self):
        self._export([self.logic.result(self._parameterNode.inputVolume)])

    def onExportResultsButton(self):
        self._export(self._results)

    def _export(self, results):
        path = qt.QFileDialog.getSaveFileName(self.parent, _("Export regions"), "regions.csv", "CSV (*.csv)")
        if path:
            with slicer.util.tryWithErrorDisplay(_("The table cannot be written.")):
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
            with slicer.util.tryWithErrorDisplay(_("The boundary cannot be changed.")):
                change()
        finally:
            self._showRegions()

    # Several volumes

    def _showResults(self):
        """Fills the table of several volumes with those that are finished."""
        results = self.logic.results()
        if self._startButton is not self.ui.applyButton and results != self._results:
            self._results = results
            self.ui.resultsTable.setMRMLTableNode(fieldofview.show_results(results))
            self.ui.resultsTable.resizeColumnsToContents()
            self.ui.exportResultsButton.enabled = bool(results)


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

    def getParameterNode(self):
        return MRFieldOfViewParameterNode(super().getParameterNode())

    @staticmethod
    def models():
        """Names of the models that find regions; broken ones are not listed."""
        names = []
        for folder in available_bundles():
            with suppress(BundleError):
                manifest, _sha256 = read_manifest(folder)
                if manifest["task"] == TASK:
                    names.append(folder.name)
        return names

    @staticmethod
    def volumes():
        """The scene's image volumes."""
        nodes = slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")  # label maps and vectors are such, too
        return [n for n in nodes if n.GetClassName() == "vtkMRMLScalarVolumeNode" and not n.GetHideFromEditors()]

    @staticmethod
    def whyNot(volumeNode):
        """Why a volume cannot be classified, as far as that shows without looking at its voxels; "" if it can."""
        try:
            image = unchecked_image_of(volumeNode)
        except ValueError as error:
            return str(error)
        return "" if min(image.shape) > 1 else _("The volume is a single slice; at least 2 are needed.")

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
            fixed: boundaries that are known, such as {"abdomen/chest": -120.0} in mm along S.
            interactive: the user may be asked to have missing packages installed; otherwise that is an error.

        Returns:
            SlicerHPOLib.results.Result: hypothesis, regions, boundaries, and in `answer` all the rest.

        Raises:
            ValueError: the volume, the model or a boundary is not what it should be. PackagesError: a package is
            missing. The scene is left as it was.
        """
        image_of(inputVolume)
        self.requirePackages(interactive)
        self.startVolumes([inputVolume], model, fixed)
        result = self._task.wait()[0]
        if result.error:
            raise NodeError(result.error)
        return result

    def processFolder(self, folder, model=TASK, interactive=False):
        """What all volumes and DICOM series in a folder show, without loading them into the scene.

        Returns:
            list of SlicerHPOLib.results.Result; one that could not be classified says why in `error`.
        """
        self.requirePackages(interactive)
        self.startFolder(folder, model)
        return self._task.wait()

    def startVolumes(self, volumeNodes, model=TASK, fixed=None):
        """Begins to classify volumes in another process; `pollProcess` goes on with it."""
        self.cancelProcess()
        self._task = VolumesTask(fieldofview.show)
        self._task.start(volumeNodes, model, fixed or {})

    def startFolder(self, folder, model=TASK):
        """Begins to classify the volumes in a folder in another process; `pollProcess` goes on with it."""
        self.cancelProcess()
        self._task = FolderTask()
        self._task.start(folder, model)

    def pollProcess(self):
        """SlicerHPOLib.background.Status of what was started; volumes of the scene that are finished are shown."""
        return self._task.poll()

    def cancelProcess(self):
        """Stops what is running, if anything is."""
        if self._task is not None:
            self._task.cancel()

    def results(self):
        """list of Result of what was started last, as far as it has come."""
        return list(self._task.results) if self._task is not None else []

    def warnings(self):
        """What the user should know about the way there, such as that the graphics card was too small."""
        return list(self._task.warnings) if self._task is not None else []

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
        classification = fieldofview.require_classification(volumeNode)
        if positionMm is None:
            found = {boundary.name: boundary.position_mm for boundary in classification.answer.decision.boundaries}
            positionMm = found[name] if name in found else classification.likeliest_place(name)
        fieldofview.show(volumeNode, classification.with_boundary(name, positionMm))

    def releaseBoundary(self, volumeNode, *names):
        """Has boundaries decided by the network again."""
        classification = fieldofview.require_classification(volumeNode)
        for name in names:
            classification = classification.with_boundary(name, None)
        fieldofview.show(volumeNode, classification)

    def roomForBoundary(self, volumeNode, name):
        """Lowest and highest S in mm, to the tenth, at which a boundary can be set between the others that are."""
        low, high = fieldofview.require_classification(volumeNode).room_for(name)
        return math.ceil(10 * low) / 10, math.floor(10 * high) / 10

    def jumpToRegion(self, volumeNode, region):
        """Centres all slice views on the middle of a region. Raises ValueError if the volume has no such region."""
        r, a, s = fieldofview.middle_of(volumeNode, region)
        slicer.vtkMRMLSliceNode.JumpAllSlices(slicer.mrmlScene, r, a, s, slicer.vtkMRMLSliceNode.CenteredJumpSlice)

    def cropToRegion(self, volumeNode, region):
        """A new volume node beside the volume: the smallest box of its voxels that holds all of a region."""
        _image, found = fieldofview.located(volumeNode, region)
        with unchanged_on_failure():
            return slabs.crop_volume(volumeNode, found.from_mm, found.to_mm, f"{volumeNode.GetName()} {region}")

    def showPlot(self, volumeNode):
        """Shows the chart of a volume's class probabilities in a layout that has a plot."""
        fieldofview.require_classification(volumeNode)
        slicer.modules.plots.logic().ShowChartInLayout(fieldofview.parts(volumeNode)["chart"])

    def exportCsv(self, results, path):
        """Writes results as the command `slicerhpo classify --csv` does, a row a region, in one step."""
        write_csv(Path(path), results)


class MRFieldOfViewTest(ScriptedLoadableModuleTest):
    """The module's own test, in a real Slicer: Slicer --testing --python-script."""

    def setUp(self):
        slicer.mrmlScene.Clear()

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
        self.assertIn("abdomen", [region.name for region in result.regions])
        self.assertIn("chest", [region.name for region in result.regions])
        logic.setBoundary(volume, "abdomen/chest", 1080.0)
        self.assertEqual(logic.result(volume).fixed, {"abdomen/chest": 1080.0})
        part = logic.cropToRegion(volume, "chest")
        self.assertLess(part.GetImageData().GetNumberOfPoints(), volume.GetImageData().GetNumberOfPoints())
        self.delayDisplay("Test passed")
