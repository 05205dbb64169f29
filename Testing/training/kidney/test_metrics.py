"""Overlap and surface distances, against brute force, analytic shapes and SimpleITK."""

from itertools import product

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from training.kidney.metrics import percentile, score, surface_of

SPACINGS = st.tuples(*[st.sampled_from([0.5, 1.0, 1.7, 4.0])] * 3)
MASKS = arrays(bool, (3, 4, 2))


def ball(radius_mm, centre_mm=(0.0, 0.0, 0.0), spacing_mm=(2.0, 2.0, 2.0), reach_mm=32.0):
    """Signed distance (k, j, i) to a sphere, on a box around the origin."""
    i, j, k = (np.arange(-reach_mm, reach_mm + h / 2, h) for h in spacing_mm)
    z, y, x = np.meshgrid(k, j, i, indexing="ij")
    return (radius_mm - np.linalg.norm(np.stack([x, y, z], -1) - centre_mm, axis=-1)).astype(np.float32)


def cube(start, size=6, shape=(20, 20, 20)):
    mask = np.zeros(shape, np.uint8)
    mask[tuple(slice(s, s + size) for s in start)] = 1
    return mask


def faces_by_hand(mask, spacing_mm):
    """[(centre (i, j, k) mm, area)] of the faces between a voxel inside and a neighbour outside, one by one."""
    faces = []
    for voxel in product(*(range(n) for n in mask.shape)):
        for axis, side in product(range(3), (-1, 1)):
            beside = list(voxel)
            beside[axis] += side
            outside = not 0 <= beside[axis] < mask.shape[axis] or not mask[tuple(beside)]
            if mask[voxel] and outside:
                centre = [float(v) for v in voxel]
                centre[axis] += side / 2
                steps = spacing_mm[::-1]
                area = np.prod([h for n, h in enumerate(steps) if n != axis])
                faces.append((np.array([c * h for c, h in zip(centre, steps, strict=True)]), area))
    return faces


def by_brute_force(a, b, spacing_mm, tolerance_mm):
    """95 % Hausdorff distance and surface Dice as their definitions read."""
    one, other = faces_by_hand(a, spacing_mm), faces_by_hand(b, spacing_mm)
    robust, within, total = 0.0, 0.0, 0.0
    for here, there in ((one, other), (other, one)):
        found = sorted((min(float(np.linalg.norm(c - d)) for d, _ in there), area) for c, area in here)
        whole, seen = sum(area for _, area in found), 0.0
        for distance, area in found:
            seen += area
            if seen >= 0.95 * whole * (1 - 1e-12):
                robust = max(robust, distance)
                break
        within += sum(area for distance, area in found if distance <= tolerance_mm)
        total += whole
    return robust, within / total


@settings(max_examples=40)
@given(MASKS, MASKS, SPACINGS, st.sampled_from([0.6, 1.1, 2.3]))
def test_surface_measures_of_masks_are_what_their_definitions_say(a, b, spacing, tolerance):
    if a.any() and b.any():
        found = score(a, b, spacing, tolerance)
        assert (found.hausdorff95_mm, found.surface_dice) == pytest.approx(by_brute_force(a, b, spacing, tolerance))


@settings(max_examples=40)
@given(MASKS, MASKS, SPACINGS)
def test_the_order_of_the_two_shapes_does_not_matter(a, b, spacing):
    one, other = score(a, b, spacing), score(b, a, spacing)
    assert (one.dice, one.hausdorff95_mm) == (other.dice, other.hausdorff95_mm)
    assert one.surface_dice == pytest.approx(other.surface_dice)
    assert one.volume_error_ml == -other.volume_error_ml


@given(MASKS, SPACINGS)
def test_a_shape_is_its_own_perfect_segmentation(a, spacing):
    found = score(a, a.astype(np.int16) * 7, spacing)
    assert (found.dice, found.hausdorff95_mm, found.surface_dice, found.volume_error_ml) == (1, 0, 1, 0)


def test_nothing_found_where_there_is_nothing_is_right_and_all_else_wrong():
    nothing, something = np.zeros((6, 6, 6)) - 1, cube((1, 1, 1), 3, (6, 6, 6))
    both, missed, invented = (
        score(a, b, 2) for a, b in ((nothing, nothing), (nothing, something), (something, nothing))
    )
    assert (both.dice, both.hausdorff95_mm, both.surface_dice, both.components) == (1, 0, 1, 0)
    for wrong, pieces, error in ((missed, 0, -0.216), (invented, 1, 0.216)):
        assert (wrong.dice, wrong.hausdorff95_mm, wrong.surface_dice) == (0, np.inf, 0)
        assert wrong.components == pieces
        assert wrong.volume_error_ml == pytest.approx(error)


