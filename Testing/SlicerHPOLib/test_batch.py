"""Many volumes: outputs hold what is finished at any time, and nothing wrong with the request is found out late."""

import csv
import json
import os
from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, generate_uid
from SlicerHPOLib import batch
from SlicerHPOLib.batch import BatchError
from SlicerHPOLib.bundle import BundleError, read_bundle, write_bundle
from SlicerHPOLib.fieldofview.classifier import Classifier
from SlicerHPOLib.job import Cancelled, Job
from SlicerHPOLib.results import Result, ResultsError, _hundredths, read_csv, read_json


@pytest.fixture
def volumes(tmp_path, volume):
    """Three volumes in one folder."""
    return [volume(tmp_path / "in" / f"{name}.nii", seed) for seed, name in enumerate("abc")]


@pytest.fixture
def computed(monkeypatch):
    """The names of the volumes that the classifier was given, in order."""
    names = []
    classify = Classifier.classify

    def counting(self, image, **options):
        names.append(image.name)
        return classify(self, image, **options)

    monkeypatch.setattr(Classifier, "classify", counting)
    return names


def snapshot(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_answer_is_the_classifiers(volumes, tiny_model):
    from SlicerHPOLib.image import read_image

    expected = Classifier.load(tiny_model).classify(read_image(volumes[0])).decision
    (result,) = batch.classify(volumes[0], model=tiny_model)
    assert result.path == str(volumes[0])
    assert result.hypothesis == expected.hypothesis
    assert [region.name for region in result.regions] == [region.name for region in expected.regions]
    assert result.regions[0].from_mm == pytest.approx(expected.regions[0].from_mm, abs=0.006)
    assert result.answer.decision.labels.tolist() == expected.labels.tolist()


def test_a_folder_is_searched_and_a_volume_given_twice_is_taken_once(volumes, tiny_model, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    results = batch.classify(["in", "in/a.nii", volumes[1]], model=tiny_model)
    assert [result.path for result in results] == ["in/a.nii", "in/b.nii", "in/c.nii"]


def test_csv_and_json_hold_the_same_results_and_read_back_as_written(volumes, tiny_model, tmp_path):
    results = batch.classify(
        [*volumes, tmp_path / "none.nii"],
        model=tiny_model,
        csv=tmp_path / "r.csv",
        json=tmp_path / "r.json",
        fixed={"chest/abdomen": 55.5},
    )
    assert read_csv(tmp_path / "r.csv") == read_json(tmp_path / "r.json") == results
    assert results[0].boundaries
    assert results[3].error


def test_the_table_has_a_row_for_each_region_with_the_boundary_above_it(volumes, tiny_model, tmp_path):
    batch.classify(volumes[0], model=tiny_model, csv=tmp_path / "r.csv", fixed={"abdomen/chest": 55.5})
    with (tmp_path / "r.csv").open(newline="") as file:
        rows = {row["region"]: row for row in csv.DictReader(file)}
    assert {"abdomen", "chest"} <= rows.keys()
    assert rows["abdomen"]["boundary"] == "abdomen/chest"
    assert float(rows["abdomen"]["boundary_mm"]) == float(rows["abdomen"]["to_mm"]) == 55.5
    assert float(rows["chest"]["from_mm"]) == 55.5
    assert rows["abdomen"]["boundary_fixed"] == "yes"
    assert list(rows.values())[-1]["boundary"] == ""
    assert {row["model_sha256"] for row in rows.values()} == {read_bundle(tiny_model).sha256}


def test_a_bad_volume_does_not_stop_the_others(volumes, tiny_model, tmp_path):
    volumes[1].write_bytes(b"no volume")
    seen = []
    results = batch.classify(volumes, model=tiny_model, csv=tmp_path / "r.csv", on_result=seen.append)
    assert results == seen
    assert [bool(result.error) for result in results] == [False, True, False]
    assert "b.nii" not in results[1].error


def test_an_unexpected_exception_is_that_volumes_error(volumes, tiny_model, monkeypatch):
    def fail(self, image, **options):
        raise RuntimeError("out of luck")

    monkeypatch.setattr(Classifier, "classify", fail)
    (result,) = batch.classify(volumes[0], model=tiny_model)
    assert result.error == "Unexpected RuntimeError: out of luck. Please report it."


@pytest.mark.parametrize(
    ("name", "error"), [(b'\xc3\xa4 "x", y.nii', ""), (b"\xff.nii", "its name is not valid UTF-8; rename it.")]
)
def test_odd_file_names_survive_in_both_files(volumes, tiny_model, tmp_path, name, error):
    odd = os.fsdecode(os.fsencode(tmp_path) + b"/" + name)
    try:
        volumes[0].rename(odd)
    except OSError:
        pytest.skip("this file system has no such names")
    (result,) = batch.classify(odd, model=tiny_model, csv=tmp_path / "r.csv", json=tmp_path / "r.json")
    assert result.path == odd
    assert result.error.endswith(error)
    assert bool(result.error) == bool(error)
    assert read_csv(tmp_path / "r.csv") == read_json(tmp_path / "r.json") == [result]


def write_series(folder: Path, description: str, spacing_mm: float):
    """A DICOM series of 12 axial slices of a named patient."""
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(0)
    series_uid = generate_uid()
    for index in range(12):
        slice_ = Dataset()
        slice_.file_meta = FileMetaDataset()
        slice_.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        slice_.file_meta.MediaStorageSOPClassUID = slice_.SOPClassUID = MRImageStorage
        slice_.file_meta.MediaStorageSOPInstanceUID = slice_.SOPInstanceUID = generate_uid()
        slice_.PatientName, slice_.PatientID = "Secret^Name", "SECRET-ID"
        slice_.Modality, slice_.SeriesDescription, slice_.SeriesInstanceUID = "MR", description, series_uid
        slice_.StudyInstanceUID, slice_.InstanceNumber = generate_uid(), index + 1
        slice_.Rows = slice_.Columns = 20
        slice_.PixelSpacing, slice_.SliceThickness = [10, 10], spacing_mm
        slice_.ImagePositionPatient, slice_.ImageOrientationPatient = [0, 0, index * spacing_mm], [1, 0, 0, 0, 1, 0]
        slice_.BitsAllocated = slice_.BitsStored = 16
        slice_.HighBit, slice_.PixelRepresentation, slice_.SamplesPerPixel = 15, 0, 1
        slice_.PhotometricInterpretation = "MONOCHROME2"
        pixels = random.integers(0, 20, (20, 20)).astype(np.uint16)
        pixels[4:16, 4:16] += 500
        slice_.PixelData = pixels.tobytes()
        slice_.save_as(folder / f"{description}{index}.dcm", enforce_file_format=True)


def test_every_series_of_a_dicom_folder_is_a_volume_and_no_header_text_gets_into_the_outputs(tiny_model, tmp_path):
    for description, spacing_mm in (("secret-one", 5.0), ("secret-two", 9.0)):
        write_series(tmp_path / "in", description, spacing_mm)
    outputs = {"csv": tmp_path / "r.csv", "json": tmp_path / "r.json", "figure": tmp_path / "figures"}
    results = batch.classify(tmp_path / "in", model=tiny_model, **outputs)
    assert [(result.path, result.series, result.error) for result in results] == [
        (str(tmp_path / "in"), "1", ""),
        (str(tmp_path / "in"), "2", ""),
    ]
    assert sorted(path.name for path in (tmp_path / "figures").iterdir()) == ["in_series1.png", "in_series2.png"]
    written = (tmp_path / "r.csv").read_text() + (tmp_path / "r.json").read_text()
    assert "secret" not in written.lower()
    assert "1.2.826" not in written

    (chosen,) = batch.classify(tmp_path / "in", model=tiny_model, series="2")
    assert chosen.regions == results[1].regions
    lengths = [result.regions[-1].to_mm - result.regions[0].from_mm for result in results]
    assert sorted(lengths) == [60.0, 108.0]


def test_a_dicom_folder_that_gets_another_slice_is_computed_again(tiny_model, tmp_path, computed):
    write_series(tmp_path / "in", "one", 5.0)
    last = (tmp_path / "in" / "one11.dcm").read_bytes()
    (tmp_path / "in" / "one11.dcm").unlink()
    options = {"model": tiny_model, "csv": tmp_path / "in" / "r.csv", "skip_done": True}
    for expected in (["in"], [], ["in"], []):
        computed.clear()
        batch.classify(tmp_path / "in", **options)
        assert computed == expected
        if expected == []:
            (tmp_path / "in" / "one11.dcm").write_bytes(last)


# --- Interruption and resumption -----------------------------------------------------------------------------------


def interrupt_at(monkeypatch, name: str, exception: type[BaseException]):
    classify = Classifier.classify

    def interrupted(self, image, **options):
        if image.name == name:
            raise exception
        return classify(self, image, **options)

    monkeypatch.setattr(Classifier, "classify", interrupted)


@pytest.mark.parametrize("exception", [KeyboardInterrupt, Cancelled])
def test_an_interrupted_run_keeps_what_is_finished_and_goes_on_from_there(
    volumes, tiny_model, tmp_path, monkeypatch, exception
):
    outputs = {"csv": tmp_path / "r.csv", "json": tmp_path / "r.json", "model": tiny_model, "skip_done": True}
    whole = batch.classify(volumes, model=tiny_model)
    with monkeypatch.context() as patch:
        interrupt_at(patch, "c", exception)
        with pytest.raises(exception):
            batch.classify(volumes, **outputs)
    assert read_csv(outputs["csv"]) == read_json(outputs["json"]) == whole[:2]
    assert {path.name for path in tmp_path.iterdir()} == {"in", "r.csv", "r.json"}

    with monkeypatch.context() as patch:
        interrupt_at(patch, "a", AssertionError)
        interrupt_at(patch, "b", AssertionError)
        assert batch.classify(volumes, **outputs) == whole
    assert read_csv(outputs["csv"]) == whole


@pytest.mark.parametrize("output", ["csv", "json"])
def test_a_finished_run_repeated_computes_nothing_and_changes_nothing(volumes, tiny_model, tmp_path, computed, output):
    outputs = {output: tmp_path / f"r.{output}"}
    first = batch.classify(volumes, model=tiny_model, **outputs)
    before = snapshot(tmp_path)
    computed.clear()
    assert batch.classify(volumes, model=tiny_model, skip_done=True, **outputs) == first
    assert computed == []
    assert snapshot(tmp_path) == before


def test_what_changed_or_failed_is_computed_again_and_nothing_else(volumes, volume, tiny_model, tmp_path, computed):
    good = volumes[2].read_bytes()
    volumes[2].write_bytes(b"not yet a volume")
    os.utime(volumes[2], ns=(1, 1))
    options = {"model": tiny_model, "csv": tmp_path / "r.csv", "skip_done": True}
    batch.classify(volumes, **options)
    volumes[2].write_bytes(good)
    status = volumes[1].stat()
    os.utime(volumes[1], ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    computed.clear()
    results = batch.classify(volumes, **options)
    assert computed == ["b", "c"]
    assert not any(result.error for result in results)


def test_another_model_or_another_fixed_boundary_is_computed_again(volumes, tiny_model, tmp_path, computed):
    bundle = read_bundle(tiny_model)
    manifest = {key: value for key, value in bundle.manifest.items() if key not in ("format_version", "files")}
    other = write_bundle(tmp_path / "other", manifest | {"decision": {"sigma_mm": 5.0}}, bundle.weights())
    options = {"csv": tmp_path / "r.csv", "skip_done": True}
    for changed in (
        {"model": tiny_model},
        {"model": other},
        {"model": other, "fixed": {"abdomen/chest": 50}},
    ):
        computed.clear()
        batch.classify(volumes[0], **options, **changed)
        assert computed == ["a"]


def test_skipping_keeps_the_rows_of_volumes_that_are_not_asked_for(volumes, tiny_model, tmp_path):
    batch.classify(volumes[:2], model=tiny_model, csv=tmp_path / "r.csv")
    batch.classify(volumes[2], model=tiny_model, csv=tmp_path / "r.csv", skip_done=True)
    assert [Path(result.path).name for result in read_csv(tmp_path / "r.csv")] == ["a.nii", "b.nii", "c.nii"]


def test_a_json_file_also_fills_a_table_that_is_asked_for_later(volumes, tiny_model, tmp_path, computed):
    first = batch.classify(volumes, model=tiny_model, json=tmp_path / "r.json")
    computed.clear()
    options = {"model": tiny_model, "json": tmp_path / "r.json", "csv": tmp_path / "r.csv", "skip_done": True}
    batch.classify(volumes, **options)
    assert computed == []
    assert read_csv(tmp_path / "r.csv") == first


def test_a_cancelled_job_stops_between_volumes_with_the_first_kept(volumes, tiny_model, tmp_path):
    job = Job()
    with pytest.raises(Cancelled):
        batch.classify(
            volumes, model=tiny_model, csv=tmp_path / "r.csv", job=job, on_result=lambda result: job.cancel()
        )
    assert [Path(result.path).name for result in read_csv(tmp_path / "r.csv")] == ["a.nii"]


def test_progress_runs_from_0_to_1_and_never_back(volumes, tiny_model):
    fractions = []
    batch.classify(volumes, model=tiny_model, job=Job(lambda fraction, text: fractions.append(fraction)))
    assert fractions == sorted(fractions)
    assert (fractions[0], fractions[-1]) == (0.0, 1.0)


# --- Requests that cannot be carried out ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"csv": "r.txt"}, r"r\.txt.*ends in \.csv"),
        ({"json": "r.csv"}, r"r\.csv.*ends in \.json"),
        ({"csv": "folder.csv"}, "is a folder"),
        ({"csv": "in/a.nii/r.csv"}, "Nothing can be written"),
        ({"figure": "figures.png"}, "3 volumes need a folder"),
        ({"figure": "in/a.nii"}, "3 volumes need a folder"),
        ({"skip_done": True}, "name the CSV or JSON file"),
        ({"frame": -1}, "count from 0"),
        ({"fixed": {"chest/legs": 3}}, r"'chest/legs'.*legs/pelvis, pelvis/abdomen, abdomen/chest, chest/head"),
        ({"fixed": {"chest": 3}}, "'chest'"),
        ({"fixed": {"chest/abdomen": 3, "abdomen/chest": 4}}, "fixed twice"),
        ({"fixed": {"chest/abdomen": float("nan")}}, "in mm"),
        ({"fixed": {"chest/abdomen": "up"}}, "'up'"),
    ],
)
def test_a_request_that_cannot_be_carried_out_is_refused_before_anything_happens(
    volumes, tiny_model, tmp_path, monkeypatch, computed, options, words
):
    (tmp_path / "folder.csv").mkdir()
    monkeypatch.chdir(tmp_path)
    before = snapshot(tmp_path)
    with pytest.raises(BatchError, match=words):
        batch.classify(volumes, model=tiny_model, **options)
    assert computed == []
    assert snapshot(tmp_path) == before


def test_no_volumes_at_all_is_an_error(tiny_model):
    with pytest.raises(BatchError, match="No volume given"):
        batch.classify([], model=tiny_model)


def test_an_output_never_replaces_a_file_that_is_not_ours(volumes, tiny_model, tmp_path):
    for name in ("patients.csv", "settings.json"):
        path = tmp_path / name
        path.write_text('{"id": 1}\n')
        with pytest.raises(ResultsError, match="does not hold results"):
            batch.classify(volumes, model=tiny_model, **{path.suffix[1:]: path})
        assert path.read_text() == '{"id": 1}\n'


def test_a_table_of_ours_is_replaced_unless_the_run_continues_it(volumes, tiny_model, tmp_path):
    for path in volumes[:2]:
        batch.classify(path, model=tiny_model, csv=tmp_path / "r.csv")
    assert [result.path for result in read_csv(tmp_path / "r.csv")] == [str(volumes[1])]


def test_a_figure_that_would_replace_its_volume_is_refused(volumes, tiny_model, tmp_path):
    link = tmp_path / "picture.png"
    link.symlink_to(volumes[0])
    with pytest.raises(BatchError, match="would be overwritten"):
        batch.classify(volumes[0], model=tiny_model, figure=link)


def test_an_unknown_model_is_refused_before_anything_happens(volumes, tmp_path):
    with pytest.raises(BundleError, match="No model 'none'"):
        batch.classify(volumes, model="none", csv=tmp_path / "new" / "r.csv")
    assert not (tmp_path / "new").exists()


# --- Figures -------------------------------------------------------------------------------------------------------


def test_one_volume_gives_the_figure_asked_for_and_missing_folders_are_made(volumes, tiny_model, tmp_path):
    batch.classify(volumes[0], model=tiny_model, figure=tmp_path / "new" / "folder" / "f.svg")
    assert b"<svg" in (tmp_path / "new" / "folder" / "f.svg").read_bytes()


@pytest.mark.parametrize("there", [True, False])
def test_a_folder_for_one_figure_gets_a_png_of_the_volumes_name(volumes, tiny_model, tmp_path, there):
    if there:
        (tmp_path / "figures").mkdir()
    batch.classify(volumes[0], model=tiny_model, figure=tmp_path / "figures")
    assert [path.name for path in (tmp_path / "figures").iterdir()] == ["a.png"]


def test_volumes_of_the_same_name_get_figures_of_different_names(volume, tiny_model, tmp_path):
    for subject in ("s1", "s2"):
        volume(tmp_path / "in" / subject / "t2.nii.gz")
    batch.classify(tmp_path / "in", model=tiny_model, figure=tmp_path / "figures")
    assert sorted(path.name for path in (tmp_path / "figures").iterdir()) == ["s1_t2.png", "s2_t2.png"]


def test_a_figure_that_is_gone_is_drawn_again(volumes, tiny_model, tmp_path, computed):
    options = {"model": tiny_model, "csv": tmp_path / "r.csv", "figure": tmp_path / "figures", "skip_done": True}
    batch.classify(volumes[:2], **options)
    (tmp_path / "figures" / "a.png").unlink()
    computed.clear()
    batch.classify(volumes[:2], **options)
    assert computed == ["a"]
    assert (tmp_path / "figures" / "a.png").exists()


# --- Result files --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["", "a,b\n1,2\n", "[]", '{"format": "SlicerHPO field of view"}', "\0", "[" * 99999])
@pytest.mark.parametrize(("read", "name"), [(read_csv, "r.csv"), (read_json, "r.json")])
def test_a_file_that_holds_no_results_is_named(tmp_path, read, name, text):
    (tmp_path / name).write_text(text)
    with pytest.raises(ResultsError, match=name):
        read(tmp_path / name)


def test_a_damaged_row_is_an_error_not_a_guess(volumes, tiny_model, tmp_path):
    batch.classify(volumes[0], model=tiny_model, csv=tmp_path / "r.csv")
    whole = (tmp_path / "r.csv").read_text()
    (tmp_path / "r.csv").write_text(whole[: len(whole) // 2 + 60])
    with pytest.raises(ResultsError):
        read_csv(tmp_path / "r.csv")


def test_a_length_that_rounds_to_nothing_has_no_sign():
    assert [str(_hundredths(value)) for value in (-0.001, 0.004, -0.006)] == ["0.0", "0.0", "-0.01"]


def test_json_holds_plain_numbers_and_no_array(volumes, tiny_model, tmp_path):
    batch.classify(volumes[0], model=tiny_model, json=tmp_path / "r.json")
    (entry,) = json.loads((tmp_path / "r.json").read_text())["volumes"]
    assert entry.keys() == Result.__dataclass_fields__.keys() - {"answer"}
    assert isinstance(entry["regions"][0]["from_mm"], float)
