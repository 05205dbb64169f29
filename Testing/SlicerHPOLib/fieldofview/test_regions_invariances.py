"""What the region decision does not depend on, what a user may do to it, and what it refuses."""

import json
import re
from dataclasses import asdict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter1d
from SlicerHPOLib.fieldofview.regions import BODY, CLASSES, DecisionModel, RegionError, decide, smooth

from .curves import ABDOMEN, CHEST, EXACT, HEAD, SPINE, body_curves, one_hot, quick, seeds, slice_lengths

# --- Invariances ------------------------------------------------------------------------------------------------------


def random_volume(seed):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(5, 40))
    p = rng.dirichlet([0.5] * 5 + [0.1], n)
    tissue = rng.random(n) > 0.1
    tissue[[1, -2]] = True
    return p, np.cumsum(rng.uniform(2, 9, n)), tissue


def assert_same(ours, theirs, scale=1.0, shift=0.0):
    np.testing.assert_array_equal(ours.labels, theirs.labels)
    np.testing.assert_allclose(ours.posterior, theirs.posterior, atol=1e-8)
    assert ours.confidence == pytest.approx(theirs.confidence, abs=1e-8)
    assert theirs.score_mm == pytest.approx(ours.score_mm * scale)
    for a, b in zip(ours.boundaries, theirs.boundaries, strict=True):
        mapped = [x * scale + shift for x in (a.position_mm, *a.interval_mm)]
        np.testing.assert_allclose([b.position_mm, *b.interval_mm], mapped, atol=1e-4)
        assert a.confidence == pytest.approx(b.confidence, abs=1e-8)
    for a, b in zip(ours.regions, theirs.regions, strict=True):
        np.testing.assert_allclose(
            [b.from_mm, b.to_mm], [a.from_mm * scale + shift, a.to_mm * scale + shift], atol=1e-6
        )


@quick
@given(seeds, st.floats(-1000, 1000))
def test_moving_a_volume_moves_its_boundaries_with_it(seed, shift):
    p, s, tissue = random_volume(seed)
    fixed = {"chest/abdomen": (s[1] + s[-2]) / 2} if seed % 2 else {}
    moved = {name: position + shift for name, position in fixed.items()}
    ours, theirs = decide(p, s, tissue, fixed=fixed), decide(p, s + shift, tissue, fixed=moved)
    assert_same(ours, theirs, shift=shift)


@quick
@given(seeds, st.floats(0.1, 10))
def test_changing_the_unit_of_length_changes_nothing_else(seed, scale):
    p, s, tissue = random_volume(seed)
    model = DecisionModel()
    scaled = {name: value * scale if name.endswith("_mm") else value for name, value in asdict(model).items()}
    assert_same(decide(p, s, tissue), decide(p, s * scale, tissue, **scaled), scale=scale)


@quick
@given(seeds)
def test_a_volume_turned_upside_down_with_its_classes_gives_the_mirrored_decision(seed):
    p, s, tissue = random_volume(seed)
    ours = decide(p, s, tissue)
    theirs = decide(p[::-1][:, [4, 3, 2, 1, 0, 5]], -s[::-1], tissue[::-1])
    assert theirs.hypothesis == ours.hypothesis
    np.testing.assert_allclose(theirs.posterior[::-1][:, [4, 3, 2, 1, 0, 5]], ours.posterior, atol=1e-8)
    if ours.hypothesis == "body":
        np.testing.assert_array_equal(theirs.labels[::-1][tissue], 4 - ours.labels[tissue])
    for a, b in zip(ours.boundaries, theirs.boundaries[::-1], strict=True):
        assert (b.lower, b.upper) == (BODY[4 - BODY.index(a.upper)], BODY[4 - BODY.index(a.lower)])
        assert b.position_mm == pytest.approx(-a.position_mm)
        assert b.interval_mm == pytest.approx((-a.interval_mm[1], -a.interval_mm[0]), abs=1e-4)


