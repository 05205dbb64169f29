"""Axial slices of volumes in any orientation, resized and scaled for the network."""

import itertools

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation
from SlicerHPOLib.fieldofview.slices import axial_planes, resize_weights, scale_intensity, shows_tissue, slice_inputs
from SlicerHPOLib.image import Image, resample
from SlicerHPOLib.job import Cancelled, Job


def body(r, a, s):
    """A smooth asymmetric object within 60 mm: every direction can be told from its opposite."""
    shape = 1 / (1 + np.exp((r**2 / 45**2 + a**2 / 30**2 + s**2 / 55**2 - 1) * 8))
    return 100 * shape * (1 + 0.3 * np.tanh(r / 20) + 0.4 * np.tanh(a / 15) + 0.2 * np.tanh(s / 25))


def image_on(affine, shape) -> Image:
    k, j, i = np.indices(shape)
    r, a, s = np.tensordot(affine[:3, :3], np.stack([i, j, k]), 1) + affine[:3, 3, None, None, None]
    return Image(body(r, a, s).astype(np.float32), affine)


def centred(directions, spacing, shape) -> Image:
    """The body on a grid of `shape` (k, j, i) with these axes, its middle at 0."""
    affine = np.eye(4)
    affine[:3, :3] = directions * spacing
    affine[:3, 3] = -affine[:3, :3] @ ((np.array(shape[::-1]) - 1) / 2)
    return image_on(affine, shape)


CANONICAL = centred(np.eye(3), (2.0, 2.0, 2.0), (65, 65, 65))


@settings(max_examples=48, deadline=None)
@given(st.sampled_from(list(itertools.permutations(range(3)))), st.tuples(*[st.sampled_from([-1, 1])] * 3))
def test_every_orientation_of_storage_gives_the_same_slices(axes, signs):
    directions = np.eye(3)[:, axes] * signs  # left-handed ones too
    inputs, reference = (
        slice_inputs(centred(directions, (2.0, 2.0, 2.0), (65, 65, 65)), 32),
        slice_inputs(CANONICAL, 32),
    )
    np.testing.assert_allclose(inputs.images, reference.images, atol=1e-4)
    np.testing.assert_allclose(inputs.positions_mm, reference.positions_mm, atol=1e-9)
    assert inputs.side_mm == reference.side_mm


@settings(max_examples=12, deadline=None)
@given(st.floats(-17, 17), st.floats(-17, 17), st.floats(-40, 40))
@example(35.0, 35.0, 35.0)
def test_an_oblique_volume_gives_the_slices_of_its_upright_twin(x, y, z):
    directions = Rotation.from_euler("xyz", (x, y, z), degrees=True).as_matrix()
    planes = axial_planes(centred(directions, (2.0, 2.0, 2.0), (81, 81, 81)))
    middle = np.abs(planes.positions_mm).argmin()
    plane = planes.read(middle, middle + 1)[0]
    rows, columns = planes.shape
    a = -(np.arange(rows) - (rows - 1) / 2) * planes.spacing_mm[0]
    r = -(np.arange(columns) - (columns - 1) / 2) * planes.spacing_mm[1]
    expected = body(r[None], a[:, None], planes.positions_mm[middle])
    assert np.abs(plane - expected).max() < 4  # of 190: what trilinear interpolation at 2 mm loses


def test_slices_run_from_inferior_to_superior_with_anterior_up_and_right_on_the_left():
    voxels = np.zeros((3, 4, 5), np.int16)
    voxels[2, 3, 4] = 100  # most superior, anterior and right in RAS
    planes = axial_planes(Image(voxels, np.eye(4)))
    assert np.argwhere(planes.read(0, 3)).tolist() == [[2, 0, 0]]
    assert planes.positions_mm.tolist() == [0, 1, 2]


def test_the_planes_of_an_oblique_volume_cover_it_up_to_its_corners():
    planes = axial_planes(
        centred(Rotation.from_euler("x", 30, degrees=True).as_matrix(), (2.0, 2.0, 2.0), (81, 41, 41))
    )
    length = planes.positions_mm[-1] - planes.positions_mm[0]
    assert 162 * np.cos(np.pi / 6) <= length <= 162 * np.cos(np.pi / 6) + 82 * np.sin(np.pi / 6)
    assert planes.positions_mm.mean() == pytest.approx(0, abs=1)


