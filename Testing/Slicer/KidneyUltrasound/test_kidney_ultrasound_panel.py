"""The panel of Kidney Ultrasound: what is enabled when and why, a run, and what can go wrong meanwhile."""

import sys
from pathlib import Path

import numpy as np
import pytest
from kidney_panel import centre, choose, point_nodes, run, select, start, table, volume_ml, volume_node
from kidneys import TaskAtHand, matrix_of

# What can be pressed


def test_without_a_volume_apply_is_disabled_and_says_why(panel):
    assert not panel.ui.applyButton.enabled and "No volume is chosen" in panel.ui.applyButton.toolTip
    assert not panel.ui.correctionsCollapsibleButton.enabled and not panel.ui.resultCollapsibleButton.enabled
    assert "Segment a volume first" in panel.ui.correctionsCollapsibleButton.toolTip


def test_a_volume_enables_apply_and_the_first_of_the_scene_is_chosen_on_entering(panel, open_panel):
    import slicer

    node = volume_node()
    slicer.util.selectModule("Welcome")
    slicer.util.selectModule("KidneyUltrasound")
    assert panel._parameterNode.inputVolume is node
    assert panel.ui.applyButton.enabled and panel.ui.applyButton.toolTip == "Find the kidney."


def test_a_flat_volume_cannot_be_applied_and_the_reason_is_told(panel):
    import slicer

    node = slicer.util.addVolumeFromArray(np.arange(1200).reshape(1, 30, 40).astype(np.uint8), name="flat")
    choose(panel, node)
    assert not panel.ui.applyButton.enabled
    assert panel.ui.applyButton.toolTip == "flat is a single slice; at least 2 are needed."


def test_apply_follows_what_happens_to_the_volume(panel, scene):
    node = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "arriving")
    choose(panel, node)
    assert not panel.ui.applyButton.enabled and "arriving has no image data" in panel.ui.applyButton.toolTip
    node.SetAndObserveImageData(volume_node().GetImageData())
    assert panel.ui.applyButton.enabled
    node.SetAndObserveTransformNodeID(scene.AddNewNodeByClass("vtkMRMLBSplineTransformNode").GetID())
    assert not panel.ui.applyButton.enabled and "harden the transform" in panel.ui.applyButton.toolTip
    node.SetAndObserveTransformNodeID(None)
    assert panel.ui.applyButton.enabled


def test_a_constant_volume_is_refused_in_words_when_it_is_looked_at(panel, dialogs):
    import slicer

    choose(panel, slicer.util.addVolumeFromArray(np.zeros((30, 40, 50), np.uint8), name="empty"))
    with pytest.raises(ValueError, match="constant"):
        panel.onApplyButton()
    assert "empty: constant volume" in dialogs[-1].text
    assert TaskAtHand.started == [] and panel.ui.applyButton.text == "Apply"


def test_a_label_map_that_comes_first_is_not_taken_for_the_input(panel, scene):
    import slicer

    slicer.util.selectModule("Welcome")
    scene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", "labels")
    node = volume_node()
    slicer.util.selectModule("KidneyUltrasound")
    assert panel.ui.inputSelector.currentNode() is node


def test_the_classical_method_wants_a_seed_point(panel, process_events):
    choose(panel, volume_node())
    assert not panel.ui.seedPlaceWidget.visible
    select(panel.ui.methodSelector, "Classical, from a seed point")
    assert panel.ui.seedPlaceWidget.visible and panel.ui.seedLabel.visible
    assert not panel.ui.applyButton.enabled and "seed point" in panel.ui.applyButton.toolTip
    seed = panel._parameterNode.seedPoint
    seed.AddControlPointWorld(*map(float, centre(panel._parameterNode.inputVolume)))
    process_events()
    assert panel.ui.applyButton.enabled
    seed.SetNthControlPointPositionWorld(0, 900.0, 0.0, 0.0)
    process_events()
    assert not panel.ui.applyButton.enabled and "outside the volume" in panel.ui.applyButton.toolTip
    seed.RemoveAllControlPoints()
    process_events()
    assert not panel.ui.applyButton.enabled
    select(panel.ui.methodSelector, "Network alone, no template")
    assert panel.ui.applyButton.enabled and not panel.ui.seedPlaceWidget.visible


