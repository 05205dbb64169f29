"""Kidney Ultrasound from the console: a node in, a node out, corrected and kept; in every orientation."""

import csv
import json
import time
from pathlib import Path

import numpy as np
import pytest
from kidneys import TaskAtHand, centre_of, matrix_of, volume

SAMPLES = Path(__file__).resolve().parents[3] / "Resources" / "SampleData" / "kidney"
TURN = (0.3, -0.2, 0.4)
MOVE = matrix_of((0.5, 0.1, -0.3), (1, 1, 1))
LEFT_HANDED = matrix_of(TURN) @ np.diag([1, -1, 1, 1])


@pytest.fixture
def module(load_module):
    return load_module("KidneyUltrasound")


@pytest.fixture
def logic(module, monkeypatch):
    """The Logic, with an answer at hand instead of another process."""
    from SlicerHPOLib.mrml import kidneyrun

    TaskAtHand.reset()
    monkeypatch.setattr(kidneyrun, "BackgroundTask", TaskAtHand)
    return module.KidneyUltrasoundLogic()


def volume_node(matrix=None, under=None):
    import slicer
    from SlicerHPOLib.mrml.volumes import volume_node_of, vtk_matrix

    node = volume_node_of(volume(matrix), "scan")
    if under is not None:
        transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
        transform.SetMatrixTransformToParent(vtk_matrix(under))
        node.SetAndObserveTransformNodeID(transform.GetID())
    return node


def centre(node):
    from SlicerHPOLib.mrml.volumes import image_of

    return centre_of(image_of(node))


def add(logic, segmentation, inside, ras):
    node = logic.pointNodes(segmentation)[0 if inside else 1]
    return node, node.AddControlPointWorld(*map(float, ras))


def everything(scene):
    return {scene.GetNthNode(index).GetID() for index in range(scene.GetNumberOfNodes())}


# Segmenting


def test_a_sample_is_segmented_by_the_deployed_model_in_another_process(module, scene):
    import slicer
    from SlicerHPOLib.image import read_image
    from SlicerHPOLib.kidney.segmenter import KidneySegmenter

    node = slicer.util.loadVolume(str(SAMPLES / "adult-right.nii.gz"))
    segmentation = module.KidneyUltrasoundLogic().process(node, side="right")
    expected = KidneySegmenter.load().segment(read_image(SAMPLES / "adult-right.nii.gz"))
    mask = slicer.util.arrayFromSegmentBinaryLabelmap(segmentation, "kidney", node) > 0
    assert mask.any() and (mask != (expected.mask > 0)).mean() < 1e-4
    assert module.KidneyUltrasoundLogic().populationOf(segmentation) == (expected.population, "auto")
    assert segmentation.GetSegmentation().GetSegment("kidney").GetName() == "right kidney"
    assert segmentation.GetName() == "adult-right kidney"


@pytest.mark.parametrize("matrix", [matrix_of(TURN), LEFT_HANDED], ids=["oblique", "left-handed"])
@pytest.mark.parametrize("under", [None, MOVE], ids=["world", "transformed"])
def test_a_kidney_is_found_where_it_lies_however_its_volume_is_stored(logic, matrix, under):
    import slicer

    reference = logic.result(logic.process(volume_node())).measures
    node = volume_node(matrix, under)
    segmentation = logic.process(node)
    mask = slicer.util.arrayFromSegmentBinaryLabelmap(segmentation, "kidney", node) > 0
    truth = slicer.util.arrayFromVolume(node) > 50
    assert 2 * (mask & truth).sum() / (mask.sum() + truth.sum()) > 0.97
    measures = logic.result(segmentation).measures
    assert measures.volume_ml == pytest.approx(reference.volume_ml, rel=2e-3)
    assert measures.length_mm == pytest.approx(reference.length_mm, rel=1e-2)
    np.testing.assert_allclose(measures.length_axis.mean(axis=0), centre(node), atol=2)


