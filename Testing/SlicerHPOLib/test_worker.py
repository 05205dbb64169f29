"""The network's process: the same answers as in this one, with the deployed models, and errors in words."""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from SlicerHPOLib import worker
from SlicerHPOLib.background import BackgroundTask, _written
from SlicerHPOLib.bundle import find_bundle
from SlicerHPOLib.fieldofview.classifier import Classifier
from SlicerHPOLib.image import Image, read_image
from SlicerHPOLib.job import Job
from SlicerHPOLib.kidney.segmenter import KidneySegmenter
from SlicerHPOLib.words import unpacked
from SlicerHPOLib.worker import (
    classified_slices,
    classify_request,
    found_kidney,
    main,
    on_best_device,
    segment_request,
)

SAMPLES = Path(__file__).resolve().parents[2] / "Resources" / "SampleData"
KIDNEY, FIELD_OF_VIEW = "kidney-ultrasound", "mr-field-of-view"


@pytest.fixture(scope="module")
def kidney():
    return read_image(SAMPLES / "kidney" / "adult-right.nii.gz")


def asked(request, reported):
    task = BackgroundTask()
    task.start(request)
    return task.wait(Job(lambda fraction, text: reported.append((fraction, text))))


def left_in(folder, request):
    """Handed over, and answered in this process: the exit code and result.json."""
    for _ in _written(request, folder):
        pass
    code, content = main(folder), json.loads((folder / "result.json").read_text())
    return code, content | {"error": unpacked(content.get("error"))}


@pytest.mark.parametrize("method", ["deformation", "unet"])
def test_the_kidney_found_in_another_process_is_the_one_found_in_this(kidney, method):
    reported = []
    request = segment_request(kidney, model=KIDNEY, method=method)
    found = found_kidney(kidney, asked(request, reported))
    expected = KidneySegmenter.load(KIDNEY).find(kidney, method=method)
    assert found.image is kidney
    assert found.description == pytest.approx(expected.description)
    assert found.arrays.keys() == expected.arrays.keys()
    for name, array in expected.arrays.items():
        np.testing.assert_allclose(found.arrays[name], array, atol=1e-3)
    fractions = [fraction for fraction, _ in reported]
    assert fractions == sorted(fractions) and "reading the model" in {text for _, text in reported}


def test_the_population_asked_for_reaches_the_network_and_the_one_used_comes_back(kidney, tiny_model_of_two, tmp_path):
    for asked, used in (("auto", "adult"), ("child", "child")):
        request = segment_request(kidney, model=tiny_model_of_two, method="deformation", population=asked)
        (folder := tmp_path / asked).mkdir()
        code, content = left_in(folder, request)
        with np.load(folder / "result.npz") as arrays:
            found = found_kidney(kidney, worker.Answer(content["answer"], dict(arrays)))
        expected = KidneySegmenter.load(tiny_model_of_two).find(kidney, population=asked)
        assert (code, found.population, expected.population) == (0, used, used)
        np.testing.assert_allclose(found.phi, expected.phi, atol=1e-3)


def test_regions_decided_from_another_processes_slices_are_those_decided_in_this():
    image = read_image(SAMPLES / "mr" / "torso-t2-coronal.nii.gz")
    slices = classified_slices(image, asked(classify_request(image, model=FIELD_OF_VIEW), []))
    expected = Classifier.load(find_bundle(FIELD_OF_VIEW)).classify(image)
    assert slices.name == image.name
    np.testing.assert_allclose(slices.probabilities, expected.probabilities, atol=1e-4)
    regions = slices.decide().decision.regions
    assert [r.name for r in regions] == [r.name for r in expected.decision.regions]
    middle = float(np.median(slices.positions_mm))
    fixed = {expected.decision.boundaries[0].name: middle}
    moved = slices.decide(fixed).decision.boundaries
    assert [b.position_mm for b in moved if b.fixed] == [middle]


def test_a_seed_point_reaches_the_classical_method(kidney, tmp_path):
    request = segment_request(kidney, model=KIDNEY, method="classical", seed_point_mm=np.array([900.0, 0, 0]))
    code, content = left_in(tmp_path, request)
    assert code == 1 and "[900.0, 0.0, 0.0]" in content["error"] and "outside the volume" in content["error"]


@pytest.mark.parametrize(
    ("model", "message"),
    [("none-such", "No model 'none-such'"), (FIELD_OF_VIEW, "a kidney needs a bundle for 'kidney-ultrasound'")],
)
def test_a_model_that_cannot_answer_is_told_in_words_and_where_in_the_log(kidney, tmp_path, model, message):
    code, content = left_in(tmp_path, segment_request(kidney, model=model, method="unet"))
    assert code == 1 and message in content["error"] and "Traceback" in content["log"]


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (MemoryError(), "not enough memory"),
        (ModuleNotFoundError("No module named 'torch'"), "package is missing: No module named 'torch'"),
        (IndexError("list index"), "The computation failed: IndexError: list index"),
        (ValueError("of NumPy"), "The computation failed: ValueError: of NumPy"),
    ],
)
def test_an_error_that_nobody_foresaw_is_one_sentence(kidney, tmp_path, monkeypatch, error, message):
    def fails(*args):
        raise error

    monkeypatch.setitem(worker.TASKS, "segment", fails)
    code, content = left_in(tmp_path, segment_request(kidney, model=KIDNEY, method="unet"))
    assert code == 1 and message in content["error"] and "\n" not in content["error"]


def test_voxels_are_mapped_and_not_read(tmp_path):
    image = Image(np.arange(60, dtype=np.float32).reshape(3, 4, 5), np.diag([1.0, 2, 3, 1]), "scan")
    for _ in _written(segment_request(image, model="m", method="unet"), tmp_path):
        pass
    request = worker.read_request(tmp_path)
    assert isinstance(request.image.voxels, np.memmap) and not request.image.voxels.flags.writeable
    np.testing.assert_array_equal(request.image.voxels, image.voxels)
    assert (request.task, request.image.name) == ("segment", "scan")
    assert request.options == {"model": "m", "method": "unet", "population": "auto", "seed_point_mm": None}


# Where the network runs


class Network:
    def __init__(self):
        self.at = "cpu"

    def to(self, device):
        self.at = device


def test_without_a_graphics_card_the_processor_is_used(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    network = Network()
    assert on_best_device(network, lambda job: network.at, Job()) == ("cpu", ())


def test_a_graphics_card_is_used(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    network = Network()
    assert on_best_device(network, lambda job: network.at, Job()) == ("cuda", ())


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate"), "not enough free memory"),
        (RuntimeError("CUDA error: no kernel image is available\nCompile with"), "no kernel image is available"),
    ],
)
def test_where_the_graphics_card_fails_the_processor_goes_on_and_says_so(monkeypatch, error, why):
    monkeypatch.setattr(torch, "cuda", SimpleNamespace(**vars(torch.cuda)))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: None)
    network = Network()

    def work(job):
        if network.at == "cuda":
            raise error
        return network.at

    result, (warning,) = on_best_device(network, work, Job())
    assert result == "cpu" and why in warning and "computed on the processor" in warning and "\n" not in warning
