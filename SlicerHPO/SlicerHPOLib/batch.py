"""The field of view of many volumes: what the command `slicerhpo classify` does, for Python.

    from SlicerHPOLib import batch
    results = batch.classify(["scans/"], csv="regions.csv", skip_done=True)

Everything that can be known to be wrong before the work starts stops it before it starts (`prepare`). After that no
volume stops the others: one that cannot be classified gives a result with an error. The outputs hold all finished
results at any time, so an interrupted run loses nothing but the volume it was at.
"""

from __future__ import annotations

import math
import os
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from . import __version__
from .bundle import Bundle, find_bundle, read_bundle
from .fieldofview.figure import FORMATS, require_matplotlib, write_figure
from .fieldofview.regions import BODY
from .image import ImageError, ImageSource, find_images
from .job import Cancelled, Job
from .results import Result, read_csv, read_json, write_csv, write_json

if TYPE_CHECKING:
    from .fieldofview.classifier import Classifier

DEFAULT_MODEL = "mr-field-of-view"


class BatchError(ValueError):
    """A request that cannot be carried out; nothing was computed or written. The message says what to change."""


@dataclass(frozen=True)
class Volume:
    """A volume to classify: where it is read from and, in `blank`, a result that only lacks the answer.

    `source` is None if there is nothing to read; `blank` says why.
    """

    source: ImageSource | None
    blank: Result


@dataclass(frozen=True)
class Plan:
    """A checked request: what `run` does.

    Attributes:
        volumes: each once, in the order given.
        done: results of earlier runs by `Result.key`, kept in the outputs.
        bundle: the verified model.
        csv, json: where results go. figures: where the figure of each volume goes, by key.
    """

    volumes: tuple[Volume, ...]
    done: Mapping[tuple, Result]
    bundle: Bundle
    csv: Path | None
    json: Path | None
    figures: Mapping[tuple, Path]

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
    csv_path, json_path = _output(csv, ".csv"), _output(json, ".json")
    if skip_done and not (csv_path or json_path):
        raise BatchError("To skip what is done, name the CSV or JSON file that holds the earlier results.")
    if frame is not None and frame < 0:
        raise BatchError(f"Frame {frame}: frames count from 0.")
    fixed = check_fixed(fixed or {})
    bundle = read_bundle(find_bundle(model))

    blank = Result("", None, frame, 0, "", bundle.name, bundle.sha256, f"SlicerHPO {__version__}", fixed)
    volumes = _find(paths, series, blank)
    figures = _figures(figure, volumes)
    earlier = [
        result
        for path, read in ((csv_path, read_csv), (json_path, read_json))  # JSON last: it wins
        if path is not None and path.exists()
        for result in read(path)  # also without skip_done: what is no table of ours is not overwritten
    ]
    outputs = [path for path in (csv_path, json_path, *figures.values()) if path is not None]
    read = {os.path.realpath(volume.blank.path) for volume in volumes}
    for output in outputs:
        if os.path.realpath(output) in read:
            raise BatchError(f"{output} is one of the volumes to read: it would be overwritten. Give another output.")
    for folder in dict.fromkeys(output.parent for output in outputs):
        _make_writable(folder)
    done = {result.key: result for result in earlier} if skip_done else {}
    return Plan(tuple(volumes), done, bundle, csv_path, json_path, figures)


def run(plan: Plan, *, job: Job | None = None, on_result: Callable[[Result], None] | None = None) -> list[Result]:
    """Carries out a plan; returns and raises as `classify`."""
    job = job or Job()
    classifier = None  # loaded for the first volume that needs it
    table = dict(plan.done)
    if table and not all(path.exists() for path in (plan.csv, plan.json) if path):
        _write(plan, table.values())  # one of two outputs is new, and there may be nothing left to compute
    results = []
    for index, volume in enumerate(plan.volumes):
        part = job.part(index / len(plan.volumes), (index + 1) / len(plan.volumes))
        part.progress(0.0, volume.blank.path)
        result = plan.earlier(volume.blank)
        if result is None:
            if classifier is None and volume.source is not None:
                from .fieldofview.classifier import Classifier  # torch takes a second to import

                classifier = Classifier.load(plan.bundle)
            result = _classified(volume, classifier, plan.figures.get(volume.blank.key), part)
            table.pop(result.key, None)  # to the end, in the order of this run
            table[result.key] = result
            _write(plan, table.values())
        results.append(result)
        if on_result:
            on_result(result)
    job.progress(1.0, "done")
    return results


def check_fixed(fixed: Mapping[str, float]) -> dict[str, float]:
    """Fixed boundaries under their proper names, the inferior region first. Raises `BatchError`."""
    adjacent = {frozenset(pair): "/".join(pair) for pair in pairwise(BODY)}
    checked: dict[str, float] = {}
    for name, position in fixed.items():
        proper = adjacent.get(frozenset(str(name).split("/")))
        if proper is None:
            raise BatchError(f"Boundary {name!r}: give one of {', '.join(adjacent.values())}.")
        if proper in checked:
            raise BatchError(f"Boundary {proper} is fixed twice: give it once.")
        try:
            checked[proper] = float(position)
        except (TypeError, ValueError):
            checked[proper] = math.nan
        if not math.isfinite(checked[proper]):
            raise BatchError(f"Boundary {name!r} at {position!r}: give its position along S in mm, such as -120.")
    return checked


def _find(paths, series: str | None, blank: Result) -> list[Volume]:
    """The volumes in `paths`, each once."""
    given = [paths] if isinstance(paths, (str, os.PathLike)) else list(paths)
    if not given:
        raise BatchError("No volume given: name files, DICOM folders, or folders of these.")
    found: dict[tuple, Volume] = {}
    for path in map(os.fspath, given):
        try:
            volumes = _volumes_at(path, series, blank)
        except (ImageError, OSError) as error:
            volumes = [Volume(None, replace(blank, path=path, error=_without_name(error, path)))]
        for volume in volumes:
            found.setdefault((os.path.realpath(volume.blank.path), volume.blank.series), volume)
    return list(found.values())


