"""Simulated scans: geometry that can be checked on a phantom, labels by the landmark rule, artefacts within bounds."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from SlicerHPOLib.fieldofview.regions import CLASSES
from SlicerHPOLib.fieldofview.slices import axial_planes

from training.simulation.contrast import Contrast
from training.simulation.mri import Artefacts, Volume, Warp, draw_volume, draw_warp, render_image, render_planes
from training.simulation.protocols import AXIAL, CORONAL, PROTOCOLS, Scan, supports
from training.simulation.tissues import LABEL, TISSUES

from .phantom import Phantom

STILL = Warp(np.eye(3), np.zeros(3), np.zeros((1, 3)), np.zeros((1, 3)), np.zeros(1))
CLEAN = Artefacts(0.0, 0.0, np.zeros((0, 5)), None, 0.0, None, None, 0.0, 0.0, 1.0, False, None, 0)


def plain_contrast(**bright) -> Contrast:
    mean = np.zeros(len(TISSUES))
    for name, value in bright.items():
        mean[LABEL[name]] = value
    return Contrast("plain", mean, np.zeros(len(TISSUES)))


def phantom_volume(scan: Scan, warp=STILL, artefacts=CLEAN, **bright) -> Volume:
    return Volume(Phantom(), scan, warp, plain_contrast(**(bright or {"muscle": 0.5, "liver": 1.0})), artefacts)


def axial_scan(**changes) -> Scan:
    scan = Scan(
        "body", np.array([0.0, 0.0, 240.0]), np.array([360.0, 240.0, 200.0]), np.array([2.0, 2.0, 5.0]), AXIAL, 5.0
    )
    return replace(scan, **changes)


def test_a_plane_shows_each_organ_where_it_lies_anterior_up_and_right_on_the_left():
    planes, spacing, _ = render_planes(
        phantom_volume(axial_scan(), liver=1.0), np.array([240.0]), np.random.default_rng(0)
    )
    rows, columns = planes.shape[1:]
    a = -(np.arange(rows) - (rows - 1) / 2) * spacing[0]
    r = -(np.arange(columns) - (columns - 1) / 2) * spacing[1]
    weight = planes[0] / planes[0].sum()
    assert weight.sum(0) @ r == pytest.approx(60, abs=1)
    assert weight.sum(1) @ a == pytest.approx(0, abs=1)
    area = planes[0].sum() * spacing[0] * spacing[1]
    assert area == pytest.approx(np.pi * 60**2, rel=0.02)


def test_a_thick_slice_averages_what_it_crosses():
    at_the_top = np.array([300.0])  # the upper pole of the liver
    thin, thick = (
        render_planes(phantom_volume(axial_scan(thickness_mm=t), liver=1.0), at_the_top, np.random.default_rng(0))[
            0
        ].sum()
        for t in (0.5, 30.0)
    )
    assert thick > 3 * max(thin, 1e-6)


def test_a_scan_rendered_as_an_image_has_its_planes_in_physical_space():
    volume = phantom_volume(axial_scan(), muscle=0.3, liver=1.0)
    image = render_image(volume, np.random.default_rng(0))
    planes = axial_planes(image)
    np.testing.assert_allclose(planes.positions_mm, volume.positions_mm)
    k, j, i = np.argwhere(image.voxels > 0.7 * image.voxels.max()).mean(0)
    np.testing.assert_allclose(image.ijk_to_ras @ [i, j, k, 1], [60, 0, 240, 1], atol=2)


def test_labels_follow_the_landmark_rule_and_a_scan_for_the_spine_is_spine_throughout():
    scan = axial_scan(
        centre_mm=np.array([0.0, 0.0, 0.0]),
        extent_mm=np.array([300.0, 200.0, 1600.0]),
        spacing_mm=np.array([2.0, 2.0, 10.0]),
    )
    volume = phantom_volume(scan)
    heights = np.array([-500.0, 0.0, 200.0, 400.0, 600.0])
    assert [CLASSES[c] for c in volume.classes_at(heights)] == ["legs", "pelvis", "abdomen", "chest", "head"]
    assert volume.boundaries_mm() == pytest.approx(Phantom.landmarks.boundaries_mm)
    assert {CLASSES[c] for c in phantom_volume(replace(scan, spine=True)).classes_at(heights)} == {"spine"}


def test_labels_move_with_the_body_when_it_is_scaled():
    warp = Warp(
        np.eye(3) * 0.5, np.zeros(3), np.zeros((1, 3)), np.zeros((1, 3)), np.zeros(1)
    )  # pulls: the body is twice as large
    scan = axial_scan(centre_mm=np.zeros(3), extent_mm=np.array([300.0, 200.0, 3000.0]))
    assert phantom_volume(scan, warp).boundaries_mm()["abdomen/chest"] == pytest.approx(600)


def test_a_skull_stripped_scan_shows_the_brain_alone():
    scan = axial_scan(centre_mm=np.array([0.0, 0.0, 800.0]), brain_only=True)
    planes, _, tissue = render_planes(
        phantom_volume(scan, muscle=1.0, brain=0.5), np.array([800.0]), np.random.default_rng(0)
    )
    assert planes.max() == pytest.approx(1.0)  # scaled by its own brightest
    assert tissue[0] == pytest.approx(np.pi * 70**2 / (360 * 240), rel=0.05)


def test_a_coronal_slab_is_coarse_from_front_to_back_only():
    scan = Scan(
        "coronal slab",
        np.array([0.0, 0.0, 240.0]),
        np.array([300.0, 60.0, 200.0]),
        np.array([1.5, 6.0, 1.5]),
        CORONAL,
        6.0,
    )
    planes, spacing, _ = render_planes(phantom_volume(scan), np.array([240.0]), np.random.default_rng(0))
    assert planes.shape == (1, 10, 200)
    assert spacing == (6.0, 1.5)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10**6))
def test_the_deformation_of_a_subject_never_folds(seed):
    rng = np.random.default_rng(seed)
    warp = draw_warp(rng, np.zeros(3))
    points, step = rng.uniform(-400, 400, (200, 3)), 1e-3
    jacobian = np.stack([(warp(points + step * e) - warp(points - step * e)) / (2 * step) for e in np.eye(3)], -1)
    assert np.linalg.det(jacobian).min() > 0.05


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([name for name, p in PROTOCOLS.items() if supports(Phantom(), p)]))
def test_any_protocol_gives_finite_planes_of_the_asked_size(seed, protocol):
    rng = np.random.default_rng(seed)
    volume = draw_volume(rng, [(1.0, [Phantom()])], protocol)
    positions = volume.positions_mm
    assert (np.diff(positions) > 0).all()
    planes, spacing, tissue = render_planes(volume, positions[:3], rng, longest=64)
    assert np.isfinite(planes).all()
    assert planes.min() >= 0
    assert max(planes.shape[1:]) <= 65
    np.testing.assert_allclose(np.multiply(planes.shape[1:], spacing), volume.scan.extent_mm[[1, 0]], rtol=0.35)
    assert ((tissue >= 0) & (tissue <= 1)).all()
    if volume.scan.spine:
        assert protocol.startswith("spine")


def test_the_same_seed_renders_the_same_volume():
    def render():
        rng = np.random.default_rng(3)
        volume = draw_volume(rng, [(1.0, [Phantom()])], "body")
        return render_planes(volume, volume.positions_mm[:2], rng, longest=64)[0]

    np.testing.assert_array_equal(render(), render())


def test_noise_has_the_asked_strength_and_a_surface_coil_dims_what_is_far():
    scan = axial_scan()
    noisy, _, _ = render_planes(
        phantom_volume(scan, artefacts=replace(CLEAN, noise=0.05)), np.array([240.0]), np.random.default_rng(0)
    )
    assert noisy[0, :20, :20].mean() == pytest.approx(0.05 * np.sqrt(np.pi / 2), rel=0.05)  # Rayleigh in air
    coil = (np.array([0.0, -120.0, 0.0]), 60.0)
    lit, _, _ = render_planes(
        phantom_volume(scan, artefacts=replace(CLEAN, coil=coil), muscle=1.0),
        np.array([240.0]),
        np.random.default_rng(0),
    )
    column = lit[0, :, 30]  # beside the liver
    inside = np.flatnonzero(column > 0.02)
    assert column[inside[-10:]].mean() > 2 * column[inside[:10]].mean()  # posterior rows come last


def test_a_protocol_that_no_anatomy_supports_is_refused_by_name():
    with pytest.raises(ValueError, match="prostate"):
        draw_volume(np.random.default_rng(0), [(1.0, [Phantom()])], "prostate")