def test_a_tilted_stack_of_few_slices_keeps_them_at_the_height_of_their_centres():
    tilt = Rotation.from_euler("x", 18, degrees=True).as_matrix()
    image = centred(tilt, (1.0, 1.0, 4.0), (11, 150, 150))
    planes = axial_planes(image)
    assert len(planes) == 11
    np.testing.assert_allclose(np.diff(planes.positions_mm), 4 * np.cos(np.radians(18)))
    np.testing.assert_array_equal(planes.read(3, 4)[0], image.voxels[3, ::-1, ::-1])


@given(st.integers(2, 40), st.floats(0.3, 8), st.integers(4, 64), st.floats(1, 3))
def test_resizing_keeps_a_constant_and_leaves_the_margin_black(count, spacing, size, margin):
    side = count * spacing * margin
    resized = resize_weights(count, spacing, size, side) @ np.ones(count)
    centres = (np.arange(size) - (size - 1) / 2) * side / size
    inside = np.abs(centres) < count * spacing / 2 * (1 - 1e-6)
    np.testing.assert_allclose(resized[inside], 1, atol=1e-5)
    assert not resized[np.abs(centres) > count * spacing / 2 * (1 + 1e-6)].any()


def test_resizing_to_the_same_grid_changes_nothing():
    np.testing.assert_array_equal(resize_weights(8, 1.5, 8, 12.0), np.eye(8))


def test_resizing_a_fine_pattern_does_not_alias():
    stripes = np.tile([0.0, 1.0], 64)
    resized = resize_weights(128, 1.0, 16, 128.0) @ stripes
    np.testing.assert_allclose(resized[1:-1], 0.5, atol=0.01)


def test_proportions_in_mm_are_kept_for_anisotropic_pixels():
    coarse = centred(np.eye(3), (2.0, 5.0, 2.0), (65, 27, 65))
    fine = resample(coarse, (2.0, 2.0, 2.0))
    difference = slice_inputs(coarse, 32).images[32] - slice_inputs(fine, 32).images[32]
    assert np.abs(difference).mean() < 0.03


def test_scaling_is_the_same_for_any_gain_and_offset_of_the_scanner():
    images = np.random.default_rng(0).random((3, 16, 16), np.float32)
    inside = np.ones((16, 16), bool)
    np.testing.assert_allclose(scale_intensity(images, inside), scale_intensity(images * 37 + 1000, inside), atol=1e-3)


def test_scaling_survives_single_bright_pixels():
    images = np.random.default_rng(0).random((1, 64, 64), np.float32)
    spiked = images.copy()
    spiked[0, 5, 5] = 1e6
    inside = np.ones((64, 64), bool)
    assert np.abs(scale_intensity(spiked, inside) - scale_intensity(images, inside)).mean() < 0.01


@pytest.mark.parametrize("noise", [0.0, 0.03, 0.08])
def test_slices_of_air_are_marked_at_any_noise_level(noise):
    rng = np.random.default_rng(1)
    image = centred(np.eye(3), (3.0, 3.0, 3.0), (61, 61, 61))
    noisy = np.hypot(
        image.voxels + rng.normal(0, 100 * noise, image.voxels.shape), rng.normal(0, 100 * noise, image.voxels.shape)
    )
    inputs = slice_inputs(Image(noisy.astype(np.float32), image.ijk_to_ras), 32)
    assert not inputs.tissue[np.abs(inputs.positions_mm) > 66].any()
    assert inputs.tissue[np.abs(inputs.positions_mm) < 48].all()


def test_a_tight_crop_without_any_air_is_all_tissue():
    rng = np.random.default_rng(2)
    images = (rng.random((12, 32, 32)) * 0.3 + 0.5).astype(np.float32)
    assert shows_tissue(images, np.ones((32, 32), bool)).all()


def test_dim_slices_at_the_end_of_a_coil_still_count_as_tissue():
    image = centred(np.eye(3), (3.0, 3.0, 3.0), (35, 61, 61))
    gain = np.linspace(0.12, 1, 35)[:, None, None]
    inputs = slice_inputs(Image((image.voxels * gain).astype(np.float32), image.ijk_to_ras), 32)
    assert inputs.tissue[np.abs(inputs.positions_mm) < 48].all()


def test_integer_voxels_are_not_changed_in_place_and_work_can_be_cancelled():
    image = Image((CANONICAL.voxels * 100).astype(np.int16), CANONICAL.ijk_to_ras)
    before = image.voxels.copy()
    slice_inputs(image, 16)
    np.testing.assert_array_equal(image.voxels, before)
    job = Job()
    job.cancel()
    with pytest.raises(Cancelled):
        slice_inputs(image, 16, job)
