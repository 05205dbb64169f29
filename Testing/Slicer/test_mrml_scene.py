"""A failure leaves the scene as it was; results lie beside their input."""

import pytest


@pytest.fixture
def place(scene):
    from SlicerHPOLib.mrml import scene as place

    return place


def names(scene):
    return {scene.GetNthNode(index).GetName() for index in range(scene.GetNumberOfNodes())}


def test_nodes_of_a_block_that_raises_are_gone(scene, place):
    scene.AddNewNodeByClass("vtkMRMLTableNode", "kept")
    before, count = names(scene), scene.GetNumberOfNodes()
    with pytest.raises(ValueError, match="broken"), place.unchanged_on_failure():
        scene.AddNewNodeByClass("vtkMRMLTableNode", "half-made")
        volume = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "half-made volume")
        volume.CreateDefaultDisplayNodes()
        assert scene.GetNumberOfNodes() > count + 2
        raise ValueError("broken")
    assert names(scene) == before
    assert scene.GetNumberOfNodes() == count


def test_nodes_of_a_block_that_succeeds_stay(scene, place):
    with place.unchanged_on_failure():
        node = scene.AddNewNodeByClass("vtkMRMLTableNode", "made")
    assert place.is_in_scene(node)


def test_a_result_lies_in_the_folder_of_its_input(scene, place):
    import slicer

    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
    patient = hierarchy.CreateSubjectItem(hierarchy.GetSceneItemID(), "somebody")
    study = hierarchy.CreateStudyItem(patient, "study")
    volume = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "scan")
    hierarchy.CreateItem(study, volume)
    table = scene.AddNewNodeByClass("vtkMRMLTableNode", "measures")
    place.beside(table, volume)
    assert hierarchy.GetItemParent(hierarchy.GetItemByDataNode(table)) == study


def test_the_result_of_an_input_without_folder_stays_at_the_top(scene, place):
    import slicer

    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
    volume = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "scan")
    table = scene.AddNewNodeByClass("vtkMRMLTableNode", "measures")
    place.beside(table, volume)
    assert hierarchy.GetItemParent(hierarchy.GetItemByDataNode(table)) == hierarchy.GetSceneItemID()


def test_a_deleted_node_is_no_longer_in_the_scene(scene, place):
    node = scene.AddNewNodeByClass("vtkMRMLTableNode", "made")
    assert place.is_in_scene(node)
    scene.RemoveNode(node)
    assert not place.is_in_scene(node)
    assert not place.is_in_scene(None)
