import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import expm
from scipy.ndimage import affine_transform, gaussian_filter, map_coordinates
from scipy.spatial.transform import Rotation
from SlicerHPOLib.kidney import transforms
from SlicerHPOLib.kidney.transforms import (
    box_mm,
    centre_of,
    flow,
    jacobian_determinants,
    points_of,
    pose_matrix,
    rotation_vector,
    sample,
    sample_distance,
    smooth,
    steepness,
    transform,
)

SHAPE, SPACING = (9, 10, 11), 2.5
CENTRE = centre_of(SHAPE, SPACING)
numbers = st.floats(-1, 1, allow_nan=False)


def a_pose(translation=(0, 0, 0), rotation=(0, 0, 0), log_scale=(0, 0, 0), dtype=torch.float64):
    return torch.tensor([[*translation, *rotation, *log_scale]], dtype=dtype)


def an_ellipsoid(semi_axes_mm, shape=(33, 33, 33), spacing=2.0, centre_offset=(0, 0, 0)):
    """A rough implicit function of an ellipsoid (x, y, z semi-axes) about the centre: (1, 1, D, H, W)."""
    points = points_of(shape, spacing, torch.zeros(1, dtype=torch.float64))
    local = points - torch.tensor(centre_of(shape, spacing)) - torch.tensor(centre_offset)
    return ((1 - (local / torch.tensor(semi_axes_mm, dtype=torch.float64)).norm(dim=-1)) * min(semi_axes_mm))[:, None]


def posed(phi0, pose, spacing=2.0):
    shape = phi0.shape[2:]
    centre = centre_of(shape, spacing)
    return sample_distance(phi0, transform(points_of(shape, spacing, pose), pose_matrix(pose, centre, centre)), spacing)


def centroid_mm(phi, spacing=2.0):
    inside = (phi > 0)[:, 0]
    return points_of(phi.shape[2:], spacing, phi)[inside].mean(0).numpy()


def test_points_are_x_y_z_in_mm_along_i_j_k():
    points = points_of((2, 3, 4), 5.0, torch.zeros(1))
    assert points.shape == (1, 2, 3, 4, 3)
    assert points[0, 1, 2, 3].tolist() == [15, 10, 5]
    assert box_mm((2, 3, 4), 5.0) == (15, 10, 5) and centre_of((2, 3, 4), 5.0) == (7.5, 5, 2.5)


@settings(max_examples=20, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 25), st.floats(0, 22.5), st.floats(0, 20)), min_size=1, max_size=5))
def test_sampling_is_scipys_linear_interpolation(points):
    volume = np.random.default_rng(0).normal(size=SHAPE)
    got = sample(torch.tensor(volume)[None, None], torch.tensor([[[points]]], dtype=torch.float64), SPACING)
    expected = map_coordinates(volume, np.array(points).T[::-1] / SPACING, order=1)
    np.testing.assert_allclose(got[0, 0, 0, 0], expected, atol=1e-9)


def test_a_distance_grows_on_beyond_its_box():
    phi = torch.full((1, 1, 5, 5, 5), -3.0, dtype=torch.float64)  # box of 8 mm
    points = torch.tensor([[4.0, 4, 4], [11, 12, 4], [-2, 4, 4]], dtype=torch.float64)[None, None, None]
    np.testing.assert_allclose(sample_distance(phi, points, 2.0).flatten(), [-3, -8, -5], atol=1e-5)


@settings(max_examples=20, deadline=None)
@given(st.tuples(*[st.floats(-3, 3)] * 3))
def test_the_rotation_is_the_exponential_of_scipy(vector):
    got = transforms.rotation_matrix(torch.tensor([vector], dtype=torch.float64))[0]
    np.testing.assert_allclose(got[:3, :3], Rotation.from_rotvec(vector).as_matrix(), atol=1e-9)
    x, y, z = vector
    np.testing.assert_allclose(got[:3, :3], expm(np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])), atol=1e-9)


