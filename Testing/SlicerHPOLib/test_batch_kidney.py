"""Kidneys of many volumes: measures and files are the segmenter's, ours alone is replaced, and what is done is kept."""

import csv
import json
import os
from pathlib import Path

import numpy as np
import pytest
from SlicerHPOLib import batch
from SlicerHPOLib.batch import BatchError
from SlicerHPOLib.batch.folder import CHANGED, LIST
from SlicerHPOLib.bundle import BundleError, read_bundle, write_bundle
from SlicerHPOLib.image import read_image, write_image
from SlicerHPOLib.job import Cancelled, Job
from SlicerHPOLib.kidney import segmenter
from SlicerHPOLib.kidney.pointfile import PointFileError, write_points
from SlicerHPOLib.kidney.points import Points
from SlicerHPOLib.kidney.results import KidneyResult, read_json, require_table, write_csv, write_json
from SlicerHPOLib.kidney.segmenter import KidneySegmenter
from SlicerHPOLib.resultfile import ResultsError
from SlicerHPOLib.segmentation import write_segmentation


@pytest.fixture
def volumes(tmp_path, kidney):
    """Three volumes in one folder."""
    return [kidney(tmp_path / "in" / f"{name}.nii", seed) for seed, name in enumerate("abc")]


@pytest.fixture
def out(tmp_path):
    """The output folder, not there yet."""
    return tmp_path / "out"


@pytest.fixture
def computed(monkeypatch):
    """The names of the volumes that were segmented, in order."""
    names = []
    segment = KidneySegmenter.segment

    def counting(self, image, **options):
        names.append(image.name)
        return segment(self, image, **options)

    monkeypatch.setattr(KidneySegmenter, "segment", counting)
    return names


