"""The figures of a model: counted right on cases made by hand, and honest about what is not known."""

import json
from dataclasses import replace

import numpy as np
import pytest
from SlicerHPOLib.fieldofview.regions import CLASSES, DecisionModel
from SlicerHPOLib.image import Image, write_image

from training.fieldofview.evaluate import (
    Case,
    calibrate,
    conformal_margin_mm,
    confusion_table,
    describe,
    log_score,
    measure,
    real_cases,
)

PLAIN = DecisionModel(0.0, 0.0, 5.0)
INDEX = {name: n for n, name in enumerate(CLASSES)}


def case(truth, said=None, accepted=None, boundaries=None, sure=0.9, spacing=5.0) -> Case:
    """A case whose network says `said` (default: the truth) with probability `sure`."""
    truth = np.array([INDEX.get(name, -1) for name in truth])
    said = truth if said is None else np.array([INDEX[name] for name in said])
    probabilities = np.full((len(truth), 6), (1 - sure) / 5)
    probabilities[np.arange(len(truth)), said] = sure
    positions = np.arange(len(truth)) * spacing
    main = CLASSES[np.bincount(truth[truth >= 0]).argmax()]
    return Case(
        "case", positions, np.ones(len(truth), bool), probabilities, truth, boundaries or {}, accepted or (main,)
    )


def test_a_perfect_network_is_perfect_before_and_after_the_decision():
    cases = [case(["pelvis"] * 4 + ["abdomen"] * 6, boundaries={"pelvis/abdomen": 17.5}), case(["head"] * 5)]
    report = measure(cases, PLAIN)
    figures = report.as_json()
    assert (report.before == report.after).all()
    assert np.trace(report.after) == report.after.sum() == 15
    assert figures["slice_accuracy"] == 1
    assert figures["main_region_right"] == figures["volumes"] == 2
    assert report.boundary_errors_mm == pytest.approx([0])
    assert figures["interval_coverage"] == 1


def test_the_decision_repairs_single_slices_and_the_matrices_show_it():
    said = ["pelvis"] * 4 + ["head"] + ["pelvis"] * 5
    report = measure([case(["pelvis"] * 10, said)], PLAIN)
    assert report.before[INDEX["pelvis"], INDEX["head"]] == 1
    assert report.after[INDEX["pelvis"], INDEX["pelvis"]] == 10


def test_a_volume_called_by_a_wrong_name_is_named():
    report = measure([case(["legs"] * 6, ["pelvis"] * 6)], PLAIN)
    assert report.main_right == 0
    assert report.wrong_volumes == ("case: pelvis, not legs",)
    assert report.as_json()["slice_accuracy"] == 0


def test_slices_whose_truth_is_not_known_are_not_counted():
    report = measure([case(["?", "?", "chest", "chest", "?"], ["legs", "chest", "chest", "chest", "legs"])], PLAIN)
    assert report.before.sum() == report.after.sum() == 2


def test_a_neck_scanned_for_its_spine_counts_as_spine_or_head_and_as_nothing_else():
    either = ("spine", "head")
    as_head, as_chest = (measure([case(["spine"] * 6, [said] * 6, either)], PLAIN) for said in ("head", "chest"))
    assert as_head.main_right == 1
    assert as_head.as_json()["slice_accuracy"] == 1
    assert as_chest.main_right == 0
    assert as_chest.as_json()["slice_accuracy"] == 0


def test_a_boundary_that_is_not_found_is_counted_as_missed():
    report = measure([case(["chest"] * 5 + ["head"] * 5, ["chest"] * 10, boundaries={"chest/head": 22.5})], PLAIN)
    assert report.boundaries_missed == 1
    assert report.as_json()["boundary_error_median_mm"] is None  # strict JSON has no NaN
    json.dumps(report.as_json(), allow_nan=False)


def test_calibration_smooths_noise_away_and_finds_intervals_that_hold():
    rng = np.random.default_rng(0)
    cases = []
    for _ in range(12):
        cut = int(rng.integers(15, 35))
        truth = ["abdomen"] * cut + ["chest"] * (50 - cut)
        said = [name if rng.random() < 0.65 else str(rng.choice(["abdomen", "chest", "pelvis"])) for name in truth]
        cases.append(case(truth, said, boundaries={"abdomen/chest": cut * 5.0 - 2.5}, sure=0.7))
    model = calibrate(cases)
    naive, calibrated = measure(cases, PLAIN), measure(cases, model)
    assert calibrated.as_json()["slice_accuracy"] >= naive.as_json()["slice_accuracy"]
    assert calibrated.covered >= 0.95
    assert conformal_margin_mm(cases, model) == model.interval_margin_mm
    if model.interval_margin_mm > 0.1:  # no more than is needed
        assert measure(cases, replace(model, interval_margin_mm=model.interval_margin_mm - 0.15)).covered < 1
    narrow, wide = (replace(model, correlation_length_mm=length) for length in (2.0, 220.0))
    assert log_score(cases, model) <= min(log_score(cases, narrow), log_score(cases, wide))


def test_the_confusion_table_has_a_row_for_each_class_in_percent():
    matrix = np.zeros((6, 6), int)
    matrix[INDEX["head"], INDEX["head"]], matrix[INDEX["head"], INDEX["chest"]] = 3, 1
    lines = confusion_table(matrix).splitlines()
    assert lines[0].split() == ["head", "chest", "abdomen", "pelvis", "legs", "spine", "slices"]
    assert lines[1].split() == ["head", "75.0", "25.0", "0.0", "0.0", "0.0", "0.0", "4"]
    assert "-" in lines[2]


class Always:
    """Stands for a classifier that sees the same class in every slice."""

    def __init__(self, name):
        from SlicerHPOLib.fieldofview.network import Architecture

        self.architecture, self.name = Architecture(16, blocks=1), name

    def probabilities(self, inputs):
        row = np.full(6, 0.02)
        row[INDEX[self.name]] = 0.9
        return np.tile(row, (len(inputs.images), 1))


def test_real_volumes_are_read_with_the_truth_of_their_manifest(tmp_path):
    rng = np.random.default_rng(0)
    for name in ("a", "b", "c"):
        voxels = rng.integers(100, 200, (30, 12, 12)).astype(np.int16)
        write_image(Image(voxels, np.diag([10.0, 10.0, 10.0, 1.0])), tmp_path / f"{name}.nii.gz")
    (tmp_path / "manifest.csv").write_text(
        "file,part,sequence\na.nii.gz,pelvis (prostate FOV),T2\nb.nii.gz,lower chest-abdomen-upper pelvis,GRE\n"
        "c.nii.gz,neck-chest-abdomen,GRE\n"
    )
    suggested = {"abdomen": [0, 9], "chest": [10, 19], "head_neck": [20, 29]}
    (tmp_path / "torso_regions.json").write_text(json.dumps({"c.nii.gz": {"suggested": suggested}}))
    a, b, c = real_cases(Always("pelvis"), tmp_path)
    assert set(a.truth) == {INDEX["pelvis"]}
    assert np.flatnonzero(b.truth >= 0).tolist() == list(range(10, 20))
    assert c.boundaries_mm == {"abdomen/chest": 95.0, "chest/head": 195.0}
    assert (c.truth[6:14] == -1).all()  # within 40 mm of 95 mm
    assert c.truth[0] == INDEX["abdomen"]
    text = describe("real", measure([a, b, c], PLAIN))
    assert "main region right: 1 of 3" in text
    assert "b.nii.gz: pelvis, not abdomen" in text
