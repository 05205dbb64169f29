"""The volumes of a request: found, each once, with what they are told apart by and what tells that they changed."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Generic, TypeVar

from ..figurefile import FORMATS
from ..image import ImageError, ImageSource, find_images
from ..resultfile import VolumeResult
from ..words import _, in_one_line, joined, unnamed

SEGMENTATION = ".seg.nrrd"  # 3D Slicer's ending for what was drawn in a volume
R = TypeVar("R", bound=VolumeResult)


class BatchError(ValueError):
    """A request that cannot be carried out; nothing was computed or written. The message says what to change."""


@dataclass(frozen=True)
class Volume(Generic[R]):
    """A volume to answer: where it is read from and, in `blank`, a result that only lacks the answer.

    `source` is None if there is nothing to read; `blank` says why.
    """

    source: ImageSource | None
    blank: R


def find_volumes(
    paths: str | os.PathLike | Iterable[str | os.PathLike],
    series: str | None,
    blank: R,
    ignored: Collection[str] = (),
) -> list[Volume[R]]:
    """The volumes in `paths`, each once.

    Args:
        paths: files, DICOM folders, or folders of these. series: which DICOM series of a folder.
        blank: the result of a volume of which nothing is known yet.
        ignored: files (real paths) that are no volumes where a folder has them; segmentations never are.

    Raises:
        BatchError: no path is given.
    """
    given = [paths] if isinstance(paths, (str, os.PathLike)) else list(paths)
    if not given:
        raise BatchError(_("No volume given: name files, DICOM folders, or folders of these."))
    found: dict[tuple, Volume[R]] = {}
    for path in map(os.fspath, given):
        try:
            volumes = _volumes_at(path, series, blank, ignored)
        except (ImageError, OSError) as error:
            volumes = [Volume(None, replace(blank, path=path, error=without_name(error, path)))]
        for volume in volumes:
            found.setdefault((os.path.realpath(volume.blank.path), volume.blank.series), volume)
    return list(found.values())


def _volumes_at(path: str, series: str | None, blank: R, ignored: Collection[str]) -> list[Volume[R]]:
    sources = find_images(path)
    if not os.path.isdir(path):
        state = _state([Path(path)])
        return [Volume(ImageSource(sources[0].path, series), replace(blank, path=path, series=series, **state))]
    sources = [source for source in sources if _is_input(source.path, ignored)]
    if not sources:
        raise ImageError(_("no volume in this folder."))
    labels = _series_numbers(sources)
    if series is not None:  # whether a DICOM folder has it, and only once, shows when it is read
        labels = [series if source.series else None for source in sources]
        sources = [ImageSource(source.path, label) for source, label in zip(sources, labels, strict=True)]
    return [
        Volume(source, replace(blank, path=str(source.path), series=label, **_state(_files_of(source.path, ignored))))
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


def _is_input(path: Path, ignored: Collection[str]) -> bool:
    return not path.name.lower().endswith(SEGMENTATION) and os.path.realpath(path) not in ignored


def _files_of(path: Path, ignored: Collection[str]) -> list[Path]:
    """A file itself, or the files in a folder but for those that we may have put there."""
    if not path.is_dir():
        return [path]
    files = [Path(folder, name) for folder, _folders, names in os.walk(path) for name in names]
    files = [file for file in files if file.suffix.lower() not in (".csv", ".json", *FORMATS) and file.is_file()]
    return [file for file in files if _is_input(file, ignored)]


def _state(files: list[Path]) -> dict[str, object]:
    """Size and last modification of files."""
    states = [file.stat() for file in files]
    seconds, nanoseconds = divmod(max(state.st_mtime_ns for state in states), 10**9)
    modified = datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%dT%H:%M:%S") + f".{nanoseconds:09d}Z"
    return {"bytes": sum(state.st_size for state in states), "modified": modified}


def without_name(error: Exception, path: str) -> str:
    """What an error says, in one line, without the path it begins with: the result has it."""
    return unnamed(in_one_line(str(error)), path) or type(error).__name__


def file_names(volumes: Sequence[Volume]) -> list[str]:
    """A different file name for each volume: its own, and the folders above it where that is not enough.

    Raises:
        BatchError: that is not enough either.
    """
    depth, deepest = 1, max(len(Path(volume.blank.path).parts) for volume in volumes)
    while True:
        names = [_name(volume, depth) for volume in volumes]
        count = Counter(name.lower() for name in names)  # some file systems do not tell case
        if max(count.values()) == 1:
            return names
        if depth == deepest:
            twice = [v.blank.path for v, name in zip(volumes, names, strict=True) if count[name.lower()] > 1]
            raise BatchError(
                _("The outputs of {volumes} would have the same name: run them into different folders.").format(
                    volumes=joined(_(" and "), twice[:2])
                )
            )
        depth += 1


def _name(volume: Volume, depth: int) -> str:
    path = Path(os.path.normpath(volume.blank.path))
    above = [part for part in path.parts[-depth:-1] if part not in (path.anchor, "..")]
    name = "_".join([*above, volume.source.name if volume.source else path.name])
    return f"{name}_series{volume.blank.series}" if volume.blank.series else name
