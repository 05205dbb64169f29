"""The figure shows the kidney in planes through its own axes, the right way round, at its true place and size."""

from itertools import permutations, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation
from SlicerHPOLib.figurefile import FigureError
from SlicerHPOLib.image import Image
from SlicerHPOLib.kidney import figure
from SlicerHPOLib.kidney.figure import bar_mm, draw, grey_window, letters_of, text_of, write_figure
from SlicerHPOLib.kidney.grid import Grid, working_grid
from SlicerHPOLib.kidney.points import Points
from SlicerHPOLib.kidney.segmentation import KidneySegmentation
from SlicerHPOLib.kidney.views import View, kidney_axes, kidney_views, relief, shaded, slice_of

pytest.importorskip("matplotlib")

HALF_MM = np.array([24.0, 17.0, 45.0])  # R, A, S of an upright kidney: width 48, thickness 34, length 90
NO_POINTS = Points()


def ellipsoid(ras_mm, turn=None, centre_mm=(0.0, 0.0, 0.0), half_mm=HALF_MM):
    """Near to a signed distance, positive inside."""
    local = (np.asarray(ras_mm) - centre_mm) @ (np.eye(3) if turn is None else turn.as_matrix())
    scaled, steep = np.linalg.norm(local / half_mm, axis=-1), np.linalg.norm(local / half_mm**2, axis=-1)
    return (scaled * (1 - scaled) / np.maximum(steep, 1e-6)).astype(np.float32)


def segmented(turn=None, spacing=(3.0, 3.0, 3.0), shape=(48, 44, 46), centre_mm=(4.0, -3.0, 2.0), **given):
    """A bright ellipsoid in a dark volume centred on `centre_mm`, found without error."""
    matrix = np.diag([*spacing, 1.0])
    matrix[:3, 3] = centre_mm - (np.array(shape[::-1]) - 1) / 2 * spacing
    ras = np.moveaxis(np.indices(shape)[::-1], 0, -1) * spacing + matrix[:3, 3]
    image = Image(np.where(ellipsoid(ras, turn, centre_mm) > 0, 200, 50).astype(np.uint8), matrix)
    return answer(image, lambda ras: ellipsoid(ras, turn, centre_mm), **given)


def answer(image, level, points=NO_POINTS, warnings=(), method="deformation", confidence=0.9):
    grid = working_grid(image, 4.0, 48)
    phi = level(grid.ras_of(np.moveaxis(np.indices(grid.shape), 0, -1)))
    return KidneySegmentation(image, grid, method, phi, confidence, tuple(warnings), points, 0.0, 1.0)


def views_of(result):
    return kidney_views(result.phi, result.grid, result.measures)


def shares(picture, view):
    """Size in mm of what is brighter than half, along the view's right and up."""
    bright = picture > 125
    rows, columns = bright.shape
    return np.ptp(np.flatnonzero(bright.any(0))) * view.size_mm[0] / columns, np.ptp(
        np.flatnonzero(bright.any(1))
    ) * view.size_mm[1] / rows


def test_planes_are_turned_as_sonographers_show_an_upright_kidney():
    long, transverse, coronal, _ = views_of(segmented())
    for view, right, up in ((long, "I", "A"), (transverse, "L", "A"), (coronal, "I", "L")):
        assert (letters_of(view.right), letters_of(view.up)) == (right, up)


@pytest.mark.parametrize("degrees", [(0, 0, 0), (20, 0, 0), (25, -30, 10), (-15, 35, 60)])
def test_planes_pass_through_the_measured_axes_of_an_oblique_kidney_at_true_length(degrees):
    result = segmented(Rotation.from_euler("xyz", degrees, degrees=True))
    long, transverse, coronal, _ = views_of(result)
    m = result.measures
    for view, axis in (
        (long, m.length_axis),
        (coronal, m.length_axis),
        (transverse, m.width_axis),
        (transverse, m.thickness_axis),
    ):
        ends = view.place(axis)
        assert np.abs(ends[:, 2]).max() < 1e-6
        assert np.linalg.norm(np.diff(ends, axis=0)) == pytest.approx(np.linalg.norm(axis[1] - axis[0]))
    for view in (long, coronal):
        width, _ = shares(slice_of(result.image, view, 0.5), view)
        assert width == pytest.approx(90, abs=4.5)


@settings(max_examples=30)
@given(st.tuples(*[st.floats(-1, 1)] * 4).filter(lambda q: np.linalg.norm(q) > 0.1))
def test_axes_are_right_handed_and_never_upside_down(quaternion):
    axes = kidney_axes(turned_measures(Rotation.from_quat(quaternion)))
    np.testing.assert_allclose(axes.T @ axes, np.eye(3), atol=1e-9)
    assert np.linalg.det(axes) == pytest.approx(1)
    assert axes[1, 1] > 0 or abs(axes[1, 2]) >= 0.9
    assert axes[:, 2] @ (0.6, 0.4, 1) >= 0


