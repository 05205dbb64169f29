"""The table of regions in the panel: a row a region, from head to feet, each with the colour it has in the views."""

import qt
from slicer.i18n import tr as _
from SlicerHPOLib.mrml.fieldofview import LABELS, SEGMENTS, tenths


class RegionTable:
    """Fills a QTableWidget with what a volume shows."""

    LOW_CONFIDENCE = 50  # %: below it is a reason to look
    CONFIDENCE_COLUMN = 5

    def __init__(self, table):
        self._table = table

    def show(self, result):
        """Shows a SlicerHPOLib.results.Result, or nothing for None; the chosen row stays chosen."""
        regions = result.regions[::-1] if result else ()
        row = self._table.currentRow()
        self._table.setRowCount(len(regions))
        for index, region in enumerate(regions):
            self._fill(index, region)
        self._table.resizeColumnsToContents()
        self._table.setCurrentCell(row if row < len(regions) else -1, 0)

    def chosen(self):
        """The region of the chosen row, or ""."""
        return self.region(self._table.currentRow())

    def region(self, row):
        """The region of a row, or ""."""
        item = self._table.item(row, 0)
        return item.data(qt.Qt.UserRole) if item else ""

    def _fill(self, row, region):
        percent = round(100 * region.confidence)
        cells = (
            LABELS[region.name],
            f"{tenths(region.from_mm)}",
            f"{tenths(region.to_mm)}",
            f"{tenths(region.length_mm)}",
            f"{region.first_slice} \N{EN DASH} {region.last_slice}",
            f"{percent} %",
        )
        for column, text in enumerate(cells):
            item = qt.QTableWidgetItem(text)
            item.setFlags(qt.Qt.ItemIsSelectable | qt.Qt.ItemIsEnabled)
            item.setToolTip(_("Click to see the middle of the region in the slice views."))
            if column:
                item.setTextAlignment(qt.Qt.AlignRight | qt.Qt.AlignVCenter)
            self._table.setItem(row, column, item)
        self._table.item(row, 0).setData(qt.Qt.UserRole, region.name)
        self._table.item(row, 0).setIcon(_swatch(region.name))
        if percent < self.LOW_CONFIDENCE:
            confidence = self._table.item(row, self.CONFIDENCE_COLUMN)
            confidence.setForeground(qt.QBrush(qt.QColor("#c04000")))
            confidence.setToolTip(_("Less likely than not: look at the plot and at the images."))


def _swatch(region):
    pixmap = qt.QPixmap(12, 12)
    pixmap.fill(qt.QColor(*SEGMENTS[region].colour))
    return qt.QIcon(pixmap)
