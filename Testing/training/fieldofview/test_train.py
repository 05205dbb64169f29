"""Training that trains, resumes exactly, and writes its curves."""

import csv
import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from SlicerHPOLib.fieldofview.network import Architecture
from SlicerHPOLib.fieldofview.regions import CLASSES
from SlicerHPOLib.job import Cancelled, Job

from training.fieldofview.augment import augment
from training.fieldofview.dataset import Slices
from training.fieldofview.train import TrainingPlan, class_weights, learning_rate, train

TINY = Architecture(16, 2, blocks=2, layers=1, filters=8, hidden=(16,), dropout=0.2)


def patterns(count=480, size=16) -> Slices:
    """Six classes that can be told apart: a bright disc in one of six places, in noise."""
    rng = np.random.default_rng(0)
    labels = np.arange(count) % len(CLASSES)
    y, x = np.indices((size, size))
    angle = labels * 2 * np.pi / len(CLASSES)
    cy, cx = size / 2 + 4.5 * np.sin(angle), size / 2 + 4.5 * np.cos(angle)
    disc = ((y - cy[:, None, None]) ** 2 + (x - cx[:, None, None]) ** 2 < 5).astype(float)
    images = np.clip(0.8 * disc + rng.normal(0.1, 0.05, disc.shape), 0, 1)
    return Slices(
        (images * 255).astype(np.uint8),
        labels.astype(np.uint8),
        np.full(count, 300, np.float32),
        (np.arange(count) // 6).astype(np.int32),
        np.zeros(count, np.uint8),
    )


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # the order of sums, and so the bits, depends on it
    yield
    torch.set_num_threads(threads)


def curves(folder) -> list[dict]:
    with (folder / "curves.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize(("optimizer", "rate"), [("adamw", 5e-3), ("sgd", 0.05)])
def test_training_learns_a_task_that_can_be_learned(tmp_path, optimizer, rate):
    plan = TrainingPlan(TINY, optimizer, rate, weight_decay=1e-4, epochs=10, batch=16, validation=0.2)
    train(patterns(), tmp_path, plan)
    rows = curves(tmp_path)
    assert len(rows) == 10
    assert float(rows[-1]["validation_error"]) < 0.1  # chance is 0.83
    assert float(rows[-1]["train_loss"]) < 0.7 * float(rows[0]["train_loss"])
    assert (tmp_path / "curves.png").stat().st_size > 5000


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_a_killed_and_resumed_training_ends_with_the_same_weights(tmp_path, optimizer):
    plan = TrainingPlan(TINY, optimizer, 1e-2, epochs=3, batch=16)
    data = patterns(96)
    train(data, tmp_path / "whole", plan)
    train(data, tmp_path / "killed", plan, stop_after=1)

    def kill(fraction, text):
        if fraction > 0.4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):  # in the middle of the second epoch
        train(data, tmp_path / "killed", plan, Job(kill))
    train(data, tmp_path / "killed", plan)
    whole, resumed = (load_file(tmp_path / name / "checkpoint.safetensors") for name in ("whole", "killed"))
    assert whole.keys() == resumed.keys()
    for name in whole:
        torch.testing.assert_close(whole[name], resumed[name], rtol=0, atol=0)
    assert [r["train_loss"] for r in curves(tmp_path / "whole")] == [
        r["train_loss"] for r in curves(tmp_path / "killed")
    ]


def test_the_same_seed_trains_the_same_network_and_another_seed_another(tmp_path):
    data = patterns(96)
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        train(data, tmp_path / name, TrainingPlan(TINY, epochs=1, batch=32, seed=seed))
    a, b, c = (load_file(tmp_path / name / "checkpoint.safetensors")["network.1.weight"] for name in "abc")
    assert torch.equal(a, b)
    assert not torch.equal(a, c)


def test_a_trained_network_can_be_trained_further_and_its_history_is_kept(tmp_path):
    data, plan = patterns(96), TrainingPlan(TINY, learning_rate=5e-3, epochs=4, batch=16)
    train(data, tmp_path / "first", plan)
    train(data, tmp_path / "second", replace(plan, epochs=1), initial=tmp_path / "first")
    train(data, tmp_path / "afresh", replace(plan, epochs=1))
    further, afresh = (float(curves(tmp_path / name)[0]["train_loss"]) for name in ("second", "afresh"))
    assert further < afresh
    with safe_open(tmp_path / "second" / "checkpoint.safetensors", "pt") as file:
        state = json.loads(file.metadata()["state"])
    assert [part["epochs"] for part in state["before"]] == [4]


def test_a_folder_with_another_training_is_refused(tmp_path):
    train(patterns(48), tmp_path, TrainingPlan(TINY, epochs=1))
    with pytest.raises(ValueError, match="holds a training with the plan"):
        train(patterns(48), tmp_path, TrainingPlan(TINY, epochs=2))
    other = Architecture(16, 2, blocks=2, layers=2, filters=8, hidden=(16,))
    with pytest.raises(ValueError, match="another network"):
        train(patterns(48), tmp_path, TrainingPlan(other, epochs=1))


def test_a_cancelled_training_stops_and_leaves_no_partial_file(tmp_path):
    job = Job()
    job.cancel()
    with pytest.raises(Cancelled):
        train(patterns(48), tmp_path, TrainingPlan(TINY, epochs=1), job)
    assert not list(tmp_path.iterdir())


def test_class_weights_balance_the_classes():
    labels = np.array([0] * 90 + [1] * 10)
    weights = class_weights(labels).numpy()
    assert weights[0] * 90 == pytest.approx(weights[1] * 10)
    assert (weights[labels]).mean() == pytest.approx(1)
    assert weights[2:].max() == 0


def test_the_learning_rate_rises_to_its_highest_and_falls_to_zero():
    plan = TrainingPlan(learning_rate=0.1)
    rates = [learning_rate(plan, step, 1000) for step in range(1000)]
    assert max(rates) == pytest.approx(0.1, rel=1e-3)
    assert np.argmax(rates) in range(18, 22)
    assert rates[-1] < 1e-6


def test_a_misspelled_optimizer_or_precision_is_named():
    with pytest.raises(ValueError, match="'adam'"):
        TrainingPlan(optimizer="adam")
    with pytest.raises(ValueError, match="'fp16'"):
        TrainingPlan(precision="fp16")


def test_augmentation_keeps_shape_and_range_and_the_same_generator_gives_the_same():
    images, side = torch.rand(8, 1, 24, 24), torch.full((8,), 300.0)
    one, two = (augment(images, side, torch.Generator().manual_seed(3)) for _ in range(2))
    assert torch.equal(one[0], two[0])
    assert torch.equal(one[1], two[1])
    assert one[0].shape == images.shape
    assert one[0].min() >= 0
    assert one[0].max() <= 1


def test_a_slice_that_augmentation_enlarges_gets_a_smaller_side():
    """A square that fills half the slice: its width in mm stays the same within the stated error of the side."""
    images = torch.zeros(200, 1, 64, 64)
    images[:, :, 16:48, 16:48] = 1
    moved, side = augment(images, torch.full((200,), 320.0), torch.Generator().manual_seed(0))
    width = (moved > 0.3).sum((1, 2, 3)).double().sqrt() / 64 * side
    assert float(width.median()) == pytest.approx(160, rel=0.06)
