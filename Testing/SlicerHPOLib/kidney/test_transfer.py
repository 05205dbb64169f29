import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings
from SlicerHPOLib.kidney.transfer import AdaptedUNet, IntensityLayers, pulled
from SlicerHPOLib.kidney.transforms import centre_of, points_of, pose_matrix
from SlicerHPOLib.kidney.unet import REFERENCE, UNet, UNetParameters

SIZE = 24
BATCH_NORMALISED = UNetParameters(base=4, levels=3)
LIGHT = UNetParameters(base=4, levels=3, strided=True, dropout=0.0, instance=True)


def volumes(count=2, seed=0):
    return torch.rand(count, 1, SIZE, SIZE, SIZE, generator=torch.Generator().manual_seed(seed))


def adapted(parameters=LIGHT, seed=0, **layers):
    torch.manual_seed(seed)
    return AdaptedUNet(UNet(parameters), **layers)


def a_ball(centre, radius):
    points = points_of((SIZE,) * 3, 1.0, torch.zeros(1)) - torch.tensor(centre)
    return torch.sigmoid(2 * (radius - points.norm(dim=-1)))[:, None]


@pytest.mark.parametrize("parameters", [LIGHT, BATCH_NORMALISED])
@pytest.mark.parametrize("layers", [{}, {"intensity": ()}, {"geometric": False}, {"intensity": (0, 1, 2)}])
def test_before_training_it_is_the_network_it_adapts_bit_for_bit(parameters, layers):
    model = adapted(parameters, **layers)
    with torch.no_grad():
        expected = torch.sigmoid(model.network(volumes()))
        assert torch.equal(model.eval()(volumes()), expected)
        assert torch.equal(model.train()(volumes()), expected)


@pytest.mark.parametrize("parameters", [LIGHT, BATCH_NORMALISED])
def test_training_changes_the_layers_and_nothing_of_the_network(parameters):
    model = adapted(parameters, intensity=(-1, 0))
    before = {name: value.clone() for name, value in model.network.state_dict().items()}
    optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], 1e-2)
    target, losses = a_ball((8.0, 12.0, 12.0), 5.0).expand(2, -1, -1, -1, -1), []
    model.train()
    for _ in range(12):
        loss = (model(volumes()) - target).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0]
    for name, value in model.network.state_dict().items():  # running statistics too
        assert torch.equal(value, before[name]), name
    for layer in (model.geometric, model.intensity):
        assert layer.predictor[-1].weight.any()


poses = st.tuples(*[st.floats(-2, 2)] * 3, *[st.floats(-0.3, 0.3)] * 3, *[st.floats(-0.25, 0.25)] * 3)


@settings(max_examples=25, deadline=None)
@given(poses)
def test_what_is_pulled_through_a_matrix_comes_back_through_its_inverse(pose):
    centre = centre_of((SIZE,) * 3, 1.0)
    matrix = pose_matrix(torch.tensor([pose]), centre, centre)
    ball = a_ball((11.0, 13.0, 12.0), 5.0)
    back = pulled(pulled(ball, matrix), torch.linalg.inv(matrix))
    assert (back - ball).abs().mean() < 0.01 and (back - ball).abs().max() < 0.35


def test_a_shift_moves_what_is_seen_the_other_way_and_a_small_scale_enlarges():
    centre = centre_of((SIZE,) * 3, 1.0)

    def extent(pose):
        volume = pulled(a_ball(centre, 4.0), pose_matrix(torch.tensor([pose]), centre, centre))
        at = (volume[0, 0] > 0.5).nonzero().float()
        return at.mean(0).flip(0) - torch.tensor(centre), len(at)

    (x, y, z), _ = extent([3.0, 0, 0, 0, 0, 0, 0, 0, 0])
    assert x == pytest.approx(-3, abs=0.1) and y == pytest.approx(0, abs=0.1) and z == pytest.approx(0, abs=0.1)
    assert extent([0.0] * 6 + [-0.4] * 3)[1] > 2 * extent([0.0] * 9)[1]


def test_the_identity_changes_no_bit():
    matrix = torch.eye(4)[None].expand(2, 4, 4)
    assert torch.equal(pulled(volumes(), matrix), volumes())


def test_the_network_sees_the_pulled_volume_and_answers_in_the_given_one():
    """A network that calls bright voxels kidney gives the same answer through any geometric layer, but for rounding."""
    model = adapted(intensity=())

    class Bright(torch.nn.Module):
        def forward(self, volume, adapt=None):
            return 20 * (volume - 0.5)

    model.network = Bright()
    ball = a_ball((10.0, 12.0, 13.0), 5.0)
    with torch.no_grad():
        model.geometric.predictor[-1].bias.copy_(torch.tensor([0.1, -0.05, 0.1, 0.3, 0.2, -0.2, 0.3, -0.2, 0.1]))
        found = model(ball)
        expected = torch.sigmoid(20 * (ball - 0.5))
    assert ((found > 0.5) != (expected > 0.5)).float().mean() < 0.004


def test_intensity_layers_scale_and_shift_each_map_of_their_levels():
    layers = IntensityLayers({0: 1, 2: 3})
    with torch.no_grad():
        layers.predictor[-1].bias.copy_(torch.tensor([4.0, 5.0, 1.0, 0.0, -1.0, 0.0, 2.0, 3.0]))
        adapt = layers.on(volumes())
        found = [adapt(level, torch.ones(2, channels, 4, 4, 4)) for level, channels in enumerate((1, 2, 3))]
    assert [f[0, :, 0, 0, 0].tolist() for f in found] == [[10.0], [1.0, 1.0], [2.0, 3.0, 3.0]]


def test_few_weights_are_added_to_the_reference():
    model = AdaptedUNet(UNet(REFERENCE))
    assert model.added < 300_000
    assert model.added == sum(p.numel() for p in model.parameters() if p.requires_grad)


def test_levels_that_are_not_there_and_no_layers_are_refused():
    with pytest.raises(ValueError, match="no level 3"):
        adapted(intensity=(3,))
    with pytest.raises(ValueError, match="needs a geometric layer"):
        adapted(geometric=False, intensity=())
