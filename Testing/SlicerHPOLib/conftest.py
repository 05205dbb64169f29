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
    return _kidney_model(tmp_path_factory.mktemp("kidney-models") / "tiny-kidney")


@pytest.fixture(scope="session")
def tiny_model_of_two(tmp_path_factory):
    """The folder of the same network with random layers for children, whose volumes show less than about a litre."""

    def adapt(network):
        with torch.no_grad():
            for weights in network.child.parameters():
                weights.normal_(0, 0.3)
        sizes_ml = torch.tensor([[300.0, 2000.0], [300.0, 700.0]])  # of the kidney, which may be any, and of all seen
        network.gate.means.copy_(sizes_ml.log())

    return _kidney_model(tmp_path_factory.mktemp("kidney-models") / "tiny-of-two", 4.0, adapt)


def _kidney_model(folder, spacing_mm=8.0, adapt=None):
    """Writes one; adapt: changes the network, which then has layers for children."""
    torch.manual_seed(0)
    small = UNetParameters(base=2, levels=3, strided=True)
    parameters = DeformationParameters(
        small, small, spacing_mm=8.0, lattice_mm=16.0, sigma_mm=16.0, hidden=4, adapted=adapt is not None
    )
    offsets = (np.moveaxis(np.indices((17, 17, 17)), 0, -1) - 8) * 5.0
    distance = 18 * (1 - np.linalg.norm(offsets / (30, 20, 18), axis=-1))
    template = Template(distance, np.tanh(offsets[None, ..., 0] / 10), np.ones(1), 5.0)
    manifest = {
        "name": folder.name,
        "task": segmenter.TASK,
        "summary": "Random weights.",
        "architecture": asdict(parameters),
        "input": {"spacings_mm": [spacing_mm], "size": round(128 / spacing_mm)},
        "decision": {"least_confidence": 0.99},
        "training": {},
        "metrics": {},
        "licence": "Apache-2.0",
        "attributions": [],
        "intended_use": "Not for clinical use.",
    }
    network = DeformationNetwork(parameters, template)
    if adapt:
        adapt(network)
    return write_bundle(folder, manifest, network.state_dict(), "# Tiny kidney\n")


@pytest.fixture
def kidney():
    """Writes a small volume: a bright ball of 30 mm in the dark, 4 x 4 x 5 mm voxels around RAS (0, 0, 0), or all of
    it `scale` times as large."""

    def write(path, seed=0, scale=1.0):
        path.parent.mkdir(parents=True, exist_ok=True)
        matrix = np.diag([4.0, 4.0, 5.0, 1.0])
        matrix[:3, 3] = (-62, -62, -62.5)
        matrix[:3] *= scale
        image = Image(np.random.default_rng(seed).integers(0, 20, (26, 32, 32)).astype(np.uint8), matrix)
        places = image.ras_of(np.moveaxis(np.indices(image.shape)[::-1], 0, -1))
        image.voxels[np.linalg.norm(places, axis=-1) < 30 * scale] += 100
        return write_image(image, path)

    return write
