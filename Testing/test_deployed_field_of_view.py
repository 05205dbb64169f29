"""The shipped field-of-view model keeps its promises on the samples and, where they are, on real volumes."""

import os
from pathlib import Path

import pytest
from SlicerHPOLib.bundle import find_bundle, read_bundle
from SlicerHPOLib.fieldofview.classifier import Classifier
from SlicerHPOLib.fieldofview.regions import BODY
from SlicerHPOLib.image import read_image

from training.fieldofview.evaluate import measure, real_cases

ROOT = Path(__file__).resolve().parents[1]
REAL = Path(os.environ.get("SLICERHPO_SHARED", ROOT.parent / "shared")) / "data" / "mri"


@pytest.fixture(scope="module")
def classifier() -> Classifier:
    return Classifier.load(find_bundle("mr-field-of-view"))


def sample(classifier, name):
    return classifier.classify(read_image(ROOT / "Resources" / "SampleData" / "mr" / f"{name}.nii.gz")).decision


def test_the_bundle_is_small_and_says_what_it_is_not_for():
    bundle = read_bundle(find_bundle("mr-field-of-view"))
    assert sum(file.stat().st_size for file in bundle.folder.iterdir()) < 15e6
    assert "not for clinical use" in bundle.manifest["intended_use"]
    card = (bundle.folder / "README.md").read_text()
    for word in ("simulated", "not for clinical use", "confusion after the decision", *bundle.manifest["attributions"]):
        assert word in card


def test_the_whole_body_sample_shows_every_region_in_order(classifier):
    assert tuple(region.name for region in sample(classifier, "whole-body-t1").regions) == BODY


@pytest.mark.parametrize(
    ("name", "main"),
    [
        ("head-t2-axial", "head"),
        ("spine-t2-sagittal", "spine"),
        ("pelvis-t2-axial", "pelvis"),
        ("knee-pd-sagittal", "legs"),
    ],
)
def test_a_sample_of_one_region_is_recognised(classifier, name, main):
    assert sample(classifier, name).main_region.name == main


# The highest slice with liver, read from the images (slices 52 and 41 of 128, 3.9 mm each). `torso_regions.json` puts
# the boundary at 28 and -15 mm, in the middle of the heart and lungs, more than 90 mm above the liver.
LIVER_TOP_MM = {"torso_h1_0006.nii.gz": -66.0, "torso_h1_0007.nii.gz": -111.0}


@pytest.mark.skipif(not (REAL / "manifest.csv").exists(), reason="the real volumes of shared/data/mri are not here")
def test_real_volumes_are_recognised(classifier):
    """20 main regions of 23, 85 % of the slices away from boundaries; torso boundaries at the top of the liver."""
    cases = list(real_cases(classifier, REAL))
    report = measure(cases, classifier.decision)
    assert report.main_right >= 20, report.wrong_volumes
    assert report.as_json()["slice_accuracy"] >= 0.85
    for case in cases:
        if case.name in LIVER_TOP_MM:
            found = {b.name: b.position_mm for b in case.decide(classifier.decision).boundaries}
            assert abs(found["abdomen/chest"] - LIVER_TOP_MM[case.name]) <= 40
