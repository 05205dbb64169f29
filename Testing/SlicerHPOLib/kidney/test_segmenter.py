"""The interactive segmenter: what it answers, that points hold in their voxels, and that nothing is half done."""

from dataclasses import asdict
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from scipy import ndimage as ndi
from scipy.spatial.transform import Rotation
from SlicerHPOLib.bundle import BundleError, read_bundle, write_bundle
from SlicerHPOLib.image import Image
from SlicerHPOLib.job import Cancelled, Job
from SlicerHPOLib.kidney.corrections import CorrectionError, Points
from SlicerHPOLib.kidney.deformation import Deformation, DeformationNetwork, DeformationParameters
from SlicerHPOLib.kidney.grid import Grid, to_native, working_grid
from SlicerHPOLib.kidney.segmentation import check_voxels
from SlicerHPOLib.kidney.segmenter import (
    TASK,
    KidneySegmentation,
    KidneySegmenter,
    SegmentationError,
    distance_of_scores,
    posed_modes,
)
from SlicerHPOLib.kidney.template import Template
from SlicerHPOLib.kidney.transforms import points_of
from SlicerHPOLib.kidney.unet import UNetParameters

from .phantom import dice

SEMI_AXES_MM = np.array([20.0, 16.0, 36.0])
SIZE = 40  # of the working grid: 160 mm


def distance(offsets_mm, semi_axes_mm=SEMI_AXES_MM):
    """About the signed distance (mm, positive inside) to an ellipsoid at offsets (..., 3) from its centre."""
    scaled = np.linalg.norm(offsets_mm / semi_axes_mm, axis=-1)
    gradient = np.linalg.norm(offsets_mm / semi_axes_mm**2, axis=-1) / np.maximum(scaled, 1e-9)
    return np.where(scaled > 0.2, (1 - scaled) / np.maximum(gradient, 1 / 40), 12.0)


def centres(image):
    """(k, j, i, 3) RAS mm of the voxels."""
    return image.ras_of(np.moveaxis(np.indices(image.shape)[::-1], 0, -1))


def volume(shape=(46, 40, 44), spacing_mm=(2.5, 2.5, 3.0), offset_mm=(4.0, -3.0, 2.0), turn=(0, 0, 0)) -> Image:
    """An ellipsoid whose intensity is the distance to its surface, from -12 to 6 mm, along the volume's own axes."""
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_rotvec(turn).as_matrix() * spacing_mm
    blank = Image(np.zeros(shape), matrix)
    local = (centres(blank) - blank.center_mm) @ blank.directions - offset_mm
    return Image(np.clip(distance(local), -12, 6), matrix)


def stored(image, axes, flips):
    """The same voxels at the same places, stored with permuted and reversed axes."""
    voxels, affine = image.voxels.transpose([2 - a for a in reversed(axes)]), image.ijk_to_ras[:, [*axes, 3]]
    for axis, flip in enumerate(flips):
        if flip:
            affine = affine.copy()
            affine[:, 3] += affine[:, axis] * (voxels.shape[2 - axis] - 1)
            affine[:, axis] *= -1
            voxels = np.flip(voxels, 2 - axis)
    return Image(np.ascontiguousarray(voxels), affine)


class Reader:
    """Stands in for the network: reads phi off the intensities, which are a distance from -12 to 6 mm.

    answer: takes phi to what else the network may find, as phi or as scores.
    """

    plan, spacing_mm, populations, judge = SimpleNamespace(spacing_mm=4.0), 4.0, (), None

    def __init__(self, phi=lambda phi: phi, scores=lambda phi: phi / 4, modes=1, quality=3.0):
        self.phi, self.scores, self.quality = phi, scores, torch.tensor([quality])
        along = points_of((24, 24, 24), 4.0, torch.zeros(1))[0, ..., 0] - 46
        self.template_modes = torch.stack([2 * torch.tanh(along / 20)] * modes) if modes else torch.zeros(0, 24, 24, 24)

    def map_of(self, volume):
        return self.scores(18 * volume - 12)

    def expect(self, volume, dense=None):
        return self.map_of(volume), self.quality

    def __call__(self, volume, dense=None):
        read = 18 * volume - 12
        still = torch.zeros(1, 3, 12, 12, 12)
        return Deformation(
            self.phi(read), torch.zeros(1, 9), torch.zeros(1, 1), still, still, 92 / 11, self.scores(read), self.quality
        )


