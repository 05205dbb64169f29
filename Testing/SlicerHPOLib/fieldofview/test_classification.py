"""A classified volume is decided again around the boundaries that a user sets, without a network."""

import numpy as np
import pytest
from SlicerHPOLib.fieldofview.classification import BOUNDARIES, Classification, ClassifiedSlices
from SlicerHPOLib.fieldofview.regions import BODY, CLASSES, DecisionModel, RegionError


def a_classification(shown=("pelvis", "abdomen", "chest"), slices=60, fixed=None, tissue=None):
    """A volume of 5 mm slices from S = -100 mm, each of its regions as long as the others."""
    labels = np.repeat([CLASSES.index(name) for name in shown], slices // len(shown))
    probabilities = np.full((len(labels), len(CLASSES)), 0.02)
    probabilities[np.arange(len(labels)), labels] = 0.9
    positions = -100.0 + 5.0 * np.arange(len(labels))
    tissue = np.ones(len(labels), bool) if tissue is None else tissue
    read = ClassifiedSlices(positions, tissue, probabilities, DecisionModel(min_length_mm=20), "scan")
    return Classification(read, np.eye(4), "mr-field-of-view", "0123", fixed or {})


def places(classification):
    return {boundary.name: boundary.position_mm for boundary in classification.answer.decision.boundaries}


def test_the_boundaries_of_a_body_are_named_from_below():
    assert BOUNDARIES == ("legs/pelvis", "pelvis/abdomen", "abdomen/chest", "chest/head")


def test_a_boundary_that_is_set_stays_and_the_others_are_decided_around_it():
    before = a_classification()
    assert places(before) == pytest.approx({"pelvis/abdomen": -2.5, "abdomen/chest": 97.5})
    after = before.with_boundary("abdomen/chest", -40.0)
    assert places(after)["abdomen/chest"] == -40.0
    assert places(after)["pelvis/abdomen"] < -40.0
    assert after.fixed == {"abdomen/chest": -40.0}
    assert before.fixed == {}


def test_a_boundary_that_is_set_free_goes_back_to_where_the_network_saw_it():
    before = a_classification()
    again = before.with_boundary("abdomen/chest", -40.0).with_boundary("abdomen/chest", None)
    assert places(again) == places(before)
    assert again.fixed == {}


def test_a_boundary_that_was_not_found_can_be_added():
    head = a_classification().with_boundary("chest/head", 170.0)
    assert [region.name for region in head.answer.decision.regions] == ["pelvis", "abdomen", "chest", "head"]


def test_a_boundary_that_was_missed_is_likeliest_where_the_curves_cross():
    spine = a_classification(("abdomen", "chest"))
    spine.slices.probabilities[:, -1] += 2  # the network takes the volume for a spine, but sees the two regions too
    spine.slices.probabilities[:] /= spine.slices.probabilities.sum(axis=1, keepdims=True)
    assert [region.name for region in spine.answer.decision.regions] == ["spine"]
    assert spine.likeliest_place("abdomen/chest") == pytest.approx(47.5, abs=5)
    with pytest.raises(RegionError):
        spine.with_boundary("chest/head", -95.0).likeliest_place("abdomen/chest")


def test_boundaries_against_the_order_of_the_body_are_refused_and_change_nothing():
    before = a_classification(fixed={"abdomen/chest": 50.0})
    with pytest.raises(RegionError, match="contradict the order"):
        before.with_boundary("pelvis/abdomen", 60.0)
    assert before.fixed == {"abdomen/chest": 50.0}


@pytest.mark.parametrize("fixed", [{}, {"pelvis/abdomen": 3.0}, {"legs/pelvis": -70.0, "chest/head": 101.0}])
@pytest.mark.parametrize("name", BOUNDARIES)
def test_there_is_room_just_where_a_boundary_can_be_set(name, fixed):
    tissue = np.ones(60, bool)
    tissue[:4] = tissue[50:] = False
    others = {other: position for other, position in fixed.items() if other != name}
    classification = a_classification(fixed=others, tissue=tissue)
    low, high = classification.room_for(name)
    assert low < high
    for position in (low, (low + high) / 2, high):
        assert classification.with_boundary(name, position).fixed[name] == position
    for position in (low - 5.0, high + 0.01):
        with pytest.raises(RegionError):
            classification.with_boundary(name, position)


def test_without_room_both_ends_are_the_same():
    low, high = a_classification(fixed={"legs/pelvis": 0.0, "abdomen/chest": 10.0}).room_for("pelvis/abdomen")
    assert low == high == 5.0
    low, high = a_classification(fixed={"chest/head": -95.0}).room_for("legs/pelvis")
    assert low == high


def test_the_answer_comes_back_from_text_to_the_last_bit():
    before = a_classification(fixed={"abdomen/chest": 1 / 3})
    before.slices.probabilities[3] = np.random.default_rng(0).dirichlet(np.ones(6))
    after = Classification.from_json(before.to_json())
    for name in ("positions_mm", "tissue", "probabilities"):
        np.testing.assert_array_equal(getattr(after.slices, name), getattr(before.slices, name))
    assert after.slices.model == before.slices.model
    assert after.fixed == before.fixed
    assert after.answer.decision.regions == before.answer.decision.regions
    assert after.result("scan") == before.result("scan")


@pytest.mark.parametrize("text", ["", "{}", "[]", "null", '{"positions_mm": 3}'])
def test_text_that_is_no_answer_is_refused(text):
    with pytest.raises(RegionError, match="classify the volume again"):
        Classification.from_json(text)


def test_the_result_is_the_row_that_files_hold(tmp_path):
    from SlicerHPOLib.results import read_csv, write_csv

    result = a_classification(fixed={"abdomen/chest": 50.0}).result("my scan")
    assert [region.name for region in result.regions] == list(BODY[1:4])
    assert (result.path, result.model, result.model_sha256) == ("my scan", "mr-field-of-view", "0123")
    write_csv(tmp_path / "regions.csv", [result])
    assert read_csv(tmp_path / "regions.csv") == [result]
