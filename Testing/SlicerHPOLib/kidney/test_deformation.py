import json
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation
from SlicerHPOLib.kidney.deformation import (
    Deformation,
    DeformationNetwork,
    DeformationParameters,
    deformation_loss,
    heaviside,
    network_of,
)
from SlicerHPOLib.kidney.moments import principal_pose, rms_size_mm
from SlicerHPOLib.kidney.template import Template
from SlicerHPOLib.kidney.transforms import centre_of, lattice_of, points_of, pose_matrix, pulled, smooth
from SlicerHPOLib.kidney.unet import UNetParameters, dice_loss

ENCODER = UNetParameters(base=4, levels=3, strided=True, dropout=0.0)
LOOK = UNetParameters(base=4, levels=2, strided=True, dropout=0.0)
TOY = DeformationParameters(encoder=ENCODER, look=LOOK, spacing_mm=8.0, lattice_mm=12.0, sigma_mm=16.0, hidden=16)
SHAPE = (20, 20, 20)


def ellipsoid(points_mm, semi_axes_mm):
    """A rough signed distance (..., 3) -> (...), positive inside."""
    semi = torch.as_tensor(semi_axes_mm, dtype=points_mm.dtype)
    return (1 - (points_mm / semi).norm(dim=-1)) * semi.min()


def a_template(modes=1, semi_axes_mm=(22.0, 18.0, 36.0), size=21, spacing_mm=5.0):
    points = points_of((size,) * 3, spacing_mm, torch.zeros(1)) - (size - 1) / 2 * spacing_mm
    phi = ellipsoid(points, semi_axes_mm)[0].numpy()
    lopsided = 1.5 * np.tanh(points[0, ..., 0].numpy() / 10)  # thicker at +x, thinner at -x
    return Template(phi, np.stack([lopsided] * modes), np.full(modes, 0.5), spacing_mm)


def volumes(count, seed, reach_mm=20.0):
    """Bright ellipsoids in noise, their masks and offsets (x, y, z) from the volume's middle."""
    generator = torch.Generator().manual_seed(seed)
    offsets = (torch.rand(count, 3, generator=generator) * 2 - 1) * reach_mm
    points = points_of(SHAPE, 8.0, offsets) - torch.tensor(centre_of(SHAPE, 8.0))
    truth = (ellipsoid(points - offsets[:, None, None, None], (22.0, 18.0, 36.0)) > 0).float()[:, None]
    return truth * 0.5 + 0.5 * torch.rand(truth.shape, generator=generator), truth, offsets


def trained(parameters, steps, template, seed=0, reach_mm=20.0):
    torch.manual_seed(seed)
    network = DeformationNetwork(parameters, template)
    optimiser = torch.optim.Adam(network.parameters(), 5e-3)
    losses = []
    for step in range(steps):
        volume, truth, _ = volumes(6, seed=step, reach_mm=reach_mm)
        found = network(volume)
        deformed = deformation_loss(found, truth, width_mm=4.0)
        loss = deformed + dice_loss(torch.sigmoid(found.scores), truth)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(deformed.item())
    return network.eval(), losses


@pytest.fixture(scope="module")
def toy():
    return trained(TOY, 70, a_template())


@pytest.mark.parametrize("pose", ["none", "regressed"])
def test_training_starts_at_the_template_itself(pose):
    network = DeformationNetwork(replace(TOY, pose=pose), a_template()).eval()
    found = network(torch.rand(2, 1, *SHAPE))
    assert isinstance(found, Deformation)
    matrix = pose_matrix(torch.zeros(1, 9), centre_of(SHAPE, 8.0), centre_of((21,) * 3, 5.0))
    expected = pulled(network.template_phi, 5.0, points_of(SHAPE, 8.0, matrix), matrix, None, 12.0)
    np.testing.assert_allclose(found.phi.detach(), expected.expand(2, -1, -1, -1, -1), atol=1e-3)
    assert found.pose.abs().max() < 1e-4 and not found.modes.any() and not found.displacement.any()
    assert found.phi.shape == found.scores.shape == (2, 1, *SHAPE) and found.pose.shape == (2, 9)
    assert found.modes.shape == (2, 1)
    np.testing.assert_allclose(found.least_jacobian().detach(), 1, atol=1e-5)


