"""Correction points in files: our own JSON, and the point lists that 3D Slicer saves.

Read are `.json` of ours (`write_points`), Slicer's markups (`.mrk.json`) and its older `.fcsv`. A point list of Slicer
says which side its points are on by the word "inside" or "outside", in the first of these that has one:

1. the point's own label or description ("inside", "Outside-2");
2. the name of its list (new points are labelled by it), where the file has it;
3. the name of the file ("outside.mrk.json"), which Slicer takes from the list.

A point of which none of them tells, or one tells both, is refused: a correction on the wrong side is worse than none.
"""

from __future__ import annotations

import csv
import json
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ..files import replacing
from ..words import _, joined, named
from .points import CorrectionError, Points

FORMAT, FORMAT_VERSION = "SlicerHPO correction points", 1
EXPECTED = _("a points file (.json as this program writes it, Slicer's .mrk.json or .fcsv)")
OWN_POINT = '{"ras_mm": [R, A, S], "inside": true or false}'
LARGEST = 1 << 24  # bytes; points are few
TO_RAS = {"RAS": (1, 1, 1), "LPS": (-1, -1, 1)}
FCSV_SYSTEMS = {"0": "RAS", "1": "LPS"}  # as written before 4.11
FCSV_COLUMNS = ("id", "x", "y", "z", "ow", "ox", "oy", "oz", "vis", "sel", "lock", "label", "desc", "associatedNodeID")
FCSV_STATUS, FCSV_DEFINED = len(FCSV_COLUMNS), "2"  # a column that version 5 adds without naming it
SIDE_WORDS = r"(?i)(?<![a-z])(?:inside|outside|not)(?![a-z])"  # "not inside" is not clear enough
LISTS = ("Fiducial", "PointList")  # the types of markups whose control points are points and nothing else


class PointFileError(ValueError):
    """A file that holds no correction points, or not clearly; the message names it and says what is expected."""


def read_points(paths: str | os.PathLike | Iterable[str | os.PathLike]) -> Points:
    """The points in a file, or those of several files one after the other.

    Control points of Slicer whose position is not defined (yet) are left out.

    Raises:
        PointFileError: a file is missing, of another kind or damaged; a point has no clear side or place; or Slicer's
            list has no point at all.
    """
    given = [paths] if isinstance(paths, (str, os.PathLike)) else list(paths)
    return Points(tuple(point for path in given for point in _read(Path(path).expanduser())))


def write_points(points: Points, path: str | os.PathLike) -> Path:
    """Write points as `.json` of ours; the file is there whole or not at all.

    Raises:
        PointFileError: another ending, or the file cannot be written.
    """
    path = Path(path).expanduser()
    if path.suffix.lower() != ".json" or path.name.lower().endswith(".mrk.json"):
        raise PointFileError(
            named(path, _("points are written as .json (and .mrk.json is Slicer's): give such a name."))
        )
    content = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "points": [{"ras_mm": list(point.ras_mm), "inside": point.inside} for point in points],
    }
    try:
        with replacing(path) as temporary:
            temporary.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise PointFileError(
            named(path, _("cannot be written: {reason}.").format(reason=error.strerror or error))
        ) from None
    return path


def _read(path: Path) -> Points:
    if path.suffix.lower() not in (".json", ".fcsv"):
        raise PointFileError(named(path, _("is not {expected}.").format(expected=EXPECTED)))
    text = _text(path)
    if path.suffix.lower() == ".fcsv":
        return _from_fcsv(text, path)
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise PointFileError(
            named(
                path, _("is not valid JSON ({error}); expected is {expected}.").format(error=error, expected=EXPECTED)
            )
        ) from None
    if isinstance(content, dict) and "markups" in content:
        return _from_markups(content["markups"], path)
    return _from_own(content, path)


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            raw = file.read(LARGEST + 1)
    except OSError as error:
        raise PointFileError(
            named(path, _("cannot be read: {reason}.").format(reason=error.strerror or error))
        ) from None
    if len(raw) > LARGEST:
        raise PointFileError(
            named(
                path,
                _("has over {megabytes} MB; expected is {expected}.").format(
                    megabytes=LARGEST >> 20, expected=EXPECTED
                ),
            )
        )
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise PointFileError(
            named(path, _("is not a text file; expected is {expected}.").format(expected=EXPECTED))
        ) from None