@quick
@given(seeds)
def test_cutting_every_slice_in_two_leaves_the_decision_unchanged(seed):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(2, 40))
    p, s = rng.dirichlet([0.5] * 5 + [0.1], n), np.arange(n) * 8.0
    halves = np.sort(np.concatenate([s - 2, s + 2]))
    # Lengths of whole slices: else half a slice could fulfil the minimum where a whole one was needed.
    ours = decide(p, s, sigma_mm=0, min_length_mm=16)
    theirs = decide(np.repeat(p, 2, axis=0), halves, sigma_mm=0, min_length_mm=16)
    assert theirs.score_mm == pytest.approx(ours.score_mm)
    np.testing.assert_array_equal(theirs.labels, np.repeat(ours.labels, 2))


@quick
@given(seeds)
def test_more_evidence_for_the_lower_region_never_lowers_its_boundary(seed):
    rng = np.random.default_rng(seed)
    n = 20
    s = np.cumsum(rng.uniform(1, 9, n))
    chest = rng.uniform(0.1, 0.6, n)
    chest_slices = []
    for more in (0.0, 0.1, 0.2, 0.3):
        p = np.zeros((n, 6))
        p[:, CHEST], p[:, HEAD] = chest + more, 1 - chest - more
        chest_slices.append(np.count_nonzero(decide(p, s, **EXACT).labels == CHEST))
    assert chest_slices == sorted(chest_slices)


# --- Slices without tissue --------------------------------------------------------------------------------------------


def test_slices_without_tissue_join_no_region_and_their_probabilities_do_not_matter():
    labels = [CHEST] * 4 + [SPINE] * 3 + [HEAD] * 4
    tissue = np.array([True] * 4 + [False] * 3 + [True] * 4)
    s = np.arange(11) * 10.0
    p = one_hot(labels)
    decision = decide(p, s, tissue, **EXACT)
    assert decision.labels.tolist() == [CHEST] * 4 + [-1] * 3 + [HEAD] * 4
    assert decision.boundaries[0].position_mm == 50.0  # the gap from 30 to 70 mm stays: the curves cross half-way
    assert decision.score_mm == pytest.approx(80.0)
    assert (decision.posterior[4:7] == 0).all()
    p[4:7] = np.nan
    assert decide(p, s, tissue).boundaries[0].position_mm == pytest.approx(50.0)


def test_a_volume_that_begins_and_ends_empty_shows_regions_only_where_there_is_tissue():
    tissue = np.array([False, False, True, True, True, False])
    (region,) = decide(one_hot([HEAD] * 6), np.arange(6) * 4.0, tissue).regions
    assert (region.first_slice, region.last_slice, region.from_mm, region.to_mm) == (2, 4, 6.0, 18.0)


# --- Fixed boundaries -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["abdomen/chest", "chest/abdomen"])
def test_a_fixed_boundary_is_where_the_user_put_it_whatever_the_probabilities_say(name):
    s = np.arange(100) * 5.0
    decision = decide(body_curves(s, np.array([-200, 0, 150, 350, 550])), s, fixed={name: 301.5})
    boundary = next(b for b in decision.boundaries if b.name == "abdomen/chest")
    assert boundary.position_mm == 301.5 and boundary.interval_mm == (301.5, 301.5)
    assert boundary.confidence == 1.0 and boundary.fixed
    assert (decision.labels[s < 301.5] <= ABDOMEN).all() and (decision.labels[s > 301.5] >= CHEST).all()
    assert [b.fixed for b in decision.boundaries] == [b.name == "abdomen/chest" for b in decision.boundaries]
    by_name = {region.name: region for region in decision.regions}
    assert by_name["abdomen"].to_mm == by_name["chest"].from_mm == 301.5
    assert by_name["abdomen"].confidence == by_name["chest"].confidence == pytest.approx(1.0)


def test_the_other_boundaries_give_way_to_a_fixed_one():
    s = np.arange(100) * 5.0
    p = body_curves(s, np.array([-400, -200, 0, 200, 400]))
    free = {b.name: b.position_mm for b in decide(p, s).boundaries}
    moved = {b.name: b.position_mm for b in decide(p, s, fixed={"abdomen/chest": 400.0}).boundaries}
    assert free["chest/head"] == pytest.approx(300, abs=1)
    assert moved["chest/head"] > 400