def test_a_cube_shifted_along_one_axis_is_that_far_away():
    """A sixth of the faces is moved by the whole shift."""
    spacing = (1.0, 2.0, 3.0)
    for axis, step in ((2, 1.0), (1, 2.0), (0, 3.0)):
        moved = [5, 5, 5]
        moved[axis] += 2
        found = score(cube(moved), cube((5, 5, 5)), spacing)
        assert found.hausdorff95_mm == pytest.approx(2 * step)
        assert found.dice == pytest.approx(4 / 6)


def test_surface_dice_of_shifted_cubes_counts_the_area_within_the_tolerance():
    """Two cubes of 6, one shifted by 3. Off by more than 1 are, on either: the end that sticks out (36 faces), the end
    inside the other but for its rim, which is 0.7 from the other's sides (16), and two of the six rows of sides."""
    found = score(cube((8, 5, 5)), cube((5, 5, 5)), 1.0, tolerance_mm=1.0)
    assert found.surface_dice == pytest.approx(1 - (36 + 16 + 2 * 24) / 216)


@pytest.mark.parametrize("spacing", [(2.0, 2.0, 2.0), (4.0, 4.0, 4.0), (1.0, 2.5, 4.0)])
def test_concentric_spheres_are_as_far_apart_as_their_radii(spacing):
    found = score(ball(25, spacing_mm=spacing), ball(22, spacing_mm=spacing), spacing)
    assert found.hausdorff95_mm == pytest.approx(3, abs=0.15)
    assert found.surface_dice == 0
    assert score(ball(25, spacing_mm=spacing), ball(23.5, spacing_mm=spacing), spacing).surface_dice == 1


@pytest.mark.parametrize("spacing", [(2.0, 2.0, 2.0), (4.0, 4.0, 4.0), (1.5, 2.0, 3.0)])
def test_a_shift_of_a_sphere_far_below_the_voxels_is_measured(spacing):
    """Moved by s along x, the distance is s |cos|, whose part of the sphere below c is c: 95 % are below 0.95 s."""
    found = score(ball(25, (1.2, 0, 0), spacing), ball(25, spacing_mm=spacing), spacing, tolerance_mm=0.6)
    assert found.hausdorff95_mm == pytest.approx(0.95 * 1.2, abs=0.15)
    finer = score(ball(25, (5.0, 0, 0), spacing), ball(25, spacing_mm=spacing), spacing, tolerance_mm=2.0)
    assert finer.hausdorff95_mm == pytest.approx(0.95 * 5, abs=0.15)
    assert finer.surface_dice == pytest.approx(2 / 5, abs=0.03)


def test_two_samplings_of_one_sphere_are_the_same_but_for_a_third_of_a_millimetre():
    spacing = (3.0, 3.0, 3.0)
    smooth = ball(25, spacing_mm=spacing)
    found = score(smooth * 2.5, smooth, spacing)  # another function of the same shape
    assert found.hausdorff95_mm < 0.35
    assert found.surface_dice == 1


def test_a_mask_is_compared_with_an_implicit_function_to_half_a_voxel():
    phi = ball(24, spacing_mm=(1.0, 1.0, 1.0), reach_mm=28)
    found = score(phi > 0, phi, 1.0)
    assert found.dice == 1
    assert found.hausdorff95_mm < 0.75
    assert found.surface_dice == 1


def test_areas_of_triangles_are_the_spheres_and_areas_of_faces_those_of_the_box():
    spacing = np.array([1.5, 2.0, 3.0])
    assert surface_of(ball(25, spacing_mm=spacing), spacing).areas.sum() == pytest.approx(4 * np.pi * 625, rel=0.01)
    faces = surface_of(cube((2, 3, 4)), spacing)
    assert faces.areas.sum() == pytest.approx(72 * (1.5 * 2 + 1.5 * 3 + 2 * 3))
    assert faces.centres.min(0) == pytest.approx(spacing * (3.5, 2.5, 1.5))  # cube starts at k, j, i = 2, 3, 4


