import json

import numpy as np
import pytest
import torch
from SlicerHPOLib.bundle import read_bundle
from SlicerHPOLib.image import Image
from SlicerHPOLib.kidney.grid import fitted_grid
from SlicerHPOLib.kidney.points import Points
from SlicerHPOLib.kidney.segmentation import KidneySegmentation
from SlicerHPOLib.kidney.segmenter import KidneySegmenter, SegmentationError

from training.kidney import deploy as deployment
from training.kidney.dataset import phi_on_grid
from training.kidney.evaluate import GROUPS, Answer, Case, answers, clicked, describe, report, simulated_cases
from training.kidney.metrics import Score, score
from training.kidney.train import TrainingPlan, train

from .test_train import NETWORK, TEMPLATE, volumes


def ball(radius_mm=24.0, centre=(0.0, 0.0, 0.0), group="adult"):
    """A case: a ball in a volume of 96 mm."""
    matrix = np.diag([4.0, 4.0, 4.0, 1.0])
    matrix[:3, 3] = -46
    image = Image(np.full((24, 24, 24), 100, np.uint8), matrix)
    nodes = np.stack(np.meshgrid(*[np.arange(24.0)] * 3, indexing="ij"), -1)[..., ::-1]
    phi = radius_mm - np.linalg.norm(image.ras_of(nodes) - np.array(centre), axis=-1)
    return Case(group, image, (phi if group != "empty" else phi - 1000).astype(np.float32))


class Known:
    """Stands for a segmenter: it answers with the truth of `case`, moved by 4 mm for children; finds nothing in empty
    volumes."""

    def __init__(self, case):
        self.case = case

    def segment(self, image, **_):
        if self.case.group == "empty":
            raise SegmentationError("nothing was found")
        grid = fitted_grid(image, (4.0,), 24)
        phi = phi_on_grid(image, self.case.phi_mm, grid)
        if self.case.group == "child":
            phi = np.roll(phi, 1, axis=2)
        return KidneySegmentation(image, grid, "deformation", phi, 0.9, (), Points(), 0.0, 0.5)


def test_answers_are_compared_with_the_truth_at_the_images_voxels():
    cases = [ball(), ball(group="child"), ball(group="empty")]
    found = [next(answers(Known(case), [case])) for case in cases]
    assert found[0].score.dice > 0.99 and found[0].score.components == 1
    shifted = score(np.roll(cases[1].phi_mm > 0, 1, axis=2), cases[1].phi_mm > 0, 4.0).dice
    assert found[1].score.dice == pytest.approx(shifted, abs=0.01)
    assert found[2].refused and found[2].score is None
    reports = report(found, least_confidence=0.5)
    assert [r.group for r in reports] == ["adult", "child", "empty"]
    assert [r.warned for r in reports] == [0, 0, 1]
    errors = [abs(0.9 - answer.score.dice) for answer in found[:2]]
    np.testing.assert_allclose([r.confidence_error for r in reports], [*errors, 0.0])
    assert "least_jacobian" not in reports[2].as_json() and json.dumps(reports[0].as_json())
    assert describe("title", reports).count("\n") == 4


def test_the_error_of_the_volume_is_a_part_of_the_true_one_with_its_sign_or_without():
    def found(volume_ml, truth_ml):
        return Answer("adult", Score(0.9, 4.0, 0.5, 1, volume_ml, volume_ml - truth_ml), 1.0, 0.9)

    of_three = report([found(80, 100), found(190, 200), found(55, 50)], 0.5)[0]
    assert of_three.volume_bias == pytest.approx(-0.05) and of_three.volume_error == pytest.approx(0.1)
    assert "-5 %" in describe("title", [of_three]) and "10 %" in describe("title", [of_three])


def test_a_kidney_that_is_missed_counts_as_dice_0():
    case = ball()
    refusing = Known(ball(group="empty"))
    found = next(answers(refusing, [case]))
    assert found.refused and found.score.dice == 0
    assert report([found], 0.5)[0].worst_dice == 0


def test_all_volumes_without_a_kidney_are_warned_of():
    def answer(group, confidence, refused=False):
        return Answer(group, None, 1.0, confidence, refused=refused)

    kidneys = [answer("adult", 0.9), answer("child", 0.7)]
    empties = [answer("empty", confidence) for confidence in np.linspace(0, 0.8, 401)]
    assert deployment.least_confidence([*kidneys, *empties]) == pytest.approx(0.801)
    refused = [answer("empty", np.nan, refused=True)] * 401
    assert deployment.least_confidence([*empties, *refused]) == pytest.approx(0.801)
    clear = [answer("empty", confidence) for confidence in np.linspace(0, 0.3, 401)]
    assert deployment.least_confidence(clear) == 0.5  # where all are, a half is doubtful still


