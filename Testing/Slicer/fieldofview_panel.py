"""What a user does in the panel of MR Field of View, and what he sees there."""

from fieldofview_phantom import a_classification


def show(volume, shown=("pelvis", "abdomen", "chest")):
    from SlicerHPOLib.mrml import fieldofview

    fieldofview.show(volume, a_classification(volume, shown))


def parts(volume):
    from SlicerHPOLib.mrml import fieldofview

    return fieldofview.parts(volume)


def rows(table):
    return [[table.item(row, column).text() for column in range(table.columnCount)] for row in range(table.rowCount)]


def fixed(panel, volume):
    return panel.logic.result(volume).fixed


def click(button):
    """As a user does: nothing happens on a button that is not enabled."""
    assert button.enabled, button.toolTip
    button.click()


def ended(panel):
    return lambda: panel._runButtons.pressed is None
