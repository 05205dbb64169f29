"""The panel of Kidney Ultrasound with a result: points, undo, measures, export; the window as a whole."""

from pathlib import Path

import numpy as np
import pytest
from kidney_panel import centre, choose, placed, point_nodes, select, table, volume_ml, volume_node
from kidneys import TaskAtHand, matrix_of, volume

SAMPLES = Path(__file__).resolve().parents[3] / "Resources" / "SampleData" / "kidney"


# Correcting


def test_points_clicked_dragged_and_deleted_in_a_slice_view_change_the_shape(segmented, slice_view, wait_until):
    node = segmented._parameterNode.inputVolume
    inside, outside = point_nodes(segmented)
    view, before = slice_view(node), volume_ml(segmented)
    segmented.ui.insidePlaceWidget.placeButton().click()
    target = centre(node) + (24, 0, 0)
    view.click(target)
    wait_until(lambda: segmented.ui.undoButton.enabled)
    np.testing.assert_allclose(placed(inside), [target], atol=1.0)
    after = volume_ml(segmented)
    assert after > before
    segmented.ui.insidePlaceWidget.placeButton().click()
    view.drag(placed(inside)[0], placed(inside)[0] + (4, 0, 0))
    wait_until(lambda: volume_ml(segmented) > after)
    assert abs(placed(inside)[0][0] - target[0] - 4) < 1.5
    segmented.ui.undoButton.click()
    assert volume_ml(segmented) == pytest.approx(after)  # the whole drag is one step
    view.press("Delete", placed(inside)[0])
    wait_until(lambda: len(placed(inside)) == 0 and volume_ml(segmented) == pytest.approx(before))
    segmented.ui.outsidePlaceWidget.placeButton().click()
    view.click(centre(node) + (14, 0, 0))
    wait_until(lambda: len(placed(outside)) == 1 and volume_ml(segmented) < before)


def test_measures_follow_the_points(segmented, wait_until):
    node = segmented._parameterNode.inputVolume
    wait_until(lambda: segmented.ui.measuresView.mrmlTableNode().GetNumberOfRows() > 0)
    before = table(segmented)["Volume"]
    point_nodes(segmented)[0].AddControlPointWorld(*map(float, centre(node) + (25, 0, 0)))
    wait_until(lambda: table(segmented)["Volume"] > before)


def test_undo_and_redo_step_through_the_changes(segmented, wait_until):
    node = segmented._parameterNode.inputVolume
    inside, outside = point_nodes(segmented)
    assert not segmented.ui.undoButton.enabled and not segmented.ui.redoButton.enabled
    volumes = [volume_ml(segmented)]
    for points, offset in ((inside, (24, 0, 0)), (outside, (0, 11, 0))):
        points.AddControlPointWorld(*map(float, centre(node) + offset))
        wait_until(lambda: volume_ml(segmented) != volumes[-1])
        volumes.append(volume_ml(segmented))
    for expected in volumes[-2::-1]:
        assert segmented.ui.undoButton.enabled
        segmented.ui.undoButton.click()
        assert volume_ml(segmented) == expected
    assert not segmented.ui.undoButton.enabled and len(placed(inside)) == len(placed(outside)) == 0
    for expected in volumes[1:]:
        segmented.ui.redoButton.click()
        assert volume_ml(segmented) == expected
    assert not segmented.ui.redoButton.enabled and len(placed(inside)) == len(placed(outside)) == 1


def test_a_point_that_cannot_be_is_taken_back_with_a_message(segmented, wait_until, process_events):
    inside, _ = point_nodes(segmented)
    inside.AddControlPointWorld(0, 0, 900)
    wait_until(lambda: segmented.ui.messageLabel.visible)
    assert segmented.ui.messageLabel.text.startswith("Taken back: Outside the volume lies point 1 (inside at R 0.0")
    assert len(placed(inside)) == 0 and not segmented.ui.undoButton.enabled
    process_events(0.1)
    assert segmented.ui.messageLabel.visible
    inside.AddControlPointWorld(*map(float, centre(segmented._parameterNode.inputVolume) + (24, 0, 0)))
    wait_until(lambda: segmented.ui.undoButton.enabled)
    assert not segmented.ui.messageLabel.visible


