"""One model for adults and children: who is answered by which network, told by it or by the user."""

import numpy as np
import pytest
import torch
from SlicerHPOLib.image import read_image
from SlicerHPOLib.kidney.deformation import DeformationNetwork
from SlicerHPOLib.kidney.grid import fitted_grid, to_grid
from SlicerHPOLib.kidney.request import AUTO, POPULATIONS
from SlicerHPOLib.kidney.segmenter import KidneySegmenter, SegmentationError
from SlicerHPOLib.kidney.unet import OUTSIDE


@pytest.fixture
def adult(kidney, tmp_path):
    return read_image(kidney(tmp_path / "adult.nii"))


@pytest.fixture
def child(kidney, tmp_path):
    return read_image(kidney(tmp_path / "child.nii", scale=0.7))


def load(folder):
    """Both models on one grid."""
    segmenter = KidneySegmenter.load(folder)
    segmenter.spacings_mm, segmenter.size = (4.0,), 32
    return segmenter


def show_something(segmenter, image):
    """Makes the map of either population positive in half of what the image shows or more: untrained, it may not be
    positive anywhere, and the method unet finds nothing."""
    volume = torch.from_numpy(to_grid(image, fitted_grid(image, segmenter.spacings_mm, segmenter.size)))[None, None]
    with torch.no_grad():
        maps = [segmenter.network.for_population(name).expect(volume)[0] for name in segmenter.network.populations]
        segmenter.network.dense_head.bias -= min(scores[scores > OUTSIDE].median() for scores in maps)


@pytest.fixture
def of_two(tiny_model_of_two):
    return load(tiny_model_of_two)


@pytest.fixture
def of_one(tiny_kidney_model):
    return load(tiny_kidney_model)


def assert_same(a, b):
    np.testing.assert_array_equal(a.phi, b.phi)
    assert (a.confidence, a.note, a.population) == (b.confidence, b.note, b.population)


def test_the_model_tells_adults_from_children(of_two, adult, child):
    assert of_two.find(adult).population == "adult"
    assert of_two.find(child).population == "child"


@pytest.mark.parametrize(("shown", "method"), [("adult", "deformation"), ("child", "deformation"), ("child", "unet")])
def test_what_is_found_is_what_would_be_found_if_the_population_were_given(of_two, request, shown, method):
    image = request.getfixturevalue(shown)
    show_something(of_two, image)
    given = of_two.find(image, method=method, population=shown)
    assert_same(of_two.find(image, method=method), given)


def test_adults_get_the_answer_of_the_network_that_was_adapted(of_two, of_one, adult, child):
    for image in (adult, child):
        before, after = of_one.find(image), of_two.find(image, population="adult")
        np.testing.assert_array_equal(after.phi, before.phi)
        np.testing.assert_array_equal(after.modes, before.modes)
        assert (after.confidence, after.population, before.population) == (before.confidence, "adult", None)


@pytest.mark.parametrize("method", ["deformation", "unet"])
def test_the_user_decides_against_the_model(of_two, child, method):
    show_something(of_two, child)
    as_child, as_adult = (of_two.find(child, method=method, population=name) for name in ("child", "adult"))
    assert (as_child.population, as_adult.population) == ("child", "adult")
    differs = not np.array_equal(as_child.phi, as_adult.phi)
    assert differs == (method == "deformation")  # the map is that of all; how it is expected to fit is not
    assert as_child.confidence != as_adult.confidence
    assert of_two.find(child, method=method).population == "child"  # nothing of it stays


def test_a_model_that_answers_for_all_alike_says_that_asking_makes_no_difference(of_one, adult):
    as_ever, asked = of_one.segment(adult), of_one.segment(adult, population="child")
    np.testing.assert_array_equal(asked.phi, as_ever.phi)
    assert as_ever.population is asked.population is None
    assert "no difference" not in " ".join(as_ever.warnings)
    assert asked.warnings[0].endswith("it makes no difference that 'child' was asked for.")
    assert asked.warnings[0].startswith(as_ever.warnings[0])  # which is not lost


def test_a_corrected_kidney_stays_that_of_its_population(of_two, child):
    first = of_two.segment(child)
    place = child.ras_of(np.argwhere(first.mask)[-1][::-1])
    assert of_two.add_outside(place).population == of_two.undo().population == first.population == "child"


def test_the_probability_has_to_exceed_the_threshold(of_two, child, monkeypatch):
    monkeypatch.setattr(DeformationNetwork, "child_threshold", 0.3)
    for probability, population in ((0.3, "adult"), (0.31, "child"), (float("nan"), "adult")):
        monkeypatch.setattr(DeformationNetwork, "child_probability", lambda *_, p=probability: p)
        assert of_two.find(child).population == population


@pytest.mark.parametrize("spacings_mm", [(4.0,), (3.0, 4.0)])
def test_the_gate_sees_the_chosen_grid_in_true_millimetres_and_the_networks_own_map(
    of_two, child, monkeypatch, spacings_mm
):
    seen = {}

    def spy(network, dense, volume, spacing_mm):
        seen.update(network=network, dense=dense, volume=volume, spacing_mm=spacing_mm)
        return 1.0

    monkeypatch.setattr(DeformationNetwork, "child_probability", spy)
    of_two.spacings_mm = spacings_mm
    found = of_two.find(child)
    assert seen["network"] is of_two.network and found.population == "child"
    assert seen["spacing_mm"] == found.grid.spacing_mm[0] == spacings_mm[0]
    assert seen["volume"].shape == (1, 1, 32, 32, 32)
    with torch.inference_mode():
        torch.testing.assert_close(seen["dense"], of_two.network.expect(seen["volume"])[0])


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"population": "elderly"}, "Unknown population 'elderly'; known are auto, adult, child"),
        ({"population": None}, "Unknown population None"),
        ({"method": "classical", "population": "child", "seed_point_mm": (0, 0, 0)}, "classical method knows no popul"),
    ],
)
def test_a_population_that_makes_no_sense_is_refused(of_two, child, asked, message):
    with pytest.raises(SegmentationError, match=message):
        of_two.segment(child, **asked)


def test_a_population_that_the_model_does_not_know_is_refused_and_the_last_answer_stays(of_two, child, monkeypatch):
    before = of_two.segment(child)
    monkeypatch.setattr(DeformationNetwork, "populations", ("adult",))
    with pytest.raises(SegmentationError, match="knows no population 'child'; known to it are auto, adult"):
        of_two.segment(child, population="child")
    assert of_two.result is before


@pytest.mark.parametrize("broken", ["child_probability", "for_population"])
def test_a_network_that_fails_leaves_the_last_answer(of_two, child, monkeypatch, broken):
    def fail(*_):
        raise KeyError("gate")

    before = of_two.segment(child)
    monkeypatch.setattr(DeformationNetwork, broken, fail)
    with pytest.raises(KeyError):
        of_two.segment(child)
    assert of_two.result is before and not of_two.can_undo


def test_the_populations_of_the_network_are_those_that_can_be_asked_for(of_two):
    assert (AUTO, *of_two.network.populations) == POPULATIONS
