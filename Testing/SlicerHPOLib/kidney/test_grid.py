import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import map_coordinates
from scipy.spatial.transform import Rotation
from SlicerHPOLib.image import Image, ImageError
from SlicerHPOLib.kidney.grid import Grid, field_of_view, orientations, to_grid, to_native, upright, working_grid


def an_image(shape=(20, 24, 28), spacing=(2.0, 3.0, 4.0), origin=(5.0, -7.0, 11.0), rotation=None, seed=0):
    matrix = np.eye(4)
    matrix[:3, :3] = (np.eye(3) if rotation is None else rotation) * spacing
    matrix[:3, 3] = origin
    return Image(np.random.default_rng(seed).normal(size=shape).astype(np.float32), matrix, "test")


def stored_otherwise(image, axes, flips):
    """The same volume with its voxel axes in another order and direction."""
    voxels, matrix = image.voxels, image.ijk_to_ras.copy()
    for axis in range(3):
        if flips[axis]:
            matrix[:, 3] += matrix[:, axis] * (voxels.shape[2 - axis] - 1)
            matrix[:, axis] *= -1
            voxels = np.flip(voxels, 2 - axis)
    return Image(voxels.transpose([2 - a for a in reversed(axes)]), matrix[:, [*axes, 3]], image.name)


def a_sphere(grid, centre_mm, radius_mm):
    points = grid.ras_of(np.stack(np.indices(grid.shape), -1))
    return radius_mm - np.linalg.norm(points - centre_mm, axis=-1)


def test_the_working_grid_is_the_sources_and_is_centred_on_the_image():
    image = an_image()
    grid = working_grid(image)
    assert grid.shape == (80, 80, 80)
    np.testing.assert_allclose(grid.spacing_mm, 4)
    np.testing.assert_allclose(grid.ras_of([39.5] * 3), image.center_mm)
    np.testing.assert_allclose(grid.voxel_of(grid.ras_of([3, 20.5, 70])), [3, 20.5, 70])
    np.testing.assert_allclose(grid.ras_of([0, 0, 1]) - grid.ras_of([0, 0, 0]), [4, 0, 0], atol=1e-9)


def test_a_volume_on_the_grid_already_stays_as_it_is():
    image = Image(np.linspace(0, 1, 5 * 6 * 7).reshape(5, 6, 7), np.diag([4.0, 4, 4, 1]))
    grid = working_grid(image, 4.0, 7)
    got = to_grid(image, grid)
    assert got.dtype == np.float32 and got.shape == (7, 7, 7)
    low, high = np.percentile(image.voxels, (1, 99.5))
    np.testing.assert_allclose(got[1:6, :6].shape, (5, 6, 7))
    at = grid.voxel_of(image.ras_of([3, 2, 2]))
    np.testing.assert_allclose(at, [3, 2.5, 3])
    expected = np.clip((image.voxels[2, 2, 3] + image.voxels[2, 3, 3]) / 2, low, high)
    np.testing.assert_allclose(got[3, 3, 3], (expected - low) / (high - low), atol=0.02)
    assert not got[0].any() and not got[6].any()  # outside the volume


@settings(max_examples=25, deadline=None)
@given(st.permutations([0, 1, 2]), st.tuples(*[st.booleans()] * 3))
def test_the_order_in_which_a_volume_is_stored_does_not_matter(axes, flips):
    image = an_image()
    other = stored_otherwise(image, axes, flips)
    grid, twin = working_grid(image, 3.0, 30), working_grid(other, 3.0, 30)
    np.testing.assert_allclose(grid.ijk_to_ras, twin.ijk_to_ras, atol=1e-9)
    np.testing.assert_allclose(to_grid(other, twin), to_grid(image, grid), atol=1e-5)
    phi = a_sphere(grid, image.center_mm + 3, 20.0).astype(np.float32)
    back, back_twin = to_native(phi, grid, image), to_native(phi, twin, other)
    assert back_twin.shape == other.shape
    np.testing.assert_allclose(stored_otherwise(back, axes, flips).voxels, back_twin.voxels, atol=1e-3)


def test_a_volume_turned_in_space_gives_the_same_voxels():
    image = an_image()
    turned = an_image(rotation=Rotation.from_euler("xyz", [20, -15, 30], degrees=True).as_matrix())
    np.testing.assert_allclose(
        to_grid(turned, working_grid(turned, 3.0, 30)), to_grid(image, working_grid(image, 3.0, 30)), atol=1e-5
    )