def turned_measures(turn):
    from SlicerHPOLib.kidney.measures import Measures

    ends = [np.array([-1, 1])[:, None] * half * turn.apply(e) for half, e in zip(HALF_MM, np.eye(3), strict=True)]
    return Measures(1.0, 1.0, ends[2], ends[0], ends[1], None)


def test_however_a_volume_is_stored_its_planes_are_the_same():
    image = segmented(shape=(20, 22, 24), spacing=(6.0, 5.0, 7.0)).image
    view = View("", image.center_mm, np.array([0.6, 0, -0.8]), np.array([0, 1.0, 0]), (60, 40))
    expected = slice_of(image, view, 2.0)
    for axes, flips in product(permutations(range(3)), product([1, -1], repeat=3)):
        matrix = image.ijk_to_ras[:, [*axes, 3]].copy()
        voxels = image.voxels.transpose([2 - axis for axis in reversed(axes)])
        for axis, flip in enumerate(flips):
            if flip < 0:
                matrix[:, 3] += matrix[:, axis] * (voxels.shape[2 - axis] - 1)
                matrix[:, axis] *= -1
                voxels = np.flip(voxels, 2 - axis)
        np.testing.assert_allclose(slice_of(Image(voxels, matrix), view, 2.0), expected, atol=1e-3)


def test_a_plane_is_empty_where_the_volume_ends():
    image = Image(np.ones((5, 5, 5), bool), np.diag([2.0, 2.0, 2.0, 1.0]))
    view = View("", np.array([4.0, 4, 4]), np.array([1.0, 0, 0]), np.array([0, 0, 1.0]), (20, 10))
    picture = slice_of(image, view, 1.0)
    assert picture.shape == (10, 20)
    assert np.isfinite(picture).sum() == 100  # 10 x 10 mm of volume
    assert (picture[:, 5:15] == 1).all()


def test_a_view_knows_where_points_are():
    view = View("", np.array([1.0, 2, 3]), np.array([0, 0, -1.0]), np.array([0, 1.0, 0]), (10, 6))
    np.testing.assert_allclose(view.place((4, 7, 1)), (2, 5, 3))
    points = view.points(1.0)
    assert points.shape == (6, 10, 3)
    np.testing.assert_allclose(points.mean((0, 1)), (1, 2, 3))
    np.testing.assert_allclose(view.place(points[0, 0]), (-4.5, -2.5, 0))


def test_the_surface_is_seen_where_rays_first_meet_it():
    radius, grid = 20.0, Grid(np.diag([3.0, 3.0, 3.0, 1.0]), (20, 20, 20))
    middle = np.full(3, 28.5)
    ras = grid.ras_of(np.moveaxis(np.indices(grid.shape), 0, -1))
    for stretch in (0.4, 1.0, 3.0):  # no distance, but of the same zero level
        phi = ((radius - np.linalg.norm(ras - middle, axis=-1)) * stretch).astype(np.float32)
        turn = Rotation.from_rotvec((0.3, 0.5, -0.2)).as_matrix()
        view = View("", middle, turn[0], turn[1], (60, 60))
        seen = relief(phi, grid, view, 1.5)
        away = seen.points_mm[seen.seen] - middle
        assert np.abs(np.linalg.norm(away, axis=1) - radius).max() < 0.25
        assert (away @ view.towards > 0).all()  # the near side
        assert np.abs((seen.normals[seen.seen] * away / radius).sum(1) - 1).max() < 0.02
        assert seen.seen.mean() == pytest.approx(np.pi * radius**2 / 3600, rel=0.03)
        picture = shaded(seen, view)
        assert (picture[~seen.seen] == 1).all() and (picture[seen.seen] < 0.99).any(axis=-1).all()


def test_light_comes_from_the_upper_left():
    grid = Grid(np.diag([3.0, 3.0, 3.0, 1.0]), (20, 20, 20))
    ras = grid.ras_of(np.moveaxis(np.indices(grid.shape), 0, -1))
    phi = (20 - np.linalg.norm(ras - 28.5, axis=-1)).astype(np.float32)
    view = View("", np.full(3, 28.5), np.array([1.0, 0, 0]), np.array([0, 1.0, 0]), (40, 40))
    picture = shaded(relief(phi, grid, view, 1.0), view).mean(-1)
    assert picture[28, 12] > picture[12, 28] + 0.1  # rows from below


@pytest.mark.parametrize("ending", [".png", ".pdf", ".svg"])
def test_a_figure_is_written_in_every_format(tmp_path, ending):
    path = write_figure(segmented(), tmp_path / f"kidney{ending}", title="A $volume_1")
    assert path.stat().st_size > 10_000
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def texts(figure):
    return [t.get_text() for axis in figure.axes for t in axis.texts] + [t.get_text() for t in figure.texts]


def test_all_facts_are_said():
    points = Points().add_inside((4, -3, 2)).add_outside((4, 40, 2))
    drawn = draw(segmented(points=points, warnings=["Look again. " * 20], confidence=0.47), "Somebody")
    words = " ".join(texts(drawn))
    for fact in ("Somebody", "Volume 77 ml", "90 × 48 × 34 mm", "confidence 0.47", "Warning: Look again.", "L 90 mm"):
        assert fact in words
    assert "W 48 mm" in words and "T 34 mm" in words
    assert "correction points: 1 inside, 1 outside" in words


