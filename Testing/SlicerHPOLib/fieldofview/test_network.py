"""The parametric family: the source's printed sizes, shapes, and refusals."""

import pytest
import torch
from SlicerHPOLib.fieldofview.network import Architecture, build, folded, weight_count


@pytest.mark.parametrize(
    ("architecture", "printed"),
    [
        (Architecture(), 6_713_226),
        (Architecture(layers=2, filters=32), 5_468_778),
        (Architecture(blocks=4, layers=3, filters=64, separable=True), 13_927_114),
    ],
)
def test_the_networks_of_the_source_have_the_printed_number_of_weights(architecture, printed):
    """Bertrand 2019, section 2.6: baseline, best and second best."""
    assert weight_count(build(architecture)) == printed


@pytest.mark.parametrize("separable", [False, True])
@pytest.mark.parametrize("channels", [1, 2])
def test_a_network_maps_a_batch_of_slices_to_a_score_for_each_class(separable, channels):
    network = build(
        Architecture(32, channels, blocks=3, layers=2, filters=4, kernel=5, separable=separable, hidden=(16,))
    ).eval()
    assert network(torch.rand(7, channels, 32, 32)).shape == (7, 6)


def test_an_untrained_network_gives_nearly_uniform_probabilities():
    torch.manual_seed(0)
    scores = build(Architecture(32, blocks=3, filters=8, hidden=(16,))).eval()(torch.rand(4, 1, 32, 32))
    assert torch.softmax(scores, 1).sub(1 / 6).abs().max() < 0.05


def test_a_separable_convolution_runs_along_the_columns_first():
    kernels = [
        m.kernel_size
        for m in build(Architecture(32, blocks=1, separable=True, kernel=5))
        if isinstance(m, torch.nn.Conv2d)
    ]
    assert kernels == [(1, 5), (5, 1)]


def test_the_filters_double_from_block_to_block_where_that_is_asked_for():
    network = build(Architecture(32, blocks=3, layers=2, filters=4, doubling=True, hidden=(16,)))
    convolutions = [m.out_channels for m in network if isinstance(m, torch.nn.Conv2d)]
    assert convolutions == [4, 4, 8, 8, 16, 16]
    assert network(torch.rand(2, 1, 32, 32)).shape == (2, 6)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"blocks": 7}, "at most 6 blocks"),
        ({"kernel": 4}, "must be odd"),
        ({"filters": 0}, "filters is 0"),
        ({"dropout": 1.0}, "dropout is 1.0"),
        ({"layers": 1.5}, "layers is 1.5"),
    ],
)
def test_an_impossible_architecture_is_refused_with_its_reason(wrong, message):
    with pytest.raises(ValueError, match=message):
        Architecture(**wrong)


@pytest.mark.parametrize("separable", [False, True])
def test_a_folded_network_is_the_plain_one_and_gives_the_same_scores(separable):
    architecture = Architecture(32, 2, 3, 2, 8, separable=separable, hidden=(16,), normalised=True)
    torch.manual_seed(0)
    network = build(architecture)
    for _ in range(5):  # running statistics
        network.train()(2 * torch.rand(8, 2, 32, 32) + 1)
    images = torch.rand(4, 2, 32, 32)
    expected = network.eval()(images)
    plain, described = folded(network, architecture)
    assert described == Architecture(32, 2, 3, 2, 8, separable=separable, hidden=(16,))
    assert {k: v.shape for k, v in plain.state_dict().items()} == {
        k: v.shape for k, v in build(described).state_dict().items()
    }
    torch.testing.assert_close(plain(images), expected, rtol=1e-4, atol=1e-5)
