"""Nodes, files and views of the stand-in are as in Slicer."""

import pytest


@pytest.fixture
def volume(scene):
    """A grey volume node of 40 x 40 x 40 mm around the origin."""
    import numpy as np
    import slicer

    affine = np.array([[-2, 0, 0, 20], [0, -2, 0, 20], [0, 0, 2, -20], [0, 0, 0, 1]], dtype=float)
    voxels = np.mgrid[:21, :21, :21].sum(axis=0).astype(np.int16)
    node = slicer.util.addVolumeFromArray(voxels, affine, "grey")
    node.CreateDefaultDisplayNodes()
    return node


@pytest.fixture
def selector(scene):
    """A node selector for volumes over the scene."""
    import slicer

    selector = slicer.qMRMLNodeComboBox()
    selector.nodeTypes = ["vtkMRMLScalarVolumeNode"]
    selector.setMRMLScene(scene)
    return selector


def test_a_selector_without_none_chooses_the_first_node_and_the_next_when_it_goes(selector, scene):
    first, second = (scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", name) for name in ("first", "second"))
    assert selector.currentNode() is first
    scene.RemoveNode(first)
    assert selector.currentNode() is second
    scene.RemoveNode(second)
    assert (selector.currentNode(), selector.currentNodeID) == (None, "")


def test_a_selector_with_none_chooses_nothing_by_itself_and_keeps_what_was_chosen(selector, scene):
    selector.noneEnabled = True
    nodes = [scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", name) for name in ("first", "second")]
    assert selector.currentNode() is None
    heard = []
    selector.connect("currentNodeChanged(vtkMRMLNode*)", heard.append)
    selector.connect("currentNodeChanged(bool)", heard.append)
    selector.setCurrentNode(nodes[1])
    selector.setCurrentNode(nodes[1])
    scene.RemoveNode(nodes[0])
    assert heard == [nodes[1], True]


def test_a_selector_shows_the_nodes_of_its_type_that_are_not_hidden(selector, scene):
    scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode").SetHideFromEditors(True)
    scene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    scene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode")  # a scalar volume, too
    assert selector.nodeCount() == 1
    selector.showChildNodeTypes = False
    assert selector.nodeCount() == 0
    selector.showHidden = True
    assert selector.nodeCount() == 1


def test_a_selector_adds_nodes_with_its_name_and_attributes(selector, scene):
    selector.baseName = "Kidney"
    selector.addAttribute("vtkMRMLScalarVolumeNode", "Modality", "US")
    scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "other")
    assert selector.nodeCount() == 0
    node = selector.addNode()
    assert (node.GetName(), node.GetAttribute("Modality"), selector.currentNode()) == ("Kidney", "US", node)


def test_parameters_come_back_with_a_saved_scene(scene, volume, tmp_path):
    import enum
    import pathlib

    import slicer
    from slicer import vtkMRMLScalarVolumeNode
    from slicer.parameterNodeWrapper import parameterNodeWrapper
    from slicer.ScriptedLoadableModule import ScriptedLoadableModuleLogic

    class Side(enum.Enum):
        LEFT = 1
        RIGHT = 2

    @parameterNodeWrapper
    class Parameters:
        inputVolume: vtkMRMLScalarVolumeNode
        side: Side
        folder: pathlib.Path
        share: float = 0.5
        count: int = 3
        name: str = "a b"
        shown: bool = True

    parameters = Parameters(ScriptedLoadableModuleLogic().getParameterNode())
    assert (parameters.side, parameters.share, parameters.inputVolume) == (Side.LEFT, 0.5, None)
    parameters.inputVolume, parameters.side, parameters.folder = volume, Side.RIGHT, pathlib.Path("/a b")
    parameters.share, parameters.count, parameters.shown = 0.25, 7, False
    assert slicer.util.saveScene(str(tmp_path / "scene"))
    scene.Clear(0)
    assert Parameters(ScriptedLoadableModuleLogic().getParameterNode()).count == 3
    slicer.util.loadScene(str(next((tmp_path / "scene").glob("*.mrml"))))
    parameters = Parameters(ScriptedLoadableModuleLogic().getParameterNode())
    assert parameters.inputVolume.GetName() == "grey"
    assert (parameters.side, parameters.folder, parameters.share) == (Side.RIGHT, pathlib.Path("/a b"), 0.25)
    assert (parameters.count, parameters.name, parameters.shown) == (7, "a b", False)


def test_several_changes_are_told_once(scene):
    import slicer
    from slicer.parameterNodeWrapper import parameterNodeWrapper

    @parameterNodeWrapper
    class Parameters:
        first: int
        second: int

    parameters = Parameters(scene.AddNewNodeByClass("vtkMRMLScriptedModuleNode"))
    told = []
    parameters.AddObserver("ModifiedEvent", lambda *_: told.append((parameters.first, parameters.second)))
    with slicer.util.NodeModify(parameters):
        parameters.first, parameters.second = 1, 2
    assert told == [(1, 2)]


def test_files_are_read_and_written_as_slicer_does(scene, volume, tmp_path):
    import numpy as np
    import slicer

    assert slicer.util.saveNode(volume, str(tmp_path / "volume.nii.gz"))
    read = slicer.util.loadVolume(str(tmp_path / "volume.nii.gz"), {"name": "read"})
    assert read.GetName() == "read"
    assert np.array_equal(slicer.util.arrayFromVolume(read), slicer.util.arrayFromVolume(volume))
    segmentation = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "parts")
    segmentation.GetSegmentation().AddEmptySegment("kidney")
    slicer.util.updateSegmentBinaryLabelmapFromArray(
        (slicer.util.arrayFromVolume(volume) > 30).astype(np.uint8), segmentation, "kidney", volume
    )
    assert slicer.util.saveNode(segmentation, str(tmp_path / "parts.seg.nrrd"))
    again = slicer.util.loadSegmentation(str(tmp_path / "parts.seg.nrrd"))
    assert slicer.util.arrayFromSegmentBinaryLabelmap(again, "kidney", volume).any()
    with pytest.raises(RuntimeError, match="Failed to load node from file"):
        slicer.util.loadVolume(str(tmp_path / "none.nii.gz"))