# --- Ours ----------------------------------------------------------------------------------------------------------


def _from_own(content: Any, path: Path) -> Points:
    if not isinstance(content, dict) or content.get("format") != FORMAT or not isinstance(content.get("points"), list):
        raise PointFileError(
            named(path, _("holds no correction points; expected is {expected}.").format(expected=EXPECTED))
        )
    if content.get("format_version") != FORMAT_VERSION:
        raise PointFileError(
            named(
                path,
                _("has format version {version}; this program reads {format_version}.").format(
                    version=repr(content.get("format_version")), format_version=FORMAT_VERSION
                ),
            )
        )
    points = Points()
    for number, entry in enumerate(content["points"], 1):
        which = _which(path, number)
        if not isinstance(entry, dict) or not isinstance(entry.get("inside"), bool):
            raise PointFileError(
                _("{which} is {entry}; expected is {expected}.").format(
                    which=which, entry=repr(entry), expected=OWN_POINT
                )
            )
        points = _with(points, entry.get("ras_mm"), entry["inside"], which)
    return points


# --- Slicer's markups ----------------------------------------------------------------------------------------------


def _from_markups(lists: Any, path: Path) -> Points:
    if not isinstance(lists, list) or not all(isinstance(markup, dict) for markup in lists):
        raise PointFileError(named(path, _("'markups' is no list of markups; save the point list in Slicer again.")))
    points = Points()
    for markup in lists:
        if markup.get("type") not in LISTS:
            raise PointFileError(
                named(
                    path,
                    _("holds markups of type {kind}; expected is a point list.").format(kind=repr(markup.get("type"))),
                )
            )
        signs = _signs(markup.get("coordinateSystem", "LPS"), path)  # the schema's default
        units = markup.get("coordinateUnits", "mm")
        if (units[:1] if isinstance(units, list) else [units]) != ["mm"]:
            raise PointFileError(named(path, _("positions are in {units}; expected are mm.").format(units=repr(units))))
        controls = markup.get("controlPoints", [])
        if not isinstance(controls, list) or not all(isinstance(control, dict) for control in controls):
            raise PointFileError(
                named(path, _("'controlPoints' is no list of points; save the point list in Slicer again."))
            )
        for number, control in enumerate(controls, 1):
            if control.get("positionStatus", "defined") != "defined":
                continue
            label = control.get("label")
            which = _which(path, number, label)
            inside = _side([(label, control.get("description")), (markup.get("name"),), (_list_name(path),)], which)
            points = _with(points, control.get("position"), inside, which, signs)
    return _some(points, path)


