"""What a field-of-view network costs, known without building it: weights, and multiply-adds for one slice."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from SlicerHPOLib.fieldofview.network import Architecture


def weights(architecture: Architecture) -> int:
    """Numbers the network stores, as `weight_count` counts them."""
    a = architecture
    count = 4 * a.channels  # a normalisation: scale, shift, mean, variance
    for inputs, outputs, taps, _ in _convolutions(a):
        count += outputs * (inputs * taps + 1)
    if a.normalised:
        count += 4 * a.layers * sum(_filters(a))
    return count + sum(outputs * (inputs + 1) for inputs, outputs in _dense(a))


def multiply_adds(architecture: Architecture) -> int:
    """Of the convolutions and fully connected layers, for one slice forward."""
    a = architecture
    count = sum(pixels * inputs * outputs * taps for inputs, outputs, taps, pixels in _convolutions(a))
    return count + sum(inputs * outputs for inputs, outputs in _dense(a))


def _filters(a: Architecture) -> list[int]:
    """Of each block."""
    return [a.filters << block if a.doubling else a.filters for block in range(a.blocks)]


def _convolutions(a: Architecture) -> Iterator[tuple[int, int, int, int]]:
    """Inputs, outputs, taps of the kernel and output pixels of each convolution."""
    inputs = a.channels
    for block, filters in enumerate(_filters(a)):
        pixels = (a.input_size >> block) ** 2
        for _ in range(a.layers):
            if a.separable:
                yield inputs, filters, a.kernel, pixels
                yield filters, filters, a.kernel, pixels
            else:
                yield inputs, filters, a.kernel**2, pixels
            inputs = filters


def _dense(a: Architecture) -> Iterator[tuple[int, int]]:
    """Inputs and outputs of each fully connected layer."""
    features = _filters(a)[-1] * (a.input_size >> a.blocks) ** 2
    yield from pairwise((features, *a.hidden, a.classes))
