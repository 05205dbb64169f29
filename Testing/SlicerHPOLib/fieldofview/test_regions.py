"""The region decision against an enumeration of all labelings, its invariances, and what a user may do to it."""

import json
import re
from dataclasses import asdict
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter1d
from SlicerHPOLib.fieldofview.regions import BODY, CLASSES, DecisionModel, RegionError, decide, smooth

LEGS, PELVIS, ABDOMEN, CHEST, HEAD, SPINE = range(6)
BOUNDARIES = ["legs/pelvis", "pelvis/abdomen", "abdomen/chest", "chest/head"]
EXACT = {"sigma_mm": 0.0, "min_length_mm": 0.0}
seeds = st.integers(0, 2**32 - 1)
quick = settings(max_examples=60, deadline=None, derandomize=True)


def one_hot(labels):
    return np.eye(6)[np.asarray(labels)]


def body_curves(s, centres, width=60.0):
    """Probabilities (N, 6) of regions around `centres`, inferior to superior; adjacent ones cross half-way."""
    logits = np.column_stack([-(((s[:, None] - centres) / width) ** 2), np.full(len(s), -30.0)])
    p = np.exp(logits - logits.max(axis=1, keepdims=True))
    return p / p.sum(axis=1, keepdims=True)


# --- The enumeration --------------------------------------------------------------------------------------------------


@cache
def every_labeling(n):
    """All (M, n) labelings that stay or go up by one from slice to slice."""
    labels = np.stack(np.indices((len(BODY),) * n), axis=-1).reshape(-1, n).astype(np.int8)
    steps = np.diff(labels, axis=1)
    return labels[((steps == 0) | (steps == 1)).all(axis=1)]


def slice_lengths(positions):
    if len(positions) == 1:
        return np.ones(1)
    gaps = [positions[1] - positions[0], *np.diff(positions), positions[-1] - positions[-2]]
    return np.array([(gaps[i] + gaps[i + 1]) / 2 for i in range(len(positions))])


def enumeration(p, positions, tissue, min_length_mm, correlation_length_mm, fixed):
    """The admissible labelings of the slices with tissue, their scores and probabilities; the evidence of the body."""
    s, w, p = positions[tissue], slice_lengths(positions)[tissue], p[tissue]
    labels = every_labeling(len(s))
    lengths = np.stack([((labels == r) * w).sum(axis=1) for r in range(len(BODY))], axis=1)
    exempt = np.zeros(len(BODY), bool)
    keep = np.ones(len(labels), bool)
    for name, position in fixed.items():
        lower, upper = sorted(BODY.index(part) for part in name.split("/"))
        keep &= (labels[:, s < position] <= lower).all(axis=1) & (labels[:, s >= position] >= upper).all(axis=1)
        keep &= (lengths[:, lower] > 0) & (lengths[:, upper] > 0)
    touched = [BODY.index(part) for name in fixed for part in name.split("/")]
    if touched:
        exempt[min(touched) : max(touched) + 1] = True
    long_enough = (lengths == 0) | (lengths >= min_length_mm - 1e-9) | exempt
    keep &= long_enough.all(axis=1) | ((lengths > 0).sum(axis=1) == 1)
    labels = labels[keep]
    scores = (w * p[np.arange(len(s)), labels]).sum(axis=1)
    extent = s[-1] - s[0] if len(s) > 1 else 1.0
    prior = np.where(np.diff(labels, axis=1) == 1, np.diff(s) / extent, 1.0).prod(axis=1)
    weight = prior * np.exp(scores / correlation_length_mm)
    with np.errstate(invalid="ignore"):  # there may be no labeling at all
        evidence = weight.sum() / prior.sum()
    return s, labels, scores, weight / weight.sum(), evidence, (w * p[:, SPINE]).sum()


def random_case(rng):
    n = int(rng.integers(1, 9))
    positions = np.cumsum(rng.uniform(1, 10, n)) + rng.uniform(-300, 300)
    tissue = rng.random(n) > 0.15
    tissue[rng.integers(n)] = True
    p = rng.dirichlet([0.6] * 5 + [rng.choice([0.05, 2.0])], n)
    parameters = {
        "min_length_mm": float(rng.choice([0.0, rng.uniform(0, 20), rng.uniform(0, 80)])),
        "correlation_length_mm": float(rng.uniform(1, 30)),
    }
    names = rng.choice(BOUNDARIES, rng.choice([0, 1, 2, 3], p=[0.5, 0.3, 0.1, 0.1]), replace=False)
    low, high = positions[0] - 2, positions[-1] + 2
    where = rng.uniform(low, high, len(names))
    if rng.random() < 0.8:  # mostly in anatomical order
        where = np.sort(where)[np.argsort(np.argsort([BOUNDARIES.index(name) for name in names]))]
    return p, positions, tissue, parameters, {str(name): float(at) for name, at in zip(names, where, strict=True)}


