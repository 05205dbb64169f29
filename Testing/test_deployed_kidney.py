"""The shipped kidney model keeps its promises on the samples and on simulated subjects of seeds it has not seen."""

from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage
from SlicerHPOLib.bundle import find_bundle, read_bundle
from SlicerHPOLib.image import read_image
from SlicerHPOLib.kidney.segmenter import KidneySegmenter

from training.kidney.evaluate import answers, report, simulated_cases

SAMPLES = Path(__file__).resolve().parents[1] / "Resources" / "SampleData" / "kidney"


@pytest.fixture(scope="module")
def segmenter() -> KidneySegmenter:
    return KidneySegmenter.load()


def test_the_bundle_is_small_and_says_what_it_is_not_for():
    bundle = read_bundle(find_bundle("kidney-ultrasound"))
    assert sum(file.stat().st_size for file in bundle.folder.iterdir()) < 15e6
    assert "not for clinical use" in bundle.manifest["intended_use"]
    card = (bundle.folder / "README.md").read_text()
    for word in ("simulated", "not for clinical use", "worst", "has never seen a real ultrasound volume"):
        assert word in card


@pytest.mark.parametrize("name", ["adult-right", "child-5-years-left"])
def test_a_sample_gets_one_smooth_kidney_that_points_correct(segmenter, name):
    image = read_image(SAMPLES / f"{name}.nii.gz")
    result = segmenter.segment(image)
    assert result.mask.shape == image.shape and ndimage.label(result.mask)[1] == 1
    assert result.least_jacobian > 0 and 5 < result.measures.volume_ml < 500
    surface = result.grid.ras_of(np.argwhere(np.abs(result.phi) < result.grid.spacing_mm[0]))
    kept = surface[((image.ijk_of(surface) > 3) & (image.ijk_of(surface) < np.array(image.shape[::-1]) - 4)).all(1)]
    point = kept[len(kept) // 2]
    corrected = segmenter.add_outside(point)
    k, j, i = np.rint(image.ijk_of(point)).astype(int)[::-1]
    assert corrected.mask[k, j, i] == 0 and ndimage.label(corrected.mask)[1] == 1 and corrected.least_jacobian > 0
    assert segmenter.undo().phi is not corrected.phi
    np.testing.assert_array_equal(segmenter.result.phi, result.phi)


@pytest.mark.parametrize(
    ("name", "kidney"),
    [("adult-right", True), ("child-5-years-left", True), ("child-hydronephrosis", True), ("no-kidney", False)],
)
def test_of_the_samples_the_one_without_a_kidney_is_warned_of(segmenter, name, kidney):
    result = segmenter.segment(read_image(SAMPLES / f"{name}.nii.gz"))
    assert (result.confidence >= segmenter.least_confidence) == kidney
    assert any("there may be no kidney" in warning for warning in result.warnings) != kidney


@pytest.mark.parametrize("name", ["head-t2-axial", "pelvis-t2-axial", "torso-t2-coronal"])
def test_what_is_no_ultrasound_is_warned_of(segmenter, name):
    result = segmenter.segment(read_image(SAMPLES.parent / "mr" / f"{name}.nii.gz"))
    assert result.confidence < segmenter.least_confidence / 2
    assert any("there may be no kidney" in warning for warning in result.warnings)


def test_simulated_subjects_are_segmented_as_well_as_the_card_says(segmenter):
    card = {
        row["group"]: row for row in read_bundle(find_bundle("kidney-ultrasound")).manifest["metrics"]["deformation"]
    }
    found = report(answers(segmenter, simulated_cases(4, seed=77, groups=("adult", "child"))), 0.0)
    for group in found:
        assert group.dice > card[group.group]["dice"] - 0.2  # of four subjects
        assert group.most_components == 1 and group.least_jacobian > 0
