"""Kidney shapes: one smooth piece, of the stated length and a plausible volume at every age, and a true distance."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from SlicerHPOLib.image import Image, read_image, reorient_to_ras

from training.simulation.kidney_shape import (
    ADULT_LENGTH_MM,
    GRADES,
    SWELLING,
    child_length_mm,
    draw_traits,
    shape_from_mask,
    shape_of,
    signed_distance,
)
from training.simulation.randomisation import between, draw

KIDNEYS = Path(os.environ.get("SLICERHPO_SHARED", Path(__file__).parents[4] / "shared")) / "data" / "kidneys"


def drawn(seed: int, population: str = "adult", **given_traits):
    return shape_of(draw_traits(np.random.default_rng(seed), population, **given_traits))


def dice(a, b) -> float:
    return 2 * (a & b).sum() / (a.sum() + b.sum())


def test_the_distance_to_a_sphere_is_exact_to_a_twentieth_of_a_voxel_near_it_and_half_a_voxel_anywhere():
    axis = np.arange(-30, 31) * 1.5
    radius = np.sqrt(axis[:, None, None] ** 2 + axis[:, None] ** 2 + axis**2)
    level = 1 - (radius / 20) ** 2  # no distance: its slope at the surface is 1/10, elsewhere anything
    phi = signed_distance(level, 1.5)
    error = np.abs(phi - (20 - radius))
    assert error[np.abs(20 - radius) < 3].max() < 0.075
    assert error[radius > 5].max() < 0.75  # the middle of a sphere has no one closest point


def test_the_distance_to_an_ellipsoid_is_that_to_its_nearest_point():
    from scipy.spatial import cKDTree

    half = np.array([25.0, 20.0, 45.0])
    direction = np.random.default_rng(0).normal(size=(60_000, 3))
    surface = half * direction / np.linalg.norm(direction, axis=1, keepdims=True)
    grid = np.stack(np.meshgrid(*(np.arange(-n, n + 1) * 2.0 for n in (18, 15, 28)), indexing="ij"), -1)
    level = 1 - np.linalg.norm(grid / half, axis=-1)
    error = np.abs(np.abs(signed_distance(level, 2.0)) - cKDTree(surface).query(grid)[0])
    assert error.mean() < 0.1 and np.quantile(error, 0.99) < 0.6


def test_a_function_of_one_sign_has_no_distance():
    with pytest.raises(ValueError, match="one sign"):
        signed_distance(np.ones((4, 4, 4)), 1.0)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**31), population=st.sampled_from(["adult", "child"]))
def test_every_kidney_is_one_piece_without_holes_and_as_long_as_its_traits_say(seed, population):
    shape = drawn(seed, population)
    inside = shape.phi_mm > 0
    assert ndimage.label(inside)[1] == 1
    assert ndimage.label(~inside)[1] == 1
    assert 2 * shape.half_axes_mm[2] == pytest.approx(shape.traits.length_mm, abs=1.5 * shape.spacing_mm)
    shell = np.pad(np.zeros(np.subtract(inside.shape, 2), bool), 1, constant_values=True)
    # The surface is up to a voxel beyond the outermost voxel inside; far from it phi is exact to about a voxel.
    assert shape.phi_mm[shell].max() == pytest.approx(-shape.margin_mm, abs=2 * shape.spacing_mm)
    slope = np.sqrt(sum(np.square(g) for g in np.gradient(shape.phi_mm, shape.spacing_mm)))
    assert np.median(slope[np.abs(shape.phi_mm) < 5]) == pytest.approx(1, abs=0.02)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**31), population=st.sampled_from(["adult", "child"]))
def test_the_volume_is_that_of_a_full_ellipsoid_of_the_same_axes(seed, population):
    shape = drawn(seed, population)
    ellipsoid = 4 / 3 * np.pi * shape.half_axes_mm.prod() / 1000
    assert 0.75 < shape.volume_ml / ellipsoid < 1.35


def test_adult_kidneys_are_9_to_13_cm_long_and_hold_60_to_400_ml():
    shapes = [drawn(seed, hydronephrosis=0) for seed in range(30)]
    lengths = [shape.traits.length_mm for shape in shapes]
    assert ADULT_LENGTH_MM[0] <= min(lengths) and max(lengths) <= ADULT_LENGTH_MM[2]
    assert min(s.volume_ml for s in shapes) > 60 and max(s.volume_ml for s in shapes) < 400
    assert 140 < np.median([s.volume_ml for s in shapes]) < 240


@pytest.mark.parametrize("age, length, volumes", [(0.5, 59, (10, 45)), (5, 80, (25, 100)), (15, 105, (50, 220))])
def test_childrens_kidneys_grow_with_age(age, length, volumes):
    shapes = [drawn(seed, "child", age_years=age, hydronephrosis=0) for seed in range(12)]
    assert child_length_mm(age) == length
    assert np.mean([s.traits.length_mm for s in shapes]) == pytest.approx(length, rel=0.06)
    assert volumes[0] < min(s.volume_ml for s in shapes) and max(s.volume_ml for s in shapes) < volumes[1]


def test_three_in_ten_children_have_hydronephrosis_of_every_grade_and_it_swells_the_kidney():
    rng = np.random.default_rng(1)
    grades = np.array([draw_traits(rng, "child").hydronephrosis for _ in range(1500)])
    assert 1 - GRADES["child"][0] == pytest.approx(0.3)
    assert (grades > 0).mean() == pytest.approx(0.3, abs=0.035)
    assert set(grades) == set(range(5))
    slim, swollen = (draw_traits(np.random.default_rng(2), "adult", hydronephrosis=grade) for grade in (0, 4))
    assert swollen.length_mm / slim.length_mm == pytest.approx(SWELLING[4])


def test_the_same_seed_gives_the_same_shape_and_another_one_another():
    np.testing.assert_array_equal(drawn(3).phi_mm, drawn(3).phi_mm)
    assert drawn(3).phi_mm.shape != drawn(4).phi_mm.shape or (drawn(3).phi_mm != drawn(4).phi_mm).any()


def test_left_and_right_kidneys_are_mirror_images_and_the_hilum_is_medial():
    traits = replace(draw_traits(np.random.default_rng(0), "adult", side="right"), hilum_depth=0.5, irregularity=0.0)
    right, left = (reorient_to_ras(shape_of(replace(traits, side=side)).as_image()) for side in ("right", "left"))
    np.testing.assert_array_equal(right.voxels, left.voxels[:, :, ::-1])
    inside = np.flatnonzero(right.voxels[right.shape[0] // 2].max(0) > 0)  # R of the middle slice, where the notch is
    whole = np.flatnonzero(right.voxels.max((0, 1)) > 0)
    assert inside[0] > whole[0]  # medial of a right kidney is low R


def test_points_between_voxels_and_beyond_the_grid_have_a_distance():
    shape = drawn(5)
    on_grid = shape.inside_mm[::500].T
    middle = [(n - 1) / 2 for n in shape.phi_mm.shape]
    k, j, i = (np.rint(c / shape.spacing_mm + m).astype(int) for c, m in zip(on_grid[::-1], middle, strict=True))
    np.testing.assert_allclose(shape.phi_at(*on_grid), shape.phi_mm[k, j, i], atol=1e-3)
    far = shape.phi_at(*np.array([[300.0], [0.0], [0.0]]))
    assert -300 < far[0] < -200


def test_a_mask_of_a_shape_gives_the_shape_back_wherever_it_lies_and_however_long():
    shape = drawn(6, side="left")
    image = shape.as_image()
    matrix = image.ijk_to_ras.copy()
    matrix[:3, 3] += (70, -20, 1000)
    again = shape_from_mask(Image((shape.phi_mm > 0).astype(np.uint8), matrix, "L"), shape.traits)
    assert again.volume_ml == pytest.approx(shape.volume_ml, rel=0.06)
    axes = [np.linspace(-h, h, 40) for h in shape.half_axes_mm]
    grid = np.meshgrid(*axes, indexing="ij")
    assert dice(again.phi_at(*grid) > 0, shape.phi_at(*grid) > 0) > 0.93
    longer = shape_from_mask(image, replace(shape.traits, length_mm=1.2 * shape.traits.length_mm))
    assert longer.volume_ml == pytest.approx(1.2**3 * again.volume_ml, rel=0.05)


def test_an_open_sinus_of_a_mask_is_closed():
    shape = drawn(7)
    mask = shape.phi_mm > 0
    middle = [n // 2 for n in mask.shape]
    cut = mask.copy()
    cut[middle[0] - 2 : middle[0] + 2, middle[1] - 1 : middle[1] + 2, : middle[2]] = False
    again = shape_from_mask(Image(cut.astype(np.uint8), shape.as_image().ijk_to_ras), shape.traits)
    assert again.volume_ml == pytest.approx(shape.volume_ml, rel=0.06)
    assert ndimage.label(again.phi_mm < 0)[1] == 1


@pytest.mark.skipif(not KIDNEYS.is_dir(), reason=f"no segmented kidneys in {KIDNEYS}")
@pytest.mark.parametrize("name", ["case_00003_L", "case_00004_R", "case_00008_L"])
def test_segmented_kidneys_of_the_development_data_keep_their_volume_and_are_one_piece(name):
    mask = read_image(KIDNEYS / f"{name}.nii.gz")
    points = mask.ras_of(np.argwhere(mask.voxels > 0)[:, ::-1])
    traits = draw_traits(np.random.default_rng(0), "adult", side="left" if name.endswith("L") else "right")
    axis = np.linalg.svd(points[::7] - points.mean(0), full_matrices=False)[2][0]
    shape = shape_from_mask(mask, replace(traits, length_mm=float(np.ptp((points - points.mean(0)) @ axis))))
    volume_ml = (mask.voxels > 0).sum() * mask.spacing_mm.prod() / 1000
    assert 0.95 < shape.volume_ml / volume_ml < 1.15  # the sinus is filled
    assert ndimage.label(shape.phi_mm > 0)[1] == ndimage.label(shape.phi_mm < 0)[1] == 1


@pytest.mark.parametrize(
    "change, message",
    [
        ({"population": "horse"}, "horse"),
        ({"side": "upper"}, "left or right"),
        ({"hydronephrosis": 5}, "0 to 4"),
        ({"age_years": 3.0}, "18 to 85"),
    ],
)
def test_traits_that_do_not_exist_are_refused_by_name(change, message):
    with pytest.raises(ValueError, match=message):
        draw_traits(np.random.default_rng(0), **({"population": "adult"} | change))


def test_an_empty_mask_is_refused():
    with pytest.raises(ValueError, match="empty"):
        shape_from_mask(Image(np.zeros((4, 4, 4), np.uint8), np.eye(4)), draw_traits(np.random.default_rng(0), "adult"))


def test_ranges_that_a_dataclass_states_are_drawn_from():
    from dataclasses import dataclass

    @dataclass(frozen=True)
    class Thing:
        name: str
        size: float = between(1, 2, child=(0.1, 0.2))
        speed: float = between(1, 100, log=True)

    rng = np.random.default_rng(0)
    adults = [draw(Thing, rng, "adult", name="a") for _ in range(200)]
    assert 1 <= min(t.size for t in adults) < 1.1 and 1.9 < max(t.size for t in adults) <= 2
    assert 0.1 <= draw(Thing, rng, "child", name="c").size <= 0.2
    assert np.median([t.speed for t in adults]) == pytest.approx(10, rel=0.4)
    assert draw(Thing, rng, "adult", name="b", size=7.0).size == 7
    with pytest.raises(ValueError, match="adult, child"):
        draw(Thing, rng, "fetus", name="d")