def quantile(masses, s, q):
    """Position below which lies the share q of the masses, each spread evenly over a gap of s."""
    target, below = q * masses.sum(), 0.0
    for mass, low, high in zip(masses, s[:-1], s[1:], strict=True):
        if below + mass >= target:
            return low + (target - below) / mass * (high - low)
        below += mass
    return s[-1]


def test_two_thousand_random_volumes_are_decided_as_by_enumerating_all_labelings():
    rng = np.random.default_rng(2019)
    seen = {"body": 0, "spine": 0, "refused": 0, "fixed": 0, "boundaries": 0, "unique": 0}
    for _ in range(2000):
        p, positions, tissue, parameters, fixed = random_case(rng)
        s, labels, scores, probability, evidence, spine_mm = enumeration(
            p, positions, tissue, fixed=fixed, **parameters
        )
        if len(labels) == 0:  # no labeling has these boundaries: the only reason to refuse
            seen["refused"] += 1
            with pytest.raises(RegionError):
                decide(p, positions, tissue, sigma_mm=0, fixed=fixed, **parameters)
            continue
        decision = decide(p, positions, tissue, sigma_mm=0, fixed=fixed, **parameters)
        seen[decision.hypothesis] += 1
        seen["fixed"] += bool(fixed)
        spine_weight = 0.0 if fixed else np.exp(spine_mm / parameters["correlation_length_mm"])
        p_body = evidence / (evidence + spine_weight)
        expected = np.zeros((len(p), 6))
        for r in range(len(BODY)):
            expected[tissue, r] = p_body * (probability[:, None] * (labels == r)).sum(axis=0)
        expected[tissue, SPINE] = 1 - p_body
        np.testing.assert_allclose(decision.posterior, expected, atol=1e-9)
        assert (decision.labels[~tissue] == -1).all()

        if decision.hypothesis == "spine":
            assert not fixed and p_body < 0.5 + 1e-9
            assert decision.score_mm == pytest.approx(spine_mm, abs=1e-9)
            assert decision.confidence == pytest.approx(1 - p_body, abs=1e-9)
            continue
        assert fixed or p_body > 0.5 - 1e-9
        assert decision.score_mm == pytest.approx(scores.max(), abs=1e-9)
        assert decision.confidence == pytest.approx(p_body, abs=1e-9)
        ours = decision.labels[tissue]
        assert scores[(labels == ours).all(axis=1)] == pytest.approx(scores.max(), abs=1e-9)  # admissible, and as good
        if (scores > scores.max() - 1e-9).sum() == 1:
            seen["unique"] += 1
            np.testing.assert_array_equal(ours, labels[scores.argmax()])
        for region in decision.regions:
            present = (labels == BODY.index(region.name)).any(axis=1)
            assert region.confidence == pytest.approx(p_body * probability[present].sum(), abs=1e-9)
        for boundary in decision.boundaries:
            seen["boundaries"] += 1
            if boundary.name in fixed:
                position = fixed[boundary.name]
                assert (boundary.position_mm, boundary.interval_mm) == (position, (position, position))
                assert boundary.confidence == 1.0 and boundary.fixed
                continue
            lower = BODY.index(boundary.lower)
            here = (labels[:, :-1] == lower) & (labels[:, 1:] == lower + 1)
            masses = (probability[:, None] * here).sum(axis=0)
            assert boundary.confidence == pytest.approx(p_body * masses.sum(), abs=1e-9)
            assert boundary.interval_mm[0] == pytest.approx(quantile(masses, s, 0.025), abs=1e-6)
            assert boundary.interval_mm[1] == pytest.approx(quantile(masses, s, 0.975), abs=1e-6)
        assert {boundary.name for boundary in decision.boundaries} >= set(fixed)
    assert min(seen.values()) > 100, seen  # the cases reach what they should


# --- What the optimum looks like --------------------------------------------------------------------------------------


@quick
@given(seeds)
def test_unconstrained_boundaries_lie_where_adjacent_classes_cross(seed):
    rng = np.random.default_rng(seed)
    centres = np.cumsum(rng.uniform(100, 300, 5))
    s = np.cumsum(rng.uniform(1, 6, 600))
    s = s[s < centres[-1] + 100]
    p = body_curves(s, centres)
    decision = decide(p, s, **EXACT)
    assert [boundary.name for boundary in decision.boundaries] == BOUNDARIES
    for r, boundary in enumerate(decision.boundaries):
        at = [np.interp(boundary.position_mm, s, p[:, c]) for c in (r, r + 1)]
        assert at[0] == pytest.approx(at[1], abs=1e-9)  # eq. 2.25
        assert boundary.position_mm == pytest.approx((centres[r] + centres[r + 1]) / 2, abs=0.5)
        assert boundary.interval_mm[0] < boundary.position_mm < boundary.interval_mm[1]


