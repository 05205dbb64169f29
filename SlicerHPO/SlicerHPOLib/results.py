"""Fields of view of many volumes as a table (CSV, a row a region) and as JSON: one content, two forms."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import resultfile
from .fieldofview.regions import Boundary, Region
from .resultfile import ResultsError, VolumeResult

if TYPE_CHECKING:
    from .fieldofview.classifier import FieldOfView
    from .fieldofview.regions import Decision

__all__ = ["COLUMNS", "FORMAT", "Result", "ResultsError", "read_csv", "read_json", "write_csv", "write_json"]

FORMAT = "SlicerHPO field of view"


@dataclass(frozen=True)
class Result(VolumeResult):
    """What one volume shows, or why that is not known, and what the answer rests on.

    Attributes:
        fixed: boundaries that the user set, mm along S.
        hypothesis: "body" or "spine". confidence: its probability.
        regions, boundaries: inferior to superior, lengths to 0.01 mm.
        answer: slices, probabilities and decision in full; None if the result was read from a file.
    """

    fixed: dict[str, float]
    hypothesis: str = ""
    confidence: float | None = None
    regions: tuple[Region, ...] = ()
    boundaries: tuple[Boundary, ...] = ()
    answer: FieldOfView | None = field(default=None, compare=False, repr=False)

    @property
    def basis(self) -> tuple:
        """What the answer depends on: the same basis gives the same answer."""
        return *super().basis, sorted(self.fixed.items())

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
            changes[f.name] = (_hundredths(value[0]), _hundredths(value[1]))
        elif f.name.endswith("_mm"):
            changes[f.name] = _hundredths(value)
    return replace(part, **changes)


def _hundredths(value: float) -> float:
    return round(float(value), 2) + 0.0  # never -0.0


# --- JSON ----------------------------------------------------------------------------------------------------------


def write_json(path: Path, results: Iterable[Result]) -> None:
    """Writes all results, in one step."""
    resultfile.write_json(path, FORMAT, map(entry_of, results))


def read_json(path: Path) -> list[Result]:
    """The results in a file that `write_json` wrote. Raises `ResultsError`."""
    return resultfile.read_json(path, FORMAT, result_of)


def entry_of(result: Result) -> dict[str, Any]:
    """A result as JSON values, but for its answer."""
    entry = asdict(replace(result, answer=None))
    del entry["answer"]
    return entry


def result_of(volume: Mapping[str, Any]) -> Result:
    """The result that `entry_of` gave. Raises KeyError, TypeError, AttributeError."""
    regions = tuple(Region(**region) for region in volume["regions"])
    boundaries = tuple(
        Boundary(**{**boundary, "interval_mm": tuple(boundary["interval_mm"])}) for boundary in volume["boundaries"]
    )
    return Result(**{**volume, "regions": regions, "boundaries": boundaries})


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
    rows: list[dict[str, object]] = []
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
        rows += [volume | _region_row(region) | _boundary_row(above.get(region.name)) for region in result.regions]
        if not result.regions:
            rows.append(volume)
    resultfile.write_csv(path, COLUMNS, rows)


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
    return resultfile.read_csv(path, COLUMNS, _results_of)


def _results_of(rows: Iterable[dict[str, str]]) -> list[Result]:
    results: dict[tuple, Result] = {}
    for row in rows:
        result = _volume_of(row)
        before = results.get(result.key, result)
        results[result.key] = replace(
            before,
            regions=before.regions + _regions_of(row),
            boundaries=before.boundaries + _boundaries_of(row),
        )
    return list(results.values())


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
