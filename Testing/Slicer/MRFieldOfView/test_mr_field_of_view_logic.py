"""The logic of MR Field of View as a script uses it: nodes in, results and nodes out; the scene stays whole."""

import csv
import shutil

import numpy as np
import pytest
from fieldofview_phantom import QuickTask, a_classification, a_volume


@pytest.fixture
def module(load_module):
    return load_module("MRFieldOfView")


@pytest.fixture
def logic(module):
    return module.MRFieldOfViewLogic()


@pytest.fixture
def quick(module, monkeypatch):
    """No network: the answer comes at once. Its attributes can be changed for a test."""
    from SlicerHPOLib.mrml import volumestask

    task = type("QuickTask", (QuickTask,), {"running": []})
    monkeypatch.setattr(volumestask, "BackgroundTask", task)
    return task


@pytest.fixture
def classified(module, scene):
    """A volume with an answer in the scene: pelvis up to 0, abdomen up to 100, chest up to 200 mm."""
    from SlicerHPOLib.mrml import fieldofview

    volume = a_volume()
    fieldofview.show(volume, a_classification(volume))
    return volume


def names(scene):
    return sorted(scene.GetNthNode(index).GetID() for index in range(scene.GetNumberOfNodes()))


def parts(volume):
    from SlicerHPOLib.mrml import fieldofview

    return fieldofview.parts(volume)


def finish(logic):
    for _ in range(1000):
        status = logic.pollProcess()
        if status.state != "running":
            return status
    raise AssertionError("It does not end.")


# In the network's own process


