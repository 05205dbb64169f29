"""How good a field-of-view model is: on simulated subjects it has not seen and on real volumes, apart.

A slice counts as right if its class is; the figures are given before the region decision (largest probability) and
after it, in the form of the source's tables 2.6 and 2.8 (Bertrand 2019).
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from itertools import repeat
from pathlib import Path

import numpy as np
from SlicerHPOLib.fieldofview.classifier import Classifier
from SlicerHPOLib.fieldofview.regions import BODY, CLASSES, SPINE, Boundary, Decision, DecisionModel, decide
from SlicerHPOLib.fieldofview.slices import SliceInputs, slice_inputs
from SlicerHPOLib.image import read_image
from SlicerHPOLib.job import Job

from ..parallel import single_threaded_pool
from ..simulation.mri import render_image
from .dataset import draw_subject, start_worker, worker_maps

LONGEST, MOST_PLANES = 128, 300  # voxels of simulated test volumes: in plane and along S
LEAST_PROBABILITY = 1e-4  # of a class, in the log score: one volume that is wholly wrong does not decide
TEST_SEED, CALIBRATION_SEED = 1_000_003, 2_000_003  # of subjects never trained on


@dataclass(frozen=True, eq=False)
class Case:
    """A volume with its truth, and what the network said.

    truth: (N,) index into CLASSES, -1 where it is not known (then the slice is not counted). boundaries_mm: known
    boundaries. accepted: names of main regions that count as right.
    """

    name: str
    positions_mm: np.ndarray
    tissue: np.ndarray
    probabilities: np.ndarray
    truth: np.ndarray
    boundaries_mm: dict[str, float]
    accepted: tuple[str, ...]

    def decide(self, model: DecisionModel) -> Decision:
        return decide(self.probabilities, self.positions_mm, self.tissue, **asdict(model))


def simulated_cases(
    classifier: Classifier,
    count: int,
    seed: int,
    maps_dir: str | Path | None = None,
    workers: int = 2,
    job: Job = Job(),
) -> Iterator[Case]:
    """Whole simulated volumes of the test split, rendered as a scanner would export them and read back as any image."""
    size, made = classifier.architecture.input_size, 0
    with single_threaded_pool(workers, start_worker, (maps_dir, "test")) as pool:
        # A third of the volumes at most is left out, so there are enough.
        for case in pool.map(_rendered, repeat(seed), range(2 * count + 10), repeat(size)):
            if case is None:
                continue
            job.progress(made / count, f"simulated volume {made + 1} of {count}")
            inputs, fields = case
            yield Case(**fields, probabilities=classifier.probabilities(inputs))
            made += 1
            if made == count:
                break


def _rendered(seed: int, index: int, size: int) -> tuple[SliceInputs, dict] | None:
    """Inputs and truth of test volume `index`; None if it has too many planes, which take minutes, or no tissue."""
    volume, rng = draw_subject(seed, index, worker_maps())
    if len(volume.positions_mm) > MOST_PLANES:
        return None
    inputs = slice_inputs(render_image(volume, rng, LONGEST), size)
    if not inputs.tissue.any():
        return None
    truth = volume.classes_at(inputs.positions_mm)
    main = CLASSES[np.bincount(truth[inputs.tissue]).argmax()]
    return inputs, {
        "name": f"{volume.scan.protocol}, {volume.anatomy.name}, {volume.contrast.family}",
        "positions_mm": inputs.positions_mm,
        "tissue": inputs.tissue,
        "truth": truth,
        "boundaries_mm": volume.boundaries_mm(),
        "accepted": (main,),
    }


def real_cases(classifier: Classifier, folder: str | Path, job: Job = Job()) -> Iterator[Case]:
    """Real volumes of a folder with `manifest.csv` (columns file, part) and, for volumes of several regions,
    `torso_regions.json`.

    `part` names the main region first ("pelvis (prostate FOV)"). A part of several regions ("lower chest-abdomen-upper
    pelvis") is known to be the abdomen in its middle third only. Slices within 40 mm of a known boundary are not
    counted. A neck scanned for its spine counts as spine or head.
    """
    folder = Path(folder)
    with (folder / "manifest.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    torsos = json.loads(path.read_text()) if (path := folder / "torso_regions.json").exists() else {}
    for n, row in enumerate(rows):
        job.progress(n / len(rows), row["file"])
        image = read_image(folder / row["file"])
        inputs = slice_inputs(image, classifier.architecture.input_size)
        count, positions = len(inputs.positions_mm), inputs.positions_mm
        truth, boundaries, part = np.full(count, -1), {}, row["part"]
        if row["file"] in torsos:
            suggested = torsos[row["file"]]["suggested"]
            region_of = {"head_neck": "head", "chest": "chest", "abdomen": "abdomen"}
            for name, (first, last) in suggested.items():
                truth[first : last + 1] = CLASSES.index(region_of[name])
            for lower, upper in (("abdomen", "chest"), ("chest", "head_neck")):
                cut = suggested[lower][1]
                boundaries[f"{lower}/{region_of[upper]}"] = float(positions[cut : cut + 2].mean())
            for cut in boundaries.values():
                truth[np.abs(positions - cut) <= 40] = -1
            accepted: tuple[str, ...] = ("chest", "abdomen")
        elif "-" in part:
            truth[count // 3 : -(count // 3)] = CLASSES.index("abdomen")
            accepted = ("abdomen",)
        else:
            main = part.split(" ")[0]
            truth[:] = CLASSES.index(main)
            accepted = (main, "head") if "spine_cerv" in row["file"] else (main,)
        yield Case(row["file"], positions, inputs.tissue, classifier.probabilities(inputs), truth, boundaries, accepted)


@dataclass(frozen=True, eq=False)
class Report:
    """Figures of a set of cases. before, after: (classes, classes) slice counts, true class by row, decided class by
    column."""

    before: np.ndarray
    after: np.ndarray
    volumes: int
    main_right: int
    wrong_volumes: tuple[str, ...]
    boundary_errors_mm: np.ndarray
    covered: float  # part of true boundaries inside their 95 % interval
    boundaries_missed: int

    def as_json(self) -> dict:
        """The figures of a model card."""
        errors = self.boundary_errors_mm
        return {
            "volumes": self.volumes,
            "slices": int(self.after.sum()),
            "main_region_right": self.main_right,
            "slice_accuracy_before_decision": round(_accuracy(self.before), 4),
            "slice_accuracy": round(_accuracy(self.after), 4),
            "boundaries": len(errors),
            "boundaries_missed": self.boundaries_missed,
            "boundary_error_median_mm": round(float(np.median(errors)), 1) if len(errors) else None,
            "boundary_error_90_percentile_mm": round(float(np.percentile(errors, 90)), 1) if len(errors) else None,
            "interval_coverage": round(self.covered, 3) if len(errors) else None,
        }


def _accuracy(confusion: np.ndarray) -> float:
    return float(np.trace(confusion) / max(confusion.sum(), 1))


def measure(cases: Iterable[Case], model: DecisionModel) -> Report:
    """Confusion matrices, main regions and boundaries of `cases` under a decision model."""
    before, after = (np.zeros((len(CLASSES), len(CLASSES)), int) for _ in range(2))
    volumes = right = covered = missed = 0
    wrong, errors = [], []
    for case in cases:
        volumes += 1
        decision = case.decide(model)
        counted = case.tissue & (case.truth >= 0)
        # A neck scanned for its spine: spine and head are both right.
        truth = case.truth[counted]
        both = len(case.accepted) > 1 and SPINE in case.accepted
        for matrix, answer in ((before, case.probabilities.argmax(1)[counted]), (after, decision.labels[counted])):
            allowed = [CLASSES.index(name) for name in case.accepted]
            np.add.at(matrix, (np.where(np.isin(answer, allowed), answer, truth) if both else truth, answer), 1)
        main = decision.main_region.name
        right += main in case.accepted
        if main not in case.accepted:
            wrong.append(f"{case.name}: {main}, not {' or '.join(case.accepted)}")
        found = {b.name: b for b in decision.boundaries}
        for name, position in case.boundaries_mm.items():
            if name in found:
                low, high = found[name].interval_mm
                errors.append(abs(found[name].position_mm - position))
                covered += low <= position <= high
            else:
                missed += 1
    return Report(before, after, volumes, right, tuple(wrong), np.array(errors), covered / max(len(errors), 1), missed)


def calibrate(cases: list[Case]) -> DecisionModel:
    """The decision's parameters that do best on `cases`: smoothing and least length by the slices right, the
    correlation length by the log score of the confidences, and the intervals' margin by their coverage."""
    grid = [
        DecisionModel(sigma, least)
        for sigma in (0.0, 3.0, 6.0, 10.0, 15.0, 20.0)
        for least in (0.0, 10.0, 20.0, 30.0, 40.0)
    ]
    best = max(grid, key=lambda model: _accuracy(measure(cases, model).after))
    lengths = (2.0, 5.0, 10.0, 15.0, 20.0, 30.0, 45.0, 70.0, 100.0, 150.0, 220.0)
    models = [replace(best, correlation_length_mm=length) for length in lengths]
    model = min(models, key=lambda model: log_score(cases, model))
    return replace(model, interval_margin_mm=conformal_margin_mm(cases, model))


def log_score(cases: list[Case], model: DecisionModel) -> float:
    """Mean over the volumes of the mean of -log(posterior of the true class) over their slices: a proper score, least
    for true confidences (Gneiting and Raftery 2007)."""
    scores = []
    for case in cases:
        counted = case.tissue & (case.truth >= 0)
        if counted.any():
            said = case.decide(model).posterior[counted, case.truth[counted]]
            scores.append(-np.log(np.maximum(said, LEAST_PROBABILITY)).mean())
    return float(np.mean(scores)) if scores else 0.0


def conformal_margin_mm(cases: list[Case], model: DecisionModel, level: float = 0.95) -> float:
    """The least widening of the intervals that holds this part of the boundaries that are found, with the correction
    for their number that makes it valid for one more (Romano et al. 2019)."""
    missed = []
    for boundary, truth in _found_boundaries(cases, replace(model, interval_margin_mm=0.0)):
        low, high = boundary.interval_mm
        missed.append(max(low - truth, truth - high, 0.0))
    if not missed:
        return 0.0
    rank = min(int(np.ceil(level * (len(missed) + 1))), len(missed))
    return round(float(np.sort(missed)[rank - 1]) + 0.05, 1)


def _found_boundaries(cases: list[Case], model: DecisionModel) -> Iterator[tuple[Boundary, float]]:
    """Boundaries that are found, with where they truly are."""
    for case in cases:
        for boundary in case.decide(model).boundaries:
            if boundary.name in case.boundaries_mm:
                yield boundary, case.boundaries_mm[boundary.name]


def confusion_table(matrix: np.ndarray) -> str:
    """A confusion matrix as in tables 2.6 and 2.8: rows are the truth, in % of the row's slices, with the number of
    slices."""
    order = [CLASSES.index(name) for name in (*reversed(BODY), SPINE)]
    lines = ["          " + "".join(f"{CLASSES[c]:>9}" for c in order) + "   slices"]
    for row in order:
        total = matrix[row].sum()
        cells = "".join(f"{100 * matrix[row, c] / total:9.1f}" if total else "        -" for c in order)
        lines.append(f"{CLASSES[row]:<10}{cells}{total:9d}")
    return "\n".join(lines)


def describe(title: str, report: Report) -> str:
    """The report as text."""
    figures = report.as_json()
    lines = [
        f"{title}: {report.volumes} volumes, {figures['slices']} slices",
        f"  slices right: {100 * figures['slice_accuracy_before_decision']:.1f} % before the region decision, "
        f"{100 * figures['slice_accuracy']:.1f} % after it",
        f"  main region right: {report.main_right} of {report.volumes}",
        *(f"    wrong: {line}" for line in report.wrong_volumes),
    ]
    if len(report.boundary_errors_mm):
        lines.append(
            f"  boundaries: {figures['boundaries']} found, {report.boundaries_missed} missed; "
            f"error {figures['boundary_error_median_mm']} mm (median), "
            f"{figures['boundary_error_90_percentile_mm']} mm (90 %); 95 % interval holds {100 * report.covered:.0f} %"
        )
    for name, matrix in (("before", report.before), ("after", report.after)):
        lines += [
            f"  confusion {name} the decision (rows: truth, % of the row)",
            *("    " + row for row in confusion_table(matrix).split("\n")),
        ]
    return "\n".join(lines)
