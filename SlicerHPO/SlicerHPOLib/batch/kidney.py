"""The kidney in many 3D ultrasound volumes: what the command `slicerhpo segment` does; `folder` is where they go."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from .. import __version__
from ..bundle import Bundle, find_bundle, read_bundle
from ..image import Image
from ..job import Job
from ..kidney.pointfile import read_points
from ..kidney.points import Points
from ..kidney.request import AUTO, why_not
from ..kidney.results import KidneyResult, read_json, require_table, write_csv, write_json
from ..segmentation import FORMATS, write_segmentation
from ..words import _
from .folder import LIST, earlier, enlist, listed, location, require_ours, sha256_of
from .outputs import figure_files, make_writable, output_file, removed_if_empty, require_no_volume
from .runner import run_volumes
from .volumes import BatchError, Volume, file_names, find_volumes

if TYPE_CHECKING:
    from ..kidney.segmenter import KidneySegmenter

DEFAULT_MODEL = "kidney-ultrasound"


@dataclass(frozen=True)
class Plan:
    """A checked request: what `run` does.

    Attributes:
        volumes: each once, in the order given.
        done: results of earlier runs that still hold, by key.
        bundle: the verified model.
        folder, report: where segmentations, and the results of this request, go.
        outputs, figures: where segmentation and figure of each volume go, by key.
        made: folders that were made for them, innermost first; `run` removes those in which nothing was written.
    """

    volumes: tuple[Volume[KidneyResult], ...]
    done: Mapping[tuple, KidneyResult]
    bundle: Bundle
    folder: Path
    report: Path | None
    outputs: Mapping[tuple, Path]
    figures: Mapping[tuple, Path]
    made: tuple[Path, ...] = ()


def segment(
    paths: str | os.PathLike | Iterable[str | os.PathLike],
    out: str | os.PathLike,
    *,
    method: str = "deformation",
    population: str = AUTO,
    points: Points | str | os.PathLike | Iterable[str | os.PathLike] = (),
    seed_point_mm: Iterable[float] | None = None,
    report: str | os.PathLike | None = None,
    figure: str | os.PathLike | None = None,
    format: str = "seg.nrrd",
    model: str | os.PathLike = DEFAULT_MODEL,
    skip_done: bool = False,
    series: str | None = None,
    frame: int | None = None,
    job: Job | None = None,
    on_result: Callable[[KidneyResult], None] | None = None,
) -> list[KidneyResult]:
    """Segments the kidney in volumes and measures it.

    Args:
        paths: files, DICOM folders, or folders of these.
        out: folder for the segmentations, one a volume, by its name. Our own there are replaced, other files never.
        method: "deformation", "unet" or "classical", and population: "auto", "adult" or "child"; see
            `KidneySegmenter.segment`.
        points: corrections of one volume, or the files that hold them, see `kidney.pointfile`.
        seed_point_mm: R, A, S near the kidney's middle, for the classical method.
        report: .json or .csv file to write, an entry a volume.
        figure: one volume: a .png, .pdf or .svg file; several: a folder that gets a .png of each.
        format: "seg.nrrd", which 3D Slicer opens with name and colour, or "nii.gz", a label map.
        model: name of a model (see `bundle.find_bundle`) or its folder.
        skip_done: volumes that were segmented into `out` in the same way are not computed again.
        series: which DICOM series of a folder. frame: which image of a 4D volume.
        job: progress and cancellation. on_result: called with each result as soon as it is there and written.

    Returns:
        A result for each volume, in order; look at `error` and `warnings`. Nothing is raised for a volume that cannot
        be segmented.

    Raises:
        BatchError, BundleError, ResultsError, FigureError, PointFileError (each a ValueError): the request cannot be
            carried out.
        Cancelled: by the job; as with KeyboardInterrupt, what is finished is written.
    """
    plan = prepare(
        paths,
        out,
        method=method,
        population=population,
        points=points,
        seed_point_mm=seed_point_mm,
        report=report,
        figure=figure,
        format=format,
        model=model,
        skip_done=skip_done,
        series=series,
        frame=frame,
    )
    return run(plan, job=job, on_result=on_result)


def prepare(
    paths: str | os.PathLike | Iterable[str | os.PathLike],
    out: str | os.PathLike,
    *,
    method: str = "deformation",
    population: str = AUTO,
    points: Points | str | os.PathLike | Iterable[str | os.PathLike] = (),
    seed_point_mm: Iterable[float] | None = None,
    report: str | os.PathLike | None = None,
    figure: str | os.PathLike | None = None,
    format: str = "seg.nrrd",
    model: str | os.PathLike = DEFAULT_MODEL,
    skip_done: bool = False,
    series: str | None = None,
    frame: int | None = None,
) -> Plan:
    """Finds the volumes and checks the request; arguments and errors as of `segment`. Makes missing output folders."""
    if why := why_not(method, population):
        raise BatchError(why)
    if format not in FORMATS:
        raise BatchError(
            _("Unknown format {format}; known are {endings}.").format(format=repr(format), endings=", ".join(FORMATS))
        )
    if frame is not None and frame < 0:
        raise BatchError(_("Frame {frame}: frames count from 0.").format(frame=frame))
    seed = _checked_seed(method, seed_point_mm)
    corrections = tuple(points if isinstance(points, Points) else read_points(points))
    folder, report_path = Path(out), _checked_report(report)
    known = listed(folder)
    bundle = read_bundle(find_bundle(model))

    software = f"SlicerHPO {__version__}"
    asked = method, corrections, seed, population
    blank = KidneyResult("", None, frame, 0, "", bundle.name, bundle.sha256, software, *asked)
    volumes = find_volumes(paths, series, blank, {os.path.realpath(folder / name) for name in known})
    volumes = [replace(v, blank=replace(v.blank, location_sha256=location(v.blank.path, folder))) for v in volumes]
    if corrections and len(volumes) > 1:
        raise BatchError(
            _("Correction points belong to one volume, and there are {count}: give one.").format(count=len(volumes))
        )
    names = file_names(volumes)
    outputs = {v.blank.key: folder / f"{name}.{format}" for v, name in zip(volumes, names, strict=True)}
    figures = figure_files(figure, volumes)

    written = [*outputs.values(), folder / LIST, *figures.values(), *([report_path] if report_path else [])]
    require_no_volume(written, volumes)
    if len({os.path.realpath(path) for path in written}) < len(written):
        raise BatchError(
            _("{path} is the name of another output, too: give another.").format(path=report_path or figure)
        )
    done: dict[tuple, KidneyResult] = {}
    for volume in volumes:
        key, output = volume.blank.key, outputs[volume.blank.key]
        before = earlier(volume.blank, output, known) if skip_done else None
        if before and (key not in figures or figures[key].exists()):
            done[key] = before
        elif volume.source:
            require_ours(volume.blank, output, known)
    made = make_writable(written)
    return Plan(tuple(volumes), done, bundle, folder, report_path, outputs, figures, made)


def run(
    plan: Plan, *, job: Job | None = None, on_result: Callable[[KidneyResult], None] | None = None
) -> list[KidneyResult]:
    """Carries out a plan; returns and raises as `segment`."""
    table = dict(plan.done)

    def load() -> KidneySegmenter:
        from ..kidney.segmenter import KidneySegmenter  # torch takes a second to import

        return KidneySegmenter.load(plan.bundle)

    def answer(segmenter: KidneySegmenter, volume: Volume[KidneyResult], job: Job) -> KidneyResult:
        blank, output = volume.blank, plan.outputs[volume.blank.key]
        image = volume.source.read(blank.frame, job.part(0.0, 0.3))
        segmentation = segmenter.segment(
            image,
            method=blank.method,
            population=blank.population,
            seed_point_mm=blank.seed_point_mm,
            points=Points(blank.points),
            job=job.part(0.3, 0.9),
        )
        result = replace(blank.answered(segmentation), output=str(output))
        enlist(plan.folder, result)  # before the file is there: at no time it lies there and is not known as ours
        write_segmentation(Image(segmentation.mask, image.ijk_to_ras, image.name), output)
        if figure := plan.figures.get(blank.key):
            from ..kidney.figure import write_figure

            write_figure(segmentation, figure, title=blank.path)
        result = replace(result, output_sha256=sha256_of(output))
        enlist(plan.folder, result)
        return result

    def keep(result: KidneyResult) -> None:
        table[result.key] = result
        _write_report(plan, table)

    with removed_if_empty(plan.made):
        if table:
            _write_report(plan, table)  # there may be nothing left to compute
        return run_volumes(
            plan.volumes,
            earlier=lambda blank: plan.done.get(blank.key),
            load=load,
            answer=answer,
            keep=keep,
            job=job,
            on_result=on_result,
        )


def _write_report(plan: Plan, table: Mapping[tuple, KidneyResult]) -> None:
    if plan.report:
        write = write_csv if plan.report.suffix.lower() == ".csv" else write_json
        write(plan.report, [table[v.blank.key] for v in plan.volumes if v.blank.key in table])


def _checked_report(report: str | os.PathLike | None) -> Path | None:
    """The report's path, if nothing but an older report is there. Raises `BatchError`, `ResultsError`."""
    path = output_file(report, ".json", ".csv")
    if path is not None and path.exists():
        (require_table if path.suffix.lower() == ".csv" else read_json)(path)
    return path


def _checked_seed(method: str, seed_point_mm: Iterable[float] | None) -> tuple[float, float, float] | None:
    """The seed point as numbers. Raises `BatchError` if it is none, lacking, or of no use."""
    if (seed_point_mm is None) == (method == "classical"):
        if seed_point_mm is not None:
            raise BatchError(
                _("A seed point is for the classical method; {method} finds the kidney itself.").format(
                    method=repr(method)
                )
            )
        raise BatchError(
            _("The classical method starts from a seed point: give its R, A, S in mm, near the middle of the kidney.")
        )
    if seed_point_mm is None:
        return None
    try:
        r, a, s = map(float, seed_point_mm)
    except (TypeError, ValueError):
        r = a = s = math.nan
    if not all(map(math.isfinite, (r, a, s))):
        raise BatchError(
            _("A seed point is three numbers, R, A, S in mm; given is {given}.").format(given=repr(seed_point_mm))
        )
    return r, a, s