def test_method_model_and_seed_point_reach_the_other_process(logic):
    node = volume_node(under=MOVE)
    seed = tuple(centre(node))
    logic.process(node, "classical", seedPoint=seed)
    options = TaskAtHand.started[-1].options
    assert options == {
        "model": "kidney-ultrasound",
        "method": "classical",
        "population": "auto",
        "seed_point_mm": pytest.approx(list(seed)),
    }


@pytest.mark.parametrize(("asked", "used"), [("auto", "child"), ("adult", "adult"), ("child", None)])
def test_the_population_asked_for_reaches_the_other_process_and_the_one_used_is_told(logic, asked, used):
    TaskAtHand.changes = {"population": used}
    segmentation = logic.process(volume_node(), population=asked)
    assert TaskAtHand.started[-1].options["population"] == asked
    assert logic.populationOf(segmentation) == (used, asked)


def test_a_placed_seed_point_is_read_in_the_world(logic):
    node = logic.addSeedPointNode()
    assert logic.seedPointOf(node) is None and logic.seedPointOf(None) is None
    node.SetAndObserveTransformNodeID(volume_node(under=MOVE).GetTransformNodeID())
    node.AddControlPointWorld(1, 2, 3)
    assert logic.seedPointOf(node) == pytest.approx((1, 2, 3))


def test_progress_is_reported_and_a_cancelled_process_leaves_the_scene_as_it_was(logic, scene):
    from SlicerHPOLib.job import Cancelled, Job

    TaskAtHand.waits = True
    node, said = volume_node(), []
    before = everything(scene)
    job = Job(lambda fraction, text: (said.append(text), len(said) > 2 and job.cancel()))
    with pytest.raises(Cancelled):
        logic.process(node, job=job)
    assert said[0] == "finding the kidney" and everything(scene) == before and not logic.isRunning


def test_the_users_notes_of_the_way_there_are_kept(logic):
    TaskAtHand.warnings = ("It was computed on the processor.",)
    logic.process(volume_node())
    assert logic.notes == ("It was computed on the processor.",)


def test_low_confidence_and_the_border_of_the_volume_are_warned_of(logic):
    TaskAtHand.changes = {"note": "Low confidence (0.40)."}
    node = volume_node()
    assert logic.warnings(logic.process(node)) == ("Low confidence (0.40).",)
    assert logic.warnings(None) == ()


def test_a_kidney_that_the_volume_cuts_is_warned_of(logic):
    from kidneys import found_in
    from SlicerHPOLib.mrml.slabs import crop_volume
    from SlicerHPOLib.mrml.volumes import image_of

    node = volume_node()
    whole = found_in(image_of(node))
    TaskAtHand.changes = {"grid": whole.grid, "phi": whole.phi}
    cut = crop_volume(node, centre(node)[2] - 20, centre(node)[2] + 100, "cut")
    assert any("border of the volume" in warning for warning in logic.warnings(logic.process(cut)))


# What cannot be


def no_volume(scene):
    return None


def empty_volume(scene):
    return scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "empty")


def of_shape(*shape):
    def make(scene):
        import slicer

        return slicer.util.addVolumeFromArray(np.arange(np.prod(shape)).reshape(shape).astype(np.uint8), name="scan")

    return make


def colour(scene):
    import slicer

    return slicer.util.addVolumeFromArray(np.zeros((4, 5, 6, 3), np.uint8), nodeClassName="vtkMRMLVectorVolumeNode")


def labels(scene):
    import slicer

    voxels = np.eye(6, dtype=np.uint8)[None].repeat(3, 0)
    return slicer.util.addVolumeFromArray(voxels, nodeClassName="vtkMRMLLabelMapVolumeNode")


