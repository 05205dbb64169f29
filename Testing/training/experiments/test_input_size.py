import numpy as np
import pytest
from SlicerHPOLib.fieldofview.regions import CLASSES

from training.experiments.input_size import SIZES, describe, input_size
from training.fieldofview.dataset import Slices


def stripes(count, size=128):
    """Six classes: as many bright stripes, in noise."""
    rng = np.random.default_rng(0)
    labels = np.arange(count) % len(CLASSES)
    phase = 2 * np.pi * (labels[:, None, None] + 1) * np.arange(size) / size
    images = np.clip(0.5 + 0.4 * np.sin(phase) + rng.normal(0, 0.05, (count, size, size)), 0, 1)
    return Slices(
        (images * 255).astype(np.uint8),
        labels.astype(np.uint8),
        np.full(count, 300, np.float32),
        (np.arange(count) // 6).astype(np.int32),
        np.zeros(count, np.uint8),
    )


def test_every_size_gets_the_same_computation(tmp_path):
    rows = input_size(stripes(420), tmp_path, 160, filters=4, layers=1, hidden=(8,), dropout=0.0)
    assert [row.size for row in rows] == list(SIZES)
    assert [row.slices for row in rows] == [360, 160, 90]
    assert all(0 <= row.error <= 1 and row.loss > 0 for row in rows)
    assert [line.split()[0] for line in describe(rows).splitlines()] == ["input", "64", "96", "128"]


def test_too_little_data_is_refused(tmp_path):
    with pytest.raises(ValueError, match="simulate more"):
        input_size(stripes(60), tmp_path, 160)
