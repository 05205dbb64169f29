"""The buttons of the panel that write files of the result."""

import qt
from slicer.i18n import tr as _
from SlicerHPOLib.mrml.translation import tryWithErrorDisplay


class ExportButtons:
    """Drives the widgets exportSegmentationButton and exportReportButton of the panel, and says in statusLabel what was
    written.

    Args:
        ui: the panel's widgets.
        logic: has exportSegmentation(segmentation, path) and exportReport(segmentation, path).
        segmentation: gives the node that is shown.
    """

    def __init__(self, ui, logic, segmentation):
        self._statusLabel, self._logic, self._segmentation = ui.statusLabel, logic, segmentation
        ui.exportSegmentationButton.connect("clicked(bool)", self.onExportSegmentationButton)
        ui.exportReportButton.connect("clicked(bool)", self.onExportReportButton)

    def onExportSegmentationButton(self):
        self._export(_("Segmentation (*.seg.nrrd);;Label map (*.nii.gz)"), self._logic.exportSegmentation)

    def onExportReportButton(self):
        self._export(_("Table (*.csv);;JSON (*.json)"), self._logic.exportReport)

    def _export(self, filters, write):
        path = qt.QFileDialog.getSaveFileName(self._statusLabel, _("Export"), "", filters)
        if path:
            with tryWithErrorDisplay(_("The file could not be written."), waitCursor=True):
                write(self._segmentation(), path)
                self._statusLabel.text = _("Written: {0}").format(path)
                self._statusLabel.visible = True
