"""How good a kidney model is, on simulated subjects it has not seen: adults, children, and volumes without a kidney.

Volumes are as a scanner exports them (the box of the field of view, 1.5 to 3 mm voxels), results are compared with the
true capsule at those voxels. What users run is what is measured: `KidneySegmenter`, from the image to the mask.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import repeat

import numpy as np
from SlicerHPOLib.image import Image
from SlicerHPOLib.job import Job
from SlicerHPOLib.kidney.segmenter import KidneySegmenter, SegmentationError

from ..parallel import single_threaded_pool
from ..simulation.plain_ultrasound import plain_ultrasound
from ..simulation.randomisation import POPULATIONS
from ..simulation.ultrasound import NO_KIDNEY_MM, simulate_ultrasound
from .clicks import dice_by_clicks, radial_basis_correction
from .dataset import phi_on_grid, subject_seed
from .metrics import Score, score

TEST_SEED, CALIBRATION_SEED = 1_000_003, 2_000_003  # of subjects never trained on
SPACINGS_MM = (1.5, 3.0)
EMPTY = "empty"
GROUPS = (*POPULATIONS, EMPTY)
MOST_CLICKS, GOOD_DICE = 10, 0.90


@dataclass(frozen=True, eq=False)
class Case:
    """A volume and its truth: phi_mm (k, j, i) signed distance to the capsule at the image's voxels."""

    group: str
    image: Image
    phi_mm: np.ndarray


def simulated_cases(
    count: int,
    seed: int,
    groups: Sequence[str] = GROUPS,
    masks: Sequence[Image] = (),
    plain: bool = False,
    workers: int = 2,
    first: int = 0,
) -> Iterator[Case]:
    """`count` subjects of each group from the `first` on, as exported by a scanner. masks: kidneys to take the shapes
    from. plain: of the second simulation, `plain_ultrasound`."""
    jobs = [(group, n) for n in range(first, first + count) for group in groups]
    with single_threaded_pool(workers, _keep, (tuple(masks),)) as pool:
        yield from pool.map(_plain_case if plain else _case, *zip(*jobs, strict=True), repeat(seed))


_masks: tuple[Image, ...] = ()


def _keep(masks: tuple[Image, ...]) -> None:
    """Keep the masks once in each worker process."""
    global _masks
    _masks = masks


def _case(group: str, index: int, seed: int) -> Case:
    number = subject_seed(seed, GROUPS.index(group) * 100_000 + index)
    spacing = float(np.random.default_rng(number).uniform(*SPACINGS_MM))
    population = None if group == EMPTY else group
    subject = simulate_ultrasound(
        number, population, spacing_mm=spacing, size=None, masks=_masks, kidney=group != EMPTY
    )
    return Case(group, subject.image, subject.phi_mm)


def _plain_case(group: str, index: int, seed: int) -> Case:
    number = subject_seed(seed, GROUPS.index(group) * 100_000 + index)
    population = POPULATIONS[index % 2] if group == EMPTY else group
    image, phi_mm = plain_ultrasound(number, population, masks=_masks, kidney=group != EMPTY)
    return Case(group, image, phi_mm if group != EMPTY else np.full(phi_mm.shape, NO_KIDNEY_MM, np.float32))


@dataclass(frozen=True, eq=False)
class Answer:
    """What a model said of a case; without a kidney, score is None. population: that it was taken for, if the model
    tells them apart. refused: nothing was found."""

    group: str
    score: Score | None
    least_jacobian: float
    confidence: float
    population: str | None = None
    refused: bool = False


def answers(
    segmenter: KidneySegmenter, cases: Iterable[Case], method: str = "deformation", population: str = "auto"
) -> Iterator[Answer]:
    """What the model finds in each case; the classical method is shown the true middle."""
    for case in cases:
        there = case.phi_mm > 0
        seed_point = None
        if method == "classical":
            middle = np.argwhere(there).mean(0) if there.any() else (np.array(case.image.shape) - 1) / 2
            seed_point = tuple(case.image.ras_of(middle[::-1]))
        try:
            found = segmenter.segment(case.image, method=method, seed_point_mm=seed_point, population=population)
        except SegmentationError:
            nothing = score(np.zeros_like(there), there, case.image.spacing_mm) if there.any() else None
            yield Answer(case.group, nothing, np.nan, 0.0, refused=True)
            continue
        value = score(found.mask > 0, there, case.image.spacing_mm) if there.any() else None
        yield Answer(case.group, value, found.least_jacobian, found.confidence, found.population)


@dataclass(frozen=True, eq=False)
class Report:
    """Figures of the answers of one group of subjects."""

    group: str
    count: int
    dice: float
    worst_dice: float
    hausdorff95_mm: float
    surface_dice: float
    volume_bias: float  # median of the volume's error, as a part of the true volume
    volume_error: float  # median of its size
    most_components: int
    least_jacobian: float
    confidence_error: float  # mean distance of the confidence from the Dice reached, 0 where there is no kidney
    warned: float  # part of the volumes with a warning of low confidence, or refused
    as_children: float = math.nan  # part that was taken for children, by a model that tells populations apart

    def as_json(self) -> dict:
        """The figures of a model card."""
        return {
            name: (round(value, 4) if isinstance(value, float) else value)
            for name, value in vars(self).items()
            if not (isinstance(value, float) and np.isnan(value))
        }