def snapshot(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


# --- Answers -------------------------------------------------------------------------------------------------------


def test_the_answer_and_the_file_are_the_segmenters(volumes, tiny_kidney_model, out):
    image = read_image(volumes[0])
    expected = KidneySegmenter.load(tiny_kidney_model).segment(image)
    (result,) = batch.segment(volumes[0], out, model=tiny_kidney_model)
    assert (result.path, result.output, result.error) == (str(volumes[0]), str(out / "a.seg.nrrd"), "")
    assert result.volume_ml == pytest.approx(expected.measures.volume_ml, abs=0.006)
    assert result.length_mm == pytest.approx(expected.measures.length_mm, abs=0.006)
    np.testing.assert_allclose(result.width_axis_mm, expected.measures.width_axis, atol=0.006)
    assert result.confidence == pytest.approx(expected.confidence, abs=1e-4)
    assert result.warnings == expected.warnings
    assert "there may be no kidney" in result.warnings[0]
    written = read_image(result.output)
    np.testing.assert_array_equal(written.voxels, expected.mask)
    np.testing.assert_allclose(written.ijk_to_ras, image.ijk_to_ras, atol=1e-6)


def test_a_label_map_in_nifti_is_the_same_mask(volumes, tiny_kidney_model, out):
    batch.segment(volumes[0], out, model=tiny_kidney_model)
    batch.segment(volumes[0], out, model=tiny_kidney_model, format="nii.gz")
    masks = [read_image(out / name).voxels for name in ("a.seg.nrrd", "a.nii.gz")]
    np.testing.assert_array_equal(*masks)


def test_the_method_is_the_one_asked_for(volumes, tiny_kidney_model, out):
    """An untrained dense head finds something else than the template; the classical method finds the ball."""
    options = {"method": "classical", "seed_point_mm": (3, -2, 4)}
    (classical,) = batch.segment(volumes[0], out, model=tiny_kidney_model, **options)
    (network,) = batch.segment(volumes[0], out, model=tiny_kidney_model)
    assert (classical.method, network.method) == ("classical", "deformation")
    assert classical.seed_point_mm == (3.0, -2.0, 4.0)
    assert (classical.population, classical.population_used) == ("auto", None)
    assert "no evidence of a kidney" in classical.warnings[0]
    assert classical.volume_ml != network.volume_ml


def test_each_volume_is_answered_for_the_population_that_it_shows_or_for_the_one_asked_for(
    kidney, tiny_model_of_two, tmp_path, out
):
    paths = [kidney(tmp_path / "adult.nii"), kidney(tmp_path / "child.nii", scale=0.7)]
    found = batch.segment(paths, out, model=tiny_model_of_two, report=out / "r.json")
    assert [(r.population, r.population_used) for r in found] == [("auto", "adult"), ("auto", "child")]
    assert read_json(out / "r.json") == found
    given = batch.segment(paths, out, model=tiny_model_of_two, population="child", report=out / "r.csv")
    assert [(r.population, r.population_used) for r in given] == [("child", "child")] * 2
    assert given[0].volume_ml != found[0].volume_ml and given[1].volume_ml == found[1].volume_ml
    with (out / "r.csv").open(newline="") as file:
        assert [(row["population"], row["population_used"]) for row in csv.DictReader(file)] == [("child", "child")] * 2


def test_a_model_that_answers_for_all_alike_warns_of_a_population_that_was_asked_for(volumes, tiny_kidney_model, out):
    (found,) = batch.segment(volumes[0], out, model=tiny_kidney_model)
    (given,) = batch.segment(volumes[0], out, model=tiny_kidney_model, population="adult")
    assert (given.population, given.population_used, given.volume_ml) == ("adult", None, found.volume_ml)
    assert "no difference" in " ".join(given.warnings) and "no difference" not in " ".join(found.warnings)


def test_points_are_honoured_from_a_file_or_as_they_are(volumes, tiny_kidney_model, out, tmp_path):
    image, first = read_image(volumes[0]), batch.segment(volumes[0], out, model=tiny_kidney_model)[0]
    place = image.ras_of(np.argwhere(read_image(first.output).voxels)[-1][::-1])
    points = Points().add_outside(place)
    for given in (points, write_points(points, tmp_path / "p.json"), [tmp_path / "p.json"]):
        (result,) = batch.segment(volumes[0], out, model=tiny_kidney_model, points=given)
        assert not result.error
        i, j, k = np.rint(image.ijk_of(place)).astype(int)
        assert read_image(result.output).voxels[k, j, i] == 0
        assert result.points == points.points
        assert result.implausibility > 0


def test_a_bad_volume_does_not_stop_the_others_and_leaves_no_file(volumes, tiny_kidney_model, out):
    volumes[1].write_bytes(b"no volume")
    seen = []
    results = batch.segment(volumes, out, model=tiny_kidney_model, report=out / "r.json", on_result=seen.append)
    assert results == seen == read_json(out / "r.json")
    assert [bool(result.error) for result in results] == [False, True, False]
    assert results[1].output == ""
    assert names(out) == {"a.seg.nrrd", "c.seg.nrrd", "r.json", LIST}


def test_an_unexpected_exception_is_that_volumes_error(volumes, tiny_kidney_model, out, monkeypatch):
    def fail(self, image, **options):
        raise RuntimeError("out of luck")

    monkeypatch.setattr(KidneySegmenter, "segment", fail)
    (result,) = batch.segment(volumes[0], out, model=tiny_kidney_model)
    assert result.error == "Unexpected RuntimeError: out of luck. Please report it."


def test_volumes_of_the_same_name_get_files_of_different_names(kidney, tiny_kidney_model, tmp_path, out):
    for subject in ("s1", "s2"):
        kidney(tmp_path / "in" / subject / "us.nii.gz")
    batch.segment(tmp_path / "in", out, model=tiny_kidney_model)
    assert names(out) == {"s1_us.seg.nrrd", "s2_us.seg.nrrd", LIST}


@pytest.mark.parametrize("format", ["seg.nrrd", "nii.gz"])
def test_segmentations_in_a_searched_folder_are_no_volumes(volumes, tiny_kidney_model, tmp_path, computed, format):
    for _ in range(2):
        computed.clear()
        results = batch.segment(tmp_path, tmp_path / "in", model=tiny_kidney_model, format=format)
        assert computed == ["a", "b", "c"]
        assert not any(result.error for result in results)


def test_the_fields_of_view_of_a_folder_are_not_those_of_segmentations_in_it(
    volumes, tiny_model, tiny_kidney_model, tmp_path
):
    batch.segment(volumes[0], tmp_path / "in", model=tiny_kidney_model)
    assert [Path(r.path).name for r in batch.classify(tmp_path / "in", model=tiny_model)] == ["a.nii", "b.nii", "c.nii"]


# --- Reports -------------------------------------------------------------------------------------------------------


def test_the_json_report_has_an_entry_a_volume_with_measures_and_what_they_rest_on(volumes, tiny_kidney_model, out):
    (result,) = batch.segment(volumes[0], out, model=tiny_kidney_model, report=out / "r.json")
    (entry,) = json.loads((out / "r.json").read_text())["volumes"]
    assert entry["path"] == str(volumes[0])
    assert entry["model_sha256"] == read_bundle(tiny_kidney_model).sha256
    assert entry["length_axis_mm"] == [list(end) for end in result.length_axis_mm]
    assert np.linalg.norm(np.subtract(*entry["length_axis_mm"])) == pytest.approx(entry["length_mm"], abs=0.02)
    product = entry["length_mm"] * entry["width_mm"] * entry["thickness_mm"]
    assert entry["ellipsoid_volume_ml"] == pytest.approx(np.pi / 6 * product / 1000, rel=1e-3)
    assert entry["surface_cm2"] > 0


def test_the_table_has_a_row_a_volume_with_points_and_axes_as_text(volumes, tiny_kidney_model, out):
    points = Points().add_outside((-50.5, -50, 45)).add_outside((50, 50, 45))
    (result,) = batch.segment(volumes[0], out, model=tiny_kidney_model, points=points, report=out / "r.csv")
    with (out / "r.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert row["points"] == "outside -50.5 -50 45; outside 50 50 45"
    assert float(row["volume_ml"]) == result.volume_ml
    ends = [tuple(map(float, end.split())) for end in row["length_axis_mm"].split("; ")]
    np.testing.assert_allclose(ends, result.length_axis_mm, rtol=1e-5)
    require_table(out / "r.csv")


def test_a_result_without_confidence_is_null_not_nan(volumes, tiny_kidney_model, out, monkeypatch):
    from dataclasses import replace

    segment = KidneySegmenter.segment
    monkeypatch.setattr(
        KidneySegmenter, "segment", lambda self, image, **o: replace(segment(self, image, **o), confidence=float("nan"))
    )
    (result,) = batch.segment(volumes[0], out, model=tiny_kidney_model, report=out / "r.json")
    assert result.confidence is None
    assert "NaN" not in (out / "r.json").read_text()


def test_results_read_back_as_written(tmp_path):
    blank = KidneyResult("a.nii", "1", 2, 3, "now", "m", "0", "s", "deformation", (), (1.0, 2.0, 3.0))
    points = Points().add_inside((1, 2.5, 3)).points
    full = KidneyResult(
        "b", None, None, 3, "now", "m", "0", "s", "unet", points, output="o", volume_ml=1.5,
        population="child", population_used="child", length_axis_mm=((0.0, 1.0, 2.0), (3.0, 4.0, 5.0)),
        warnings=("one", "two"),
    )  # fmt: skip
    failed = KidneyResult("c", None, None, 3, "now", "m", "0", "s", "unet", error="no volume")
    write_json(tmp_path / "r.json", [blank, full, failed])
    assert read_json(tmp_path / "r.json") == [blank, full, failed]
    write_csv(tmp_path / "r.csv", [blank, full, failed])
    require_table(tmp_path / "r.csv")


def test_a_report_never_replaces_a_file_that_is_not_ours(volumes, tiny_kidney_model, tmp_path, out):
    for name in ("patients.csv", "settings.json"):
        (tmp_path / name).write_text('{"id": 1}\n')
        with pytest.raises(ResultsError, match="does not hold results"):
            batch.segment(volumes[0], out, model=tiny_kidney_model, report=tmp_path / name)
        assert (tmp_path / name).read_text() == '{"id": 1}\n'
    assert not out.exists()


def test_folders_made_for_volumes_that_are_all_refused_are_removed(tmp_path, tiny_kidney_model):
    broken = tmp_path / "broken.nii"
    broken.write_text("no volume")
    (tmp_path / "there").mkdir()
    for out in (tmp_path / "new" / "deep", tmp_path / "there"):
        (result,) = batch.segment(broken, out, model=tiny_kidney_model, figure=tmp_path / "figures")
        assert result.error
    assert names(tmp_path) == {"broken.nii", "there"}


def test_of_two_folders_of_which_one_cannot_be_written_to_none_is_made(volumes, tmp_path, out, tiny_kidney_model):
    (tmp_path / "file").write_text("")
    with pytest.raises(BatchError, match="Nothing can be written to"):
        batch.segment(volumes, out, model=tiny_kidney_model, figure=tmp_path / "file" / "figures")
    assert not out.exists()


# --- Interruption and resumption -----------------------------------------------------------------------------------


@pytest.mark.parametrize("exception", [KeyboardInterrupt, Cancelled])
def test_an_interrupted_run_keeps_what_is_finished_and_goes_on_from_there(
    volumes, tiny_kidney_model, out, tmp_path, monkeypatch, exception
):
    options = {"model": tiny_kidney_model, "report": tmp_path / "r.json", "skip_done": True}
    whole = batch.segment(volumes, tmp_path / "whole", model=tiny_kidney_model)
    segment = KidneySegmenter.segment

    def interrupted(self, image, **given):
        if image.name == "c":
            raise exception
        return segment(self, image, **given)

    with monkeypatch.context() as patch:
        patch.setattr(KidneySegmenter, "segment", interrupted)
        with pytest.raises(exception):
            batch.segment(volumes, out, **options)
    assert names(out) == {"a.seg.nrrd", "b.seg.nrrd", LIST}
    assert [result.path for result in read_json(tmp_path / "r.json")] == [str(path) for path in volumes[:2]]
    before = snapshot(out)

    names_ = []
    with monkeypatch.context() as patch:
        patch.setattr(
            KidneySegmenter, "segment", lambda self, image, **g: names_.append(image.name) or segment(self, image, **g)
        )
        results = batch.segment(volumes, out, **options)
    assert names_ == ["c"]
    assert [result.volume_ml for result in results] == [result.volume_ml for result in whole]
    assert read_json(tmp_path / "r.json") == results
    assert {name: snapshot(out)[name] for name in ("a.seg.nrrd", "b.seg.nrrd")} == {
        name: content for name, content in before.items() if name != LIST
    }


def test_a_run_killed_between_file_and_list_is_continued(volumes, tiny_kidney_model, out, monkeypatch):
    from SlicerHPOLib.batch import kidney as task

    def killed(*arguments):
        write_segmentation(*arguments)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(task, "write_segmentation", killed)
        with pytest.raises(KeyboardInterrupt):
            batch.segment(volumes[0], out, model=tiny_kidney_model)
    assert "a.seg.nrrd" in names(out)
    (result,) = batch.segment(volumes[0], out, model=tiny_kidney_model, skip_done=True)
    assert result.output_sha256


def test_a_finished_run_repeated_computes_nothing_and_changes_nothing(
    volumes, tiny_kidney_model, tmp_path, out, computed
):
    options = {"model": tiny_kidney_model, "report": tmp_path / "r.csv", "skip_done": True}
    first = batch.segment(volumes, out, **options)
    before = snapshot(tmp_path)
    computed.clear()
    assert batch.segment(volumes, out, **options) == first
    assert computed == []
    assert snapshot(tmp_path) == before


def test_what_changed_is_computed_again_and_nothing_else(volumes, kidney, tiny_kidney_model, out, computed):
    options = {"model": tiny_kidney_model, "skip_done": True}
    batch.segment(volumes, out, **options)
    (out / "a.seg.nrrd").unlink()
    kidney(volumes[1], seed=9)
    computed.clear()
    batch.segment(volumes, out, **options)
    assert computed == ["a", "b"]


def test_another_model_method_or_set_of_points_is_computed_again(volumes, tiny_kidney_model, tmp_path, out, computed):
    bundle = read_bundle(tiny_kidney_model)
    manifest = {key: value for key, value in bundle.manifest.items() if key not in ("format_version", "files")}
    other = write_bundle(tmp_path / "other", manifest | {"decision": {"least_confidence": 0.5}}, bundle.weights())
    for changed in (
        {"model": tiny_kidney_model},
        {"model": other},
        {"model": other, "population": "child"},
        {"model": other, "method": "classical", "seed_point_mm": (0, 0, 0)},
        {"model": other, "method": "classical", "seed_point_mm": (0, 0, 5)},
        {"model": other, "points": Points().add_outside((50, 50, 45))},
    ):
        for expected in (["a"], []):
            computed.clear()
            batch.segment(volumes[0], out, skip_done=True, **changed)
            assert computed == expected


def test_what_was_done_before_there_were_populations_is_done(volumes, tiny_kidney_model, out, computed):
    (done,) = batch.segment(volumes[0], out, model=tiny_kidney_model)
    content = json.loads((out / LIST).read_text())
    for entry in content["volumes"]:
        del entry["population"], entry["population_used"]
    (out / LIST).write_text(json.dumps(content))
    computed.clear()
    assert batch.segment(volumes[0], out, model=tiny_kidney_model, skip_done=True) == [done]
    assert computed == []


def test_the_list_and_the_files_can_be_moved_with_the_volumes(
    volumes, tiny_kidney_model, tmp_path, monkeypatch, computed
):
    monkeypatch.chdir(tmp_path)
    batch.segment("in", "in/out", model=tiny_kidney_model)
    (tmp_path / "in").rename(tmp_path / "moved")
    computed.clear()
    results = batch.segment(tmp_path / "moved", tmp_path / "moved" / "out", model=tiny_kidney_model, skip_done=True)
    assert computed == []
    assert [result.path for result in results] == [str(tmp_path / "moved" / f"{name}.nii") for name in "abc"]
    assert {Path(result.output).parent for result in results} == {tmp_path / "moved" / "out"}


def test_a_cancelled_job_stops_between_volumes_with_the_first_kept(volumes, tiny_kidney_model, out):
    job = Job()
    with pytest.raises(Cancelled):
        batch.segment(volumes, out, model=tiny_kidney_model, job=job, on_result=lambda result: job.cancel())
    assert names(out) == {"a.seg.nrrd", LIST}


def test_progress_runs_from_0_to_1_and_never_back(volumes, tiny_kidney_model, out):
    fractions = []
    batch.segment(volumes, out, model=tiny_kidney_model, job=Job(lambda fraction, text: fractions.append(fraction)))
    assert fractions == sorted(fractions)
    assert (fractions[0], fractions[-1]) == (0.0, 1.0)


# --- Files that are not replaced -----------------------------------------------------------------------------------


def test_our_own_segmentation_is_replaced_and_no_other(volumes, tiny_kidney_model, out):
    out.mkdir()
    (out / "b.seg.nrrd").write_text("somebody's")
    batch.segment(volumes[0], out, model=tiny_kidney_model)
    batch.segment(volumes[0], out, model=tiny_kidney_model)
    before = snapshot(out)
    with pytest.raises(BatchError, match=r"b\.seg\.nrrd exists and is not in .* not written by this program"):
        batch.segment(volumes, out, model=tiny_kidney_model)
    assert snapshot(out) == before


def test_a_segmentation_corrected_by_hand_is_not_replaced_and_counts_as_done(volumes, tiny_kidney_model, out, computed):
    (result,) = batch.segment(volumes[0], out, model=tiny_kidney_model)
    edited = read_image(result.output)
    write_image(edited.__class__(1 - edited.voxels, edited.ijk_to_ras), result.output)
    with pytest.raises(BatchError, match="was changed after it was written"):
        batch.segment(volumes[0], out, model=tiny_kidney_model)
    computed.clear()
    (skipped,) = batch.segment(volumes[0], out, model=tiny_kidney_model, skip_done=True)
    assert computed == []
    assert skipped.warnings == (*result.warnings, CHANGED)


def test_the_segmentation_of_another_volume_of_the_same_name_is_not_replaced(
    kidney, tiny_kidney_model, tmp_path, out, monkeypatch
):
    for subject in ("s1", "s2"):
        os.utime(kidney(tmp_path / subject / "us.nii"), ns=(1, 1))
    monkeypatch.chdir(tmp_path / "s1")
    batch.segment("us.nii", "../out", model=tiny_kidney_model)
    monkeypatch.chdir(tmp_path / "s2")
    for skip_done in (False, True):
        with pytest.raises(BatchError, match=r"is the segmentation of another volume \(us\.nii\)"):
            batch.segment("us.nii", "../out", model=tiny_kidney_model, skip_done=skip_done)


def test_a_volume_is_never_replaced_by_its_segmentation(kidney, tiny_kidney_model, tmp_path):
    volume = kidney(tmp_path / "a.nii.gz")
    before = snapshot(tmp_path)
    with pytest.raises(BatchError, match="would be overwritten"):
        batch.segment(volume, tmp_path, model=tiny_kidney_model, format="nii.gz")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a.nii.gz").symlink_to(volume)
    with pytest.raises(BatchError, match="would be overwritten"):
        batch.segment(volume, tmp_path / "out", model=tiny_kidney_model, format="nii.gz")
    assert {name: content for name, content in snapshot(tmp_path).items() if "out" not in name} == before


# --- Requests that cannot be carried out ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"method": "magic"}, BatchError, "'magic'; known are deformation, unet, classical"),
        ({"population": "elderly"}, BatchError, "'elderly'; known are auto, adult, child"),
        ({"method": "classical", "population": "child"}, BatchError, "classical method knows no populations"),
        ({"format": "stl"}, BatchError, r"'stl'; known are seg\.nrrd, nii\.gz"),
        ({"method": "classical"}, BatchError, "starts from a seed point"),
        ({"seed_point_mm": (0, 0, 0)}, BatchError, "for the classical method"),
        ({"method": "classical", "seed_point_mm": (0, 0)}, BatchError, "three numbers"),
        ({"method": "classical", "seed_point_mm": (0, 0, float("nan"))}, BatchError, "three numbers"),
        ({"points": Points().add_inside((0, 0, 0))}, BatchError, "belong to one volume, and there are 3"),
        ({"points": "none.json"}, PointFileError, r"none\.json"),
        ({"report": "r.txt"}, BatchError, r"ends in \.json or \.csv"),
        ({"report": "out/segmentations.json"}, BatchError, "name of another output"),
        ({"report": "in/a.nii/r.csv"}, BatchError, "Nothing can be written"),
        ({"figure": "f.png"}, BatchError, "3 volumes need a folder"),
        ({"frame": -1}, BatchError, "count from 0"),
        ({"out": "in/a.nii"}, BatchError, "is a file: give the folder"),
        ({"out": "foreign"}, ResultsError, "does not hold results"),
        ({"paths": []}, BatchError, "No volume given"),
        ({"model": "none"}, BundleError, "No model 'none'"),
    ],
)
def test_a_request_that_cannot_be_carried_out_is_refused_before_anything_happens(
    volumes, tiny_kidney_model, tmp_path, monkeypatch, computed, options, error, words
):
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / LIST).write_text("[]")
    monkeypatch.chdir(tmp_path)
    before = snapshot(tmp_path)
    with pytest.raises(error, match=words):
        batch.segment(**{"paths": volumes, "out": "out", "model": tiny_kidney_model, **options})
    assert computed == []
    assert snapshot(tmp_path) == before


