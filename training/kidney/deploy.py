"""From a trained kidney network to the bundle that users run, with a model card whose figures are measured here."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit, logit
from SlicerHPOLib.bundle import Bundle, write_bundle
from SlicerHPOLib.job import Job
from SlicerHPOLib.kidney.deformation import DeformationNetwork, network_of
from SlicerHPOLib.kidney.grid import HIGH_PERCENTILE, LOW_PERCENTILE, SIZE, SPACINGS_MM
from SlicerHPOLib.kidney.population import SECOND
from SlicerHPOLib.kidney.scales import SMALLEST
from SlicerHPOLib.kidney.segmenter import TASK, KidneySegmenter
from SlicerHPOLib.quantised import quantised, restored

from ..simulation.randomisation import POPULATIONS
from .evaluate import (
    CALIBRATION_SEED,
    EMPTY,
    TEST_SEED,
    Answer,
    Case,
    Report,
    answers,
    clicked,
    describe,
    report,
    simulated_cases,
)
from .train import with_stages

DOUBTED = 0.5  # confidence below which there is a warning in any case
EMPTIES = 3  # times as many without a kidney to calibrate on: the largest of all takes more than a mean
FINE = ("template_phi", "child.template_change")  # lengths in mm, that a byte is too coarse for
POPULATIONS_TEXT = (
    "Children have layers of their own (section 3.3): their features are scaled and shifted, pose, modes and template "
    "corrected; without them it is the network of all. By the sizes of kidney and field of view a volume is taken for "
    "a child's where that is likely enough that 2.5 % of adults would be; it can be said otherwise."
)
JUDGED_TEXT = (
    "the Dice that a judge expects, a network that sees image, map and outline in the template's frame, and learned "
    "from what was found in simulated volumes, right and wrong. Where it expects less than a half, the kidney is "
    "looked for elsewhere, too."
)
EXPECTED_TEXT = "the Dice that the second look expects to reach, its median over the views and the end."
TRANSFER_TITLE = "## Transfer from adults to children"
TRANSFER_TEXT = (
    "By strategy, of U-Nets that only the table is about (`python -m training reproduce table-3.1`): mean Dice and its "
    "standard deviation over seeds, on simulated subjects that none has seen; how much it is above fine-tuning's of "
    "the same subjects, and half of the 95 % interval; the source's figures are of real volumes. Which to choose: "
    "`training/kidney/TRANSFER.md`."
)
INTENDED_USE = (
    "Research and development. Not a medical device, not for clinical use: it was trained on simulated ultrasound only."
)


def trained_network(run: str | Path) -> tuple[DeformationNetwork, list[dict]]:
    """The deformation network of a training folder, or of a model, and the stages of its training. Raises ValueError if
    there is none."""
    network, stages = with_stages(run)
    if not isinstance(network, DeformationNetwork):
        raise ValueError(f"{run} holds a U-Net alone; a bundle has a deformation network, which has a dense map too.")
    return network, stages


def distinct(stages: list[dict]) -> list[dict]:
    """Each stage once, in order: both looks may go back to the same one."""
    return [stage for n, stage in enumerate(stages) if stage not in stages[:n]]


def platt(found: Sequence[Answer]) -> tuple[float, float]:
    """Slope and offset that bring the network's own confidences, by their logits, nearest to the Dice reached, 0 where
    there is no kidney: least cross entropy, with a standard normal prior of what they change (Platt 1999)."""
    answered = [answer for answer in found if not answer.refused]
    logits = logit(np.clip([answer.confidence for answer in answered], SMALLEST, 1 - SMALLEST))
    dice = np.array([answer.score.dice if answer.score else 0.0 for answer in answered])

    def cost(change: np.ndarray) -> float:
        scores = np.exp(change[0]) * logits + change[1]
        return float((np.logaddexp(0, scores) - dice * scores).sum() + change @ change / 2)

    log_slope, offset = minimize(cost, np.zeros(2)).x
    return round(float(np.exp(log_slope)), 4), round(float(offset), 4)


def calibrated(found: Sequence[Answer], slope: float, offset: float) -> list[Answer]:
    """The same answers with the confidences that a segmenter with this calibration gives."""
    return [replace(answer, confidence=float(expit(slope * logit(answer.confidence) + offset))) for answer in found]


def least_confidence(found: Sequence[Answer]) -> float:
    """The confidence below which all volumes without a kidney lie, to three digits; `DOUBTED` at least, for other
    volumes may be less clear than those that it is measured on."""
    empty = [0.0 if answer.refused else answer.confidence for answer in found if answer.group == EMPTY]
    return max(DOUBTED, (math.floor(1000 * max(empty)) + 1) / 1000)


def deploy(
    run: str | Path,
    out: str | Path,
    *,
    name: str = TASK,
    calibration: int = 60,
    test: int = 30,
    clicks: int | None = None,
    transfer_table: str = "",
    job: Job = Job(),
) -> Path:
    """Calibrate confidence and warning of a trained network, measure it, and write bundle and model card.

    Args:
        run: folder of a training, or of a model, which is calibrated and measured anew.
        calibration, test: subjects of each group, `EMPTIES` times as many without a kidney to calibrate on; of other
            seeds than those trained on, and than each other's.
        clicks: subjects on which the click robot is run; None: all with a kidney.
        transfer_table: in Markdown, of `reproduce table-3.1`, for the card.
    """
    network, stages = trained_network(run)
    weights = quantised(network.state_dict(), FINE)
    shipped = network_of(network.plan, restored(weights))  # what is measured is what is shipped
    segmenter = KidneySegmenter(shipped, SPACINGS_MM, SIZE, 0.0)

    def watched(cases, first: float, last: float, count: int):
        for n, case in enumerate(cases):
            job.progress(first + (last - first) * n / count, f"{case.group}, volume {n + 1} of {count}")
            yield case

    kidneys = simulated_cases(calibration, CALIBRATION_SEED, POPULATIONS)
    found = list(answers(segmenter, watched(kidneys, 0.0, 0.15, 2 * calibration)))
    empties = simulated_cases(EMPTIES * calibration, CALIBRATION_SEED, [EMPTY])
    nothing = list(answers(segmenter, watched(empties, 0.15, 0.3, EMPTIES * calibration)))
    segmenter.calibration = platt(found + nothing[:calibration])
    least = least_confidence(calibrated(nothing, *segmenter.calibration))
    test_cases: list[Case] = list(watched(simulated_cases(test, TEST_SEED), 0.3, 0.6, 3 * test))
    by_method = {method: report(answers(segmenter, test_cases, method), least) for method in ("deformation", "unet")}
    with_kidney = [case for case in test_cases if case.group != EMPTY]
    for population in network.populations:
        by_method[f"deformation, each as {population}"] = report(
            answers(segmenter, with_kidney, population=population), least
        )
    click_curves = clicked(segmenter, with_kidney[:clicks])

    manifest = {
        "name": name,
        "task": TASK,
        "summary": "Outline and measures of the kidney in a 3D ultrasound volume, of adults and of children.",
        "architecture": asdict(network.plan),
        "input": {
            "spacings_mm": list(SPACINGS_MM),
            "size": SIZE,
            "intensity": f"percentiles {LOW_PERCENTILE:g} and {HIGH_PERCENTILE:g} of the field of view to 0 and 1",
        },
        "decision": {"least_confidence": least, "calibration": list(segmenter.calibration)},
        "training": {"data": "simulated ultrasound only", "stages": distinct(stages)},
        "metrics": {
            **{method: [r.as_json() for r in reports] for method, reports in by_method.items()},
            "clicks": {c.name: [round(value, 4) for value in c.dice] for c in click_curves},
        },
        "licence": "Apache-2.0",
        "attributions": [],
        "intended_use": INTENDED_USE,
    }
    count = sum(tensor.numel() for tensor in network.parameters())
    card = model_card(manifest, count, by_method, click_curves, test, transfer_table)
    return write_bundle(out, manifest, weights, card)


def adapted_bundle(source: Bundle, network: DeformationNetwork, training: dict, out: str | Path) -> Path:
    """Write a model that was adapted to children: the source's own bytes, with the layers and the gate beside them.

    Args:
        training: what the transfer was, see `train.stage`.
    """
    added = {name: value for name, value in network.state_dict().items() if name.startswith(SECOND)}
    kept = {name: value for name, value in source.tensors().items() if not name.startswith(SECOND)}
    manifest = {key: value for key, value in source.manifest.items() if key not in ("format_version", "files")}
    before = manifest["training"]
    manifest |= {
        "architecture": asdict(network.plan),
        "metrics": {},
        "training": {**before, "stages": [*before.get("stages", []), training]},
    }
    card = (
        f"# {manifest['name']}, adapted to children\n\n{manifest['summary']}\n\n**{manifest['intended_use']}**\n\n"
        f"Adapted from the model {source.name} (SHA-256 {source.sha256}), of which every byte is kept: what it says of "
        f"adults is what it said. {training['volumes']:,} volumes of children; `{json.dumps(training['plan'])}`.\n\n"
        "Nothing was measured. Do that on volumes that it was not adapted to: `python -m training evaluate kidney`.\n\n"
        f"## Licence and attributions\n\nWeights and template of the source: {manifest['licence']}.\n"
    )
    return write_bundle(out, manifest, kept | quantised(added, FINE), card)


def model_card(
    manifest: dict,
    weights: int,
    by_method: dict[str, list[Report]],
    click_curves,
    test: int,
    transfer_table: str,
) -> str:
    """README.md of the bundle."""
    tables = "\n\n".join(describe(method, reports) for method, reports in by_method.items())
    clicks = "\n".join(str(curve) for curve in click_curves)
    parts = [
        f"# {manifest['name']}",
        manifest["summary"],
        f"**{manifest['intended_use']}**",
        "## Network",
        f"{weights:,} weights, a byte each. A template, the mean of the project's own parametric kidneys with its "
        "modes of variation, is posed and deformed to the volume (H. Bertrand, Hyper-parameter optimization in deep "
        "learning and transfer learning: applications to medical imaging, 2019, section 4.3). A first look gives a "
        "dense map, whose moments are a first pose; a second one, in the template's frame, gives the rest.",
        f"`{json.dumps(manifest['architecture'])}`",
        *([POPULATIONS_TEXT] if manifest["architecture"]["adapted"] else []),
        f"Confidence: {JUDGED_TEXT if manifest['architecture']['judged'] else EXPECTED_TEXT} Below "
        f"{manifest['decision']['least_confidence']:g} it is said that there may be no kidney: {DOUBTED:g}, or what "
        "no volume without one has reached. Both are calibrated on other simulated volumes.",
        "## Training",
        *(
            f"{part['volumes']:,} simulated volumes, {part['hours']} hours on this plan: `{json.dumps(part['plan'])}`."
            + (f" Stopped after {part['stopped_after']:,} steps." if "stopped_after" in part else "")
            + (f" Its weights are the mean of {part['mean_of']} trainings, this the last." if "mean_of" in part else "")
            for part in manifest["training"]["stages"]
        ),
        "No real volume was used; no real kidney's shape either.",
        "## Measured",
        f"On simulated subjects of seeds and shapes that were not trained on, {test} of each group, with voxels of 1.5 "
        "to 3 mm, at those voxels (`python -m training evaluate kidney`). Unet is the dense map alone. Surface Dice: "
        "part of the surfaces within 2 mm of each other. Confidence error: mean distance of the confidence from the "
        "Dice reached. Warned: part of the volumes with a low-confidence warning.",
        "```\n" + tables + "\n```",
    ]
    parts += [
        "Click robot (centre of the largest error region, jittered):",
        "```\n" + clicks + "\n```",
        "It has never seen a real ultrasound volume: how well it does on one is not known.",
        *([TRANSFER_TITLE, TRANSFER_TEXT, transfer_table] if transfer_table else []),
        "## Licence and attributions",
        f"Weights and template: {manifest['licence']}.",
    ]
    return "\n\n".join(parts) + "\n"