def _from_fcsv(text: str, path: Path) -> Points:
    lines = text.splitlines()
    header = dict(_pair(line) for line in lines if line.startswith("#") and "=" in line)
    if not (lines and "Markups fiducial file version" in header):
        raise PointFileError(
            named(
                path,
                _(
                    "does not begin with {line} as .fcsv of Slicer 4 and 5 do; save the point list in Slicer again."
                ).format(line='"# Markups fiducial file version = ..."'),
            )
        )
    if "CoordinateSystem" not in header:
        raise PointFileError(
            named(
                path,
                _("does not say {line}; expected is RAS (or 0) or LPS (or 1).").format(
                    line='"# CoordinateSystem = ..."'
                ),
            )
        )
    columns = tuple(name.strip() for name in header.get("columns", ",".join(FCSV_COLUMNS)).split(","))
    if columns[: len(FCSV_COLUMNS)] != FCSV_COLUMNS:
        raise PointFileError(
            named(
                path,
                _("has the columns {columns}; expected are {expected}.").format(
                    columns=",".join(columns), expected=",".join(FCSV_COLUMNS)
                ),
            )
        )
    signs = _signs(FCSV_SYSTEMS.get(header["CoordinateSystem"], header["CoordinateSystem"]), path)
    points = Points()
    try:
        rows = list(csv.reader(line for line in lines if line.strip() and not line.startswith("#")))
    except csv.Error as error:
        raise PointFileError(
            named(path, _("is no table of points ({error}); save the point list in Slicer again.").format(error=error))
        ) from None
    for number, row in enumerate(rows, 1):
        row = row + [""] * (FCSV_STATUS + 1 - len(row))
        if row[FCSV_STATUS].strip() not in ("", FCSV_DEFINED):
            continue
        label, description = row[FCSV_COLUMNS.index("label")], row[FCSV_COLUMNS.index("desc")]
        which = _which(path, number, label)
        inside = _side([(label, description), (_list_name(path),)], which)
        try:
            position = [float(number) for number in row[1:4]]
        except ValueError:
            raise PointFileError(
                _("{which} is at {position}; expected are three numbers.").format(
                    which=which, position=repr(", ".join(row[1:4]))
                )
            ) from None
        points = _with(points, position, inside, which, signs)
    return _some(points, path)


def _pair(line: str) -> tuple[str, str]:
    key, value = line.lstrip("# ").split("=", 1)
    return key.strip(), value.strip().strip(",").strip()  # a spreadsheet fills the line up with commas


def _signs(system: Any, path: Path) -> tuple[int, int, int]:
    if not isinstance(system, str) or system not in TO_RAS:
        raise PointFileError(
            named(
                path,
                _("the coordinate system is {system}; expected is {known}.").format(
                    system=repr(system), known=joined(_(" or "), TO_RAS)
                ),
            )
        )
    return TO_RAS[system]


def _which(path: Path, number: int, label: Any = None) -> str:
    point = _("point {number} ({label})") if label else _("point {number}")
    return named(path, point.format(number=number, label=repr(label)))


def _list_name(path: Path) -> str:
    return re.sub(r"(\.mrk)?\.\w+$", "", path.name, flags=re.IGNORECASE)


def _side(names: list[tuple], which: str) -> bool:
    """Whether a point is inside, by the first of `names` (each of one or two texts) that says so."""
    for texts in names:
        said = {word.lower() for text in texts for word in re.findall(SIDE_WORDS, str(text or ""))}
        if said in ({"inside"}, {"outside"}):
            return said == {"inside"}
        if said:
            break
    raise PointFileError(
        _(
            "{which} does not say clearly on which side it is: give it, its list or the file a name with {inside} or "
            "{outside} in it."
        ).format(which=which, inside='"inside"', outside='"outside"')
    )


def _with(points: Points, position: Any, inside: bool, which: str, signs: tuple[int, int, int] = (1, 1, 1)) -> Points:
    """The points and one more, whose position is in the coordinate system of these signs."""
    numbers = isinstance(position, list) and all(isinstance(x, (int, float)) for x in position)
    if not numbers or len(position) != 3 or any(isinstance(x, bool) for x in position):
        raise PointFileError(
            _("{which} is at {position}; expected are three numbers, its place in mm.").format(
                which=which, position=repr(position)
            )
        )
    ras = [sign * x for sign, x in zip(signs, position, strict=True)]
    try:
        return points.add_inside(ras) if inside else points.add_outside(ras)
    except (CorrectionError, OverflowError) as error:
        raise PointFileError(named(which, error)) from None


def _some(points: Points, path: Path) -> Points:
    if not len(points):
        raise PointFileError(
            named(path, _("has no point whose position is defined; place some in Slicer and save it again."))
        )
    return points