def test_training_starts_at_the_template_posed_by_the_moments_of_the_dense_map():
    network = DeformationNetwork(TOY, a_template()).eval()
    volume, truth, _ = volumes(3, seed=4)
    network.dense_head = Dense((truth - 0.5) * 40)
    found = network(volume)
    inside = found.phi > 0
    dice = 2 * (inside & (truth > 0)).flatten(1).sum(1) / (inside.flatten(1).sum(1) + truth.flatten(1).sum(1))
    assert dice.min() > 0.7  # voxels of the dense map are as large as the ellipsoid's small semi-axis
    assert not found.modes.any() and not found.displacement.any()


class Dense(torch.nn.Module):
    """A dense head that knows the answer, at half the resolution."""

    def __init__(self, scores):
        super().__init__()
        self.scores = torch.nn.functional.avg_pool3d(scores, 2)

    def forward(self, features):
        return self.scores


def test_only_some_points_of_phi_may_be_asked_for():
    network = DeformationNetwork(TOY, a_template()).eval()
    volume = torch.rand(1, 1, *SHAPE)
    all_points, some = network(volume), network(volume, 3, (2, 0, 1))
    np.testing.assert_allclose(some.phi.detach(), all_points.phi.detach()[..., 2::3, ::3, 1::3], atol=1e-4)
    np.testing.assert_allclose(some.scores.detach(), all_points.scores.detach()[..., 2::3, ::3, 1::3], atol=1e-5)


def test_the_loss_falls_and_the_pose_recovers_shifts_never_seen(toy):
    network, losses = toy
    assert np.mean(losses[-5:]) < 0.6 * losses[0]
    volume, truth, offsets = volumes(8, seed=1000)
    with torch.no_grad():
        found = network(volume)
    centre = torch.tensor(centre_of((21,) * 3, 5.0))
    matrix = pose_matrix(found.pose, centre_of(SHAPE, 8.0), centre.tolist())
    back = (
        torch.linalg.inv(matrix) @ torch.cat([centre, torch.ones(1)])[:, None]
    )  # where the template's centre comes to lie
    shift = back[:, :3, 0] - torch.tensor(centre_of(SHAPE, 8.0))
    assert (shift - offsets).norm(dim=1).mean() < 4.0  # mm, half a voxel
    inside = found.phi > 0
    dice = 2 * (inside & (truth > 0)).flatten(1).sum(1) / (inside.flatten(1).sum(1) + truth.flatten(1).sum(1))
    assert dice.min() > 0.75 and dice.mean() > 0.83
    assert found.least_jacobian().min() > 0


def test_a_trained_network_is_rebuilt_from_its_weights_alone(toy):
    network, _ = toy
    parameters = DeformationParameters(**json.loads(json.dumps(asdict(TOY))))
    assert parameters == TOY
    again = network_of(parameters, network.state_dict())
    volume, _, _ = volumes(1, seed=7)
    with torch.no_grad():
        np.testing.assert_array_equal(again(volume).phi, network(volume).phi)
    weights = network.state_dict()
    with pytest.raises(ValueError, match="do not belong"):
        network_of(DeformationParameters(), weights)
    with pytest.raises(ValueError, match=r"1 are missing.* gone the first.* made with this version"):
        network_of(TOY, weights | {"gone": torch.zeros(1)})
    del weights["template_phi"]
    with pytest.raises(ValueError, match="template_phi"):
        network_of(TOY, weights)


def test_without_pose_the_local_deformation_does_the_work():
    parameters = DeformationParameters(**{**asdict(TOY), "pose": "none"})
    thin = a_template(semi_axes_mm=(14.0, 14.0, 36.0))
    network, losses = trained(parameters, 40, thin, reach_mm=4.0)
    assert np.mean(losses[-5:]) < 0.88 * losses[0]
    with torch.no_grad():
        found = network(volumes(2, seed=5)[0])
    assert not found.pose.any() and found.displacement.abs().max() > 2 and found.least_jacobian().min() > 0


def test_without_local_deformation_there_is_none():
    network = DeformationNetwork(DeformationParameters(**{**asdict(TOY), "local": False}), a_template())
    found = network(torch.rand(1, 1, *SHAPE))
    assert not found.displacement.any() and not found.velocity.any()