def test_the_pose_at_rest_takes_the_images_centre_to_the_templates():
    matrix = pose_matrix(a_pose(), (10, 20, 30), (1, 2, 3))[0]
    np.testing.assert_allclose(matrix @ torch.tensor([10.0, 20, 30, 1]).double(), [1, 2, 3, 1])
    np.testing.assert_allclose(matrix[:3, :3], np.eye(3))


def test_the_pose_is_the_product_of_equation_4_8_with_centring_by_translations():
    pose = a_pose((3, -4, 5), (0.1, 0.2, -0.3), (0.2, -0.1, 0.3))
    c_minus, c_plus, t, s = np.eye(4), np.eye(4), np.eye(4), np.diag([*np.exp([0.2, -0.1, 0.3]), 1])
    c_minus[:3, 3], c_plus[:3, 3], t[:3, 3] = [-7, -8, -9], [1, 2, 3], [3, -4, 5]
    r = np.eye(4)
    r[:3, :3] = Rotation.from_rotvec([0.1, 0.2, -0.3]).as_matrix()
    np.testing.assert_allclose(pose_matrix(pose, (7, 8, 9), (1, 2, 3))[0], c_plus @ t @ r @ s @ c_minus, atol=1e-12)


def test_a_translation_shows_the_template_the_other_way():
    phi0 = an_ellipsoid((12.0, 12, 12))
    moved = posed(phi0, a_pose(translation=(6, -4, 2)))
    np.testing.assert_allclose(centroid_mm(moved) - centroid_mm(phi0), [-6, 4, -2], atol=0.1)


def test_a_small_scale_enlarges():
    phi0 = an_ellipsoid((12.0, 12, 12))
    large = posed(phi0, a_pose(log_scale=np.log([0.5, 1, 1])))
    inside = points_of(phi0.shape[2:], 2.0, phi0)[(large > 0)[:, 0]]
    half_width = (inside.amax(0) - inside.amin(0)) / 2
    np.testing.assert_allclose(half_width, [24, 12, 12], atol=2)
    assert (large > 0).sum() == pytest.approx(2 * (phi0 > 0).sum().item(), rel=0.05)


def test_a_rotation_turns_the_template_back():
    """A quarter turn about z takes the image's x to the template's y: a shape long along the template's y is long along
    the image's x; the sign shows on a ball off the centre."""
    angle = (0, 0, np.pi / 2)
    turned = posed(an_ellipsoid((8.0, 20, 8)), a_pose(rotation=angle))
    spread = points_of(turned.shape[2:], 2.0, turned)[(turned > 0)[:, 0]].std(0)
    assert spread[0] > 2 * spread[1]
    ball = an_ellipsoid((8.0, 8, 8), centre_offset=(0, 14, 0))  # at template +y
    at = centroid_mm(posed(ball, a_pose(rotation=angle))) - 32
    np.testing.assert_allclose(at, [14, 0, 0], atol=0.3)  # at image +x, which G takes to +y


def test_the_posed_template_is_scipys_affine_transform():
    pose = a_pose((2, -3, 1), (0.3, -0.2, 0.5), (0.1, -0.2, 0.15))
    phi0 = torch.tensor(gaussian_filter(np.random.default_rng(4).normal(size=(17, 17, 17)), 2))[None, None]
    matrix = pose_matrix(pose, centre_of((17,) * 3, 2.0), centre_of((17,) * 3, 2.0))[0].numpy()
    expected = affine_transform(phi0[0, 0].numpy(), matrix[:3, :3][::-1, ::-1], matrix[:3, 3][::-1] / 2.0, order=1)
    got = posed(phi0, pose)[0, 0].numpy()
    points = transform(points_of((17,) * 3, 2.0, pose), pose_matrix(pose, (16,) * 3, (16,) * 3))[0].numpy()
    inner = ((points > 0) & (points < 32)).all(-1)
    assert inner.sum() > 2000
    np.testing.assert_allclose(got[inner], expected[inner], atol=1e-9)