def test_a_model_for_another_task_is_refused_and_nothing_written(volumes, tiny_model, out):
    with pytest.raises(BundleError, match="task"):
        batch.segment(volumes, out, model=tiny_model)
    assert not out.exists()


def test_a_point_that_cannot_be_honoured_is_the_volumes_error(volumes, tiny_kidney_model, out):
    points = Points().add_inside((900, 0, 0))
    (result,) = batch.segment(volumes[0], out, model=tiny_kidney_model, points=points)
    assert "900" in result.error
    assert not out.exists()


def test_the_model_is_the_segmenters():
    assert batch.kidney.DEFAULT_MODEL == segmenter.TASK


# --- Figures -------------------------------------------------------------------------------------------------------


@pytest.fixture
def figures(monkeypatch):
    """Stands in for the drawing, which its own tests cover: writes the title."""
    module = pytest.importorskip("SlicerHPOLib.kidney.figure", reason="kidney figures are not there yet")
    monkeypatch.setattr(module, "write_figure", lambda result, path, title="": Path(path).write_text(title))


def test_every_volume_gets_its_figure_and_one_that_is_gone_is_drawn_again(
    volumes, tiny_kidney_model, out, tmp_path, figures, computed
):
    options = {"model": tiny_kidney_model, "figure": tmp_path / "figures", "skip_done": True}
    batch.segment(volumes, out, **options)
    assert names(tmp_path / "figures") == {"a.png", "b.png", "c.png"}
    assert (tmp_path / "figures" / "b.png").read_text() == str(volumes[1])
    (tmp_path / "figures" / "b.png").unlink()
    computed.clear()
    batch.segment(volumes, out, **options)
    assert computed == ["b"]