def test_every_weight_learns():
    parameters = DeformationParameters(**{**asdict(TOY), "learned_template": True})
    torch.manual_seed(0)
    network = DeformationNetwork(parameters, a_template())
    with torch.no_grad():  # last layers are zero: what is before them learns from the second step on
        for parameter in network.parameters():
            parameter += 0.01 * torch.randn_like(parameter)
    volume, truth, _ = volumes(2, seed=3)
    found = network(volume)
    (deformation_loss(found, truth) + dice_loss(torch.sigmoid(found.scores), truth)).backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name


def test_modes_change_the_shape_in_standard_deviations():
    network = DeformationNetwork(TOY, a_template(modes=2))
    shape = network.shape(torch.tensor([[1.0, -3.0], [0.0, 0.0]]))
    np.testing.assert_allclose(shape[0], network.template_phi[0] - 2 * network.template_modes[:1], atol=1e-4)
    np.testing.assert_allclose(shape[1], network.template_phi[0])


def test_a_learned_template_starts_as_the_given_one_and_may_change():
    network = DeformationNetwork(DeformationParameters(**{**asdict(TOY), "learned_template": True}), a_template())
    np.testing.assert_allclose(network.shape(torch.zeros(1, 1)).detach(), network.template_phi)
    with torch.no_grad():
        network.template_change += 2.0
    np.testing.assert_allclose(network.shape(torch.zeros(1, 1)).detach(), network.template_phi + 2, atol=1e-5)


@given(
    st.lists(st.floats(-50, 50), min_size=3, max_size=3),
    st.lists(st.floats(-3, 3), min_size=3, max_size=3),
    st.floats(0.75, 1.3),
)
@settings(max_examples=25, deadline=None)
def test_moments_take_an_ellipsoid_to_the_templates_place_axes_and_size(offset, turn, scale):
    semi = torch.tensor([22.0, 16.0, 40.0], dtype=torch.float64)  # x, y, z of the template
    rotation = Rotation.from_rotvec(turn).as_matrix()
    points = points_of((40,) * 3, 6.0, semi) - torch.tensor(centre_of((40,) * 3, 6.0)) - torch.tensor(offset)
    own = points @ torch.tensor(rotation) / scale
    blob = (ellipsoid(own, semi)[:, None] > 0).double()
    noise = torch.zeros_like(blob)
    noise[..., :4, :4, :4] = 0.9  # elsewhere: not to be heeded
    pose = principal_pose(torch.maximum(0.95 * blob, noise), 6.0, float(semi.prod() ** (1 / 3) / 5**0.5))
    matrix = pose_matrix(pose, (0.0,) * 3, (0.0,) * 3)[0].double().numpy()
    np.testing.assert_allclose(matrix[:3, :3] @ offset + matrix[:3, 3], 0, atol=2.5)  # voxels of 6 mm
    np.testing.assert_allclose(np.cbrt(np.linalg.det(matrix[:3, :3])), 1 / scale, rtol=0.1)
    alignment = np.abs(matrix[:3, :3] @ rotation * scale)  # but for half turns, which an ellipsoid does not tell
    np.testing.assert_allclose(alignment, np.eye(3), atol=0.2)


def test_the_size_of_a_ball_is_its_radius_over_the_root_of_five():
    points = points_of((30,) * 3, 2.0, torch.zeros(1)) - 29.0
    inside = (points.norm(dim=-1) < 20)[0].numpy()
    assert rms_size_mm(inside, 2.0) == pytest.approx(20 / 5**0.5, rel=0.01)


def test_the_output_is_float32_under_bfloat16_autocast(toy):
    network, _ = toy
    volume, _, _ = volumes(2, seed=11)
    with torch.no_grad():
        exact = network(volume)
        with torch.autocast("cpu", torch.bfloat16):
            half = network(volume)
    for name in ("phi", "pose", "velocity", "displacement"):
        assert getattr(half, name).dtype == torch.float32
    assert (half.phi - exact.phi).abs().mean() < 1.0  # mm: features are rounded, points are not