def test_two_slices_meet_where_their_probabilities_cross():
    p = np.zeros((2, 6))
    p[0, [CHEST, HEAD]] = 0.75, 0.25
    p[1, [CHEST, HEAD]] = 0.0, 1.0
    decision = decide(p, [10.0, 22.0], **EXACT)
    assert decision.labels.tolist() == [CHEST, HEAD]
    # chest - head goes from 0.5 to -1: a third of the way from 10 to 22 mm.
    assert decision.boundaries[0].position_mm == pytest.approx(14.0)
    assert [(r.name, r.from_mm, r.to_mm) for r in decision.regions] == [("chest", 4, 14), ("head", 14, 28)]
    assert decision.score_mm == pytest.approx(12 * 0.75 + 12)
    assert decision.main_region.name == "head"


def test_a_boundary_that_the_minimum_length_holds_back_lies_in_the_middle_of_its_gap():
    decision = decide(one_hot([CHEST] * 5 + [HEAD] * 2), np.arange(7) * 10.0, sigma_mm=0, min_length_mm=30)
    assert decision.labels.tolist() == [CHEST] * 4 + [HEAD] * 3
    assert decision.boundaries[0].position_mm == 35.0


def test_no_region_is_shorter_than_the_minimum_and_a_flickering_slice_is_overruled():
    labels = [CHEST] * 10 + [HEAD] + [CHEST] * 10
    decision = decide(one_hot(labels), np.arange(21) * 5.0, sigma_mm=0, min_length_mm=15)
    assert [(r.name, r.length_mm) for r in decision.regions] == [("chest", 105.0)]


def test_a_volume_shorter_than_the_minimum_is_one_region():
    decision = decide(one_hot([CHEST, CHEST, HEAD]), [0.0, 4.0, 8.0], sigma_mm=0, min_length_mm=20)
    assert [(r.name, r.first_slice, r.last_slice) for r in decision.regions] == [("chest", 0, 2)]


def test_a_slice_counts_by_its_share_of_the_axis():
    # The slices stand for 1, 1, 1, 25.5 and 50 mm. Only by way of all regions can the first be legs and the last head.
    decision = decide(one_hot([LEGS] * 4 + [HEAD]), [0.0, 1.0, 2.0, 3.0, 53.0], **EXACT)
    assert decision.labels.tolist() == [LEGS, PELVIS, ABDOMEN, CHEST, HEAD]
    assert decision.score_mm == pytest.approx(51.0)


def test_regions_are_never_skipped():
    decision = decide(one_hot([PELVIS] * 20 + [CHEST] * 20), np.arange(40) * 5.0, sigma_mm=0, min_length_mm=20)
    assert [region.name for region in decision.regions] == ["pelvis", "abdomen", "chest"]
    assert decision.regions[1].last_slice - decision.regions[1].first_slice + 1 == 4  # the shortest that may be


def test_one_slice_is_one_region():
    p = np.array([[0.1, 0.2, 0.5, 0.1, 0.1, 0.0]])
    decision = decide(p, [-7.0])
    assert [(r.name, r.from_mm, r.to_mm) for r in decision.regions] == [("abdomen", -7.5, -6.5)]
    assert decision.boundaries == () and decision.labels.tolist() == [ABDOMEN]
    weight = np.exp(p[0, :5] / 20)  # 1 mm, in units of the default correlation length
    p_body = weight.mean() / (weight.mean() + 1)
    np.testing.assert_allclose(decision.posterior[0], [*p_body * weight / weight.sum(), 1 - p_body], atol=1e-12)
    assert decision.regions[0].confidence == pytest.approx(p_body * weight[2] / weight.sum())


@pytest.mark.parametrize("label", range(5))
@pytest.mark.parametrize("slices", [1, 2, 50])
def test_a_volume_of_one_class_is_that_region_from_face_to_face(label, slices):
    decision = decide(one_hot([label] * slices), np.arange(slices) * 3.0)
    (region,) = decision.regions
    assert (region.name, region.first_slice, region.last_slice) == (BODY[label], 0, slices - 1)
    assert region.length_mm == pytest.approx(3.0 * slices if slices > 1 else 1.0)
    assert decision.boundaries == () and decision.hypothesis == "body"


# --- The spine --------------------------------------------------------------------------------------------------------


def test_a_spine_volume_is_one_region_without_boundaries():
    tissue = np.array([False] + [True] * 38 + [False])
    decision = decide(one_hot([CHEST] + [SPINE] * 33 + [HEAD] * 5 + [HEAD]), np.arange(40) * 4.0, tissue)
    (region,) = decision.regions
    assert (region.name, region.first_slice, region.last_slice) == ("spine", 1, 38)
    assert (region.from_mm, region.to_mm) == (2.0, 154.0)
    assert decision.boundaries == () and decision.hypothesis == "spine"
    assert decision.labels.tolist() == [-1] + [SPINE] * 38 + [-1]
    assert region.confidence == decision.confidence > 0.95


