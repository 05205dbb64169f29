"""Volumes and models small enough to be answered in milliseconds."""

from dataclasses import asdict

import numpy as np
import pytest
import torch
from SlicerHPOLib.bundle import write_bundle
from SlicerHPOLib.fieldofview.classifier import TASK
from SlicerHPOLib.fieldofview.network import Architecture, build
from SlicerHPOLib.fieldofview.regions import CLASSES, DecisionModel
from SlicerHPOLib.image import Image, write_image
from SlicerHPOLib.kidney import segmenter
from SlicerHPOLib.kidney.deformation import DeformationNetwork, DeformationParameters
from SlicerHPOLib.kidney.template import Template
from SlicerHPOLib.kidney.unet import UNetParameters


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


@pytest.fixture(scope="session")
def tiny_kidney_model(tmp_path_factory):
    """The folder of a kidney model with an ellipsoid for template and random weights."""
    torch.manual_seed(0)
    small = UNetParameters(base=2, levels=3, strided=True)
    parameters = DeformationParameters(small, small, spacing_mm=8.0, lattice_mm=16.0, sigma_mm=16.0, hidden=4)
    offsets = (np.moveaxis(np.indices((17, 17, 17)), 0, -1) - 8) * 5.0
    distance = 18 * (1 - np.linalg.norm(offsets / (30, 20, 18), axis=-1))
    template = Template(distance, np.tanh(offsets[None, ..., 0] / 10), np.ones(1), 5.0)
    manifest = {
        "name": "tiny-kidney",
        "task": segmenter.TASK,
        "summary": "Random weights.",
        "architecture": asdict(parameters),
        "input": {"spacings_mm": [8.0], "size": 16},
        "decision": {"least_confidence": 0.99},
        "training": {},
        "metrics": {},
        "licence": "Apache-2.0",
        "attributions": [],
        "intended_use": "Not for clinical use.",
    }
    folder = tmp_path_factory.mktemp("kidney-models") / "tiny-kidney"
    return write_bundle(folder, manifest, DeformationNetwork(parameters, template).state_dict(), "# Tiny kidney\n")


@pytest.fixture
def kidney():
    """Writes a small volume: a bright ball of 30 mm in the dark, 4 x 4 x 5 mm voxels around RAS (0, 0, 0)."""

    def write(path, seed=0):
        path.parent.mkdir(parents=True, exist_ok=True)
        matrix = np.diag([4.0, 4.0, 5.0, 1.0])
        matrix[:3, 3] = (-62, -62, -62.5)
        image = Image(np.random.default_rng(seed).integers(0, 20, (26, 32, 32)).astype(np.uint8), matrix)
        places = image.ras_of(np.moveaxis(np.indices(image.shape)[::-1], 0, -1))
        image.voxels[np.linalg.norm(places, axis=-1) < 30] += 100
        return write_image(image, path)

    return write