@pytest.mark.parametrize("seed", range(4))
def test_simpleitk_agrees_on_overlap_volumes_and_the_largest_distance(seed):
    rng = np.random.default_rng(seed)
    spacing = rng.uniform(1, 3, 3)
    radius = rng.uniform(12, 22, 2)
    a, b = (ball(r, rng.uniform(-5, 5, 3), spacing, 30) > 0 for r in radius)
    images = [sitk.GetImageFromArray(mask.astype(np.uint8)) for mask in (a, b)]
    for image in images:
        image.SetSpacing(spacing.tolist())
    overlap, hausdorff = sitk.LabelOverlapMeasuresImageFilter(), sitk.HausdorffDistanceImageFilter()
    overlap.Execute(*images)
    hausdorff.Execute(*images)
    found = score(a, b, spacing)
    assert found.dice == pytest.approx(overlap.GetDiceCoefficient())
    shape = sitk.LabelShapeStatisticsImageFilter()
    shape.Execute(images[0])
    assert found.volume_ml == pytest.approx(shape.GetPhysicalSize(1) / 1000)
    assert found.components == 1
    # Of convex shapes, the farthest point of one from the other is on the surface: voxels' middles, faces' middles
    one, other = surface_of(a, spacing), surface_of(b, spacing)
    farthest = max(one.distances_to(other).max(), other.distances_to(one).max())
    assert farthest == pytest.approx(hausdorff.GetHausdorffDistance(), abs=spacing.max())


def test_simpleitks_distance_maps_give_the_same_percentile_to_a_voxel():
    """The customary way: distance maps of the contours, read at each other's contours."""
    a, b = (ball(20, centre, (1.0, 1.0, 1.0), 30) > 0 for centre in ((4, 1, 0), (-1, 0, 2)))
    contours = [sitk.LabelContour(sitk.GetImageFromArray(mask.astype(np.uint8))) for mask in (a, b)]
    maps = [np.abs(sitk.GetArrayFromImage(sitk.SignedMaurerDistanceMap(c, squaredDistance=False))) for c in contours]
    edges = [sitk.GetArrayFromImage(c) > 0 for c in contours]
    customary = max(np.percentile(maps[1][edges[0]], 95), np.percentile(maps[0][edges[1]], 95))
    assert score(a, b, 1.0).hausdorff95_mm == pytest.approx(customary, abs=0.7)


@given(arrays(float, st.integers(1, 40), elements=st.floats(0, 100)))
def test_with_equal_areas_the_percentile_is_the_usual_one(distances):
    expected = np.quantile(distances, 0.95, method="inverted_cdf")
    assert percentile(distances, np.full(len(distances), 0.3)) == expected


def test_a_large_element_counts_for_its_area():
    assert percentile(np.array([1.0, 5.0]), np.array([94.0, 6.0])) == 5
    assert percentile(np.array([5.0, 1.0]), np.array([4.0, 96.0])) == 1


def test_pieces_are_counted_of_the_segmentation_only():
    two = cube((1, 1, 1), 3) | cube((10, 10, 10), 3)
    assert score(two, cube((1, 1, 1), 3), 1.0).components == 2
    assert score(cube((1, 1, 1), 3), two, 1.0).components == 1
    touching_at_a_corner = cube((1, 1, 1), 3) | cube((4, 4, 4), 3)
    assert score(touching_at_a_corner, two, 1.0).components == 2


def test_a_shape_at_the_border_is_closed_there():
    full = np.ones((4, 4, 4), bool)
    found = score(full, full, 1.0)
    assert (found.dice, found.hausdorff95_mm, found.surface_dice) == (1, 0, 1)
    assert surface_of(full, np.ones(3)).areas.sum() == 96


@pytest.mark.parametrize(
    ("prediction", "truth", "spacing", "message"),
    [
        (np.ones((3, 3)), np.ones((3, 3)), 1, "one shape"),
        (np.ones((3, 3, 3)), np.ones((3, 3, 4)), 1, r"\(3, 3, 4\)"),
        (np.full((3, 3, 3), np.nan), np.ones((3, 3, 3)), 1, "finite"),
        (np.ones((3, 3, 3)), np.ones((3, 3, 3)), (1, 0, 1), "positive"),
    ],
)
def test_what_cannot_be_compared_is_refused_with_a_reason(prediction, truth, spacing, message):
    with pytest.raises(ValueError, match=message):
        score(prediction, truth, spacing)