def test_long_warnings_are_broken_into_lines_and_none_is_lost():
    result = segmented(warnings=["one " * 60, "two"], method="classical")
    lines = text_of(result, 80)
    assert all(len(line) <= 80 for line, _ in lines)
    assert sum(line.count("one") for line, warning in lines if warning) == 60
    assert lines[-1] == ("Warning: two", True)
    assert not lines[0][1]


def test_points_are_drawn_in_planes_that_they_are_near_to():
    """Upright: the long-axis plane is at R 4, the coronal one at A -3, the transverse one at S 2."""
    inside, outside = (4.0, -3.0 + 9, 2.0 + 20), (4.0 + 40, -3.0 + 2, 2.0 - 3)
    drawn = draw(segmented(points=Points().add_inside(inside).add_outside(outside)))
    shown = [np.array([line.get_xydata()[0] for line in axis.lines if line.get_marker() == "o"]) for axis in drawn.axes]
    # The middle of a view is the kidney's to within the grid's voxels
    np.testing.assert_allclose(shown[0], [(-20, 9)], atol=2)  # right is inferior, up is anterior
    np.testing.assert_allclose(shown[1], [(-40, 2)], atol=2)  # right is left
    np.testing.assert_allclose(shown[2], [(3, -40)], atol=2)  # right is inferior, up is left
    assert len(shown[3]) == 2


def test_a_point_inside_is_filled_and_one_outside_hollow():
    drawn = draw(segmented(points=Points().add_inside((4, -3, 2)).add_outside((4, -3, 60))))
    markers = [line.get_markerfacecolor() for line in drawn.axes[0].lines if line.get_marker() == "o"]
    assert markers == [figure.INSIDE, "none"]


@pytest.mark.parametrize(
    ("spacing", "shape"),
    [((0.5, 3.0, 8.0), (18, 30, 120)), ((30.0, 30.0, 30.0), (4, 4, 4)), ((100.0, 2.0, 2.0), (60, 60, 1))],
)
def test_coarse_thin_and_anisotropic_volumes_can_be_drawn(tmp_path, spacing, shape):
    write_figure(segmented(spacing=spacing, shape=shape), tmp_path / "figure.png")


def test_a_tiny_kidney_and_a_constant_volume_can_be_drawn(tmp_path):
    image = Image(np.zeros((30, 30, 30), np.float32), np.diag([1.0, 1.0, 1.0, 1.0]))
    tiny = answer(image, lambda ras: ellipsoid(ras, None, (14.5, 14.5, 14.5), np.array([4.0, 5.0, 6.0])))
    write_figure(tiny, tmp_path / "figure.png")
    assert "Volume 0.49 ml" in " ".join(texts(draw(tiny)))


def test_a_kidney_that_lies_across_the_volume_or_points_to_anterior_can_be_drawn():
    for turn, right, up in (((0, 90, 0), "L", "A"), ((90, 0, 0), "P", "S")):
        long, *_ = views_of(segmented(Rotation.from_euler("xyz", turn, degrees=True)))
        assert (letters_of(long.right), letters_of(long.up)) == (right, up)


def test_grey_leaves_out_the_surroundings_of_the_sector():
    picture = np.zeros((100, 100), np.float32)
    picture[50:] = np.linspace(100, 200, 5000).reshape(50, 100)
    low, high = grey_window([picture, np.full((5, 5), np.nan, np.float32)])
    assert (low, high) == pytest.approx((101, 199.5), abs=0.1)
    assert grey_window([np.full((5, 5), np.nan)]) == (0, 1)
    assert grey_window([np.full((5, 5), 7.0)]) == (7, 8)


@pytest.mark.parametrize(("width", "bar"), [(100, 20), (80, 20), (79, 10), (240, 50), (3.9, 0.5), (4, 1)])
def test_the_scale_bar_is_a_round_number_of_at_most_a_quarter_of_the_width(width, bar):
    assert bar_mm(width) == pytest.approx(bar)


@pytest.mark.parametrize(
    ("direction", "letters"), [((0, 0, 1), "S"), ((-1, 0.1, 0), "L"), ((0.6, -0.8, 0), "PR"), ((0.5, 0.6, 0.63), "SA")]
)
def test_directions_are_named_by_the_body(direction, letters):
    assert letters_of(np.array(direction)) == letters


def test_another_ending_and_a_missing_matplotlib_are_refused_with_a_reason(tmp_path, monkeypatch):
    with pytest.raises(FigureError, match=r"\.png, \.pdf, \.svg"):
        write_figure(segmented(), tmp_path / "figure.bmp")
    monkeypatch.setitem(__import__("sys").modules, "matplotlib.figure", None)
    with pytest.raises(FigureError, match="pip install matplotlib"):
        write_figure(segmented(), tmp_path / "figure.png")
    assert not list(tmp_path.iterdir())
