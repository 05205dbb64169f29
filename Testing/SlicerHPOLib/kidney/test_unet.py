import time

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from SlicerHPOLib.kidney.unet import LIGHT, OUTSIDE, REFERENCE, Encoder, UNet, UNetParameters, dice_loss, seen_box
from torch import nn

TINY = UNetParameters(base=2, levels=2, dropout=0.0)


def modules(network, kind):
    return [module for module in network.modules() if isinstance(module, kind)]


def test_the_reference_has_the_sources_15_convolutions_and_16_3_million_weights():
    with torch.device("meta"):
        network = UNet(REFERENCE)
    convolutions = modules(network, nn.Conv3d)
    assert len(convolutions) == 15
    assert len(modules(network.encoder, nn.Conv3d)) == 8 and len(modules(network.decoder, nn.Conv3d)) == 6
    kernels = sum(c.weight.numel() for c in convolutions)
    assert kernels == 27 * (260_128 + 344_064) + 64  # Çiçek's plan of channels, written out
    assert sum(p.numel() for p in network.parameters()) == 16_317_921


def test_up_sampling_has_no_weights_and_each_block_ends_with_dropout_of_whole_feature_maps():
    with torch.device("meta"):
        network = UNet(REFERENCE)
    assert not modules(network, nn.ConvTranspose3d)
    assert len(modules(network, nn.Dropout3d)) == 7
    assert all(p.shape[2:] == (3, 3, 3) for c in modules(network.decoder, nn.Conv3d) for p in [c.weight])


@pytest.mark.parametrize("strided", [False, True])
@settings(max_examples=10, deadline=None)
@given(size=st.tuples(*[st.integers(8, 13)] * 3))
def test_scores_have_the_shape_of_the_volume_even_if_it_cannot_be_halved_evenly(strided, size):
    network = UNet(UNetParameters(base=2, levels=3, strided=strided)).eval()
    with torch.no_grad():
        assert network(torch.rand(2, 1, *size)).shape == (2, 1, *size)


def test_the_encoder_halves_at_each_level():
    features = Encoder(UNetParameters(base=2, levels=3)).eval()(torch.rand(1, 1, 16, 16, 16))
    assert [tuple(f.shape[1:3]) for f in features] == [(4, 16), (8, 8), (16, 4)]
    features = Encoder(UNetParameters(base=2, levels=3, strided=True)).eval()(torch.rand(1, 1, 16, 16, 16))
    assert [tuple(f.shape[1:3]) for f in features] == [(4, 8), (8, 4), (16, 2)]


def test_the_light_network_is_fast_enough_for_a_cpu():
    network, volume = UNet(LIGHT).eval(), torch.rand(1, 1, 80, 80, 80)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.no_grad():
            network(volume)
            start = time.thread_time()  # of this thread: other work on the machine does not count
            network(volume)
            seconds = time.thread_time() - start
    finally:
        torch.set_num_threads(threads)
    assert seconds < 0.3  # 0.08 s on the machine it was written on; target 0.15 s


def test_both_networks_learn_a_bright_ball():
    torch.manual_seed(0)
    points = torch.stack(torch.meshgrid(*[torch.arange(16.0)] * 3, indexing="ij"))
    centres = torch.tensor([[6.0, 8, 9], [9, 7, 6]])
    truth = (((points[None] - centres[..., None, None, None]) ** 2).sum(1, keepdim=True) < 25).float()
    volume = truth * 0.5 + torch.rand_like(truth) * 0.5
    for strided in (False, True):
        network = UNet(UNetParameters(base=4, levels=2, strided=strided))
        optimiser = torch.optim.Adam(network.parameters(), 0.02)
        losses = []
        for _ in range(50):
            loss = dice_loss(network(volume).sigmoid(), truth)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            losses.append(loss.item())
        assert losses[0] > 0.6 and losses[-1] < 0.3