def test_the_more_probable_of_body_and_spine_is_decided_and_believed_by_at_least_a_half():
    p = np.zeros((40, 6))
    p[:, CHEST], p[:, SPINE] = 0.8, 0.2
    for probabilities, expected in ((p, "body"), (p[:, [0, 1, 2, 5, 4, 3]], "spine")):
        decision = decide(probabilities, np.arange(40) * 5.0)
        assert decision.hypothesis == expected and decision.confidence > 0.9


def test_a_body_is_not_believed_because_some_chain_of_regions_scores_a_little_more():
    p = np.zeros((40, 6))
    p[:, SPINE] = 0.48
    p[np.arange(40), np.repeat([LEGS, PELVIS, ABDOMEN, CHEST], 10)] = 0.52
    assert decide(p, np.arange(40) * 5.0).hypothesis == "spine"


def test_without_evidence_body_and_spine_are_equally_likely_however_many_chains_there_are():
    for slices in (2, 20, 200):
        decision = decide(np.full((slices, 6), 1 / 6), np.arange(slices) * 400 / slices)
        assert decision.confidence == pytest.approx(0.5)


def test_a_volume_with_a_fixed_boundary_is_never_a_spine_volume():
    decision = decide(one_hot([SPINE] * 20), np.arange(20) * 5.0, fixed={"abdomen/chest": 42.0})
    assert decision.hypothesis == "body" and decision.confidence == 1.0
    assert (decision.posterior[:, SPINE] == 0).all()
    assert decision.boundaries[0].position_mm == 42.0


# --- Confidence -------------------------------------------------------------------------------------------------------


def test_blurred_probabilities_widen_the_interval_and_a_longer_correlation_too():
    s = np.arange(300) * 2.0
    centres = np.array([-500.0, -250.0, 0.0, 200.0, 400.0])

    def chest_head(width, correlation):
        decision = decide(body_curves(s, centres, width), s, sigma_mm=0, correlation_length_mm=correlation)
        low, high = next(b for b in decision.boundaries if b.name == "chest/head").interval_mm
        return high - low

    assert chest_head(40, 20) < chest_head(80, 20) < chest_head(80, 60)


@given(st.floats(0, 80), st.integers(0, 1000))
@settings(max_examples=30, deadline=None)
def test_the_margin_widens_intervals_within_the_volume_and_changes_nothing_else(margin, seed):
    rng = np.random.default_rng(seed)
    s = np.arange(100) * 5.0
    p = body_curves(s, np.sort(rng.uniform(-100, 600, 5)), 60)
    plain, wide = decide(p, s), decide(p, s, interval_margin_mm=margin)
    np.testing.assert_array_equal(plain.labels, wide.labels)
    for a, b in zip(plain.boundaries, wide.boundaries, strict=True):
        assert a.position_mm == b.position_mm and a.confidence == b.confidence
        assert b.interval_mm[0] == pytest.approx(max(a.interval_mm[0] - margin, s[0]))
        assert b.interval_mm[1] == pytest.approx(min(a.interval_mm[1] + margin, s[-1]))


def test_posteriors_sum_to_one_and_follow_clear_evidence():
    s = np.arange(400) * 4.0
    decision = decide(body_curves(s, np.array([100, 450, 800, 1150, 1500])), s)
    np.testing.assert_allclose(decision.posterior.sum(axis=1), 1, atol=1e-12)
    assert (decision.posterior.argmax(axis=1) == decision.labels).mean() > 0.97
    assert all(0.99 < region.confidence <= 1 for region in decision.regions)
    assert all(0.99 < boundary.confidence <= 1 for boundary in decision.boundaries)


def test_confidence_hardly_depends_on_how_finely_the_volume_is_sliced():
    centres = np.array([-100.0, 150, 350, 520, 700])
    decisions = []
    for spacing in (6.0, 3.0, 1.0):
        s = np.arange(spacing / 2, 600, spacing)
        decisions.append(decide(body_curves(s, centres, width=100), s, correlation_length_mm=40))
    coarse, *finer = decisions
    for fine in finer:
        assert [r.name for r in fine.regions] == [r.name for r in coarse.regions]
        for a, b in zip(coarse.boundaries, fine.boundaries, strict=True):
            assert a.position_mm == pytest.approx(b.position_mm, abs=0.5)
            assert a.interval_mm == pytest.approx(b.interval_mm, abs=5)
            assert a.confidence == pytest.approx(b.confidence, abs=0.03)


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