def test_what_the_panel_holds_reaches_the_computation(panel, wait_until):
    node = volume_node()
    choose(panel, node)
    select(panel.ui.methodSelector, "Classical, from a seed point")
    select(panel.ui.sideSelector, "Left kidney")
    panel._parameterNode.seedPoint.AddControlPointWorld(*map(float, centre(node)))
    segmentation = run(panel, wait_until)
    options = TaskAtHand.started[-1].options
    assert options["method"] == "classical" and options["seed_point_mm"] == pytest.approx(list(centre(node)))
    assert options["model"] == "kidney-ultrasound"
    assert segmentation.GetSegmentation().GetSegment("kidney").GetName() == "left kidney"


def test_the_population_that_is_chosen_is_asked_for(panel, wait_until):
    assert panel.ui.populationSelector.currentText == "Found from the volume"
    choose(panel, volume_node())
    for text, asked in (("Child", "child"), ("Adult", "adult"), ("Found from the volume", "auto")):
        select(panel.ui.populationSelector, text)
        run(panel, wait_until)
        assert TaskAtHand.started[-1].options["population"] == asked


def test_the_classical_method_is_asked_for_no_population(panel, wait_until):
    node = volume_node()
    choose(panel, node)
    select(panel.ui.populationSelector, "Child")
    assert panel.ui.populationSelector.visible and panel.ui.populationLabel.visible
    select(panel.ui.methodSelector, "Classical, from a seed point")
    assert not panel.ui.populationSelector.visible and not panel.ui.populationLabel.visible
    panel._parameterNode.seedPoint.AddControlPointWorld(*map(float, centre(node)))
    run(panel, wait_until)
    assert TaskAtHand.started[-1].options["population"] == "auto"
    select(panel.ui.methodSelector, "Network alone, no template")
    assert panel.ui.populationSelector.visible and panel.ui.populationSelector.currentText == "Child"


def test_the_populations_and_methods_that_can_be_chosen_are_those_that_can_be_asked_for(panel):
    from KidneyUltrasoundLib.Choices import Method, Population
    from SlicerHPOLib.kidney.request import METHODS, POPULATIONS

    assert tuple(choice.value for choice in Population) == POPULATIONS
    assert tuple(choice.value for choice in Method) == METHODS


def test_models_for_the_kidney_are_offered_and_the_chosen_one_is_used(panel, wait_until, tmp_path, monkeypatch):
    import shutil

    import slicer
    from SlicerHPOLib.bundle import MODELS_VARIABLE, find_bundle

    shutil.copytree(find_bundle("kidney-ultrasound"), tmp_path / "mine")
    monkeypatch.setenv(MODELS_VARIABLE, str(tmp_path))
    slicer.util.selectModule("Welcome")
    slicer.util.selectModule("KidneyUltrasound")
    box = panel.ui.modelSelector
    assert {box.itemText(index) for index in range(box.count)} == {"mine", "kidney-ultrasound"}
    choose(panel, volume_node())
    select(box, "mine")
    run(panel, wait_until)
    assert TaskAtHand.started[-1].options["model"] == "mine"


# Running


def test_apply_becomes_cancel_with_progress_and_the_result_is_shown(panel, wait_until):
    choose(panel, volume_node())
    start(panel, wait_until)
    assert panel.ui.applyButton.text == "Cancel" and "Stop" in panel.ui.applyButton.toolTip
    wait_until(lambda: panel.ui.progressBar.value == 40)
    assert panel.ui.progressBar.visible and panel.ui.progressBar.format == "finding the kidney (%p %)"
    assert not panel.ui.inputsCollapsibleButton.enabled and not panel.ui.resultCollapsibleButton.enabled
    TaskAtHand.waits = False
    wait_until(lambda: not panel.logic.isRunning)
    assert panel.ui.applyButton.text == "Apply" and not panel.ui.progressBar.visible
    assert panel.ui.resultCollapsibleButton.enabled and panel.ui.correctionsCollapsibleButton.enabled
    wait_until(lambda: panel.ui.measuresView.mrmlTableNode().GetNumberOfRows() > 0)
    assert table(panel)["Volume"] == pytest.approx(48.3, rel=0.06)
    assert panel.ui.segmentationSelector.currentNode() is panel._parameterNode.segmentation