def test_smoothing_is_scipys_gaussian_and_keeps_constants():
    field = np.random.default_rng(5).normal(size=(2, 3, 9, 10, 11))
    got = smooth(torch.tensor(field), 1.5).numpy()
    expected = gaussian_filter(field, (0, 0, 1.5, 1.5, 1.5), mode="nearest", radius=(0, 0, 5, 5, 5))
    np.testing.assert_allclose(got, expected, atol=1e-9)
    np.testing.assert_allclose(smooth(torch.ones(1, 3, 4, 4, 4), 2.0), 1, atol=1e-6)


def test_the_flow_of_a_linear_velocity_is_the_matrix_exponential():
    matrix = np.array([[0.1, -0.2, 0.05], [0.15, -0.1, 0.1], [0.0, 0.2, 0.05]])
    shape, spacing = (21, 21, 21), 2.0
    points = points_of(shape, spacing, torch.zeros(1, dtype=torch.float64))
    local = points - torch.tensor(centre_of(shape, spacing))
    displacement = flow((local @ torch.tensor(matrix).T).movedim(-1, 1), spacing)
    expected = local @ torch.tensor(expm(matrix) - np.eye(3)).T
    inner = slice(6, 15)  # paths that stay on the lattice
    got = displacement.movedim(1, -1)[:, inner, inner, inner]
    np.testing.assert_allclose(got, expected[:, inner, inner, inner], atol=0.03)  # mm, for 3 mm of displacement


def test_the_flow_of_a_constant_is_a_translation_and_of_zero_nothing():
    velocity = torch.tensor([3.0, -2.0, 7.0]).reshape(1, 3, 1, 1, 1).expand(1, 3, 6, 6, 6)
    np.testing.assert_allclose(flow(velocity, 4.0), velocity, atol=1e-5)
    assert not flow(torch.zeros(2, 3, 4, 4, 4), 4.0).any()


def test_the_negative_velocity_is_the_inverse():
    velocity = smooth(torch.randn(1, 3, 16, 16, 16, generator=torch.Generator().manual_seed(1)) * 30, 2.0)
    forth, back = flow(velocity, 4.0), flow(-velocity, 4.0)
    points = points_of((16,) * 3, 4.0, velocity)
    there = points + forth.movedim(1, -1)
    again = there + sample(back, there, 4.0).movedim(1, -1)
    assert forth.norm(dim=1).max() > 5
    assert (again - points)[:, 4:12, 4:12, 4:12].norm(dim=-1).max() < 0.6


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**31), st.floats(0, 3), st.floats(1.0, 3.0))
def test_no_random_field_folds(seed, log_amplitude, sigma):
    """From 1 mm to metres: an amplitude that would fold is scaled down."""
    noise = torch.randn(1, 3, 12, 12, 12, generator=torch.Generator().manual_seed(seed))
    displacement = flow(smooth(noise * 10**log_amplitude * 10, sigma), 8.0)
    assert jacobian_determinants(displacement, 8.0).min() > 0


def test_a_velocity_is_scaled_down_only_where_it_is_too_steep():
    velocity = smooth(torch.randn(2, 3, 12, 12, 12, generator=torch.Generator().manual_seed(2)), 1.5)
    velocity = velocity * torch.tensor([1.0, 1000.0]).reshape(2, 1, 1, 1, 1)
    gentle, steep = flow(velocity, 8.0)
    np.testing.assert_allclose(gentle, flow(velocity[:1], 8.0)[0])
    capped = velocity[1:] * transforms.STEEPEST / steepness(velocity[1:], 8.0)
    np.testing.assert_allclose(steep, flow(capped, 8.0)[0], atol=1e-4)


def test_the_determinant_of_a_linear_map_is_exact_and_a_fold_is_negative():
    matrix = torch.tensor([[0.1, -0.2, 0.05], [0.3, -0.1, 0.1], [0.0, 0.2, 0.4]], dtype=torch.float64)
    points = points_of((4, 5, 6), 3.0, matrix)
    got = jacobian_determinants((points @ matrix.T).movedim(-1, 1), 3.0)
    assert got.shape == (1, 8, 3, 4, 5)
    np.testing.assert_allclose(got, torch.linalg.det(torch.eye(3) + matrix), atol=1e-9)
    folded = torch.zeros(1, 3, 4, 4, 4)
    folded[:, 0, 1, 1, 1] = 2.0  # one lattice point passes its neighbour at 1 mm
    assert jacobian_determinants(folded, 1.0).min() < 0