def test_a_folder_is_answered_without_loading_it_and_a_turned_mirrored_moved_twin_gets_the_same_answer(
    logic, scene, tmp_path
):
    import slicer
    from SlicerHPOLib.files import SAMPLES
    from SlicerHPOLib.image import read_image
    from SlicerHPOLib.results import COLUMNS

    folder = tmp_path / "scans"
    folder.mkdir()
    shutil.copy(SAMPLES / "mr" / "pelvis-t2-axial.nii.gz", folder)
    (folder / "broken.nii.gz").write_bytes(b"nothing")
    before = names(scene)
    broken, pelvis = logic.processFolder(folder)
    assert broken.error
    assert not pelvis.error
    assert names(scene) == before

    logic.showResults()
    with pytest.raises(ValueError, match=r"broken\.nii\.gz: "):
        logic.openResult(0)
    loaded = logic.openResult(1)
    assert loaded.GetName() == "pelvis-t2-axial.nii.gz"
    assert logic.openResult(1) is loaded
    np.testing.assert_array_equal(
        slicer.util.arrayFromVolume(loaded), read_image(folder / "pelvis-t2-axial.nii.gz").voxels
    )
    scene.RemoveNode(loaded)

    logic.exportCsv([broken, pelvis], tmp_path / "regions.csv")
    with open(tmp_path / "regions.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == COLUMNS
    assert [row["region"] for row in rows] == ["", *(region.name for region in pelvis.regions)]

    twin = a_twin(scene, folder / "pelvis-t2-axial.nii.gz")
    result = logic.process(twin)
    assert [region.name for region in result.regions] == [region.name for region in pelvis.regions]
    for found, expected in zip(result.regions, pelvis.regions, strict=True):
        assert (found.from_mm, found.to_mm) == pytest.approx((expected.from_mm, expected.to_mm), abs=0.1)
        assert found.confidence == pytest.approx(expected.confidence, abs=1e-3)
    assert (result.model, result.model_sha256) == (pelvis.model, pelvis.model_sha256)
    assert set(parts(twin)) == {"regions", "segmentation", "curves", "lines", "chart"}
    assert logic.result(twin) == result


def a_twin(scene, path):
    """The volume of a file with its axes exchanged, left-handed, and put back into its place by a transform."""
    from SlicerHPOLib.image import Image, read_image
    from SlicerHPOLib.mrml.volumes import volume_node_of, vtk_matrix

    image = read_image(path)
    flip = np.diag([-1.0, 1, 1, 1])
    flip[0, 3] = image.shape[2] - 1
    turned = Image(image.voxels[:, :, ::-1].transpose(1, 0, 2), image.ijk_to_ras @ flip @ np.eye(4)[[0, 2, 1, 3]])
    moved = np.eye(4)[[2, 0, 1, 3]]
    moved[:3, 3] = 30, -40, 500
    twin = volume_node_of(Image(turned.voxels, np.linalg.inv(moved) @ turned.ijk_to_ras), "twin")
    transform = scene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    transform.SetMatrixTransformToParent(vtk_matrix(moved))
    twin.SetAndObserveTransformNodeID(transform.GetID())
    return twin


# Bad use


def test_what_is_no_mr_volume_is_refused_in_the_users_words_and_the_scene_stays(logic, scene, quick):
    import slicer
    from SlicerHPOLib.image import Image
    from SlicerHPOLib.mrml.volumes import volume_node_of

    flat = volume_node_of(Image(np.arange(16.0).reshape(1, 4, 4), np.eye(4)), "flat")
    empty = volume_node_of(Image(np.zeros((4, 4, 4), np.int16), np.eye(4)), "empty")
    colour = scene.AddNewNodeByClass("vtkMRMLVectorVolumeNode", "photo")
    slicer.util.updateVolumeFromArray(colour, np.zeros((4, 4, 4, 3), np.uint8))
    before = names(scene)
    for volume, message in (
        (None, "No volume is chosen"),
        (flat, "at least 2 slices"),
        (empty, "constant volume"),
        (colour, "photo has 3 numbers a voxel"),
    ):
        with pytest.raises(ValueError, match=message):
            logic.process(volume)
    assert names(scene) == before
    assert "single slice" in logic.whyNot(flat)
    assert "3 numbers a voxel" in logic.whyNot(colour)
    assert logic.whyNot(a_volume()) == ""


def test_a_model_or_boundary_that_does_not_exist_is_refused(logic, scene, quick):
    volume = a_volume()
    before = names(scene)
    with pytest.raises(ValueError, match="No model 'nonsense'"):
        logic.process(volume, model="nonsense")
    with pytest.raises(ValueError, match="give one of legs/pelvis"):
        logic.process(volume, fixed={"head/feet": 3.0})
    with pytest.raises(ValueError, match="expected a position along S within the volume"):
        logic.process(volume, fixed={"abdomen/chest": 5000.0})
    assert names(scene) == before
    assert quick.running == []


def test_a_failure_of_the_network_reaches_the_caller_and_the_scene_stays(logic, scene, quick):
    volume = a_volume()
    before = names(scene)
    quick.failure = "There is not enough memory for this volume."
    with pytest.raises(ValueError, match="not enough memory"):
        logic.process(volume)
    assert names(scene) == before


def test_a_script_is_told_of_missing_packages_and_not_asked(logic, quick, monkeypatch, dialogs):
    from SlicerHPOLib.mrml import packages

    monkeypatch.setattr(packages, "missing_packages", lambda: ["torch>=2.4"])
    with pytest.raises(RuntimeError, match=r"MR Field of View needs torch>=2\.4"):
        logic.process(a_volume())
    assert len(dialogs) == 0


# One answer


def test_the_result_and_the_nodes_say_the_same(logic, quick):
    volume = a_volume()
    result = logic.process(volume, fixed={"chest/abdomen": 120.0})
    assert [(region.name, region.from_mm, region.to_mm) for region in result.regions] == [
        ("pelvis", -100.0, 0.0),
        ("abdomen", 0.0, 120.0),
        ("chest", 120.0, 200.0),
    ]
    assert result.fixed == {"abdomen/chest": 120.0}
    assert logic.result(volume) == result
    assert result.answer.probabilities.shape == (60, 6)
    assert logic.result(None) is None


def test_a_boundary_can_be_set_kept_added_and_released(logic, classified):
    logic.setBoundary(classified, "abdomen/chest", 60.0)
    assert logic.result(classified).fixed == {"abdomen/chest": 60.0}
    logic.setBoundary(classified, "pelvis/abdomen")
    assert logic.result(classified).fixed == {"abdomen/chest": 60.0, "pelvis/abdomen": pytest.approx(0.0, abs=1e-9)}
    logic.setBoundary(classified, "chest/head")
    assert [region.name for region in logic.result(classified).regions][-1] == "head"
    logic.releaseBoundary(classified, "abdomen/chest", "chest/head", "pelvis/abdomen")
    assert logic.result(classified).fixed == {}
    assert [region.to_mm for region in logic.result(classified).regions] == [0.0, 100.0, 200.0]


def test_boundaries_that_were_set_stay_when_the_volume_is_classified_again(logic, quick):
    volume = a_volume()
    logic.process(volume)
    logic.setBoundary(volume, "abdomen/chest", 60.0)
    assert logic.process(volume).fixed == {"abdomen/chest": 60.0} == logic.result(volume).fixed
    assert logic.process(volume, fixed={"pelvis/abdomen": -20.0}).fixed == {"pelvis/abdomen": -20.0}
    assert logic.process(volume, fixed={}).fixed == {}


def test_boundaries_of_a_volume_that_was_moved_are_decided_anew_and_that_is_said(logic, quick):
    volume = a_volume()
    logic.process(volume)
    logic.setBoundary(volume, "abdomen/chest", 60.0)
    volume.SetOrigin(0, 0, 20)
    assert logic.process(volume).fixed == {}
    assert "moved after you had set boundaries" in logic.warnings()[0]


def test_a_boundary_that_cannot_be_changes_nothing(logic, classified):
    before = logic.result(classified)
    low, high = logic.roomForBoundaries(classified)["abdomen/chest"]
    for position in (low - 10, high + 10):
        with pytest.raises(ValueError, match="expected a position"):
            logic.setBoundary(classified, "abdomen/chest", position)
    with pytest.raises(ValueError, match="has no regions yet: press Apply"):
        logic.setBoundary(a_volume(name="other"), "abdomen/chest", 0.0)
    assert logic.result(classified) == before


def test_a_jump_brings_the_region_into_every_slice_view(logic, classified):
    import slicer

    logic.jumpToRegion(classified, "chest")
    offsets = {
        name: slicer.app.layoutManager().sliceWidget(name).mrmlSliceNode() for name in ("Red", "Green", "Yellow")
    }
    assert offsets["Red"].GetSliceOffset() == pytest.approx(150.0)
    assert offsets["Green"].GetSliceOffset() == pytest.approx(0.0)
    assert offsets["Yellow"].GetSliceOffset() == pytest.approx(0.0)
    composite = slicer.app.layoutManager().sliceWidget("Red").mrmlSliceCompositeNode()
    assert composite.GetBackgroundVolumeID() == classified.GetID()
    with pytest.raises(ValueError, match="shows no head"):
        logic.jumpToRegion(classified, "head")


def test_a_jump_leaves_a_view_that_shows_the_volume_as_it_is(logic, classified):
    import slicer

    other = a_volume(name="other")
    slicer.util.setSliceViewerLayers(background=other, foreground=classified, foregroundOpacity=0.5)
    logic.jumpToRegion(classified, "chest")
    composite = slicer.app.layoutManager().sliceWidget("Red").mrmlSliceCompositeNode()
    assert composite.GetBackgroundVolumeID() == other.GetID()


def test_a_crop_is_a_new_volume_of_the_slices_that_show_the_region(logic, classified, scene):
    import slicer

    part = logic.cropToRegion(classified, "abdomen")
    assert part.GetName() == "scan abdomen"
    assert part.GetImageData().GetDimensions() == (10, 12, 20)
    whole = slicer.util.arrayFromVolume(classified)
    np.testing.assert_array_equal(slicer.util.arrayFromVolume(part), whole[20:40])
    bounds = [0.0] * 6
    part.GetRASBounds(bounds)
    assert bounds[4:] == pytest.approx([0, 100])
    before = names(scene)
    with pytest.raises(ValueError, match="shows no head"):
        logic.cropToRegion(classified, "head")
    assert names(scene) == before


def test_the_plot_is_shown_in_a_layout_that_has_one(logic, classified):
    import slicer

    logic.showPlot(classified)
    selection = slicer.app.applicationLogic().GetSelectionNode()
    assert selection.GetActivePlotChartID() == parts(classified)["chart"].GetID()
    layout = slicer.app.layoutManager().layout
    assert layout == slicer.modules.plots.logic().GetLayoutWithPlot(layout)


def test_slabs_are_drawn_for_one_volume_at_a_time(logic, classified):
    from SlicerHPOLib.mrml import fieldofview

    other = a_volume(name="other")
    fieldofview.show(other, a_classification(other))

    def visible():
        return [bool(parts(v)["segmentation"].GetDisplayNode().GetVisibility()) for v in (classified, other)]

    logic.showSlabs(other, True)
    assert visible() == [False, True]
    logic.showSlabs(classified, True)
    assert visible() == [True, False]
    logic.showSlabs(classified, False)
    assert visible() == [False, False]


# Running


def test_volumes_are_shown_one_after_the_other_and_failures_named(logic, scene, quick):
    from SlicerHPOLib.image import Image
    from SlicerHPOLib.mrml.volumes import volume_node_of

    first, second = a_volume(name="first"), a_volume(name="second")
    empty = volume_node_of(Image(np.zeros((4, 4, 4), np.int16), np.eye(4)), "empty")
    logic.startVolumes([first, empty, second])
    texts, fractions = [], []
    while (status := logic.pollProcess()).state == "running":
        texts.append(status.text)
        fractions.append(status.fraction)
    assert status.state == "done"
    assert [result.path for result in logic.results()] == ["first", "empty", "second"]
    assert [bool(result.error) for result in logic.results()] == [False, True, False]
    assert "constant volume" in logic.results()[1].error
    assert "3 of 3: second: classifying slices" in texts
    assert fractions == sorted(fractions)
    table = logic.showResults()
    assert table.GetTable().GetValue(0, 1).ToString() == "chest, abdomen, pelvis"
    assert logic.showResults() is table


def test_a_row_of_the_results_leads_to_its_volume(logic, scene, quick):
    import slicer

    first, second = a_volume(name="same name"), a_volume(name="same name")
    second.SetOrigin(0, 0, 100)
    logic.startVolumes([first, second])
    finish(logic)
    logic.showResults()
    assert logic.openResult(1) is second
    composite = slicer.app.layoutManager().sliceWidget("Red").mrmlSliceCompositeNode()
    assert composite.GetBackgroundVolumeID() == second.GetID()
    scene.RemoveNode(first)
    with pytest.raises(ValueError, match="same name is no longer in the scene"):
        logic.openResult(0)
    with pytest.raises(ValueError, match="no row 3"):
        logic.openResult(2)
    logic.startVolumes([second])
    finish(logic)
    logic.showResults()
    assert logic.openResult(0) is second


def test_the_panels_run_is_not_thrown_away_by_a_script(logic, quick):
    quick.polls = None
    volume = a_volume()
    logic.startVolumes([volume])
    logic.pollProcess()
    with pytest.raises(RuntimeError, match="wait or cancel it"):
        logic.process(a_volume(name="other"))
    assert len(quick.running) == 1
    logic.cancelProcess()
    quick.polls = 2
    assert logic.process(volume).regions


@pytest.mark.parametrize("when", ["before its turn", "while it is classified", "all at once"])
def test_a_volume_that_is_removed_is_passed_over(logic, scene, quick, when):
    quick.polls = 3
    first, second = a_volume(name="first"), a_volume(name="second")
    logic.startVolumes([first, second])
    if when == "before its turn":
        scene.RemoveNode(second)
        expected = ["first"]
    else:
        for _ in range(3):
            logic.pollProcess()
        assert len(quick.running) == 1
        scene.RemoveNode(first)
        expected = ["second"]
    if when == "all at once":
        scene.Clear(0)
        expected = []
    assert finish(logic).state == "done"
    assert [result.path for result in logic.results()] == expected
    assert quick.running == []


def test_a_volume_that_is_moved_while_it_is_classified_gets_no_answer(logic, scene, quick):
    volume = a_volume()
    logic.startVolumes([volume])
    logic.pollProcess()
    logic.pollProcess()
    volume.SetOrigin(0, 0, 1000)
    finish(logic)
    assert "was moved or changed" in logic.results()[0].error
    assert parts(volume) == {}


def test_what_is_cancelled_stops_and_keeps_what_is_finished(logic, scene, quick):
    first, second = a_volume(name="first"), a_volume(name="second")
    logic.startVolumes([first, second])
    while len(logic.results()) < 1:
        logic.pollProcess()
    logic.pollProcess()
    assert len(quick.running) == 1
    logic.cancelProcess()
    assert quick.running == []
    assert logic.pollProcess().state == "cancelled"
    assert [result.path for result in logic.results()] == ["first"]
    assert parts(second) == {}


def test_the_way_of_the_network_is_told_once(logic, scene, quick):
    quick.warnings = ("The graphics card has not enough free memory: it was computed on the processor.",)
    logic.startVolumes([a_volume(name="first"), a_volume(name="second")])
    finish(logic)
    assert logic.warnings() == list(quick.warnings)


def test_the_models_for_the_field_of_view_are_listed(logic):
    assert logic.models() == ["mr-field-of-view"]


def test_label_maps_vectors_and_hidden_volumes_are_no_volumes_to_classify(logic, scene):
    volume, hidden = a_volume(), a_volume(name="hidden")
    hidden.SetHideFromEditors(True)
    scene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode")
    scene.AddNewNodeByClass("vtkMRMLVectorVolumeNode")
    assert logic.volumes() == [volume]


def test_the_samples_are_registered_with_slicer(module):
    import SampleData

    volume = SampleData.downloadSample("torso-t2-coronal")
    assert volume.GetImageData().GetDimensions() == (133, 30, 140)


def test_the_modules_own_test_passes(module):
    module.MRFieldOfViewTest().runTest()