def test_a_fine_volume_is_averaged_and_not_thinned_out():
    """A fine checkerboard becomes an even grey, the brightest there is, beside black."""
    voxels = np.indices((64, 64, 64)).sum(0) % 2 * 1.0
    voxels[:32] = 0
    values = to_grid(Image(voxels, np.eye(4)), working_grid(Image(voxels, np.eye(4)), 8.0, 8))
    assert np.ptp(values[5:7, 1:7, 1:7]) < 0.01 < 0.95 < values[5:7, 1:7, 1:7].min()
    assert not values[:3].any()


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float64])
def test_input_lies_between_0_and_1_for_every_voxel_type(dtype):
    voxels = np.random.default_rng(2).integers(0, 200, (10, 10, 10)).astype(dtype)
    values = to_grid(Image(voxels, np.eye(4)), working_grid(Image(voxels, np.eye(4)), 1.0, 12))
    assert values.dtype == np.float32 and values.min() == 0 and values.max() == 1


def test_a_small_sector_in_black_is_scaled_as_if_alone():
    rng = np.random.default_rng(4)
    sector = rng.uniform(50, 100, (10, 10, 10))
    voxels = np.zeros((40, 40, 40))
    voxels[15:25, 15:25, 15:25] = sector
    values = to_grid(Image(voxels, np.eye(4)), working_grid(Image(voxels, np.eye(4)), 1.0, 40))[15:25, 15:25, 15:25]
    low, high = np.percentile(sector, (1, 99.5))
    np.testing.assert_allclose(values, np.clip((sector - low) / (high - low), 0, 1), atol=1e-5)


def test_a_constant_volume_gives_zeros():
    image = Image(np.full((5, 5, 5), 7.0), np.eye(4))
    assert not to_grid(image, working_grid(image, 1.0, 5)).any()


def test_voxels_that_are_not_finite_are_refused():
    voxels = np.zeros((5, 5, 5))
    voxels[2, 2, 2] = np.nan
    with pytest.raises(ImageError, match="not finite"):
        to_grid(Image(voxels, np.eye(4)), working_grid(Image(voxels, np.eye(4)), 1.0, 5))


def test_a_grid_along_other_axes_is_refused():
    image = an_image()
    oblique = an_image(rotation=Rotation.from_euler("x", 20, degrees=True).as_matrix())
    with pytest.raises(ImageError, match="working_grid"):
        to_grid(image, working_grid(oblique))


@pytest.mark.parametrize(("spacing", "size"), [(0.0, 80), (-4.0, 80), (np.nan, 80), (4.0, 0)])
def test_a_grid_without_extent_is_refused(spacing, size):
    with pytest.raises(ImageError, match="positive"):
        working_grid(an_image(), spacing, size)


def test_an_implicit_function_of_another_shape_is_refused():
    with pytest.raises(ImageError, match=r"\(80, 80, 80\)"):
        to_native(np.zeros((2, 2, 2)), working_grid(an_image()), an_image())


def test_the_way_back_is_the_cubic_spline_of_scipy_away_from_the_border():
    image = an_image(shape=(30, 30, 30), spacing=(1.0, 1.0, 1.0))
    grid = working_grid(image, 2.5, 20)
    phi = np.random.default_rng(3).normal(size=grid.shape)
    native = to_native(phi, grid, image)
    ijk = np.stack(np.indices(image.shape)[::-1], -1)
    at = np.moveaxis(grid.voxel_of(image.ras_of(ijk)), -1, 0)
    expected = map_coordinates(phi, at, order=3, mode="mirror")
    inner = ((at > 6) & (at < 13)).all(0)
    assert inner.sum() > 1000
    np.testing.assert_allclose(native.voxels[inner], expected[inner], atol=2e-3)


def test_a_sphere_on_the_4_mm_grid_is_a_smooth_sphere_at_native_spacing():
    image = Image(np.zeros((100, 90, 80), np.uint8), np.diag([1.0, 1.1, 1.2, 1]))
    grid = working_grid(image)
    native = to_native(a_sphere(grid, image.center_mm, 30.0), grid, image)
    ijk = np.stack(np.indices(image.shape)[::-1], -1)
    true = 30 - np.linalg.norm(image.ras_of(ijk) - image.center_mm, axis=-1)
    shell = np.abs(true) < 5
    assert native.voxels.dtype == np.float32
    assert np.abs(native.voxels - true)[shell].max() < 0.01  # mm