def test_slice_views_and_layout_of_the_application_work_on_the_scene(scene, volume):
    import slicer

    slicer.util.setSliceViewerLayers(background=volume, fit=True)
    layout = slicer.app.layoutManager()
    assert layout.sliceViewNames() == ["Red", "Yellow", "Green"]
    red = layout.sliceWidget("Red")
    assert red.sliceLogic().GetSliceCompositeNode().GetBackgroundVolumeID() == volume.GetID()
    slicer.vtkMRMLSliceNode.JumpAllSlices(scene, 3, 4, 5)
    assert red.mrmlSliceNode().GetSliceOffset() == pytest.approx(5)
    layout.setLayout(slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpPlotView)
    assert layout.layout == slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpPlotView


def test_points_are_placed_dragged_and_deleted_in_a_slice_view(scene, slice_view, volume):
    import slicer

    view = slice_view(volume)
    points = scene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode")
    points.CreateDefaultDisplayNodes()
    place = slicer.qSlicerMarkupsPlaceWidget()
    place.setMRMLScene(scene)
    place.setCurrentNode(points)
    place.placeMultipleMarkups = slicer.qSlicerMarkupsPlaceWidget.ForcePlaceMultipleMarkups
    place.placeModeEnabled = True
    view.click((-10, 5, 4))
    view.click((10, -10, 4))
    placed = slicer.util.arrayFromMarkupsControlPoints(points)
    assert placed.ravel() == pytest.approx([-10, 5, 4, 10, -10, 4], abs=0.2)
    place.placeModeEnabled = False
    view.drag((-10, 5, 4), (-10, 15, 4))
    assert slicer.util.arrayFromMarkupsControlPoints(points)[0] == pytest.approx([-10, 15, 4], abs=0.2)
    view.press("Delete", (10, -10, 4))
    assert points.GetNumberOfControlPoints() == 1


def test_a_slice_view_can_be_looked_at(slice_view, volume, tmp_path):
    from harness.views import SIZE
    from matplotlib.image import imread

    slice_view(volume, "Coronal").screenshot(tmp_path / "view.png")
    picture = imread(tmp_path / "view.png")
    assert picture.shape[:2] == SIZE
    first, middle, last = picture[SIZE[1] // 2, SIZE[0] // 4 :: SIZE[0] // 4].mean(axis=1)
    assert first < middle < last  # the patient's right, where i is small, is on the left


def test_a_translucent_segment_is_seen_in_3d(scene, three_d_view, tmp_path):
    import vtk
    from matplotlib.image import imread

    sphere = vtk.vtkSphereSource()
    sphere.SetCenter(0, 0, 100)
    sphere.SetRadius(30)
    sphere.Update()
    segmentation = scene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    segmentation.CreateDefaultDisplayNodes()
    segmentation.AddSegmentFromClosedSurfaceRepresentation(sphere.GetOutput(), "sphere", [1, 0, 0])
    segmentation.GetDisplayNode().SetOpacity3D(0.5)
    three_d_view(tmp_path / "view.png")
    red, _, blue = imread(tmp_path / "view.png")[:, :, :3].transpose(2, 0, 1)
    assert red[200, 200] > blue[200, 200]  # the sphere in the middle
    assert red[5, 5] < blue[5, 5]  # Slicer's blue background


def test_screenshots_put_panel_and_views_side_by_side(core, tmp_path):
    import qt
    import screenshots
    from matplotlib.image import imread

    view, panel = qt.QPixmap(40, 30), qt.QPixmap(20, 50)
    view.fill(qt.QColor(255, 0, 0))
    panel.fill(qt.QColor(0, 255, 0))
    assert view.save(str(tmp_path / "view.png"))
    screenshots.beside(panel, [tmp_path / "view.png"] * 4, tmp_path / "whole.png")
    whole = imread(tmp_path / "whole.png")[:, :, :3]
    assert whole.shape == (60, 100, 3)
    assert (whole[:50, :20] == (0, 1, 0)).all()
    assert (whole[:, 20:] == (1, 0, 0)).all()
