"""The deployed classifier: what it refuses, and that every way of storing a volume gives the same answer."""

from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
from SlicerHPOLib.bundle import BundleError, read_bundle, write_bundle
from SlicerHPOLib.fieldofview.classifier import SIDE_UNIT_MM, Classifier, network_batch
from SlicerHPOLib.fieldofview.network import Architecture, build
from SlicerHPOLib.fieldofview.regions import CLASSES, DecisionModel
from SlicerHPOLib.image import Image
from SlicerHPOLib.job import Cancelled, Job

TINY = Architecture(32, 2, blocks=3, filters=4, hidden=(8,))


def weights(architecture=TINY, seed=0):
    torch.manual_seed(seed)
    network = build(architecture)
    torch.nn.init.normal_(network[-1].weight)  # untrained scores are nearly uniform; here they shall differ
    return {name: tensor for name, tensor in network.state_dict().items() if tensor.is_floating_point()}


def manifest(**changes):
    given = {
        "name": "tiny",
        "task": "mr-field-of-view",
        "summary": "for a test",
        "architecture": asdict(TINY) | {"hidden": list(TINY.hidden)},
        "input": {"classes": list(CLASSES)},
        "decision": asdict(DecisionModel()),
        "training": {},
        "metrics": {},
        "licence": "Apache-2.0",
        "attributions": [],
        "intended_use": "tests",
    }
    return given | changes


def volume() -> Image:
    rng = np.random.default_rng(0)
    k, j, i = np.indices((30, 24, 26))
    shape = ((i - 12) / 9) ** 2 + ((j - 11) / 7) ** 2 < 1
    voxels = (shape * (300 + 20 * k + 5 * i + 8 * j) + rng.integers(0, 9, shape.shape)).astype(np.int16)
    return Image(voxels, np.array([[4.0, 0, 0, -40], [0, 4, 0, 10], [0, 0, 7, -300], [0, 0, 0, 1]]))


def stored(image: Image, axes, flips) -> Image:
    """The same voxels at the same places, stored with permuted and reversed axes."""
    voxels, affine = image.voxels.transpose([2 - a for a in reversed(axes)]), image.ijk_to_ras[:, [*axes, 3]]
    for axis, flip in enumerate(flips):
        if flip:
            affine = affine.copy()
            affine[:, 3] += affine[:, axis] * (voxels.shape[2 - axis] - 1)
            affine[:, axis] *= -1
            voxels = np.flip(voxels, 2 - axis)
    return Image(np.ascontiguousarray(voxels), affine)


@pytest.fixture(scope="module")
def classifier() -> Classifier:
    return Classifier(TINY, weights(), DecisionModel())


@pytest.mark.parametrize("axes", [(0, 1, 2), (2, 1, 0), (1, 2, 0), (0, 2, 1)])
@pytest.mark.parametrize(
    "flips", [(False, False, False), (True, False, False), (False, True, True), (True, True, True)]
)
def test_a_volume_stored_in_any_order_and_handedness_gets_the_same_answer(classifier, axes, flips):
    reference, answer = classifier.classify(volume()), classifier.classify(stored(volume(), axes, flips))
    np.testing.assert_allclose(answer.positions_mm, reference.positions_mm)
    np.testing.assert_allclose(answer.probabilities, reference.probabilities, atol=1e-5)
    assert [r.name for r in answer.decision.regions] == [r.name for r in reference.decision.regions]


def test_probabilities_sum_to_one_and_do_not_depend_on_the_batch(classifier, monkeypatch):
    reference = classifier.classify(volume())
    monkeypatch.setattr("SlicerHPOLib.fieldofview.classifier.BATCH", 3)
    np.testing.assert_allclose(reference.probabilities.sum(1), 1)
    np.testing.assert_allclose(classifier.classify(volume()).probabilities, reference.probabilities, atol=1e-5)


def test_a_boundary_that_the_user_fixed_is_where_he_put_it(classifier):
    decision = classifier.classify(volume(), fixed={"chest/abdomen": -180.0}).decision
    assert {b.name: b.position_mm for b in decision.boundaries}["abdomen/chest"] == -180.0


def test_the_second_channel_is_the_side_of_the_slice():
    batch = network_batch(torch.zeros(2, 1, 4, 4), torch.tensor([250.0, 500.0]), 2)
    assert batch.shape == (2, 2, 4, 4)
    np.testing.assert_allclose(batch[:, 1, 0, 0], [250 / SIDE_UNIT_MM, 500 / SIDE_UNIT_MM])
    assert network_batch(torch.zeros(2, 1, 4, 4), 250.0, 1).shape == (2, 1, 4, 4)


def test_a_bundle_gives_the_same_classifier_back(tmp_path, classifier):
    folder = write_bundle(tmp_path / "tiny", manifest(), weights())
    loaded = Classifier.load(folder)
    np.testing.assert_array_equal(loaded.classify(volume()).probabilities, classifier.classify(volume()).probabilities)
    assert Classifier.load(read_bundle(folder)).decision == DecisionModel()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"task": "kidney-ultrasound"}, "task is 'kidney-ultrasound'"),
        ({"input": {"classes": ["head"]}}, "classes are"),
        ({"architecture": asdict(replace(TINY, filters=8))}, "do not fit the architecture"),
        ({"architecture": {"deep": True}}, "no field-of-view model"),
        ({"decision": {"sigma_mm": -1.0}}, "sigma_mm is -1.0"),
    ],
)
def test_a_bundle_for_another_task_or_with_other_weights_is_refused(tmp_path, changes, message):
    folder = write_bundle(tmp_path / "wrong", manifest(**changes), weights())
    with pytest.raises(BundleError, match=message):
        Classifier.load(folder)


def test_weights_that_are_missing_are_named(tmp_path):
    incomplete = weights()
    del incomplete["1.bias"]
    with pytest.raises(BundleError, match=r"1\.bias"):
        Classifier.load(write_bundle(tmp_path / "incomplete", manifest(), incomplete))


def test_classification_can_be_cancelled(classifier):
    job = Job()
    job.cancel()
    with pytest.raises(Cancelled):
        classifier.classify(volume(), job=job)
