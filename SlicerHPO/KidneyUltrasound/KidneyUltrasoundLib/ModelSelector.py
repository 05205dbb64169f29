"""The combo box of deployed models: they come and go with folders, so it is filled whenever the panel is entered."""


class ModelSelector:
    """Keeps the box and `model` of a parameter node the same.

    Args:
        box: the widget. names: gives the names of the models there are.
    """

    def __init__(self, box, names):
        self._box, self._names, self._parameterNode = box, names, None
        box.connect("currentIndexChanged(int)", self._onSelected)

    def watch(self, parameterNode):
        """Fills the box and shows the model of this node, the first there is if that is gone; None: of no node."""
        self._parameterNode = parameterNode
        if parameterNode is None:
            return
        wasBlocked = self._box.blockSignals(True)
        names = self._names()
        self._box.clear()
        self._box.addItems(names)
        if names and parameterNode.model not in names:
            parameterNode.model = names[0]
        self._box.currentText = parameterNode.model
        self._box.blockSignals(wasBlocked)

    def _onSelected(self, index):
        if self._parameterNode and index >= 0:
            self._parameterNode.model = self._box.currentText