def segmenter(least_confidence=0.6, spacings_mm=(4.0,), **network):
    return KidneySegmenter(Reader(**network), spacings_mm, SIZE, least_confidence)


def warnings_of(result):
    """Without the one that all these boxes get."""
    return tuple(warning for warning in result.warnings if "No cone" not in warning)


def pieces(mask):
    return ndi.label(mask)[1]


def voxels_of(image, points):
    return tuple(np.rint(image.ijk_of(points.ras_mm)).astype(int).T[::-1])


# What it answers


def test_the_mask_is_the_kidney_at_the_volumes_own_voxels():
    image = volume()
    result = segmenter().segment(image)
    truth = image.voxels > 0
    assert result.mask.shape == image.shape and result.mask.dtype == np.uint8
    assert dice(result.mask > 0, truth) > 0.97
    assert pieces(result.mask) == 1
    assert result.measures.volume_ml == pytest.approx(4 / 3 * np.pi * SEMI_AXES_MM.prod() / 1000, rel=0.05)
    assert warnings_of(result) == () and len(result.warnings) == 1
    assert (result.implausibility, result.least_jacobian, len(result.points)) == (0.0, 1.0, 0)
    assert result.phi.dtype == np.float32 and result.phi.shape == result.grid.shape == (SIZE,) * 3
    np.testing.assert_array_equal(result.native.voxels > 0, result.mask > 0)