def test_cancel_stops_and_leaves_the_scene_as_it_was(panel, scene, wait_until):
    choose(panel, volume_node())
    before = scene.GetNumberOfNodes()
    start(panel, wait_until)
    panel.ui.applyButton.click()
    wait_until(lambda: panel.ui.applyButton.enabled and panel.ui.applyButton.text == "Apply")
    assert not panel.logic.isRunning and panel.ui.statusLabel.text == "Cancelled."
    assert scene.GetNumberOfNodes() == before and panel._parameterNode.segmentation is None


def test_a_double_click_on_apply_starts_once_and_does_not_cancel(panel, wait_until):
    choose(panel, volume_node())
    TaskAtHand.waits = True
    panel.ui.applyButton.click()
    panel.ui.applyButton.click()
    assert panel.logic.isRunning and len(TaskAtHand.started) == 1
    TaskAtHand.waits = False
    wait_until(lambda: not panel.logic.isRunning)
    assert panel._parameterNode.segmentation is not None


def test_an_error_is_shown_and_the_panel_is_ready_again(panel, scene, dialogs, wait_until):
    from SlicerHPOLib.background import TaskError

    choose(panel, volume_node())
    before = scene.GetNumberOfNodes()
    TaskAtHand.error = TaskError("The computation gave no answer: memory ran out.", "Traceback ...")
    panel.ui.applyButton.click()
    wait_until(lambda: dialogs and panel.ui.applyButton.enabled)
    assert dialogs[-1].kind == "error" and "memory ran out" in dialogs[-1].text
    assert "could not be segmented" in dialogs[-1].text
    assert panel.ui.applyButton.text == "Apply" and scene.GetNumberOfNodes() == before


def test_notes_of_the_way_there_are_shown(panel, wait_until):
    TaskAtHand.warnings = ("It was computed on the processor.",)
    choose(panel, volume_node())
    run(panel, wait_until)
    assert panel.ui.statusLabel.visible and panel.ui.statusLabel.text == "It was computed on the processor."


OTHER_PROCESS = """
import sys
import time
from pathlib import Path
sys.path.insert(0, {testing!r})
from kidneys import found_in
from SlicerHPOLib import worker
from SlicerHPOLib.words import Message

def segment(image, options, job):
    while not Path({go!r}).exists():
        job.progress(0.4, Message("kidney.segmenter", "finding the kidney"))
        time.sleep(0.01)
    if options["population"] == "child":
        raise MemoryError
    found = found_in(image, note=Message("kidney.segmenter", "Low confidence ({{usual}}).", {{"usual": "0.4"}}))
    return worker.Answer(found.description, found.arrays, (Message("SlicerHPOLib.worker", "Too little memory."),))

worker.TASKS["segment"] = segment
sys.exit(worker.main(Path(sys.argv[-1])))
"""


@pytest.fixture
def other_process(tmp_path, monkeypatch):
    """The worker in a process of its own, in which a method that makes no mistakes waits for the file returned."""
    from SlicerHPOLib import background
    from SlicerHPOLib.mrml import kidneyrun

    script, python, go = tmp_path / "script.py", tmp_path / "python", tmp_path / "go"
    script.write_text(OTHER_PROCESS.format(testing=str(Path(__file__).parents[1]), go=str(go)))
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{script}" "$@"\n')
    python.chmod(0o755)
    monkeypatch.setattr(background, "python_executable", lambda: str(python))
    monkeypatch.setattr(kidneyrun, "BackgroundTask", background.BackgroundTask)
    return go