def test_confidences_that_are_too_low_or_too_high_are_brought_to_the_dice_reached():
    rng = np.random.default_rng(0)
    reached = np.concatenate([rng.uniform(0.7, 0.95, 60), np.zeros(30)])
    logits = np.where(reached > 0, np.log(reached / (1 - reached + 1e-9) + 1e-9), -4.0)
    told = 1 / (1 + np.exp(-(0.5 * logits + 0.4)))

    def answer(dice, confidence):
        return Answer(
            "adult" if dice else "empty", Score(dice, 5.0, 0.5, 1, 100.0, 0.0) if dice else None, 1.0, confidence
        )

    found = [answer(dice, confidence) for dice, confidence in zip(reached, told, strict=True)]
    nothing = Answer("empty", None, np.nan, 0.0, refused=True)
    better = deployment.calibrated([*found, nothing], *deployment.platt([*found, nothing]))
    errors, before = (
        [abs(one.confidence - dice) for one, dice in zip(of, reached, strict=False)] for of in (better, found)
    )
    assert np.mean(errors) < 0.4 * np.mean(before)
    assert better[-1].confidence == 0 and better[-1].refused
    assert np.argsort([one.confidence for one in better[:-1]]).tolist() == np.argsort(told).tolist()


def test_subjects_are_simulated_as_a_scanner_exports_them():
    cases = list(simulated_cases(1, seed=5, groups=("child", "empty"), workers=1))
    assert [case.group for case in cases] == ["child", "empty"]
    assert (cases[0].phi_mm > 0).any() and not (cases[1].phi_mm > 0).any()
    assert cases[0].image.spacing_mm.max() <= 3.0 and len(set(cases[0].image.shape)) > 1


def test_subjects_may_begin_behind_those_already_seen():
    both, second = (list(simulated_cases(n, 5, ("empty",), workers=1, first=2 - n)) for n in (2, 1))
    np.testing.assert_array_equal(second[0].image.voxels, both[1].image.voxels)
    assert not np.array_equal(both[0].image.voxels, both[1].image.voxels)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    folder = tmp_path_factory.mktemp("deployed")
    plan = TrainingPlan(
        NETWORK, steps=100, steps_per_epoch=100, batch=4, augmentation=0.0, validation=4, precision="float32",
        learning_rate=5e-3,
    )  # fmt: skip
    train(volumes(24), folder / "run", plan, TEMPLATE)
    return deployed(folder / "run", folder / "kidney-ultrasound")


def deployed(run, out):
    with pytest.MonkeyPatch.context() as patch:  # a few small cases instead of a hundred simulated ones
        patch.setattr(deployment, "SIZE", 24)
        patch.setattr(deployment, "SPACINGS_MM", (6.0,))
        cases = [noisy_ball(1), noisy_ball(2, "child"), noisy_ball(3, "empty")]
        groups = GROUPS
        patch.setattr(
            deployment, "simulated_cases", lambda count, seed, of=groups: (case for case in cases if case.group in of)
        )
        settings = {"calibration": 1, "test": 1, "clicks": 1, "transfer_table": "| strategy | Dice |"}
        return deployment.deploy(run, out, **settings)


def noisy_ball(seed, group="adult"):
    rng = np.random.default_rng(seed)
    case = ball(26.0, rng.uniform(-8, 8, 3), group)
    voxels = 255 * (0.5 * (case.phi_mm > 0) + 0.5 * rng.random(case.phi_mm.shape))
    return Case(group, Image(voxels.astype(np.uint8), case.image.ijk_to_ras), case.phi_mm)


def test_a_bundle_is_what_was_measured(bundle):
    manifest = read_bundle(bundle).manifest
    assert {"deformation", "unet", "clicks"} == set(manifest["metrics"])
    assert manifest["training"]["stages"][0]["volumes"] == 20
    card = (bundle / "README.md").read_text()
    assert all(text in card for text in ("not for clinical use", "Surface Dice", "| strategy | Dice |"))
    segmenter = KidneySegmenter.load(bundle)
    assert segmenter.least_confidence == manifest["decision"]["least_confidence"]
    assert list(segmenter.calibration) == manifest["decision"]["calibration"]
    case = noisy_ball(9)
    found = segmenter.segment(case.image)
    assert score(found.mask, case.phi_mm > 0, 4.0).dice > 0.6 and found.least_jacobian > 0
    assert read_bundle(bundle).weights()["template_phi"].dtype == torch.float32


def test_a_model_is_calibrated_and_measured_anew_with_the_same_weights(bundle, tmp_path):
    again = deployed(bundle, tmp_path / "kidney-ultrasound")
    assert (again / "weights.safetensors").read_bytes() == (bundle / "weights.safetensors").read_bytes()
    assert read_bundle(again).manifest == read_bundle(bundle).manifest


def test_the_robot_clicks_better_with_every_point(bundle):
    segmenter = KidneySegmenter.load(bundle)
    flow, radial = clicked(segmenter, [noisy_ball(11), noisy_ball(12, "child")])
    assert flow.dice[-1] > flow.dice[0] and len(flow.dice) == 11
    assert flow.count == radial.count == 2 and flow.dice[0] == radial.dice[0]


def test_a_folder_without_a_training_or_with_a_u_net_is_refused(tmp_path):
    with pytest.raises(ValueError, match="holds no training"):
        deployment.deploy(tmp_path, tmp_path / "out")
    train(volumes(10), tmp_path, TrainingPlan(NETWORK.encoder, steps=1, batch=2, validation=4))
    with pytest.raises(ValueError, match="U-Net alone"):
        deployment.deploy(tmp_path, tmp_path / "out")
    assert not (tmp_path / "out").exists()