@pytest.mark.parametrize("axes", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
@pytest.mark.parametrize("flips", [(True, False, False), (False, True, True), (True, True, True)])
def test_a_volume_stored_in_any_order_and_handedness_gets_the_same_answer(axes, flips):
    points = Points().add_inside(volume().center_mm + (30.3, 0.6, 0.9))  # between no two voxels
    reference = segmenter().segment(volume(), points=points)
    result = segmenter().segment(stored(volume(), axes, flips), points=points)
    expected = stored(Image(reference.mask, volume().ijk_to_ras), axes, flips)
    np.testing.assert_array_equal(result.mask, expected.voxels)
    assert result.measures.volume_ml == pytest.approx(reference.measures.volume_ml, rel=1e-4)


@pytest.mark.parametrize("narrow_end", [0, 1])
def test_a_volume_is_segmented_with_the_probe_at_either_end(narrow_end):
    image = volume()
    aside = np.abs(centres(image) - image.center_mm)[..., :2].max(-1)
    depth = np.abs(np.linspace(0, 1, image.shape[0]) - narrow_end)[:, None, None]
    seen = (aside < 15 + 45 * depth) | (image.voxels > 0)
    cone = Image(np.where(seen, image.voxels, -12.01), image.ijk_to_ras)
    result = segmenter().segment(cone)
    assert dice(result.mask > 0, image.voxels > 0) > 0.95


@pytest.mark.parametrize(
    ("offset_mm", "down"), [((22, 2, 1), (-1, 0, 0)), ((1, -20, 2), (0, 1, 0)), ((0, 2, 21), (0, 0, -1))]
)
def test_of_the_directions_that_a_box_may_have_the_one_of_the_best_expected_fit_is_taken(offset_mm, down):
    s, image = segmenter(), volume(offset_mm=offset_mm)
    network = s.network

    class Shallow:  # expects the better fit the nearer the kidney is to the probe
        def __getattr__(self, name):
            return getattr(network, name)

        def expect(self, given, dense=None):
            at = (network(given).phi[0, 0] > 0).nonzero()[:, 0].float().mean()
            return network(given).scores, -at[None]

        def __call__(self, given, dense=None):
            return network(given)

    s.network = Shallow()
    result = s.segment(image)
    np.testing.assert_allclose(result.grid.ijk_to_ras[:3, 2] / 4.0, down, atol=1e-6)
    assert dice(result.mask > 0, image.voxels > 0) > 0.9


def test_a_volume_turned_in_space_gets_the_same_voxels():
    turned = segmenter().segment(volume(turn=(0.3, -0.2, 0.4)))
    np.testing.assert_array_equal(turned.mask, segmenter().segment(volume()).mask)


def test_a_small_volume_is_seen_on_a_finer_grid_in_true_millimetres():
    image = volume(shape=(30, 30, 30), spacing_mm=(2.5, 2.5, 2.5), offset_mm=(0, 0, 0))
    image = Image(np.clip(distance(centres(image) - image.center_mm, SEMI_AXES_MM / 2), -6, 3), image.ijk_to_ras)
    s = segmenter(spacings_mm=(2.0, 4.0))  # the network reads -12 to 6 mm of its own, twice the truth
    result = s.segment(image)
    np.testing.assert_allclose(result.grid.spacing_mm, 2.0)
    assert result.measures.volume_ml == pytest.approx(4 / 3 * np.pi * (SEMI_AXES_MM / 2).prod() / 1000, rel=0.06)
    assert result.phi.min() == pytest.approx(-6.0, abs=0.3)
    point = Points().add_inside(image.center_mm + (14.3, 0.3, 0.3))
    assert s.add_inside(point.ras_mm[0]).mask[voxels_of(image, point)] == 1


def test_the_mask_keeps_the_largest_piece_and_ends_where_the_grid_ends():
    image = Image(np.zeros((30, 20, 60)), np.diag([4.0, 4, 4, 1]))  # 240 mm along R
    grid = Grid(working_grid(image, 4.0, 20).ijk_to_ras, (20, 20, 20))  # the 80 mm in its middle
    x = grid.ras_of(np.moveaxis(np.indices(grid.shape), 0, -1)) - image.center_mm
    phi = np.maximum(15 - np.linalg.norm(x - (38, 0, 0), axis=-1), 8 - np.linalg.norm(x + (15, 0, 0), axis=-1))
    result = KidneySegmentation(image, grid, "unet", phi.astype(np.float32), 1.0, (), Points(), 0.0, 1.0)
    assert pieces(result.native.voxels > 0) == 2 and pieces(result.mask) == 1
    i = np.flatnonzero(result.mask.any(axis=(0, 1)))
    assert image.ras_of([i[-1], 0, 0])[0] <= grid.ras_of(np.array([0, 0, 19.5]))[0] + 1e-6
    assert i[0] > image.ijk_of(image.center_mm)[0]


def test_a_point_in_a_piece_that_is_not_kept_is_refused():
    image = volume()
    result = segmenter().segment(image)
    phi = np.maximum(result.phi, 9 - np.linalg.norm(
        result.grid.ras_of(np.moveaxis(np.indices(result.grid.shape), 0, -1)) - image.center_mm - (-38, 0, 0), axis=-1
    ))  # fmt: skip
    points = Points().add_inside(image.center_mm).add_inside(image.center_mm - (38, 0, 0))
    with pytest.raises(CorrectionError, match=r"point 2 \(inside .*cut off"):
        check_voxels(KidneySegmentation(image, result.grid, "unet", phi, 1.0, (), points, 0.0, 1.0))


# Confidence and warnings


def test_confidence_is_the_dice_that_the_network_expects_and_a_low_one_is_warned_of():
    doubtful = segmenter(least_confidence=0.6, quality=0.0).segment(volume())
    assert doubtful.confidence == pytest.approx(0.5) and len(doubtful.warnings) == 1
    assert "may be no kidney" in doubtful.warnings[0] and doubtful.mask.any()
    sure = segmenter(least_confidence=0.6, quality=2.0).segment(volume())
    assert sure.confidence == pytest.approx(1 / (1 + np.exp(-2.0))) and warnings_of(sure) == ()
    calibrated = segmenter(least_confidence=0.6, quality=2.0)
    calibrated.calibration = (2.0, -3.0)
    assert calibrated.segment(volume()).confidence == pytest.approx(1 / (1 + np.exp(-1.0)))


@pytest.mark.parametrize("offset_mm", [(36.0, 0, 0), (0, -36.0, 0), (0, 0, 34.0)])
def test_a_kidney_cut_by_the_volume_is_warned_of(offset_mm):
    result = segmenter().segment(volume(offset_mm=offset_mm))
    assert any("border of the volume" in warning for warning in result.warnings)


def test_implausible_corrections_are_warned_of():
    s, centre = segmenter(), volume().center_mm
    s.segment(volume())
    assert warnings_of(s.add_inside(centre + (28, -3, 2))) == ()
    s.add_inside(centre + (4, -43, 2))
    result = s.add_outside(centre + (4, -25, 2))
    assert "standard deviations" in warnings_of(result)[0]
    assert result.implausibility > s.undo().implausibility > 0


# Points


@pytest.fixture(scope="module")
def oblique():
    image = stored(volume(spacing_mm=(1.9, 2.4, 3.6), turn=(0.2, 0.3, -0.1)), (1, 0, 2), (True, False, False))
    s = segmenter(modes=0)
    s.segment(image)
    return s


@settings(max_examples=30, deadline=None, derandomize=True, database=None)
@given(st.lists(st.tuples(*[st.floats(-32, 32)] * 3, st.booleans()), min_size=1, max_size=6))
@example([(0.0, 0.0, -9.69921875, False), (22.25, 2.0, 0.0, False), (-16.875, -30.08203125, 0.0, True)])  # phi is flat
def test_every_point_is_honoured_in_its_voxel_of_a_mask_of_one_piece(oblique, given_points):
    image = oblique.result.image
    points = Points()
    for *offset, inside in given_points:
        points = (points.add_inside if inside else points.add_outside)(image.center_mm + offset)
    gaps = np.linalg.norm(points.ras_mm[points.inside][:, None] - points.ras_mm[~points.inside], axis=-1)
    assume(gaps.min(initial=np.inf) > oblique.result.grid.spacing_mm.max())  # nearer ones may be refused
    result = oblique.segment(image, points=points)
    np.testing.assert_array_equal(result.mask[voxels_of(image, points)] > 0, points.inside)
    assert pieces(result.mask) == 1
    assert result.least_jacobian > 0


@pytest.mark.parametrize("outside_mm", [24, 22, 20])
def test_an_inside_point_straight_beyond_an_outside_one_is_honoured_by_going_round(outside_mm):
    s, image = segmenter(), volume()
    before = s.segment(image, points=Points().add_inside(image.center_mm + (28, -3, 2)))
    result = s.add_outside(image.center_mm + (outside_mm, -3, 2))
    assert result.mask[voxels_of(image, s.points)].tolist() == [1, 0]
    assert pieces(result.mask) == 1 and result.least_jacobian > 0
    np.testing.assert_array_equal(s.undo().phi, before.phi)


def test_undo_redo_and_remove_give_to_the_last_bit_what_was_before():
    s, centre = segmenter(), volume().center_mm
    states = [s.segment(volume()), s.add_inside(centre + (30, 0, 0)), s.add_outside(centre + (0, 12, 0))]
    states.append(s.move(1, centre + (29, 2, 3)))
    states.append(s.remove(2))

    def same(a, b):
        np.testing.assert_array_equal(a.phi, b.phi)
        np.testing.assert_array_equal(a.mask, b.mask)
        assert (a.points, a.implausibility, a.warnings) == (b.points, b.implausibility, b.warnings)

    assert not s.can_redo
    for state in reversed(states[:-1]):
        same(s.undo(), state)
    assert not s.can_undo and s.undo() is s.result
    for state in states[1:]:
        same(s.redo(), state)
    assert not s.can_redo and s.redo() is s.result
    fresh = segmenter().segment(volume(), points=states[2].points)
    same(fresh, states[2])
    s.undo()
    s.undo()
    same(s.remove(2), states[1])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s, at: s.add_outside(at), "cannot be both"),
        (lambda s, at: s.add_inside(at + 500), "Outside the volume"),
        (lambda s, at: s.add_inside((np.nan, 0, 0)), "finite"),
        (lambda s, at: s.move(1, at - 500), "Outside the volume"),
        (lambda s, at: s.remove(2), "no point 2"),
    ],
)
def test_a_point_that_is_refused_changes_nothing(change, message):
    s = segmenter()
    image = volume()
    s.segment(image)
    s.add_inside(image.center_mm + (30, 0, 0))
    s.undo()
    before = s.redo()
    with pytest.raises(CorrectionError, match=message):
        change(s, image.center_mm + (30, 0, 0))
    assert s.result is before and len(s.points) == 1 and s.can_undo and not s.can_redo


