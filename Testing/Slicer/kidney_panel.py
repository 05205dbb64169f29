"""What a user does in the panel of Kidney Ultrasound, and what he sees there."""

from kidneys import TaskAtHand, centre_of, volume


def volume_node(matrix=None, name="scan"):
    from SlicerHPOLib.mrml.volumes import volume_node_of

    return volume_node_of(volume(matrix), name)


def choose(panel, node):
    panel.ui.inputSelector.setCurrentNode(node)


def select(box, text):
    box.setCurrentIndex(box.findText(text))


def run(panel, wait_until):
    wait_until(lambda: panel.ui.applyButton.enabled)
    panel.ui.applyButton.click()
    wait_until(lambda: not panel.logic.isRunning and panel.ui.applyButton.enabled)
    return panel._parameterNode.segmentation


def start(panel, wait_until):
    """A run that goes on until the test lets it go."""
    TaskAtHand.waits = True
    panel.ui.applyButton.click()
    wait_until(lambda: panel.ui.applyButton.enabled)


def centre(node):
    from SlicerHPOLib.mrml.volumes import image_of

    return centre_of(image_of(node))


def point_nodes(panel):
    return panel.logic.pointNodes(panel._parameterNode.segmentation)


def volume_ml(panel):
    return panel.logic.result(panel._parameterNode.segmentation).measures.volume_ml


def table(panel):
    node = panel.ui.measuresView.mrmlTableNode()
    return {node.GetCellText(row, 0): float(node.GetCellText(row, 1)) for row in range(node.GetNumberOfRows())}


def placed(node):
    from SlicerHPOLib.mrml import kidneypoints

    return kidneypoints.positions(node)