def bent(scene):
    node = volume_node()
    node.SetAndObserveTransformNodeID(scene.AddNewNodeByClass("vtkMRMLBSplineTransformNode").GetID())
    return node


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (no_volume, "No volume is chosen"),
        (empty_volume, "no image data"),
        (of_shape(1, 30, 40), "slice"),
        (colour, "colour"),
        (labels, "label map"),
        (bent, "harden"),
    ],
)
def test_what_is_no_volume_is_refused_in_the_users_words_before_anything_starts(logic, scene, make, message):
    node = make(scene)
    before = everything(scene)
    with pytest.raises(ValueError, match=message):
        logic.process(node)
    assert TaskAtHand.started == [] and everything(scene) == before and not logic.isRunning


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "magic"}, "Unknown method 'magic'"),
        ({"method": "classical"}, "needs a seed point"),
        ({"method": "classical", "seedPoint": (900, 0, 0)}, "outside the volume"),
        ({"population": "elderly"}, "Unknown population 'elderly'; known are auto, adult, child"),
        ({"method": "classical", "population": "child"}, "classical method knows no populations"),
        ({"side": "both"}, "'both'"),
        ({"model": "none-such"}, "No model 'none-such'"),
    ],
)
def test_a_request_that_makes_no_sense_is_refused_before_anything_starts(logic, options, message):
    with pytest.raises(ValueError, match=message):
        logic.process(volume_node(), **options)
    assert TaskAtHand.started == [] and not logic.isRunning


def test_why_not_says_what_is_missing_and_nothing_when_nothing_is(logic):
    node = volume_node()
    assert "No volume" in logic.whyNot(None, "deformation", None)
    assert "seed point" in logic.whyNot(node, "classical", None)
    assert "no populations" in logic.whyNot(node, "classical", tuple(centre(node)), "child")
    assert logic.whyNot(node, "classical", tuple(centre(node))) == "" == logic.whyNot(node, "unet", None, "child")


def failed(logic, node, scene):
    from SlicerHPOLib.background import TaskError

    TaskAtHand.error = TaskError("The computation gave no answer.", "log")


def moved(logic, node, scene):
    node.SetOrigin(1, 2, 3)


def removed(logic, node, scene):
    scene.RemoveNode(node)


def not_there(logic, node, scene):
    TaskAtHand.changes = {"phi": np.where(np.indices((40, 40, 40)).sum(0) < 3, 5, -5).astype(np.float32)}


@pytest.mark.parametrize(
    ("happens", "message"),
    [(failed, "gave no answer"), (moved, "moved"), (removed, "removed"), (not_there, "found no kidney")],
)
def test_a_failure_leaves_the_scene_as_it_was(logic, scene, happens, message):
    node = volume_node()
    logic.startProcess(node)
    happens(logic, node, scene)
    before = everything(scene)
    with pytest.raises((ValueError, RuntimeError), match=message):
        logic.finishProcess()
    assert everything(scene) == before and not logic.isRunning
    TaskAtHand.reset()
    logic.process(volume_node())


def test_points_that_the_new_shape_cannot_honour_leave_the_old_one(logic, scene):
    node = volume_node()
    segmentation = logic.process(node)
    add(logic, segmentation, True, centre(node) + (23, 0, 0))
    before = logic.updateFromPoints(segmentation).mask
    add(logic, segmentation, True, centre(node) + (500, 0, 0))
    nodes = everything(scene)
    with pytest.raises(ValueError, match="Outside the volume"):
        logic.process(node, "unet", outputSegmentation=segmentation)
    np.testing.assert_array_equal(logic.result(segmentation).mask, before)
    assert everything(scene) == nodes and logic.result(segmentation).method == "deformation"


def test_only_one_process_runs_at_a_time(logic):
    TaskAtHand.waits = True
    node = volume_node()
    logic.startProcess(node)
    with pytest.raises(RuntimeError, match="wait, or cancel"):
        logic.startProcess(node)
    logic.cancelProcess()
    logic.cancelProcess()
    assert logic.pollProcess().state == "cancelled" and not logic.isRunning