def test_what_the_other_process_says_is_shown_in_the_users_language(
    panel, shouting, dialogs, other_process, wait_until
):
    choose(panel, volume_node())
    panel.ui.applyButton.click()
    wait_until(lambda: panel.ui.progressBar.format == "FINDING THE KIDNEY (%p %)", timeout=60)
    other_process.touch()
    wait_until(lambda: not panel.logic.isRunning)
    assert panel.ui.statusLabel.text == "TOO LITTLE MEMORY."
    assert panel.ui.warningLabel.text == "LOW CONFIDENCE (0.4)."
    segmentation = panel._parameterNode.segmentation
    assert panel.logic.result(segmentation).warnings == ("Low confidence (0.4).",)  # for the console
    select(panel.ui.populationSelector, "Child")
    wait_until(lambda: panel.ui.applyButton.enabled)
    panel.ui.applyButton.click()
    wait_until(lambda: len(dialogs) > 0, timeout=60)
    assert dialogs[-1].kind == "error"
    assert "THERE IS NOT ENOUGH MEMORY FOR THIS VOLUME." in dialogs[-1].text


def test_errors_of_this_process_and_reasons_are_shown_in_the_users_language(panel, shouting, dialogs, wait_until):
    import slicer

    choose(panel, slicer.util.addVolumeFromArray(np.zeros((30, 40, 50), np.uint8), name="empty"))
    with pytest.raises(ValueError, match="CONSTANT"):
        panel.onApplyButton()
    assert "empty: CONSTANT VOLUME: EVERY VOXEL IS 0, SO" in dialogs[-1].text
    select(panel.ui.methodSelector, "Classical, from a seed point")
    assert panel.ui.applyButton.toolTip.startswith("THE CLASSICAL METHOD NEEDS A SEED POINT")


def test_a_doubtful_result_is_marked(panel, wait_until):
    TaskAtHand.changes = {"note": "Low confidence (0.40)."}
    choose(panel, volume_node())
    run(panel, wait_until)
    assert panel.ui.warningLabel.visible and panel.ui.warningLabel.text == "Low confidence (0.40)."
    TaskAtHand.changes = {}
    run(panel, wait_until)
    assert not panel.ui.warningLabel.visible


def test_the_result_says_whose_kidney_it_is_taken_for(panel, wait_until):
    choose(panel, volume_node())
    for chosen, used, told in (
        ("Found from the volume", "child", "Population: Child (found)"),
        ("Adult", "adult", "Population: Adult"),
        ("Adult", None, ""),
    ):
        TaskAtHand.changes = {"population": used}
        select(panel.ui.populationSelector, chosen)
        run(panel, wait_until)
        assert panel.ui.foundPopulationLabel.text == told
        assert panel.ui.foundPopulationLabel.visible == bool(told)


# What happens meanwhile


def test_closing_the_scene_cancels_the_run(panel, scene, wait_until, process_events):
    choose(panel, volume_node())
    start(panel, wait_until)
    scene.Clear(0)
    process_events(0.1)
    assert not panel.logic.isRunning and not panel.ui.progressBar.visible
    assert panel.ui.applyButton.text == "Apply" and not panel.ui.applyButton.enabled
    choose(panel, volume_node())
    TaskAtHand.waits = False
    run(panel, wait_until)


def test_a_panel_that_was_left_no_longer_changes_its_parameters(panel):
    import slicer

    node = panel._parameterNode
    slicer.util.selectModule("Welcome")
    select(panel.ui.sideSelector, "Left kidney")
    assert node.side.value == ""


def test_what_was_chosen_is_still_chosen_when_the_panel_is_entered_again(segmented):
    import slicer

    select(segmented.ui.sideSelector, "Left kidney")
    select(segmented.ui.methodSelector, "Network alone, no template")
    slicer.util.selectModule("Welcome")
    slicer.util.selectModule("KidneyUltrasound")
    assert segmented.ui.sideSelector.currentText == "Left kidney"
    assert segmented.ui.methodSelector.currentText == "Network alone, no template"
    segmentation = segmented._parameterNode.segmentation.GetSegmentation()
    assert segmentation.GetNthSegment(0).GetName() == "left kidney"


def test_closing_the_scene_takes_the_result_out_of_the_panel(segmented, scene, process_events):
    scene.Clear(0)
    process_events(0.1)
    assert segmented._parameterNode.segmentation is None and segmented.ui.measuresView.mrmlTableNode() is None
    assert not segmented.ui.undoButton.enabled and not segmented.ui.exportReportButton.enabled