def test_nothing_can_be_corrected_before_a_volume_is_segmented():
    s = segmenter()
    for call in (lambda: s.result, lambda: s.add_inside((0, 0, 0)), s.undo):
        with pytest.raises(SegmentationError, match="segment"):
            call()
    assert s.points == Points()


def test_modes_of_the_template_move_with_it():
    network, still = Reader(), torch.zeros(1, 3, 12, 12, 12)
    pose = torch.tensor([[10.0, 0, 0, 0, 0, 0, *[np.log(2.0)] * 3]])  # 10 mm along x, twice as large
    found = Deformation(torch.zeros(1, 1, 40, 40, 40), pose, torch.zeros(1, 1), still, still, 92 / 11)
    psi = posed_modes(network, found, 4.0, 0.5)
    assert psi.shape == (1, 40, 40, 40)
    x = np.arange(14, 26) * 4.0 - 78  # from the volume's middle
    expected = 2 * np.tanh((2 * x + 10) / 20) / 2 * 0.5  # distances are half of those in the template, then half again
    np.testing.assert_allclose(psi[0, 20, 20, 14:26], expected, atol=0.03)
    assert posed_modes(Reader(modes=0), found, 4.0, 1.0) is None


def test_corrections_along_a_mode_are_more_plausible():
    points = Points().add_inside(volume().center_mm + (29, -3, 2))
    with_modes, without = (segmenter(modes=n).segment(volume(), points=points) for n in (1, 0))
    assert with_modes.implausibility < without.implausibility


