"""The region decision against an enumeration of all labelings: the optimum, the spine, the confidences."""

from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from SlicerHPOLib.fieldofview.regions import BODY, RegionError, decide

from .curves import (
    ABDOMEN,
    BOUNDARIES,
    CHEST,
    EXACT,
    HEAD,
    LEGS,
    PELVIS,
    SPINE,
    body_curves,
    one_hot,
    quick,
    seeds,
    slice_lengths,
)

# --- The enumeration --------------------------------------------------------------------------------------------------


@cache
def every_labeling(n):
    """All (M, n) labelings that stay or go up by one from slice to slice."""
    labels = np.stack(np.indices((len(BODY),) * n), axis=-1).reshape(-1, n).astype(np.int8)
    steps = np.diff(labels, axis=1)
    return labels[((steps == 0) | (steps == 1)).all(axis=1)]


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