def test_a_slice_centred_on_a_fixed_boundary_belongs_to_the_upper_region():
    decision = decide(one_hot([CHEST] * 6), np.arange(6) * 10.0, sigma_mm=0, fixed={"chest/head": 30.0})
    assert decision.labels.tolist() == [CHEST] * 3 + [HEAD] * 3


def test_the_users_word_beats_the_minimum_length():
    decision = decide(one_hot([CHEST] * 30), np.arange(30) * 2.0, min_length_mm=40, fixed={"chest/head": 57.0})
    assert decision.labels.tolist() == [CHEST] * 29 + [HEAD]


def test_a_boundary_may_be_fixed_among_slices_without_tissue():
    tissue = np.array([True, True, False, False, True, True])
    decision = decide(one_hot([CHEST] * 6), np.arange(6) * 10.0, tissue, sigma_mm=0, fixed={"chest/head": 21.0})
    assert decision.labels.tolist() == [CHEST, CHEST, -1, -1, HEAD, HEAD]
    assert decision.regions[0].to_mm == 21.0


# --- Smoothing --------------------------------------------------------------------------------------------------------


def test_smoothing_even_slices_is_a_normalised_gaussian_filter():
    p = np.random.default_rng(1).dirichlet([0.3] * 6, 80)
    share = gaussian_filter1d(np.ones(80), 4, mode="constant")
    expected = gaussian_filter1d(p, 4, axis=0, mode="constant") / share[:, None]
    np.testing.assert_allclose(smooth(p, np.arange(80) * 2.5, np.ones(80, bool), 10.0), expected, atol=1e-12)


@quick
@given(seeds, st.floats(0.5, 60))
def test_smoothing_uneven_slices_is_the_weighted_mean_of_those_with_tissue(seed, sigma):
    p, s, tissue = random_volume(seed)
    w = slice_lengths(s)
    expected = p.copy()
    for i in np.flatnonzero(tissue):
        gauss = np.where(tissue & (abs(s - s[i]) <= 4 * sigma), w * np.exp(-(((s - s[i]) / sigma) ** 2) / 2), 0)
        expected[i] = gauss @ p / gauss.sum()
    smoothed = smooth(p, s, tissue, sigma)
    np.testing.assert_allclose(smoothed, expected, atol=2e-3)  # a window may hold slices beyond 4 sigma
    np.testing.assert_allclose(smoothed.sum(axis=1), 1, atol=1e-12)


def test_smoothing_by_nothing_changes_nothing_and_leaves_the_input_alone():
    p, s, tissue = random_volume(3)
    np.testing.assert_array_equal(smooth(p, s, tissue, 0.0), p)
    before = p.copy()
    assert not np.array_equal(smooth(p, s, tissue, 15.0), p)
    np.testing.assert_array_equal(p, before)


def test_smoothing_is_the_same_for_finer_slices():
    def head_below_edge(spacing):
        s = np.arange(spacing / 2, 200, spacing)
        p = one_hot(np.where(s < 108, CHEST, HEAD))
        return np.interp(100, s, smooth(p, s, np.ones(len(s), bool), 12.0)[:, HEAD])

    assert head_below_edge(4.0) == pytest.approx(head_below_edge(0.5), abs=0.01)
    assert head_below_edge(0.5) == pytest.approx(0.2525, abs=0.001)  # the normal distribution function at -8 / 12


# --- Parameters and errors --------------------------------------------------------------------------------------------


def test_a_model_goes_through_json_into_the_decision():
    model = DecisionModel(sigma_mm=5.0, min_length_mm=30.0, correlation_length_mm=15.0)
    p, s, tissue = random_volume(7)
    stored = json.loads(json.dumps(asdict(model)))
    assert DecisionModel(**stored) == model
    ours = decide(p, s, tissue, sigma_mm=5.0, min_length_mm=30.0, correlation_length_mm=15.0)
    assert_same(ours, decide(p, s, tissue, **stored))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("sigma_mm", -1.0),
        ("min_length_mm", np.nan),
        ("correlation_length_mm", 0.0),
        ("sigma_mm", "wide"),
        ("sigma_mm", None),
    ],
)
def test_a_parameter_that_is_no_length_is_refused(name, value):
    with pytest.raises(RegionError, match=f"{name} is"):
        decide(one_hot([CHEST]), [0.0], **{name: value})


