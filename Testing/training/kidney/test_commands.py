"""The commands of the kidney as they are typed, on volumes of 16^3."""

from dataclasses import asdict

import numpy as np
import pytest
import torch
from SlicerHPOLib.bundle import read_bundle, write_bundle
from SlicerHPOLib.kidney.deformation import DeformationNetwork, DeformationParameters
from SlicerHPOLib.kidney.segmenter import TASK, KidneySegmenter
from SlicerHPOLib.kidney.template import Template, save_template
from SlicerHPOLib.kidney.unet import UNetParameters
from SlicerHPOLib.quantised import quantised

from training.__main__ import main
from training.kidney.dataset import STEPS, Volumes

SIZE = 16
BALL = 4.0 * (4.5 - np.linalg.norm(np.indices((21,) * 3) - 10.0, axis=0))
TEMPLATE = Template(BALL, np.zeros((0, 21, 21, 21)), np.zeros(0), 4.0)
LOOK = UNetParameters(base=2, levels=2, strided=True, dropout=0.0, instance=True)
PLAN = DeformationParameters(LOOK, LOOK, spacing_mm=4.0, lattice_mm=8.0, sigma_mm=10.0, hidden=8)


def data_set(folder, count, radius, population, seed=0):
    """Bright balls in noise, as `simulate kidney` leaves them."""
    rng, at = np.random.default_rng(seed), np.stack(np.indices((SIZE,) * 3), -1)
    distances = np.stack([radius - np.linalg.norm(at - rng.uniform(6, 10, 3), axis=-1) for _ in range(count)])
    images = 255 * np.clip(np.where(distances > 0, 0.8, 0.3) + 0.05 * rng.normal(size=distances.shape), 0, 1)
    arrays = (images.astype(np.uint8), np.clip(distances * STEPS, -127, 127).astype(np.int8))
    numbers = (np.full(count, population, np.uint8), np.full(count, 4.0, np.float32))
    folder.mkdir()
    np.savez(folder / "shard-00000.npz", **dict(zip(Volumes.FIELDS, (*arrays, *numbers), strict=True)))
    return str(folder)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Data sets of adults and children, a template, and a model."""
    root = tmp_path_factory.mktemp("kidney")
    torch.manual_seed(0)
    manifest = {
        "name": "tiny",
        "task": TASK,
        "summary": "Random weights.",
        "architecture": asdict(PLAN),
        "input": {"spacings_mm": [4.0], "size": SIZE},
        "decision": {"least_confidence": 0.5},
        "training": {"stages": []},
        "metrics": {},
        "licence": "Apache-2.0",
        "attributions": [],
        "intended_use": "Not for clinical use.",
    }
    network = DeformationNetwork(PLAN, TEMPLATE)
    for weights in network.second_look.parameters():
        weights.data += 0.05 * torch.randn(weights.shape)
    return {
        "root": root,
        "adults": data_set(root / "adults", 44, 4.5, 0),
        "children": data_set(root / "children", 5, 3.0, 1, seed=1),
        "template": str(save_template(TEMPLATE, root / "template.safetensors")),
        "model": str(write_bundle(root / "model", manifest, quantised(network.state_dict()), "# Tiny\n")),
    }


SMALL = ["--levels", "2", "--base", "2", "--steps", "2", "--batch", "2", "--threads", "1"]


def test_a_u_net_is_trained_and_averaged_and_becomes_a_first_look(folders, capsys):
    root = folders["root"]
    for name, more in (("first", []), ("second", ["--initial", str(root / "first"), "--seed", "1"])):
        call = ["train", "kidney", "--method", "unet", "--data", folders["adults"], "--out", str(root / name), *SMALL]
        assert main([*call, *more]) == 0
    runs = [str(root / "first"), str(root / "second")]
    assert main(["average", "kidney", "--runs", *runs, "--out", str(root / "mean")]) == 0
    call = ["train", "kidney", "--first-look", str(root / "mean"), "--template", folders["template"]]
    assert main([*call, "--data", folders["adults"], "--out", str(root / "looks"), "--look-base", "2", *SMALL]) == 0
    assert "checkpoint.safetensors" in capsys.readouterr().out.splitlines()[-1]


def test_a_model_goes_in_and_a_model_for_children_comes_out(folders, capsys):
    out = folders["root"] / "adapted"
    call = ["transfer", "kidney", "--source", folders["model"], "--data", folders["children"], "--out", str(out)]
    assert main([*call, "--adults", folders["adults"], "--steps", "2", "--batch", "2", "--threads", "1"]) == 0
    assert "warning" not in capsys.readouterr().out
    bundle, source = read_bundle(out), read_bundle(folders["model"])
    assert all(torch.equal(bundle.tensors()[name], value) for name, value in source.tensors().items())
    assert bundle.manifest["training"]["stages"][-1]["plan"]["strategy"] == "layers"
    assert source.sha256 in (out / "README.md").read_text() and bundle.manifest["metrics"] == {}
    network = KidneySegmenter.load(bundle).network
    assert network.populations == ("adult", "child") and bool(network.gate.means.any())
    again = ["transfer", "kidney", "--source", str(out), "--data", folders["children"], "--out", str(out) + "2"]
    assert main([*again, "--steps", "1", "--batch", "2", "--threads", "1"]) == 0  # the gate remembers adults
    assert "warning" not in capsys.readouterr().out


def test_what_a_transfer_cannot_use_is_said(folders, capsys, tmp_path):
    def said(*arguments):
        code = main(["transfer", "kidney", "--out", str(tmp_path / "out"), "--steps", "1", "--batch", "1", *arguments])
        text = capsys.readouterr()
        return code, text.err + text.out

    model, children = ["--source", folders["model"]], ["--data", folders["children"]]
    code, text = said("--source", "mr-field-of-view", *children)
    assert code == 2 and "a kidney needs a bundle for" in text
    code, text = said("--source", "nothing-of-this-name", *children)
    assert code == 2 and "No model 'nothing-of-this-name'" in text
    code, text = said(*model, "--data", str(tmp_path))
    assert code == 2 and "simulate kidney" in text
    code, text = said(*model, *children, "--strategy", "geometric")
    assert code == 2 and "known are layers" in text
    code, text = said(*model, "--data", data_set(tmp_path / "one", 1, 3.0, 1))
    assert code == 0 and "1 kidney is little to learn from" in text and "without --adults" in text
    (tmp_path / "out-training").rename(tmp_path / "before")
    code, text = said(*model, "--data", data_set(tmp_path / "none", 2, -9.0, 2))
    assert code == 2 and "None of the 2 volumes shows a kidney" in text


def test_a_table_for_the_card_that_is_not_there_is_said_before_anything_is_measured(capsys, tmp_path):
    call = ["deploy", "kidney", "--run", str(tmp_path), "--out", str(tmp_path / "out")]
    assert main([*call, "--transfer-table", str(tmp_path / "none.md")]) == 2
    assert "reproduce table-3.1 writes one" in capsys.readouterr().err and not (tmp_path / "out").exists()
