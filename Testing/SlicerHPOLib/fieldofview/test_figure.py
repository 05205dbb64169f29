"""The figure shows the right plane, the right way round, at its true place and size."""

from dataclasses import replace
from itertools import pairwise, permutations, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from SlicerHPOLib.fieldofview import figure
from SlicerHPOLib.fieldofview.classifier import FieldOfView
from SlicerHPOLib.fieldofview.figure import COLOURS, draw, middle_view, spread, write_figure
from SlicerHPOLib.fieldofview.regions import BODY, CLASSES, decide
from SlicerHPOLib.figurefile import FigureError
from SlicerHPOLib.image import Image, reorient_to_ras

pytest.importorskip("matplotlib")


def answer(positions, labels, air=(), fixed=None):
    """The answer for slices whose classes are nearly certain."""
    positions = np.asarray(positions, float)
    probabilities = 0.95 * np.eye(6)[[CLASSES.index(label) for label in labels]] + 0.05 / 6
    tissue = ~np.isin(np.arange(len(positions)), air)
    return FieldOfView(positions, tissue, probabilities, decide(probabilities, positions, tissue, fixed=fixed))


def marked(shape_ijk=(20, 16, 24), spacing=(4.0, 5.0, 6.0), at_ras=(20.0, 10.0, 40.0)):
    """A grey block in RAS order with a bright spot at a known place in all planes along A and R."""
    i, j, k = shape_ijk
    affine = np.diag([*spacing, 1.0])
    voxels = np.full((k, j, i), 100.0, np.float32)
    index = np.round(np.array(at_ras) / spacing).astype(int)
    voxels[index[2], :, index[0]] = 1000.0  # a rod along A: a spot in the coronal view
    return Image(voxels, affine), index * np.array(spacing)


def brightest_mm(view):
    """Centre of what is bright in a view: (across, S)."""
    light = np.nan_to_num(view.pixels)
    row, column = (np.indices(light.shape) * light).sum((1, 2)) / light.sum()
    left, right, bottom, top = view.extent_mm
    rows, columns = view.pixels.shape
    return left + (column + 0.5) * (right - left) / columns, bottom + (row + 0.5) * (top - bottom) / rows


def test_a_point_of_the_volume_is_in_the_view_at_its_place_in_mm():
    image, place = marked()
    view = middle_view(image, 0)
    assert brightest_mm(view) == pytest.approx((place[0], place[2]), abs=0.2)
    assert view.extent_mm == pytest.approx((-2, 78, -3, 141))


@pytest.mark.parametrize("flips", list(product([1, -1], repeat=3)))
def test_however_a_volume_is_stored_its_views_are_the_same(flips):
    image, _ = marked()
    expected = [middle_view(reorient_to_ras(image), across) for across in (0, 1)]
    for axes in permutations(range(3)):
        matrix = image.ijk_to_ras[:, [*axes, 3]].copy()
        voxels = image.voxels.transpose([2 - axis for axis in reversed(axes)])
        for axis, flip in enumerate(flips):
            if flip < 0:
                matrix[:, 3] += matrix[:, axis] * (voxels.shape[2 - axis] - 1)
                matrix[:, axis] *= -1
                voxels = np.flip(voxels, 2 - axis)
        stored = Image(np.ascontiguousarray(voxels), matrix)
        for across, view in enumerate(expected):
            other = middle_view(reorient_to_ras(stored), across)
            assert other.extent_mm == pytest.approx(view.extent_mm)
            np.testing.assert_allclose(other.pixels, view.pixels, atol=1e-5)


@settings(max_examples=30, deadline=None)
@given(st.floats(-30, 30), st.floats(-30, 30))
def test_an_oblique_slab_is_shown_at_its_true_place(about_r, about_a):
    image, _ = marked(shape_ijk=(40, 3, 40), spacing=(3.0, 5.0, 3.0), at_ras=(90.0, 5.0, 30.0))
    a, b = np.radians([about_r, about_a])
    rotation = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]]) @ np.array(
        [[np.cos(b), 0, np.sin(b)], [0, 1, 0], [-np.sin(b), 0, np.cos(b)]]
    )
    affine = np.eye(4)
    affine[:3, :3] = rotation
    tilted = Image(image.voxels, affine @ image.ijk_to_ras)
    place = rotation @ (90.0, 5.0, 30.0)  # the rod's middle, in the middle plane
    assert brightest_mm(middle_view(tilted, 0)) == pytest.approx((place[0], place[2]), abs=0.75)


def test_between_two_legs_the_sagittal_view_shows_a_leg():
    voxels = np.zeros((10, 12, 31), np.float32)
    voxels[:, 2:10, 2:12] = voxels[:, 2:10, 19:29] = 100
    image = Image(voxels, np.diag([10.0, 10.0, 10.0, 1.0]))
    view = middle_view(image, 1)
    assert view.offset_mm in (110.0, 190.0)
    assert np.median(view.pixels) == 1


def test_the_middle_slice_of_a_slab_full_of_tissue_is_taken():
    voxels = np.random.default_rng(0).uniform(50, 100, (20, 7, 20)).astype(np.float32)
    image = Image(voxels, np.diag([1.0, 4.0, 1.0, 1.0]))
    assert middle_view(image, 0).offset_mm == 12.0


def test_right_is_on_the_left_and_all_panels_share_the_axis_and_its_scale():
    image, _ = marked()
    drawn = draw(image, answer(np.arange(24) * 6.0, ["abdomen"] * 10 + ["chest"] * 14))
    coronal, sagittal, curves = drawn.axes
    for axis in (coronal, sagittal):
        left, right = axis.get_xlim()
        assert left > right
    assert coronal.get_ylim() == sagittal.get_ylim() == curves.get_ylim()
    boxes = [axis.get_position() for axis in drawn.axes]
    assert len({(box.y0, box.y1) for box in boxes}) == 1


