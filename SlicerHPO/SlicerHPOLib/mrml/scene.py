"""The scene as the user left it: nothing half-made stays in it, and results lie beside what they were made from."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import slicer


@contextmanager
def unchanged_on_failure() -> Iterator[None]:
    """If the block raises, the nodes that were added in it are removed from the scene again."""
    scene = slicer.mrmlScene
    before = _node_ids(scene)
    try:
        yield
    except BaseException:
        for node_id in _node_ids(scene) - before:
            if (node := scene.GetNodeByID(node_id)) is not None:  # not removed along with another
                scene.RemoveNode(node)
        raise


def beside(node: slicer.vtkMRMLNode, input_node: slicer.vtkMRMLNode) -> None:
    """Puts a result into the subject-hierarchy folder (study, patient) of the node that it was made from."""
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    item, input_item = hierarchy.GetItemByDataNode(node), hierarchy.GetItemByDataNode(input_node)
    parent = hierarchy.GetItemParent(input_item) if input_item else hierarchy.GetSceneItemID()
    if item:
        hierarchy.SetItemParent(item, parent)
    else:  # outside of Slicer's own application nobody has made an item for the node
        hierarchy.CreateItem(parent, node)


def is_in_scene(node: slicer.vtkMRMLNode | None) -> bool:
    """False for None and for a node that was deleted, or whose scene was closed."""
    return node is not None and bool(slicer.mrmlScene.IsNodePresent(node))


def show_in_slice_views(volume_node: slicer.vtkMRMLVolumeNode) -> None:
    """Puts a volume behind in the slice views, unless one of them shows it already: what the user set up stays."""
    views = slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode")
    shown = {view_id for view in views for view_id in (view.GetBackgroundVolumeID(), view.GetForegroundVolumeID())}
    if views and volume_node.GetID() not in shown:
        slicer.util.setSliceViewerLayers(background=volume_node, fit=True)


def _node_ids(scene: slicer.vtkMRMLScene) -> set[str]:
    return {scene.GetNthNode(index).GetID() for index in range(scene.GetNumberOfNodes())}
