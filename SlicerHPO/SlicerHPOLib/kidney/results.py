"""Segmented kidneys of many volumes as a table (CSV, a row a volume) and as JSON: measures and what they rest on."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import resultfile
from ..resultfile import VolumeResult
from .points import Point
from .request import AUTO

if TYPE_CHECKING:
    import numpy as np

    from .segmentation import KidneySegmentation

FORMAT = "SlicerHPO kidney segmentation"

Axis = tuple[tuple[float, float, float], tuple[float, float, float]]  # two ends, RAS mm


@dataclass(frozen=True)
class KidneyResult(VolumeResult):
    """The kidney in one volume, or why there is none, and what the answer rests on.

    Attributes:
        method: how it was found. points: corrections that it honours. seed_point_mm: RAS, where the method began.
        population: that was asked for. population_used: whose network answered, see `KidneySegmentation`.
        location_sha256: of the volume's path from the output folder, which tells it from others without naming it.
        output: the file of the segmentation. output_sha256: of that file; empty while it is being written.
        volume_ml ... thickness_axis_mm: see `kidney.measures`; None without an answer. confidence: 0 to 1, or None if
            the method has none. implausibility, least_jacobian: see `KidneySegmentation`.
        warnings: why the answer may be wrong.
    """

    method: str
    points: tuple[Point, ...] = ()
    seed_point_mm: tuple[float, float, float] | None = None
    population: str = AUTO
    location_sha256: str = ""
    output: str = ""
    output_sha256: str = ""
    volume_ml: float | None = None
    length_mm: float | None = None
    width_mm: float | None = None
    thickness_mm: float | None = None
    ellipsoid_volume_ml: float | None = None
    surface_cm2: float | None = None
    length_axis_mm: Axis | None = None
    width_axis_mm: Axis | None = None
    thickness_axis_mm: Axis | None = None
    population_used: str | None = None
    confidence: float | None = None
    implausibility: float | None = None
    least_jacobian: float | None = None
    warnings: tuple[str, ...] = ()

    @property
    def basis(self) -> tuple:
        """What the answer depends on: the same basis gives the same answer."""
        which = self.location_sha256, self.series, self.frame
        return *super().basis, *which, self.method, self.points, self.seed_point_mm, self.population

    def answered(self, answer: KidneySegmentation) -> KidneyResult:
        """This result with the answer in it, rounded to what files hold."""
        measures = answer.measures
        return replace(
            self,
            volume_ml=round(float(measures.volume_ml), 2),
            length_mm=round(measures.length_mm, 2),
            width_mm=round(measures.width_mm, 2),
            thickness_mm=round(measures.thickness_mm, 2),
            ellipsoid_volume_ml=round(float(measures.ellipsoid_volume_ml), 2),
            surface_cm2=round(float(measures.surface_cm2), 2),
            length_axis_mm=_axis(measures.length_axis),
            width_axis_mm=_axis(measures.width_axis),
            thickness_axis_mm=_axis(measures.thickness_axis),
            population_used=answer.population,
            confidence=None if math.isnan(answer.confidence) else round(float(answer.confidence), 4),
            implausibility=round(float(answer.implausibility), 4),
            least_jacobian=round(float(answer.least_jacobian), 4),
            warnings=tuple(answer.warnings),
        )


def _axis(ends: np.ndarray) -> Axis:
    first, second = (tuple(round(float(x), 2) for x in end) for end in ends)
    return first, second


def write_json(path: Path, results: Iterable[KidneyResult]) -> None:
    """Writes all results, in one step. Raises `ResultsError`."""
    resultfile.write_json(path, FORMAT, map(asdict, results))


def read_json(path: Path) -> list[KidneyResult]:
    """The results in a file that `write_json` wrote. Raises `ResultsError`."""
    return resultfile.read_json(path, FORMAT, _result_of)


def _result_of(volume: dict[str, Any]) -> KidneyResult:
    points = tuple(Point(tuple(point["ras_mm"]), point["inside"]) for point in volume["points"])
    result = KidneyResult(**{**volume, "points": points})
    return replace(result, **{f.name: _tuples(getattr(result, f.name)) for f in fields(result)})


def _tuples(value: Any) -> Any:
    """JSON's lists as tuples."""
    return tuple(map(_tuples, value)) if isinstance(value, (list, tuple)) else value


_FIRST = ("path", "series", "frame", "error", "method")  # then the answer, then what it rests on
_BASIS = tuple(f.name for f in fields(VolumeResult) if f.name not in _FIRST)
COLUMNS = (*_FIRST, *(f.name for f in fields(KidneyResult) if f.name not in _FIRST + _BASIS), *_BASIS)


def write_csv(path: Path, results: Iterable[KidneyResult]) -> None:
    """Writes a row for each result, in one step; points and axes are "R A S; R A S" in mm. Raises `ResultsError`."""
    resultfile.write_csv(path, COLUMNS, map(_row, results))


def _row(result: KidneyResult) -> dict[str, object]:
    row = {name: getattr(result, name) for name in COLUMNS}
    row["points"] = "; ".join(f"{'inside' if p.inside else 'outside'} {_text(p.ras_mm)}" for p in result.points)
    row["seed_point_mm"] = _text(result.seed_point_mm or ())
    row |= {name: "; ".join(map(_text, row[name] or ())) for name in COLUMNS if name.endswith("_axis_mm")}
    row["warnings"] = " ".join(result.warnings)
    return row


def _text(position: Iterable[float]) -> str:
    return " ".join(f"{x:g}" for x in position)


def require_table(path: Path) -> None:
    """Raises `ResultsError` unless the file is a table that `write_csv` wrote."""
    resultfile.read_csv(path, COLUMNS, list)
