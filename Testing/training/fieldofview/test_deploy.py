"""From simulation to a bundle that classifies: the whole chain, small."""

import numpy as np
import pytest
from SlicerHPOLib import batch
from SlicerHPOLib.bundle import read_bundle
from SlicerHPOLib.fieldofview.classifier import Classifier

from training.__main__ import main
from training.fieldofview.deploy import deploy
from training.fieldofview.samples import SAMPLES, sample_volume, write_samples


def test_the_commands_simulate_train_and_deploy_a_model_that_classifies(tmp_path, capsys):
    data, run, bundle = (str(tmp_path / name) for name in ("data", "run", "bundle"))
    tiny = [
        "--size",
        "32",
        "--blocks",
        "3",
        "--layers",
        "1",
        "--filters",
        "8",
        "--hidden",
        "16",
        "--precision",
        "float32",
    ]
    assert main(["simulate", "fieldofview", "--out", data, "--volumes", "24", "--slices", "4", "--size", "32"]) == 0
    assert "slices of 24 volumes" in capsys.readouterr().out
    assert main(["train", "fieldofview", "--data", data, "--out", run, *tiny, "--epochs", "2", "--batch", "8"]) == 0
    deploy(run, bundle, calibration_volumes=2, test_volumes=2)
    manifest = read_bundle(bundle).manifest
    assert manifest["metrics"]["simulated"]["volumes"] == 2
    assert [part["epochs"] for part in manifest["training"]["stages"]] == [2]
    card = (tmp_path / "bundle" / "README.md").read_text()
    assert "not for clinical use" in card
    assert "confusion after the decision" in card
    assert Classifier.load(bundle).architecture.hidden == (16,)

    write_samples(tmp_path / "samples")
    results = batch.classify(tmp_path / "samples" / "knee-pd-sagittal.nii.gz", model=bundle)
    assert [r.error for r in results] == [""]


def test_deploying_a_folder_without_a_training_says_what_to_run(tmp_path, capsys):
    assert main(["deploy", "fieldofview", "--run", str(tmp_path), "--out", str(tmp_path / "bundle")]) == 2
    assert "training train fieldofview" in capsys.readouterr().err


def test_every_sample_has_a_body_with_its_target_and_is_drawn_the_same_each_time():
    for sample in SAMPLES:
        one, two = (sample_volume(sample, np.random.default_rng(sample.seed)) for _ in range(2))
        np.testing.assert_array_equal(one.scan.centre_mm, two.scan.centre_mm)
        np.testing.assert_array_equal(one.contrast.mean, two.contrast.mean)
        assert np.prod(one.scan.shape) * len(one.positions_mm) < 2e6  # the repository stays small


@pytest.mark.parametrize(
    "verb", ["simulate", "train", "evaluate", "deploy", "samples", "benchmark", "sheet", "prepare", "voxelise"]
)
def test_every_verb_explains_itself(verb, capsys):
    with pytest.raises(SystemExit) as stopped:
        main([verb, "--help"])
    assert stopped.value.code == 0
    assert "usage:" in capsys.readouterr().out


def test_a_broken_data_set_ends_with_a_message_and_not_with_a_traceback(tmp_path, capsys):
    assert main(["train", "fieldofview", "--data", str(tmp_path), "--out", str(tmp_path / "run")]) == 2
    assert "holds no data set" in capsys.readouterr().err
