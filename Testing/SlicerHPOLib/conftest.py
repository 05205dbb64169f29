"""Volumes and a model small enough to classify in milliseconds."""

from dataclasses import asdict

import numpy as np
import pytest
import torch
from SlicerHPOLib.bundle import write_bundle
from SlicerHPOLib.fieldofview.classifier import TASK
from SlicerHPOLib.fieldofview.network import Architecture, build
from SlicerHPOLib.fieldofview.regions import CLASSES, DecisionModel
from SlicerHPOLib.image import Image, write_image


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory):
    """The folder of a model with random weights."""
    torch.manual_seed(0)
    architecture = Architecture(input_size=16, blocks=2, filters=4, hidden=(8,))
    manifest = {
        "name": "tiny",
        "task": TASK,
        "summary": "Random weights.",
        "architecture": asdict(architecture),
        "input": {"classes": list(CLASSES)},
        "decision": asdict(DecisionModel()),
        "training": {},
        "metrics": {},
        "licence": "Apache-2.0",
        "attributions": [],
        "intended_use": "Not for clinical use.",
    }
    folder = tmp_path_factory.mktemp("models") / "tiny"
    return write_bundle(folder, manifest, build(architecture).state_dict(), "# Tiny\n\nIts weights are random.\n")


@pytest.fixture
def volume():
    """Writes a small volume: a bright box in the dark, 12 slices of 10 mm."""

    def write(path, seed=0):
        path.parent.mkdir(parents=True, exist_ok=True)
        voxels = np.random.default_rng(seed).integers(0, 20, (12, 20, 24)).astype(np.int16)
        voxels[:, 4:16, 5:19] += 500
        return write_image(Image(voxels, np.diag([10.0, 10.0, 10.0, 1.0])), path)

    return write