def test_a_process_without_its_volume_is_cancelled(logic, scene):
    TaskAtHand.waits = True
    node = volume_node()
    logic.startProcess(node)
    scene.RemoveNode(node)
    status = logic.pollProcess()
    assert status.state == "cancelled" and "removed" in status.text and not logic.isRunning


# Correcting


def shown(logic, segmentation, node):
    import slicer

    return slicer.util.arrayFromSegmentBinaryLabelmap(segmentation, "kidney", node) > 0


def voxel(node, ras):
    from SlicerHPOLib.mrml.volumes import image_of

    return tuple(np.rint(image_of(node).ijk_of(np.array(ras))).astype(int)[::-1])


@pytest.mark.parametrize("under", [None, MOVE], ids=["world", "transformed"])
def test_points_are_honoured_where_they_lie_in_the_world(logic, under):
    node = volume_node(matrix_of(TURN), under)
    segmentation = logic.process(node)
    axis = logic.result(segmentation).measures.width_axis
    beyond, within = 1.2 * axis[0] - 0.2 * axis[1], 0.05 * axis[0] + 0.95 * axis[1]
    before = shown(logic, segmentation, node)
    assert not before[voxel(node, beyond)] and before[voxel(node, within)]
    add(logic, segmentation, True, beyond)
    add(logic, segmentation, False, within)
    logic.updateFromPoints(segmentation)
    after = shown(logic, segmentation, node)
    assert after[voxel(node, beyond)] and not after[voxel(node, within)]


def test_a_dragged_point_is_one_step_to_undo(logic):
    node = volume_node()
    segmentation = logic.process(node)
    first = shown(logic, segmentation, node)
    points_node, index = add(logic, segmentation, True, centre(node) + (22, 0, 0))
    second = logic.updateFromPoints(segmentation)
    for shift in (23, 24, 25):
        points_node.SetNthControlPointPositionWorld(index, *map(float, centre(node) + (shift, 0, 0)))
        preview = logic.updateFromPoints(segmentation, preview=True)
    np.testing.assert_array_equal(shown(logic, segmentation, node), preview.mask > 0)
    third = logic.updateFromPoints(segmentation)
    np.testing.assert_array_equal(third.mask, preview.mask)
    logic.undo(segmentation)
    np.testing.assert_array_equal(shown(logic, segmentation, node), second.mask > 0)
    np.testing.assert_allclose(logic.result(segmentation).points.ras_mm, [centre(node) + (22, 0, 0)])
    logic.undo(segmentation)
    assert not logic.canUndo(segmentation) and points_node.GetNumberOfControlPoints() == 0
    np.testing.assert_array_equal(shown(logic, segmentation, node), first)
    logic.redo(segmentation)
    logic.redo(segmentation)
    assert not logic.canRedo(segmentation)
    np.testing.assert_array_equal(shown(logic, segmentation, node), third.mask > 0)


@pytest.mark.parametrize("preview", [True, False])
def test_a_point_that_cannot_be_honoured_changes_nothing_but_itself(logic, preview):
    from SlicerHPOLib.kidney.points import CorrectionError

    node = volume_node()
    segmentation = logic.process(node)
    points_node, index = add(logic, segmentation, True, centre(node) + (22, 0, 0))
    before = logic.updateFromPoints(segmentation)
    points_node.SetNthControlPointPositionWorld(index, *map(float, centre(node) + (24, 0, 0)))
    logic.updateFromPoints(segmentation, preview=True)
    points_node.SetNthControlPointPositionWorld(index, 0.0, 0.0, 900.0)
    with pytest.raises(CorrectionError, match="Outside the volume"):
        logic.updateFromPoints(segmentation, preview=preview)
    if not preview:
        np.testing.assert_array_equal(shown(logic, segmentation, node), before.mask > 0)
        np.testing.assert_allclose(logic.result(segmentation).points.ras_mm, [centre(node) + (22, 0, 0)])
        from SlicerHPOLib.mrml import kidneypoints

        np.testing.assert_allclose(kidneypoints.positions(points_node), [centre(node) + (22, 0, 0)])


