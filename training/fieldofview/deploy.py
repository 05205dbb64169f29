"""From a trained field-of-view network to the bundle that users run, with a model card whose every figure was measured
here."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import torch
from SlicerHPOLib.bundle import write_bundle
from SlicerHPOLib.fieldofview.classifier import TASK, Classifier
from SlicerHPOLib.fieldofview.network import Architecture, build, folded, weight_count
from SlicerHPOLib.fieldofview.regions import CLASSES, DecisionModel
from SlicerHPOLib.job import Job

from ..checkpoint import load_checkpoint
from .dataset import load_maps
from .evaluate import CALIBRATION_SEED, TEST_SEED, calibrate, describe, measure, real_cases, simulated_cases
from .train import CHECKPOINT, stage

REAL_VOLUMES = (
    "Real volumes, none of them used in training (what the model got wrong on them guided the simulation, "
    "so they are no blind test):"
)
INTENDED_USE = (
    "Research and development. Not a medical device, not for clinical use: it was trained on simulated volumes only."
)


def trained_network(run: str | Path) -> tuple[torch.nn.Module, Architecture, dict]:
    """The network of a training folder, its architecture, and the training's state (plan, epoch, curves)."""
    import json

    from safetensors import safe_open

    path = Path(run) / CHECKPOINT
    if not path.is_file():
        raise ValueError(
            f"{run} holds no training (no {path.name}). "
            f"Train one with: python -m training train fieldofview --out {run}"
        )
    with safe_open(path, "pt") as file:
        plan = json.loads(file.metadata()["state"])["plan"]
    architecture = Architecture(**plan["architecture"])
    network = build(architecture)
    state = load_checkpoint(path, network)
    return network.eval(), architecture, state


def deploy(
    run: str | Path,
    out: str | Path,
    *,
    name: str = TASK,
    maps_dir: str | Path | None = None,
    real_dir: str | Path | None = None,
    calibration_volumes: int = 120,
    test_volumes: int = 100,
    job: Job = Job(),
) -> Path:
    """Calibrate the region decision of a trained network, measure it, and write bundle and model card.

    The decision is calibrated on simulated volumes of other seeds than those it is measured on; real volumes are only
    measured.
    """
    network, architecture, state = trained_network(run)
    network, architecture = folded(network, architecture)
    weights = {key: value.half() for key, value in network.state_dict().items() if value.is_floating_point()}
    classifier = Classifier(architecture, weights, DecisionModel())  # what is measured is what is shipped: fp16 weights
    decision = calibrate(
        list(simulated_cases(classifier, calibration_volumes, CALIBRATION_SEED, maps_dir, job=job.part(0, 0.35)))
    )
    simulated = measure(
        simulated_cases(classifier, test_volumes, TEST_SEED, maps_dir, job=job.part(0.35, 0.9)), decision
    )
    real = None if real_dir is None else measure(real_cases(classifier, real_dir, job.part(0.9, 1)), decision)

    attributions = sorted(
        {
            a.attribution
            for split in ("train", "test")
            for _, group in load_maps(maps_dir, split)
            for a in group
            if a.attribution
        }
    )
    manifest = {
        "name": name,
        "task": TASK,
        "summary": "Which of head, chest, abdomen, pelvis, legs or spine an MR volume shows, and where each begins.",
        "architecture": asdict(architecture) | {"hidden": list(architecture.hidden)},
        "input": {
            "classes": list(CLASSES),
            "slices": "axial, inferior to superior, anterior row first, patient's right column first",
            "size": architecture.input_size,
            "intensity": "percentiles 1 and 99 of each slice to 0 and 1",
        },
        "decision": asdict(decision),
        "training": {
            "data": "simulated slices only",
            "stages": [*state.get("before", []), stage(state)],
        },
        "metrics": {"simulated": simulated.as_json(), **({"real": real.as_json()} if real else {})},
        "licence": "Apache-2.0",
        "attributions": attributions,
        "intended_use": INTENDED_USE,
    }
    return write_bundle(out, manifest, weights, model_card(manifest, weight_count(network), simulated, real))


def model_card(manifest: dict, weights: int, simulated, real) -> str:
    """README.md of the bundle."""
    training, decision, architecture = (manifest[key] for key in ("training", "decision", "architecture"))
    parts = [
        f"# {manifest['name']}",
        manifest["summary"],
        f"**{manifest['intended_use']}**",
        "## Network",
        f"{weights:,} weights (fp16): {', '.join(f'{key} {value}' for key, value in architecture.items())}. "
        "Architecture family of H. Bertrand, Hyper-parameter optimization in deep learning and transfer learning: "
        "applications to medical imaging (2019), table 2.7.",
        f"Region decision: probabilities smoothed by {decision['sigma_mm']:g} mm, "
        f"regions of at least {decision['min_length_mm']:g} mm, "
        f"correlation length {decision['correlation_length_mm']:g} mm, intervals widened by "
        f"{decision['interval_margin_mm']:g} mm (conformal); calibrated on simulated volumes.",
        "## Training",
        *(
            f"{part['slices']:,} simulated axial slices, {part['epochs']} epochs, {part['hours']} hours on this plan: "
            f"`{part['plan']}`."
            for part in training["stages"]
        ),
        "No real volume was used.",
        "Anatomies: the project's own procedural body"
        + (" and the label maps named under Attributions." if manifest["attributions"] else "."),
        "## Measured",
        "Simulated volumes of subjects, seeds and head maps that were not trained on:",
        "```\n" + describe("simulated", simulated) + "\n```",
    ]
    if real is not None:
        parts += [REAL_VOLUMES, "```\n" + describe("real", real) + "\n```"]
    parts += [
        "Every figure is printed by `python -m training evaluate fieldofview` with the same options.",
        "## Licence and attributions",
        f"Weights: {manifest['licence']}.",
        *(f"- {line}" for line in manifest["attributions"]),
    ]
    return "\n\n".join(parts) + "\n"