# Methods


def test_the_dense_answer_is_the_largest_piece_of_the_scores_without_holes_as_a_distance():
    image = Image(np.zeros((40, 40, 40)), np.diag([4.0, 4, 4, 1]))
    grid = working_grid(image, 4.0, 40)
    x = grid.ras_of(np.moveaxis(np.indices(grid.shape), 0, -1)) - image.center_mm
    r = np.linalg.norm(x, axis=-1)
    scores = np.maximum(5 * np.tanh((30 - r) / 8), 3 - np.linalg.norm(x - 55, axis=-1))
    scores[19:21, 19:21, 19:21] = -2.0
    phi = distance_of_scores(scores.astype(np.float32), grid)
    near = np.abs(r - 30) < 2
    np.testing.assert_allclose(phi[near], (30 - r)[near], atol=0.2)
    assert pieces(phi > 0) == 1 and (phi[r < 25] > 0).all()


def test_the_dense_answer_can_be_corrected():
    s, image = segmenter(phi=lambda phi: phi - 100), volume()  # the deformation found nothing
    result = s.segment(image, method="unet")
    assert result.method == "unet" and dice(result.mask > 0, image.voxels > 0) > 0.96
    point = Points().add_inside(image.center_mm + (30, 0, 0))
    assert result.mask[voxels_of(image, point)] == 0
    assert s.add_inside(point.ras_mm[0]).mask[voxels_of(image, point)] == 1


@pytest.mark.parametrize(
    ("method", "network", "message"),
    [
        ("deformation", {"phi": lambda phi: phi - 100}, "deformation method found no kidney"),
        ("unet", {"scores": lambda phi: phi - 100}, "unet method found no kidney"),
        ("deformation", {"phi": lambda phi: phi * np.nan}, "no finite result"),
        ("unet", {"scores": lambda phi: phi / 0}, "no finite result"),
    ],
)
def test_a_method_that_finds_nothing_says_so_and_the_last_answer_stays(method, network, message):
    s = segmenter()
    before = s.segment(volume())
    s.network = Reader(**network)
    with pytest.raises(SegmentationError, match=message):
        s.segment(volume(), method=method)
    assert s.result is before


def test_a_kidney_outside_of_the_volume_is_none():
    small = volume(shape=(10, 10, 10), offset_mm=(0, 0, 0))
    aside = torch.zeros(1, 1, SIZE, SIZE, SIZE)
    aside[..., :12] = 20.0
    with pytest.raises(SegmentationError, match="no kidney"):
        segmenter(phi=lambda phi: aside - 10).segment(small)


def test_a_cancelled_segmentation_changes_nothing():
    s = segmenter()
    before = s.segment(volume())
    fractions = []
    job = Job(lambda fraction, text: (fractions.append(fraction), fraction >= 1.0 and job.cancel()))
    cancelled = Job()
    cancelled.cancel()
    with pytest.raises(Cancelled):
        s.segment(volume(), job=cancelled)
    assert s.result is before
    s.segment(volume(), job=job)
    assert fractions == sorted(fractions) and fractions[-1] == 1.0 and s.result is not before


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ({"method": "magic"}, "Unknown method 'magic'"),
        ({"method": "classical"}, "needs a seed point"),
        ({"seed_point_mm": (0, 0, 0)}, "takes no seed point"),
        ({"method": "classical", "seed_point_mm": (900, 0, 0)}, "outside the volume"),
        ({"method": "classical", "seed_point_mm": (0, 0)}, "three numbers"),
        ({"method": "classical", "seed_point_mm": "here"}, "three numbers"),
    ],
)
def test_a_request_that_makes_no_sense_is_refused(request_, message):
    with pytest.raises(SegmentationError, match=message):
        segmenter().segment(volume(), **request_)


# Bundles

ENCODER = UNetParameters(base=4, levels=3, strided=True, dropout=0.0)
TOY = DeformationParameters(encoder=ENCODER, look=ENCODER, spacing_mm=8.0, lattice_mm=12.0, sigma_mm=16.0, hidden=16)


