import time

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from scipy.spatial.transform import Rotation
from scipy.special import erf
from SlicerHPOLib.image import Image
from SlicerHPOLib.job import Cancelled, Job
from SlicerHPOLib.kidney.deformation import Deformation
from SlicerHPOLib.kidney.grid import Grid, to_grid, working_grid
from SlicerHPOLib.kidney.implicit import (
    ImplicitError,
    _statistics,
    confidence,
    orientations,
    refine,
    segment_from_click,
)
from SlicerHPOLib.kidney.template import mean_template, signed_distance
from SlicerHPOLib.kidney.transforms import centre_of, points_of, pose_matrix, pulled

from .phantom import bean_mask, dice, speckled

TURN, OFFSET_MM = (0.7, -0.5, 0.4), np.array([10.0, -6.0, 8.0])


def off_centre(distance_mm, seed=0):
    direction = np.random.default_rng(seed).normal(size=3)
    return OFFSET_MM + distance_mm * direction / np.linalg.norm(direction)


@pytest.fixture(scope="module")
def template():
    beans = [bean_mask(bend=bend, notch=notch) for bend, notch in ((0.1, 0.3), (0.3, 0.5), (0.5, 0.2))]
    return mean_template([signed_distance(bean) for bean in beans], modes=2)


@pytest.fixture(scope="module")
def phantom():
    """A turned, smaller bean, its volume on the working grid, and the truth there."""
    mask = bean_mask(TURN, OFFSET_MM, 0.85, shape=(84, 84, 84), spacing_mm=3.0, bend=0.4)
    image = speckled(mask)
    grid = working_grid(image)
    return to_grid(image, grid), grid, to_grid(mask, grid) > 0.5


@pytest.fixture(scope="module")
def found(phantom, template):
    volume, grid, _ = phantom
    start = time.thread_time()
    segmentation = segment_from_click(volume, grid, template, off_centre(5.0))
    return segmentation, time.thread_time() - start


def test_a_click_5_mm_off_centre_finds_the_kidney(found, phantom):
    segmentation, _ = found
    _, grid, truth = phantom
    assert segmentation.phi.shape == grid.shape and segmentation.phi.dtype == np.float32
    assert dice(segmentation.phi > 0, truth) > 0.8
    assert segmentation.confidence > 0.5


def test_the_local_deformation_does_not_fold(found):
    assert found[0].deformation.least_jacobian().item() > 0


def test_the_energy_falls(found):
    energies = found[0].energies
    assert len(energies) == 12 + 30 + 12 + 24
    for first, last in ((0, 41), (42, 77)):  # on the coarse grid, on the fine one
        assert energies[last] < energies[first]


def test_a_click_takes_less_than_5_seconds_of_two_cores(found):
    assert found[1] < 10.0  # seconds of this thread; a loaded machine may halve its speed


def test_a_start_far_from_the_truth_is_refined(phantom, template):
    volume, grid, truth = phantom
    rotation = torch.tensor(Rotation.from_rotvec(TURN).inv().as_rotvec()[None], dtype=torch.float32)
    turned = Rotation.from_rotvec(rotation[0].numpy()).as_matrix() @ (OFFSET_MM + 6)
    pose = torch.cat([-torch.tensor(turned, dtype=torch.float32)[None], rotation, torch.zeros(1, 3)], 1)
    velocity = torch.zeros(1, 3, 22, 22, 22)
    start = Deformation(torch.zeros(1), pose, torch.zeros(1, 2), velocity, velocity, 165 / 21)
    matrix = pose_matrix(pose, centre_of(grid.shape, 4.0), centre_of(template.phi.shape, 3.0))
    phi0 = torch.tensor(template.phi)[None, None]
    at_start = dice(pulled(phi0, 3.0, points_of(grid.shape, 4.0, pose), matrix, None, 8.0)[0, 0].numpy() > 0, truth)
    refined = refine(volume, grid, template, start)
    assert at_start < 0.75 and dice(refined.phi > 0, truth) > 0.8
    assert refined.energies[-1] < refined.energies[0]


def test_confidence_tells_a_kidney_from_speckle(phantom):
    volume, _, truth = phantom
    grid = Grid(np.diag([4.0, 4, 4, 1]), truth.shape)
    phi = signed_distance(Image(truth.astype(np.uint8), grid.ijk_to_ras)).voxels
    speckle = gaussian_filter(np.random.default_rng(0).rayleigh(1, truth.shape), 0.7) / 3
    assert confidence(volume, phi, 4.0) > 0.6
    assert confidence(speckle, phi, 4.0) < 0.2
    assert confidence(np.full(truth.shape, 0.5), phi, 4.0) < 0.01
    assert confidence(volume, np.full(truth.shape, -50.0), 4.0) == 0.0  # no shape at all


def test_confidence_of_known_contrast_is_that_of_the_roc_curve():
    """Half spaces whose intensities differ by 2 standard deviations: d' = 2 gives erf(1)."""
    rng = np.random.default_rng(1)
    phi = np.broadcast_to((np.arange(40) - 19.5) * 2.0, (40, 40, 40))
    volume = 0.5 + 0.1 * (rng.normal(size=phi.shape) + np.sign(phi))
    deviation = np.hypot(0.1, 0.03)  # with the least one added
    assert confidence(volume, phi, 2.0) == pytest.approx(erf(0.2 / deviation / 2), abs=0.03)


def test_statistics_are_those_of_gaussian_windows():
    rng = np.random.default_rng(2)
    image, weight = rng.random((9, 9, 9)), rng.random((9, 9, 9))
    mean, variance = _statistics(torch.tensor(image)[None, None], torch.tensor(weight)[None, None], 1.5)
    total, first, second = (
        gaussian_filter(weight * power, 1.5, mode="nearest", radius=5) for power in (1, image, image**2)
    )
    np.testing.assert_allclose(mean[0, 0], first / total, rtol=0.01)
    np.testing.assert_allclose(variance[0, 0], second / total - (first / total) ** 2 + 0.03**2, rtol=0.02)


def test_orientations_bring_all_directions_near_to_the_long_axis():
    rng = np.random.default_rng(3)
    directions = rng.normal(size=(200, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    z = np.array([np.abs(Rotation.from_rotvec(r).apply(directions)[:, 2]) for r in orientations()]).max(0)
    assert len(orientations()) == 13
    assert np.degrees(np.arccos(z)).max() < 32


def test_a_point_outside_is_refused_with_its_place(phantom, template):
    volume, grid, _ = phantom
    with pytest.raises(ImplicitError, match="999"):
        segment_from_click(volume, grid, template, np.array([999.0, 0, 0]))


def test_a_start_of_another_template_is_refused(phantom, template):
    volume, grid, _ = phantom
    velocity = torch.zeros(1, 3, 22, 22, 22)
    start = Deformation(torch.zeros(1), torch.zeros(1, 9), torch.zeros(1, 5), velocity, velocity)
    with pytest.raises(ImplicitError, match="2 modes"):
        refine(volume, grid, template, start)


def test_voxels_that_are_no_cubes_are_refused(phantom, template):
    with pytest.raises(ImplicitError, match="cubic"):
        segment_from_click(phantom[0], Grid(np.diag([4.0, 4, 5, 1]), (80, 80, 80)), template, np.zeros(3))


def test_the_search_stops_when_it_is_cancelled(phantom, template):
    volume, grid, _ = phantom
    job = Job()
    job.cancel()
    with pytest.raises(Cancelled):
        segment_from_click(volume, grid, template, OFFSET_MM, job)