def changed(index, value):
    p = np.full((4, 6), 1 / 6)
    p[index] = value
    return p


@pytest.mark.parametrize(
    ("probabilities", "positions", "tissue", "message"),
    [
        (np.full((4, 5), 0.2), range(4), None, "shape (4, 5); expected (slices, 6)"),
        (np.full(6, 1 / 6), [0], None, "shape (6,); expected (slices, 6)"),
        (np.zeros((0, 6)), [], None, "shape (0, 6)"),
        ("none", range(4), None, "must be arrays of numbers"),
        (changed(0, 1 / 6), range(3), None, "Positions have shape (3,); expected (4,)"),
        (changed(0, 1 / 6), [0, 1, np.nan, 3], None, "1 of 4 slice positions are not finite"),
        (changed(0, 1 / 6), [0, 2, 2, 3], None, "slice 1 is at 2 mm and slice 2 at 2 mm. Sort the slices"),
        (changed(0, 1 / 6), [3, 2, 1, 0], None, "must increase, from inferior to superior"),
        (changed(0, 1 / 6), range(4), np.ones(3, bool), "Tissue is bool of shape (3,)"),
        (changed(0, 1 / 6), range(4), np.ones(4), "Tissue is float64 of shape (4,); expected bool"),
        (changed(0, 1 / 6), range(4), np.zeros(4, bool), "None of the 4 slices shows tissue"),
        (changed((2, 3), np.inf), range(4), None, "1 of 4 slices with tissue are negative or not finite"),
        (changed((2, slice(0, 2)), [-0.1, 1 / 3 + 0.1]), range(4), None, "1 of 4 slices with tissue are negative"),
        (changed(2, 0.5), range(4), None, "slice 2 sum to 3; expected 1"),
    ],
)
def test_inputs_that_describe_no_volume_are_refused_with_the_reason(probabilities, positions, tissue, message):
    with pytest.raises(RegionError, match=re.escape(message)):
        decide(probabilities, list(positions), tissue)


@pytest.mark.parametrize(
    ("fixed", "message"),
    [
        ({"chest/neck": 40}, "no region of the body is called 'neck'. Choose among legs/pelvis, pelvis/abdomen"),
        ({"chest/spine": 40}, "no region of the body is called 'spine'"),
        ({"chest": 40}, "does not name two adjacent regions"),
        ({"pelvis/chest": 40}, "does not name two adjacent regions"),
        ({"chest/chest": 40}, "does not name two adjacent regions"),
        ({"chest/head": -1}, "is at -1; expected a position along S within the volume"),
        ({"chest/head": 0}, "above 0 and up to 90 mm"),
        ({"chest/head": 90.5}, "above 0 and up to 90 mm"),
        ({"chest/head": np.nan}, "is at nan; expected a position"),
        ({"chest/head": "40"}, "is at '40'; expected a position"),
        ({"chest/head": 40, "head/chest": 50}, "chest/head is given twice"),
        ({"chest/head": 40, "abdomen/chest": 50}, "contradict the order of the regions"),
        ({"chest/head": 40, "abdomen/chest": 40}, "contradict the order of the regions"),
        ({"chest/head": 45, "abdomen/chest": 42}, "leave 0 slices with tissue to the 1 regions between them"),
        ({"chest/head": 45, "pelvis/abdomen": 39}, "leave 1 slices with tissue to the 2 regions between them"),
    ],
)
def test_fixed_boundaries_that_no_volume_can_have_are_refused_with_the_reason(fixed, message):
    with pytest.raises(RegionError, match=re.escape(message)):
        decide(one_hot([CHEST] * 10), np.arange(10) * 10.0, fixed=fixed)


def test_classes_are_the_body_from_the_feet_up_and_then_the_spine():
    assert CLASSES == ("legs", "pelvis", "abdomen", "chest", "head", "spine")