def test_dice_by_hand():
    truth = torch.tensor([1.0, 1, 0, 0]).reshape(1, 1, 1, 2, 2)
    p = torch.tensor([1.0, 0.5, 0.5, 0]).reshape(1, 1, 1, 2, 2)
    assert dice_loss(p, truth).item() == pytest.approx(1 - (2 * 1.5 + 1) / (2 + 2 + 1))
    assert dice_loss(truth, truth).item() == 0
    assert dice_loss(torch.zeros_like(truth), torch.zeros_like(truth)).item() == 0  # nothing where nothing is
    assert dice_loss(1 - truth, truth).item() == pytest.approx(1 - 1 / 5)


def test_dice_is_averaged_over_volumes_and_not_over_voxels():
    truth = torch.zeros(2, 1, 10, 10, 10)
    truth[0], truth[1, :, 0, 0, 0] = 1, 1
    prediction = truth.clone()
    prediction[1] = 0
    assert dice_loss(prediction, truth).item() == pytest.approx((0 + 1 - 1 / 2) / 2)


def test_dice_has_the_right_gradient_and_stays_exact_in_half_precision():
    truth = (torch.rand(2, 1, 3, 3, 3, dtype=torch.float64) < 0.5).double()
    p = torch.rand(2, 1, 3, 3, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda p: dice_loss(p, truth), p)
    many = torch.full((1, 1, 40, 40, 40), 0.5, dtype=torch.bfloat16)
    loss = dice_loss(many, torch.ones_like(many))
    assert loss.dtype == torch.float32 and loss.item() == pytest.approx(1 / 3, abs=1e-4)


def test_a_wrong_shape_is_refused_with_the_expected_one():
    with pytest.raises(ValueError, match=r"\(batch, 1, D, H, W\)"):
        UNet(TINY)(torch.rand(1, 2, 8, 8, 8))
    with pytest.raises(ValueError, match="at least 2 voxels"):
        UNet(TINY)(torch.rand(1, 1, 8, 8, 1))
    with pytest.raises(ValueError, match="differ in shape"):
        dice_loss(torch.rand(1, 1, 2, 2, 2), torch.rand(1, 2, 2, 2))


@pytest.mark.parametrize("wrong", [{"base": 0}, {"levels": 2.0}, {"dropout": 1.0}])
def test_parameters_that_make_no_network_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        UNetParameters(**wrong)


def test_only_the_box_of_what_is_seen_is_computed_and_it_changes_nothing_there():
    torch.manual_seed(0)
    parameters = UNetParameters(base=2, levels=2, strided=True, instance=True)
    network = UNet(parameters).eval()
    volume = torch.zeros(1, 1, 40, 41, 42)
    volume[..., 9:20, 12:30, 30:42] = torch.rand(11, 18, 12)
    box = seen_box(volume, parameters)
    assert all(s.start % 2 == 0 and (s.stop - s.start) % 4 == 0 for s in box)
    scores = network(volume)
    torch.testing.assert_close(scores[(..., *box)], network(volume[(..., *box)]))
    outside = torch.ones_like(scores, dtype=torch.bool)
    outside[(..., *box)] = False
    assert (scores[outside] == OUTSIDE).all() and scores.shape == volume.shape
    assert network(torch.zeros(1, 1, 40, 40, 40)).shape == (1, 1, 40, 40, 40)  # nothing is seen


@given(st.lists(st.tuples(st.integers(8, 60), st.floats(0, 1), st.floats(0, 1)), min_size=3, max_size=3))
@settings(deadline=None)
def test_the_box_holds_what_is_seen_within_the_volume(axes):
    parameters = UNetParameters(levels=2, strided=True)
    volume = torch.zeros(1, 1, *(size for size, _, _ in axes))
    ends = (sorted((int(a * (n - 1)), int(b * (n - 1)))) for n, a, b in axes)
    seen = tuple(slice(first, last + 1) for first, last in ends)
    volume[(..., *seen)] = 1
    for (size, _, _), inner, outer in zip(axes, seen, seen_box(volume, parameters), strict=True):
        assert 0 <= outer.start <= inner.start and inner.stop <= outer.stop <= size and outer.start % 2 == 0
        assert (outer.stop - outer.start) % parameters.stride == 0 or outer == slice(0, size)