def test_deleting_the_volume_cancels_the_run_and_says_so(panel, scene, wait_until):
    node = volume_node()
    choose(panel, node)
    start(panel, wait_until)
    scene.RemoveNode(node)
    wait_until(lambda: panel.ui.statusLabel.visible)
    assert "removed" in panel.ui.statusLabel.text and not panel.logic.isRunning
    assert not panel.ui.applyButton.enabled


def test_switching_modules_in_a_run_lets_it_finish(panel, wait_until):
    import slicer

    node = volume_node()
    choose(panel, node)
    start(panel, wait_until)
    slicer.util.selectModule("Welcome")
    TaskAtHand.waits = False
    wait_until(lambda: not panel.logic.isRunning)
    assert panel.logic.resultOf(node) is not None
    views = slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode")
    assert node.GetID() not in {view.GetBackgroundVolumeID() for view in views}  # they are at work elsewhere
    slicer.util.selectModule("KidneyUltrasound")
    assert panel._parameterNode.segmentation is panel.logic.resultOf(node)
    assert panel.ui.exportReportButton.enabled


def test_deleting_the_segmentation_empties_the_panel_and_takes_what_was_found_along(segmented, scene, process_events):
    scene.RemoveNode(segmented._parameterNode.segmentation)
    process_events(0.1)
    assert segmented._parameterNode.segmentation is None
    assert not segmented.ui.correctionsCollapsibleButton.enabled
    assert scene.GetNumberOfNodesByClass("vtkMRMLVectorVolumeNode") == 0


def test_deleting_the_volume_disables_corrections(segmented, scene, process_events):
    inside, _ = point_nodes(segmented)
    inside.AddControlPointWorld(1, 2, 3)  # and is to be honoured soon
    scene.RemoveNode(segmented._parameterNode.inputVolume)
    process_events(0.1)
    assert not segmented.ui.correctionsCollapsibleButton.enabled and not segmented.ui.applyButton.enabled
    inside.AddControlPointWorld(4, 5, 6)
    process_events(0.5)


def test_a_volume_put_under_a_transform_takes_its_kidney_along(segmented, scene, process_events, dialogs):
    import slicer
    from SlicerHPOLib.mrml.volumes import vtk_matrix

    node, segmentation = segmented._parameterNode.inputVolume, segmented._parameterNode.segmentation
    before = volume_ml(segmented)
    transform = scene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    transform.SetMatrixTransformToParent(vtk_matrix(np.diag([-1.0, -1, 1, 1])))
    node.SetAndObserveTransformNodeID(transform.GetID())
    assert segmentation.GetParentTransformNode() is transform
    point_nodes(segmented)[0].AddControlPointWorld(*map(float, centre(node)))
    process_events(0.5)
    assert volume_ml(segmented) == pytest.approx(before, rel=1e-3) and len(dialogs) == 0
    slicer.util.selectModule("Welcome")  # as whoever moves a volume does
    node.SetAndObserveTransformNodeID(None)
    assert segmentation.GetParentTransformNode() is None
    slicer.util.selectModule("KidneyUltrasound")
    assert segmented.ui.correctionsCollapsibleButton.enabled


def test_a_volume_that_was_changed_is_to_be_segmented_again(segmented, process_events, dialogs):
    segmented._parameterNode.inputVolume.SetOrigin(0, 0, 1000)
    point_nodes(segmented)[0].AddControlPointWorld(1, 2, 3)
    process_events(0.5)
    assert not segmented.ui.correctionsCollapsibleButton.enabled
    assert "segment it again" in segmented.ui.warningLabel.text and len(dialogs) == 0