def test_a_native_voxel_beyond_the_grid_gets_the_value_at_its_edge():
    image = Image(np.zeros((30, 30, 30), np.uint8), np.eye(4))
    grid = Grid(working_grid(image, 1.0, 10).ijk_to_ras, (10, 10, 10))
    phi = np.arange(1000.0).reshape(10, 10, 10)
    native = to_native(phi, grid, image).voxels
    assert native[0, 0, 0] == pytest.approx(0, abs=1e-3) and native[-1, -1, -1] == pytest.approx(999, abs=1e-2)


def a_cone(shape=(30, 26, 34)):
    """A field of view that widens along k, and is wider along i than along j; grey inside, 0 outside."""
    k, j, i = np.indices(shape)
    inside = (np.abs(i - 16.5) < 2 + 0.5 * k) & (np.abs(j - 12.5) < 2 + 0.3 * k)
    return np.where(inside, np.random.default_rng(5).uniform(0.2, 1, shape), 0)


@settings(max_examples=40, deadline=None)
@given(st.permutations([0, 1, 2]), st.tuples(*[st.booleans()] * 3))
def test_upright_a_volume_has_its_probe_above_however_it_was_stored_and_every_voxel_keeps_its_place(axes, flips):
    matrix = np.diag([2.0, 2.0, 2.0, 1.0])
    matrix[:3, 3] = 3, -40, 12
    stored = stored_otherwise(Image(a_cone(), matrix), axes, flips)
    # The matrix as it would be if nobody knew how the volume had been stored: another patient, lying another way.
    image = Image(stored.voxels, matrix)
    before = working_grid(image, 2.0, 40)
    volume = to_grid(image, before)
    turned, grid = upright(volume, before)
    areas = (turned > 0).sum((1, 2))
    shown = np.flatnonzero(areas)
    assert areas[shown[0]] < 0.3 * areas[shown[-1]]
    assert (turned > 0).any((0, 1)).sum() > (turned > 0).any((0, 2)).sum()
    assert np.linalg.det(grid.ijk_to_ras) > 0
    at = np.argwhere(turned > 0)[::97]
    there = np.rint(before.voxel_of(grid.ras_of(at))).astype(int)
    np.testing.assert_array_equal(turned[tuple(at.T)], volume[tuple(there.T)])
    np.testing.assert_allclose(to_grid(image, grid), turned, atol=1e-6)
    phi = a_sphere(grid, image.center_mm + 3, 15.0).astype(np.float32)
    same = a_sphere(before, image.center_mm + 3, 15.0).astype(np.float32)
    np.testing.assert_allclose(to_native(phi, grid, image).voxels, to_native(same, before, image).voxels, atol=1e-4)


def test_a_box_has_no_upright_position_and_stays():
    volume = np.zeros((12, 12, 12))
    volume[2:9, 3:11, 1:12] = 1
    grid = Grid(np.eye(4), volume.shape)
    turned, same = upright(volume, grid)
    assert turned is volume and same is grid
    assert upright(np.zeros((5, 5, 5)), grid)[1] is grid


def test_a_box_is_looked_at_in_all_six_directions_and_a_cone_in_its_own():
    volume = np.zeros((12, 12, 12))
    volume[2:9, 3:11, 1:12] = np.random.default_rng(1).uniform(0.2, 1, (7, 8, 11))
    grid = Grid(np.diag([2.0, 2.0, 2.0, 1.0]), volume.shape)
    found = orientations(volume, grid)
    downwards = {tuple(np.rint(its_grid.ijk_to_ras[:3, 2] / 2).astype(int)) for _, its_grid in found}
    assert downwards == {tuple(sign * row) for sign in (1, -1) for row in np.eye(3, dtype=int)}
    for turned, its_grid in found:
        assert np.linalg.det(its_grid.ijk_to_ras) > 0
        at = np.argwhere(turned > 0)[::31]
        there = np.rint(grid.voxel_of(its_grid.ras_of(at))).astype(int)
        np.testing.assert_array_equal(turned[tuple(at.T)], volume[tuple(there.T)])
    ((turned, _),) = orientations(a_cone(), Grid(np.eye(4), a_cone().shape))
    np.testing.assert_array_equal(turned, upright(a_cone(), Grid(np.eye(4), a_cone().shape))[0])


def test_shadows_and_cysts_are_seen_and_what_is_beside_the_cone_is_not():
    cone = a_cone()
    shadowed = cone.copy()
    shadowed[18:, :, 15:18] = 0  # a shadow down to the far end
    shadowed[12:15, 11:14, 13:20] = 0  # a cyst
    np.testing.assert_array_equal(field_of_view(shadowed), cone > 0)
