"""Results of many volumes as a table (CSV, a row a region) and as JSON: one content, two forms, each read as written.

A result names its volume by the path the user gave, never by anything from a header. It keeps what it was computed from
(size and modification time of the volume, model, software, parameters), so that a later run knows what is still to do.
"""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING

from .fieldofview.regions import Boundary, Region
from .files import replacing

if TYPE_CHECKING:
    from .fieldofview.classifier import FieldOfView
    from .fieldofview.regions import Decision

FORMAT = "SlicerHPO field of view"
FORMAT_VERSION = 1


class ResultsError(ValueError):
    """A file that does not hold results, or cannot be read or written; the message says what to do."""


@dataclass(frozen=True)
class Result:
    """What one volume shows, or why that is not known, and what the answer rests on.

    Attributes:
        path: as the user gave it, or below the folder that he gave. series, frame: what was chosen of it, if anything.
        bytes, modified: size of the volume's files and their latest modification (ISO 8601, UTC).
        model, model_sha256, software: what computed it. fixed: boundaries that the user set, mm along S.
        hypothesis: "body" or "spine". confidence: its probability.
        regions, boundaries: inferior to superior, lengths to 0.01 mm.
        error: why there is no answer; empty if there is one.
        answer: slices, probabilities and decision in full; None if the result was read from a file.
    """

    path: str
    series: str | None
    frame: int | None
    bytes: int
    modified: str
    model: str
    model_sha256: str
    software: str
    fixed: dict[str, float]
    hypothesis: str = ""
    confidence: float | None = None
    regions: tuple[Region, ...] = ()
    boundaries: tuple[Boundary, ...] = ()
    error: str = ""
    answer: FieldOfView | None = field(default=None, compare=False, repr=False)

    @property
    def key(self) -> tuple[str, str | None, int | None]:
        """What tells volumes apart."""
        return os.path.normpath(self.path), self.series, self.frame

    @property
    def basis(self) -> tuple:
        """What the answer depends on: the same basis gives the same answer."""
        return self.bytes, self.modified, self.model_sha256, sorted(self.fixed.items())

    def answered(self, answer: FieldOfView) -> Result:
        """This result with the answer in it, rounded to what files hold."""
        decision: Decision = answer.decision
        return replace(
            self,
            hypothesis=decision.hypothesis,
            confidence=round(float(decision.confidence), 4),
            regions=tuple(_rounded(region) for region in decision.regions),
            boundaries=tuple(_rounded(boundary) for boundary in decision.boundaries),
            answer=answer,
        )


def _rounded(part: Region | Boundary) -> Region | Boundary:
    """The same with plain Python numbers: mm to 0.01, probabilities to 0.0001."""
    changes: dict[str, object] = {"confidence": round(float(part.confidence), 4)}
    for f in fields(part):
        value = getattr(part, f.name)
        if f.name == "interval_mm":
            changes[f.name] = (round(float(value[0]), 2), round(float(value[1]), 2))
        elif f.name.endswith("_mm"):
            changes[f.name] = round(float(value), 2)
    return replace(part, **changes)


# --- JSON ----------------------------------------------------------------------------------------------------------


def write_json(path: Path, results: Iterable[Result]) -> None:
    """Writes all results, in one step."""
    volumes = []
    for result in results:
        volume = asdict(replace(result, answer=None))
        del volume["answer"]
        volumes.append(volume)
    content = {"format": FORMAT, "format_version": FORMAT_VERSION, "volumes": volumes}
    _write(path, json.dumps(content, indent=1) + "\n")


