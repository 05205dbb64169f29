"""The table of several volumes in the panel: a click on a row shows its volume."""


class ResultsTable:
    """Drives the widgets resultsTable and exportResultsButton of the panel.

    Args:
        ui: the panel's widgets.
        onClicked: called with the number of a row that was clicked, or chosen with the Enter key.
    """

    def __init__(self, ui, onClicked):
        self._view, self._exportButton = ui.resultsTable, ui.exportResultsButton
        self.results = []  # that are shown
        for signal in ("clicked(QModelIndex)", "activated(QModelIndex)"):
            self._view.connect(signal, lambda index: onClicked(index.row()))  # the view does not sort

    def show(self, results, tableNode):
        """Shows results (SlicerHPOLib.results.Result) and their table node, or none."""
        self.results = results
        self._view.setMRMLTableNode(tableNode)
        self._view.resizeColumnsToContents()
        self._exportButton.enabled = bool(results)