def test_points_and_shape_go_on_in_a_reloaded_scene(logic, scene, module, tmp_path):
    import slicer

    TaskAtHand.changes = {"population": "child"}
    node = volume_node(matrix_of(TURN), MOVE)
    segmentation = logic.process(node, side="left", population="child")
    add(logic, segmentation, True, centre(node) + (23, 0, 0))
    before = logic.updateFromPoints(segmentation)
    logic.updateMeasures(segmentation)
    path = str(tmp_path / "scene.mrb")
    assert scene.WriteToMRB(path, None)
    scene.Clear(0)
    assert scene.ReadFromMRB(path)
    node, segmentation = slicer.util.getNode("scan"), slicer.util.getNode("scan kidney")
    fresh = module.KidneyUltrasoundLogic()
    assert fresh.resultOf(node) is segmentation and fresh.canCorrect(segmentation)
    assert fresh.result(segmentation).measures.volume_ml == pytest.approx(before.measures.volume_ml, rel=1e-4)
    assert segmentation.GetAttribute("SlicerHPO.side") == "left"
    assert fresh.populationOf(segmentation) == ("child", "child")
    add(fresh, segmentation, False, centre(node) + (0, 12, 0))
    after = fresh.updateFromPoints(segmentation)
    assert len(after.points) == 2 and after.measures.volume_ml < before.measures.volume_ml
    fresh.undo(segmentation)
    assert len(fresh.result(segmentation).points) == 1


def test_of_points_in_a_scene_those_that_cannot_be_honoured_are_taken_back(logic, module):
    from SlicerHPOLib.kidney.points import CorrectionError

    node = volume_node()
    segmentation = logic.process(node)
    for offset in ((23, 0, 0), (0, 0, 900), (0, -20, 0)):
        points_node, _ = add(logic, segmentation, True, centre(node) + offset)
    fresh = module.KidneyUltrasoundLogic()  # as after a reload
    assert len(fresh.result(segmentation).points) == 2
    with pytest.raises(CorrectionError, match="Outside the volume lies point 2"):
        fresh.updateFromPoints(segmentation)
    assert points_node.GetNumberOfControlPoints() == 2
    assert shown(fresh, segmentation, node)[voxel(node, centre(node) + (23, 0, 0))]


def test_what_was_found_goes_with_its_segmentation_and_no_sooner(logic, scene):
    node = volume_node()
    first, second = logic.process(node), logic.process(node)
    logic.removeOrphans()
    assert logic.canCorrect(first) and logic.canCorrect(second)
    scene.RemoveNode(first)
    logic.removeOrphans()
    assert scene.GetNumberOfNodesByClass("vtkMRMLVectorVolumeNode") == 1 and logic.canCorrect(second)


def test_segmenting_again_by_another_method_keeps_the_points(logic):
    node = volume_node()
    segmentation = logic.process(node)
    add(logic, segmentation, True, centre(node) + (23, 0, 0))
    logic.updateFromPoints(segmentation)
    TaskAtHand.changes = {"modes": None}  # as of that method
    assert logic.process(node, "unet", outputSegmentation=segmentation) is segmentation
    result = logic.result(segmentation)
    assert result.method == "unet" and len(result.points) == 1
    assert shown(logic, segmentation, node)[voxel(node, centre(node) + (23, 0, 0))]
    other = logic.process(node)
    assert other is not segmentation and len(logic.result(other).points) == 0 and logic.resultOf(node) is other


