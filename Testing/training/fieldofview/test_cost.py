import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from SlicerHPOLib.fieldofview.network import Architecture, build, weight_count

from training.fieldofview.cost import multiply_adds, weights


def counted(architecture: Architecture) -> int:
    """Multiply-adds of a forward pass, counted by hooks on a network that is really built."""
    total = 0

    def count(layer, _, output):
        nonlocal total
        if isinstance(layer, torch.nn.Conv2d):
            total += output[0].numel() * layer.in_channels * int(np.prod(layer.kernel_size))
        else:
            total += layer.weight.numel()

    network = build(architecture).eval()
    for layer in network:
        if isinstance(layer, (torch.nn.Conv2d, torch.nn.Linear)):
            layer.register_forward_hook(count)
    network(torch.zeros(1, architecture.channels, architecture.input_size, architecture.input_size))
    return total


@settings(max_examples=25, deadline=None)
@given(
    size=st.sampled_from([15, 24, 33]),
    channels=st.integers(1, 2),
    blocks=st.integers(1, 3),
    layers=st.integers(1, 3),
    filters=st.integers(1, 5),
    kernel=st.sampled_from([1, 3, 5]),
    hidden=st.sampled_from([(), (7,), (9, 4)]),
    flags=st.tuples(*[st.booleans()] * 3),
)
def test_weights_and_multiply_adds_are_those_of_the_network_that_is_built(
    size, channels, blocks, layers, filters, kernel, hidden, flags
):
    separable, normalised, doubling = flags
    a = Architecture(
        size,
        channels,
        blocks,
        layers,
        filters,
        kernel,
        separable,
        hidden,
        normalised=normalised,
        doubling=doubling,
    )
    assert weights(a) == weight_count(build(a))
    assert multiply_adds(a) == counted(a)


@pytest.mark.parametrize(
    ("architecture", "printed"),
    [
        (Architecture(), 6_713_226),
        (Architecture(layers=2, filters=32), 5_468_778),
        (Architecture(blocks=4, layers=3, separable=True), 13_927_114),
    ],
)
def test_the_weights_that_the_source_prints_come_out(architecture, printed):
    assert weights(architecture) == printed