def report(found: Iterable[Answer], least_confidence: float) -> list[Report]:
    """Figures by group, in the order of GROUPS."""
    found, reports = list(found), []
    for group in GROUPS:
        own = [answer for answer in found if answer.group == group]
        if not own:
            continue
        scores = [answer.score for answer in own if answer.score is not None]
        off = np.array([s.volume_error_ml / (s.volume_ml - s.volume_error_ml) for s in scores] or [np.nan])

        def mean(name: str, scores=scores) -> float:
            values = [getattr(score, name) for score in scores]
            return float(np.mean([value for value in values if np.isfinite(value)] or [np.nan]))

        reports.append(
            Report(
                group,
                len(own),
                mean("dice"),
                min((score.dice for score in scores), default=np.nan),
                mean("hausdorff95_mm"),
                mean("surface_dice"),
                float(np.median(off)),
                float(np.median(np.abs(off))),
                max((score.components for score in scores), default=0),
                min((a.least_jacobian for a in own if not a.refused), default=np.nan),
                float(np.mean([abs(a.confidence - (a.score.dice if a.score else 0.0)) for a in own])),
                float(np.mean([a.refused or a.confidence < least_confidence for a in own])),
                float(np.mean([a.population == "child" for a in own])) if any(a.population for a in own) else math.nan,
            )
        )
    return reports


def describe(title: str, reports: Sequence[Report]) -> str:
    """A table to print."""
    lines = [
        f"{title}",
        "            n   Dice  worst  HD95 mm  surface Dice  volume bias  error  pieces  least Jacobian"
        "  confidence error  warned  as children",
    ]
    for r in reports:
        cells = [f"{r.dice:6.3f}", f"{r.worst_dice:6.3f}", f"{r.hausdorff95_mm:8.1f}", f"{r.surface_dice:13.3f}"]
        cells += [f"{100 * r.volume_bias:+10.0f} %", f"{100 * r.volume_error:4.0f} %"]
        cells = ["-".rjust(len(cell)) if "nan" in cell else cell for cell in cells]
        sound = (
            f"{r.most_components or '-':>7} {r.least_jacobian:15.3f} {r.confidence_error:17.3f} {100 * r.warned:5.0f} %"
        )
        children = "-" if math.isnan(r.as_children) else f"{100 * r.as_children:.0f} %"
        lines.append(f"  {r.group:6} {r.count:5} {' '.join(cells)} {sound} {children:>12}")
    return "\n".join(lines)


@dataclass(frozen=True, eq=False)
class Clicks:
    """Mean Dice after 0, 1, ... clicks of the robot, and mean clicks to a Dice of 0.90 (10 where it is not reached)."""

    name: str
    dice: tuple[float, ...]
    clicks_to_good: float
    reached: int
    count: int

    def __str__(self) -> str:
        curve = " ".join(f"{value:.3f}" for value in self.dice)
        return (
            f"{self.name}: Dice after 0 to {len(self.dice) - 1} clicks {curve}; "
            f"{self.clicks_to_good:.1f} clicks to {GOOD_DICE:.2f} (reached by {self.reached} of {self.count})"
        )


def clicked(segmenter: KidneySegmenter, cases: Iterable[Case], seed: int = 0, job: Job = Job()) -> list[Clicks]:
    """The click robot on the working grid, with the flow of this library and with the one-shot radial-basis
    correction."""
    curves: dict[str, list[list[float]]] = {"flow": [], "radial basis": []}
    for n, case in enumerate(cases):
        job.progress(0.0, f"clicking in volume {n + 1}")
        try:
            found = segmenter.segment(case.image)
        except SegmentationError:
            continue
        truth = phi_on_grid(case.image, case.phi_mm, found.grid) > 0
        corrector = segmenter.corrector
        curves["flow"].append(
            dice_by_clicks(lambda p, c=corrector: c(p).phi, found.phi, truth, found.grid, MOST_CLICKS, seed + n)
        )
        curves["radial basis"].append(
            dice_by_clicks(
                lambda p, f=found: radial_basis_correction(f.phi, f.grid, p), found.phi, truth, found.grid, MOST_CLICKS,
                seed + n,
            )
        )  # fmt: skip
    results = []
    for name, all_curves in curves.items():
        good = [next((k for k, value in enumerate(curve) if value >= GOOD_DICE), None) for curve in all_curves]
        needed = [MOST_CLICKS if k is None else k for k in good]
        mean = tuple(float(value) for value in np.mean(all_curves, axis=0))
        results.append(Clicks(name, mean, float(np.mean(needed)), sum(k is not None for k in good), len(good)))
    return results