def test_gradients_of_the_whole_composition_are_right():
    torch.manual_seed(1)
    phi0 = torch.randn(1, 1, 4, 4, 4, dtype=torch.float64, requires_grad=True)
    pose = (torch.randn(2, 9, dtype=torch.float64) * 0.1).requires_grad_()
    displacement = (torch.randn(2, 3, 3, 3, 3, dtype=torch.float64) * 0.5).requires_grad_()
    truth = (torch.rand(2, 1, 3, 3, 3) > 0.5).double()

    def loss(phi0, pose, displacement):
        matrix = pose_matrix(pose, (2.0,) * 3, (3.0,) * 3)
        phi = pulled(phi0, 2.0, points_of((3, 3, 3), 2.0, pose), matrix, displacement, 3.0)
        modes = torch.zeros(2, 1, dtype=torch.float64)
        return deformation_loss(Deformation(phi, pose, modes, displacement, displacement, 3.0), truth)

    assert torch.autograd.gradcheck(loss, (phi0, pose, displacement), atol=1e-5)


def test_the_loss_by_hand():
    phi = torch.tensor([-40.0, 40.0]).reshape(1, 1, 1, 1, 2)
    displacement = torch.zeros(1, 3, 2, 2, 2)
    displacement[:, 0] = 2.0
    found = Deformation(phi, torch.zeros(1, 9), torch.tensor([[1.0, 2.0]]), displacement, displacement, 8.0)
    truth = torch.tensor([0.0, 1.0]).reshape(1, 1, 1, 1, 2)
    loss = deformation_loss(found, truth, local_weight=0.01, mode_weight=0.1)
    assert loss.item() == pytest.approx(0.01 * 4 + 0.1 * 5, abs=1e-5)
    assert heaviside(torch.tensor([0.0, 2.0]), 2.0).tolist() == pytest.approx([0.5, 0.731], abs=1e-3)


def test_a_fold_shows_in_the_least_jacobian():
    displacement = smooth(torch.randn(1, 3, 6, 6, 6), 0.3) * 50
    found = Deformation(torch.zeros(1), torch.zeros(1, 9), torch.zeros(1, 0), displacement, displacement, 8.0)
    assert found.least_jacobian().item() < 0


def test_the_lattice_spans_the_templates_box_exactly():
    assert lattice_of((56, 56, 56), 3.0, 8.0) == (22, pytest.approx(165 / 21))
    with pytest.raises(ValueError, match="cube"):
        lattice_of((5, 6, 5), 1.0, 2.0)


def test_parameters_that_make_no_deformation_are_refused():
    with pytest.raises(ValueError, match="nothing to learn"):
        DeformationParameters(pose="none", local=False)
    with pytest.raises(ValueError, match="expected one of moments"):
        DeformationParameters(pose="guessed")
    with pytest.raises(ValueError, match="strided"):
        DeformationParameters(look=UNetParameters())
    with pytest.raises(ValueError, match="may fold"):
        DeformationParameters(lattice_mm=8.0, sigma_mm=4.0)


def test_a_first_look_at_means_finds_the_same_place():
    offsets = torch.tensor([[10.0, -14.0, 6.0], [-20.0, 0.0, 12.0]])
    points = points_of((40,) * 3, 4.0, offsets) - torch.tensor(centre_of((40,) * 3, 4.0))
    scores = ellipsoid(points - offsets[:, None, None, None], (22.0, 18.0, 36.0))[:, None] / 4
    pooled = torch.nn.functional.avg_pool3d(scores, 2)
    poses = []
    for pool, known in ((1, scores), (2, pooled)):
        network = DeformationNetwork(replace(TOY, spacing_mm=4.0, pool=pool), a_template()).eval()
        network.dense_head = Dense(known)
        found = network(torch.rand(2, 1, 40, 40, 40) + 0.1)
        assert found.phi.shape == found.scores.shape == (2, 1, 40, 40, 40)
        inside = found.phi > 0
        overlap = 2 * (inside & (scores > 0)).flatten(1).sum(1)
        assert (
            overlap / (inside.flatten(1).sum(1) + (scores > 0).flatten(1).sum(1))
        ).min() > 0.65  # a soft map is small
        poses.append(found.pose.detach())
    matrices = [pose_matrix(pose, (0.0,) * 3, (0.0,) * 3) for pose in poses]
    centres = [-torch.linalg.solve(m[:, :3, :3], m[:, :3, 3]) for m in matrices]
    np.testing.assert_allclose(centres[0], offsets, atol=2.5)
    np.testing.assert_allclose(centres[1], offsets, atol=2.5)