def test_the_determinant_is_that_of_automatic_differentiation():
    displacement = smooth(torch.randn(1, 3, 5, 5, 5, dtype=torch.float64) * 4, 1.0)
    got = jacobian_determinants(displacement, 2.0)[0]

    def mapped(point):
        return point + sample(displacement, point.reshape(1, 1, 1, 1, 3), 2.0).flatten()

    nudge = 1e-6  # into the cell whose first corner this is
    point = torch.tensor([2.0, 4.0, 2.0], dtype=torch.float64) + nudge
    expected = torch.linalg.det(torch.autograd.functional.jacobian(mapped, point))
    np.testing.assert_allclose(got[0, 1, 2, 1], expected, atol=1e-4)


def test_gradients_are_right():
    torch.manual_seed(3)
    pose = (torch.randn(2, 9, dtype=torch.float64) * 0.2).requires_grad_()
    phi0 = torch.randn(1, 1, 4, 4, 4, dtype=torch.float64, requires_grad=True)
    velocity = torch.randn(2, 3, 3, 3, 3, dtype=torch.float64, requires_grad=True)

    def phi(pose, phi0, velocity):
        matrix = pose_matrix(pose, centre_of((3, 3, 3), 2.0), centre_of((4, 4, 4), 2.0))
        points = transform(points_of((3, 3, 3), 2.0, pose), matrix)
        local = flow(smooth(velocity, 1.0), 3.0)
        return sample_distance(phi0, points + sample(local, points, 3.0).movedim(1, -1), 2.0)

    assert torch.autograd.gradcheck(phi, (pose, phi0, velocity), atol=1e-5)
    assert torch.autograd.gradcheck(
        lambda pose: pose_matrix(pose, CENTRE, CENTRE), torch.zeros_like(pose).requires_grad_()
    )


def test_grids_stay_in_float32_under_bfloat16_autocast():
    """Points 200 mm from the origin have an error of half a millimetre in bfloat16."""
    pose = a_pose((1.3, 0.7, -2.1), (0.2, 0.1, 0.3), dtype=torch.float32)
    phi0, velocity = torch.randn(1, 1, 8, 8, 8), torch.randn(1, 3, 5, 5, 5)

    def everything():
        points = transform(points_of((8,) * 3, 30.0, pose), pose_matrix(pose, (105,) * 3, (105,) * 3))
        local = flow(smooth(velocity, 1.0), 52.5)
        return points, sample_distance(phi0, points + sample(local, points, 52.5).movedim(1, -1), 30.0)

    expected = everything()
    with torch.autocast("cpu", torch.bfloat16):
        got = everything()
        assert (pose @ pose.T).dtype == torch.bfloat16  # autocast is on
    for g, e in zip(got, expected, strict=True):
        assert g.dtype == torch.float32
        np.testing.assert_array_equal(g, e)


def test_half_precision_inputs_are_lifted():
    field = torch.randn(1, 3, 4, 4, 4).bfloat16()
    assert flow(field, 4.0).dtype == torch.float32
    assert points_of((2, 2, 2), 1.0, field).dtype == torch.float32


def test_rotation_vectors_are_those_of_scipy():
    rotations = Rotation.random(500, random_state=0)
    found = rotation_vector(torch.tensor(rotations.as_matrix()))
    np.testing.assert_allclose(found, rotations.as_rotvec(), atol=1e-12)
    assert torch.autograd.gradcheck(rotation_vector, torch.tensor(rotations[:4].as_matrix(), requires_grad=True))
    identity = torch.eye(3, dtype=torch.float64)[None].requires_grad_()
    assert torch.autograd.gradcheck(rotation_vector, identity)