def test_a_result_whose_file_is_missing_in_an_opened_scene_is_told(segmented, scene, process_events, dialogs, tmp_path):
    import slicer

    slicer.util.saveScene(str(tmp_path))
    scene.Clear(0)
    next(tmp_path.rglob("*found.nrrd")).unlink()
    with pytest.raises(RuntimeError):
        slicer.util.loadScene(str(next(tmp_path.glob("*.mrml"))))
    process_events(0.5)
    assert not segmented.ui.correctionsCollapsibleButton.enabled and segmented.ui.applyButton.enabled
    assert "is damaged: segment the volume again" in segmented.ui.warningLabel.text and len(dialogs) == 0


def test_what_was_found_stays_while_a_scene_is_added_whose_references_come_later(segmented, scene):
    scene.StartState(scene.ImportState)
    found = scene.AddNewNodeByClass("vtkMRMLVectorVolumeNode")
    found.SetAttribute("SlicerHPO.found", "{}")
    scene.RemoveNode(scene.AddNewNodeByClass("vtkMRMLTextNode"))
    assert scene.IsNodePresent(found)
    scene.EndState(scene.ImportState)


# Which volume, which result


def test_choosing_a_volume_shows_its_result_and_choosing_a_result_its_volume(segmented, wait_until):
    first = segmented._parameterNode.segmentation
    select(segmented.ui.sideSelector, "Left kidney")
    second_volume = volume_node(matrix_of((0.3, -0.2, 0.4)), "other")
    choose(segmented, second_volume)
    assert segmented._parameterNode.segmentation is None
    select(segmented.ui.sideSelector, "Right kidney")
    second = run(segmented, wait_until)
    names = [node.GetSegmentation().GetSegment("kidney").GetName() for node in (first, second)]
    assert names == ["left kidney", "right kidney"]
    segmented.ui.segmentationSelector.setCurrentNode(first)
    assert segmented._parameterNode.inputVolume.GetName() == "scan"
    assert segmented.ui.sideSelector.currentText == "Left kidney"
    choose(segmented, second_volume)
    assert segmented._parameterNode.segmentation is second
    assert segmented.ui.sideSelector.currentText == "Right kidney"
    names = [node.GetSegmentation().GetSegment("kidney").GetName() for node in (first, second)]
    assert names == ["left kidney", "right kidney"]


def test_of_several_results_of_a_volume_the_chosen_one_is_shown(segmented, wait_until):
    first = segmented._parameterNode.segmentation
    select(segmented.ui.sideSelector, "Left kidney")
    segmented.ui.segmentationSelector.setCurrentNode(None)
    select(segmented.ui.sideSelector, "Right kidney")
    run(segmented, wait_until)
    choose(segmented, volume_node(name="other"))
    segmented.ui.segmentationSelector.setCurrentNode(first)
    assert segmented._parameterNode.segmentation is first
    assert segmented._parameterNode.inputVolume is segmented.logic.volumeOf(first)
    assert segmented.ui.sideSelector.currentText == "Left kidney"
    assert first.GetSegmentation().GetSegment("kidney").GetName() == "left kidney"


def test_a_segment_that_the_user_deleted_comes_back_with_the_next_point(segmented, wait_until):
    segmentation = segmented._parameterNode.segmentation
    select(segmented.ui.sideSelector, "Left kidney")
    segmentation.GetSegmentation().RemoveSegment("kidney")
    select(segmented.ui.sideSelector, "Right kidney")
    point_nodes(segmented)[0].AddControlPointWorld(
        *map(float, centre(segmented._parameterNode.inputVolume) + (24, 0, 0))
    )
    wait_until(lambda: segmentation.GetSegmentation().GetSegment("kidney") is not None)
    assert segmentation.GetSegmentation().GetSegment("kidney").GetName() == "right kidney"


def test_the_side_can_be_stated_afterwards(segmented):
    select(segmented.ui.sideSelector, "Right kidney")
    assert segmented._parameterNode.segmentation.GetSegmentation().GetSegment("kidney").GetName() == "right kidney"


def test_without_a_result_chosen_apply_makes_a_new_one(segmented, wait_until):
    first = segmented._parameterNode.segmentation
    assert run(segmented, wait_until) is first
    segmented.ui.segmentationSelector.setCurrentNode(None)
    second = run(segmented, wait_until)
    assert second is not first and segmented.logic.volumeOf(first) is segmented.logic.volumeOf(second)