def test_an_unusual_shape_is_warned_of(segmented, wait_until):
    inside, outside = point_nodes(segmented)
    inside.AddControlPointWorld(*map(float, centre(segmented._parameterNode.inputVolume) + (4, -43, 2)))
    outside.AddControlPointWorld(*map(float, centre(segmented._parameterNode.inputVolume) + (4, -25, 2)))
    wait_until(lambda: "standard deviations" in segmented.ui.warningLabel.text)


def test_points_changed_while_the_panel_was_left_are_honoured_on_return(segmented, wait_until):
    import slicer

    before, (inside, _) = volume_ml(segmented), point_nodes(segmented)
    slicer.util.selectModule("Welcome")
    inside.AddControlPointWorld(*map(float, centre(segmented.logic.getParameterNode().inputVolume) + (24, 0, 0)))
    slicer.util.selectModule("KidneyUltrasound")
    wait_until(lambda: volume_ml(segmented) > before)


def test_an_opened_scene_goes_on_with_its_points_and_undo_does_not_go_behind_them(
    segmented, scene, wait_until, tmp_path
):
    import slicer

    select(segmented.ui.sideSelector, "Left kidney")
    select(segmented.ui.populationSelector, "Child")
    point_nodes(segmented)[0].AddControlPointWorld(
        *map(float, centre(segmented._parameterNode.inputVolume) + (24, 0, 0))
    )
    wait_until(lambda: segmented.ui.undoButton.enabled)
    before = volume_ml(segmented)
    slicer.util.saveScene(str(tmp_path / "scene"))
    scene.Clear(0)
    slicer.util.loadScene(str(next((tmp_path / "scene").glob("*.mrml"))))
    wait_until(lambda: segmented.ui.correctionsCollapsibleButton.enabled)
    assert segmented.ui.inputSelector.currentNode().GetName() == "scan"
    assert segmented.ui.sideSelector.currentText == "Left kidney"
    assert segmented.ui.populationSelector.currentText == "Child"
    assert volume_ml(segmented) == pytest.approx(before, rel=1e-4)
    inside, outside = point_nodes(segmented)
    assert len(placed(inside)) == 1
    assert not segmented.ui.undoButton.enabled and not segmented.ui.redoButton.enabled
    outside.AddControlPointWorld(*map(float, centre(segmented._parameterNode.inputVolume) + (0, 11, 0)))
    wait_until(lambda: segmented.ui.undoButton.enabled)
    assert volume_ml(segmented) < before
    segmented.ui.undoButton.click()
    assert volume_ml(segmented) == pytest.approx(before, rel=1e-4)
    assert len(placed(inside)) == 1 and len(placed(outside)) == 0 and not segmented.ui.undoButton.enabled


def test_the_window_never_waits_long_for_a_large_volume_on_a_fine_grid(panel, wait_until, process_events):
    import time

    from kidneys import found_in
    from SlicerHPOLib.mrml.volumes import image_of, volume_node_of

    node = volume_node_of(volume(matrix_of(spacing_mm=(0.7, 0.7, 0.5)), (299, 167, 156)), "large")
    found = found_in(image_of(node), size=80)
    TaskAtHand.changes = {"grid": found.grid, "phi": found.phi, "modes": np.repeat(found.modes, 4, axis=0)}
    took = {}

    def timed(what, do=lambda: None):
        begin = time.thread_time()  # of this thread: others use the processor, too
        do()
        process_events()
        took[what] = max(took.get(what, 0.0), time.thread_time() - begin)

    def waited(what, condition):
        wait_until(lambda: (timed(what), condition())[1])

    timed("choosing", lambda: choose(panel, node))
    timed("starting", panel.ui.applyButton.click)
    waited("finishing", lambda: panel._parameterNode.segmentation is not None)
    waited("measuring", lambda: panel.ui.measuresView.mrmlTableNode().GetNumberOfRows() > 0)
    timed("beginning to place", panel.ui.insidePlaceWidget.placeButton().click)
    inside, _ = point_nodes(panel)
    timed("placing", lambda: inside.AddControlPointWorld(*map(float, centre(node) + (23, 0, 0))))
    waited("following", lambda: panel.ui.undoButton.enabled)
    timed("undoing", panel.ui.undoButton.click)
    print("\nlongest pauses:", ", ".join(f"{what} {1000 * seconds:.0f} ms" for what, seconds in took.items()))
    assert max(took.values()) < 0.3, took