def a_template(size=21, spacing_mm=5.0):
    x = np.moveaxis(np.indices((size,) * 3)[::-1], 0, -1) * spacing_mm - (size - 1) / 2 * spacing_mm
    return Template(distance(x), 1.5 * np.tanh(x[None, ..., 0] / 10), np.ones(1), spacing_mm)


def weights():
    torch.manual_seed(0)
    return DeformationNetwork(TOY, a_template()).state_dict()


def manifest(**changes):
    given = {
        "name": "toy",
        "task": TASK,
        "summary": "for a test",
        "architecture": asdict(TOY),
        "input": {"spacings_mm": [8.0], "size": 20},
        "decision": {"least_confidence": 0.5},
        "training": {},
        "metrics": {},
        "licence": "Apache-2.0",
        "attributions": [],
        "intended_use": "tests",
    }
    return given | changes


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    return write_bundle(tmp_path_factory.mktemp("models") / "toy", manifest(), weights())


def test_a_bundle_gives_a_segmenter(toy, monkeypatch):
    monkeypatch.setenv("SLICERHPO_MODELS", str(toy.parent))
    masks = [KidneySegmenter.load(given).segment(volume()).mask for given in ("toy", toy, read_bundle(toy))]
    assert pieces(masks[0]) == 1
    for mask in masks[1:]:
        np.testing.assert_array_equal(mask, masks[0])


def test_an_untrained_network_expects_nothing_and_can_be_corrected(toy):
    s, image = KidneySegmenter.load(toy), volume()
    result = s.segment(image)
    assert result.confidence == 0.5
    point = Points().add_outside(image.ras_of(np.argwhere(result.mask)[::-1][0][::-1]))
    assert s.add_outside(point.ras_mm[0]).mask[voxels_of(image, point)] == 0


def test_the_classical_method_starts_from_a_seed_point_and_claims_no_kidney(toy):
    s, image = KidneySegmenter.load(toy), volume()
    result = s.segment(image, method="classical", seed_point_mm=image.center_mm + (4.0, -3.0, 2.0))
    assert dice(result.mask > 0, image.voxels > 0) > 0.7
    assert "no evidence of a kidney" in result.warnings[0]
    assert result.least_jacobian > 0 and result.method == "classical"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"task": "mr-field-of-view"}, "task is 'mr-field-of-view'"),
        ({"architecture": {"deep": True}}, "no kidney model"),
        ({"architecture": asdict(TOY) | {"hidden": 8}}, "do not belong"),
        ({"input": {"spacings_mm": [8.0]}}, "'size' is missing"),
        ({"input": {"spacings_mm": [8.0, 0.0], "size": 20}}, "expected are spacings_mm"),
        ({"input": {"spacings_mm": 8.0, "size": 20}}, "no kidney model"),
        ({"input": {"spacings_mm": [8.0], "size": "20"}}, "size in voxels"),
        ({"decision": {}}, "'least_confidence' is missing"),
        ({"decision": {"least_confidence": 7}}, "from 0 to 1"),
        ({"decision": {"least_confidence": "high"}}, "no kidney model"),
        ({"decision": {"least_confidence": 0.5, "calibration": [-1.0, 0.0]}}, "two numbers, the first positive"),
        ({"decision": {"least_confidence": 0.5, "calibration": [1.0]}}, "no kidney model"),
    ],
)
def test_a_bundle_for_another_task_or_with_other_weights_is_refused(tmp_path, changes, message):
    folder = write_bundle(tmp_path / "wrong", manifest(**changes), weights())
    with pytest.raises(BundleError, match=message):
        KidneySegmenter.load(folder)


def test_a_bundle_that_does_not_exist_is_named():
    with pytest.raises(BundleError, match="nowhere"):
        KidneySegmenter.load("nowhere")


def test_weights_without_a_template_are_refused(tmp_path):
    incomplete = weights()
    del incomplete["template_phi"]
    with pytest.raises(BundleError, match="template_phi"):
        KidneySegmenter.load(write_bundle(tmp_path / "incomplete", manifest(), incomplete))


def test_phi_at_the_volumes_voxels_agrees_with_the_mask_away_from_the_kidney_too():
    result = segmenter().segment(volume(spacing_mm=(1.7, 2.2, 1.1), shape=(70, 40, 50)))
    np.testing.assert_array_equal(to_native(result.phi, result.grid, result.image).voxels > 0, result.mask > 0)