@pytest.mark.parametrize(
    ("shape_ijk", "spacing"),
    [((80, 60, 360), (5, 5, 5)), ((40, 40, 22), (10, 10, 5)), ((10, 64, 64), (4, 4, 4)), ((64, 5, 300), (5, 5, 6))],
    ids=["whole body", "thin axial stack", "sagittal slab", "thin tall slab"],
)
def test_a_millimetre_is_as_long_across_as_along_the_body(shape_ijk, spacing):
    image, _ = marked(shape_ijk, spacing, at_ras=(0, 0, 0))
    positions = np.arange(shape_ijk[2]) * spacing[2]
    drawn = draw(image, answer(positions, ["chest"] * len(positions)))
    width, height = drawn.get_size_inches()
    assert width < 12
    assert height < 9
    for axis in drawn.axes[:2]:
        box = axis.get_position()
        across = box.width * width / abs(np.subtract(*axis.get_xlim()))
        along = box.height * height / abs(np.subtract(*axis.get_ylim()))
        assert across == pytest.approx(along, rel=1e-6)


def test_each_region_has_its_colour_in_the_view_and_air_slices_have_none():
    image, _ = marked()
    labels = ["abdomen"] * 12 + ["chest"] * 12
    found = answer(np.arange(24) * 6.0, labels, air=(0, 1))
    picture = draw(image, found).axes[0].images[0].get_array()
    rows = len(picture)
    air, abdomen, chest = (picture[int(part * rows), 3, :3] for part in (0.01, 0.3, 0.8))
    assert np.ptp(air) < 1e-6
    assert abdomen.argmax() == 2  # blue
    assert chest.argmax() == 0  # red


def test_names_boundaries_and_intervals_are_written_beside_the_curves():
    image, _ = marked()
    found = answer(np.arange(24) * 6.0, ["pelvis"] * 8 + ["abdomen"] * 8 + ["chest"] * 8, fixed={"abdomen/chest": 100})
    texts = " ".join(text.get_text() for text in draw(image, found).axes[2].texts)
    (free, fixed) = found.decision.boundaries
    assert f"{free.position_mm:.0f} mm ({free.interval_mm[0]:.0f} to {free.interval_mm[1]:.0f})" in texts
    assert fixed.fixed
    assert "100 mm (set by the user)" in texts
    assert all(name in texts for name in ("pelvis", "abdomen", "chest"))


@given(
    st.lists(st.floats(-500, 500), min_size=1, max_size=9).map(sorted),
    st.floats(1, 60),
    st.floats(10, 900),
)
def test_labels_stay_in_order_inside_and_apart(positions, gap, height):
    places = spread(positions, gap, -height / 2, height / 2)
    room = height / (len(places) - 1) if len(places) > 1 else gap
    assert all(above - below >= min(gap, room) - 1e-6 for below, above in pairwise(places))
    assert places[0] >= -height / 2 - 1e-6
    assert places[-1] <= height / 2 + 1e-6


def test_labels_that_do_not_touch_stay_where_they_are():
    assert spread([-50, 0, 50], 20, -100, 100) == [-50, 0, 50]


def test_colour_blind_readers_tell_neighbouring_regions_apart():
    # Deuteranopia and protanopia in linear RGB: Machado, Oliveira and Fernandes 2009, severity 1.0.
    simulations = (
        np.array([[0.367, 0.861, -0.228], [0.280, 0.673, 0.047], [-0.012, 0.043, 0.969]]),
        np.array([[0.152, 1.053, -0.205], [0.115, 0.786, 0.099], [-0.004, -0.048, 1.052]]),
        np.eye(3),
    )
    assert set(COLOURS) == set(CLASSES)
    rgb = {name: np.array([int(code[n : n + 2], 16) / 255 for n in (1, 3, 5)]) ** 2.2 for name, code in COLOURS.items()}
    for simulation in simulations:
        seen = {name: np.clip(simulation @ value, 0, 1) ** (1 / 2.2) for name, value in rgb.items()}
        for lower, upper in pairwise(BODY):
            assert np.linalg.norm(seen[lower] - seen[upper]) > 0.6


@pytest.mark.parametrize(("ending", "start"), [("png", b"\x89PNG"), ("pdf", b"%PDF"), ("svg", b"<?xml")])
def test_the_ending_of_the_name_sets_the_format(tmp_path, ending, start):
    image, _ = marked()
    path = tmp_path / f"f.{ending}"
    write_figure(image, answer(np.arange(24) * 6.0, ["head"] * 24), path, title="a $strange_name\\")
    assert path.read_bytes().startswith(start)
    assert list(tmp_path.iterdir()) == [path]


def test_another_ending_is_refused(tmp_path):
    image, _ = marked()
    with pytest.raises(FigureError, match=r"\.png, \.pdf, \.svg"):
        write_figure(image, answer(np.arange(24) * 6.0, ["head"] * 24), tmp_path / "f.gif")


def test_a_figure_that_fails_leaves_the_old_one(tmp_path, monkeypatch):
    image, _ = marked()
    path = tmp_path / "f.png"
    path.write_bytes(b"old")
    monkeypatch.setattr("matplotlib.figure.Figure.savefig", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        write_figure(image, answer(np.arange(24) * 6.0, ["head"] * 24), path)
    assert [file.read_bytes() for file in tmp_path.iterdir()] == [b"old"]


def test_the_module_is_imported_without_matplotlib():
    assert "matplotlib" not in vars(figure)


def test_a_single_slice_with_tissue_is_drawn():
    image, _ = marked()
    found = answer(np.arange(24) * 6.0, ["spine"] * 24, air=range(1, 24))
    assert draw(image, replace(found)).axes
