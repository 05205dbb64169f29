"""The field of view of many volumes: what the command `slicerhpo classify` does."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from .. import __version__
from ..bundle import Bundle, find_bundle, read_bundle
from ..fieldofview.figure import write_figure
from ..fieldofview.regions import BODY
from ..job import Job
from ..results import Result, read_csv, read_json, write_csv, write_json
from ..words import _
from .outputs import figure_files, make_writable, output_file, removed_if_empty, require_no_volume
from .runner import run_volumes
from .volumes import BatchError, Volume, find_volumes

if TYPE_CHECKING:
    from ..fieldofview.classifier import Classifier

DEFAULT_MODEL = "mr-field-of-view"


@dataclass(frozen=True)
class Plan:
    """A checked request: what `run` does.

    Attributes:
        volumes: each once, in the order given.
        done: results of earlier runs by `Result.key`, kept in the outputs.
        bundle: the verified model.
        csv, json: where results go. figures: where the figure of each volume goes, by key.
        made: folders that were made for them, innermost first; `run` removes those in which nothing was written.
    """

    volumes: tuple[Volume[Result], ...]
    done: Mapping[tuple, Result]
    bundle: Bundle
    csv: Path | None
    json: Path | None
    figures: Mapping[tuple, Path]
    made: tuple[Path, ...] = ()

    def earlier(self, blank: Result) -> Result | None:
        """The result of an earlier run that still holds for this volume, if there is one."""
        result = self.done.get(blank.key)
        figure = self.figures.get(blank.key)
        if result is None or result.error or result.basis != blank.basis or (figure and not figure.exists()):
            return None
        return result


def classify(
    paths: str | os.PathLike | Iterable[str | os.PathLike],
    *,
    model: str | os.PathLike = DEFAULT_MODEL,
    csv: str | os.PathLike | None = None,
    json: str | os.PathLike | None = None,
    figure: str | os.PathLike | None = None,
    fixed: Mapping[str, float] | None = None,
    skip_done: bool = False,
    series: str | None = None,
    frame: int | None = None,
    job: Job | None = None,
    on_result: Callable[[Result], None] | None = None,
) -> list[Result]:
    """Which regions volumes show and where each begins.

    Args:
        paths: files, DICOM folders, or folders of these.
        model: name of a model (see `bundle.find_bundle`) or its folder.
        csv: table to write, one row a region. json: the same, nested. An older file of results there is replaced, or
            with `skip_done` continued; any other file is refused.
        figure: one volume: a .png, .pdf or .svg file; several: a folder that gets a .png of each.
        fixed: boundaries that are known, such as {"abdomen/chest": -120.0} in mm along S, for every volume.
        skip_done: volumes that csv or json already answers, from the same file and with the same model and `fixed`,
            are not computed again.
        series: which DICOM series of a folder. frame: which image of a 4D volume.
        job: progress and cancellation. on_result: called with each result as soon as it is there and written.

    Returns:
        A result for each volume, in order; look at `error`. Nothing is raised for a volume that cannot be classified.

    Raises:
        BatchError, BundleError, ResultsError, FigureError (each a ValueError): the request cannot be carried out.
        Cancelled: by the job; as with KeyboardInterrupt, what is finished is written.
    """
    plan = prepare(
        paths,
        model=model,
        csv=csv,
        json=json,
        figure=figure,
        fixed=fixed,
        skip_done=skip_done,
        series=series,
        frame=frame,
    )
    return run(plan, job=job, on_result=on_result)


def prepare(
    paths: str | os.PathLike | Iterable[str | os.PathLike],
    *,
    model: str | os.PathLike = DEFAULT_MODEL,
    csv: str | os.PathLike | None = None,
    json: str | os.PathLike | None = None,
    figure: str | os.PathLike | None = None,
    fixed: Mapping[str, float] | None = None,
    skip_done: bool = False,
    series: str | None = None,
    frame: int | None = None,
) -> Plan:
    """Finds the volumes and checks the request; arguments and errors as of `classify`. Makes missing output folders."""
    csv_path, json_path = output_file(csv, ".csv"), output_file(json, ".json")
    if skip_done and not (csv_path or json_path):
        raise BatchError(_("To skip what is done, name the CSV or JSON file that holds the earlier results."))
    if frame is not None and frame < 0:
        raise BatchError(_("Frame {frame}: frames count from 0.").format(frame=frame))
    fixed = check_fixed(fixed or {})
    bundle = read_bundle(find_bundle(model))

    blank = Result("", None, frame, 0, "", bundle.name, bundle.sha256, f"SlicerHPO {__version__}", fixed)
    volumes = find_volumes(paths, series, blank)
    figures = figure_files(figure, volumes)
    earlier = [
        result
        for path, read in ((csv_path, read_csv), (json_path, read_json))  # JSON last: it wins
        if path is not None and path.exists()
        for result in read(path)  # also without skip_done: what is no table of ours is not overwritten
    ]
    outputs = [path for path in (csv_path, json_path, *figures.values()) if path is not None]
    require_no_volume(outputs, volumes)
    made = make_writable(outputs)
    done = {result.key: result for result in earlier} if skip_done else {}
    return Plan(tuple(volumes), done, bundle, csv_path, json_path, figures, made)


def run(plan: Plan, *, job: Job | None = None, on_result: Callable[[Result], None] | None = None) -> list[Result]:
    """Carries out a plan; returns and raises as `classify`."""
    table = dict(plan.done)
    if table and not all(path.exists() for path in (plan.csv, plan.json) if path):
        _write(plan, table.values())  # one of two outputs is new, and there may be nothing left to compute

    def load() -> Classifier:
        from ..fieldofview.classifier import Classifier  # torch takes a second to import

        return Classifier.load(plan.bundle)

    def answer(classifier: Classifier, volume: Volume[Result], job: Job) -> Result:
        blank = volume.blank
        image = volume.source.read(blank.frame, job.part(0.0, 0.3))
        answer = classifier.classify(image, fixed=blank.fixed, job=job.part(0.3, 1.0))
        if figure := plan.figures.get(blank.key):
            write_figure(image, answer, figure, title=blank.path)
        return blank.answered(answer)

    def keep(result: Result) -> None:
        table.pop(result.key, None)  # to the end, in the order of this run
        table[result.key] = result
        _write(plan, table.values())

    with removed_if_empty(plan.made):
        return run_volumes(
            plan.volumes, earlier=plan.earlier, load=load, answer=answer, keep=keep, job=job, on_result=on_result
        )


def check_fixed(fixed: Mapping[str, float]) -> dict[str, float]:
    """Fixed boundaries under their proper names, the inferior region first. Raises `BatchError`."""
    adjacent = {frozenset(pair): "/".join(pair) for pair in pairwise(BODY)}
    checked: dict[str, float] = {}
    for name, position in fixed.items():
        proper = adjacent.get(frozenset(str(name).split("/")))
        if proper is None:
            raise BatchError(
                _("Boundary {name}: give one of {known}.").format(name=repr(name), known=", ".join(adjacent.values()))
            )
        if proper in checked:
            raise BatchError(_("Boundary {proper} is fixed twice: give it once.").format(proper=proper))
        try:
            checked[proper] = float(position)
        except (TypeError, ValueError):
            checked[proper] = math.nan
        if not math.isfinite(checked[proper]):
            raise BatchError(
                _("Boundary {name} at {position}: give its position along S in mm, such as -120.").format(
                    name=repr(name), position=repr(position)
                )
            )
    return checked


def _write(plan: Plan, results: Iterable[Result]) -> None:
    if plan.csv:
        write_csv(plan.csv, results)
    if plan.json:
        write_json(plan.json, results)