def read_json(path: Path) -> list[Result]:
    """The results in a file that `write_json` wrote. Raises `ResultsError`."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["format"] != FORMAT or content["format_version"] != FORMAT_VERSION:
            raise ValueError("another format")
        return [
            Result(
                **{
                    **volume,
                    "regions": tuple(Region(**region) for region in volume["regions"]),
                    "boundaries": tuple(
                        Boundary(**{**boundary, "interval_mm": tuple(boundary["interval_mm"])})
                        for boundary in volume["boundaries"]
                    ),
                }
            )
            for volume in content["volumes"]
        ]
    except OSError as error:
        raise ResultsError(f"{path} cannot be read ({error.strerror or error}).") from None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise _foreign(path) from None


# --- CSV -----------------------------------------------------------------------------------------------------------

# The boundary of a row is the one at the superior end of its region; the most superior region has none.
_VOLUME = ("path", "series", "frame", "hypothesis", "hypothesis_confidence")
_REGION = ("region", "from_mm", "to_mm", "first_slice", "last_slice", "confidence")
_BOUNDARY = (
    "boundary",
    "boundary_mm",
    "boundary_low_mm",
    "boundary_high_mm",
    "boundary_confidence",
    "boundary_fixed",
)
_BASIS = ("error", "fixed", "model", "model_sha256", "software", "bytes", "modified")
COLUMNS = (*_VOLUME, *_REGION, *_BOUNDARY, *_BASIS)


def write_csv(path: Path, results: Iterable[Result]) -> None:
    """Writes all results, a row a region (a volume without answer has one row, with its error), in one step."""
    text = io.StringIO(newline="")
    table = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    table.writeheader()
    for result in results:
        volume = {
            "path": result.path,
            "series": result.series,
            "frame": result.frame,
            "hypothesis": result.hypothesis,
            "hypothesis_confidence": result.confidence,
            "fixed": ";".join(f"{name}={position!r}" for name, position in result.fixed.items()),
            **{name: getattr(result, name) for name in _BASIS if name != "fixed"},
        }
        above = {boundary.lower: boundary for boundary in result.boundaries}
        for region in result.regions:
            table.writerow({**volume, **_region_row(region), **_boundary_row(above.get(region.name))})
        if not result.regions:
            table.writerow(volume)
    _write(path, text.getvalue())


def _region_row(region: Region) -> dict[str, object]:
    return dict(zip(_REGION, asdict(region).values(), strict=True))


def _boundary_row(boundary: Boundary | None) -> dict[str, object]:
    if boundary is None:
        return {}
    row = (
        boundary.name,
        boundary.position_mm,
        *boundary.interval_mm,
        boundary.confidence,
        "yes" if boundary.fixed else "no",
    )
    return dict(zip(_BOUNDARY, row, strict=True))


def read_csv(path: Path) -> list[Result]:
    """The results in a file that `write_csv` wrote. Raises `ResultsError`."""
    try:
        with path.open(encoding="utf-8", errors="surrogateescape", newline="") as file:
            table = csv.DictReader(file)
            if tuple(table.fieldnames or ()) != COLUMNS:
                raise ValueError("other columns")
            results: dict[tuple, Result] = {}
            for row in table:
                result = _volume_of(row)
                before = results.get(result.key, result)
                results[result.key] = replace(
                    before,
                    regions=before.regions + _regions_of(row),
                    boundaries=before.boundaries + _boundaries_of(row),
                )
            return list(results.values())
    except OSError as error:
        raise ResultsError(f"{path} cannot be read ({error.strerror or error}).") from None
    except (ValueError, KeyError, TypeError, AttributeError, csv.Error):
        raise _foreign(path) from None


def _volume_of(row: dict[str, str]) -> Result:
    fixed = dict(pair.split("=") for pair in row["fixed"].split(";") if pair)
    return Result(
        path=row["path"],
        series=row["series"] or None,
        frame=int(row["frame"]) if row["frame"] else None,
        hypothesis=row["hypothesis"],
        confidence=float(row["hypothesis_confidence"]) if row["hypothesis_confidence"] else None,
        error=row["error"],
        fixed={name: float(position) for name, position in fixed.items()},
        model=row["model"],
        model_sha256=row["model_sha256"],
        software=row["software"],
        bytes=int(row["bytes"]),
        modified=row["modified"],
    )


def _regions_of(row: dict[str, str]) -> tuple[Region, ...]:
    if not row["region"]:
        return ()
    name, low, high, first, last, confidence = (row[column] for column in _REGION)
    return (Region(name, float(low), float(high), int(first), int(last), float(confidence)),)


def _boundaries_of(row: dict[str, str]) -> tuple[Boundary, ...]:
    if not row["boundary"]:
        return ()
    name, position, low, high, confidence, fixed = (row[column] for column in _BOUNDARY)
    lower, upper = name.split("/")
    interval = float(low), float(high)
    return (Boundary(lower, upper, float(position), interval, float(confidence), fixed == "yes"),)


def _write(path: Path, text: str) -> None:
    """Writes a file in one step. Raises `ResultsError`; the old content is there then."""
    try:
        with replacing(path) as temporary:
            temporary.write_text(text, encoding="utf-8", errors="surrogateescape", newline="")
    except OSError as error:
        raise ResultsError(f"{path} cannot be written ({error.strerror or error}).") from None


def _foreign(path: Path) -> ResultsError:
    return ResultsError(
        f"{path} exists and does not hold results of this program (or of another version): it is not replaced. "
        "Choose another file, or move this one away."
    )