def _volumes_at(path: str, series: str | None, blank: Result) -> list[Volume]:
    sources = find_images(path)
    if not os.path.isdir(path):
        return [Volume(ImageSource(sources[0].path, series), replace(blank, path=path, series=series, **_state(path)))]
    if not sources:
        raise ImageError("no volume in this folder.")
    labels = _series_numbers(sources)
    if series is not None:  # whether a DICOM folder has it, and only once, shows when it is read
        labels = [series if source.series else None for source in sources]
        sources = [ImageSource(source.path, label) for source, label in zip(sources, labels, strict=True)]
    return [
        Volume(source, replace(blank, path=str(source.path), series=label, **_state(source.path)))
        for source, label in zip(sources, labels, strict=True)
    ]


def _series_numbers(sources: list[ImageSource]) -> list[str | None]:
    """A number for each source that shares its folder with others (a UID is long and comes from a header)."""
    several = Counter(source.path for source in sources)
    counted: Counter[Path] = Counter()
    numbers = []
    for source in sources:
        counted[source.path] += 1
        numbers.append(str(counted[source.path]) if several[source.path] > 1 else None)
    return numbers


def _state(path: str | Path) -> dict[str, object]:
    """Size and last modification of a file, or of the files in a folder but for those that we may have put there."""
    files = [Path(path)]
    if os.path.isdir(path):
        files = [Path(folder, name) for folder, _, names in os.walk(path) for name in names]
        files = [file for file in files if file.suffix.lower() not in (".csv", ".json", *FORMATS) and file.is_file()]
    states = [file.stat() for file in files]
    seconds, nanoseconds = divmod(max(state.st_mtime_ns for state in states), 10**9)
    modified = datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%dT%H:%M:%S") + f".{nanoseconds:09d}Z"
    return {"bytes": sum(state.st_size for state in states), "modified": modified}


def _classified(volume: Volume, classifier: Classifier, figure: Path | None, job: Job) -> Result:
    """The result of one volume: its answer, or the error that stands in its way."""
    blank = volume.blank
    if volume.source is None:
        return blank
    try:
        image = volume.source.read(blank.frame, job.part(0.0, 0.3))
        answer = classifier.classify(image, fixed=blank.fixed, job=job.part(0.3, 1.0))
        if figure is not None:
            write_figure(image, answer, figure, title=blank.path)
        return blank.answered(answer)
    except Cancelled:
        raise
    except MemoryError:
        return replace(blank, error="There is not enough memory for this volume.")
    except (ValueError, OSError) as error:
        return replace(blank, error=_without_name(error, blank.path))
    except Exception as error:  # whatever it is, the other volumes are still to be classified
        return replace(blank, error=f"Unexpected {type(error).__name__}: {error}. Please report it.")


def _write(plan: Plan, results: Iterable[Result]) -> None:
    if plan.csv:
        write_csv(plan.csv, results)
    if plan.json:
        write_json(plan.json, results)


def _without_name(error: Exception, path: str) -> str:
    """What an error says, in one line, without the path it begins with: the result has it."""
    text = " ".join(str(error).split())
    return text.removeprefix(f"{path}: ") or type(error).__name__


# --- Outputs -------------------------------------------------------------------------------------------------------


def _output(path: str | os.PathLike | None, ending: str) -> Path | None:
    if path is None:
        return None
    path = Path(path)
    if path.suffix.lower() != ending:
        raise BatchError(f"{path}: the name of this output ends in {ending}.")
    if path.is_dir():
        raise BatchError(f"{path} is a folder: give the name of a file.")
    return path


def _figures(figure: str | os.PathLike | None, volumes: list[Volume]) -> dict[tuple, Path]:
    """Where the figure of each volume goes, by `Result.key`."""
    if figure is None:
        return {}
    require_matplotlib()
    target = Path(figure)
    if len(volumes) == 1 and not target.is_dir():
        if target.suffix.lower() not in FORMATS:
            raise BatchError(f"{target}: the name of a figure ends in {', '.join(FORMATS)}.")
        return {volumes[0].blank.key: target}
    if target.suffix.lower() in FORMATS or target.is_file():
        raise BatchError(f"{target}: the figures of {len(volumes)} volumes need a folder; give one.")
    return {volume.blank.key: target / f"{name}.png" for volume, name in zip(volumes, _names(volumes), strict=True)}


def _names(volumes: list[Volume]) -> list[str]:
    """A different file name for each volume: its own, and the folders above it where that is not enough."""
    depth, deepest = 1, max(len(Path(volume.blank.path).parts) for volume in volumes)
    while True:
        names = [_name(volume, depth) for volume in volumes]
        count = Counter(name.lower() for name in names)  # some file systems do not tell case
        if max(count.values()) == 1:
            return names
        if depth == deepest:
            twice = [v.blank.path for v, name in zip(volumes, names, strict=True) if count[name.lower()] > 1]
            raise BatchError(f"The figures of {' and '.join(twice[:2])} would have the same name: draw them apart.")
        depth += 1


def _name(volume: Volume, depth: int) -> str:
    path = Path(os.path.normpath(volume.blank.path))
    above = [part for part in path.parts[-depth:-1] if part not in (path.anchor, "..")]
    name = "_".join([*above, volume.source.name if volume.source else path.name])
    return f"{name}_series{volume.blank.series}" if volume.blank.series else name


def _make_writable(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise BatchError(
            f"Nothing can be written to {folder} ({error.strerror or error}): choose another place."
        ) from None