def test_choosing_another_volume_or_method_ends_placing(segmented, scene):
    interaction = scene.GetNodeByID("vtkMRMLInteractionNodeSingleton")
    segmented.ui.insidePlaceWidget.placeButton().click()
    segmented._parameterNode.inputVolume.SetName("renamed")  # what changes neither does not
    select(segmented.ui.sideSelector, "Left kidney")
    assert interaction.GetCurrentInteractionMode() == interaction.Place
    choose(segmented, volume_node(name="other"))
    assert interaction.GetCurrentInteractionMode() != interaction.Place
    select(segmented.ui.methodSelector, "Classical, from a seed point")
    segmented.ui.seedPlaceWidget.placeButton().click()
    assert interaction.GetCurrentInteractionMode() == interaction.Place
    select(segmented.ui.methodSelector, "Network alone, no template")
    assert interaction.GetCurrentInteractionMode() != interaction.Place


def test_leaving_the_panel_ends_placing(segmented, scene):
    import slicer

    segmented.ui.outsidePlaceWidget.placeButton().click()
    interaction = scene.GetNodeByID("vtkMRMLInteractionNodeSingleton")
    assert interaction.GetCurrentInteractionMode() == interaction.Place
    slicer.util.selectModule("Welcome")
    assert interaction.GetCurrentInteractionMode() != interaction.Place


# Exporting


@pytest.mark.parametrize(
    ("button", "name"), [("exportSegmentationButton", "kidney.seg.nrrd"), ("exportReportButton", "report.csv")]
)
def test_an_export_writes_the_file_that_the_user_names(segmented, dialogs, tmp_path, button, name):
    dialogs.path = ""
    getattr(segmented.ui, button).click()
    assert not list(tmp_path.iterdir()) and not segmented.ui.statusLabel.visible
    dialogs.path = str(tmp_path / name)
    getattr(segmented.ui, button).click()
    assert (tmp_path / name).stat().st_size > 100
    assert name in segmented.ui.statusLabel.text


def test_an_export_that_fails_says_why(segmented, dialogs, tmp_path):
    dialogs.path = str(tmp_path / "kidney.docx")
    segmented.ui.exportSegmentationButton.click()
    assert dialogs[-1].kind == "error" and "written as .seg.nrrd or .nii.gz" in dialogs[-1].text


# As a whole


def test_the_panel_runs_a_sample_in_another_process(load_module, open_panel, wait_until, screenshot, tmp_path):
    import slicer

    panel = open_panel(load_module("KidneyUltrasound"))
    choose(panel, slicer.util.loadVolume(str(SAMPLES / "adult-right.nii.gz")))
    panel.ui.applyButton.click()
    wait_until(lambda: not panel.logic.isRunning, 60)
    wait_until(lambda: panel.ui.measuresView.mrmlTableNode().GetNumberOfRows() > 0)
    assert table(panel)["Volume"] > 20
    screenshot(panel, tmp_path / "panel.png")
    assert (tmp_path / "panel.png").stat().st_size > 5000


def test_every_widget_that_can_be_used_explains_itself(panel):
    for name, widget in vars(panel.ui).items():
        if widget.metaObject().className() in ("QPushButton", "QComboBox", "qMRMLNodeComboBox"):
            assert widget.toolTip, name


def test_the_tabulator_goes_through_the_panel_from_top_to_bottom(panel):
    order, widget = [], panel.ui.inputSelector
    names = {id(widget): name for name, widget in vars(panel.ui).items()}
    for _ in range(300):
        if (name := names.get(id(widget))) and name not in order:
            order.append(name)
        widget = widget.nextInFocusChain()
    wanted = ["inputSelector", "sideSelector", "methodSelector", "populationSelector", "modelSelector"]
    wanted += ["applyButton", "undoButton", "exportReportButton"]
    assert [name for name in order if name in wanted] == wanted


def test_samples_are_registered(load_module):
    load_module("KidneyUltrasound")
    from harness.sampledata import registered

    assert {path.name.removesuffix(".nii.gz") for path in SAMPLES.glob("*.nii.gz")} <= set(registered)
