"""The widgets of Slicer that show and choose MRML nodes: over the real scene, with the members of the real ones."""

from __future__ import annotations

from typing import ClassVar

import vtk
from PySide6 import QtCore, QtGui, QtWidgets

from .properties import stored


class qMRMLWidget(QtWidgets.QWidget):
    """The root of a panel: hands the scene on to its children."""

    mrmlSceneChanged = QtCore.Signal(object)
    SIGNALS: ClassVar = {"mrmlSceneChanged(vtkMRMLScene*)": "mrmlSceneChanged"}

    def __init__(self, parent=None):
        super().__init__(parent)
        self._scene = None

    def mrmlScene(self):
        return self._scene

    def setMRMLScene(self, scene):
        if scene is not self._scene:
            self._scene = scene
            self.mrmlSceneChanged.emit(scene)


class qMRMLNodeComboBox(QtWidgets.QWidget):
    """Chooses a node of the scene. Without `noneEnabled` the first node is chosen by itself, as in Slicer."""

    currentNodeChanged = QtCore.Signal(object)
    _validity_changed = QtCore.Signal(bool)
    currentNodeIDChanged = QtCore.Signal(str)
    nodeActivated = QtCore.Signal(object)
    nodeAdded = QtCore.Signal(object)
    nodeAddedByUser = QtCore.Signal(object)
    nodeAboutToBeRemoved = QtCore.Signal(object)
    SIGNALS: ClassVar = {
        "currentNodeChanged(vtkMRMLNode*)": "currentNodeChanged",
        "currentNodeChanged(bool)": "_validity_changed",
        "nodeActivated(vtkMRMLNode*)": "nodeActivated",
        "nodeAdded(vtkMRMLNode*)": "nodeAdded",
        "nodeAddedByUser(vtkMRMLNode*)": "nodeAddedByUser",
        "nodeAboutToBeRemoved(vtkMRMLNode*)": "nodeAboutToBeRemoved",
    }

    def __init__(self, parent=None):
        super().__init__(parent)
        self._scene = None
        self._tags = []
        self._current_id = ""
        self._attributes = []
        self._combo = QtWidgets.QComboBox(self)
        self._combo.sizePolicy = QtWidgets.QSizePolicy(
            QtWidgets.QSizePolicy.Policy.Expanding, QtWidgets.QSizePolicy.Policy.Fixed
        )
        layout = QtWidgets.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._combo)
        self.setFocusProxy(self._combo)
        self._combo.activated.connect(lambda index: self._choose(index))
        self.setEnabled(False)

    nodeTypes = stored("QStringList", "nodeTypes", [], lambda self: self._refresh())
    showHidden = stored(bool, "showHidden", False, lambda self: self._refresh())
    showChildNodeTypes = stored(bool, "showChildNodeTypes", True, lambda self: self._refresh())
    hideChildNodeTypes = stored("QStringList", "hideChildNodeTypes", [], lambda self: self._refresh())
    noneEnabled = stored(bool, "noneEnabled", False, lambda self: self._refresh())
    addEnabled = stored(bool, "addEnabled", True)
    removeEnabled = stored(bool, "removeEnabled", True)
    editEnabled = stored(bool, "editEnabled", False)
    renameEnabled = stored(bool, "renameEnabled", False)
    selectNodeUponCreation = stored(bool, "selectNodeUponCreation", True)
    baseName = stored(str, "baseName", "")
    noneDisplay = stored(str, "noneDisplay", "None", lambda self: self._refresh())
    interactionNodeSingletonTag = stored(str, "interactionNodeSingletonTag", "Singleton")

    def _get_current_id(self):
        return self._current_id

    def _set_current_id(self, node_id):
        node = self._scene.GetNodeByID(node_id) if self._scene and node_id else None
        self._set_current(node if node and self._shows(node) else None)

    currentNodeID = QtCore.Property(str, _get_current_id, _set_current_id)

    def mrmlScene(self):
        return self._scene

    def setMRMLScene(self, scene):
        if scene is self._scene:
            return
        for tag in self._tags:
            self._scene.RemoveObserver(tag)
        self._scene, self._tags = scene, []
        self.setEnabled(scene is not None)
        if scene is not None:
            events = (
                scene.NodeAddedEvent,
                scene.NodeRemovedEvent,
                scene.EndBatchProcessEvent,
                scene.EndCloseEvent,
                scene.EndImportEvent,
            )
            self._tags = [scene.AddObserver(event, lambda *_: self._refresh()) for event in events]
            self.destroyed.connect(_release(scene, self._tags))
        self._refresh()

    def currentNode(self):
        return self._scene.GetNodeByID(self._current_id) if self._scene and self._current_id else None

    def setCurrentNode(self, node):
        self._set_current_id(node.GetID() if node else "")

    def setCurrentNodeID(self, node_id):
        self._set_current_id(node_id)

    def setCurrentNodeIndex(self, index):
        self._set_current(self.nodeFromIndex(index))

    def nodeCount(self):
        return len(self._nodes())

    def nodeFromIndex(self, index):
        nodes = self._nodes()
        return nodes[index] if 0 <= index < len(nodes) else None

    def addAttribute(self, node_type, name, value=None):
        self._attributes.append((node_type, name, value))
        self._refresh()

    def removeAttribute(self, node_type, name):
        self._attributes = [entry for entry in self._attributes if entry[:2] != (node_type, name)]
        self._refresh()

    def addNode(self, node_type=None):
        node_type = node_type or self.nodeTypes[0]
        node = self._scene.CreateNodeByClass(node_type)
        node.UnRegister(None)
        node.SetName(self._scene.GenerateUniqueName(self.baseName or node.GetNodeTagName()))
        for kind, name, value in self._attributes:
            if node.IsA(kind):
                node.SetAttribute(name, value or "")
        node = self._scene.AddNode(node)
        self.nodeAdded.emit(node)
        if self.selectNodeUponCreation:
            self._set_current(node)
        return node

    def removeCurrentNode(self):
        node = self.currentNode()
        if node:
            self.nodeAboutToBeRemoved.emit(node)
            self._scene.RemoveNode(node)

    def _shows(self, node):
        kinds = [kind for kind in self.nodeTypes if node.IsA(kind)]
        if not kinds or (node.GetHideFromEditors() and not self.showHidden):
            return False
        if not self.showChildNodeTypes and node.GetClassName() not in kinds:
            return False
        if any(node.IsA(kind) for kind in self.hideChildNodeTypes):
            return False
        wanted = [(name, value) for kind, name, value in self._attributes if node.IsA(kind)]
        return all(
            node.GetAttribute(name) is not None and value in (None, node.GetAttribute(name)) for name, value in wanted
        )

    def _nodes(self):
        if self._scene is None or not self.nodeTypes:
            return []
        every = [self._scene.GetNthNode(index) for index in range(self._scene.GetNumberOfNodes())]
        return [node for node in every if self._shows(node)]

    def _refresh(self):
        if self._scene is not None and self._scene.IsBatchProcessing():
            return
        nodes = self._nodes()
        current = next((node for node in nodes if node.GetID() == self._current_id), None)
        if current is None and nodes and not self.noneEnabled:
            current = nodes[0]
        self._set_current(current)

    def _set_current(self, node):
        nodes = self._nodes()
        entries = ([(self.noneDisplay, "")] if self.noneEnabled else []) + [(n.GetName(), n.GetID()) for n in nodes]
        self._combo.clear()
        for text, node_id in entries:
            self._combo.addItem(text, node_id)
        node_id = node.GetID() if node else ""
        self._combo.currentIndex = next((i for i, entry in enumerate(entries) if entry[1] == node_id), -1)
        if node_id != self._current_id:
            self._current_id = node_id
            self.currentNodeChanged.emit(node)
            self._validity_changed.emit(node is not None)
            self.currentNodeIDChanged.emit(node_id)

    def _choose(self, index):
        self._set_current_id(self._combo.itemData(index))
        self.nodeActivated.emit(self.currentNode())


