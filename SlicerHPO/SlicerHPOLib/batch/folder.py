"""A folder of segmentations and the list in it of what was found and how.

The list says which files are ours: no other is replaced, nor one that somebody has corrected by hand since. It says too
what is done, so that an interrupted run can be continued.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from ..kidney.results import KidneyResult, read_json, write_json
from ..words import _, joined
from .volumes import BatchError

LIST = "segmentations.json"
CHANGED = _("The segmentation was changed after it was written; the measures are those of the original.")


def listed(folder: Path) -> dict[str, KidneyResult]:
    """What the folder's list holds, by file name; empty if there is none.

    Raises:
        BatchError: the folder is a file. ResultsError: there is a list, but not of ours.
    """
    if folder.exists() and not folder.is_dir():
        raise BatchError(_("{folder} is a file: give the folder that the segmentations go to.").format(folder=folder))
    path = folder / LIST
    return {Path(result.output).name: result for result in read_json(path)} if path.exists() else {}


def enlist(folder: Path, result: KidneyResult) -> None:
    """Put a result in the folder's list, in the place of the one of the same file. Raises `ResultsError`."""
    results = listed(folder)  # as it is now: another process may write to the same folder
    results[Path(result.output).name] = result
    write_json(folder / LIST, results.values())


def location(path: str, folder: Path) -> str:
    """What tells a volume from others of its name, without naming the folders it lies in; stays if all is moved."""
    there, here = os.path.realpath(path), os.path.realpath(folder)
    with suppress(ValueError):  # on another drive
        there = os.path.relpath(there, here)
    return hashlib.sha256(os.fsencode(there)).hexdigest()


def earlier(blank: KidneyResult, output: Path, known: Mapping[str, KidneyResult]) -> KidneyResult | None:
    """The result of an earlier run, if its file is there and it was computed in the same way from the same volume."""
    result = known.get(output.name)
    if result is None or not result.output_sha256 or result.basis != blank.basis or not output.is_file():
        return None
    notes = result.warnings if sha256_of(output) == result.output_sha256 else (*result.warnings, CHANGED)
    return replace(result, path=blank.path, output=str(output), warnings=notes)


def require_ours(blank: KidneyResult, output: Path, known: Mapping[str, KidneyResult]) -> None:
    """Raises `BatchError` if the file of a segmentation cannot be written without loss."""
    if not (output.exists() or output.is_symlink()):
        return
    result = known.get(output.name)
    if result is None:
        why = _("{output} exists and is not in {list}, so it was not written by this program: it is not replaced.")
    elif (result.location_sha256, result.series, result.frame) != (blank.location_sha256, blank.series, blank.frame):
        why = _("{output} is the segmentation of another volume ({path}): it is not replaced.")
    elif result.output_sha256 and (not output.is_file() or sha256_of(output) != result.output_sha256):
        why = _("{output} was changed after it was written, by hand perhaps: it is not replaced.")
    else:
        return
    why = why.format(output=output, list=LIST, path=result.path if result else "")
    raise BatchError(joined(" ", [why, _("Move it away, or choose another folder.")]))


def sha256_of(path: Path) -> str:
    """Of the content of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