def test_a_point_reaches_the_contour_in_time(logic):
    """The time is printed, not asserted: machines differ."""
    from kidneys import found_in
    from SlicerHPOLib.mrml.volumes import image_of

    node = volume_node()
    image = image_of(node)
    fine = found_in(image, size=80)
    TaskAtHand.changes = {"grid": fine.grid, "phi": fine.phi, "modes": fine.modes}
    segmentation = logic.process(node)
    logic.prepareCorrections(segmentation)
    points_node, index = add(logic, segmentation, True, centre(node) + (21, 0, 0))
    times = []
    for shift in np.linspace(21, 25, 9):
        start = time.perf_counter()
        points_node.SetNthControlPointPositionWorld(index, *map(float, centre(node) + (shift, 0, 0)))
        result = logic.updateFromPoints(segmentation, preview=True)
        times.append(1000 * (time.perf_counter() - start))
    assert result.grid.shape == (80, 80, 80)
    print(
        f"\nfrom a moved point to the new contour at 80^3: median {np.median(times):.0f} ms, most {max(times):.0f} ms"
    )


# Export


@pytest.mark.parametrize("ending", ["seg.nrrd", "nii.gz"])
def test_a_segmentation_is_exported_in_the_world_as_it_is_shown(logic, tmp_path, ending):
    import slicer
    from SlicerHPOLib.image import read_image
    from SlicerHPOLib.mrml.volumes import image_of

    node = volume_node(matrix_of(TURN), MOVE)
    segmentation = logic.process(node, side="left")
    mask = shown(logic, segmentation, node)
    mask[voxel(node, centre(node))] = False  # a change by hand
    slicer.util.updateSegmentBinaryLabelmapFromArray(mask.astype(np.uint8), segmentation, "kidney", node)
    path = tmp_path / f"kidney.{ending}"
    logic.exportSegmentation(segmentation, path)
    written = read_image(path)
    np.testing.assert_array_equal(written.voxels > 0, mask)
    np.testing.assert_allclose(written.ijk_to_ras, image_of(node).ijk_to_ras, atol=1e-4)
    if ending == "seg.nrrd":
        assert b"Segment0_Name:=left kidney" in path.read_bytes()


def test_a_report_has_measures_points_and_what_they_rest_on(logic, tmp_path):
    node = volume_node()
    TaskAtHand.changes = {"population": "adult"}
    segmentation = logic.process(node)
    add(logic, segmentation, True, centre(node) + (23, 0, 0))
    measures = logic.updateFromPoints(segmentation).measures
    logic.exportReport(segmentation, tmp_path / "report.csv")
    logic.exportReport(segmentation, str(tmp_path / "report.json"))
    with (tmp_path / "report.csv").open() as file:
        (row,) = csv.DictReader(file)
    (entry,) = json.loads((tmp_path / "report.json").read_text())["volumes"]
    assert float(row["volume_ml"]) == entry["volume_ml"] == pytest.approx(measures.volume_ml, abs=0.01)
    assert row["path"] == "scan" and entry["model"] == "kidney-ultrasound" and len(entry["model_sha256"]) == 64
    assert row["points"].startswith("inside ") and entry["points"][0]["inside"] is True
    assert (
        (entry["population"], entry["population_used"])
        == ("auto", "adult")
        == (
            row["population"],
            row["population_used"],
        )
    )


def test_an_export_that_cannot_be_says_what_to_do(logic, scene, tmp_path):
    node = volume_node()
    segmentation = logic.process(node)
    segmentation.GetSegmentation().RemoveSegment("kidney")
    with pytest.raises(ValueError, match=r"written as \.csv or \.json"):
        logic.exportReport(segmentation, tmp_path / "report.txt")
    with pytest.raises(ValueError, match="segment the volume again"):
        logic.exportSegmentation(segmentation, tmp_path / "a.nii.gz")
    scene.RemoveNode(node)
    for write in (logic.exportSegmentation, logic.exportReport):
        with pytest.raises(ValueError, match="was removed"):
            write(segmentation, tmp_path / "a.seg.nrrd")
    assert list(tmp_path.iterdir()) == []


def test_the_modules_own_test_passes(module):
    module.KidneyUltrasoundTest().runTest()
