"""The training set: the same for any number of workers, resumable, volume-wise split."""

import json

import numpy as np
import pytest
from SlicerHPOLib.fieldofview.regions import CLASSES

from training.fieldofview import dataset
from training.fieldofview.dataset import Slices, batches, load, simulate, split_by_volume


def some_slices(volumes=10, each=4, size=8) -> Slices:
    n = volumes * each
    rng = np.random.default_rng(0)
    return Slices(
        rng.integers(0, 256, (n, size, size)).astype(np.uint8),
        rng.integers(0, len(CLASSES), n).astype(np.uint8),
        np.full(n, 300, np.float32),
        np.repeat(np.arange(volumes), each).astype(np.int32),
        np.zeros(n, np.uint8),
    )


@pytest.fixture
def small_shards(monkeypatch):
    monkeypatch.setattr(dataset, "VOLUMES_PER_SHARD", 3)


def test_a_data_set_is_the_same_whether_made_in_one_go_or_after_an_interruption(tmp_path, small_shards):
    whole = load(simulate(tmp_path / "whole", volumes=7, per_volume=3, size=32, seed=2, workers=1))
    simulate(tmp_path / "resumed", volumes=7, per_volume=3, size=32, seed=2, workers=2)
    (tmp_path / "resumed" / "shard-00001.npz").unlink()  # as if killed before it was written
    resumed = load(simulate(tmp_path / "resumed", volumes=7, per_volume=3, size=32, seed=2, workers=2))
    for name in Slices.FIELDS:
        np.testing.assert_array_equal(getattr(whole, name), getattr(resumed, name))
    assert len(whole) > 10
    assert whole.images.shape[1:] == (32, 32)
    assert whole.images.max() > 200
    assert set(whole.labels) <= set(range(len(CLASSES)))
    assert (whole.side_mm > 20).all()
    assert json.loads((tmp_path / "whole" / "dataset.json").read_text())["seed"] == 2


def test_a_folder_with_another_data_set_is_refused_and_left_as_it_was(tmp_path, small_shards):
    simulate(tmp_path, volumes=1, per_volume=2, size=16, seed=0, workers=1)
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    with pytest.raises(ValueError, match=r"seed.*another folder"):
        simulate(tmp_path, volumes=1, per_volume=2, size=16, seed=1, workers=1)
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before


def test_a_folder_without_a_data_set_says_how_to_make_one(tmp_path):
    with pytest.raises(ValueError, match="training simulate fieldofview"):
        load(tmp_path)


def test_a_volume_is_never_in_both_parts_of_the_split():
    slices = some_slices()
    training, validation = split_by_volume(slices, 0.3, seed=1)
    assert not set(training.volume) & set(validation.volume)
    assert len(training) + len(validation) == len(slices)
    assert len(set(validation.volume)) == 3


def test_an_epoch_shows_every_slice_at_most_once_and_epochs_differ():
    first, second = (np.concatenate(list(batches(103, 10, seed=0, epoch=e))) for e in (0, 1))
    assert len(first) == len(set(first)) == 100
    assert (first != second).any()
    assert len(next(batches(4, 10, 0, 0))) == 4  # fewer slices than a batch
