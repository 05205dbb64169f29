"""Where results go: names that can be written, and that nobody's file has."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from ..figurefile import FORMATS, require_matplotlib
from ..words import _, joined, named
from .volumes import BatchError, Volume, file_names


def output_file(path: str | os.PathLike | None, *endings: str) -> Path | None:
    """The path of an output of one of these endings; None if there is none. Raises `BatchError`."""
    if path is None:
        return None
    path = Path(path)
    if path.suffix.lower() not in endings:
        raise BatchError(
            named(path, _("the name of this output ends in {endings}.").format(endings=joined(_(" or "), endings)))
        )
    if path.is_dir():
        raise BatchError(_("{path} is a folder: give the name of a file.").format(path=path))
    return path


def figure_files(figure: str | os.PathLike | None, volumes: Sequence[Volume]) -> dict[tuple, Path]:
    """Where the figure of each volume goes, by the key of its result: into a folder, or for one volume to a file if the
    name has an ending. Raises `BatchError`, `FigureError`."""
    if figure is None:
        return {}
    require_matplotlib()
    target = Path(figure)
    if len(volumes) == 1 and target.suffix and not target.is_dir():
        if target.suffix.lower() not in FORMATS:
            raise BatchError(
                named(target, _("the name of a figure ends in {endings}.").format(endings=", ".join(FORMATS)))
            )
        return {volumes[0].blank.key: target}
    if target.suffix.lower() in FORMATS or target.is_file():
        raise BatchError(
            named(target, _("the figures of {count} volumes need a folder; give one.").format(count=len(volumes)))
        )
    names = file_names(volumes)
    return {volume.blank.key: target / f"{name}.png" for volume, name in zip(volumes, names, strict=True)}


def require_no_volume(outputs: Iterable[Path], volumes: Sequence[Volume]) -> None:
    """Raises `BatchError` if an output is one of the volumes to read."""
    read = {os.path.realpath(volume.blank.path) for volume in volumes}
    for output in outputs:
        if os.path.realpath(output) in read:
            raise BatchError(
                _("{output} is one of the volumes to read: it would be overwritten. Give another output.").format(
                    output=output
                )
            )


def make_writable(outputs: Iterable[Path]) -> tuple[Path, ...]:
    """Makes the folders in which outputs lie; returns those that were not there, the innermost first. Raises
    `BatchError` if one cannot be written to."""
    made: tuple[Path, ...] = ()
    for folder in dict.fromkeys(output.parent for output in outputs):
        made = (*(each for each in (folder, *folder.parents) if not each.exists()), *made)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder):
                pass
        except OSError as error:
            with removed_if_empty(made):
                raise BatchError(
                    _("Nothing can be written to {folder} ({reason}): choose another place.").format(
                        folder=folder, reason=error.strerror or error
                    )
                ) from None
    return made


@contextmanager
def removed_if_empty(folders: Iterable[Path]) -> Iterator[None]:
    """In the end, removes those of the folders that are empty, as where each volume was refused."""
    try:
        yield
    finally:
        for folder in folders:
            with suppress(OSError):  # rmdir refuses what is not empty
                folder.rmdir()