class qSlicerMarkupsPlaceWidget(QtWidgets.QWidget):
    """Starts and stops the placing of points of one markups node by clicks in the views."""

    activeMarkupsPlaceModeChanged = QtCore.Signal(bool)
    ShowPlaceMultipleMarkupsOption, HidePlaceMultipleMarkupsOption = 0, 1
    ForcePlaceSingleMarkup, ForcePlaceMultipleMarkups = 2, 3

    def __init__(self, parent=None):
        super().__init__(parent)
        self._scene = None
        self._node_id = ""
        self._was_placing = False
        self._observed = []
        self._place = QtWidgets.QToolButton(self)
        self._place.text, self._place.checkable = "Place", True
        self._delete = QtWidgets.QToolButton(self)
        self._delete.text = "Delete"
        layout = QtWidgets.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._place)
        layout.addWidget(self._delete)
        self.setFocusProxy(self._place)
        self._place.toggled.connect(lambda checked: self.setPlaceModeEnabled(checked))
        self._delete.clicked.connect(lambda: self.deleteLastPoint())
        self._update()

    buttonsVisible = stored(bool, "buttonsVisible", True, lambda self: self._update())
    deleteAllControlPointsOptionVisible = stored(bool, "deleteAllControlPointsOptionVisible", True)
    placeMultipleMarkups = stored(int, "placeMultipleMarkups", 0)
    placeModePersistency = stored(bool, "placeModePersistency", False)
    defaultNodeColor = stored(QtGui.QColor, "defaultNodeColor", QtGui.QColor(0, 0, 0))
    nodeColor = stored(QtGui.QColor, "nodeColor", QtGui.QColor(0, 0, 0))

    def _placing(self):
        interaction = self.interactionNode()
        return bool(
            self.currentNode()
            and self.selectionNode().GetActivePlaceNodeID() == self._node_id
            and interaction.GetCurrentInteractionMode() == interaction.Place
        )

    def setPlaceModeEnabled(self, enabled):
        """Slot: makes the node the one that clicks add points to."""
        node, interaction = self.currentNode(), self.interactionNode()
        if enabled and node:
            self.selectionNode().SetReferenceActivePlaceNodeClassName(node.GetClassName())
            self.selectionNode().SetActivePlaceNodeID(self._node_id)
            several = self.placeMultipleMarkups == self.ForcePlaceMultipleMarkups or (
                self.placeModePersistency and self.placeMultipleMarkups != self.ForcePlaceSingleMarkup
            )
            interaction.SetPlaceModePersistence(int(several))
            interaction.SetCurrentInteractionMode(interaction.Place)
        elif node:  # whichever node's points are being placed
            interaction.SetCurrentInteractionMode(interaction.ViewTransform)
        self._update()

    placeModeEnabled = QtCore.Property(bool, _placing, setPlaceModeEnabled)

    def setMRMLScene(self, scene):
        for observed, tag in self._observed:
            observed.RemoveObserver(tag)
        self._scene, self._observed = scene, []
        if scene is not None:
            for node in (self.interactionNode(), self.selectionNode()):
                tag = node.AddObserver(vtk.vtkCommand.ModifiedEvent, lambda *_: self._update())
                self._observed.append((node, tag))
                self.destroyed.connect(_release(node, [tag]))
        self._update()

    def mrmlScene(self):
        return self._scene

    def interactionNode(self):
        return self._scene.GetNodeByID("vtkMRMLInteractionNodeSingleton") if self._scene else None

    def selectionNode(self):
        return self._scene.GetNodeByID("vtkMRMLSelectionNodeSingleton") if self._scene else None

    def currentNode(self):
        return self._scene.GetNodeByID(self._node_id) if self._scene and self._node_id else None

    currentMarkupsNode = currentNode

    def setCurrentNode(self, node):
        """Slot: clicks that placed points of the node before go on to do so."""
        self._node_id = node.GetID() if node else ""
        self._update()

    def placeButton(self):
        return self._place

    def deleteButton(self):
        return self._delete

    def deleteLastPoint(self):
        node = self.currentNode()
        if node and node.GetNumberOfControlPoints():
            node.RemoveNthControlPoint(node.GetNumberOfControlPoints() - 1)

    def deleteAllPoints(self):
        if self.currentNode():
            self.currentNode().RemoveAllControlPoints()

    def _update(self):
        placing = self._scene is not None and self._placing()
        for button in (self._place, self._delete):
            button.enabled = self.currentNode() is not None
            button.visible = self.buttonsVisible or button is self._place
        blocked = self._place.blockSignals(True)
        self._place.checked = placing
        self._place.blockSignals(blocked)
        if placing != self._was_placing:
            self._was_placing = placing
            self.activeMarkupsPlaceModeChanged.emit(placing)


class qMRMLTableView(QtWidgets.QTableView):
    """Shows a table node."""

    def __init__(self, parent=None):
        super().__init__(parent)
        self._scene = None
        self._node = None
        self._tag = None
        self._model = QtGui.QStandardItemModel(self)
        self.setModel(self._model)

    def setMRMLScene(self, scene):
        self._scene = scene

    def mrmlScene(self):
        return self._scene

    def mrmlTableNode(self):
        return self._node

    def setMRMLTableNode(self, node):
        if self._node is not None:
            self._node.RemoveObserver(self._tag)
        self._node = node
        if node is not None:
            self._tag = node.AddObserver(vtk.vtkCommand.ModifiedEvent, lambda *_: self._update())
            self.destroyed.connect(_release(node, [self._tag]))
        self._update()

    def _update(self):
        self._model.clear()
        table = self._node.GetTable() if self._node else None
        if table is None:
            return
        columns, rows = range(table.GetNumberOfColumns()), range(table.GetNumberOfRows())
        self._model.setHorizontalHeaderLabels([table.GetColumnName(column) for column in columns])
        for row in rows:
            self._model.appendRow([QtGui.QStandardItem(table.GetValue(row, column).ToString()) for column in columns])


def _release(observed, tags):
    def release():
        for tag in tags:
            observed.RemoveObserver(tag)

    return release


def widgets() -> dict[str, type]:
    """All classes by name."""
    return {name: value for name, value in globals().items() if name.startswith(("qMRML", "qSlicer"))}
